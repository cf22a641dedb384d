"""The oracle, and the baselines that a metric must see through: each answers without knowing anything, or the wrong thing.

freeze      the last shown frame, for ever          loop        the shown frames over and over
straight    everything keeps its last speed         no_action   the truth of a world in which nothing is done
shuffled    the truth of another case
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kinema.evaluation.cases import Case, looped, straight, true_frames
from kinema.evaluation.model_under_test import KnowsTruth
from kinema.types import Frames


class Oracle(KnowsTruth):
    """The truth itself, drawn."""

    name = "oracle"

    def answer(self, case: Case) -> Frames:
        return case.frames[case.known :]

    def surprise(self, clip: Frames, possible: bool, seed: int) -> float:
        return 0.0 if possible else 1.0


class RoundTrip(Oracle):
    """The truth, once through an autoencoder: the best that a model behind it can look."""

    name = "codec"

    def __init__(self, there_and_back: Callable[[Frames], Frames]) -> None:
        self.there_and_back = there_and_back

    def answer(self, case: Case) -> Frames:
        return self.there_and_back(case.frames[case.known :])


class Baseline(KnowsTruth):
    """Its disbelief of a clip is a sum over single frames (their brightness): what a model that knows no time has to go by."""

    def surprise(self, clip: Frames, possible: bool, seed: int) -> float:
        return float(clip.astype(np.float64).sum())


class Freeze(Baseline):
    name = "freeze"

    def answer(self, case: Case) -> Frames:
        if not case.known:
            return np.full((case.horizon, *case.frames.shape[1:]), 128, np.uint8)
        return np.repeat(case.context[-1:], case.horizon, 0)


class Loop(Baseline):
    name = "loop"

    def answer(self, case: Case) -> Frames:
        if not case.known:
            return Freeze().answer(case)
        return case.context[looped(case.known, case.known + case.horizon)[case.known :]]


class Straight(Baseline):
    name = "straight"

    def answer(self, case: Case) -> Frames:
        if not case.known:
            return Freeze().answer(case)
        x, y = straight(case.truth, case.known)
        return true_frames(replace(case.truth, x=x, y=y).frames(slice(case.known, None)))


class NoAction(Baseline):
    name = "no_action"

    def answer(self, case: Case) -> Frames:
        scene = case.no_action if case.no_action is not None else None
        return Freeze().answer(case) if scene is None else true_frames(scene.frames(slice(case.known, None)))


class Shuffled(Baseline):
    name = "shuffled"

    def answer(self, case: Case) -> Frames:
        if case.other is None:
            return Freeze().answer(case)
        frames = true_frames(case.other)
        return frames[np.minimum(np.arange(case.known, case.known + case.horizon), len(frames) - 1)]


BASELINES: dict[str, Callable[[], Baseline]] = {
    "freeze": Freeze,
    "loop": Loop,
    "straight": Straight,
    "no_action": NoAction,
    "shuffled": Shuffled,
}
