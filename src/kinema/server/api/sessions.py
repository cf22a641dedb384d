"""Signing in to the Studio: a session, named by random text in a cookie, that acts for a key."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from kinema.errors import ApiError
from kinema.server.api.bodies import SMALL, Body, Filled, Route
from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.auth import SESSION_S, Caller, check_origin, cookie_of, digest_of

router = APIRouter(prefix="/v1", tags=["access"], responses=ERRORS, route_class=Route)


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


def path_of(request: Request) -> str:
    """The path that the cookie is sent to: the whole server, and no other one of the same host."""
    return str(request.scope.get("root_path", "")) + "/"


def session_of(caller: Caller) -> Session:
    return Session(key=SignedInKey(id=caller.key_id, name=caller.name, scopes=list(caller.scopes)))


@router.post("/session", summary="Sign in to the Studio", dependencies=[Depends(own_origin)])
async def sign_in(
    services: ServicesDep, given: Annotated[SignIn, Depends(SignIn.read)], request: Request, response: Response
) -> Session:
    agent = request.headers.get("user-agent", "")
    text, caller = await run_in_threadpool(services.auth.sign_in, given.key.strip(), agent)
    secure = request.url.scheme == "https"
    response.set_cookie(
        cookie_of(request),
        text,
        max_age=int(SESSION_S),
        path=path_of(request),
        httponly=True,
        samesite="strict",
        secure=secure,
    )
    return session_of(caller)


@router.get("/session", summary="Who is signed in")
async def session(services: ServicesDep, request: Request) -> Session:
    try:
        return session_of(await services.caller(request))
    except ApiError as error:
        if error.code in ("missing_api_key", "session_ended"):
            return Session(key=None)
        raise


@router.delete("/session", summary="Sign out", dependencies=[Depends(own_origin)])
async def sign_out(services: ServicesDep, request: Request, response: Response) -> Session:
    text = request.cookies.get(cookie_of(request), "")
    if text:
        await run_in_threadpool(services.auth.sign_out, text)
    response.delete_cookie(cookie_of(request), path=path_of(request))
    return Session(key=None)


class SessionEntry(BaseModel):
    """A session of the Studio. agent: the browser, as it calls itself. expires_at, created_at: seconds since 1970. current: whether
    it is the session of this request."""

    id: str
    key_id: str
    created_at: float
    expires_at: float
    agent: str
    current: bool


class SessionList(BaseModel):
    object: Literal["list"] = "list"
    data: list[SessionEntry]


class EndedSession(BaseModel):
    id: str
    deleted: bool = True


@router.get("/sessions", summary="Who is signed in to the Studio: sessions of the key, of all keys for an administrator")
async def list_sessions(caller: Reader, services: ServicesDep, request: Request) -> SessionList:
    rows = await run_in_threadpool(services.auth.sessions, caller.sees)
    own = digest_of(request.cookies.get(cookie_of(request), ""))
    return SessionList(data=[SessionEntry.model_validate({**row._mapping, "current": row.digest == own}) for row in rows])


@router.delete("/sessions/{session_id}", summary="End a session")
async def end_session(caller: Reader, services: ServicesDep, session_id: str) -> EndedSession:
    await run_in_threadpool(services.auth.end_session, session_id, caller.sees)
    return EndedSession(id=session_id)
