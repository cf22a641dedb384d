"""Questions to a world, answered from its state track: a structured value and a sentence.

Understood are: where is X; how many X; what color is X; how large is X; is X visible; what is behind X; is X behind Y; is X left
of Y; is X on the left; is X moving; has X stopped; is there X; did A touch B; when did A touch B; how fast is X; what is there;
what will happen next (by rolling a branch). Those that begin with "is", "has" or "did" are answered by yes or no, their value True
or False.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kinema.errors import InputError, excerpt
from kinema.scene.geometry import SOLID
from kinema.scene.scene import KINDS
from kinema.simulation.references import ANY, listed, matching_entities, names_a_thing, one, plain, traits
from kinema.simulation.state import Entity, State

FORMS = (
    "where is X",
    "how many X are there",
    "what color is X",
    "how large is X",
    "is X visible",
    "what is behind X",
    "is X behind Y",
    "is X left of|right of|above|below Y",
    "is X on the left|on the right|in the middle|out of the picture",
    "is X moving|at rest",
    "has X stopped",
    "is there X",
    "did X touch Y",
    "when did X touch Y",
    "how fast is X",
    "what is there",
    "what will happen next",
)
TOUCH_UNITS = 0.15
"""Objects whose outlines are this close count as touching; positions may be off by this much."""
MOVED = 0.5
"""Units a second from which on something has moved."""
HIDDEN = 0.35
"""An object with a smaller visible share counts as hidden."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """kind: the form of the question. value: the answer as plain data. sentence: the answer in English."""

    kind: str
    value: Any
    sentence: str

    def __str__(self) -> str:
        return self.sentence


Roll = Callable[[], Sequence[State]]


def touching(a: Entity, b: Entity) -> bool:
    """Whether the outlines of two objects touch, as boxes of their kinds' widths and heights."""
    apart_x = abs(a.x - b.x) - a.radius * SOLID[a.kind].across - b.radius * SOLID[b.kind].across
    low, high = (a, b) if a.y < b.y else (b, a)
    apart_y = high.y - low.y - low.radius * SOLID[low.kind].above - high.radius * SOLID[high.kind].below
    if a.kind in ("ball", "star") and b.kind in ("ball", "star"):
        return math.hypot(a.x - b.x, a.y - b.y) < a.radius + b.radius + TOUCH_UNITS
    return max(apart_x, apart_y) < TOUCH_UNITS


def side_of(entity: Entity) -> str:
    """'on the left', 'near the middle', 'out of the picture'."""
    if not (0 <= entity.x <= 10 and 0 <= entity.y <= 10):
        edge = "left" if entity.x < 0 else "right" if entity.x > 10 else "bottom" if entity.y < 0 else "top"
        return f"out of the picture, past the {edge} edge"
    across = "on the left" if entity.x < 3.8 else "on the right" if entity.x > 6.2 else "in the middle"
    height = "high up" if entity.y > 6.2 else "at the bottom" if entity.y < 3.0 else ""
    return f"{across}, {height}" if height else across


def _motion(entity: Entity) -> str:
    if entity.speed < 0.2:
        return "at rest"
    horizontal = abs(entity.vx) >= abs(entity.vy)
    direction = ("right" if entity.vx > 0 else "left") if horizontal else ("up" if entity.vy > 0 else "down")
    return f"moving {direction} at {entity.speed:.1f} units a second"


def _where(x: str, now: State) -> Answer:
    e = one(x, now.entities)
    hidden = "" if e.visible >= HIDDEN else ", hidden from view"
    value = {"x": e.x, "y": e.y, "visible": e.visible >= HIDDEN}
    return Answer(kind="where", value=value, sentence=f"The {e.name} is {side_of(e)}, at ({e.x:.1f}, {e.y:.1f}){hidden}.")


def _how_many(x: str, now: State) -> Answer:
    if not traits(x) and not set(plain(x).split()) & set(ANY):
        raise InputError(f"{excerpt(x)!r} names no kind, color or size; there is {listed(now.entities)}")
    matches = matching_entities(x, now.entities)
    names = f": {listed(matches)}" if matches else ""
    verb = "is" if len(matches) == 1 else "are"
    return Answer(kind="how many", value=len(matches), sentence=f"There {verb} {len(matches)}{names}.")


def _what_color(x: str, now: State) -> Answer:
    e = one(x, now.entities)
    return Answer(kind="what color", value=e.color, sentence=f"The {e.kind} is {e.color}.")


def _how_large(x: str, now: State) -> Answer:
    e = one(x, now.entities)
    return Answer(kind="how large", value=e.radius, sentence=f"The {e.name} is {e.size}, {e.radius:.1f} units in radius.")


def _visible(x: str, how: str, now: State) -> Answer:
    e = one(x, now.entities)
    true = (e.visible >= HIDDEN) == (how != "hidden")
    return Answer(
        kind="is hidden" if how == "hidden" else "is visible",
        value=true,
        sentence=f"{'Yes' if true else 'No'}, {100 * min(max(e.visible, 0), 1):.0f}% of the {e.name} is seen.",
    )


