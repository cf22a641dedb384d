"""The queue: accepted jobs are never lost, each is published at most once, and keys share the workers fairly.

A worker holds a job by a lease that it renews, and by a fence, a number that grows with every claim. When a worker dies or
sleeps, its lease ends and another takes the job with the next fence; what the first still does is refused, because only the
holder of the latest fence may report or publish. Whatever must be true together is written in one transaction: the end of a job,
its bill, its webhooks.

Among keys the one that was served least comes first; within a key priority, then place.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, tuple_

from kinema.errors import ApiError
from kinema.serve.errors import not_found
from kinema.serve.tables import Database, audit, deliveries, facts, jobs, keys, ledger, speeds, webhooks, workers

LEASE_S = 15.0
ATTEMPTS, PATIENCE, WAIT_MOST_S = 40, 3, 30.0
"""A job that was lost with its worker this often is given up: it may be what ends them. From the third time on it is made alone,
and waits longer each time, so that others are not held up by it."""
WARM_S = 30.0
"""A worker may prefer the models that it holds over the order of the queue, but not over a job that has waited this long."""
RETAINED_S = 30 * 86400.0
"""How long videos are kept, if the operator does not say."""
LATELY_S = 1.0
"""Speeds and the number of workers are looked up this often."""
LIVE = ("queued", "in_progress")
STEPS = 1024.0
"""Distance between the places of two jobs that follow each other."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job in hand: what to do, and the fence that proves whose it is."""

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
    """What a worker has to say of a film that lies ready to be published."""

    bytes: int
    frames: int
    took_s: float
    settings: dict[str, Any]
    has_state: bool
    mark: str
    size: str
    seconds: str


