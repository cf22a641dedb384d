"""Recordings as batches for a world model: what a training row shows, and what is asked of it.

Each row is a stretch of an episode twice: once as the past, known, and once as what follows, unknown. Every unknown frame reads the
past before it and itself, which is just what a step of live mode does, so every frame of a stretch teaches. The past is a
little noisy, and often it is what the network itself made of the true one, once or several times over (as in scheduled sampling,
Bengio et al. 2015), so that a rollout's own errors are nothing new.

Axes: B rows, T frames, h x w cells, P numbers per cell, D numbers of a vector track.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder
from kinema.canvas.canvas import Canvas, TextCondition
from kinema.canvas.patchify import to_cells
from kinema.datasets.lerobot import Dataset
from kinema.diffusion.losses import edm_weight, noised
from kinema.errors import InputError
from kinema.models.denoiser import CLOSED, Denoiser, DenoiserInput, cleaned
from kinema.scene.geometry import cell_units
from kinema.text import default_encoder

MOVED = 0.25
"""Change of a latent from one frame to the next above which its cell counts as changed."""
CHANGED = 4.0
"""How much more a changed cell weighs: most of a picture stands still."""
SHORTEST = 3
"""Frames of the shortest episode that training learns from."""
REWARD_LIMIT = 10.0
"""The largest reward in units of `reward_scale`."""
HELD_BACK = 0.1
"""Share of the episodes that training never sees, one at least."""
MAX_TOKENS = 40
VECTOR_WEIGHTS = {"reward": 1.0, "terminated": 1.0, "sensors": 0.3}


@dataclass(frozen=True, kw_only=True)
class WorldRecipe:
    """frames: of a stretch, also how many the world remembers. The others are the network's and the optimizer's."""

    frames: int = 10
    batch: int = 8
    depth: int = 8
    width: int = 192
    heads: int = 4
    matrix_lr: float = 3e-3
    other_lr: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 50
    cooldown: float = 0.4
    ema: float = 0.995
    clip: float = 1.0
    noise: float = 0.12
    """The most that the past is disturbed by."""
    own_share: float = 0.5
    """Share of the steps, from `own_from` (a share of the run) on, in which the past is the network's own work; before that it is
    mush, and teaches mush."""
    own_from: float = 0.5
    own_most: int = 2
    """How many times over, at most."""
    compile: bool = True
    seed: int = 0
    autoencoder: str = "codec-8x8"
    autoencoder_share: float = 0.2
    """Share of the time in which this autoencoder is trained on over the recording's pictures; with 0 it is kept."""
    save_every_s: float = 60.0
    patch: int = 2


def usable(data: Dataset) -> list[int]:
    """Numbers of the episodes that are long enough to learn from; InputError where there is none."""
    numbers = [number for number, row in enumerate(data.rows) if int(row["length"]) >= SHORTEST]
    if not numbers:
        raise InputError(f"no episode of {data.folder} has {SHORTEST} frames; record longer ones")
    return numbers


def held_back(episodes: int) -> int:
    """How many of a recording's last episodes training never sees."""
    return max(1, round(episodes * HELD_BACK)) if episodes > 1 else 0


def reward_unit(rewards: NDArray[np.floating[Any]]) -> float:
    """The reward that counts as 1 in training: the 99th percentile of the sizes of rewards that are not 0, and so much that the
    largest is REWARD_LIMIT at most. A goal's rare reward is so learned whole beside many small ones."""
    sizes = np.abs(rewards[rewards != 0]).astype(np.float64)
    return float(max(np.quantile(sizes, 0.99), sizes.max() / REWARD_LIMIT)) if len(sizes) else 1.0


