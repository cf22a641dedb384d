"""From canvases to clips: what the public functions of `kinema.api` share.

Axes: T frames, H x W pixels, h x w video cells.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas
from kinema.diffusion.seeds import frame_seed
from kinema.inference import pipeline
from kinema.inference.canvas_io import (
    blank_canvas,
    check_seed,
    clips_of,
    decode_cells,
    decode_clips,
    encode_frames,
    encode_prompt,
    padded_size,
    video_grid,
)
from kinema.inference.checkpoint import WindowCheckpoint
from kinema.inference.keyframes import MOVING as MOVING_FIELDS
from kinema.inference.keyframes import Named, known_identities, lay_scenes, named_objects
from kinema.inference.pipeline import Progress, estimate_state
from kinema.inference.rollout import prefill, render_frames, split_frames, step
from kinema.inference.sampling import SamplingConfig, check_options
from kinema.media import Clip
from kinema.media.frame_buffer import each, held
from kinema.models.hub import Model
from kinema.playground.vocabulary import article, listing
from kinema.scene.encoding import decode_scene
from kinema.scene.geometry import cell_units
from kinema.scene.scene import Scene
from kinema.text.prompt_check import rewrite
from kinema.types import Frames

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Frames whose pictures are rendered in one pass."""


def paste(clip: Clip, known: dict[int, Frames]) -> Clip:
    """The clip with the known pictures themselves at their frames, in place of their reconstructions by the autoencoder."""
    shown = (known.get(index, frame) for index, frame in enumerate(each(clip.frames)))
    return replace(clip, frames=held(shown, clip.num_frames))


