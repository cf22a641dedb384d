"""What Kinema wrote into a file beside its pixels, read back with care: other programs copy such fields into changed files.

So the true size, frame rate and state are believed only where the pictures are as many, as large and as fast as they were
when written. Foreign comments are left alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from kinema.canvas.scene import Scene
from kinema.errors import InputError
from kinema.media.clip import Clip
from kinema.media.write import KEY

log = logging.getLogger(__name__)

MAX_BYTES = 64 << 20
"""The most that a kept state is unpacked to."""
MAX_SLOTS = 256


def _dict(text: str | bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def kept_in(comment: Any, packed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings, the rest) from a file's comment and its `kinema` field, each empty where there is none."""
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    settings = _dict(comment) if isinstance(comment, str) else {}
    packed = packed or settings.pop(KEY, None)
    return settings, unpack(packed) if isinstance(packed, str) else {}


def unpack(packed: str) -> dict[str, Any]:
    """What `pack` packed, checked to have every field but the state; empty with a warning when that cannot be."""
    try:
        data = _dict(zlib.decompressobj().decompress(base64.b64decode(packed), MAX_BYTES))
        width, height = (int(side) for side in data["size"])
        fps, count = float(data["fps"]), int(data["num_frames"])
        if not 0 < fps <= 1000 or min(width, height, count) < 1:
            raise ValueError("values out of range")
        return {**data, "size": (width, height), "fps": fps, "num_frames": count, "caption": str(data["caption"])}
    except (zlib.error, binascii.Error, KeyError, ValueError, TypeError, OverflowError) as wrong:
        log.warning("what was kept beside the clip cannot be read (%s); going on with its pictures", wrong)
        return {}


def keep(clip: Clip, settings: dict[str, Any], kept: dict[str, Any]) -> Clip:
    """The clip with what was kept of it, as far as it still fits."""
    clip = replace(clip, settings=settings)
    if not kept:
        return clip
    clip = replace(clip, caption=kept["caption"])
    (width, height), (real_height, real_width) = kept["size"], clip.frames.shape[1:3]
    sides_fit = (real_width - width, real_height - height) in ((0, 0), (width % 2, height % 2))
    rate_fits = clip.num_frames == 1 or abs(kept["fps"] - clip.fps) <= 0.02 * clip.fps
    if not sides_fit or not rate_fits:
        log.warning("the clip was changed by another program; going on without the state kept in it")
        return clip
    clip = replace(clip, frames=np.ascontiguousarray(clip.frames[:, :height, :width]), fps=kept["fps"])
    state = kept.get("state")
    if state is None:
        return clip
    try:
        if state["num_frames"] != clip.num_frames or state["num_slots"] > MAX_SLOTS:
            raise ValueError(f"it has {state['num_frames']} frames, the file {clip.num_frames}")
        return replace(clip, state=Scene.from_dict(state))
    except (InputError, KeyError, ValueError, TypeError, OverflowError) as wrong:
        log.warning("the state kept in the clip is not used: %s", wrong)
        return clip
