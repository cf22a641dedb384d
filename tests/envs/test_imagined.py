"""The imagined environment keeps Gymnasium's contract and has the Playground's spaces."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from kinema.envs.imagined import ImaginedEnv, ImaginedVectorEnv
from kinema.envs.playground import PlaygroundEnv, observed_state
from kinema.errors import InputError
from kinema.models.hub import Model

TASK = "reach the flag"


@pytest.mark.parametrize("options", [{}, {"observation": "dict", "size": 32}])
def test_gymnasium_s_checker_has_nothing_to_say(model: Model, options: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("kinema/Imagined-v0", model=model, task=TASK, render_mode="rgb_array", **options)
        check_env(env.unwrapped, skip_render_check=False)


@pytest.mark.parametrize("observation", ["pixels", "state", "dict"])
def test_it_swaps_for_the_playground(model: Model, observation: str) -> None:
    real = PlaygroundEnv(task=TASK, observation=observation)
    dreamt = ImaginedEnv(model=model, task=TASK, observation=observation)
    assert real.observation_space == dreamt.observation_space and real.action_space == dreamt.action_space
    first, info = dreamt.reset(seed=1)
    assert dreamt.observation_space.contains(first) and info["task"] == TASK


def test_the_same_seed_and_actions_give_the_same_world(model: Model) -> None:
    def run() -> list[np.ndarray]:
        env = ImaginedEnv(model=model, task=TASK)
        first, _ = env.reset(seed=7)
        return [first, *(env.step(np.array([np.sin(t), 0], np.float32))[0] for t in range(5))]

    for a, b in zip(run(), run(), strict=True):
        assert np.array_equal(a, b)


def test_worlds_side_by_side_do_not_mix_and_start_anew(model: Model) -> None:
    """Time is up for all after six frames; a new room follows, with no reward of its own, and the others are as they were."""
    env = ImaginedVectorEnv(3, model=model, task=TASK, observation="dict", duration_s=6 / 16)
    env.reset(seed=2)
    actions = np.zeros((3, 2), np.float32)
    steps = 0
    while steps < 6:
        steps += 1
        before, reward, terminated, truncated, _ = env.step(actions)
        assert before["pixels"].shape == (3, 64, 64, 3) and reward.shape == (3,)
        if terminated.any():
            break
    assert (terminated | truncated).any() and (steps == 6 or terminated.any())
    ended = terminated | truncated
    after, reward, terminated, truncated, _ = env.step(actions)
    assert (reward[ended] == 0).all() and not (terminated | truncated)[ended].any()
    kinds = after["state"][:, :, 0]
    assert (kinds[:, 0] >= 0).all()
    env.step(actions)


def test_one_world_restarted_leaves_the_others_as_they_were(model: Model) -> None:
    """Of two equal runs one restarts its second world: the first worlds stay the same, bit for bit."""
    runs = []
    for restart in (False, True):
        env = ImaginedVectorEnv(2, model=model, task=TASK, observation="dict")
        env.reset(seed=4)
        env.step(np.zeros((2, 2), np.float32))
        env._done[:] = False
        if restart:
            env.restart(np.array([False, True]))
        runs.append(env.step(np.full((2, 2), 0.5, np.float32))[0]["state"])
    np.testing.assert_allclose(runs[0][0], runs[1][0], atol=1e-5)
    assert not np.allclose(runs[0][1], runs[1][1])


def test_an_ended_world_starts_anew_when_the_autoreset_mode_says(model: Model) -> None:
    """In the same step the last observation is among the infos; a world that never starts anew by itself is begun by a mask."""
    still = np.zeros((2, 2), np.float32)
    env = ImaginedVectorEnv(2, model=model, task=None, observation="state", duration_s=2 / 16, autoreset_mode="SameStep")
    env.reset(seed=1)
    num_ended = np.zeros(2, int)
    for _ in range(4):
        observation, _, terminated, truncated, infos = env.step(still)
        ended = terminated | truncated
        num_ended += ended
        assert ended.any() == ("final_obs" in infos)
        for i in np.flatnonzero(ended):
            assert infos["_final_obs"][i] and not np.array_equal(infos["final_obs"][i], observation[i])
    assert (num_ended >= 2).all()

    env = ImaginedVectorEnv(2, model=model, task=None, observation="state", duration_s=1 / 16, autoreset_mode="Disabled")
    env.reset(seed=1)
    for _ in range(2):
        before, _, terminated, truncated, _ = env.step(still)
        assert (terminated | truncated).all()
    after, _ = env.reset(options={"reset_mask": np.array([False, True])})
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[1], after[1])


def test_time_is_up_after_the_frames_of_its_seconds_and_no_later(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImaginedVectorEnv, "_terminations", lambda self: np.zeros(self.num_envs, bool))
    env = ImaginedVectorEnv(2, model=model, task=None, observation="state", duration_s=3 / 16, autoreset_mode="Disabled")
    env.reset(seed=1)
    ends = [env.step(np.zeros((2, 2), np.float32))[3].all() for _ in range(3)]
    assert ends == [False, False, True]


def test_bad_input_is_named(model: Model) -> None:
    with pytest.raises(InputError, match="is not understood"):
        ImaginedEnv(model=model, task="make me a coffee")
    env = ImaginedVectorEnv(2, model=model, task=TASK)
    with pytest.raises(InputError, match="call reset"):
        env.step(np.zeros((2, 2), np.float32))
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"expected \(2, 2\)"):
        env.step(np.zeros((3, 2), np.float32))
    with pytest.raises(InputError, match="NaN"):
        env.step(np.full((2, 2), np.nan, np.float32))
    with pytest.raises(InputError, match="at least 1"):
        ImaginedVectorEnv(0, model=model, task=TASK)


def test_states_seen_at_once_are_those_of_each_scene(model: Model) -> None:
    env = ImaginedVectorEnv(3, model=model, task=TASK, observation="state")
    observation, _ = env.reset(seed=3)
    for state, scene in zip(observation, env.scenes(), strict=True):
        np.testing.assert_allclose(state, observed_state(scene), atol=1e-6)


def test_beginnings_that_were_given_stay_when_the_task_changes(model: Model) -> None:
    asked: list[int] = []
    whole = ImaginedVectorEnv(1, model=model, task=TASK)

    def starts(rng: np.random.Generator, count: int) -> dict[str, torch.Tensor]:
        asked.append(count)
        return whole._initial_tracks(rng, count)

    env = ImaginedEnv(model=model, task=TASK, starts=starts)
    env.reset(seed=1)
    env.reset(options={"task": "touch the red ball"})
    assert asked == [1, 1]


def test_each_seed_of_a_list_counts_and_a_seed_counts_with_a_mask(model: Model) -> None:
    env = ImaginedVectorEnv(2, model=model, task=TASK, observation="state")
    one, other, again = (env.reset(seed=seed)[0] for seed in ([1, 2], [1, 99], [1, 2]))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    begun = []
    for _ in range(2):
        env.reset(seed=3)
        begun.append(env.reset(seed=5, options={"reset_mask": np.array([False, True])})[0])
    assert np.array_equal(begun[0], begun[1])


@pytest.mark.parametrize("before", [1, [7, 8]])
def test_a_seed_with_a_mask_decides_all_of_the_masked_worlds_and_nothing_of_the_others(model: Model, before: object) -> None:
    actions = np.zeros((2, 2), np.float32)

    def future(*resets: tuple[object, list[bool] | None]) -> np.ndarray:
        env = ImaginedVectorEnv(2, model=model, task=TASK, observation="state", autoreset_mode=AutoresetMode.DISABLED)
        for seed, mask in resets:
            seen = env.reset(seed=seed, options=None if mask is None else {"reset_mask": np.array(mask)})[0]  # type: ignore[arg-type]
        return np.stack([seen, *(env.step(actions)[0] for _ in range(4))])

    again = (3, [False, True])
    alone, masked, other = future((before, None)), future((before, None), again), future((5, None), again)
    np.testing.assert_allclose(masked[:, 0], alone[:, 0], atol=1e-4)
    np.testing.assert_allclose(masked[:, 1], other[:, 1], atol=1e-4)
    assert not np.allclose(masked[:, 1], alone[:, 1], atol=1e-2)


def test_a_mask_begins_those_worlds_anew_and_no_others(model: Model) -> None:
    env = ImaginedVectorEnv(2, model=model, task=TASK, observation="state")
    first, _ = env.reset(seed=3)
    none, _ = env.reset(options={"reset_mask": np.array([False, False])})
    assert np.array_equal(none, first)
    second, _ = env.reset(options={"reset_mask": [False, True]})
    assert np.array_equal(second[0], first[0]) and not np.array_equal(second[1], first[1])


@pytest.mark.parametrize("mask", ["x", 5, ["a", "b"], [True], [False, False, True], [0, 1]])
def test_a_mask_that_is_no_boolean_for_each_world_is_refused(model: Model, mask: object) -> None:
    env = ImaginedVectorEnv(2, model=model, task=TASK, observation="state")
    env.reset(seed=1)
    with pytest.raises(InputError, match="expected 2 booleans"):
        env.reset(options={"reset_mask": mask})


@pytest.mark.parametrize("seed", [-1, [1], [1, "x"], 1.5])
def test_a_seed_that_cannot_be_used_is_refused(model: Model, seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        ImaginedVectorEnv(2, model=model, task=TASK).reset(seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"distribution": "tiny"}, "SceneDistribution"),
        ({"distribution": {}}, "SceneDistribution"),
        ({"task": 5}, "reach the flag"),
        ({"window": True}, "window"),
        ({"window": 2.5}, "window"),
        ({"steps": 1.5}, "steps"),
        ({"duration_s": float("nan")}, "duration_s"),
        ({"duration_s": -5}, "duration_s"),
        ({"size": "64"}, "size"),
        ({"starts": 5}, "starts"),
        ({"autoreset_mode": "NextStep"}, "make_vec"),
    ],
)
def test_options_of_the_wrong_kind_are_named(model: Model, options: dict[str, object], what: str) -> None:
    with pytest.raises(InputError, match=what):
        ImaginedEnv(**{"model": model, "task": TASK, **options})


def test_an_autoreset_mode_that_there_is_not_is_answered_with_those_that_there_are(model: Model) -> None:
    with pytest.raises(InputError, match="NextStep"):
        ImaginedVectorEnv(2, model=model, task=TASK, autoreset_mode="next_step")
