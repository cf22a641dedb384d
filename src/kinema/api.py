"""The public functions, which take and return clips.

Each builds a canvas, fills it, and decodes it. The clip holds the settings that reproduce it.

Axes: T frames, H x W pixels, h x w video cells.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas, stack
from kinema.diffusion.seeds import frame_seed
from kinema.errors import InputError, SizeError
from kinema.inference import limits, pipeline
from kinema.inference.canvas_io import (
    blank_canvas,
    camera_path,
    check_seed,
    decode_clips,
    encode,
    encode_prompt,
    padded_size,
    resolve_model,
)
from kinema.inference.editing import (
    EDIT_STRENGTH,
    INSIDE,
    Mask,
    check_strength,
    compose,
    middle_of,
    picture_level,
    read_mask,
    share_inside,
)
from kinema.inference.keyframes import MOVING as MOVING_FIELDS
from kinema.inference.keyframes import (
    Named,
    count_new_objects,
    known_identities,
    lay_scenes,
    named_objects,
    new_identities,
    scenes_at,
    state_of,
)
from kinema.inference.pipeline import OnFrames, Progress, SamplingConfig, check_options, estimate_state
from kinema.inference.rollout import prefill, render_frames, split_frames, step
from kinema.media import AnyClip, Clip
from kinema.models.hub import Model
from kinema.playground.vocabulary import article, listing
from kinema.scene.encoding import (
    VECTORS,
    Fields,
    decode_scene,
    encode_camera,
    encode_setting,
    encode_state,
    group_slice,
    project_identity,
)
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.text.prompt_check import rewrite

log = logging.getLogger(__name__)

Frames = NDArray[np.uint8]
AnySize = str | tuple[int, int] | None
"""(width, height) or "WIDTHxHEIGHT"; None: of what is given, or the model's own."""
CONTEXT = 16
"""Known frames that a clip is extended from, at most."""
AT_ONCE = 64
"""Frames whose pictures are rendered in one pass."""
HARDLY = 0.05
"""Least visible share of an object that counts as shown."""
MOVING = 3
"""Least number of frames of a clip from which velocities are known."""


def _paste(clip: Clip, known: dict[int, Frames]) -> Clip:
    """The clip with the known pictures themselves at their frames, in place of their reconstructions by the autoencoder."""
    frames = clip.frames.copy()
    for index, picture in known.items():
        frames[index] = picture
    return replace(clip, frames=frames)


def _finish(
    model: Model, canvas: Canvas, options: SamplingConfig, *, seed: int, fps: float, size: tuple[int, int], prompt: str,
    settings: dict[str, Any], progress: Progress | None, closed: bool = False,
) -> list[Clip]:  # fmt: skip
    """Fill a canvas and decode its clips. closed: add only objects that the prompt names to those of known pictures."""
    seeds = [check_seed(seed) + i for i in range(canvas.batch)]
    named = [named_objects(prompt)] * canvas.batch if closed else None
    filled = pipeline.generate(model, canvas, options, seeds, progress, named=named)
    record = _record(model, options, prompt) | settings
    if named is not None:
        _warn_of_absent(filled, named[0])
    return decode_clips(
        model, filled, fps=fps, height=size[1], width=size[0], captions=[prompt] * canvas.batch,
        settings=[{**record, "seed": seed} for seed in seeds],
    )  # fmt: skip


def _warn_of_absent(filled: Canvas, named: Named | None) -> None:
    """Log a warning with the objects that a prompt names and a clip of known pictures does not show."""
    if named is None:
        return
    for i, identities in enumerate(known_identities(filled, 0.0)):
        absent = [
            article(f"{COLORS[color]} {KINDS[kind]}") for kind, color in (named[0] - Counter(identities.values())).elements()
        ]
        if absent:
            log.warning("film %d does not hold %s, which the prompt names; another seed may", i + 1, listing(absent))


def _record(model: Model, options: SamplingConfig, prompt: str) -> dict[str, Any]:
    filmed, _ = rewrite(prompt, model.config.lacks)
    return {
        "model": model.source,
        "prompt": prompt,
        **({} if filmed == prompt else {"filmed_prompt": filmed}),
        "steps": options.num_plan_steps,
        "candidates": options.num_candidates,
        "film_steps": options.num_render_steps,
        "guidance": options.guidance_scale,
    }


