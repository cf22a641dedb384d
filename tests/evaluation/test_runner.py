"""A run keeps what it knows, goes on where it was stopped, and tells in one line what does not fit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kinema.cli.main import main
from kinema.errors import InputError
from kinema.evaluation.baselines import Freeze
from kinema.evaluation.cases import Case
from kinema.evaluation.kinema_model import KinemaModel
from kinema.evaluation.model_under_test import FolderModel, file_of, open_model, predict
from kinema.evaluation.report import board, read_cards, report
from kinema.evaluation.runner import CARD, RESULTS, Run, case_items, strips
from kinema.evaluation.tasks import TASKS
from kinema.models.hub import Model
from kinema.types import Frames


class Still:
    """A third party's model, as plain as can be."""

    name = "still"
    asked = 0

    def predict(self, context_frames, actions, text, horizon, seed):  # type: ignore[no-untyped-def]
        self.asked += 1
        return np.repeat(context_frames[-1:], horizon, 0)


def test_a_run_is_kept_and_goes_on(tmp_path: Path) -> None:
    first = Still()
    card = Run(first, tmp_path, "quick", ["uniform"]).work()
    assert first.asked == 20 and card["tests"][0]["verdict"]["score"] == 0.0
    assert card["tests"][0]["beside"]["oracle"] == 1.0
    lines = (tmp_path / RESULTS).read_text().splitlines()
    (tmp_path / RESULTS).write_text("\n".join(lines[:-3]) + "\n" + lines[-3][:20])
    again = Still()
    same = Run(again, tmp_path, "quick", ["uniform"]).work()
    assert again.asked == 3
    assert same["tests"][0]["verdict"] == card["tests"][0]["verdict"]
    assert json.loads((tmp_path / CARD).read_text())["subject"] == "still"


def test_tests_asked_later_join_the_card(tmp_path: Path) -> None:
    Run(Still(), tmp_path, "quick", ["uniform"]).work()
    card = Run(Still(), tmp_path, "quick", ["collision"]).work()
    assert [row["name"] for row in card["tests"]] == ["uniform", "collision"]


def test_another_subject_does_not_go_on_with_it(tmp_path: Path) -> None:
    Run(Still(), tmp_path, "quick", ["uniform"]).work()
    other = Still()
    other.name = "other"
    with pytest.raises(InputError, match="holds a run of still"):
        Run(other, tmp_path, "quick", ["uniform"])


def test_report_and_board_stand_alone(tmp_path: Path, model: Model) -> None:
    run = Run(Still(), tmp_path / "a", "quick", ["uniform", "collision", "surprise"])
    card = run.work()
    page = report(card, strips(run, card))
    assert (
        page.startswith("<!doctype html>")
        and "data:image/png;base64," in page
        and "http" not in page.replace("http-equiv", "")
    )
    states = {row["name"]: row["state"] for row in card["tests"]}
    assert states == {"uniform": "scored", "collision": "scored", "surprise": "unasked"}
    second = Run(KinemaModel(model), tmp_path / "b", "quick", ["uniform"])
    cards = [card, second.work()]
    assert "untrained" in board(cards)
    assert [one["subject"] for one in read_cards([tmp_path / "a", tmp_path / "b" / CARD])] == ["still", "untrained"]


def test_a_folder_of_files_answers(tmp_path: Path) -> None:
    for item in TASKS["uniform"].examples("quick"):
        assert TASKS["uniform"].case is not None
        case = TASKS["uniform"].case(item)
        np.save(tmp_path / f"{file_of(case.name)}.npy", Freeze().answer(case))
    model = open_model(f"folder:{tmp_path}")
    assert isinstance(model, FolderModel)
    card = Run(model, tmp_path / "run", "quick", ["uniform"]).work()
    assert card["tests"][0]["verdict"]["score"] == 0.0
    next(tmp_path.glob("*.npy")).unlink()
    with pytest.raises(InputError, match="has no answer to"):
        Run(model, tmp_path / "again", "quick", ["uniform"]).work()


def test_an_answer_of_another_shape_is_told() -> None:
    class Short(Still):
        def predict(self, context_frames, actions, text, horizon, seed):  # type: ignore[no-untyped-def]
            return context_frames[:1]

    assert TASKS["uniform"].case is not None
    with pytest.raises(InputError, match=r"expected uint8 \(29, height, width, 3\)"):
        predict(Short(), TASKS["uniform"].case("uniform/in/0"))


def test_a_gate_that_fails_leaves_the_subject_unscored(tmp_path: Path) -> None:
    class Blurred(Still):
        def round_trip(self, frames: Frames) -> Frames:
            return np.full_like(frames, 128)

    row = Run(Blurred(), tmp_path, "quick", ["collision"]).work()["tests"][0]
    assert row["state"] == "gate" and "autoencoder" in row["why"]


def test_every_case_has_its_own_name() -> None:
    for name in ("actions", "causes", "permanence"):
        cases: list[Case] = list(case_items(TASKS[name], "quick"))
        assert len({case.name for case in cases}) == len(cases)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", "tests"]) == 0
    assert "conservation" in capsys.readouterr().out
    out = str(tmp_path / "run")
    assert main(["arena", "run", "--quick", "--model", "freeze", "--tests", "uniform", "--out", out]) == 0
    assert "0.00" in capsys.readouterr().out and (tmp_path / "run" / "arena.html").exists()
    assert main(["arena", "report", out, "-o", str(tmp_path / "page.html")]) == 0
    assert main(["arena", "board", out, "-o", str(tmp_path / "board.html")]) == 0
    assert main(["arena", "cases", "--quick", "--tests", "uniform", "-o", str(tmp_path / "cases")]) == 0
    assert len(list((tmp_path / "cases").glob("*.json"))) == 20
    capsys.readouterr()
    for arguments, told in (
        (["arena", "run", "--tests", "beauty"], "no test beauty"),
        (["arena", "run", "--model", "nobody:at_all"], "no model 'nobody:at_all'"),
        (["arena", "run", "--model", "folder:/nowhere"], "is no folder"),
        (["arena", "board", str(tmp_path / "nothing.json")], "cannot be read"),
    ):
        assert main([*arguments, *(["--out", str(tmp_path / "x")] if "run" in arguments else [])]) == 2
        assert told in capsys.readouterr().err


def test_killed_and_run_again(tmp_path: Path) -> None:
    """kill -9 in the middle; the second run asks only what is left and says the same as one that was never stopped."""
    command = [
        sys.executable, "-m", "kinema.cli.main", "arena", "run", "--quick", "--model", "straight", "--tests", "uniform",
        "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "run" / RESULTS
    while running.poll() is None and (not kept.exists() or len(kept.read_text().splitlines()) < 6):
        time.sleep(0.02)
    running.kill()
    running.wait()
    before = len(kept.read_text().splitlines())
    subprocess.run(command, check=True, capture_output=True)
    after = [json.loads(line) for line in kept.read_text().splitlines() if line.endswith("}")]
    assert running.returncode == -signal.SIGKILL, "it was killed before its end"
    keys = [(row["question"], row["who"], row["item"]) for row in after if "question" in row]
    assert len(keys) == len(set(keys)) and before < len(after)
