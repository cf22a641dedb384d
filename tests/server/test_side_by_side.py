"""Several workers film shots of one production at the same time, to the same film as one alone."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.server.test_productions import SCRIPT, Site

from kinema.media import Clip
from kinema.server.app import create_app
from kinema.server.jobs import publish
from kinema.server.jobs.worker import Worker
from kinema.server.settings import Settings
from kinema.server.storage.tables import jobs, production_jobs, workers

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["kinema.server.jobs.worker", "kinema.api"])

ROLL, HIT, END = SCRIPT["shots"]
LEFT = {**ROLL, "id": "left", "prompt": "a red ball rolls left with a blue box", "scene": "3", "seed": 4, "dialogue": [],
        "events": [{"kind": "moves", "who": "ball", "direction": "left"}]}  # fmt: skip
SCENES = {
    **SCRIPT, "production": {**SCRIPT["production"], "budget": {"per_shot": 2}},
    "shots": [ROLL, HIT, END, LEFT, {**HIT, "id": "back", "scene": "3", "goes_on_from": "left", "transition": "dissolve"}],
}  # fmt: skip
"""Three scenes: two of two shots of which the second goes on from the first, and one of one shot."""


def _work(data: Path) -> None:
    """A worker without watermarks, which are another one for each video, so that films can be compared."""
    publish.mark = lambda frames, id: frames  # type: ignore[assignment]
    Worker(Settings(data=data, threads=1)).run()


@contextmanager
def working(site: Site, count: int) -> Iterator[None]:
    """So many workers in processes of their own, once the server has heard of all of them."""
    processes = [FORKS.Process(target=_work, args=(site.data,)) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        until(lambda: len(rows(site, select(workers))) == count)
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def rows(site: Site, query: Any) -> list[Any]:
    with site.services.database.reading() as db:
        return list(db.execute(query).all())


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    clients: list[TestClient] = []

    def make(name: str) -> Site:
        app = create_app(Settings(data=tmp_path / name))
        client = TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"})
        clients.append(client.__enter__())
        return Site(tmp_path / name, client, app.state.services)

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def heard(site: Site, count: int) -> None:
    """Let the server have heard of workers that do nothing."""
    with site.services.database.writing() as db:
        now = site.services.database.now(db)
        for number in range(count):
            db.execute(workers.insert().values(id=f"worker-{number}", seen_at=now, warm=[]))


def filmed(site: Site, id: str) -> dict[str, np.ndarray[Any, Any]]:
    """The pictures of all takes and of the film."""
    done = site.get(id)
    videos = {f"{shot['id']} {take['number']}": take["video"] for shot in done["shots"] for take in shot["takes"]}
    return {
        name: Clip.open(
            site.services.store.video(video, rows(site, select(jobs).where(jobs.c.id == video))[0].artifact) / "video.mp4"
        ).frames
        for name, video in {**videos, "film": done["film"]}.items()
    }


def judged(production: dict[str, Any]) -> dict[str, Any]:
    """Which takes were made of each shot, what the checks saw in them, and which one is used."""
    return {
        shot["id"]: (
            shot["used"],
            [{name: value for name, value in take.items() if name != "video"} for take in shot["takes"]],
        )
        for shot in production["shots"]
    }


def test_two_workers_make_the_film_of_one(new_site: Callable[[str], Site]) -> None:
    """First takes of two scenes overlap in time; takes, checks and pictures are those of a production that one worker films."""
    film = {**SCENES, "shots": [ROLL, HIT, LEFT]}
    alone, together = new_site("alone"), new_site("together")
    made = alone.make(script=film)
    with working(alone, 1):
        until(lambda: alone.get(made["id"])["status"] != "filming")
    with working(together, 2):
        beside = together.make(script=film)
        assert [one["shot"] for one in beside["all_making"]] == ["roll", "left"] and beside["making"] == beside[
            "all_making"
        ][0]
        until(lambda: together.get(beside["id"])["status"] != "filming")
    one, two = alone.get(made["id"]), together.get(beside["id"])
    assert (
        one["status"] == two["status"] == "completed"
        and two["all_making"] == []
        and not rows(together, select(production_jobs))
    )
    assert judged(one) == judged(two) and any(len(shot["takes"]) == 2 for shot in two["shots"])
    first, second = (
        rows(together, select(jobs).where(jobs.c.id == two["shots"][index]["takes"][0]["video"]))[0] for index in (0, 2)
    )
    assert max(first.started_at, second.started_at) < min(first.completed_at, second.completed_at)
    pictures, same = filmed(alone, made["id"]), filmed(together, beside["id"])
    assert pictures.keys() == same.keys() and all(np.array_equal(pictures[name], same[name]) for name in pictures)
    for site, done in ((alone, one), (together, two)):
        takes = sum(len(shot["takes"]) for shot in done["shots"])
        assert site.entries("reserve") == site.entries("settle") == takes + 1 and site.entries("refund") == 0
        log = site.events(done["id"])
        assert log.count("filmed") == log.count("checked") == takes and log.count("accepted") == 3


def test_shots_wait_for_those_before_them(new_site: Callable[[str], Site]) -> None:
    """At most one take of a shot, and as many as there are workers; one at a time where all takes have one budget."""
    site = new_site("many")
    heard(site, 9)
    assert [one["shot"] for one in site.make(script=SCENES)["all_making"]] == ["roll", "end", "left"]
    budget = {"per_shot": 2, "takes": 7}
    limited = {**SCENES, "production": {**SCENES["production"], "budget": budget}}
    assert [one["shot"] for one in site.make(script=limited)["all_making"]] == ["roll"]
    waiting = site.make(script=SCENES, stop_after="script")
    assert waiting["all_making"] == [] and waiting["making"] is None


def test_limits_of_a_key_hold_for_takes_side_by_side(new_site: Callable[[str], Site]) -> None:
    """What is beyond quota or concurrency is queued later, and fails the production only when nothing else is made."""
    site, one = new_site("limits"), 64 * 64 * 0.5
    heard(site, 9)
    for limits, shots in (({"quota": 2.5 * one}, ["roll", "end"]), ({"concurrency": 1}, ["roll"])):
        text, _ = site.services.auth.make(json.dumps(limits), **limits)
        mine = {"authorization": f"Bearer {text}"}
        made = site.client.post("/v1/productions", json={"script": SCENES}, headers=mine)
        assert made.status_code == 200 and [one["shot"] for one in made.json()["all_making"]] == shots
        if "quota" in limits:
            site.work()
            done = site.client.get(f"/v1/productions/{made.json()['id']}", headers=mine).json()
            assert done["status"] == "failed" and done["error"]["code"] == "insufficient_quota"
            assert sum(len(shot["takes"]) for shot in done["shots"]) == 2


def test_a_decision_cancels_only_the_take_that_it_is_about(new_site: Callable[[str], Site]) -> None:
    site = new_site("decisions")
    heard(site, 2)
    made = site.make(script=SCENES)
    roll, end = (one["video"] for one in made["all_making"])
    changed = site.post(made["id"], "shots/roll/reword", prompt="a red ball rolls left with a blue box")
    now = {one["shot"]: one["video"] for one in changed["all_making"]}
    assert now["end"] == end and now["roll"] != roll and len(now) == 2
    assert site.client.get(f"/v1/videos/{roll}").json()["error"]["code"] == "cancelled"
    site.client.post(f"/v1/videos/{end}/cancel")
    failed = site.get(made["id"])
    assert failed["error"]["code"] == "cancelled" and failed["status"] == "filming", "the other take is made to its end"
    assert [one["shot"] for one in failed["all_making"]] == ["roll"]
    site.work(1)
    stopped = site.get(made["id"])
    assert stopped["status"] == "failed" and stopped["all_making"] == []
    assert [len(shot["takes"]) for shot in stopped["shots"]] == [1, 0, 0, 0, 0], "what is paid is kept, and no more is made"
    assert len(site.post(made["id"], "resume")["all_making"]) >= 2
    site.post(made["id"], "stop")
    assert site.get(made["id"])["all_making"] == [] and site.entries("reserve") == site.entries("settle") + site.entries(
        "refund"
    )
    site.post(made["id"], "resume")
    site.client.delete(f"/v1/productions/{made['id']}")
    assert not rows(site, select(production_jobs)) and not rows(site, select(jobs).where(jobs.c.status == "queued"))
