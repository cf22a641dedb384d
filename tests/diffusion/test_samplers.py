"""Laws of the samplers, schedules and levels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from kinema.canvas.canvas import Canvas, TextCondition, blank
from kinema.diffusion.losses import TRACK_WEIGHTS, edm_weight, feature_weights, noised, video_weight
from kinema.diffusion.noise_patterns import PatternMix, sample_levels, shift
from kinema.diffusion.samplers import euler, guided, heun, noise_canvas, schedule
from kinema.errors import InputError
from kinema.models.denoiser import Denoiser
from kinema.scene.schema import PLAYGROUND

SHARES = PatternMix(perceive=0.3, render=0.3, predict=0.25, joint=0.15)
MEAN, SPREAD = 0.7, 0.4


def gaussian(canvas: Canvas) -> dict[str, torch.Tensor]:
    """The exact denoiser of data ~ N(MEAN, SPREAD^2) in every cell: what an ideal network would answer."""
    clean = {}
    for name, x in canvas.values.items():
        t = canvas.levels[name] if name == "state" else canvas.levels[name].reshape(*canvas.levels[name].shape, 1)
        gain = (1 - t) * SPREAD**2 / ((1 - t) ** 2 * SPREAD**2 + t**2).clamp_min(1e-12)
        clean[name] = MEAN + gain * (x - (1 - t) * MEAN)
    return clean


def error_of(sampler: object, steps: int) -> float:
    """Distance to the exact end of the flow, which maps noise n to MEAN + SPREAD n."""
    canvas = noise_canvas(blank(batch=1, frames=4, fps=16.0, slots=2), [0])
    done = sampler(gaussian, canvas, schedule(list(canvas.values), steps, shift_by=1.0))  # type: ignore[operator]
    exact = MEAN + SPREAD * canvas.values["state"]
    return float((done.values["state"] - exact).abs().mean())


def test_samplers_converge_in_order() -> None:
    euler_ratio = error_of(euler, 16) / error_of(euler, 64)
    heun_ratio = error_of(heun, 16) / error_of(heun, 64)
    assert 2.8 < euler_ratio < 6.0, "first order: a quarter of the step, a quarter of the error"
    assert heun_ratio > 7.0, "second order falls faster"
    assert error_of(heun, 16) < error_of(euler, 32)


def test_schedules_begin_at_one_end_at_zero_and_never_rise() -> None:
    plan = schedule(["video", "state"], 9)
    for name in ("video", "state"):
        levels = [step[name] for step in plan]
        assert levels[0] == 1.0 and levels[-1] == 0.0
        assert all(a > b for a, b in pairwise(levels))


def test_guidance_one_is_none_and_more_pushes_away() -> None:
    """The denoiser says 1 where it may read words and 0 where it may not, so guidance by 3 makes it say 3, in one pass of two."""
    passes: list[int] = []

    def denoise(canvas: Canvas) -> dict[str, torch.Tensor]:
        passes.append(canvas.batch)
        assert canvas.text is not None
        return {"state": canvas.text.reads.any(-1).float()}

    canvas = blank(batch=2, frames=3, fps=16.0, slots=2)
    text = TextCondition(states=torch.randn(2, 4, 8), reads=torch.ones(2, 3, 4, dtype=torch.bool))
    with_text = replace(canvas, text=text)
    assert guided(denoise, 1.0) is denoise
    assert torch.equal(guided(denoise, 3.0)(with_text)["state"], torch.full((2, 3), 3.0)) and passes == [4]


def test_words_that_nobody_may_read_are_no_words(denoiser: Denoiser) -> None:
    """What guidance pushes away from: the same as an answer without text."""
    canvas = blank(batch=1, frames=4, fps=16.0, slots=4)
    text = TextCondition(states=torch.randn(1, 5, 384), reads=torch.zeros(1, 4, 5, dtype=torch.bool))
    silent, unread = denoiser(canvas)["state"], denoiser(replace(canvas, text=text))["state"]
    assert torch.allclose(silent, unread, atol=1e-6)


def test_seeds_name_samples() -> None:
    canvas = blank(batch=3, frames=2, fps=16.0, slots=2)
    a, b = noise_canvas(canvas, [1, 2, 1]), noise_canvas(canvas, [1, 2, 1])
    assert torch.equal(a.values["state"], b.values["state"])
    assert torch.equal(a.values["state"][0], a.values["state"][2])
    assert not torch.equal(a.values["state"][0], a.values["state"][1])
    with pytest.raises(InputError, match="2 seeds for 3"):
        noise_canvas(canvas, [1, 2])


def test_temperature_scales_the_noise_of_the_video_alone() -> None:
    canvas = blank(batch=1, frames=2, fps=16.0, slots=2, grid=(4, 4))
    warm, cool = noise_canvas(canvas, [1]).values, noise_canvas(canvas, [1], temperature=0.5).values
    for name, noise in warm.items():
        assert torch.equal(cool[name], 0.5 * noise if name == "video" else noise), name


def test_shift_dwells_at_the_noisy_end() -> None:
    assert shift(0.0) == 0.0 and shift(1.0) == 1.0 and shift(0.5) > 0.7


@pytest.mark.parametrize("grid", [None, (4, 4)])
def test_patterns_cover_every_use(grid: tuple[int, int] | None) -> None:
    """Levels lie in [0, 1]; over many draws each track is sometimes known, sometimes wholly unknown."""
    levels = sample_levels(
        np.random.default_rng(0), batch=200, frames=8, slots=3, grid=grid, shares=SHARES, schema=PLAYGROUND
    )
    assert set(levels) == set(TRACK_WEIGHTS) - (set() if grid else {"video"})
    for name, level in levels.items():
        assert level.dtype == np.float32 and level.min() >= 0 and level.max() <= 1, name
        flat = level.reshape(200, -1)
        assert (flat == 1).all(1).any(), f"{name} is never wholly unknown"
        if grid or name in ("camera", "scene", "action"):
            assert (flat == 0).all(1).any(), f"{name} is never known"
    if grid:
        prefix = (levels["video"][:, 0].max((1, 2)) <= 0.1) & (levels["video"][:, -1].min((1, 2)) == 1)
        assert prefix.any(), "prediction from a few frames is never trained"


def test_noise_leaves_known_cells_alone() -> None:
    x = {"state": torch.randn(1, 2, 2, 28), "camera": torch.randn(1, 2, 3)}
    levels = {"state": torch.zeros(1, 2, 2, 28), "camera": torch.tensor([[0.0, 1.0]])}
    noise = {name: torch.randn_like(value) for name, value in x.items()}
    mixed = noised(Canvas(time_s=torch.zeros(1, 2), values=x, levels=levels), noise).values
    assert torch.equal(mixed["state"], x["state"])
    assert torch.equal(mixed["camera"][:, 0], x["camera"][:, 0]) and torch.equal(
        mixed["camera"][:, 1], noise["camera"][:, 1]
    )
    assert feature_weights(PLAYGROUND).mean() == pytest.approx(1.0)


def test_clean_levels_weigh_more_but_not_without_bound() -> None:
    levels = torch.linspace(1, 0, 50)
    assert edm_weight(levels[:1]) == pytest.approx(1.0)
    assert (edm_weight(levels).diff() > 0).all() and edm_weight(levels).max() < 105
    sure = video_weight(levels, torch.tensor(0.3))
    assert sure[0] == pytest.approx(1.0) and (sure.diff() >= 0).all() and sure.max() == 8.0
    assert (video_weight(levels, torch.tensor(0.05))[:40] < 1.2).all()
