"""A label that people see: two letters in the corner, for where the law or the house wants one."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kinema.errors import InputError
from kinema.media.frame_buffer import each, held
from kinema.types import Frames

SHARE = 8
"""The letters are about this part of the short side high, and never below 8 pixels."""
PLATE, INK = 0.6, 240


def label(frames: Frames, text: str = "AI") -> Frames:
    """Frames [T, H, W, 3] with light letters on a darkened plate in the lower right corner. InputError: no room for them."""
    height, width = frames.shape[1:3]
    size = max(round(min(height, width) / SHARE), 8)
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(side) for side in font.getbbox(text))
    pad = max(size // 8, 1)
    high, wide = bottom - top + 2 * pad, right - left + 2 * pad
    if not text.strip() or high > height or wide > width:
        raise InputError(
            f"no room for the label {text!r} on {width}x{height} pixels; expected fewer letters or larger frames"
        )
    plate = Image.new("L", (wide, high))
    ImageDraw.Draw(plate).text((pad - left, pad - top), text, fill=255, font=font)
    ink = np.asarray(plate, np.float32)[..., None] / 255

    def labelled(frame: Frames) -> Frames:
        out = frame.copy()
        corner = out[height - high :, width - wide :]
        corner[:] = (corner * (1 - PLATE) * (1 - ink) + INK * ink + 0.5).astype(np.uint8)
        return out

    return held(map(labelled, each(frames)), len(frames))
