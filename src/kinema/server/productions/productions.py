"""The productions of a server: each change is one transaction, in which also what is to be made next is put into the queue.

Each take is a job of its own, and so is the cut, so a production takes turns with all other jobs, survives its workers, and is
billed by the take. Takes of shots that do not wait for each other are queued side by side, as many as there are workers; what comes
next is queued in the transaction that ends a job, so that nothing is made twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from kinema.director.filming.takes import TakePlan, film_size
from kinema.director.next_step import next_steps
from kinema.director.retakes import TakeRecord
from kinema.director.script import Script, Shot
from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.billing import cost
from kinema.server.jobs.leases import LEASE_S, Claim
from kinema.server.productions.stored import StoredProduction
from kinema.server.storage.artifacts import is_id, new_id
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import CUT, TAKE, check_concurrency, fail_job, insert_job, lifted
from kinema.server.storage.ledger import check_quota
from kinema.server.storage.retention import RETAINED_S
from kinema.server.storage.tables import (
    AT_ONCE,
    jobs,
    keys,
    production_events,
    production_jobs,
    productions,
    takes,
    workers,
)

MOST_PRODUCTIONS = 1000
"""Of one key."""
GATES = ("script", "stills", "shots")
"""Where a production may wait for a person. Stills are made from the script when they are looked at."""
Decide = Callable[[StoredProduction], None]


@dataclass(frozen=True, kw_only=True)
class NewProduction:
    """What a production begins with."""

    key_id: str
    model: str
    script: Script
    story: str = ""
    notes: tuple[str, ...] = ()
    stop_after: str | None = None
    look: bool = False


class Productions:
    """The productions in a database.

    Args:
        database: The database.
        retained_s: How long the videos of films are stored.
    """

    def __init__(self, database: Database, *, retained_s: float = RETAINED_S) -> None:
        self.database, self.retained_s = database, retained_s

    def create(self, new: NewProduction, *, limit: int | None = None) -> StoredProduction:
        """Accept a production, and queue its first take unless it stops after the script. 429 beyond the quota."""
        id, script = new_id("production"), new.script
        with self.database.writing() as db:
            now = self.database.now(db)
            mine = select(productions.c.id).where(productions.c.key_id == new.key_id).limit(MOST_PRODUCTIONS)
            if len(db.execute(mine).all()) == MOST_PRODUCTIONS:
                raise ApiError(
                    409, f"this key has {MOST_PRODUCTIONS} productions; delete one first", code="too_many_productions"
                )
            db.execute(
                productions.insert().values(
                    id=id, key_id=new.key_id, created_at=now, updated_at=now, version=0, title=script.production.title,
                    story=new.story, script=json.loads(script.to_json()),
                    state={"model": new.model, "shots": {}, **({"look": True} if new.look else {})},
                    notes=list(new.notes), stop_after=new.stop_after,
                )
            )  # fmt: skip
            production = self._load(db, id, None)
            production.log("planned", why=f"{len(script.shots)} shots, {script.seconds:g} s")
            for note in new.notes:
                production.log("noted", why=note)
            self._advance(db, now, production, by_person=True, limit=limit)
            production.save(db, now)
        return self.get(id, None)

    def get(self, id: str, key_id: str | None) -> StoredProduction:
        """A production of this key (of any: None); 404 if there is none."""
        with self.database.reading() as db:
            return self._load(db, id, key_id)

    def page(self, key_id: str | None, after: str | None, limit: int) -> tuple[list[StoredProduction], bool]:
        """Productions, newest first, and whether more follow."""
        query = select(productions).order_by(productions.c.created_at.desc(), productions.c.id.desc()).limit(limit + 1)
        if key_id is not None:
            query = query.where(productions.c.key_id == key_id)
        with self.database.reading() as db:
            if after is not None:
                last = self._load(db, after, key_id).row
                older = (productions.c.created_at < last.created_at) | (
                    (productions.c.created_at == last.created_at) & (productions.c.id < last.id)
                )
                query = query.where(older)
            rows = db.execute(query).all()
            return [StoredProduction.load(db, row) for row in rows[:limit]], len(rows) > limit

    def events(self, id: str, key_id: str | None, after: int, limit: int) -> tuple[list[Row[Any]], bool]:
        """Lines of the log after a number, oldest first, and whether more follow."""
        with self.database.reading() as db:
            self._load(db, id, key_id)
            mine = (production_events.c.production == id, production_events.c.id > after)
            rows = db.execute(select(production_events).where(*mine).order_by(production_events.c.id).limit(limit + 1)).all()
            return list(rows[:limit]), len(rows) > limit

    def change(
        self, id: str, key_id: str | None, decide: Decide, *, go_on: bool = False, version: int | None = None,
        limit: int | None = None,
    ) -> StoredProduction:  # fmt: skip
        """Decide something about a production.

        Args:
            id: The production.
            key_id: Whose it has to be. None: anyone's.
            decide: Makes the decision.
            go_on: Film afterwards. A production that is being filmed goes on in any case.
            version: The version that was decided on; 409 if there is a later one. None: any.
            limit: Unfinished jobs that the key may have.

        Returns:
            The production afterwards.
        """
        with self.database.writing() as db:
            now = self.database.now(db)
            production = self._load(db, id, key_id)
            if version is not None and version != production.row.version:
                raise ApiError(
                    409, f"version {version} was changed meanwhile, there is {production.row.version}; look at it first",
                    param="version", code="version_conflict",
                )  # fmt: skip
            before = {job: self._basis(production, shot) for job, shot in production.making.items()}
            decide(production)
            for job, basis in before.items():
                if self._basis(production, production.making[job]) != basis:
                    self._drop_job(db, now, production, job)
            if go_on:
                production.error = (None, None)
            if go_on or (before and production.error[0] is None):
                self._advance(db, now, production, by_person=go_on, limit=limit)
            production.save(db, now)
        return self.get(id, None)

    def stop(self, id: str, key_id: str | None) -> StoredProduction:
        """Cancel what is being made for a production, which waits for a person then."""
        with self.database.writing() as db:
            now = self.database.now(db)
            production = self._load(db, id, key_id)
            if production.making:
                self._drop_jobs(db, now, production)
                production.log("stopped", why="asked for")
                production.save(db, now)
        return self.get(id, None)

    def delete(self, id: str, key_id: str | None) -> None:
        """Delete a production with its takes, for good; its finished films stay as videos."""
        with self.database.writing() as db:
            now = self.database.now(db)
            production = self._load(db, id, key_id)
            self._drop_jobs(db, now, production)
            filmed = select(takes.c.job).where(takes.c.production == id)
            db.execute(jobs.update().where(jobs.c.id.in_(filmed)).values(deleted_at=AT_ONCE))
            db.execute(takes.delete().where(takes.c.production == id))
            db.execute(production_events.delete().where(production_events.c.production == id))
            db.execute(productions.delete().where(productions.c.id == id))

    def finished(self, db: Connection, now: float, claim: Claim, record: TakeRecord | None) -> None:
        """Take in what a job made, and queue what comes next; within the transaction that completes the job. record: of a take."""
        mine = select(production_jobs.c.production).where(production_jobs.c.job == claim.id)
        row = db.execute(select(productions).where(productions.c.id.in_(mine))).first()
        if row is None:
            return
        production = StoredProduction.load(db, row)
        self._forget_job(db, production, claim.id)
        if record is None:
            production.film, production.film_edit = claim.id, claim.request["edit"]
            production.log("delivered", why=f"{len(production.script.shots)} shots")
        else:
            shot = claim.request["shot"]
            db.execute(jobs.update().where(jobs.c.id == claim.id).values(expires_at=None))
            production.add_take(shot, claim.id, record)
            production.log_filmed(shot, record.plan)
            production.log_checked(shot, record)
        if production.error[0] is None:
            self._advance(db, now, production)
        production.save(db, now)

    def _load(self, db: Connection, id: str, key_id: str | None) -> StoredProduction:
        row = db.execute(select(productions).where(productions.c.id == id)).first() if is_id(id, "production") else None
        if row is None or (key_id is not None and row.key_id != key_id):
            raise not_found("production", id)
        return StoredProduction.load(db, row)

    def _basis(self, production: StoredProduction, shot: str | None) -> object:
        """What a job depends on that is being made for a production. shot: of its take; None: a cut."""
        return production.edit if shot is None else production.decided(shot)

    def _drop_jobs(self, db: Connection, now: float, production: StoredProduction) -> None:
        """Cancel all that is being made for a production, and refund it."""
        for job in list(production.making):
            self._drop_job(db, now, production, job)

    def _drop_job(self, db: Connection, now: float, production: StoredProduction, id: str) -> None:
        """Cancel a job that is made for a production, and refund it."""
        job = db.execute(select(jobs).where(jobs.c.id == id)).first()
        self._forget_job(db, production, id)
        if job is not None:
            db.execute(jobs.update().where(jobs.c.id == job.id).values(cancelled=True))
            if job.status == "queued":
                fail_job(db, now, job, "cancelled", "its production was changed")

    def _forget_job(self, db: Connection, production: StoredProduction, id: str) -> None:
        """Let a production wait for a job no more."""
        del production.making[id]
        db.execute(production_jobs.delete().where(production_jobs.c.job == id))

    def _advance(
        self, db: Connection, now: float, production: StoredProduction, *, by_person: bool = False, limit: int | None = None
    ) -> None:
        """Queue what a production needs next, if it needs anything. by_person: a person asked for it, who is told of a used-up
        quota; else the production waits for one, with that as its error. limit: unfinished jobs that the key may have."""
        if production.stop_after in ("script", "stills") or None in production.making.values():
            return
        shots = [shot for shot in production.making.values() if shot is not None]
        most = int(db.scalar(select(func.count()).select_from(workers).where(workers.c.seen_at > now - LEASE_S)) or 1)
        steps = next_steps(production, production.capabilities_of, most=most, making=shots)
        new = [_take_job(production, *step) for step in steps]
        if not new and not shots and production.stop_after != "shots" and not production.film_is_current:
            new = [_cut_job(production)]
        for job in new:
            key = db.execute(select(keys).where(keys.c.id == production.row.key_id)).one()
            beside = bool(production.making)
            try:
                check_quota(db, now, key, job["pixel_seconds"])
                check_concurrency(db, key.id, key.concurrency if beside else limit)
            except ApiError as error:
                if beside:
                    return  # it is tried again when what is being made ends
                if by_person:
                    raise
                production.error = (error.code, error.message)
                production.log("stopped", why=error.message)
                return
            if by_person and not beside:
                db.execute(keys.update().where(keys.c.id == key.id).values(served=lifted(db, key)))
            insert_job(db, now, job, self.retained_s)
            shot = job["request"].get("shot")
            production.making[job["id"]] = shot
            db.execute(production_jobs.insert().values(job=job["id"], production=production.row.id, shot=shot))


def _take_job(production: StoredProduction, shot: Shot, plan: TakePlan) -> dict[str, Any]:
    """The job of a take."""
    capabilities = production.capabilities_of(shot)
    width, height = film_size(production.script, capabilities)
    fps = production.script.production.fps or capabilities.fps
    earlier = production.before(shot)
    number = None if earlier is None else production.used(earlier.id)
    before = None if earlier is None or number is None else {"video": production.video_of(earlier.id, number)}
    pictures: dict[str, Any] = {
        field: {"file": id} for field, id in (("image", shot.first_frame), ("last", shot.last_frame)) if id is not None
    }
    if looks := production.look_pictures(shot):
        pictures["looks"] = [{"file": id} for id in looks]
    request = {
        "production": production.row.id, "shot": shot.id, "plan": asdict(plan), "before": before, "prompt": shot.prompt,
        "goes_on": before is not None and shot.goes_on_from is not None, "seconds": shot.seconds, "size": f"{width}x{height}",
        "fps": fps, "seed": plan.seed, "steps": None, "notes": [], **pictures,
    }  # fmt: skip
    return _job(
        production, TAKE, capabilities.model, request, seconds=shot.seconds, price=cost(width, height, shot.seconds, fps),
        title=f"{production.row.title[:120]}: {shot.id}, take {plan.number}", sources=[before["video"]] if before else [],
    )  # fmt: skip


def _cut_job(production: StoredProduction) -> dict[str, Any]:
    """The job of a film out of the used takes."""
    (width, height), script = production.size, production.script
    used = [production.video_of(shot.id, production.used(shot.id) or 1) for shot in script.shots]
    seconds = script.seconds + script.production.title_card
    request = {
        "production": production.row.id, "edit": production.edit, "takes": used, "prompt": script.production.title,
        "seconds": seconds, "size": f"{width}x{height}", "fps": production.fps, "seed": None, "steps": None, "notes": [],
    }  # fmt: skip
    return _job(
        production, CUT, production.model, request, seconds=seconds, price=cost(width, height, seconds, production.fps),
        title=production.row.title, sources=list(dict.fromkeys(used)),
    )  # fmt: skip


def _job(
    production: StoredProduction, kind: str, model: str, request: dict[str, Any], *, seconds: float, price: float, title: str,
    sources: list[str],
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": new_id("video"), "key_id": production.row.key_id, "kind": kind, "model": model, "prompt": request["prompt"],
        "seconds": f"{seconds:g}", "size": request["size"], "request": request, "sources": sources, "remixed_from": None,
        "priority": 0, "shape": None, "pixel_seconds": price, "title": title,
    }  # fmt: skip
