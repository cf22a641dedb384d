"""Checks that need no model and no state: length, cuts that nobody planned, black or frozen frames, flicker, sharpness, color.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kinema.director.checking.results import TakeCheck, spans_of
from kinema.media import Clip
from kinema.media.frame_buffer import each
from kinema.types import Floats, Frames

GRID = 16
"""Cells along a side of the small pictures in which cuts are looked for."""
CUT = 14.0
"""Mean difference of two small pictures, of 255, from which they are of two shots."""
BLACK = 6.0
"""Mean brightness below which a picture is black; the darkest background of the Playground has 20."""
FROZEN, FROZEN_S = 0.2, 0.5
"""Mean difference of two pictures, of 255, up to which nothing moves, what compression adds among it; and for how long."""
FLICKER = 3.0
"""Brightness, of 255, by which a picture stands out from the two beside it."""
SHARPNESS = 2.5
"""Ratio of sharpness to the shot before."""
COLOR = 28.0
"""Difference of mean color, of 255, to the shot before."""


def check_pixels(
    clip: Clip, *, seconds: float, before: Clip | None = None, moving: bool = True, still_from: int | None = None,
    alike: bool = False, changed: frozenset[int] = frozenset(),
) -> list[TakeCheck]:  # fmt: skip
    """Check a take's pictures.

    Args:
        clip: The take.
        seconds: How long it has to be.
        before: The take before it in the same scene.
        moving: Whether something has to move.
        still_from: From which frame on nothing needs to move any more. None: to the end.
        alike: Whether it has to look like the take before.
        changed: Frames at which a cue changed the world, where a cut is none.

    Returns:
        The results.
    """
    small = _small(clip.frames)
    results = [_length(clip, seconds), _cuts(small, changed), _black(small), _flicker(small)]
    if moving:
        results.append(_frozen(clip, still_from))
    if before is not None and alike:
        results += [_sharpness(clip, before), _color(small, _small(before.frames[-1:]))]
    return results


def _small(frames: Frames) -> Floats:
    """Frames as means over a grid of cells, float [T, GRID, GRID, 3]."""
    height, width = frames.shape[1:3]
    rows, columns = (np.linspace(0, side, GRID + 1).astype(int)[:-1] for side in (height, width))
    counts = np.diff([*rows, height])[:, None] * np.diff([*columns, width])[None]
    small = []
    for frame in each(frames):
        sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, 0), columns, 1)
        small.append(sums / counts[..., None])
    return np.stack(small)


def _length(clip: Clip, seconds: float) -> TakeCheck:
    off = abs(clip.duration_s - seconds)
    saw = f"{clip.duration_s:.2f} s of {seconds:g} s"
    return TakeCheck(
        name="length", passed=off <= max(1.5 / clip.fps, 0.02 * seconds), saw=saw, frames=(clip.num_frames - 1,)
    )


def cut_frames(small: Floats) -> list[int]:
    """Frames at which another shot begins: unlike the one before, and far more so than the frames around them are to each other."""
    change = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
    usual = np.median(change) if len(change) else 0.0
    return [
        int(n) + 1 for n in np.flatnonzero(change > max(CUT, 5.0 * usual)) if not _returns(small, int(n), change[int(n)])
    ]


def _returns(small: Floats, n: int, change: float) -> bool:
    """Whether the picture after a change is the same again: a flash, which is flicker and no cut."""
    later = small[n + 2 : n + 4]
    earlier = small[max(n - 2, 0) : n]
    back = bool(len(later)) and bool((np.abs(later - small[n]).mean((1, 2, 3)) < 0.4 * change).any())
    again = bool(len(earlier)) and bool((np.abs(earlier - small[n + 1]).mean((1, 2, 3)) < 0.4 * change).any())
    return back or again


def _cuts(small: Floats, changed: frozenset[int]) -> TakeCheck:
    cuts = [frame for frame in cut_frames(small) if not changed & {frame - 1, frame, frame + 1}]
    saw = f"another shot begins in frame {spans_of(cuts)}" if cuts else "one shot"
    return TakeCheck(name="cuts", passed=not cuts, saw=saw, frames=tuple(cuts[:20]), weight=2.0)


def _black(small: Floats) -> TakeCheck:
    black = np.flatnonzero(small.mean((1, 2, 3)) < BLACK).tolist()
    saw = f"black frames {spans_of(black)}" if black else f"darkest frame {small.mean((1, 2, 3)).min():.0f} of 255"
    return TakeCheck(name="black", passed=not black, saw=saw, frames=tuple(black[:20]))


def _flicker(small: Floats) -> TakeCheck:
    light = small.mean((1, 2, 3))
    off = np.abs(light[1:-1] - (light[:-2] + light[2:]) / 2) if len(light) > 2 else np.zeros(1)
    frames = (np.flatnonzero(off > FLICKER) + 1).tolist()
    saw = (
        f"brightness jumps in {len(frames)} frames: {spans_of(frames)}"
        if frames
        else f"brightness steady to {off.max():.1f}"
    )
    return TakeCheck(name="flicker", passed=len(frames) < 3, saw=saw, frames=tuple(frames[:20]))


def _changes(frames: Frames) -> Iterator[float]:
    """Mean difference of each frame from the one before."""
    before = None
    for frame in each(frames):
        now = frame.astype(np.int16)
        if before is not None:
            yield float(np.abs(now - before).mean())
        before = now


def _frozen(clip: Clip, still_from: int | None) -> TakeCheck:
    need = max(round(FROZEN_S * clip.fps), 2)
    run: list[int] = []
    for frame, change in enumerate(_changes(clip.frames), 1):
        if change > FROZEN:
            run = []
            continue
        run.append(frame)
        if len(run) >= need and (still_from is None or run[0] < still_from):
            saw = f"nothing moves from frame {run[0] - 1} to {run[-1]}, while something has to"
            return TakeCheck(name="frozen", passed=False, saw=saw, frames=(run[0] - 1, run[-1]))
    return TakeCheck(name="frozen", passed=True, saw="no frozen frames while something has to move")


def sharpness_of(frame: Frames) -> float:
    """Mean absolute Laplacian of a picture's brightness [H, W, 3], of 255."""
    light = frame.astype(np.float64).mean(-1)
    inner = 4 * light[1:-1, 1:-1] - light[:-2, 1:-1] - light[2:, 1:-1] - light[1:-1, :-2] - light[1:-1, 2:]
    return float(np.abs(inner).mean())


def _sharpness(clip: Clip, before: Clip) -> TakeCheck:
    picks = np.linspace(0, clip.num_frames - 1, min(clip.num_frames, 5)).astype(int)
    mine = float(np.mean([sharpness_of(clip.frames[int(i)]) for i in picks]))
    theirs = sharpness_of(before.frames[before.num_frames - 1])
    ratio = (mine + 0.1) / (theirs + 0.1)
    saw = f"sharpness {ratio:.2f} times that of the shot before"
    return TakeCheck(name="sharpness", passed=1 / SHARPNESS < ratio < SHARPNESS, saw=saw, frames=tuple(picks.tolist()))


def _color(small: Floats, before: Floats) -> TakeCheck:
    off = np.abs(small.mean((0, 1, 2)) - before.mean((0, 1, 2)))
    saw = f"mean color {off.max():.0f} of 255 from that of the shot before"
    return TakeCheck(name="color", passed=bool(off.max() < COLOR), saw=saw, frames=(0,))
