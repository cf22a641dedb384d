"""Reading videos by FFmpeg: their frames upright, on white, on an even clock, with their sound.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError, MediaError
from kinema.media.clip import Clip
from kinema.media.frame_buffer import FrameBuffer, each, held
from kinema.media.metadata import attach_stored, read_stored
from kinema.media.soundtrack import read_sound
from kinema.media.wanted import Limits, Wanted
from kinema.media.write import CONVERSION, KEY
from kinema.types import Frames

log = logging.getLogger(__name__)

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,flv,asf,m4v,h264,hevc,ivf,y4m,dv,wav,mp3,flac"
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
DECODER_BYTES = 96 << 20
"""Decoder threads hold a frame or more each; there are as many threads as frames of so many bytes, and of cores."""


def first_line(error: Exception) -> str:
    """The first line of an error of a decoder."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def open_video(source: Path | BinaryIO, limits: Limits, name: str | None = None) -> Iterator[tuple[Any, Any]]:
    """A video, and the stream of its film.

    source: a path, or an open file that can be sought. name: how messages call it; None: by its path.
    MediaError: it is none, or its pictures are larger than the limits allow.
    """
    import av

    path = str(source) if name is None else name
    file: Any = str(source.absolute()) if isinstance(source, Path) else source
    try:
        container = av.open(file, options=OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise MediaError(f"{path} is not a video or picture that can be read ({reason}); try converting it to MP4") from None
    with container:
        films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not films:
            what = "sound but no film" if container.streams.audio else "no pictures"
            raise MediaError(f"{path} holds {what}; expected a video or a picture")
        stream = films[0]
        if stream.codec_context is None:
            raise MediaError(f"{path} holds a kind of video that is not known here; try converting it to MP4")
        limits.check_picture(path, stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = _threads(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        yield container, stream


def stored_of(container: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a video, and what else Kinema kept in its file."""
    tags = {name.lower(): value for name, value in container.metadata.items()}
    return read_stored(tags.get("comment"), tags.get(KEY))


def film_rate(stream: Any, times: Sequence[float]) -> float:
    """Frames a second, by what the file says, or else by the times of some frames."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if not 0 < rate <= 1000:
        rate = 1 / float(np.clip(np.median(np.diff(times)), 1e-3, 1e3)) if len(times) > 1 else 25.0
    return rate


def read_film(path: Path, limits: Limits, wanted: Wanted) -> Clip:
    """A video, or what is wanted of it but for a part."""
    with open_video(path, limits) as (container, stream):
        settings, stored = stored_of(container)
        if stored:
            wanted = Wanted(sound=wanted.sound, max_bytes=wanted.max_bytes)
        expected = _expected(container, stream, limits, wanted)
        frames, times = _decode(path, container, stream, limits, wanted, expected)
        rate = film_rate(stream, times)
        width, height = stream.codec_context.width, stream.codec_context.height
    if wanted.max_bytes is not None and stored.get("num_frames", 0) > len(frames):
        stored = {**stored, "state": None}  # of frames that were not read
    if stored.get("num_frames") == len(frames):
        clip = Clip(frames=frames, fps=rate)
    else:
        clip = _on_even_clock(path, frames, times, rate, limits)
    if wanted.sound:
        sound = read_sound(
            path, OPTIONS, start_s=min(times), duration_s=clip.duration_s, max_bytes=limits.max_sound_bytes,
            whole=wanted.first is wanted.last is wanted.max_bytes is None,
        )  # fmt: skip
        clip = replace(clip, sound=sound)
    shrunk = wanted.size(width, height, expected) != (width, height)
    return attach_stored(replace(clip, source_size=f"{width}x{height}" if shrunk else ""), settings, stored)


def _threads(width: int, height: int) -> int:
    """With how many threads a film is decoded."""
    return max(min(os.cpu_count() or 1, DECODER_BYTES // (3 * max(width * height, 1))), 1)


def decoded_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream; with the alpha of WebM, which FFmpeg's own decoders leave out."""
    import av

    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if decoder is None or stream.metadata.get("alpha_mode") != "1":
        yield from container.decode(stream)
        return
    context: Any = av.CodecContext.create(decoder, "r")
    for packet in container.demux(stream):
        yield from context.decode(packet)


def _expected(container: Any, stream: Any, limits: Limits, wanted: Wanted) -> int:
    """About how many frames will be decoded and held, by what the file says; 0: not known."""
    count = int(stream.frames or 0)
    if not count and container.duration is not None:
        count = round(container.duration / 1e6 * float(stream.average_rate or stream.guessed_rate or 0))
    return max(min(count, limits.max_frames, *(most for most in (wanted.first, wanted.last) if most is not None)), 0)


def _decode(
    path: Path, container: Any, stream: Any, limits: Limits, wanted: Wanted, expected: int
) -> tuple[Frames, list[float]]:
    """Frames [T, H, W, 3] and their times in seconds. expected: about how many there are."""
    import av

    frames = FrameBuffer(expected if wanted.max_bytes is None else 0, wanted.last)
    times: deque[float] = deque(maxlen=wanted.last)
    reason, number, stopped = "", 0, False
    stretch = float(stream.sample_aspect_ratio or 1) or 1.0
    orientation = Orientation()
    try:
        for frame in decoded_frames(container, stream):
            if number == wanted.first:
                stopped = True
                break
            size = wanted.size(max(round(frame.width * stretch), 1), frame.height, expected)
            pixels = upright(frame, size, orientation.of(frame))
            over = wanted.max_bytes is not None and (number + 1) * pixels.nbytes > wanted.max_bytes
            if wanted.max_bytes is not None and number and (over or number == limits.max_frames):
                stopped = True
                break
            if frames.frame_shape not in (None, pixels.shape):
                reason = "the size changes"
                break
            if number == 0 and wanted.first is wanted.max_bytes is None:
                limits.check_length(path, expected, pixels.shape[1], pixels.shape[0])
            limits.check_length(path, min(number + 1, wanted.last or number + 1), pixels.shape[1], pixels.shape[0])
            frames.append(pixels)
            times.append(float(frame.time) if frame.time is not None else number / 25)
            number += 1
    except av.error.FFmpegError as error:
        reason = error.strerror or first_line(error)
    except (ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = first_line(error)
    if not len(frames):
        raise MediaError(
            f"{path} has no frame that can be decoded{f' ({reason})' if reason else ''}; it is damaged or cut off"
        )
    if not reason and not stopped and wanted.last is None and _missing_s(container, stream, list(times)) > 0:
        reason = "the rest is missing"
    if reason:
        log.warning("%s is damaged after frame %d (%s); going on with what could be read", path, number, reason)
    return frames.take(), list(times)


def promised_s(container: Any, stream: Any) -> float | None:
    """How many seconds of film a file says that it holds; None if it does not say."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration / 1e6)
    return None


def _missing_s(container: Any, stream: Any, times: list[float]) -> float:
    """How many of the seconds that the file promises were not found, beyond what rounding explains; 0 or less: none."""
    promised = promised_s(container, stream)
    if promised is None:
        return 0.0
    step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else float(1 / (stream.average_rate or 25))
    return promised - (times[-1] - times[0] + step) - max(1.5 * step, 0.05)


class Orientation:
    """The display matrices of the frames of one film. Reading `frame.side_data` makes PyAV's frame and its side data refer to each
    other, so that the frame's surface (12 MB in 4K) stays until Python's garbage collector runs, a hundred frames later. So the
    matrix is read of the first frame, and again only where the angle differs."""

    def __init__(self) -> None:
        self._angle: int | None = None
        self._matrix: NDArray[np.int32] | None = None

    def of(self, frame: Any) -> NDArray[np.int32] | None:
        """The matrix, 3 x 3 numbers in a row; None if the frame is shown as it is stored."""
        if frame.rotation != self._angle:
            stored = frame.side_data.get("DISPLAYMATRIX")
            self._angle = frame.rotation
            self._matrix = None if stored is None else np.frombuffer(bytes(stored), np.int32)
        return self._matrix


def upright(frame: Any, size: tuple[int, int], matrix: NDArray[np.int32] | None) -> Frames:
    """uint8 [H, W, 3] of a decoded frame at a size (width, height): turned and mirrored as a display matrix says, on white."""
    if any(part.is_alpha for part in frame.format.components):
        clear = frame.reformat(*size, "rgba", interpolation=CONVERSION, threads=1).to_ndarray().astype(np.uint16)
        alpha = clear[..., 3:]
        pixels = ((clear[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        pixels = frame.reformat(*size, "rgb24", interpolation=CONVERSION, threads=1).to_ndarray()
    return np.ascontiguousarray(pixels if matrix is None else turned(pixels, matrix))


def is_quarter_turn(matrix: NDArray[np.int32]) -> bool:
    """Whether a display matrix makes columns of rows."""
    a, b, c, d = (abs(int(matrix[i])) for i in (0, 1, 3, 4))
    return b + c > a + d


def turned(pixels: Frames, matrix: NDArray[np.int32]) -> Frames:
    """A picture as a display matrix [a, b, u, c, d, v, x, y, w] shows it: a point (x, y) at (a x + c y, b x + d y). Only quarter
    turns and mirroring are done."""
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if is_quarter_turn(matrix):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def is_even(seconds: NDArray[np.float64], rate: float) -> bool:
    """Whether frames at these times [T], in order, follow one another at a rate."""
    return len(seconds) < 3 or bool(np.abs(np.diff(seconds) - 1 / rate).max() <= 0.25 / rate)


def ticks(seconds: NDArray[np.float64], rate: float) -> int:
    """How many frames of an even clock the frames at these times [T], in order from 0 on, last."""
    if is_even(seconds, rate):
        return len(seconds)
    return max(round((float(seconds[-1]) + float(np.median(np.diff(seconds)))) * rate), 1)


def _on_even_clock(path: Path, frames: Frames, times: list[float], rate: float, limits: Limits) -> Clip:
    """Variable frame rates are brought onto an even clock at the average rate, each tick showing the latest frame."""
    order = np.argsort(times, kind="stable")
    seconds = np.asarray(times)[order] - min(times)
    if is_even(seconds, rate):
        in_order = bool((order == np.arange(len(order))).all())
        return Clip(frames=frames if in_order else held(each(frames, order), len(order)), fps=rate)
    height, width = frames.shape[1:3]
    count = ticks(seconds, rate)
    limits.check_length(path, count, width, height)
    index = np.maximum(np.searchsorted(seconds, np.arange(count) / rate + 1e-6, side="right") - 1, 0)
    return Clip(frames=held(each(frames, order[index]), count), fps=rate)
