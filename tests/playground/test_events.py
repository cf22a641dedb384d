"""Events are consistent with the paths they are read from."""

import numpy as np
import pytest

from kinema.playground import Episode, SceneDistribution, full, simulate, tiny, two_shapes
from kinema.playground.events import KINDS_OF_EVENT
from kinema.scene.scene import KINDS

FPS = 32


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return [
        simulate(distribution, seed, fps=FPS, num_frames=96)
        for distribution in (tiny(), two_shapes(), full())
        for seed in range(70)
    ]


def reach(episode: Episode, slot: int) -> float:
    """Radius of a circle that surely holds the entity."""
    return float(episode.scene.size[slot]) * (1.0 if KINDS[episode.scene.kind[slot]] == "ball" else 1.35)


def test_every_kind_of_event_occurs_in_order_of_time(episodes: list[Episode]) -> None:
    assert {event.kind for episode in episodes for event in episode.events} == set(KINDS_OF_EVENT)
    for episode in episodes:
        times = [event.time_s for event in episode.events]
        assert times == sorted(times)
        assert all(0 <= time <= (episode.scene.num_frames - 1) / FPS + 1e-6 for time in times)
        filled = set(episode.scene.entities)
        assert all(e.slot in filled and (e.other is None or e.other in filled - {e.slot}) for e in episode.events)


def test_collisions_and_pushes_happen_where_things_are_near(episodes: list[Episode]) -> None:
    for episode in episodes:
        scene = episode.scene
        for event in episode.events:
            if event.kind in ("collide", "push") and event.other is not None:
                t = min(scene.num_frames - 1, round(event.time_s * FPS))
                apart = np.hypot(
                    scene.x[t, event.slot] - scene.x[t, event.other], scene.y[t, event.slot] - scene.y[t, event.other]
                )
                assert apart < reach(episode, event.slot) + reach(episode, event.other) + 0.5, (episode.seed, event)


def test_bounces_turn_the_speed_around(episodes: list[Episode]) -> None:
    checked = 0
    for episode in episodes:
        scene = episode.scene
        busy = [e.time_s for e in episode.events if e.kind == "collide"]
        for event in episode.events:
            t = round(event.time_s * FPS)
            alone = all(abs(time - event.time_s) > 0.15 for time in busy)
            if event.kind != "bounce" or event.where != "floor" or not 2 <= t < scene.num_frames - 2 or not alone:
                continue
            if KINDS[scene.kind[event.slot]] not in ("ball", "star"):
                continue
            checked += 1
            assert scene.vy[t - 2, event.slot] < 0 and scene.vy[t + 1, event.slot] > scene.vy[t - 2, event.slot]
    assert checked > 20


def test_a_thing_behind_a_screen_is_unseen_and_comes_out_seen() -> None:
    distribution = SceneDistribution(scenarios={"behind": 1.0}, views={"side": 1.0}, min_entities=2, max_entities=2)
    hidden = 0
    for seed in range(40):
        episode = simulate(distribution, seed, fps=FPS, num_frames=96)
        assert episode.scene.visible[0].max() > 0.9
        for event in episode.events:
            t = round(event.time_s * FPS)
            if event.kind == "pass_behind":
                hidden += 1
                assert episode.scene.visible[t, event.slot] < 0.4
            if event.kind == "come_out":
                assert episode.scene.visible[t, event.slot] > 0.8
    assert hidden > 15


def test_leaving_the_view_means_leaving_the_picture() -> None:
    distribution = SceneDistribution(scenarios={"leave": 1.0}, max_entities=1, min_speed=3.0, max_speed=5.0)
    left = 0
    for seed in range(60):
        episode = simulate(distribution, seed, fps=FPS, num_frames=96)
        for event in episode.events:
            if event.kind == "leave_view":
                left += 1
                assert episode.scene.visible[round(event.time_s * FPS), event.slot] < 0.1
    assert left > 5


def test_stop_means_rest(episodes: list[Episode]) -> None:
    for episode in episodes:
        for event in episode.events:
            if event.kind == "stop":
                t = round(event.time_s * FPS) + 8
                speed = np.hypot(episode.scene.vx[t:, event.slot], episode.scene.vy[t:, event.slot])
                assert speed.max(initial=0.0) < 0.3


def test_rewards_sum_to_the_progress() -> None:
    distribution = SceneDistribution(
        kinds=("ball", "robot", "flag"), scenarios={"push": 1.0}, min_entities=3, max_entities=3
    )
    done = 0
    for seed in range(40):
        episode = simulate(distribution, seed, fps=16, num_frames=80)
        assert episode.reward[0] == 0 and episode.terminated.sum() <= 1
        if episode.captions.task and episode.terminated.any():
            done += 1
            end = int(episode.terminated.argmax())
            assert episode.reward[end] > 0.9 and not episode.reward[end + 1 :].any()
            assert episode.reward.sum() > 1.0
    assert done > 5
