"""The Gymnasium environment keeps Gymnasium's contract, and its tasks can be done."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from kinema.envs.playground import PlaygroundEnv
from kinema.errors import InputError, SizeError
from kinema.playground.tasks import Task
from kinema.scene.scene import KINDS

TASKS = ("push the red ball to the flag", "reach the flag", "touch the blue box")


@pytest.mark.parametrize("options", [{}, {"observation": "dict", "task": TASKS[0]}, {"task": None, "size": 32}])
def test_gymnasium_s_checker_has_nothing_to_say(options: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("kinema/Playground-v0", render_mode="rgb_array", **options)
        check_env(env.unwrapped, skip_render_check=False)


def test_observations_are_pictures_of_the_asked_size() -> None:
    env = PlaygroundEnv(size=48, render_mode="rgb_array", observation="dict")
    observation, info = env.reset(seed=3)
    assert observation["pixels"].shape == (48, 48, 3) and observation["pixels"].dtype == np.uint8
    assert np.array_equal(observation["pixels"], env.render())
    assert observation["pixels"].std() > 5 and info["task"] == "reach the flag"
    kinds = {KINDS[int(kind)] for kind in observation["state"][:, 0] if kind >= 0}
    assert {"robot", "flag"} <= kinds


def test_recordings_of_an_environment_run_at_its_own_rate() -> None:
    """Gymnasium's recorders go by `render_fps`, of this environment and of no other."""
    slow, fast = PlaygroundEnv(fps=8.0, size=32), PlaygroundEnv(fps=24.0, size=32)
    assert (slow.metadata["render_fps"], fast.metadata["render_fps"]) == (8, 24)
    assert PlaygroundEnv.metadata["render_fps"] == 16


def test_the_same_seed_and_actions_give_the_same_pictures() -> None:
    runs = []
    for _ in range(2):
        env = PlaygroundEnv(task=TASKS[0])
        frames = [env.reset(seed=11)[0]]
        frames += [env.step(np.array([np.sin(t), np.cos(t)], np.float32))[0] for t in range(12)]
        runs.append(np.stack(frames))
    assert np.array_equal(*runs)


def test_walking_to_the_flag_terminates_with_reward() -> None:
    env = PlaygroundEnv(task="reach the flag", size=32)
    wins = 0
    for seed in range(12):
        env.reset(seed=seed)
        total, done, cut = 0.0, False, False
        while not (done or cut):
            scene = env.scene
            robot, flag = (next(k for k in scene.entities if KINDS[scene.kind[k]] == kind) for kind in ("robot", "flag"))
            way = np.array([scene.x[0, flag] - scene.x[0, robot], scene.y[0, flag] - scene.y[0, robot]])
            if scene.view == "side":
                way[1] = env.np_random.random() < 0.2
            _, reward, done, cut, info = env.step(np.clip(way, -1, 1).astype(np.float32))
            total += reward
        wins += done
        assert info["success"] == done and (total > 1.0 or not done)
    assert wins >= 9


def test_time_up_is_truncation_not_termination() -> None:
    env = PlaygroundEnv(duration_s=0.5, size=32)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(8)]
    assert ends[:7] == [(False, False)] * 7 and ends[7] == (False, True)


def test_actions_move_the_robot() -> None:
    env = PlaygroundEnv(task=None, size=32)
    for seed in range(8):
        env.reset(seed=seed)
        robot = next(k for k in env.scene.entities if KINDS[env.scene.kind[k]] == "robot")
        way = 1.0 if env.scene.x[0, robot] < 5 else -1.0
        env.step(np.array([way, 0.0], np.float32))
        assert env.scene.vx[0, robot] * way > 0.1


@pytest.mark.parametrize("text", TASKS)
def test_tasks_read_back(text: str) -> None:
    assert str(Task.parse(text.upper() + ".")) == text


def test_wrong_options_say_what_was_expected() -> None:
    with pytest.raises(InputError, match="not understood"):
        PlaygroundEnv(task="fetch the coffee")
    with pytest.raises(SizeError, match="size"):
        PlaygroundEnv(size=4)
    with pytest.raises(InputError, match="observation"):
        PlaygroundEnv(observation="sound")
    env = PlaygroundEnv()
    with pytest.raises(InputError, match="reset"):
        env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    with pytest.raises(InputError, match="two finite numbers"):
        env.step(np.array([np.nan, 0.0], np.float32))
