"""Films read frame by frame: only the part that is wanted, at the size that is wanted, never all of it in memory.

`read_clip` reads a film as one clip and goes on with what is left of a damaged one. What is here serves datasets: a film comes
from a path or from any open file (a part of an archive, an object in a store), and a film that is damaged is refused.

Axes: H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError, MediaError
from kinema.media.video import (
    Orientation,
    decoded_frames,
    film_rate,
    first_line,
    is_quarter_turn,
    open_video,
    promised_s,
    upright,
)
from kinema.media.video_part import frames_from
from kinema.media.wanted import Limits
from kinema.types import Frame

EARLY = 0.25
"""Frames that come early by up to this share of the time between two belong to a tick; containers round times to milliseconds."""
LIMITS = Limits(max_pixels=8192 * 8192)


@dataclass(frozen=True, kw_only=True)
class FilmFacts:
    """What a film is: the size of its pictures in pixels as they are shown, its frame rate, and its length in seconds."""

    width: int
    height: int
    fps: float
    duration_s: float


@contextmanager
def _opened(source: Path | BinaryIO, name: str) -> Iterator[tuple[Any, Any]]:
    """The container and the stream of its film; whatever goes wrong while they are read becomes a MediaError in one line."""
    import av

    try:
        with open_video(source, LIMITS, name) as opened:
            yield opened
    except InputError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise MediaError(f"{name} cannot be read as a video ({reason}); write it anew as MP4") from None
    except OSError as error:
        raise MediaError(f"{name} cannot be read: {error.strerror or error}") from None


def film_facts(source: Path | BinaryIO, name: str) -> FilmFacts:
    """What a film is, by its header, its first picture and its last packets; the rest is not read.

    source: a path, or an open file that can be sought. name: how messages call it.
    MediaError: no film, none of its pictures can be decoded, or it is cut short.
    """
    with _opened(source, name) as (container, stream):
        first = next(iter(decoded_frames(container, stream)), None)
        if first is None:
            raise MediaError(f"{name} has no picture that can be decoded; write it anew as MP4")
        height, width = _turned_size(first, stream, Orientation().of(first))
        start_s, promised = float(first.time or 0.0), promised_s(container, stream)
        container.seek(0 if promised is None else max(int((start_s + promised) * 1e6), 0))
        ends = [(p.pts + (p.duration or 0)) * p.time_base for p in container.demux(stream) if p.pts is not None]
        duration_s = float(max(ends)) - start_s if ends else 0.0
        fps = film_rate(stream, ())
        if not ends or (promised is not None and duration_s < promised - max(2.5 / fps, 0.1)):
            raise MediaError(f"{name} is cut short: its last pictures are missing; copy it again")
    return FilmFacts(width=width, height=height, fps=fps, duration_s=max(duration_s, 1 / fps))


def _turned_size(frame: Any, stream: Any, matrix: NDArray[np.int32] | None) -> tuple[int, int]:
    """(height, width) of a frame as it is shown."""
    width, height = max(round(frame.width * (float(stream.sample_aspect_ratio or 1) or 1.0)), 1), frame.height
    return (width, height) if matrix is not None and is_quarter_turn(matrix) else (height, width)


def film_frames(
    source: Path | BinaryIO,
    name: str,
    *,
    size: tuple[int, int] | None = None,
    start_s: float = 0.0,
    stop_s: float = math.inf,
) -> Iterator[tuple[float, Frame]]:
    """Frames of a film with their times, in order: (seconds after its first frame, uint8 [H, W, 3]).

    size: (height, width) of the pictures, to which they are resized while they are decoded; None: as they are shown.
    start_s, stop_s: frames from the last one at or before `start_s` on, and before `stop_s`.
    MediaError: no film, or one that is damaged where it is read.
    """
    with _opened(source, name) as (container, stream):
        orientation = Orientation()
        origin_s, frames = frames_from(container, stream, start_s)
        for frame, at_s in frames:
            if at_s - origin_s >= stop_s:
                break
            matrix = orientation.of(frame)
            height, width = size or _turned_size(frame, stream, matrix)
            turn = matrix is not None and is_quarter_turn(matrix)
            yield at_s - origin_s, upright(frame, (height, width) if turn else (width, height), matrix)


def on_clock(
    frames: Iterable[tuple[float, Frame]], *, source_fps: float, fps: float, start_s: float = 0.0, stop_s: float = math.inf
) -> Iterator[Frame]:
    """Frames of a film at an even rate: at each tick the latest one.

    frames: times in seconds and pictures, in order, as `film_frames` gives them. source_fps: their rate, by which rounded times are
    told from late ones. fps: ticks a second. start_s, stop_s: ticks from the first on and before the last; the last frame lasts for
    1 / source_fps.
    """
    early_s = EARLY / source_fps
    tick, shown, end_s = 0, None, start_s
    for time_s, frame in frames:
        while shown is not None and start_s + tick / fps < min(time_s - early_s, stop_s - 1e-6):
            yield shown
            tick += 1
        shown, end_s = frame, time_s + 1 / source_fps
    while shown is not None and start_s + tick / fps < min(end_s - early_s, stop_s - 1e-6):
        yield shown
        tick += 1
