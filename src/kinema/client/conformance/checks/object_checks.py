"""Checks of the video object, in the answer to its creation and in every look at it afterwards."""

from __future__ import annotations

import re
import time
from typing import Any

from kinema.client.conformance.answers import LIVE_STATUSES, STATUSES, is_integer, number_of, pixels_of
from kinema.client.conformance.check import NotOffered, add_check, one_line, require
from kinema.client.conformance.target import ServerUnderTest

DAY_S = 86400
ID = re.compile(r"[\w.~:-]{1,255}")
MISSING = "(missing)"


def _values(server: ServerUnderTest, name: str) -> list[Any]:
    """A field of all video objects of one film, in order."""
    return [video.get(name, MISSING) for video in server.ended_film().objects]


@add_check("object.id", "required", "Every further call names the video by its id, as a part of a path.")
def _id(server: ServerUnderTest) -> str:
    ids = _values(server, "id")
    for id in ids:
        require(isinstance(id, str) and ID.fullmatch(id) is not None, one_line(id), "a text that can be a part of a path")
    require(len(set(ids)) == 1, one_line(sorted(set(ids))), "the same id in every answer")
    return str(ids[0])


@add_check("object.object", "required", 'The type `Video` of both clients has the constant "video" there.')
def _object(server: ServerUnderTest) -> str:
    for value in _values(server, "object"):
        require(value == "video", one_line(value), '"video"')
    return "video"


@add_check(
    "object.status", "required", "`poll` ends at any status but queued and in_progress, so another word would end it early."
)
def _status(server: ServerUnderTest) -> str:
    values = _values(server, "status")
    for value in values:
        require(value in STATUSES, one_line(value), f"one of {', '.join(STATUSES)}")
    return ", ".join(dict.fromkeys(values))


@add_check("object.created_at", "required", "`created_at` is a time in whole seconds since 1970.")
def _created_at(server: ServerUnderTest) -> str:
    values = _values(server, "created_at")
    for value in values:
        require(is_integer(value) and abs(value - time.time()) < DAY_S, one_line(value), "whole seconds since 1970, of now")
    require(len(set(values)) == 1, one_line(sorted(set(values))), "the same time in every answer")
    return str(values[0])


@add_check("object.progress", "required", "`progress` is a whole number of percent, which programs show as it is.")
def _progress(server: ServerUnderTest) -> str:
    values = _values(server, "progress")
    for value in values:
        require(is_integer(value) and 0 <= value <= 100, one_line(value), "a whole number from 0 to 100")
    return f"{len(set(values))} different values, {min(values)} to {max(values)}"


@add_check("object.seconds", "required", 'The type `Video` has seconds as a text, such as "4".')
def _seconds(server: ServerUnderTest) -> str:
    wanted = number_of(server.options.seconds)
    for value in _values(server, "seconds"):
        require(isinstance(value, str), f"{one_line(value)} ({type(value).__name__})", "a text")
        near = abs(number_of(value) - wanted) <= max(0.15 * wanted, 0.5)
        require(near, one_line(value), f"about {server.options.seconds}, as was asked for")
    return one_line(server.ended_film().last["seconds"])


@add_check("object.size", "required", 'The type `Video` has size as a text such as "1280x720".')
def _size(server: ServerUnderTest) -> str:
    values = _values(server, "size")
    for value in values:
        pixels_of(value)
        require(server.options.size in (None, value), one_line(value), f"{server.options.size}, as was asked for")
    return str(values[-1])


@add_check("object.model", "required", "`video.model` says which model filmed.")
def _model(server: ServerUnderTest) -> str:
    values = _values(server, "model")
    for value in values:
        require(isinstance(value, str) and bool(value.strip()) and value != MISSING, one_line(value), "the name of a model")
    return str(values[-1])


@add_check("object.completed_at", "required", "`completed_at` is null until the film is completed, and a time afterwards.")
def _completed_at(server: ServerUnderTest) -> str:
    film = server.film()
    for video in film.objects:
        value = video.get("completed_at")
        if video.get("status") in LIVE_STATUSES:
            require(value is None, f"{one_line(value)} while {video.get('status')}", "null")
    value, created = film.last.get("completed_at"), film.last.get("created_at")
    fits = is_integer(value) and is_integer(created) and created <= value < time.time() + DAY_S
    require(fits, one_line(value), "whole seconds since 1970, not before created_at")
    return str(value)


@add_check("object.expires_at", "optional", "`expires_at` says until when the film can be downloaded.")
def _expires_at(server: ServerUnderTest) -> str:
    value = server.film().last.get("expires_at")
    if value is None:
        raise NotOffered("null or missing: the film does not expire, or nobody knows when")
    require(is_integer(value) and value > time.time(), one_line(value), "whole seconds since 1970, of a time to come")
    return str(value)


@add_check("object.error", "required", "`video.error` is null, or an object with code and message where the film failed.")
def _error(server: ServerUnderTest) -> str:
    for video in server.ended_film().objects:
        error = video.get("error")
        if video.get("status") == "failed":
            fits = isinstance(error, dict) and all(isinstance(error.get(part), str) for part in ("code", "message"))
            require(fits, one_line(error), "an object with the texts code and message")
        else:
            require(error is None, f"{one_line(error)} while {video.get('status')}", "null")
    return one_line(server.ended_film().last.get("error"))


@add_check("object.prompt", "optional", "`video.prompt` shows in a list what each film is of.")
def _prompt(server: ServerUnderTest) -> str:
    film = server.ended_film()
    if film.last.get("prompt") is None:
        raise NotOffered("null or missing")
    require(film.last["prompt"] == film.prompt, one_line(film.last["prompt"]), one_line(film.prompt))
    return one_line(film.prompt)


@add_check(
    "object.same_everywhere", "required", "`create`, `retrieve` and `list` return the same type `Video` of the same film."
)
def _same_everywhere(server: ServerUnderTest) -> str:
    film, names = server.film(), ("id", "object", "created_at", "model", "size", "seconds")
    listed = next((one for one in server.page(limit=100)["data"] if one.get("id") == film.id), None)
    require(listed is not None, "the film is not in the list", "the film among the newest 100")
    assert listed is not None
    for label, video in (("create", film.created), ("list", listed)):
        differ = [name for name in names if video.get(name) != film.last.get(name)]
        shown = ", ".join(f"{name} {one_line(video.get(name))} and {one_line(film.last.get(name))}" for name in differ)
        require(not differ, f"{label} and retrieve: {shown}", "the same values")
    return ", ".join(names)
