"""Pictures of what a model in training makes: a contact sheet of prompts and a strip of rollouts beside the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from kinema.autoencoder import VideoAutoencoder, to_uint8
from kinema.canvas.canvas import blank
from kinema.canvas.conditioning import condition_extend
from kinema.canvas.patchify import from_cells
from kinema.datasets.episode_cache import EpisodeCache, trained_on
from kinema.datasets.episode_clips import render_windows
from kinema.inference.pipeline import fill_canvas
from kinema.inference.sampling import SamplingConfig
from kinema.media.contact_sheet import contact_sheet
from kinema.models.denoiser import Denoiser
from kinema.models.hub import Model, ModelConfig
from kinema.training.batches import encode_pictures
from kinema.training.recipes import Recipe
from kinema.types import Frames

PROMPTS = (
    "a red ball rolls right and hits a blue box",
    "a green star falls and bounces in the snow",
    "a yellow car drives left at night",
    "a large purple triangle slides up seen from above",
    "a cyan ball goes behind an orange screen",
    "a pink robot walks right and pushes a red box",
    "a blue ball and an orange triangle in a lab",
    "a red ball moves left with a purple flag",
)


def sheet(rows: list[tuple[str, Frames]]) -> Image.Image:
    """Rows of evenly spaced frames, each under its caption."""
    return contact_sheet([frames for _, frames in rows], captions=[caption for caption, _ in rows])


def config_of_recipe(recipe: Recipe, trained: dict[str, Any] | None = None) -> ModelConfig:
    """What a model of this recipe is and can do."""
    return ModelConfig(
        name=recipe.model_name,
        denoiser=recipe.denoiser,
        autoencoder=recipe.autoencoder,
        height=recipe.height,
        max_side=max(max(shape.height, shape.width) for shape in recipe.still_shapes),
        heights=tuple(sorted({shape.height for shape in recipe.still_shapes})),
        aspects=recipe.aspects,
        window=recipe.plan_frames,
        film_window=recipe.film_frames,
        fps=(8.0, 32.0),
        lacks=recipe.phases[-1].distribution.lacks,
        shortcuts=recipe.shortcut_share > 0,
        trained=trained or {},
    )


def draw_prompts(
    model: Model, prompts: tuple[str, ...] = PROMPTS, *, frames: int = 48, seed: int = 0
) -> list[tuple[str, Frames]]:
    """Film each prompt for three seconds, one sample each."""
    height, config = model.config.height, model.config.denoiser
    cells = height // model.config.cell_px
    rows = []
    for i, prompt in enumerate(prompts):
        canvas = blank(
            batch=1, frames=frames, fps=16.0, slots=config.slots, schema=config.schema, grid=(cells, cells),
            cell_values=config.cell_values, device=model.device,
        )  # fmt: skip
        text = model.condition([(prompt, 0.0, 1e9)], canvas.time_s)
        filled = fill_canvas(model, replace(canvas, text=text), SamplingConfig(), [seed + i])
        rows.append((prompt, decode_video(model, filled.values["video"])[0]))
    return rows


def decode_video(model: Model, cells: torch.Tensor) -> Frames:
    """Video cells [B, T, h, w, P] -> uint8 [B, T, H, W, 3]."""
    with torch.inference_mode():
        return to_uint8(model.autoencoder.decode(from_cells(cells, model.config.denoiser.patch)))


def draw_rollouts(
    model: Model, recipe: Recipe, cache: EpisodeCache, *, count: int = 4, known: int = 3
) -> list[tuple[str, Frames]]:
    """Held-back episodes: the truth, and what the model films after the first three frames of it."""
    frames = recipe.film_frames
    episodes = trained_on(cache) + np.arange(count)
    zeros = np.zeros(count, np.int64)
    windows = cache.windows(episodes, zeros, zeros + 2, frames, zeros)
    truth = render_windows(windows.fields, recipe.height, recipe.height)
    video = encode_pictures(model.autoencoder, truth.to(model.device), recipe.denoiser.patch)
    canvas = blank(
        batch=count, frames=frames, fps=cache.fps / 2, slots=recipe.denoiser.slots, grid=(video.shape[2], video.shape[3]),
        cell_values=video.shape[-1], device=model.device,
    )  # fmt: skip
    filled = fill_canvas(model, condition_extend(canvas, video[:, :known]), SamplingConfig(), list(range(count)))
    made = decode_video(model, filled.values["video"])
    rows = []
    for i in range(count):
        rows += [(f"truth: {windows.captions[i]}", truth[i].numpy()), (f"filmed from {known} frames", made[i])]
    return rows


def picture(
    recipe: Recipe, denoiser: Denoiser, autoencoder: VideoAutoencoder, cache: EpisodeCache, out: Path, step: int, device: str
) -> None:
    """Write prompts-STEP.png and rollouts-STEP.png."""
    model = Model(config_of_recipe(recipe), denoiser, autoencoder, device=device)
    out.mkdir(parents=True, exist_ok=True)
    sheet(draw_prompts(model)).save(out / f"prompts-{step:06d}.png")
    sheet(draw_rollouts(model, recipe, cache)).save(out / f"rollouts-{step:06d}.png")
