"""Films of the Playground as a set of captioned clips: cached episodes, drawn and encoded once and held in memory.

Axes: N episodes, B windows, T latent frames, C channels, h x w latent cells, L text tokens, E text width, K slots, H x W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder
from kinema.datasets.clip_batches import ClipBatch, WindowKind, WindowMix, check_draw, draw_generator, too_long
from kinema.datasets.episode_cache import FRAMES, EpisodeCache, trained_on
from kinema.errors import InputError
from kinema.playground.renderer import render_batch
from kinema.scene.encoding import Fields

CAPTIONS = (0, 1)
"""Kinds of captions of an episode cache that clips have: short and detailed."""
AT_ONCE = 32
"""Episodes that are drawn and encoded at once."""


def render_windows(fields: Fields, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Draw windows: uint8 [B, T, H, W, 3]."""
    batch, frames, slots = fields.x.shape

    def each_frame(values: NDArray[Any]) -> Tensor:
        spread = np.repeat(values[:, None], frames, 1)
        return torch.from_numpy(np.ascontiguousarray(spread.reshape(batch * frames, *values.shape[1:]))).to(device)

    drawn = render_batch(
        kind=each_frame(fields.kind),
        color=each_frame(fields.color),
        size=each_frame(fields.size),
        x=torch.from_numpy(fields.x.reshape(-1, slots)).to(device),
        y=torch.from_numpy(fields.y.reshape(-1, slots)).to(device),
        angle=torch.from_numpy(fields.angle.reshape(-1, slots)).to(device),
        view=each_frame(fields.view),
        background=each_frame(fields.background),
        camera=torch.from_numpy(fields.camera.reshape(-1, 3)).to(device),
        height=height,
        width=width,
    )
    return drawn.reshape(batch, frames, height, width, 3)


class EpisodeClips:
    """Whole episodes as clips (`kinema.datasets.clip_batches.ClipSet`).

    Args:
        cache: Simulated episodes. The last of them, which no training sees (`trained_on`), are the held-out clips.
        autoencoder: Encodes their pictures.
        fps: Of the clips, by which the frames a second of the cache can be divided.
        side: Pixels along both sides of a picture.
        device: Of the autoencoder, where latents and text states stay.

    Raises:
        InputError: The frames a second of the cache are no multiple of `fps`, or the autoencoder mixes frames.
    """

    def __init__(
        self,
        cache: EpisodeCache,
        autoencoder: VideoAutoencoder,
        *,
        fps: float = 8.0,
        side: int = 64,
        device: torch.device | str = "cpu",
    ) -> None:
        every = round(cache.fps / fps)
        if every < 1 or every * fps != cache.fps:
            raise InputError(
                f"{fps:g} frames a second: expected a number by which the {cache.fps:g} of the episodes are divided"
            )
        if autoencoder.time_factor != 1:
            raise InputError(
                f"an autoencoder of time factor {autoencoder.time_factor}: expected 1 for films of the Playground"
            )
        self.cache, self.fps, self.trained = cache, fps, trained_on(cache)
        self.names = tuple(f"episode-{i:06d}" for i in range(self.trained))
        latents: list[Tensor] = []
        texts: list[tuple[Tensor, Tensor]] = []
        for first in range(0, len(cache), AT_ONCE):
            episodes = np.arange(first, min(first + AT_ONCE, len(cache)))
            start = np.zeros_like(episodes)
            silent = np.full_like(episodes, -1)
            fields = cache.windows(episodes, start, start + every, FRAMES // every, silent).fields
            with torch.no_grad():
                drawn = render_windows(fields, side, side, device).permute(0, 1, 4, 2, 3)
                latents.append(autoencoder.encode(drawn.float() / 127.5 - 1.0).to(torch.bfloat16))
            words = [cache.windows(episodes, start, start + 1, 1, start + which) for which in CAPTIONS]
            states = torch.from_numpy(np.stack([one.text_states for one in words], 1))
            mask = torch.from_numpy(np.stack([one.text_mask for one in words], 1))
            texts.append((states.to(device, torch.bfloat16), mask.to(device)))
        self._latents = torch.cat(latents)
        self._states, self._mask = (torch.cat(parts) for parts in zip(*texts, strict=True))

    @property
    def channels(self) -> int:
        """C."""
        return self._latents.shape[2]

    @property
    def text_dim(self) -> int:
        """E."""
        return self._states.shape[-1]

    @property
    def time_factor(self) -> int:
        """Frames of a latent frame."""
        return 1

    def buckets(self, frames: int, *, held_out: bool = False) -> dict[tuple[int, int], int]:
        """How many clips have so many frames, by the shape of their latents: all, or none."""
        rows, columns = self._latents.shape[-2:]
        return {(rows, columns): len(self._part(held_out))} if frames <= self.longest() else {}

    def longest(self, *, held_out: bool = False) -> int:
        """T of a whole clip."""
        return self._latents.shape[1]

    def _part(self, held_out: bool) -> range:
        return range(self.trained, len(self.cache)) if held_out else range(self.trained)

    def choose_kind(self, rng_seed: int, step: int, mix: WindowMix, *, held_out: bool = False) -> WindowKind:
        """As in `LatentCache.choose_kind`; all lengths and rates that fit are drawn evenly."""
        rows, columns = self._latents.shape[-2:]
        fits = [
            (frames, interval)
            for frames in sorted(set(mix.lengths))
            for interval in range(1, (mix.rates if frames > 1 else 1) + 1)
            if (frames - 1) * interval < self.longest()
        ]
        if not fits:
            raise too_long(min(mix.lengths), self.longest(), held_out, "the Playground")
        frames, interval = fits[int(draw_generator(rng_seed, step, 4).integers(len(fits)))]
        return WindowKind(height=rows, width=columns, frames=frames, fps=self.fps / interval)

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
        """Windows from anywhere in the episodes, each with one of its two captions, on the autoencoder's device. Parameters and
        errors as in `LatentCache.sample_batch`."""
        check_draw(rng_seed, step, batch, frames, rank, world_size)
        if frames > self.longest():
            raise too_long(frames, self.longest(), held_out, "the Playground")
        kind = None if mix is None else self.choose_kind(rng_seed, step, mix, held_out=held_out)
        if kind is not None and kind.frames != frames:
            raise InputError(f"{frames} frames: expected {kind.frames}, as windows of step {step} have in this mix")
        interval = 1 if kind is None else round(self.fps / kind.fps)
        rng, part = draw_generator(rng_seed, step, 3), self._part(held_out)
        drawn = (
            rng.integers(part.start, part.stop, batch),
            rng.integers(0, self.longest() - (frames - 1) * interval, batch),
            rng.integers(0, len(CAPTIONS), batch),
        )
        mine = slice(rank * batch // world_size, (rank + 1) * batch // world_size)
        episodes, starts, which = (torch.from_numpy(x[mine]).to(self._latents.device) for x in drawn)
        picks = starts[:, None] + interval * torch.arange(frames, device=starts.device)
        captions = [self.cache.caption(int(i), CAPTIONS[k])[1] for i, k in zip(drawn[0][mine], drawn[2][mine], strict=True)]
        return ClipBatch(
            latents=self._latents[episodes[:, None], picks].float(),
            fps=torch.full((len(episodes),), self.fps / interval, device=starts.device),
            text_states=self._states[episodes, which].float(),
            text_mask=self._mask[episodes, which],
            names=tuple(f"episode-{i:06d}" for i in drawn[0][mine].tolist()),
            captions=tuple(captions),
        )
