"""The server under test: requests to it, and the films that several checks share, each made when a check first needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import httpx

from kinema.client.conformance.answers import LIVE_STATUSES, json_of, object_of, outline
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered
from kinema.errors import InputError
from kinema.types import T

PROMPT = "a red ball rolls right and hits a blue box"
UNICODE_PROMPT = "a red ball rolls right — «très vite», 红色的球 🎈"
OTHER_PROMPT = "a blue ball rolls left"
UNKNOWN_ID = "video_" + 24 * "0"
CROWD = 3
MOST_RETRIES, LONGEST_RETRY_S = 2, 30.0
REQUEST_TIMEOUT_S = 60.0
NOT_NOW = (409, 423, 425, 429)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What to test and how.

    Attributes:
        url: Address of the server, with or without /v1.
        key: API key; "" for servers that have none.
        model: Name of the model; None: the server's default.
        size: "WIDTHxHEIGHT"; None: the server's default.
        seconds: Length of the films, as a text.
        timeout_s: The longest that one film may take.
        only: Names of checks or groups; empty: all.
    """

    url: str
    key: str = ""
    model: str | None = None
    size: str | None = None
    seconds: str = "4"
    timeout_s: float = 300.0
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            address = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise InputError(f"address {self.url!r}: {error}; expected one such as http://127.0.0.1:8000") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise InputError(f"address {self.url!r}: expected one such as http://127.0.0.1:8000")
        if self.timeout_s <= 0:
            raise InputError(f"timeout {self.timeout_s:g}: expected seconds above 0")

    @property
    def base_url(self) -> str:
        """The address that the official client is given."""
        return self.url.rstrip("/").removesuffix("/v1") + "/v1"


@dataclass(frozen=True, kw_only=True)
class Poll:
    """One look at a film: when, in seconds since it was created, and its video object."""

    at_s: float
    video: dict[str, Any]
    headers: httpx.Headers

    @property
    def status(self) -> Any:
        return self.video.get("status")


@dataclass(kw_only=True)
class Film:
    """A film of the run, from the answer to its creation to its end."""

    created: dict[str, Any]
    create_s: float
    started: float
    form: str
    prompt: str = PROMPT
    polls: list[Poll] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.created["id"])

    @property
    def last(self) -> dict[str, Any]:
        """The newest video object."""
        return self.polls[-1].video if self.polls else self.created

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [self.created, *(poll.video for poll in self.polls)]

    @property
    def took_s(self) -> float:
        """When it was first seen to have ended, in seconds since it was created; until then, when it was last looked at."""
        ended = (poll.at_s for poll in self.polls if poll.status not in LIVE_STATUSES)
        return next(ended, self.polls[-1].at_s if self.polls else 0.0)

    @property
    def is_live(self) -> bool:
        return self.last.get("status") in LIVE_STATUSES


