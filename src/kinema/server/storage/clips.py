"""Clips stored without loss, with their state, settings and sound, as the server keeps uploads and rendered frames."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinema.errors import OutputError
from kinema.media import Clip, Sound
from kinema.scene.scene import Scene

SAMPLES, RATE = "samples", "sample_rate"
"""Names of the sound's parts in a file, where the clip has sound."""


def save_clip(path: Path, clip: Clip, *, notes: Sequence[str] = ()) -> None:
    """Write a clip to a .npz file, by temporary file and rename. notes: what is not as it was in the file that it was read from.
    OutputError if it cannot be written."""
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    attributes = {
        "fps": clip.fps,
        "caption": clip.caption,
        "settings": clip.settings,
        "source_size": clip.source_size,
        "state": None if clip.state is None else clip.state.to_dict(),
        "notes": list(notes),
    }
    try:
        with temporary.open("wb") as file:
            rest = np.frombuffer(json.dumps(attributes).encode(), np.uint8)
            heard: dict[str, Any] = (
                {} if clip.sound is None else {SAMPLES: clip.sound.samples, RATE: np.array(clip.sound.rate)}
            )
            np.savez(file, frames=clip.frames, rest=rest, **heard)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_clip(path: Path) -> Clip:
    """Read a clip that `save_clip` wrote. OSError, ValueError or KeyError if there is none or it is damaged."""
    with np.load(path, allow_pickle=False) as archive:
        attributes = json.loads(archive["rest"].tobytes())
        state = attributes.pop("state")
        attributes.pop("notes", None)
        sound = Sound(samples=archive[SAMPLES], rate=int(archive[RATE])) if SAMPLES in archive.files else None
        scene = None if state is None else Scene.from_dict(state)
        return Clip(frames=archive["frames"], state=scene, sound=sound, **attributes)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What is known of a stored clip without its pixels. notes: what is not as it was in the file that was sent."""

    has_sound: bool = False
    notes: tuple[str, ...] = ()


def stored_about(path: Path) -> Stored:
    """What is known of a clip that `save_clip` wrote; of a file that is gone, nothing."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            attributes = json.loads(archive["rest"].tobytes())
            return Stored(has_sound=SAMPLES in archive.files, notes=tuple(attributes.get("notes", ())))
    except (OSError, ValueError, KeyError):
        return Stored()
