"""Recordings as tracks for a world model: pictures as latents, actions, rewards, ends and other numbers, in memory or in files.

Axes: B rows, T frames, C channels, h x w latents, D numbers of a vector track.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder
from kinema.datasets.latent_build import autoencoder_hash
from kinema.datasets.lerobot import Dataset
from kinema.envs.spaces import padded
from kinema.errors import InputError
from kinema.models.dit_model import MOST_SPREADS
from kinema.text import TextEncoder, default_encoder
from kinema.training.track_files import TrackFiles, TrackWriter

SHORTEST = 3
"""Frames of the shortest episode that training learns from."""
REWARD_LIMIT = 10.0
"""The largest reward in units of `reward_scale`."""
HELD_BACK = 0.1
"""Share of the episodes that training never sees, one at least."""
LEAST_CHANGE = 0.05
"""Of a number from one frame to the next, in spreads, in which its errors count."""
MAX_TOKENS = 40
MOST_SHOWN = 8192
"""Pictures that the autoencoder is judged by, about."""
MANY = 1 << 20
"""Frames of which means are taken at once; of more, part by part in float64."""


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


def mean_and_std(numbers: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of numbers [N, D], of which N may be so many that they are read from a file: [D] each, the latter 0.001 at least. Zeros where
    there are none."""
    if not numbers.size:
        none: NDArray[np.float32] = numbers[:0].sum(0)
        return none, none
    if len(numbers) <= MANY:
        return numbers.mean(0), np.maximum(numbers.std(0), 1e-3)
    parts = [slice(begin, begin + MANY) for begin in range(0, len(numbers), MANY)]
    mean = sum(numbers[part].sum(0, dtype=np.float64) for part in parts) / len(numbers)
    squares = sum(np.square(numbers[part] - mean).sum(0) for part in parts)
    return mean.astype(np.float32), np.maximum(np.sqrt(squares / len(numbers)), 1e-3).astype(np.float32)


@dataclass(frozen=True)
class Among:
    """How a recording is read where one network learns from several: their numbers besides pictures are left out, as they mean
    something else in each. action_width: numbers of the widest action, to which others are padded with zeros. word: the task of
    episodes without one, by which the network knows what it is in."""

    action_width: int
    word: str


def contexts(x: Tensor, before: int) -> Tensor:
    """Of frames [B, K + T, ...] those before each of the last T, oldest first: [B, T, K, ...]."""
    return x[:, :-1].unfold(1, before, 1).movedim(-1, 2)