class ServerUnderTest:
    """Sends requests, remembers every answer, and deletes at the end the films that it made."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.headers = {"authorization": f"Bearer {options.key}"} if options.key else {}
        self.http = httpx.Client(timeout=REQUEST_TIMEOUT_S, follow_redirects=True)
        self.answers: list[httpx.Response] = []
        self.made: dict[str, bool] = {}
        """Ids of all films that were made; whether they were deleted."""
        self.form = ""
        """How the server takes a request for a film: "multipart", "json", or "" while that is not known."""
        self._shared: dict[str, Any] = {}

    # requests

    def request(self, method: str, path: str, *, retry: bool = True, **options: Any) -> httpx.Response:
        """Send a request below /v1 and return the answer, whatever its status. 429 is tried again, as the official client does.

        Raises:
            CheckFailed: There was no answer.
        """
        headers = {**self.headers, **options.pop("headers", {})}
        for attempt in range(MOST_RETRIES + 1):
            try:
                answer = self.http.request(method, self.options.base_url + path, headers=headers, **options)
            except httpx.HTTPError as error:
                what = str(error) or type(error).__name__
                raise CheckFailed(f"no answer to {method} {path[:80]}: {what}", "an answer") from None
            self.answers.append(answer)
            if answer.status_code != 429 or not retry or attempt == MOST_RETRIES:
                break
            time.sleep(_retry_s(answer, attempt))
        if method == "POST" and answer.is_success:
            self._note_film(json_of(answer))
        return answer

    def _note_film(self, payload: Any) -> None:
        """Remember a film that a request made, so that it is deleted at the end."""
        if isinstance(payload, dict) and isinstance(payload.get("id"), str) and payload["id"]:
            self.made.setdefault(payload["id"], False)

    def get(self, id: str, part: str = "", **options: Any) -> httpx.Response:
        return self.request("GET", f"/videos/{quote(id, safe='')}{part}", **options)

    def fields(self, prompt: str = PROMPT, **changed: Any) -> dict[str, Any]:
        """The fields of a request for a film; those that are None are left out."""
        options = self.options
        given = {"prompt": prompt, "model": options.model, "seconds": options.seconds, "size": options.size, **changed}
        return {name: value for name, value in given.items() if value is not None}

    def post_form(self, fields: dict[str, Any], *, path: str = "/videos", **options: Any) -> httpx.Response:
        """Send a multipart form as the official Python client does: texts, file parts (tuples) and objects in bracket keys."""
        parts: list[tuple[str, Any]] = []
        for name, value in fields.items():
            if isinstance(value, dict):
                parts += [(f"{name}[{inner}]", (None, str(text))) for inner, text in value.items()]
            else:
                parts.append((name, value if isinstance(value, tuple) else (None, str(value))))
        return self.request("POST", path, files=parts, **options)

    def post_json(self, fields: dict[str, Any], *, path: str = "/videos", **options: Any) -> httpx.Response:
        """Send JSON as the official JavaScript client does where there are no files."""
        return self.request("POST", path, json=fields, **options)

    def post(self, fields: dict[str, Any]) -> httpx.Response:
        """Send a request for a film in the form that the server takes."""
        return (self.post_json if self._form() == "json" else self.post_form)(fields)

    # films

    def create(self, *, form: str = "", prompt: str = PROMPT, **changed: Any) -> Film:
        """Make a film. form: "multipart", "json", or "" for the one that the server takes.

        Raises:
            CheckFailed: It was refused, or the answer has no id.
        """
        form = form or self._form()
        fields, started = self.fields(prompt, **changed), time.monotonic()
        answer = (self.post_form if form == "multipart" else self.post_json)(fields)
        created = object_of(answer)
        if not isinstance(created.get("id"), str) or not created["id"]:
            raise CheckFailed(f"id {created.get('id')!r}", "a text")
        return Film(created=created, create_s=time.monotonic() - started, started=started, form=form, prompt=prompt)

    def _form(self) -> str:
        """The form that the server takes, found out with the first film."""
        if not self.form:
            with suppress(CheckSkipped):
                self.ended_film()
        return self.form or "multipart"

    def poll(self, film: Film) -> Poll:
        """Look at a film once."""
        answer = self.get(film.id)
        poll = Poll(at_s=time.monotonic() - film.started, video=object_of(answer), headers=answer.headers)
        film.polls.append(poll)
        return poll

    def watch(self, *films: Film, timeout_s: float | None = None) -> None:
        """Look at films in turn until all have ended. timeout_s: by default that of the options.

        Raises:
            CheckFailed: One did not end in time.
        """
        began, most_s = time.monotonic(), self.options.timeout_s if timeout_s is None else timeout_s
        while live := [film for film in films if film.is_live]:
            for film in live:
                self.poll(film)
            waited = time.monotonic() - began
            if waited > most_s and any(film.is_live for film in films):
                last = ", ".join(
                    f"{film.last.get('status')} at {film.last.get('progress')}%" for film in films if film.is_live
                )
                raise CheckFailed(f"{last} after {waited:.0f} s", f"an end within {most_s:g} s (--timeout)")
            time.sleep(min(max(waited / 20, 0.04), 2.0))

    def share(self, name: str, make: Callable[[], T], *, owner: bool = False) -> T:
        """What several checks use, made once. Where it could not be made, the check that it is about (owner) fails, and others are
        skipped."""
        if name not in self._shared:
            try:
                self._shared[name] = make()
            except (CheckFailed, NotOffered, CheckSkipped) as error:
                self._shared[name] = error
        value = self._shared[name]
        if isinstance(value, Exception) and owner:
            raise value
        if isinstance(value, Exception):
            raise CheckSkipped(f"there is no {name} to check it on: {value}")
        return cast(T, value)

    def ended_film(self, *, owner: bool = False) -> Film:
        """A film that was watched to its end, whatever that is. Made by a form, or by JSON where forms are refused."""

        def make() -> Film:
            try:
                film = self.create(form="multipart")
            except CheckFailed:
                film = self.create(form="json")
            self.form = film.form
            self.watch(film)
            return film

        return self.share("film", make, owner=owner)

    def json_film(self, *, owner: bool = False) -> Film:
        """A film with letters of many scripts that was created by JSON and is not watched."""
        return self.share("film by JSON", lambda: self.create(form="json", prompt=UNICODE_PROMPT), owner=owner)

    def film(self) -> Film:
        """A film that was completed."""
        film = self.ended_film()
        if film.last.get("status") != "completed":
            raise CheckSkipped(
                f"there is no completed film to check it on: {film.last.get('status')} {film.last.get('error')}"
            )
        return film

    def crowd(self, *, owner: bool = False) -> list[Film]:
        """Films that were created at the same moment, and watched until all had ended."""

        def make() -> list[Film]:
            self._form()
            with ThreadPoolExecutor(CROWD) as pool:
                films = list(pool.map(lambda _: self.create(), range(CROWD)))
            with suppress(CheckFailed):
                self.watch(*films)
            return films

        return self.share("crowd of films", make, owner=owner)

    def content(self, *, owner: bool = False) -> httpx.Response:
        """The answer with the MP4 of the completed film."""

        def make() -> httpx.Response:
            answer = self.get(self.film().id, "/content")
            if answer.status_code != 200 or not answer.content:
                raise CheckFailed(outline(answer), "200 with the film")
            return answer

        return self.share("content", make, owner=owner)

    def delete(self, id: str) -> httpx.Response:
        answer = self.request("DELETE", f"/videos/{quote(id, safe='')}")
        if answer.is_success or answer.status_code in (404, 410):
            self.made[id] = True
        return answer

    @contextmanager
    def passing(self, **changed: Any) -> Iterator[Film]:
        """A film that is deleted when the block ends."""
        film = self.create(**changed)
        try:
            yield film
        finally:
            with suppress(CheckFailed):
                self.delete(film.id)

    def page(self, **query: Any) -> dict[str, Any]:
        """A page of the list of videos.

        Raises:
            CheckFailed: There is none, or it has no list `data`.
        """
        payload = object_of(self.request("GET", "/videos", params=query))
        if not isinstance(payload.get("data"), list):
            raise CheckFailed(f"data {payload.get('data')!r}", "a list of videos")
        return payload

    def clean(self) -> list[str]:
        """Delete every film that was made, and try those again that may not be deleted yet. Returns the ids that are left."""
        end = time.monotonic() + self.options.timeout_s
        busy = [id for id, deleted in self.made.items() if not deleted]
        while busy:
            refusals = {id: self._try_delete(id) for id in busy}
            busy = [id for id, status in refusals.items() if status in NOT_NOW and time.monotonic() < end]
            time.sleep(0.5 * bool(busy))
        return [id for id, deleted in self.made.items() if not deleted]

    def _try_delete(self, id: str) -> int:
        try:
            return self.delete(id).status_code
        except CheckFailed:
            return 0

    def close(self) -> None:
        self.http.close()


def _retry_s(answer: httpx.Response, attempt: int) -> float:
    """How long the official client waits before it tries again."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return float(min(max(float(answer.headers[name]) / divisor, 0.0), LONGEST_RETRY_S))
    return float(0.5 * 2**attempt)
