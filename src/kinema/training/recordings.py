"""Recordings as batches for a world model: what a training row shows, and what is asked of it.

Each row is a stretch of an episode. Every frame of it is asked for, noised to a level of its own, with the true frames before it as
channels and the actions that were taken at them. What is predicted is the change from the frame before. The past is a little noisy,
and from a part of the run on it is often what the network itself made of the true past, several times over (as in scheduled
sampling, Bengio et al. 2015), so that a rollout's own errors are nothing new.

Where a recording has entities, some rows teach to change a world by them: what is asked for is then a frame from elsewhere in the
episode, whose entities are given. And in some the numbers of the past are hidden, so that they are read off pictures.

Axes: B rows, T frames that are asked for, K frames of context before each, C channels, h x w latents, D numbers of a vector track.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder
from kinema.datasets.latent_build import autoencoder_hash
from kinema.datasets.lerobot import Dataset
from kinema.diffusion.flow import draw_levels, mean_one, noise_to, squared_error
from kinema.envs.spaces import padded
from kinema.errors import InputError
from kinema.inference.dit_rollout import WANTED, wanted_numbers
from kinema.models.dit import SIZES, DiTInput
from kinema.text import TextEncoder, default_encoder
from kinema.training.dit_trainer import DiTRecipe, Estimator
from kinema.training.parallel import WHOLE, Share
from kinema.training.seeds import StepDraw, step_rng
from kinema.training.track_files import TrackFiles, TrackWriter

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
HELD_OUT_WORLD_LEVELS = (0.5, 1.0)
"""At which held-out errors are measured; a rollout asks at the last one, 1."""
HELD_OUT_BATCHES = 4
MOST_SHOWN = 8192
"""Pictures that the autoencoder is judged by, about."""
MANY = 1 << 20
"""Frames of which means are taken at once; of more, part by part in float64."""
VECTOR_WEIGHTS = {"reward": 1.0, "terminated": 1.0, "sensors": 0.3}


@dataclass(frozen=True, kw_only=True)
class WorldRecipe(DiTRecipe):
    """How a recorded world is trained. size: of the network, by its usual name. frames: that a row asks for."""

    matrix_lr: float = 2e-3
    other_lr: float = 2e-3
    open_gates: bool = True
    pure_share: float = 0.5
    """Of the frames, at level 1, from which a rollout's only step begins."""
    size: str = "XXS"
    context: int = 4
    """Frames before each frame that are read with it."""
    time_every: int = 3
    """Each so-many-th block attends along time besides, to frames further back; 0: none does."""
    window: int = 32
    """Frames that attention along time reads in a rollout."""
    frames: int = 8
    batch: int = 4
    noise: float = 0.1
    """The most that the past is disturbed by."""
    own_share: float = 0.5
    """Share of the steps, from `own_from` (a share of the run) on, in which the past is the network's own work; before that it is
    mush, and teaches mush."""
    own_from: float = 0.35
    own_most: int = 8
    """How many times over, at most; few times are the most usual."""
    wanted_share: float = 0.15
    """Share of the rows that teach to paint a frame of which the entities are given; of recordings with entities. 0: none does."""
    hidden_share: float = 0.1
    """Share of the rows in which the numbers of the past are hidden; of recordings with entities."""
    before: ClassVar[Mapping[str, Any]] = {
        "wanted_share": 0.0, "hidden_share": 0.0, "points": False, "pure_share": 0.25, "matrix_lr": 1e-3, "other_lr": 1e-3,
        "open_gates": False,
    }  # fmt: skip
    points: bool = True
    """Whether tokens are shown how far they are from where actions and told numbers may point (`DiTConfig.pointing`)."""
    spread: float = 0.4
    """Of the change from one frame to the next, in units of the latents; it is what noise is scaled to."""
    autoencoder: str = "codec-8x8"
    autoencoder_share: float = 0.1
    """Share of the time in which this autoencoder is trained on over the recording's pictures; with 0 it is kept."""
    text_encoder: str = ""
    """Folder of a text encoder of transformers; "" for the one that comes with Kinema."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in SIZES:
            raise InputError(f"size {self.size!r}: expected one of {', '.join(SIZES)}")
        if self.context < 1 or self.frames < 1:
            raise InputError(f"{self.frames} frames with {self.context} before each: expected at least 1 of both")
        if min(self.wanted_share, self.hidden_share) < 0 or self.wanted_share + self.hidden_share > 1:
            raise InputError(
                f"wanted_share {self.wanted_share} and hidden_share {self.hidden_share}: expected shares of 1 together at most"
            )


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
                one["reward"], one["sensors"] = self._scaled_reward(one["reward"]), self._scaled_sensors(one["sensors"])
        else:
            parts = {
                name: files.episodes(files.whole(name)) for name in ("video", "action", "reward", "terminated", "sensors")
            }
            for name, scaled in (("reward", self._scaled_reward), ("sensors", self._scaled_sensors)):
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

    def _scaled_sensors(self, sensors: Tensor) -> Tensor:
        scaled = (sensors - torch.from_numpy(self.mean)) / torch.from_numpy(self.std)
        return scaled.float().clamp(-5, 5)

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


def contexts(x: Tensor, before: int) -> Tensor:
    """Of frames [B, K + T, ...] those before each of the last T, oldest first: [B, T, K, ...]."""
    return x[:, :-1].unfold(1, before, 1).movedim(-1, 2)


@dataclass(frozen=True, kw_only=True)
class WorldBatch:
    """Tracks [B, K + T, ...] of which those before each frame are known, what is asked for [B, T, ...], levels [B, T], unit noise
    of the T frames, and text."""

    tracks: dict[str, Tensor]
    targets: dict[str, Tensor]
    level: Tensor
    noise: Tensor
    past: Tensor
    """[B, K + T, C, h, w] as the network is shown it."""
    weight: Tensor
    """[B, T, 1, h, w] of the picture's errors: cells that change weigh more. Its mean over the whole batch is 1."""
    lives: Tensor
    """[B, 1, 1], by which errors of what happens count: 0 where what is asked for does not follow. Its mean over the batch is 1."""
    time_s: Tensor
    spread: float
    wanted: Tensor | None = None
    """[B, T, `wanted_width`] (`kinema.inference.dit_rollout.wanted_numbers`)."""
    text: Tensor | None = None
    text_mask: Tensor | None = None

    @property
    def before(self) -> int:
        return self.past.shape[1] - self.level.shape[1]

    def clean(self) -> Tensor:
        """The change [B, T, C, h, w] from the frame before as it is shown, in units of the spread."""
        return (self.targets["video"] - self.past[:, self.before - 1 : -1]) / self.spread

    def given(self, level: Tensor) -> DiTInput:
        """What the network reads, at these levels."""
        known = ("action", "sensors")
        vectors = {name: contexts(self.tracks[name], self.before).flatten(2) for name in known if name in self.tracks}
        return DiTInput(
            video=noise_to(self.clean(), level, self.noise),
            level=level,
            time_s=self.time_s,
            context=contexts(self.past, self.before),
            vectors=vectors if self.wanted is None else vectors | {WANTED: self.wanted},
            text=self.text,
            text_mask=self.text_mask,
        )

    def with_past(self, made: Tensor) -> WorldBatch:
        """The same with frames [B, T, C, h, w] as the past of those after them; what is asked for stays true."""
        return replace(self, past=torch.cat([self.past[:, : self.before], made], 1))


