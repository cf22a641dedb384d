"""Did it happen? Five rules of physics over the paths that things take in a film.

A rule is given what the pixels show (`benchmarks.sharp.paths`), never a model's own state. Each needs something to change in
the course of the film, so a still picture passes none. How often they agree with the Playground's own event detector is tested
in tests/benchmarks/test_sharp_rules.py; on true films at 128 px, `python -m benchmarks.sharp --parts rules` measures it.

Axes: T frames.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from benchmarks.sharp.paths import Floats, Path

from kinema.scene.geometry import FLOOR, ROUND, SOLID, bound

TOUCHING = 0.3
"""Units between two outlines up to which they count as touching; fast things cover as much from one frame to the next."""
BLOW = 0.8
"""Change of speed, units a second, that counts as a blow."""
AROUND = 4
"""Frames before and after a moment over which a speed is fitted."""
GAP = 4
"""Frames that a thing may be lost for and still be taken to have gone straight on."""
PUSH_S = 0.3
MOVING = 0.3
HIDDEN, SHOWN = 0.55, 0.8
"""Shares of a thing's usual amount of picture, below which it counts as hidden and above which as seen."""
RIGHT_KIND = 0.5
"""Share of its frames in which a thing must be of the kind that was asked for."""


def filled(values: Floats) -> Floats:
    """The path with short gaps bridged by straight lines, single jumps smoothed; NaN beyond."""
    seen = np.flatnonzero(~np.isnan(values))
    out = values.copy()
    for before, after in pairwise(seen):
        if 1 < after - before <= GAP + 1:
            out[before : after + 1] = np.linspace(values[before], values[after], after - before + 1)
    smooth = out.copy()
    smooth[1:-1] = np.median(np.stack([out[:-2], out[1:-1], out[2:]]), 0)
    return np.where(np.isnan(smooth), out, smooth)


def slope(values: Floats, begin: int, stop: int, fps: float) -> float:
    """Speed by the least-squares line through frames begin to stop; NaN with fewer than two of them."""
    begin, stop = max(begin, 0), min(stop, len(values))
    part = values[begin:stop]
    some = ~np.isnan(part)
    if some.sum() < 2:
        return float("nan")
    times = np.arange(begin, stop)[some] / fps
    times = times - times.mean()
    return float((times * part[some]).sum() / (times * times).sum())


def speeds(values: Floats, fps: float) -> Floats:
    """Speed in each frame, over two frames to both sides [T]."""
    return np.array([slope(values, t - 2, t + 3, fps) for t in range(len(values))])


def before_and_after(values: Floats, t: int, fps: float) -> tuple[float, float]:
    """Speeds up to frame t and from it on."""
    return slope(values, t - AROUND + 1, t + 1, fps), slope(values, t, t + AROUND, fps)


def apart(a: Path, b: Path, view: str) -> Floats:
    """Units between two outlines, about [T]: boxes around them in the side view, circles where both are round or the view is
    from above, where things point anywhere."""
    dx, dy = np.abs(filled(a.x) - filled(b.x)), np.abs(filled(a.y) - filled(b.y))
    if view == "top" or (a.kind in ROUND and b.kind in ROUND):
        return np.asarray(np.hypot(dx, dy) - _radius(a) - _radius(b))
    across = dx - a.size * SOLID[a.kind].across - b.size * SOLID[b.kind].across
    a_over_b = a.size * SOLID[a.kind].below + b.size * SOLID[b.kind].above
    b_over_a = b.size * SOLID[b.kind].below + a.size * SOLID[a.kind].above
    along = dy - np.where(filled(a.y) > filled(b.y), a_over_b, b_over_a)
    return np.asarray(np.maximum(across, along))


def _radius(path: Path) -> float:
    """Radius of the circle around a thing's center that holds it."""
    return path.size * bound(path.kind)