def _hidden_by(screen: Entity, now: State) -> list[Entity]:
    half = screen.radius * SOLID[screen.kind].across
    return [
        e for e in now.entities if e is not screen and e.visible < HIDDEN and abs(e.x - screen.x) < half + 0.5 * e.radius
    ]


def _yes_or_no(kind: str, holds: bool, e: Entity, words: str) -> Answer:
    return Answer(
        kind=kind, value=holds, sentence=f"{'Yes' if holds else 'No'}, the {e.name} is {'' if holds else 'not '}{words}."
    )


def _is_behind(x: str, y: str, now: State) -> Answer:
    e, screen = _two(x, y, now)
    return _yes_or_no("is behind", e in _hidden_by(screen, now), e, f"behind the {screen.name}")


def _is_beside(x: str, side: str, y: str, now: State) -> Answer:
    e, other = _two(x, y, now)
    right, up = {"left of": (-1, 0), "right of": (1, 0), "above": (0, 1), "below": (0, -1)}[side]
    return _yes_or_no(f"is {side}", right * (e.x - other.x) + up * (e.y - other.y) > 0, e, f"{side} the {other.name}")


def _is_at(x: str, place: str, now: State) -> Answer:
    e = one(x, now.entities)
    return _yes_or_no("is at", side_of(e).startswith(place), e, place)


def _is_moving(x: str, how: str, now: State) -> Answer:
    e = one(x, now.entities)
    moving = how == "moving"
    return _yes_or_no("is moving", (_motion(e) != "at rest") == moving, e, "moving" if moving else "at rest")


def _has_stopped(x: str, states: Sequence[State]) -> Answer:
    """Whether something is at rest now that moved before."""
    e = one(x, states[-1].entities)
    moved = any(was.speed > MOVED for state in states for was in state.entities if (was.slot, was.name) == (e.slot, e.name))
    holds = moved and _motion(e) == "at rest"
    verb = "has stopped" if holds else "has not stopped" if moved else "has not moved"
    return Answer(kind="has stopped", value=holds, sentence=f"{'Yes' if holds else 'No'}, the {e.name} {verb}.")


def _is_there(x: str, now: State) -> Answer:
    count: int = _how_many(x, now).value
    sentence = (
        f"Yes, there {'is' if count == 1 else 'are'} {listed(matching_entities(x, now.entities))}." if count else "No."
    )
    return Answer(kind="is there", value=count > 0, sentence=sentence)


def _behind(x: str, now: State) -> Answer:
    screen = one(x, now.entities)
    hidden = _hidden_by(screen, now)
    verb = "is" if len(hidden) < 2 else "are"
    names = listed(hidden)
    return Answer(
        kind="behind", value=[e.name for e in hidden],
        sentence=f"{names[0].upper()}{names[1:]} {verb} behind the {screen.name}.",
    )  # fmt: skip


def _two(x: str, y: str, now: State) -> tuple[Entity, Entity]:
    """Two things that are not the same one."""
    a, b = one(x, now.entities), one(y, now.entities)
    if a.slot == b.slot:
        raise InputError(f"{excerpt(x)!r} and {excerpt(y)!r} are one thing, the {a.name}")
    return a, b


def _touched(x: str, y: str, states: Sequence[State]) -> tuple[Entity, Entity, float | None]:
    a, b = _two(x, y, states[-1])
    begun: float | None = None
    for state in states:
        slots = {e.slot: e for e in state.entities if e.name in (a.name, b.name)}
        if a.slot in slots and b.slot in slots and touching(slots[a.slot], slots[b.slot]):
            begun = state.time_s
            break
    return a, b, begun


def _did_touch(x: str, y: str, states: Sequence[State]) -> Answer:
    a, b, begun = _touched(x, y, states)
    when = f", first at {begun:.2f} s" if begun is not None else " in what is remembered"
    statement = f"{'Yes' if begun is not None else 'No'}, the {a.name} {'touched' if begun is not None else 'did not touch'}"
    return Answer(kind="did touch", value=begun is not None, sentence=f"{statement} the {b.name}{when}.")


def _when_touch(x: str, y: str, states: Sequence[State]) -> Answer:
    a, b, begun = _touched(x, y, states)
    if begun is None:
        sentence = f"The {a.name} did not touch the {b.name} in what is remembered."
    else:
        sentence = f"The {a.name} first touched the {b.name} at {begun:.2f} s."
    return Answer(kind="when touch", value=begun, sentence=sentence)


def _how_fast(x: str, now: State) -> Answer:
    e = one(x, now.entities)
    return Answer(kind="how fast", value=e.speed, sentence=f"The {e.name} is {_motion(e)}.")


def _what_is_there(now: State) -> Answer:
    names = listed(now.entities)
    place = f"{now.background}, seen from {'the side' if now.view == 'side' else 'above'}"
    return Answer(
        kind="what is there", value=[e.name for e in now.entities],
        sentence=f"{names[0].upper()}{names[1:]}; {place}.",
    )  # fmt: skip


