"""Error responses of the API: {"error": {"message", "type", "param", "code"}}, a status and a request id."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from kinema.errors import ApiError, UnavailableModelError


class ErrorDetails(BaseModel):
    """What went wrong: one line that a person can act on, the kind of error, and the parameter that it is about."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetails


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": ErrorBody}
    for status, text in (
        (400, "a value cannot be used"), (401, "no key, or none that holds"), (403, "the key may not do that"),
        (404, "there is none"), (409, "not in this state"), (413, "too large"), (422, "a value cannot be used"),
        (429, "too often, or beyond the quota"), (503, "not now; try again"), (507, "the disk is full"),
    )
}  # fmt: skip
"""Error responses of routes, for the OpenAPI page."""


def body(message: str, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def not_found(what: str, id: str) -> ApiError:
    """404, the same whether the object never existed, was deleted, or belongs to another key."""
    return ApiError(404, f"no {what} {id[:80]!r}; it may have been deleted or expired", code=f"{what}_not_found")


def unavailable_error(error: UnavailableModelError) -> ApiError:
    """503 for a model that cannot be opened. Why is for the log alone, since it names files of this machine."""
    return ApiError(503, error.public, code="model_unavailable", headers={"retry-after": "30"})


def refuse(param: str, came: object, expected: str) -> ApiError:
    """400 with what came and what was expected. Text is quoted and numbers are not, so that "64" and 64 differ."""
    return ApiError(400, f"{param} {shown(came)}: expected {expected}", param=param, code="invalid_value")


def shown(came: object) -> str:
    """A value of a body as one short piece of a message."""
    match came:
        case str():
            return repr(came[:120])
        case list() | dict():
            return f"({json_type(came)} of {len(came)})"
        case bool() | None:
            return json.dumps(came)
        case int() | float():
            return str(came)[:120]
        case _:
            return f"({json_type(came)})"


def json_type(came: object) -> str:
    """What JSON calls a value."""
    match came:
        case str():
            return "text"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a file" if came is not None else "null"
