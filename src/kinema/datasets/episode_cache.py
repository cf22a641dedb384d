"""The episode cache: episodes of a world, simulated once and kept as arrays, from which training draws windows.

An episode cache is a folder of shards. Shard i holds episodes with seeds base + i * SHARD ... and depends on nothing else, so
building is parallel, resumable and gives the same bytes anywhere. Captions are kept as text and as the text encoder's token states.

Axes: N episodes, T frames, 32 a second unless said otherwise, K slots, L text tokens, E text width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError
from kinema.playground import SceneDistribution, simulate
from kinema.playground.phyworld import PhyWorld
from kinema.scene.encoding import Fields
from kinema.scene.scene import BACKGROUNDS, KINDS, VIEWS
from kinema.text import MiniLM, TextEncoder

SHARD = 500
FORMAT = 2
"""Of shards; caches of another format are made anew."""
FPS = 32.0
FRAMES = 128
MAX_TOKENS = 40
HELD_BACK = 200
"""The last episodes of an episode cache are never trained on; canaries use them. Of a small cache it is the last half."""
COVERED = 0.9
"""Visible share below which a thing counts as hidden in part (`EpisodeCache.covered`)."""
JOLT = 0.8
"""Units a second: more than gravity, friction and engines bring about from one frame to the next."""
_MOVING = ("x", "y", "vx", "vy", "angle", "visible")
_FIXED = ("kind", "color", "material", "size")
_TEXT = ("token_states", "token_start", "caption_start", "caption_which", "captions")

Arrays = dict[str, NDArray[Any]]
Source = SceneDistribution | PhyWorld
"""What episodes are drawn from."""


def simulate_shard(distribution: Source, first_seed: int, count: int, fps: float = FPS) -> Arrays:
    """Simulate `count` episodes and encode what is told of them."""
    columns: dict[str, list[Any]] = {}
    captions: list[list[str | None]] = []
    for seed in range(first_seed, first_seed + count):
        if isinstance(distribution, PhyWorld):
            episode = distribution.simulate(seed, fps=fps, num_frames=FRAMES)
        else:
            episode = simulate(distribution, seed, fps=fps, num_frames=FRAMES)
        scene = episode.scene
        row = {name: getattr(scene, name) for name in _FIXED}
        row |= {name: getattr(scene, name).astype(np.float16) for name in _MOVING}
        row |= {
            "camera": scene.camera.astype(np.float16),
            "view": np.int8(VIEWS.index(scene.view)),
            "background": np.int8(BACKGROUNDS.index(scene.background)),
            "action": episode.action.astype(np.float16),
            "reward": episode.reward.astype(np.float32),
            "terminated": episode.terminated,
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
        texts = episode.captions
        captions.append([texts.short, texts.detailed, texts.task, texts.partial])
    arrays = {name: np.stack(values) for name, values in columns.items()}
    return arrays | _encode_captions(captions, MiniLM(num_threads=1))


def _encode_captions(captions: list[list[str | None]], text: TextEncoder) -> Arrays:
    """captions: what is told of each episode, by kind of caption; None where there is no such."""
    present = [[(which, caption) for which, caption in enumerate(group) if caption] for group in captions]
    flat = [caption for group in present for _, caption in group]
    once = list(dict.fromkeys(flat))
    states, mask = text.encode(once, max_tokens=MAX_TOKENS)
    where = {caption: i for i, caption in enumerate(once)}
    which = [where[caption] for caption in flat]
    lengths = mask.sum(1)[which]
    tokens = np.concatenate([states[i][:length] for i, length in zip(which, lengths, strict=True)])
    return {
        "token_states": tokens.astype(np.float16),
        "token_start": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "caption_start": np.concatenate([[0], np.cumsum([len(group) for group in present])]).astype(np.int64),
        "caption_which": np.array([which for group in present for which, _ in group], np.int8),
        "captions": np.array(json.dumps(flat)),
    }


@dataclass(frozen=True, kw_only=True)
class Order:
    """Episodes that a folder should hold: whole shards, or fewer than one."""

    folder: Path
    source: Source
    episodes: int
    base_seed: int
    fps: float = FPS

    @property
    def shards(self) -> int:
        return -(-self.episodes // SHARD)

    def shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.npz"

    @property
    def missing(self) -> list[int]:
        """Numbers of the shards that are not there."""
        return [i for i in range(self.shards) if not self.shard(i).exists()]

    def claim(self) -> None:
        """Make the folder and note what it holds; InputError where it holds something else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        of = {"diet": asdict(self.source), "base_seed": self.base_seed, "format": FORMAT}
        of |= {} if self.fps == FPS else {"fps": self.fps}
        label = json.dumps(of, sort_keys=True, default=list)
        label_file = self.folder / "bank.json"
        if label_file.exists() and label_file.read_text() != label:
            raise InputError(
                f"{self.folder} holds an episode cache of another scene distribution, seed or format; name another folder or"
                " delete it"
            )
        label_file.write_text(label)

    def make(self, number: int) -> None:
        """Write one shard, whole or not at all."""
        arrays = simulate_shard(self.source, self.base_seed + number * SHARD, min(self.episodes, SHARD), self.fps)
        temporary = self.folder / f".shard-{number:05d}.tmp.npz"
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(self.shard(number))


