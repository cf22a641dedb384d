"""Permanence (test 6): what goes out of sight is still there. Does it come back, in the right place, as the same thing?

waiting     a robot walks behind a screen, waits there for half a second to ten, and walks on: its actions are told
passing     a thing goes behind a screen and comes out by itself, half a second to three later
off-screen  a ball leaves the picture, bounces off a wall beyond its edge, and comes back
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np

from kinema.evaluation.cases import FPS, SEED, Case, sample_episodes
from kinema.evaluation.model_under_test import Evaluated, predict
from kinema.evaluation.reading import read_pictures
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.playground import Episode, tiny
from kinema.playground.camera import visible
from kinema.playground.episode import to_scene
from kinema.playground.physics import Actor, EpisodeSetup, PhysicsWorld
from kinema.scene.geometry import DEFAULT_CAMERA, ROOM_HEIGHT, standing_y
from kinema.scene.scene import LARGE, MEDIUM, Scene
from kinema.types import Floats

GAPS_S = (0.5, 1.0, 2.0, 4.0, 10.0)
COLORS = ("red", "blue", "orange", "pink", "cyan")
SHOWN = 8
COUNTS = {"quick": (3, 6, 4), "full": (12, 40, 20)}
"""Cases of each gap, of things that pass, and of things that leave the picture."""


@lru_cache(maxsize=256)
def _waiting(gap_s: float, number: int) -> Case:
    """Actions found by walking a robot in the true world: to the screen, wait, and on."""
    rng = Random(f"{gap_s}/{number}/arena-waiting")
    color, dark = rng.sample(COLORS, 2)
    center, side = rng.uniform(4.2, 5.8), rng.choice((-1.0, 1.0))
    actors = [
        Actor(
            kind="robot", color=color, material="plain", size=MEDIUM, x=center + 2.6 * side, y=standing_y("robot", MEDIUM)
        ),
        Actor(kind="screen", color=dark, material="plain", size=LARGE, x=center, y=standing_y("screen", LARGE)),
    ]
    goal = center - rng.uniform(2.0, 3.2) * side
    cast = EpisodeSetup(
        view="side",
        background=rng.choice(("field", "snow", "lab")),
        room_width=ROOM_HEIGHT,
        scenario="behind",
        actors=actors,
    )
    world = PhysicsWorld(cast, FPS)
    rows, path, actions = world.rows(), [world.rows()], []
    waited, hidden_at = 0, None
    while True:
        at = rows[0][0]
        arrived = hidden_at is not None
        if not arrived and abs(at - center) < 0.08:
            hidden_at, arrived = len(path), True
        if not arrived:
            act = float(np.clip(1.5 * (center - at), -1, 1))
        elif waited < round(gap_s * FPS) - 6:
            act, waited = 0.0, waited + 1
        else:
            act = float(np.clip(1.5 * (goal - at), -1, 1))
        actions.append((act, 0.0))
        world.step((act, 0.0))
        rows = world.rows()
        path.append(rows)
        if arrived and abs(rows[0][0] - goal) < 0.15 and waited >= round(gap_s * FPS) - 6:
            break
    actions.append((0.0, 0.0))
    scene = _scene(cast, np.asarray(path, np.float32))
    action_array = np.array(actions, np.float32)
    still = replace(scene, x=scene.x[np.minimum(np.arange(len(action_array)), SHOWN - 1)])
    return Case(
        name=f"permanence/waiting-{gap_s:g}/{number}",
        seed=number,
        truth=scene,
        known=SHOWN,
        actions=action_array,
        no_action=still,
    )


def _scene(cast: EpisodeSetup, track: Floats) -> Scene:
    camera = np.tile(np.array(DEFAULT_CAMERA, np.float32), (len(track), 1))
    seen, _ = visible(cast, track[:, :, 0], track[:, :, 1], camera, 1.0)
    return to_scene(cast, track, seen, camera, FPS, 4)


def absences(scene: Scene, least: int = 4) -> list[tuple[int, int, int]]:
    """(slot, last frame in sight, first frame back) of every absence of half a second to three, from frame `least` on."""
    absent = []
    for slot in scene.entities:
        seen, out = scene.visible[:, slot], None
        for t in range(4, len(seen)):
            if out is None and seen[t] < 0.2 <= seen[t - 1]:
                out = t - 1
            elif out is not None and seen[t] > 0.9:
                if 8 <= t - out <= 48 and out >= least:
                    absent.append((slot, out, t))
                out = None
    return absent


@lru_cache(maxsize=2)
def _passing(count: int) -> list[Case]:
    def keep(episode: Episode) -> bool:
        return not episode.has_action and bool(absences(episode.scene))

    distribution = replace(tiny(), scenarios={"behind": 1.0})
    cases = []
    for i, episode in enumerate(sample_episodes(distribution, count, 4_000_000, frames=96, keep=keep)):
        slot, out, back = absences(episode.scene)[0]
        scene = episode.scene.frames(slice(max(0, out - 15), back + 1))
        known = min(out, 15) + 1
        cases.append(Case(name=f"permanence/passing/{i}", seed=i, truth=scene, known=known, marks={"slot": slot}))
    return cases


@lru_cache(maxsize=64)
def _leaving(number: int) -> Case:
    seed = 100 * number
    while True:
        rng = Random(f"{SEED + seed}/arena-leaving")
        size = rng.choice((MEDIUM, LARGE))
        ball = Actor(
            kind="ball", color=rng.choice(COLORS), material="plain", size=size, x=rng.uniform(5.0, 7.5), y=standing_y("ball", size),
            vx=rng.uniform(3.0, 5.0)
        )  # fmt: skip
        cast = EpisodeSetup(
            view="side", background="field", room_width=rng.uniform(12.5, 14.0), scenario="leave", actors=[ball]
        )
        world = PhysicsWorld(cast, FPS)
        path = [world.rows()]
        for _ in range(95):
            world.step()
            path.append(world.rows())
        scene = _scene(cast, np.asarray(path, np.float32))
        gaps = absences(scene)
        if gaps and gaps[0][1] >= SHOWN - 1:
            _, out, back = gaps[0]
            scene = scene.frames(slice(max(0, out - 15), min(back + 4, 96)))
            return Case(name=f"permanence/off-screen/{number}", seed=number, truth=scene, known=min(out, 15) + 1)
        seed += 1


def _case(item: str) -> Case:
    group, number = item.split("/")
    if group.startswith("waiting"):
        gap_s = float(group.partition("-")[2])
        return replace(_waiting(gap_s, int(number)), other=_waiting(gap_s, int(number) + 1).truth)
    if group == "passing":
        count = COUNTS["quick" if int(number) < COUNTS["quick"][1] else "full"][1] + 1
        cases = _passing(count)
        return replace(cases[int(number)], other=cases[int(number) + 1].truth)
    return replace(_leaving(int(number)), other=_leaving(int(number) + 1).truth)


def _evaluate(model: Evaluated, item: str) -> Result:
    """In the middle of its absence the thing is not seen, and at the end it is: within its radius of the truth, by kind and color?
    What never left has not come back."""
    case = _case(item)
    scene = case.truth
    slot = int(case.marks.get("slot", 0))
    absent = np.flatnonzero(scene.visible[:, slot] < 0.2)
    absent = absent[absent >= case.known]
    at = np.array([int(absent[len(absent) // 2]), scene.num_frames - 1])
    reading = read_pictures(predict(model, case)[at - case.known], scene, at)
    hidden = bool(np.isnan(reading.place[0, slot, 0]))
    place = reading.place[1, slot]
    off = float(np.hypot(place[0] - scene.x[-1, slot], place[1] - scene.y[-1, slot]))
    back, same = hidden and not np.isnan(off), bool(reading.named[1, slot])
    there = back and off <= float(scene.size[slot])
    hidden_s = float((scene.visible[:, slot] < 0.2).sum() / FPS)
    return {
        "value": float(there and same),
        "back": float(back),
        "place": float(there),
        "same": float(same),
        "gone": float(hidden),
        "gone_s": hidden_s,
    }


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics, curve = [], []
    groups = list(dict.fromkeys(result["item"].split("/")[0] for result in results))
    for group in groups:
        some = [result for result in results if result["item"].startswith(f"{group}/")]
        value, low, high = (100 * v for v in mean_with_interval(some))
        label = f"waiting {group.partition('-')[2]} s" if group.startswith("waiting") else group
        metrics.append(Metric(name=f"{label}: back, in place, the same", value=value, low=low, high=high, unit="%"))
        if group.startswith("waiting"):
            curve.append((float(group.partition("-")[2]), value / 100))
    for key, label in (
        ("gone", "not seen meanwhile"),
        ("back", "gone and back"),
        ("place", "in the right place"),
        ("same", "of the right kind and color"),
    ):
        value, low, high = (100 * v for v in mean_with_interval(results, key))
        metrics.append(Metric(name=f"all: {label}", value=value, low=low, high=high, unit="%"))
    value, low, high = mean_with_interval(results)
    return TaskResult(
        score=value, low=low, high=high, count=len(results), metrics=tuple(metrics), curves={"model": sorted(curve)},
        axes=("seconds behind the screen", "share right"),
    )  # fmt: skip


def _items(scale: str) -> list[str]:
    waiting, passing, leaving = COUNTS[scale]
    names = [f"waiting-{gap:g}/{i}" for i in range(waiting) for gap in GAPS_S]
    return [*names, *(f"passing/{i}" for i in range(passing)), *(f"off-screen/{i}" for i in range(leaving))]


PERMANENCE = ArenaTask(
    name="permanence",
    number="6",
    title="Permanence",
    says="share of things that are not seen meanwhile and are back after 0.5 to 10 s out of sight, within a radius of the truth,"
    " of the right kind and color",
    examples=_items,
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop", "no_action", "shuffled"),
    case=_case,
    gate=5,
)
