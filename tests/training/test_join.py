"""Two trainings of one model are joined part by part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kinema.errors import ModelError, OutputError
from kinema.models.hub import WEIGHTS, Model, read_config, save
from kinema.training.join import LOCAL, join, joined_steps, main


def store(model: Model, folder: Path, value: float, slots: int = 0, **trained: Any) -> Path:
    """The model with every weight at one value."""
    weights = {key: torch.full_like(x.float(), value) for key, x in model.denoiser.state_dict().items()}
    denoiser = replace(model.config.denoiser, slots=model.config.denoiser.slots + slots)
    save(folder, replace(model.config, denoiser=denoiser, trained=trained), weights, f"# {folder.name}\n")
    return folder


def test_local_parts_are_of_the_one_and_all_others_of_the_other(model: Model, tmp_path: Path) -> None:
    one = store(model, tmp_path / "a", 1.0, steps=15, steps_before=10, recipe="a", minutes=2.0)
    two = store(model, tmp_path / "b", 2.0, steps=17, steps_before=10, recipe="b", minutes=3.0)
    join(one, two, tmp_path / "c")
    for name, x in load_file(tmp_path / "c" / WEIGHTS).items():
        assert (x == (1.0 if name.startswith(LOCAL) else 2.0)).all(), name
    trained = read_config(tmp_path / "c").trained
    assert (trained["steps"], trained["steps_before"]) == (22, 10)
    assert (trained["recipe"], trained["minutes"]) == ("a and b", 5.0)
    assert (tmp_path / "c" / "README.md").read_text() == "# a\n"


@pytest.mark.parametrize(
    ("one", "two", "steps", "shared"),
    [
        ({"steps": 5}, {"steps": 7}, 12, 0),
        ({"steps": 17_000, "steps_before": 16_000}, {"steps": 16_200, "steps_before": 16_000}, 17_200, 16_000),
        # the first began with one that had begun with those weights: both of its trainings count
        ({"steps": 17_253, "steps_before": 16_684}, {"steps": 16_603, "steps_before": 16_321}, 17_535, 16_321),
        # one began with the other, which does not say what it began with itself
        ({"steps": 17_898, "steps_before": 17_535}, {"steps": 17_535}, 17_898, 17_535),
        ({"steps": 17_535}, {"steps": 17_898, "steps_before": 17_535}, 17_898, 17_535),
        ({"steps": 120, "steps_before": 100}, {"steps": 150, "steps_before": 120}, 150, 120),
        ({"steps": 17_535}, {"steps": 16_603, "steps_before": 16_321}, 17_817, 16_321),
        ({}, {}, 0, 0),
    ],
)
def test_steps_that_both_trainings_share_count_once(
    one: dict[str, int], two: dict[str, int], steps: int, shared: int
) -> None:
    assert joined_steps(one, two) == joined_steps(two, one) == (steps, shared)


def test_a_model_is_not_joined_with_itself_or_another_shape(model: Model, tmp_path: Path) -> None:
    one, same = store(model, tmp_path / "a", 1.0), store(model, tmp_path / "b", 1.0)
    for other in (one, same):
        with pytest.raises(ModelError, match="are the same model"):
            join(one, other, tmp_path / "c")
    with pytest.raises(ModelError, match="different shapes"):
        join(one, store(model, tmp_path / "d", 2.0, slots=1), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_model_is_overwritten_only_by_force(model: Model, tmp_path: Path) -> None:
    one, two = store(model, tmp_path / "a", 1.0, steps=5), store(model, tmp_path / "b", 2.0, steps=7)
    out = store(model, tmp_path / "c", 3.0)
    with pytest.raises(OutputError, match="--force"):
        join(one, two, out)
    assert all((x == 3.0).all() for x in load_file(out / WEIGHTS).values())
    join(one, two, out, force=True)
    assert read_config(out).trained["steps"] == 12


def test_what_cannot_be_joined_is_one_line(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = store(model, tmp_path / "a", 1.0), store(model, tmp_path / "b", 2.0)
    other, broken = store(model, tmp_path / "d", 2.0, slots=1), store(model, tmp_path / "e", 2.0)
    (broken / WEIGHTS).write_bytes(b"x")
    (tmp_path / "file").touch()
    for local, rest, out, error in (
        (one, "nope", "j", "no model 'nope'"),
        (one, one, "j", "are the same model"),
        (one, other, "j", "different shapes"),
        (one, broken, "j", "cannot be read"),
        (one, two, "file", "is a file"),
        (one, two, "d", "--force"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([str(local), str(rest), "--out", str(tmp_path / out)])
        err = capsys.readouterr().err
        assert ended.value.code == 2 and err.count("\n") == 1 and error in err, err
    assert main([str(one), str(two), "--out", str(tmp_path / "j")]) == 0
    assert read_config(tmp_path / "j").denoiser == model.config.denoiser
