"""The video's mean is the sketch: what slots and setting say of a picture that nobody has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kinema.canvas.canvas import Canvas, blank
from kinema.errors import InputError
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser, clean_video
from kinema.models.objects.splatter import SPREAD

CONFIG = DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=3, latent_channels=4, patch=2, text_dim=8)


def canvas(h: int, w: int) -> Canvas:
    torch.manual_seed(1)
    empty = blank(batch=2, frames=3, fps=8.0, slots=3, grid=(h, w), cell_values=16)
    values = {name: torch.randn_like(x) for name, x in empty.values.items()}
    return empty.with_values(values)


def test_an_answer_of_nothing_is_the_sketch() -> None:
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    model.video_out.last.weight.zero_()
    assert model.video_out.last.bias is not None
    model.video_out.last.bias.zero_()
    filled = canvas(4, 4)
    answers = model.forward_local(filled, torch.float32)
    torch.testing.assert_close(model(filled)["video"], answers["video mean"])


def test_the_sketch_does_not_look_at_the_video() -> None:
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    filled = canvas(4, 4)
    filled = filled.with_levels({"video": filled.levels["video"] * 0.3})
    a = model.forward_local(filled, torch.float32)
    b = model.forward_local(filled.with_values({"video": filled.values["video"] + 1}), torch.float32)
    assert torch.equal(a["video mean"], b["video mean"]) and torch.equal(a["video spread"], b["video spread"])
    assert not torch.equal(a["video"], b["video"])


def test_rendering_is_the_same_whether_frames_are_known_to_be_blank_or_not() -> None:
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    filled = canvas(4, 4)
    levels = {name: torch.zeros_like(level) for name, level in filled.levels.items()}
    blank_video = torch.ones_like(filled.levels["video"])
    alone = model.render(filled.with_levels({**levels, "video": blank_video}))
    first_known = blank_video.clone()
    first_known[:, 0] = 0.0
    joined = model.render(filled.with_levels({**levels, "video": first_known}))
    assert torch.equal(joined[:, 0], filled.values["video"][:, 0])
    torch.testing.assert_close(joined[:, 1:], alone[:, 1:])
    blank_canvas = filled.with_levels({**levels, "video": blank_video})
    torch.testing.assert_close(alone, clean_video(blank_canvas, model.forward_local(blank_canvas, torch.float32)))


def test_a_window_of_a_picture_is_drawn_as_in_the_whole() -> None:
    """Where no convolution reaches the window's edge."""
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    torch.nn.init.normal_(model.splatter.scenery.down.weight, std=0.1)
    empty = blank(batch=2, frames=1, fps=8.0, slots=3, grid=(16, 16), cell_values=16)
    values = {name: torch.randn_like(x) for name, x in empty.values.items()}
    levels = {name: torch.zeros_like(x) for name, x in empty.levels.items()}
    full = replace(empty, values=values, levels=levels, cell_units=0.625)
    whole = model.expect(full, torch.float32)["video mean"]
    corners = [(2, 5), (7, 0)]
    window = torch.tensor([[(8 - y - 4) * 0.625, (x + 4 - 8) * 0.625] for y, x in corners])
    cut = full.with_track("video", values["video"][:, :, :8, :8], levels["video"][:, :, :8, :8])
    part = model.expect(cut, torch.float32, window)["video mean"]
    for i, (y, x) in enumerate(corners):
        torch.testing.assert_close(part[i, :, 3:5, 3:5], whole[i, :, y + 3 : y + 5, x + 3 : x + 5], atol=1e-3, rtol=0)


def test_a_frame_is_rendered_from_its_own_state_alone() -> None:
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    filled = canvas(4, 4)
    levels = {name: torch.zeros_like(level) for name, level in filled.levels.items()} | {"video": filled.levels["video"]}
    moved = {**filled.values, "state": filled.values["state"].clone()}
    moved["state"][:, 1] += 0.5
    a, b = model.render(filled.with_levels(levels)), model.render(filled.with_values(moved).with_levels(levels))
    assert torch.equal(a[:, 0], b[:, 0]) and torch.equal(a[:, 2], b[:, 2])
    assert not torch.allclose(a[:, 1], b[:, 1])


def test_spreads_stay_within_bounds_and_known_cells_come_back() -> None:
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    filled = canvas(4, 4)
    filled = filled.with_levels({"video": torch.zeros_like(filled.levels["video"])})
    answers = model.forward_local(filled, torch.float32)
    assert answers["video spread"].min() >= SPREAD[1] * 0.99 and answers["video spread"].max() <= SPREAD[2] * 1.01
    assert torch.equal(clean_video(filled, answers), filled.values["video"])


@pytest.mark.parametrize("grid", [(3, 3), (4, 7), (16, 9)])
def test_every_shape_passes(grid: tuple[int, int]) -> None:
    model = Denoiser(CONFIG).requires_grad_(False)
    filled = canvas(*grid)
    assert filled.cell_units == pytest.approx(10.0 / grid[0])
    assert model(filled)["video"].shape == filled.values["video"].shape


def test_how_large_a_picture_is_changes_what_is_drawn() -> None:
    """The same cells as part of a picture of another height: things are of another size there."""
    torch.manual_seed(0)
    model = Denoiser(CONFIG).requires_grad_(False)
    filled = canvas(4, 4)
    a, b = (model.forward_local(replace(filled, cell_units=units), torch.float32)["video mean"] for units in (2.5, 1.25))
    assert not torch.allclose(a, b)


def test_a_canvas_with_video_says_how_high_its_cells_are() -> None:
    filled = canvas(4, 4)
    with pytest.raises(InputError, match="cell_units"):
        Canvas(time_s=filled.time_s, values=filled.values, levels=filled.levels)
