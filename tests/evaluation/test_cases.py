"""What stands beside a model's films and needs no model: shown frames held, looped, and gone straight on."""

from __future__ import annotations

import numpy as np

from kinema.evaluation.baselines import Loop
from kinema.evaluation.cases import looped
from kinema.evaluation.tasks import TASKS


def test_shown_frames_are_played_over_and_over() -> None:
    assert looped(3, 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert TASKS["uniform"].case is not None
    case = TASKS["uniform"].case("uniform/in/0")
    answer = Loop().answer(case)
    assert len(answer) == case.horizon
    for number, frame in enumerate(answer):
        assert np.array_equal(frame, case.frames[number % case.known])
