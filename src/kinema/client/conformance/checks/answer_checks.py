"""Checks of every answer of the run; they come last."""

from __future__ import annotations

import httpx

from kinema.client.conformance.answers import error_fault, json_of, outline
from kinema.client.conformance.check import CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import UNKNOWN_ID, ServerUnderTest


def _errors(server: ServerUnderTest) -> list[httpx.Response]:
    """All error answers of the run that have a body; one is asked for so that there is one."""
    server.get(UNKNOWN_ID)
    errors = [answer for answer in server.answers if answer.status_code >= 400 and answer.request.method != "HEAD"]
    if not errors:
        raise CheckSkipped("no answer was an error")
    return errors


def _named(answer: httpx.Response) -> str:
    """Request and answer on one line, without the address of the server."""
    return f"{answer.request.method} {answer.request.url.path[:60]}: {outline(answer)}"


@add_check("run.errors_are_json", "required", "Errors are read as JSON; of an HTML page only the status is left.")
def _errors_are_json(server: ServerUnderTest) -> str:
    errors = _errors(server)
    bad = [answer for answer in errors if not isinstance(json_of(answer), dict)]
    require(not bad, f"{len(bad)} of {len(errors)}: {_named(bad[0]) if bad else ''}", "JSON objects")
    return f"{len(errors)} errors"


@add_check(
    "run.error_objects",
    "required",
    "`message`, `type`, `param` and `code` of every exception are read from the answer.",
)
def _error_objects(server: ServerUnderTest) -> str:
    errors = _errors(server)
    bad = [answer for answer in errors if error_fault(answer)]
    came = f"{len(bad)} of {len(errors)}: {error_fault(bad[0])}: {_named(bad[0])}" if bad else ""
    require(not bad, came, '{"error": {"message", "type", "param", "code"}}')
    return f"{len(errors)} errors"


@add_check(
    "run.error_param", "optional", "`error.param` names the parameter that was refused, so that a form can mark its field."
)
def _error_param(server: ServerUnderTest) -> str:
    payload = json_of(server.post(server.fields(seconds="soon")))
    error = payload.get("error") if isinstance(payload, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    if param is None:
        raise NotOffered("param is null or missing for bad seconds")
    require(param == "seconds", one_line(param), '"seconds"')
    return "seconds"


@add_check(
    "run.request_id", "optional", "`error.request_id` is the header x-request-id, which people quote when they ask for help."
)
def _request_id(server: ServerUnderTest) -> str:
    errors = _errors(server)
    ids = [answer.headers["x-request-id"] for answer in errors if answer.headers.get("x-request-id")]
    if not ids:
        raise NotOffered("there is no header x-request-id")
    require(len(ids) == len(errors), f"in {len(ids)} of {len(errors)} errors", "in all of them")
    require(len(set(ids)) == len(ids), "the same id twice", "an id for each request")
    return one_line(ids[0])


@add_check("run.never_5xx", "required", "A status from 500 on is tried again by the client, though the mistake is its own.")
def _never_5xx(server: ServerUnderTest) -> str:
    bad = [answer for answer in server.answers if answer.status_code >= 500]
    if not server.answers:
        raise CheckSkipped("nothing was asked")
    require(not bad, f"{len(bad)} of {len(server.answers)}: {_named(bad[0]) if bad else ''}", "statuses below 500")
    return f"{len(server.answers)} answers"
