"""The job queue as clients use it: submit, list, reorder, cancel. Accepted jobs are on disk. Workers use `leases`."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Float, Integer, Row, Select, String, and_, bindparam, func, or_, select, tuple_

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import UNFINISHED, check_concurrency, fail_job, find_job, num_unfinished, outcome
from kinema.server.storage.ledger import add_to_ledger, check_quota
from kinema.server.storage.retention import AUDIT_S, REPEATED_S, RETAINED_S
from kinema.server.storage.tables import audit, facts, jobs, keys, repeats

STEPS = 1024.0
"""Distance between the places of two jobs that follow each other."""
CLOSE = 1e-3
"""Places closer than this are renumbered."""


class Repeat(NamedTuple):
    """Identifies a repeated request: hashes of its Idempotency-Key and of its content."""

    token: str
    digest: str


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
            served = self._lifted(db, key)
            db.execute(
                keys.update()
                .where(keys.c.id == key.id)
                .values(reserved=keys.c.reserved + job["pixel_seconds"], served=served)
            )
            last = db.scalar(select(func.max(jobs.c.place)).where(jobs.c.key_id == key.id, jobs.c.status == "queued"))
            row = {
                **job, "status": "queued", "created_at": now, "place": (last or 0.0) + STEPS, "expires_at": now + self.retained_s,
                "paused": False, "cancelled": False, "progress": 0.0, "stage": "waiting", "attempts": 0, "fence": 0,
                "not_before": 0.0,
            }  # fmt: skip
            db.execute(jobs.insert().values(**row))
            add_to_ledger(db, now, key.id, job["id"], "reserve", job["pixel_seconds"])
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

    def _lifted(self, db: Connection, key: Row[Any]) -> float:
        """The `served` counter of a key that submits a job: an idle key gets no credit for the time it was idle."""
        if num_unfinished(db, key.id):
            return float(key.served)
        busy = select(jobs.c.key_id).where(jobs.c.status.in_(UNFINISHED)).distinct()
        least = db.scalar(select(func.min(keys.c.served)).where(keys.c.id.in_(busy)))
        return max(float(key.served), float(least or 0.0))

    def get(self, id: str, key_id: str | None, *, deleted: bool = False) -> Row[Any]:
        """A job of this key (of any: None)."""
        with self.database.reading() as db:
            return find_job(db, id, key_id, deleted=deleted)

    def page(
        self,
        key_id: str | None,
        *,
        after: str | None = None,
        limit: int = 20,
        ascending: bool = False,
        status: str | None = None,
        search: str | None = None,
    ) -> tuple[list[Row[Any]], bool]:
        """A page of jobs by age, and whether more follow."""
        given: dict[str, Any] = {"key_id": key_id, "status": status, "after": after}
        if search:
            escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            given["words"] = f"%{escaped.lower()}%"
        names = frozenset(name for name, value in given.items() if value is not None)
        where, page = _page_queries(names, ascending)
        with self.database.reading() as db:
            if after is not None:
                then = db.execute(where, given).first()
                if then is None:
                    raise not_found("video", after)
                given |= {"then": then.created_at, "there": then.id}
            rows = db.execute(page, {**given, "most": limit + 1}).all()
        return list(rows[:limit]), len(rows) > limit

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
            busy = db.scalar(
                select(func.coalesce(func.sum(jobs.c.pixel_seconds * (1 - jobs.c.progress / 100)), 0.0)).where(
                    jobs.c.status == "in_progress"
                )
            )
        fair = sum(min(float(other[0]), float(own[1]) + float(job.pixel_seconds)) for other in others)
        return int(own[0]), float(own[1]) + fair + float(busy or 0.0)

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
            now = self.database.now(db)
            key = db.execute(select(keys).where(keys.c.id == job.key_id)).one()
            check_quota(db, now, key, job.pixel_seconds)
            check_concurrency(db, key.id, limit)
            served = self._lifted(db, key)
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

    def delete(self, id: str, key_id: str | None) -> None:
        """Mark a job as deleted and stop it; its files are deleted when it can no longer be restored."""
        with self.database.writing() as db:
            job = find_job(db, id, key_id)
            now = self.database.now(db)
            if job.status in UNFINISHED:
                db.execute(jobs.update().where(jobs.c.id == id).values(cancelled=True))
                if job.status == "queued":
                    fail_job(db, now, job, "cancelled", "deleted by its owner")
            db.execute(jobs.update().where(jobs.c.id == id).values(deleted_at=now))

    def restore(self, id: str, key_id: str | None) -> Row[Any]:
        with self.database.writing() as db:
            find_job(db, id, key_id, deleted=True)
            db.execute(jobs.update().where(jobs.c.id == id).values(deleted_at=None))
            return find_job(db, id, key_id)

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

    def delete_expired(self, *, restorable_s: float) -> list[str]:
        """Delete jobs that have expired or were deleted more than restorable_s ago, old idempotency keys and old audit lines.
        Returns the ids of the jobs, whose folders can be deleted."""
        with self.database.writing() as db:
            now = self.database.now(db)
            ended = jobs.c.status.not_in(UNFINISHED)
            old = or_(jobs.c.deleted_at < now - restorable_s, jobs.c.expires_at < now)
            db.execute(repeats.delete().where(repeats.c.at < now - REPEATED_S))
            db.execute(audit.delete().where(audit.c.at < now - self.audit_s))
            ids = list(db.execute(select(jobs.c.id).where(ended, old)).scalars().all())
            for start in range(0, len(ids), 500):
                db.execute(jobs.delete().where(jobs.c.id.in_(ids[start : start + 500])))
            return ids

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


@cache
def _page_queries(given: frozenset[str], ascending: bool) -> tuple[Select[Any], Select[Any]]:
    """The queries for the row `after` and for a page of jobs, for these parameter names. Cached: building them takes as long as
    running them."""
    where = select(jobs.c.created_at, jobs.c.id).where(jobs.c.id == bindparam("after"))
    page = select(jobs).where(jobs.c.deleted_at.is_(None))
    if "key_id" in given:
        where, page = (query.where(jobs.c.key_id == bindparam("key_id")) for query in (where, page))
    if "status" in given:
        page = page.where(jobs.c.status == bindparam("status"))
    if "words" in given:
        page = page.where(func.lower(jobs.c.prompt).like(bindparam("words"), escape="\\"))
    if "after" in given:
        key = tuple_(jobs.c.created_at, jobs.c.id)
        after_key = tuple_(bindparam("then", type_=Float()), bindparam("there", type_=String()))
        page = page.where(key > after_key if ascending else key < after_key)
    ordering = [column.asc() if ascending else column.desc() for column in (jobs.c.created_at, jobs.c.id)]
    return where, page.order_by(*ordering).limit(bindparam("most", type_=Integer()))


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
