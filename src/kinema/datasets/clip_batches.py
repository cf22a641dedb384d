"""Batches of captioned clips, drawn as a pure function of seed and step, and mixtures of several sets.

Axes: B clips, T latent frames, C channels, h x w latent cells, N text tokens, E text width.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from kinema.canvas.canvas import TextCondition
from kinema.errors import InputError, excerpt

HELD_OUT_SHARE = 0.1
"""Of the clips, about; at least one."""


@dataclass(frozen=True, kw_only=True, order=True)
class WindowKind:
    """What all windows of a batch have in common.

    Attributes:
        height, width: Of the pictures, in latent cells.
        frames: Latent frames.
        fps: Frames a second before the autoencoder's time factor, to two digits; a batch says exactly which each window has.
    """

    height: int
    width: int
    frames: int
    fps: float


@dataclass(frozen=True, kw_only=True)
class WindowMix:
    """Which lengths and rates windows may have.

    Attributes:
        lengths: In latent frames, each 1 or more.
        rates: Windows show each frame of a clip, each second one, and so on, up to each so-many-th. Clips whose autoencoder mixes
            frames keep their rate.
    """

    lengths: tuple[int, ...]
    rates: int = 1

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1 or self.rates < 1:
            raise InputError(
                f"windows of {list(self.lengths)} frames at {self.rates} rates: expected one length or more, each 1 or more, and"
                " 1 rate or more"
            )


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Windows of clips that all have one shape.

    Attributes:
        latents: float32 [B, T, C, h, w].
        fps: Frames a second of each window before the autoencoder's time factor, float32 [B].
        text_states: Token states of one caption of each clip, float32 [B, N, E], 0 where there is no token.
        text_mask: Which tokens there are, bool [B, N].
        names: Of the clips.
        captions: Whose states they are.
    """

    latents: Tensor
    fps: Tensor
    text_states: Tensor
    text_mask: Tensor
    names: tuple[str, ...]
    captions: tuple[str, ...]

    def text_condition(self) -> TextCondition:
        """The text as the canvas takes it: every frame may read every token."""
        reads = self.text_mask[:, None].expand(-1, self.latents.shape[1], -1)
        return TextCondition(states=self.text_states, reads=reads)


class ClipSet(Protocol):
    """What batches are drawn from: one cache, or a mixture of several."""

    @property
    def channels(self) -> int: ...

    @property
    def text_dim(self) -> int: ...

    @property
    def time_factor(self) -> int: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def buckets(self, frames: int, *, held_out: bool = False) -> dict[tuple[int, int], int]: ...

    def longest(self, *, held_out: bool = False) -> int: ...

    def choose_kind(self, rng_seed: int, step: int, mix: WindowMix, *, held_out: bool = False) -> WindowKind: ...

    def sample_batch(
        self,
        rng_seed: int,
        step: int,
        batch: int,
        frames: int,
        *,
        held_out: bool = False,
        rank: int = 0,
        world_size: int = 1,
        mix: WindowMix | None = None,
    ) -> ClipBatch: ...


def check_draw(rng_seed: int, step: int, batch: int, frames: int, rank: int, world_size: int) -> None:
    """InputError for numbers by which no batch can be drawn."""
    if rng_seed < 0 or step < 0:
        raise InputError(f"seed {rng_seed} and step {step}: expected 0 or more")
    if batch < 1 or frames < 1:
        raise InputError(f"{batch} clips of {frames} frames: expected 1 or more of both")
    if not 0 <= rank < world_size or batch % world_size:
        raise InputError(
            f"rank {rank} of {world_size} with a batch of {batch}: expected a rank below the world size, which divides the batch"
        )


def draw_generator(rng_seed: int, step: int, purpose: int) -> np.random.Generator:
    """The generator of a step, another one for each purpose, the same on every machine."""
    return np.random.default_rng([rng_seed, step, purpose])


