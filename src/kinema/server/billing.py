"""Billing of worlds: each generated frame is billed to the key that requested it, in pixel-seconds.

Costs are added up in memory and written to the ledger every few seconds, and when the server stops. A key that has used up its
quota gets no further frame.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict

from sqlalchemy import select

from kinema.server.storage.database import Database
from kinema.server.storage.ledger import WORLDS, add_to_ledger, quota_exceeded, spent_today
from kinema.server.storage.tables import keys

USUAL_FPS = 16.0
"""The frame rate that pixel-seconds are defined at."""
SETTLE_S = 5.0
USUAL_STEPS = 16
"""The number of sampler steps that pixel-seconds are defined at; more frames or steps cost proportionally more."""
NO_LIMIT = (math.inf, math.inf, False)
REFRESH_S = 1.0
"""How often the rest of a quota is read from the database."""


def cost(width: int, height: int, seconds: float, fps: float = USUAL_FPS, steps: int | None = None) -> float:
    """Pixel-seconds, as at the usual frame rate and number of steps; more of either costs more, and one frame is the least."""
    frames = max(round(seconds * fps), 1)
    return float(width * height * max(seconds, frames / USUAL_FPS) * max((steps or USUAL_STEPS) / USUAL_STEPS, 1.0))


def frames_cost(size: str, frames: int) -> float:
    """Pixel-seconds of a number of frames; a second of a world costs as much as a second of video at the usual frame rate."""
    width, _, height = size.partition("x")
    return int(width) * int(height) * frames / USUAL_FPS


class Billing:
    """Adds up the cost of world frames by key. Used by one thread, except `refresh_quota` and `settle`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._spent: dict[str, float] = defaultdict(float)
        """Pixel-seconds by key since the start."""
        self._settled: dict[str, float] = defaultdict(float)
        """How much of it is in the ledger."""
        self._limits: dict[str, tuple[float, float, bool]] = {}
        """The value that `_spent` of a key may reach, the key's quota, and whether it is that of a day."""
        self._refreshed_at: dict[str, float] = {}

    def is_due(self, key_id: str) -> bool:
        """Whether the rest of a key's quota was read more than REFRESH_S ago."""
        return time.monotonic() - self._refreshed_at.get(key_id, -REFRESH_S) >= REFRESH_S

    def refresh_quota(self, key_id: str) -> None:
        """Read the rest of a key's quota from the database."""
        self._refreshed_at[key_id] = time.monotonic()
        settled = self._settled[key_id]  # read before the ledger: a concurrent `settle` then counts twice, never not at all
        limits: list[tuple[float, float, bool]] = []
        with self.database.reading() as db:
            key = db.execute(select(keys).where(keys.c.id == key_id)).first()
            if key is not None and key.quota is not None:
                limits.append((settled + key.quota - key.used - key.reserved, key.quota, False))
            if key is not None and key.daily_quota is not None:
                left = key.daily_quota - spent_today(db, self.database.now(db), key_id)
                limits.append((settled + left, key.daily_quota, True))
        self._limits[key_id] = min(limits, default=NO_LIMIT)

    def spend(self, key_id: str, pixel_seconds: float) -> None:
        """Bill frames before they are generated, or refund (negative) those that were not; 429 beyond the quota."""
        limit, quota, daily = self._limits.get(key_id, NO_LIMIT)
        left = limit - self._spent[key_id]
        if 0 < pixel_seconds > left:
            raise quota_exceeded(pixel_seconds, left, quota, daily=daily)
        self._spent[key_id] += pixel_seconds

    def settle(self) -> None:
        """Write all unsettled costs to the ledger, in one transaction."""
        now_spent = dict(self._spent)
        due = {id: spent - self._settled[id] for id, spent in now_spent.items() if spent != self._settled[id]}
        if not due:
            return
        with self.database.writing() as db:
            now = self.database.now(db)
            for key_id, pixel_seconds in due.items():
                db.execute(keys.update().where(keys.c.id == key_id).values(used=keys.c.used + pixel_seconds))
                add_to_ledger(db, now, key_id, WORLDS, "settle", pixel_seconds)
        self._settled.update({id: now_spent[id] for id in due})
