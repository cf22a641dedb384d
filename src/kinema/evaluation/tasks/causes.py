"""Cause and effect (test 7): one cause changed, and the arrow of time.

Counterfactual: the same shown frames go on twice, with two different actions. In one the robot pushes the ball (or jumps), in the
other it does not. Events are read from both; they are compared as a set. A pair is right if both branches are.
Arrow of time: clips in which energy is lost (bounces that get lower, things that slide to rest), forward and reversed: does the
model's own loss believe the forward one more?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np

from kinema.evaluation.cases import Case, enact, true_frames
from kinema.evaluation.model_under_test import Evaluated, KnowsTruth, loss_method_of, predict
from kinema.evaluation.reading import read_pictures
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.scene.geometry import ROOM_HEIGHT, standing_y
from kinema.scene.scene import LARGE, MEDIUM, Scene
from kinema.statistics import bootstrap

KNOWN, FRAMES = 8, 32
MOVED = 0.6
"""Units from which a thing has moved."""
LEVELS = (0.2, 0.5, 0.8)
COLORS = ("red", "blue", "pink", "cyan", "purple")


@lru_cache(maxsize=256)
def _pair(number: int) -> tuple[Case, Case]:
    rng = Random(f"{number}/arena-cause")
    color, other = rng.sample([c for c in COLORS if c != "purple"], 2)
    side, at = rng.choice((-1.0, 1.0)), rng.uniform(4.0, 6.0)
    kind, size = rng.choice((("ball", MEDIUM), ("ball", LARGE), ("star", MEDIUM)))
    rest = 1.0 + size * (1.05 if kind == "star" else 1.0)
    load = Actor(kind=kind, color=other, material="plain", size=size, x=at + side * 2.3, y=rest)
    robot = Actor(kind="robot", color=color, material="plain", size=MEDIUM, x=at, y=standing_y("robot", MEDIUM))
    actors = [load, robot]
    cast = EpisodeSetup(
        view="side", background=rng.choice(("field", "snow", "lab")), room_width=ROOM_HEIGHT, scenario="act", actors=actors
    )
    branches = []
    jump = number % 2 == 1
    for pushes in (True, False):
        actions = np.zeros((FRAMES, 2), np.float32)
        actions[KNOWN - 1 : KNOWN + 16, 0] = side if pushes else (0.0 if jump else -side)
        if jump and not pushes:
            actions[KNOWN + 1 : KNOWN + 4, 1] = 1.0
        still = np.zeros_like(actions)
        branches.append((enact(cast, actions), actions, enact(cast, still)))
    cases = [
        Case(
            name=f"causes/{number}-{name}", seed=number, truth=scene, known=KNOWN, actions=actions, no_action=no_action,
            marks={"events": events(_places(scene))},
        )
        for name, (scene, actions, no_action) in zip(("push", "else"), branches, strict=True)
    ]  # fmt: skip
    return cases[0], cases[1]


def _places(scene: Scene) -> np.ndarray:
    return np.stack([scene.x[:, :2], scene.y[:, :2]], -1)


def events(place: np.ndarray) -> list[str]:
    """What happened to the load (slot 0) and the robot (slot 1), from places [T, 2, 2] from the last shown frame on."""
    seen = []
    for slot, name in ((0, "load"), (1, "robot")):
        path = place[KNOWN - 1 :, slot]
        if np.isnan(path[-1]).any():
            continue
        dx = path[-1, 0] - path[0, 0]
        if abs(dx) > MOVED:
            seen.append(f"{name} {'right' if dx > 0 else 'left'}")
        if np.nanmax(path[:, 1]) - path[0, 1] > MOVED:
            seen.append(f"{name} up")
    return seen


def _case(item: str) -> Case:
    _, number, branch = item.split("/")
    case = _pair(int(number))[0 if branch == "push" else 1]
    return replace(case, other=_pair(int(number) + 1)[0 if branch == "push" else 1].truth)


def _evaluate(model: Evaluated, item: str) -> Result | None:
    if item.startswith("arrow"):
        return _evaluate_arrow(model, int(item.split("/")[1]))
    right, hits, reported, true = True, 0, 0, 0
    for branch in ("push", "else"):
        case = _case(f"causes/{item.split('/')[1]}/{branch}")
        at = np.concatenate([np.array([KNOWN - 1]), np.arange(KNOWN + 3, FRAMES, 4)])
        at[-1] = FRAMES - 1
        frames = np.concatenate([case.context, predict(model, case)])
        place = _places(case.truth).copy()
        place[KNOWN:] = np.nan
        place[at] = read_pictures(frames[at], case.truth, at).place[:, :2]
        seen, wanted = set(events(place)), set(case.marks["events"])
        right &= seen == wanted
        hits, reported, true = hits + len(seen & wanted), reported + len(seen), true + len(wanted)
    return {"value": float(right), "hits": hits, "told": reported, "true": true}


@lru_cache(maxsize=64)
def _losing(number: int) -> np.ndarray:
    """A clip of two seconds that only goes one way."""
    rng = Random(f"{number}/arena-arrow")
    color = rng.choice(COLORS)
    if number % 2:
        side = rng.choice((-1.0, 1.0))
        thing = Actor(
            kind="box",
            color=color,
            material="plain",
            size=MEDIUM,
            x=5 - 3 * side,
            y=standing_y("box", MEDIUM),
            vx=side * rng.uniform(2.2, 3.2),
        )
    else:
        size = rng.choice((MEDIUM, LARGE))
        thing = Actor(
            kind="ball", color=color, material="plain", size=size, x=rng.uniform(2.0, 4.0), y=rng.uniform(4.5, 6.5),
            vx=rng.uniform(0.8, 1.6)
        )  # fmt: skip
    cast = EpisodeSetup(view="side", background="field", room_width=ROOM_HEIGHT, scenario="move", actors=[thing])
    return true_frames(enact(cast, np.zeros((FRAMES, 2), np.float32)))


def _evaluate_arrow(model: Evaluated, number: int) -> Result | None:
    clip = _losing(number)
    if isinstance(model, KnowsTruth):
        pairs = [(model.surprise(clip, True, number), model.surprise(clip[::-1].copy(), False, number))]
    else:
        loss = loss_method_of(model)
        if loss is None:
            return None
        forward, reversed_ = ([loss(frames, level, number) for level in LEVELS] for frames in (clip, clip[::-1].copy()))
        pairs = list(zip(forward, reversed_, strict=True))
    value = float(np.mean([0.5 if a == b else float(a < b) for a, b in pairs]))
    return {"value": max(2 * value - 1, 0.0), "forward": value}


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    pairs = [result for result in results if result["item"].startswith("causes")]
    arrow = [result for result in results if result["item"].startswith("arrow")]
    counts = np.array([[result[key] for key in ("hits", "told", "true")] for result in pairs], float)

    def f1(pick: np.ndarray) -> float:
        hits, reported, true = counts[pick].sum(0)
        return float(2 * hits / max(reported + true, 1.0))

    low, high = bootstrap(len(pairs), f1)
    both, below, above = (100 * v for v in mean_with_interval(pairs))
    metrics = [
        Metric(name="counterfactual: both branches right", value=both, low=below, high=above, unit="%"),
        Metric(name="counterfactual: event F1", value=f1(np.arange(len(pairs))), low=low, high=high),
    ]
    scores = [[float(result["value"]) for result in pairs]]
    if arrow:
        forward, below, above = (100 * v for v in mean_with_interval(arrow, "forward"))
        metrics.append(Metric(name="P[loss(reversed) > loss(forward)]", value=forward, low=below, high=above, unit="%"))
        scores.append([2 * float(result["forward"]) - 1 for result in arrow])
    rng = np.random.default_rng(0)
    draws = [
        np.mean([np.clip(np.mean(np.array(some)[rng.integers(0, len(some), len(some))]), 0, 1) for some in scores])
        for _ in range(1000)
    ]
    value = float(np.mean([np.clip(np.mean(some), 0, 1) for some in scores]))
    return TaskResult(
        score=value, low=float(np.percentile(draws, 2.5)), high=float(np.percentile(draws, 97.5)), count=len(results),
        metrics=tuple(metrics),
    )  # fmt: skip


CAUSES = ArenaTask(
    name="causes",
    number="7",
    title="Counterfactuals and the arrow of time",
    says="mean of: share of pairs with every event right in both branches; 2 P[loss(reversed) > loss(forward)] - 1, of models that"
    " have a loss",
    examples=lambda scale: [f"{kind}/{i}" for i in range(10 if scale == "quick" else 50) for kind in ("causes", "arrow")],
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop", "straight", "no_action", "shuffled"),
    case=lambda item: _case(f"causes/{item.split('/')[1]}/push"),
    cases=lambda item: [_case(f"causes/{item.split('/')[1]}/{branch}") for branch in ("push", "else")],
)
