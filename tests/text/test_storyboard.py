"""Laws of storyboards: plain text is one span, times are read as written, and what cannot be read is said."""

from __future__ import annotations

import math

import pytest

from kinema.errors import InputError
from kinema.text import TextSpan, parse_storyboard


@pytest.mark.parametrize("text", ["a red ball", "2-3 balls roll", "3 balls: roll", "  scene: a robot and 2-3 boxes "])
def test_plain_text_is_one_span_over_everything(text: str) -> None:
    assert parse_storyboard(text) == (TextSpan(text.strip(), 0.0, math.inf),)
    assert parse_storyboard(text, 4.0) == (TextSpan(text.strip(), 0.0, 4.0),)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_no_text_no_span(text: str) -> None:
    assert parse_storyboard(text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-2: a | 2-4: b", [("a", 0, 2), ("b", 2, 4)]),
        ("0–.5s:a|0.5s to 2s : b", [("a", 0, 0.5), ("b", 0.5, 2)]),
        ("at night | 0-1: a | 3-: b", [("at night", 0, 4), ("a", 0, 1), ("b", 3, 4)]),
        ("1-2: the ratio is 1:2", [("the ratio is 1:2", 1, 2)]),
    ],
)
def test_times(text: str, expected: list[tuple[str, float, float]]) -> None:
    assert parse_storyboard(text, 4.0) == tuple(TextSpan(*span) for span in expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-2 a | 2-4: b", "cannot read the times of '0-2 a'; expected 'start-end: text'"),
        ("1: a", "cannot read the times"),
        ("-1-2: a", "cannot read the times"),
        ("1..5-2: a", "cannot read the times"),
        ("2-1: a", "ends at 1 s, not after its start at 2 s"),
        ("2-2: a", "not after its start"),
        ("0-2:  | 2-4: b", "has times but no text"),
        ("a || b", "part 2 of the storyboard is empty"),
        ("0-2: a |", "part 2 of the storyboard is empty"),
        ("0-3: a | 2-4: b", "'2-4: b' starts before 3 s"),
        ("2-4: a | 0-2: b", "starts before 4 s"),
        ("0-9: a", "passes the end of the film at 4 s"),
        ("4-: a", "passes the end of the film at 4 s"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(InputError) as wrong:
        parse_storyboard(text, 4.0)
    assert message in str(wrong.value) and "\n" not in str(wrong.value)
