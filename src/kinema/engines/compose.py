"""Workflows made of others: to extend a film is to film on from its last picture, to blend two is to film between them, and a film
longer than a model's frames is filmed in parts.

An engine gives what it can do in one pass (its primitives); this gives the rest. A part that goes on from a picture begins with
that picture as the model redraws it, a little off in color; chained parts add these errors up. So what turns the redrawn picture's
colors into the given one's is applied to the whole part (`matched`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinema.engines.protocol import WORKFLOWS, Capabilities, FilmPlan, FilmRequest, FrameRule, Workflow
from kinema.errors import InputError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.media.frame_buffer import each, held
from kinema.media.sound import joined_sound
from kinema.types import Frames

Primitive = Callable[[FilmRequest, FilmPlan], Clip]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an engine can do in one pass.

    history: how many frames of a film its primitive "extend" goes on from, and returns before the new ones. factor: by how much its
    primitive "upscale" makes pictures larger. guard: match the colors of later parts to the first.
    """

    capabilities: Capabilities
    primitive: Primitive
    primitives: tuple[Workflow, ...]
    history: int = 0
    factor: int = 2
    guard: bool = True


def derived_workflows(
    primitives: Sequence[Workflow], frames: FrameRule, *, keeps: bool = False, steered: bool = False
) -> tuple[Workflow, ...]:
    """All that can be made of an engine's primitives, in the order of WORKFLOWS. keeps: its primitive "edit" keeps the more of a
    film the lower its strength, so that it can draw finer what was enlarged. steered: what it edits may be a drawing of a scene."""
    have = set(primitives)
    if "edit" in have and keeps:
        have.add("upscale")
    if "edit" in have and steered:
        have.add("restyle")
    if "keyframes" in have:
        have |= {"image", "first_last"}
    if "image" in have:
        have.add("extend")
    if "first_last" in have:
        have |= {"infill", "blend"}
    if "generate" in have and frames.at_least(1) <= 9:
        have.add("still")
    return tuple(one for one in WORKFLOWS if one in have)


def primitive_of(workflow: Workflow, primitives: Sequence[Workflow]) -> Workflow | None:
    """Which of an engine's primitives films a workflow; None if none does."""
    fallbacks: dict[Workflow, tuple[Workflow, ...]] = {
        "image": ("keyframes",), "first_last": ("keyframes",), "extend": ("image", "keyframes"),
        "infill": ("keyframes", "first_last"), "blend": ("first_last", "keyframes"),
        "restyle": ("edit",), "upscale": ("edit",), "still": ("generate",),
    }  # fmt: skip
    return next((one for one in (workflow, *fallbacks.get(workflow, ())) if one in primitives), None)


def film_workflow(parts: Parts, request: FilmRequest, progress: Progress | None = None) -> Clip:
    """Film one request by the primitives of an engine."""
    usual = parts.capabilities
    made = _WORKFLOWS[request.workflow](parts, request)
    notes = [*made.settings.get("notes", ()), *_cut_notes(request, made), *usual.unused_notes(request)]
    prompt = request.prompt
    if request.workflow == "upscale" and request.video is not None:
        prompt = prompt or request.video.caption
    used = {"steps", "guidance", "strength"} - {*usual.unused.get(request.workflow, ())}
    settings = {
        "model": usual.model, "engine": usual.engine, "family": usual.family,
        "layout": request.workflow, "prompt": prompt, "seed": request.seed, "size": made.size, "fps": made.fps,
        "seconds": made.duration_s,
        **{name: value for name in sorted(used) if (value := getattr(request, name)) is not None},
        **({"negative_prompt": request.negative_prompt} if request.negative_prompt else {}),
        **({"loras": [[Path(lora.source).name, lora.scale] for lora in request.loras]} if request.loras else {}),
        **usual.origin(), **({"notes": notes} if notes else {}),
    }  # fmt: skip
    return replace(made, caption=prompt, settings={**made.settings, **settings})


