"""Shots that are filmed side by side: the same takes as one worker's, whatever is killed, interrupted or fails."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.director.conftest import PlainEngine
from tests.director.test_production import digests

from kinema.director.direct import Director
from kinema.director.production import Production
from kinema.director.script import Script, script_from
from kinema.engines import FilmRequest
from kinema.errors import EngineError, InputError
from kinema.media import Clip

ROOT = Path(__file__).parents[2]


def scenes(**production: Any) -> Script:
    """Three scenes, of which the first has two shots."""
    shots = [
        {"id": "a1", "prompt": "a square moves", "scene": "a", "seed": 1},
        {"id": "a2", "prompt": "it moves on", "scene": "a", "seed": 2, "goes_on_from": "a1"},
        {"id": "b1", "prompt": "another one moves", "scene": "b", "seed": 3},
        {"id": "c1", "prompt": "a third one moves", "scene": "c", "seed": 4},
    ]
    data = {"title": "Side by side", "size": "48x32", "budget": {"per_shot": 3}, **production}
    return script_from({"production": data, "shots": [{**shot, "seconds": 1, "camera": "pan left"} for shot in shots]})


class FrozenEngine(PlainEngine):
    """Films nothing that moves with the first seed of shot b1, and fails on purpose where the prompt is told in KINEMA_TEST."""

    def film(self, request: FilmRequest, *more: Any, **named: Any) -> list[Clip]:
        what, _, words = os.environ.get("KINEMA_TEST", "").partition(" ")
        mark = Path(os.environ.get("KINEMA_TEST_FOLDER", "")) / str(request.seed)
        if words and request.prompt.startswith(words):
            if what == "fails":
                raise EngineError("out of memory", "out_of_memory")
            if what == "crashes":
                raise RuntimeError("a bug")
            if what == "dies" or (what == "dies-once" and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "waits":
                mark.touch()
                time.sleep(600)
        (clip,) = super().film(request, *more, **named)
        if request.seed == 3 * 1009:
            clip.frames[:] = clip.frames[:1]
        return [clip]


def open_plain(model: str) -> FrozenEngine:
    return FrozenEngine()


def filmed(folder: Path, workers: int, **production: Any) -> Production:
    made = Production.create(folder, scenes(**production), "plain")
    with made.writing():
        Director(made, FrozenEngine(), open_engine=open_plain).film_all(workers=workers)
    return made


def lines_of(production: Production) -> dict[str, list[dict[str, Any]]]:
    """The lines of the log by their shots, without times."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in production.lines():
        found.setdefault(line.get("shot", ""), []).append({name: value for name, value in line.items() if name != "at"})
    return found


