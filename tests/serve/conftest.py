"""A queue on SQLite in a fresh folder, with a key to submit by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.serve.access import Access
from kinema.serve.queue import Claim, Finished, Queue
from kinema.serve.store import new_id
from kinema.serve.tables import Database, sqlite_url

DONE = Finished(bytes=10, frames=4, took_s=0.5, settings={}, has_state=False, mark="00", size="32x32", seconds="1")


@dataclass
class Desk:
    """A queue, and short words for what tests do with it."""

    queue: Queue
    access: Access
    key: str

    def job(self, *, key: str | None = None, **more: Any) -> str:
        """Accept a job; its id."""
        job = {
            "id": new_id("video"), "key_id": key or self.key, "kind": "generate", "model": "kinema-tiny", "prompt": "a red ball",
            "seconds": "1", "size": "32x32", "request": {"seed": 1}, "sources": [], "remixed_from": None, "priority": 0,
            "shape": "same", "pixel_seconds": 1024.0, **more,
        }  # fmt: skip
        return str(self.queue.submit(job).id)

    def claim(self, worker: str = "w", **more: Any) -> list[Claim]:
        return self.queue.claim(worker, **more)

    def finish(self, claim: Claim) -> bool:
        return self.queue.publish(claim, str(claim.fence), DONE)

    def make_key(self, name: str = "other", **more: Any) -> str:
        return str(self.access.make(name, **more)[1].id)

    def books(self, key: str | None = None) -> tuple[float, float]:
        """What a key has used, and what is reserved for it."""
        row = next(row for row in self.access.all() if row.id == (key or self.key))
        return row.used, row.reserved


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    database = Database(sqlite_url(tmp_path))
    access = Access(database)
    yield Desk(queue=Queue(database, lease_s=0.2), access=access, key=str(access.make("me")[1].id))
    database.close()
