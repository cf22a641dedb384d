"""Renders jobs: each kind of request as a call of `kinema.api`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from kinema import api
from kinema.engines.protocol import Engine, Lora
from kinema.errors import InputError
from kinema.inference import limits
from kinema.inference.checkpoint import WindowCheckpoint
from kinema.inference.familiarity import FOREIGN
from kinema.inference.pipeline import OnFrames, Progress
from kinema.inference.sampling import SamplingConfig
from kinema.media import Clip
from kinema.media.frame_buffer import each, held
from kinema.media.sound import joined_sound
from kinema.models.hub import Model, available_models
from kinema.provenance import Making
from kinema.scene.scene import Scene

Load = Callable[[dict[str, Any]], Clip]
"""Loads the clip of a reference {"file": id} or {"video": id}."""

KINDS = ("generate", "remix", "edit", "extend", "blend", "loop", "trim", "join", "render", "restyle", "record")


def shape_of(kind: str, model: str, request: dict[str, Any]) -> str | None:
    """A key that is equal for jobs that can be rendered in one pass; None: the job is rendered alone."""
    if (
        kind != "generate"
        or model not in available_models()
        or any(request.get(name) for name in ("image", "last", "keyframes", "camera"))
    ):
        return None
    parts = [model, *(request.get(name) for name in ("seconds", "size", "fps", "steps", "guidance", "strict"))]
    return "|".join(str(part) for part in parts)


def sources_of(kind: str, request: dict[str, Any]) -> list[dict[str, str]]:
    """References to the videos and pictures whose pixels stand in what a job makes, the one it is mostly made of first. A recorded
    world and a painted state have none: all their pixels are the model's."""
    if kind in ("record", "restyle"):
        return []
    if kind == "join":
        return [dict(one) for one in dict.fromkeys(tuple(part["video"].items()) for part in request["parts"])]
    names = {"generate": ("image",), "blend": ("a", "b")}.get(kind, ("video",))
    shown = [request.get(name) for name in names]
    if kind == "generate":
        shown += [*(frame["picture"] for frame in request.get("keyframes") or ()), request.get("last")]
    return [reference for reference in shown if reference]


def as_made(kind: str, request: dict[str, Any], clip: Clip) -> dict[str, Any]:
    """A request without the pictures that the film does not show, where all of them were left out as foreign to the model."""
    if kind != "generate" or FOREIGN not in clip.settings or "pictures" in clip.settings:
        return request
    return {name: value for name, value in request.items() if name not in ("image", "last", "keyframes")}


def making_of(kind: str, request: dict[str, Any]) -> Making:
    """How a job's video is made, as its manifest says: a trim or join is cut from videos, what has sources is made out of them."""
    if not sources_of(kind, request):
        return "created"
    return "edited" if kind in ("trim", "join") else "composite"


def options_of(request: dict[str, Any]) -> SamplingConfig | None:
    """The sampler options of a request; None if it sets none."""
    names = {"steps": "num_plan_steps", "guidance": "guidance_scale"}
    arguments = {names[name]: request[name] for name in names if request.get(name) is not None}
    return SamplingConfig(**arguments) if arguments else None


