"""Reads one upload in a process of its own, with limits of memory, time and file size, without the network and without
files but those of this installation and of the folder of the upload; prints one line of JSON.

python -m kinema.server.storage.decode decode IN OUT MAX_PIXELS MAX_FRAMES ARCHIVE TITLE
                                              verify IN MAX_PIXELS MAX_FRAMES ANCHORS
                                              convert IN OUT
                                              world IN OUT

The line of `decode` holds width, height, frames and fps, that of `verify` a verdict and small copies of the frames, that of
`convert` the frames, that of `world` the model; or an error.
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
    from kinema.media import Clip

MAX_MEMORY_BYTES, MAX_CPU_S, MAX_FILE_BYTES = 3 << 30, {"decode": 30, "verify": 30, "convert": 120, "world": 30}, 1 << 30
"""Address space, processor time, and the largest file that may be written."""
LONGEST = 1920
"""The longer side of stored pictures in pixels; larger ones are shrunk while they are read."""
MAX_DECODED_BYTES, MAX_SOUND_BYTES = 512 << 20, 128 << 20
KEPT_BYTES = 192 << 20
"""Pictures of an upload are shrunk so that all of them take so much memory at most, as long as they stay large enough."""


def main() -> int:
    verb, source = sys.argv[1], Path(sys.argv[2])
    for limit, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_S[verb]),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
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


def _decode(source: Path, target: str, pixels: str, frames: str, archive: str, title: str) -> dict[str, Any]:
    from kinema.media import Limits, read_clip
    from kinema.media.wanted import Wanted
    from kinema.provenance import archive_ingredient
    from kinema.server.storage.clips import save_clip

    limits = Limits(
        max_pixels=int(pixels), max_frames=int(frames), max_bytes=MAX_DECODED_BYTES, max_sound_bytes=MAX_SOUND_BYTES
    )
    with warnings_of("kinema.media") as warnings:
        clip = read_clip(source, limits, Wanted(longest=LONGEST, within=KEPT_BYTES))
    notes = [line.replace(str(source), "the file") for line in warnings]
    if clip.source_size:
        notes.append(f"the file's pictures, {clip.source_size}, were shrunk to {clip.size} when it was read")
    save_clip(Path(target), replace(clip, caption="", settings={}), notes=notes)  # a prompt is only what a caller wrote
    archive_ingredient(source, title, Path(archive))
    height, width = clip.frames.shape[1:3]
    return {"width": width, "height": height, "frames": clip.num_frames, "fps": clip.fps}


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
    "decode": _decode, "verify": _verify, "convert": _convert, "world": _world,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
