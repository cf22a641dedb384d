"""Request bodies: JSON, or multipart with bracket keys (`guides[0][at]`), checked against a list of fields.

The same list is the schema of the OpenAPI page.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request

from kinema.errors import ApiError
from kinema.server.api.bodies import MOST_JSON, MOST_LIST, MOST_STATE, MOST_TEXT, raw_body
from kinema.server.api.errors import kind_of, refuse, shown

MOST_TOKEN = 255

Kind = Literal["text", "number", "whole", "flag", "reference", "list", "object", "any"]
_SCHEMA: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "maxLength": MOST_TEXT},
    "number": {"type": "number"},
    "whole": {"type": "integer"},
    "flag": {"type": "boolean"},
    "reference": {"anyOf": [{"type": "string"}, {"type": "object"}]},
    "list": {"type": "array", "items": {}},
    "object": {"type": "object"},
    "any": {},
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One thing that a body may hold. Numbers may come as text, as multipart sends them."""

    name: str
    kind: Kind
    about: str
    example: str | None = None
    """As JSON."""
    required: bool = False
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | None = None

    def schema(self) -> dict[str, Any]:
        made = {**_SCHEMA[self.kind], "description": self.about}
        if self.kind in ("number", "whole"):
            made |= {k: v for k, v in (("minimum", self.low), ("maximum", self.high)) if v is not None}
            made = {"anyOf": [made, {"type": "string", "maxLength": 32}], "description": self.about}
        if self.choices is not None:
            made["enum"] = list(self.choices)
        if self.default is not None:
            made["default"] = self.default
        return made

    def read(self, given: Any) -> Any:
        """The value, of the right type and within bounds; 400 in one line."""
        if given is None or (given == "" and self.kind != "text"):
            if self.required:
                raise ApiError(400, f"{self.name} is missing: {self.about}", param=self.name, code="missing_value")
            return self.default
        return getattr(self, f"_{self.kind}")(given)

    def _text(self, given: Any) -> str:
        if not isinstance(given, str):
            number = isinstance(given, int | float) and not isinstance(given, bool)
            came = f"{self.name} is {kind_of(given)}" + (f", {shown(given)}" if number else "")
            raise ApiError(400, f"{came}: expected {self._shape('text')}", param=self.name, code="invalid_value")
        if len(given) > MOST_TEXT:
            raise ApiError(
                400, f"{self.name} has {len(given)} characters; {MOST_TEXT} are allowed", param=self.name, code="too_long"
            )
        if self.required and not given.strip():
            raise ApiError(400, f"{self.name} is empty: {self.about}", param=self.name, code="missing_value")
        if any(ord(c) < 32 and c not in "\n\r\t" for c in given) or any(0xD800 <= ord(c) < 0xE000 for c in given):
            raise ApiError(400, f"{self.name} holds characters that are no text", param=self.name, code="invalid_value")
        if self.choices is not None and given not in self.choices:
            raise refuse(self.name, given, " or ".join(self.choices))
        return given

    def _number(self, given: Any) -> float:
        try:
            value = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        low, high = -math.inf if self.low is None else self.low, 1e12 if self.high is None else self.high
        if not (math.isfinite(value) and low <= value <= high):
            raise refuse(self.name, given, _between(self.low, self.high))
        return value

    def _whole(self, given: Any) -> int:
        if (isinstance(given, str) and re.fullmatch(r"-?\d{1,20}", given)) or (
            isinstance(given, float) and given.is_integer()
        ):
            given = int(given)
        if isinstance(given, bool) or not isinstance(given, int):
            raise refuse(self.name, given, "a whole number")
        if not (self.low is None or given >= self.low) or not (self.high is None or given <= self.high):
            raise refuse(self.name, given, "a whole number, " + _between(self.low, self.high))
        return given

    def _flag(self, given: Any) -> bool:
        if isinstance(given, bool):
            return given
        if isinstance(given, str) and given.lower() in ("true", "false", "1", "0"):
            return given.lower() in ("true", "1")
        raise refuse(self.name, given, "true or false")

    def _reference(self, given: Any) -> Any:
        if isinstance(given, str) and given.startswith("{"):
            return _parsed(given, self.name, self._shape("JSON"))
        return given

    def _list(self, given: Any) -> list[Any]:
        if isinstance(given, str):
            given = _parsed(given, self.name, self._shape("JSON"))
        if not isinstance(given, list):
            raise refuse(self.name, given, self._shape("a list"))
        if len(given) > MOST_LIST:
            raise refuse(self.name, f"{len(given)} entries", f"up to {MOST_LIST}")
        return given

    def _object(self, given: Any) -> dict[str, Any]:
        if isinstance(given, str):
            given = _parsed(given, self.name, self._shape("JSON"))
        if not isinstance(given, dict):
            raise refuse(self.name, given, self._shape("an object"))
        return given

    def _shape(self, kind: str) -> str:
        """A kind of value with an example of it, or with what it is for."""
        return f"{kind} such as {self.example}" if self.example else f"{kind}: {self.about}" if self.about else kind

    def _any(self, given: Any) -> Any:
        return given


def _between(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a number"
    if high is None:
        return f"a number from {low:g} on"
    return f"a number from {low or 0:g} to {high:g}"


def _parsed(text: str, name: str, expected: str) -> Any:
    if len(text) > MOST_STATE:
        raise refuse(name, f"{len(text)} characters", f"up to {MOST_STATE}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise refuse(name, text, expected) from None


async def body_of(request: Request, fields: Sequence[Field], *, most: int = MOST_JSON) -> dict[str, Any]:
    """Read and check a body. Unknown fields are refused with a suggestion."""
    given = await raw_body(request, most=most)
    known = {field.name for field in fields}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name[:60], known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
            raise ApiError(400, f"unknown parameter {name[:60]!r}{hint}", param=name[:60], code="unknown_parameter")
    return {field.name: field.read(given.get(field.name)) for field in fields}


def token_of(request: Request) -> str | None:
    """The Idempotency-Key of a request, if it has one."""
    token = request.headers.get("idempotency-key")
    if token is not None and not 0 < len(token) <= MOST_TOKEN:
        raise ApiError(400, f"Idempotency-Key of {len(token)} characters: expected 1 to {MOST_TOKEN}", code="invalid_value")
    return token


def described(fields: Sequence[Field], *, answer: str = "the answer") -> dict[str, Any]:
    """For FastAPI's openapi_extra: the body, and errors in their shape."""
    required = [field.name for field in fields if field.required]
    schema: dict[str, Any] = {
        "type": "object", "properties": {field.name: field.schema() for field in fields}, "additionalProperties": False
    }  # fmt: skip
    if required:
        schema["required"] = required
    body = {"required": bool(required), "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body} if fields else {}
