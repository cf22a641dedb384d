"""Edits of a world in plain English: 'move the car left', 'remove the ball', 'add a large blue box on the right'.

`parse` turns a sentence into a `Change`, which has a description of what was understood. `Change.apply` edits all of the last
frames of a scene consistently: moving an object shifts its whole path; pushing it changes its velocity in the last frame.

Axes: T frames, K slots.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kinema.errors import InputError, excerpt
from kinema.scene.geometry import MIDDLE, ROOM_HEIGHT, standing_y
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, SIZES, Scene
from kinema.simulation.references import listed, names_a_thing, one, plain, traits
from kinema.simulation.state import Entity, State

FORMS = (
    "move X left|right|up|down [by N]",
    "move X to the left|right|middle|top|bottom",
    "move X to 3, 5",
    "remove X",
    "add a [SIZE] COLOR KIND [on the left|right|in the middle|at the top|at the bottom]",
    "make X COLOR|SIZE|MATERIAL|bigger|smaller",
    "make X N times larger|smaller",
    "stop X",
    "push X left|right|up|down [gently|hard]",
    "change the background to NAME",
)
DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, 1.0), "down": (0.0, -1.0)}
PLACES = {"left": (2.0, None), "right": (8.0, None), "middle": (MIDDLE, None), "center": (MIDDLE, None), "top": (None, 8.0)}
STEP_UNITS = 2.0
FORCE = {"gently": 1.5, "": 3.0, "hard": 5.0}
"""Speed in units a second that a push adds."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One edit: a description of what was understood, and a function that applies it to a scene of the last frames."""

    understood: str
    apply: Callable[[Scene], Scene]


class EditParser(Protocol):
    """Turns a sentence into a change. A world accepts another parser, such as a language model, in place of `parse`."""

    def __call__(self, text: str, now: State) -> Change: ...


def _copy(scene: Scene) -> Scene:
    names = ("kind", "color", "material", "size", "x", "y", "vx", "vy", "angle", "visible")
    return replace(scene, **{name: getattr(scene, name).copy() for name in names})


def _shift(scene: Scene, slot: int, dx: float, dy: float) -> Scene:
    new = _copy(scene)
    new.x[:, slot] = np.clip(new.x[:, slot] + dx, 0.0, scene.room_width)
    new.y[:, slot] = np.clip(new.y[:, slot] + dy, 0.0, ROOM_HEIGHT)
    new.visible[:, slot] = 1.0
    return new


def _remove(scene: Scene, slot: int) -> Scene:
    new = _copy(scene)
    new.kind[slot] = -1
    for name in ("x", "y", "vx", "vy", "angle", "visible", "size"):
        getattr(new, name)[..., slot] = 0.0
    return new


def _add(scene: Scene, entity: dict[str, str], x: float, y: float | None) -> Scene:
    free = [k for k in range(scene.num_slots) if scene.kind[k] < 0]
    if not free:
        raise InputError(f"all {scene.num_slots} slots of this model are taken; remove a thing first")
    new, slot, kind = _copy(scene), free[0], entity["kind"]
    size = SIZES[entity.get("size", "medium")]
    new.kind[slot], new.color[slot] = KINDS.index(kind), COLORS.index(entity["color"])
    new.material[slot], new.size[slot] = 0, size
    floor = standing_y(kind, size) if scene.view == "side" else MIDDLE
    new.x[:, slot], new.y[:, slot] = x, floor if y is None else y
    new.vx[:, slot], new.vy[:, slot], new.angle[:, slot], new.visible[:, slot] = 0.0, 0.0, 0.0, 1.0
    return new


def _velocity(scene: Scene, slot: int, vx: float, vy: float) -> Scene:
    new = _copy(scene)
    new.vx[-1, slot], new.vy[-1, slot] = vx, vy
    return new


def _fixed(scene: Scene, slot: int, field: str, value: float) -> Scene:
    new = _copy(scene)
    getattr(new, field)[slot] = value
    return new


SMALLEST, LARGEST = 0.4, 1.5
"""Radii that changes may make, in room units."""


def _number(text: str) -> float:
    value = float(text)
    if not -1e3 < value < 1e3:
        raise InputError(f"{excerpt(text)} units: a room is 10 units wide")
    return value


def _move(phrase: str, direction: str, by: str | None, now: State) -> Change:
    e, units = one(phrase, now.entities), STEP_UNITS if by is None else _number(by)
    dx, dy = (units * part for part in DIRECTIONS[direction])
    return Change(
        understood=f"move the {e.name} {direction} by {units:g}", apply=lambda scene: _shift(scene, e.slot, dx, dy)
    )


def _move_to(phrase: str, x: float | None, y: float | None, now: State) -> Change:
    e = one(phrase, now.entities)
    if not (0 <= (e.x if x is None else x) <= 10 and 0 <= (e.y if y is None else y) <= 10):
        raise InputError(f"({x:g}, {y:g}) is outside the room: expected 0 to 10 each way")
    dx, dy = (0.0 if x is None else x - e.x), (0.0 if y is None else y - e.y)
    return Change(
        understood=f"move the {e.name} to ({e.x + dx:.1f}, {e.y + dy:.1f})",
        apply=lambda scene: _shift(scene, e.slot, dx, dy),
    )


