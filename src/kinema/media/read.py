"""Reading: any user's video or picture, of any size, rotation, frame rate or variable frame rate.

Files are told by what they hold, not by their names: only formats on two lists are opened, so a text that names other files
cannot be disguised as a video, and nothing is read that needs another program. Sizes and lengths are checked before pixels are
decoded. Transparent pixels are put on white.
"""

from __future__ import annotations

import logging
import warnings
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinema.errors import InputError, MediaError
from kinema.media.clip import Clip
from kinema.media.decoding import FORMATS, Orientation, decoded_frames, decoder_threads, upright_pixels
from kinema.media.frame_buffer import FrameBuffer, each, held
from kinema.media.metadata import attach_stored, read_stored
from kinema.media.soundtrack import read_sound
from kinema.media.write import KEY
from kinema.types import Frames

log = logging.getLogger(__name__)

PICTURES = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "ICO", "PCX", "QOI")
MOVING = ("PNG", "GIF", "WEBP", "AVIF")
"""Pictures whose frames follow one another in time; in other kinds they are pages or previews, of which the first counts."""
LEAST_SIDE = 128
"""Pixels of the shorter side below which pictures are not shrunk to save memory."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that is decoded: pixels of one frame, frames, bytes of all frames together, and bytes of the sound beside them."""

    max_pixels: int = 4096 * 4096
    max_frames: int = 20_000
    max_bytes: int = 4 << 30
    max_sound_bytes: int = 1 << 30

    def check_picture(self, path: Path, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise MediaError(
                f"{path} is {width}x{height}, more than {self.max_pixels} pixels a frame; make it smaller first"
            )

    def check_length(self, path: Path, frames: int, width: int, height: int) -> None:
        most = min(self.max_frames, self.max_bytes // (3 * width * height))
        if frames > most:
            raise MediaError(f"{path} has more than the {most} frames of {width}x{height} that can be read; cut it first")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a file; the rest is not kept in memory. Films that Kinema wrote are read whole, with their state, and cut.

    Attributes:
        first, last: the first or the last so many frames; None: all. One of them at most.
        longest: the longer side of the pictures in pixels; larger ones are shrunk while they are decoded, unless Kinema wrote them.
            None: as they are.
        within: bytes that all frames together may take: larger pictures are shrunk as they are decoded, though not below
            LEAST_SIDE, unless Kinema wrote them. None: as they are.
        max_bytes: stop before the frames take more memory than that. None: the limits say what is refused.
        sound: whether the sound of the frames is wanted.
    """

    first: int | None = None
    last: int | None = None
    longest: int | None = None
    within: int | None = None
    max_bytes: int | None = None
    sound: bool = True

    def __post_init__(self) -> None:
        for name in ("first", "last", "longest", "within", "max_bytes"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
                raise InputError(f"{name} {str(value)[:40]!r}: expected a whole number, at least 1")
        if self.first is not None and self.last is not None:
            raise InputError("first and last frames were given; expected one of the two")

    def size(self, width: int, height: int, count: int = 1) -> tuple[int, int]:
        """(width, height) of so many pictures of this size as they are wanted."""
        share = 1.0 if self.longest is None else self.longest / max(width, height)
        if self.within is not None:
            fits = (self.within / (3 * width * height * max(count, 1))) ** 0.5
            share = min(share, max(fits, LEAST_SIDE / min(width, height)))
        if share >= 1:
            return width, height
        return max(round(width * share), 1), max(round(height * share), 1)

    def part(self, count: int) -> slice:
        """Which of so many frames are wanted."""
        if self.last is not None:
            return slice(max(count - self.last, 0), count)
        return slice(0, count if self.first is None else self.first)


ALL = Wanted()


def read_clip(path: Path, limits: Limits | None = None, wanted: Wanted = ALL) -> Clip:
    """The file, or what is wanted of it, as a clip; MediaError in one line when that cannot be."""
    limits = limits or Limits()
    try:
        if not path.exists():
            raise MediaError(f"{path} does not exist")
        if path.is_dir():
            raise MediaError(f"{path} is a folder; expected a video or a picture")
        if path.stat().st_size == 0:
            raise MediaError(f"{path} is empty")
        picture = _read_picture(path, limits, wanted)
        clip = picture if picture is not None else _read_video(path, limits, wanted)
        return clip.cut(wanted.part(clip.num_frames))
    except PermissionError:
        raise MediaError(f"{path} may not be read: permission denied") from None
    except OSError as error:
        raise MediaError(f"{str(path)[:200]} cannot be read: {error.strerror or error}") from None


def _read_picture(path: Path, limits: Limits, wanted: Wanted) -> Clip | None:
    """A picture or animation by Pillow; None when it is something else."""
    frames: list[Frames] = []
    waits_ms: list[float] = []
    Image.init()
    known = [kind for kind in PICTURES if kind in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=known) as picture:
                limits.check_picture(path, *picture.size)
                width, height = picture.size
                info, exif = dict(picture.info), dict(picture.getexif())
                settings, stored = read_stored(info.get("comment") or exif.get(0x010E), info.get(KEY))
                if stored:
                    wanted = ALL
                count = getattr(picture, "n_frames", 1) if picture.format in MOVING else 1
                which = range(count)[wanted.part(count)]
                limits.check_length(path, len(which), *wanted.size(*picture.size, len(which)))
                for index in range(count):
                    picture.seek(index)
                    waits_ms.append(float(picture.info.get("duration", 0)) or 100.0)
                    if index in which:
                        shown = flattened(picture)
                        frames.append(scaled_picture(shown, *wanted.size(shown.shape[1], shown.shape[0], len(which))))
    except UnidentifiedImageError:
        return None
    except (PermissionError, MediaError):
        raise
    except Image.DecompressionBombError:
        raise MediaError(f"{path} has more than {limits.max_pixels} pixels; make it smaller first") from None
    except Exception as error:  # decoders meet damage with errors of every kind
        if not frames:
            raise MediaError(f"{path} is a damaged picture ({_line(error)}); open and save it anew") from None
        log.warning("%s is damaged after frame %d (%s); going on with what could be read", path, len(frames), _line(error))
        settings, stored = {}, {}
    frames = [frame for frame in frames if frame.shape == frames[0].shape]
    if len(frames) == 1 and stored.get("num_frames", 1) == 1:
        clip = Clip(frames=np.stack(frames), fps=16.0)
    else:
        begin = max(len(waits_ms) - len(frames), 0) if wanted.last is not None else 0
        clip = _animation(path, frames, waits_ms, begin, stored, limits)
    shrunk = wanted.size(width, height, len(which)) != (width, height)
    return attach_stored(replace(clip, source_size=f"{width}x{height}" if shrunk else ""), settings, stored)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _animation(
    path: Path, frames: list[Frames], waits_ms: list[float], begin: int, stored: dict[str, Any], limits: Limits
) -> Clip:
    """Frames with a wait each onto an even clock: the one it was written with; the mean one where waits alternate between two
    near values, as hundredths of a second make them; else that of the shortest wait. Its duration stays within half a frame.
    waits_ms: of all frames of the file, of which these begin at `begin`."""
    if not stored and max(waits_ms) <= min(waits_ms) + 10.5:
        return Clip(frames=np.stack(frames), fps=min(1000 * len(waits_ms) / sum(waits_ms), 1000.0))
    fps = min(float(stored.get("fps", 1000 / min(waits_ms))), 1000.0)
    ends_s = np.cumsum(waits_ms[begin : begin + len(frames)]) / 1000
    stops = np.round(ends_s * fps).astype(np.int64)
    repeats = stops - np.concatenate([[0], stops[:-1]])
    height, width = frames[0].shape[:2]
    limits.check_length(path, int(repeats.sum()), width, height)
    return Clip(frames=np.repeat(np.stack(frames), repeats, axis=0), fps=fps)


def scaled_picture(frame: Frames, width: int, height: int) -> Frames:
    """A picture uint8 [H, W, 3] at another size."""
    if (frame.shape[1], frame.shape[0]) == (width, height):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


def flattened(picture: Image.Image) -> Frames:
    """uint8 [H, W, 3]: upright, 8 bits, on white."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(upright, np.float64))
        deep = upright.mode.startswith("I;16") or values.max() > 255
        top = 65535.0 if deep else 255.0 if values.max() > 1 else 1.0
        gray = np.clip(values / top * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(gray[..., None], 3, -1))
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return np.ascontiguousarray(np.asarray(upright.convert("RGB")))


def _read_video(path: Path, limits: Limits, wanted: Wanted) -> Clip:
    import av

    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.absolute()), options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _line(error)
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
        stream.codec_context.thread_count = decoder_threads(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        tags = {name.lower(): value for name, value in container.metadata.items()}
        settings, stored = read_stored(tags.get("comment"), tags.get(KEY))
        if stored:
            wanted = Wanted(sound=wanted.sound)
        expected = _expected(container, stream, limits, wanted)
        frames, times = _decode(path, container, stream, limits, wanted, expected)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if not 0 < rate <= 1000:
            rate = 1 / float(np.clip(np.median(np.diff(times)), 1e-3, 1e3)) if len(times) > 1 else 25.0
        width, height = stream.codec_context.width, stream.codec_context.height
    if stored.get("num_frames") == len(frames):
        clip = Clip(frames=frames, fps=rate)
    else:
        clip = _on_even_clock(path, frames, times, rate, limits)
    if wanted.sound:
        sound = read_sound(
            path, options, start_s=min(times), duration_s=clip.duration_s, max_bytes=limits.max_sound_bytes,
            whole=wanted.first is wanted.last is wanted.max_bytes is None,
        )  # fmt: skip
        clip = replace(clip, sound=sound)
    shrunk = wanted.size(width, height, expected) != (width, height)
    return attach_stored(replace(clip, source_size=f"{width}x{height}" if shrunk else ""), settings, stored)


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
            pixels = upright_pixels(frame, size, orientation.of(frame))
            if wanted.max_bytes is not None and number and (number + 1) * pixels.nbytes > wanted.max_bytes:
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
        reason = error.strerror or _line(error)
    except (ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = _line(error)
    if not len(frames):
        raise MediaError(
            f"{path} has no frame that can be decoded{f' ({reason})' if reason else ''}; it is damaged or cut off"
        )
    if not reason and not stopped and wanted.last is None and _missing_s(container, stream, list(times)) > 0:
        reason = "the rest is missing"
    if reason:
        log.warning("%s is damaged after frame %d (%s); going on with what could be read", path, number, reason)
    return frames.take(), list(times)


def _missing_s(container: Any, stream: Any, times: list[float]) -> float:
    """How many of the seconds that the file promises were not found, beyond what rounding explains; 0 or less: none."""
    if stream.duration is not None:
        promised = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        promised = container.duration / 1e6
    else:
        return 0.0
    step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else float(1 / (stream.average_rate or 25))
    return promised - (times[-1] - times[0] + step) - max(1.5 * step, 0.05)


def _on_even_clock(path: Path, frames: Frames, times: list[float], rate: float, limits: Limits) -> Clip:
    """Variable frame rates are brought onto an even clock at the average rate, each tick showing the latest frame."""
    order = np.argsort(times, kind="stable")
    seconds = np.asarray(times)[order] - min(times)
    steps = np.diff(seconds)
    if len(frames) < 3 or np.abs(steps - 1 / rate).max() <= 0.25 / rate:
        in_order = bool((order == np.arange(len(order))).all())
        return Clip(frames=frames if in_order else held(each(frames, order), len(order)), fps=rate)
    height, width = frames.shape[1:3]
    count = max(round((seconds[-1] + float(np.median(steps))) * rate), 1)
    limits.check_length(path, count, width, height)
    index = np.maximum(np.searchsorted(seconds, np.arange(count) / rate + 1e-6, side="right") - 1, 0)
    return Clip(frames=held(each(frames, order[index]), count), fps=rate)
