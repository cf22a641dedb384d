"""Fixtures: a queue on SQLite in a fresh folder, and on Postgres where it is installed, with a key."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.errors import InputError
from kinema.server.auth import Auth
from kinema.server.jobs.leases import Claim, Finished, Leases
from kinema.server.jobs.queue import Queue, Repeat
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.database import Database
from kinema.server.storage.engine import sqlite_url
from kinema.server.storage.tables import metadata

DONE = Finished(bytes=10, frames=4, took_s=0.5, settings={}, has_state=False, mark="00", size="32x32", seconds="1")


@dataclass
class Harness:
    """A queue with its leases and auth, and shortcuts for tests."""

    queue: Queue
    leases: Leases
    auth: Auth
    key: str

    def job(self, *, key: str | None = None, repeat: Repeat | None = None, **more: Any) -> str:
        """Accept a job; its id."""
        job = {
            "id": new_id("video"), "key_id": key or self.key, "kind": "generate", "model": "kinema-tiny", "prompt": "a red ball",
            "seconds": "1", "size": "32x32", "request": {"seed": 1}, "sources": [], "remixed_from": None, "priority": 0,
            "shape": "same", "pixel_seconds": 1024.0, **more,
        }  # fmt: skip
        return str(self.queue.submit(job, repeat=repeat).id)

    def claim(self, worker: str = "w", **more: Any) -> list[Claim]:
        return self.leases.claim(worker, **more)

    def finish(self, claim: Claim) -> bool:
        return self.leases.publish(claim, str(claim.fence), DONE)

    def make_key(self, name: str = "other", **more: Any) -> str:
        return str(self.auth.make(name, **more)[1].id)

    def books(self, key: str | None = None) -> tuple[float, float]:
        """(used, reserved) pixel-seconds of a key."""
        row = next(row for row in self.auth.all() if row.id == (key or self.key))
        return row.used, row.reserved


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Postgres server started for these tests, where one is installed."""
    folders = [
        Path(path).parent for path in (shutil.which("initdb"), *Path("/usr/lib/postgresql").glob("*/bin/initdb")) if path
    ]
    if not folders:
        pytest.skip("no Postgres is installed")
    folder = Path(tempfile.mkdtemp(prefix="kinema-pg-"))
    run_as: dict[str, Any] = {}
    if os.getuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **run_as}
    made = subprocess.run([folders[0] / "initdb", "-D", folder / "db", "-U", "kinema", "-A", "trust"], check=False, **quiet)
    if made.returncode:
        pytest.skip("Postgres cannot be set up here")
    options = ["-p", str(port), "-k", str(folder), "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]
    process = subprocess.Popen([folders[0] / "postgres", "-D", folder / "db", *options], **quiet)
    url = f"postgresql://kinema@127.0.0.1:{port}/postgres"
    try:
        end = time.monotonic() + 30
        while True:
            try:
                Database(url).close()
                break
            except InputError:
                assert time.monotonic() < end, "Postgres did not start"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url)
    if request.param == "postgres":
        with database.writing() as db:
            for table in metadata.sorted_tables:
                if table.name != "facts":
                    db.execute(table.delete())
    auth = Auth(database)
    yield Harness(queue=Queue(database), leases=Leases(database, lease_s=60.0), auth=auth, key=str(auth.make("me")[1].id))
    database.close()
