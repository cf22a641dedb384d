"""Conservation (test 4): two balls on a floor meet. Nothing may be made or lost, and something must have happened.

Only plain balls: momentum before (as shown) and after (as read) must agree; energy may not grow; they must part again, never go
through each other, and stay who they are. A still picture keeps everything and fails, because nothing happens in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from kinema.evaluation.cases import FPS, Case, enact, straight
from kinema.evaluation.model_under_test import Evaluated, predict
from kinema.evaluation.reading import read_pictures
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.scene.geometry import ROOM_HEIGHT
from kinema.scene.scene import LARGE, MEDIUM, Scene
from kinema.types import Floats

KNOWN, FRAMES = 8, 32
SLACK = 0.2
"""Of the momentum there was, so much may be missing: places are read to about a tenth of a unit."""
ENERGY = 1.15
THROUGH = 0.8
"""Share of the radii's sum that stays between two centers."""
RULES = ("momentum", "energy", "parting", "solid", "same things")
COLORS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")


@lru_cache(maxsize=512)
def _meeting(seed: int) -> Case | None:
    rng = Random(f"{seed}/arena-meeting")
    colors = rng.sample([c for c in COLORS if c != "orange"], 2)
    colors.sort(key=COLORS.index)
    sizes = [rng.choice((MEDIUM, LARGE)) for _ in range(2)]
    fast = rng.uniform(2.0, 4.0), -rng.uniform(0.0, 2.5)
    left, right = rng.uniform(1.6, 3.0), rng.uniform(5.2, 8.0)
    flip = rng.random() < 0.5
    actors = [
        Actor(kind="ball", color=color, material="plain", size=size, x=x, y=1.0 + size, vx=v)
        for color, size, x, v in zip(
            colors, sizes, (right, left) if flip else (left, right), fast[::-1] if flip else fast, strict=True
        )
    ]
    cast = EpisodeSetup(
        view="side",
        background=rng.choice(("field", "snow", "lab")),
        room_width=ROOM_HEIGHT,
        scenario="towards",
        actors=actors,
    )
    scene = enact(cast, np.zeros((FRAMES, 2), np.float32))
    gap = np.abs(scene.x[:, 0] - scene.x[:, 1]) - scene.size[0] - scene.size[1]
    hit = int(gap.argmin())
    inside = (scene.x[:, :2] - scene.size[:2] > 0.15).all() and (scene.x[:, :2] + scene.size[:2] < 9.85).all()
    x, _ = straight(scene, KNOWN)
    if not (inside and KNOWN + 3 <= hit <= FRAMES - 11 and np.abs(x[-1, :2] - scene.x[-1, :2]).max() > 1.0):
        return None
    return Case(name=f"conservation/{seed}", seed=seed, truth=scene, known=KNOWN, marks={"hit": hit})


@lru_cache(maxsize=512)
def _seed_of(number: int) -> int:
    seed = 0 if number == 0 else _seed_of(number - 1) + 1
    while _meeting(seed) is None:
        seed += 1
    return seed


def _case(item: str) -> Case:
    case, other = (_meeting(_seed_of(int(item) + i)) for i in (0, 1))
    assert case is not None and other is not None
    return replace(case, name=f"conservation/{item}", other=other.truth)


def physical_rules(x: Floats, at: NDArray[np.int64], scene: Scene, hit: int) -> dict[str, bool]:
    """Which rules places x [N, 2] of the two balls keep at frames `at` [N] of a scene that meet at frame `hit`. NaN: not found."""
    radius = scene.size[:2].astype(np.float64)
    mass, before = radius**2, scene.vx[KNOWN - 1, :2].astype(np.float64)
    late = (at >= hit + 2) & (at <= hit + 10) & ~np.isnan(x).any(1)
    if late.sum() < 4:
        return dict.fromkeys(RULES[:-1], False)
    after = np.array([np.polyfit(at[late] / FPS, x[late, k], 1)[0] for k in range(2)])
    order = float(np.sign(scene.x[0, 1] - scene.x[0, 0]))
    apart, closing = order * (x[:, 1] - x[:, 0]), order * (before[0] - before[1])
    return {
        "momentum": bool(abs((mass * (after - before)).sum()) <= SLACK * float((mass * np.abs(before)).sum())),
        "energy": bool((mass * after**2).sum() <= ENERGY * (mass * before**2).sum()),
        "parting": bool(order * (after[1] - after[0]) >= 0.2 * closing),
        "solid": bool(np.nanmin(apart) >= THROUGH * radius.sum()),
    }


def _evaluate(model: Evaluated, item: str) -> Result:
    case = _case(item)
    scene, hit = case.truth, int(case.marks["hit"])
    at = np.arange(KNOWN, FRAMES)
    reading = read_pictures(predict(model, case), scene, at)
    keeps = float(reading.named[:, :2].all(1).mean()) >= 0.8 and float((reading.extra == 0).mean()) >= 0.8
    holds = {**physical_rules(reading.place[:, :2, 0], at, scene, hit), "same things": keeps}
    return {"value": float(all(holds.values())), **{rule: float(held) for rule, held in holds.items()}}


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics = []
    for rule in RULES:
        value, low, high = (100 * v for v in mean_with_interval(results, rule))
        metrics.append(Metric(name=rule, value=value, low=low, high=high, unit="%"))
    value, low, high = mean_with_interval(results)
    return TaskResult(score=value, low=low, high=high, count=len(results), metrics=tuple(metrics))


CONSERVATION = ArenaTask(
    name="conservation",
    number="4",
    title="Conservation",
    says="share of collisions of two balls that keep momentum (20%), make no energy, part again, never pass through, and keep both",
    examples=lambda scale: [str(i) for i in range(20 if scale == "quick" else 100)],
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop", "straight", "shuffled"),
    case=_case,
)