class Queue:
    """Jobs in a database."""

    def __init__(self, database: Database, *, lease_s: float = LEASE_S, retained_s: float = RETAINED_S) -> None:
        self.database, self.lease_s, self.retained_s = database, lease_s, retained_s
        self._known: dict[tuple[str, str], tuple[float, float | None]] = {}
        self._hands = (0.0, 0)

    # For those who ask

    def submit(self, job: dict[str, Any], *, limit: int | None = None) -> Row[Any]:
        """Accept a job; what it costs is reserved at once. When this returns, the job is on disk."""
        with self.database.writing() as db:
            now = self.database.now(db)
            key = db.execute(select(keys).where(keys.c.id == job["key_id"])).one()
            _check_quota(key, job["pixel_seconds"])
            _check_room(db, key.id, limit)
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
            _bill(db, now, key.id, job["id"], "reserve", job["pixel_seconds"])
            return db.execute(select(jobs).where(jobs.c.id == job["id"])).one()

    def check_quota(self, key_id: str, pixel_seconds: float) -> None:
        """429 for what would be refused anyway, before any work is done for it."""
        with self.database.reading() as db:
            _check_quota(db.execute(select(keys).where(keys.c.id == key_id)).one(), pixel_seconds)

    def _lifted(self, db: Connection, key: Row[Any]) -> float:
        """A key that had nothing to do does not come back with a claim on all the time it was away."""
        if _live(db, key.id):
            return float(key.served)
        busy = select(jobs.c.key_id).where(jobs.c.status.in_(LIVE)).distinct()
        least = db.scalar(select(func.min(keys.c.served)).where(keys.c.id.in_(busy)))
        return max(float(key.served), float(least or 0.0))

    def get(self, id: str, key_id: str | None, *, deleted: bool = False) -> Row[Any]:
        """A job of this key (of any: None)."""
        with self.database.reading() as db:
            return _own(db, id, key_id, deleted=deleted)

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
        query = select(jobs).where(jobs.c.deleted_at.is_(None))
        if key_id is not None:
            query = query.where(jobs.c.key_id == key_id)
        if status is not None:
            query = query.where(jobs.c.status == status)
        if search:
            escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            query = query.where(func.lower(jobs.c.prompt).like(f"%{escaped.lower()}%", escape="\\"))
        with self.database.reading() as db:
            if after is not None:
                then = _own(db, after, key_id, deleted=True)
                here, there = tuple_(jobs.c.created_at, jobs.c.id), tuple_(then.created_at, then.id)
                query = query.where(here > there if ascending else here < there)
            order = (jobs.c.created_at.asc(), jobs.c.id.asc()) if ascending else (jobs.c.created_at.desc(), jobs.c.id.desc())
            found = db.execute(query.order_by(*order).limit(limit + 1)).all()
        return list(found[:limit]), len(found) > limit

    def waiting(self, key_id: str | None, most: int = 200) -> list[Row[Any]]:
        """What is being made, then what waits, in the order in which it will be made."""
        query = select(jobs).where(jobs.c.status.in_(LIVE), jobs.c.deleted_at.is_(None))
        if key_id is not None:
            query = query.where(jobs.c.key_id == key_id)
        order = (jobs.c.status.asc(), jobs.c.paused.asc(), jobs.c.priority.desc(), jobs.c.place.asc())
        with self.database.reading() as db:
            return list(db.execute(query.order_by(*order).limit(most)).all())

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
        """Stop a job: at once while it waits, within a step while it is made. One that has ended stays as it is."""
        with self.database.writing() as db:
            job = _own(db, id, key_id)
            if job.status in LIVE:
                db.execute(jobs.update().where(jobs.c.id == id).values(cancelled=True))
                if job.status == "queued":
                    self._end(db, job, "cancelled", "cancelled by its owner", refund=True)
            return _own(db, id, key_id)

    def pause(self, id: str, key_id: str | None, paused: bool) -> Row[Any]:
        """A paused job keeps its place and is not begun; one that is being made goes back to the queue within a step."""
        with self.database.writing() as db:
            job = _own(db, id, key_id)
            if job.status not in LIVE:
                raise ApiError(409, f"{id} has {_ended(job)}; only what waits or is being made can be paused", code="ended")
            db.execute(jobs.update().where(jobs.c.id == id).values(paused=paused))
            return _own(db, id, key_id)

    def move(self, id: str, key_id: str | None, before: str | None) -> Row[Any]:
        """Put a waiting job before another one of the same key, or (None) at the end."""
        with self.database.writing() as db:
            job = _own(db, id, key_id)
            if job.status != "queued":
                raise ApiError(409, f"{id} is not waiting any more; only what waits can be moved", code="not_queued")
            queue = [jobs.c.key_id == job.key_id, jobs.c.status == "queued", jobs.c.id != id]
            if before is None:
                last = db.scalar(select(func.max(jobs.c.place)).where(*queue))
                place, priority = (last or 0.0) + STEPS, job.priority
            else:
                other = _own(db, before, key_id)
                if other.key_id != job.key_id or other.status != "queued":
                    raise ApiError(409, f"{before} is not waiting in the same queue", param="before", code="not_queued")
                queue.append(jobs.c.priority == other.priority)
                last = db.scalar(select(func.max(jobs.c.place)).where(*queue, jobs.c.place < other.place))
                place, priority = ((other.place - 2 * STEPS if last is None else last) + other.place) / 2, other.priority
            db.execute(jobs.update().where(jobs.c.id == id).values(place=place, priority=priority))
            return _own(db, id, key_id)

    def retry(self, id: str, key_id: str | None, *, limit: int | None = None) -> Row[Any]:
        """Make a failed job again; its cost is reserved anew."""
        with self.database.writing() as db:
            job = _own(db, id, key_id)
            if job.status != "failed":
                raise ApiError(409, f"{id} has not failed; only a failed video can be tried again", code="not_failed")
            now = self.database.now(db)
            key = db.execute(select(keys).where(keys.c.id == job.key_id)).one()
            _check_quota(key, job.pixel_seconds)
            _check_room(db, key.id, limit)
            served = self._lifted(db, key)
            again: dict[str, Any] = {
                "status": "queued", "cancelled": False, "paused": False, "progress": 0.0, "stage": "waiting", "attempts": 0,
                "not_before": 0.0, "error_code": None, "error_message": None, "started_at": None, "completed_at": None,
                "expires_at": now + self.retained_s,
            }  # fmt: skip
            db.execute(jobs.update().where(jobs.c.id == id).values(**again))
            reserved = keys.c.reserved + job.pixel_seconds
            db.execute(keys.update().where(keys.c.id == key.id).values(reserved=reserved, served=served))
            _bill(db, now, key.id, id, "reserve", job.pixel_seconds)
            return _own(db, id, key_id)

    def delete(self, id: str, key_id: str | None) -> None:
        """Out of sight now, and out of the store when its time to be restored has passed; what is being made is stopped."""
        with self.database.writing() as db:
            job = _own(db, id, key_id)
            now = self.database.now(db)
            if job.status in LIVE:
                db.execute(jobs.update().where(jobs.c.id == id).values(cancelled=True))
                if job.status == "queued":
                    self._end(db, job, "cancelled", "deleted by its owner", refund=True)
            db.execute(jobs.update().where(jobs.c.id == id).values(deleted_at=now))

    def restore(self, id: str, key_id: str | None) -> Row[Any]:
        with self.database.writing() as db:
            _own(db, id, key_id, deleted=True)
            db.execute(jobs.update().where(jobs.c.id == id).values(deleted_at=None))
            return _own(db, id, key_id)

    # For workers

    def ready(self) -> bool:
        """Whether a claim may find something; read without a lock, many times a second."""
        with self.database.reading() as db:
            if db.scalar(select(facts.c.value).where(facts.c.name == "paused")):
                return False
            now = self.database.now(db)
            found = select(jobs.c.id).where(
                or_(
                    and_(jobs.c.status == "queued", jobs.c.paused.is_(False), jobs.c.not_before <= now),
                    and_(jobs.c.status == "in_progress", jobs.c.lease_until < now),
                )
            )
            return db.execute(found.limit(1)).first() is not None

    def seen(self, worker: str, warm: Sequence[str] = ()) -> None:
        """A worker is there, though it has nothing to do."""
        with self.database.writing() as db:
            _seen(db, worker, warm, self.database.now(db))

    def claim(self, worker: str, warm: Sequence[str] = (), *, most: int = 1) -> list[Claim]:
        """The next job, and up to `most` in all that can be run together with it; each begun again with a new fence."""
        with self.database.writing() as db:
            now = self.database.now(db)
            _seen(db, worker, warm, now)
            self._reap(db, now)
            if db.scalar(select(facts.c.value).where(facts.c.name == "paused")):
                return []
            ready = and_(jobs.c.status == "queued", jobs.c.paused.is_(False), jobs.c.not_before <= now)
            waiting = select(jobs.c.key_id).where(ready).distinct()
            turns = (
                db.execute(select(keys.c.id).where(keys.c.id.in_(waiting)).order_by(keys.c.served, keys.c.id))
                .scalars()
                .all()
            )
            if not turns:
                return []
            order = (jobs.c.priority.desc(), jobs.c.place.asc(), jobs.c.id.asc())
            head = db.execute(select(jobs).where(ready, jobs.c.key_id == turns[0]).order_by(*order).limit(1)).first()
            if head is None:
                return []
            if head.model not in warm and now - head.created_at < WARM_S:
                better = and_(
                    ready, jobs.c.key_id == turns[0], jobs.c.model.in_(list(warm)), jobs.c.priority == head.priority
                )
                head = db.execute(select(jobs).where(better).order_by(*order).limit(1)).first() or head
            taken = [head]
            if most > 1 and head.shape is not None:
                fair = select(jobs).join(keys, keys.c.id == jobs.c.key_id)
                same = and_(ready, jobs.c.shape == head.shape, jobs.c.id != head.id)
                taken += db.execute(fair.where(same).order_by(keys.c.served, *order).limit(most - 1)).all()
            return [self._begin(db, job, worker, now) for job in taken]

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
        """Take what lost its worker back into the queue; end what was cancelled meanwhile, or was lost too often."""
        for job in db.execute(select(jobs).where(jobs.c.status == "in_progress", jobs.c.lease_until < now)).all():
            if job.cancelled:
                self._end(db, job, "cancelled", "cancelled by its owner", refund=True)
            elif job.attempts >= ATTEMPTS:
                lost = f"its worker was lost {job.attempts} times while it was being made"
                self._end(db, job, "worker_lost", lost, refund=True)
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
                held = _held(claim)
                updated = db.execute(
                    jobs.update().where(held).values(lease_until=now + self.lease_s, progress=done, stage=stage)
                )
                if updated.rowcount == 0:
                    stop[claim.id] = "lost"
                    continue
                job = db.execute(select(jobs.c.cancelled, jobs.c.paused).where(held)).one()
                if job.cancelled:
                    stop[claim.id] = "cancelled"
                elif job.paused:
                    stop[claim.id] = "paused"
        return stop

    def publish(self, claim: Claim, artifact: str, done: Finished) -> bool:
        """End a job with its film. False if it is no longer this worker's, or was cancelled: then nothing has changed."""
        with self.database.writing() as db:
            job = db.execute(select(jobs).where(_held(claim))).first()
            if job is None:
                return False
            if job.cancelled:
                self._end(db, job, "cancelled", "cancelled by its owner", refund=True)
                return False
            now = self.database.now(db)
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
            _bill(db, now, job.key_id, job.id, "settle", job.pixel_seconds)
            self._announce(db, job, "video.completed", now)
            return True

    def fail(self, claim: Claim, code: str, message: str) -> bool:
        """End a job without a film; what was reserved is given back."""
        with self.database.writing() as db:
            job = db.execute(select(jobs).where(_held(claim))).first()
            if job is not None:
                self._end(db, job, code, message, refund=True)
            return job is not None

    def release(self, claim: Claim, *, wait_s: float = 0.0, stage: str = "waiting", alone: bool = False) -> bool:
        """Back to the queue, at its old place, as if it had not been begun; `alone` keeps it from being made with others. One that
        was cancelled meanwhile ends."""
        with self.database.writing() as db:
            now = self.database.now(db)
            job = db.execute(select(jobs).where(_held(claim))).first()
            if job is not None and job.cancelled:
                self._end(db, job, "cancelled", "cancelled by its owner", refund=True)
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
            return True

    def _end(self, db: Connection, job: Row[Any], code: str, message: str, *, refund: bool) -> None:
        now = self.database.now(db)
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
        if refund:
            db.execute(keys.update().where(keys.c.id == job.key_id).values(reserved=keys.c.reserved - job.pixel_seconds))
            _bill(db, now, job.key_id, job.id, "refund", job.pixel_seconds)
        self._announce(db, job, "video.failed", now)

    def _announce(self, db: Connection, job: Row[Any], event: str, now: float) -> None:
        for hook in db.execute(select(webhooks).where(webhooks.c.key_id == job.key_id)).all():
            if event in hook.events:
                id = f"evt_{secrets.token_hex(12)}"
                body = {"id": id, "object": "event", "type": event, "created_at": int(now), "data": {"id": job.id}}
                db.execute(
                    deliveries.insert().values(
                        id=id, webhook=hook.id, body=json.dumps(body, separators=(",", ":")), attempts=0, next_at=now
                    )
                )

    def measured(self, model: str, kind: str, pixel_seconds: float, took_s: float) -> None:
        """Learn from a finished job how fast this machine is."""
        fresh = took_s / max(pixel_seconds, 1e-9)
        with self.database.writing() as db:
            here = and_(speeds.c.model == model, speeds.c.kind == kind)
            known = db.execute(select(speeds).where(here)).first()
            if known is None:
                db.execute(speeds.insert().values(model=model, kind=kind, per_pixel_second=fresh))
            else:
                db.execute(speeds.update().where(here).values(per_pixel_second=0.7 * known.per_pixel_second + 0.3 * fresh))

    def speed(self, model: str, kind: str) -> float | None:
        """Seconds of work a pixel-second, as measured lately; None before the first job."""
        then, known = self._known.get((model, kind), (0.0, None))
        if time.monotonic() - then > LATELY_S:
            with self.database.reading() as db:
                own = db.scalar(select(speeds.c.per_pixel_second).where(speeds.c.model == model, speeds.c.kind == kind))
                found = own or db.scalar(select(func.avg(speeds.c.per_pixel_second)).where(speeds.c.model == model))
            known = None if found is None else float(found)
            self._known[model, kind] = (time.monotonic(), known)
        return known

    def hands(self) -> int:
        """Workers that were heard of lately."""
        then, count = self._hands
        if time.monotonic() - then > LATELY_S:
            with self.database.reading() as db:
                alive = (
                    select(func.count()).select_from(workers).where(workers.c.seen_at > self.database.now(db) - self.lease_s)
                )
                count = int(db.scalar(alive) or 0)
            self._hands = (time.monotonic(), count)
        return count

    def counts(self) -> dict[str, int]:
        with self.database.reading() as db:
            rows = db.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all()
        return {status: int(count) for status, count in rows}

    # The whole queue

    def hold(self, held: bool) -> None:
        """Begin nothing until told otherwise; what is being made goes on."""
        with self.database.writing() as db:
            db.execute(facts.delete().where(facts.c.name == "paused"))
            db.execute(facts.insert().values(name="paused", value=held))

    def is_held(self) -> bool:
        with self.database.reading() as db:
            return bool(db.scalar(select(facts.c.value).where(facts.c.name == "paused")))

    def gone(self, *, restorable_s: float) -> list[str]:
        """Forget jobs that have expired or were deleted long enough ago; returns their ids, whose folders may go."""
        with self.database.writing() as db:
            now = self.database.now(db)
            ended = jobs.c.status.not_in(LIVE)
            old = or_(jobs.c.deleted_at < now - restorable_s, jobs.c.expires_at < now)
            ids = list(db.execute(select(jobs.c.id).where(ended, old)).scalars().all())
            for start in range(0, len(ids), 500):
                db.execute(jobs.delete().where(jobs.c.id.in_(ids[start : start + 500])))
            return ids

    def artifacts(self) -> dict[str, tuple[str | None, str, int]]:
        """For the sweeper: what is published of each job, its status and its fence."""
        with self.database.reading() as db:
            rows = db.execute(select(jobs.c.id, jobs.c.artifact, jobs.c.status, jobs.c.fence)).all()
        return {row.id: (row.artifact, row.status, row.fence) for row in rows}

    def note(self, key_id: str | None, action: str, target: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """A line of the audit log."""
        with self.database.writing() as db:
            db.execute(
                audit.insert().values(at=self.database.now(db), key_id=key_id, action=action, target=target, detail=detail)
            )


def _held(claim: Claim) -> Any:
    return and_(jobs.c.id == claim.id, jobs.c.fence == claim.fence, jobs.c.status == "in_progress")


def _own(db: Connection, id: str, key_id: str | None, *, deleted: bool = False) -> Row[Any]:
    job = db.execute(select(jobs).where(jobs.c.id == id)).first()
    if job is None or (key_id is not None and job.key_id != key_id) or (job.deleted_at is not None and not deleted):
        raise not_found("video", id)
    return job


def _live(db: Connection, key_id: str) -> int:
    return int(
        db.scalar(select(func.count()).select_from(jobs).where(jobs.c.key_id == key_id, jobs.c.status.in_(LIVE))) or 0
    )


def _ended(job: Row[Any]) -> str:
    return "completed" if job.status == "completed" else "failed"


def _check_quota(key: Row[Any], pixel_seconds: float) -> None:
    if key.quota is not None and key.used + key.reserved + pixel_seconds > key.quota:
        left = max(key.quota - key.used - key.reserved, 0.0)
        raise ApiError(
            429, f"this would take {pixel_seconds:,.0f} pixel-seconds; the key has {left:,.0f} of {key.quota:,.0f} left",
            code="insufficient_quota", headers={"x-should-retry": "false"},
        )  # fmt: skip


def _check_room(db: Connection, key_id: str, limit: int | None) -> None:
    if limit is not None and _live(db, key_id) >= limit:
        raise ApiError(
            429, f"{limit} videos of this key are already waiting or being made; wait for one or delete one", code="queue_full",
            headers={"retry-after": "5"},
        )  # fmt: skip


def _bill(db: Connection, now: float, key_id: str, job: str, kind: str, pixel_seconds: float) -> None:
    db.execute(ledger.insert().values(key_id=key_id, at=now, job=job, kind=kind, pixel_seconds=pixel_seconds))


def _seen(db: Connection, worker: str, warm: Sequence[str], now: float) -> None:
    if db.execute(workers.update().where(workers.c.id == worker).values(seen_at=now, warm=list(warm))).rowcount == 0:
        db.execute(workers.insert().values(id=worker, seen_at=now, warm=list(warm)))
        db.execute(workers.delete().where(workers.c.seen_at < now - 86400))
