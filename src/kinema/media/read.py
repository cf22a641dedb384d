"""Reading: any user's video or picture, of any size, rotation, frame rate or variable frame rate.

Files are told by what they hold, not by their names: only container formats on a list are opened, so a text that names other
files cannot be disguised as a video. Sizes and lengths are checked before pixels are decoded. Transparent pixels are put on
white.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinema.canvas.scene import Scene
from kinema.errors import InputError, MediaError
from kinema.media.clip import Clip, Frames
from kinema.media.write import KEY

log = logging.getLogger(__name__)

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,flv,asf,m4v,h264,hevc,ivf,y4m,dv,wav,mp3,flac"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that is decoded: pixels of one frame, frames, and bytes of all frames together."""

    max_pixels: int = 4096 * 4096
    max_frames: int = 20_000
    max_bytes: int = 4 << 30


def read(path: Path, limits: Limits | None = None) -> Clip:
    """The file as a clip; MediaError in one line when that cannot be."""
    limits = limits or Limits()
    if not path.exists():
        raise MediaError(f"{path} does not exist")
    if path.is_dir():
        raise MediaError(f"{path} is a folder; expected a video or a picture")
    try:
        if path.stat().st_size == 0:
            raise MediaError(f"{path} is empty")
        picture = _read_picture(path, limits)
        return picture if picture is not None else _read_video(path, limits)
    except PermissionError:
        raise MediaError(f"{path} may not be read: permission denied") from None


def _check_pixels(path: Path, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise MediaError(f"{path} is {width}x{height}, more than {limits.max_pixels} pixels a frame; make it smaller first")


def _read_picture(path: Path, limits: Limits) -> Clip | None:
    """A picture or animated GIF by Pillow; None when it is something else."""
    Image.MAX_IMAGE_PIXELS = None
    try:
        picture = Image.open(path)
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, SyntaxError) as wrong:
        raise MediaError(f"{path} is a damaged picture: {wrong}") from None
    with picture:
        _check_pixels(path, *picture.size, limits)
        count = getattr(picture, "n_frames", 1)
        if count > limits.max_frames:
            raise MediaError(f"{path} has {count} frames, more than {limits.max_frames}; cut it first")
        frames, waits = [], []
        try:
            for index in range(count):
                picture.seek(index)
                waits.append(float(picture.info.get("duration", 0)) or 100.0)
                frames.append(_flat(picture))
        except (OSError, ValueError, SyntaxError, EOFError) as wrong:
            raise MediaError(f"{path} is a damaged picture: {wrong}") from None
        info: dict[Any, Any] = dict(picture.info)
        settings = info.get("comment") or picture.getexif().get(0x010E)
    if count == 1:
        clip = Clip(frames=np.stack(frames), fps=16.0)
    else:
        shortest = min(waits)
        repeats = [max(round(wait / shortest), 1) for wait in waits]
        clip = Clip(frames=np.repeat(np.stack(frames), repeats, axis=0), fps=min(1000.0 / shortest, 1000.0))
    return _with_metadata(clip, settings, info.get(KEY))


def _flat(picture: Image.Image) -> Frames:
    """uint8 [H, W, 3]: upright, 8 bits, on white."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, np.float64)
        top = 65535.0 if picture.mode.startswith("I") and values.max() > 255 else 255.0 if values.max() > 1 else 1.0
        gray = np.clip(values / top * 255, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(gray[..., None], 3, -1))
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return np.ascontiguousarray(np.asarray(upright.convert("RGB")))


def _read_video(path: Path, limits: Limits) -> Clip:
    import av

    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path), options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as wrong:
        reason = (getattr(wrong, "strerror", None) or str(wrong)).splitlines()[0]
        raise MediaError(f"{path} is not a video or picture that can be read ({reason}); try converting it to MP4") from None
    with container:
        if not container.streams.video:
            what = "sound but no pictures" if container.streams.audio else "no pictures"
            raise MediaError(f"{path} holds {what}; expected a video or a picture")
        stream = container.streams.video[0]
        _check_pixels(path, stream.codec_context.width, stream.codec_context.height, limits)
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        frames, times = _decode(path, container, stream, limits)
        rate = float(stream.average_rate or stream.guessed_rate or 0) or 25.0
        kept = {name.lower(): value for name, value in container.metadata.items()}
        comment, packed = kept.get("comment"), kept.get(KEY)
    if not frames:
        raise MediaError(f"{path} has no frame that can be decoded; it is damaged or cut off")
    clip = _with_metadata(_on_even_clock(frames, times, rate), comment, packed)
    return clip


def _decode(path: Path, container: Any, stream: Any, limits: Limits) -> tuple[list[Frames], list[float]]:
    import av

    frames: list[Frames] = []
    times: list[float] = []
    size = 0
    try:
        for frame in container.decode(stream):
            turns = round(-(getattr(frame, "rotation", 0) or 0) / 90) % 4
            pixels = np.rot90(frame.to_ndarray(format="rgb24"), -turns)
            size += pixels.nbytes
            if len(frames) >= limits.max_frames or size > limits.max_bytes:
                raise MediaError(
                    f"{path} is longer than {len(frames)} frames at {pixels.shape[1]}x{pixels.shape[0]}, which is the most that is "
                    "read; cut it first"
                )
            frames.append(np.ascontiguousarray(pixels))
            stamp = frame.time if frame.time is not None else float(Fraction(len(times)) / 25)
            times.append(float(stamp))
    except av.error.FFmpegError as wrong:
        if frames:
            log.warning(
                "%s is damaged after frame %d (%s); going on with what could be read", path, len(frames), wrong.strerror
            )
    return frames, times


def _on_even_clock(frames: list[Frames], times: list[float], rate: float) -> Clip:
    """Variable frame rates are brought onto an even clock at the average rate, each tick showing the latest frame."""
    shape = frames[0].shape
    kept = [(t, f) for t, f in sorted(zip(times, frames, strict=True), key=lambda pair: pair[0]) if f.shape == shape]
    stamps = np.array([t for t, _ in kept]) - kept[0][0]
    steps = np.diff(stamps)
    if len(kept) < 3 or np.abs(steps - 1 / rate).max() <= 0.25 / rate:
        return Clip(frames=np.stack([f for _, f in kept]), fps=rate)
    ticks = np.arange(round((stamps[-1] + np.median(steps)) * rate)) / rate
    index = np.maximum(np.searchsorted(stamps, ticks + 1e-6, side="right") - 1, 0)
    return Clip(frames=np.stack([kept[i][1] for i in index]), fps=rate)


def _with_metadata(clip: Clip, comment: Any, packed: Any) -> Clip:
    """What Kinema wrote about the clip, where it did; foreign comments are left alone."""
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    try:
        settings = json.loads(comment) if comment else {}
    except json.JSONDecodeError:
        settings = {}
    settings = settings if isinstance(settings, dict) else {}
    if not packed:
        return Clip(frames=clip.frames, fps=clip.fps, settings=settings)
    try:
        data = json.loads(zlib.decompress(base64.b64decode(packed)))
        width, height = data["size"]
        state = Scene.from_dict(data["state"]) if "state" in data else None
        frames = np.ascontiguousarray(clip.frames[:, :height, :width])
        return Clip(frames=frames, fps=float(data["fps"]), state=state, caption=data["caption"], settings=settings)
    except (zlib.error, binascii.Error, KeyError, ValueError, TypeError, InputError) as wrong:
        log.warning("the clip's kept state cannot be read (%s); going on with its pictures", wrong)
        return Clip(frames=clip.frames, fps=clip.fps, settings=settings)