def _place(word: str, e: Entity, now: State) -> tuple[float | None, float | None]:
    if word == "bottom":
        return None, standing_y(e.kind, e.radius) if now.view == "side" else 2.0
    return PLACES[word]


def _make(phrase: str, how: str, now: State) -> Change:
    e = one(phrase, now.entities)
    understood = f"make the {e.name} {how}"
    if how in COLORS:
        if any(other.slot != e.slot and other.name == f"{how} {e.kind}" for other in now.entities):
            raise InputError(f"there is a {how} {e.kind} already; things are told apart by color and kind")
        return Change(understood=understood, apply=lambda scene: _fixed(scene, e.slot, "color", COLORS.index(how)))
    if how in MATERIALS:
        return Change(understood=understood, apply=lambda scene: _fixed(scene, e.slot, "material", MATERIALS.index(how)))
    radius = SIZES.get(how) or e.radius * {"bigger": 1.3, "larger": 1.3, "smaller": 1 / 1.3}[how]
    radius = min(max(radius, SMALLEST), LARGEST)
    return Change(understood=understood, apply=lambda scene: _fixed(scene, e.slot, "size", radius))


def _scale(phrase: str, times: str, how: str, now: State) -> Change:
    e, factor = one(phrase, now.entities), float(times)
    radius = e.radius * factor if how != "smaller" else e.radius / max(factor, 1e-9)
    if not SMALLEST <= radius <= LARGEST:
        most = LARGEST / e.radius if how != "smaller" else e.radius / SMALLEST
        raise InputError(f"{excerpt(times)} times {how}: the {e.name} can be up to {most:.1f} times {how}")
    return Change(
        understood=f"make the {e.name} {factor:g} times {how}", apply=lambda scene: _fixed(scene, e.slot, "size", radius)
    )


def _push(phrase: str, direction: str, force: str, now: State) -> Change:
    e = one(phrase, now.entities)
    vx, vy = (FORCE[force] * part for part in DIRECTIONS[direction])
    return Change(
        understood=f"push the {e.name} {direction} {force}".strip(),
        apply=lambda scene: _velocity(scene, e.slot, float(scene.vx[-1, e.slot]) + vx, float(scene.vy[-1, e.slot]) + vy),
    )


def _stop(phrase: str, now: State) -> Change:
    e = one(phrase, now.entities)
    return Change(understood=f"stop the {e.name}", apply=lambda scene: _velocity(scene, e.slot, 0.0, 0.0))


def _take_away(phrase: str, now: State) -> Change:
    e = one(phrase, now.entities)
    return Change(understood=f"remove the {e.name}", apply=lambda scene: _remove(scene, e.slot))


def _named(phrase: str) -> dict[str, str]:
    """The traits of a new thing. InputError: the phrase has other words."""
    wanted = traits(phrase)
    more = [word for word in plain(phrase).split() if word not in {*wanted.values(), "a", "an", "one", "new"}]
    if more:
        raise InputError(f"{excerpt(' '.join(more))!r} in {excerpt(phrase)!r} is not understood; say: {FORMS[4]}")
    return wanted


def _new(phrase: str, side: str | None, now: State) -> Change:
    wanted = _named(phrase)
    if not {"kind", "color"} <= wanted.keys():
        raise InputError(f"{excerpt(phrase)!r}: expected a color ({', '.join(COLORS)}) and a kind ({', '.join(KINDS)})")
    if any(e.kind == wanted["kind"] and e.color == wanted["color"] for e in now.entities):
        raise InputError(f"there is a {wanted['color']} {wanted['kind']} already; things are told apart by color and kind")
    below = None if now.view == "side" else 2.0
    x, y = (MIDDLE, below) if side == "bottom" else PLACES[side] if side else (MIDDLE, None)
    across = MIDDLE if x is None else x
    understood = f"add a {wanted.get('size', 'medium')} {wanted['color']} {wanted['kind']} at x = {across:g}"
    return Change(understood=understood, apply=lambda scene: _add(scene, wanted, across, y))


def _background(name: str) -> Change:
    return Change(understood=f"change the background to {name}", apply=lambda scene: replace(scene, background=name))


_NOT = "(?:had not|hadn t|was not|were not)"
_DIRECTION, _PLACE = "|".join(DIRECTIONS), "|".join([*PLACES, "bottom"])
_HOW = "|".join([*COLORS, *SIZES, *MATERIALS, "bigger", "larger", "smaller"])
_GROUND = "|".join(BACKGROUNDS)
_NUMBER = r"\d+(?:\.\d+)?(?:e\d+)?"