def held_out_names(names: Sequence[str]) -> frozenset[str]:
    """The clips that training never sees: those whose name has a hash in the lowest tenth, and at least one, but never all.

    Whether a clip is held out depends on its name alone unless the set is so small that none or all would be.
    """
    places = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in names}
    ordered = sorted(places, key=places.__getitem__)
    below = [name for name in ordered if places[name] < HELD_OUT_SHARE]
    return frozenset(below[: max(len(ordered) - 1, 1)] or ordered[:1])


class Mixture:
    """Several sets, of which each batch comes from one, by weight.

    Args:
        sources: Sets with their weights, above 0. Their latents and text states are of one kind.

    Raises:
        InputError: No set, a weight that is not above 0, or sets of different channels or text widths.
    """

    def __init__(self, sources: Sequence[tuple[ClipSet, float]]) -> None:
        if not sources:
            raise InputError("a mixture of nothing; expected at least one set of clips with its weight")
        for _, weight in sources:
            if not 0 < weight < float("inf"):
                raise InputError(f"weight {weight}: expected a number above 0")
        kinds = {(source.channels, source.text_dim) for source, _ in sources}
        if len(kinds) > 1:
            raise InputError(
                f"sets of {', '.join(f'{c} channels and {e} text numbers' for c, e in sorted(kinds))} cannot be mixed; make their"
                " caches with one autoencoder and one text encoder"
            )
        self.sources = tuple(source for source, _ in sources)
        weights = np.array([weight for _, weight in sources], np.float64)
        self._edges = np.cumsum(weights / weights.sum())

    @property
    def channels(self) -> int:
        """C."""
        return self.sources[0].channels

    @property
    def text_dim(self) -> int:
        """E."""
        return self.sources[0].text_dim

    @property
    def time_factor(self) -> int:
        """Frames of a latent frame."""
        return self.sources[0].time_factor

    @property
    def names(self) -> tuple[str, ...]:
        """Of the clips of all sets."""
        return tuple(name for source in self.sources for name in source.names)

    def buckets(self, frames: int, *, held_out: bool = False) -> dict[tuple[int, int], int]:
        """As of `LatentCache.buckets`, of all sets together."""
        counts = Counter[tuple[int, int]]()
        for source in self.sources:
            counts.update(source.buckets(frames, held_out=held_out))
        return dict(counts)

    def longest(self, *, held_out: bool = False) -> int:
        """The most latent frames that a window can have, in each of the sets."""
        return min(source.longest(held_out=held_out) for source in self.sources)

    def _source(self, rng_seed: int, step: int) -> ClipSet:
        """The set that a step falls to."""
        place = draw_generator(rng_seed, step, 2).random()
        return self.sources[min(int(np.searchsorted(self._edges, place, side="right")), len(self.sources) - 1)]

    def choose_kind(self, rng_seed: int, step: int, mix: WindowMix, *, held_out: bool = False) -> WindowKind:
        """As `LatentCache.choose_kind`, of the set that this step falls to."""
        return self._source(rng_seed, step).choose_kind(rng_seed, step, mix, held_out=held_out)

    def sample_batch(
        self,
        rng_seed: int,
        step: int,
        batch: int,
        frames: int,
        *,
        held_out: bool = False,
        rank: int = 0,
        world_size: int = 1,
        mix: WindowMix | None = None,
    ) -> ClipBatch:
        """Draw a batch of the set that this step falls to. Parameters and errors as in `LatentCache.sample_batch`."""
        check_draw(rng_seed, step, batch, frames, rank, world_size)
        return self._source(rng_seed, step).sample_batch(
            rng_seed, step, batch, frames, held_out=held_out, rank=rank, world_size=world_size, mix=mix
        )


