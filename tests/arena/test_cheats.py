"""Every test of the arena scores the truth near 1 and every cheat near 0: the laws that make its figures mean something."""

from __future__ import annotations

import pytest

from kinema.arena.cheats import CHEATS, Oracle
from kinema.arena.question import Question, Result
from kinema.arena.questions import QUESTIONS
from kinema.arena.subject import Asked

JUDGED = [question for question in QUESTIONS.values() if question.gate]


def answers(question: Question, subject: Asked) -> list[Result]:
    found = []
    for item in question.items("quick")[: question.gate]:
        result = question.measure(subject, item)
        if result is not None:
            found.append({**result, "item": item})
    return found


@pytest.mark.parametrize("question", JUDGED, ids=lambda question: question.name)
def test_truth_near_one_and_cheats_near_zero(question: Question) -> None:
    floor = answers(question, Oracle())
    truth = question.judge(floor, floor).score
    assert truth is not None and truth >= 0.85, f"the truth scores {truth}"
    assert question.cheats
    for name in question.cheats:
        score = question.judge(answers(question, CHEATS[name]()), floor).score
        assert score is not None and score <= 0.15, f"{name} scores {score}"


def test_an_agent_that_learned_nothing_is_worth_nothing() -> None:
    """The same formula on returns that are given: real 1, random 0."""
    question = QUESTIONS["agents"]
    row = {"item": "quick/0", "value": 0.0, "real": [3.0] * 20, "random": [1.0] * 20}
    assert question.judge([{**row, "inside": [3.0] * 20}], []).score == 1.0
    assert question.judge([{**row, "inside": [1.0] * 20}], []).score == 0.0
    half = question.judge([{**row, "inside": [2.0] * 20}], []).score
    assert half == pytest.approx(0.5)