def same(one: Production, other: Production) -> None:
    """Both hold the same takes, decisions and, shot by shot, log."""
    assert digests(one.folder) == digests(other.folder) and lines_of(one) == lines_of(other)
    assert (one.folder / "production.json").read_bytes() == (other.folder / "production.json").read_bytes()
    for shot in one.script.shots:
        plans = [[(take.plan, take.report, take.shot_digest) for take in side.takes(shot.id)] for side in (one, other)]
        assert plans[0] == plans[1]
    assert not list(other.folder.rglob("*.tmp*"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Tell the engines of all processes what to do."""
    monkeypatch.setenv("KINEMA_TEST_FOLDER", str(tmp_path))
    return lambda words: monkeypatch.setenv("KINEMA_TEST", words)


def test_takes_are_those_of_one_worker(folder: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, int]] = []
    stages: set[str] = set()
    side = Production.create(folder, scenes(), "plain")
    director = Director(
        side, FrozenEngine(), open_engine=open_plain, on_take=lambda shot, take: heard.append((shot.id, take.plan.number)),
        progress=lambda stage, done, of: stages.add(stage),
    )  # fmt: skip
    with side.writing():
        director.film_all(workers=3)
        assert not director.engine.films, "what directs films nothing itself"  # type: ignore[attr-defined]
        director.film_all(workers=3)
    assert sorted(heard) == [("a1", 1), ("a2", 1), ("b1", 1), ("b1", 2), ("c1", 1)]
    same(filmed(tmp_path / "one", 1), side)


def test_a_budget_of_all_takes_films_one_at_a_time(folder: Path, tmp_path: Path) -> None:
    side = filmed(folder, 4, budget={"takes": 5})
    same(filmed(tmp_path / "one", 1, budget={"takes": 5}), side)
    order = [line["shot"] for line in side.lines() if line["what"] == "filmed"]
    assert order == ["a1", "a2", "b1", "b1", "c1"]


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_workers_are_a_number(folder: Path, plain: PlainEngine, workers: Any) -> None:
    with pytest.raises(InputError, match="workers"):
        Director(Production.create(folder, scenes(), "plain"), plain).film_all(workers=workers)


def test_what_opens_engines_is_a_function_of_a_module(folder: Path, plain: PlainEngine) -> None:
    production = Production.create(folder, scenes(), "plain")
    with pytest.raises(InputError, match="expected functions of a module"):
        Director(production, plain, open_engine=lambda model: plain).film_all(workers=2)  # type: ignore[arg-type,return-value]


@pytest.mark.slow
def test_an_error_keeps_the_takes_beside_it(folder: Path, tmp_path: Path, told: Callable[[str], None]) -> None:
    told("fails a square")
    with pytest.raises(EngineError, match="out of memory"):
        filmed(folder, 3)
    stopped = Production.open(folder)
    assert stopped.takes("b1") and stopped.takes("c1") and not stopped.takes("a1")
    assert lines_of(stopped)["a1"] == [{"what": "stopped", "shot": "a1", "take": 1, "why": "out of memory"}]
    before = digests(folder)
    told("")
    with stopped.writing():
        Director(stopped, FrozenEngine(), open_engine=open_plain).film_all(workers=2)  # type: ignore[arg-type]
    after = digests(folder)
    assert {path: after[path] for path in before} == before and after == digests(filmed(tmp_path / "one", 1).folder)


def test_a_worker_that_is_killed_is_replaced(folder: Path, tmp_path: Path, told: Callable[[str], None]) -> None:
    told("dies-once another")
    side = filmed(folder, 3)
    told("")
    same(filmed(tmp_path / "one", 1), side)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "says"), [("dies", "by signal 9, 3 times"), ("crashes", "with status 1")])
def test_a_worker_that_always_ends_is_one_line(folder: Path, told: Callable[[str], None], what: str, says: str) -> None:
    told(f"{what} another")
    with pytest.raises(EngineError, match=says) as error:
        filmed(folder, 3)
    assert str(error.value).startswith('shot "b1", take 1') and Production.open(folder).used("a1") == 1


DIRECTED = """
import sys
from pathlib import Path
from kinema.director.direct import Director
from kinema.director.production import Production
from tests.director.test_side_by_side import FrozenEngine, open_plain, scenes

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    production = Production.open(folder) if (folder / "production.json").exists() else Production.create(folder, scenes(), "plain")
    with production.writing():
        Director(production, FrozenEngine(), open_engine=open_plain).film_all(workers=3)
"""


def directed(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A process that films with three workers."""
    paths = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    program = folder.parent / "program.py"
    program.write_text(DIRECTED)
    return subprocess.Popen(
        [sys.executable, str(program), str(folder)], env={**os.environ, **paths, **environment}, cwd=ROOT,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == process and words[0] != "Z":
            found.append(int(path.parent.name))
    return found


def ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class _Poison:
    """Kills the process that unpickles it; more follows than a pipe holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _die, ()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_starts_is_one_line(folder: Path) -> None:
    """As memory's end does it, while the director still hands over what films."""
    production = Production.create(folder, scenes(), "plain")
    critic: Any = [_Poison(), bytes(1 << 20)]
    director = Director(production, FrozenEngine(), critic=critic, open_engine=open_plain)  # type: ignore[arg-type]
    with production.writing(), pytest.raises(EngineError, match=r"by signal 9, 3 times.*fewer --workers"):
        director.film_all(workers=2)
    assert production.lines()[-1]["what"] == "stopped"


def test_no_process_can_be_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("multiprocessing.context.SpawnContext.Pipe", refuse)
    with pytest.raises(EngineError, match=r"no process can be started for another take: .*fewer --workers"):
        filmed(folder, 2)
    assert [line["what"] for line in Production.open(folder).lines()] == ["planned", "stopped"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_director_that_ends_ends_its_workers_and_goes_on(folder: Path, tmp_path: Path, sign: signal.Signals) -> None:
    """Killed, or by Ctrl-C, while one worker films and the others are done."""
    (tmp_path / "marks").mkdir()
    process = directed(folder, KINEMA_TEST="waits another", KINEMA_TEST_FOLDER=str(tmp_path / "marks"))
    wait_for(lambda: list((tmp_path / "marks").iterdir()) and (folder / "takes" / "a2" / "1.json").exists())
    workers = children(process.pid)
    os.killpg(process.pid, sign) if sign == signal.SIGINT else process.kill()
    process.wait(60)
    wait_for(lambda: all(map(ended, workers)), 5.0)
    before = digests(folder)
    assert set(before) >= {"takes/a1/1.mp4", "takes/a2/1.mp4"} and "takes/b1/1.mp4" not in before
    again = directed(folder)
    assert again.wait(300) == 0, again.stderr and again.stderr.read().decode()
    same(filmed(tmp_path / "one", 1), Production.open(folder))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 8, 10, 12])
def test_killed_at_any_file_it_goes_on(folder: Path, tmp_path: Path, step: int) -> None:
    """Killed as soon as there are so many files: nothing is filmed twice, and the takes are those of one worker."""
    process = directed(folder)
    wait_for(lambda: process.poll() is not None or len(list(folder.glob("takes/*/*"))) >= step)
    process.kill()
    process.wait(60)
    before = digests(folder)
    again = directed(folder)
    assert again.wait(300) == 0, again.stderr and again.stderr.read().decode()
    production, one = Production.open(folder), filmed(tmp_path / "one", 1)
    after = digests(folder)
    assert {path: after[path] for path in before} == before and after == digests(one.folder)
    logged = [(line["shot"], line["take"]) for line in production.lines() if line["what"] == "filmed"]
    assert len(logged) == len(set(logged)) and not list(folder.rglob("*.tmp*"))
    assert json.loads((folder / "production.json").read_text()) == json.loads((one.folder / "production.json").read_text())
