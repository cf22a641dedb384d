"""Renders jobs: each kind of request as a call of `kinema.api`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import numpy as np

from kinema import api
from kinema.engines.catalog import capabilities_named
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


class ClipSources(Protocol):
    """Loads what a job is made from, by references {"file": id} or {"video": id} (`kinema.server.jobs.sources`)."""

    def clip(self, reference: dict[str, str], size: str | None = None) -> Clip: ...

    def parts(self, reference: dict[str, str], cuts: Sequence[Sequence[float]]) -> list[Clip] | None: ...


KINDS = ("generate", "remix", "edit", "extend", "blend", "loop", "trim", "join", "render", "restyle", "upscale", "record")


def shape_of(kind: str, model: str, request: dict[str, Any]) -> str | None:
    """A key that is equal for jobs that can be rendered in one pass; None: the job is rendered alone."""
    if kind != "generate" or any(request.get(name) for name in ("image", "last", "keyframes", "camera", "loras")):
        return None
    shape: tuple[str, ...] = ("seconds", "size", "fps", "steps", "guidance", "strict")
    if model not in available_models():
        if capabilities_named(model).batch < 2:
            return None
        shape += ("negative_prompt",)
    return "|".join(str(part) for part in (model, *(request.get(name) for name in shape)))


def sources_of(kind: str, request: dict[str, Any]) -> list[dict[str, str]]:
    """References to the videos and pictures whose pixels stand in what a job makes, the one it is mostly made of first. A recorded
    world and a painted state have none: all their pixels are the model's."""
    if kind in ("record", "restyle"):
        return []
    if kind == "join":
        return [dict(one) for one in dict.fromkeys(tuple(part["video"].items()) for part in request["parts"])]
    if kind == "cut":
        return [{"video": id} for id in dict.fromkeys(request["takes"])]
    if kind == "take":
        return [
            reference for name in (*(["before"] * request["goes_on"]), "image", "last") if (reference := request.get(name))
        ]
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
    return "edited" if kind in ("trim", "join", "cut") else "composite"


def options_of(request: dict[str, Any]) -> SamplingConfig | None:
    """The sampler options of a request; None if it sets none."""
    names = {"steps": "num_plan_steps", "guidance": "guidance_scale"}
    arguments = {names[name]: request[name] for name in names if request.get(name) is not None}
    return SamplingConfig(**arguments) if arguments else None