def films(
    prompts: Sequence[str], seeds: Sequence[int], *, model: Model | str | None = None, seconds: float = 4.0,
    size: AnySize = None, fps: float = 16.0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None, watch: OnFrames | None = None,
) -> list[Clip]:  # fmt: skip
    """Film several prompts in one pass, each as `generate` films it alone with its seed.

    Args:
        prompts: N descriptions, one for each film.
        seeds: N seeds, one for each prompt.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        seconds: Duration of each film, in seconds.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        fps: Frames per second.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        progress: Called with (stage, steps done, steps in all).
        watch: Called with the canvas once its states are planned and while it is rendered, and with the number of frames
            rendered so far.

    Returns:
        N clips of T = round(seconds * fps) frames, with their states and settings.

    Raises:
        InputError: The numbers of prompts and seeds differ, or there is none.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine, options = resolve_model(model), check_options(options)
    if len(prompts) != len(seeds) or not prompts:
        raise InputError(f"{len(prompts)} prompts and {len(seeds)} seeds: expected one seed for each, and at least one")
    width, height = limits.check_size(engine.config, size)
    count = limits.check_duration(engine.config, seconds, fps, width, height, len(prompts))
    canvas = blank_canvas(engine, count=len(prompts), frames=count, fps=fps, height=height, width=width)
    texts = [encode_prompt(engine, canvas.sample(i), prompt, strict).text for i, prompt in enumerate(prompts)]
    canvas = replace(canvas, text=stack(texts, canvas.time_s))
    filled = pipeline.generate(engine, canvas, options, [check_seed(seed) for seed in seeds], progress, watch)
    layout: dict[str, Any] = {"layout": "generate", "seconds": seconds, "size": f"{width}x{height}", "fps": fps}
    records = [
        {**_record(engine, options, prompt), **layout, "seed": seed} for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    return decode_clips(engine, filled, fps=fps, height=height, width=width, captions=prompts, settings=records)


def generate(
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
) -> list[Clip]:
    """Film a prompt.

    Args:
        prompt: What happens, or a storyboard such as "0-2: a red ball rolls right | 2-4: a red ball stands still".
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        seconds: Duration in seconds.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the first picture given, or the nearest one that the
            model films; without pictures, the model's own.
        fps: Frames per second.
        image: The known first picture: the first frame of this clip.
        last: The known last picture: the last frame of this clip.
        pictures: Further known pictures, as pairs (picture, time in seconds).
        camera: Stops (time in seconds, x, y, zoom), with straight lines between them. x and y are room units: the middle of the
            room is (5, 5), and at zoom 1 a picture is ten units high.
        seed: Seed of the first clip. The others have seed + 1, seed + 2, ...
        count: Number of clips.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        `count` clips of T = round(seconds * fps) frames, with their states and settings. A known picture
            of the film's size stands in it bit for bit.

    Raises:
        InputError: A picture lies outside the film, or two pictures at one frame.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = resolve_model(model)
    first_picture, last_picture = (None if given is None else Clip.of(given) for given in (image, last))
    between = _pictures(pictures)
    shown = [clip for clip in (first_picture, last_picture, *(clip for clip, _ in between)) if clip is not None]
    width, height = limits.size_for(engine, shown[0], size) if shown else limits.check_size(engine.config, size)
    frames = limits.check_duration(engine.config, seconds, fps, width, height, count)
    canvas = blank_canvas(engine, count=count, frames=frames, fps=fps, height=height, width=width)
    canvas = encode_prompt(engine, canvas, prompt, strict)
    if camera:
        canvas = conditioning.known_vector(canvas, "camera", camera_path(camera, canvas.time_s))
    known: dict[int, Frames] = {}
    scaled: dict[int, str] = {}
    scenes: dict[int, Scene | None] = {}
    given_at = [(round(at_s * fps), at_s, clip) for clip, at_s in between]
    for index, at_s, _ in given_at:
        if not 0 <= index < frames:
            raise InputError(f"a picture at {at_s:g} s: the film goes from 0 to {(frames - 1) / fps:g} s")
    given_ends = ((0, first_picture), (frames - 1, last_picture))
    ends = [(index, 0.0, given) for index, given in given_ends if given is not None]
    for index, _, given in [*ends, *given_at]:
        if index in known:
            raise InputError(f"two pictures at {index / fps:g} s: expected one for each frame (1/{fps:g} s)")
        fitted = given.fit(width, height)
        which = fitted.num_frames - 1 if given is last_picture and index else 0
        known[index], scenes[index] = fitted.frames[which], scenes_at(fitted, [which])[0]
        scaled[index] = given.size
        cells = encode(engine, known[index][None], *padded_size(engine, height, width))
        canvas = conditioning.known_frames(canvas, [index], cells.expand(count, -1, -1, -1, -1))
    canvas = lay_scenes(canvas, scenes)
    settings: dict[str, Any] = {"layout": "generate", "seconds": seconds, "size": f"{width}x{height}", "fps": fps}
    if known:
        settings["pictures"] = sorted(known)
    resized = sorted({given for given in scaled.values() if given != settings["size"]})
    if resized:
        settings["scaled_from"] = ", ".join(resized)
    if camera:
        settings["camera"] = [list(stop) for stop in camera]
    clips = _finish(
        engine, canvas, check_options(options), seed=seed, fps=fps, size=(width, height), prompt=prompt, settings=settings,
        progress=progress, closed=bool(known),
    )  # fmt: skip
    return [_paste(clip, known) for clip in clips]


