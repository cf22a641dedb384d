"""Where imagination begins: frames of real rooms in which a robot acted at random, recorded once and drawn from ever after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kinema.envs.playground import PlaygroundEnv
from kinema.envs.vector import Tracks
from kinema.errors import InputError
from kinema.inference.keyframes import tracks_of
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution
from kinema.scene.encoding import encode_reward

_MOVING = ("x", "y", "vx", "vy", "angle", "visible", "camera")


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


def record(
    model: Model, task: str, *, episodes: int, frames: int, seen: int, fps: float, diet: SceneDistribution, seed: int
) -> Starts:
    """Let a robot act at random in so many real rooms; rooms that end before they can be a beginning are left out."""
    if frames < seen:
        raise InputError(f"episodes of {frames} frames: expected at least {seen}, which is how long a beginning is")
    rng = np.random.default_rng(seed)
    room = PlaygroundEnv(task=task, fps=fps, observation="state", duration_s=(frames + 1) / fps, diet=diet)
    kept: list[Tracks] = []
    lengths: list[int] = []
    while len(kept) < episodes:
        room.reset(seed=int(rng.integers(2**31)))
        scenes, actions, rewards = [room.scene], [np.zeros(2, np.float32)], [0.0]
        action, ended = np.zeros(2, np.float32), False
        while len(scenes) < frames and not ended:
            if rng.random() < 0.1:
                action = rng.uniform(-1, 1, 2).astype(np.float32) * float(rng.random() < 0.8)
            _, reward, ended, _, _ = room.step(action)
            actions[-1] = action
            if ended:
                break
            scenes.append(room.scene)
            actions.append(np.zeros(2, np.float32))
            rewards.append(float(reward))
        if len(scenes) < seen:
            continue
        lengths.append(len(scenes))
        last = frames - len(scenes)
        moving: dict[str, Any] = {name: np.concatenate([getattr(scene, name) for scene in scenes]) for name in _MOVING}
        tracks = tracks_of(replace(scenes[0], **moving), model.config.denoiser.slots, model.device)
        tracks["action"] = torch.from_numpy(np.stack(actions))[None].to(model.device)
        tracks["reward"] = torch.from_numpy(encode_reward(np.array([rewards], np.float32))).to(model.device)
        kept.append({name: torch.cat([x, x[:, -1:].expand(-1, last, *x.shape[2:])], 1) for name, x in tracks.items()})
    return Starts(
        tracks={name: torch.cat([one[name] for one in kept]) for name in kept[0]},
        lengths=np.array(lengths, np.int64),
        seen=seen,
    )
