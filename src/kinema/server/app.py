"""The ASGI application: routes, error handlers, request ids, body limits, the Studio's files, and startup and shutdown."""

from __future__ import annotations

import asyncio
import secrets
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kinema.errors import ApiError
from kinema.server.api import (
    characters,
    content,
    estimates,
    files,
    health,
    keys,
    models,
    productions,
    projects,
    queue,
    reports,
    sessions,
    usage,
    verify,
    videos,
    webhooks,
    worlds,
)
from kinema.server.api.bodies import body_schemas
from kinema.server.api.dependencies import check_query
from kinema.server.api.errors import body
from kinema.server.api.handlers import add_error_handlers
from kinema.server.billing import SETTLE_S
from kinema.server.metrics import LOG
from kinema.server.proxies import BehindProxy
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.worlds.manager import WorldManager

STUDIO = Path(__file__).parent / "studio"
BESIDE_FILES = 16 << 20
"""Bytes of a body beside the largest file that may be sent."""
SWEEP_S = 600.0
RESTORABLE_S = 7 * 86400.0
"""How long a deleted video can be restored."""
SECURITY = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' ws: wss:; "
        "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": ["authorization", "content-type", "idempotency-key"],
    "expose_headers": ["content-disposition", "retry-after", "x-request-id", "x-kinema-spritesheet"],
}
"""What pages of other origins may do where any are allowed. They send a key; this server's cookies do not count for them."""
RESOURCES = (
    *(characters, content, videos, projects, productions, estimates, queue, worlds, files, models),
    *(keys, usage, webhooks, sessions, reports, verify, health),
)
"""Modules with a `router` each; addresses with a word go before those with an id."""


def answer_head() -> None:
    """Let HEAD be answered wherever GET is, with its status and headers."""
    for resource in RESOURCES:
        for route in resource.router.routes:
            if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
                route.methods.add("HEAD")


class Api(FastAPI):
    """FastAPI whose OpenAPI page has the schemas of bodies too, which dependencies read (`Body.read`), and GET without HEAD."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Duplicate Operation ID")  # GET and HEAD share theirs
                self.openapi_schema = super().openapi()
            for operations in self.openapi_schema["paths"].values():
                operations.pop("head", None)
            self.openapi_schema["components"]["schemas"].update(body_schemas())
        return self.openapi_schema


class Edge:
    """Middleware: adds a request id and security headers, limits the size of bodies, logs and counts each request."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app, self.services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        id, started_at, status = f"req_{secrets.token_hex(10)}", time.perf_counter(), 500
        scope["kinema_request"] = id
        received_bytes = 0
        most_bytes = (self.services.settings.max_upload << 20) + BESIDE_FILES

        async def receive_limited() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > most_bytes:
                raise ApiError(413, f"the body has more than {most_bytes >> 20} MiB; send less", code="too_large")
            return message

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(b"x-request-id", id.encode())]
                headers += [(name.encode(), value.encode()) for name, value in SECURITY.items()]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        started = False

        async def track_response(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send_response(message)

        try:
            if b"\0" in unquote_to_bytes(scope["path"]) or "%00" in scope["query_string"].decode("latin-1"):
                error = body("the address holds characters that are no text", "invalid_request_error", None, "invalid_value")
                await JSONResponse(error, status_code=400)(scope, receive_limited, track_response)
            else:
                await self.app(scope, receive_limited, track_response)
        except Exception as error:
            LOG.exception("an error that nobody foresaw", exc_info=error, extra={"request": id})
            if started:
                raise
            message = f"the server met an error ({type(error).__name__}); see its log for {id}"
            response = JSONResponse(body(message, "server_error", None, "internal_error"), status_code=500)
            await response(scope, receive_limited, track_response)
        finally:
            elapsed_s = time.perf_counter() - started_at
            route = getattr(scope.get("route"), "path", "static")
            self.services.metrics.answered(scope["method"], route, status, elapsed_s)
            LOG.info(
                "request",
                extra={
                    "request": id, "method": scope["method"], "path": scope["path"], "status": status,
                    "ms": round(1000 * elapsed_s, 1),
                    "key": scope.get("kinema_key"),
                },
            )  # fmt: skip


def create_app(settings: Settings, *, live: int = 8) -> FastAPI:
    """The server as an ASGI application. Workers are other processes (`kinema.server.jobs.process`)."""
    services = Services(settings)
    manager = WorldManager(settings.data / "worlds", alive=live, threads=settings.threads, device=settings.device)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.webhooks.start()
        tasks = [asyncio.create_task(_sweep(services)), asyncio.create_task(_settle(services))]
        yield
        for task in tasks:
            task.cancel()
        await manager.close()
        await run_in_threadpool(services.close)

    app = Api(
        title="Kinema", version=version("kinema"), lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Films what you describe, and worlds that you can step into. Errors: {error: {message, type, param, code}}.",
    )  # fmt: skip
    app.state.services, app.state.manager = services, manager
    app.state.most_file_bytes = settings.max_upload << 20

    answer_head()
    for resource in RESOURCES:
        app.include_router(resource.router, dependencies=[Depends(check_query)])
    add_error_handlers(app)

    @app.api_route("/verify", methods=["GET", "HEAD"], include_in_schema=False)
    async def verify_page() -> FileResponse:
        return FileResponse(STUDIO / "verify.html")

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs_page() -> FileResponse:
        return FileResponse(STUDIO / "docs.html")

    app.mount("/", StaticFiles(directory=STUDIO, html=True), name="studio")
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_credentials=False, **CORS)
    app.add_middleware(Edge, services=services)
    app.add_middleware(BehindProxy, trusted=settings.trusted_proxies, root_path=settings.root_path)
    return app


async def _settle(services: Services) -> None:
    """Every SETTLE_S seconds, write the cost of world frames to the ledger, and delete what was deleted for good and is not needed
    any more."""
    while True:
        await asyncio.sleep(SETTLE_S)
        try:
            await run_in_threadpool(services.billing.settle)
            await run_in_threadpool(lambda: services.delete_bytes(services.queue.delete_removed()))
        except Exception as error:  # the loop must go on whatever the database raises
            LOG.error("the books of worlds and deletions wait: %s", str(error).splitlines()[0])


async def _sweep(services: Services) -> None:
    """Every SWEEP_S seconds, delete expired jobs and uploads, and files that belong to no job."""
    while True:
        try:
            removed = await run_in_threadpool(services.queue.delete_expired, restorable_s=RESTORABLE_S)
            await run_in_threadpool(services.delete_bytes, removed)
            swept = await run_in_threadpool(lambda: services.store.sweep(services.queue.artifacts()))
            await run_in_threadpool(services.uploads.forget, 86400 * services.settings.retention_days)
            if removed.videos or swept:
                LOG.info("swept", extra={"expired": len(removed.videos), "orphans": swept[:20]})
        except Exception as error:
            LOG.error("sweeping failed: %s", error)
        await asyncio.sleep(SWEEP_S)
