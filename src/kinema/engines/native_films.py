"""How Kinema's own models film, read and edit: each function builds a canvas, fills it, and decodes it. The clip holds the settings
that reproduce it. The public functions that say what each takes are those of `kinema.api`.

Axes: T frames, H x W pixels, h x w video cells.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from kinema.canvas import conditioning
from kinema.canvas.canvas import stack
from kinema.devices import float32_default
from kinema.errors import InputError, SizeError
from kinema.inference import limits, pipeline
from kinema.inference.canvas_io import (
    blank_canvas,
    camera_path,
    cells_of,
    check_seed,
    decode_clips,
    encode_prompt,
    padded_size,
    resolve_model,
    unknown_cells,
)
from kinema.inference.checkpoint import WindowCheckpoint
from kinema.inference.clips import (
    changes_of,
    extend_by_rollout,
    film_between,
    film_by_window,
    film_canvas,
    join_states,
    paste,
    settings_of,
)
from kinema.inference.editing import (
    EDIT_STRENGTH,
    check_strength,
    compose,
    masked_state,
    picture_level,
    read_mask,
)
from kinema.inference.familiarity import foreign_note
from kinema.inference.given_pictures import lay_pictures, read_given, read_timed_pictures, without_foreign
from kinema.inference.keyframes import (
    lay_scenes,
    scenes_at,
    state_of_clip,
)
from kinema.inference.pipeline import OnFrames, Progress, estimate_state
from kinema.inference.sampling import SamplingConfig, check_options
from kinema.media import AnyClip, Clip
from kinema.media.frame_buffer import each, held
from kinema.media.sound import joined_sound
from kinema.models.hub import Model
from kinema.scene.encoding import (
    Fields,
    decode_scene,
    encode_camera,
    encode_setting,
    encode_state,
)
from kinema.scene.scene import Scene
from kinema.types import Frames, python_values

log = logging.getLogger(__name__)

AnySize = str | tuple[int, int] | None
"""(width, height) or "WIDTHxHEIGHT"; None: of what is given, or the model's own."""
CONTEXT = 16
"""Known frames that a clip is extended from, at most."""
MOVING = 3
"""Least number of frames of a clip from which velocities are known."""


