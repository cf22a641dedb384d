"""Checks of where the cast was measured (`kinema.director.checking.tracks`) against a shot of the script.

Axes: N frames that were looked at. Units of a room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.director.checking.observed import EDGE, hidden_spans, observe_events, track_of
from kinema.director.checking.results import TakeCheck, spans_of
from kinema.director.checking.tracks import MeasuredCast
from kinema.director.filming.staging import width_of
from kinema.director.script import Shot
from kinema.playground.parser import ParsedObject
from kinema.scene.geometry import SOLID
from kinema.scene.scene import SIZES

PRESENT = 0.7
"""Share of the looks in which someone has to be seen who can be."""
KIND_READ = 0.35
"""Share of them in which also the kind has to be read right: where two touch, it often is not."""
UNREAD = ("flag",)
"""Kinds that the parser often takes for another: a flag's pole is not seen at night."""
FOREIGN = 0.2
"""Share of the looks in which something that nobody expects may stand."""
NEAR = 0.8
"""Units around someone within which mixed pixels may be read as something else."""
VANISHED = 3
"""Looks in a row without someone who stands in the open."""
JUMP = 2.2
"""Units that nobody moves from one look to the next, an eighth of a second later."""
SHIFTED = 1.3
"""Units by which someone may stand elsewhere after a cut."""
MOVING = 0.8
"""Units a second from which a direction is kept across a cut."""


@dataclass(frozen=True, kw_only=True)
class BeforeCut:
    """The last second before a cut: its cast as measured, and its shot."""

    cast: MeasuredCast
    shot: Shot


def check_cast(
    shot: Shot,
    cast: MeasuredCast,
    *,
    absent: frozenset[str] = frozenset(),
    before: BeforeCut | None = None,
    changed: frozenset[str] = frozenset(),
    brought: frozenset[str] = frozenset(),
) -> tuple[list[TakeCheck], int | None]:
    """All checks of a take's cast.

    Args:
        shot: The shot.
        cast: Its cast as measured.
        absent: Who is not to be seen, since they left before.
        before: What was before the cut, if the shot goes on from it.
        changed: Who was moved, changed or taken away by a cue: they may vanish, jump and look otherwise.
        brought: Names of things that a cue brought in, such as "blue box".

    Returns:
        The results, and the frame of the last expected event, if all of them happen.
    """
    observations = observe_events(cast, shot.events)
    frames = [one.frame for one in observations]
    results = [
        TakeCheck(
            name=f"event: {event}", passed=one.frame is not None, saw=one.saw, weight=2.0,
            frames=() if one.frame is None else (one.frame,),
        )
        for event, one in zip(shot.events, observations, strict=True)
    ]  # fmt: skip
    when: dict[tuple[str, str], int] = {
        (event.kind, event.who): frame for event, frame in zip(shot.events, frames, strict=True) if frame is not None
    }
    results += [_present(cast, id, when, shot) for id in cast.identities if id not in absent | changed]
    results += [_colors(cast, changed), _count(cast, brought), _permanence(cast, changed), _jumps(cast, changed)]
    if before is not None:
        results += [_places(cast, before), _direction(cast, before, shot)]
    last = max((frame for frame in frames if frame is not None), default=0) if None not in frames else None
    return results, last


def _expected(cast: MeasuredCast, id: str, when: dict[tuple[str, str], int], shot: Shot) -> NDArray[np.bool_]:
    """In which looks someone has to be seen, bool [N]: not before entering, after leaving, behind a screen, or outside."""
    expected = np.ones(len(cast.frames), bool)
    kinds = {event.kind for event in shot.events if event.who == id}
    seen = np.flatnonzero(cast.seen(id))
    if "enters" in kinds:
        begin = when.get(("enters", id), int(cast.frames[seen[0]]) if len(seen) else 0)
        expected &= cast.frames >= begin
    if "leaves" in kinds and ("leaves", id) in when:
        expected &= cast.frames < when["leaves", id]
    for first, last, screen in hidden_spans(cast, id):
        if screen:
            expected[first : last + 1] = False
    if len(seen):
        x, y = track_of(cast, id)
        left, right, low, high = cast.window.T
        expected &= (x > left - 0.2) & (x < right + 0.2) & (y > low - 0.2) & (y < high + 0.2)
    return expected