def hits(a: Path, b: Path, view: str, fps: float) -> bool:
    """The two touch, and one of them gets a blow: its speed away from the other rises by BLOW around that moment.

    Gravity, friction and the floor never drive things apart sideways, and of two things at one height only what is sideways
    counts.
    """
    gap = apart(a, b, view)
    places = [[filled(path.x), filled(path.y)] for path in (a, b)]
    for t in np.flatnonzero(gap < TOUCHING):
        way = np.array([one[t] - two[t] for one, two in zip(*places, strict=True)])
        way /= max(float(np.hypot(*way)), 1e-6)
        for place, sign in zip(places, (1.0, -1.0), strict=True):
            change = np.diff([before_and_after(values, int(t), fps) for values in place], axis=1)[:, 0]
            if view == "side" and abs(way[0]) > 0.7:
                change[1] = 0.0
            if float(sign * (way @ change)) > BLOW:
                return True
    return False


def pushes(pusher: Path, load: Path, view: str, fps: float) -> bool:
    """For PUSH_S on end the two touch, the load is ahead of the pusher as it moves, and both move the same way."""
    ax, ay, bx, by = (filled(values) for values in (pusher.x, pusher.y, load.x, load.y))
    avx, avy, bvx, bvy = (speeds(values, fps) for values in (ax, ay, bx, by))
    if view == "side":
        avy, bvy = np.zeros_like(avy), np.zeros_like(bvy)
    along = apart(pusher, load, view) < TOUCHING
    along &= (bx - ax) * bvx + (by - ay) * bvy > 0
    along &= np.hypot(bvx, bvy) > MOVING
    along &= avx * bvx + avy * bvy > 0.05
    need = max(2, round(PUSH_S * fps))
    return len(along) >= need and bool((np.convolve(along, np.ones(need), "valid") >= need - 1e-6).any())


def goes_behind(mover: Path, screen: Path, view: str, fps: float) -> bool:
    """The mover is seen beside the screen, then is mostly hidden within the screen's width, and is next seen, in part or whole, on
    the other side of its middle, or is still hidden when the film ends."""
    del view, fps
    if not screen.seen.any() or not mover.seen.any():
        return False
    middle = float(np.nanmedian(screen.x))
    half = screen.size * SOLID["screen"].across
    whole = np.flatnonzero(mover.seen & (mover.amount > SHOWN) & (np.abs(mover.x - middle) > 0.5 * half))
    gone = np.flatnonzero(mover.amount < HIDDEN)
    for t in gone:
        before, after = whole[whole < t], whole[whole > t]
        if not len(before):
            continue
        last = float(mover.x[before[-1]])
        reach = half + mover.size * SOLID[mover.kind].across + 2 * TOUCHING
        if abs(last - middle) > reach:
            continue
        if not len(after):
            return bool(mover.amount[-1] < SHOWN)
        until = mover.x[t : after[0] + 1]
        if bool(((until - middle) * (last - middle) < 0).any()):
            return True
    return False


def bounces(mover: Path, other: Path | None, view: str, fps: float) -> bool:
    """Near the floor the mover's speed turns from down to up."""
    del other
    if view != "side":
        return False
    y = filled(mover.y)
    low = y - SOLID[mover.kind].below * mover.size < FLOOR + 0.5
    for t in np.flatnonzero(low):
        down, up = slope(y, t - 3, t + 1, fps), slope(y, t, t + 4, fps)
        if down < -MOVING and up > MOVING:
            return True
    return False


def lands_on(mover: Path, other: Path, view: str, fps: float) -> bool:
    """The mover comes down upon the other: above it and touching, its fall is broken clear of the floor."""
    if view != "side":
        return False
    x, y, ox, oy = (filled(values) for values in (mover.x, mover.y, other.x, other.y))
    over = (np.abs(x - ox) < other.size + 0.3 * mover.size) & (y - oy > 0.7 * other.size)
    clear = y - SOLID[mover.kind].below * mover.size > FLOOR + 0.4
    touch = apart(mover, other, view) < TOUCHING
    for t in np.flatnonzero(over & clear & touch):
        fall, then = before_and_after(y, int(t), fps)
        if fall < -BLOW and then - fall > BLOW:
            return True
    return False


RULES = {"hits": hits, "pushes": pushes, "goes behind": goes_behind, "bounces": bounces, "lands on": lands_on}


def happened(event: str, mover: Path, other: Path | None, view: str, fps: float) -> bool:
    """Whether a film shows the event, done by things of the kinds that were asked for."""
    paths = [mover] if other is None else [mover, other]
    if any(path.of_kind < RIGHT_KIND for path in paths):
        return False
    return bool(RULES[event](mover, other, view, fps))  # type: ignore[arg-type]
