"""The worlds API without the rest of the server, for tests. Keys are names."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from kinema.client import clip_of, from_url
from kinema.errors import ApiError
from kinema.media import Clip
from kinema.server.api.handlers import add_error_handlers
from kinema.server.api.worlds import router
from kinema.server.auth import Caller
from kinema.server.worlds.manager import WorldManager

PROMPT = "a red ball, a blue box and a green robot on a field"
SCOPES = {"ann": {"worlds"}, "bob": {"worlds"}, "reader": {"read"}, "root": {"admin"}, "films": {"videos"}}


def key_of(connection: HTTPConnection) -> Caller:
    name = connection.headers.get("authorization", "").removeprefix("Bearer ") or connection.query_params.get("key", "")
    if name not in SCOPES:
        raise ApiError(401, "no such API key; make one with `kinema keys add`", code="invalid_api_key")
    return Caller(key_id={"reader": "ann"}.get(name, name), name=name, scopes=tuple(SCOPES[name]))


class FreeServices:
    """What the routes of worlds ask of `Services`, without a database: keys are names, and nothing costs anything."""

    async def caller(self, connection: HTTPConnection) -> Caller:
        return key_of(connection)

    async def resolve(self, reference: Any, caller: Caller) -> Clip:
        return clip_of(from_url(reference["image_url"]))

    def check_prompt(self, text: str) -> None:
        pass

    async def charge(self, caller: Caller, size: str, frames: int) -> None:
        pass

    async def check_key(self, caller: Caller) -> None:
        pass


def bare_app(manager: WorldManager, *, drained: bool = True) -> FastAPI:
    """An app with only the world routes, and keys whose names are their secrets."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        yield
        if drained:
            await manager.close()

    app = FastAPI(lifespan=lifespan)
    app.state.services, app.state.manager = FreeServices(), manager
    app.include_router(router)
    add_error_handlers(app)
    return app


@contextmanager
def serving(manager: WorldManager) -> Iterator[str]:
    """A server in a thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(bare_app(manager), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
