"""Kinema's models as models: by the same functions that people call."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kinema.api import extend, generate
from kinema.evaluation.cases import FPS, SIDE
from kinema.inference.canvas_io import resolve_model
from kinema.inference.surprise import Examined, examine
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.simulation.world import World
from kinema.types import Floats, Frames

PIECE = 48
"""Frames that a session films at once."""


class KinemaModel:
    """Where there is nothing to see, it films the words; where both are given, it extends the clip by them; else it steps through a
    world begun by the shown frames."""

    def __init__(self, model: Model | str) -> None:
        self.model = resolve_model(model)
        self.name = self.model.config.name
        side = SIDE if SIDE in self.model.config.heights else self.model.config.height
        self.size = side, side
        """Of the pictures that it is asked for: the arena's own, or those that it films."""
        self._looked: tuple[tuple[bytes, int], Examined] | None = None

    def predict(
        self, context_frames: Frames, actions: Floats | None, text: str, horizon: int, seed: int, fps: float = FPS
    ) -> Frames:
        if not len(context_frames):
            return generate(text, model=self.model, seconds=horizon / fps, size=self.size, fps=fps, seed=seed)[0].frames
        clip = Clip(frames=context_frames, fps=fps)
        if text:
            return extend(clip, text, seconds=horizon / fps, model=self.model, seed=seed).frames[len(context_frames) :]
        given_actions = None if actions is None else actions[len(context_frames) - 1 :]
        return np.concatenate(list(self._session(clip, given_actions, horizon, seed)))

    def _session(self, clip: Clip, actions: Floats | None, horizon: int, seed: int) -> Iterator[Frames]:
        world = World(self.model, clip, seed=seed, fps=clip.fps, size=self.size)
        for begin in range(0, horizon, PIECE):
            count = min(PIECE, horizon - begin)
            for t in range(begin, begin + count):
                world._go(None if actions is None else actions[t])
            yield world.clip(count).frames

    def begin(self, context_frames: Frames, seed: int) -> None:
        self._world = World(self.model, Clip(frames=context_frames, fps=FPS), seed=seed, size=self.size)

    def step(self, action: Floats | None) -> Frames:
        return np.asarray(self._world.step(action).frame)

    def loss(self, video: Frames, level: float, seed: int) -> float:
        """`kinema.surprise` of the clip; what was looked at is kept for the next level."""
        key = (video.tobytes(), seed)
        if self._looked is None or self._looked[0] != key:
            self._looked = key, examine(Clip(frames=video, fps=FPS), self.model, seed)
        return self._looked[1].at(level)

    def round_trip(self, frames: Frames) -> Frames:
        """Once through its autoencoder."""
        return np.asarray(self.model.autoencoder.decode_frames(self.model.autoencoder.encode_frames(frames)))
