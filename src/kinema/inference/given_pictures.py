"""Pictures that a film is to show: read, looked at, and laid onto its canvas.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas
from kinema.errors import InputError
from kinema.inference import limits
from kinema.inference.canvas_io import encode_frames, padded_size
from kinema.inference.familiarity import foreign_note, is_foreign
from kinema.inference.keyframes import lay_scenes, scenes_at
from kinema.media import AnyClip, Clip
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.types import Frames


@dataclass(frozen=True, kw_only=True)
class GivenPicture:
    """The first frame of a clip at a time in seconds; without a time, its last frame at the end of the film."""

    clip: Clip
    at_s: float | None


def read_timed_pictures(model: Model, given: Sequence[tuple[AnyClip, float]]) -> list[tuple[Clip, float]]:
    """Pictures with their seconds; InputError for anything but pairs."""
    pairs = []
    for one in given:
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise InputError(f"a picture given as {type(one).__name__}: expected pairs (picture, second)")
        if not limits.is_number(one[1]) or not 0 <= one[1] < 1e6:
            raise InputError(f"a picture at {one[1]!r} s: expected a time from 0 on")
        pairs.append((Clip.of(one[0], first=1, sound=False, **limits.reading(model)), float(one[1])))
    return pairs


def read_given(
    model: Model, first: AnyClip | None, last: AnyClip | None, timed: Sequence[tuple[AnyClip, float]]
) -> list[GivenPicture]:
    """The pictures at the beginning, at the end and at times in seconds, in this order."""
    given = []
    if first is not None:
        given.append(GivenPicture(clip=Clip.of(first, first=1, sound=False, **limits.reading(model)), at_s=0.0))
    if last is not None:
        given.append(GivenPicture(clip=Clip.of(last, last=1, sound=False, **limits.reading(model)), at_s=None))
    return [*given, *(GivenPicture(clip=clip, at_s=at_s) for clip, at_s in read_timed_pictures(model, timed))]


def without_foreign(model: Model, given: Sequence[GivenPicture]) -> tuple[list[GivenPicture], dict[str, str]]:
    """The pictures without those that are foreign to the model, from which a film of words would only jump away; and for the
    settings, a note of that."""
    shown = [picture for picture in given if not is_foreign(picture.clip, model)]
    foreign = [picture.clip for picture in given if picture not in shown]
    return shown, foreign_note(foreign, model, left_out=True)


def lay_pictures(
    model: Model, canvas: Canvas, given: Sequence[GivenPicture], *, fps: float, size: tuple[int, int]
) -> tuple[Canvas, dict[int, Frames], dict[str, Any]]:
    """Lay pictures, and the scenes that they bring, onto a canvas.

    Args:
        model: The model that fills the canvas.
        canvas: Of T frames.
        given: The pictures, fitted to the size.
        fps: Frames per second of the canvas.
        size: (width, height) in pixels.

    Returns:
        The canvas; the pictures uint8 [H, W, 3] by their frames; and what the film's settings say of them.

    Raises:
        InputError: A picture lies outside the film, or two pictures at one frame.
    """
    frames, (width, height) = canvas.num_frames, size
    known: dict[int, Frames] = {}
    scenes: dict[int, Scene | None] = {}
    for picture in given:
        index = frames - 1 if picture.at_s is None else round(picture.at_s * fps)
        if not 0 <= index < frames:
            raise InputError(f"a picture at {picture.at_s:g} s: the film goes from 0 to {(frames - 1) / fps:g} s")
        if index in known:
            raise InputError(f"two pictures at {index / fps:g} s: expected one for each frame (1/{fps:g} s)")
        fitted = picture.clip.fit(width, height)
        which = fitted.num_frames - 1 if picture.at_s is None else 0
        known[index], scenes[index] = fitted.frames[which], scenes_at(fitted, [which])[0]
        cells = encode_frames(model, known[index][None], *padded_size(model, height, width))
        canvas = conditioning.known_frames(canvas, [index], cells.expand(canvas.batch, -1, -1, -1, -1))
    settings: dict[str, Any] = {"pictures": sorted(known)} if known else {}
    sizes = {picture.clip.source_size or picture.clip.size for picture in given} - {f"{width}x{height}"}
    if sizes:
        settings["scaled_from"] = ", ".join(sorted(sizes))
    return lay_scenes(canvas, scenes), known, settings
