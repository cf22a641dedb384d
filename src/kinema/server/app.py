"""The application: routes, errors in one shape, request ids, limits on bodies, the Studio's files; started and drained in order."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from sqlalchemy.exc import DataError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kinema.errors import API_TYPES, ApiError, InputError, OutputError
from kinema.server.api import account, videos, worlds
from kinema.server.api.errors import body
from kinema.server.auth import Caller
from kinema.server.billing import SETTLE_S, frames_cost
from kinema.server.metrics import LOG
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.worlds.manager import WorldManager
from kinema.server.worlds.session import WorldSession

STUDIO = Path(__file__).parent / "studio"
MOST_BODY = 80 << 20
SWEEP_S = 600.0
RESTORABLE_S = 7 * 86400.0
"""How long a deletion can be taken back."""
SECURITY = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' ws: wss:; "
        "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
DOCS = ("/docs", "/redoc")


class Edge:
    """Around everything: a request id, security headers, a limit on bodies, a line in the log, a count."""

    def __init__(self, app: ASGIApp, house: Services) -> None:
        self.app, self.house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        id, begun, status = f"req_{secrets.token_hex(10)}", time.perf_counter(), 500
        scope["kinema_request"] = id
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                raise ApiError(413, f"the body has more than {MOST_BODY >> 20} MiB; send less", code="too_large")
            return message

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(b"x-request-id", id.encode())]
                if not scope["path"].startswith(DOCS):
                    headers += [(name.encode(), value.encode()) for name, value in SECURITY.items()]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await answered(message)

        try:
            if b"\0" in unquote_to_bytes(scope["path"]) or "%00" in scope["query_string"].decode("latin-1"):
                wrong = body("the address holds characters that are no text", "invalid_request_error", None, "invalid_value")
                await JSONResponse(wrong, status_code=400)(scope, limited, noted)
            else:
                await self.app(scope, limited, noted)
        except Exception as wrong:
            LOG.exception("an error that nobody foresaw", exc_info=wrong, extra={"request": id})
            if started:
                raise
            message = f"the server met an error ({type(wrong).__name__}); see its log for {id}"
            told = JSONResponse(body(message, "server_error", None, "internal_error"), status_code=500)
            await told(scope, limited, noted)
        finally:
            took = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "static")
            self.house.metrics.answered(scope["method"], route, status, took)
            LOG.info(
                "request",
                extra={
                    "request": id, "method": scope["method"], "path": scope["path"], "status": status, "ms": round(1000 * took, 1),
                    "key": scope.get("kinema_key"),
                },
            )  # fmt: skip


def create_app(settings: Settings, *, live: int = 8) -> FastAPI:
    """The server as an ASGI application. Workers are other processes (`kinema.server.jobs.process`)."""
    house = Services(settings)
    hall = WorldManager(settings.data / "worlds", alive=live, threads=settings.threads, device=settings.device)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        house.hooks.start()
        others = [asyncio.create_task(_sweep(house)), asyncio.create_task(_settle(house))]
        yield
        for other in others:
            other.cancel()
        await hall.close()
        await run_in_threadpool(house.close)

    app = FastAPI(
        title="Kinema", version=version("kinema"), lifespan=lifespan,
        description="Films what you describe, and worlds that you can step into. Errors: {error: {message, type, param, code}}.",
    )  # fmt: skip
    app.state.house, app.state.hall = house, hall

    async def caller(request: Request) -> Caller:
        found = await house.quick(house.access.of, request)
        request.scope["kinema_key"] = found.key_id
        return found

    async def caller_of(connection: HTTPConnection) -> Caller:
        return await house.quick(house.access.of, connection)

    async def holds(who: Any) -> None:
        await house.quick(house.access.holds, who.key_id)

    async def charge(who: Any, room: WorldSession, frames: int) -> None:
        if house.meter.is_due(who.key_id):
            try:
                await house.quick(house.meter.look, who.key_id)
            except SQLAlchemyError as wrong:  # a hiccup of the database does not end a game; it is asked again in a moment
                LOG.warning("what is left of a quota could not be seen: %s", str(wrong).splitlines()[0])
        house.meter.spend(who.key_id, frames_cost(room.meta.size, frames))

    app.include_router(videos.routes(house))
    app.include_router(account.routes(house))
    app.include_router(
        worlds.routes(
            hall,
            caller=caller,
            caller_of=caller_of,
            resolve=house.resolve,
            allowed=house.allowed,
            charge=charge,
            holds=holds,
        )
    )
    _errors(app)

    @app.get("/verify", include_in_schema=False)
    async def verify_page() -> FileResponse:
        return FileResponse(STUDIO / "verify.html")

    app.mount("/", StaticFiles(directory=STUDIO, html=True), name="studio")
    app.add_middleware(Edge, house=house)
    return app


async def _settle(house: Services) -> None:
    """Now and then: write to the books what was made of worlds."""
    while True:
        await asyncio.sleep(SETTLE_S)
        try:
            await run_in_threadpool(house.meter.settle)
        except Exception as wrong:  # whatever a database does, the next try must come
            LOG.error("the books of worlds could not be written, and wait: %s", str(wrong).splitlines()[0])


async def _sweep(house: Services) -> None:
    """Now and then: forget what has expired, remove what is nobody's."""
    while True:
        try:
            gone = await run_in_threadpool(house.queue.gone, restorable_s=RESTORABLE_S)
            for id in gone:
                await run_in_threadpool(house.store.drop, id)
            swept = await run_in_threadpool(lambda: house.store.sweep(house.queue.artifacts()))
            await run_in_threadpool(house.uploads.forget, 86400 * house.settings.kept_days)
            if gone or swept:
                LOG.info("swept", extra={"expired": len(gone), "orphans": swept[:20]})
        except Exception as wrong:
            LOG.error("sweeping failed: %s", wrong)
        await asyncio.sleep(SWEEP_S)


