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
from kinema.server.auth import SCOPES, SCOPES_OF_A_KEY

router = APIRouter(prefix="/v1/keys", tags=["access"], responses=ERRORS, route_class=Route)

Scope = Annotated[Any, WithJsonSchema({"type": "string", "enum": list(SCOPES)})]


class CreateKey(Body):
    name: Filled = Field(description="what it is for")
    scopes: list[Scope] | None = Field(None, max_length=MOST_LIST, description=f"some of {', '.join(SCOPES)}")
    expires_in_days: float | None = Field(None, ge=0.0001, le=36500, description="days until it opens nothing any more")
    quota: float | None = Field(None, ge=1, le=1e12, description="pixel-seconds in all")
    rate: int | None = Field(None, ge=1, le=10**6, description="requests a minute")
    concurrency: int | None = Field(None, ge=1, le=10**6, description="videos waiting or being made")


class Key(RowResponse):
    """Without its secret. quota, used, reserved: pixel-seconds. rate: requests a minute. Times are seconds since 1970."""

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
        text, row = services.auth.make(
            given.name,
            SCOPES_OF_A_KEY if given.scopes is None else tuple(dict.fromkeys(map(str, given.scopes))),
            expires_s=None if given.expires_in_days is None else 86400 * given.expires_in_days,
            quota=given.quota,
            rate=given.rate,
            concurrency=given.concurrency,
            by=caller.key_id,
        )
        return NewKey(**Key.model_validate(row).model_dump(), key=text)

    return await run_in_threadpool(make)


@router.delete("/{key_id}", summary="A key opens nothing any more")
async def revoke_key(caller: Admin, services: ServicesDep, key_id: str) -> Key:
    return Key.model_validate(await run_in_threadpool(lambda: services.auth.revoke(key_id, by=caller.key_id)))
