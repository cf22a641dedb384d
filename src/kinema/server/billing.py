"""What worlds cost: each frame that a model makes for one is billed to the key that asked for it, in pixel-seconds.

Frames come many a second, so they are added up in memory and written to the books every few seconds, and when the server ends. A
key that has used up its quota makes no further frame.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict

from sqlalchemy import select

from kinema.server.storage.rows import beyond_quota, bill
from kinema.server.storage.tables import Database, keys

USUAL_FPS = 16.0
"""Frames of a second that pixel-seconds are counted by."""
SETTLE_S = 5.0
REFRESH_S = 1.0
"""What is left of a quota is looked up this often."""
WHAT = "worlds"
"""Stands in the books where a video's id would."""


def frames_cost(size: str, frames: int) -> float:
    """Pixel-seconds of so many frames; a second of film at the usual rate costs as much as one of a world."""
    width, _, height = size.partition("x")
    return int(width) * int(height) * frames / USUAL_FPS


class Billing:
    """Adds up what keys make of worlds. Used by one thread, but for `look` and `settle`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._spent: dict[str, float] = defaultdict(float)
        """All that was spent since this began."""
        self._settled: dict[str, float] = defaultdict(float)
        """And how much of it is in the books."""
        self._limits: dict[str, tuple[float, float]] = {}
        """Up to where a key may spend, and its quota."""
        self._refreshed_at: dict[str, float] = {}

    def is_due(self, key_id: str) -> bool:
        """Whether what is left of a quota was not looked up of late."""
        return time.monotonic() - self._refreshed_at.get(key_id, -REFRESH_S) >= REFRESH_S

    def refresh_quota(self, key_id: str) -> None:
        """Look up what is left of a quota."""
        self._refreshed_at[key_id] = time.monotonic()
        settled = self._settled[key_id]  # before the books are read: what comes into them meanwhile counts twice, not never
        with self.database.reading() as db:
            key = db.execute(select(keys).where(keys.c.id == key_id)).first()
        if key is None or key.quota is None:
            self._limits.pop(key_id, None)
        else:
            self._limits[key_id] = settled + key.quota - key.used - key.reserved, key.quota

    def spend(self, key_id: str, pixel_seconds: float) -> None:
        """Bill frames before they are made (or, less than nothing, give back what was not made); 429 beyond the quota."""
        limit, quota = self._limits.get(key_id, (math.inf, math.inf))
        left = limit - self._spent[key_id]
        if 0 < pixel_seconds > left:
            raise beyond_quota(pixel_seconds, left, quota)
        self._spent[key_id] += pixel_seconds

    def settle(self) -> None:
        """Write what was spent to the books, all of it or nothing."""
        now_spent = dict(self._spent)
        due = {id: spent - self._settled[id] for id, spent in now_spent.items() if spent != self._settled[id]}
        if not due:
            return
        with self.database.writing() as db:
            now = self.database.now(db)
            for key_id, pixel_seconds in due.items():
                db.execute(keys.update().where(keys.c.id == key_id).values(used=keys.c.used + pixel_seconds))
                bill(db, now, key_id, WHAT, "settle", pixel_seconds)
        self._settled.update({id: now_spent[id] for id in due})
