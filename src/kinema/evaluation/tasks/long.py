"""Long clips (test 10): a minute of a robot that is told where to go, step by step.

Script: a robot is sent to the left wall, the right wall, or told to wait, five seconds each, in an order drawn by seed; a flag
stands by. Events in order are read from pixels every half second, in six stretches. Identity swaps: how often what most of five
looks call somebody changes, a minute. Drift: of the background's color between the first and last 15% (as in FramePack), and its
slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np

from kinema.evaluation.cases import FPS, Case, enact
from kinema.evaluation.model_under_test import Evaluated, predict
from kinema.evaluation.reading import read_pictures
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.scene.geometry import MIDDLE, ROOM_HEIGHT, standing_y
from kinema.scene.scene import KINDS, MEDIUM

KNOWN = 8
STRETCH = 80
"""Frames of one order: five seconds."""
SECONDS = {"quick": 60, "full": 60}
LOOK = 8
DRIFTED = 6.0
"""Levels of 255 from which a drift counts in full."""
SWAPS = 12.0
"""Identity swaps a minute that count in full."""


@lru_cache(maxsize=64)
def _base(number: int) -> Case:
    rng = Random(f"{number}/arena-long")
    color, other = rng.sample(("red", "blue", "pink", "cyan", "yellow"), 2)
    robot = Actor(kind="robot", color=color, material="plain", size=MEDIUM, x=MIDDLE, y=standing_y("robot", MEDIUM))
    flag = Actor(
        kind="flag", color=other, material="plain", size=MEDIUM, x=rng.uniform(3.5, 6.5), y=standing_y("flag", MEDIUM)
    )
    cast = EpisodeSetup(
        view="top", background=rng.choice(("field", "lab")), room_width=ROOM_HEIGHT, scenario="act", actors=[robot, flag]
    )
    robot.y, flag.y = rng.uniform(6.0, 8.0), rng.uniform(2.5, 4.5)
    frames = KNOWN + round(SECONDS["quick"] * FPS)
    actions = np.zeros((frames, 2), np.float32)
    at, last = KNOWN - 1, ""
    while at < frames:
        order = rng.choice([o for o in ("left", "right", "wait") if o != last and not (at < KNOWN and o == "wait")])
        actions[at : at + STRETCH, 0] = {"left": -1.0, "right": 1.0, "wait": 0.0}[order]
        last, at = order, at + STRETCH
    truth = enact(cast, actions)
    return Case(
        name=f"long/{number}", seed=number, truth=truth, known=KNOWN, actions=actions,
        no_action=enact(cast, np.zeros_like(actions)),
    )  # fmt: skip


def _case(item: str) -> Case:
    return replace(_base(int(item)), other=_base(int(item) + 1).truth)


def _visits(x: np.ndarray) -> list[str]:
    """Which wall the robot came to, in order."""
    visits: list[str] = []
    for place in x:
        where = "left" if place < 2.2 else "right" if place > 7.8 else ""
        if where and (not visits or visits[-1] != where):
            visits.append(where)
    return visits


def _in_order(visits: list[str], wanted: list[str]) -> int:
    """Length of the longest common subsequence."""
    table = np.zeros((len(visits) + 1, len(wanted) + 1), int)
    for i, a in enumerate(visits):
        for j, b in enumerate(wanted):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


def _steady(named: np.ndarray) -> np.ndarray:
    """What most of five looks around say: a name that was misread once is no swap."""
    padded = np.pad(named.astype(int), 2, mode="edge")
    return np.asarray(np.convolve(padded, np.ones(5, int), "valid") >= 3)


def _evaluate(model: Evaluated, item: str) -> Result:
    case = _case(item)
    scene, at = case.truth, np.arange(KNOWN, case.truth.num_frames, LOOK)
    frames = predict(model, case)
    reading = read_pictures(frames[at - KNOWN], scene, at)
    robot = next(k for k in scene.entities if KINDS[scene.kind[k]] == "robot")
    path = reading.place[:, robot, 0]
    seen, wanted = _visits(path[~np.isnan(path)]), _visits(scene.x[at, robot])
    # Each visit is also checked in its time: halves of the script are compared one by one.
    hits = 0
    reported, true = 0, 0
    for part in np.array_split(np.arange(len(at)), 6):
        part_path = path[part]
        one, two = _visits(part_path[~np.isnan(part_path)]), _visits(scene.x[at[part], robot])
        hits, reported, true = hits + _in_order(one, two), reported + len(one), true + len(two)
    f1 = 2 * hits / max(reported + true, 1)
    steady = np.stack([_steady(reading.named[:, k]) for k in scene.entities], 1)
    changes = float((steady[1:] != steady[:-1]).any(1).sum())
    minutes = len(frames) / FPS / 60
    corner = frames[:, 1:5, 1:63].reshape(len(frames), -1).mean(1).astype(np.float64)
    edge = max(int(0.15 * len(frames)), 1)
    drift = abs(float(corner[:edge].mean() - corner[-edge:].mean()))
    slope = float(np.polyfit(np.arange(len(corner)) / FPS / 60, corner, 1)[0])
    swaps = changes / minutes
    value = f1 * max(0.0, 1 - swaps / SWAPS) * max(0.0, 1 - drift / DRIFTED)
    return {
        "value": float(value), "f1": float(f1), "swaps": swaps, "drift": drift, "slope": slope,
        "visits": len(seen), "wanted": len(wanted),
    }  # fmt: skip


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics = []
    for key, name, unit in (
        ("f1", "events in order, F1", ""),
        ("swaps", "identity swaps", "a minute"),
        ("drift", "drift of the background, first to last 15%", "levels of 255"),
        ("slope", "slope of the background", "levels a minute"),
    ):
        value, low, high = mean_with_interval(results, key)
        metrics.append(Metric(name=name, value=value, low=low, high=high, unit=unit))
    value, low, high = mean_with_interval(results)
    return TaskResult(score=value, low=low, high=high, count=len(results), metrics=tuple(metrics))


LONG = ArenaTask(
    name="long",
    number="10",
    title="A minute and longer",
    says=f"F1 of a script's events in order over 60 s, less identity swaps ({SWAPS:g} a minute: 0) and drift ({DRIFTED:g} levels:"
    " 0)",
    examples=lambda scale: [str(i) for i in range(3 if scale == "quick" else 10)],
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop", "straight", "no_action"),
    case=_case,
    gate=2,
)
