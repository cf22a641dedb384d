"""Sentences that say what the director does and when: "When the ball is behind the screen, add a blue box on the right.", "Push the
ball left after 2 seconds.", "Then remove the box."."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kinema.director.planning.grammar import NamedThings
from kinema.director.script import Cue
from kinema.simulation.edits import is_change
from kinema.simulation.questions import is_yes_or_no

_NUMBERS = {
    "half a": 0.5, "a": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0,
    "eight": 8.0, "nine": 9.0, "ten": 10.0,
}  # fmt: skip
_UNIT = r"(?:seconds?|s|milliseconds?|ms)\b"
_TIME = rf"(?:\d+(?:\.\d+)?|{'|'.join(_NUMBERS)})\s*{_UNIT}"
_CHANGING = (
    "(?:add|put|create|move|shift|slide|place|remove|delete|erase|take|make|paint|turn|color|recolor|stop|halt|freeze|push|kick|throw"
    "|hit|change|set|swap)"
)
_LEAD = r"(?:(?:and|but|then|now|next|finally|suddenly|afterwards|after that)\b\s*,?\s*)*"
"""Words before an order that say that it comes next."""
_BEGINS = re.compile(
    rf"(?:when|whenever|as soon as|if)\b|(?:after|in|at)\s+{_TIME}|at\s+second\s+\d|{_TIME}\s+(?:later|in)\b"
    rf"|{_LEAD}{_CHANGING}\s+(?:an?|the|another|it|him|her)\b",
    re.IGNORECASE,
)
"""How a sentence begins that seems to be a cue."""
_WHEN = re.compile(r"(?:when|whenever|once|as soon as|if)\s+(.+)", re.IGNORECASE)
_TIMED = re.compile(
    rf"{_LEAD}(?:(?:after|in|at)\s+(?P<time>{_TIME})|at\s+second\s+(?P<second>\d+(?:\.\d+)?)|(?P<later>{_TIME})\s+later)\s*,?\s*{_LEAD}"
    r"(?P<change>.+)",
    re.IGNORECASE,
)
_ORDER = re.compile(rf"{_LEAD}(?P<change>{_CHANGING}\b.+)", re.IGNORECASE)
_TRAILING = re.compile(
    rf"{_LEAD}(?P<change>{_CHANGING}\b.+?)\s*,?\s+"
    rf"(?:(?:when|once|as soon as|if)\s+(?P<clause>.+)|(?:after|at)\s+(?P<time>{_TIME}))",
    re.IGNORECASE,
)
"""An order before its moment."""
_CHANGES = re.compile(rf"\s*,?\s*(?:then\s+)?\b(?={_CHANGING}\b)", re.IGNORECASE)
"""Where the change of a cue may begin."""
ORDER_S, NEXT_ORDER_S = 2.0, 1.0
"""Seconds into its shot at which an order without a time is given, and after the cue before it."""
_MEETS = re.compile(r"^(.+?) (?:touches|hits|meets|bumps into|has touched|has hit) (.+)$", re.IGNORECASE)
_STATES = (
    (re.compile(r"^(.+?) (?:stops|has stopped|comes to rest)$", re.IGNORECASE), "has {} stopped"),
    (re.compile(r"^(.+?) (?:disappears|hides|is out of sight)$", re.IGNORECASE), "is {} hidden"),
    (re.compile(r"^(.+?) (?:is|are) (.+)$", re.IGNORECASE), "is {} {}"),
)
_IT = re.compile(r"\b(?:it|he|she)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PlannedCue:
    """A cue of a story. named: ids of what its question and its change name; brought, removed: of what it brings in and takes
    away; timeless: whether the sentence does not say when."""

    cue: Cue
    named: list[str] = field(default_factory=list)
    brought: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    timeless: bool = False


def seems_a_cue(sentence: str) -> bool:
    """Whether a sentence begins like a cue, which it need not be."""
    return _BEGINS.match(sentence.strip()) is not None


def cue_of(sentence: str, memory: NamedThings, before: Sequence[Cue] = (), seconds: float = math.inf) -> PlannedCue | None:
    """A cue that a sentence is: what is done, and when. Only orders are cues, such as "Add a blue box."; what happens by itself, as
    in "A blue box appears.", is none.

    Args:
        sentence: One sentence.
        memory: What was named before. What the cue names is added.
        before: The cues of the shot so far, which "two seconds later" and an order without a time come after.
        seconds: How long the shot is.

    Returns:
        The cue, and whom it names. None: the sentence is no cue.
    """
    text = _IT.sub(lambda word: _meant(memory) or word[0], sentence.strip().rstrip(".!"))
    if (timed := _TIMED.fullmatch(text)) is not None:
        at_s = _time_of(timed, before)
        return _planned(Cue(at_s=at_s, do=timed["change"]), "", memory) if _is_given(at_s, timed["change"]) else None
    if (when := _WHEN.fullmatch(text)) is not None:
        for begin in _CHANGES.finditer(when[1]):
            clause, change = when[1][: begin.start()], when[1][begin.end() :]
            question = _question(clause.strip(" ,"))
            if question is not None and is_change(change):
                return _planned(Cue(when=question, do=change), clause, memory)
        return None
    if (trailing := _TRAILING.fullmatch(text)) is not None and is_change(trailing["change"]):
        if trailing["clause"] is None:
            return _planned(Cue(at_s=_seconds(trailing["time"]), do=trailing["change"]), "", memory)
        question = _question(trailing["clause"].strip(" ,"))
        return None if question is None else _planned(Cue(when=question, do=trailing["change"]), trailing["clause"], memory)
    if (order := _ORDER.fullmatch(text)) is not None and is_change(order["change"]):
        return _planned(_next_cue(order["change"], before, seconds), "", memory, timeless=True)
    return None


def _is_given(at_s: float | None, change: str) -> bool:
    return at_s is not None and is_change(change)


def _seconds(time: str) -> float:
    """Seconds of "1.5 s", "two seconds" or "500 ms"."""
    match = re.fullmatch(rf"(.+?)\s*({_UNIT})", time, re.IGNORECASE)
    assert match is not None
    number = _NUMBERS.get(match[1].lower())
    value = float(match[1]) if number is None else number
    return value / 1000 if match[2].lower().startswith("m") else value


def _time_of(timed: re.Match[str], before: Sequence[Cue]) -> float | None:
    """When a sentence with a time is given, in seconds of its shot; None: it is later than a moment that nobody knows yet."""
    if timed["later"] is None:
        return float(timed["second"]) if timed["time"] is None else _seconds(timed["time"])
    since_s = before[-1].at_s if before else 0.0
    return None if since_s is None else since_s + _seconds(timed["later"])


def _next_cue(change: str, before: Sequence[Cue], seconds: float) -> Cue:
    """An order without a time: together with a change whose moment is a question, else a while after what is before it."""
    if not before:
        return Cue(at_s=min(ORDER_S, seconds / 2), do=change)
    last = before[-1]
    if last.at_s is None:
        return Cue(when=last.when, do=change)
    return Cue(at_s=min(last.at_s + NEXT_ORDER_S, (last.at_s + seconds) / 2), do=change)


def _meant(memory: NamedThings) -> str:
    """'the red ball', what "it" means; "" where nothing was named."""
    thing = memory.things.get(memory.last or "")
    return "" if thing is None else f"the {thing.color} {thing.kind}"


def _question(clause: str) -> str | None:
    """'is the ball behind the screen?' of 'the ball is behind the screen'; None: it cannot be asked."""
    question = ""
    if (meets := _MEETS.match(clause)) is not None:
        question = f"did {meets[1]} touch {meets[2]}"
    else:
        for pattern, form in _STATES:
            if (match := pattern.match(clause)) is not None:
                question = form.format(*match.groups())
                break
    return f"{question}?" if is_yes_or_no(question) else None


def _planned(cue: Cue, clause: str, memory: NamedThings, *, timeless: bool = False) -> PlannedCue:
    named = memory.resolve(clause)
    known = set(memory.things)
    changed = memory.resolve(cue.do)
    if re.match(r"(?:add|put in|create)\b", cue.do, re.IGNORECASE):
        brought = [id for id in changed if id not in known]
        return PlannedCue(cue=cue, named=named, brought=brought, timeless=timeless)
    removed = changed if re.match(r"(?:remove|delete|erase|take away)\b", cue.do, re.IGNORECASE) else []
    return PlannedCue(cue=cue, named=[*named, *changed], removed=removed, timeless=timeless)
