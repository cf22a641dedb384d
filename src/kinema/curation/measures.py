"""Measures of pictures that say whether a shot can teach: movement, shake, blur, text and black bars.

Each is a number in units that do not depend on the size of the film, so one limit holds for all films.

Axes: H x W pixels; luma is float32 [H, W] from 0 to 255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinema.types import Floats, Frame

BAR_LEVEL = 26
"""The brightest luma of a black bar. Black is 16 in films, and compression adds some."""
MOST_BAR = 0.45
"""Of a side, on each end: a wider bar is a dark picture."""
BLUR_CELLS = 9
"""Pixels over which a picture is blurred again to measure its blur."""
STRONGEST, LEAST_STEP = 3.0, 2.0
"""Percent of all steps between neighbors that count as edges, and their least mean in levels."""
LEAST_EDGE = 40.0
"""Levels between neighbors of a text's strokes."""
TEXT_CELL = 16
"""Pixels along the side of a cell that is text or is not."""
PEAK = 0.06
"""Of a correlation, below which a shift is not known."""
LEAST_TEXTURE = 1.5
"""Mean step between neighbors, in levels, of a block whose shift can be measured."""
LEAST_BLOCKS, MOST_APART = 5, 0.01
"""How many blocks have to say how the picture moved, and how far from the median, in shares of the sides, the median of them is."""


def luma_of(frame: Frame) -> Floats:
    """Rec. 601 luma of a picture uint8 [H, W, 3]."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(frame.astype(np.float32) @ weights, np.float32)


def blur(luma: Floats) -> float:
    """How blurred a picture is, from 0 (as sharp as can be) to 1: how little its sharpest edges lose where it is blurred again.

    Crete, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual blur
    metric", 2007, of the strongest steps between neighbors alone: a picture may be out of focus behind what it shows, and
    compression adds faint steps everywhere. In a flat drawing the few steps that there are count. One without any counts as 1.
    """
    shares = []
    for values in (luma, luma.T):
        sharp_steps, smooth_steps = np.abs(np.diff(values, axis=0)), np.abs(np.diff(_box(values, BLUR_CELLS), axis=0))
        strongest = sharp_steps >= max(float(np.percentile(sharp_steps, 100 - STRONGEST)), LEAST_STEP)
        steps = sharp_steps[strongest]
        lost = np.maximum(steps - smooth_steps[strongest], 0)
        shares.append(1.0 - float(lost.sum() / steps.sum()) if len(steps) else 1.0)
    return max(shares)


def _box(values: Floats, cells: int) -> Floats:
    """Means over so many rows around each."""
    padded = np.pad(values, ((cells // 2 + 1, cells // 2), (0, 0)), mode="edge").astype(np.float64)
    sums = np.cumsum(padded, axis=0)
    return np.asarray((sums[cells:] - sums[:-cells]) / cells, np.float32)


def text_share(luma: Floats) -> float:
    """Share of a picture that looks like lines of text, from 0 to 1.

    A cell of a line of text has many steep edges from left to right, has two levels (ink and paper, by Otsu's criterion) and has
    such cells beside it. Expects pictures of about 360 pixels height.
    """
    rows, columns = luma.shape[0] // TEXT_CELL, luma.shape[1] // TEXT_CELL
    if rows < 1 or columns < 3:
        return 0.0
    whole = luma[: rows * TEXT_CELL, : columns * TEXT_CELL]
    cells = whole.reshape(rows, TEXT_CELL, columns, TEXT_CELL).transpose(0, 2, 1, 3)
    steps = np.diff(cells, axis=3)
    steep = (np.abs(steps) > LEAST_EDGE).mean((2, 3))
    turns = ((steps > LEAST_EDGE).any(3) & (steps < -LEAST_EDGE).any(3)).mean(2)
    looks = (steep > 0.08) & (turns > 0.35) & (_two_levels(cells) > 0.75)
    beside = np.zeros_like(looks)
    for shift in range(3):
        run = np.ones((rows, columns - 2), bool)
        for part in range(3):
            run &= looks[:, part : part + columns - 2]
        beside[:, shift : shift + columns - 2] |= run
    return float(beside.mean())


def _two_levels(cells: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of cells [..., n, n]: the most of their variance that two levels explain (Otsu 1979), from 0 to 1."""
    values = np.sort(cells.reshape(*cells.shape[:-2], -1).astype(np.float64), axis=-1)
    count = values.shape[-1]
    below = np.arange(1, count)
    sums = np.cumsum(values, axis=-1)
    low, high = sums[..., :-1] / below, (sums[..., -1:] - sums[..., :-1]) / (count - below)
    between = (below * (count - below) / count**2 * (high - low) ** 2).max(-1)
    variance = values.var(-1)
    return np.where(variance > 25.0, between / np.maximum(variance, 1e-9), 0.0)


def shift_between(before: Floats, after: Floats) -> tuple[float, float] | None:
    """How far a picture moved down and right, as shares of its sides, by phase correlation (Kuglin and Hines 1975) with a parabola
    through the peak; None where nothing says so.

    before, after: luma [n, m], small.
    """
    window = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
    one, other = (np.fft.rfft2((values - values.mean()) * window) for values in (before, after))
    cross = np.conj(one) * other
    surface = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-6), s=before.shape)
    row, column = (int(i) for i in np.unravel_index(surface.argmax(), surface.shape))
    if surface[row, column] < PEAK:
        return None
    shifts = []
    for place, side, line in ((row, surface.shape[0], surface[:, column]), (column, surface.shape[1], surface[row])):
        left, top, right = line[place - 1], line[place], line[(place + 1) % side]
        bend = left - 2 * top + right
        exact = place + (0.5 * (left - right) / bend if bend < 0 else 0.0)
        shifts.append((exact - side if exact > side / 2 else exact) / side)
    return shifts[0], shifts[1]


