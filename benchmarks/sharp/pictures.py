"""True states filmed: sharpness by size, by steps of the film, and how the error falls with the level.

Axes: T frames, h x w video cells, P numbers per cell.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from benchmarks.first_light import Frames, psnr, round_trip
from benchmarks.sharp.figures import Figure, mean

import kinema
from kinema.canvas.canvas import Canvas
from kinema.diffusion.samplers import noise_canvas
from kinema.errors import SizeError
from kinema.inference.canvas_io import blank_canvas, encode_frames, padded_size
from kinema.inference.sampling import SamplingConfig
from kinema.models.denoiser import clean_video, precondition
from kinema.models.hub import Model
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.scene.encoding import project_for_render
from kinema.scene.scene import Scene
from kinema.simulation.world import tracks_of

SIZES = (48, 64, 96, 128, 192, 256)
STEPS = (1, 2, 4, 8)
LEVELS = (1.0, 0.75, 0.5, 0.25, 0.1)
FRAMES = 8
SEED = 920_000_000


def true_scenes(count: int, first: int) -> list[Scene]:
    """So many frames from the middle of fresh episodes."""
    return [simulate(tiny(), first + i, fps=16.0, num_frames=32).scene.frames(slice(12, 12 + FRAMES)) for i in range(count)]


def drawn(scene: Scene, side: int) -> Frames:
    return np.asarray(render_scene(scene, height=side, width=side))


def backdrop(scene: Scene, side: int) -> Frames:
    """The picture without things."""
    return drawn(replace(scene, kind=np.full_like(scene.kind, -1)), side)


def by_size(model: Model, count: int) -> list[Figure]:
    """PSNR of filmed true states against the true renderer at that size; round trip and bare backdrop beside it."""
    figures = []
    for side in SIZES:
        made, bound, bare, refused = [], [], [], ""
        for i, scene in enumerate(true_scenes(count, SEED)):
            truth = drawn(scene, side)
            bound.append(psnr(round_trip(model, truth), truth))
            bare.append(min(psnr(backdrop(scene, side), truth), 60.0))
            try:
                options = SamplingConfig(num_render_steps=1)
                made.append(
                    psnr(kinema.render(scene, model=model, size=(side, side), seed=i, options=options).frames, truth)
                )
            except SizeError:
                refused = f"refused (films up to {model.config.max_side} px)"
        figures.append(
            Figure(
                what=f"true states filmed at {side} px, PSNR", measured=refused or mean(made, "dB"),
                truth=f"round trip {mean(bound, 'dB')}", trivial=f"bare backdrop {mean(bare, 'dB')}",
            )
        )  # fmt: skip
    return figures


def by_steps(model: Model, count: int) -> list[Figure]:
    """PSNR at 128 px by the number of film steps."""
    figures = []
    scenes = true_scenes(count, SEED + 100_000)
    truths = [drawn(scene, 128) for scene in scenes]
    bound = mean([psnr(round_trip(model, truth), truth) for truth in truths], "dB")
    bare = mean([min(psnr(backdrop(scene, 128), truth), 60.0) for scene, truth in zip(scenes, truths, strict=True)], "dB")
    for steps in STEPS:
        made = []
        for i, (scene, truth) in enumerate(zip(scenes, truths, strict=True)):
            clip = kinema.render(scene, model=model, size=(128, 128), seed=i, options=SamplingConfig(num_render_steps=steps))
            made.append(psnr(clip.frames, truth))
        figures.append(
            Figure(
                what=f"true states filmed at 128 px in {steps} step{'s' * (steps > 1)}, PSNR", measured=mean(made, "dB"),
                truth=f"round trip {bound}", trivial=f"bare backdrop {bare}",
            )
        )  # fmt: skip
    return figures


def told_canvas(model: Model, scene: Scene, side: int) -> Canvas:
    """A canvas on which the true state, camera and setting are known and the video's true cells stand at level 0."""
    canvas = blank_canvas(model, count=1, frames=scene.num_frames, fps=scene.fps, height=side, width=side)
    tracks = tracks_of(scene, model.config.denoiser.slots, model.device)
    values, levels = dict(canvas.values), dict(canvas.levels)
    for name in ("state", "camera", "scene"):
        values[name], levels[name] = tracks[name], torch.zeros_like(levels[name])
    values["state"] = project_for_render(values["state"], canvas.schema)
    values["video"] = encode_frames(model, drawn(scene, side), *padded_size(model, side, side))
    return canvas.with_values(values).with_levels(levels)


@torch.inference_mode()
def one_pass_errors(model: Model, scene: Scene, side: int, level: float, seed: int) -> tuple[float, float, float]:
    """Root mean square error, in cells of unit variance, of the clean estimate in one pass: by the whole network, by its local
    parts alone, and by what the preconditioning says without a network."""
    canvas = told_canvas(model, scene, side)
    truth = canvas.values["video"]
    levels = {**canvas.levels, "video": torch.full_like(canvas.levels["video"], level)}
    noisy = noise_canvas(canvas.with_levels(levels), [seed])
    whole = model.denoiser(noisy, dtype=model.dtype)["video"]
    answers = model.denoiser.forward_local(noisy, model.dtype)
    local = clean_video(noisy, {name: x.float() for name, x in answers.items()})
    x_t, t = noisy.values["video"], noisy.level_of("video")
    guesses = (whole, local, precondition(x_t, t, torch.zeros_like(x_t)))
    a, b, c = (float((guess - truth).square().mean().sqrt()) for guess in guesses)
    return a, b, c


def canaries(model: Model, count: int) -> list[Figure]:
    """Does the error of the clean estimate fall with the level, and does the trunk help?"""
    figures = []
    for side in (64, 128):
        scenes = true_scenes(count, SEED + 200_000)
        last = np.full(count, np.inf)
        for level in LEVELS:
            errors = np.array([one_pass_errors(model, scene, side, level, i) for i, scene in enumerate(scenes)])
            falls = float(np.mean(errors[:, 0] <= last))
            last = errors[:, 0]
            fell = "" if level == LEVELS[0] else f"; below the level before in {100 * falls:.0f}%"
            figures.append(
                Figure(
                    what=f"error of the clean estimate at {side} px, level {level:g}; the same with the trunk off",
                    measured=f"{mean(errors[:, 0].tolist(), digits=3)}; {errors[:, 1].mean():.3f}{fell}",
                    truth="0", trivial=f"no network {errors[:, 2].mean():.3f}",
                )
            )  # fmt: skip
    return figures