def image(
    prompt: str,
    *,
    model: Model | str | None = None,
    size: AnySize = None,
    seed: int = 0,
    options: SamplingConfig | None = None,
    strict: bool = False,
) -> Clip:
    """Make one still picture: a film of one frame.

    Args:
        prompt: What the picture shows.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.

    Returns:
        A clip of one frame, with its state.

    Raises:
        SizeError: A size that the model does not film.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = resolve_model(model)
    width, height = limits.check_size(engine.config, size)
    canvas = blank_canvas(engine, count=1, frames=1, fps=16.0, height=height, width=width)
    canvas = encode_prompt(engine, canvas, prompt, strict)
    settings = {"layout": "image", "size": f"{width}x{height}"}
    return _finish(
        engine, canvas, check_options(options), seed=seed, fps=16.0, size=(width, height), prompt=prompt, settings=settings,
        progress=None,
    )[0]  # fmt: skip


def _scaled(*given: tuple[Clip, Clip]) -> dict[str, Any]:
    """For the settings: the sizes and frame rates that clips had before they were changed, of pairs (as given, as filmed)."""
    sizes = list(dict.fromkeys(clip.size for clip, used in given if clip.size != used.size))
    rates = list(dict.fromkeys(f"{clip.fps:g}" for clip, used in given if clip.fps != used.fps and clip.num_frames > 1))
    changed = {"scaled_from": ", ".join(sizes), "resampled_from": ", ".join(rates)}
    return {name: before for name, before in changed.items() if before}


def _pictures(given: Sequence[tuple[AnyClip, float]]) -> list[tuple[Clip, float]]:
    """Pictures with their seconds; InputError for anything but pairs."""
    pairs = []
    for one in given:
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise InputError(f"a picture given as {type(one).__name__}: expected pairs (picture, second)")
        if not limits.is_number(one[1]) or not 0 <= one[1] < 1e6:
            raise InputError(f"a picture at {one[1]!r} s: expected a time from 0 on")
        pairs.append((Clip.of(one[0]), float(one[1])))
    return pairs


def _from_frames(
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
    cells = encode(model, np.stack(list(known.values())), *padded_size(model, height, width))
    return lay_scenes(conditioning.infill(canvas, list(known), cells), scenes), (width, height)


def _fill_known(
    model: Model, known: dict[int, Frames], scenes: dict[int, Scene | None], *, frames: int, fps: float, prompt: str, seed: int,
    options: SamplingConfig | None, strict: bool, layout: dict[str, Any], progress: Progress | None,
) -> Clip:  # fmt: skip
    canvas, size = _from_frames(model, known, scenes, frames=frames, fps=fps, prompt=prompt, strict=strict)
    clip = _finish(
        model, canvas, check_options(options), seed=seed, fps=fps, size=size, prompt=prompt, settings=layout, progress=progress,
        closed=True,
    )[0]  # fmt: skip
    return _paste(clip, known)


def extend(
    clip: AnyClip, prompt: str = "", *, seconds: float = 2.0, before: bool = False, model: Model | str | None = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Make a clip longer, after its end or before its beginning. The given frames stay as they are.

    A clip of at least 3 frames without a prompt, a caption and options is continued frame by frame, as a world is stepped. All
    other clips are continued by one plan. A clip of a size or frame rate that the model does not film is changed first; the
    settings then hold `scaled_from` or `resampled_from`.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        prompt: What happens. Empty: the caption of the clip, if it has one.
        seconds: Duration that is added, in seconds.
        before: Add frames before the clip instead of after it.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T + round(seconds * fps) frames at the frame rate of the given clip.

    Raises:
        InputError: Something that is no clip.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine, given = resolve_model(model), Clip.of(clip)
    clip = limits.fit_to_model(engine, given, size)
    more = limits.check_duration(engine.config, seconds, clip.fps, clip.frames.shape[2], clip.frames.shape[1], 1)
    overlap = min(clip.num_frames, CONTEXT)
    edge = clip.frames[:overlap] if before else clip.frames[-overlap:]
    known = {(more + i if before else i): frame for i, frame in enumerate(edge)}
    first = 0 if before else clip.num_frames - overlap
    scenes = dict(zip(known, scenes_at(clip, range(first, first + overlap)), strict=True))
    layout = {"layout": "extend", "seconds": seconds, "before": before, "size": clip.size, "fps": clip.fps}
    layout |= _scaled((given, clip))
    if options is None and not before and clip.num_frames >= MOVING and not (prompt or clip.caption):
        made = _stepped(
            engine, edge, scenes, more, clip.fps, seed, {**layout, "model": engine.source, "stepped": True}, progress
        )
    else:
        made = _fill_known(
            engine, known, scenes, frames=more + overlap, fps=clip.fps, prompt=prompt or clip.caption, seed=seed, options=options,
            strict=strict, layout=layout, progress=progress,
        )  # fmt: skip
    rest = clip.frames[overlap:] if before else clip.frames[:-overlap]
    joined = np.concatenate([made.frames, rest] if before else [rest, made.frames])
    state = None if made.state is None else _join_states(made.state, state_of(clip), len(rest), before)
    return replace(made, frames=joined, state=state)


def _stepped(
    model: Model, known: Frames, scenes: dict[int, Scene | None], more: int, fps: float, seed: int, settings: dict[str, Any],
    progress: Progress | None,
) -> Clip:  # fmt: skip
    """Known frames, and `more` frames that a rollout predicts after them."""
    check_seed(seed)
    height, width = known.shape[1:3]
    canvas = blank_canvas(model, count=1, frames=len(known), fps=fps, height=height, width=width)
    canvas = conditioning.perceive(canvas, encode(model, known, *padded_size(model, height, width)))
    perceived = estimate_state(model, lay_scenes(canvas, scenes), SamplingConfig(), [seed])
    tracks = {name: perceived.values[name] for name in ("state", *VECTORS)}
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


def _join_states(made: Scene, given: Scene | None, rest: int, before: bool) -> Scene | None:
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


def infill(
    pictures: Sequence[tuple[AnyClip, float]], prompt: str = "", *, fps: float = 16.0, model: Model | str | None = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Fill in the film between given pictures.

    Args:
        pictures: Two or more pairs (picture, time in seconds). The first frame of each picture is used.
        prompt: What happens.
        fps: Frames per second.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels, to which all pictures are fitted. None: that of the first, or the
            nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip from 0 s to the last of the pictures. A given picture of the film's size stands in it bit for bit.

    Raises:
        InputError: Fewer than two pictures, or two of them at one frame.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = resolve_model(model)
    if len(pictures) < 2:
        raise InputError(f"{len(pictures)} picture was given; filling in needs at least two, such as a.png@0 b.png@1.5")
    given = _pictures(pictures)
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
    layout = {"layout": "infill", "at": sorted(known), "size": f"{width}x{height}", "fps": fps, **_scaled(*pairs)}
    return _fill_known(
        engine, dict(sorted(known.items())), dict(sorted(scenes.items())), frames=frames, fps=fps, prompt=prompt, seed=seed,
        options=options, strict=strict, layout=layout, progress=progress,
    )  # fmt: skip


def blend(
    a: AnyClip, b: AnyClip, prompt: str = "", *, seconds: float = 2.0, model: Model | str | None = None, size: AnySize = None,
    seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Join two clips by a passage that leads from one to the other.

    Args:
        a: The first clip. Its size and frame rate are those of the result.
        b: The second clip, which is resampled and fitted to the first.
        prompt: What happens in the passage.
        seconds: Duration of the passage, in seconds.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        Clip a, the passage and clip b as one clip. It has a state if a and b have at most 8 frames each.

    Raises:
        InputError: Something that is no clip.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = resolve_model(model)
    given = Clip.of(a), Clip.of(b)
    a = limits.fit_to_model(engine, given[0], size)
    b = given[1].resample(a.fps).fit(a.frames.shape[2], a.frames.shape[1])
    gap = limits.check_duration(engine.config, seconds, a.fps, a.frames.shape[2], a.frames.shape[1], 1)
    head, tail = min(a.num_frames, CONTEXT // 2), min(b.num_frames, CONTEXT // 2)
    known = dict(enumerate(a.frames[-head:]))
    known |= {head + gap + i: frame for i, frame in enumerate(b.frames[:tail])}
    shown = [*scenes_at(a, range(a.num_frames - head, a.num_frames)), *scenes_at(b, range(tail))]
    scenes = dict(zip(known, shown, strict=True))
    layout = {"layout": "blend", "seconds": seconds, "size": a.size, "fps": a.fps, **_scaled((given[0], a), (given[1], b))}
    made = _fill_known(
        engine, known, scenes, frames=head + gap + tail, fps=a.fps, prompt=prompt, seed=seed, options=options, strict=strict,
        layout=layout, progress=progress,
    )  # fmt: skip
    frames = np.concatenate([a.frames[:-head], made.frames, b.frames[tail:]])
    return replace(made, frames=frames, state=made.state if len(frames) == made.num_frames else None)


def interpolate(
    clip: AnyClip, *, fps: float, model: Model | str | None = None, size: AnySize = None, seed: int = 0,
    options: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Raise the frame rate of a clip by frames that are filled in between its own.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        fps: Frames per second of the result: a whole multiple of those of the clip.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of (T - 1) * k + 1 frames, where k is the multiple. Every k-th frame is one of the given clip.

    Raises:
        InputError: fps is no whole multiple, at least 2, of the clip's frame rate.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine, given = resolve_model(model), Clip.of(clip)
    if not limits.is_number(fps) or not 0 < fps <= 1000:
        raise InputError(f"{fps!r} frames a second: expected a number above 0, up to 1000")
    clip = limits.fit_size(engine, given, size)
    factor = round(fps / clip.fps)
    if factor < 2 or abs(factor * clip.fps - fps) > 0.01 * fps:
        raise InputError(
            f"from {clip.fps:g} to {fps:g} frames a second: expected a whole multiple, such as {2 * clip.fps:g}"
        )
    frames = (clip.num_frames - 1) * factor + 1
    limits.check_duration(engine.config, frames / fps, fps, clip.frames.shape[2], clip.frames.shape[1], 1)
    known = {i * factor: frame for i, frame in enumerate(clip.frames)}
    scenes = dict(zip(known, scenes_at(clip, range(clip.num_frames)), strict=True))
    layout = {"layout": "interpolate", "size": clip.size, "fps": fps, **_scaled((given, clip))}
    return _fill_known(
        engine, known, scenes, frames=frames, fps=clip.fps * factor, prompt=clip.caption, seed=seed, options=options, strict=False,
        layout=layout, progress=progress,
    )  # fmt: skip


def edit(
    clip: AnyClip, prompt: str, *, strength: float = EDIT_STRENGTH, mask: AnyClip | None = None, model: Model | str | None = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None, strict: bool = False,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Make a clip again by a new prompt.

    With a mask, the change stays where the mask is white. Pixels outside come back bit for bit, and objects outside keep their
    state. Inside, the pictures are drawn anew. An object that lies inside in every frame becomes one that the prompt names
    besides those outside, or is removed.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        prompt: What the new clip shows.
        strength: How much may change, above 0 and up to 1: near 0 keeps what happens, 1 keeps nothing of it.
        mask: One picture of the clip's size, white where the clip may change. None: everywhere.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T frames, with its state.

    Raises:
        InputError: A strength outside its range, or a mask of another size or without white.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = resolve_model(model)
    strength = check_strength(strength)
    given = Clip.of(clip)
    drawn = None if mask is None else Clip.of(mask)
    white = None if drawn is None else read_mask(drawn, given)
    clip = limits.fit_to_model(engine, given, size)
    height, width = clip.frames.shape[1:3]
    if drawn is not None and clip is not given:
        white = read_mask(drawn.fit(width, height), clip)
    limits.check_duration(engine.config, clip.duration_s, clip.fps, width, height, 1)
    canvas = blank_canvas(engine, count=1, frames=clip.num_frames, fps=clip.fps, height=height, width=width)
    whole = padded_size(engine, height, width)
    cells = encode(engine, clip.frames, *whole)
    perceived = conditioning.perceive(canvas, cells)
    perceived = lay_scenes(perceived, dict(enumerate(scenes_at(clip, range(clip.num_frames)))))
    perceived = estimate_state(engine, perceived, check_options(options), [seed])
    canvas = encode_prompt(engine, canvas, prompt, strict)
    canvas = conditioning.known_vector(canvas, "camera", perceived.values["camera"])
    if white is None:
        canvas = conditioning.edit(canvas, cells, strength=picture_level(strength))
        canvas = conditioning.known_state(canvas, perceived.values["state"], level=strength)
        values = {**canvas.values, "scene": perceived.values["scene"]}
        canvas = canvas.with_values(values, {**canvas.levels, "scene": torch.full_like(canvas.levels["scene"], strength)})
    else:
        canvas = conditioning.known_vector(canvas, "scene", perceived.values["scene"])
        canvas = _masked_state(canvas, perceived, white, prompt, strength, clip.fps)
    layout = {"layout": "edit", "strength": strength, "masked": mask is not None, "size": clip.size, "fps": clip.fps}
    layout |= _scaled((given, clip))
    made = _finish(
        engine, canvas, check_options(options), seed=seed, fps=clip.fps, size=(width, height), prompt=prompt, settings=layout,
        progress=progress,
    )[0]  # fmt: skip
    return made if white is None else replace(made, frames=compose(clip.frames, made.frames, white))


def _masked_state(canvas: Canvas, perceived: Canvas, mask: Mask, prompt: str, strength: float, fps: float) -> Canvas:
    """The canvas of an edit with the perceived state: objects outside the mask are known, those inside it may change, and so many
    empty slots as the prompt names further objects may be filled, starting at the middle of the mask."""
    tracks = {name: perceived.values[name][0].float().cpu().numpy() for name in ("state", "camera", "scene")}
    scene = decode_scene(tracks["state"], tracks["camera"], tracks["scene"], fps=fps)
    inside = np.asarray(share_inside(scene, mask) > INSIDE)
    shown = (scene.visible > HARDLY) & (scene.kind >= 0)
    renamed = np.asarray((inside | ~shown).all(0) & inside.any(0))
    freed, empty = inside.copy(), scene.kind < 0
    named = named_objects(prompt)
    remaining = [(int(scene.kind[k]), int(scene.color[k])) for k in scene.entities if not renamed[k]]
    more = int(empty.sum()) if named is None else max(count_new_objects(named, remaining) - int(renamed.sum()), 0)
    added = np.flatnonzero(empty)[:more]
    freed[:, added], renamed[added] = True, True
    state = project_identity(perceived.values["state"])
    middle = middle_of(mask, scene.camera)
    place = encode_camera(np.concatenate([middle, np.ones_like(middle[:, :1])], -1))[:, :2]
    for k in added:
        state[0, :, k, group_slice("position")] = torch.from_numpy(place).to(state)
    free, anew = torch.from_numpy(freed), torch.from_numpy(renamed)
    canvas = conditioning.edit_state(canvas, state, strength=strength, freed=free, renamed=anew)
    names = None if named is None else new_identities(named, remaining)
    return canvas if names is None else _rename(canvas, scene, np.flatnonzero(renamed).tolist(), names)


def _rename(canvas: Canvas, scene: Scene, slots: Sequence[int], names: Sequence[tuple[int, int]]) -> Canvas:
    """The canvas with these (kind, color) known in renamed slots, each in the slot of the most similar object; remaining slots are
    empty; all slots are in canonical order, as in training."""
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    left = list(slots)
    for kind, color in names:
        like = [2 * (int(scene.kind[k]) >= 0) + int(scene.kind[k] == kind) + int(scene.color[k] == color) for k in left]
        slot = left.pop(int(np.argmax(like)))
        for group, value in (("kind", kind), ("color", color)):
            state[:, :, slot, group_slice(group)] = -1.0
            state[:, :, slot, group_slice(group).start + value] = 1.0
            level[:, :, slot, group_slice(group)] = 0.0
        state[:, :, slot, 0], level[:, :, slot, 0] = 1.0, 0.0
    for slot in left:
        state[:, :, slot], level[:, :, slot] = 0.0, 0.0
        state[:, :, slot, 0] = -1.0
    first = state[0, 0]
    order = sorted(
        range(state.shape[2]),
        key=lambda k: (
            float(first[k, 0]) < 0, int(first[k, group_slice("kind")].argmax()), int(first[k, group_slice("color")].argmax()),
        ),
    )  # fmt: skip
    values = {**canvas.values, "state": state[:, :, order]}
    return canvas.with_values(values, {**canvas.levels, "state": level[:, :, order]})


def perceive(
    clip: AnyClip,
    *,
    model: Model | str | None = None,
    size: AnySize = None,
    seed: int = 0,
    options: SamplingConfig | None = None,
) -> Scene:
    """Estimate the state of a clip: which objects are where in every frame.

    If the clip has a state, that state counts as known. To estimate it from the pictures, pass `replace(clip, state=None)`.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels at which the pictures are read. None: the model's own height, where the
            estimate is most accurate.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.

    Returns:
        The state over the T frames: positions in room units (a picture is ten units high at zoom 1), velocities in units per
        second, angles in radians.

    Raises:
        InputError: Something that is no clip.
        SizeError: A size that the model does not film.
        MediaError: A file that cannot be read.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine, clip = resolve_model(model), Clip.of(clip)
    own = limits.at_own_height(engine.config, clip.frames.shape[2], clip.frames.shape[1])
    fitted = limits.fit_size(engine, clip, size or own)
    height, width = fitted.frames.shape[1:3]
    canvas = blank_canvas(engine, count=1, frames=clip.num_frames, fps=clip.fps, height=height, width=width)
    canvas = conditioning.perceive(canvas, encode(engine, fitted.frames, *padded_size(engine, height, width)))
    canvas = lay_scenes(canvas, dict(enumerate(scenes_at(clip, range(clip.num_frames)))))
    done = estimate_state(engine, canvas, check_options(options), [seed])
    tracks = {name: done.values[name][0].float().cpu().numpy() for name in ("state", "camera", "scene")}
    return decode_scene(tracks["state"], tracks["camera"], tracks["scene"], fps=clip.fps)


def render(
    scene: Scene, *, model: Model | str | None = None, size: AnySize = None, seed: int = 0,
    options: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Render the film of a state.

    Args:
        scene: The state over T frames.
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T frames at the frame rate of the state.

    Raises:
        SizeError: A size that the model does not film, or more objects than it has slots.
        ModelError: There is no such model, or its weights do not fit.
    """
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
    canvas = conditioning.render(
        canvas, torch.from_numpy(state), torch.from_numpy(encode_camera(fields.camera)), torch.from_numpy(setting)
    )
    layout = {"layout": "render", "size": f"{width}x{height}", "fps": scene.fps}
    return _finish(
        engine, canvas, check_options(options), seed=seed, fps=scene.fps, size=(width, height), prompt="", settings=layout,
        progress=progress,
    )[0]  # fmt: skip