def _errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def api(request: Request, wrong: ApiError) -> JSONResponse:
        return JSONResponse(wrong.body(), status_code=wrong.status, headers=wrong.headers)

    @app.exception_handler(InputError)
    async def input(request: Request, wrong: InputError) -> JSONResponse:
        return JSONResponse(body(str(wrong), "invalid_request_error", None, "invalid_value"), status_code=400)

    @app.exception_handler(RecursionError)
    async def deep(request: Request, wrong: RecursionError) -> JSONResponse:
        return JSONResponse(
            body("the body is nested too deeply", "invalid_request_error", None, "invalid_json"), status_code=400
        )

    @app.exception_handler(OutputError)
    async def output(request: Request, wrong: OutputError) -> JSONResponse:
        return JSONResponse(
            body(str(wrong), "server_error", None, "storage_full"), status_code=507, headers={"retry-after": "30"}
        )

    @app.exception_handler(DataError)
    async def data(request: Request, wrong: DataError) -> JSONResponse:
        return JSONResponse(
            body("a value cannot be kept in the database", "invalid_request_error", None, "invalid_value"), status_code=400
        )

    @app.exception_handler(OperationalError)
    @app.exception_handler(NoConnection)
    async def database(request: Request, wrong: OperationalError | NoConnection) -> JSONResponse:
        LOG.error("database: %s", str(wrong).splitlines()[0])
        return JSONResponse(
            body("the database does not answer now; try again", "server_error", None, "unavailable"), status_code=503,
            headers={"retry-after": "2"},
        )  # fmt: skip

    @app.exception_handler(HTTPException)
    async def http(request: Request, wrong: HTTPException) -> JSONResponse:
        kind = API_TYPES.get(wrong.status_code, "invalid_request_error")
        message = f"{request.method} {request.url.path[:120]}: {wrong.detail}"
        headers: dict[str, Any] = dict(wrong.headers or {})
        return JSONResponse(body(message, kind, None, None), status_code=wrong.status_code, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, wrong: RequestValidationError) -> JSONResponse:
        first = wrong.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or None
        message = f"{name or 'the request'}: {first['msg']}"
        return JSONResponse(body(message, "invalid_request_error", name, "invalid_value"), status_code=422)
