"""The job queue as clients use it: submit, list, reorder, cancel. Accepted jobs are on disk. Workers use `leases`."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Text, and_, cast, func, or_, select

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.jobs.leases import BETWEEN
from kinema.server.jobs.listing import Filters, page_of
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import (
    CUT,
    STEPS,
    TAKE,
    UNFINISHED,
    check_concurrency,
    fail_job,
    files_of,
    find_job,
    insert_job,
    is_named,
    lifted,
    needed,
    outcome,
)
from kinema.server.storage.ledger import add_to_ledger, check_quota
from kinema.server.storage.retention import AUDIT_S, REPEATED_S, RETAINED_S
from kinema.server.storage.tables import AT_ONCE, BROUGHT, audit, facts, files, jobs, keys, productions, repeats, takes

CLOSE = 1e-3
"""Places closer than this are renumbered."""


class Repeat(NamedTuple):
    """Identifies a repeated request: hashes of its Idempotency-Key and of its content."""

    token: str
    digest: str


class Removed(NamedTuple):
    """Ids of videos and uploads whose rows are deleted; their bytes can be."""

    videos: list[str]
    files: list[str]


class Queue:
    """Jobs in a database."""

    def __init__(self, database: Database, *, retained_s: float = RETAINED_S, audit_s: float = AUDIT_S) -> None:
        self.database, self.retained_s, self.audit_s = database, retained_s, audit_s

    def submit(self, job: dict[str, Any], *, limit: int | None = None, repeat: Repeat | None = None) -> Row[Any]:
        """Accept a job and reserve its cost; the job is on disk when this returns. A repeated request returns the job of the first
        one."""
        with self.database.writing() as db:
            now = self.database.now(db)
            if repeat is not None:
                first = _repeated(db, job["key_id"], repeat)
                if first is not None:
                    return first
                db.execute(repeats.insert().values(key_id=job["key_id"], **repeat._asdict(), job=job["id"], at=now))
            key = db.execute(select(keys).where(keys.c.id == job["key_id"])).one()
            check_quota(db, now, key, job["pixel_seconds"])
            check_concurrency(db, key.id, limit)
            served = lifted(db, key)
            db.execute(keys.update().where(keys.c.id == key.id).values(served=served))
            insert_job(db, now, job, self.retained_s)
            return db.execute(select(jobs).where(jobs.c.id == job["id"])).one()

    def repeated(self, key_id: str, repeat: Repeat) -> Row[Any] | None:
        """The job of an earlier identical request, if any."""
        with self.database.reading() as db:
            return _repeated(db, key_id, repeat)

    def check(self, key_id: str, pixel_seconds: float, limit: int | None) -> None:
        """Raise 429 for a job that `submit` would refuse, before its uploads are processed."""
        with self.database.reading() as db:
            key = db.execute(select(keys).where(keys.c.id == key_id)).one()
            check_quota(db, self.database.now(db), key, pixel_seconds)
            check_concurrency(db, key_id, limit)

    def get(self, id: str, key_id: str | None, *, deleted: bool = False) -> Row[Any]:
        """A job of this key (of any: None)."""
        with self.database.reading() as db:
            return find_job(db, id, key_id, deleted=deleted)

    def page(self, key_id: str | None, **wanted: Any) -> tuple[list[Row[Any]], bool]:
        """A page of the jobs of a key (of all: None), and whether more follow. wanted: fields of `Filters`."""
        return page_of(self.database, key_id, Filters(**wanted))

    def waiting(self, key_id: str | None, most: int = 200) -> list[Row[Any]]:
        """Jobs in progress, then queued jobs, in the order in which they will be rendered."""
        query = select(jobs).where(jobs.c.status.in_(UNFINISHED), jobs.c.deleted_at.is_(None))
        if key_id is not None:
            query = query.where(jobs.c.key_id == key_id)
        ordering = (jobs.c.status.asc(), jobs.c.paused.asc(), jobs.c.priority.desc(), jobs.c.place.asc())
        with self.database.reading() as db:
            return list(db.execute(query.order_by(*ordering).limit(most)).all())

    def ahead(self, job: Row[Any]) -> tuple[int, float]:
        """How many jobs of its own key come before a waiting one, and the pixel-seconds of all that is before it, other keys'
        included as far as they may take turns."""
        before = or_(jobs.c.priority > job.priority, and_(jobs.c.priority == job.priority, jobs.c.place < job.place))
        waits = and_(jobs.c.status == "queued", jobs.c.paused.is_(False))
        with self.database.reading() as db:
            own = db.execute(
                select(func.count(), func.coalesce(func.sum(jobs.c.pixel_seconds), 0.0)).where(
                    waits, jobs.c.key_id == job.key_id, before
                )
            ).one()
            others = db.execute(
                select(func.sum(jobs.c.pixel_seconds)).where(waits, jobs.c.key_id != job.key_id).group_by(jobs.c.key_id)
            ).all()
            left = jobs.c.pixel_seconds * (1 - jobs.c.progress / 100)
            busy = db.execute(
                select(jobs.c.key_id, jobs.c.pixel_seconds, left.label("left")).where(jobs.c.status == "in_progress")
            ).all()
        mine = float(own[1]) + float(job.pixel_seconds)
        lends = [row.key_id != job.key_id and job.pixel_seconds <= row.pixel_seconds / BETWEEN for row in busy]
        begun = sum(min(row.left, mine) if turns else row.left for row, turns in zip(busy, lends, strict=True))
        fair = sum(min(float(other[0]), mine) for other in others)
        return int(own[0]), float(own[1]) + fair + float(begun)

    def cancel(self, id: str, key_id: str | None) -> Row[Any]:
        """Cancel a job: at once if it is queued, within a step if it is in progress. One that has ended is not changed."""
        with self.database.writing() as db:
            job = find_job(db, id, key_id)
            if job.status in UNFINISHED:
                db.execute(jobs.update().where(jobs.c.id == id).values(cancelled=True))
                if job.status == "queued":
                    fail_job(db, self.database.now(db), job, "cancelled", "cancelled by its owner")
            return find_job(db, id, key_id)

    def pause(self, id: str, key_id: str | None, paused: bool) -> Row[Any]:
        """Pause or resume a job. A paused job keeps its place; one in progress returns to the queue within a step."""
        with self.database.writing() as db:
            job = find_job(db, id, key_id)
            if job.status not in UNFINISHED:
                raise ApiError(409, f"{id} has {outcome(job)}; only what waits or is being made can be paused", code="ended")
            db.execute(jobs.update().where(jobs.c.id == id).values(paused=paused))
            return find_job(db, id, key_id)

    def move(self, id: str, key_id: str | None, before: str | None) -> Row[Any]:
        """Put a waiting job before another one of the same key, or (None) at the end."""
        with self.database.writing() as db:
            job = find_job(db, id, key_id)
            if job.status != "queued":
                raise ApiError(409, f"{id} is not waiting any more; only what waits can be moved", code="not_queued")
            queue = [jobs.c.key_id == job.key_id, jobs.c.status == "queued", jobs.c.id != id]
            if before is None:
                last = db.scalar(select(func.max(jobs.c.place)).where(*queue))
                place, priority = (last or 0.0) + STEPS, job.priority
            else:
                other = find_job(db, before, key_id)
                if other.key_id != job.key_id or other.status != "queued":
                    raise ApiError(409, f"{before} is not waiting in the same queue", param="before", code="not_queued")
                queue.append(jobs.c.priority == other.priority)
                last = db.scalar(select(func.max(jobs.c.place)).where(*queue, jobs.c.place < other.place))
                if last is not None and other.place - last < CLOSE:
                    _spread(db, job.key_id)
                    other = find_job(db, before, key_id)
                    last = other.place - STEPS
                place, priority = ((other.place - 2 * STEPS if last is None else last) + other.place) / 2, other.priority
            db.execute(jobs.update().where(jobs.c.id == id).values(place=place, priority=priority))
            return find_job(db, id, key_id)

    def retry(self, id: str, key_id: str | None, *, limit: int | None = None) -> Row[Any]:
        """Queue a failed job again and reserve its cost again."""
        with self.database.writing() as db:
            job = find_job(db, id, key_id)
            if job.status != "failed":
                raise ApiError(409, f"{id} has not failed; only a failed video can be tried again", code="not_failed")
            if job.kind in (TAKE, CUT):
                raise ApiError(409, f"{id} was made for a production: resume that instead", code="in_production")
            now = self.database.now(db)
            key = db.execute(select(keys).where(keys.c.id == job.key_id)).one()
            check_quota(db, now, key, job.pixel_seconds)
            check_concurrency(db, key.id, limit)
            served = lifted(db, key)
            again: dict[str, Any] = {
                "status": "queued", "cancelled": False, "paused": False, "progress": 0.0, "stage": "waiting", "attempts": 0,
                "not_before": 0.0, "error_code": None, "error_message": None, "started_at": None, "completed_at": None,
                "expires_at": now + self.retained_s,
            }  # fmt: skip
            db.execute(jobs.update().where(jobs.c.id == id).values(**again))
            reserved = keys.c.reserved + job.pixel_seconds
            db.execute(keys.update().where(keys.c.id == key.id).values(reserved=reserved, served=served))
            add_to_ledger(db, now, key.id, id, "reserve", job.pixel_seconds)
            return find_job(db, id, key_id)

    def delete(self, id: str, key_id: str | None, *, restorable: bool = True) -> None:
        """Mark a job as deleted and stop it. restorable: its files stay until it can no longer be restored (`delete_expired`); else
        it goes with the next `delete_removed`, even if it was deleted before."""
        with self.database.writing() as db:
            job = find_job(db, id, key_id, deleted=not restorable)
            if job.kind == TAKE and db.execute(select(takes.c.job).where(takes.c.job == id)).first():
                raise ApiError(409, f"{id} is a take of a production: delete that instead", code="in_production")
            now = self.database.now(db)
            if job.status in UNFINISHED:
                db.execute(jobs.update().where(jobs.c.id == id).values(cancelled=True))
                if job.status == "queued":
                    fail_job(db, now, job, "cancelled", "deleted by its owner")
            db.execute(jobs.update().where(jobs.c.id == id).values(deleted_at=now if restorable else AT_ONCE))

    def restore(self, id: str, key_id: str | None) -> Row[Any]:
        with self.database.writing() as db:
            if find_job(db, id, key_id, deleted=True).deleted_at == AT_ONCE:
                raise not_found("video", id)
            db.execute(jobs.update().where(jobs.c.id == id).values(deleted_at=None))
            return find_job(db, id, key_id)

    def made_from(self, id: str) -> list[Row[Any]]:
        """The videos that are made, or are to be made, from a video, oldest first."""
        names = cast(jobs.c.sources, Text).like(f'%"{id}"%')
        with self.database.reading() as db:
            return list(db.execute(select(jobs).where(names).order_by(jobs.c.created_at, jobs.c.id)).all())

    def counts(self) -> dict[str, int]:
        with self.database.reading() as db:
            rows = db.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all()
        return {status: int(count) for status, count in rows}

    # The whole queue

    def hold(self, held: bool) -> None:
        """Pause (True) or resume (False) the whole queue; jobs in progress go on."""
        with self.database.writing() as db:
            db.execute(facts.delete().where(facts.c.name == "paused"))
            db.execute(facts.insert().values(name="paused", value=held))

    def is_held(self) -> bool:
        with self.database.reading() as db:
            return bool(db.scalar(select(facts.c.value).where(facts.c.name == "paused")))

    def delete_expired(self, *, restorable_s: float) -> Removed:
        """Delete jobs that have expired or were deleted more than restorable_s ago, old idempotency keys and old audit lines."""
        with self.database.writing() as db:
            now = self.database.now(db)
            db.execute(repeats.delete().where(repeats.c.at < now - REPEATED_S))
            db.execute(audit.delete().where(audit.c.at < now - self.audit_s))
            return _remove(db, or_(jobs.c.deleted_at < now - restorable_s, jobs.c.expires_at < now))

    def delete_removed(self) -> Removed:
        """Delete the jobs that cannot be restored."""
        removed = jobs.c.deleted_at == AT_ONCE
        with self.database.reading() as db:
            if db.execute(select(jobs.c.id).where(removed, jobs.c.status.not_in(UNFINISHED)).limit(1)).first() is None:
                return Removed([], [])
        with self.database.writing() as db:
            return _remove(db, removed)

    def artifacts(self) -> dict[str, tuple[str | None, str, int]]:
        """(artifact, status, fence) of each job by id, for `ArtifactStore.sweep`."""
        with self.database.reading() as db:
            rows = db.execute(select(jobs.c.id, jobs.c.artifact, jobs.c.status, jobs.c.fence)).all()
        return {row.id: (row.artifact, row.status, row.fence) for row in rows}

    def note(self, key_id: str | None, action: str, target: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """Write a line of the audit log."""
        with self.database.writing() as db:
            db.execute(
                audit.insert().values(at=self.database.now(db), key_id=key_id, action=action, target=target, detail=detail)
            )


def _remove(db: Connection, which: ColumnElement[bool]) -> Removed:
    """Delete the rows of ended jobs that no unfinished job needs, and of the files that came with them and that no other names."""
    ended = db.execute(select(jobs.c.id, jobs.c.request).where(jobs.c.status.not_in(UNFINISHED), which)).all()
    in_use = needed(db).videos if ended else set()
    unused = [job for job in ended if job.id not in in_use]
    ids = [job.id for job in unused]
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        db.execute(jobs.delete().where(jobs.c.id.in_(part)))
        db.execute(repeats.delete().where(repeats.c.job.in_(part)))
        db.execute(productions.update().where(productions.c.film.in_(part)).values(film=None, film_edit=None))
    brought = {id for job in unused for id in files_of(job.request)}
    lost = [id for id in sorted(brought) if _is_left_behind(db, id)]
    for id in lost:
        db.execute(files.delete().where(files.c.id == id))
    return Removed(ids, lost)


def _is_left_behind(db: Connection, file: str) -> bool:
    """Whether a file came with a request and is named by no job any more."""
    return db.scalar(select(files.c.purpose).where(files.c.id == file)) == BROUGHT and not is_named(db, file)


def _repeated(db: Connection, key_id: str, repeat: Repeat) -> Row[Any] | None:
    row = db.execute(select(repeats).where(repeats.c.key_id == key_id, repeats.c.token == repeat.token)).first()
    if row is None:
        return None
    if row.digest != repeat.digest:
        raise ApiError(
            409, "this Idempotency-Key was sent with another request; a new request takes a new one", code="idempotency_conflict"
        )  # fmt: skip
    return find_job(db, row.job, key_id, deleted=True)


def _spread(db: Connection, key_id: str) -> None:
    """Renumber the places of a key's queued jobs, in their order."""
    waits = select(jobs.c.id).where(jobs.c.key_id == key_id, jobs.c.status == "queued")
    for number, id in enumerate(db.execute(waits.order_by(jobs.c.place, jobs.c.id)).scalars().all()):
        db.execute(jobs.update().where(jobs.c.id == id).values(place=(number + 1) * STEPS))
