"""Complaints about videos, for whoever keeps the server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select, tuple_

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.storage.artifacts import is_id, new_id
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import find_job
from kinema.server.storage.tables import audit, reports

REASONS = ("illegal", "likeness", "copyright", "harmful", "other")
"""likeness: shows somebody who did not agree to it."""
MOST_OPEN = 100
"""Of a key: open reports at a time."""


class Reports:
    """The reports of a server."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def make(self, key_id: str, video: str, reason: str, text: str) -> Row[Any]:
        """Report a video, of whichever key. Returns the row; 404 if there is no such video, 429 if the key has MOST_OPEN open
        reports."""
        with self.database.writing() as db:
            job = find_job(db, video, None, deleted=True)
            own_open = (reports.c.key_id == key_id) & reports.c.closed_at.is_(None)
            if int(db.scalar(select(func.count()).select_from(reports).where(own_open)) or 0) >= MOST_OPEN:
                raise ApiError(
                    429, f"this key has {MOST_OPEN} open reports; wait until some are closed", code="too_many_reports",
                    headers={"retry-after": "3600"},
                )  # fmt: skip
            id, now = new_id("report"), self.database.now(db)
            row = {
                "id": id,
                "key_id": key_id,
                "created_at": now,
                "video": video,
                "video_key_id": job.key_id,
                "model": job.model,
            }
            db.execute(reports.insert().values(**row, reason=reason, text=text))
            db.execute(
                audit.insert().values(at=now, key_id=key_id, action="video.reported", target=video, detail={"report": id})
            )
            return db.execute(select(reports).where(reports.c.id == id)).one()

    def page(self, *, state: str | None, after: str | None, limit: int) -> tuple[list[Row[Any]], bool]:
        """Reports, newest first, and whether more follow. state: "open" or "closed". after: the last report of the page before."""
        query = select(reports).order_by(reports.c.created_at.desc(), reports.c.id.desc())
        if state is not None:
            query = query.where(reports.c.closed_at.is_(None) if state == "open" else reports.c.closed_at.is_not(None))
        with self.database.reading() as db:
            if after is not None:
                last = db.execute(select(reports).where(reports.c.id == after)).first()
                if last is None:
                    raise not_found("report", after)
                query = query.where(tuple_(reports.c.created_at, reports.c.id) < (last.created_at, last.id))
            rows = list(db.execute(query.limit(limit + 1)).all())
        return rows[:limit], len(rows) > limit

    def close(self, id: str, by: str) -> Row[Any]:
        """Close a report; its row. 404 if there is none."""
        with self.database.writing() as db:
            known = db.execute(select(reports).where(reports.c.id == id)).first() if is_id(id, "report") else None
            if known is None:
                raise not_found("report", id)
            if known.closed_at is None:
                now = self.database.now(db)
                db.execute(reports.update().where(reports.c.id == id).values(closed_at=now))
                db.execute(audit.insert().values(at=now, key_id=by, action="report.closed", target=id))
            return db.execute(select(reports).where(reports.c.id == id)).one()
