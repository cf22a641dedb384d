"""From a shot of a script to a request of an engine, and to a take.

Models with a state are given a staged first picture, with the same cast by its identities, or the last pictures of the shot before;
others its last picture. Pictures that are given stand in a film as they are, so they are cut off again: a take holds only what the
model made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinema.director.filming.live import film_live
from kinema.director.filming.staging import (
    CameraStop,
    camera_at,
    camera_stops,
    closing_positions,
    identities_of,
    in_motion,
    opening_positions,
    opening_speeds,
    places_in,
    staged_picture,
    staged_scene,
)
from kinema.director.script import CastIdentity, Script, Shot
from kinema.engines import Capabilities, Engine, FilmRequest
from kinema.engines.registry import parse_lora
from kinema.errors import InputError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.scene.scene import Scene

TakeChange = Literal["", "seed", "keyframe", "simpler"]
"""What a take does otherwise than the first: another seed; also a planned last picture; only the words of the events."""
HANDED_OVER = 3
"""Pictures of the shot before that a model with a state goes on from: the fewest that show velocities."""


@dataclass(frozen=True, kw_only=True)
class TakePlan:
    """How a take is filmed. number: from 1 on. reason: what the take before failed by, that this change answers."""

    number: int
    seed: int
    change: TakeChange = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Handover:
    """The take from which a shot goes on, and the camera of its shot."""

    clip: Clip
    stops: tuple[CameraStop, ...] = ()


def handover_of(clip: Clip) -> Handover:
    """A take as the shot after it goes on from it, with the camera that its state holds."""
    if clip.state is None:
        return Handover(clip=clip)
    camera, ends = clip.state.camera, (0, clip.num_frames - 1)
    stops = tuple((i / clip.fps, float(camera[i, 0]), float(camera[i, 1]), float(camera[i, 2])) for i in ends)
    return Handover(clip=clip, stops=stops)


@dataclass(frozen=True, kw_only=True, eq=False)
class StagedShot:
    """What a model with a state is given for a shot. pictures: the first pictures, with their state; last: planned ones after its
    end; stops: the camera."""

    identities: Mapping[str, CastIdentity]
    pictures: Clip
    last: Clip
    stops: tuple[CameraStop, ...]


def film_size(script: Script, capabilities: Capabilities) -> tuple[int, int]:
    """(width, height) in pixels of a production's film: its size, or its aspect at about the model's usual number of pixels."""
    if script.production.size is not None:
        return capabilities.check_size(script.production.size)
    across, up = (int(part) for part in script.production.aspect.split(":"))
    width, height = capabilities.size
    if capabilities.state:
        return capabilities.nearest_size(round(height * across / up), height)
    scale = (width * height / (across * up)) ** 0.5
    return capabilities.nearest_size(max(round(across * scale), 1), max(round(up * scale), 1))


def stage_shot(script: Script, shot: Shot, size: tuple[int, int], fps: float, before: Handover | None) -> StagedShot:
    """Stage a shot for a model with a state: see `kinema.director.filming.staging`.

    Args:
        script: The script.
        shot: One of its shots.
        size: (width, height) in pixels.
        fps: Frames per second.
        before: What it goes on from. None: it begins anew.

    Returns:
        Its pictures and camera.
    """
    identities = identities_of(script, shot)
    place = script.place_of(shot)
    aspect = size[0] / size[1]
    state = None if before is None else before.clip.state
    known = {} if state is None else places_in(state, identities)
    opening = opening_positions(shot, identities, known)
    closing = closing_positions(shot, identities, opening)
    stops = camera_stops(shot, {**opening, **closing}, aspect)
    setting: dict[str, Any] = {"fps": fps, "aspect": aspect}
    if state is not None:
        setting |= {"background": state.background, "view": state.view}
    elif place is not None:
        setting |= {key: value for key in ("background", "view") if (value := getattr(place, key))}
    times = [0.0] if state is None else [(i - HANDED_OVER) / fps for i in range(HANDED_OVER)]
    cameras = camera_at(stops, times)
    first = staged_scene(identities, opening, camera=cameras[0], **setting)
    if state is not None and before is not None:
        pictures = _handed_over(before, state, first, cameras, size)
    else:
        speeds = {
            list(identities).index(id): speed for id, speed in opening_speeds(shot, known, opening, identities).items()
        }
        pictures = staged_picture(in_motion(first, speeds, HANDED_OVER if speeds else 1), *size)
    last = staged_scene(identities, closing, camera=camera_at(stops, [shot.seconds])[0], **setting)
    resting = staged_picture(in_motion(last, {}, HANDED_OVER), *size)
    return StagedShot(identities=identities, pictures=pictures, last=resting, stops=stops)


def _handed_over(
    before: Handover, state: Scene, first: Scene, cameras: np.ndarray[Any, np.dtype[np.float32]], size: tuple[int, int]
) -> Clip:
    """The last pictures of a take, for the cast of the next shot: those themselves where camera and cast stay, else its states seen
    by the new camera."""
    frames = min(HANDED_OVER, state.num_frames)
    tail = state.frames(slice(-frames, None))
    moving: dict[str, Any] = {
        name: np.repeat(getattr(first, name), frames, 0) for name in ("x", "y", "vx", "vy", "angle", "visible")
    }
    for slot in first.entities:
        old = next((k for k in tail.entities if tail.name(k) == first.name(slot)), None)
        if old is not None:
            for name, values in moving.items():
                if name != "visible":
                    values[:, slot] = getattr(tail, name)[:, old]
    scene = replace(first, **moving, camera=cameras[-frames:])
    same_camera = bool(np.allclose(tail.camera, scene.camera, atol=0.02))
    same_cast = {tail.name(k) for k in tail.entities} <= {first.name(k) for k in first.entities}
    if same_camera and same_cast and before.clip.size == f"{size[0]}x{size[1]}":
        return Clip(frames=before.clip.frames[-frames:], fps=first.fps, state=scene)
    return staged_picture(scene, *size)


def film_take(
    engine: Engine, script: Script, shot: Shot, take: TakePlan, *, before: Handover | None = None, folder: Path | None = None,
    pictures: Mapping[str, Clip] | None = None, progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Clip:  # fmt: skip
    """Film one take of a shot.

    Args:
        engine: What films.
        script: The script.
        shot: One of its shots.
        take: Its seed and what is changed.
        before: The take that the shot goes on from, if any.
        folder: Where files that the script names are looked for. None: the current folder.
        pictures: Instead of files: clips by the names that the script has for its first and last frames.
        progress: Called with (stage, steps done, steps in all).
        cancelled: Asked before each step.

    Returns:
        The take: shot.seconds long, with its state where the model has one.

    Raises:
        InputError: The model cannot film this, or a file of the script cannot be read.
        EngineError: The engine failed.
        Cancelled: `cancelled` returned True.
    """
    capabilities = engine.capabilities
    size = film_size(script, capabilities)
    fps = script.production.fps or capabilities.fps
    request = FilmRequest(
        workflow="generate", prompt=take_prompt(script, shot, capabilities, take), seconds=shot.seconds, size=size, fps=fps,
        seed=take.seed, loras=_loras(script, shot, capabilities),
    )  # fmt: skip
    more: dict[str, Any] = {} if cancelled is None else {"cancelled": cancelled}
    if shot.live:
        if not capabilities.state:
            raise InputError(
                f'shot "{shot.id}": cues and actors need a model with a state, and {capabilities.model} has none'
            )
        actor = None if shot.actor is None else (folder or Path()) / shot.actor
        return film_live(
            engine, stage_shot(script, shot, size, fps, before), shot.cues, actor=actor,
            frames=max(round(shot.seconds * fps), 1), size=size, fps=fps, seed=take.seed, progress=progress, **more,
        )  # fmt: skip
    if capabilities.state and shot.first_frame is None and shot.last_frame is None:
        return _staged_take(engine, script, shot, take, request, before, progress, more)
    request = _with_pictures(request, shot, capabilities, before, folder or Path(), pictures or {})
    return engine.film(request, progress, **more)[0]


def _staged_take(
    engine: Engine, script: Script, shot: Shot, take: TakePlan, request: FilmRequest, before: Handover | None,
    progress: Progress | None, more: dict[str, Any],
) -> Clip:  # fmt: skip
    assert isinstance(request.size, tuple) and request.fps is not None and request.seconds is not None
    staged = stage_shot(script, shot, request.size, request.fps, before)
    given, frames = staged.pictures.num_frames, max(round(request.seconds * request.fps), 1)
    closing = staged.last.num_frames if take.change == "keyframe" and shot.events else 0
    pictures = _timed(staged.pictures, 0, request.fps) + _timed(staged.last, given + frames, request.fps)[:closing]
    lead = given / request.fps
    request = replace(
        request, workflow="keyframes", seconds=(given + frames + closing) / request.fps, pictures=pictures,
        camera=(_at(staged.stops[0], 0.0), *(_at(stop, stop[0] + lead) for stop in staged.stops)),
    )  # fmt: skip
    clip = engine.film(request, progress, **more)[0]
    return clip.cut(slice(given, given + frames))


def _at(stop: CameraStop, second: float) -> CameraStop:
    """A stop of the camera at another time."""
    return second, stop[1], stop[2], stop[3]


def _timed(clip: Clip, first: int, fps: float) -> tuple[tuple[Clip, float], ...]:
    """The pictures of a clip at the times of frames from `first` on."""
    return tuple((clip.cut(slice(i, i + 1)), (first + i) / fps) for i in range(clip.num_frames))


def take_prompt(script: Script, shot: Shot, capabilities: Capabilities, take: TakePlan) -> str:
    """The words that a take is filmed by. Models with a state are given the shot's prompt alone; others also how the camera
    looks and the production's style."""
    prompt = shot.prompt
    if take.change == "simpler":
        prompt = simpler_prompt(script, shot)
    if capabilities.state:
        return prompt
    camera = "" if shot.camera == "still" else f"the camera {_CAMERA_WORDS[shot.camera]}"
    place = script.place_of(shot)
    look = place.look if place is not None and place.look and place.look not in prompt else ""
    parts = (prompt, shot.motion, look, f"{shot.framing} shot", camera, script.production.style)
    return ". ".join(part.strip().rstrip(".") for part in parts if part.strip())


