"""Shortcut models: the network learns to make one long step equal to two shorter ones (Frans et al. 2024).

A step from share u to u - 1/n of the schedule has the step size 1/n, an input of the network; n is 1, 2, 4 or 8. The target comes
from the network itself: two steps of half that size, of which the smallest are ordinary ones with a step size of 0. In terms of the
clean value: x_0 = x_hat + (t_0 / t_1) (x_1 - x_hat), solved for x_hat.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinema.canvas.canvas import Canvas, Tracks, align
from kinema.diffusion.losses import noised
from kinema.diffusion.noise_patterns import shift
from kinema.models.denoiser import Denoiser, DenoiserInput, cleaned

PIECES = (1, 2, 4, 8)
"""Numbers of equal steps that the network learns."""
KNOWN = 0.1
"""Cells up to this level count as known and keep their level; the others start from level 1."""


@dataclass(frozen=True, kw_only=True)
class ShortcutBatch:
    """Training data of a shortcut: `noised(clean, noise)` is where the long step starts. step_size [B]."""

    clean: Canvas
    noise: Tracks
    step_size: Tensor


def _per(share: Tensor, x: Tensor) -> Tensor:
    return share.reshape(-1, *[1] * (x.ndim - 1))


def step_size_of(steps: int) -> float:
    """The step size input for a schedule of so many steps; 0 for numbers without a shortcut."""
    return 1.0 / steps if steps in PIECES else 0.0


@torch.no_grad()
def shortcut_batch(
    model: Denoiser,
    rng: np.random.Generator,
    clean: Canvas,
    noise: Tracks,
    time_bias: Tensor | None,
    dtype: torch.dtype,
) -> ShortcutBatch:
    """Draw a step size and a start in the schedule for each row, and compute what two steps of half that size reach."""
    batch, device, levels = clean.batch, clean.time_s.device, clean.levels
    pieces = rng.choice(PIECES, batch)
    number = rng.integers(1, pieces + 1)

    def at(steps_left: float) -> Tracks:
        share = torch.tensor([shift(u) for u in (number - 1 + steps_left) / pieces], dtype=torch.float32, device=device)
        return {name: torch.where(level > KNOWN, _per(share, level), level) for name, level in levels.items()}

    half = torch.tensor([step_size_of(2 * n) for n in pieces], dtype=torch.float32, device=device)

    def estimate_at(canvas: Canvas) -> Tracks:
        return cleaned(canvas, model.network(DenoiserInput(canvas=canvas, time_bias=time_bias, step_size=half), dtype))

    def ratio(now: Tracks, then: Tracks, name: str) -> Tensor:
        """Of levels, where the cell moves; 1 for known cells, which stay."""
        moving = levels[name] > KNOWN
        return align(torch.where(moving, then[name] / now[name].clamp_min(1e-6), 1.0), clean.values[name])

    first, middle, last = at(1.0), at(0.5), at(0.0)
    begun = noised(clean.with_levels(first), noise)
    estimate = estimate_at(begun)
    between = {name: estimate[name] + ratio(first, middle, name) * (x - estimate[name]) for name, x in begun.values.items()}
    estimate = estimate_at(begun.with_values(between).with_levels(middle))
    target, push = {}, {}
    for name, x in begun.values.items():
        reached = estimate[name] + ratio(middle, last, name) * (between[name] - estimate[name])
        whole = ratio(first, last, name)
        moving = whole < 1
        target[name] = torch.where(moving, (reached - whole * x) / (1 - whole).clamp_min(1e-6), clean.values[name])
        t = begun.level_of(name)
        push[name] = torch.where(moving, (x - (1 - t) * target[name]) / t.clamp_min(1e-6), noise[name])
    step_size = torch.tensor([step_size_of(n) for n in pieces], dtype=torch.float32, device=device)
    return ShortcutBatch(clean=begun.with_values(target), noise=push, step_size=step_size)
