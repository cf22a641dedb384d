"""Sentences that say what the director does and when: "When the ball is behind the screen, add a blue box on the right."."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kinema.director.planning.grammar import NamedThings
from kinema.director.script import Cue
from kinema.simulation.edits import is_change
from kinema.simulation.questions import is_yes_or_no

_BEGINS = re.compile(
    r"(?:when|whenever|as soon as|if)\b|(?:after|in)\s+(?:\d|(?:one|two|three|four|five|ten)\s+seconds?)", re.IGNORECASE
)
"""How a sentence begins that seems to be a cue."""
_WHEN = re.compile(r"(?:when|whenever|once|as soon as|if)\s+(.+)", re.IGNORECASE)
_AFTER = re.compile(
    r"after\s+(\d+(?:\.\d+)?|one|two|three|four|five|ten)\s*(seconds?|s|milliseconds?|ms)\b\s*,?\s*(?:then\s+)?(.+)",
    re.IGNORECASE,
)
_NUMBERS = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "ten": 10.0}
_CHANGES = re.compile(
    r"\s*,?\s*(?:then\s+)?\b(?=(?:add|put|create|move|shift|slide|place|remove|delete|erase|take|make|paint|turn|color|recolor|stop|halt"
    r"|freeze|push|kick|throw|hit|change|set|swap)\b)",
    re.IGNORECASE,
)
"""Where the change of a cue may begin."""
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
    away."""

    cue: Cue
    named: list[str] = field(default_factory=list)
    brought: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def seems_a_cue(sentence: str) -> bool:
    """Whether a sentence begins like a cue, which it need not be."""
    return _BEGINS.match(sentence.strip()) is not None


def cue_of(sentence: str, memory: NamedThings) -> PlannedCue | None:
    """A cue that a sentence is.

    Args:
        sentence: One sentence.
        memory: What was named before. What the cue names is added.

    Returns:
        The cue, and whom it names. None: the sentence is no cue.
    """
    text = _IT.sub(lambda word: _meant(memory) or word[0], sentence.strip().rstrip(".!"))
    if (after := _AFTER.fullmatch(text)) is not None and is_change(after[3]):
        number = _NUMBERS.get(after[1].lower()) or float(after[1])
        milliseconds = after[2].lower().startswith("m")
        return _planned(Cue(at_s=number / 1000 if milliseconds else number, do=after[3]), "", memory)
    if (when := _WHEN.fullmatch(text)) is None:
        return None
    for begin in _CHANGES.finditer(when[1]):
        clause, change = when[1][: begin.start()], when[1][begin.end() :]
        question = _question(clause.strip(" ,"))
        if question is not None and is_change(change):
            return _planned(Cue(when=question, do=change), clause, memory)
    return None


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


def _planned(cue: Cue, clause: str, memory: NamedThings) -> PlannedCue:
    named = memory.resolve(clause)
    known = set(memory.things)
    changed = memory.resolve(cue.do)
    if re.match(r"(?:add|put in|create)\b", cue.do, re.IGNORECASE):
        return PlannedCue(cue=cue, named=named, brought=[id for id in changed if id not in known])
    removed = changed if re.match(r"(?:remove|delete|erase|take away)\b", cue.do, re.IGNORECASE) else []
    return PlannedCue(cue=cue, named=[*named, *changed], removed=removed)
