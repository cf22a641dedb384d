"""Every test of the arena scores the truth near 1 and every cheat near 0: the laws that make its figures mean something."""

from __future__ import annotations

import pytest

from kinema.evaluation.baselines import CHEATS, Oracle
from kinema.evaluation.model_under_test import Asked
from kinema.evaluation.task import Question, Result
from kinema.evaluation.tasks import QUESTIONS
from kinema.evaluation.tasks.phyworld import COMPARABLE

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


@pytest.mark.parametrize("count", [COMPARABLE - 1, COMPARABLE])
def test_published_figures_stand_beside_fifty_clips_only_and_say_what_differs(count: int) -> None:
    question = QUESTIONS["uniform"]
    row = {"error": 0.1, "of_mean": 0.1, "trivial": {"freeze": 1.0}, "value": 0.9}
    results = [{**row, "item": f"uniform/in/{i}"} for i in range(count)]
    published = [metric.value for metric in question.judge(results, []).metrics if "published" in metric.name]
    assert published == ([0.0221] if count >= COMPARABLE else [])
    for name in ("uniform", "collision"):
        assert "pixels only" in QUESTIONS[name].says and "given states" in QUESTIONS[name].says
        assert len([item for item in QUESTIONS[name].items("full") if "/in/" in item]) >= COMPARABLE


def test_an_agent_that_learned_nothing_is_worth_nothing() -> None:
    """The same formula on returns that are given: real 1, random 0."""
    question = QUESTIONS["agents"]
    row = {"item": "quick/0", "value": 0.0, "real": [3.0] * 20, "random": [1.0] * 20}
    assert question.judge([{**row, "inside": [3.0] * 20}], []).score == 1.0
    assert question.judge([{**row, "inside": [1.0] * 20}], []).score == 0.0
    half = question.judge([{**row, "inside": [2.0] * 20}], [])
    assert half.score == pytest.approx(0.5)
    share = half.metrics[-1]
    assert "above random" in share.name and share.value == pytest.approx(50.0) and share.low is not None
    nothing = question.judge([{**row, "real": [1.0] * 20, "inside": [2.0] * 20}], [])
    assert nothing.score is None, "where the real learner gains nothing there is no share of it"