_CHANGES: tuple[tuple[str, Callable[[re.Match[str], State], Change]], ...] = (
    (
        rf"^(?:change|set|swap|turn|make) (?:the )?(?:background|backdrop|scenery) (?:to |into )?(?:a |the )?({_GROUND})$",
        lambda m, now: _background(m[1]),
    ),
    (rf"^(?:move|shift|slide) (.+?) (?:to the )?({_DIRECTION}) by ({_NUMBER})(?: units?)?$",
     lambda m, now: _move(m[1], m[2], m[3], now)),
    (rf"^(?:move|put|place) (.+?) (?:to|in|at|on) the ({_PLACE})(?: side| edge)?$",
     lambda m, now: _move_to(m[1], *_place(m[2], one(m[1], now.entities), now), now)),
    (rf"^(?:move|put|place) (.+?) (?:to|at) (-?{_NUMBER}),? (-?{_NUMBER})$",
     lambda m, now: _move_to(m[1], _number(m[2]), _number(m[3]), now)),
    (rf"^(?:move|shift|slide) (.+?) ({_DIRECTION})$", lambda m, now: _move(m[1], m[2], None, now)),
    (r"^(?:remove|delete|erase|take away) (.+)$", lambda m, now: _take_away(m[1], now)),
    (rf"^(?:add|put in|create) (?:a |an |another )?(.+?)(?: (?:on|in|at) the ({_PLACE}))?$",
     lambda m, now: _new(m[1], m[2], now)),
    (rf"^make (.+?) ({_NUMBER}) times (bigger|larger|smaller)$", lambda m, now: _scale(m[1], m[2], m[3], now)),
    (rf"^(?:make|paint|turn|color|recolor) (.+?) ({_HOW})$", lambda m, now: _make(m[1], m[2], now)),
    (r"^(?:stop|halt|freeze) (.+)$", lambda m, now: _stop(m[1], now)),
    (rf"^(?:push|kick|throw|hit) (.+?) (?:to the )?({_DIRECTION})(?: (gently|hard))?$",
     lambda m, now: _push(m[1], m[2], m[3] or "", now)),
)  # fmt: skip
"""The forms of changes, and what each makes of a sentence."""
_ADD = next(number for number, (pattern, _) in enumerate(_CHANGES) if "add|" in pattern)


def is_change(text: str) -> bool:
    """Whether a sentence has one of FORMS, and names one thing; it may be there or not."""
    matches = ((re.match(pattern, plain(text)), number) for number, (pattern, _) in enumerate(_CHANGES))
    match, number = next((one for one in matches if one[0] is not None), (None, 0))
    if match is None:
        return False
    if plain(text).startswith(("add ", "put in ", "create ")) and number == _ADD:
        try:
            wanted = _named(match[1])
        except InputError:
            return False
        return {"kind", "color"} <= wanted.keys()
    return number == 0 or names_a_thing(match[1])


def parse(text: str, now: State) -> Change:
    """A sentence of one of FORMS; InputError lists them when it is none."""
    for pattern, build in _CHANGES:
        match = re.match(pattern, plain(text))
        if match:
            return build(match, now)
    raise InputError(
        f"the change {excerpt(text)!r} is not understood; there is {listed(now.entities)}; say: {'; '.join(FORMS)}"
    )


def parse_cause(text: str, now: State) -> Change:
    """A counterfactual cause as a change: 'the ball had not been pushed', or any sentence that `parse` takes."""
    words = re.sub(r"^(?:if|what if) ", "", plain(text))
    forms: tuple[tuple[str, Callable[[re.Match[str]], Change]], ...] = (
        (
            rf"^(.+?) {_NOT} (?:been )?(?:pushed|moved|moving|kicked|thrown|hit|rolled|rolling|started)$",
            lambda m: _stop(m[1], now),
        ),
        (rf"^(.+?) {_NOT} (?:been )?(?:there|here)$", lambda m: _take_away(m[1], now)),
        (rf"^(.+?) (?:had been|was|were) ({_HOW})$", lambda m: _make(m[1], m[2], now)),
        (
            rf"^(.+?) had been (?:pushed|kicked|thrown) (?:to the )?({_DIRECTION})(?: (gently|hard))?$",
            lambda m: _push(m[1], m[2], m[3] or "", now),
        ),
        (rf"^(.+?) had been (?:moved )?(?:further )?(?:to the )?({_DIRECTION})$", lambda m: _move(m[1], m[2], None, now)),
        (r"^(.+?) had (?:been )?(?:stopped|halted)$", lambda m: _stop(m[1], now)),
    )
    for pattern, build in forms:
        match = re.match(pattern, words)
        if match:
            return build(match)
    try:
        return parse(words, now)
    except InputError:
        raise InputError(
            f"the cause {excerpt(text)!r} is not understood; there is {listed(now.entities)}; say 'X had not been pushed',"
            f" 'X had not been there', 'X had been COLOR|SIZE', 'X had been pushed left', or a change: {'; '.join(FORMS)}"
        ) from None
