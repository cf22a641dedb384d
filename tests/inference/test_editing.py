"""Edits: what lies outside a mask is untouched, pixels and state; wrong masks and strengths are one clear error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import kinema
from kinema.api import SamplingConfig
from kinema.canvas import conditioning
from kinema.cli.main import main
from kinema.errors import InputError
from kinema.inference import canvas_io, editing, limits
from kinema.inference.canvas_io import blank_canvas
from kinema.inference.clips import film_by_window, film_canvas
from kinema.inference.editing import EDIT_STRENGTH, FEATHER, compose, middle_of, picture_level, read_mask, share_inside
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.playground.renderer import render_scene
from kinema.scene.scene import Scene

FAST = SamplingConfig(num_plan_steps=2, num_render_steps=1)
Make = Callable[..., Scene]


@pytest.fixture
def clip(scene: Make) -> Clip:
    """A red ball at (2, 3) that goes right, a blue box at (5, 1.2) and a green robot at (8, 1.4)."""
    one = scene(8)
    return Clip(frames=render_scene(one, height=64, width=64), fps=16.0, state=one)


def mask_of(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = (64, 64)) -> Clip:
    white = np.zeros((1, *size, 3), np.uint8)
    white[:, top:bottom, left:right] = 255
    return Clip(frames=white, fps=1.0)


BALL = (32, 56, 2, 30)
"""Around the ball's whole way; no edge of it is an edge of a cell."""


def test_pixels_outside_a_mask_are_untouched(model: Model, clip: Clip) -> None:
    mask = mask_of(33, 55, 3, 29)
    made = kinema.edit(clip, "a pink star", mask=mask, model=model, options=FAST)
    outside = mask.frames[0, ..., 0] == 0
    assert np.array_equal(made.frames[:, outside], clip.frames[:, outside])
    assert (made.frames[:, ~outside] != clip.frames[:, ~outside]).mean() > 0.5


def test_things_outside_a_mask_keep_their_state(model: Model, clip: Clip) -> None:
    made = kinema.edit(clip, "a pink star", mask=mask_of(*BALL), model=model, options=FAST)
    assert made.state is not None and clip.state is not None
    for k in (1, 2):
        (j,) = [j for j in made.state.entities if made.state.name(j) == clip.state.name(k)]
        assert made.state.material[j] == clip.state.material[k] and abs(made.state.size[j] - clip.state.size[k]) < 1e-3
        for field in ("x", "y", "vx", "vy", "visible"):
            np.testing.assert_allclose(getattr(made.state, field)[:, j], getattr(clip.state, field)[:, k], atol=1e-3)
    assert made.state.background == clip.state.background
    np.testing.assert_allclose(made.state.camera, clip.state.camera, atol=1e-3)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("a pink star, a blue box and a green robot", ["blue box", "pink star", "green robot"]),
        ("a yellow ball and a pink star by the blue box", ["yellow ball", "blue box", "pink star", "green robot"]),
        ("a blue box and a green robot", ["blue box", "green robot"]),
    ],
)
def test_a_thing_inside_a_mask_becomes_what_the_prompt_names(
    model: Model, clip: Clip, prompt: str, names: list[str]
) -> None:
    """The model is untrained; it is the words that say who is behind the mask, and slots are in canonical order."""
    made = kinema.edit(clip, prompt, mask=mask_of(*BALL), model=model, options=FAST).state
    assert made is not None and [made.name(k) for k in made.entities] == names


def test_a_thing_that_leaves_the_mask_keeps_who_it_is(model: Model, clip: Clip) -> None:
    """Outside it is seen; so it can be no other inside."""
    assert clip.state is not None
    x = clip.state.x.copy()
    x[:, 0] = np.linspace(1.5, 8.5, 8)
    scene = replace(clip.state, x=x)
    moving = Clip(frames=render_scene(scene, height=64, width=64), fps=16.0, state=scene)
    for seed in range(3):
        made = kinema.edit(moving, "a pink star", mask=mask_of(*BALL), model=model, options=FAST, seed=seed)
        assert made.state is not None and made.state.name(0) == "red ball"
        np.testing.assert_allclose(made.state.x[5:, 0], x[5:, 0], atol=1e-3)


def test_a_full_mask_changes_everything(model: Model, clip: Clip) -> None:
    made = kinema.edit(clip, "a pink star", mask=mask_of(0, 64, 0, 64), model=model, options=FAST)
    assert (made.frames != clip.frames).mean() > 0.5


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, float("nan"), True])
def test_strength_has_bounds(model: Model, clip: Clip, strength: float) -> None:
    with pytest.raises(InputError, match=r"strength .*: expected above 0"):
        kinema.edit(clip, "a star", strength=strength, model=model)


def test_wrong_masks_are_one_clear_error(model: Model, clip: Clip) -> None:
    two = Clip(frames=np.full((2, 64, 64, 3), 255, np.uint8), fps=1.0)
    for mask, match in (
        (mask_of(0, 8, 0, 8, (32, 32)), "a mask of 1 frames, 32x32: expected one picture of 64x64"),
        (mask_of(0, 8, 0, 8, (64, 128)), "128x64: expected one picture of 64x64"),
        (two, "a mask of 2 frames"),
        (mask_of(0, 0, 0, 0), "no white"),
    ):
        with pytest.raises(InputError, match=match):
            kinema.edit(clip, "a star", mask=mask, model=model)


