"""Errors as the API answers them: {"error": {"message", "type", "param", "code"}}, a status and a request id."""

from __future__ import annotations

from typing import Any

from kinema.errors import ApiError


def body(message: str, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def not_found(what: str, id: str) -> ApiError:
    """The same whether it never was, is gone, or is someone else's."""
    return ApiError(404, f"no {what} {id[:80]!r}; it may have been deleted or expired", code=f"{what}_not_found")


def refuse(param: str, came: object, expected: str) -> ApiError:
    """What came, what was expected."""
    if isinstance(came, (list, dict)):
        came = f"{type(came).__name__} of {len(came)}"
    shown = came[:120] if isinstance(came, str) else str(came)[:120]
    return ApiError(400, f"{param} {shown!r}: expected {expected}", param=param, code="invalid_value")
