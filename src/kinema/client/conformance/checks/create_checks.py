"""Checks of creating films, in the forms in which the official clients send their requests."""

from __future__ import annotations

import base64
import io
from contextlib import suppress
from typing import Any

from PIL import Image

from kinema.client.conformance.answers import LIVE_STATUSES, object_of, outline, pixels_of
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import UNICODE_PROMPT, Film, ServerUnderTest

AT_ONCE_S = 2.0
OFFICIAL = {"model": "sora-2", "size": "720x1280", "seconds": "4"}
"""What unmodified code asks for."""


def reference_picture(server: ServerUnderTest) -> bytes:
    """A picture of the size of the films, as PNG: a red square on gray."""
    width, height = pixels_of(server.film().last.get("size"))
    image = Image.new("RGB", (width, height), (150, 160, 170))
    image.paste((210, 40, 40), (width // 4, height // 3, width // 2, 2 * height // 3))
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()


@add_check("create.multipart", "required", "The Python client sends every request for a film as multipart/form-data.")
def _multipart(server: ServerUnderTest) -> str:
    with suppress(CheckSkipped):
        server.ended_film()
    if server.form == "multipart":
        return "accepted"
    with server.passing(form="multipart") as film:  # it was refused before; this says why
        return film.id


@add_check("create.json", "required", "The JavaScript client sends JSON where no file is sent.")
def _json(server: ServerUnderTest) -> str:
    return f"accepted in {server.json_film(owner=True).create_s:.2f} s"


@add_check(
    "create.at_once", "required", "`create` answers with a job to poll; one that waits for the film runs into a timeout."
)
def _at_once(server: ServerUnderTest) -> str:
    film = server.film()
    came = f"{film.created.get('status')} after {film.create_s:.2f} s"
    holds = film.created.get("status") in LIVE_STATUSES or film.create_s < AT_ONCE_S
    require(holds, came, f"queued or in_progress, or an answer within {AT_ONCE_S:g} s")
    return came


@add_check("create.defaults", "required", "Only `prompt` is required; model, size and seconds have defaults.")
def _defaults(server: ServerUnderTest) -> str:
    with server.passing(size=None, seconds=None) as film:
        return f"{film.created.get('seconds')} s at {film.created.get('size')}"


@add_check("create.unmodified", "optional", "Code written for the original service names sora-2 and its sizes.")
def _unmodified(server: ServerUnderTest) -> str:
    answer = server.post(server.fields(**OFFICIAL))
    if 400 <= answer.status_code < 500:
        raise NotOffered(outline(answer))
    video = object_of(answer)
    server.delete(str(video.get("id")))
    return f"{one_line(video.get('model'))} at {one_line(video.get('size'))}"


@add_check("create.unicode", "required", "`video.prompt` is shown to people and used to make the film again.")
def _unicode(server: ServerUnderTest) -> str:
    films: list[Film] = []
    with suppress(CheckSkipped):
        films.append(server.json_film())
    with suppress(CheckFailed), server.passing(form="multipart", prompt=UNICODE_PROMPT) as film:
        films.append(film)
    if not films:
        raise CheckSkipped("a film with such a prompt was not accepted")
    for film in films:
        prompt = film.created.get("prompt")
        if prompt is None:
            raise NotOffered("the video object has no prompt")
        require(prompt == UNICODE_PROMPT, f"by {film.form}: {one_line(prompt)}", one_line(UNICODE_PROMPT))
    return one_line(UNICODE_PROMPT)


@add_check("create.reference_file", "optional", "`input_reference` may be an open file, which comes as a file part.")
def _reference_file(server: ServerUnderTest) -> str:
    film = _with_reference(server, ("first.png", reference_picture(server), "image/png"))
    server.watch(film)
    status = film.last.get("status")
    require(status == "completed", f"{status}: {one_line(film.last.get('error'))}", "completed, as the request was accepted")
    return f"completed in {film.took_s:.1f} s"


@add_check(
    "create.reference_object",
    "optional",
    "An object with `image_url` comes as `input_reference[image_url]` of a form.",
)
def _reference_object(server: ServerUnderTest) -> str:
    return _accepted(server, _with_reference(server, {"image_url": _data_url(server)}))


@add_check("create.reference_json", "optional", "The JavaScript client sends `input_reference` as an object of the JSON.")
def _reference_json(server: ServerUnderTest) -> str:
    answer = server.post_json(server.fields(input_reference={"image_url": _data_url(server)}))
    if 400 <= answer.status_code < 500:
        raise NotOffered(outline(answer))
    video = object_of(answer)
    server.delete(str(video.get("id")))
    return f"accepted: {one_line(video.get('id'))}"


def _data_url(server: ServerUnderTest) -> str:
    return "data:image/png;base64," + base64.b64encode(reference_picture(server)).decode()


def _with_reference(server: ServerUnderTest, reference: Any) -> Film:
    try:
        return server.create(form="multipart", input_reference=reference)
    except CheckFailed as error:
        if error.came.startswith("4"):
            raise NotOffered(error.came) from None
        raise


def _accepted(server: ServerUnderTest, film: Film) -> str:
    server.delete(film.id)
    return f"accepted: {film.id}"
