"""What is a picture: of which spaces, and as which pixels. Recording, agents and converted datasets all decide it here.

A picture is an array [H, W], [H, W, C] or [C, H, W] of 1 or 3 colors (4 with opacity), in levels from 0 to 255 or in floats from 0
to 1. Arrays with a side below CELL_PX, or with levels of another range, are boards of numbers; but bytes from 0 to 255 of 1 or 3
colors are neither, however small, as they would drown other numbers.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.errors import InputError
from kinema.models.config import cell_px
from kinema.types import Frame

CELL_PX = cell_px(2)
"""Pixels along one side of a video cell of a recorded world; pictures are whole cells."""
COLORS = (1, 3)
WITH_OPACITY = 4


def channel_axis(shape: tuple[int, ...], colors: tuple[int, ...] = COLORS) -> int | None:
    """The axis of colors in an array of this shape: 2 for [H, W, C], 0 for [C, H, W], -1 for [H, W]; None for no picture."""
    if len(shape) == 2 and min(shape) >= CELL_PX:
        return -1
    if len(shape) == 3 and shape[2] in colors and min(shape[:2]) >= CELL_PX:
        return 2
    if len(shape) == 3 and shape[0] in colors and min(shape[1:]) >= CELL_PX:
        return 0
    return None


def picture_range(space: gym.Space[Any], *, chosen: bool = False) -> tuple[float, float] | None:
    """The levels of black and white of a space of pictures, None for other spaces.

    chosen: the user says that it is a picture, so four channels are colors with opacity, and any finite range is one of levels.
    """
    if not isinstance(space, gym.spaces.Box):
        return None
    if channel_axis(space.shape, (*COLORS, WITH_OPACITY) if chosen else COLORS) is None:
        return None
    low, high = float(np.min(space.low)), float(np.max(space.high))
    if (low, high) == (0.0, 255.0) or ((low, high) == (0.0, 1.0) and np.issubdtype(space.dtype, np.floating)):
        return low, high
    if chosen and np.isfinite([low, high]).all() and high > low:
        return low, high
    return None


def to_picture(values: Any, size: tuple[int, int], levels: tuple[float, float] | None = None) -> Frame:
    """An array of a picture as its own copy, uint8 [height, width, 3].

    levels: of black and white; None for a rendered picture: 0 and 255 of whole numbers, 0 and 1 of floats and booleans.
    InputError: no picture by its shape, or values that are not finite or outside the levels.
    """
    pixels = np.asarray(values)
    if pixels.dtype == object or pixels.dtype.kind not in "biuf":
        raise InputError(f"a picture of {type(values).__name__}: expected an array of numbers [height, width, 3]")
    if pixels.ndim == 3 and pixels.shape[2] in (*COLORS, WITH_OPACITY) and min(pixels.shape) >= 1:
        colored = pixels
    elif pixels.ndim == 3 and pixels.shape[0] in (*COLORS, WITH_OPACITY) and min(pixels.shape) >= 1:
        colored = pixels.transpose(1, 2, 0)
    elif pixels.ndim == 2 and min(pixels.shape) >= 1:
        colored = pixels[..., None]
    else:
        raise InputError(f"a picture of shape {pixels.shape}: expected [height, width, 3]")
    colored = colored[..., :3]
    black, white = levels or ((0.0, 255.0) if pixels.dtype.kind in "iu" else (0.0, 1.0))
    if colored.dtype != np.uint8 or (black, white) != (0.0, 255.0):
        colored = _rescaled(colored, black, white)
    if colored.shape[2] == 1:
        colored = np.repeat(colored, 3, 2)
    colored = np.ascontiguousarray(colored)
    if colored.shape[:2] == tuple(size):
        return colored.copy()
    return np.array(Image.fromarray(colored).resize((size[1], size[0]), Image.Resampling.BOX))


def _rescaled(values: NDArray[Any], black: float, white: float) -> Frame:
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError("a picture with values that are not finite (NaN or infinite)")
    low, high = float(numbers.min()), float(numbers.max())
    slack = 1e-3 * (white - black)
    if low < black - slack or high > white + slack:
        raise InputError(
            f"a picture of {values.dtype} with values from {low:g} to {high:g}: expected {black:g} to {white:g}"
        )
    return np.asarray(np.rint((numbers - black) * (255.0 / (white - black))).clip(0, 255), np.uint8)


def is_small_picture(part: gym.Space[Any]) -> bool:
    """Whether a part has the form of a picture, however small: bytes from 0 to 255, [height, width, 1 or 3], as MiniGrid's view of
    symbols. Its numbers would drown the others."""
    return (
        isinstance(part, gym.spaces.Box)
        and part.dtype == np.uint8
        and len(part.shape) == 3
        and part.shape[-1] in (1, 3)
        and bool((part.low == 0).all() and (part.high == 255).all())
    )
