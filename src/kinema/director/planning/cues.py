"""Sentences that say what the director does and when: "When the ball is behind the screen, add a blue box on the right."."""

from __future__ import annotations

import re

from kinema.director.planning.grammar import NamedThings
from kinema.director.script import Cue
from kinema.simulation.edits import is_change
from kinema.simulation.questions import is_yes_or_no

_WHEN = re.compile(r"^(?:when|whenever|once|as soon as)\s+(.+?)\s*,\s*(?:then\s+)?(.+?)[.!]*$", re.IGNORECASE)
_AFTER = re.compile(r"^after\s+(\d+(?:\.\d+)?)\s*(?:s|seconds?)\s*,\s*(?:then\s+)?(.+?)[.!]*$", re.IGNORECASE)
_MEETS = re.compile(r"^(.+?) (?:touches|hits|meets|bumps into|has touched|has hit) (.+)$", re.IGNORECASE)
_STATES = (
    (re.compile(r"^(.+?) (?:stops|has stopped|comes to rest)$", re.IGNORECASE), "is {} at rest"),
    (re.compile(r"^(.+?) (?:disappears|hides|is out of sight)$", re.IGNORECASE), "is {} hidden"),
    (re.compile(r"^(.+?) (?:is|are) (.+)$", re.IGNORECASE), "is {} {}"),
)
_IT = re.compile(r"\b(?:it|he|she)\b", re.IGNORECASE)


def cue_of(sentence: str, memory: NamedThings) -> tuple[Cue, list[str]] | None:
    """A cue that a sentence is.

    Args:
        sentence: One sentence.
        memory: What was named before. What the cue brings in is added.

    Returns:
        The cue, and ids of what it brings in. None: the sentence is no cue.
    """
    text = _IT.sub(lambda word: _meant(memory) or word[0], sentence.strip())
    if (after := _AFTER.match(text)) is not None and is_change(after[2]):
        return Cue(at_s=float(after[1]), do=after[2]), _brought(after[2], memory)
    when = _WHEN.match(text)
    if when is None or not is_change(when[2]):
        return None
    question = _question(when[1])
    return None if question is None else (Cue(when=question, do=when[2]), _brought(when[2], memory))


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


def _brought(change: str, memory: NamedThings) -> list[str]:
    if not re.match(r"(?:add|put in|create)\b", change, re.IGNORECASE):
        return []
    known = set(memory.things)
    return [id for id in memory.resolve(change) if id not in known]
