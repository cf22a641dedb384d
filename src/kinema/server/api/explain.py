"""Error texts for bodies and parameters that pydantic refuses: one line with what came and, from the schema, what was expected."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from kinema.errors import ApiError
from kinema.server.api.bodies import InvalidBody, resolved
from kinema.server.api.errors import json_type, refuse, shown


def explain(error: RequestValidationError) -> ApiError:
    """The error response to a body (400) or to parameters of an address (422) that cannot be used."""
    if isinstance(error, InvalidBody):
        errors = error.errors()
        return _explain_body(next((one for one in errors if one["type"] == "extra_forbidden"), errors[0]), error.schema)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or None
    came = "" if first.get("input") is None else f" {shown(first['input'])}"
    if first["type"] == "missing":
        return ApiError(422, f"{name or 'the request'} is missing: it is needed", param=name, code="missing_value")
    message = f"{name or 'the request'}{came}: {first['msg'].replace('Input should', 'it should')}"
    return ApiError(422, message, type="invalid_request_error", param=name, code="invalid_value")


def _explain_body(error: dict[str, Any], schema: dict[str, Any]) -> ApiError:
    path, came, kind = list(error["loc"]), error["input"], error["type"]
    if kind == "missing" and path and isinstance(path[-1], int):  # a list with too few entries
        path, kind = path[:-1], "too_short"
    name = _name(path)
    if kind == "extra_forbidden":
        return unknown_parameter(name, list(_part(schema, path[:-1])["properties"]))
    part = _part(schema, path)
    about = part.get("description", "")

    def bad(message: str, code: str = "invalid_value") -> ApiError:
        return ApiError(400, message, param=name, code=code)

    match kind, came, part.get("type"):
        case "missing", _, _:
            return bad(f"{name} is missing: {about or 'it is needed'}", "missing_value")
        case "string_pattern_mismatch", _, _:
            return bad(f"{name} is empty: {about or 'expected text'}", "missing_value")
        case "string_too_long", str(), _:
            return bad(f"{name} has {len(came)} characters; {error['ctx']['max_length']} are allowed", "too_long")
        case "no_text" | "string_unicode", _, _:
            return bad(f"{name or 'the body'} holds characters that are no text")
        case "no_json", _, _:
            return refuse(name, came, _shape("JSON", part))
        case "too_long", list(), _ if "prefixItems" not in part:
            return refuse(name, f"{len(came)} entries", f"up to {part['maxItems']}")
        case "value_error", _, _:
            return bad(str(error["ctx"]["error"]))
        case _, _, "string" if "enum" not in part:
            value = f", {shown(came)}" if isinstance(came, int | float) and not isinstance(came, bool) else ""
            return bad(f"{name} is {json_type(came)}{value}: expected {_shape('text', part)}")
    return refuse(name, came, _expected(part))


def _name(path: Sequence[str | int]) -> str:
    """("keyframes", 0, "at") -> keyframes[0].at"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in path).removeprefix(".")


def _part(schema: dict[str, Any], path: Sequence[str | int]) -> dict[str, Any]:
    """The schema of one field."""
    part = schema
    for step in path:
        if isinstance(step, int):
            inner = part["prefixItems"][step] if "prefixItems" in part else part["items"]
        else:
            inner = part["properties"][step]
        part = resolved(inner, schema)
    return part


def unknown_parameter(name: str, known: Collection[str]) -> ApiError:
    """400 for a field of a body or an address that does not exist, with the nearest name, or all."""
    inside = name.rpartition(".")[2]
    near = difflib.get_close_matches(inside, known, 1)
    others = f"; there are {', '.join(sorted(known))}" if known else "; there are none here"
    hint = f"; did you mean {near[0]!r}?" if near else others
    return ApiError(400, f"unknown parameter {name[:80]!r}{hint}", param=name[:80], code="unknown_parameter")


def _expected(part: dict[str, Any]) -> str:
    if "enum" in part or "const" in part:
        return " or ".join(map(str, part.get("enum", [part.get("const")])))
    if "prefixItems" in part:
        return str(part["description"])
    low, high = part.get("minimum", part.get("exclusiveMinimum")), part.get("maximum")
    match part.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _between(low, high).removeprefix("a number")
        case "number":
            return _between(low, high)
        case "array":
            return _shape("a list", part)
        case "object":
            return _shape("an object", part)
    return str(part.get("description", "something else"))


def _shape(kind: str, part: dict[str, Any]) -> str:
    """A kind of value with an example of it, or with what it is for."""
    if part.get("examples"):
        return f"{kind} such as {json.dumps(part['examples'][0])}"
    return f"{kind}: {part['description']}" if part.get("description") else kind


def _between(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a number"
    if high is None:
        return f"a number from {_plain(low or 0)} on"
    return f"a number from {_plain(low or 0)} to {_plain(high)}"


def _plain(number: float) -> str:
    """A number without an exponent where it is whole."""
    return str(int(number)) if number == int(number) else f"{number:g}"
