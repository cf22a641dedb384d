"""Writes the files of a finished clip: the watermarked, signed and optionally labelled video, a thumbnail, a spritesheet and the
state."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from kinema.media import Clip
from kinema.media.read import read_clip
from kinema.media.wanted import FramePart, Wanted
from kinema.provenance import (
    Identity,
    Ingredient,
    Making,
    can_sign,
    detect,
    detect_unchanged,
    label,
    mark,
    sign,
    small_copies,
)

VIDEO, THUMBNAIL, SHEET, STATE = "video.mp4", "thumbnail.jpg", "spritesheet.jpg", "state.json"
COPIES = "copies.npz"
"""Small copies of the frames, by which a film that carries this one's mark is compared with it."""
SEARCHED_FRAMES = (16, 128)
"""First frames of a film in which its watermark is looked for once it is written; a few are enough for most."""
UNREADABLE = {"watermark": "unreadable"}
"""In the settings of a video whose watermark cannot be read from its file."""
THUMBNAIL_SIDE = 256
SHEET_MOST, SHEET_SIDE = 64, 128
"""Frames of a spritesheet, and the longest side of one of them."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The published video: its size in bytes, the watermark's id as hex, and whether the watermark can be read from the file."""

    bytes: int
    mark: str
    readable: bool


def mark_of(video: str) -> int:
    """The watermark of a video: 40 bits of its id."""
    return int(video.removeprefix("video_")[:10], 16)


def mark_text(id: int) -> str:
    return f"{id:010x}"


def write_film(
    folder: Path, clip: Clip, *, video: str, identity: Identity, visible: bool, model: str, making: Making = "created",
    sources: Sequence[Ingredient] = (),
) -> Published:  # fmt: skip
    """Write all files of a video into a folder. making, sources: how and from what it was made, for its manifest."""
    id = mark_of(video)
    frames = label(clip.frames) if visible else clip.frames
    settings = {**clip.settings, "video": video}
    shown = replace(clip, frames=mark(frames, id), settings=settings)
    path = shown.save(folder / VIDEO)
    if can_sign(path):
        sign(
            path,
            identity,
            model=model,
            settings=settings,
            made_at=datetime.now(UTC),
            title=clip.caption[:200],
            watermark_id=id,
            making=making,
            sources=sources,
        )
    middle = shown.picture(shown.num_frames // 2)
    _fit(middle, THUMBNAIL_SIDE).save(folder / THUMBNAIL, quality=85)
    _sheet(shown).save(folder / SHEET, quality=80)
    np.savez_compressed(folder / COPIES, copies=small_copies(shown.frames))
    if clip.state is not None:
        (folder / STATE).write_text(json.dumps(clip.state.to_dict()))
    return Published(bytes=path.stat().st_size, mark=mark_text(id), readable=_is_readable(path, clip, id))


def _is_readable(path: Path, clip: Clip, id: int) -> bool:
    """Whether a film's watermark can be read from its file: from the first frames, or else from all."""
    for count in SEARCHED_FRAMES:
        part = FramePart(first=0, stop=min(clip.num_frames, count), fps=clip.fps)
        reading = detect_unchanged(read_clip(path, wanted=Wanted(part=part, sound=False)).frames)
        if reading is not None and reading.id == id:
            return True
    reading = detect(Clip.open(path).frames)
    return reading is not None and reading.id == id


def sheet_shape(frames: int) -> tuple[int, int, int]:
    """(columns, rows, frames shown) of a spritesheet."""
    shown = min(frames, SHEET_MOST)
    columns = math.ceil(math.sqrt(shown))
    return columns, math.ceil(shown / columns), shown


def _sheet(clip: Clip) -> Image.Image:
    columns, rows, shown = sheet_shape(clip.num_frames)
    picks = np.round(np.linspace(0, clip.num_frames - 1, shown)).astype(int)
    first = _fit(clip.picture(0), SHEET_SIDE)
    page = Image.new("RGB", (columns * first.width, rows * first.height))
    for place, index in enumerate(picks):
        at = (place % columns * first.width, place // columns * first.height)
        page.paste(_fit(clip.picture(int(index)), SHEET_SIDE), at)
    return page


def _fit(picture: Image.Image, side: int) -> Image.Image:
    """Resize a picture so that its longer side is about `side`: up by whole factors, down with Lanczos."""
    scale = side / max(picture.size)
    if scale >= 1:
        by = max(int(scale), 1)
        return picture.resize((picture.width * by, picture.height * by), Image.Resampling.NEAREST)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.LANCZOS)
