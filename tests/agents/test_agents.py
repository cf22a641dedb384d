"""Agents: the same numbers from real and imagined rooms, learning, planning, imitating, scoring."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env

from kinema.agents import Agent, Imitator, Planner, PPOConfig, Random, Still, learn, score, score_recorded
from kinema.agents.evaluate import episode_seed
from kinema.agents.roles import EACH, WIDTH, roles
from kinema.agents.starts import record_starts
from kinema.agents.vector_env import playgrounds, task_rooms
from kinema.cli.main import main
from kinema.datasets.recorder import record as record_env
from kinema.envs.imagined import ImaginedEnv, ImaginedVectorEnv
from kinema.envs.playground import FEATURES, PlaygroundEnv
from kinema.errors import InputError, MediaError, OutputError
from kinema.models.hub import Model, load
from kinema.playground.scene_distribution import tiny
from kinema.playground.tasks import Task
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.training.recorded_world import train_world
from kinema.training.world_lesson import WorldRecipe

TASK = "reach the flag"
SEEN = 9
QUICK = PPOConfig(frames=64, rooms=2, horizon=8, starts=2, starts_frames=SEEN + 3, window=SEEN - 1, epochs=1, duration_s=1.0)


@pytest.mark.parametrize("observation", ["pixels", "state", "dict"])
def test_stable_baselines_accepts_the_imagined_room(model: Model, observation: str) -> None:
    check_env(ImaginedEnv(model=model, task=TASK, observation=observation, render_mode="rgb_array"), warn=False)


def test_ppo_runs_on_the_imagined_room_unmodified(model: Model) -> None:
    env = ImaginedEnv(model=model, task=TASK, observation="state")
    learner = PPO("MlpPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(16)
    assert learner.num_timesteps == 16


def test_a_thing_is_told_by_its_part_wherever_its_slot_is() -> None:
    room = PlaygroundEnv(task="push the red ball to the flag", observation="state")
    state = np.asarray(room.reset(seed=3)[0])[None]
    task = Task.parse("push the red ball to the flag")
    turned = state[:, ::-1]
    told = roles(state, task)
    assert told.shape == (1, WIDTH)
    np.testing.assert_allclose(told, roles(turned, task), atol=1e-6)
    assert told[0, 6] == 1 and told[0, 6 + EACH] == 1, "the ball and the flag are there"
    reach = roles(state, Task.parse(TASK))
    assert reach[0, 6] == 0 and reach[0, 6 + EACH] == 1


def test_the_nearest_of_the_other_things_are_told_first() -> None:
    state = np.zeros((1, 4, len(FEATURES)), np.float32)
    state[0, :, FEATURES.index("kind")] = [KINDS.index(kind) for kind in ("ball", "ball", "box", "robot")]
    state[0, :, FEATURES.index("color")] = COLORS.index("blue")
    state[0, :, FEATURES.index("x")] = [8.0, 6.5, 3.0, 5.0]
    offsets = roles(state, Task.parse(TASK))[0, 6 + 2 * EACH + 1 :: EACH]
    np.testing.assert_allclose(offsets, [1.5 / 3, -2.0 / 3], atol=1e-6)


def test_starts_are_stretches_of_what_was_recorded(model: Model) -> None:
    starts = record_starts(model, TASK, episodes=3, frames=SEEN + 5, seen=SEEN, fps=16.0, distribution=tiny(), seed=1)
    drawn = starts(np.random.default_rng(0), 4)
    assert drawn["state"].shape[:2] == (4, SEEN) and starts.steps == starts.lengths.sum() >= 3 * SEEN
    for one in drawn["state"]:
        rows = [room.unfold(0, SEEN, 1).movedim(-1, 1) for room in starts.tracks["state"]]
        assert any((stretch == one).all() for room in rows for stretch in room)


def test_real_and_imagined_rooms_look_alike_and_start_anew_at_the_end(model: Model) -> None:
    starts = record_starts(model, TASK, episodes=2, frames=SEEN + 5, seen=SEEN, fps=16.0, distribution=tiny(), seed=1)
    same_step = AutoresetMode.SAME_STEP
    real = playgrounds(2, same_step, task=TASK, duration_s=4 / 16)
    dreamt = ImaginedVectorEnv(
        2, model=model, task=TASK, observation="state", duration_s=4 / 16, starts=starts, window=SEEN - 1, autoreset_mode=same_step
    )  # fmt: skip
    for rooms in (task_rooms(real, Task.parse(TASK), [5, 6]), task_rooms(dreamt, Task.parse(TASK), 0)):
        assert rooms.reset().shape == (2, WIDTH)
        ends = np.zeros(2, int)
        for _ in range(9):
            seen, _, ended, infos = rooms.step(np.zeros((2, 2), np.float32))
            ends += ended
            assert seen.shape == (2, WIDTH) and np.isfinite(seen).all()
            for i in np.flatnonzero(ended):
                assert infos[i]["terminal_observation"].shape == (WIDTH,)
        assert (ends >= 2).all()


@pytest.mark.parametrize("imagined", [True, False])
def test_an_agent_learns_is_kept_and_acts_the_same_again(model: Model, imagined: bool, tmp_path: Path) -> None:
    told: list[int] = []
    agent = learn(TASK, inside=model if imagined else None, settings=QUICK, show=lambda done, of, reward: told.append(done))
    assert told and told[-1] == agent.made["frames"] >= 64
    agent.save(tmp_path / "a")
    with pytest.raises(OutputError, match="already"):
        agent.save(tmp_path / "a")
    again = Agent.open(tmp_path / "a")
    assert again.task == agent.task and again.made["inside"] == (model.config.name if imagined else "real")
    state = np.asarray(PlaygroundEnv(task=TASK, observation="state").reset(seed=1)[0])[None]
    assert np.array_equal(agent.act(state, [], None), again.act(state, [], None))


def test_the_same_seed_scores_the_same(model: Model) -> None:
    first, again = (score(Random(1), TASK, episodes=3, duration_s=1.0) for _ in range(2))
    assert np.array_equal(first.returns, again.returns) and len(first.returns) == 3
    low, high = first.interval
    assert low <= first.mean <= high
    still = score(Still(), TASK, episodes=2, duration_s=0.5, inside=model)
    assert still.returns.shape == (2,)


class Toward:
    """Walks to the flag."""

    def begin(self, count: int) -> None:
        pass

    def act(self, state: np.ndarray, scenes: list[Scene], actions: np.ndarray | None) -> np.ndarray:
        robot, flag = ([list(one.kind).index(KINDS.index(kind)) for one in scenes] for kind in ("robot", "flag"))
        ahead = [
            [axis[-1, b] - axis[-1, a] for axis in (one.x, one.y)] for one, a, b in zip(scenes, robot, flag, strict=True)
        ]
        return np.sign(ahead).astype(np.float32)


def test_what_an_ended_room_does_while_others_go_on_does_not_count() -> None:
    together = score(Toward(), TASK, episodes=3, duration_s=4.0)
    alone, lengths = np.zeros(3), np.zeros(3, int)
    for i in range(3):
        room = PlaygroundEnv(task=TASK, observation="state", duration_s=4.0, distribution=tiny())
        state, _ = room.reset(seed=episode_seed(0, i))
        ended = False
        while not ended:
            state, reward, terminated, truncated, _ = room.step(Toward().act(state[None], [room.scene], None)[0])
            alone[i] += reward
            lengths[i] += 1
            ended = terminated or truncated
    assert lengths.min() + 2 < lengths.max(), "some end long before others"
    np.testing.assert_allclose(together.returns, alone, atol=1e-5)


def test_each_episode_of_a_score_is_another_however_many_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    together = score(Toward(), TASK, episodes=4, duration_s=1.0).returns
    monkeypatch.setattr("kinema.agents.evaluate.SIDE_BY_SIDE", 2)
    np.testing.assert_allclose(score(Toward(), TASK, episodes=4, duration_s=1.0).returns, together, atol=1e-5)
    assert len(set(together.round(4).tolist())) == 4


def test_planning_and_imitating_act_within_bounds(model: Model) -> None:
    planner = Planner(model, TASK, ahead=4, hold=2, candidates=3, rounds=1, best=1)
    for policy in (planner, Imitator(model, TASK)):
        assert len(score(policy, TASK, episodes=2, duration_s=0.4).returns) == 2
    room = PlaygroundEnv(task=TASK, observation="state")
    state = np.asarray(room.reset(seed=1)[0])[None]
    planner.begin(1)
    assert np.abs(planner.act(state, [room.scene], None)).max() <= 1


def test_bad_wishes_say_what_to_do(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="not understood"):
        learn("win the game", inside=None, settings=QUICK)
    with pytest.raises(InputError, match="at least 1"):
        PPOConfig(rooms=0)
    with pytest.raises(InputError, match="at least 1"):
        score(Still(), TASK, episodes=0)
    with pytest.raises(InputError, match="best"):
        Planner(model, TASK, best=99)
    with pytest.raises(MediaError, match="no agent"):
        Agent.open(tmp_path)
    (tmp_path / "agent.json").write_text("{}")
    with pytest.raises(MediaError, match="cannot be read"):
        Agent.open(tmp_path)
    assert main(["agent", "score", "planner"]) == 2
    assert "--task" in capsys.readouterr().err


def test_the_command_trains_and_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "runner")
    assert main(["agent", "train", "--task", TASK, "--inside", "real", "--frames", "2048", "-o", out]) == 0
    assert main(["agent", "train", "--task", TASK, "--inside", "real", "-o", out]) == 2
    assert main(["agent", "score", out, "--episodes", "2", "--seconds", "1"]) == 0
    assert "episodes" in capsys.readouterr().out


def test_an_agent_learns_in_a_recorded_world_and_is_scored_in_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_env("CartPole-v1", tmp_path / "d", episodes_wanted=2, size=(48, 64))
    recipe = WorldRecipe(compile=False, frames=4, batch=2, size="nano", autoencoder_share=0)
    folder = str(train_world(tmp_path / "d", out=tmp_path / "run", steps=2, recipe=recipe))
    out = str(tmp_path / "agent")
    assert main(["agent", "train", "--inside", folder, "--frames", "64", "--horizon", "4", "-o", out]) == 0
    assert main(["agent", "score", out, "--episodes", "2"]) == 0
    assert main(["agent", "score", "random", "--env", "CartPole-v1", "--episodes", "2"]) == 0
    assert capsys.readouterr().out.count("2 episodes") == 2
    agent = Agent.open(out)
    assert agent.env == "CartPole-v1" and agent.made["inside"].startswith("world-")
    assert main(["agent", "train", "--inside", folder, "--task", TASK, "-o", str(tmp_path / "b")]) == 2
    assert "recorded world" in capsys.readouterr().err
    with pytest.raises(InputError, match="no model of a recorded environment"):
        learn(inside=load("kinema-tiny"))


class Gears(gym.Env):
    """Ten frames that grow brighter; actions are a choice that counts from 5 beside a number."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gym.spaces.Box(0, 255, (48, 48, 3), np.uint8)
    action_space = gym.spaces.Dict(
        {"gear": gym.spaces.Discrete(3, start=5), "gas": gym.spaces.Box(0.0, 1.0, (1,), np.float32)}
    )

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.t = render_mode, 0

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros((48, 48, 3), np.uint8), {}

    def step(self, action: object) -> tuple:
        assert self.action_space.contains(action), action
        self.t += 1
        return np.full((48, 48, 3), 20 * self.t, np.uint8), 1.0, self.t == 9, False, {}


def test_an_agent_acts_in_any_space(tmp_path: Path) -> None:
    """Inside the world, in the environment itself, and after being opened again."""
    gym.registry.pop("Gears-v0", None)
    gym.register("Gears-v0", Gears)
    record_env("Gears-v0", tmp_path / "d", episodes_wanted=3, size=(48, 48))
    recipe = WorldRecipe(compile=False, frames=4, batch=2, size="nano", autoencoder_share=0)
    world = load(str(train_world(tmp_path / "d", out=tmp_path / "run", steps=2, recipe=recipe)))
    quick = PPOConfig(frames=8, rooms=2, horizon=4, epochs=1)
    for real in (False, True):
        agent = learn(inside=world, settings=quick, real=real)
    again = Agent.open(agent.save(tmp_path / "agent"))
    assert score_recorded(again, "Gears-v0", episodes=1).returns.tolist() == [9.0]
