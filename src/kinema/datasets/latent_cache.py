"""The latent cache: captioned clips, encoded once by an autoencoder and a text encoder, from which training draws windows.

A cache is a folder of shards (safetensors, bfloat16), plan.json, which says what it is made of, and index.json, which is
written last. Clips of one shape form a bucket: pictures keep their aspect, are resized to one shorter side, and lose less than a
patch at the edges of the longer one. Clips that are faster than the rate of training are brought to it; slower ones keep their own.

Long clips are stored in pieces. With an autoencoder that mixes nothing over time, windows lie anywhere in a clip; otherwise each
piece is encoded on its own, and windows begin where a piece begins, so that the first latent of a window stands for one picture.

Axes: T latent frames, C channels, h x w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder.protocol import VideoAutoencoder
from kinema.datasets.clip_batches import (
    Candidates,
    ClipBatch,
    LatentWindow,
    WindowKind,
    WindowMix,
    check_draw,
    choose_windows,
    draw_generator,
    held_out_names,
    kind_weights,
    stacked_text,
    too_long,
)
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.folder_lock import locked
from kinema.datasets.latent_build import (
    INDEX,
    LATENTS,
    PLAN,
    TEXT,
    Builder,
    LatentCacheConfig,
    cache_identity,
    claim_folder,
    text_key,
)
from kinema.datasets.latent_shards import ShardReader
from kinema.errors import InputError, SizeError
from kinema.text import TextEncoder
from kinema.types import parse_json

__all__ = ["LatentCache", "LatentCacheConfig"]


TOKENS_STEP = 8
"""Texts of all batches are padded to one length, the longest caption's, rounded up to a multiple of this."""


