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
from kinema.media.decoding import FORMATS, Orientation, decoded_frames, decoder_threads, upright_pixels
from kinema.types import Frame

EARLY = 0.25
"""Frames that come early by up to this share of the time between two belong to a tick; containers round times to milliseconds."""
MOST_PIXELS = 8192 * 8192


@dataclass(frozen=True, kw_only=True)
class FilmFacts:
    """What a film is: the size of its pictures in pixels as they are shown, its frame rate, and its length in seconds."""

    width: int
    height: int
    fps: float
    duration_s: float


@contextmanager
def _opened(source: Path | BinaryIO, name: str) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of pictures; what FFmpeg says against it becomes a MediaError in one line."""
    import av

    options = {"format_whitelist": FORMATS}
    if isinstance(source, Path):
        options["protocol_whitelist"] = "file"
    file: Any = str(source.absolute()) if isinstance(source, Path) else source
    try:
        with av.open(file, options=options, metadata_errors="replace") as container:
            films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not films or films[0].codec_context is None:
                raise MediaError(f"{name} holds no video that can be read; expected a film, such as H.264 in MP4")
            context = films[0].codec_context
            if context.width * context.height > MOST_PIXELS:
                raise MediaError(
                    f"{name} is {context.width}x{context.height}, more than {MOST_PIXELS} pixels a frame; make it smaller first"
                )
            films[0].thread_type = "AUTO"
            context.thread_count = decoder_threads(context.width, context.height)
            yield container, films[0]
    except InputError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
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
        start_s = float(first.time or 0.0)
        promised = stream.duration * stream.time_base if stream.duration is not None else None
        if promised is None and container.duration is not None and len(container.streams) == 1:
            promised = container.duration / 1e6
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        if promised is not None:
            container.seek(max(int((start_s + float(promised)) * 1e6), 0))
        else:
            container.seek(0)
        ends = [(p.pts + (p.duration or 0)) * p.time_base for p in container.demux(stream) if p.pts is not None]
        duration_s = float(max(ends)) - start_s if ends else 0.0
        if not 0 < fps <= 1000:
            fps = 25.0
        if not ends or (promised is not None and duration_s < float(promised) - max(2.5 / fps, 0.1)):
            raise MediaError(f"{name} is cut short: its last pictures are missing; copy it again")
    return FilmFacts(width=width, height=height, fps=fps, duration_s=max(duration_s, 1 / fps))


def _turned_size(frame: Any, stream: Any, matrix: NDArray[np.int32] | None) -> tuple[int, int]:
    """(height, width) of a frame as it is shown."""
    width, height = max(round(frame.width * (float(stream.sample_aspect_ratio or 1) or 1.0)), 1), frame.height
    return (width, height) if _quarter_turned(matrix) else (height, width)


def _quarter_turned(matrix: NDArray[np.int32] | None) -> bool:
    if matrix is None:
        return False
    a, b, c, d = (abs(int(matrix[i])) for i in (0, 1, 3, 4))
    return b + c > a + d


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
        zero_s = float((stream.start_time or 0) * stream.time_base)
        if start_s > 0:
            container.seek(max(int((zero_s + start_s) * 1e6), 0))
        orientation = Orientation()
        before: tuple[float, Any, Any] | None = None
        begun = False

        def pixels(frame: Any, matrix: NDArray[np.int32] | None) -> Frame:
            height, width = size or _turned_size(frame, stream, matrix)
            return upright_pixels(frame, (height, width) if _quarter_turned(matrix) else (width, height), matrix)

        for number, frame in enumerate(decoded_frames(container, stream)):
            time_s = (frame.time if frame.time is not None else number / 25) - zero_s
            if time_s >= stop_s:
                break
            matrix = orientation.of(frame)
            if not begun and time_s <= start_s:
                before = time_s, frame, matrix
                continue
            if not begun and before is not None:
                yield before[0], pixels(*before[1:])
            begun, before = True, None
            yield time_s, pixels(frame, matrix)
        if not begun and before is not None:
            yield before[0], pixels(*before[1:])


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