@float32_default()
def film_prompts(
    prompts: Sequence[str], seeds: Sequence[int], *, model: Model | str | None = None, seconds: float = 4.0,
    size: AnySize = None, fps: float = 16.0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None, watch: OnFrames | None = None, checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:  # fmt: skip
    """Films of several prompts in one pass: `kinema.films` for a Kinema model."""
    engine, options = resolve_model(model), check_options(options)
    if len(prompts) != len(seeds) or not prompts:
        raise InputError(f"{len(prompts)} prompts and {len(seeds)} seeds: expected one seed for each, and at least one")
    width, height = limits.check_size(engine.config, size)
    seconds, fps = python_values(seconds), python_values(fps)
    count = limits.check_duration(engine.config, seconds, fps, width, height, len(prompts))
    canvas = blank_canvas(engine, count=len(prompts), frames=count, fps=fps, height=height, width=width)
    texts = [encode_prompt(engine, canvas.sample(i), prompt, strict).text for i, prompt in enumerate(prompts)]
    canvas = replace(canvas, text=stack(texts, canvas.time_s))
    filled = pipeline.fill_canvas(
        engine, canvas, options, [check_seed(seed) for seed in seeds], progress, watch, checkpoint=checkpoint
    )
    layout: dict[str, Any] = {"layout": "generate", "seconds": seconds, "size": f"{width}x{height}", "fps": fps}
    records = [
        {**settings_of(engine, options, prompt), **layout, "seed": seed} for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    return decode_clips(engine, filled, fps=fps, height=height, width=width, captions=prompts, settings=records)


@float32_default()
def film_prompt(
    prompt: str,
    *,
    model: Model | str | None = None,
    seconds: float = 4.0,
    size: AnySize = None,
    fps: float = 16.0,
    image: AnyClip | None = None,
    last: AnyClip | None = None,
    pictures: Sequence[tuple[AnyClip, float]] = (),
    camera: Sequence[tuple[float, float, float, float]] = (),
    seed: int = 0,
    count: int = 1,
    options: SamplingConfig | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:
    """`kinema.generate` for a Kinema model."""
    engine = resolve_model(model)
    given = read_given(engine, image, last, pictures)
    width, height = limits.size_for(engine, given[0].clip, size) if given else limits.check_size(engine.config, size)
    if str(prompt).strip():  # without words the pictures are all that there is
        given, note = without_foreign(engine, given)
    else:
        note = foreign_note([picture.clip for picture in given], engine)
    seconds, fps = python_values(seconds), python_values(fps)
    frames = limits.check_duration(engine.config, seconds, fps, width, height, count)
    canvas = blank_canvas(engine, count=count, frames=frames, fps=fps, height=height, width=width)
    canvas = encode_prompt(engine, canvas, prompt, strict)
    if camera:
        canvas = conditioning.known_vector(canvas, "camera", camera_path(camera, canvas.time_s))
    canvas, known, about = lay_pictures(engine, canvas, given, fps=fps, size=(width, height))
    settings: dict[str, Any] = {"layout": "generate", "seconds": seconds, "size": f"{width}x{height}", "fps": fps}
    settings |= about | note
    if camera:
        settings["camera"] = [list(stop) for stop in camera]
    clips = film_canvas(
        engine, canvas, check_options(options), seed=seed, fps=fps, size=(width, height), prompt=prompt, settings=settings,
        progress=progress, closed=bool(known), checkpoint=checkpoint,
    )  # fmt: skip
    return [paste(clip, known) for clip in clips]


@float32_default()
def film_still(
    prompt: str,
    *,
    model: Model | str | None = None,
    size: AnySize = None,
    seed: int = 0,
    options: SamplingConfig | None = None,
    strict: bool = False,
) -> Clip:
    """`kinema.image` for a Kinema model."""
    engine = resolve_model(model)
    width, height = limits.check_size(engine.config, size)
    canvas = blank_canvas(engine, count=1, frames=1, fps=16.0, height=height, width=width)
    canvas = encode_prompt(engine, canvas, prompt, strict)
    settings = {"layout": "image", "size": f"{width}x{height}"}
    return film_canvas(
        engine, canvas, check_options(options), seed=seed, fps=16.0, size=(width, height), prompt=prompt, settings=settings,
        progress=None,
    )[0]  # fmt: skip


@float32_default()
def film_longer(
    clip: AnyClip, prompt: str = "", *, seconds: float = 2.0, before: bool = False, model: Model | str | None = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.extend` for a Kinema model."""
    engine = resolve_model(model)
    given = Clip.of(clip, **limits.reading(engine))
    clip = limits.fit_to_model(engine, given, size)
    more = limits.check_duration(engine.config, seconds, clip.fps, clip.frames.shape[2], clip.frames.shape[1], 1)
    overlap = min(clip.num_frames, CONTEXT)
    edge = clip.frames[:overlap] if before else clip.frames[-overlap:]
    known = {(more + i if before else i): frame for i, frame in enumerate(edge)}
    first = 0 if before else clip.num_frames - overlap
    scenes = dict(zip(known, scenes_at(clip, range(first, first + overlap)), strict=True))
    layout = {"layout": "extend", "seconds": seconds, "before": before, "size": clip.size, "fps": clip.fps}
    layout |= changes_of((given, clip)) | foreign_note([given], engine)
    if options is None and not before and clip.num_frames >= MOVING and not (prompt or clip.caption):
        made = extend_by_rollout(
            engine, edge, scenes, more, clip.fps, seed, {**layout, "model": engine.source, "stepped": True}, progress
        )
    else:
        made = film_between(
            engine, known, scenes, frames=more + overlap, fps=clip.fps, prompt=prompt or clip.caption, seed=seed, options=options,
            strict=strict, layout=layout, progress=progress,
        )  # fmt: skip
    rest = clip.frames[overlap:] if before else clip.frames[:-overlap]
    order = (made.frames, rest) if before else (rest, made.frames)
    joined = held(chain.from_iterable(map(each, order)), len(rest) + made.num_frames)
    state = None if made.state is None else join_states(made.state, state_of_clip(clip), len(rest), before)
    heard = [(clip.sound, clip.duration_s), (None, more / clip.fps)]
    return replace(made, frames=joined, state=state, sound=joined_sound(heard[::-1] if before else heard))


@float32_default()
def film_through(
    pictures: Sequence[tuple[AnyClip, float]], prompt: str = "", *, fps: float = 16.0, model: Model | str | None = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.infill` for a Kinema model."""
    fps = python_values(fps)
    engine = resolve_model(model)
    if not isinstance(pictures, list | tuple) or len(pictures) < 2:
        raise InputError("filling in needs at least two pairs (picture, second), such as a.png@0 b.png@1.5")
    given = read_timed_pictures(engine, pictures)
    width, height = limits.size_for(engine, given[0][0], size)
    known: dict[int, Frames] = {}
    pairs: list[tuple[Clip, Clip]] = []
    scenes: dict[int, Scene | None] = {}
    if not limits.is_number(fps) or not 0 < fps <= 1000:
        raise InputError(f"{fps!r} frames a second: expected a number above 0, up to 1000")
    for picture, second in given:
        index = round(second * fps)
        if index in known:
            raise InputError(f"two pictures at {second} s: expected times at least one frame (1/{fps:g} s) apart")
        fitted = picture.fit(width, height)
        known[index], scenes[index] = fitted.frames[0], scenes_at(fitted, [0])[0]
        pairs.append((picture, fitted))
    frames = max(known) + 1
    limits.check_duration(engine.config, frames / fps, fps, width, height, 1)
    layout = {"layout": "infill", "at": sorted(known), "size": f"{width}x{height}", "fps": fps, **changes_of(*pairs)}
    layout |= foreign_note([picture for picture, _ in given], engine)
    return film_between(
        engine, dict(sorted(known.items())), dict(sorted(scenes.items())), frames=frames, fps=fps, prompt=prompt, seed=seed,
        options=options, strict=strict, layout=layout, progress=progress,
    )  # fmt: skip


@float32_default()
def film_passage(
    a: AnyClip, b: AnyClip, prompt: str = "", *, seconds: float = 2.0, model: Model | str | None = None, size: AnySize = None,
    seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.blend` for a Kinema model."""
    engine = resolve_model(model)
    given = tuple(Clip.of(one, **limits.reading(engine)) for one in (a, b))
    a = limits.fit_to_model(engine, given[0], size)
    b = given[1].resample(a.fps).fit(a.frames.shape[2], a.frames.shape[1])
    gap = limits.check_duration(engine.config, seconds, a.fps, a.frames.shape[2], a.frames.shape[1], 1)
    head, tail = min(a.num_frames, CONTEXT // 2), min(b.num_frames, CONTEXT // 2)
    known = dict(enumerate(a.frames[-head:]))
    known |= {head + gap + i: frame for i, frame in enumerate(b.frames[:tail])}
    shown = [*scenes_at(a, range(a.num_frames - head, a.num_frames)), *scenes_at(b, range(tail))]
    scenes = dict(zip(known, shown, strict=True))
    layout = {
        "layout": "blend",
        "seconds": seconds,
        "size": a.size,
        "fps": a.fps,
        **changes_of((given[0], a), (given[1], b)),
        **foreign_note(given, engine),
    }
    made = film_between(
        engine, known, scenes, frames=head + gap + tail, fps=a.fps, prompt=prompt, seed=seed, options=options, strict=strict,
        layout=layout, progress=progress,
    )  # fmt: skip
    order = (a.frames[:-head], made.frames, b.frames[tail:])
    frames = held(chain.from_iterable(map(each, order)), sum(map(len, order)))
    heard = [(a.sound, a.duration_s), (None, gap / a.fps), (b.sound, b.duration_s)]
    state = made.state if len(frames) == made.num_frames else None
    return replace(made, frames=frames, state=state, sound=joined_sound(heard))


@float32_default()
def film_frames_between(
    clip: AnyClip, *, fps: float, model: Model | str | None = None, size: AnySize = None, seed: int = 0,
    options: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.interpolate` for a Kinema model."""
    fps = python_values(fps)
    engine = resolve_model(model)
    given = Clip.of(clip, **limits.reading(engine))
    if not limits.is_number(fps) or not 0 < fps <= 1000:
        raise InputError(f"{fps!r} frames a second: expected a number above 0, up to 1000")
    clip = limits.fit_size(engine, given, size)
    factor = round(fps / clip.fps)
    if factor < 2 or abs(factor * clip.fps - fps) > 0.01 * fps:
        raise InputError(
            f"from {clip.fps:g} to {fps:g} frames a second: expected a whole multiple, such as {2 * clip.fps:g}"
        )
    frames = (clip.num_frames - 1) * factor + 1
    height, width = clip.frames.shape[1:3]
    limits.check_duration(engine.config, frames / fps, fps, width, height, 1, by_window=True)
    layout = {"layout": "interpolate", "size": clip.size, "fps": fps, **changes_of((given, clip))}
    layout |= foreign_note([given], engine)
    canvas = blank_canvas(engine, count=1, frames=frames, fps=clip.fps * factor, height=height, width=width, video=False)
    canvas = encode_prompt(engine, canvas, clip.caption, False)
    own = torch.arange(clip.num_frames) * factor
    canvas = lay_scenes(canvas, dict(zip(own.tolist(), scenes_at(clip, range(clip.num_frames)), strict=True)))
    cells = cells_of(engine, clip.frames, *padded_size(engine, height, width))
    canvas = estimate_state(
        engine, canvas, check_options(options), [check_seed(seed)], lambda index: cells(index // factor), own
    )

    def video(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, is_own = unknown_cells(engine, len(index), height, width), index % factor == 0
        levels = torch.ones_like(values[..., 0])
        if is_own.any():
            values[:, is_own], levels[:, is_own] = cells(index[is_own] // factor), 0.0
        return values, levels

    made = film_by_window(
        engine, canvas, video, check_options(options), seed=seed, fps=clip.fps * factor, size=(width, height),
        prompt=clip.caption, settings=layout, progress=progress, closed=True,
    )  # fmt: skip
    given_frames = each(clip.frames)
    shown = (next(given_frames) if i % factor == 0 else frame for i, frame in enumerate(each(made.frames)))
    return replace(made, frames=held(shown, frames), sound=clip.sound)


@float32_default()
def film_edited(
    clip: AnyClip, prompt: str, *, strength: float = EDIT_STRENGTH, mask: AnyClip | None = None, model: Model | str | None = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.edit` for a Kinema model."""
    engine = resolve_model(model)
    strength = check_strength(strength)
    given = Clip.of(clip, **limits.reading(engine))
    drawn = None if mask is None else Clip.of(mask, first=2, sound=False)
    white = None if drawn is None else read_mask(drawn, given)
    clip = limits.fit_to_model(engine, given, size)
    height, width = clip.frames.shape[1:3]
    if drawn is not None and (clip is not given or drawn.size != clip.size):
        white = read_mask(drawn.fit(width, height), clip)
    limits.check_duration(engine.config, clip.duration_s, clip.fps, width, height, 1, by_window=True)
    note = foreign_note([given], engine)
    canvas = blank_canvas(engine, count=1, frames=clip.num_frames, fps=clip.fps, height=height, width=width, video=False)
    cells = cells_of(engine, clip.frames, *padded_size(engine, height, width))
    perceived = lay_scenes(canvas, dict(enumerate(scenes_at(clip, range(clip.num_frames)))))
    perceived = estimate_state(engine, perceived, check_options(options), [seed], cells)
    canvas = encode_prompt(engine, canvas, prompt, strict)
    canvas = conditioning.known_vector(canvas, "camera", perceived.values["camera"])
    if white is None:
        canvas = conditioning.known_state(canvas, perceived.values["state"], level=strength)
        canvas = canvas.write("scene", slice(None), perceived.values["scene"], strength)
    else:
        canvas = conditioning.known_vector(canvas, "scene", perceived.values["scene"])
        canvas = masked_state(canvas, perceived, white, prompt, strength, clip.fps)
    layout = {"layout": "edit", "strength": strength, "masked": mask is not None, "size": clip.size, "fps": clip.fps}
    layout |= changes_of((given, clip)) | note
    level = picture_level(strength) if white is None else 1.0

    def video(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = cells(index) if white is None else unknown_cells(engine, len(index), height, width)
        return values, torch.full_like(values[..., 0], level)

    made = film_by_window(
        engine, canvas, video, check_options(options), seed=seed, fps=clip.fps, size=(width, height), prompt=prompt,
        settings=layout, progress=progress,
    )  # fmt: skip
    frames = made.frames if white is None else compose(clip.frames, made.frames, white)
    return replace(made, frames=frames, sound=clip.sound)


@float32_default()
def perceive_scene(
    clip: AnyClip,
    *,
    model: Model | str | None = None,
    size: AnySize = None,
    seed: int = 0,
    options: SamplingConfig | None = None,
) -> Scene:
    """`kinema.perceive` for a Kinema model."""
    engine = resolve_model(model)
    clip = Clip.of(clip, **limits.reading(engine), sound=False)
    if clip.state is None and clip.num_frames > 1 and clip.fps > engine.config.fps[1]:
        every = math.ceil(clip.fps / engine.config.fps[1])
        fewer = replace(clip, frames=clip.frames[::every], fps=clip.fps / every)
        return perceive_scene(fewer, model=engine, size=size, seed=seed, options=options).between(every, clip.num_frames)
    foreign_note([clip], engine)
    own = limits.at_own_height(engine.config, clip.frames.shape[2], clip.frames.shape[1])
    fitted = limits.fit_size(engine, clip, size or own)
    height, width = fitted.frames.shape[1:3]
    canvas = blank_canvas(engine, count=1, frames=clip.num_frames, fps=clip.fps, height=height, width=width, video=False)
    canvas = lay_scenes(canvas, dict(enumerate(scenes_at(clip, range(clip.num_frames)))))
    cells = cells_of(engine, fitted.frames, *padded_size(engine, height, width))
    done = estimate_state(engine, canvas, check_options(options), [seed], cells)
    tracks = {name: done.values[name][0].float().cpu().numpy() for name in ("state", "camera", "scene")}
    return decode_scene(tracks["state"], tracks["camera"], tracks["scene"], fps=clip.fps)


def film_larger(
    clip: AnyClip, *, model: Model | str | None = None, size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None,
    strict: bool = False, progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.upscale` for a Kinema model: the clip's state, known or perceived, rendered at the larger size."""
    engine = resolve_model(model)
    given = Clip.of(clip, **limits.reading(engine))
    height, width = given.frames.shape[1:3]
    wanted = limits.check_size(engine.config, (2 * width, 2 * height) if size is None else size)
    if wanted[0] < width or wanted[1] < height or wanted == (width, height):
        raise SizeError(f"upscale to {wanted[0]}x{wanted[1]}: expected a size larger than the clip's {width}x{height}")
    scene = given.state or perceive_scene(given, model=engine, seed=seed, options=options)
    made = film_scene(scene, model=engine, size=wanted, seed=seed, options=options, progress=progress)
    layout = {**made.settings, "layout": "upscale", "scaled_from": given.size, "prompt": given.caption}
    return replace(made, settings=layout, caption=given.caption, sound=given.sound)


@float32_default()
def film_scene(
    scene: Scene, *, model: Model | str | None = None, size: AnySize = None, seed: int = 0,
    options: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """`kinema.render` for a Kinema model."""
    if not isinstance(scene, Scene):
        raise InputError(f"{type(scene).__name__} was given for a state: expected a kinema.Scene")
    engine = resolve_model(model)
    width, height = limits.check_size(engine.config, size)
    slots = engine.config.denoiser.slots
    if scene.num_slots > slots and any(k >= slots for k in scene.entities):
        raise SizeError(f"the state has entities in {scene.num_slots} slots; {engine.config.name} films up to {slots}")
    canvas = blank_canvas(engine, count=1, frames=scene.num_frames, fps=scene.fps, height=height, width=width)
    fields = Fields.of(scene)
    state = np.zeros((1, scene.num_frames, slots, canvas.values["state"].shape[-1]), np.float32)
    state[..., 0] = -1.0
    encoded = encode_state(fields)
    shared = min(slots, scene.num_slots)
    state[:, :, :shared] = encoded[:, :, :shared]
    setting = encode_setting(fields.view, fields.background, scene.num_frames)
    canvas = conditioning.condition_render(
        canvas, torch.from_numpy(state), torch.from_numpy(encode_camera(fields.camera)), torch.from_numpy(setting)
    )
    layout = {"layout": "render", "size": f"{width}x{height}", "fps": scene.fps}
    return film_canvas(
        engine, canvas, check_options(options), seed=seed, fps=scene.fps, size=(width, height), prompt="", settings=layout,
        progress=progress,
    )[0]  # fmt: skip
