"""Which expected events a film shows, and in which frame: read off where its cast was measured, in the order of the script.

Axes: N frames that were looked at. Units of a room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.director.checking.tracks import MeasuredCast
from kinema.director.filming.staging import width_of
from kinema.director.script import Direction, EventKind, ExpectedEvent
from kinema.scene.scene import SIZES
from kinema.types import Floats

MOVED = 1.0
"""Units that count as having moved."""
AT_REST = 0.35
"""Units within which something stands still for half a second; the parser's own error is about a fifth of a unit."""
TOUCH = 0.55
"""Gap below which two count as touching: at 8 looks a second a ball moves half a unit between two."""
EDGE = 2.2
"""Who is last or first seen this near to the picture's edge left or entered there."""
REST_S = 0.5


@dataclass(frozen=True, kw_only=True)
class ObservedEvent:
    """frame: of the film in which an event begins; None: it does not happen. saw: what was measured, in words."""

    frame: int | None
    saw: str


def observe_events(cast: MeasuredCast, events: tuple[ExpectedEvent, ...]) -> list[ObservedEvent]:
    """Look for each expected event, after the one before it.

    Args:
        cast: Where the cast was measured.
        events: The events of a shot, in their order.

    Returns:
        One observation for each event.
    """
    results, begin = [], 0
    for event in events:
        at, saw = _observe(cast, event, begin)
        if at is None and begin > 0:
            early, _ = _observe(cast, event, 0)
            if early is not None:
                saw = f"it happens in frame {int(cast.frames[early])}, before the event that the script has first"
        if at is not None:
            begin = max(begin, at)
            saw = f"frame {int(cast.frames[at])}: {saw}"
        results.append(ObservedEvent(frame=None if at is None else int(cast.frames[at]), saw=saw))
    return results


def _observe(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    """Index [N] of the frame in which an event begins, from `begin` on, and what was seen."""
    if not cast.seen(event.who).any():
        return None, f"{cast.name(event.who)} is never seen"
    return _OBSERVERS[event.kind](cast, event, begin)


def _filled(place: Floats) -> Floats:
    """A coordinate [N] with gaps filled on straight lines, and single outliers removed by a median of three."""
    known = ~np.isnan(place)
    full: Floats = np.interp(np.arange(len(place)), np.flatnonzero(known), place[known]).astype(np.float32)
    if len(full) < 3:
        return full
    padded = np.pad(full, 1, mode="edge")
    smooth: Floats = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), 0)
    return smooth


def track_of(cast: MeasuredCast, id: str) -> tuple[Floats, Floats]:
    """x and y [N] of someone who is seen at all, with gaps filled."""
    return _filled(cast.place[id][:, 0]), _filled(cast.place[id][:, 1])


def _axis(direction: Direction | None) -> tuple[int, float]:
    return (1 if direction in ("up", "down") else 0), (-1.0 if direction in ("left", "down") else 1.0)


