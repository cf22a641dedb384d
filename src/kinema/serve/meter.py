"""What worlds cost: each frame that a model makes for one is billed to the key that asked for it, in pixel-seconds.

Frames come many a second, so they are added up in memory and written to the books every few seconds, and when the server ends. A
key that has used up its quota makes no further frame.
"""

from __future__ import annotations

import time
from collections import defaultdict

from sqlalchemy import select

from kinema.serve.rows import bill, check_quota
from kinema.serve.tables import Database, keys

USUAL_FPS = 16.0
"""Frames of a second that pixel-seconds are counted by."""
SETTLE_S = 5.0
LATELY_S = 1.0
"""What is left of a quota is looked up this often."""
WHAT = "worlds"
"""Stands in the books where a video's id would."""


def frames_cost(size: str, frames: int) -> float:
    """Pixel-seconds of so many frames; a second of film at the usual rate costs as much as one of a world."""
    width, _, height = size.partition("x")
    return int(width) * int(height) * frames / USUAL_FPS


class Meter:
    """Adds up what keys make of worlds."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._spent: dict[str, float] = defaultdict(float)
        self._looked: dict[str, float] = {}

    def is_due(self, key_id: str) -> bool:
        """Whether `check` has not been asked of late."""
        return time.monotonic() - self._looked.get(key_id, -LATELY_S) >= LATELY_S

    def check(self, key_id: str, pixel_seconds: float) -> None:
        """429 when the key has not so much left."""
        with self.database.reading() as db:
            key = db.execute(select(keys).where(keys.c.id == key_id)).first()
        if key is not None:
            check_quota(key, self._spent.get(key_id, 0.0) + pixel_seconds)
        self._looked[key_id] = time.monotonic()

    def spend(self, key_id: str, pixel_seconds: float) -> None:
        self._spent[key_id] += pixel_seconds

    def settle(self) -> None:
        """Write what was spent to the books, all of it or nothing."""
        spent, self._spent = self._spent, defaultdict(float)
        if not spent:
            return
        try:
            with self.database.writing() as db:
                now = self.database.now(db)
                for key_id, pixel_seconds in spent.items():
                    db.execute(keys.update().where(keys.c.id == key_id).values(used=keys.c.used + pixel_seconds))
                    bill(db, now, key_id, WHAT, "settle", pixel_seconds)
        except BaseException:
            for key_id, pixel_seconds in spent.items():
                self._spent[key_id] += pixel_seconds
            raise
