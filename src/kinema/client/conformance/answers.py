"""Readings of a server's answers: JSON objects, errors and videos, each as the official client reads them."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

import httpx

from kinema.client.conformance.check import CheckFailed, one_line, require

STATUSES = ("queued", "in_progress", "completed", "failed")
LIVE_STATUSES = STATUSES[:2]
ERROR_FIELDS = ("message", "type", "param", "code")
NO_ROUTE = (404, 405, 501)
SIZE = re.compile(r"(\d+)x(\d+)")


def outline(answer: httpx.Response) -> str:
    """A status and the beginning of the body, on one line."""
    kind = answer.headers.get("content-type", "")
    is_text = "json" in kind or kind.startswith("text/")
    body = one_line(answer.text) if is_text else f"{len(answer.content)} bytes of {kind or 'no content-type'}"
    return f"{answer.status_code} {body}".strip()


def json_of(answer: httpx.Response) -> Any:
    """The JSON of an answer, None where it is none."""
    try:
        return answer.json()
    except ValueError:
        return None


def object_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of a successful answer, sent as JSON."""
    payload = json_of(answer)
    require(answer.is_success and isinstance(payload, dict), outline(answer), "2xx with a JSON object")
    kind = answer.headers.get("content-type", "")
    require("json" in kind, f"content-type {kind!r}", "application/json, without which the client hands on a text")
    return dict(payload)


def refused(answer: httpx.Response, *statuses: int) -> str:
    """A refusal: a status from 400 to 499, or one of `statuses`, with a body of JSON."""
    expected = f"status {' or '.join(map(str, statuses))}" if statuses else "a status from 400 to 499"
    fits = answer.status_code in statuses if statuses else 400 <= answer.status_code < 500
    require(fits, outline(answer), f"{expected} with an error")
    payload = json_of(answer)
    require(isinstance(payload, dict), outline(answer), f"{expected} with an error as a JSON object")
    error = payload.get("error")
    return f"{answer.status_code} {one_line(error['message'])}" if not error_fault(answer) else outline(answer)


def error_fault(answer: httpx.Response) -> str:
    """What is not as it should be in an error: {"error": {"message", "type", "param", "code"}}; "" if nothing is."""
    payload = json_of(answer)
    error = payload.get("error") if isinstance(payload, dict) else None
    if not isinstance(error, dict):
        return "there is no object `error`"
    missing = [name for name in ERROR_FIELDS if name not in error]
    if missing:
        return f"error has no {', '.join(missing)}"
    if not isinstance(error["message"], str) or not error["message"].strip():
        return "error.message is no text"
    if not isinstance(error["type"], str):
        return "error.type is no text"
    bad = [name for name in ("param", "code") if not isinstance(error[name], str | None)]
    return f"error.{bad[0]} is neither a text nor null" if bad else ""


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is an integer of JSON."""
    return isinstance(value, int) and not isinstance(value, bool)


def ids_of(videos: list[Any]) -> list[str]:
    return [str(video["id"]) for video in videos if isinstance(video, dict) and "id" in video]


def pixels_of(size: Any) -> tuple[int, int]:
    """Width and height of "WIDTHxHEIGHT"."""
    match = SIZE.fullmatch(size) if isinstance(size, str) else None
    if match is None:
        raise CheckFailed(f"size {one_line(size)}", 'a text such as "1280x720"')
    return int(match[1]), int(match[2])


def number_of(text: Any) -> float:
    """The seconds of a video object as a number."""
    try:
        return float(text)
    except (TypeError, ValueError):
        raise CheckFailed(f"seconds {one_line(text)}", 'a text such as "4"') from None
