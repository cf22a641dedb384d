"""Checks of the list of videos and its pages."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from kinema.client.conformance.answers import ids_of, is_integer, object_of, outline
from kinema.client.conformance.check import NotOffered, add_check, one_line, require
from kinema.client.conformance.target import UNKNOWN_ID, ServerUnderTest

MOST_PAGES = 40


def _own_ids(server: ServerUnderTest) -> list[str]:
    """Ids of the films of the run that should be in the list; there are at least four."""
    server.film()
    server.crowd()
    return [id for id, deleted in server.made.items() if not deleted]


def _pages(server: ServerUnderTest, **query: Any) -> list[dict[str, Any]]:
    """Pages as the official client asks for them, until all films of the run are among them or no more come."""
    own, pages = set(_own_ids(server)), [server.page(limit=2, **query)]
    while len(pages) < MOST_PAGES and not own <= {id for page in pages for id in ids_of(page["data"])}:
        last = pages[-1].get("last_id")
        if not last or pages[-1].get("has_more") is False or not pages[-1]["data"]:
            break
        pages.append(server.page(limit=2, after=last, **query))
    return pages


@add_check("list.shape", "required", 'A page is {"object": "list", "data": [...]} with video objects.')
def _shape(server: ServerUnderTest) -> str:
    server.film()
    page = server.page()
    bad = [one for one in page["data"] if not (isinstance(one, dict) and one.get("object") == "video" and one.get("id"))]
    require(not bad and bool(page["data"]), one_line(bad[:1] or page), "video objects")
    require(page.get("object") == "list", f"object {one_line(page.get('object'))}", '"list"')
    return f"{len(page['data'])} videos"


@add_check("list.limit", "required", "`limit` bounds the size of a page.")
def _limit(server: ServerUnderTest) -> str:
    _own_ids(server)
    sizes = {limit: len(server.page(limit=limit)["data"]) for limit in (1, 2, 3)}
    require(all(limit == size for limit, size in sizes.items()), one_line(sizes), "as many videos as the limit says")
    return "1, 2 and 3 videos"


@add_check("list.order", "required", "`order` is by time of creation: desc (the default) newest first, asc oldest first.")
def _order(server: ServerUnderTest) -> str:
    _own_ids(server)
    times = {one.get("created_at") for one in server.page(limit=20)["data"]}
    with ExitStack() as stack:
        if len(times) == 1:  # all in the same second: one more, in another
            time.sleep(1.1)
            stack.enter_context(server.passing())
        for query, sign in (({}, -1), ({"order": "desc"}, -1), ({"order": "asc"}, 1)):
            listed = [one.get("created_at") for one in server.page(limit=20, **query)["data"]]
            numbers = [sign * one for one in listed if is_integer(one)]
            fits = len(numbers) == len(listed) and numbers == sorted(numbers)
            require(
                fits, f"{query or 'no order'}: created_at {one_line(listed)}", "newest first" if sign < 0 else "oldest first"
            )
    return "desc and asc"


@add_check(
    "list.after",
    "required",
    "The client asks for the next page with `after=` the last_id, and hands on each video once.",
)
def _after(server: ServerUnderTest) -> str:
    own, pages = _own_ids(server), _pages(server)
    ids = [id for page in pages for id in ids_of(page["data"])]
    twice = sorted({id for id in ids if ids.count(id) > 1})
    require(not twice, f"twice on {len(pages)} pages: {one_line(twice)}", "each video once")
    missing = [id for id in own if id not in ids]
    require(not missing, f"not on {len(pages)} pages of 2: {one_line(missing)}", "every film of the run")
    return f"{len(own)} films of the run on {len(pages)} pages of 2"


@add_check("list.last_id", "required", "The client ends where a page has no last_id, and never sees the rest.")
def _last_id(server: ServerUnderTest) -> str:
    _own_ids(server)
    page = server.page(limit=2)
    require(
        page.get("last_id") == ids_of(page["data"])[-1],
        f"last_id {one_line(page.get('last_id'))}",
        "the id of the last video",
    )
    return one_line(page["last_id"])


@add_check("list.has_more", "required", "`has_more` says whether there is another page; false ends the client's iteration.")
def _has_more(server: ServerUnderTest) -> str:
    _own_ids(server)
    first = server.page(limit=2).get("has_more")
    require(first is True, f"has_more {one_line(first)} on a page of 2, of at least 4 videos", "true")
    videos = server.page(limit=100)
    if len(videos["data"]) < 100:
        require(videos.get("has_more") is False, f"has_more {one_line(videos.get('has_more'))} on the only page", "false")
    return "true, and false on the last page"


@add_check("list.first_id", "optional", "The original service names the first video of a page too.")
def _first_id(server: ServerUnderTest) -> str:
    server.film()
    page = server.page(limit=2)
    if page.get("first_id") is None:
        raise NotOffered("there is no first_id")
    require(page["first_id"] == ids_of(page["data"])[0], one_line(page["first_id"]), "the id of the first video")
    return one_line(page["first_id"])


@add_check("list.before", "optional", "Other lists of the original API page backwards with `before`.")
def _before(server: ServerUnderTest) -> str:
    _own_ids(server)
    ids = ids_of(server.page(limit=4)["data"])
    answer = server.request("GET", "/videos", params={"before": ids[3], "limit": 1})
    if 400 <= answer.status_code < 500:
        raise NotOffered(outline(answer))
    came = ids_of(object_of(answer).get("data", []))
    if came == ids[:1]:
        raise NotOffered("the parameter is ignored")
    require(came == ids[2:3], one_line(came), f"{ids[2]}, which is before {ids[3]}")
    return came[0]


@add_check(
    "list.unknown_cursor",
    "required",
    "After a deleted video a list must not begin anew: the client would never end.",
)
def _unknown_cursor(server: ServerUnderTest) -> str:
    _own_ids(server)
    answer = server.request("GET", "/videos", params={"after": UNKNOWN_ID, "limit": 2})
    require(answer.status_code < 500, outline(answer), "a status below 500")
    if answer.status_code >= 400:
        return outline(answer)
    came, first = ids_of(answer.json().get("data", [])), ids_of(server.page(limit=2)["data"])
    require(not came or came != first, f"the first page: {one_line(came)}", "an error, or an empty page")
    return f"{len(came)} videos"


@add_check("list.bad_limit", "required", "A limit that cannot be is an error of the client, not a crash of the server.")
def _bad_limit(server: ServerUnderTest) -> str:
    shown = []
    for limit in ("many", "-1", "100000"):
        answer = server.request("GET", "/videos", params={"limit": limit})
        require(answer.status_code < 500, f"limit={limit}: {outline(answer)}", "a status below 500")
        shown.append(f"{limit}: {answer.status_code}")
    return ", ".join(shown)
