"""Rectified flow with estimates of what is clean (Liu et al. 2022; x-prediction): levels, noise, losses and a sampler.

A frame, or a cell of it, at level t is (1 - t) x + t n, with n unit noise. x is the clean frame relative to a mean, in units of a
spread: the mean is the frame before where a model reads one, else 0. So at level 1 the best estimate of a frame that does not
change is 0.

Levels are logit-normal, shifted to the noisy end (Esser et al. 2024), since a film is redundant: at low levels nearly everything
can be read from other frames, and samples are made from the noisiest levels first. A share of them is exactly 1. How far they are
shifted goes with the number of latents (`shift_of`).

Axes: B clips, T frames, C channels, h x w latents.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor


def draw_levels(shape: tuple[int, ...], generator: torch.Generator, *, shift: float = 2.0, pure: float = 0.25) -> Tensor:
    """Levels in (0, 1]: logit-normal, moved by t' = s t / (1 + (s - 1) t), and a share `pure` of them 1."""
    t = torch.sigmoid(torch.randn(shape, generator=generator) * 1.2)
    return torch.where(torch.rand(shape, generator=generator) < pure, 1.0, shift_levels(t, shift))


_Levels = TypeVar("_Levels", Tensor, NDArray[Any] | float)


def shift_levels(t: _Levels, shift: float) -> _Levels:
    """Levels, or shares of a schedule that are still to do, moved by t' = s t / (1 + (s - 1) t)."""
    return shift * t / (1 + (shift - 1) * t)


USUAL_SIDE = 8
"""Latents along each side of a picture whose levels are shifted by 1.5."""


def shift_of(frames: int, rows: int = USUAL_SIDE, columns: int = USUAL_SIDE) -> float:
    """How far levels of films of so many latent frames, rows and columns are shifted: 1.5 for a picture of 8 x 8 latents, 5.2 for
    twelve of them, and twice as much for twice the height and width.

    Latents that show the same thing have independent noise. The mean of n of them has its root of n-th part, so what they show
    together can be read at a level whose odds t / (1 - t) are the root of n times those at which one alone shows it. A shift of s
    multiplies the odds by s: with the root of the number of latents the same share of levels is spent on what is decided first,
    whatever the length and size (Esser et al. 2024, of resolution). It is the number of latents that counts, not that of tokens:
    how a network joins latents to tokens leaves their noise as it is.
    """
    return 1.5 * math.sqrt(frames * rows * columns / USUAL_SIDE**2)


def align_level(level: Tensor, x: Tensor) -> Tensor:
    """Levels [B, T] of frames with as many axes as x [B, T, ...]; levels [B, T, h, w] of latents as those of x [B, T, C, h, w]."""
    return level[:, :, None] if level.ndim == 4 else level.reshape(*level.shape, *(1,) * (x.ndim - level.ndim))


def noise_to(x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """x [B, T, ...] at levels [B, T], or [B, T, h, w] of latents."""
    t = align_level(level, x)
    return (1 - t) * x + t * noise


def squared_error(estimate: Tensor, clean: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error; weight: of each number, as it is (`mean_one`)."""
    error = (estimate.float() - clean.float()).square()
    return error.mean() if weight is None else (error * weight).mean()


def mean_one(weight: Tensor) -> Tensor:
    """Weights of a whole batch scaled so that their mean is 1; its parts take theirs from the result, so that errors add up."""
    return weight / weight.mean()


def sampling_levels(steps: int, *, shift: float = 3.0) -> list[float]:
    """Levels at the steps + 1 ends of the sampler's steps, 1 to 0."""
    return [float(shift_levels(1 - i / steps, shift)) for i in range(steps + 1)]


def sample(
    estimate: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    unknown: Tensor,
    known: Tensor,
    levels: list[float],
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Euler's method from the first of the levels to the last, 0.

    estimate: noisy [B, T, ...] and levels of the shape of `unknown` -> what is clean. noise: [B, T, ...]. unknown: [B, T], 1 where
    a frame is to be made, 0 where `known` [B, T, ...] stands as it is; or [B, T, h, w], of latents. With a first level below 1,
    `known` noised to it is where unknown frames begin.
    Returns [B, T, ...].
    """
    made = align_level(unknown, noise)
    x = torch.where(made > 0, noise_to(known, levels[0] * unknown, noise), known)
    for step, (now, then) in enumerate(itertools.pairwise(levels)):
        clean = estimate(x, now * unknown)
        x = torch.where(made > 0, clean + (then / now) * (x - clean), known)
        if progress is not None:
            progress(step + 1, len(levels) - 1)
    return x
