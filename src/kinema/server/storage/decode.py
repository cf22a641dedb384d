"""Reads one upload in a process of its own, with limits of memory, time and file size, without the network and without
files but those of this installation and of the folder of the upload; prints one line of JSON.

python -m kinema.server.storage.decode decode IN OUT MAX_PIXELS MAX_FRAMES MAX_LONG_FRAMES ARCHIVE TITLE
                                              part IN OUT MAX_PIXELS FIRST STOP FPS LONGEST WITHIN
                                              verify IN MAX_PIXELS MAX_FRAMES ANCHORS
                                              convert IN OUT
                                              world IN OUT

The line of `decode` holds width, height, frames, fps and whether the film is long, that of `part` the frames, that of `verify` a
verdict and small copies of the frames, that of `convert` the frames, that of `world` the model; or an error.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinema.media import Clip, Limits
    from kinema.media.video_part import FilmLength

MAX_MEMORY_BYTES, MAX_FILE_BYTES = 3 << 30, 1 << 30
"""Address space, and the largest file that may be written."""
MAX_PART_BYTES = 4 << 30
"""The largest file of a part of a long film, whose frames lie in a file while they are read, which takes as much address space."""
MAX_CPU_S = {"decode": 30, "part": 1200, "verify": 30, "convert": 120, "world": 30}
"""Processor time by what is done."""
LONGEST = 1920
"""The longer side of stored pictures in pixels; larger ones are shrunk while they are read."""
MAX_DECODED_BYTES, MAX_SOUND_BYTES = 512 << 20, 128 << 20
KEPT_BYTES = 192 << 20
"""Pictures of an upload are shrunk so that all of them take so much memory at most, as long as they stay large enough."""


def main() -> int:
    verb, source = sys.argv[1], Path(sys.argv[2])
    part_bytes = MAX_PART_BYTES if verb == "part" else 0
    for limit, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES + part_bytes),
        (resource.RLIMIT_CPU, MAX_CPU_S[verb]),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES + part_bytes),
    ):
        resource.setrlimit(limit, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tempfile.tempdir = str(source.parent)  # the one folder in which this process may write
    from kinema.errors import KinemaError
    from kinema.server.storage.confine import LACKS, confine

    for lack in confine(source.parent):
        print(LACKS + lack, file=sys.stderr)

    try:
        result = VERBS[verb](source, *sys.argv[3:])
    except KinemaError as error:
        result = {"error": str(error).replace(str(source), "the file")}
    except (MemoryError, OverflowError):
        result = {"error": "the file needs more memory than uploads may take; make it smaller first"}
    print(json.dumps(result))
    return 0


@contextmanager
def warnings_of(name: str) -> Iterator[list[str]]:
    """The warnings of a package, logged while the block runs."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def _decode(
    source: Path, target: str, pixels: str, frames: str, long_frames: str, archive: str, title: str
) -> dict[str, Any]:
    from kinema.media import Limits, read_clip
    from kinema.media.wanted import Wanted
    from kinema.provenance import archive_ingredient
    from kinema.server.storage.clips import save_clip

    limits = Limits(
        max_pixels=int(pixels), max_frames=int(frames), max_bytes=MAX_DECODED_BYTES, max_sound_bytes=MAX_SOUND_BYTES
    )
    length = _length(source, limits)
    if length is not None and length.frames > int(frames):
        clip = _few_frames(source, target, replace(limits, max_frames=int(long_frames)), length)
        archive_ingredient(source, title, Path(archive))
        height, width = clip.frames.shape[1:3]
        return {"width": width, "height": height, "frames": length.frames, "fps": length.fps, "long": True}
    with warnings_of("kinema.media") as warnings:
        clip = read_clip(source, limits, Wanted(longest=LONGEST, within=KEPT_BYTES))
    notes = [line.replace(str(source), "the file") for line in warnings]
    if clip.source_size:
        notes.append(f"the file's pictures, {clip.source_size}, were shrunk to {clip.size} when it was read")
    save_clip(Path(target), replace(clip, caption="", settings={}), notes=notes)  # a prompt is only what a caller wrote
    archive_ingredient(source, title, Path(archive))
    height, width = clip.frames.shape[1:3]
    return {"width": width, "height": height, "frames": clip.num_frames, "fps": clip.fps, "long": False}


