"""Signing in to the Studio: a cookie that stands for a key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from kinema.errors import ApiError
from kinema.server.api.bodies import SMALL, Body, Filled, Route
from kinema.server.api.dependencies import ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.auth import COOKIE, Caller, check_origin

router = APIRouter(prefix="/v1/session", tags=["access"], responses=ERRORS, route_class=Route)


class SignIn(Body):
    most_bytes = SMALL
    key: Filled = Field(description="an API key")


class SignedInKey(BaseModel):
    id: str
    name: str
    scopes: list[str]


class Session(BaseModel):
    """key: None while nobody is signed in."""

    key: SignedInKey | None


async def own_origin(request: Request) -> None:
    check_origin(request)


def session_of(caller: Caller) -> Session:
    return Session(key=SignedInKey(id=caller.key_id, name=caller.name, scopes=list(caller.scopes)))


@router.post("", summary="Sign in to the Studio", dependencies=[Depends(own_origin)])
async def sign_in(
    services: ServicesDep, given: Annotated[SignIn, Depends(SignIn.read)], request: Request, response: Response
) -> Session:
    key = given.key.strip()
    caller = await run_in_threadpool(services.auth.caller, key)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, key, max_age=30 * 86400, httponly=True, samesite="strict", secure=secure)
    return session_of(caller)


@router.get("", summary="Who is signed in")
async def session(services: ServicesDep, request: Request) -> Session:
    try:
        return session_of(await services.caller(request))
    except ApiError as error:
        if error.code == "missing_api_key":
            return Session(key=None)
        raise


@router.delete("", summary="Sign out", dependencies=[Depends(own_origin)])
async def sign_out(response: Response) -> Session:
    response.delete_cookie(COOKIE)
    return Session(key=None)
