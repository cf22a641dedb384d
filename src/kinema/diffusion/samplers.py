"""Samplers: plain functions that move the unknown cells of a canvas from their level to 0.

Each takes (denoise, canvas, schedule) and returns the finished canvas. `denoise(canvas) -> clean values` is any callable, so
guidance is a wrapper around it. A schedule gives for each step the share of its first level that each track still has; so the
state can be sampled ahead of the video. Cells at level 0 never change.

Sources: probability-flow ODE of rectified flow by Euler or Heun (Karras et al. 2022, algorithm 1); classifier-free guidance
(Ho & Salimans 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kinema.canvas.canvas import Canvas, TextCondition, align
from kinema.diffusion.noise_patterns import shift
from kinema.errors import InputError

Denoise = Callable[[Canvas], dict[str, Tensor]]
Schedule = Sequence[Mapping[str, float]]
"""Per step boundary (steps + 1 of them), the share of the first level that each track still has; 1 ... 0."""
StepProgress = Callable[[int, int], None]


def schedule(tracks: Sequence[str], steps: int, *, shift_by: float = 3.0) -> list[dict[str, float]]:
    """Level of every track at each of steps + 1 boundaries, from 1 to 0, shifted to the noisy end."""
    return [dict.fromkeys(tracks, float(shift(1.0 - i / steps, shift_by))) for i in range(steps + 1)]


def noise_canvas(canvas: Canvas, seeds: Sequence[int] | torch.Generator, temperature: float = 1.0) -> Canvas:
    """Noise every cell to its level, with one stream of noise per sample, so that a sample does not depend on its batch; or all
    from one generator, made where the canvas lies, which is many times faster. temperature: scale of the video's noise."""
    if not isinstance(seeds, torch.Generator) and len(seeds) != canvas.batch:
        raise InputError(f"{len(seeds)} seeds for {canvas.batch} samples; give one each")
    streams = seeds if isinstance(seeds, torch.Generator) else [torch.Generator().manual_seed(seed) for seed in seeds]
    noises = {}
    for name, x in sorted(canvas.values.items()):
        if isinstance(streams, torch.Generator):
            noise = torch.randn(x.shape, generator=streams, device=x.device)
        else:
            noise = torch.stack([torch.randn(x.shape[1:], generator=stream) for stream in streams]).to(x.device)
        noises[name] = noise * temperature if name == "video" else noise
    return mix_noise(canvas, noises)


def mix_noise(canvas: Canvas, noises: Mapping[str, Tensor]) -> Canvas:
    """Noise every cell to its level with this noise, shaped as the canvas's values; known cells stay as they are."""
    values = {}
    for name, x in canvas.values.items():
        t = canvas.level_of(name)
        values[name] = torch.where(t == 0, x, (1 - t) * x + t * noises[name])
    return replace(canvas, values=values)


def _at(canvas: Canvas, first: dict[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    return {name: first[name] * shares[name] for name in canvas.levels}


def _move(canvas: Canvas, clean: dict[str, Tensor], levels: dict[str, Tensor]) -> Canvas:
    """Straight towards the clean estimate: x_t' = x_hat + (t' / t) (x_t - x_hat)."""
    values = {}
    for name, x in canvas.values.items():
        now, then = canvas.levels[name], levels[name]
        ratio = torch.where(now > 0, then / now.clamp_min(1e-9), torch.zeros_like(now))
        values[name] = torch.where(align(now == 0, x), x, clean[name] + align(ratio, x) * (x - clean[name]))
    return replace(canvas, values=values, levels=levels)


def euler(denoise: Denoise, canvas: Canvas, steps: Schedule, progress: StepProgress | None = None) -> Canvas:
    """First order: one evaluation a step."""
    first = canvas.levels
    for i in range(len(steps) - 1):
        canvas = _move(canvas, denoise(canvas), _at(canvas, first, steps[i + 1]))
        if progress is not None:
            progress(i + 1, len(steps) - 1)
    return canvas


def heun(denoise: Denoise, canvas: Canvas, steps: Schedule, progress: StepProgress | None = None) -> Canvas:
    """Second order: the clean estimate is averaged over both ends of the step, so two evaluations, but for the last."""
    first = canvas.levels
    for i in range(len(steps) - 1):
        levels = _at(canvas, first, steps[i + 1])
        clean = denoise(canvas)
        guess = _move(canvas, clean, levels)
        if i + 2 < len(steps):
            again = denoise(guess)
            both = {name: _heun_target(canvas, guess, clean, again, name) for name in clean}
            guess = _move(canvas, both, levels)
        canvas = guess
        if progress is not None:
            progress(i + 1, len(steps) - 1)
    return canvas


def _heun_target(now: Canvas, then: Canvas, clean: dict[str, Tensor], again: dict[str, Tensor], name: str) -> Tensor:
    """The clean value whose straight path has the mean velocity (x - x_hat) / t of both ends."""
    t, u = now.level_of(name), then.level_of(name)
    x, y = now.values[name], then.values[name]
    slope = (x - clean[name]) / t.clamp_min(1e-9)
    later = torch.where(u > 0, (y - again[name]) / u.clamp_min(1e-9), slope)
    return torch.where(t > 0, x - t * (slope + later) / 2, clean[name])


def guided(denoise: Denoise, scale: float) -> Denoise:
    """A denoiser with classifier-free guidance: estimate without text + scale * (with text - without); scale 1 is no guidance. Both
    run in one batch: plans are so few tokens that a pass of two costs little more than one."""
    if scale == 1.0:
        return denoise

    def both(canvas: Canvas) -> dict[str, Tensor]:
        if canvas.text is None:
            return denoise(canvas)
        twice: Callable[[Tensor], Tensor] = lambda x: torch.cat([x, x])
        reads = canvas.text.reads
        text = TextCondition(states=twice(canvas.text.states), reads=torch.cat([reads, torch.zeros_like(reads)]))
        answers = denoise(canvas.map(twice, text))
        halves = {name: answer.chunk(2) for name, answer in answers.items()}
        return {name: no + scale * (yes - no) for name, (yes, no) in halves.items()}

    return both
