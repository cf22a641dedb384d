"""Checks of polling a film to its end."""

from __future__ import annotations

import time
from itertools import pairwise

from kinema.client.conformance.answers import LIVE_STATUSES, STATUSES, is_integer
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import Film, ServerUnderTest

SHORT_S = 0.5
"""A film that took less may never be seen in progress, and several of them may be too short to tell their order."""
MOST_LOOKS = 4
ONE_AFTER_ANOTHER = 0.6
"""Films that were made one after another: the last took at least this share of their number times the first."""


def _films(server: ServerUnderTest) -> list[Film]:
    return [server.ended_film(), *server.crowd()]


@add_check("polling.ends", "required", "`create_and_poll` returns only when the status is completed or failed.")
def _ends(server: ServerUnderTest) -> str:
    film = server.ended_film(owner=True)
    status = film.last.get("status")
    require(status == "completed", f"{status}: {one_line(film.last.get('error'))}", "completed")
    return f"completed after {film.took_s:.1f} s and {len(film.polls)} looks"


@add_check("polling.forward", "required", "A status that goes back makes a program download too early, or wait again.")
def _forward(server: ServerUnderTest) -> str:
    for film in _films(server):
        order = [video.get("status") for video in film.objects]
        places = [STATUSES.index(status) if status in STATUSES else -1 for status in order]
        require(places == sorted(places), ", ".join(map(str, dict.fromkeys(order))), "queued, in_progress, then the end")
    return ", ".join(dict.fromkeys(str(video.get("status")) for video in server.ended_film().objects))


@add_check("polling.progress", "required", "Programs show progress as a bar, which must not run backwards.")
def _progress(server: ServerUnderTest) -> str:
    for film in _films(server):
        values = [value for value in (video.get("progress") for video in film.objects) if is_integer(value)]
        falls = [(a, b) for a, b in pairwise(values) if b < a]
        require(not falls, f"{falls[0][0]} and then {falls[0][1]}" if falls else "", "progress that never falls")
    last = server.film().last.get("progress")
    require(last == 100, f"progress {one_line(last)} when completed", "100")
    return f"up to {last}"


@add_check(
    "polling.queued",
    "required",
    "A film that waits is queued, not in_progress: people are told whether it has begun.",
)
def _queued(server: ServerUnderTest) -> str:
    films = server.crowd()
    all_at_once = all(any(poll.status == "in_progress" for poll in film.polls) for film in films) and not any(
        poll.status == "queued" for film in films for poll in film.polls
    )
    if not all_at_once:
        return f"of {len(films)} films, some were seen queued"
    times = sorted(film.took_s for film in films)
    if times[-1] < SHORT_S:
        raise CheckSkipped(f"the films took {times[-1]:.2f} s: too short to tell")
    came = f"{len(films)} films in_progress at once, completed after {', '.join(f'{one:.1f}' for one in times)} s"
    in_turn = times[-1] > ONE_AFTER_ANOTHER * len(films) * times[0] and times[0] < 0.75 * times[1] < 0.75 * times[2]
    require(not in_turn, came, "those that wait for another to end to be queued")
    return came


@add_check("polling.in_progress", "required", "A film that is being made is in_progress, not queued until it is completed.")
def _in_progress(server: ServerUnderTest) -> str:
    film = server.film()
    if any(video.get("status") == "in_progress" for video in film.objects):
        return f"seen {sum(poll.status == 'in_progress' for poll in film.polls)} times"
    if film.took_s < SHORT_S:
        raise CheckSkipped(f"the film took {film.took_s:.2f} s: too short to tell")
    raise CheckFailed(f"queued for {film.took_s:.1f} s and then {film.last.get('status')}", "in_progress in between")


@add_check(
    "polling.final", "required", "What `retrieve` says of a completed film stays, or a program downloads what is not there."
)
def _final(server: ServerUnderTest) -> str:
    film = server.film()
    names = ("status", "progress", "completed_at", "seconds", "size", "error")
    before = film.last
    after = server.poll(film).video
    differ = [f"{name} {one_line(before.get(name))} and then {one_line(after.get(name))}" for name in names
              if before.get(name) != after.get(name)]  # fmt: skip
    require(not differ, ", ".join(differ), "the same values")
    return "unchanged"


@add_check(
    "polling.unwatched", "required", "A film goes on without looks and without a webhook; a client may come back later."
)
def _unwatched(server: ServerUnderTest) -> str:
    film, usual_s = server.json_film(), server.film().took_s
    for look in range(1, MOST_LOOKS + 1):
        time.sleep(max(film.started + look * (1.5 * usual_s + 0.5) - time.monotonic(), 0.0))
        if server.poll(film).status not in LIVE_STATUSES:
            break
    status = film.last.get("status")
    came = f"{status} after {film.took_s:.1f} s and {len(film.polls)} looks"
    require(status == "completed", came, f"completed, as another film was in {usual_s:.1f} s")
    return came


@add_check("polling.poll_after", "optional", "`poll` waits as long as the header openai-poll-after-ms says, else 1 s.")
def _poll_after(server: ServerUnderTest) -> str:
    name = "openai-poll-after-ms"
    values = [poll.headers[name] for poll in server.ended_film().polls if name in poll.headers]
    if not values:
        raise NotOffered(f"there is no header {name}")
    require(all(value.isdecimal() and int(value) > 0 for value in values), one_line(values), "whole milliseconds above 0")
    return f"{one_line(values[0])} ms"
