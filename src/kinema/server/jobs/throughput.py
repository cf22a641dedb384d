"""Throughput of the workers: seconds of work a pixel-second, and the number of live workers."""

from __future__ import annotations

import time

from sqlalchemy import and_, func, select

from kinema.server.jobs.leases import LEASE_S
from kinema.server.storage.database import Database
from kinema.server.storage.tables import speeds, workers

CACHE_S = 1.0
"""How long speeds and the number of workers are cached."""


class ThroughputStats:
    """Measures and caches the figures that time estimates are computed from."""

    def __init__(self, database: Database, *, lease_s: float = LEASE_S) -> None:
        self.database, self.lease_s = database, lease_s
        self._known: dict[tuple[str, str], tuple[float, float | None]] = {}
        self._num_workers = (0.0, 0)

    def measured(self, model: str, kind: str, pixel_seconds: float, took_s: float) -> None:
        """Update the average speed from a finished job."""
        fresh = took_s / max(pixel_seconds, 1e-9)
        with self.database.writing() as db:
            matches = and_(speeds.c.model == model, speeds.c.kind == kind)
            known = db.execute(select(speeds).where(matches)).first()
            if known is None:
                db.execute(speeds.insert().values(model=model, kind=kind, per_pixel_second=fresh))
            else:
                db.execute(
                    speeds.update().where(matches).values(per_pixel_second=0.7 * known.per_pixel_second + 0.3 * fresh)
                )

    def speed(self, model: str, kind: str) -> float | None:
        """Seconds of work a pixel-second, a moving average; None before the first job."""
        then, known = self._known.get((model, kind), (0.0, None))
        if time.monotonic() - then > CACHE_S:
            with self.database.reading() as db:
                own = db.scalar(select(speeds.c.per_pixel_second).where(speeds.c.model == model, speeds.c.kind == kind))
                value = own or db.scalar(select(func.avg(speeds.c.per_pixel_second)).where(speeds.c.model == model))
            known = None if value is None else float(value)
            self._known[model, kind] = (time.monotonic(), known)
        return known

    def num_workers(self) -> int:
        """The number of workers that reported within the last lease."""
        then, count = self._num_workers
        if time.monotonic() - then > CACHE_S:
            with self.database.reading() as db:
                alive = (
                    select(func.count()).select_from(workers).where(workers.c.seen_at > self.database.now(db) - self.lease_s)
                )
                count = int(db.scalar(alive) or 0)
            self._num_workers = (time.monotonic(), count)
        return count
