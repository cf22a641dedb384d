"""What a program has set for itself stays as it is, and what it counts with may be NumPy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kinema
from kinema.types import python_values

FAST = kinema.SamplingConfig(num_plan_steps=1, num_candidates=1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_any_default_type_gives_the_same_film_and_is_kept(dtype: torch.dtype) -> None:
    usual = kinema.generate("a red ball rolls right", seconds=0.25, options=FAST)[0]
    torch.manual_seed(3)
    rng = torch.get_rng_state()
    torch.set_default_dtype(dtype)
    try:
        kinema.load("kinema-tiny")
        clip = kinema.generate("a red ball rolls right", seconds=0.25, options=FAST)[0]
        world = kinema.World("kinema-tiny", "a red ball")
        world.step((0.5, 0.5))
        assert world.frame.dtype == np.uint8 and torch.get_default_dtype() is dtype
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(clip.frames, usual.frames)
    assert torch.equal(torch.get_rng_state(), rng) and torch.is_grad_enabled()


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    """The film is that of Python's numbers, and can be written."""
    whole: Any = np.int64
    real: Any = np.float32
    options = kinema.SamplingConfig(num_plan_steps=whole(1), num_candidates=whole(1), guidance_scale=real(2))
    clip = kinema.generate("a red ball", seconds=real(0.25), fps=whole(16), seed=whole(3), options=options)[0]
    clip.save(tmp_path / "a.mp4")
    same = kinema.generate("a red ball", seconds=0.25, seed=3, options=FAST)[0]
    np.testing.assert_array_equal(clip.frames, same.frames)
    assert clip.settings == same.settings
    kinema.extend(clip, seconds=real(0.25)).save(tmp_path / "b.mp4")
    kinema.interpolate(clip, fps=whole(32), options=FAST).save(tmp_path / "c.mp4")
    world = kinema.World("kinema-tiny", "a red ball", seed=whole(1), fps=whole(16), steps=whole(1))
    world.step()
    world.rewind(whole(1)).clip().save(tmp_path / "d.mp4")


def test_plain_values() -> None:
    assert python_values({"a": [np.int64(1), (np.float32(0.5),)], "b": np.arange(2)}) == {"a": [1, (0.5,)], "b": [0, 1]}
