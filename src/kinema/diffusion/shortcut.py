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

from kinema.canvas.canvas import TextCondition
from kinema.diffusion.losses import noised
from kinema.diffusion.noise_patterns import shift
from kinema.models.denoiser import Denoiser, cleaned

PIECES = (1, 2, 4, 8)
"""Numbers of equal steps that the network learns."""
KNOWN = 0.1
"""Cells up to this level count as known and keep their level; the others start from level 1."""

Tracks = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ShortcutBatch:
    """Training data of a shortcut: `noised(values, levels, noise)` is where the long step starts. step_size [B]."""

    values: Tracks
    levels: Tracks
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
    values: Tracks,
    levels: Tracks,
    noise: Tracks,
    time_s: Tensor,
    text: TextCondition | None,
    time_bias: Tensor | None,
    dtype: torch.dtype,
) -> ShortcutBatch:
    """Draw a step size and a start in the schedule for each row, and compute what two steps of half that size reach."""
    batch, device = len(time_s), time_s.device
    pieces = rng.choice(PIECES, batch)
    number = rng.integers(1, pieces + 1)

    def at(steps_left: float) -> Tracks:
        share = torch.tensor([shift(u) for u in (number - 1 + steps_left) / pieces], dtype=torch.float32, device=device)
        return {name: torch.where(level > KNOWN, _per(share, level), level) for name, level in levels.items()}

    def deep(name: str, level: Tensor) -> Tensor:
        return level if name == "state" else level[..., None]

    half = torch.tensor([step_size_of(2 * n) for n in pieces], dtype=torch.float32, device=device)

    def clean(x: Tracks, t: Tracks) -> Tracks:
        answers = model.network(x, t, time_s, text, None, time_bias, half, dtype)
        return cleaned(x, t, answers)

    def ratio(now: Tracks, then: Tracks, name: str) -> Tensor:
        """Of levels, where the cell moves; 1 for known cells, which stay."""
        moving = levels[name] > KNOWN
        return deep(name, torch.where(moving, then[name] / now[name].clamp_min(1e-6), 1.0))

    first, middle, last = at(1.0), at(0.5), at(0.0)
    begun = noised(values, first, noise)
    estimate = clean(begun, first)
    between = {name: estimate[name] + ratio(first, middle, name) * (x - estimate[name]) for name, x in begun.items()}
    estimate = clean(between, middle)
    target, push = {}, {}
    for name, x in begun.items():
        reached = estimate[name] + ratio(middle, last, name) * (between[name] - estimate[name])
        whole = ratio(first, last, name)
        moving = whole < 1
        target[name] = torch.where(moving, (reached - whole * x) / (1 - whole).clamp_min(1e-6), values[name])
        t = deep(name, first[name])
        push[name] = torch.where(moving, (x - (1 - t) * target[name]) / t.clamp_min(1e-6), noise[name])
    step_size = torch.tensor([step_size_of(n) for n in pieces], dtype=torch.float32, device=device)
    return ShortcutBatch(values=target, levels=first, noise=push, step_size=step_size)
