"""Checkpoints come back as they were; what is none is named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kinema.errors import InputError
from kinema.training import checkpoint

STATE = {"recipe": {}, "step": 3, "elapsed_s": 1.5, "running": {}, "model": {"a": torch.arange(5000.0)}, "optimizer": {}}


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    checkpoint.save_checkpoint(tmp_path, STATE)
    state = checkpoint.load_checkpoint(tmp_path)
    assert torch.equal(state.pop("model")["a"], torch.arange(5000.0))
    assert state == {name: value for name, value in STATE.items() if name != "model"}


def test_what_is_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    checkpoint.save_checkpoint(tmp_path, STATE)
    path = tmp_path / checkpoint.NAME
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"is damaged or no checkpoint; begin a new run") as caught:
            checkpoint.load_checkpoint(tmp_path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"a text, not a checkpoint")
    with pytest.raises(InputError, match="is damaged or no checkpoint"):
        checkpoint.load_checkpoint(tmp_path)
    for other in ({"a": 1}, [1, 2], torch.zeros(3)):
        torch.save(other, path)
        with pytest.raises(InputError, match="is no checkpoint of a run of Kinema"):
            checkpoint.load_checkpoint(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.load_checkpoint(tmp_path)
    path.mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        checkpoint.load_checkpoint(tmp_path)


def test_parts_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    small, large = torch.nn.Linear(2, 2), torch.nn.Linear(3, 3)
    with pytest.raises(InputError, match="does not fit this run") as caught, checkpoint.fitting(tmp_path):
        small.load_state_dict(large.state_dict())
    assert "\n" not in str(caught.value)
