"""Every test of the arena scores the truth near 1 and every baseline near 0: the laws that make its figures mean something."""

from __future__ import annotations

import pytest

from kinema.evaluation.baselines import BASELINES, Freeze, Oracle
from kinema.evaluation.model_under_test import Evaluated
from kinema.evaluation.task import ArenaTask, Result
from kinema.evaluation.tasks import TASKS
from kinema.evaluation.tasks.phyworld import COMPARABLE
from kinema.evaluation.tasks.surprise import SURPRISE

JUDGED_TOGETHER = ("distribution",)
"""Tasks whose score needs a crowd of examples, which takes long."""
JUDGED = [
    pytest.param(task, id=task.name, marks=[pytest.mark.slow] if task.name in JUDGED_TOGETHER else [])
    for task in TASKS.values()
    if task.gate
]


def answers(task: ArenaTask, model: Evaluated) -> list[Result]:
    """Of half of the examples that the gate takes, which is enough to part truth from baselines where each is judged by itself."""
    found = []
    wanted = task.gate if task.name in JUDGED_TOGETHER else -(-task.gate // 2)
    for item in task.examples("quick")[:wanted]:
        result = task.evaluate(model, item)
        if result is not None:
            found.append({**result, "item": item})
    return found


@pytest.mark.parametrize("task", JUDGED)
def test_truth_near_one_and_baselines_near_zero(task: ArenaTask) -> None:
    oracle = answers(task, Oracle())
    truth = task.aggregate(oracle, oracle).score
    assert truth is not None and truth >= 0.85, f"the truth scores {truth}"
    assert task.baselines
    for name in task.baselines:
        score = task.aggregate(answers(task, BASELINES[name]()), oracle).score
        assert score is not None and score <= 0.15, f"{name} scores {score}"


def test_what_is_frozen_is_the_last_shown_frame() -> None:
    assert TASKS["uniform"].case is not None
    case = TASKS["uniform"].case("uniform/in/0")
    answer = Freeze().answer(case)
    assert len(answer) == case.horizon and (answer == case.frames[case.known - 1]).all()
    assert (case.frames[0] != case.frames[case.known - 1]).any()


@pytest.mark.parametrize("count", [COMPARABLE - 1, COMPARABLE])
def test_published_figures_stand_beside_fifty_clips_only_and_say_what_differs(count: int) -> None:
    task = TASKS["uniform"]
    row = {"error": 0.1, "of_mean": 0.1, "trivial": {"freeze": 1.0}, "value": 0.9}
    results = [{**row, "item": f"uniform/in/{i}"} for i in range(count)]
    published = [metric.value for metric in task.aggregate(results, []).metrics if "published" in metric.name]
    assert published == ([0.0221] if count >= COMPARABLE else [])
    for name in ("uniform", "collision"):
        assert "pixels only" in TASKS[name].says and "given states" in TASKS[name].says
        assert len([item for item in TASKS[name].examples("full") if "/in/" in item]) >= COMPARABLE


def test_an_agent_that_learned_nothing_is_worth_nothing() -> None:
    """The same formula on returns that are given: real 1, random 0."""
    task = TASKS["agents"]
    row = {"item": "quick/0", "value": 0.0, "real": [3.0] * 20, "random": [1.0] * 20}
    assert task.aggregate([{**row, "inside": [3.0] * 20}], []).score == 1.0
    assert task.aggregate([{**row, "inside": [1.0] * 20}], []).score == 0.0
    half = task.aggregate([{**row, "inside": [2.0] * 20}], [])
    assert half.score == pytest.approx(0.5)
    share = half.metrics[-1]
    assert "above random" in share.name and share.value == pytest.approx(50.0) and share.low is not None
    nothing = task.aggregate([{**row, "real": [1.0] * 20, "inside": [2.0] * 20}], [])
    assert nothing.score is None, "where the real learner gains nothing there is no share of it"


def test_a_model_that_is_surprised_by_the_impossible_alone_has_an_auroc_of_one() -> None:
    result = {"item": "gravity/0", "value": 1.0, "accuracy": 1.0, "good": [0.1, 0.2], "bad": [1.0, 2.0]}
    figures = {metric.name: metric.value for metric in SURPRISE.aggregate([result], []).metrics}
    assert figures["gravity: AUROC"] == 1.0 and figures["gravity: pairs right"] == 100.0
