"""Error handlers: whatever goes wrong is answered in the shape of `ErrorBody`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kinema.errors import API_TYPES, ApiError, InputError, OutputError, StorageError, UnavailableModelError
from kinema.server.api.errors import body, unavailable_error
from kinema.server.api.explain import explain
from kinema.server.metrics import LOG

CLIENT_LEFT = 499
"""The status that logs and metrics show of a request whose client left before it was whole; nobody gets it."""


PARAMS = {"camera": "guides.camera"}
"""Parameters of the library that a request has under another name."""
LOST_PAGE = Path(__file__).parents[1] / "studio" / "lost.html"


def wants_page(request: Request) -> bool:
    """Whether a person asks, with a browser, for something that is not of the API."""
    return (
        request.method == "GET"
        and not request.url.path.startswith("/v1/")
        and "text/html" in request.headers.get("accept", "")
    )


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def api(request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), status_code=error.status, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return await api(request, explain(error))

    @app.exception_handler(InputError)
    async def input_error(request: Request, error: InputError) -> JSONResponse:
        param = PARAMS.get(error.param or "", error.param)
        return JSONResponse(body(str(error), "invalid_request_error", param, "invalid_value"), status_code=400)

    @app.exception_handler(UnavailableModelError)
    async def unavailable(request: Request, error: UnavailableModelError) -> JSONResponse:
        LOG.error("%s", error, extra={"model": error.model})
        return await api(request, unavailable_error(error))

    @app.exception_handler(RecursionError)
    async def deep(request: Request, error: RecursionError) -> JSONResponse:
        return JSONResponse(
            body("the body is nested too deeply", "invalid_request_error", None, "invalid_json"), status_code=400
        )

    @app.exception_handler(ClientDisconnect)
    async def client_left(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_LEFT)

    @app.exception_handler(OutputError)
    async def output(request: Request, error: OutputError) -> JSONResponse:
        return JSONResponse(
            body(str(error), "server_error", None, "storage_full"), status_code=507, headers={"retry-after": "30"}
        )

    @app.exception_handler(StorageError)
    async def storage(request: Request, error: StorageError) -> JSONResponse:
        LOG.error("%s", error)
        return JSONResponse(
            body("the storage of films and uploads does not answer now; try again", "server_error", None, "storage_unavailable"),
            status_code=503, headers={"retry-after": "5"},
        )  # fmt: skip

    @app.exception_handler(DataError)
    async def data(request: Request, error: DataError) -> JSONResponse:
        return JSONResponse(
            body("a value cannot be kept in the database", "invalid_request_error", None, "invalid_value"), status_code=400
        )

    @app.exception_handler(OperationalError)
    @app.exception_handler(NoConnection)
    async def database(request: Request, error: OperationalError | NoConnection) -> JSONResponse:
        LOG.error("database: %s", str(error).splitlines()[0])
        return JSONResponse(
            body("the database does not answer now; try again", "server_error", None, "unavailable"), status_code=503,
            headers={"retry-after": "2"},
        )  # fmt: skip

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and wants_page(request):
            return FileResponse(LOST_PAGE, status_code=404)
        kind = API_TYPES.get(error.status_code, "invalid_request_error")
        message = f"{request.method} {request.url.path[:120]}: {error.detail}"
        headers: dict[str, Any] = dict(error.headers or {})
        return JSONResponse(body(message, kind, None, None), status_code=error.status_code, headers=headers)
