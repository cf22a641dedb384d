"""Clips stored without loss, with their state and settings, as the server keeps uploads and rendered frames."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import numpy as np

from kinema.errors import OutputError
from kinema.media import Clip
from kinema.scene.scene import Scene


def save_clip(path: Path, clip: Clip) -> None:
    """Write a clip to a .npz file, by temporary file and rename. OutputError if it cannot be written."""
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    attributes = {
        "fps": clip.fps,
        "caption": clip.caption,
        "settings": clip.settings,
        "state": None if clip.state is None else clip.state.to_dict(),
    }
    try:
        with temporary.open("wb") as file:
            np.savez(file, frames=clip.frames, rest=np.frombuffer(json.dumps(attributes).encode(), np.uint8))
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
        return Clip(frames=archive["frames"], state=None if state is None else Scene.from_dict(state), **attributes)
