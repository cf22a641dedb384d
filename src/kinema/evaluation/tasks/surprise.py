"""Violation of expectation (test 5): does the model's own loss prefer what can happen to what cannot?

Quadruplets as in IntPhys (Riochet et al. 2018): two possible clips are cut at one frame and their ends exchanged, which makes two
impossible ones of exactly the same frames; so nothing that looks at single frames can tell them apart. Asked as in LikePhys (Yuan
et al. 2025): the same noise on a possible and an impossible clip, at ten levels.

permanence    behind a screen, a ball vanishes / comes from nowhere       continuity  a rolling ball is suddenly elsewhere
solidity      a ball goes right through a box                             gravity     a falling ball turns round in the air
immutability  behind a screen, a ball becomes a star                      color       in full view, a ball changes color (control)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

import numpy as np

from kinema.evaluation.cases import enact, true_frames
from kinema.evaluation.model_under_test import Evaluated, KnowsTruth, loss_method_of
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.scene.geometry import MIDDLE, ROOM_HEIGHT, standing_y
from kinema.scene.scene import LARGE, MEDIUM, Scene
from kinema.statistics import auroc, pair_share
from kinema.types import Frames

FRAMES = 32
LEVELS = tuple(round(0.05 + 0.1 * i, 2) for i in range(10))
CONCEPTS = ("permanence", "continuity", "solidity", "immutability", "gravity", "color")
CONTROL = "color"
COLORS = ("red", "blue", "pink", "cyan", "purple", "yellow")


def _enacted(*actors: Actor) -> Scene:
    order = ("ball", "box", "triangle", "star", "car", "robot", "screen", "flag")
    ordered = sorted(actors, key=lambda actor: order.index(actor.kind))
    setup = EpisodeSetup(view="side", background="field", room_width=ROOM_HEIGHT, scenario="move", actors=ordered)
    return enact(setup, np.zeros((FRAMES, 2), np.float32))


def _roller(kind: str, color: str, x: float, speed: float, size: float = MEDIUM) -> Actor:
    return Actor(kind=kind, color=color, material="plain", size=size, x=x, y=standing_y(kind, size), vx=speed)


def _behind(rng: Random, other: str) -> tuple[Frames, Frames, int]:
    """A ball passes a screen; beside it the same with nothing, or with another kind of thing. Cut while it is hidden."""
    color, dark = rng.sample(COLORS, 2)
    side, speed = rng.choice((-1.0, 1.0)), rng.uniform(2.0, 2.6)
    screen = Actor(kind="screen", color=dark, material="plain", size=LARGE, x=MIDDLE, y=standing_y("screen", LARGE))
    start = MIDDLE - side * speed * 1.0
    thing = _enacted(_roller("ball", color, start, side * speed), screen)
    if other == "nothing":
        instead = _enacted(screen)
    else:
        instead = _enacted(_roller("star", color, start, side * speed), screen)
    hidden = int(np.abs(thing.x[:, 0] - MIDDLE).argmin())
    return true_frames(thing), true_frames(instead), hidden


def _elsewhere(rng: Random) -> tuple[Frames, Frames, int]:
    side, speed, color = rng.choice((-1.0, 1.0)), rng.uniform(1.2, 1.8), rng.choice(COLORS)
    near, far = MIDDLE - side * 3.4, MIDDLE - side * 0.8
    return (
        true_frames(_enacted(_roller("ball", color, near, side * speed))),
        true_frames(_enacted(_roller("ball", color, far, side * speed))),
        16,
    )


def _through(rng: Random) -> tuple[Frames, Frames, int]:
    """A ball bounces off a box from one side; beside it the same from the other side. Cut when it touches."""
    color, dark = rng.sample(COLORS, 2)
    speed = rng.uniform(2.6, 3.2)
    box = Actor(kind="box", color=dark, material="plain", size=LARGE, x=MIDDLE, y=standing_y("box", LARGE))
    sides = [
        _enacted(_roller("ball", color, MIDDLE - side * (1.9 + 0.9 * speed), side * speed), box) for side in (-1.0, 1.0)
    ]
    hit = int(np.abs(sides[0].x[:, 0] - sides[0].x[:, 1]).argmin())
    return true_frames(sides[0]), true_frames(sides[1]), hit


def _turned(rng: Random) -> tuple[Frames, Frames, int]:
    """A ball falls; the same backwards is a ball that rises. Both have the same middle frame."""
    color, height = rng.choice(COLORS), rng.uniform(8.0, 8.8)
    frames = 17
    ball = Actor(kind="ball", color=color, material="plain", size=MEDIUM, x=rng.uniform(3.0, 7.0), y=height)
    setup = EpisodeSetup(view="side", background="field", room_width=ROOM_HEIGHT, scenario="drop", actors=[ball])
    falls = true_frames(enact(setup, np.zeros((frames, 2), np.float32)))
    return falls, falls[::-1].copy(), frames // 2


def _recolored(rng: Random) -> tuple[Frames, Frames, int]:
    one, two = rng.sample(COLORS, 2)
    side, speed = rng.choice((-1.0, 1.0)), rng.uniform(1.2, 2.0)
    clips = [true_frames(_enacted(_roller("ball", color, MIDDLE - 2 * side, side * speed))) for color in (one, two)]
    return clips[0], clips[1], 16


@lru_cache(maxsize=128)
def quadruplet(concept: str, number: int) -> tuple[tuple[Frames, Frames], tuple[Frames, Frames]]:
    """Two possible clips and two impossible ones of the same frames."""
    rng = Random(f"{concept}/{number}/arena-surprise")
    made = {
        "permanence": lambda: _behind(rng, "nothing"),
        "immutability": lambda: _behind(rng, "star"),
        "continuity": lambda: _elsewhere(rng),
        "solidity": lambda: _through(rng),
        "gravity": lambda: _turned(rng),
        "color": lambda: _recolored(rng),
    }
    a, b, cut = made[concept]()
    return (a, b), (np.concatenate([a[:cut], b[cut:]]), np.concatenate([b[:cut], a[cut:]]))


def _evaluate(model: Evaluated, item: str) -> Result | None:
    concept, number = item.split("/")
    possible, impossible = quadruplet(concept, int(number))
    seed = int(number)
    loss = None if isinstance(model, KnowsTruth) else loss_method_of(model)
    if not isinstance(model, KnowsTruth) and loss is None:
        return None

    def disbelief(clip: Frames, can: bool) -> list[float]:
        if isinstance(model, KnowsTruth):
            return [model.surprise(clip, can, seed)]
        assert loss is not None
        return [float(loss(clip, level, seed)) for level in LEVELS]

    good, bad = [disbelief(clip, True) for clip in possible], [disbelief(clip, False) for clip in impossible]
    pairs = [(a, b) for one in good for two in bad for a, b in zip(one, two, strict=True)]
    value = pair_share(pairs)
    return {
        "value": max(2 * value - 1, 0.0),
        "accuracy": value,
        "good": [float(np.mean(one)) for one in good],
        "bad": [float(np.mean(one)) for one in bad],
    }


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics = []
    for concept in CONCEPTS:
        some = [result for result in results if result["item"].startswith(concept)]
        if not some:
            continue
        value, low, high = (100 * v for v in mean_with_interval(some, "accuracy"))
        label = f"{concept} (control)" if concept == CONTROL else concept
        metrics.append(Metric(name=f"{label}: pairs right", value=value, low=low, high=high, unit="%"))
        good, bad = ([v for result in some for v in result[key]] for key in ("good", "bad"))
        metrics.append(Metric(name=f"{label}: AUROC", value=auroc(bad, good)))
    tested = [result for result in results if not result["item"].startswith(CONTROL)]
    value, low, high = (max(2 * v - 1, 0.0) for v in mean_with_interval(tested, "accuracy"))
    mean, below, above = (100 * v for v in mean_with_interval(tested, "accuracy"))
    metrics.insert(0, Metric(name="pairs right, all but the control", value=mean, low=below, high=above, unit="%"))
    return TaskResult(score=value, low=low, high=high, count=len(tested), metrics=tuple(metrics))


SURPRISE = ArenaTask(
    name="surprise",
    number="5",
    title="Violation of expectation",
    says="2 x share of pairs - 1 in which the loss of a possible clip is below that of an impossible one of the same frames"
    " (control left out)",
    examples=lambda scale: [f"{concept}/{i}" for i in range(3 if scale == "quick" else 20) for concept in CONCEPTS],
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop"),
)
