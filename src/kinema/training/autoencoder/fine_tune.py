"""The autoencoder of a recording: the shipped one trained on over its pictures, before its world is.

A ball of two pixels on a court that never changes is all that matters in some worlds, and next to nothing of what an
autoencoder for other pictures minds. So pixels that differ from what is usual in their place weigh more, as things do in the
Playground.

Axes: N pictures or clips, T frames of a clip, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.autoencoder.autoencoder import Autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError
from kinema.training.autoencoder.train import AutoencoderTrainer, TrainConfig

MOST = 20_000
"""Pictures that are kept in memory; of longer recordings every so many."""
UNUSUAL = 24
"""Difference from the median of a pixel's values above which it counts as unusual."""
FEW = 0.3
"""Where more of a picture than this is unusual, nothing is: the view moves."""


class Pictures:
    """Square crops of pictures of one size, or of short clips of them, and where they are unusual."""

    def __init__(
        self, clips: Iterable[NDArray[np.uint8]], every: int = 1, *, frames: int | None = None, weighed: bool = True
    ) -> None:
        """clips: pictures [n, H, W, 3] in their order. every: of so many pictures, or stretches of `frames`, one is kept. weighed:
        whether unusual pixels are looked for. InputError: no clip has so many frames."""
        length = frames or 1
        parts = [clip[: len(clip) // length * length].reshape(-1, length, *clip.shape[1:])[::every] for clip in clips]
        if not sum(map(len, parts)):
            raise InputError(
                f"no clip has {length} frames, as the autoencoder learns from; name longer ones, or another --time-factor"
            )
        self.windows: NDArray[np.uint8] = np.concatenate(parts)
        """[N, T, H, W, 3]"""
        self.alone, self.weighed = frames is None, weighed
        flat = self.windows.reshape(-1, *self.windows.shape[2:])
        self.usual = np.median(flat[:: max(1, len(flat) // 200)], axis=0).astype(np.int16)

    @staticmethod
    def of_recording(data: Dataset, episodes: Sequence[int], most: int = MOST, frames: int | None = None) -> Pictures:
        """Of the episodes with these numbers. most: pictures kept."""
        every = max(1, -(-data.total_frames // most))
        some = episodes[:: max(1, len(episodes) // most)]
        return Pictures((data.pictures(i)[::every].copy() for i in some), frames=frames)

    def unusual(self, frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool [..., H, W]."""
        far = (np.abs(frames.astype(np.int16) - self.usual) > UNUSUAL).any(-1)
        far[far.mean((-2, -1)) > FEW] = False
        return np.asarray(far)

    def draw_things(self, rng: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures uint8 [N, side, side, 3] and bool [N, side, side]; of clips [N, T, side, side, 3] and [N, T, side, side]."""
        windows = self.windows[rng.integers(0, len(self.windows), count)]
        height, width = windows.shape[2:4]
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        crop = (..., slice(top, top + side), slice(left, left + side))
        things = self.unusual(windows) if self.weighed else np.zeros(windows.shape[:-1], bool)
        pictures, where = torch.from_numpy(windows[(*crop, slice(None))].copy()), torch.from_numpy(things[crop].copy())
        return (pictures[:, 0], where[:, 0]) if self.alone else (pictures, where)


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
    every = [Pictures.of_recording(data, episodes, MOST // len(recordings)) for data, episodes in recordings]

    def draw_things(rng: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        return every[int(rng.integers(len(every))) if len(every) > 1 else 0].draw_things(rng, count, side)

    def draw(rng: np.random.Generator, count: int, side: int) -> torch.Tensor:
        return draw_things(rng, count, side)[0]

    side = min(every[0].windows.shape[2:4])
    config = TrainConfig(sides=((side, 1.0),), rate=1e-3, warmup=20, average=0.98, seed=seed)
    trainer = AutoencoderTrainer(config, start.config, draw_things, draw, start, minutes=minutes, steps=steps)
    trainer.run((lambda line: say(f"autoencoder: {line}")) if say else (lambda line: None))
    return trainer.finish()
