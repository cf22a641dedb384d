"""Checks of reachability, of the list of models, and of keys."""

from __future__ import annotations

import httpx

from kinema.client.conformance.answers import NO_ROUTE, error_fault, object_of, outline, refused
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import ServerUnderTest

UNKNOWN_KEY = "not-a-key-of-this-server"


@add_check("reach.answers", "required", "Every call of the client goes to the paths below /v1.")
def _answers(server: ServerUnderTest) -> str:
    answer = server.request("GET", "/videos", params={"limit": 1})
    require(answer.status_code == 200, outline(answer), "200 from GET /v1/videos")
    return f"200 in {1000 * answer.elapsed.total_seconds():.0f} ms"


@add_check("reach.json", "required", "The client parses an answer only if its content-type is JSON.")
def _json(server: ServerUnderTest) -> str:
    answer = server.request("GET", "/videos", params={"limit": 1})
    object_of(answer)
    return str(answer.headers["content-type"])


@add_check("reach.models", "optional", "`client.models.list()` says which models may be asked for.")
def _models(server: ServerUnderTest) -> str:
    names = _model_names(server)
    return f"{len(names)} models: {one_line(', '.join(names))}"


@add_check("reach.model_listed", "optional", "A program finds the model that filmed in the list of models.")
def _model_listed(server: ServerUnderTest) -> str:
    names, model = _model_names(server), server.film().last.get("model")
    require(model in names, f"model {one_line(model)}, listed: {one_line(', '.join(names))}", "the film's model in the list")
    return str(model)


def _model_names(server: ServerUnderTest) -> list[str]:
    answer = server.request("GET", "/models")
    if answer.status_code in NO_ROUTE:
        raise NotOffered(outline(answer))
    models = object_of(answer).get("data")
    require(isinstance(models, list), f"data {one_line(models)}", "a list of models")
    assert isinstance(models, list)
    bad = [one for one in models if not (isinstance(one, dict) and one.get("object") == "model" and one.get("id"))]
    require(not bad, one_line(bad[:1]), 'each with an id and object "model"')
    return [str(one["id"]) for one in models]


def _with_header(server: ServerUnderTest, header: str | None) -> httpx.Response:
    """The list of videos as a client with another Authorization header, or with none, gets it."""
    if not server.options.key:
        raise CheckSkipped("no --key was given: the server is taken to have no keys")
    headers = {} if header is None else {"authorization": header}
    try:
        answer = httpx.get(server.options.base_url + "/videos", headers=headers, timeout=60.0)
    except httpx.HTTPError as error:
        raise CheckFailed(f"no answer: {error}", "401") from None
    server.answers.append(answer)
    return answer


@add_check("auth.missing", "required", "A forgotten key must raise AuthenticationError, which stands for status 401.")
def _missing(server: ServerUnderTest) -> str:
    return refused(_with_header(server, None), 401)


@add_check(
    "auth.unknown", "required", "A mistyped or revoked key must raise AuthenticationError, which stands for status 401."
)
def _unknown(server: ServerUnderTest) -> str:
    return refused(_with_header(server, f"Bearer {UNKNOWN_KEY}"), 401)


@add_check("auth.bearer", "required", "The client sends the key as `Authorization: Bearer KEY`, and in no other form.")
def _bearer(server: ServerUnderTest) -> str:
    answer = _with_header(server, f"Bearer {server.options.key}")
    require(answer.status_code == 200, outline(answer), "200")
    return "200"


@add_check(
    "auth.other_form", "required", "A header of another form must be an error of the client, not a crash of the server."
)
def _other_form(server: ServerUnderTest) -> str:
    shown = []
    for header in ("Bearer", "Basic bm90OmE=", "Bearer " + 5000 * "x"):
        answer = _with_header(server, header)
        require(400 <= answer.status_code < 500, f"{header[:12]!r}: {outline(answer)}", "a status from 400 to 499")
        shown.append(answer.status_code)
    return one_line(shown)


@add_check(
    "auth.error_object",
    "required",
    "`message`, `type`, `param` and `code` of AuthenticationError are read from it.",
)
def _error_object(server: ServerUnderTest) -> str:
    answer = _with_header(server, None)
    require(answer.status_code >= 400, outline(answer), "an error")
    fault = error_fault(answer)
    require(not fault, f"{fault}: {outline(answer)}", '{"error": {"message", "type", "param", "code"}}')
    return outline(answer)