def draw_world_batch(
    recordings: Recordings,
    recipe: WorldRecipe,
    step: int,
    device: torch.device,
    share: Share = WHOLE,
    *,
    held_back: bool = False,
) -> WorldBatch:
    """A share of the batch of one step, a function of (seed, step) alone. held_back: of windows that training never sees, with a
    past as it was recorded, and nothing but what follows asked for."""
    rows = share.rows(recipe.batch)
    rng = np.random.default_rng((recipe.seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    b, t = recipe.batch, recipe.frames
    places = recordings.choose_windows(rng, b, t, held_back=held_back)
    tracks = recordings.windows(places, t, recipe.context)
    task = tracks.pop("task")
    if not recordings.sensors:
        del tracks["sensors"]
    video, k = tracks["video"], recipe.context
    targets = {name: x[:, k:] for name, x in tracks.items() if name != "action"}
    lives, wanted, jumps = torch.ones(b, 1, 1), None, torch.zeros(b, dtype=torch.bool)
    if recordings.entity_columns and recipe.wanted_share:
        kind = torch.rand(b, generator=generator) if not held_back else torch.full((b,), recipe.wanted_share)
        jumps, hidden = kind < recipe.wanted_share, kind > 1 - recipe.hidden_share
        others = recordings.windows(recordings.elsewhere(rng, places, t), t, 0)
        targets = {name: torch.where(jumps.view(-1, *[1] * (x.dim() - 1)), others[name], x) for name, x in targets.items()}
        wanted = wanted_numbers(targets["sensors"][..., recordings.entity_columns], jumps[:, None], hidden[:, None])
        for name, unknown in (("action", jumps), ("sensors", hidden)):
            tracks[name] = torch.where(unknown[:, None, None], 0.0, tracks[name])
        lives = (~jumps).float()[:, None, None] if not jumps.all() else lives
    rough = torch.rand(b, 1, 1, 1, 1, generator=generator) * (0.0 if held_back else recipe.noise)
    text = mask = None
    if recordings.text is not None:
        text, mask = recordings.text[0][task][rows].to(device), recordings.text[1][task][rows].to(device)
    changed = ((targets["video"] - video[:, k - 1 : -1]).abs() > MOVED).any(2, keepdim=True)
    changed &= ~jumps.view(-1, 1, 1, 1, 1)  # where much of the picture changes, and would drown the others
    level, noise = (
        draw_levels((b, t), generator, pure=recipe.pure_share),
        torch.randn(b, t, *video.shape[2:], generator=generator),
    )
    past = video + rough * torch.randn(video.shape, generator=generator)
    return WorldBatch(
        tracks={name: x[rows].to(device) for name, x in tracks.items()},
        targets={name: x[rows].to(device) for name, x in targets.items()},
        lives=mean_one(lives)[rows].to(device),
        wanted=None if wanted is None else wanted[rows].to(device),
        level=level[rows].to(device),
        noise=noise[rows].to(device),
        past=past[rows].to(device),
        weight=mean_one(1 + CHANGED * changed)[rows].to(device),
        time_s=(torch.arange(t) / recordings.fps).expand(b, -1)[rows].to(device),
        spread=recipe.spread,
        text=text,
        text_mask=mask,
    )


def with_own_frames(network: Estimator, batch: WorldBatch, times: int) -> WorldBatch:
    """The batch with a past that is the network's own work in one step from noise, so many times over. Gradients stay on, though
    none are taken: without them a compiled network would be compiled once more."""
    for _ in range(times):
        made = network(batch.given(torch.ones_like(batch.level)))["video"].detach().float()
        batch = batch.with_past(batch.past[:, batch.before - 1 : -1] + batch.spread * made)
    return batch


def world_losses(network: Estimator, batch: WorldBatch) -> dict[str, Tensor]:
    """Squared errors of what is asked for, by track."""
    made, clean = network(batch.given(batch.level)), batch.clean()
    losses = {"video": squared_error(made["video"], clean, batch.weight)}
    for name, weight in VECTOR_WEIGHTS.items():
        if name in made:
            losses[name] = weight * squared_error(made[name], batch.targets[name], batch.lives)
    return losses


class RecordingsLesson:
    """What a world model learns from (`kinema.training.dit_trainer.Lesson`)."""

    def __init__(self, recordings: Recordings | Sequence[tuple[Recordings, float]], recipe: WorldRecipe) -> None:
        """Several recordings come with their weights; each step is of one of them."""
        several = [(recordings, 1.0)] if isinstance(recordings, Recordings) else list(recordings)
        self.recordings, weights = [one for one, _ in several], np.array([weight for _, weight in several], np.float64)
        self.shares, self.recipe = weights / weights.sum(), recipe

    def recordings_of(self, step: int) -> Recordings:
        """What this step learns from."""
        rng = step_rng(self.recipe.seed, step, StepDraw.RECORDING)
        return self.recordings[int(rng.choice(len(self.recordings), p=self.shares))]

    def own_times(self, step: int, done: float) -> int:
        """How many times over the past of this step is the network's own work: 0, or 1 to `own_most`, once being the most usual."""
        rng = step_rng(self.recipe.seed, step, StepDraw.OWN_PAST)
        if done < self.recipe.own_from or rng.random() >= self.recipe.own_share:
            return 0
        return min(int(2 ** rng.choice(4, p=(0.6, 0.2, 0.12, 0.08))), self.recipe.own_most)

    @property
    def targets(self) -> int:
        """Frames that a step asks for."""
        return self.recipe.batch * self.recipe.frames

    def effort(self, step: int, done: float) -> float:
        """About how long a step takes: making a past takes a pass forward each time, a plain step as long as three."""
        return 1 + self.own_times(step, done) / 3

    def losses(
        self, network: Estimator, step: int, done: float, device: torch.device, share: Share = WHOLE
    ) -> dict[str, Tensor]:
        batch = draw_world_batch(self.recordings_of(step), self.recipe, step, device, share)
        return world_losses(network, with_own_frames(network, batch, self.own_times(step, done)))

    def held_out_batches(
        self, device: torch.device, share: Share = WHOLE, *, count: int = HELD_OUT_BATCHES
    ) -> list[WorldBatch]:
        """Shares of batches of windows that training never sees: the same windows and noise whatever the run's seed and its step.
        Every recording has as many, about `count` in all; one of a single episode has none. Their past is as it was recorded."""
        batches, recipe = list[WorldBatch](), self.recipe
        for recordings in self.recordings:
            if recordings.num_held_back:
                fixed = replace(recipe, seed=0, frames=min(recipe.frames, recordings.longest(held_back=True)))
                for number in range(max(1, count // len(self.recordings))):
                    batches.append(draw_world_batch(recordings, fixed, number, device, share, held_back=True))
        return batches

    @torch.no_grad()
    def held_out_figures(
        self, network: Estimator, device: torch.device, *, share: Share = WHOLE, count: int = HELD_OUT_BATCHES
    ) -> dict[str, float]:
        """Errors on `held_out_batches`, by name; the mean of those of all shares is that of the whole. {} where nothing is held
        back.

        "held_out_LEVEL": squared error of the pictures' change, in units of `spread`, changed cells weighing more, with all frames
        at one level. "held_out_copying": the same of the last true picture. "held_out_reward" and the like: of other tracks, at
        level 1."""
        figures, batches = dict[str, float](), self.held_out_batches(device, share, count=count)
        for batch in batches:
            parts = {"copying": squared_error(torch.zeros_like(batch.clean()), batch.clean(), batch.weight)}
            for level in HELD_OUT_WORLD_LEVELS:
                losses = world_losses(network, replace(batch, level=torch.full_like(batch.level, level)))
                parts[f"{level:g}"] = losses.pop("video")
            for name, value in (parts | losses).items():
                figures[f"held_out_{name}"] = figures.get(f"held_out_{name}", 0.0) + float(value) / len(batches)
        return figures
