"""Captioned clips as lessons for a model that films: which frames are known, at which levels the others are, and whose text is
heard.

Single pictures come first, since what a text says is seen in a picture: a step of them holds pictures and texts of as many clips as
a step of clips holds frames. Then come clips, and pictures now and then.

Most rows are noised as a whole, as a film from words begins. In some the first frames, the last, or some in between are known, as
in a film from pictures or one that goes on; in some every frame has a level of its own (diffusion forcing). In a few the text is
not heard, so that guidance has what to lead away from.

Axes: B clips, T latent frames, C channels, h x w latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from kinema.datasets.clip_batches import ClipBatch, ClipSet
from kinema.diffusion.flow import align_level, draw_levels, mean_one, noise_to, shift_of, squared_error
from kinema.errors import InputError
from kinema.models.dit import SIZES, DiTInput
from kinema.training.dit_trainer import DiTRecipe, Estimator
from kinema.training.parallel import WHOLE, Share

HELD_OUT_LEVELS = (0.25, 0.5, 0.75, 1.0)
"""At which the held-out loss is measured."""


@dataclass(frozen=True, kw_only=True)
class FilmRecipe(DiTRecipe):
    """How a model that films is trained. size: of the network, by its usual name. frames: latent frames of a clip in training."""

    size: str = "XS"
    patch: int = 2
    """Latents along one side of a token."""
    time_every: int = 1
    """Each so-many-th block attends along time."""
    frames: int = 12
    fps: float = 8.0
    short_side: int = 64
    """Pixels that the shorter side of clips is resized to."""
    batch: int = 8
    known_share: float = 0.25
    """Share of the rows in which some frames are known."""
    forcing_share: float = 0.2
    """Share of the rows in which every frame has a level of its own."""
    silent_share: float = 0.1
    """Share of the rows whose text is not heard."""
    pure_share: float = 0.1
    """Share of the rows that are noise alone."""
    pictures_first: float = 0.6
    """Share of the run, from its beginning, whose steps are of single pictures."""
    picture_share: float = 0.2
    """Share of the steps after those that are of single pictures."""
    places: bool = True
    """Whether tokens know where in the picture they are."""
    matrix_lr: float = 2e-3
    autoencoder: str = "codec-8x8"
    """One that comes with Kinema, by name, or a folder: of `kinema train autoencoder`, or of diffusers."""
    text_encoder: str = ""
    """Folder of a text encoder of transformers; "" for the one that comes with Kinema."""

    before: ClassVar[Mapping[str, Any]] = {"places": False, "pure_share": 0.25, "pictures_first": 0.0, "picture_share": 0.0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in SIZES:
            raise InputError(f"size {self.size!r}: expected one of {', '.join(SIZES)}")
        if not 1 <= self.patch <= 8:
            raise InputError(f"patch {self.patch}: expected 1 to 8 latents along one side of a token")
        if self.frames < 2 or self.short_side < 16 or not 1 <= self.fps <= 60:
            raise InputError(
                f"{self.frames} frames, {self.short_side} px, {self.fps:g} a second: expected at least 2, at least 16, and 1 to 60"
            )


def draw_known(rows: int, frames: int, generator: torch.Generator) -> Tensor:
    """Which frames are known [B, T]: the first ones, the last ones, both ends, or any; never all."""
    known = torch.zeros(rows, frames, dtype=torch.bool)
    kinds = torch.randint(4, (rows,), generator=generator)
    counts = torch.randint(1, frames, (rows,), generator=generator)
    index = torch.arange(frames)
    for row, (kind, count) in enumerate(zip(kinds.tolist(), counts.tolist(), strict=True)):
        if kind == 0:
            known[row] = index < count
        elif kind == 1:
            known[row] = index >= frames - count
        elif kind == 2:
            known[row, [0, -1]] = frames > 2
            known[row, 0] = True
        else:
            known[row] = torch.rand(frames, generator=generator) < 0.5
            known[row, int(torch.randint(frames, (1,), generator=generator))] = False
    return known


def draw_film_levels(recipe: FilmRecipe, rows: int, frames: int, generator: torch.Generator) -> Tensor:
    """Levels [B, T]."""
    shift = shift_of(frames)
    level = draw_levels((rows, 1), generator, shift=shift, pure=recipe.pure_share).expand(-1, frames).clone()
    if frames == 1:
        return level
    kind = torch.rand(rows, 1, generator=generator)
    own = draw_levels((rows, frames), generator, shift=shift_of(1), pure=0.0)
    level = torch.where(kind < recipe.forcing_share, own, level)
    known = draw_known(rows, frames, generator) & (kind > 1 - recipe.known_share)
    return torch.where(known, 0.0, level)


def film_loss(
    network: Estimator,
    batch: ClipBatch,
    level: Tensor,
    weight: Tensor,
    heard: Tensor,
    noise: Tensor,
    device: torch.device,
    time_factor: int = 1,
) -> Tensor:
    """Squared error, each frame's by its weight [B, T]. heard: [B], whose text is read. time_factor: frames of a latent frame."""
    clean, level = batch.latents.to(device), level.to(device)
    frames = clean.shape[1]
    time_s = time_factor * torch.arange(frames, device=device) / batch.fps.to(device)[:, None]
    made = network(
        DiTInput(
            video=noise_to(clean, level, noise.to(device)),
            level=level,
            time_s=time_s,
            text=batch.text_states.to(device),
            text_mask=batch.text_mask.to(device) & heard.to(device)[:, None],
        )
    )["video"]
    return squared_error(made, clean, align_level(weight.to(device), clean))


