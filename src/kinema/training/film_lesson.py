"""Captioned clips as lessons for a model that films: which frames are known, at which levels the others are, and whose text is
heard.

Single pictures come first, since what a text says is seen in a picture: a step of them holds pictures and texts of as many clips as
a step of clips holds frames. Then come clips, and pictures now and then. All clips of a step have one shape, length and rate; with
shorter windows there are more of them. Rates are real: the network reads the times of frames in seconds.

Most rows are noised as a whole, as a film from words begins. In some the first frames, the last, or some in between are known, as
in a film from pictures or one that goes on; in some every frame has a level of its own (diffusion forcing). In a few the text is
not heard, so that guidance has what to lead away from.

A stage for few steps (`shortcut_share`) teaches the network in some steps that one step of the sampler ends where two of half the
size end (`kinema.diffusion.shortcut`).

Axes: B clips, T latent frames, C channels, h x w latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from kinema.datasets.clip_batches import ClipBatch, ClipSet, WindowMix
from kinema.diffusion.flow import (
    USUAL_SIDE,
    align_level,
    draw_levels,
    mean_one,
    noise_to,
    shift_levels,
    shift_of,
    squared_error,
)
from kinema.diffusion.shortcut import LongSteps, long_step
from kinema.errors import InputError
from kinema.models.dit import SIZES, DiT, DiTInput
from kinema.training.dit_trainer import DiTRecipe, Estimator
from kinema.training.parallel import WHOLE, Share
from kinema.training.seeds import StepDraw, step_rng

FEW_STEPS_SHARE = 0.25
"""The usual `shortcut_share` of a run for few steps."""
HELD_OUT_LEVELS = (0.25, 0.5, 0.75, 1.0)
"""At which the held-out loss is measured."""


@dataclass(frozen=True, kw_only=True)
class FilmRecipe(DiTRecipe):
    """How a model that films is trained. size: of the network, by its usual name. frames: latent frames of a clip in training."""

    size: str = "XS"
    patch: int = 2
    """Latents along one side of a token."""
    time_every: int = 1
    """Each so-many-th block reads other frames."""
    full: bool = False
    """Whether those blocks read all tokens of all frames in one attention, in place of along time (`DiTConfig.full`)."""
    frames: int = 12
    lengths: int = 3
    """Among how many lengths the windows of clips vary: `frames`, a half of it, a quarter, down to 2."""
    rates: int = 2
    """Among how many rates: a clip's own, a half of it, a third. With one length and one rate, batches are of one shape alone."""
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
    shortcut_share: float = 0.0
    """Share of the steps that teach long steps of the sampler, from `shortcuts_from` (a share of the run) on; 0: none does, and the
    network reads no step size."""
    shortcuts_from: float = 0.5
    shift_by_size: bool = True
    """Whether levels are shifted with the size of pictures as with the length of films (`kinema.diffusion.flow.shift_of`)."""
    begin: str = ""
    """A model that films, by its name or folder, whose weights the run begins with."""
    matrix_lr: float = 2e-3
    autoencoder: str = "codec-8x8"
    """One that comes with Kinema, by name, or a folder: of `kinema train autoencoder`, or of diffusers."""
    text_encoder: str = ""
    """Folder of a text encoder of transformers; "" for the one that comes with Kinema."""

    before: ClassVar[Mapping[str, Any]] = {
        "places": False, "pure_share": 0.25, "pictures_first": 0.0, "picture_share": 0.0, "shift_by_size": False, "lengths": 1,
        "rates": 1,
    }  # fmt: skip

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
        if not 0 <= min(self.shortcut_share, self.shortcuts_from) <= max(self.shortcut_share, self.shortcuts_from) <= 1:
            raise InputError(
                f"shortcut_share {self.shortcut_share} from {self.shortcuts_from} of the run on: expected shares, 0 to 1"
            )
        if not 1 <= self.lengths <= 8 or not 1 <= self.rates <= 8:
            raise InputError(f"lengths {self.lengths}, rates {self.rates}: expected 1 to 8 of both")

    @property
    def varied(self) -> bool:
        return self.mix is not None

    @property
    def mix(self) -> WindowMix | None:
        """Which lengths and rates windows of clips have; None: `frames`, and the rates that clips are stored at."""
        if self.lengths == self.rates == 1:
            return None
        lengths = dict.fromkeys(max(self.frames // 2**halvings, 2) for halvings in range(self.lengths))
        return WindowMix(lengths=tuple(lengths), rates=self.rates)


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


def draw_film_levels(
    recipe: FilmRecipe,
    rows: int,
    frames: int,
    generator: torch.Generator,
    size: tuple[int, int] = (USUAL_SIDE, USUAL_SIDE),
) -> Tensor:
    """Levels [B, T] of clips of so many rows and columns of latents."""
    size = size if recipe.shift_by_size else (USUAL_SIDE, USUAL_SIDE)
    shift = shift_of(frames, *size)
    level = draw_levels((rows, 1), generator, shift=shift, pure=recipe.pure_share).expand(-1, frames).clone()
    if frames == 1:
        return level
    kind = torch.rand(rows, 1, generator=generator)
    own = draw_levels((rows, frames), generator, shift=shift_of(1, *size), pure=0.0)
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
    step_size: Tensor | None = None,
    time_factor: int = 1,
) -> Tensor:
    """Squared error, each frame's by its weight [B, T]. heard: [B], whose text is read. step_size: [B], None: small. time_factor:
    frames of a latent frame."""
    clean, level = batch.latents.to(device), level.to(device)
    noisy = noise_to(clean, level, noise.to(device))
    made = network(film_input(batch, noisy, level, heard, step_size, time_factor))["video"]
    return squared_error(made, clean, align_level(weight.to(device), clean))


def film_input(
    batch: ClipBatch, video: Tensor, level: Tensor, heard: Tensor, step_size: Tensor | None, time_factor: int
) -> DiTInput:
    """The clips of a batch as the network reads them, on the device of `video` [B, T, C, h, w], noised to levels [B, T].
    time_factor: frames of a latent frame."""
    device = video.device
    return DiTInput(
        video=video,
        level=level,
        time_s=time_factor * torch.arange(video.shape[1], device=device) / batch.fps.to(device)[:, None],
        text=batch.text_states.to(device),
        text_mask=batch.text_mask.to(device) & heard.to(device)[:, None],
        step_size=None if step_size is None else step_size.to(device),
    )


def with_long_steps(
    network: Estimator,
    batch: ClipBatch,
    unknown: Tensor,
    steps: LongSteps,
    heard: Tensor,
    noise: Tensor,
    device: torch.device,
    by_size: bool = True,
    time_factor: int = 1,
) -> tuple[ClipBatch, Tensor, Tensor]:
    """A batch that teaches long steps: what each has to be as its latents; the levels [B, T] at which it begins; and its noise.

    unknown: [B, T], 1 where a frame is filmed, 0 where it is known. by_size: `FilmRecipe.shift_by_size`. Gradients stay on, though
    none are taken: without them a compiled network would be compiled once more.
    """
    clean, noise, unknown = (x.to(device) for x in (batch.latents, noise, unknown))
    shift, half = shift_of(clean.shape[1], *(clean.shape[-2:] if by_size else ())), steps.sizes(2)
    shares = [torch.from_numpy(steps.share(left)).float().to(device) for left in (1.0, 0.5, 0.0)]
    levels = [shift_levels(share, shift)[:, None] * unknown for share in shares]

    def estimate(values: dict[str, Tensor], end: int) -> dict[str, Tensor]:
        return {
            "video": network(film_input(batch, values["video"], levels[end], heard, half, time_factor))["video"].detach()
        }

    first, middle, last = ({"video": align_level(level, clean)} for level in levels)
    begun = {"video": noise_to(clean, levels[0], noise)}
    target, push = long_step(estimate, begun, {"video": clean}, {"video": noise}, (first, middle, last))
    return replace(batch, latents=target["video"]), levels[0], push["video"]


class ClipsLesson:
    """What a model that films learns from (`kinema.training.dit_trainer.Lesson`)."""

    def __init__(self, clips: ClipSet, recipe: FilmRecipe) -> None:
        self.clips, self.recipe = clips, recipe

    def begin(self, network: DiT) -> None:
        """Nothing is known before."""

    @property
    def targets(self) -> int:
        """Frames that a step asks for."""
        return self.recipe.batch * self.recipe.frames

    def effort(self, step: int, done: float) -> float:
        """A step of pictures takes about as long as one of clips: it has as many frames."""
        return 1.0

    def losses(
        self, network: Estimator, step: int, done: float, device: torch.device, share: Share = WHOLE
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        generator = torch.Generator().manual_seed((recipe.seed * 1_000_003 + step) % 2**63)
        of_pictures = torch.rand((), generator=generator) < recipe.picture_share or done < recipe.pictures_first
        mix, frames = None if of_pictures else recipe.mix, 1 if of_pictures else recipe.frames
        if mix is not None:
            frames = self.clips.choose_kind(recipe.seed, step, mix).frames
        count = recipe.batch * (recipe.frames // frames)
        rows = share.rows(count)
        batch = self.clips.sample_batch(recipe.seed, step, count, frames, rank=share.number, world_size=share.of, mix=mix)
        size = (batch.latents.shape[-2], batch.latents.shape[-1])
        level = draw_film_levels(recipe, count, frames, generator, size)
        weight = mean_one((level > 0).float())
        heard = torch.rand(count, generator=generator) >= recipe.silent_share
        noise = torch.randn((count, *batch.latents.shape[1:]), generator=generator)
        rng, factor = step_rng(recipe.seed, step, StepDraw.SHORTCUT), self.clips.time_factor
        if recipe.shortcut_share and done >= recipe.shortcuts_from and rng.random() < recipe.shortcut_share:
            of_all = LongSteps.draw(rng, count)
            steps = LongSteps(pieces=of_all.pieces[rows], number=of_all.number[rows])
            unknown = (draw_film_levels(replace(recipe, forcing_share=0.0), count, frames, generator) > 0).float()
            batch, level, push = with_long_steps(
                network, batch, unknown[rows], steps, heard[rows], noise[rows], device, recipe.shift_by_size, factor
            )
            weight = mean_one(unknown)[rows]
            return {"long steps": film_loss(network, batch, level, weight, heard[rows], push, device, steps.sizes(), factor)}
        name = "pictures" if of_pictures else "video"
        return {name: film_loss(network, batch, level[rows], weight[rows], heard[rows], noise[rows], device, None, factor)}

    def held_out_frames(self) -> int:
        """Of the windows of held-out clips that are measured: `frames`, or, where lengths vary, fewer if the clips are shorter."""
        if self.recipe.mix is None:
            return self.recipe.frames
        return min(self.recipe.frames, self.clips.longest(held_out=True))

    @torch.no_grad()
    def held_out_loss(
        self, network: Estimator, device: torch.device, *, batches: int = 4, share: Share = WHOLE
    ) -> dict[float, float]:
        """Squared error on fixed held-out clips with fixed noise, all frames at one level, by level; the mean of those of all
        shares is that of the whole. 1 is the error of the best answer that knows nothing, the mean of all latents."""
        recipe, rows, frames = self.recipe, share.rows(self.recipe.batch), self.held_out_frames()
        result = dict.fromkeys(HELD_OUT_LEVELS, 0.0)
        for number in range(batches):
            batch = self.clips.sample_batch(
                0, number, recipe.batch, frames, held_out=True, rank=share.number, world_size=share.of
            )
            shape = (recipe.batch, *batch.latents.shape[1:])
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(number))[rows]
            every = torch.ones(batch.latents.shape[:2])
            for at in HELD_OUT_LEVELS:
                loss = film_loss(
                    network, batch, at * every, every, every[:, 0] > 0, noise, device, None, self.clips.time_factor
                )
                result[at] += float(loss) / batches
        return result
