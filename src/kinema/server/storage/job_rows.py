"""Find, count, fail and announce jobs, inside a transaction of the caller."""

from __future__ import annotations

import json
import secrets
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Text, cast, func, select

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.storage.ledger import add_to_ledger
from kinema.server.storage.tables import deliveries, jobs, keys, production_events, production_jobs, productions, webhooks

UNFINISHED = ("queued", "in_progress")
"""Status of a job that a worker may still have to do."""
TAKE, CUT = "take", "cut"
"""Kinds of jobs that are made for a production: a take of a shot, and the film out of the takes."""
STEPS = 1024.0
"""Distance between the places of two jobs that follow each other."""


class Needed(NamedTuple):
    """Ids of videos and of uploads."""

    videos: set[str]
    files: set[str]


def find_job(db: Connection, id: str, key_id: str | None, *, deleted: bool = False) -> Row[Any]:
    """A job of this key (of any: None), or 404."""
    job = db.execute(select(jobs).where(jobs.c.id == id)).first()
    if job is None or (key_id is not None and job.key_id != key_id) or (job.deleted_at is not None and not deleted):
        raise not_found("video", id)
    return job


def num_unfinished(db: Connection, key_id: str) -> int:
    """How many jobs of a key are queued or in progress."""
    return int(
        db.scalar(select(func.count()).select_from(jobs).where(jobs.c.key_id == key_id, jobs.c.status.in_(UNFINISHED))) or 0
    )


def lifted(db: Connection, key: Row[Any]) -> float:
    """The `served` counter of a key that submits a job: an idle key gets no credit for the time it was idle."""
    if num_unfinished(db, key.id):
        return float(key.served)
    busy = select(jobs.c.key_id).where(jobs.c.status.in_(UNFINISHED)).distinct()
    least = db.scalar(select(func.min(keys.c.served)).where(keys.c.id.in_(busy)))
    return max(float(key.served), float(least or 0.0))


def insert_job(db: Connection, now: float, job: dict[str, Any], retained_s: float) -> None:
    """Queue a job at the end of its key's queue, and reserve its cost, for which the caller has checked the quota."""
    last = db.scalar(select(func.max(jobs.c.place)).where(jobs.c.key_id == job["key_id"], jobs.c.status == "queued"))
    row = {
        **job, "status": "queued", "created_at": now, "place": (last or 0.0) + STEPS, "expires_at": now + retained_s,
        "paused": False, "cancelled": False, "progress": 0.0, "stage": "waiting", "attempts": 0, "fence": 0, "not_before": 0.0,
    }  # fmt: skip
    db.execute(jobs.insert().values(**row))
    cost = job["pixel_seconds"]
    db.execute(keys.update().where(keys.c.id == job["key_id"]).values(reserved=keys.c.reserved + cost))
    add_to_ledger(db, now, job["key_id"], job["id"], "reserve", cost)


def check_concurrency(db: Connection, key_id: str, limit: int | None) -> None:
    """429 if a key has as many unfinished jobs as it may have (None: any number)."""
    if limit is not None and num_unfinished(db, key_id) >= limit:
        raise ApiError(
            429, f"{limit} videos of this key are already waiting or being made; wait for one or delete one", code="queue_full",
            headers={"retry-after": "5"},
        )  # fmt: skip


def outcome(job: Row[Any]) -> str:
    """How a finished job ended: "completed" or "failed"."""
    return "completed" if job.status == "completed" else "failed"


def fail_job(db: Connection, now: float, job: Row[Any], code: str, message: str) -> None:
    """Mark a job as failed, refund what was reserved for it, and announce it to webhooks."""
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
    add_to_ledger(db, now, job.key_id, job.id, "refund", job.pixel_seconds)
    add_deliveries(db, now, job, "video.failed")
    if job.kind in (TAKE, CUT):
        _stop_production(db, now, job.id, code, message)


def _stop_production(db: Connection, now: float, job: str, code: str, message: str) -> None:
    """Let the production that waits for a job wait for a person instead, once its other jobs have ended."""
    waits = select(production_jobs.c.production).where(production_jobs.c.job == job)
    for row in db.execute(select(productions.c.id, productions.c.version).where(productions.c.id.in_(waits))).all():
        db.execute(production_jobs.delete().where(production_jobs.c.job == job))
        stopped = {"error_code": code, "error_message": message}
        changed = {"version": row.version + 1, "updated_at": now}
        db.execute(productions.update().where(productions.c.id == row.id).values(**stopped, **changed))
        db.execute(production_events.insert().values(production=row.id, at=now, what="stopped", why=message))


def files_of(request: dict[str, Any]) -> set[str]:
    """Ids of the uploads that a job's request names."""
    named = [request.get(name) for name in ("image", "last", "mask", "video", "a", "b")]
    named += [frame["picture"] for frame in request.get("keyframes") or ()]
    named += [part["video"] for part in request.get("parts") or ()]
    named += request.get("looks") or ()
    return {reference["file"] for reference in named if reference and "file" in reference}


def needed(db: Connection) -> Needed:
    """What unfinished jobs are made from."""
    rows = db.execute(select(jobs.c.sources, jobs.c.request).where(jobs.c.status.in_(UNFINISHED))).all()
    return Needed(
        videos={id for row in rows for id in row.sources}, files={id for row in rows for id in files_of(row.request)}
    )


def videos_made_from_file(db: Connection, file: str) -> list[str]:
    """Ids of the unfinished jobs that are made from an upload."""
    rows = db.execute(select(jobs.c.id, jobs.c.request).where(jobs.c.status.in_(UNFINISHED))).all()
    return [row.id for row in rows if file in files_of(row.request)]


def is_named(db: Connection, file: str) -> bool:
    """Whether the request of any job names an upload."""
    return db.execute(select(jobs.c.id).where(cast(jobs.c.request, Text).like(f'%"{file}"%')).limit(1)).first() is not None


def add_deliveries(db: Connection, now: float, job: Row[Any], event: str) -> None:
    """Add an event of a job to the outbox of each webhook of its key that subscribes to it. Takes are no events, their film is."""
    if job.kind == TAKE:
        return
    for webhook in db.execute(select(webhooks).where(webhooks.c.key_id == job.key_id)).all():
        if event in webhook.events:
            id, body = event_of(event, job.id, now)
            db.execute(
                deliveries.insert().values(id=id, webhook=webhook.id, body=body, attempts=0, next_at=now, created_at=now)
            )


def event_of(kind: str, about: str, now: float) -> tuple[str, str]:
    """The id and the JSON of a new event about an object."""
    id = f"evt_{secrets.token_hex(12)}"
    event = {"id": id, "object": "event", "type": kind, "created_at": int(now), "data": {"id": about}}
    return id, json.dumps(event, separators=(",", ":"))
