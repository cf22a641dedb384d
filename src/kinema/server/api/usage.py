"""What a key may use and has used."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy import select

from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.services import Services
from kinema.server.storage.ledger import spent_today
from kinema.server.storage.tables import keys, ledger

router = APIRouter(prefix="/v1/usage", tags=["access"], responses=ERRORS)


class Quota(BaseModel):
    """In pixel-seconds. limit: None without one."""

    limit: float | None
    used: float
    reserved: float


class DailyQuota(BaseModel):
    """In pixel-seconds of the last 24 hours. limit: None without one."""

    limit: float | None
    used: float


class LedgerLine(BaseModel):
    at: float
    video: str
    kind: str
    pixel_seconds: float


class Usage(BaseModel):
    """rate_per_minute: requests a minute. concurrency: videos that may wait or be made at a time. daily: pixel-seconds of the last
    24 hours, and their limit. max_worlds: how many worlds the key may have. None: no limit."""

    quota: Quota
    rate_per_minute: int | None
    concurrency: int | None
    daily: DailyQuota
    max_worlds: int | None
    ledger: list[LedgerLine]


def quota(services: Services, key_id: str) -> Quota:
    with services.database.reading() as db:
        row = db.execute(select(keys.c.quota, keys.c.used, keys.c.reserved).where(keys.c.id == key_id)).one()
    return Quota(limit=row.quota, used=row.used, reserved=row.reserved)


@router.get("", summary="Quota and ledger of this key")
async def usage(caller: Reader, services: ServicesDep, limit: int = 100) -> Usage:
    def read_usage() -> Usage:
        query = select(ledger).where(ledger.c.key_id == caller.key_id).order_by(ledger.c.id.desc())
        with services.database.reading() as db:
            rows = db.execute(query.limit(min(max(limit, 1), 1000))).all()
            most = db.scalar(select(keys.c.daily_quota).where(keys.c.id == caller.key_id))
            daily = DailyQuota(limit=most, used=spent_today(db, services.database.now(db), caller.key_id))
        lines = [LedgerLine(at=row.at, video=row.job, kind=row.kind, pixel_seconds=row.pixel_seconds) for row in rows]
        return Usage(
            quota=quota(services, caller.key_id),
            rate_per_minute=caller.rate,
            concurrency=caller.concurrency,
            ledger=lines,
            daily=daily,
            max_worlds=caller.max_worlds,
        )

    return await run_in_threadpool(read_usage)