def _moves(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    axis, sign = _axis(event.direction)
    track = track_of(cast, event.who)[axis][begin:]
    signs = (sign,) if event.direction else (1.0, -1.0)
    best = (0.0, 0)
    for one in signs:
        low, lows = np.minimum.accumulate(one * track), np.arange(len(track))
        rise = one * track - low
        reached = np.flatnonzero(rise >= MOVED)
        if len(reached):
            start = int(lows[one * track == low[reached[0]]][0])
            return begin + start, f"moved {rise.max():.1f} units"
        best = max(best, (float(rise.max()), int(rise.argmax())))
    where = f" {event.direction}" if event.direction else ""
    return None, f"{cast.name(event.who)} moved {best[0]:.1f} units{where} at most (frame {_frame(cast, begin + best[1])})"


def _frame(cast: MeasuredCast, at: int) -> int:
    return int(cast.frames[min(at, len(cast.frames) - 1)])


def _still(cast: MeasuredCast, id: str) -> NDArray[np.bool_]:
    """From which looks someone stands still for REST_S or until the end, of at least three looks."""
    x, y = track_of(cast, id)
    looks = max(round(REST_S * cast.fps / max(int(np.diff(cast.frames).min(initial=1)), 1)), 2)
    result = np.zeros(len(x), bool)
    for n in range(len(x) - 2):
        part = slice(n, n + looks + 1)
        result[n] = np.ptp(x[part]) < AT_REST and np.ptp(y[part]) < AT_REST
    return result


def _stops(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    x, _ = track_of(cast, event.who)
    still = _still(cast, event.who)
    for n in range(max(begin, 1), len(x)):
        if still[n] and np.ptp(x[: n + 1]) > AT_REST:
            near = "" if event.other is None else _beside(cast, event, n)
            if near is not None:
                return n, f"at rest from there on{near}"
    moving = "never moves" if np.ptp(x) <= AT_REST else "is never at rest for half a second after it moved"
    return None, f"{cast.name(event.who)} {moving}" + (" there" if event.other else "")


def _beside(cast: MeasuredCast, event: ExpectedEvent, n: int) -> str | None:
    """Words for how near to the other it stops; None: not near."""
    gap = _gaps(cast, event)
    return f", {max(gap[n], 0):.1f} units from {cast.name(str(event.other))}" if gap is not None and gap[n] < 1.5 else None


def _rests(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    x, y = track_of(cast, event.who)
    moved = float(max(np.ptp(x[begin:]), np.ptp(y[begin:])))
    if moved < 2 * AT_REST:
        return begin, f"moved {moved:.1f} units at most"
    return None, f"{cast.name(event.who)} moved {moved:.1f} units"


def _enters(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    seen = cast.seen(event.who)
    steady = [n for n in range(begin, len(seen) - 1) if seen[n : n + 3].mean() > 0.6 and seen[n]]
    if not steady:
        return None, f"{cast.name(event.who)} is seen in {int(seen.sum())} of {len(seen)} looks only"
    first = steady[0]
    x = cast.place[event.who][:, 0]
    inset = min(x[first] - cast.window[first, 0], cast.window[first, 1] - x[first])
    if first == begin == 0 and not (inset < EDGE and _grows_inward(cast, event.who, first)):
        return None, f"{cast.name(event.who)} is there from frame {_frame(cast, first)} on"
    if inset > EDGE + 0.8:
        return None, f"{cast.name(event.who)} appears {inset:.1f} units from the edge (frame {_frame(cast, first)})"
    if event.direction in ("left", "right"):
        sign = 1.0 if event.direction == "right" else -1.0
        full = track_of(cast, event.who)[0]
        if sign * (full[-1] - full[first]) < 0 and sign * (np.median(full[first:]) - full[first]) < 0.2:
            return None, f"{cast.name(event.who)} enters and moves the other way"
    return first, f"first seen {max(inset, 0):.1f} units from the edge"


def _grows_inward(cast: MeasuredCast, id: str, first: int) -> bool:
    x, _ = track_of(cast, id)
    middle = cast.window[first, :2].mean()
    return bool(abs(x[first] - middle) - abs(x[-1] - middle) > MOVED)


def _leaves(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    at = np.flatnonzero(cast.seen(event.who))
    last = int(at[-1])
    if last >= len(cast.frames) - 2:
        return None, f"{cast.name(event.who)} is still seen in frame {_frame(cast, last)}"
    x = float(cast.place[event.who][last, 0])
    inset = min(x - cast.window[last, 0], cast.window[last, 1] - x)
    if inset > EDGE:
        return None, f"{cast.name(event.who)} vanishes {inset:.1f} units from the edge (frame {_frame(cast, last)})"
    return max(last, begin), "last seen at the edge"


def _gaps(cast: MeasuredCast, event: ExpectedEvent) -> Floats | None:
    """Gap [N] between the two of an event; None where the other is never seen."""
    other = str(event.other)
    if other not in cast.identities or not cast.seen(other).any():
        return None
    (ax, ay), (bx, by) = track_of(cast, event.who), track_of(cast, other)
    reach = width_of(cast.identities[event.who]) + width_of(cast.identities[other])
    tall = SIZES[cast.identities[event.who].size] + SIZES[cast.identities[other].size]
    across, up = np.abs(ax - bx) - reach, np.abs(ay - by) - tall
    gap: Floats = np.where(up > TOUCH, np.maximum(across, up), across)
    return gap


def _hits(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    gap = _gaps(cast, event)
    if gap is None:
        return None, f"{event.other} is never seen"
    for n in np.flatnonzero(gap < TOUCH).tolist():
        if n >= begin and gap[: n + 1].max() - gap[n] > 0.5:
            return n, f"they touch (gap {max(gap[n], 0):.1f} units)"
    nearest = int(gap.argmin())
    if gap[nearest] < TOUCH:
        return None, f"they touch from the beginning (frame {_frame(cast, nearest)}), without coming together"
    return None, f"never nearer than {gap[nearest]:.1f} units (frame {_frame(cast, nearest)})"


def _pushes(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    gap = _gaps(cast, event)
    if gap is None:
        return None, f"{event.other} is never seen"
    touching = gap < TOUCH
    other = track_of(cast, str(event.other))[0]
    for n in range(begin, len(gap) - 3):
        if touching[n : n + 4].all() and abs(other[n + 3] - other[n]) > AT_REST:
            return n, f"they touch and {cast.name(str(event.other))} moves along"
    together = int(touching.sum())
    return None, f"they touch in {together} looks, and {cast.name(str(event.other))} moves {np.ptp(other):.1f} units"


def hidden_spans(cast: MeasuredCast, id: str) -> list[tuple[int, int, str]]:
    """Spans [first, last] of looks in which someone is not seen though it was before, each with the screen that it is behind, or ""
    where there is none near."""
    seen = cast.seen(id)
    at = np.flatnonzero(seen)
    if not len(at):
        return []
    spans, begin = [], None
    for n in range(int(at[0]), len(seen) + 1):
        if n < len(seen) and not seen[n]:
            begin = n if begin is None else begin
        elif begin is not None:
            spans.append((begin, n - 1, _screen_near(cast, id, begin)))
            begin = None
    return spans


def _screen_near(cast: MeasuredCast, id: str, n: int) -> str:
    x = cast.place[id][n - 1, 0]
    for other, identity in cast.identities.items():
        if identity.kind == "screen" and other != id and cast.seen(other).any():
            middle = track_of(cast, other)[0][n]
            if abs(x - middle) < width_of(identity) + width_of(cast.identities[id]) + 0.8:
                return other
    return ""


def _passes_behind(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    for first, last, screen in hidden_spans(cast, event.who):
        if screen == event.other and last >= begin:
            return max(first, begin), f"hidden for {last - first + 1} looks"
    return None, f"{cast.name(event.who)} is never hidden behind {event.other}"


def _comes_out(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    for _, last, screen in hidden_spans(cast, event.who):
        if screen and last + 1 < len(cast.frames) and last + 1 >= begin:
            return last + 1, f"seen again beside {screen}"
    return None, f"{cast.name(event.who)} does not come out from behind a screen"


def _falls(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    y = track_of(cast, event.who)[1][begin:]
    drop = np.maximum.accumulate(y) - y
    if drop.max() >= MOVED:
        return begin + int(np.flatnonzero(drop > 0.3)[0]), f"falls {drop.max():.1f} units"
    return None, f"{cast.name(event.who)} falls {drop.max():.1f} units at most"


def _bounces(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    x, y = (track[begin:] for track in track_of(cast, event.who))
    for n in range(1, len(y) - 1):
        down, up = y[: n + 1].max() - y[n], y[n:].max() - y[n]
        if down > 0.4 and up > 0.3:
            return begin + n, f"comes down {down:.1f} and up {up:.1f} units"
        back = min(abs(x[n] - x[0]), abs(x[-1] - x[n]))
        if back > 0.6 and (x[n] - x[0]) * (x[-1] - x[n]) < 0:
            return begin + n, f"turns back after {abs(x[n] - x[0]):.1f} units"
    return None, f"{cast.name(event.who)} never turns back"


def _jumps(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    y = track_of(cast, event.who)[1][begin:]
    rise = y - np.minimum.accumulate(y)
    if rise.max() > 0.5:
        return begin + int(np.flatnonzero(rise > 0.3)[0]), f"rises {rise.max():.1f} units"
    return None, f"{cast.name(event.who)} rises {rise.max():.1f} units at most"


def _reaches(cast: MeasuredCast, event: ExpectedEvent, begin: int) -> tuple[int | None, str]:
    gap = _gaps(cast, event)
    if gap is None:
        return None, f"{event.other} is never seen"
    at = np.flatnonzero(gap[begin:] < 0.2)
    if len(at):
        return begin + int(at[0]), "it stands there"
    return None, f"never nearer than {gap.min():.1f} units (frame {_frame(cast, int(gap.argmin()))})"


_OBSERVERS: dict[EventKind, Callable[[MeasuredCast, ExpectedEvent, int], tuple[int | None, str]]] = {
    "moves": _moves, "stops": _stops, "rests": _rests, "enters": _enters, "leaves": _leaves, "hits": _hits, "pushes": _pushes,
    "passes_behind": _passes_behind, "comes_out": _comes_out, "falls": _falls, "bounces": _bounces, "jumps": _jumps,
    "reaches": _reaches,
}  # fmt: skip
