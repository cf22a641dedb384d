"""Agents in recorded worlds: learning from pictures by PPO inside the world's model, scored in the environment itself.

agent = learn_recorded(kinema.load("out/pong/world"))
score_recorded(agent, "ALE/Pong-v5", episodes=10)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from kinema.agents.evaluate import FIRST, Score
from kinema.agents.ppo import FORMAT, Settings, Show, Shown, write_agent
from kinema.agents.vector_env import Rooms
from kinema.datasets.recorder import Seen, make
from kinema.envs.recorded import RecordedVectorEnv
from kinema.envs.spaces import space_of
from kinema.errors import InputError, MediaError
from kinema.models.hub import Model

LEARNABLE = (gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary, gym.spaces.Box)
QUICK = Settings(frames=100_000, rooms=16, horizon=32, epochs=4, batch=256, rate=5e-4, discount=0.98, entropy=0.01)


class RecordedRooms(Rooms):
    """Worlds of a recorded environment's model side by side; one that ends starts anew at once."""

    def __init__(self, count: int, model: Model, horizon: int, seed: int) -> None:
        fps = float((model.config.world or {"fps": 16.0})["fps"])
        self.worlds = RecordedVectorEnv(count, model=model, duration_s=horizon / fps)
        super().__init__(count, self.worlds.single_observation_space, self.worlds.single_action_space)
        self._first: int | None = seed

    def reset(self) -> NDArray[np.uint8]:
        seen, _ = self.worlds.reset(seed=self._first)
        self._first = None
        return np.asarray(seen)

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        seen, reward, terminated, truncated, _ = self.worlds.step(self._actions)
        ended = terminated | truncated
        infos = self._infos(seen, ended, truncated)
        if ended.any():
            self.worlds.restart(ended)
            seen = self.worlds.observe()
        return seen, reward.astype(np.float32), ended, infos


@dataclass(frozen=True, kw_only=True)
class RecordedAgent:
    """A policy over pictures of one environment. size: of the pictures it was shown."""

    env: str
    options: dict[str, Any]
    size: tuple[int, int]
    learner: Any
    made: dict[str, Any]

    def save(self, folder: Path | str, *, force: bool = False) -> Path:
        """policy.zip, as Stable-Baselines3 writes it, and agent.json."""
        about = {"env": self.env, "options": self.options, "size": list(self.size), "made": self.made}
        return write_agent(Path(folder), self.learner, about, force)

    @staticmethod
    def is_one(folder: Path | str) -> bool:
        """Whether a folder holds an agent of a recorded world."""
        try:
            return "env" in json.loads((Path(folder) / "agent.json").read_text())
        except (OSError, ValueError):
            return False

    @staticmethod
    def open(folder: Path | str) -> RecordedAgent:
        """What `save` wrote."""
        try:
            about = json.loads((Path(folder) / "agent.json").read_text())
            if about["format"] != FORMAT:
                raise MediaError(f"{folder} was made by another version (format {about['format']}); train the agent again")
            learner = PPO.load(Path(folder) / "policy.zip", device="cpu")
            size = int(about["size"][0]), int(about["size"][1])
            return RecordedAgent(env=about["env"], options=about["options"], size=size, learner=learner, made=about["made"])
        except MediaError:
            raise
        except (KeyError, ValueError, OSError, RuntimeError) as wrong:
            raise MediaError(f"{folder} holds an agent that cannot be read: {wrong}") from None


def _world(model: Model) -> dict[str, Any]:
    if model.config.world is None or model.config.world.get("env") is None:
        raise InputError(f"{model.config.name} is no model of a recorded environment; agents in it need a --task")
    return model.config.world


def _learner(rooms: VecEnv, wish: Settings) -> PPO:
    return PPO(
        "CnnPolicy",
        rooms,
        learning_rate=lambda left: wish.rate * max(left, 0.1),
        n_steps=wish.horizon,
        batch_size=min(wish.batch, wish.horizon * wish.rooms),
        n_epochs=wish.epochs,
        gamma=wish.discount,
        ent_coef=wish.entropy,
        seed=wish.seed % 2**32,
        device="cpu",
    )


def learn_recorded(
    model: Model, *, real: bool = False, settings: Settings | None = None, show: Show | None = None
) -> RecordedAgent:
    """Train an agent inside a recorded world's model, or by the same learner in the environment itself."""
    wish, world = settings or QUICK, _world(model)
    space = space_of(world["action"])
    if not isinstance(space, LEARNABLE):
        raise InputError(f"actions of {space}: PPO learns Discrete, MultiDiscrete, MultiBinary and Box")
    size = int(world["size"][0]), int(world["size"][1])
    if min(size) < 36:
        raise InputError(f"pictures of {size[1]}x{size[0]}: the learner's network needs 36x36 or more; record larger ones")
    rooms: VecEnv
    if real:
        rooms = DummyVecEnv([lambda: Seen(make(world["env"], **world["options"]), size) for _ in range(wish.rooms)])
        rooms.seed(wish.seed)
    else:
        rooms = RecordedRooms(wish.rooms, model, wish.horizon, wish.seed)
    learner = _learner(rooms, wish)
    learner.learn(wish.frames, callback=Shown(show, wish.frames) if show else None)
    made = {"inside": "real" if real else model.config.name, "frames": learner.num_timesteps}
    return RecordedAgent(env=world["env"], options=world["options"], size=size, learner=learner, made=made)


def score_recorded(
    agent: RecordedAgent | None,
    env_id: str,
    *,
    episodes: int = 20,
    options: dict[str, Any] | None = None,
    size: tuple[int, int] = (64, 64),
    most: int = 20_000,
    seed: int = 0,
    show: Callable[[int, int], None] | None = None,
) -> Score:
    """Whole episodes in the environment itself; agent None acts at random. Done means that an episode terminated."""
    if episodes < 1:
        raise InputError(f"{episodes} episodes: expected at least 1")
    env = Seen(make(env_id, **(options or {})), agent.size if agent else size)
    env.action_space.seed(seed)
    returns, ends = np.zeros(episodes), np.zeros(episodes, bool)
    for episode in range(episodes):
        seen, _ = env.reset(seed=(FIRST + seed * 10_007 + episode) % 2**31)
        for _ in range(most):
            action = env.action_space.sample() if agent is None else agent.learner.predict(seen, deterministic=False)[0]
            seen, reward, terminated, truncated, _ = env.step(action)
            returns[episode] += reward
            ends[episode] |= terminated
            if terminated or truncated:
                break
        if show is not None:
            show(episode + 1, episodes)
    env.close()
    return Score(returns=returns, successes=ends)