def _present(cast: MeasuredCast, id: str, when: dict[tuple[str, str], int], shot: Shot) -> TakeCheck:
    expected, seen = _expected(cast, id, when, shot), cast.seen(id)
    name = cast.name(id)
    if not seen.any():
        return TakeCheck(name=f"cast: {id}", passed=False, saw=f"{name} is never seen", weight=2.0)
    looks = max(int(expected.sum()), 1)
    share, kind = float((seen & expected).sum() / looks), float(cast.exact[id][seen].mean())
    missing = [int(frame) for frame in cast.frames[expected & ~seen]]
    saw = f"{name} is seen in {int((seen & expected).sum())} of {looks} looks"
    if missing:
        saw += f", not in frames {spans_of(missing)}"
    misread = kind < KIND_READ and cast.identities[id].kind not in UNREAD
    if misread:
        saw += f"; read as {identity_words(cast, id)} in {kind:.0%} of them only"
    passed = share >= PRESENT and not misread
    return TakeCheck(name=f"cast: {id}", passed=passed, saw=saw, frames=tuple(missing[:20]), weight=2.0)


def identity_words(cast: MeasuredCast, id: str) -> str:
    """'a ball', of someone's kind."""
    return f"a {cast.identities[id].kind}"


def _colors(cast: MeasuredCast, changed: frozenset[str]) -> TakeCheck:
    """Someone's kind in a color that nobody has, while the one is not seen."""
    colors = {identity.color for identity in cast.identities.values()}
    swapped: Counter[tuple[str, str]] = Counter()
    frames: dict[tuple[str, str], list[int]] = {}
    for n, others in enumerate(cast.others):
        for one in others:
            for id, identity in cast.identities.items():
                if id not in changed and one.kind == identity.kind and one.color not in colors and not cast.seen(id)[n]:
                    swapped[id, one.color] += 1
                    frames.setdefault((id, one.color), []).append(int(cast.frames[n]))
    for (id, color), looks in swapped.most_common(1):
        if looks >= 2:
            where = frames[id, color]
            saw = f"{cast.name(id)} is {color} in frames {spans_of(where)}"
            return TakeCheck(name="colors", passed=False, saw=saw, frames=tuple(where[:20]), weight=2.0)
    return TakeCheck(name="colors", passed=True, saw="nobody in another color", weight=2.0)


def _count(cast: MeasuredCast, brought: frozenset[str]) -> TakeCheck:
    """Things of nobody, that stand there for a while. Those in a color that a cue brought in are its own, however their kind is
    read."""
    colors = {name.split()[0] for name in brought}
    names: Counter[str] = Counter()
    frames: dict[str, list[int]] = {}
    for n, others in enumerate(cast.others):
        strange = [one for one in others if one.color not in colors and not _is_blend(cast, n, one)]
        for name in {f"{one.color} {one.kind}" for one in strange}:
            names[name] += 1
            frames.setdefault(name, []).append(int(cast.frames[n]))
    for name, looks in names.most_common(1):
        if looks >= max(VANISHED, FOREIGN * len(cast.frames)):
            own = {cast.name(id) for id in cast.identities}
            what = f"a second {name}" if name in own else f"a {name} that nobody expects"
            saw = f"{what} in frames {spans_of(frames[name])}"
            return TakeCheck(name="count", passed=False, saw=saw, frames=tuple(frames[name][:20]))
    return TakeCheck(name="count", passed=True, saw=f"{len(cast.identities)} and nobody else")


def _is_blend(cast: MeasuredCast, n: int, one: ParsedObject) -> bool:
    """Whether something lies where two of the cast touch, or one is half behind a screen: pixels of mixed colors there look like
    small things of a third."""
    near = 0
    for id, identity in cast.identities.items():
        x, y = cast.place[id][n].tolist()
        tall = SOLID[identity.kind].below * SIZES[identity.size]
        near += abs(one.x - x) < width_of(identity) + NEAR and abs(one.y - y) < tall + NEAR
        hidden = any(first <= n <= last and screen for first, last, screen in hidden_spans(cast, id))
        near += bool(hidden)
    return near >= 2


def _permanence(cast: MeasuredCast, changed: frozenset[str]) -> TakeCheck:
    """Nobody vanishes in the open."""
    for id in (one for one in cast.identities if one not in changed):
        for first, last, screen in hidden_spans(cast, id):
            if screen or last - first + 1 < VANISHED or _at_edge(cast, id, first - 1):
                continue
            frames = tuple(int(frame) for frame in cast.frames[first : last + 1])
            x, y = cast.place[id][first - 1].tolist()
            back = "to the end" if last == len(cast.frames) - 1 else f"to {frames[-1]}"
            saw = f"{cast.name(id)} vanishes at x {x:.1f}, y {y:.1f} from frame {frames[0]} {back}"
            return TakeCheck(name="permanence", passed=False, saw=saw, frames=frames[:20])
    return TakeCheck(name="permanence", passed=True, saw="nobody vanishes in the open")