class Recordings:
    """A dataset as tracks, pictures as latents, in memory or in files that are mapped; its last episodes are held back."""

    def __init__(
        self,
        data: Dataset,
        autoencoder: VideoAutoencoder,
        show: Callable[[int, int], None] | None,
        reward_scale: float | None = None,
        sensors: Mapping[str, Sequence[float]] | None = None,
        among: Among | None = None,
        text: TextEncoder | None = None,
        folder: Path | None = None,
    ) -> None:
        """reward_scale: the unit of rewards of a run that goes on; sensors: "mean" and "std" of the numbers of another recording,
        which a world was trained on. None: those of this recording. among: where one network learns from several recordings.
        text: what encodes tasks; None: the encoder that comes with Kinema.
        folder: where tracks are stored, once, to be read from there; what is in it of another recording or autoencoder is made
        anew. None: they are held in memory. Numbers are the same in both cases.
        InputError: it has other numbers than that one. OutputError: the folder cannot be written to."""
        self.autoencoder, self.fps, self.among = autoencoder, data.fps, among
        self.shown: list[NDArray[np.uint8]] = []
        """Some true pictures of episodes that are held back."""
        data, numbers = data.fitted(), usable(data)
        self.num_held_back = held_back(len(numbers))
        self.episodes: list[dict[str, Tensor]] = []
        self.names: list[str] = []
        files = None if folder is None else self._stored(data, numbers, folder, show)
        if files is None:
            for number in range(len(numbers)):
                tracks, task = self._encoded(data, numbers, number)
                self.episodes.append(tracks)
                self.names.append(task)
                if show is not None:
                    show(number + 1, len(numbers))
            rewards = np.concatenate([one["reward"].numpy() for one in self.episodes])
            every = np.concatenate([one["sensors"].numpy() for one in self.episodes])
        else:
            self.names = files.names
            rewards, every = files.whole("reward").numpy(), files.whole("sensors").numpy()
        self.reward_scale = reward_unit(rewards) if reward_scale is None else reward_scale
        self.mean, self.std = mean_and_std(every)
        self.least: NDArray[np.float32] = every.min(0) if every.size else self.mean
        self.most: NDArray[np.float32] = every.max(0) if every.size else self.mean
        if sensors is not None:
            if len(sensors["mean"]) != len(self.mean):
                raise InputError(f"{data.folder} has {len(self.mean)} numbers a frame, the world {len(sensors['mean'])}")
            self.mean, self.std = (np.asarray(sensors[name], self.mean.dtype) for name in ("mean", "std"))
        if files is None:
            for one in self.episodes:
                one["reward"], one["sensors"] = self._scaled_reward(one["reward"]), self.scaled(one["sensors"])
        else:
            parts = {
                name: files.episodes(files.whole(name)) for name in ("video", "action", "reward", "terminated", "sensors")
            }
            for name, scaled in (("reward", self._scaled_reward), ("sensors", self.scaled)):
                parts[name] = files.episodes(files.rewrite(name, map(scaled, parts[name])))
            self.episodes = [dict(zip(parts, tracks, strict=True)) for tracks in zip(*parts.values(), strict=True)]
        self.tasks = sorted(set(self.names))
        self.text: tuple[Tensor, Tensor] | None = None
        """Of each task: states [tasks, L, E] and which of them are text."""
        if any(self.tasks):
            states, mask = (text or default_encoder()).encode(self.tasks, max_tokens=MAX_TOKENS)
            if among is not None:  # the same shapes for all, for which the network is compiled once
                short = MAX_TOKENS - states.shape[1]
                states, mask = np.pad(states, [(0, 0), (0, short), (0, 0)]), np.pad(mask, [(0, 0), (0, short)])
            self.text = torch.from_numpy(states), torch.from_numpy(mask)
        self.size = data.size
        self.sensors, self.action_width = every.shape[1], self.episodes[0]["action"].shape[1]
        self.sensor_names = list(data.sensor_names) if self.sensors else []
        square = torch.stack([one["sensors"].diff(dim=0).square().sum(0) for one in self.episodes]).sum(0)
        self.changes = (square / max(len(every) - len(self.episodes), 1)).sqrt().clamp_min(LEAST_CHANGE)
        """[D], how much numbers change from one frame to the next, as their root mean square, in spreads."""
        self.entity_columns = [i for i, name in enumerate(self.sensor_names) if "." in name]

    def _encoded(self, data: Dataset, numbers: Sequence[int], number: int) -> tuple[dict[str, Tensor], str]:
        """Tracks of an episode, in the environment's units, and its task."""
        one, among = data.episode(numbers[number]), self.among
        parts = [self.autoencoder.encode_frames(one.frames[i : i + 64]) for i in range(0, len(one.frames), 64)]
        self._keep_shown(one.frames, number, len(numbers))
        tracks = {
            "video": torch.cat(parts).to("cpu", torch.bfloat16),
            "action": torch.from_numpy(padded(one.action, among.action_width) if among else one.action),
            "reward": torch.from_numpy(one.reward)[:, None],
            "terminated": torch.from_numpy(np.where(one.terminated, 1.0, -1.0).astype(np.float32))[:, None],
            "sensors": torch.from_numpy(one.sensors if among is None else one.sensors[:, :0]),
        }
        return tracks, self._task(one.task)

    def _task(self, task: str) -> str:
        return task or (self.among.word if self.among else "")

    def _shows(self, number: int, count: int) -> bool:
        """Whether pictures of an episode are kept to judge the autoencoder by."""
        return number >= count - max(self.num_held_back, 1) and sum(map(len, self.shown)) < MOST_SHOWN

    def _keep_shown(self, frames: NDArray[np.uint8], number: int, count: int) -> None:
        if self._shows(number, count):
            self.shown.append(frames[:: max(1, len(frames) // 24)].copy())

    def _stored(
        self, data: Dataset, numbers: Sequence[int], folder: Path, show: Callable[[int, int], None] | None
    ) -> TrackFiles:
        """The tracks in a folder, which are made there unless it holds them."""
        among = None if self.among is None else [self.among.action_width, self.among.word]
        made_of = {"data": data.fingerprint, "autoencoder": autoencoder_hash(self.autoencoder), "among": among, "format": 1}
        identity: dict[str, Any] = json.loads(json.dumps(made_of))
        done = len(numbers)
        if not TrackFiles.finished(folder, identity):
            writer = TrackWriter(folder, identity, [data.length(which) for which in numbers])
            done = writer.done
            names = [self._task(data.task(which)) for which in numbers[:done]]
            try:
                for number in range(done, len(numbers)):
                    tracks, task = self._encoded(data, numbers, number)
                    writer.add(tracks)
                    names.append(task)
                    if show is not None:
                        show(number + 1, len(numbers))
                writer.finish(names)
            finally:
                writer.close()
        for number in range(len(numbers) - max(self.num_held_back, 1), done):
            if self._shows(number, len(numbers)):
                self._keep_shown(data.pictures(numbers[number]), number, len(numbers))
        return TrackFiles(folder, identity)

    def _scaled_reward(self, reward: Tensor) -> Tensor:
        return (reward / self.reward_scale).clamp(-REWARD_LIMIT, REWARD_LIMIT)

    def scaled(self, sensors: Tensor | NDArray[np.float32]) -> Tensor:
        """Numbers [..., D] as the network reads them: in spreads from their mean, up to MOST_SPREADS."""
        scaled = (torch.as_tensor(sensors) - torch.from_numpy(self.mean)) / torch.from_numpy(self.std)
        return scaled.float().clamp(-MOST_SPREADS, MOST_SPREADS)

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
        self, rng: np.random.Generator, count: int, frames: int, before: int, *, held_back: bool = False
    ) -> dict[str, Tensor]:
        """Tracks [B, before + T, ...] from anywhere in the episodes, and "task" [B]. Where fewer than `before` frames come
        before, the first one is repeated, with no action. Episodes shorter than `frames` are left out."""
        return self.windows(self.choose_windows(rng, count, frames, held_back=held_back), frames, before)

    def choose_windows(
        self, rng: np.random.Generator, count: int, frames: int, *, held_back: bool = False
    ) -> list[tuple[int, int]]:
        """Episode and first frame of windows from anywhere in the episodes that have so many frames."""
        share = self._share(held_back=held_back)
        lengths = np.array([len(self.episodes[i]["reward"]) for i in share])
        starts = np.maximum(lengths - frames + 1, 0)
        if not starts.any():
            raise InputError(f"no episode has {frames} frames; record longer ones, or train with fewer frames")
        which = rng.choice(len(starts), count, p=starts / starts.sum())
        begins = (rng.random(count) * starts[which]).astype(np.int64)
        return [(share[i], int(begin)) for i, begin in zip(which, begins, strict=True)]

    def elsewhere(self, rng: np.random.Generator, places: Sequence[tuple[int, int]], frames: int) -> list[tuple[int, int]]:
        """Other windows of the same episodes."""
        return [(one, int(rng.integers(len(self.episodes[one]["reward"]) - frames + 1))) for one, _ in places]

    def windows(self, places: Sequence[tuple[int, int]], frames: int, before: int) -> dict[str, Tensor]:
        """The tracks of `sample_windows` of windows that are chosen."""
        rows = [self._window(one, begin - before, before + frames) for one, begin in places]
        tracks = {name: torch.stack([row[name] for row in rows]).float() for name in rows[0]}
        tracks["task"] = torch.tensor([self.tasks.index(self.names[one]) for one, _ in places])
        return tracks

    def _window(self, episode: int, begin: int, frames: int) -> dict[str, Tensor]:
        index = torch.arange(begin, begin + frames)
        row = {name: x[index.clamp_min(0)] for name, x in self.episodes[episode].items()}
        row["action"] = torch.where((index < 0)[:, None], torch.zeros_like(row["action"]), row["action"])
        return row
