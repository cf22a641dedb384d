"""Shortcut models: the network learns to make one long step equal to two shorter ones (Frans et al. 2024).

A step from share u to u - 1/n of the schedule has the step size 1/n, an input of the network; n is 1, 2, 4 or 8. The target comes
from the network itself: two steps of half that size, of which the smallest are ordinary ones with a step size of 0. In terms of the
clean value: x_0 = x_hat + (t_0 / t_1) (x_1 - x_hat), solved for x_hat.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
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


@dataclass(frozen=True, kw_only=True)
class LongSteps:
    """One step of a sampler for each row of a batch."""

    pieces: NDArray[np.int64]
    """[B], in how many equal steps the schedule is taken: the step size is 1 / pieces."""
    number: NDArray[np.int64]
    """[B], which of them it is, counted from the clean end, 1 to pieces."""

    @staticmethod
    def draw(rng: np.random.Generator, rows: int) -> LongSteps:
        """Any size of PIECES, anywhere in its schedule."""
        pieces = rng.choice(PIECES, rows)
        return LongSteps(pieces=pieces, number=rng.integers(1, pieces + 1))

    def share(self, left: float) -> NDArray[np.float64]:
        """[B], the share of the schedule that is still to do when so much is left of the step: 1 at its beginning, 0 at its end."""
        return np.asarray((self.number - 1 + left) / self.pieces)

    def sizes(self, parts: int = 1) -> Tensor:
        """[B], the step size as an input of the network, of the step or of one of its equal parts."""
        return torch.tensor([step_size_of(parts * n) for n in self.pieces.tolist()], dtype=torch.float32)


def long_step(
    estimate: Callable[[Tracks, int], Tracks],
    begun: Tracks,
    clean: Tracks,
    noise: Tracks,
    levels: tuple[Tracks, Tracks, Tracks],
) -> tuple[Tracks, Tracks]:
    """What a long step has to be, so that it ends where two steps of half the size end.

    estimate: tracks at the first (0) or second (1) of the levels -> what is clean. begun: `clean` with `noise` at the first of
    them. levels: at the beginning, the middle and the end of the step, with as many axes as their tracks; the same where a cell is
    known.

    Returns the estimate that does it, and the noise that makes `begun` of it; of known cells `clean` and `noise`.
    """
    first, middle, last = levels

    def step(x: Tensor, to: Tensor, now: Tensor, then: Tensor) -> Tensor:
        return to + torch.where(then < now, then / now.clamp_min(1e-6), 1.0) * (x - to)

    to = estimate(begun, 0)
    between = {name: step(x, to[name], first[name], middle[name]) for name, x in begun.items()}
    to = estimate(between, 1)
    target, push = {}, {}
    for name, x in begun.items():
        now, end = first[name], last[name]
        reached, moving = step(between[name], to[name], middle[name], end), end < now
        whole = torch.where(moving, end / now.clamp_min(1e-6), 1.0)
        target[name] = torch.where(moving, (reached - whole * x) / (1 - whole).clamp_min(1e-6), clean[name])
        push[name] = torch.where(moving, (x - (1 - now) * target[name]) / now.clamp_min(1e-6), noise[name])
    return target, push


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
    device, levels, steps = clean.time_s.device, clean.levels, LongSteps.draw(rng, clean.batch)

    def at(left: float) -> Tracks:
        share = torch.tensor([shift(u) for u in steps.share(left)], dtype=torch.float32, device=device)
        return {name: torch.where(level > KNOWN, _per(share, level), level) for name, level in levels.items()}

    ends = at(1.0), at(0.5), at(0.0)
    half = steps.sizes(2).to(device)
    begun = noised(clean.with_levels(ends[0]), noise)

    def estimate(values: Tracks, end: int) -> Tracks:
        canvas = begun.with_values(values).with_levels(ends[end])
        return cleaned(canvas, model.network(DenoiserInput(canvas=canvas, time_bias=time_bias, step_size=half), dtype))

    aligned = [{name: align(level, clean.values[name]) for name, level in end.items()} for end in ends]
    target, push = long_step(estimate, begun.values, clean.values, noise, (aligned[0], aligned[1], aligned[2]))
    return ShortcutBatch(clean=begun.with_values(target), noise=push, step_size=steps.sizes().to(device))
