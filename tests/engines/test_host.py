"""Laws of an engine in a process of its own: whatever it does, one film ends with the right code, and the next one is made."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.bad_engines import STEP_S, film_and_hang, run_bad_forked

from kinema.engines import host
from kinema.engines.host import EngineProcess
from kinema.engines.protocol import Cancelled, FilmRequest
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError, InputError
from kinema.media import Clip

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.engines.bad_engines"])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProcess]:
    """A process of bad engines, forked from one that has imported them."""
    monkeypatch.setattr(host, "run_engine", run_bad_forked)
    monkeypatch.setattr(host.multiprocessing, "get_context", lambda kind: FORKS)
    monkeypatch.setattr(host, "CLOSE_S", 0.5)
    made = EngineProcess(ModelEntry(name="bad", source="nowhere"), stall_s=60.0)
    yield made
    made.close()


def film(engine: EngineProcess, prompt: str, **more: Any) -> Clip:
    return engine.film(FilmRequest(workflow="generate", prompt=prompt), **more)[0]


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_gone(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.mark.parametrize(
    ("prompt", "code", "message"),
    [
        (f"signal {int(signal.SIGSEGV)}", "engine_crashed", "bad ended by signal 11 while it filmed; see the server's log"),
        (f"signal {int(signal.SIGKILL)}", "out_of_memory", "bad was killed while it filmed"),
        ("exit 3", "engine_crashed", "bad ended with status 3 while it filmed"),
        ("error", "engine_failed", "bad failed: RuntimeError: a model's"),
        ("memory python", "out_of_memory", "bad ran out of memory"),
        ("memory cuda", "out_of_memory", "bad ran out of memory"),
        ("oom", "out_of_memory", "bad ran out of memory"),
        ("hang", "engine_stalled", "bad said nothing for 0.5 s and was stopped"),
    ],
)
def test_each_failure_has_its_code(engine: EngineProcess, prompt: str, code: str, message: str) -> None:
    film(engine, "film")
    pid = engine.process_id
    assert pid is not None
    engine.stall_s = 0.5
    with pytest.raises(EngineError) as caught:
        film(engine, prompt)
    assert caught.value.code == code and str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert wait_gone(pid, 2.0), "its memory is given back"
    engine.stall_s = 60.0
    assert film(engine, "film").settings["pid"] not in (pid, os.getpid()), "the next film is made by another"


def test_what_the_user_must_mend_keeps_the_process(engine: EngineProcess) -> None:
    first = film(engine, "film").settings["pid"]
    with pytest.raises(InputError, match="bad cannot film that"):
        film(engine, "input")
    assert film(engine, "film").settings["pid"] == first


def test_a_cancelled_film_ends_within_a_step(engine: EngineProcess) -> None:
    first = film(engine, "film").settings["pid"]
    steps: list[int] = []
    begun: list[float] = []

    def cancelled() -> bool:
        if len(steps) == 3 and not begun:
            begun.append(time.monotonic())
        return bool(begun)

    with pytest.raises(Cancelled):
        film(engine, "steps 400", progress=lambda stage, done, of: steps.append(done), cancelled=cancelled)
    assert time.monotonic() - begun[0] < 1.0 + STEP_S and len(steps) < 10
    with pytest.raises(Cancelled):  # one that is cancelled before it begins
        film(engine, "steps 400", cancelled=lambda: True)
    assert film(engine, "film").settings["pid"] == first, "it stays warm"


@pytest.mark.parametrize("error", [KeyboardInterrupt, Cancelled, InputError, EngineError, OSError])
@pytest.mark.parametrize("where", ["tick", "progress", "watch"])
def test_what_the_caller_raises_ends_the_film_alone(engine: EngineProcess, where: str, error: type[BaseException]) -> None:
    first = film(engine, "film").settings["pid"]
    calls: list[int] = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise error("mine")

    given = {} if where == "tick" else {where: fail}
    if where == "tick":
        engine.tick = fail
    with pytest.raises(error, match="mine"):
        film(engine, "steps 400", **given)
    engine.tick = lambda: None
    assert film(engine, "film").settings["pid"] == first


def test_a_film_given_up_while_it_hangs_does_not_hold_up_a_worker_that_stops(engine: EngineProcess) -> None:
    film(engine, "film")
    engine.cancel_s = 0.3
    begun = time.monotonic()

    def tick() -> None:
        if time.monotonic() - begun > 0.3:
            raise KeyboardInterrupt

    engine.tick = tick
    with pytest.raises(KeyboardInterrupt):
        film(engine, "hang")
    assert time.monotonic() - begun < 3.0
    engine.tick = lambda: None
    film(engine, "film")


def test_large_films_sound_and_pictures_come_through_whole(engine: EngineProcess) -> None:
    """Also a request that is larger than a pipe, to a process that is still starting."""
    large = Clip(frames=np.full((1, 2000, 2000, 3), 3, np.uint8), fps=1.0)
    request = FilmRequest(workflow="image", prompt="big", first=large, seed=5)
    pictures: list[Any] = []
    (clip,) = engine.film(request, watch=pictures.append)
    assert np.array_equal(clip.frames, np.random.default_rng(5).integers(0, 255, (240, 256, 320, 3), np.uint8))
    assert clip.sound is not None and np.array_equal(clip.sound.samples[:48000, 0], np.arange(48000, dtype=np.int16))
    assert clip.settings["first"] == (2000 * 2000 * 3 * 3,)
    film(engine, "steps 3", watch=pictures.append)
    assert [picture.shape for picture in pictures] == [(4, 4, 3)] * 3


def test_nothing_outlives_a_parent_that_is_killed() -> None:
    """kill -9 of the parent while its engine hangs."""
    context = multiprocessing.get_context("spawn")
    pids = context.Queue()
    parent = context.Process(target=film_and_hang, args=(pids,))
    parent.start()
    child = pids.get(timeout=60)
    assert is_running(child) and parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert wait_gone(child, 2.5)
