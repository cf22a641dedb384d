"""Laws of backups: what is restored is what was saved, byte for byte; a file that is not whole restores nothing."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from sqlalchemy import select
from tests.server.storage.older import as_first_revision

from kinema.cli.main import main
from kinema.errors import InputError, OutputError
from kinema.server.auth import Auth
from kinema.server.jobs.leases import Finished, Leases
from kinema.server.jobs.queue import Queue
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage import backup as backup_module
from kinema.server.storage.archive import MANIFEST
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.backup import backup, restore
from kinema.server.storage.database import Database
from kinema.server.storage.engine import sqlite_url
from kinema.server.storage.tables import deliveries, files, jobs, ledger, metadata, webhooks

HERE = Path(__file__).parent
FILM = np.random.default_rng(0).bytes(5000)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Of the database; None: SQLite in the data folder."""
    if request.param == "sqlite":
        return None
    found: str = request.getfixturevalue("postgres")
    _empty(found)
    return found


def _empty(url: str) -> None:
    database = Database(url)
    with database.writing() as db:
        for table in metadata.sorted_tables:
            db.execute(table.delete())
    database.close()


class Store:
    """A server's store with a film, a job that waits, an upload, a world, a webhook and a key."""

    def __init__(self, data: Path, url: str | None) -> None:
        self.data, self.url = data, url
        services = Services(Settings(data=data, database=url))
        self.key, row = services.auth.make("me", quota=1e6)
        self.film, self.waiting = (self._submit(services.queue, row.id) for _ in range(2))
        leases = Leases(services.database)
        (claim,) = leases.claim("w")
        staged = services.store.stage(claim.id)
        (staged / "video.mp4").write_bytes(FILM)
        services.store.publish(staged, "1")
        done = Finished(
            bytes=5000, frames=4, took_s=0.5, settings={"seed": 1}, has_state=False, mark="00", size="32x32", seconds="1"
        )
        assert leases.publish(claim, "1", done)
        self.film, self.waiting = claim.id, ({self.film, self.waiting} - {claim.id}).pop()
        self.upload = new_id("file")
        services.store.file(self.upload).write_bytes(b"pixels")
        with services.database.writing() as db:
            upload = {"id": self.upload, "key_id": row.id, "created_at": 1.0, "filename": "a.png", "bytes": 6}
            db.execute(files.insert().values(**upload, width=1, height=1, frames=1, fps=1.0))
            hook = {"id": "wh_1", "key_id": row.id, "created_at": 1.0, "url": "https://a", "events": ["video.failed"]}
            db.execute(webhooks.insert().values(**hook, secret="whsec_x"))
        world = data / "worlds" / "world_1"
        world.mkdir()
        (world / "meta.json").write_text("{}")
        (world / "000001.world").write_bytes(b"saved")
        (world / "000001.steps").write_text('["step", null]\n["step", nu')
        services.close()

    def _submit(self, queue: Queue, key_id: str) -> str:
        job = {
            "id": new_id("video"), "key_id": key_id, "kind": "generate", "model": "kinema-tiny", "prompt": "a red ball",
            "seconds": "1", "size": "32x32", "request": {"seed": 1}, "sources": [], "remixed_from": None, "priority": 0,
            "shape": "same", "pixel_seconds": 1024.0,
        }  # fmt: skip
        return str(queue.submit(job).id)

    def save(self, file: Path) -> Path:
        backup(file, data=self.data, url=self.url)
        return file


def rows(url: str) -> dict[str, list[object]]:
    """All rows of a store but the facts, in which its id stands."""
    database = Database(url)
    with database.reading() as db:
        found = {table.name: sorted(map(repr, db.execute(select(table)).all())) for table in metadata.sorted_tables}
    database.close()
    return {name: found[name] for name in found.keys() - {"facts", "workers"}}


def held(data: Path) -> dict[str, bytes]:
    """The files of a data folder but the database and the store's id."""
    paths = [path for path in data.rglob("*") if path.is_file() and not path.name.startswith(("kinema.db", "store-id"))]
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in paths}


def test_what_is_restored_is_what_was_saved(tmp_path: Path, url: str | None) -> None:
    """From SQLite and from Postgres, into SQLite: all rows, the film's bytes, a key that opens, certificates, a whole world."""
    store = Store(tmp_path / "data", url)
    before = rows(url or sqlite_url(store.data))
    contents = backup(tmp_path / "copy.tar", data=store.data, url=url)
    assert (contents.films, contents.uploads, contents.worlds, contents.keys, contents.lost) == (1, 1, 1, 1, 0)
    restored = tmp_path / "new"
    assert restore(tmp_path / "copy.tar", data=restored).films == 1
    assert rows(sqlite_url(restored)) == before and len(before["jobs"]) == 2
    files_before = held(store.data)
    files_before["worlds/world_1/000001.steps"] = b'["step", null]\n'
    assert held(restored) == files_before
    assert (restored / "videos" / store.film / "1" / "video.mp4").read_bytes() == FILM
    services = Services(Settings(data=restored))
    assert services.auth.caller(store.key).name == "me"
    assert services.queue.get(store.waiting, None).status == "queued"
    assert services.anchors == Services(Settings(data=store.data, database=url)).anchors
    services.close()


