"""Random numbers of a training run: each draw has a generator that depends on the run's seed, the step and what is drawn alone, so
that a run which is resumed goes on as it would have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

from kinema.datasets.clip_batches import draw_generator
from kinema.devices import kept_rng


class StepDraw(IntEnum):
    """What is drawn for a step."""

    SHORTCUT = 1
    """Whether, and in which, long steps are taught."""
    KIND = 2
    """Kind of the batch."""
    OWN_PAST = 3
    """How much of the past is the model's own work."""
    CROP = 4
    """Whether stills are cut."""
    RECORDING = 5
    """Which of several recordings a batch is of."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch's own generator of the processor begins with this seed; after, it is as it was found."""
    with kept_rng():
        torch.default_generator.manual_seed(seed)
        yield


def step_rng(seed: int, step: int, draw: StepDraw) -> np.random.Generator:
    """For one draw of one step."""
    return draw_generator(seed, step, int(draw))


def batch_rng(seed: int, kind: int, number: int) -> np.random.Generator:
    """For the contents of batch `number` of a kind (its place in `recipes.KINDS`). Equal to that of a draw where both numbers are
    below six, which does no harm: a batch and a decision have nothing in common."""
    return np.random.default_rng((seed, kind, number))