def _cut_notes(request: FilmRequest, made: Clip) -> list[str]:
    """A note for each shape of what is given of which a part was cut away, as the film has another shape."""
    given = [request.video, request.second, request.first, request.last, *(picture for picture, _ in request.pictures)]
    width, height = _size_of(made)
    notes = {}
    for wide, high in (_size_of(clip) for clip in given if clip is not None):
        lost = 1 - min(wide * height, high * width) / max(wide * height, high * width)
        if lost >= CUT_NOTED:
            notes[wide, high] = f"of what is given ({wide}x{high}) {lost:.0%} is cut away to the shape of {width}x{height}"
    return list(notes.values())


CUT_NOTED = 0.02
"""The smallest part that is noted; less is the rounding of sizes."""


def _noted(clip: Clip, notes: Sequence[str]) -> Clip:
    return replace(clip, settings={**clip.settings, "notes": list(notes)}) if notes else clip


def _generate(parts: Parts, request: FilmRequest) -> Clip:
    plan = parts.capabilities.plan(request.seconds, request.fps, _size(parts, request))
    if request.last is not None and plan.wanted_frames > plan.frames:
        most = plan.frames / plan.fps
        raise InputError(
            f"{parts.capabilities.model} leads to a last picture in up to {most:g} s: ask for less, or leave it out"
        )
    placed = _placed(request, plan)
    clip = _in_parts(parts, placed, plan)
    if (
        request.last is not None and clip.num_frames > plan.wanted_frames
    ):  # its end is what it leads to, so it is not cut off
        clip = clip.pick(np.linspace(0, clip.num_frames - 1, plan.wanted_frames).round().astype(np.int64))
    return _noted(plan.finish(clip), plan.notes)


def _placed(request: FilmRequest, plan: FilmPlan) -> FilmRequest:
    """A request with its first and last picture among the others, at the times of the frames that are filmed."""
    first = () if request.first is None else ((request.first, 0.0),)
    last = () if request.last is None else ((request.last, (plan.frames - 1) / plan.fps),)
    return replace(request, first=None, last=None, pictures=(*first, *request.pictures, *last))


def _still(parts: Parts, request: FilmRequest) -> Clip:
    one = replace(request, workflow="generate", seconds=1 / (2 * parts.capabilities.fps), fps=None)
    return _generate(parts, one)


def _size(parts: Parts, request: FilmRequest) -> str | tuple[int, int] | None:
    """The size asked for, or that of what is given, or the model's own."""
    if request.size is not None:
        return request.size
    given = request.video or request.first or request.last or (request.pictures[0][0] if request.pictures else None)
    return None if given is None else parts.capabilities.fitted_size(given.frames.shape[2], given.frames.shape[1])


def _in_parts(parts: Parts, request: FilmRequest, plan: FilmPlan) -> Clip:
    """Film a plan in one pass, or in several where it has more frames than the model films: each part begins with the last picture
    of the one before."""
    late = [at for _, at in request.pictures if round(at * plan.fps) >= plan.frames]
    if late and plan.wanted_frames > plan.frames:
        most = plan.frames / plan.fps
        raise InputError(
            f"a picture at {late[0]:g} s: {parts.capabilities.model} films up to {most:g} s at once: ask for less"
        )
    first = parts.primitive(_pass(parts, request), plan)
    if plan.wanted_frames <= plan.frames:
        return first
    if not {"image", "extend"} & {*derived_workflows(parts.primitives, parts.capabilities.frames)}:
        most = plan.frames / plan.fps
        raise InputError(
            f"{parts.capabilities.model} films up to {most:g} s at once and cannot go on from a picture: ask for less"
        )
    return _joined([first, *_following(parts, request, plan, first, plan.wanted_frames - first.num_frames)])


def _following(parts: Parts, request: FilmRequest, plan: FilmPlan, known: Clip, wanted: int) -> list[Clip]:
    """So many frames or more that go on from the end of a clip, in as many parts as it takes."""
    rule, clips, known = parts.capabilities.frames, list[Clip](), known.fit(*plan.size)
    while wanted > 0:
        history = parts.history if "extend" in parts.primitives and known.num_frames >= parts.history else 1
        end = known.cut(slice(-history, None))
        one = replace(
            request, workflow="extend" if history > 1 else "image", pictures=((known.cut(slice(-1, None)), 0.0),), video=end,
            mask=None, seed=request.seed + len(clips) + 1,
        )  # fmt: skip
        filmed = parts.primitive(_pass(parts, one), replace(plan, frames=rule.at_least(wanted + history)))
        new = _going_on(parts, filmed.cut(slice(history - 1, None)), end.cut(slice(-1, None)))
        clips.append(new)
        known = _joined([replace(end, sound=None), replace(new, sound=None)])
        wanted -= new.num_frames
    return clips