def test_what_is_restored_is_read_by_its_owner_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", None)
    for path in store.data.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    file = store.save(tmp_path / "copy.tar")
    restore(file, data=tmp_path / "new")
    assert file.stat().st_mode & 0o777 == 0o600
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "identity").stat().st_mode & 0o777 == 0o700


def test_a_backup_of_sqlite_moves_to_postgres(tmp_path: Path, postgres: str) -> None:
    _empty(postgres)
    store = Store(tmp_path / "data", None)
    file = store.save(tmp_path / "copy.tar")
    restore(file, data=tmp_path / "new", url=postgres)
    assert rows(postgres) == rows(sqlite_url(store.data)) and not (tmp_path / "new" / "kinema.db").exists()
    services = Services(Settings(data=tmp_path / "new", database=postgres))
    Store._submit(store, services.queue, services.auth.caller(store.key).key_id)  # numbers of the ledger go on
    with services.database.reading() as db:
        numbers = list(db.execute(select(ledger.c.id)).scalars())
    services.close()
    assert len(set(numbers)) == len(numbers) == 4
    with pytest.raises(InputError, match="holds a store already; expected an empty one"):
        restore(file, data=tmp_path / "third", url=postgres)
    assert not (tmp_path / "third").exists()
    with pytest.raises(InputError, match="do not belong together"):
        Services(Settings(data=store.data, database=postgres))


def test_a_film_that_is_deleted_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row stood in the copy of the database, but a film without files is not restored; nor is a lost one."""
    store = Store(tmp_path / "data", None)
    really = backup_module._add_named_files

    def delete_first(*arguments: object) -> set[str]:
        database = Database(sqlite_url(store.data))
        with database.writing() as db:
            db.execute(jobs.delete().where(jobs.c.id == store.film))
        database.close()
        shutil.rmtree(store.data / "videos" / store.film)
        return really(*arguments)  # type: ignore[arg-type]

    (store.data / "files" / f"{store.upload}.npz").unlink()
    monkeypatch.setattr(backup_module, "_add_named_files", delete_first)
    contents = backup(tmp_path / "copy.tar", data=store.data)
    assert (contents.films, contents.uploads, contents.lost) == (0, 0, 1)
    assert restore(tmp_path / "copy.tar", data=tmp_path / "new").films == 0


def test_a_world_that_is_saved_meanwhile_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server saves under the next number while files are opened: what is restored is the newer save, with its commands."""
    store = Store(tmp_path / "data", None)
    world, really, saved = store.data / "worlds" / "world_1", backup_module._open, []

    def save_once(path: Path) -> object:
        if path.suffix == ".world" and not saved:
            saved.append(path)
            (world / "000002.world").write_bytes(b"newer")
            (world / "000002.steps").write_text('["rewind", 1]\n')
            for old in ("000001.world", "000001.steps"):
                (world / old).unlink()
        return really(path)

    monkeypatch.setattr(backup_module, "_open", save_once)
    store.save(tmp_path / "copy.tar")
    restore(tmp_path / "copy.tar", data=tmp_path / "new")
    restored = tmp_path / "new" / "worlds" / "world_1"
    assert {path.name for path in restored.iterdir()} == {"meta.json", "000002.world", "000002.steps"}


@pytest.mark.parametrize("point", ["begun", "nearly whole", "not renamed"])
def test_a_killed_backup_leaves_no_file_of_its_name(tmp_path: Path, point: str) -> None:
    store = Store(tmp_path / "data", None)
    before, file = held(store.data), tmp_path / "copies" / "copy.tar"
    file.parent.mkdir()
    command = [sys.executable, str(HERE / "saving.py"), str(store.data), str(file), point]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not file.exists() and held(store.data) == before
    store.save(file)
    assert restore(file, data=tmp_path / "new").films == 1


