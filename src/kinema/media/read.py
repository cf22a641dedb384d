"""Reading: any user's video or picture, of any size, rotation, frame rate or variable frame rate.

Files are told by what they hold, not by their names: only formats on two lists are opened, so a text that names other files
cannot be disguised as a video, and nothing is read that needs another program. Sizes and lengths are checked before pixels are
decoded. Transparent pixels are put on white.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinema.errors import MediaError
from kinema.media.clip import Clip
from kinema.media.metadata import attach_stored, read_stored
from kinema.media.video import first_line, read_film
from kinema.media.video_part import read_part
from kinema.media.wanted import ALL, Limits, Wanted
from kinema.media.write import KEY
from kinema.types import Frames

log = logging.getLogger(__name__)

PICTURES = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "ICO", "PCX", "QOI")
MOVING = ("PNG", "GIF", "WEBP", "AVIF")
"""Pictures whose frames follow one another in time; in other kinds they are pages or previews, of which the first counts."""


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
        if picture is None and wanted.part is not None:
            return read_part(path, limits, wanted, wanted.part)
        clip = picture if picture is not None else read_film(path, limits, wanted)
        return clip.cut(wanted.which(clip.num_frames))
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
                which = range(count)[wanted.which(count)]
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
            raise MediaError(f"{path} is a damaged picture ({first_line(error)}); open and save it anew") from None
        log.warning(
            "%s is damaged after frame %d (%s); going on with what could be read", path, len(frames), first_line(error)
        )
        settings, stored = {}, {}
    frames = [frame for frame in frames if frame.shape == frames[0].shape]
    if len(frames) == 1 and stored.get("num_frames", 1) == 1:
        clip = Clip(frames=np.stack(frames), fps=16.0)
    else:
        begin = max(len(waits_ms) - len(frames), 0) if wanted.last is not None else 0
        clip = _animation(path, frames, waits_ms, begin, stored, limits)
    shrunk = wanted.size(width, height, len(which)) != (width, height)
    return attach_stored(replace(clip, source_size=f"{width}x{height}" if shrunk else ""), settings, stored)


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
