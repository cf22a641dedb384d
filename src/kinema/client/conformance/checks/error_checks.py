"""Checks of requests that cannot be fulfilled: each must be an error of the client, in the shape that the official client reads."""

from __future__ import annotations

from typing import Any

from kinema.client.conformance.answers import object_of, outline, refused
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import PROMPT, UNKNOWN_ID, ServerUnderTest

LONG = 100_000
UNKNOWN_MODEL = "no-such-model-9"
ODD_IDS = ("..%2F..%2Fetc%2Fpasswd", "%00", "%F0%9F%8E%88", "x" * 3000, "%27%20OR%201=1--")


def _refuses(server: ServerUnderTest, *requests: dict[str, Any]) -> str:
    """All of these are refused."""
    shown = [refused(server.post(fields)) for fields in requests]
    return shown[0]


@add_check("errors.missing_prompt", "required", "A forgotten prompt raises BadRequestError at once, not a film of nothing.")
def _missing_prompt(server: ServerUnderTest) -> str:
    bare = {name: value for name, value in server.fields(seconds=server.options.seconds).items() if name != "prompt"}
    return _refuses(server, bare, {**bare, "prompt": ""})


@add_check(
    "errors.bad_size", "required", "A size that cannot be filmed is refused before the film, not in the middle of it."
)
def _bad_size(server: ServerUnderTest) -> str:
    return _refuses(server, *(server.fields(size=size) for size in ("huge", "0x0", "-64x64", "64x")))


@add_check("errors.bad_seconds", "required", "Seconds that are no number are refused before the film.")
def _bad_seconds(server: ServerUnderTest) -> str:
    return _refuses(server, *(server.fields(seconds=seconds) for seconds in ("soon", "-1", "0")))


@add_check(
    "errors.wrong_type", "required", "A value of another type raises BadRequestError, as programs without types send them."
)
def _type_mismatch(server: ServerUnderTest) -> str:
    shown = [
        refused(server.post_json({**server.fields(), "prompt": value})) for value in (["a", "b"], {"text": "a ball"}, 7)
    ]
    return shown[0]


@add_check("errors.unknown_model", "required", "A client that asks for one model must not get another one under its name.")
def _unknown_model(server: ServerUnderTest) -> str:
    answer = server.post(server.fields(model=UNKNOWN_MODEL))
    if answer.is_success:
        model = object_of(answer).get("model")
        server.delete(str(object_of(answer).get("id")))
        require(model != UNKNOWN_MODEL, f"a film by {UNKNOWN_MODEL}", "a refusal, or the name of the model that films")
        return f"films by {one_line(model)}, and says so"
    return refused(answer)


@add_check("errors.long_prompt", "required", "A prompt that is too long is refused or used, but never cut in silence.")
def _long_prompt(server: ServerUnderTest) -> str:
    prompt = (PROMPT + ", ") * (LONG // len(PROMPT))
    answer = server.post(server.fields(prompt))
    if not answer.is_success:
        return refused(answer)
    video = object_of(answer)
    server.delete(str(video.get("id")))
    came = video.get("prompt")
    if not isinstance(came, str):
        raise CheckSkipped("it was accepted, and the video object has no prompt")
    require(came == prompt, f"accepted, with {len(came)} of {len(prompt)} characters", "a refusal, or all characters")
    return f"{len(prompt)} characters accepted"


def _raw(server: ServerUnderTest, content: bytes, kind: str) -> str:
    answer = server.request("POST", "/videos", content=content, headers={"content-type": kind})
    return refused(answer)


@add_check("errors.malformed_json", "required", "A body that is not JSON raises BadRequestError.")
def _malformed_json(server: ServerUnderTest) -> str:
    _raw(server, b'["a red ball"]', "application/json")
    return _raw(server, b'{"prompt": "a red ball rolls right', "application/json")


@add_check("errors.malformed_form", "required", "A form that is cut off raises BadRequestError.")
def _malformed_form(server: ServerUnderTest) -> str:
    body = b'--abc\r\nContent-Disposition: form-data; name="prompt'
    return _raw(server, body, "multipart/form-data; boundary=abc")


@add_check("errors.content_type", "required", "A body of another kind is refused, not read as an empty request.")
def _content_type(server: ServerUnderTest) -> str:
    return _raw(server, b"a red ball rolls right", "text/plain")


@add_check("errors.unknown_video", "required", "NotFoundError stands for status 404.")
def _unknown_video(server: ServerUnderTest) -> str:
    return refused(server.get(UNKNOWN_ID), 404)


@add_check(
    "errors.odd_ids", "required", "An id is a part of a path; odd ones must not reach anything else, nor crash the server."
)
def _odd_ids(server: ServerUnderTest) -> str:
    shown = []
    for id in ODD_IDS:
        answer = server.request("GET", f"/videos/{id}")
        require(400 <= answer.status_code < 500, f"{id[:20]!r}: {outline(answer)}", "a status from 400 to 499")
        shown.append(answer.status_code)
    return one_line(shown)


@add_check("errors.broken_picture", "optional", "A file that is no picture is refused, or its film fails with a reason.")
def _broken_picture(server: ServerUnderTest) -> str:
    try:
        film = server.create(form="multipart", input_reference=("first.png", b"this is no picture", "image/png"))
    except CheckFailed:
        return refused(server.answers[-1])
    server.watch(film)
    server.delete(film.id)
    status, error = film.last.get("status"), film.last.get("error")
    if status == "completed":
        raise NotOffered("the file was not looked at")
    holds = isinstance(error, dict) and bool(error.get("message"))
    require(holds, f"{status}: {one_line(error)}", "failed, with an error that has a message")
    return f"{status}: {one_line(error)}"