def camera_shift(before: Floats, after: Floats) -> tuple[float, float] | None:
    """How far the whole picture moved down and right, as shares of its sides; None where nothing says so.

    It is the median of the shifts of nine overlapping blocks. Blocks without edges in both directions say nothing, as a plain
    surface or a single horizon does. More than four blocks have to say something, as one thing that moves is in up to four, and
    half of them nearly the same. The outer eighth is left out, as black bars stay where they are.

    before, after: luma [n, n], n a multiple of 16.
    """
    side = before.shape[0]
    block, step, edge = side * 3 // 8, side * 3 // 16, side // 8
    shifts = []
    for top in range(edge, edge + 3 * step, step):
        for left in range(edge, edge + 3 * step, step):
            one, other = (values[top : top + block, left : left + block] for values in (before, after))
            if min(np.abs(np.diff(one, axis=axis)).mean() for axis in (0, 1)) < LEAST_TEXTURE:
                continue
            shift = shift_between(one, other)
            if shift is not None:
                shifts.append(shift)
    if len(shifts) < LEAST_BLOCKS:
        return None
    moves = np.asarray(shifts) * block / side
    down, right = np.median(moves, axis=0)
    if np.median(np.abs(moves - (down, right)).max(1)) > MOST_APART:
        return None
    return float(down), float(right)


def shake(shifts: NDArray[np.float64]) -> float:
    """How unsteady a camera is: the median distance between its movement from frame to frame and that movement smoothed over nine
    frames, in percent of the picture's sides. shifts: [T, 2] shares of the sides, NaN where they are not known."""
    known = shifts[np.isfinite(shifts).all(1)]
    if len(known) < 5:
        return 0.0
    cells = min(9, len(known) // 2 * 2 - 1)
    smooth = _box(known.astype(np.float32), cells)
    return float(np.median(np.hypot(*(known - smooth).T)) * 100)


def picture_box(row_peaks: NDArray[np.uint8], column_peaks: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) of a picture within black bars, as shares of the sides.

    row_peaks, column_peaks: the brightest luma of each row and each column over the shot.
    """
    edges = []
    for peaks in (row_peaks, column_peaks):
        bright = np.flatnonzero(peaks > BAR_LEVEL)
        first, last = (int(bright[0]), int(bright[-1]) + 1) if len(bright) else (0, len(peaks))
        if max(first, len(peaks) - last) > MOST_BAR * len(peaks):
            first, last = 0, len(peaks)
        first, last = first + (first > 0), last - (last < len(peaks))  # the edge itself is half a bar
        edges.append((first / len(peaks), last / len(peaks)))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]
