"""Clips stored without loss, with their state, settings and sound, as the server keeps uploads and rendered frames."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.format import (
    read_array_header_1_0,
    read_array_header_2_0,
    read_magic,
    write_array,
    write_array_header_1_0,
)

from kinema.errors import OutputError
from kinema.media import Clip, Sound
from kinema.media.frame_buffer import each, held
from kinema.scene.scene import Scene
from kinema.types import Frames

SAMPLES, RATE = "samples", "sample_rate"
"""Names of the sound's parts in a file, where the clip has sound."""


def save_clip(path: Path, clip: Clip, *, notes: Sequence[str] = (), long: bool = False, has_sound: bool = False) -> None:
    """Write a clip to a .npz file, by temporary file and rename. notes: what is not as it was in the file that it was read from.
    long: the frames are a few of a long film, which is stored as it was sent; has_sound: whether that has sound. OutputError if it
    cannot be written."""
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    attributes = {
        "fps": clip.fps,
        "caption": clip.caption,
        "settings": clip.settings,
        "source_size": clip.source_size,
        "state": None if clip.state is None else clip.state.to_dict(),
        "notes": list(notes),
        "long": long,
        "has_sound": has_sound or clip.sound is not None,
    }
    try:
        with temporary.open("wb") as file:
            rest = np.frombuffer(json.dumps(attributes).encode(), np.uint8)
            heard: dict[str, Any] = (
                {} if clip.sound is None else {SAMPLES: clip.sound.samples, RATE: np.array(clip.sound.rate)}
            )
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                _write_frames(archive, clip.frames)
                for name, values in {"rest": rest, **heard}.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                        write_array(entry, values)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _write_frames(archive: zipfile.ZipFile, frames: Frames) -> None:
    """Frames uint8 [T, H, W, 3] as NumPy writes them, one after another, so that those in a file are not in memory together."""
    with archive.open("frames.npy", "w", force_zip64=True) as entry:
        write_array_header_1_0(entry, {"descr": "|u1", "fortran_order": False, "shape": frames.shape})
        for frame in each(frames):
            entry.write(np.ascontiguousarray(frame).tobytes())


def load_clip(path: Path) -> Clip:
    """Read a clip that `save_clip` wrote. OSError, ValueError or KeyError if there is none or it is damaged."""
    with np.load(path, allow_pickle=False) as archive:
        attributes = json.loads(archive["rest"].tobytes())
        state = attributes.pop("state")
        for name in ("notes", "long", "has_sound"):
            attributes.pop(name, None)
        sound = Sound(samples=archive[SAMPLES], rate=int(archive[RATE])) if SAMPLES in archive.files else None
        scene = None if state is None else Scene.from_dict(state)
        frames = _frames(archive)
    return Clip(frames=frames, state=scene, sound=sound, **attributes)


def _frames(archive: np.lib.npyio.NpzFile) -> Frames:
    """The frames uint8 [T, H, W, 3] of a stored clip, one after another, so that large ones are in a file and not in memory."""
    assert archive.zip is not None
    with archive.zip.open("frames.npy") as file:
        read_header = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}[read_magic(file)]
        shape, fortran_order, dtype = read_header(file)
        if len(shape) != 4 or 0 in shape or fortran_order or dtype != np.uint8:
            raise ValueError(f"frames stored as {dtype} {shape}, expected uint8 [T, H, W, 3]")
        size = int(np.prod(shape[1:]))
        return held((np.frombuffer(_exactly(file, size), np.uint8).reshape(shape[1:]) for _ in range(shape[0])), shape[0])


def _exactly(file: IO[bytes], size: int) -> bytes:
    """So many bytes; ValueError if the file ends before."""
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes of a frame, expected {size}")
    return data


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What is known of a stored clip without its pixels. notes: what is not as it was in the file that was sent. long: a few
    frames stand for a long film, which is stored as it was sent."""

    has_sound: bool = False
    notes: tuple[str, ...] = ()
    long: bool = False


def stored_about(path: Path) -> Stored:
    """What is known of a clip that `save_clip` wrote; of a file that is gone, nothing."""
    try:
        with path.open("rb") as file:
            return read_about(file)
    except (OSError, ValueError, KeyError):
        return Stored()


def read_about(file: IO[bytes]) -> Stored:
    """What is known of a clip that `save_clip` wrote, of a file that can be read at any position. OSError, ValueError or KeyError
    if it is damaged."""
    with np.load(file, allow_pickle=False) as archive:
        attributes = json.loads(archive["rest"].tobytes())
        return Stored(
            has_sound=bool(attributes.get("has_sound", SAMPLES in archive.files)), notes=tuple(attributes.get("notes", ())),
            long=bool(attributes.get("long", False)),
        )  # fmt: skip