def _at_edge(cast: MeasuredCast, id: str, n: int) -> bool:
    x, y = cast.place[id][n].tolist()
    left, right, low, high = cast.window[n].tolist()
    return bool(min(x - left, right - x) < EDGE or high - y < EDGE or y - low < 0.3)


def _jumps(cast: MeasuredCast, changed: frozenset[str]) -> TakeCheck:
    """Nobody moves further between two looks than anything can."""
    for id in (one for one in cast.identities if one not in changed):
        at = np.flatnonzero(cast.seen(id))
        for before, after in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
            far = float(np.linalg.norm(cast.place[id][after] - cast.place[id][before]))
            if after - before <= VANISHED and far > JUMP * (after - before) ** 0.5 and _stays(cast, id, before, after):
                frames = int(cast.frames[before]), int(cast.frames[after])
                saw = f"{cast.name(id)} jumps {far:.1f} units between frames {frames[0]} and {frames[1]}"
                return TakeCheck(name="jumps", passed=False, saw=saw, frames=frames)
    return TakeCheck(name="jumps", passed=True, saw="nobody jumps")


def _stays(cast: MeasuredCast, id: str, before: int, after: int) -> bool:
    """Whether someone who jumped was there before, and is elsewhere afterwards, for more than one look: not misread in one."""
    at, place = np.flatnonzero(cast.seen(id)), cast.place[id]
    later, earlier = at[at > after][:1], at[at < before][-1:]
    far = [np.linalg.norm(place[n] - place[before]) for n in later] + [
        np.linalg.norm(place[n] - place[after]) for n in earlier
    ]
    return bool(min(far, default=JUMP) > 0.6 * JUMP)


def _places(cast: MeasuredCast, before: BeforeCut) -> TakeCheck:
    """Everyone stands after the cut where they stood before it."""
    worst, saw = 0.0, "nobody is seen on both sides of the cut"
    for id, (old, new) in _both(cast, before):
        off = float(np.hypot(*(np.subtract(new, old))))
        if off >= worst:
            worst = off
            saw = f"{cast.name(id)} stands {off:.1f} units from where it stood before the cut"
    return TakeCheck(name="where at the cut", passed=worst <= SHIFTED, saw=saw, frames=(int(cast.frames[0]),))


def _both(cast: MeasuredCast, before: BeforeCut) -> Iterator[tuple[str, tuple[tuple[float, float], tuple[float, float]]]]:
    for id in cast.identities:
        old = before.cast.last_place(id) if id in before.cast.identities else None
        first = np.flatnonzero(cast.seen(id))
        if old is not None and len(first) and first[0] <= 3:
            x, y = cast.place[id][first[0]].tolist()
            yield id, (old, (x, y))


def _direction(cast: MeasuredCast, before: BeforeCut, shot: Shot) -> TakeCheck:
    """Who moves before the cut moves the same way after it, unless the script turns it around or it is hit."""
    saw = "nobody moves across the cut"
    for id, _ in _both(cast, before):
        old, new = _speed(before.cast, id, late=True), _speed(cast, id, late=False)
        if min(abs(old), abs(new)) < MOVING:
            continue
        turned = old * new < 0
        words = f"{cast.name(id)} moves {_side(old)} before the cut and {_side(new)} after it"
        planned = next((event.direction for event in shot.events if event.who == id and event.direction), None)
        if turned and planned != _side(new):
            return TakeCheck(name="direction across the cut", passed=False, saw=words, frames=(int(cast.frames[0]),))
        saw = words
    return TakeCheck(name="direction across the cut", passed=True, saw=saw, frames=(int(cast.frames[0]),))


def _side(speed: float) -> str:
    return "right" if speed > 0 else "left"


def _speed(cast: MeasuredCast, id: str, *, late: bool) -> float:
    """Units a second to the right in the last or first half second."""
    if not cast.seen(id).any():
        return 0.0
    x = track_of(cast, id)[0]
    looks = max(min(len(x) - 1, 4), 1)
    part, frames = (x[-looks - 1 :], cast.frames[-looks - 1 :]) if late else (x[: looks + 1], cast.frames[: looks + 1])
    return float((part[-1] - part[0]) / max((frames[-1] - frames[0]) / cast.fps, 1e-6))