def _next(now: State, future: Sequence[State]) -> Answer:
    seconds = future[-1].time_s - now.time_s
    happened, clauses = [], []
    for i, a in enumerate(now.entities):
        for b in now.entities[i + 1 :]:
            if touching(a, b):
                continue
            for state in future:
                slots = {e.slot: e for e in state.entities}
                if touching(slots[a.slot], slots[b.slot]):
                    after = state.time_s - now.time_s
                    happened.append({"event": "touch", "a": a.name, "b": b.name, "in_s": after})
                    clauses.append(f"the {a.name} touches the {b.name} in {after:.1f} s")
                    break
    last = {e.slot: e for e in future[-1].entities}
    for e in now.entities:
        then = last[e.slot]
        distance = math.hypot(then.x - e.x, then.y - e.y)
        if distance > 0.5:
            happened.append({"event": "move", "a": e.name, "to": (then.x, then.y)})
            clauses.append(f"the {e.name} comes to ({then.x:.1f}, {then.y:.1f})")
        if e.visible >= HIDDEN > then.visible:
            happened.append({"event": "hide", "a": e.name})
            clauses.append(f"the {e.name} goes out of sight")
    text = "; ".join(clauses) or "nothing much"
    return Answer(kind="next", value=happened, sentence=f"Within {seconds:.1f} s: {text}.")


_PLURALS = "|".join(f"{kind}(?:e?s)?" for kind in KINDS)
_REPLIES: tuple[tuple[str, Callable[[re.Match[str], Sequence[State], Roll], Answer]], ...] = (
    (r"^where (?:is|are) (.+)$", lambda m, states, roll: _where(m[1], states[-1])),
    (r"^how many (.+?)(?: are there| are here| is there)?$", lambda m, states, roll: _how_many(m[1], states[-1])),
    (r"^(?:what|which) colou?r (?:is|has) (.+)$", lambda m, states, roll: _what_color(m[1], states[-1])),
    (r"^how (?:large|big) is (.+)$", lambda m, states, roll: _how_large(m[1], states[-1])),
    (
        r"^(?:is|can i see|can you see) (.+?) (visible|hidden|seen|in view)$",
        lambda m, states, roll: _visible(m[1], m[2], states[-1]),
    ),
    (r"^(?:what|who) is behind (.+)$", lambda m, states, roll: _behind(m[1], states[-1])),
    (r"^is there (.+)$", lambda m, states, roll: _is_there(m[1], states[-1])),
    (r"^is (.+?) behind (.+)$", lambda m, states, roll: _is_behind(m[1], m[2], states[-1])),
    (
        r"^is (.+?) (?:to the )?(left of|right of|above|below) (.+)$",
        lambda m, states, roll: _is_beside(m[1], m[2], m[3], states[-1]),
    ),
    (
        r"^is (.+?) (on the left|on the right|in the middle|out of the picture)$",
        lambda m, states, roll: _is_at(m[1], m[2], states[-1]),
    ),
    (r"^has (.+?) (?:stopped|come to rest)$", lambda m, states, roll: _has_stopped(m[1], states)),
    (r"^is (.+?) (moving|at rest)$", lambda m, states, roll: _is_moving(m[1], m[2], states[-1])),
    (r"^did (.+?) (?:touch|hit|meet|bump into) (.+)$", lambda m, states, roll: _did_touch(m[1], m[2], states)),
    (r"^when did (.+?) (?:touch|hit|meet|bump into) (.+)$", lambda m, states, roll: _when_touch(m[1], m[2], states)),
    (r"^how fast (?:is|does) (.+?)(?: moving| move| going| go)?$", lambda m, states, roll: _how_fast(m[1], states[-1])),
    (
        rf"^what (?:is there|do you see|is here|(?:{_PLURALS}|things) are there)$",
        lambda m, states, roll: _what_is_there(states[-1]),
    ),
    (r"^what (?:will happen|happens)(?: next| now)?$", lambda m, states, roll: _next(states[-1], roll())),
)
"""The forms of questions, and what answers each."""


def is_yes_or_no(question: str) -> bool:
    """Whether a question has one of FORMS whose answer is True or False; what it names may be there or not."""
    text = plain(question)
    match = next(filter(None, (re.match(pattern, text) for pattern, _ in _REPLIES)), None)
    if match is None or not text.startswith(("is ", "has ", "did ")):
        return False
    things = [part for part in match.groups() if part is not None and part not in _WORDS]
    return bool(things) and all(map(names_a_thing, things))


_WORDS = frozenset({
    "visible", "hidden", "seen", "in view", "left of", "right of", "above", "below", "on the left", "on the right",
    "in the middle", "out of the picture", "moving", "at rest",
})  # fmt: skip
"""What groups of patterns hold besides things."""


def answer(question: str, states: Sequence[State], roll: Roll) -> Answer:
    """The answer to a question. states: up to now, oldest first. roll: predicts future states. InputError: no known form."""
    if not isinstance(question, str):
        raise InputError(f"the question {excerpt(repr(question))} is no text; ask like this: {'; '.join(FORMS)}")
    for pattern, reply in _REPLIES:
        match = re.match(pattern, plain(question))
        if match:
            return reply(match, states, roll)
    raise InputError(f"the question {excerpt(question)!r} is not understood; ask like this: {'; '.join(FORMS)}")
