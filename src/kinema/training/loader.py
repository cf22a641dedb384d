"""Batches made ahead by worker processes, so that a GPU never waits for physics, captions or a renderer.

One loader a kind of batch and phase; torch's DataLoader does the work. Without workers batches are made where they are wanted.
Either way batch `number` of a kind is the same, so a run may be resumed with another number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count

import torch
from torch.utils.data import DataLoader, Dataset

from kinema.datasets.episode_cache import EpisodeCache
from kinema.training.batches import Batch, make_batch
from kinema.training.recipes import Recipe

AHEAD = 3
"""Batches that each worker makes ahead."""


class _Batches(Dataset[Batch]):
    def __init__(self, recipe: Recipe, caches: Mapping[str, EpisodeCache], phase: str, kind: str) -> None:
        self.recipe, self.caches, self.phase, self.kind = recipe, caches, phase, kind

    def __getitem__(self, number: int) -> Batch:
        return make_batch(self.recipe, self.caches, self.phase, self.kind, number)


class _From:
    """Numbers from `first` on, without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return count(self.first)


class Loader:
    """Gives the next batch of a kind. `counts` says how many of each were given; a resumed run begins with those."""

    def __init__(self, recipe: Recipe, caches: Mapping[str, EpisodeCache], device: torch.device) -> None:
        self.recipe, self.caches, self.pin = recipe, caches, device.type == "cuda"
        self.counts: dict[str, int] = {}
        self._open: dict[tuple[str, str], Iterator[Batch]] = {}

    def next(self, phase: str, kind: str) -> Batch:
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        workers = self.recipe.workers.get(kind, 0)
        if not workers:
            return make_batch(self.recipe, self.caches, phase, kind, number)
        if (phase, kind) not in self._open:
            batches: DataLoader[Batch] = DataLoader(
                _Batches(self.recipe, self.caches, phase, kind),
                batch_size=None,
                sampler=_From(number),
                num_workers=workers,
                prefetch_factor=AHEAD,
                pin_memory=self.pin,
            )
            self._open[phase, kind] = iter(batches)
        return next(self._open[phase, kind])

    def close(self) -> None:
        """End the workers."""
        self._open.clear()