class ClipsLesson:
    """What a model that films learns from (`kinema.training.dit_trainer.Lesson`)."""

    def __init__(self, clips: ClipSet, recipe: FilmRecipe) -> None:
        self.clips, self.recipe = clips, recipe

    def losses(
        self, network: Estimator, step: int, done: float, device: torch.device, share: Share = WHOLE
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        generator = torch.Generator().manual_seed((recipe.seed * 1_000_003 + step) % 2**63)
        of_pictures = torch.rand((), generator=generator) < recipe.picture_share or done < recipe.pictures_first
        count, frames = (recipe.batch * recipe.frames, 1) if of_pictures else (recipe.batch, recipe.frames)
        rows = share.rows(count)
        batch = self.clips.sample_batch(recipe.seed, step, count, frames, rank=share.number, world_size=share.of)
        level = draw_film_levels(recipe, count, frames, generator)
        weight = mean_one((level > 0).float())
        heard = torch.rand(count, generator=generator) >= recipe.silent_share
        noise = torch.randn((count, *batch.latents.shape[1:]), generator=generator)
        name = "pictures" if of_pictures else "video"
        factor = self.clips.time_factor
        return {name: film_loss(network, batch, level[rows], weight[rows], heard[rows], noise[rows], device, factor)}

    @torch.no_grad()
    def held_out_loss(
        self, network: Estimator, device: torch.device, *, batches: int = 4, share: Share = WHOLE
    ) -> dict[float, float]:
        """Squared error on fixed held-out clips with fixed noise, all frames at one level, by level; the mean of those of all
        shares is that of the whole. 1 is the error of the best answer that knows nothing, the mean of all latents."""
        recipe, rows = self.recipe, share.rows(self.recipe.batch)
        result = dict.fromkeys(HELD_OUT_LEVELS, 0.0)
        for number in range(batches):
            batch = self.clips.sample_batch(
                0, number, recipe.batch, recipe.frames, held_out=True, rank=share.number, world_size=share.of
            )
            shape = (recipe.batch, *batch.latents.shape[1:])
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(number))[rows]
            every = torch.ones(batch.latents.shape[:2])
            for at in HELD_OUT_LEVELS:
                loss = film_loss(network, batch, at * every, every, every[:, 0] > 0, noise, device, self.clips.time_factor)
                result[at] += float(loss) / batches
        return result