class LatentCache:
    """Reads a cache that was built. Nothing of it is held in memory but its index.

    Attributes:
        folder: Where it lies.
        config: How it was encoded.
        identity: Hashes of what it was made of: clips, autoencoder, text encoder and settings.
        names: Of the clips.
        held_out: Names of those that training never sees.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / INDEX
        if not path.exists():
            state = (
                "is not finished; build it again, it goes on" if (self.folder / PLAN).exists() else "holds no latent cache"
            )
            raise InputError(f"{self.folder} {state}")
        try:
            index = parse_json(path.read_text(encoding="utf-8"))
            self.config, self.identity = LatentCacheConfig(**index["config"]), dict(index["identity"])
            self._clips: list[dict[str, Any]] = index["clips"]
            self._time_factor, self._channels, self._text_dim = (
                int(index[n]) for n in ("time_factor", "channels", "text_dim")
            )
            self._places: dict[str, int] = index["places"]
            self._texts: dict[str, tuple[int, int]] = {text: (place[0], place[1]) for text, place in index["texts"].items()}
            longest = max((tokens for _, tokens in self._texts.values()), default=1)
            self._tokens = min(-(-longest // TOKENS_STEP) * TOKENS_STEP, self.config.max_tokens)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(f"{path} cannot be read ({str(error)[:80]}); delete the cache and build it again") from None
        self.names = tuple(str(clip["name"]) for clip in self._clips)
        self.held_out = held_out_names(self.names)
        self._latents, self._states = ShardReader(self.folder, LATENTS), ShardReader(self.folder, TEXT)
        self._candidates: dict[tuple[int, bool], dict[tuple[int, int], Candidates]] = {}
        self._kinds: dict[tuple[WindowMix, bool], dict[WindowKind, Candidates]] = {}

    @property
    def channels(self) -> int:
        """C."""
        return self._channels

    @property
    def text_dim(self) -> int:
        """Numbers of a token's state."""
        return self._text_dim

    @property
    def time_factor(self) -> int:
        """Frames of a latent frame."""
        return self._time_factor

    def __len__(self) -> int:
        return len(self._clips)

    def buckets(self, frames: int, *, held_out: bool = False) -> dict[tuple[int, int], int]:
        """How many clips (or, with an autoencoder that mixes frames, pieces of clips) have so many latent frames, by their
        (height, width) in latent cells."""
        return {shape: len(bucket.edges) for shape, bucket in self._eligible(frames, held_out).items()}

    def longest(self, *, held_out: bool = False) -> int:
        """The most latent frames that a window can have."""
        clips = [clip for clip in self._clips if (clip["name"] in self.held_out) == held_out]
        return max((sum(clip["pieces"]) if self.time_factor == 1 else max(clip["pieces"]) for clip in clips), default=0)

    def kinds(self, mix: WindowMix, *, held_out: bool = False) -> dict[WindowKind, Candidates]:
        """What windows of each shape, length and rate can be drawn from, in a fixed order. Rates are a clip's own, a half of it,
        and so on, `mix.rates` of them; nothing lies between, as nothing is made up."""
        if (mix, held_out) not in self._kinds:
            rows: dict[WindowKind, list[tuple[int, int, int, int, int]]] = {}
            for frames in sorted(set(mix.lengths)):
                for interval in range(1, (mix.rates if self.time_factor == 1 and frames > 1 else 1) + 1):
                    for number, row in self._rows(frames, held_out, interval):
                        clip = self._clips[number]
                        fps = float(f"{float(clip['fps']) / interval:.2g}")
                        kind = WindowKind(height=clip["height"], width=clip["width"], frames=frames, fps=fps)
                        rows.setdefault(kind, []).append(row)
            self._kinds[mix, held_out] = {kind: Candidates.of(rows[kind]) for kind in sorted(rows)}
        return self._kinds[mix, held_out]

    def choose_kind(self, rng_seed: int, step: int, mix: WindowMix, *, held_out: bool = False) -> WindowKind:
        """The shape, length and rate of a step's windows, a pure function of seed and step
        (`kinema.datasets.clip_batches.kind_weights` says how often which is drawn). InputError: no clip is long enough."""
        kinds = self.kinds(mix, held_out=held_out)
        if not kinds:
            raise too_long(min(mix.lengths), self.longest(held_out=held_out), held_out, str(self.folder))
        place = draw_generator(rng_seed, step, 3).random()
        edges = np.cumsum(kind_weights(kinds))
        return list(kinds)[min(int(np.searchsorted(edges, place, side="right")), len(kinds) - 1)]

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
        """Draw a batch: a pure function of seed and step, so that a run that goes on sees what it would have seen.

        All windows are of one bucket. Buckets, and clips within them, are drawn in proportion to their length in windows; the place
        of the window and one of the clip's captions evenly.

        Args:
            rng_seed: Of the run.
            step: Of the run, from 0 on.
            batch: Clips of all ranks together, a multiple of `world_size`.
            frames: Latent frames of each window.
            held_out: Whether to draw of the clips that training never sees, instead of the others.
            rank: Whose share of the batch is returned: rows rank * batch / world_size and on.
            world_size: How many ranks there are. The shares of all ranks joined are the batch of one.
            mix: Windows are of the kind that `choose_kind` returns for it, which has to have so many frames. None: windows of one
                shape at the rates that their clips are stored at.

        Returns:
            The share of the batch.

        Raises:
            InputError: No clip is long enough, or numbers that cannot be.
            MediaError: A shard was changed or deleted.
        """
        check_draw(rng_seed, step, batch, frames, rank, world_size)
        if mix is None:
            eligible = list(self._eligible(frames, held_out).values())
        else:
            kind = self.choose_kind(rng_seed, step, mix, held_out=held_out)
            if kind.frames != frames:
                raise InputError(f"{frames} frames: expected {kind.frames}, as windows of step {step} have in this mix")
            eligible = [self.kinds(mix, held_out=held_out)[kind]]
        if not eligible:
            raise too_long(frames, self.longest(held_out=held_out), held_out, str(self.folder))
        windows = choose_windows(
            eligible, [len(clip["captions"]) for clip in self._clips], batch,
            draw_generator(rng_seed, step, int(held_out)), joined=self.time_factor == 1,
        )  # fmt: skip
        share = batch // world_size
        return self._batch(windows[rank * share : (rank + 1) * share], frames)

    def _batch(self, windows: Sequence[LatentWindow], frames: int) -> ClipBatch:
        clips = [self._clips[window.clip] for window in windows]
        captions = [str(clip["captions"][window.caption]) for clip, window in zip(clips, windows, strict=True)]
        texts = []
        for caption in captions:
            shard, tokens = self._texts[caption]
            texts.append(self._states.read(shard, text_key(caption), 0, tokens))
        states, mask = stacked_text(texts, self._tokens)
        return ClipBatch(
            latents=torch.stack([self._window(window, frames) for window in windows]).float(),
            fps=torch.tensor([float(clip["fps"]) / window.interval for clip, window in zip(clips, windows, strict=True)]),
            text_states=states,
            text_mask=mask,
            names=tuple(str(clip["name"]) for clip in clips),
            captions=tuple(captions),
        )

    def _window(self, window: LatentWindow, frames: int) -> Tensor:
        """[frames, C, h, w] in bfloat16."""
        if window.piece is not None:
            return self._piece(window.clip, window.piece, 0, frames)
        parts, begin, stop = [], 0, window.start + (frames - 1) * window.interval + 1
        for piece, length in enumerate(self._clips[window.clip]["pieces"]):
            first, last = max(window.start - begin, 0), min(stop - begin, length)
            if first < last:
                parts.append(self._piece(window.clip, piece, first, last))
            begin += length
        return torch.cat(parts)[:: window.interval]

    def _piece(self, clip: int, piece: int, start: int, stop: int) -> Tensor:
        key = f"{clip}.{piece}"
        return self._latents.read(self._places[key], key, start, stop)

    def _rows(self, frames: int, held_out: bool, interval: int) -> Iterator[tuple[int, tuple[int, int, int, int, int]]]:
        """Numbers of the clips that have windows of so many frames, each `interval`-th shown, with rows for `Candidates.of`; a row
        for each piece where windows begin with pieces."""
        span = (frames - 1) * interval + 1
        for number, clip in enumerate(self._clips):
            if (clip["name"] in self.held_out) == held_out:
                lengths = [sum(clip["pieces"])] if self.time_factor == 1 else clip["pieces"]
                for piece, length in enumerate(lengths):
                    if length >= span:
                        count = length // span if self.time_factor == 1 else 1
                        yield number, (number, piece, length - span, interval, count)

    def _eligible(self, frames: int, held_out: bool) -> dict[tuple[int, int], Candidates]:
        """Candidates by shape, in a fixed order."""
        if (frames, held_out) not in self._candidates:
            rows: dict[tuple[int, int], list[tuple[int, int, int, int, int]]] = {}
            for number, row in self._rows(frames, held_out, 1):
                rows.setdefault((self._clips[number]["height"], self._clips[number]["width"]), []).append(row)
            self._candidates[frames, held_out] = {shape: Candidates.of(rows[shape]) for shape in sorted(rows)}
        return self._candidates[frames, held_out]

    @staticmethod
    def build(
        clips: CaptionedClips,
        folder: Path | str,
        *,
        autoencoder: VideoAutoencoder,
        text: TextEncoder,
        config: LatentCacheConfig | None = None,
        show: Callable[[int, int], None] | None = None,
    ) -> LatentCache:
        """Encode clips into a folder, or go on with a build that was killed, or open the cache that is there.

        Args:
            clips: What is encoded, at least two clips, as one is held out.
            folder: Of the cache; it is made.
            autoencoder: Its `encode_frames` is called piece by piece.
            text: Encodes each caption once.
            config: Sizes and rates.
            show: Called with how many clips are encoded, and of how many.

        Returns:
            The cache.

        Raises:
            InputError: Fewer than two clips, sizes that the autoencoder cannot do, or a folder that holds the cache of other clips,
                another autoencoder, another text encoder or other settings.
            MediaError: A clip is damaged.
            OutputError: The folder cannot be written to.
        """
        folder, config = Path(folder), config or LatentCacheConfig()
        if len(clips) < 2:
            raise InputError(
                f"{clips.path} holds one clip; expected 2 or more, as one is held out: kinema curate cuts long films"
            )
        if config.patch_px % autoencoder.space_factor:
            raise SizeError(
                f"patch_px {config.patch_px}: expected a multiple of {autoencoder.space_factor}, the autoencoder's cell"
            )
        with locked(folder, "build", "folder"):
            claim_folder(folder, cache_identity(clips, autoencoder, text, config))
            if not (folder / INDEX).exists():
                Builder(clips, folder, autoencoder, text, config).run(show or (lambda done, of: None))
        return LatentCache(folder)
