"""Seeds of the parts of a job, made from the seed that a user gave.

Every part that draws noise of its own has its own seed, so that neither the batch that it is in nor the parts before it change what
it draws. The numbers are fixed: results that users keep, and those in tests/golden, depend on them.
"""

from __future__ import annotations

import numpy as np

LIMIT = 2**62
"""Users' seeds are whole numbers from 0 up to this."""


def frame_seed(seed: int, frame: int) -> int:
    """Of one frame of one world that is stepped through."""
    return (seed * 1_000_003 + frame) % LIMIT


def row_seeds(seed: int, frame: int, count: int) -> list[int]:
    """Of one frame of each of `count` worlds that are stepped through together."""
    return [(seed * 1_000_003 + frame * 4099 + row) % LIMIT for row in range(count)]


def window_seed(seed: int, number: int, *, video: bool = False) -> int:
    """Of window `number` of a long clip: of its state, or of its video."""
    return seed + (104_729 if video else 0) + 7919 * number


def candidate_seed(seed: int, number: int) -> int:
    """Of candidate `number` of a sample, far from those of other samples; the first is the sample's own."""
    return (seed + number * 0x1E3779B97F4A7C15) % LIMIT


def ending_rng(seed: int) -> np.random.Generator:
    """What decides whether a task ends in a frame; seed: that of the frame."""
    return np.random.default_rng((seed, 7))