def _going_on(parts: Parts, filmed: Clip, known: Clip) -> Clip:
    """What a film that began with a known picture shows after it."""
    after = filmed.cut(slice(1, None))
    if not parts.guard:
        return after
    return replace(after, frames=matched(after.frames, filmed.frames[:1], known.fit(*_size_of(filmed)).frames))


def _size_of(clip: Clip) -> tuple[int, int]:
    return clip.frames.shape[2], clip.frames.shape[1]


def _pass(parts: Parts, request: FilmRequest) -> FilmRequest:
    """A request in the words of a primitive that the engine has."""
    if request.workflow in parts.primitives:
        return request
    if request.workflow in ("image", "first_last") and "keyframes" in parts.primitives:
        return replace(request, workflow="keyframes")
    if request.workflow == "restyle" and "edit" in parts.primitives:
        return replace(request, workflow="edit")
    raise InputError(f"{parts.capabilities.model} cannot {request.workflow}")


def _joined(clips: Sequence[Clip]) -> Clip:
    """Clips of one size and rate one after another, with their sound."""
    count = sum(clip.num_frames for clip in clips)
    frames = held(chain.from_iterable(each(clip.frames) for clip in clips), count)
    sound = joined_sound([(clip.sound, clip.duration_s) for clip in clips])
    return replace(clips[0], frames=frames, sound=sound)


def _extend(parts: Parts, request: FilmRequest) -> Clip:
    """The given film as it is, and after it (or before it) what the model films from its edge."""
    video = _needs_video(request)
    fps = video.fps
    if request.before and "keyframes" not in parts.primitives:
        raise InputError(f"{parts.capabilities.model} films on after a clip, not up to one: leave out before")
    size = request.size or (video.frames.shape[2], video.frames.shape[1])
    plan = parts.capabilities.plan(request.seconds, fps, size)
    if request.before:
        new = _preceding(parts, request, plan, video.cut(slice(1)))
    else:
        edge = video.cut(slice(-1, None))
        known = edge if not parts.history else replace(video, sound=None, state=None).resample(plan.fps)
        new = _joined(_following(parts, request, plan, known, plan.wanted_frames)).cut(slice(plan.wanted_frames))
    new = new.resample(fps).fit(*plan.wanted_size)
    old = video.fit(*plan.wanted_size)
    joined = _joined([new, old] if request.before else [old, new])
    return _noted(replace(joined, state=None, settings={"extended": plan.wanted_frames / plan.fps}), plan.notes)


def _preceding(parts: Parts, request: FilmRequest, plan: FilmPlan, edge: Clip) -> Clip:
    """The frames that a plan wants, which lead up to a picture, in as many parts as it takes; the part filmed first comes last."""
    clips, wanted = list[Clip](), plan.wanted_frames
    while wanted > 0:
        frames = parts.capabilities.frames.at_least(wanted + 1)
        one = replace(
            request, workflow="keyframes", pictures=((edge, (frames - 1) / plan.fps),), video=None, seed=request.seed + len(clips)
        )  # fmt: skip
        filmed = parts.primitive(one, replace(plan, frames=frames))
        backwards = filmed.pick(np.arange(filmed.num_frames)[::-1])
        after = _going_on(parts, backwards, edge)
        clips.append(after.cut(slice(wanted)))
        wanted -= clips[-1].num_frames
        edge = clips[-1].cut(slice(-1, None))
    joined = _joined(clips)
    return joined.pick(np.arange(joined.num_frames)[::-1])


