"""Surprise: how unlikely a model finds a clip.

The sum of the logarithms of two errors of one denoiser, both with the state that is estimated from the clip:

    prediction error   positions of every frame, predicted from the frames before it, against the estimated ones
    picture error      pictures, noised to a level and denoised given the state, against the true ones; the state has one identity
                       per slot, so an object that changes or disappears has a high error in half of the frames

Axes: T frames, W frames before, B windows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas
from kinema.devices import float32_default
from kinema.diffusion.samplers import noise_canvas
from kinema.errors import InputError
from kinema.inference.canvas_io import blank_canvas, encode_frames, padded_size, resolve_model
from kinema.inference.limits import fit_size, reading
from kinema.inference.pipeline import estimate_state
from kinema.inference.sampling import SamplingConfig
from kinema.media import AnyClip, Clip
from kinema.models.hub import Model

BEFORE = 12
"""Frames that a prediction looks back."""
LEAST = 4
"""Frames before the first that is predicted."""
TINY = 1e-6
_MOVING = ("position", "velocity", "visible")


@float32_default()
def surprise(clip: AnyClip, *, model: Model | str | None = None, level: float = 0.5, seed: int = 0) -> float:
    """Measure how badly the model predicts a clip: lower is more believable.

    Compare values of clips with the same objects only.

    Args:
        clip: A clip of at least 5 frames, a path, or uint8 pixels [T, H, W, 3].
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        level: Noise level of the pictures, above 0 (clean) and up to 1 (noise).
        seed: Seed of that noise.

    Returns:
        The surprise, without a unit.

    Raises:
        InputError: A level outside its range, or a clip that is too short.
        ModelError: There is no such model, or its weights do not fit.
    """
    if not 0.0 < level <= 1.0:
        raise InputError(f"level {level}: expected above 0, up to 1")
    engine = resolve_model(model)
    clip = Clip.of(clip, sound=False, **reading(engine))
    if clip.num_frames <= LEAST:
        raise InputError(f"a clip of {clip.num_frames} frames: expected more than {LEAST}, to see one coming")
    return examine(clip, engine, seed).at(level)


@dataclass(frozen=True)
class Examined:
    """A clip with its estimated state and prediction error, from which surprise at any level follows."""

    model: Model
    canvas: Canvas
    cells: Tensor
    prediction_error: float
    seed: int

    @torch.inference_mode()
    def at(self, level: float) -> float:
        picture_error = float(picture_errors(self.model, self.canvas, self.cells, level, [self.seed]).mean())
        return math.log(self.prediction_error + TINY) + math.log(picture_error + TINY)


@torch.inference_mode()
def examine(clip: Clip, model: Model, seed: int) -> Examined:
    """Compute what does not depend on the noise level."""
    canvas, cells = _perceived(model, clip, seed)
    return Examined(model, canvas, cells, _prediction_error(model, canvas, seed), seed)


def _perceived(model: Model, clip: Clip, seed: int) -> tuple[Canvas, Tensor]:
    """A canvas with the clip and its estimated state, all known but the actions; and the video cells."""
    clip = fit_size(model, clip)
    height, width = clip.frames.shape[1:3]
    empty = blank_canvas(model, count=1, frames=clip.num_frames, fps=clip.fps, height=height, width=width)
    cells = encode_frames(model, clip.frames, *padded_size(model, height, width))
    perceived = estimate_state(model, conditioning.condition_perceive(empty, cells), SamplingConfig(), [seed])
    levels = {name: torch.full_like(level, float(name == "action")) for name, level in perceived.levels.items()}
    return perceived.with_levels(levels), cells


def picture_errors(model: Model, canvas: Canvas, cells: Tensor, level: float, seeds: list[int]) -> Tensor:
    """The error [B, T] of the pictures of a canvas, noised to a level and denoised given its state, against true cells
    [B, T, h, w, P]. seeds: B seeds of the noise."""
    canvas = canvas.with_levels({"video": torch.full_like(canvas.levels["video"], level)})
    window, errors = model.config.film_window, []
    for begin in range(0, canvas.num_frames, window):
        part = canvas.pick(slice(begin, min(begin + window, canvas.num_frames)))
        clean = model.denoiser(noise_canvas(part, seeds), dtype=model.dtype)["video"]
        errors.append((clean - cells[:, begin : begin + part.num_frames]).square().mean((2, 3, 4)))
    return torch.cat(errors, 1)


def _prediction_error(model: Model, canvas: Canvas, seed: int) -> float:
    """Mean squared error of predicted positions, over frames and objects."""
    state = canvas.values["state"]
    exists = (state[..., :1] > 0).float()
    plan = canvas.without("video")
    total = torch.zeros(())
    place = canvas.schema.slice("position")
    for length in range(LEAST, BEFORE + 1):
        ends = [t for t in range(LEAST, canvas.num_frames) if min(t, BEFORE) == length]
        if not ends:
            continue
        windows = _stacked(plan, [(t - length, t + 1) for t in ends])
        level = windows.levels["state"].clone()
        for group in _MOVING:
            level[:, -1, :, canvas.schema.slice(group)] = 1.0
        noised = noise_canvas(windows.with_levels({"state": level}), [seed] * len(ends))
        predicted = model.denoiser(noised, causal=True, dtype=model.dtype)["state"][:, -1]
        total = total + ((predicted - state[0, ends]) * exists[0, ends])[..., place].square().sum().cpu()
    return float(total / exists[0, LEAST:].sum().clamp(min=1).cpu())


def _stacked(canvas: Canvas, spans: list[tuple[int, int]]) -> Canvas:
    """Windows of one clip as a batch."""
    return canvas.map(lambda x: torch.cat([x[:, begin:stop] for begin, stop in spans]), canvas.text)