def _length(source: Path, limits: Limits) -> FilmLength | None:
    """How long a video is; None of a picture, and of a video that does not say."""
    from kinema.errors import MediaError
    from kinema.media.video_part import measure_length

    try:
        return measure_length(source, limits)
    except MediaError:
        return None


def _few_frames(source: Path, target: str, limits: Limits, length: FilmLength) -> Clip:
    """Write the first, the middle and the last frame of a long film."""
    import numpy as np

    from kinema.errors import MediaError
    from kinema.media import read_clip
    from kinema.media.wanted import FramePart, Wanted
    from kinema.server.storage.clips import save_clip

    if length.frames > limits.max_frames:
        raise MediaError(
            f"{source} has {length.frames} frames, and at most {limits.max_frames} of a film can be stored; cut it first"
        )
    shown = [
        read_clip(source, limits, Wanted(part=FramePart(first=i, stop=i + 1, fps=length.fps), longest=LONGEST, sound=False))
        for i in (0, length.frames // 2, length.frames - 1)
    ]
    pictures = np.concatenate([one.frames for one in shown])
    clip = replace(shown[0], frames=pictures, fps=length.fps, caption="", settings={})
    notes = (
        [f"the file's pictures, {clip.source_size}, are shrunk to {clip.size} when they are read"]
        if clip.source_size
        else []
    )
    save_clip(Path(target), clip, notes=notes, long=True, has_sound=length.has_sound)
    return clip


def _part(
    source: Path, target: str, pixels: str, first: str, stop: str, fps: str, longest: str, within: str
) -> dict[str, Any]:
    from kinema.media import Limits, read_clip
    from kinema.media.wanted import FramePart, Wanted
    from kinema.server.storage.clips import save_clip

    part = FramePart(first=int(first), stop=int(stop), fps=float(fps))
    limits = Limits(
        max_pixels=int(pixels),
        max_frames=part.stop - part.first,
        max_bytes=MAX_PART_BYTES,
        max_sound_bytes=4 * MAX_SOUND_BYTES,
    )
    clip = read_clip(source, limits, Wanted(part=part, longest=int(longest), within=int(within)))
    save_clip(Path(target), replace(clip, caption="", settings={}))
    return {"frames": clip.num_frames}


def _verify(source: Path, pixels: str, frames: str, anchors: str) -> dict[str, Any]:
    from kinema.media import Limits
    from kinema.provenance import verify

    limits = Limits(max_pixels=int(pixels), max_frames=int(frames), max_bytes=MAX_DECODED_BYTES)
    verdict = verify(source, anchors=anchors.encode(), limits=limits)
    return {**verdict.to_dict(), "copies": verdict.copies.tolist()}


def _convert(source: Path, target: str) -> dict[str, Any]:
    from kinema.media import Clip

    clip, path = Clip.open(source), Path(target)
    if path.suffix == ".zip":
        _save_frames(clip, path)
    else:
        clip.save(path)
    return {"frames": clip.num_frames}


def _save_frames(clip: Clip, path: Path) -> None:
    """The frames as PNG in a zip file, frame-00000.png first."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index in range(clip.num_frames):
            with archive.open(f"frame-{index:05d}.png", "w") as file:
                clip.picture(index).save(file, "PNG")


def _world(source: Path, target: str) -> dict[str, Any]:
    from kinema.server.worlds.uploaded import rewrite_world

    return {"model": rewrite_world(source, Path(target))}


VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "decode": _decode, "part": _part, "verify": _verify, "convert": _convert, "world": _world,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