def _blend(parts: Parts, request: FilmRequest) -> Clip:
    """The first film, a passage from its last picture to the first of the second, and the second film."""
    video, second = _needs_video(request), request.second
    if second is None:
        raise InputError("a blend leads from one film to another: give both")
    size = request.size or (video.frames.shape[2], video.frames.shape[1])
    plan = parts.capabilities.plan(request.seconds, video.fps, size)
    wanted = parts.capabilities.frames.at_least(plan.wanted_frames + 2)
    if wanted < plan.wanted_frames + 2:
        raise InputError(
            f"{parts.capabilities.model} leads from one picture to another in up to {(wanted - 2) / plan.fps:g} s: ask for less"
        )
    end_s = (wanted - 1) / plan.fps
    pictures = ((video.cut(slice(-1, None)), 0.0), (second.cut(slice(1)), end_s))
    between = replace(request, workflow="first_last", pictures=pictures, video=None, second=None)
    filmed = parts.primitive(_pass(parts, between), replace(plan, frames=wanted))
    passage = filmed.pick(_spread(filmed.num_frames, plan.wanted_frames)).resample(video.fps).fit(*plan.wanted_size)
    after = second.resample(video.fps).fit(*plan.wanted_size)
    return _noted(replace(_joined([video.fit(*plan.wanted_size), passage, after]), state=None, settings={}), plan.notes)


def _spread(frames: int, count: int) -> NDArray[np.int64]:
    """Numbers of `count` frames strictly between the first and the last of `frames`, evenly spaced."""
    return np.linspace(0, frames - 1, count + 2)[1:-1].round().astype(np.int64)


def _infill(parts: Parts, request: FilmRequest) -> Clip:
    """From the first picture to the last, with one passage between each two."""
    given = sorted(request.pictures, key=lambda pair: pair[1])
    if len(given) < 2:
        raise InputError("infill needs at least two pictures, each with its time")
    if "keyframes" in parts.primitives:
        length = given[-1][1] - given[0][1]
        shifted = tuple((clip, at - given[0][1]) for clip, at in given)
        return _generate(
            parts, replace(request, workflow="keyframes", pictures=shifted, seconds=length + 1 / parts.capabilities.fps)
        )
    size = _size(parts, request)
    clips, notes = [], []
    for i, ((a, start), (b, end)) in enumerate(pairwise(given)):
        plan = parts.capabilities.plan(end - start, None, size)
        if plan.wanted_frames > plan.frames:
            raise InputError(
                f"{end - start:g} s between two pictures: {parts.capabilities.model} fills {plan.frames / plan.fps:g} s"
            )
        one = replace(request, workflow="first_last", pictures=((a, 0.0), (b, end - start)), seed=request.seed + i)
        frames = parts.capabilities.frames.at_least(plan.wanted_frames + 1)
        filmed = parts.primitive(_pass(parts, one), replace(plan, frames=frames))
        shown = np.linspace(0, filmed.num_frames - 1, plan.wanted_frames + 1).round().astype(np.int64)
        last = i == len(given) - 2
        clips.append(filmed.pick(shown if last else shown[:-1]).fit(*plan.wanted_size))
        notes += [note for note in plan.notes if note not in notes]
    joined = _joined(clips)
    return _noted(joined.resample(request.fps or joined.fps), notes)


def _edit(parts: Parts, request: FilmRequest) -> Clip:
    """A film made anew at its own rate, size and length, with its sound; outside a mask its pixels stay."""
    video = _needs_video(request)
    size = request.size or (video.frames.shape[2], video.frames.shape[1])
    plan = parts.capabilities.plan(video.duration_s, video.fps, size)
    if plan.wanted_frames > plan.frames:
        raise InputError(
            f"{video.duration_s:g} s: {parts.capabilities.model} edits up to {plan.frames / plan.fps:g} s at once; cut a part out"
            " of it first, with a video editor or by POST /v1/videos/trims"
        )
    made = plan.finish(parts.primitive(_pass(parts, request), plan))
    given = video.fit(*plan.wanted_size)
    frames = made.frames[: given.num_frames]
    if request.mask is not None:
        inside = request.mask.fit(*plan.wanted_size).frames[0].mean(-1) > 127
        frames = np.where(inside[None, ..., None], frames, given.frames[: len(frames)])
    return _noted(replace(made, frames=frames, fps=given.fps, sound=video.sound, state=None), plan.notes)