@dataclass(frozen=True, kw_only=True)
class LatentWindow:
    """A part of a clip: latents from `start` on, each `interval`-th, of one piece or (None) of all pieces joined; and one of its
    captions."""

    clip: int
    piece: int | None
    start: int
    caption: int
    interval: int = 1


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What windows of one length and one shape can be drawn from: clips, or pieces of clips, each with its spare frames, and which
    of its frames windows show: each, each second one, ..."""

    clip: np.ndarray[tuple[int], np.dtype[np.int64]]
    piece: np.ndarray[tuple[int], np.dtype[np.int64]]
    spare: np.ndarray[tuple[int], np.dtype[np.int64]]
    interval: np.ndarray[tuple[int], np.dtype[np.int64]]
    edges: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Running sum of the weights, which are how many windows lie side by side in each."""

    @staticmethod
    def of(rows: Sequence[tuple[int, int, int, int, int]]) -> Candidates:
        """Of rows of clip, piece, spare frames, interval and weight."""
        clip, piece, spare, interval, weight = np.array(rows, np.int64).T
        return Candidates(clip=clip, piece=piece, spare=spare, interval=interval, edges=np.cumsum(weight).astype(np.float64))

    @property
    def num_clips(self) -> int:
        """Clips that windows are drawn from."""
        return len(np.unique(self.clip))


def kind_weights(kinds: Mapping[WindowKind, Candidates]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """By which share of the steps each kind is drawn: in proportion to the frames that its windows show, longer ones more so, by
    their length. Of clips that are all long, half of the steps and more are of the longest windows; few long clips among many
    short ones are not seen over and over."""
    weights = np.array([kind.frames**2 * some.edges[-1] for kind, some in kinds.items()], np.float64)
    share: np.ndarray[tuple[int], np.dtype[np.float64]] = weights / weights.sum()
    return share


def choose_windows(
    buckets: Sequence[Candidates], captions: Sequence[int], batch: int, generator: np.random.Generator, *, joined: bool
) -> list[LatentWindow]:
    """Windows of one bucket. A bucket is drawn by the sum of its weights, then its candidates by theirs, with replacement.

    captions: how many each clip has. joined: whether windows lie anywhere in a clip, or in one piece from its beginning.
    """
    ends = np.cumsum([bucket.edges[-1] for bucket in buckets])
    bucket = buckets[min(int(np.searchsorted(ends, generator.random() * ends[-1], side="right")), len(buckets) - 1)]
    picks = np.searchsorted(bucket.edges, generator.random(batch) * bucket.edges[-1], side="right")
    picks = np.minimum(picks, len(bucket.edges) - 1)
    places, which = generator.random(batch), generator.random(batch)
    windows = []
    for pick, place, share in zip(picks.tolist(), places.tolist(), which.tolist(), strict=True):
        clip = int(bucket.clip[pick])
        start = int(place * (int(bucket.spare[pick]) + 1)) if joined else 0
        piece = None if joined else int(bucket.piece[pick])
        caption, interval = int(share * captions[clip]), int(bucket.interval[pick])
        windows.append(LatentWindow(clip=clip, piece=piece, start=start, caption=caption, interval=interval))
    return windows


def too_long(frames: int, longest: int, held_out: bool, folder: str) -> InputError:
    """The error of a window that no clip is long enough for."""
    of = "held-out clips" if held_out else "clips for training"
    return InputError(
        f"{frames} latent frames: the longest of the {of} in {excerpt(folder)} has {longest}; ask for fewer frames"
    )


def stacked_text(states: Sequence[Tensor], max_tokens: int) -> tuple[Tensor, Tensor]:
    """Token states [tokens, E] of texts, padded to float32 [B, max_tokens, E] and bool [B, max_tokens]."""
    padded = torch.zeros(len(states), max_tokens, states[0].shape[1])
    mask = torch.zeros(len(states), max_tokens, dtype=torch.bool)
    for row, tokens in enumerate(states):
        padded[row, : len(tokens)], mask[row, : len(tokens)] = tokens.float(), True
    return padded, mask
