"""Pictures of clips for people: a contact sheet of many, and a strip that sets several beside one another in time.

Frames are enlarged by whole pixels, so that what is seen is what was made. Axes: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kinema.errors import InputError
from kinema.media.clip import Clip
from kinema.types import Frames

GAP = 2
LINE = 15
"""Pixels between frames, and the height of a line of text."""
INK, PAPER, NOTHING = "black", "white", "#dddddd"


def contact_sheet(
    clips: Sequence[Clip | Frames], *, captions: Sequence[str] | None = None, columns: int = 8, scale: int = 2
) -> Image.Image:
    """One row a clip: its caption, and below it up to `columns` evenly spaced frames, the first and the last among them.

    clips: Clip, or uint8 [T, H, W, 3]; sizes and lengths may differ. captions: by default those of the clips.
    InputError: no clip, frames of another shape, not one caption a clip, columns or scale below 1.
    """
    _check(len(clips), columns, scale)
    if captions is None:
        captions = [clip.caption if isinstance(clip, Clip) else "" for clip in clips]
    if len(captions) != len(clips):
        raise InputError(f"{len(captions)} captions for {len(clips)} clips; expected one for each")
    films = [_frames(clip) for clip in clips]
    picks = [_spread(len(film), columns) for film in films]
    width = max(len(pick) * (film.shape[2] * scale + GAP) - GAP for film, pick in zip(films, picks, strict=True))
    height = sum(LINE + film.shape[1] * scale + GAP for film in films) - GAP
    page = Image.new("RGB", (width, height), PAPER)
    top = 0
    for film, pick, caption in zip(films, picks, captions, strict=True):
        _write(page, 0, top, caption, width)
        top += LINE
        for column, index in enumerate(pick):
            page.paste(_enlarged(film[index], scale), (column * (film.shape[2] * scale + GAP), top))
        top += film.shape[1] * scale + GAP
    return page


def strip(rows: Mapping[str, Clip | Frames], *, columns: int = 8, scale: int = 2) -> Image.Image:
    """Labelled rows aligned in time, as in {"truth": ..., "rollout": ...}: one column shows the same frame of every row.

    The columns are spread over the longest row, their frame numbers stand on top, and a row that has ended is gray.
    InputError: no row, rows of different sizes or (for clips) frame rates, columns or scale below 1.
    """
    _check(len(rows), columns, scale)
    films = {label: _frames(row) for label, row in rows.items()}
    sizes = {f"{film.shape[2]}x{film.shape[1]}" for film in films.values()}
    rates = {row.fps for row in rows.values() if isinstance(row, Clip)}
    if len(sizes) > 1 or len(rates) > 1:
        raise InputError(
            f"rows of {', '.join(sorted(sizes))} at {', '.join(f'{rate:g}' for rate in sorted(rates)) or 'one rate of'} fps "
            "cannot stand side by side; fit() and resample() them first"
        )
    picks = _spread(max(len(film) for film in films.values()), columns)
    frame_h, frame_w = (side * scale for side in next(iter(films.values())).shape[1:3])
    margin = min(max(round(_font().getlength(label)) for label in films) + 2 * GAP, 200)
    width = margin + len(picks) * (frame_w + GAP) - GAP
    page = Image.new("RGB", (width, LINE + len(films) * (max(frame_h, LINE) + GAP) - GAP), PAPER)
    for column, index in enumerate(picks):
        _write(page, margin + column * (frame_w + GAP), 0, str(index), frame_w)
    for row, (label, film) in enumerate(films.items()):
        top = LINE + row * (max(frame_h, LINE) + GAP)
        _write(page, 0, top, label, margin - GAP)
        for column, index in enumerate(picks):
            left = margin + column * (frame_w + GAP)
            if index < len(film):
                page.paste(_enlarged(film[index], scale), (left, top))
            else:
                page.paste(NOTHING, (left, top, left + frame_w, top + frame_h))
    return page


def _check(count: int, columns: int, scale: int) -> None:
    if count < 1:
        raise InputError("no clips to show; expected at least one")
    if columns < 1 or scale < 1:
        raise InputError(f"{columns} columns at {scale} times the size: expected both to be 1 or more")


def _frames(clip: Clip | Frames) -> Frames:
    return clip.frames if isinstance(clip, Clip) else Clip(frames=clip, fps=1.0).frames


def _spread(count: int, columns: int) -> list[int]:
    """Up to `columns` frame numbers from the first to the last, none twice."""
    return [int(i) for i in np.linspace(0, count - 1, min(columns, count)).round()]


def _enlarged(frame: Frames, scale: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame.repeat(scale, 0).repeat(scale, 1)))


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default()


def _write(page: Image.Image, left: int, top: int, text: str, room: int) -> None:
    """One line of text, cut with dots where the room ends."""
    font = _font()
    line = " ".join(text.split())
    if not isinstance(font, ImageFont.FreeTypeFont):  # the bitmap font of a Pillow without FreeType knows Latin only
        line = line.encode("latin-1", "replace").decode("latin-1")
    shown = line
    while shown and font.getlength(shown) > room:
        line = line[:-1]
        shown = f"{line}..." if line else ""
    ImageDraw.Draw(page).text((left + 1, top + 1), shown, fill=INK, font=font)
