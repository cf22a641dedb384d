"""Writing: whole files or none, never over another without being told to, settings inside.

MP4 holds H.264 in yuv420p with even sides (odd ones are padded, and cut back on reading). The metadata field `comment` is the
settings as readable JSON; `kinema` is the rest (true size, caption, state) as compressed JSON. GIF, JPEG and WebP have one
field for text, so there the rest is an entry of the settings. Beside the state stand thumbnails of the frames it belongs to, by
which the reader notices pixels that were changed since (`kinema.media.metadata`).
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import platform
import secrets
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from kinema.errors import InputError, KinemaError, OutputError
from kinema.media.frame_buffer import each
from kinema.media.soundtrack import SoundWriter

if TYPE_CHECKING:
    from kinema.media.clip import Clip

VIDEOS = {".mp4": "libx264", ".webm": "libvpx-vp9", ".mkv": "libx264"}
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
KEY = "kinema"
CONVERSION = 0x2 | 0x2000 | 0x40000
"""How colors are converted, in reading and in writing: swscale's BILINEAR, FULL_CHR_H_INT and ACCURATE_RND. Without accurate
rounding each round trip darkens a film. One thread: every frame would start some of its own, each with memory of its own."""
MOST_PACKED = 1 << 20
"""Characters that are kept beside the pixels at most; a longer state stays out of the file."""
THUMBNAIL = 8
"""Cells along a side of a frame's thumbnail, of at least as many pixels each; a thing of usual size covers about one cell."""
GIF_FPS = 50.0
"""Viewers show faster GIFs at ten frames a second."""
SAME_FILE = {"x264-params": "asm=SSE4.2"} if platform.machine().lower() in ("x86_64", "amd64") else {}
"""Options of x264 with which a clip becomes the same file each time, on every such processor: with AVX-512 its macroblock tree
reads memory that nobody wrote."""
QUALITY = {
    "libx264": {"crf": "14", "preset": "fast", **SAME_FILE},
    "libvpx-vp9": {"crf": "20", "b": "0", "cpu-used": "5"},
}
"""Options of the encoders."""


log = logging.getLogger(__name__)


def thumbnails(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3] as means over a square grid of cells, uint8 [T, n, n, 3]: nearly the same before and after
    compression, and another wherever a thing was moved, removed or recolored."""
    side = min(max(min(frames.shape[1:3]) // THUMBNAIL, 1), THUMBNAIL)
    small = [Image.fromarray(frame).resize((side, side), Image.Resampling.BOX) for frame in each(frames)]
    return np.stack([np.asarray(picture) for picture in small])


def pack(clip: Clip, held: NDArray[np.uint8] | None = None) -> str:
    """Everything but the pixels and the settings, compressed; without the state if that would be longer than MOST_PACKED.
    held: the frames as the file holds them, uint8 [T, H, W, 3], where its format changes them much; by default the clip's own."""
    data: dict[str, Any] = {"fps": clip.fps, "caption": clip.caption, "size": [clip.frames.shape[2], clip.frames.shape[1]]}
    data["num_frames"] = clip.num_frames
    if clip.state is not None and clip.state.num_frames == clip.num_frames:
        marks = base64.b64encode(thumbnails(clip.frames if held is None else held).tobytes()).decode()
        packed = _compressed({**data, "state": clip.state.to_dict(), "thumbnails": marks})
        if len(packed) <= MOST_PACKED:
            return packed
        log.warning("the state of %d frames is too long for the file (%d bytes); left out", clip.num_frames, len(packed))
    return _compressed(data)


def _compressed(data: dict[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)).decode()


def _settings(clip: Clip, **more: str) -> str:
    try:
        return json.dumps({**clip.settings, **more})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the clip's settings are not plain JSON ({error}); keep only text, numbers, lists and dicts"
        ) from None


def check_free(path: Path, *, force: bool) -> None:
    """OutputError if a file cannot be written there."""
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file")
        if os.path.lexists(path) and not force:
            raise OutputError(f"{path} exists; pass --force (force=True) to overwrite it")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} does not exist or is no folder; make the folder first")
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{path} could not be written: permission denied in {path.parent}")
    except KinemaError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{str(path)[:200]!r} could not be written: {reason}; name another file") from None


def check_ending(path: Path, *, still: bool) -> None:
    """OutputError if the name's ending stands for no kind that holds a film, or (still=True) a picture."""
    ending = path.suffix.lower()
    films = [*VIDEOS, ".gif"]
    if ending in PICTURES and not still:
        raise OutputError(f"{path.name}: {ending} holds one picture, not a film; expected one of {', '.join(films)}")
    if ending not in (*films, *PICTURES):
        kinds = ", ".join([*films, *PICTURES] if still else films)
        raise OutputError(f"{path.name}: unknown ending {ending!r}; expected one of {kinds}")


