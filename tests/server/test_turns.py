"""Long jobs take turns with small ones of other keys, and go on where they were interrupted, to the same film."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from tests.server.conftest import Harness
from tests.server.killed import killed
from tests.server.test_worker import Yard

from kinema import api
from kinema.inference.sampling import SamplingConfig
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.server.auth import Auth
from kinema.server.jobs import batch, checkpoint
from kinema.server.jobs.batch import LEND_S, JobBatch
from kinema.server.jobs.checkpoint import FilmCheckpoint


class Interrupted(Exception):
    pass


def film(model: Model, folders: list[Path], *, windows: int | None = None) -> list[Clip]:
    """Two films of several windows, interrupted after some windows; what is kept lies in the folders."""
    number = 0

    def interrupt() -> None:
        nonlocal number
        number += 1
        if number == windows:
            raise Interrupted

    kept = FilmCheckpoint(dict.fromkeys(folders, "these films"), written=interrupt)
    return api.films(
        ["a red ball", "a blue box"], [3, 4], model=model, seconds=2.0, size="32x32", fps=16.0,
        options=SamplingConfig(num_plan_steps=1, num_candidates=1), checkpoint=kept,
    )  # fmt: skip


def same(a: list[Clip], b: list[Clip]) -> bool:
    return all(
        np.array_equal(one.frames, other.frames) and state_of(one) == state_of(other)
        for one, other in zip(a, b, strict=True)
    )


def state_of(clip: Clip) -> dict[str, Any]:
    assert clip.state is not None
    return clip.state.to_dict()


def test_an_interrupted_film_is_the_uninterrupted_one(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "WRITE_S", 0.0)
    whole = film(model, [tmp_path / "a", tmp_path / "b"])
    steps = len(list((tmp_path / "a").glob("windows-*")))
    assert steps == 5, "two windows of the plan and three of the pictures"
    for windows in (1, 2, 3, 4):
        folders = [tmp_path / f"a{windows}", tmp_path / f"b{windows}"]
        with pytest.raises(Interrupted):
            film(model, folders, windows=windows)
        assert same(film(model, folders), whole), windows
        assert len(list(folders[0].glob("windows-*"))) == steps, "no window is made twice"


def test_what_other_requests_kept_is_not_read(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "WRITE_S", 0.0)
    film(model, [tmp_path / "a", tmp_path / "b"])
    assert FilmCheckpoint({tmp_path / "a": "these films"}).resumed
    assert not FilmCheckpoint({tmp_path / "a": "another film"}).resumed
    for path in (tmp_path / "a").glob("windows-*"):
        path.write_bytes(path.read_bytes()[:50])
    assert not FilmCheckpoint({tmp_path / "a": "these films"}).resumed, "damaged files count as none"


def test_a_killed_worker_loses_no_window(tmp_path: Path) -> None:
    yard, other = Yard(tmp_path / "data"), Yard(tmp_path / "other")
    given = {"seconds": 3.0, "size": "48x48", "seed": 5}
    id, again = yard.film(**given), other.film(**given)
    assert killed(yard.settings.data, "windows", 3)
    assert len(list((yard.settings.data / "work" / id).glob("windows-*"))) == 3
    yard.work()
    other.work()
    made, uninterrupted = yard.check_published(id, 48), other.check_published(again, 48)
    assert state_of(made) == state_of(uninterrupted)
    assert not list((yard.settings.data / "work").iterdir())


def test_a_paused_film_keeps_its_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(tmp_path / "data")
    id = yard.film(seconds=3.0, size="48x48")
    worker = yard.worker(reached=lambda point: yard.queue.pause(id, None, True) if point == "windows" else None)
    monkeypatch.setattr(batch, "BEAT_S", 0.0)  # the rest of the film may take less than the usual time between two looks
    monkeypatch.setattr(checkpoint, "WRITE_S", 0.0)
    assert worker.once()
    row = yard.queue.get(id, None)
    assert (row.status, row.paused) == ("queued", True) and list((yard.settings.data / "work" / id).glob("windows-*"))


def test_a_small_job_of_another_key_is_made_in_between(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "data")
    mine, other = yard.key, str(Auth(yard.database).make("other")[1].id)
    ended: list[str] = []
    long = yard.film(seconds=3.0, size="48x48")
    small: list[str] = []

    def reached(point: str) -> None:
        if point == "claimed" and not small:  # the long one has begun
            small.append(yard.job())
            yard.key = other
            small.append(yard.job())
            yard.key = mine
        if point == "published":
            ended.extend(id for id in (long, *small) if yard.queue.get(id, None).status == "completed" and id not in ended)

    with yard.database.writing() as db:
        db.exec_driver_sql("UPDATE jobs SET pixel_seconds = 2048")
    worker = yard.worker(reached=reached)
    assert worker.once()
    assert ended == [small[1], long], "another key's job comes in between, the key's own waits"
    assert worker.once() and ended[-1] == small[0] and worker.in_hand == []
    alone = Yard(tmp_path / "alone")
    again = alone.film(seconds=3.0, size="48x48")
    alone.work()
    assert state_of(yard.check_published(long, 48)) == state_of(alone.check_published(again, 48))


def test_what_is_made_in_between_is_small_and_of_another_key(harness: Harness) -> None:
    other, third = harness.make_key("other"), harness.make_key("third")
    harness.job(pixel_seconds=4000.0, shape=None)
    long = harness.claim()
    harness.job(pixel_seconds=1.0, shape=None)
    assert not harness.leases.ready(long) and harness.claim(beside=long) == []
    large = harness.job(key=other, pixel_seconds=1001.0, shape=None)
    behind = harness.job(key=other, pixel_seconds=1.0, shape=None)
    assert harness.claim(beside=long) == [], "the order of a key is kept"
    small = harness.job(key=third, pixel_seconds=1000.0, shape=None)
    assert harness.leases.ready(long)
    assert [claim.id for claim in harness.claim(beside=long)] == [small]
    harness.queue.cancel(large, None)
    assert [claim.id for claim in harness.claim(beside=long)] == [behind]


def test_a_long_job_gets_half_of_the_time_at_least(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("kinema.server.jobs.batch.time", SimpleNamespace(monotonic=lambda: clock[0]))
    batch = JobBatch(harness.leases, [], "w")
    assert batch.may_lend()
    for loan_s in (3.0, 10.0, 0.0):
        with batch.lent():
            clock[0] += loan_s
        turn_s = max(loan_s, LEND_S)
        clock[0] += 0.9 * turn_s
        assert not batch.may_lend()
        clock[0] += 0.2 * turn_s
        assert batch.may_lend()
    assert batch.own_s == pytest.approx(1.1 * (3.0 + 10.0 + LEND_S))