def make_together(
    model: Model, requests: Sequence[dict[str, Any]], progress: Progress, watch: OnFrames | None = None,
    checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:  # fmt: skip
    """Render jobs of one shape in one pass. checkpoint: of all of them."""
    first = requests[0]
    return api.films(
        [request["prompt"] for request in requests], [request["seed"] for request in requests], model=model,
        seconds=first["seconds"], size=first["size"], fps=first["fps"], options=options_of(first),
        strict=bool(first.get("strict")), progress=progress, watch=watch, checkpoint=checkpoint,
    )  # fmt: skip


def render_job(
    kind: str, engine: Engine | None, request: dict[str, Any], load: Load, progress: Progress,
    checkpoint: WindowCheckpoint | None = None,
) -> Clip:  # fmt: skip
    """Render one job alone. engine: None for kinds WITHOUT_MODEL. checkpoint: of a film that is generated."""
    common: dict[str, Any] = {"model": engine, "seed": request["seed"], "progress": progress}
    arguments: dict[str, Any] = {
        **common, "size": request["size"], "strict": bool(request.get("strict")), "steps": request.get("steps"),
        "guidance": request.get("guidance"),
    }  # fmt: skip
    prompt = request.get("prompt", "")
    if kind == "generate":
        return _generate(request, load, {**arguments, "checkpoint": checkpoint})
    if kind in ("edit", "remix"):
        mask = load(request["mask"]) if request.get("mask") else None
        return api.edit(load(request["video"]), prompt, strength=request["strength"], mask=mask, **arguments)
    if kind == "extend":
        return api.extend(
            load(request["video"]), prompt, seconds=request["seconds"], before=bool(request.get("before")), **arguments
        )
    if kind == "blend":
        return api.blend(load(request["a"]), load(request["b"]), prompt, seconds=request["seconds"], **arguments)
    if kind == "loop":
        clip = load(request["video"])
        joined = api.blend(clip, clip, prompt, seconds=request["seconds"], **arguments)
        return replace(joined, frames=joined.frames[: joined.num_frames - clip.num_frames], state=None)
    if kind == "trim":
        clip = load(request["video"])
        made = trim(clip.fit(*limits.parse_size(request["size"])), request["cuts"])
        scaled = {"scaled_from": clip.size} if clip.size != made.size else {}
        return replace(made, settings={**made.settings, "size": made.size, **scaled})
    if kind == "join":
        parts = [(load(part["video"]), part["start"], part["end"]) for part in request["parts"]]
        return join_parts(parts, size=request["size"], fps=request["fps"])
    if kind == "record":
        return load(request["video"])
    if kind == "render":
        return api.render(Scene.from_dict(request["state"]), size=request.get("size"), options=options_of(request), **common)
    if kind == "restyle":
        source = Scene.from_dict(request["state"]) if request.get("state") else load(request["video"])
        return api.restyle(
            source, prompt, control=request["control"], strength=request["strength"], size=request["size"],
            steps=request["steps"], guidance=request["guidance"], negative_prompt=request["negative_prompt"],
            loras=_loras(request), **common,
        )  # fmt: skip
    raise InputError(f"no kind of work {kind!r}; there are {', '.join(KINDS)}")


def _generate(request: dict[str, Any], load: Load, arguments: dict[str, Any]) -> Clip:
    """Generate a clip from a prompt and pictures at the ends or at given times."""
    image, last = (load(request[name]) if request.get(name) else None for name in ("image", "last"))
    pictures = [(load(frame["picture"]), float(frame["at"])) for frame in request.get("keyframes") or ()]
    return api.generate(
        request["prompt"], seconds=request["seconds"], fps=request["fps"],
        image=image, last=last, camera=request.get("camera") or (),
        pictures=pictures, negative_prompt=request.get("negative_prompt", ""),
        loras=_loras(request), **arguments,
    )[0]  # fmt: skip


def _loras(request: dict[str, Any]) -> list[Lora]:
    """LoRA by the names that the model has them under."""
    return [Lora(source=name, scale=scale) for name, scale in request.get("loras") or ()]


def trim(clip: Clip, cuts: Sequence[Sequence[float]]) -> Clip:
    """Join parts of a clip in the given order, each with its sound. cuts: (start, end) in seconds."""
    picks: list[int] = []
    for start, end in cuts:
        first, last = round(start * clip.fps), min(round(end * clip.fps), clip.num_frames)
        if not 0 <= first < last:
            raise InputError(f"cut {start:g} to {end:g} s: expected a part of the {clip.duration_s:g} s that there are")
        picks += range(first, last)
    settings = {**clip.settings, "layout": "trim", "cuts": [list(cut) for cut in cuts]}
    return replace(clip.pick(np.array(picks)), settings=settings)


def join_parts(parts: Sequence[tuple[Clip, float, float]], *, size: str, fps: float) -> Clip:
    """Join parts of clips in the given order, at one size and frame rate, each with its sound. parts: (clip, start, end), times in
    seconds."""
    pieces = [trim(clip, [(start, end)]).resample(fps).fit(*limits.parse_size(size)) for clip, start, end in parts]
    sound = joined_sound([(piece.sound, piece.duration_s) for piece in pieces])
    settings = {"layout": "join", "size": size, "cuts": [[start, end] for _, start, end in parts]}
    shown = chain.from_iterable(each(piece.frames) for piece in pieces)
    frames = held(shown, sum(piece.num_frames for piece in pieces))
    return Clip(frames=frames, fps=fps, sound=sound, settings=settings)
