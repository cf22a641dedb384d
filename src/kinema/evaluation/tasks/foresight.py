"""What happens next, read from pixels: places over time (test 8), held-out combinations (test 3), actions (test 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from kinema.evaluation.cases import (
    FPS,
    SIDE,
    VISIBLE_SHARE,
    Case,
    enact,
    least_trivial,
    sample_episodes,
    trivial_errors,
    with_others,
)
from kinema.evaluation.model_under_test import Evaluated, kinema_model_of, predict
from kinema.evaluation.reading import frames_to_read, read_pictures, visible_things
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval, skill
from kinema.media import Clip
from kinema.playground import Episode, tiny
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.playground.policies import restless
from kinema.scene.geometry import ROOM_HEIGHT, standing_y
from kinema.scene.scene import KINDS, MEDIUM, Scene
from kinema.statistics import bootstrap

KNOWN = 8
"""Half a second is shown: enough to see how things move."""
HARD = 1.2
"""Units by which the best trivial way is off in a case, at least; so nothing trivial is right in any."""
RIGHT = 0.6
"""A clip is right if every thing in sight is found by kind and color within this."""
TOLERANCE = 0.5
"""T_eps: how long the mean error stays below this."""
COUNTS = {"quick": 20, "full": 100}


def _hard(at: int):  # type: ignore[no-untyped-def]
    def keep(episode: Episode) -> bool:
        scene = episode.scene
        shown = all(scene.visible[KNOWN - 3 : KNOWN, k].min() >= VISIBLE_SHARE for k in scene.entities)
        return shown and not episode.has_action and least_trivial(scene, KNOWN, at) >= HARD

    return keep


def _flags_clear(scene: Scene, at: np.ndarray) -> bool:
    """Whether nothing stands before a flag, which then could not be read."""
    flag = KINDS.index("flag")
    for k in scene.entities:
        for j in scene.entities:
            if j != k and scene.kind[k] == flag and scene.kind[j] != flag:
                near = scene.size[k] * 1.3 + scene.size[j]
                if (np.hypot(scene.x[at, k] - scene.x[at, j], scene.y[at, k] + 0.4 - scene.y[at, j]) < near).any():
                    return False
    return True


# Test 8: places over time

AHEAD = 48
"""Three seconds."""
LOOKS = np.array([4, 8, 16, 24, 32, 40, 48])


@lru_cache(maxsize=2)
def _future_cases(scale: str) -> list[Case]:
    chosen = sample_episodes(tiny(), COUNTS[scale], 0, frames=KNOWN + AHEAD, keep=_hard(KNOWN + AHEAD // 2))
    return with_others(
        [Case(name=f"future/{i}", seed=i, truth=e.scene, known=KNOWN) for i, e in enumerate(chosen)]
    )  # fmt: skip


def _future_case(item: str) -> Case:
    number = int(item)
    return _future_cases("quick" if number < COUNTS["quick"] - 1 else "full")[number]


def _evaluate_future(model: Evaluated, item: str) -> Result:
    case = _future_case(item)
    scene, at = case.truth, KNOWN - 1 + LOOKS
    errors = read_pictures(predict(model, case)[LOOKS - 1], scene, at).errors(scene)
    lazy = trivial_errors(scene, KNOWN)
    visible = visible_things(scene, at)
    over_time = [float(np.nanmean(row)) if visible[i].any() else None for i, row in enumerate(errors)]
    trivial_time = {
        name: [float(off[t][visible[i]].mean()) if visible[i].any() else None for i, t in enumerate(at)]
        for name, off in lazy.items()
    }
    error = float(np.nanmean(errors))
    trivial = {name: float(np.mean([v for v in row if v is not None])) for name, row in trivial_time.items()}
    result: Result = {"error": error, "trivial": trivial, "times": over_time, "trivial_times": trivial_time}
    result["value"] = float(np.clip(1 - error / max(min(trivial.values()), 1e-6), 0, 1))
    own = kinema_model_of(model)
    if own is not None:
        result |= _own_state(own, case)
    return result


def _own_state(model, case: Case) -> Result:  # type: ignore[no-untyped-def]
    """perceive and render, of models that offer them: error of the perceived places, PSNR of the drawn state."""
    from kinema.api import perceive, render

    scene = case.truth.frames(slice(0, case.known))
    perceived = perceive(Clip(frames=case.context, fps=case.fps), model=model, seed=case.seed)
    off = []
    for k in scene.entities:
        mine = [j for j in perceived.entities if perceived.name(j) == scene.name(k)]
        off.append(
            min(
                (float(np.hypot(perceived.x[:, j] - scene.x[:, k], perceived.y[:, j] - scene.y[:, k]).mean()) for j in mine),
                default=5.0,
            )
        )
    drawn = render(scene, model=model, size=(SIDE, SIDE), seed=case.seed).frames
    squared_error = np.mean((drawn.astype(np.float64) - case.context) ** 2)
    return {"perceived": float(np.mean(off)), "psnr": float(10 * np.log10(255.0**2 / squared_error))}


def _aggregate_future(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    value, low, high = skill(results, oracle)

    def at(rows: Sequence[Sequence[float | None]]) -> list[tuple[float, float]]:
        points = []
        for i, look in enumerate(LOOKS):
            some = [row[i] for row in rows if row[i] is not None]
            points.append((float(look / FPS), float(np.mean([v for v in some if v is not None]))))
        return points

    curves = {"model": at([result["times"] for result in results])}
    if oracle:
        curves["truth as read"] = at([result["times"] for result in oracle])
    for guess in results[0]["trivial_times"]:
        curves[guess] = at([result["trivial_times"][guess] for result in results])
    metrics = [
        Metric(name=f"error after {t:g} s", value=v, unit="units") for t, v in curves["model"] if t in (0.5, 1.0, 3.0)
    ]
    beyond = [t for t, v in curves["model"] if v > TOLERANCE]
    horizon = beyond[0] if beyond else float(LOOKS[-1] / FPS)
    metrics.append(
        Metric(name=f"T_eps, eps {TOLERANCE:g} units" + ("" if beyond else " (or more)"), value=horizon, unit="s")
    )
    for key, name, unit in (("perceived", "perceive: position error", "units"), ("psnr", "render: PSNR", "dB")):
        if key in results[0]:
            mean, below, above = mean_with_interval(results, key)
            metrics.append(Metric(name=name, value=mean, low=below, high=above, unit=unit))
    return TaskResult(
        score=value, low=low, high=high, count=len(results), metrics=tuple(metrics), curves=curves,
        axes=("seconds ahead", "position error, units"),
    )  # fmt: skip


FUTURE = ArenaTask(
    name="future",
    number="8",
    title="State over time; perceive; render",
    says="position error over 3 s as the parser reads it, against the best of freezing, looping and going straight on",
    examples=lambda scale: [str(i) for i in range(COUNTS[scale])],
    evaluate=_evaluate_future,
    aggregate=_aggregate_future,
    baselines=("freeze", "loop", "straight", "shuffled"),
    case=_future_case,
)

# Test 3: held-out combinations

GROUPS = ("known", "pairs", "speeds")
SHORT = 20


@lru_cache(maxsize=8)
def _combos(group: str, scale: str) -> list[Case]:
    distribution = replace(tiny(), held_out="only" if group == "pairs" else "exclude", min_entities=1, max_entities=2)
    if group == "speeds":
        distribution = replace(distribution, min_speed=6.0, max_speed=8.0, held_out="any")
    count, hard, at = COUNTS[scale] // 2, _hard(KNOWN + SHORT - 1), frames_to_read(KNOWN, KNOWN + SHORT, 4)
    keep = lambda episode: hard(episode) and _flags_clear(episode.scene, at)
    chosen = sample_episodes(distribution, count, 1_000_000 * (1 + GROUPS.index(group)), frames=KNOWN + SHORT, keep=keep)
    return with_others(
        [Case(name=f"combinations/{group}/{i}", seed=i, truth=e.scene, known=KNOWN) for i, e in enumerate(chosen)]
    )


def _combo_case(item: str) -> Case:
    group, number = item.split("/")
    return _combos(group, "quick" if int(number) < COUNTS["quick"] // 2 - 1 else "full")[int(number)]


def _evaluate_combo(model: Evaluated, item: str) -> Result:
    case = _combo_case(item)
    scene, at = case.truth, frames_to_read(KNOWN, case.truth.num_frames, 4)
    reading = read_pictures(predict(model, case)[at - KNOWN], scene, at)
    errors, visible = reading.errors(scene), visible_things(scene, at)
    complete = np.asarray((reading.named | ~visible).all(1))
    normal = float(complete.mean()) >= 0.8 and float((reading.extra == 0).mean()) >= 0.8
    right = bool(complete[-1] and np.nanmax(errors[-1]) <= RIGHT)
    return {"value": float(right), "abnormal": float(not normal), "error": float(np.nanmean(errors[-1]))}


def _aggregate_combo(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics = []
    names = {"known": "known combinations", "pairs": "held-out color and kind", "speeds": "held-out speeds"}
    for group, label in names.items():
        some = [result for result in results if result["item"].startswith(group)]
        for key, what, unit in (
            ("value", "right", "%"),
            ("abnormal", "abnormal clips", "%"),
            ("error", "state error", "units"),
        ):
            if some:
                value, low, high = mean_with_interval(some, key)
                scale = 100 if unit == "%" else 1
                metrics.append(
                    Metric(name=f"{label}: {what}", value=scale * value, low=scale * low, high=scale * high, unit=unit)
                )
    held = [result for result in results if not result["item"].startswith("known")]
    value, low, high = mean_with_interval(held or results)
    return TaskResult(score=value, low=low, high=high, count=len(held or results), metrics=tuple(metrics))


COMBINATIONS = ArenaTask(
    name="combinations",
    number="3",
    title="Held-out combinations",
    says=f"share of clips with every thing within {RIGHT} units by name after {SHORT / FPS:g} s, of pairs and speeds never trained"
    " on; abnormal: things missing, misnamed or added in a fifth of the frames",
    examples=lambda scale: [f"{group}/{i}" for i in range(COUNTS[scale] // 2) for group in GROUPS],
    evaluate=_evaluate_combo,
    aggregate=_aggregate_combo,
    baselines=("freeze", "loop", "straight", "shuffled"),
    case=_combo_case,
)

# Test 9: actions

ACTED = 16


def _acting(seed: int) -> Case:
    """A robot among things that does now this, now that; beside it the same room where it does what it does in another."""
    from random import Random

    rng = Random(f"{seed}/arena-action")
    color, other = rng.sample(("red", "blue", "orange", "purple", "pink"), 2)
    side = rng.random() < 0.7
    y = standing_y("robot", MEDIUM) if side else rng.uniform(3.0, 7.0)
    robot = Actor(kind="robot", color=color, material="plain", size=MEDIUM, x=rng.uniform(2.5, 7.5), y=y)
    far = robot.x + (3.0 if robot.x < 5 else -3.0)
    low = standing_y("ball", MEDIUM)
    ball = Actor(kind="ball", color=other, material="plain", size=MEDIUM, x=far, y=low if side else ROOM_HEIGHT - y)
    cast = EpisodeSetup(
        view="side" if side else "top", background=rng.choice(("field", "desert", "lab")), room_width=ROOM_HEIGHT, scenario="act",
        actors=[ball, robot]
    )  # fmt: skip

    def plan(which: str) -> np.ndarray:
        policy = restless(1, [0], Random(f"{seed}/{which}"), FPS, side)
        rows = [(a.x, a.y, 0.0, 0.0, 0.0) for a in cast.actors]
        return np.array([policy(rows) for _ in range(KNOWN + ACTED)], np.float32).clip(-1, 1)

    actions, others = plan("actions"), plan("others")
    others[: KNOWN - 1] = actions[: KNOWN - 1]
    scene, swapped = enact(cast, actions), enact(cast, others)
    still = actions.copy()
    still[KNOWN - 1 :] = 0.0
    return Case(
        name=f"actions/{seed}", seed=seed, truth=scene, known=KNOWN, actions=actions, no_action=enact(cast, still),
        marks={"shuffled": swapped, "told": others},
    )  # fmt: skip


@lru_cache(maxsize=256)
def _action_case(item: str) -> Case:
    """Of many rooms those in which the other actions lead elsewhere."""
    wanted, seed, count = int(item), 0, -1
    while True:
        case = _acting(seed)
        robot = _robot(case.truth)
        swapped: Scene = case.marks["shuffled"]
        if np.hypot(case.truth.x[-1, robot] - swapped.x[-1, robot], case.truth.y[-1, robot] - swapped.y[-1, robot]) >= 1.0:
            count += 1
            if count == wanted:
                return replace(case, name=f"actions/{item}", other=_acting(seed + 1).truth)
        seed += 1


def _robot(scene: Scene) -> int:
    return next(k for k in scene.entities if KINDS[scene.kind[k]] == "robot")


def _evaluate_action(model: Evaluated, item: str) -> Result:
    case = _action_case(item)
    scene, last = case.truth, np.array([case.truth.num_frames - 1])
    robot = _robot(scene)

    def off(case_now: Case) -> float:
        place = read_pictures(predict(model, case_now)[-1:], scene, last).place[0, robot]
        away = float(np.hypot(place[0] - scene.x[-1, robot], place[1] - scene.y[-1, robot]))
        return 5.0 if np.isnan(away) else min(away, 5.0)

    own, swapped = off(case), off(_swapped(case))
    return {"error": own, "swapped": swapped, "value": float(np.clip(1 - own / max(swapped, 1e-6), 0, 1))}


def _swapped(case: Case) -> Case:
    """The same shown frames with another room's actions."""
    return replace(case, name=f"{case.name}-swapped", actions=case.marks["told"], truth=case.marks["shuffled"])


def _aggregate_action(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    own, swapped = (np.array([result[key] for result in results]) for key in ("error", "swapped"))

    def following(pick: np.ndarray) -> float:
        return float(np.clip(1 - own[pick].mean() / max(swapped[pick].mean(), 1e-6), 0, 1))

    low, high = bootstrap(len(own), following)
    metrics = (
        Metric(name="error with the true actions", value=float(own.mean()), unit="units"),
        Metric(name="error with another room's actions", value=float(swapped.mean()), unit="units"),
    )
    return TaskResult(score=following(np.arange(len(own))), low=low, high=high, count=len(own), metrics=metrics)


ACTIONS = ArenaTask(
    name="actions",
    number="9",
    title="Action following",
    says="1 - err(a) / err(shuffled a): where the robot is after a second of its true actions, and of another room's",
    examples=lambda scale: [str(i) for i in range(COUNTS[scale])],
    evaluate=_evaluate_action,
    aggregate=_aggregate_action,
    baselines=("freeze", "loop", "straight", "no_action", "shuffled"),
    case=_action_case,
    cases=lambda item: [_action_case(item), _swapped(_action_case(item))],
)
