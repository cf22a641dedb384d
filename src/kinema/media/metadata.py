"""What Kinema wrote into a file beside its pixels, read back with care: other programs copy such fields into changed files.

So the true size and frame rate are believed only where the pictures are as many, as large and as fast as they were when written,
and the state only where they also look as they did: its file holds thumbnails of all frames, and the decoded frames must agree
with them. That withstands compression (also a second one) and needs no decoding when a file is written, as a hash of decoded
frames would. It tells honest changes, not forgeries: who writes a false state can write thumbnails to it. So whatever a state says
is checked to be finite and within LIMITS, and nothing but pictures is ever made of it. Foreign comments are left alone.
"""

from __future__ import annotations

import base64
import binascii
import logging
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from kinema.errors import InputError
from kinema.media.clip import Clip
from kinema.media.write import KEY, MOST_PACKED, thumbnails
from kinema.scene.scene import Scene
from kinema.types import parse_json

log = logging.getLogger(__name__)

MAX_BYTES = 32 << 20
"""The most that a kept state is unpacked to."""
MAX_SLOTS = 256
SAME_LOOK = 20
"""Levels of 255 by which a cell of a thumbnail may differ from the one that was written, as it may after compression."""
LIMITS = {"x": 50.0, "y": 50.0, "vx": 100.0, "vy": 100.0, "angle": 1e4, "visible": 1.0, "size": 10.0}
"""The largest magnitude of each field in a state that is believed; zooms go from 1 / MAX_ZOOM to MAX_ZOOM."""
MAX_ZOOM = 64.0


def _dict(text: str | bytes) -> dict[str, Any]:
    try:
        data = parse_json(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def read_stored(comment: Any, packed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings, the rest) from a file's comment and its `kinema` field, each empty where there is none."""
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    settings = _dict(comment) if isinstance(comment, str) else {}
    packed = packed or settings.pop(KEY, None)
    return settings, unpack(packed) if isinstance(packed, str) else {}


def unpack(packed: str) -> dict[str, Any]:
    """What `pack` packed, checked to have every field but the state; empty with a warning when that cannot be."""
    try:
        if len(packed) > MOST_PACKED:
            raise ValueError(f"{len(packed)} bytes, expected at most {MOST_PACKED}")
        data = _dict(zlib.decompressobj().decompress(base64.b64decode(packed), MAX_BYTES))
        width, height = (int(side) for side in data["size"])
        fps, count = float(data["fps"]), int(data["num_frames"])
        if not 0 < fps <= 1000 or min(width, height, count) < 1:
            raise ValueError("values out of range")
        return {**data, "size": (width, height), "fps": fps, "num_frames": count, "caption": str(data["caption"])}
    except (zlib.error, binascii.Error, KeyError, ValueError, TypeError, OverflowError) as error:
        log.warning("what was kept beside the clip cannot be read (%s); going on with its pictures", error)
        return {}


def attach_stored(clip: Clip, settings: dict[str, Any], stored: dict[str, Any]) -> Clip:
    """The clip with what was kept of it, as far as it still fits."""
    clip = replace(clip, settings=settings)
    if not stored:
        return clip
    clip = replace(clip, caption=stored["caption"])
    (width, height), (real_height, real_width) = stored["size"], clip.frames.shape[1:3]
    sides_fit = (real_width - width, real_height - height) in ((0, 0), (width % 2, height % 2))
    rate_fits = clip.num_frames == 1 or abs(stored["fps"] - clip.fps) <= 0.02 * clip.fps
    if not sides_fit or not rate_fits:
        log.warning("the clip was changed by another program; going on without the state kept in it")
        return clip
    clip = replace(clip, frames=np.ascontiguousarray(clip.frames[:, :height, :width]), fps=stored["fps"])
    if stored.get("state") is None:
        return clip
    try:
        return replace(clip, state=_state(clip, stored))
    except (InputError, binascii.Error, KeyError, ValueError, TypeError, OverflowError) as error:
        log.warning("the state kept in the clip is not used: %s", error)
        return clip


def _state(clip: Clip, stored: dict[str, Any]) -> Scene:
    """The state that was kept of the clip; ValueError or InputError if it does not belong to these frames or is out of range."""
    data = stored["state"]
    if data["num_frames"] != clip.num_frames or data["num_slots"] > MAX_SLOTS:
        raise ValueError(f"it has {data['num_frames']} frames, the file {clip.num_frames}")
    now = thumbnails(clip.frames)
    then = np.frombuffer(base64.b64decode(stored["thumbnails"]), np.uint8).reshape(now.shape)
    change = np.abs(then.astype(np.int16) - now).max((1, 2, 3))
    if change.max() > SAME_LOOK:
        raise ValueError(f"frame {int(change.argmax())} no longer looks as it did when the state was written")
    scene = Scene.from_dict(data)
    if not 0 < scene.fps <= 1000:
        raise ValueError(f"{scene.fps:g} frames a second")
    for name, most in LIMITS.items():
        if np.abs(getattr(scene, name)).max() > most:
            raise ValueError(f"{name} reaches {np.abs(getattr(scene, name)).max():g}, expected at most {most:g}")
    zoom = scene.camera[:, 2]
    if np.abs(scene.camera[:, :2]).max() > LIMITS["x"] or zoom.min() < 1 / MAX_ZOOM or zoom.max() > MAX_ZOOM:
        raise ValueError("the camera is out of range")
    return scene
