"""API keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, WithJsonSchema

from kinema.server.api.bodies import MOST_LIST, Body, Filled, Route
from kinema.server.api.dependencies import Admin, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Listing, RowResponse
from kinema.server.auth import LIMITS, SCOPES, SCOPES_OF_A_KEY, key_limits

router = APIRouter(prefix="/v1/keys", tags=["access"], responses=ERRORS, route_class=Route)

Scope = Annotated[Any, WithJsonSchema({"type": "string", "enum": list(SCOPES)})]


USUAL = "0: no limit; usually"


class CreateKey(Body):
    name: Filled = Field(description="what it is for")
    scopes: list[Scope] | None = Field(None, max_length=MOST_LIST, description=f"some of {', '.join(SCOPES)}")
    expires_in_days: float | None = Field(None, ge=0.0001, le=36500, description="days until it opens nothing any more")
    quota: float | None = Field(None, ge=1, le=1e12, description="pixel-seconds in all")
    rate: int | None = Field(None, ge=1, le=10**6, description="requests a minute")
    concurrency: int | None = Field(
        None, ge=0, le=10**6, description=f"videos waiting or being made ({USUAL} {LIMITS['concurrency']})"
    )
    daily_quota: float | None = Field(
        None, ge=0, le=1e12, description=f"pixel-seconds in any 24 hours ({USUAL} {LIMITS['daily_quota']:.0f})"
    )
    max_worlds: int | None = Field(None, ge=0, le=10**6, description=f"worlds ({USUAL} {LIMITS['max_worlds']})")


class Key(RowResponse):
    """Without its secret. quota, used, reserved, daily_quota: pixel-seconds. rate: requests a minute. Times: seconds since 1970."""

    object: Literal["key"] = "key"
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    quota: float | None
    rate: int | None
    concurrency: int | None
    daily_quota: float | None
    max_worlds: int | None
    used: float
    reserved: float
    last_used_at: float | None


class NewKey(Key):
    key: str


@router.get("", summary="All keys")
async def list_keys(caller: Admin, services: ServicesDep) -> Listing[Key]:
    return Listing(data=[Key.model_validate(row) for row in await run_in_threadpool(services.auth.all)])


@router.post("", summary="A new key; told this once")
async def make_key(caller: Admin, services: ServicesDep, given: Annotated[CreateKey, Depends(CreateKey.read)]) -> NewKey:
    def make() -> NewKey:
        scopes = SCOPES_OF_A_KEY if given.scopes is None else tuple(dict.fromkeys(map(str, given.scopes)))
        named = given.model_dump(include={"quota", "rate", *LIMITS})
        text, row = services.auth.make(
            given.name, scopes, expires_s=None if given.expires_in_days is None else 86400 * given.expires_in_days,
            by=caller.key_id, **key_limits(scopes, named),
        )  # fmt: skip
        return NewKey(**Key.model_validate(row).model_dump(), key=text)

    return await run_in_threadpool(make)


@router.delete("/{key_id}", summary="A key opens nothing any more")
async def revoke_key(caller: Admin, services: ServicesDep, key_id: str) -> Key:
    return Key.model_validate(await run_in_threadpool(lambda: services.auth.revoke(key_id, by=caller.key_id)))