_CAMERA_WORDS = {
    "pan left": "pans left", "pan right": "pans right", "tilt up": "tilts up", "tilt down": "tilts down", "zoom in": "zooms in",
    "zoom out": "zooms out", "follow": "moves along",
}  # fmt: skip


def simpler_prompt(script: Script, shot: Shot) -> str:
    """A prompt of the shot's first event alone, or its first sentence."""
    if not shot.events:
        return shot.prompt.split(". ")[0]
    from kinema.director.planning.grammar import event_words

    looks = {id: script.member(id).look for id in shot.cast}
    return event_words(shot.events[:1], looks)


def _loras(script: Script, shot: Shot, capabilities: Capabilities) -> tuple[Any, ...]:
    named = [name for id in shot.cast for name in script.member(id).loras]
    if named and not capabilities.loras:
        raise InputError(f'shot "{shot.id}": its cast has LoRA, and {capabilities.model} takes none')
    return tuple(parse_lora(name) for name in dict.fromkeys(named))


def _with_pictures(
    request: FilmRequest, shot: Shot, capabilities: Capabilities, before: Handover | None, folder: Path,
    pictures: Mapping[str, Clip],
) -> FilmRequest:  # fmt: skip
    """The request with the pictures that a shot begins and ends with."""
    first = None
    if shot.first_frame is not None:
        given = pictures.get(shot.first_frame)
        first = Clip.open(folder / shot.first_frame, first=1, sound=False) if given is None else given.cut(slice(0, 1))
    elif before is not None:
        first = before.clip.cut(slice(before.clip.num_frames - 1, None))
    last = None
    if shot.last_frame is not None:
        given = pictures.get(shot.last_frame)
        last = Clip.open(folder / shot.last_frame, last=1, sound=False) if given is None else given.cut(slice(-1, None))
    if first is None and last is None:
        return request
    workflow: Literal["first_last", "image", "keyframes"] = (
        "keyframes" if first is None else "image" if last is None else "first_last"
    )
    if workflow not in capabilities.workflows and last is None:
        return request
    return replace(request, workflow=workflow, first=first, last=last)
