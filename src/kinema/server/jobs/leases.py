"""The queue as workers see it: jobs are held by leases and fences.

A worker holds a job by a lease that it renews, and by a fence, a number that grows with every claim. When a worker dies or
sleeps, its lease ends and another takes the job with the next fence; what the first still does is refused, because only the
holder of the latest fence may report or publish. Whatever must be true together is written in one transaction: the end of a job,
its bill, its webhooks.

Among keys the one that was served least comes first; within a key priority, then place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import add_deliveries, fail_job
from kinema.server.storage.ledger import add_to_ledger
from kinema.server.storage.retention import RETAINED_S
from kinema.server.storage.tables import facts, jobs, keys, workers

LEASE_S = 15.0
ATTEMPTS, PATIENCE, WAIT_MOST_S = 40, 3, 30.0
"""A job whose worker died this often fails, as it may be the cause. After PATIENCE times it is rendered alone and waits longer
each time, up to WAIT_MOST_S seconds, so that it does not delay others."""
BETWEEN = 4.0
"""A job that is made in between another has at most this part of its pixel-seconds."""
WARM_S = 30.0
"""A worker may prefer the models that it holds over the order of the queue, but not over a job that has waited this long."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claimed job: its request, and the fence that identifies the claim."""

    id: str
    fence: int
    kind: str
    model: str
    request: dict[str, Any]
    pixel_seconds: float
    created_at: float
    key_id: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What is recorded about a finished job when it is published."""

    bytes: int
    frames: int
    took_s: float
    settings: dict[str, Any]
    has_state: bool
    mark: str
    size: str
    seconds: str


WITHOUT_MODEL = ("trim", "join", "record", "cut")
"""Kinds of jobs that no model is needed for."""


class Leases:
    """Claims, renews, publishes, fails and releases jobs, for workers."""

    def __init__(
        self, database: Database, *, lease_s: float = LEASE_S, retained_s: float = RETAINED_S, models: Sequence[str] = ()
    ) -> None:
        self.database, self.lease_s, self.retained_s, self.models = database, lease_s, retained_s, tuple(models)

    def _own(self) -> list[ColumnElement[bool]]:
        """The condition of jobs that this worker may make at all: of its models, or of none."""
        return [or_(jobs.c.model.in_(self.models), jobs.c.kind.in_(WITHOUT_MODEL))] if self.models else []

    def _fits(self, beside: Sequence[Claim]) -> list[ColumnElement[bool]]:
        """Conditions of jobs that this worker may make, also beside those that it has in hand."""
        return [*self._own(), *_fits_beside(beside)]

    def ready(self, beside: Sequence[Claim] = ()) -> bool:
        """Whether a claim may return a job; reads without a lock, many times a second."""
        with self.database.reading() as db:
            if db.scalar(select(facts.c.value).where(facts.c.name == "paused")):
                return False
            now = self.database.now(db)
            query = select(jobs.c.id).where(
                or_(
                    and_(jobs.c.status == "queued", jobs.c.paused.is_(False), jobs.c.not_before <= now),
                    and_(jobs.c.status == "in_progress", jobs.c.lease_until < now),
                )
            )
            return db.execute(query.where(*self._fits(beside)).limit(1)).first() is not None

    def heartbeat(self, worker: str, warm: Sequence[str] = ()) -> None:
        """Record that an idle worker is alive."""
        with self.database.writing() as db:
            _heartbeat(db, worker, warm, self.database.now(db))

    def claim(self, worker: str, warm: Sequence[str] = (), *, most: int = 1, beside: Sequence[Claim] = ()) -> list[Claim]:
        """The next job, and up to `most` in all that can be run together with it; each begun again with a new fence. beside: jobs
        that the worker has in hand and makes others in between; those are of other keys and much smaller, and each key's order is
        kept."""
        with self.database.writing() as db:
            now = self.database.now(db)
            _heartbeat(db, worker, warm, now)
            self._reap(db, now)
            if db.scalar(select(facts.c.value).where(facts.c.name == "paused")):
                return []
            ready = and_(jobs.c.status == "queued", jobs.c.paused.is_(False), jobs.c.not_before <= now)
            waiting = select(jobs.c.key_id).where(ready, *self._fits(beside)).distinct()
            turns = (
                db.execute(select(keys.c.id).where(keys.c.id.in_(waiting)).order_by(keys.c.served, keys.c.id))
                .scalars()
                .all()
            )
            if not turns:
                return []
            ordering = (jobs.c.priority.desc(), jobs.c.place.asc(), jobs.c.id.asc())
            heads = (
                db.execute(
                    select(jobs).where(ready, *self._own(), jobs.c.key_id == key).order_by(*ordering).limit(1)
                ).first()
                for key in turns
            )
            first = next((job for job in heads if job is not None and _is_small(job, beside)), None)
            if first is None:
                return []
            if first.model not in warm and now - first.created_at < WARM_S:
                better = and_(
                    ready, *self._fits(beside), jobs.c.key_id == first.key_id, jobs.c.model.in_(list(warm)),
                    jobs.c.priority == first.priority,
                )  # fmt: skip
                first = db.execute(select(jobs).where(better).order_by(*ordering).limit(1)).first() or first
            claimed = [first]
            if most > 1 and first.shape is not None:
                fair = select(jobs).join(keys, keys.c.id == jobs.c.key_id)
                same = and_(ready, *self._fits(beside), jobs.c.shape == first.shape, jobs.c.id != first.id)
                claimed += db.execute(fair.where(same).order_by(keys.c.served, *ordering).limit(most - 1)).all()
            return [self._begin(db, job, worker, now) for job in claimed]

    def _begin(self, db: Connection, job: Row[Any], worker: str, now: float) -> Claim:
        db.execute(
            jobs.update()
            .where(jobs.c.id == job.id)
            .values(
                status="in_progress",
                worker=worker,
                fence=job.fence + 1,
                lease_until=now + self.lease_s,
                stage="starting",
                attempts=job.attempts + 1,
                started_at=job.started_at or now,
            )
        )
        db.execute(keys.update().where(keys.c.id == job.key_id).values(served=keys.c.served + job.pixel_seconds))
        return Claim(
            id=job.id, fence=job.fence + 1, kind=job.kind, model=job.model, request=job.request, pixel_seconds=job.pixel_seconds,
            created_at=job.created_at, key_id=job.key_id,
        )  # fmt: skip

    def _reap(self, db: Connection, now: float) -> None:
        """Requeue jobs whose lease has ended; fail those that were cancelled or lost too often."""
        for job in db.execute(select(jobs).where(jobs.c.status == "in_progress", jobs.c.lease_until < now)).all():
            if job.cancelled:
                fail_job(db, now, job, "cancelled", "cancelled by its owner")
            elif job.attempts >= ATTEMPTS:
                lost = f"its worker was lost {job.attempts} times while it was being made"
                fail_job(db, now, job, "worker_lost", lost)
            else:
                late = max(job.attempts - PATIENCE + 1, 0)
                values: dict[str, Any] = {"shape": None} if late else {}
                db.execute(
                    jobs.update()
                    .where(jobs.c.id == job.id)
                    .values(
                        status="queued",
                        worker=None,
                        lease_until=None,
                        stage="waiting",
                        progress=0.0,
                        not_before=now + min(late, WAIT_MOST_S) if late else 0.0,
                        **values,
                    )
                )

    def beat(
        self, claims: Iterable[Claim], progress: dict[str, tuple[float, str]], worker: str | None = None
    ) -> dict[str, str]:
        """Renew leases and report progress; returns for each job that must be let go why: 'lost', 'cancelled', 'paused'."""
        stop: dict[str, str] = {}
        with self.database.writing() as db:
            now = self.database.now(db)
            if worker is not None:
                db.execute(workers.update().where(workers.c.id == worker).values(seen_at=now))
            for claim in claims:
                done, stage = progress.get(claim.id, (0.0, "starting"))
                mine = _held(claim)
                updated = db.execute(
                    jobs.update().where(mine).values(lease_until=now + self.lease_s, progress=done, stage=stage)
                )
                if updated.rowcount == 0:
                    stop[claim.id] = "lost"
                    continue
                job = db.execute(select(jobs.c.cancelled, jobs.c.paused).where(mine)).one()
                if job.cancelled:
                    stop[claim.id] = "cancelled"
                elif job.paused:
                    stop[claim.id] = "paused"
        return stop

    def publish(
        self, claim: Claim, artifact: str, done: Finished, then: Callable[[Connection, float], None] = lambda db, now: None
    ) -> bool:
        """Complete a job with its artifact. then: called at the end of the transaction, with its connection and time. False if this
        worker has lost it or it was cancelled."""
        with self.database.writing() as db:
            job = db.execute(select(jobs).where(_held(claim))).first()
            if job is None:
                return False
            now = self.database.now(db)
            if job.cancelled:
                fail_job(db, now, job, "cancelled", "cancelled by its owner")
                return False
            db.execute(
                jobs.update()
                .where(jobs.c.id == claim.id)
                .values(
                    status="completed",
                    completed_at=now,
                    expires_at=now + self.retained_s,
                    progress=100.0,
                    stage="completed",
                    artifact=artifact,
                    bytes=done.bytes,
                    frames=done.frames,
                    took_s=done.took_s,
                    settings=done.settings,
                    has_state=done.has_state,
                    mark=done.mark,
                    size=done.size,
                    seconds=done.seconds,
                    worker=None,
                    lease_until=None,
                )
            )
            cost = keys.c.used + job.pixel_seconds
            db.execute(
                keys.update().where(keys.c.id == job.key_id).values(used=cost, reserved=keys.c.reserved - job.pixel_seconds)
            )
            add_to_ledger(db, now, job.key_id, job.id, "settle", job.pixel_seconds)
            add_deliveries(db, now, job, "video.completed")
            then(db, now)
            return True

    def fail(self, claim: Claim, code: str, message: str) -> bool:
        """Fail a job and refund what was reserved for it."""
        with self.database.writing() as db:
            job = db.execute(select(jobs).where(_held(claim))).first()
            if job is not None:
                fail_job(db, self.database.now(db), job, code, message)
            return job is not None

    def release(self, claim: Claim, *, wait_s: float = 0.0, stage: str = "waiting", alone: bool = False) -> bool:
        """Return a job to the queue at its old place, and its key its turn. alone: it will be rendered alone. A job that was
        cancelled meanwhile fails. Returns whether the job is queued."""
        with self.database.writing() as db:
            now = self.database.now(db)
            job = db.execute(select(jobs).where(_held(claim))).first()
            if job is not None and job.cancelled:
                fail_job(db, now, job, "cancelled", "cancelled by its owner")
            if job is None or job.cancelled:
                return False
            values: dict[str, Any] = {
                "status": "queued",
                "worker": None,
                "lease_until": None,
                "stage": stage,
                "progress": 0.0,
            }
            values |= {"not_before": now + wait_s if wait_s else 0.0, "attempts": max(job.attempts - 1, 0)}
            if alone:
                values["shape"] = None
            db.execute(jobs.update().where(jobs.c.id == claim.id).values(**values))
            db.execute(keys.update().where(keys.c.id == job.key_id).values(served=keys.c.served - job.pixel_seconds))
            return True


def _most_beside(beside: Sequence[Claim]) -> float:
    """Pixel-seconds of a job that may be made in between others."""
    return min((claim.pixel_seconds for claim in beside), default=math.inf) / BETWEEN


def _is_small(job: Row[Any], beside: Sequence[Claim]) -> bool:
    return bool(job.pixel_seconds <= _most_beside(beside))


def _fits_beside(beside: Sequence[Claim]) -> list[ColumnElement[bool]]:
    """Conditions of jobs that may be made in between others: of other keys, and small."""
    if not beside:
        return []
    return [
        jobs.c.key_id.not_in({claim.key_id for claim in beside}),
        jobs.c.pixel_seconds <= _most_beside(beside),
    ]


def _held(claim: Claim) -> Any:
    return and_(jobs.c.id == claim.id, jobs.c.fence == claim.fence, jobs.c.status == "in_progress")


def _heartbeat(db: Connection, worker: str, warm: Sequence[str], now: float) -> None:
    if db.execute(workers.update().where(workers.c.id == worker).values(seen_at=now, warm=list(warm))).rowcount == 0:
        db.execute(workers.insert().values(id=worker, seen_at=now, warm=list(warm)))
        db.execute(workers.delete().where(workers.c.seen_at < now - 86400))
