"""Prompts and known cells (test 14): is what is asked for there, does it do what is asked, and is what is known kept?

prompts     two things by caption: in most frames exactly those two are read
direction   one thing that is told to move one way does
kept        of models that can extend and fill: the given pictures come back as they were given
edit        of models that can edit: the change grows with the strength, and stays inside the mask
The camera of the shipped worlds rests, so camera following is asked of `pan` prompts only of models that know the word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np

from kinema.evaluation.cases import FPS, SIDE, Case, sample_episodes, with_others
from kinema.evaluation.model_under_test import Evaluated, kinema_model_of, predict
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.media import Clip
from kinema.playground import tiny
from kinema.playground.parser import parse_clip
from kinema.scene.geometry import ROOM_HEIGHT, standing_y
from kinema.scene.scene import COLORS, KINDS, MEDIUM, Scene
from kinema.types import Frames

FRAMES = 24
COUNTS = {"quick": (20, 12, 3), "full": (100, 60, 10)}
VERBS = {"ball": "rolls", "box": "slides", "triangle": "slides", "star": "moves", "car": "drives", "robot": "walks"}
LEAST_SHIFT = 0.25
"""Units that count as a way."""


@lru_cache(maxsize=4)
def _prompts(count: int) -> list[Case]:
    distribution = replace(tiny(), min_entities=2, max_entities=2)
    chosen = sample_episodes(distribution, count + 1, 8_000_000, frames=FRAMES, keep=lambda e: _both_seen(e.scene))
    return with_others(
        [Case(name=f"prompts/cast/{i}", seed=i, truth=e.scene, known=0, text=e.captions.short) for i, e in enumerate(chosen)]
    )


def _both_seen(scene: Scene) -> bool:
    return bool((scene.visible[:, scene.entities].mean(0) > 0.8).all())


@lru_cache(maxsize=256)
def _direction(number: int) -> Case:
    """'a red ball rolls left', and a truth that does it."""
    from kinema.evaluation.cases import enact
    from kinema.playground.physics import Actor, EpisodeSetup

    rng = Random(f"{number}/arena-direction")
    kind = rng.choice(("ball", "box", "star", "car"))
    color = rng.choice([c for i, c in enumerate(COLORS) if (KINDS.index(kind), i) in tiny().pairs()])
    side = rng.choice(("left", "right"))
    sign = 1.0 if side == "right" else -1.0
    thing = Actor(
        kind=kind, color=color, material="plain", size=MEDIUM, x=5 - 2 * sign, y=standing_y(kind, MEDIUM), vx=sign * 2.5,
        motor=sign * 2.5 if kind == "car" else 0.0, angle=0.0 if sign > 0 or kind != "car" else float(np.pi)
    )  # fmt: skip
    cast = EpisodeSetup(view="side", background="field", room_width=ROOM_HEIGHT, scenario="move", actors=[thing])
    scene = enact(cast, np.zeros((FRAMES, 2), np.float32))
    return Case(
        name=f"prompts/direction/{number}", seed=number, truth=scene, known=0, text=f"a {color} {kind} {VERBS[kind]} {side}",
        marks={"color": color, "kind": kind, "sign": sign},
    )  # fmt: skip


def _case(item: str) -> Case:
    group, number = item.split("/")
    if group == "cast":
        count = COUNTS["quick" if int(number) < COUNTS["quick"][0] else "full"][0]
        return _prompts(count)[int(number)]
    return replace(_direction(int(number)), other=_direction(int(number) + 1).truth)


def read_identities(frames: Frames) -> Counter[str]:
    """What a clip shows: the cast that most of eight frames agree on."""
    picks = np.linspace(0, len(frames) - 1, 8).round().astype(int)
    casts = [tuple(sorted(f"{seen.color} {seen.kind}" for seen in frame)) for frame in parse_clip(frames[picks])]
    return Counter(Counter(casts).most_common(1)[0][0])


def _evaluate(model: Evaluated, item: str) -> Result | None:
    group, number = item.split("/")
    if group == "kept":
        return _evaluate_given(model, int(number))
    case = _case(item)
    frames = predict(model, case)
    if group == "cast":
        wanted = Counter(case.truth.name(k) for k in case.truth.entities)
        return {"value": float(read_identities(frames) == wanted)}
    name = (case.marks["color"], case.marks["kind"])
    looks = parse_clip(frames[[0, 4, 8, 12, 16]])
    path = [next((s for s in frame if (s.color, s.kind) == name), None) for frame in looks]
    seen = [s for s in path if s is not None]
    return {"value": float(len(seen) > 1 and (seen[-1].x - seen[0].x) * case.marks["sign"] > LEAST_SHIFT)}


def _evaluate_given(model: Evaluated, number: int) -> Result | None:
    """Given pictures after extending, filling in and a masked edit; and how much edits of rising strength change."""
    own = kinema_model_of(model)
    if own is None:
        return None
    from kinema.api import edit, extend, infill

    case = _prompts(COUNTS["quick"][0])[number]
    clip = Clip(frames=case.frames[:12], fps=FPS)
    longer = extend(clip, seconds=0.5, model=own, seed=number)
    between = infill(
        [(Clip(frames=clip.frames[:1], fps=FPS), 0.0), (Clip(frames=clip.frames[-1:], fps=FPS), 0.75)], model=own
    )
    unchanged = np.array_equal(longer.frames[:12], clip.frames) and np.array_equal(between.frames[0], clip.frames[0])
    mask = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    mask[:, :, SIDE // 2 :] = 255
    words = "a pink star in the snow"
    changes = [
        float(np.abs(edit(clip, words, strength=s, model=own, seed=number).frames.astype(int) - clip.frames).mean())
        for s in (0.3, 0.6, 0.9)
    ]
    masked = edit(clip, words, strength=0.9, mask=Clip(frames=mask, fps=1.0), model=own, seed=number)
    change = np.abs(masked.frames.astype(int) - clip.frames).mean((0, 1, 3))
    inside = float(change[5 * SIDE // 8 :].sum() / max(change[: 3 * SIDE // 8].sum() + change[5 * SIDE // 8 :].sum(), 1e-6))
    return {"value": float(unchanged), "rising": float(changes[0] < changes[1] < changes[2]), "inside": inside}


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics, scored = [], []
    names = {"cast": "prompts: exactly what was asked for", "direction": "direction", "kept": "given pictures kept"}
    for group, name in names.items():
        some = [result for result in results if result["item"].startswith(group)]
        if not some:
            continue
        value, low, high = (100 * v for v in mean_with_interval(some))
        metrics.append(Metric(name=name, value=value, low=low, high=high, unit="%"))
        if group == "kept":
            for key, label in (("rising", "edits: change rises with strength"), ("inside", "edits: change inside the mask")):
                value, low, high = (100 * v for v in mean_with_interval(some, key))
                metrics.append(Metric(name=label, value=value, low=low, high=high, unit="%"))
        else:
            scored += some
    value, low, high = mean_with_interval(scored)
    return TaskResult(score=value, low=low, high=high, count=len(scored), metrics=tuple(metrics))


def _items(scale: str) -> list[str]:
    cast, direction, given = COUNTS[scale]
    names = [f"{group}/{i}" for i in range(direction) for group in ("cast", "direction")]
    return [*names, *(f"cast/{i}" for i in range(direction, cast)), *(f"kept/{i}" for i in range(given))]


PROMPTS = ArenaTask(
    name="prompts",
    number="14",
    title="Prompts, edits, known cells",
    says="share of films in which exactly what was asked for is read, or moves the way that was asked for",
    examples=_items,
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop", "shuffled"),
    case=_case,
)
