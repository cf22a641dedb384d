"""What is left of a film when the scene is taken out of it: the part in which a mark can be seen.

A pixel's average over the frames around it shows the scene, if the scene stands still there; the pattern changes and averages
out. Light that flickers or fades is taken out by the average of the neighborhood in the same frame. Where something passes, a
pixel is left out of both averages and of the rest, and pixels that are restless all the time count for less. Where there are
too few frames to tell, the neighborhood alone stands for the scene.

Axes: T frames, H and W pixels.
"""

from __future__ import annotations

import numpy as np

from kinema.media.frame_buffer import each
from kinema.types import Floats, Frames

CALM_REACH, RESTLESS_REACH = 24, 6
"""Frames to either side over which a pixel is averaged, where the camera rests and where it moves."""
RESTS = 0.8
"""Share of the pixels that stand still from which on the camera is taken to rest."""
FEWEST = 8
"""Frames below which space stands in for time."""
STILL = 12.0
"""Gray levels within which a pixel shows the same thing as on average."""
MOST = 4.0
"""Gray levels that a mark explains; more is cut off."""
WIDE, WIDER = 6, 9
"""Pixels to either side of a neighborhood: in a picture, in a film."""
CALM = 10.0
"""Variance over time from which on a pixel counts for less."""
GROUP = 1 << 20
"""Values of a film that are worked on together, few enough to stay near the processor."""


def luma(frames: Frames, largest: int) -> Floats:
    """Brightness [T, H, W], 0 to 255, halved until the short side is no longer than `largest`."""
    times = _halvings(frames.shape[1:3], largest)
    out = []
    for frame in each(frames):
        red, green, blue = (frame[..., channel].astype(np.uint16) for channel in range(3))
        bright: Floats = (77 * red + 150 * green + 29 * blue)[None].astype(np.float32) / np.float32(256)
        for _ in range(times):
            bright = halved(bright)
        out.append(bright[0])
    return np.stack(out)


def _halvings(size: tuple[int, ...], largest: int) -> int:
    count = 0
    while min(size) >> count > largest:
        count += 1
    return count


def halved(bright: Floats) -> Floats:
    """Every two by two pixels averaged [T, H // 2, W // 2]."""
    height, width = bright.shape[1] // 2 * 2, bright.shape[2] // 2 * 2
    rows = bright[:, 0:height:2, :width] + bright[:, 1:height:2, :width]
    return np.divide(rows[..., 0::2] + rows[..., 1::2], 4, dtype=np.float32)


def residual(bright: Floats) -> Floats:
    """Gray levels that the scene does not explain [T, H, W], within MOST."""
    if len(bright) < FEWEST:
        scene = _around(_around(bright, WIDE, 1), WIDE, 2)
        return _within(bright - scene)
    change = bright - bright.mean(0)
    step = max(GROUP // bright[0].size, 1)
    for at in range(0, len(change), step):
        change[at : at + step] -= _light(change[at : at + step])
    reach = CALM_REACH if (np.abs(change) < STILL).mean() > RESTS else RESTLESS_REACH
    rows = max(GROUP // bright[:, 0].size, 1)
    return np.concatenate([_unsteady(change[:, at : at + rows], reach) for at in range(0, change.shape[1], rows)], 1)


def _light(change: Floats) -> Floats:
    """By how much each neighborhood as a whole is lighter than on average over time, things that pass left out."""
    light = np.median(change, (1, 2), keepdims=True).astype(np.float32)
    for _ in range(2):
        still = (np.abs(change - light) < STILL).astype(np.float32)
        seen = np.maximum(_around(_around(still, WIDER, 1), WIDER, 2), 1e-2, dtype=np.float32)
        light = np.divide(_around(_around(change * still, WIDER, 1), WIDER, 2), seen, dtype=np.float32)
    return light


def _unsteady(change: Floats, reach: int) -> Floats:
    """What differs from a pixel's own average over the frames around, by how far the pixel can be relied on."""
    if len(change) > 2 * reach:
        scene = _around(change, reach, 0)
    else:
        scene = np.median(change, 0)[None].astype(np.float32)
    for _ in range(2):
        still = (np.abs(change - scene) < STILL).astype(np.float32)
        seen = np.maximum(_around(still, reach, 0), 1e-3, dtype=np.float32)
        scene = np.divide(_around(change * still, reach, 0), seen, dtype=np.float32)
    left = (change - scene) * still
    restless: Floats = np.square(left).mean(0, dtype=np.float32)
    out: Floats = np.divide(_within(left), 1 + restless / CALM, dtype=np.float32)
    return out


def _within(values: Floats) -> Floats:
    out: Floats = np.clip(values, -MOST, MOST)
    return out


def _around(values: Floats, reach: int, axis: int) -> Floats:
    """The mean over `reach` places to either side, fewer at the ends."""
    count = values.shape[axis]
    sums = np.concatenate([np.zeros_like(values.take([0], axis)), np.cumsum(values, axis, dtype=np.float32)], axis)
    low, high = np.maximum(np.arange(count) - reach, 0), np.minimum(np.arange(count) + reach + 1, count)
    wide = (high - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    out: Floats = np.divide(sums.take(high, axis) - sums.take(low, axis), wide, dtype=np.float32)
    return out
