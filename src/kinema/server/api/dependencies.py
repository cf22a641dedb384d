"""What routes depend on: the services and worlds of their server, the key of a request, and what it may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from kinema.errors import ApiError
from kinema.server.api.bodies import raw_body
from kinema.server.api.explain import unknown_parameter
from kinema.server.auth import Caller
from kinema.server.services import Services
from kinema.server.storage.uploads import Sent
from kinema.server.worlds.manager import WorldManager

BEARER = HTTPBearer(
    auto_error=False, scheme_name="key", description="An API key, as `kinema keys add` makes it: `kinema_...`"
)
FILE_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}
                }
            }
        },
    }
}  # fmt: skip
"""For `openapi_extra`: a form with one file."""


async def get_services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


async def get_manager(connection: HTTPConnection) -> WorldManager:
    manager: WorldManager = connection.app.state.manager
    return manager


ServicesDep = Annotated[Services, Depends(get_services)]
ManagerDep = Annotated[WorldManager, Depends(get_manager)]


async def get_caller(connection: HTTPConnection, services: ServicesDep) -> Caller:
    """The key of a request or WebSocket; 401 without a valid one."""
    return await services.caller(connection)


CallerDep = Annotated[Caller, Depends(get_caller)]


def caller_who(check: Callable[[Caller], None]) -> Callable[..., Awaitable[Caller]]:
    """A dependency that returns the caller of a request if `check` does not raise."""

    async def allowed(caller: CallerDep, _: Annotated[Any, Depends(BEARER)]) -> Caller:
        check(caller)
        return caller

    return allowed


async def check_query(connection: HTTPConnection) -> None:
    """400 for a field of the address that the route does not know."""
    route = connection.scope.get("route")
    if connection.scope["type"] != "http" or not isinstance(route, APIRoute):
        return
    known = _query_fields(route.dependant)
    for name in connection.query_params:
        if name not in known:
            raise unknown_parameter(name, known)


def _query_fields(needed: Dependant) -> set[str]:
    """The names of the fields of an address that a route and what it depends on read."""
    inner = [_query_fields(dependency) for dependency in needed.dependencies]
    return {field.alias for field in needed.query_params}.union(*inner)


Reader = Annotated[Caller, Depends(caller_who(lambda caller: caller.need("read")))]
Filmer = Annotated[Caller, Depends(caller_who(lambda caller: caller.need("videos")))]
Admin = Annotated[Caller, Depends(caller_who(lambda caller: caller.need("admin")))]


async def sent_file(request: Request) -> Sent:
    """The one file of a form."""
    sent = (await raw_body(request, files=1)).get("file")
    if not isinstance(sent, Sent):
        raise ApiError(400, "file is missing: send multipart/form-data with a file part named `file`", param="file",
                       code="missing_value")  # fmt: skip
    return sent