def damaged(file: Path, kind: str) -> Path:
    data = file.read_bytes()
    at = data.index(FILM)
    changed = {
        "a byte of a film": data[: at + 700] + bytes([data[at + 700] ^ 1]) + data[at + 701 :],
        "cut off": data[: len(data) // 2],
        "its end missing": data[: data.index(MANIFEST.encode())],
        "empty": b"",
        "a film": FILM,
    }[kind]
    wrong = file.with_name("wrong.tar")
    wrong.write_bytes(changed)
    return wrong


@pytest.mark.parametrize(("age_h", "cleared"), [(7, True), (5, False)])
def test_what_killed_backups_left_is_cleared_once_it_is_old(tmp_path: Path, age_h: float, cleared: bool) -> None:
    """Names that are nobody's temporary files, and links, stay; while one is young all stay, for its backup may be running."""
    folder, then = tmp_path / "backups", time.time() - 3600 * age_h
    left = [folder / ".kinema-0123456789ab.tmp", folder / ".kinema-0123456789ab.tmp.backup"]
    others = [folder / ".kinema-notes.tmp", folder / "kinema.backup", folder / ".kinema-0123456789ab.tmp.d.e", folder / "b"]
    staging = folder / ".kinema-a1_b2c3d.tmp"
    staging.mkdir(parents=True)
    for path in (*left, *others, staging / "kinema.db"):
        path.write_bytes(b"half")
        os.utime(path, (1.0, 1.0))
    (folder / ".kinema-0123456789ac.tmp").symlink_to(folder / "b")
    os.utime(staging, (1.0, 1.0))
    os.utime(staging / "kinema.db", (then, then))
    Store(tmp_path / "data", None).save(folder / "new.backup")
    assert (folder / "new.backup").is_file() and all(path.exists() for path in others)
    assert (folder / ".kinema-0123456789ac.tmp").is_symlink()
    assert [path.exists() for path in (*left, staging)] == 3 * [not cleared]


@pytest.mark.parametrize("kind", ["a byte of a film", "cut off", "its end missing", "empty", "a film"])
def test_a_damaged_file_restores_nothing(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = damaged(Store(tmp_path / "data", None).save(tmp_path / "copy.tar"), kind)
    assert main(["restore", str(wrong), "--data", str(tmp_path / "new")]) == 2
    said = capsys.readouterr()
    assert (
        len(said.err.splitlines()) == 1
        and str(wrong) in said.err
        and ("is damaged" in said.err or "is no backup" in said.err)
    )
    assert said.out == "" and not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError):
        restore(wrong, data=tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == [], "the folder that was there stays, empty"


@pytest.mark.parametrize(
    ("name", "kind"), [("../outside", "file"), ("videos/../../outside", "file"), ("identity/a", "link"), ("/etc/x", "file")]
)
def test_a_file_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    good = Store(tmp_path / "data", None).save(tmp_path / "copy.tar")
    with tarfile.open(good) as old, tarfile.open(tmp_path / "bad.tar", "w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
            if member.name == "kinema-backup.json":
                one = tarfile.TarInfo(name)
                one.type, one.linkname = (tarfile.SYMTYPE, "/etc") if kind == "link" else (tarfile.REGTYPE, "")
                new.addfile(one, io.BytesIO())
    with pytest.raises(InputError, match="is no backup of Kinema"):
        restore(tmp_path / "bad.tar", data=tmp_path / "deep" / "new")
    assert not (tmp_path / "outside").exists() and not (tmp_path / "deep" / "new").exists()


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", None)
    file = store.save(tmp_path / "copy.tar")
    with pytest.raises(OutputError, match="exists; pass --force"):
        store.save(file)
    before = held(store.data)
    with pytest.raises(InputError, match="is not empty; expected a new folder"):
        restore(file, data=store.data)
    assert held(store.data) == before
    with pytest.raises(InputError, match="holds no server's data"):
        backup(tmp_path / "other.tar", data=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_older_store_is_restored_and_upgraded(tmp_path: Path) -> None:
    """A backup from before a revision: the rows are upgraded when it is restored, and the server starts."""
    data = tmp_path / "data"
    store = Store(data, None)
    database = Database(sqlite_url(data))
    with database.writing() as db:
        as_first_revision(db)
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    _save_as_found(data, tmp_path / "copy.tar", store)
    restore(tmp_path / "copy.tar", data=tmp_path / "new")
    services = Services(Settings(data=tmp_path / "new"))
    assert services.auth.sessions(None) == [] and services.queue.get(store.film, None).status == "completed"
    services.close()
    assert not list((tmp_path / "new").glob("kinema-before-*"))


def _save_as_found(data: Path, file: Path, store: Store) -> None:
    """Save a store as an older Kinema did: the database as it is."""
    from kinema.server.storage.archive import ArchiveWriter

    with file.open("wb") as out:
        archive = ArchiveWriter(out)
        for path in sorted(data.rglob("*")):
            if path.is_file() and path.suffix not in (".db-wal", ".db-shm"):
                with path.open("rb") as part:
                    archive.add(path.relative_to(data).as_posix(), part)
        archive.close()


def test_deliveries_that_wait_are_restored(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", None)
    database = Database(sqlite_url(store.data))
    with database.writing() as db:
        db.execute(deliveries.insert().values(id="evt_1", webhook="wh_1", body="{}", attempts=3, next_at=5.0))
    database.close()
    restore(store.save(tmp_path / "copy.tar"), data=tmp_path / "new")
    database = Database(sqlite_url(tmp_path / "new"))
    with database.reading() as db:
        assert db.execute(select(deliveries.c.attempts, deliveries.c.done_at)).all() == [(3, None)]
    assert Auth(database).caller(store.key)
    database.close()
