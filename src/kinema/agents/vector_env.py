"""Gymnasium's vector environments as Stable-Baselines3 wants them, and the rooms of a task in that form, real or imagined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from kinema.agents.roles import LIMIT, WIDTH, roles
from kinema.envs.playground import PlaygroundEnv
from kinema.envs.spaces import Spec, batch_from_learner, learner_space
from kinema.playground.tasks import Task

TASK_OBSERVATIONS = gym.spaces.Box(-LIMIT, LIMIT, (WIDTH,), np.float32)


def playgrounds(count: int, autoreset_mode: AutoresetMode, **options: Any) -> SyncVectorEnv:
    """So many Playground rooms with `state` observations; options as of `PlaygroundEnv`."""
    made = [lambda: PlaygroundEnv(observation="state", **options)] * count
    return SyncVectorEnv(made, autoreset_mode=autoreset_mode)


class WorldsVecEnv(VecEnv):
    """A vector environment that starts ended worlds anew in the same step.

    seed: of the first reset, one for all or one for each. features: what the agent sees of observations, with its space; by default
    the observations themselves. action: the environment's action space as a `Spec`, where the agent acts in its `learner_space`.
    """

    def __init__(
        self,
        worlds: VectorEnv[Any, Any, Any],
        seed: int | list[int],
        features: tuple[Callable[[Any], NDArray[Any]], gym.Space[Any]] | None = None,
        action: Spec | None = None,
    ) -> None:
        self._features, space = features or (np.asarray, worlds.single_observation_space)
        super().__init__(worlds.num_envs, space, worlds.single_action_space if action is None else learner_space(action))
        self.worlds, self._action = worlds, action
        self._next_seed: Any = seed

    def reset(self) -> NDArray[Any]:
        observation, _ = self.worlds.reset(seed=self._next_seed)
        self._next_seed = None
        return self._features(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions if self._action is None else batch_from_learner(self._action, actions)

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Of an ended world, the observation is the next episode's first; the last is in info["terminal_observation"]."""
        observation, reward, terminated, truncated, given = self.worlds.step(self._actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in ended]
        for i in np.flatnonzero(ended):
            last = self._features(given["final_obs"][i][None])[0]
            infos[i] = {"terminal_observation": last, "TimeLimit.truncated": bool(truncated[i] and not terminated[i])}
        return self._features(observation), reward.astype(np.float32), ended, infos

    def close(self) -> None:
        self.worlds.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError("worlds side by side have no attributes of their own")

    def env_method(self, method_name: str, *arguments: Any, indices: Any = None, **named: Any) -> list[Any]:
        raise AttributeError("worlds side by side have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))


def task_rooms(worlds: VectorEnv[Any, Any, Any], task: Task, seed: int | list[int]) -> WorldsVecEnv:
    """Rooms with `state` observations, of which the agent sees `roles`; the same numbers in real rooms and in imagined ones."""
    return WorldsVecEnv(worlds, seed, (lambda state: roles(state, task), TASK_OBSERVATIONS))