def replace_file(path: Path, write: Callable[[Path], None], *, force: bool) -> Path:
    """`write` a temporary file beside the path, sync it, rename it; on any failure nothing is left and nothing is lost."""
    check_free(path, force=force)
    temporary = path.absolute().with_name(f".kinema-{secrets.token_hex(6)}.tmp{path.suffix}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if not force:
            check_free(path, force=False)
        temporary.replace(path)
    except KinemaError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OutputError(f"{path} could not be written: {reason}; nothing was changed") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str, *, force: bool = False) -> Path:
    """A text file, whole or not at all."""
    return replace_file(path, lambda temporary: (temporary.write_text(text, encoding="utf-8"), None)[1], force=force)


def write_clip(clip: Clip, path: Path, *, force: bool = False) -> Path:
    """The clip as a file of the kind that the ending names."""
    check_ending(path, still=clip.num_frames == 1)
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return replace_file(path, lambda temporary: _video(clip, temporary, VIDEOS[ending]), force=force)
    if clip.sound is not None:
        log.warning(
            "%s holds no sound; that of the clip is left out. Save it as %s to keep it", path.name, ", ".join(VIDEOS)
        )
    if ending == ".gif":
        return replace_file(path, lambda temporary: _gif(clip, temporary), force=force)
    return replace_file(path, lambda temporary: _picture(clip, temporary, PICTURES[ending]), force=force)


def _video(clip: Clip, path: Path, codec: str) -> None:
    import av

    height, width = clip.frames.shape[1:3]
    to_even = ((0, height % 2), (0, width % 2), (0, 0))
    rate = Fraction(clip.fps).limit_denominator(1001) or Fraction(1, 1001)
    options, ending = {"fflags": "+bitexact"}, path.suffix.lower()
    if ending == ".mp4":
        options["movflags"] = "+faststart+use_metadata_tags"
    comment = _settings(clip)
    try:
        with av.open(str(path), "w", options=options) as container:
            container.metadata["comment"] = comment
            container.metadata["title"] = clip.caption.replace("\0", " ").encode("utf-8", "replace").decode()
            container.metadata[KEY] = pack(clip)
            stream: Any = container.add_stream(codec, rate=rate, options=QUALITY[codec])
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            sound = None if clip.sound is None else SoundWriter(container, clip.sound, ending)
            for number, frame in enumerate(each(clip.frames)):
                if sound is not None:
                    sound.write((number + 1) / clip.fps)
                shown = av.VideoFrame.from_ndarray(np.pad(frame, to_even, mode="edge"), format="rgb24")
                container.mux(stream.encode(shown.reformat(format="yuv420p", interpolation=CONVERSION, threads=1)))
            container.mux(stream.encode())
            if sound is not None:
                sound.write()
    except av.error.FFmpegError as error:
        raise OSError(getattr(error, "errno", 0), error.strerror or str(error)) from None


def _gif(clip: Clip, path: Path) -> None:
    """GIF counts in hundredths of a second, so the waits alternate to keep the clip's rate. A picture has at most 256 colors, which
    can change small things visibly, so the thumbnails are those of the pictures after quantization."""
    if clip.fps > GIF_FPS:
        clip = clip.resample(GIF_FPS)
    pictures = [Image.fromarray(frame).quantize(256) for frame in clip.frames]
    held = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    ticks = np.round(np.arange(clip.num_frames + 1) * 100 / clip.fps).astype(int)
    waits = [int(10 * wait) for wait in np.minimum(np.diff(ticks), 65535)]
    comment = _settings(clip, **{KEY: pack(clip, held)}).encode()
    made = io.BytesIO()
    pictures[0].save(made, "GIF", save_all=True, append_images=pictures[1:], duration=waits, loop=0, comment=comment)
    path.write_bytes(made.getbuffer())


def _picture(clip: Clip, path: Path, kind: str) -> None:
    """Made in memory first: Pillow's JPEG encoder does not notice when a file cannot take what it writes."""
    picture, made = clip.picture(), io.BytesIO()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("comment", _settings(clip))
        text.add_text(KEY, pack(clip))
        picture.save(made, kind, pnginfo=text)
    else:
        exif = Image.Exif()
        exif[0x010E] = _settings(clip, **{KEY: pack(clip)})
        picture.save(made, kind, quality=95, exif=exif)
    path.write_bytes(made.getbuffer())
