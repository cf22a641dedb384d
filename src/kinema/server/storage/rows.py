"""Row operations on jobs, keys and the ledger, to be called inside one transaction."""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy import Connection, Row, func, select

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.storage.tables import deliveries, jobs, keys, ledger, webhooks

LIVE = ("queued", "in_progress")


def own(db: Connection, id: str, key_id: str | None, *, deleted: bool = False) -> Row[Any]:
    """A job of this key (of any: None), or 404."""
    job = db.execute(select(jobs).where(jobs.c.id == id)).first()
    if job is None or (key_id is not None and job.key_id != key_id) or (job.deleted_at is not None and not deleted):
        raise not_found("video", id)
    return job


def live(db: Connection, key_id: str) -> int:
    """How many jobs of a key are queued or in progress."""
    return int(
        db.scalar(select(func.count()).select_from(jobs).where(jobs.c.key_id == key_id, jobs.c.status.in_(LIVE))) or 0
    )


def ended(job: Row[Any]) -> str:
    return "completed" if job.status == "completed" else "failed"


def check_quota(key: Row[Any], pixel_seconds: float) -> None:
    if key.quota is not None and key.used + key.reserved + pixel_seconds > key.quota:
        raise beyond_quota(pixel_seconds, key.quota - key.used - key.reserved, key.quota)


def beyond_quota(pixel_seconds: float, left: float, quota: float) -> ApiError:
    return ApiError(
        429, f"this would take {pixel_seconds:,.0f} pixel-seconds; the key has {max(left, 0.0):,.0f} of {quota:,.0f} left",
        code="insufficient_quota", headers={"x-should-retry": "false"},
    )  # fmt: skip


def check_concurrency(db: Connection, key_id: str, limit: int | None) -> None:
    if limit is not None and live(db, key_id) >= limit:
        raise ApiError(
            429, f"{limit} videos of this key are already waiting or being made; wait for one or delete one", code="queue_full",
            headers={"retry-after": "5"},
        )  # fmt: skip


def bill(db: Connection, now: float, key_id: str, job: str, kind: str, pixel_seconds: float) -> None:
    db.execute(ledger.insert().values(key_id=key_id, at=now, job=job, kind=kind, pixel_seconds=pixel_seconds))


def end(db: Connection, now: float, job: Row[Any], code: str, message: str) -> None:
    """Fail a job and refund what was reserved for it."""
    db.execute(
        jobs.update()
        .where(jobs.c.id == job.id)
        .values(
            status="failed",
            completed_at=now,
            stage="cancelled" if code == "cancelled" else "failed",
            error_code=code,
            error_message=message,
            worker=None,
            lease_until=None,
            fence=job.fence + 1,
            cancelled=code == "cancelled",
        )
    )
    db.execute(keys.update().where(keys.c.id == job.key_id).values(reserved=keys.c.reserved - job.pixel_seconds))
    bill(db, now, job.key_id, job.id, "refund", job.pixel_seconds)
    announce(db, now, job, "video.failed")


def announce(db: Connection, now: float, job: Row[Any], event: str) -> None:
    """Insert an event of a job for each webhook of its key that subscribes to it."""
    for hook in db.execute(select(webhooks).where(webhooks.c.key_id == job.key_id)).all():
        if event in hook.events:
            id = f"evt_{secrets.token_hex(12)}"
            body = {"id": id, "object": "event", "type": event, "created_at": int(now), "data": {"id": job.id}}
            db.execute(
                deliveries.insert().values(
                    id=id, webhook=hook.id, body=json.dumps(body, separators=(",", ":")), attempts=0, next_at=now
                )
            )
