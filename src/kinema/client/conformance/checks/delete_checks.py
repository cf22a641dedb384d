"""Checks of deleting and canceling, and of films made from others."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

from kinema.client.conformance.answers import LIVE_STATUSES, NO_ROUTE, ids_of, object_of, outline, refused
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import OTHER_PROMPT, PROMPT, UNKNOWN_ID, Film, ServerUnderTest

FEWEST_DELETED, MOST_DELETED, WORK_S = 4, 8, 2.5
SHORTEST_S = 0.1
SLACK_S = 0.2


def _deleted(server: ServerUnderTest) -> tuple[Film, Any]:
    """A film that was deleted after it had ended, and the answer to its deletion."""

    def delete() -> tuple[Film, Any]:
        film = server.crowd()[0]
        answer = server.delete(film.id)
        if answer.status_code in (405, 501):
            raise CheckFailed(outline(answer), "200")
        return film, answer

    return server.share("deleted film", delete, owner=True)


@add_check(
    "delete.answer", "required", 'The type VideoDeleteResponse is {"id", "object": "video.deleted", "deleted": true}.'
)
def _answer(server: ServerUnderTest) -> str:
    film, answer = _deleted(server)
    payload = object_of(answer)
    expected = {"id": film.id, "object": "video.deleted", "deleted": True}
    require({name: payload.get(name) for name in expected} == expected, one_line(payload), one_line(expected))
    return one_line(expected)


@add_check("delete.gone", "required", "A deleted video raises NotFoundError, has no content and is in no list.")
def _gone(server: ServerUnderTest) -> str:
    film, answer = _deleted(server)
    require(answer.is_success, outline(answer), "2xx from DELETE")
    refused(server.get(film.id), 404)
    refused(server.get(film.id, "/content"), 404)
    refused(server.delete(film.id), 404)
    require(film.id not in ids_of(server.page(limit=100)["data"]), "it is in the list", "a list without it")
    return "404"


@add_check("delete.unknown_video", "required", "NotFoundError stands for status 404.")
def _unknown_video(server: ServerUnderTest) -> str:
    return refused(server.delete(UNKNOWN_ID), 404)


@add_check("delete.stops", "required", "A film that nobody wants any more must not keep the others waiting.")
def _stops(server: ServerUnderTest) -> str:
    usual_s = min(film.took_s for film in (server.film(), *server.crowd()))
    if usual_s < SHORTEST_S:
        raise CheckSkipped(f"a film takes {usual_s:.2f} s: too short to tell")
    count = min(max(math.ceil(WORK_S / usual_s), FEWEST_DELETED), MOST_DELETED)
    most_s = usual_s + 0.5 * count * usual_s + SLACK_S
    came = ""
    for _ in range(2):  # a machine that was busy with something else gets a second try
        for film in [server.create() for _ in range(count)]:
            answer = server.delete(film.id)
            if 400 <= answer.status_code < 500:
                if answer.status_code in NO_ROUTE:
                    raise CheckFailed(outline(answer), "2xx from DELETE")
                raise NotOffered(f"a film that is being made may not be deleted: {outline(answer)}")
        film = server.create()
        with suppress(CheckFailed):
            server.watch(film, timeout_s=most_s + SLACK_S)
        server.delete(film.id)
        came = f"{film.last.get('status')} {film.took_s:.1f} s after {count} others were deleted; alone {usual_s:.1f} s"
        if film.took_s <= most_s and film.last.get("status") == "completed":
            return came
    raise CheckFailed(came, f"at most {most_s:.1f} s")


@add_check("delete.cancel", "optional", "Some servers stop a film, and keep its record, with POST /v1/videos/{id}/cancel.")
def _cancel(server: ServerUnderTest) -> str:
    server.film()
    with server.passing() as film:
        answer = server.request("POST", f"/videos/{film.id}/cancel")
        if answer.status_code in NO_ROUTE:
            raise NotOffered(outline(answer))
        if answer.status_code == 409:
            raise CheckSkipped("the film was completed before it could be canceled")
        require(answer.is_success, outline(answer), "2xx with the video object")
        end = time.monotonic() + max(2.0, server.film().took_s)
        while server.poll(film).status in LIVE_STATUSES and time.monotonic() < end:
            time.sleep(0.1)
        status, error = film.last.get("status"), film.last.get("error")
        require(status == "failed", f"{status}", "failed, the status that ends `poll`")
        require(isinstance(error, dict), f"error {one_line(error)}", "an object with code and message")
        return f"failed: {one_line(error)}"


def _from_other(server: ServerUnderTest, path: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A film made from the completed one, deleted at once: the id of its source and its video object."""
    source = server.film().id
    answer = server.post_json(fields, path=path.format(id=source))
    if answer.status_code in (*NO_ROUTE, 400, 422):
        raise NotOffered(outline(answer))
    video = object_of(answer)
    server.delete(str(video.get("id")))
    require(video.get("object") == "video" and bool(video.get("id")), one_line(video), "a video object")
    require(video["id"] != source, "the same id", "a new video")
    return source, video


@add_check(
    "change.remix", "optional", "`remix` makes a video anew by other words; `remixed_from_video_id` names its source."
)
def _remix(server: ServerUnderTest) -> str:
    source, video = _from_other(server, "/videos/{id}/remix", {"prompt": OTHER_PROMPT})
    came = one_line(video.get("remixed_from_video_id"))
    require(video.get("remixed_from_video_id") == source, f"remixed_from_video_id {came}", source)
    return f"{one_line(video['id'])} from {came}"


@add_check("change.edit", "optional", "`edit` changes a video by words.")
def _edit(server: ServerUnderTest) -> str:
    fields = {"prompt": OTHER_PROMPT, "video": {"id": server.film().id}}
    return one_line(_from_other(server, "/videos/edits", fields)[1]["id"])


@add_check("change.extend", "optional", "`extend` goes on after a video.")
def _extend(server: ServerUnderTest) -> str:
    fields = {"prompt": PROMPT, "seconds": server.options.seconds, "video": {"id": server.film().id}}
    return one_line(_from_other(server, "/videos/extensions", fields)[1]["id"])
