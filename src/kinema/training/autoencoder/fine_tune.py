"""The autoencoder of a recording: the shipped one trained on over its pictures, before its world is.

A ball of two pixels on a court that never changes is all that matters in some worlds, and next to nothing of what an
autoencoder for other pictures minds. So pixels that differ from what is usual in their place weigh more, as things do in the
Playground.

Axes: N pictures, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.autoencoder.autoencoder import Autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.training.autoencoder.train import AutoencoderTrainer, TrainConfig

MOST = 20_000
"""Pictures that are kept in memory; of longer recordings every so many."""
UNUSUAL = 24
"""Difference from the median of a pixel's values above which it counts as unusual."""
FEW = 0.3
"""Where more of a picture than this is unusual, nothing is: the view moves."""


class Pictures:
    """Square crops of a recording's pictures, and where they are unusual."""

    def __init__(self, data: Dataset, episodes: Sequence[int], most: int = MOST) -> None:
        """Of the episodes with these numbers; most: pictures kept."""
        every = max(1, -(-data.total_frames // most))
        some_episodes = episodes[:: max(1, len(episodes) // most)]
        self.frames: NDArray[np.uint8] = np.concatenate([data.pictures(i)[::every].copy() for i in some_episodes])
        some = self.frames[:: max(1, len(self.frames) // 200)]
        self.usual = np.median(some, axis=0).astype(np.int16)

    def unusual(self, frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool [N, H, W]."""
        far = (np.abs(frames.astype(np.int16) - self.usual) > UNUSUAL).any(-1)
        far[far.mean((1, 2)) > FEW] = False
        return np.asarray(far)

    def draw_things(self, rng: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures uint8 [N, side, side, 3] and bool [N, side, side]."""
        frames = self.frames[rng.integers(0, len(self.frames), count)]
        height, width = frames.shape[1:3]
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        crop = (slice(None), slice(top, top + side), slice(left, left + side))
        return torch.from_numpy(frames[crop].copy()), torch.from_numpy(self.unusual(frames)[crop].copy())


def fine_tune(
    start: Autoencoder,
    recordings: Sequence[tuple[Dataset, Sequence[int]]],
    *,
    minutes: float | None,
    seed: int,
    say: Callable[[str], None] | None,
    steps: int | None = None,
) -> Autoencoder:
    """`start` (in float32) trained on over recordings, of each the episodes with these numbers, for so many minutes or steps,
    whichever ends first. Each batch is of one recording."""
    every = [Pictures(data, episodes, MOST // len(recordings)) for data, episodes in recordings]

    def draw_things(rng: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        return every[int(rng.integers(len(every))) if len(every) > 1 else 0].draw_things(rng, count, side)

    def draw(rng: np.random.Generator, count: int, side: int) -> torch.Tensor:
        return draw_things(rng, count, side)[0]

    side = min(every[0].frames.shape[1:3])
    config = TrainConfig(sides=((side, 1.0),), rate=1e-3, warmup=20, average=0.98, seed=seed)
    trainer = AutoencoderTrainer(config, start.config, draw_things, draw, start, minutes=minutes, steps=steps)
    trainer.run((lambda line: say(f"autoencoder: {line}")) if say else (lambda line: None))
    return trainer.finish()
