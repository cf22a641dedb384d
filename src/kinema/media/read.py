"""Reading: any user's video or picture, of any size, rotation, frame rate or variable frame rate.

Files are told by what they hold, not by their names: only formats on two lists are opened, so a text that names other files
cannot be disguised as a video, and nothing is read that needs another program. Sizes and lengths are checked before pixels are
decoded. Transparent pixels are put on white.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinema.errors import InputError, MediaError
from kinema.media.clip import Clip
from kinema.media.metadata import attach_stored, read_stored
from kinema.media.write import KEY
from kinema.types import Frames

log = logging.getLogger(__name__)

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,flv,asf,m4v,h264,hevc,ivf,y4m,dv,wav,mp3,flac"
PICTURES = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "ICO", "PCX", "QOI")
MOVING = ("PNG", "GIF", "WEBP", "AVIF")
"""Pictures whose frames follow one another in time; in other kinds they are pages or previews, of which the first counts."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that is decoded: pixels of one frame, frames, and bytes of all frames together."""

    max_pixels: int = 4096 * 4096
    max_frames: int = 20_000
    max_bytes: int = 4 << 30

    def check_picture(self, path: Path, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise MediaError(
                f"{path} is {width}x{height}, more than {self.max_pixels} pixels a frame; make it smaller first"
            )

    def check_length(self, path: Path, frames: int, width: int, height: int) -> None:
        most = min(self.max_frames, self.max_bytes // (3 * width * height))
        if frames > most:
            raise MediaError(f"{path} has more than the {most} frames of {width}x{height} that can be read; cut it first")


def read_clip(path: Path, limits: Limits | None = None) -> Clip:
    """The file as a clip; MediaError in one line when that cannot be."""
    limits = limits or Limits()
    try:
        if not path.exists():
            raise MediaError(f"{path} does not exist")
        if path.is_dir():
            raise MediaError(f"{path} is a folder; expected a video or a picture")
        if path.stat().st_size == 0:
            raise MediaError(f"{path} is empty")
        picture = _read_picture(path, limits)
        return picture if picture is not None else _read_video(path, limits)
    except PermissionError:
        raise MediaError(f"{path} may not be read: permission denied") from None
    except OSError as error:
        raise MediaError(f"{str(path)[:200]} cannot be read: {error.strerror or error}") from None


def _read_picture(path: Path, limits: Limits) -> Clip | None:
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
                count = getattr(picture, "n_frames", 1) if picture.format in MOVING else 1
                limits.check_length(path, count, *picture.size)
                for index in range(count):
                    picture.seek(index)
                    frames.append(flattened(picture))
                    waits_ms.append(float(picture.info.get("duration", 0)) or 100.0)
                info, exif = dict(picture.info), dict(picture.getexif())
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
        info, exif = {}, {}
    settings, stored = read_stored(info.get("comment") or exif.get(0x010E), info.get(KEY))
    frames = [frame for frame in frames if frame.shape == frames[0].shape]
    if len(frames) == 1 and stored.get("num_frames", 1) == 1:
        return attach_stored(Clip(frames=np.stack(frames), fps=16.0), settings, stored)
    return attach_stored(_animation(path, frames, waits_ms, stored, limits), settings, stored)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _animation(path: Path, frames: list[Frames], waits_ms: list[float], stored: dict[str, Any], limits: Limits) -> Clip:
    """Frames with a wait each onto an even clock: the one it was written with, else that of the shortest wait."""
    ends_s = np.cumsum(waits_ms[: len(frames)]) / 1000
    fps = min(float(stored.get("fps", 1000 / min(waits_ms))), 1000.0)
    stops = np.round(ends_s * fps).astype(np.int64)
    repeats = np.maximum(np.diff(stops, prepend=0), 0 if stored else 1)
    height, width = frames[0].shape[:2]
    limits.check_length(path, int(repeats.sum()), width, height)
    return Clip(frames=np.repeat(np.stack(frames), repeats, axis=0), fps=fps)


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


def _read_video(path: Path, limits: Limits) -> Clip:
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
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        frames, times = _decode(path, container, stream, limits)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if not 0 < rate <= 1000:
            rate = 1 / float(np.clip(np.median(np.diff(times)), 1e-3, 1e3)) if len(times) > 1 else 25.0
        tags = {name.lower(): value for name, value in container.metadata.items()}
    settings, stored = read_stored(tags.get("comment"), tags.get(KEY))
    if stored.get("num_frames") == len(frames):
        return attach_stored(Clip(frames=np.stack(frames), fps=rate), settings, stored)
    return attach_stored(_on_even_clock(path, frames, times, rate, limits), settings, stored)


def _decode(path: Path, container: Any, stream: Any, limits: Limits) -> tuple[list[Frames], list[float]]:
    import av

    frames: list[Frames] = []
    times: list[float] = []
    reason = ""
    try:
        for frame in container.decode(stream):
            pixels = _upright(frame)
            if frames and pixels.shape != frames[0].shape:
                reason = "the size changes"
                break
            limits.check_length(path, len(frames) + 1, pixels.shape[1], pixels.shape[0])
            frames.append(pixels)
            times.append(float(frame.time) if frame.time is not None else len(times) / 25)
    except av.error.FFmpegError as error:
        reason = error.strerror or _line(error)
    except (ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = _line(error)
    if not frames:
        raise MediaError(
            f"{path} has no frame that can be decoded{f' ({reason})' if reason else ''}; it is damaged or cut off"
        )
    if not reason and _missing_s(container, stream, times) > 0:
        reason = "the rest is missing"
    if reason:
        log.warning("%s is damaged after frame %d (%s); going on with what could be read", path, len(frames), reason)
    return frames, times


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


def _upright(frame: Any) -> Frames:
    """uint8 [H, W, 3] of a decoded frame: turned as its display matrix says, on white."""
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    if any(part.is_alpha for part in frame.format.components):
        clear = frame.to_ndarray(format="rgba").astype(np.uint16)
        alpha = clear[..., 3:]
        pixels = ((clear[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _on_even_clock(path: Path, frames: list[Frames], times: list[float], rate: float, limits: Limits) -> Clip:
    """Variable frame rates are brought onto an even clock at the average rate, each tick showing the latest frame."""
    order = np.argsort(times, kind="stable")
    seconds = np.asarray(times)[order] - min(times)
    steps = np.diff(seconds)
    if len(frames) < 3 or np.abs(steps - 1 / rate).max() <= 0.25 / rate:
        return Clip(frames=np.stack([frames[i] for i in order]), fps=rate)
    height, width = frames[0].shape[:2]
    count = max(round((seconds[-1] + float(np.median(steps))) * rate), 1)
    limits.check_length(path, count, width, height)
    index = np.maximum(np.searchsorted(seconds, np.arange(count) / rate + 1e-6, side="right") - 1, 0)
    return Clip(frames=np.stack([frames[order[i]] for i in index]), fps=rate)