def film_canvas(
    model: Model, canvas: Canvas, options: SamplingConfig, *, seed: int, fps: float, size: tuple[int, int], prompt: str,
    settings: dict[str, Any], progress: Progress | None, closed: bool = False, checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:  # fmt: skip
    """Fill a canvas and decode its clips. closed: add only objects that the prompt names to those of known pictures. checkpoint:
    keeps what is filled of it."""
    seeds = [check_seed(seed) + i for i in range(canvas.batch)]
    named = [named_objects(prompt, canvas.schema)] * canvas.batch if closed else None
    filled = pipeline.fill_canvas(model, canvas, options, seeds, progress, named=named, checkpoint=checkpoint)
    record = settings_of(model, options, prompt) | settings
    if named is not None:
        _warn_of_absent(filled, named[0])
    return decode_clips(
        model, filled, fps=fps, height=size[1], width=size[0], captions=[prompt] * canvas.batch,
        settings=[{**record, "seed": seed} for seed in seeds],
    )  # fmt: skip


def film_by_window(
    model: Model, canvas: Canvas, video: pipeline.CellsAt, options: SamplingConfig, *, seed: int, fps: float, size: tuple[int, int],
    prompt: str, settings: dict[str, Any], progress: Progress | None, closed: bool = False,
) -> Clip:  # fmt: skip
    """As `film_canvas` with one sample: a canvas without a video, on which the state of known pictures is estimated already, and
    what gives the video of some of its frames. However long the film is, only a window of its video is in memory."""
    seeds, (width, height) = [check_seed(seed)], size
    units = video_grid(model, height, width)[1] * cell_units(height / model.config.cell_px)
    canvas = pipeline.propagate_identity(canvas)
    named = [named_objects(prompt, canvas.schema)] if closed else None
    if named is not None:
        canvas = pipeline.add_only(model, canvas, named)
    canvas = pipeline.plan_state(model, canvas, options, seeds, progress, half_width=units / 2)
    if named is not None:
        _warn_of_absent(canvas, named[0])
    parts = pipeline.film_windows(model, canvas, video, options, seeds, progress)
    pictures = decode_cells(model, parts, canvas.num_frames, height, width)
    record = {**settings_of(model, options, prompt), **settings, "seed": seed}
    return clips_of(canvas, pictures, fps=fps, captions=[prompt], settings=[record])[0]


def _warn_of_absent(filled: Canvas, named: Named | None) -> None:
    """Log a warning with the objects that a prompt names and a clip of known pictures does not show."""
    if named is None:
        return
    for i, identities in enumerate(known_identities(filled, 0.0)):
        absent = [
            article(filled.schema.name(kind, color)) for kind, color in (named[0] - Counter(identities.values())).elements()
        ]
        if absent:
            log.warning("film %d does not hold %s, which the prompt names; another seed may", i + 1, listing(absent))


def settings_of(model: Model, options: SamplingConfig, prompt: str) -> dict[str, Any]:
    """What a clip's settings say of how it was sampled; `prompt` as given, and as filmed where that differs."""
    filmed, _ = rewrite(prompt, model.config.lacks, model.config.denoiser.schema)
    return {
        "model": model.source,
        "prompt": prompt,
        **({} if filmed == prompt else {"filmed_prompt": filmed}),
        "steps": options.num_plan_steps,
        "candidates": options.num_candidates,
        "film_steps": options.num_render_steps,
        "guidance": options.guidance_scale,
    }


def changes_of(*given: tuple[Clip, Clip]) -> dict[str, Any]:
    """For the settings: the sizes and frame rates that clips had before they were changed, of pairs (as given, as filmed)."""
    before = [(clip.source_size or clip.size, used) for clip, used in given]
    sizes = list(dict.fromkeys(size for size, used in before if size != used.size))
    rates = list(dict.fromkeys(f"{clip.fps:g}" for clip, used in given if clip.fps != used.fps and clip.num_frames > 1))
    changed = {"scaled_from": ", ".join(sizes), "resampled_from": ", ".join(rates)}
    return {name: value for name, value in changed.items() if value}


def canvas_of_pictures(
    model: Model,
    known: dict[int, Frames],
    scenes: dict[int, Scene | None],
    *,
    frames: int,
    fps: float,
    prompt: str,
    strict: bool,
) -> tuple[Canvas, tuple[int, int]]:
    """A canvas with pictures at some frames, and the scenes they bring, and its (width, height)."""
    height, width = next(iter(known.values())).shape[:2]
    canvas = blank_canvas(model, count=1, frames=frames, fps=fps, height=height, width=width)
    canvas = encode_prompt(model, canvas, prompt, strict)
    cells = encode_frames(model, np.stack(list(known.values())), *padded_size(model, height, width))
    return lay_scenes(conditioning.condition_infill(canvas, list(known), cells), scenes), (width, height)


def film_between(
    model: Model, known: dict[int, Frames], scenes: dict[int, Scene | None], *, frames: int, fps: float, prompt: str, seed: int,
    options: SamplingConfig | None, strict: bool, layout: dict[str, Any], progress: Progress | None,
) -> Clip:  # fmt: skip
    """A clip of so many frames with known pictures at some of them, which stand in it as they are."""
    canvas, size = canvas_of_pictures(model, known, scenes, frames=frames, fps=fps, prompt=prompt, strict=strict)
    clip = film_canvas(
        model, canvas, check_options(options), seed=seed, fps=fps, size=size, prompt=prompt, settings=layout, progress=progress,
        closed=True,
    )[0]  # fmt: skip
    return paste(clip, known)


def extend_by_rollout(
    model: Model, known: Frames, scenes: dict[int, Scene | None], more: int, fps: float, seed: int, settings: dict[str, Any],
    progress: Progress | None,
) -> Clip:  # fmt: skip
    """Known frames, and `more` frames that a rollout predicts after them."""
    check_seed(seed)
    height, width = known.shape[1:3]
    canvas = blank_canvas(model, count=1, frames=len(known), fps=fps, height=height, width=width)
    canvas = conditioning.condition_perceive(canvas, encode_frames(model, known, *padded_size(model, height, width)))
    perceived = estimate_state(model, lay_scenes(canvas, scenes), SamplingConfig(), [seed])
    tracks = {name: perceived.values[name] for name in ("state", *canvas.schema.vectors)}
    tracks |= {name: torch.zeros_like(tracks[name]) for name in ("action", "reward")}
    tracks["terminated"] = -torch.ones_like(tracks["terminated"])
    states = prefill(model, split_frames(tracks, 0.0, fps))
    for t in range(more):
        last, new = step(model, states, None, fps=fps, seeds=[frame_seed(seed, t)])
        states = [*states[:-1], last, new]
        if progress is not None:
            progress("plan", t + 1, more)
    pictures = [render_frames(model, states[i : i + AT_ONCE], height, width)[0] for i in range(0, len(states), AT_ONCE)]
    named = {
        name: torch.stack([m.tracks[name][0] for m in states]).float().cpu().numpy() for name in ("state", "camera", "scene")
    }
    frames = np.concatenate(pictures)
    frames[: len(known)] = known
    return Clip(
        frames=frames,
        fps=fps,
        state=decode_scene(named["state"], named["camera"], named["scene"], fps=fps),
        settings={**settings, "seed": seed},
    )


def join_states(made: Scene, given: Scene | None, rest: int, before: bool) -> Scene | None:
    """The new state joined with the given clip's state for its `rest` frames beyond the context; None if there is none, or if it
    has other objects in its slots."""
    if not rest:
        return made
    if given is None or any(k >= made.num_slots or made.name(k) != given.name(k) for k in given.entities):
        return None
    own = given.frames(slice(-rest, None) if before else slice(0, rest))
    joined: dict[str, Any] = {}
    for name in (*MOVING_FIELDS, "camera"):
        part = getattr(own, name)
        if name != "camera":
            part = np.pad(part[:, : made.num_slots], ((0, 0), (0, max(made.num_slots - part.shape[1], 0))))
        joined[name] = np.concatenate([getattr(made, name), part] if before else [part, getattr(made, name)])
    return replace(made, **joined)
