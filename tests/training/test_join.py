"""Two trainings of one model are joined part by part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kinema.errors import ModelError
from kinema.models.hub import WEIGHTS, Model, read_config, save
from kinema.training.join import LOCAL, join


def test_local_parts_are_of_the_one_and_all_others_of_the_other(model: Model, tmp_path: Path) -> None:
    weights = {name: x.float() for name, x in model.denoiser.state_dict().items()}
    for name, add, steps in (("a", 1.0, 5), ("b", 2.0, 7)):
        config = replace(model.config, trained={"steps": steps, "recipe": name})
        save(tmp_path / name, config, {key: torch.full_like(x, add) for key, x in weights.items()}, f"# {name}\n")
    join(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    for name, x in load_file(tmp_path / "c" / WEIGHTS).items():
        assert (x == (1.0 if name.startswith(LOCAL) else 2.0)).all(), name
    assert read_config(tmp_path / "c").trained["steps"] == 12
    other = replace(model.config, denoiser=replace(model.config.denoiser, slots=model.config.denoiser.slots + 1))
    save(tmp_path / "d", other, weights, "# d\n")
    with pytest.raises(ModelError, match="different shapes"):
        join(tmp_path / "a", tmp_path / "d", tmp_path / "e")
