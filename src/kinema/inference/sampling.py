"""How a canvas is sampled: the settings, and one pass of a sampler over all its unknown cells."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.canvas.canvas import Canvas
from kinema.diffusion.samplers import Denoise, euler, guided, heun, noise_canvas, schedule
from kinema.diffusion.shortcut import step_size_of
from kinema.errors import InputError
from kinema.inference.limits import is_number
from kinema.models.hub import Model

SAMPLERS = {"euler": euler, "heun": heun}
MOST_CANDIDATES = 16
MOST_STEPS = 1000
"""Sampler steps, at most."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How to sample.

    Attributes:
        num_plan_steps: Sampler steps of the plan, at least 1. 1, 2, 4 and 8 are long steps of a shortcut model.
        num_candidates: Number of candidate plans, 1 to 16, of which the best is filmed. They share the steps.
        num_render_steps: Sampler steps of the video, at least 1.
        guidance_scale: Guidance scale of the text (Ho & Salimans 2022), 0 to 20; 1 is none.
        sampler: "euler" or "heun".
    """

    num_plan_steps: int = 16
    num_candidates: int = 4
    num_render_steps: int = 1
    guidance_scale: float = 2.0
    sampler: str = "euler"

    def __post_init__(self) -> None:
        most = {"num_plan_steps": MOST_STEPS, "num_candidates": MOST_CANDIDATES, "num_render_steps": MOST_STEPS}
        for name, largest in most.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise InputError(f"{name} {str(value)[:40]!r}: expected a whole number")
            if not 1 <= value <= largest:
                raise InputError(f"{name} {str(value)[:12]}: expected 1 to {largest}")
        if not isinstance(self.sampler, str) or self.sampler not in SAMPLERS:
            raise InputError(f"no sampler {str(self.sampler)[:40]!r}; there are {', '.join(SAMPLERS)}")
        if not is_number(self.guidance_scale) or not 0.0 <= self.guidance_scale <= 20.0:
            raise InputError(f"guidance_scale {str(self.guidance_scale)[:12]!r}: expected 0 to 20; 1 is none, 2 is usual")


_OLD_NAMES = {
    "steps": "num_plan_steps",
    "candidates": "num_candidates",
    "film_steps": "num_render_steps",
    "guidance": "guidance_scale",
}


def Options(**settings: Any) -> SamplingConfig:
    """`SamplingConfig` by the names that its settings had in 0.1; it goes in 0.3."""
    warnings.warn("kinema.Options is kinema.SamplingConfig from 0.2 on", DeprecationWarning, stacklevel=2)
    return SamplingConfig(**{_OLD_NAMES.get(name, name): value for name, value in settings.items()})


def check_options(options: SamplingConfig | None) -> SamplingConfig:
    """The options, or the usual ones; InputError for anything else."""
    if options is not None and not isinstance(options, SamplingConfig):
        raise InputError(
            f"options that are {type(options).__name__} {str(options)[:40]!r}: expected kinema.SamplingConfig(...)"
        )
    return options or SamplingConfig()


def _denoiser(model: Model, guidance: float, step_size: float) -> Denoise:
    def with_text(canvas: Canvas) -> dict[str, Tensor]:
        return model.denoiser(canvas, step_size=step_size, dtype=model.dtype)  # type: ignore[no-any-return]

    return guided(with_text, guidance)


def _renderer(model: Model) -> Denoise:
    """A denoiser that predicts the video and returns every other track as it is."""

    def drawn(canvas: Canvas) -> dict[str, Tensor]:
        return {**canvas.values, "video": model.denoiser.render(canvas, dtype=model.dtype)}

    return drawn


@torch.inference_mode()
def sample_canvas(
    model: Model, canvas: Canvas, options: SamplingConfig, seeds: Sequence[int], *, steps: int, guidance: float,
    temperature: float = 1.0,
    progress: Callable[[int, int], None] | None = None, long_steps: bool = True, render: bool = False,
) -> Canvas:  # fmt: skip
    """One pass: noise the unknown cells and sample them, in long steps if the model was trained for those. render: sample the
    video alone, by the local parts of the network (`Denoiser.render`)."""
    shortcut = long_steps and model.config.shortcuts and options.sampler == "euler" and "video" not in canvas.values
    step_size = step_size_of(steps) if shortcut else 0.0
    if render:
        denoise = _renderer(model)
    else:
        denoise = _denoiser(model, guidance if canvas.text is not None else 1.0, step_size)
    plan = schedule(list(canvas.values), steps)
    return SAMPLERS[options.sampler](denoise, noise_canvas(canvas, seeds, temperature), plan, progress)
