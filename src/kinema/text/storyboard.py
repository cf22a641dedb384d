"""Storyboards: a prompt whose parts hold for a stretch of time each.

a red ball rolls right                                one span over the whole film
0-2: a red ball rolls right | 2-4: it hits a box      two spans, in seconds
at night | 0-2: a red ball rolls | 2-: it stops       a part without times holds throughout; an open end runs to the end
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from kinema.errors import InputError, excerpt

_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)\s*s?"
_TIMED = re.compile(rf"\s*{_NUMBER}\s*(?:-|–|—|to)\s*(?:{_NUMBER})?\s*:(.*)", re.DOTALL | re.IGNORECASE)
_LOOKS_TIMED = re.compile(r"\s*-?\s*[\d.]+\s*s?\s*(?:-|–|—|to\b|:)", re.IGNORECASE)
_SHAPE = "expected 'start-end: text' in seconds, such as '0-2: a red ball rolls right | 2-4: it hits a box'"


class TextSpan(NamedTuple):
    """What is said of the frames with start_s <= time < end_s."""

    text: str
    start_s: float
    end_s: float


def parse_storyboard(text: str, duration_s: float = math.inf) -> tuple[TextSpan, ...]:
    """The spans of a prompt. InputError for times that cannot be read, that run backward, overlap or pass the duration.

    A text without '|' and without times is one span over everything; an empty text has no spans.
    """
    if not text.strip():
        return ()
    parts = text.split("|")
    spans = []
    last_end = 0.0
    for number, part in enumerate(parts, 1):
        if not part.strip():
            raise InputError(f"part {number} of the storyboard is empty; {_SHAPE}", param="prompt")
        timed = _TIMED.fullmatch(part)
        if timed:
            span = _timed_span(timed, part.strip(), duration_s)
            if span.start_s < last_end:
                raise InputError(
                    f"{excerpt(part.strip())!r} starts before {last_end:g} s, where the part before it ends", param="prompt"
                )
            last_end = span.end_s
            spans.append(span)
        elif _LOOKS_TIMED.match(part) and (":" in part or len(parts) > 1):
            raise InputError(f"cannot read the times of {excerpt(part.strip())!r}; {_SHAPE}", param="prompt")
        else:
            spans.append(TextSpan(part.strip(), 0.0, duration_s))
    return tuple(spans)


def _timed_span(timed: re.Match[str], part: str, duration_s: float) -> TextSpan:
    start_s, text = float(timed[1]), timed[3].strip()
    end_s = float(timed[2]) if timed[2] else duration_s
    if not text:
        raise InputError(f"{excerpt(part)!r} has times but no text; {_SHAPE}", param="prompt")
    if start_s >= duration_s or (timed[2] and end_s > duration_s):
        raise InputError(
            f"{excerpt(part)!r} passes the end of the film at {duration_s:g} s; ask for a longer film or move the part",
            param="prompt",
        )
    if end_s <= start_s:
        raise InputError(f"{excerpt(part)!r} ends at {end_s:g} s, not after its start at {start_s:g} s", param="prompt")
    return TextSpan(text, start_s, end_s)
