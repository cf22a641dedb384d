"""Long videos: how long they are without decoding them, and some of their frames without those before.

A video is on the same even clock whether it is read whole or in parts (`kinema.media.video`).

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinema.errors import InputError, MediaError
from kinema.media.clip import Clip
from kinema.media.frame_buffer import FrameBuffer, each, held
from kinema.media.metadata import attach_stored
from kinema.media.soundtrack import read_sound
from kinema.media.video import (
    OPTIONS,
    Orientation,
    decoded_frames,
    film_rate,
    first_line,
    is_even,
    open_video,
    stored_of,
    ticks,
    upright,
)
from kinema.media.wanted import FramePart, Limits, Wanted
from kinema.types import Frames

log = logging.getLogger(__name__)

EARLY_S = 2.0
"""Where a video has no index, a seek may land after what was looked for; then it is decoded from its beginning."""


@dataclass(frozen=True, kw_only=True)
class FilmLength:
    """What a video is without its pictures: how many frames on its even clock, frames a second, and whether it has sound."""

    frames: int
    fps: float
    has_sound: bool


def measure_length(path: Path, limits: Limits) -> FilmLength:
    """How long a video is, by the times of its packets; no picture is decoded. MediaError: it is no video, or holds no frames."""
    import av

    with open_video(path, limits) as (container, stream):
        try:
            shown_at = [packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size]
        except av.error.FFmpegError as error:
            raise MediaError(f"{path} is damaged ({error.strerror or first_line(error)}); convert it to MP4") from None
        if not shown_at:
            raise MediaError(f"{path} does not say when its frames are shown; convert it to MP4")
        seconds = np.sort(np.asarray(shown_at, np.float64)) * float(stream.time_base)
        rate = film_rate(stream, seconds.tolist())
        return FilmLength(frames=ticks(seconds - seconds[0], rate), fps=rate, has_sound=bool(container.streams.audio))


def read_part(path: Path, limits: Limits, wanted: Wanted, part: FramePart) -> Clip:
    """Some frames of a video, with their sound and without a state. MediaError: they cannot be decoded."""
    with open_video(path, limits) as (container, stream):
        settings, stored = stored_of(container)
        begin_s, stop_s = part.first / part.fps, part.stop / part.fps
        frames, times, origin_s, source_size = _decode(path, container, stream, limits, wanted, part)
    clip = Clip(frames=_on_clock(frames, np.asarray(times) - origin_s, part), fps=part.fps)
    if wanted.sound:
        sound = read_sound(
            path,
            OPTIONS,
            start_s=origin_s + begin_s,
            duration_s=stop_s - begin_s,
            max_bytes=limits.max_sound_bytes,
            whole=False,
        )
        clip = replace(clip, sound=sound)
    clip = replace(clip, source_size=source_size)
    return attach_stored(clip, settings, {**stored, "state": None} if stored and not source_size else {})


def _decode(
    path: Path, container: Any, stream: Any, limits: Limits, wanted: Wanted, part: FramePart
) -> tuple[Frames, list[float], float, str]:
    """Frames [T, H, W, 3] that a part shows, their times in seconds, the time of the video's first frame, and the size of the
    file's pictures if these were shrunk."""
    import av

    count, half_s = part.stop - part.first, 0.5 / part.fps
    buffer = FrameBuffer(count)
    times: list[float] = []
    stretch, orientation = float(stream.sample_aspect_ratio or 1) or 1.0, Orientation()
    reason = source_size = ""
    try:
        origin_s, frames = frames_from(container, stream, part.first / part.fps, 0.25 / part.fps)
        for frame, at_s in frames:
            if at_s > origin_s + part.stop / part.fps - half_s and times:
                break
            across = max(round(frame.width * stretch), 1)
            size = wanted.size(across, frame.height, count)
            source_size = "" if size == (across, frame.height) else f"{across}x{frame.height}"
            pixels = upright(frame, size, orientation.of(frame))
            if buffer.frame_shape not in (None, pixels.shape):
                reason = "the size changes"
                break
            limits.check_length(path, max(count, len(buffer) + 1), pixels.shape[1], pixels.shape[0])
            buffer.append(pixels)
            times.append(at_s)
            size = (
                (across, frame.height)
                if pixels.shape[1] >= pixels.shape[0] or across < frame.height
                else (frame.height, across)
            )
    except av.error.FFmpegError as error:
        reason = error.strerror or first_line(error)
    except (ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = first_line(error)
    if not times:
        where = f"from {part.first / part.fps:g} s on"
        raise MediaError(f"{path} has no frame {where} that can be decoded{f' ({reason})' if reason else ''}")
    if reason:
        log.warning("%s is damaged at %.1f s (%s); its last good picture stays", path, times[-1] - origin_s, reason)
    return buffer.take(), times, origin_s, source_size


def frames_from(
    container: Any, stream: Any, start_s: float, slack_s: float = 0.0
) -> tuple[float, Iterator[tuple[Any, float]]]:
    """The time of a video's first frame; and its frames with their times, from the last one at or before a time on.

    container, stream: as `open_video` gives them, nothing of them decoded yet. start_s: seconds after the first frame. slack_s: a
    frame that is later by up to so many seconds is still the one of that time.
    ValueError: the video has no frames, or cannot be searched.
    """
    frames = decoded_frames(container, stream)
    first = next(frames, None)
    if first is None:
        raise ValueError("it has no frames")
    origin_s = float(first.time or 0.0)
    begin_s = origin_s + max(start_s, 0.0)
    if start_s <= 0:
        return origin_s, _since(first, frames, begin_s + slack_s)
    for target_s in (begin_s, max(begin_s - EARLY_S, origin_s), max(origin_s - EARLY_S, 0.0)):
        container.seek(int(target_s / float(stream.time_base)), stream=stream)
        frames = decoded_frames(container, stream)
        head = next(frames, None)
        if head is not None and head.time is not None and float(head.time) <= begin_s + slack_s:
            return origin_s, _since(head, frames, begin_s + slack_s)
    raise ValueError("it cannot be searched; convert it to MP4")


def _since(head: Any, frames: Iterator[Any], begin_s: float) -> Iterator[tuple[Any, float]]:
    """Frames with their times, beginning with the last one up to a time."""
    last: tuple[Any, float] | None = (head, float(head.time or 0.0))
    for frame in frames:
        at_s = begin_s if frame.time is None else float(frame.time)
        if last is not None and at_s > begin_s:
            yield last
            last = None
        if last is None:
            yield frame, at_s
        else:
            last = frame, at_s
    if last is not None:
        yield last


def _on_clock(frames: Frames, seconds: np.ndarray[Any, np.dtype[np.float64]], part: FramePart) -> Frames:
    """Frames at these seconds [T], from the video's first frame on, as the even clock of a part shows them."""
    shown = (part.first + np.arange(part.stop - part.first)) / part.fps
    slack = 0.25 / part.fps if is_even(seconds, part.fps) else 1e-6
    index = np.clip(np.searchsorted(seconds, shown + slack, side="right") - 1, 0, len(seconds) - 1)
    if len(frames) == len(index) and (index == np.arange(len(index))).all():
        return frames
    return held(each(frames, index), len(index))
