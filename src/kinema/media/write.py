"""Writing: whole files or none, never over another without being told to, settings inside.

MP4 holds H.264 in yuv420p with even sides (odd ones are padded, and cut back on reading). The metadata field `comment` is the
settings as readable JSON; `kinema` is the rest (true size, caption, state) as compressed JSON.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from kinema.errors import OutputError

if TYPE_CHECKING:
    from kinema.media.clip import Clip

VIDEOS = {".mp4": "libx264", ".webm": "libvpx-vp9", ".mkv": "libx264"}
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
KEY = "kinema"


def pack(clip: Clip) -> str:
    """Everything but the pixels and the settings, compressed."""
    data: dict[str, Any] = {"fps": clip.fps, "caption": clip.caption, "size": [clip.frames.shape[2], clip.frames.shape[1]]}
    if clip.state is not None:
        data["state"] = clip.state.to_dict()
    return base64.b64encode(zlib.compress(json.dumps(data).encode(), 9)).decode()


def replace_file(path: Path, write: Callable[[Path], None], *, force: bool) -> Path:
    """`write` a temporary file beside the path, sync it, rename it; on any failure nothing is left and nothing is lost."""
    if path.exists() and not force:
        raise OutputError(f"{path} exists; pass --force (force=True) to overwrite it")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    if not path.parent.exists():
        raise OutputError(f"{path.parent} does not exist; make the folder first")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong).splitlines()[0]
        raise OutputError(f"{path} could not be written: {reason}; nothing was changed") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str, *, force: bool = False) -> Path:
    """A text file, whole or not at all."""
    return replace_file(path, lambda temporary: (temporary.write_text(text), None)[1], force=force)


def write(clip: Clip, path: Path, *, force: bool = False) -> Path:
    """The clip as a file of the kind that the ending names."""
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return replace_file(path, lambda temporary: _video(clip, temporary, VIDEOS[ending]), force=force)
    if ending == ".gif":
        return replace_file(path, lambda temporary: _gif(clip, temporary), force=force)
    if ending in PICTURES:
        if clip.num_frames > 1:
            raise OutputError(
                f"{path.name}: a clip of {clip.num_frames} frames is not a picture; expected {', '.join(VIDEOS)}, .gif"
            )
        return replace_file(path, lambda temporary: _picture(clip, temporary, PICTURES[ending]), force=force)
    raise OutputError(f"{path.name}: unknown ending; expected one of {', '.join([*VIDEOS, '.gif', *PICTURES])}")


def _video(clip: Clip, path: Path, codec: str) -> None:
    import av

    height, width = clip.frames.shape[1:3]
    frames = np.pad(clip.frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rate = Fraction(clip.fps).limit_denominator(1001)
    options = {"movflags": "+faststart+use_metadata_tags"} if path.suffix.lower() == ".mp4" else {}
    try:
        with av.open(str(path), "w", options=options) as container:
            container.metadata["comment"] = json.dumps(clip.settings)
            container.metadata["title"] = clip.caption
            container.metadata[KEY] = pack(clip)
            quality = {"crf": "14", "preset": "fast"} if codec == "libx264" else {"crf": "20", "b": "0", "cpu-used": "5"}
            stream: Any = container.add_stream(codec, rate=rate, options=quality)
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())
    except av.error.FFmpegError as wrong:
        raise OSError(getattr(wrong, "errno", 0), wrong.strerror or str(wrong)) from None


def _gif(clip: Clip, path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in clip.frames]
    comment = json.dumps(clip.settings).encode()
    pictures[0].save(
        path, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / clip.fps), loop=0, comment=comment
    )


def _picture(clip: Clip, path: Path, kind: str) -> None:
    picture = clip.picture()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("comment", json.dumps(clip.settings))
        text.add_text(KEY, pack(clip))
        picture.save(path, kind, pnginfo=text)
        return
    exif = Image.Exif()
    exif[0x010E] = json.dumps(clip.settings)
    picture.save(path, kind, quality=95, exif=exif)
