"""Shortcuts: one long step is taught to land where two short ones do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinema.canvas.canvas import Canvas, blank
from kinema.diffusion import shortcut
from kinema.diffusion.flow import noise_to, sample, sampling_levels
from kinema.diffusion.losses import noised
from kinema.diffusion.samplers import euler, noise_canvas, schedule
from kinema.diffusion.shortcut import PIECES, LongSteps, long_step, shortcut_batch, step_size_of
from kinema.models.denoiser import Denoiser

ROWS = 32


def plan(frames: int = 5) -> Canvas:
    canvas = blank(batch=ROWS, frames=frames, fps=16.0, slots=4)
    levels = {name: level.clone() for name, level in canvas.levels.items()}
    levels["state"][:, :2] = 0.0
    values = {name: torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) for name, x in canvas.values.items()}
    return canvas.with_values(values).with_levels(levels)


def test_a_whole_way_in_one_step_lands_where_two_half_steps_land(denoiser: Denoiser) -> None:
    canvas = plan()
    noise = {name: torch.randn(x.shape, generator=torch.Generator().manual_seed(2)) for name, x in canvas.values.items()}
    rng = np.random.default_rng(0)
    made = shortcut_batch(denoiser, rng, canvas, noise, None, torch.float32)
    begun = noised(canvas, noise)
    reached = euler(lambda now: denoiser(now, step_size=0.5), begun, schedule(list(canvas.values), 2))
    whole = (made.step_size == 1.0).nonzero()[:, 0]
    assert len(whole) and len(whole) < ROWS
    for name in canvas.values:
        torch.testing.assert_close(made.clean.values[name][whole], reached.values[name][whole], rtol=1e-4, atol=1e-4)


def test_batches_leave_what_is_known_alone_and_start_on_the_way(denoiser: Denoiser) -> None:
    canvas = plan()
    noise = {name: torch.randn_like(x) for name, x in canvas.values.items()}
    rng = np.random.default_rng(1)
    made = shortcut_batch(denoiser, rng, canvas, noise, None, torch.float32)
    assert torch.equal(made.clean.values["state"][:, :2], canvas.values["state"][:, :2])
    assert (made.clean.levels["state"][:, :2] == 0).all() and (made.clean.levels["state"][:, 2:] > 0).all()
    starts = noised(made.clean, made.noise).values["state"]
    truth = noised(canvas.with_levels(made.clean.levels), noise).values["state"]
    torch.testing.assert_close(starts, truth, rtol=1e-4, atol=1e-4)
    assert set((1 / made.step_size).round().int().tolist()) <= set(PIECES)


def test_half_steps_to_one_place_are_a_step_to_that_place(denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any size and from anywhere: where both halves point to 0.25, so does the whole."""
    monkeypatch.setattr(
        shortcut, "cleaned", lambda now, _: {name: torch.full_like(x, 0.25) for name, x in now.values.items()}
    )
    canvas = plan()
    noise = {name: torch.randn_like(x) for name, x in canvas.values.items()}
    made = shortcut_batch(denoiser, np.random.default_rng(3), canvas, noise, None, torch.float32)
    assert len(set(made.step_size.tolist())) > 1
    moving = made.clean.values["state"][:, 2:]
    torch.testing.assert_close(moving, torch.full_like(moving, 0.25), rtol=1e-3, atol=1e-3)


def test_a_long_step_of_the_flow_lands_where_its_sampler_lands_in_two_and_leaves_what_is_known() -> None:
    """Of any denoiser, here one that bends the path."""
    clean, noise = (torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    unknown = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    ends = sampling_levels(2)
    levels = [level * unknown[..., None, None, None] for level in ends]

    def bent(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(2 * x) + 0.3

    begun = noise_to(clean, ends[0] * unknown, noise)
    first, middle, last = ({"video": level} for level in levels)
    target, push = long_step(
        lambda x, _: {"video": bent(x["video"])}, {"video": begun}, {"video": clean}, {"video": noise}, (first, middle, last)
    )
    reached = sample(lambda x, _: bent(x), noise, unknown, clean, ends)
    once = sample(lambda x, _: target["video"], noise, unknown, clean, [1.0, 0.0])
    torch.testing.assert_close(once, reached)
    torch.testing.assert_close(noise_to(target["video"], ends[0] * unknown, push["video"]), begun)
    known = unknown == 0
    assert torch.equal(target["video"][known], clean[known])


def test_long_steps_are_of_all_sizes_and_follow_each_other_through_the_schedule() -> None:
    steps = LongSteps.draw(np.random.default_rng(0), 400)
    assert set(steps.pieces.tolist()) == set(PIECES) and steps.share(1.0).max() == 1.0 and steps.share(0.0).min() == 0.0
    np.testing.assert_allclose(steps.share(1.0) - steps.share(0.0), 1 / steps.pieces)
    np.testing.assert_allclose(steps.share(1.0) - steps.share(0.5), 0.5 / steps.pieces)
    whole, half = steps.sizes(), steps.sizes(2)
    assert torch.equal(half, torch.where(whole == 1 / 8, 0.0, whole / 2))


def test_strides_are_told_only_for_numbers_of_steps_that_were_learned(denoiser: Denoiser) -> None:
    assert [step_size_of(n) for n in (1, 2, 4, 8)] == [1.0, 0.5, 0.25, 0.125]
    assert step_size_of(16) == step_size_of(3) == 0.0
    canvas = noise_canvas(plan(), range(ROWS))
    far, near = denoiser(canvas, step_size=1.0)["state"], denoiser(canvas)["state"]
    assert not torch.equal(far, near)