class Recordings:
    """A dataset as tracks in memory, pictures as latents; its last episodes are held back."""

    def __init__(
        self,
        data: Dataset,
        autoencoder: VideoAutoencoder,
        recipe: WorldRecipe,
        show: Callable[[int, int], None] | None,
        reward_scale: float | None = None,
    ) -> None:
        """reward_scale: the unit of rewards of a run that goes on; None: that of this recording."""
        self.autoencoder, self.fps = autoencoder, data.fps
        rewards, sensors = [], []
        self.episodes: list[dict[str, Tensor]] = []
        self.names: list[str] = []
        self.shown: list[NDArray[np.uint8]] = []
        """Some true pictures of episodes that are held back."""
        data, numbers = data.fitted(), usable(data)
        height, across = data.size
        for number, which in enumerate(numbers):
            one = data.episode(which)
            parts = [autoencoder.encode_frames(one.frames[i : i + 64]) for i in range(0, len(one.frames), 64)]
            video = to_cells(torch.cat(parts)[None].float(), recipe.patch)[0]
            if number >= len(numbers) - max(held_back(len(numbers)), 1):
                self.shown.append(one.frames[:: max(1, len(one.frames) // 24)])
            rewards.append(one.reward)
            sensors.append(one.sensors)
            self.episodes.append(
                {
                    "video": video.to("cpu", torch.bfloat16),
                    "action": torch.from_numpy(one.action),
                    "reward": torch.from_numpy(one.reward)[:, None],
                    "terminated": torch.from_numpy(np.where(one.terminated, 1.0, -1.0).astype(np.float32))[:, None],
                    "sensors": torch.from_numpy(one.sensors),
                }
            )
            self.names.append(one.task)
            if show is not None:
                show(number + 1, len(numbers))
        self.reward_scale = reward_unit(np.concatenate(rewards)) if reward_scale is None else reward_scale
        every = np.concatenate(sensors)
        self.mean = every.mean(0) if every.size else every[:0].sum(0)
        self.std = np.maximum(every.std(0), 1e-3) if every.size else self.mean
        for one_episode in self.episodes:
            one_episode["reward"] = (one_episode["reward"] / self.reward_scale).clamp(-REWARD_LIMIT, REWARD_LIMIT)
            scaled = (one_episode["sensors"] - torch.from_numpy(self.mean)) / torch.from_numpy(self.std)
            one_episode["sensors"] = scaled.float().clamp(-5, 5)
        self.num_held_back = held_back(len(numbers))
        self.tasks = sorted(set(self.names))
        self.text: TextCondition | None = None
        if any(self.tasks):
            states, mask = default_encoder().encode(self.tasks, max_tokens=MAX_TOKENS)
            self.text = TextCondition(states=torch.from_numpy(states), reads=torch.from_numpy(mask))
        self.size = (height, across)
        self.sensors = every.shape[1]

    def idle(self) -> int:
        """Of one-of-N actions the one that changes pictures least: what is done while nobody presses a key."""
        moved = torch.zeros(self.episodes[0]["action"].shape[1])
        count = torch.zeros_like(moved)
        for episode in self.episodes:
            change = (episode["video"][1:].float() - episode["video"][:-1].float()).abs().flatten(1).mean(1)
            taken = episode["action"][:-1].argmax(1)
            moved.index_add_(0, taken, change)
            count.index_add_(0, taken, torch.ones_like(change))
        mean = torch.where(count > 0, moved / count.clamp_min(1), torch.inf)
        return int(mean.argmin()) if mean.min() < 0.8 * mean[0] else 0

    def _share(self, *, held_back: bool) -> range:
        """Numbers of the episodes that are held back, or of the others."""
        first = len(self.episodes) - self.num_held_back
        return range(first, len(self.episodes)) if held_back else range(first)

    def longest(self, *, held_back: bool) -> int:
        """Frames of the longest episode of either share."""
        return max(len(self.episodes[i]["reward"]) for i in self._share(held_back=held_back))

    def sample_windows(
        self, rng: np.random.Generator, count: int, frames: int, *, held_back: bool = False
    ) -> dict[str, Tensor]:
        """Tracks [B, T, ...] from anywhere in the episodes, and "task" [B]; those too short are left out."""
        share = self._share(held_back=held_back)
        lengths = np.array([len(self.episodes[i]["reward"]) for i in share])
        room = np.maximum(lengths - frames + 1, 0)
        if not room.any():
            raise InputError(f"no episode has {frames} frames; record longer ones, or train with fewer frames")
        which = rng.choice(len(room), count, p=room / room.sum())
        begins = (rng.random(count) * room[which]).astype(np.int64)
        names = ("video", "action", "reward", "terminated", "sensors")
        rows = [
            {name: self.episodes[share[i]][name][b : b + frames] for name in names}
            for i, b in zip(which, begins, strict=True)
        ]
        tracks = {name: torch.stack([row[name] for row in rows]).float() for name in names}
        tracks["task"] = torch.tensor([self.tasks.index(self.names[share[i]]) for i in which])
        return tracks


def canvas_tracks(tracks: dict[str, Tensor], sensors: int) -> dict[str, Tensor]:
    """Those of a recording's tracks that stand on a canvas: sensors only where there are any."""
    names = ("video", "action", "reward", "terminated", *(["sensors"] if sensors else []))
    return {name: tracks[name] for name in names}


@dataclass(frozen=True, kw_only=True)
class WorldBatch:
    """The clean tracks with their levels, unit noise for each, and who reads whom (`DenoiserInput`)."""

    clean: Canvas
    noise: dict[str, Tensor]
    time_bias: Tensor
    previous_index: Tensor

    def with_past(self, made: Tensor) -> WorldBatch:
        """The same with video cells [B, T - 1, h, w, P] as the past but for its first frame; what follows stays true."""
        video = self.clean.values["video"]
        past = torch.cat([video[:, :1], made, video[:, 1 + made.shape[1] :]], 1)
        return replace(self, clean=self.clean.with_values({"video": past}))


def draw_world_batch(recordings: Recordings, recipe: WorldRecipe, step: int, device: torch.device) -> WorldBatch:
    """The batch of one step, a function of (seed, step) alone."""
    rng = np.random.default_rng((recipe.seed, step))
    t, b = recipe.frames, recipe.batch
    drawn = recordings.sample_windows(rng, b, t)
    once = canvas_tracks(drawn, recordings.sensors)
    values = {name: torch.cat([x, x[:, 1:]], 1).to(device) for name, x in once.items()}
    rough = torch.from_numpy(np.where(rng.random(b) < 0.3, 0.0, rng.uniform(0, recipe.noise, b)).astype(np.float32))
    ahead = np.where(rng.random((b, t - 1)) < 0.75, 1.0, rng.uniform(0.1, 1.0, (b, t - 1))).astype(np.float32)
    per_frame = torch.cat([rough[:, None].expand(b, t), torch.from_numpy(ahead)], 1).to(device)
    known = torch.cat([torch.zeros(b, t), torch.from_numpy(ahead)], 1).to(device)
    h, w = values["video"].shape[2:4]
    levels = {name: known.clone() for name in values if name != "video"}
    levels["video"] = per_frame[..., None, None].expand(-1, -1, h, w).contiguous()
    levels["action"][:, t:] = 1.0
    index = torch.arange(t)
    when = torch.cat([index, index[1:]])
    past = torch.cat([torch.ones(t, dtype=torch.bool), torch.zeros(t - 1, dtype=torch.bool)])
    reads = past[None, :] & ((when[None, :] < when[:, None]) | (past[:, None] & (when[None, :] == when[:, None])))
    reads |= torch.eye(2 * t - 1, dtype=torch.bool)
    text = None
    if recordings.text is not None:
        states, mask = recordings.text.states[drawn["task"]], recordings.text.reads[drawn["task"]]
        heard = torch.from_numpy(rng.random(b) > 0.1)
        text = TextCondition(
            states=states.to(device),
            reads=(mask & heard[:, None])[:, None].expand(-1, 2 * t - 1, -1).contiguous().to(device),
        )
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = {name: torch.randn(x.shape, generator=generator).to(device) for name, x in values.items()}
    return WorldBatch(
        clean=Canvas(
            time_s=(when.float() / recordings.fps).expand(b, -1).to(device),
            values=values,
            levels=levels,
            text=text,
            cell_units=cell_units(h),
        ),
        noise=noise,
        time_bias=torch.where(reads, 0.0, CLOSED).to(device),
        previous_index=torch.cat([index, index[1:]]).to(device),
    )


def world_losses(model: Denoiser, batch: WorldBatch, dtype: torch.dtype) -> tuple[dict[str, Tensor], Tensor]:
    """Squared error of what follows, by track, and its video cells [B, T - 1, h, w, P] as the network makes them."""
    noisy, values = noised(batch.clean, batch.noise), batch.clean.values
    given = DenoiserInput(canvas=noisy, time_bias=batch.time_bias, previous_index=batch.previous_index)
    clean = cleaned(noisy, model.network(given, dtype))
    t = (noisy.num_frames + 1) // 2
    predict_residual, was = values["video"][:, t:], values["video"][:, : t - 1]
    changed = ((predict_residual - was).abs() > MOVED).any(-1).float()
    weight = 1 + CHANGED * changed
    level = noisy.levels["video"][:, t:]
    error = (
        (clean["video"][:, t:] - predict_residual).square().mean(-1)
        * edm_weight(level, 0.4)
        / edm_weight(torch.ones_like(level), 0.4)
    )
    result = {"video": (error * weight).mean() / weight.mean()}
    for name, share in VECTOR_WEIGHTS.items():
        if name in values:
            off = (clean[name][:, t:] - values[name][:, t:]).square()
            result[name] = share * off.mean()
    return result, clean["video"][:, t:].detach()