def test_a_mask_goes_with_a_clip_that_is_fitted(model: Model) -> None:
    clip = Clip(frames=np.full((4, 240, 320, 3), 90, np.uint8), fps=16.0)
    made = kinema.edit(clip, "a star", mask=mask_of(0, 240, 0, 160, (240, 320)), model=model, options=FAST)
    assert (made.frames[:, :, made.frames.shape[2] // 2 + 1 :] == 90).all()


def test_composing_blends_only_inside() -> None:
    old, new = np.zeros((2, 12, 12, 3), np.uint8), np.full((2, 12, 12, 3), 240, np.uint8)
    mask = np.zeros((12, 12), bool)
    mask[2:10, 0:9] = True
    out = compose(old, new, mask)
    assert (out[:, ~mask] == 0).all() and (out[:, 2, 4] == 80).all() and (out[:, 3, 4] == 160).all()
    assert (out[:, 2 + FEATHER : 10 - FEATHER, 0 : 9 - FEATHER] == 240).all(), "the picture's own edge is not blended"


def test_shares_and_middles(scene: Make) -> None:
    one = scene(2)
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    share = share_inside(one, mask)
    assert share[0, 0] == 1 and abs(share[0, 1] - 0.5) < 0.1 and share[0, 2] == 0 and share[0, 3] == 0
    np.testing.assert_allclose(middle_of(mask, one.camera), [[2.5, 5.0]] * 2, atol=1e-5)


def test_the_default_strength_has_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    from kinema.server.api.video_schema import EditVideo

    assert 0.8 <= EDIT_STRENGTH <= 0.95 and picture_level(1.0) == 1.0 and picture_level(EDIT_STRENGTH) > EDIT_STRENGTH
    assert inspect.signature(kinema.edit).parameters["strength"].default is editing.EDIT_STRENGTH
    assert EditVideo.model_fields["strength"].default is editing.EDIT_STRENGTH
    with pytest.raises(SystemExit):
        main(["edit", "--help"])
    assert f"(default: {EDIT_STRENGTH})" in capsys.readouterr().out


def test_a_mask_and_a_clip_that_were_shrunk_differently_fit_by_the_sizes_of_their_files() -> None:
    """As uploads are: the film to fit memory, the mask less."""
    clip = Clip(frames=np.zeros((2, 48, 64, 3), np.uint8), fps=8.0, source_size="2560x1920")
    white = Clip(frames=np.full((1, 96, 128, 3), 255, np.uint8), fps=16.0, source_size="2560x1920")
    assert read_mask(white, clip).shape == (96, 128)
    with pytest.raises(InputError, match="expected one picture of 2560x1920"):
        read_mask(replace(white, source_size="2560x1440"), clip)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_film_that_is_made_by_window_is_the_one_made_whole(model: Model, strength: float) -> None:
    """Also where its last window shares frames with the one before. Each window of its video is asked for once."""
    frames, size = 2 * model.config.film_window + 5, (64, 32)
    canvas = blank_canvas(model, count=1, frames=frames, fps=16.0, height=size[1], width=size[0])
    cells = torch.randn(canvas.values["video"].shape, generator=torch.Generator().manual_seed(0))
    whole = conditioning.condition_edit(canvas, cells, strength=strength)
    whole = conditioning.known_state(whole, torch.zeros_like(canvas.values["state"]), level=strength)
    asked: list[int] = []

    def video(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.extend(index.tolist())
        return cells[:, index], torch.full_like(cells[:, index, ..., 0], strength)

    arguments: dict[str, Any] = {"seed": 3, "fps": 16.0, "size": size, "prompt": "", "settings": {}, "progress": None}
    first = film_canvas(model, whole, FAST, **arguments)[0]
    second = film_by_window(model, whole.without("video"), video, FAST, **arguments)
    assert np.array_equal(first.frames, second.frames) and first.settings == second.settings
    assert first.state is not None and second.state is not None and np.array_equal(first.state.x, second.state.x)
    assert sorted(set(asked)) == list(range(frames)) and len(asked) == 3 * model.config.film_window


def test_a_long_clip_is_edited_as_a_short_one(model: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of long clips are encoded when they are needed, a window at a time."""
    long = Clip(frames=np.concatenate([clip.frames] * 4), fps=clip.fps)
    known = kinema.edit(long, "a pink star", mask=mask_of(*BALL), model=model, options=FAST)
    shown: list[int] = []
    encode = canvas_io.encode_frames
    monkeypatch.setattr(canvas_io, "AT_ONCE", 4)
    monkeypatch.setattr(
        canvas_io, "encode_frames", lambda model, frames, *size: (shown.append(len(frames)), encode(model, frames, *size))[1]
    )
    made = kinema.edit(long, "a pink star", mask=mask_of(*BALL), model=model, options=FAST)
    assert max(shown) <= model.config.film_window < long.num_frames
    close = np.abs(made.frames.astype(int) - known.frames) <= 1
    assert close.mean() > 0.999, "passes of other sizes round differently"


def test_pictures_of_an_edit_in_memory_do_not_grow_with_its_length(model: Model) -> None:
    minute, ten = (limits.memory_needed(model.config, frames, 224, 128, 1, by_window=True) for frames in (1800, 18_000))
    assert ten - minute < 0.1e9 < limits.memory_needed(model.config, 18_000, 224, 128, 1) - ten
