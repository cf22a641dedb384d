"""Shortcuts: the network learns to answer for a long step at once what two shorter ones would have reached (Frans et al. 2024).

A step from share u to u - 1/n of the way is told to the network as its stride 1/n; n is 1, 2, 4 or 8. What it should answer is
made by the network itself: two steps of half the stride, of which the shortest are ordinary ones of stride 0. In terms of
the clean value: x_0 = x_hat + (t_0 / t_1) (x_1 - x_hat), solved for x_hat.

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
"""Numbers of steps that the whole way may be gone in."""
KNOWN = 0.1
"""Cells up to this level count as known and keep it; the others start from level 1."""

Tracks = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a shortcut is trained on: `noised(values, levels, noise)` is where the long step starts."""

    values: Tracks
    levels: Tracks
    noise: Tracks
    step_size: Tensor


def _per(share: Tensor, x: Tensor) -> Tensor:
    return share.reshape(-1, *[1] * (x.ndim - 1))


def step_size_of(steps: int) -> float:
    """What the network is told when the whole way is gone in so many steps; 0 for numbers it has no shortcut for."""
    return 1.0 / steps if steps in PIECES else 0.0


@torch.no_grad()
def lesson(
    model: Denoiser,
    rng: np.random.Generator,
    values: Tracks,
    levels: Tracks,
    noise: Tracks,
    time_s: Tensor,
    text: TextCondition | None,
    time_bias: Tensor | None,
    dtype: torch.dtype,
) -> Lesson:
    """Draw a stride and a place on the way for each row, and find what two steps of half the stride reach from there."""
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
    return Lesson(values=target, levels=first, noise=push, step_size=step_size)
