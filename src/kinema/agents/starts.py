"""Where imagination begins: frames of real rooms in which a robot acted at random, recorded once and drawn from ever after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kinema.canvas.canvas import Tracks
from kinema.envs.imagined import random_walk
from kinema.envs.playground import PlaygroundEnv
from kinema.errors import InputError
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution


@dataclass(frozen=True, kw_only=True)
class Starts:
    """tracks: each [E, T, ...] of E recorded rooms; lengths [E] up to the end of each. Calling it draws beginnings."""

    tracks: Tracks
    lengths: np.ndarray[Any, np.dtype[np.int64]]
    seen: int
    """Frames of a beginning."""

    @property
    def steps(self) -> int:
        """Real frames that were recorded."""
        return int(self.lengths.sum())

    def __call__(self, rng: np.random.Generator, count: int) -> Tracks:
        """The first frames [count, seen, ...] of so many worlds."""
        rooms = rng.integers(0, len(self.lengths), count)
        first = (rng.random(count) * (self.lengths[rooms] - self.seen + 1)).astype(np.int64)
        at = torch.from_numpy(first[:, None] + np.arange(self.seen))
        which = torch.from_numpy(rooms)[:, None]
        device = self.tracks["state"].device
        return {name: x[which.to(device), at.to(device)] for name, x in self.tracks.items()}


def record_starts(
    model: Model, task: str, *, episodes: int, frames: int, seen: int, fps: float, distribution: SceneDistribution, seed: int
) -> Starts:
    """Let a robot act at random in so many real rooms; rooms that end before they can be a beginning are left out."""
    if frames < seen:
        raise InputError(f"episodes of {frames} frames: expected at least {seen}, which is how long a beginning is")
    rng = np.random.default_rng(seed)
    room = PlaygroundEnv(task=task, fps=fps, observation="state", duration_s=(frames + 1) / fps, distribution=distribution)
    walks: list[Tracks] = []
    lengths: list[int] = []
    while len(walks) < episodes:
        tracks = random_walk(room, rng, model, frames, change=0.1, active=0.8)
        length = tracks["reward"].shape[1]
        if length >= seen:
            lengths.append(length)
            rest = frames - length
            walks.append({name: torch.cat([x, x[:, -1:].expand(-1, rest, *x.shape[2:])], 1) for name, x in tracks.items()})
    return Starts(
        tracks={name: torch.cat([walk[name] for walk in walks]) for name in walks[0]},
        lengths=np.array(lengths, np.int64),
        seen=seen,
    )
