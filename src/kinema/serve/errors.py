"""Errors as the API answers them: {"error": {"message", "type", "param", "code"}}, a status and a request id."""

from __future__ import annotations

from typing import Any

from kinema.errors import KinemaError

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(KinemaError):
    """An answer other than success; the message is one line that a person can act on."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.type = type or TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        return body(self.message, self.type, self.param, self.code)


def body(message: str, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def not_found(what: str, id: str) -> ApiError:
    """The same whether it never was, is gone, or is someone else's."""
    return ApiError(404, f"no {what} {id[:80]!r}; it may have been deleted or expired", code=f"{what}_not_found")


def refuse(param: str, came: object, expected: str) -> ApiError:
    """What came, what was expected."""
    return ApiError(400, f"{param} {str(came)[:120]!r}: expected {expected}", param=param, code="invalid_value")
