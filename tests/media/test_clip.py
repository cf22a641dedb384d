"""Clips: what may be given for one, and what a crop leaves of the state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kinema.errors import InputError, MediaError
from kinema.media import Clip
from kinema.playground.renderer import render_scene
from kinema.scene.scene import Scene


def film(scene: Scene, height: int, width: int) -> Clip:
    return Clip(frames=render_scene(scene, height=height, width=width), fps=scene.fps, state=scene)


@pytest.mark.parametrize("size", [(96, 96), (64, 96), (48, 96), (96, 48), (160, 64), (80, 128)])
def test_the_state_of_a_crop_is_what_the_crop_shows(scene: Callable[..., Scene], size: tuple[int, int]) -> None:
    """Drawn from its state, a cropped film looks like the crop: nearer to it than a tenth of what the uncropped state gives."""
    width, height = size
    crop = film(scene(3), 128, 128).fit(width, height)
    assert crop.state is not None
    drawn = render_scene(crop.state, height=height, width=width).astype(int)
    off = np.abs(drawn - crop.frames).mean()
    assert off < 4.0, off
    whole = render_scene(scene(3), height=height, width=width).astype(int)
    assert off <= np.abs(whole - crop.frames).mean() + 0.5


def test_what_a_crop_cuts_off_is_not_visible(scene: Callable[..., Scene]) -> None:
    """A ball at x 2, a box at 5 and a robot at 8: the middle third shows the box."""
    crop = film(scene(1), 96, 96).fit(32, 96)
    assert crop.state is not None
    assert crop.state.visible[0, :3].tolist() == pytest.approx([0.0, 1.0, 0.0])
    assert np.array_equal(crop.state.x, scene(1).x)


def test_a_clip_is_made_of_whatever_holds_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 12, 3), np.uint8)
    clip = Clip(frames=pixels, fps=10.0)
    path = Clip(frames=pixels[:1], fps=10.0).save(tmp_path / "a.png")
    assert Clip.of(clip) is clip
    for one in (path, str(path), Image.fromarray(pixels[0]), pixels[0]):
        assert np.array_equal(Clip.of(one).frames, pixels[:1])
    assert np.array_equal(Clip.of(pixels).frames, pixels)


def test_a_picture_in_memory_is_read_as_one_in_a_file(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (6, 4), (0, 0, 0, 0))
    clear.save(tmp_path / "a.png")
    assert np.array_equal(Clip.of(clear).frames, Clip.of(tmp_path / "a.png").frames) and Clip.of(clear).frames.min() == 255


@pytest.mark.parametrize("given", [None, 5, np.zeros((4, 4)), np.zeros((2, 4, 4, 4), np.uint8), [1, 2]])
def test_what_holds_no_clip_is_refused_with_what_does(given: Any) -> None:
    with pytest.raises(InputError, match=r"expected a kinema\.Clip, a path, a PIL picture, or uint8 pixels"):
        Clip.of(given)
    with pytest.raises(MediaError):
        Clip.of("no such file.png")
