"""The speedrun's score: 0 for repeating a picture, 1 for the real game; the board tells a record from less."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.recorded_worlds import ACTED
from benchmarks.speedrun import SpeedScore, board, score_of

from benchmarks import speedrun
from kinema.training.world_report import Rollouts

ROOT = Path(speedrun.__file__).parents[1]
RED = ACTED[speedrun.ENV].color


def stretches(rng: np.random.Generator) -> Rollouts:
    """A red square that walks over a gray picture, each stretch on a row of its own."""
    truth = np.full((4, 64, 48, 48, 3), 90, np.uint8)
    for row in range(4):
        for t in range(64):
            x = int(rng.integers(0, 40))
            truth[row, t, 12 * row : 12 * row + 8, x : x + 8] = RED
    last = np.full((4, 48, 48, 3), 90, np.uint8)
    last[:, :8, :8] = RED
    return Rollouts(known=8, truth=truth, made=truth, astray=truth, last=last, tracks={}, states=[], text=None)


def test_the_real_game_scores_1_and_repeating_0() -> None:
    rolled = stretches(np.random.default_rng(0))
    assert score_of(rolled, ACTED[speedrun.ENV]) == SpeedScore(pictures=1.0, places=1.0)
    repeated = np.broadcast_to(rolled.last[:, None], rolled.truth.shape)
    assert score_of(replace(rolled, made=repeated), ACTED[speedrun.ENV]).whole == pytest.approx(0.0)
    gray = np.full_like(rolled.truth, 90)
    blank = score_of(replace(rolled, made=gray), ACTED[speedrun.ENV])
    assert blank.places <= 0 and blank.whole < 0.5, "showing nothing of what moves earns less than half"


def test_the_board_puts_the_best_first_and_says_what_is_no_record() -> None:
    def row(commit: str, seed: int, score: float) -> dict[str, object]:
        made = {"commit": commit, "machine": "two cores", "seed": seed, "score": score, "pictures": score, "places": score}
        return {**made, "minutes": 29.0, "date": "2026-11-29", "note": ""}

    lines = board([row("a1", 0, 0.5), *(row("b2", seed, 0.6 + 0.01 * seed) for seed in range(3))]).splitlines()
    assert len(lines) == 4
    assert "| 0.610 [" in lines[2] and "| 3 | yes | b2 |" in lines[2]
    assert lines[3].startswith("| 0.500 |") and "no: 1 of 3 seeds" in lines[3]


def test_the_script_runs_what_is_there() -> None:
    """Its commands are those of the command line."""
    from kinema.cli.main import main

    text = (speedrun.BOARD.parents[1] / "runs" / "speedrun.sh").read_text()
    assert speedrun.ENV in text and f"{speedrun.MOST_MINUTES:g}" in text
    for words in (["record", "--help"], ["train", "--help"], ["agent", "train", "--help"]):
        assert f"kinema {words[0]}" in text
        with pytest.raises(SystemExit):
            main(words)


def test_a_folder_that_is_no_run_gets_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks.speedrun", str(tmp_path), "--minutes", "3", "--seed", "0"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and ended.stderr.startswith("speedrun.py: no model ") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "minutes", "status", "message"),
    [
        (["--help"], "28", 0, "usage:"),
        *((words, "28", 2, "SEED ") for words in (["abc"], ["1.5"], ["08"], ["0 1"], ["-1"], ["10000"])),
        (["0", "1"], "28", 2, "2 arguments"),
        *(([], minutes, 2, "MINUTES ") for minutes in ("0", "0.0", "30", "-3", "1e1", "abc")),
        (["0"], "28", 77, ""),
        (["9999"], "0.5", 77, ""),
    ],
)
def test_the_script_checks_what_it_is_given_before_anything_runs(
    words: list[str], minutes: str, status: int, message: str, tmp_path: Path
) -> None:
    """A `make` of the test's own shows whether the first step was reached."""
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\nexit 77\n")
    make.chmod(0o755)
    script = tmp_path / "runs" / "speedrun.sh"
    script.parent.mkdir()
    script.write_text((ROOT / "runs" / "speedrun.sh").read_text())
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MINUTES": minutes}
    ended = subprocess.run(["bash", str(script), *words], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == status and (ended.stdout + ended.stderr).startswith(message), ended.stderr