def _upscale(parts: Parts, request: FilmRequest) -> Clip:
    """A film shown larger, by default twice: by the model's own upscaler, or enlarged and then drawn finer by an edit that keeps
    most of it."""
    video = _needs_video(request)
    width, height = _size_of(video)
    wanted = parts.capabilities.check_size(request.size or (2 * width, 2 * height))
    if wanted[0] < width or wanted[1] < height or wanted == (width, height):
        raise InputError(f"upscale to {wanted[0]}x{wanted[1]}: expected a size larger than the film's {width}x{height}")
    if "upscale" not in parts.primitives:
        strength = UPSCALE_STRENGTH if request.strength is None else request.strength
        one = replace(
            request, workflow="edit", video=video.fit(*wanted), size=wanted, strength=strength,
            prompt=request.prompt or video.caption,
        )  # fmt: skip
        return _edit(parts, one)
    scale = max(wanted[0] / width, wanted[1] / height)
    made = video.fit(max(round(wanted[0] / scale), 1), max(round(wanted[1] / scale), 1))  # of the shape that is wanted
    for _ in range(max(math.ceil(math.log(scale, parts.factor) - 0.01), 1)):
        made = replace(_enlarged(parts, request, made), state=made.state)
    drawn, notes = _size_of(made), []
    if drawn != wanted:
        notes.append(f"enlarged to {drawn[0]}x{drawn[1]}, shown at {wanted[0]}x{wanted[1]}")
    return _noted(replace(made.fit(*wanted), sound=video.sound), notes)


def _enlarged(parts: Parts, request: FilmRequest, video: Clip) -> Clip:
    """A film through the model's own upscaler, in as many parts as it takes. Frames stay those that they are, whatever the rate;
    at the right and at the bottom edges are repeated up to sides that the model takes, and cut off again."""
    (width, height), multiple = _size_of(video), parts.capabilities.multiple
    size = (-(-width // multiple) * multiple, -(-height // multiple) * multiple)
    edges = ((0, size[1] - height), (0, size[0] - width), (0, 0))
    padded = held((np.pad(frame, edges, mode="edge") for frame in each(video.frames)), video.num_frames)
    shown = replace(video, frames=padded, sound=None, state=None)
    rule, clips = parts.capabilities.frames, list[Clip]()
    while (at := sum(clip.num_frames for clip in clips)) < shown.num_frames:
        frames = rule.at_least(shown.num_frames - at)
        rest = shown.cut(slice(at, at + frames))
        plan = FilmPlan(
            size=size, frames=frames, fps=video.fps, wanted_frames=frames, wanted_size=size, wanted_fps=video.fps
        )
        clips.append(parts.primitive(replace(request, video=rest), plan).cut(slice(rest.num_frames)))
    made = _joined(clips)
    right, bottom = width * made.frames.shape[2] // size[0], height * made.frames.shape[1] // size[1]
    return replace(made, frames=held((frame[:bottom, :right] for frame in each(made.frames)), made.num_frames))


UPSCALE_STRENGTH = 0.3
"""Of the edit that draws an enlarged film finer: colors and shapes stay, edges and textures are new."""


def _needs_video(request: FilmRequest) -> Clip:
    if request.video is None:
        raise InputError(f"{request.workflow} needs a video")
    return request.video


_WORKFLOWS: dict[Workflow, Callable[[Parts, FilmRequest], Clip]] = {
    "generate": _generate, "image": _generate, "first_last": _generate, "keyframes": _generate, "still": _still,
    "extend": _extend, "blend": _blend, "infill": _infill, "edit": _edit,
    "restyle": _edit, "upscale": _upscale,
}  # fmt: skip


def matched(frames: Frames, redrawn: Frames, known: Frames) -> Frames:
    """Frames by the change of color, channel by channel in mean and spread, that turns one picture into another; the spread is at
    most halved or doubled.

    Args:
        frames: Pixels uint8 [T, H, W, 3].
        redrawn: A picture [1, H, W, 3] as the model drew it before these frames.
        known: The picture [1, H, W, 3] that it was given.

    Returns:
        Pixels uint8 [T, H, W, 3].
    """
    (wanted, wide), (drawn, spread) = _colors(known), _colors(redrawn)
    scale = np.clip(wide / np.maximum(spread, 1e-3), 0.5, 2.0)
    changed = ((frame - drawn) * scale + wanted for frame in each(frames))
    return held((np.rint(frame.clip(0, 255)).astype(np.uint8) for frame in changed), len(frames))


def _colors(picture: Frames) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel, [3] each."""
    pixels = picture.astype(np.float64)
    return pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
