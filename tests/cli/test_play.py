"""`kinema play`: what keys do, what is drawn, and the whole of it in a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinema.cli.main import build_parser, main
from kinema.cli.play import HELP, Play, begin, half_blocks, split_keys
from kinema.errors import InputError
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.simulation.world import World


@pytest.fixture
def game(model: Model, scene: Callable[..., Scene]) -> Play:
    return Play(World(model, scene(), seed=1))


def test_half_blocks_are_two_pixels_each() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:32] = (255, 0, 0)
    lines = half_blocks(frame, 20, 40).split("\r\n")
    assert len(lines) == 10 and all(line.count("▀") == 20 for line in lines)
    assert "38;2;255;0;0" in lines[0] and "38;2;0;0;0" in lines[-1]
    assert len(half_blocks(frame, 200, 5).split("\r\n")) == 5


def test_keys(game: Play) -> None:
    assert split_keys("a\x1b[Cq") == ["a", "\x1b[C", "q"]
    game.key("\x1b[C", 0.0)
    game.go(0.1)
    assert game.world._frame_states[-2].tracks["action"][0].tolist() == [1.0, 0.0]
    game.go(1.0)
    assert game.world._frame_states[-2].tracks["action"][0].tolist() == [0.0, 0.0], "the key is up"
    game.key("p", 1.0)
    time_s = game.world.time_s
    game.go(1.1)
    assert game.world.time_s == time_s
    game.key("p", 1.2)
    game.key("b", 1.2)
    game.go(1.3)
    assert len(game.worlds) == 2 and game.world.time_s > game.worlds[0].time_s
    game.key("n", 1.4)
    assert game.which == 0
    game.key("r", 1.5)
    assert game.world.past_frames == 0
    game.key("q", 1.6)
    assert game.done


def test_asking_and_changing_by_text(game: Play) -> None:
    def say(text: str) -> str:
        for key in ["/", *text, "\r"]:
            game.key(key, 0.0)
        return game.message

    assert "3: the red ball" in say("how many things are there?")
    assert say("remove the ball") == "done: remove the red ball"
    assert "not understood" in say("dance")
    assert say("") == HELP
    assert "model" in game.screen(80, 24, 1.0)


def test_without_a_terminal_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "a red ball"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def begun(*words: str) -> World:
    world = begin(build_parser().parse_args(["play", *words]))
    assert isinstance(world, World)
    return world


def test_options_of_the_plan_reach_the_first_frame() -> None:
    words, few = ["a red ball and a blue box"], ["a red ball and a blue box", "--steps", "4"]
    plain = begun(*few)
    assert len(begun(*few, "--strict").state.entities) == len(plain.state.entities)
    for given, than in (([*few, "--guidance", "1"], plain), ([*words, "--candidates", "1"], begun(*words))):
        assert not np.array_equal(begun(*given).scene.x[0], than.scene.x[0]), given
    other = begun(*words, "--steps", "2")
    assert not np.array_equal(other.scene.x[0], plain.scene.x[0])
    assert other.steps == 2


def test_a_word_refused_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert main(["play", "a red dragon", "--strict"]) == 2
    error = capsys.readouterr().err
    assert "does not know 'dragon'" in error and error.count("\n") == 1


def test_save_overwrites_nothing_without_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    path = tmp_path / "room.kinema"
    path.write_text("a world")
    assert main(["play", "a red dragon", "--strict", "--save", str(path)]) == 2
    assert "exists; pass --force" in capsys.readouterr().err, "told before the world begins"
    assert main(["play", "a red dragon", "--strict", "--save", str(path), "--force"]) == 2
    assert "does not know 'dragon'" in capsys.readouterr().err and path.read_text() == "a world"


def test_options_that_have_no_effect_are_refused(game: Play, tmp_path: Path) -> None:
    saved, state = game.world.save(tmp_path / "room.kinema"), tmp_path / "state.json"
    state.write_text(game.worlds[0].scene.to_json())  # type: ignore[union-attr]
    for start, option, kind in (
        (saved, ["--guidance", "3"], "a saved world"),
        (saved, ["--fps", "8"], "a saved world"),
        (state, ["--candidates", "2"], "does not start from words"),
        (state, ["--strict"], "does not start from words"),
    ):
        with pytest.raises(InputError, match=f"{option[0]} cannot be changed for .*{kind}.*leave it out"):
            begun(str(start), *option)


def test_in_a_terminal_of_its_own(tmp_path: Path) -> None:
    """Begins, is asked something, quits and saves; the terminal is given back as it was."""
    shell, inside = pty.openpty()
    path = tmp_path / "room.kinema"
    command = [sys.executable, "-m", "kinema.cli.main", "play", "a red ball and a blue box", "--save", str(path)]
    environment = {**os.environ, "COLUMNS": "60", "LINES": "30", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environment)
    os.close(inside)
    shown, sent, begun = "", 0, time.monotonic()
    script = [("frame", "/how many things are there?\r"), ("There ", "q")]
    while time.monotonic() - begun < 120:
        if select.select([shell], [], [], 0.2)[0]:
            try:
                shown += os.read(shell, 65536).decode(errors="ignore")
            except OSError:
                break
        if sent < len(script) and script[sent][0] in shown:
            os.write(shell, script[sent][1].encode())
            shown, sent = "", sent + 1
        if process.poll() is not None and sent == len(script):
            break
    process.kill() if process.poll() is None else None
    assert process.wait() == 0 and path.stat().st_size > 1000
    os.close(shell)