def make_together(
    model: Engine | Model, requests: Sequence[dict[str, Any]], progress: Progress, watch: OnFrames | None = None,
    checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:  # fmt: skip
    """Render jobs of one shape in one pass. checkpoint: of all of them."""
    first = requests[0]
    return api.films(
        [request["prompt"] for request in requests], [request["seed"] for request in requests], model=model,
        seconds=first["seconds"], size=first["size"], fps=first["fps"], steps=first.get("steps"),
        guidance=first.get("guidance"), negative_prompt=first.get("negative_prompt") or "",
        strict=bool(first.get("strict")), progress=progress, watch=watch, checkpoint=checkpoint,
    )  # fmt: skip


def render_job(
    kind: str, engine: Engine | None, request: dict[str, Any], sources: ClipSources, progress: Progress,
    checkpoint: WindowCheckpoint | None = None,
) -> Clip:  # fmt: skip
    """Render one job alone. engine: None for kinds WITHOUT_MODEL. checkpoint: of a film that is generated."""
    common: dict[str, Any] = {"model": engine, "seed": request["seed"], "progress": progress}
    arguments: dict[str, Any] = {
        **common, "size": request["size"], "strict": bool(request.get("strict")), "steps": request.get("steps"),
        "guidance": request.get("guidance"),
    }  # fmt: skip
    prompt = request.get("prompt", "")

    def whole(name: str) -> Clip:
        return sources.clip(request[name], request["size"])

    if kind == "generate":
        return _generate(request, sources.clip, {**arguments, "checkpoint": checkpoint})
    if kind in ("edit", "remix"):
        mask = sources.clip(request["mask"]) if request.get("mask") else None
        return api.edit(whole("video"), prompt, strength=request["strength"], mask=mask, **arguments)
    if kind == "extend":
        return api.extend(
            whole("video"), prompt, seconds=request["seconds"], before=bool(request.get("before")), **arguments
        )
    if kind == "blend":
        return api.blend(whole("a"), whole("b"), prompt, seconds=request["seconds"], **arguments)
    if kind == "upscale":
        return api.upscale(
            sources.clip(request["video"]), prompt, strength=request["strength"], size=request["size"], steps=request.get("steps"),
            guidance=request.get("guidance"), **common,
        )  # fmt: skip
    if kind == "loop":
        clip = whole("video")
        joined = api.blend(clip, clip, prompt, seconds=request["seconds"], **arguments)
        return replace(joined, frames=joined.frames[: joined.num_frames - clip.num_frames], state=None)
    if kind == "trim":
        return _trimmed(request, sources)
    if kind == "join":
        parts = [part for given in request["parts"] for part in _joined_part(given, sources)]
        return join_parts(parts, size=request["size"], fps=request["fps"])
    if kind == "record":
        return sources.clip(request["video"])
    if kind == "render":
        return api.render(Scene.from_dict(request["state"]), size=request.get("size"), options=options_of(request), **common)
    if kind == "restyle":
        source = Scene.from_dict(request["state"]) if request.get("state") else whole("video")
        return api.restyle(
            source, prompt, control=request["control"], strength=request["strength"], size=request["size"],
            steps=request["steps"], guidance=request["guidance"], negative_prompt=request["negative_prompt"],
            loras=loras_in(request), **common,
        )  # fmt: skip
    raise InputError(f"no kind of work {kind!r}; there are {', '.join(KINDS)}")


def _trimmed(request: dict[str, Any], sources: ClipSources) -> Clip:
    """Parts of a clip; of a long film only they are read."""
    cuts, (width, height) = request["cuts"], limits.parse_size(request["size"])
    parts = sources.parts(request["video"], cuts)
    if parts is None:
        clip = sources.clip(request["video"])
        made, size = trim(clip.fit(width, height), cuts), clip.size
    else:
        size = parts[0].source_size or parts[0].size
        made = join_parts(
            [(part, 0.0, part.duration_s) for part in parts], size=request["size"], fps=parts[0].fps, cuts=cuts
        )
        made = replace(made, settings={**made.settings, "layout": "trim"})
    scaled = {"scaled_from": size} if size != made.size else {}
    return replace(made, settings={**made.settings, "size": made.size, **scaled})


def _joined_part(given: dict[str, Any], sources: ClipSources) -> list[tuple[Clip, float, float]]:
    """A part of a join, as `join_parts` takes it; of a long film only it is read."""
    parts = sources.parts(given["video"], [(given["start"], given["end"])])
    if parts is None:
        return [(sources.clip(given["video"]), given["start"], given["end"])]
    return [(part, 0.0, part.duration_s) for part in parts]


def _generate(request: dict[str, Any], load: Callable[[dict[str, str]], Clip], arguments: dict[str, Any]) -> Clip:
    """Generate a clip from a prompt and pictures at the ends or at given times."""
    image, last = (load(request[name]) if request.get(name) else None for name in ("image", "last"))
    pictures = [(load(frame["picture"]), float(frame["at"])) for frame in request.get("keyframes") or ()]
    return api.generate(
        request["prompt"], seconds=request["seconds"], fps=request["fps"],
        image=image, last=last, camera=request.get("camera") or (),
        pictures=pictures, negative_prompt=request.get("negative_prompt", ""),
        loras=loras_in(request), **arguments,
    )[0]  # fmt: skip


def loras_in(request: Mapping[str, Any]) -> tuple[Lora, ...]:
    """LoRA by the names that the model has them under."""
    return tuple(Lora(source=name, scale=scale) for name, scale in request.get("loras") or ())


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


def join_parts(
    parts: Sequence[tuple[Clip, float, float]], *, size: str, fps: float, cuts: Sequence[Sequence[float]] | None = None
) -> Clip:
    """Join parts of clips in the given order, at one size and frame rate, each with its sound. parts: (clip, start, end), times in
    seconds. cuts: what the settings say of them, by default these times."""
    pieces = [trim(clip, [(start, end)]).resample(fps).fit(*limits.parse_size(size)) for clip, start, end in parts]
    sound = joined_sound([(piece.sound, piece.duration_s) for piece in pieces])
    settings = {
        "layout": "join",
        "size": size,
        "cuts": [list(cut) for cut in cuts or [(start, end) for _, start, end in parts]],
    }
    shown = chain.from_iterable(each(piece.frames) for piece in pieces)
    frames = held(shown, sum(piece.num_frames for piece in pieces))
    return Clip(frames=frames, fps=fps, sound=sound, settings=settings)
