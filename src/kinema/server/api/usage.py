"""What a key may use and has used."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy import select

from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.services import Services
from kinema.server.storage.tables import keys, ledger

router = APIRouter(prefix="/v1/usage", tags=["access"], responses=ERRORS)


class Quota(BaseModel):
    """In pixel-seconds. limit: None without one."""

    limit: float | None
    used: float
    reserved: float


class LedgerLine(BaseModel):
    at: float
    video: str
    kind: str
    pixel_seconds: float


class Usage(BaseModel):
    """rate_per_minute: requests a minute. concurrency: videos that may wait or be made at a time."""

    quota: Quota
    rate_per_minute: int | None
    concurrency: int | None
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
        lines = [LedgerLine(at=row.at, video=row.job, kind=row.kind, pixel_seconds=row.pixel_seconds) for row in rows]
        return Usage(
            quota=quota(services, caller.key_id), rate_per_minute=caller.rate, concurrency=caller.concurrency, ledger=lines
        )

    return await run_in_threadpool(read_usage)