def build_shards(
    orders: Sequence[Order], *, workers: int = 2, progress: Callable[[int, int, int], None] | None = None
) -> None:
    """Fill folders with shards, the first of every folder before the second of any; those that exist are kept, so a build that
    was cut off goes on. progress: number of the order, its shards that are there, its shards in all."""
    for order in orders:
        order.claim()
    missing = sorted((i, which) for which, order in enumerate(orders) for i in order.missing)
    if not missing:
        return
    with ProcessPoolExecutor(min(workers, len(missing))) as pool:
        jobs = {pool.submit(orders[which].make, i): which for i, which in missing}
        for job in as_completed(jobs):
            job.result()
            which = jobs[job]
            if progress is not None:
                progress(which, orders[which].shards - len(orders[which].missing), orders[which].shards)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A batch of windows cut from episodes; text tokens padded to MAX_TOKENS with `reads` False where nothing is said."""

    fields: Fields
    fps: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    text_states: NDArray[np.float32]
    text_mask: NDArray[np.bool_]
    captions: list[str]


class EpisodeCache:
    """Reads a built episode cache into memory."""

    def __init__(self, folder: Path, *, episodes: int | None = None) -> None:
        paths = sorted(folder.glob("shard-*.npz"))
        if not paths:
            raise InputError(
                f"{folder} holds no episodes; expected shards made by kinema.datasets.episode_cache.build_shards"
            )
        if episodes is not None:
            paths = paths[: -(-episodes // SHARD)]
        label_file = folder / "bank.json"
        self.fps = float(json.loads(label_file.read_text()).get("fps", FPS)) if label_file.exists() else FPS
        shards = [np.load(path) for path in paths]
        if not set(_TEXT) <= set(shards[0].files):
            raise InputError(f"{folder} holds an episode cache of an older format; delete it, and it is built anew")
        self._text = [{name: shard[name] for name in _TEXT[:-1]} for shard in shards]
        self._captions = [json.loads(str(shard["captions"])) for shard in shards]
        names = [name for name in shards[0].files if name not in _TEXT]
        self.arrays: Arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in names}
        self.acts = bool((self.arrays["action"] != 0).any())
        """Whether anybody does anything in it."""
        ends = self.arrays["terminated"]
        self.end: NDArray[np.int64] = np.where(ends.any(1), ends.argmax(1), -1)
        """The frame in which the task of each episode was done, -1 where it was not."""

    @cached_property
    def jolts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Episodes and frames in which the velocity of something in sight is another than in the frame before by more than JOLT:
        contacts with things, walls and floors."""
        vx, vy = (self.arrays[name].astype(np.float32) for name in ("vx", "vy"))
        visible = (self.arrays["kind"] >= 0)[:, None] & (self.arrays["visible"][:, 1:] > 0)
        jolted = ((np.hypot(np.diff(vx, axis=1), np.diff(vy, axis=1)) > JOLT) & visible).any(-1)
        episodes, frames = np.nonzero(jolted)
        return episodes, frames + 1

    @cached_property
    def covered(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Episodes and frames in which a screen hides a tenth or more of something; things that leave the picture of an episode
        with a screen are among them."""
        kind = self.arrays["kind"]
        screen = kind == KINDS.index("screen")
        things = ((kind >= 0) & ~screen & screen.any(-1, keepdims=True))[:, None]
        episodes, frames = np.nonzero(((self.arrays["visible"] < COVERED) & things).any(-1))
        return episodes, frames

    def __len__(self) -> int:
        return len(self.arrays["kind"])

    def caption(self, episode: int, which: int) -> tuple[NDArray[np.float16], str]:
        """Token states [L, E] and the text of one caption: 0 short, 1 detailed, 2 task, 3 partial; the short one where an
        episode has no such."""
        text, at = self._text[episode // SHARD], episode % SHARD
        first, stop = text["caption_start"][at], text["caption_start"][at + 1]
        index = int(first + (text["caption_which"][first:stop] == which).argmax())
        states = text["token_states"][text["token_start"][index] : text["token_start"][index + 1]]
        return states, self._captions[episode // SHARD][index]

    def windows(
        self,
        episodes: NDArray[np.int64],
        starts: NDArray[np.int64],
        strides: NDArray[np.int64],
        frames: int,
        which: NDArray[np.int64],
    ) -> Windows:
        """Frames start, start + stride, ... of each episode; `which` picks the caption, -1 leaves the window untold.

        Rewards between two kept frames add up, and an end between them belongs to the later one.
        """
        picks = starts[:, None] + strides[:, None] * np.arange(frames)
        rows = episodes[:, None]
        moving: dict[str, Any] = {name: self.arrays[name][rows, picks].astype(np.float32) for name in (*_MOVING, "camera")}
        fixed: dict[str, Any] = {name: self.arrays[name][episodes] for name in (*_FIXED, "view", "background")}
        none = np.zeros((len(episodes), 1), np.float32)
        summed = np.concatenate([none, np.cumsum(self.arrays["reward"][episodes], 1)], 1)
        ended = np.concatenate([none, np.cumsum(self.arrays["terminated"][episodes], 1)], 1)
        until = picks + 1
        since = np.maximum(until - strides[:, None], 0)
        index = np.arange(len(episodes))[:, None]
        width = self._text[0]["token_states"].shape[-1]
        states = np.zeros((len(episodes), MAX_TOKENS, width), np.float32)
        mask = np.zeros((len(episodes), MAX_TOKENS), bool)
        captions = []
        for row, (episode, caption) in enumerate(zip(episodes, which, strict=True)):
            token_states, text = self.caption(int(episode), int(caption)) if caption >= 0 else (states[0, :0], "")
            states[row, : len(token_states)] = token_states
            mask[row, : len(token_states)] = True
            captions.append(text)
        return Windows(
            fields=Fields(**fixed, **moving),
            fps=(self.fps / strides).astype(np.float32),
            action=self.arrays["action"][rows, picks].astype(np.float32),
            reward=summed[index, until] - summed[index, since],
            terminated=ended[index, until] > ended[index, since],
            text_states=states,
            text_mask=mask,
            captions=captions,
        )


def trained_on(cache: EpisodeCache) -> int:
    """How many of a cache's episodes are trained on; those after them are held back."""
    return len(cache) - min(HELD_BACK, len(cache) // 2)
