"""What a store holds at a moment, in numbers: queue, jobs that ended, keys, webhooks and bytes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Row, case, func, select

from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import UNFINISHED
from kinema.server.storage.tables import deliveries, files, jobs, keys, reports


@dataclass(frozen=True, kw_only=True)
class StoreGauges:
    """Ages in seconds, 0 where nothing waits. pixel_seconds: used and reserved by key id."""

    queue_age_s: float
    queued_pixel_seconds: float
    webhooks_waiting: int
    webhooks_retried: int
    webhooks_overdue_s: float
    video_bytes: int
    upload_bytes: int
    reports_open: int
    reports_closed: int
    pixel_seconds: dict[str, tuple[float, float]]


def read_gauges(database: Database) -> StoreGauges:
    """Read the numbers of a store, by short queries without a lock."""
    ready = (jobs.c.status == "queued") & jobs.c.paused.is_(False)
    waiting = deliveries.c.done_at.is_(None)
    retried = func.sum(case((deliveries.c.attempts > 0, 1), else_=0))
    with database.reading() as db:
        now = database.now(db)
        queue = db.execute(select(func.min(jobs.c.created_at), func.sum(jobs.c.pixel_seconds)).where(ready)).one()
        outbox = db.execute(select(func.count(), retried, func.min(deliveries.c.next_at)).where(waiting)).one()
        complaints = db.execute(select(func.count(), func.count(reports.c.closed_at)).select_from(reports)).one()
        return StoreGauges(
            queue_age_s=0.0 if queue[0] is None else max(now - queue[0], 0.0),
            queued_pixel_seconds=float(queue[1] or 0.0),
            webhooks_waiting=int(outbox[0]),
            webhooks_retried=int(outbox[1] or 0),
            webhooks_overdue_s=0.0 if outbox[2] is None else max(now - outbox[2], 0.0),
            video_bytes=int(db.scalar(select(func.sum(jobs.c.bytes))) or 0),
            upload_bytes=int(db.scalar(select(func.sum(files.c.bytes))) or 0),
            reports_open=complaints[0] - complaints[1],
            reports_closed=complaints[1],
            pixel_seconds={
                row.id: (row.used, row.reserved) for row in db.execute(select(keys.c.id, keys.c.used, keys.c.reserved))
            },
        )


class EndedJobs:
    """Reads the jobs that ended since it was last asked, each once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.reading() as db:
            self._since = database.now(db)
        self._seen: set[str] = set()
        """Those that ended at that very time."""

    def read(self) -> list[Row[object]]:
        """Jobs in the order in which they ended."""
        ended = (jobs.c.completed_at >= self._since) & jobs.c.status.not_in(UNFINISHED)
        with self.database.reading() as db:
            rows = [
                row
                for row in db.execute(select(jobs).where(ended).order_by(jobs.c.completed_at))
                if row.id not in self._seen
            ]
        if rows:
            last = rows[-1].completed_at
            at_last = {row.id for row in rows if row.completed_at == last}
            self._seen = at_last | (self._seen if last == self._since else set())
            self._since = last
        return rows
