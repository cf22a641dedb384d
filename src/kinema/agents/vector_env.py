"""Many rooms at once as Stable-Baselines3 wants them, real or imagined; the same numbers are seen in both."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from kinema.agents.roles import WIDTH, roles
from kinema.agents.starts import Starts
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.playground import PlaygroundEnv
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution
from kinema.playground.tasks import Task

OBSERVATIONS = gym.spaces.Box(-20.0, 20.0, (WIDTH,), np.float32)
ACTIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


class Rooms(VecEnv):
    """Rooms side by side; one that ends starts anew at once, and its last sight is in info["terminal_observation"]."""

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def _infos(self, last: NDArray[Any], ended: NDArray[np.bool_], truncated: NDArray[np.bool_]) -> list[dict[str, Any]]:
        return [
            {"terminal_observation": last[i], "TimeLimit.truncated": bool(truncated[i])} if ended[i] else {}
            for i in range(self.num_envs)
        ]

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError("rooms side by side have no attributes of their own")

    def env_method(self, method_name: str, *arguments: Any, indices: Any = None, **named: Any) -> list[Any]:
        raise AttributeError("rooms side by side have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))


class TaskRooms(Rooms):
    """What real and imagined rooms of a task have in common."""

    def __init__(self, count: int, task: str) -> None:
        super().__init__(count, OBSERVATIONS, ACTIONS)
        self.task = Task.parse(task)

    def seen(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the agent sees of `state` observations."""
        return np.clip(roles(state, self.task), -20, 20)

    def step_async(self, actions: NDArray[Any]) -> None:
        super().step_async(np.clip(actions, -1, 1))


class RealRooms(TaskRooms):
    """Playground rooms."""

    def __init__(self, count: int, task: str, *, fps: float, duration_s: float, diet: SceneDistribution, seed: int) -> None:
        super().__init__(count, task)
        self._rooms = [
            PlaygroundEnv(task=task, fps=fps, duration_s=duration_s, observation="state", diet=diet) for _ in range(count)
        ]
        self._first = np.random.default_rng(seed).integers(2**31, size=count)

    def reset(self) -> NDArray[np.float32]:
        return self.seen(np.stack([self._begun(i) for i in range(self.num_envs)]))

    def _begun(self, i: int) -> NDArray[np.float32]:
        seed, self._first[i] = int(self._first[i]), -1
        return np.asarray(self._rooms[i].reset(seed=seed if seed >= 0 else None)[0])

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        steps = [room.step(action) for room, action in zip(self._rooms, self._actions, strict=True)]
        state = np.stack([np.asarray(step[0]) for step in steps])
        reward = np.array([step[1] for step in steps], np.float32)
        terminated, truncated = (np.array([step[n] for step in steps]) for n in (2, 3))
        ended, last = terminated | truncated, self.seen(state)
        for i in np.flatnonzero(ended):
            state[i] = self._begun(int(i))
        return self.seen(state), reward, ended, self._infos(last, ended, truncated)


class ImaginedRooms(TaskRooms):
    """Worlds of a model, each beginning with a stretch of a recorded room and going on for `horizon` frames."""

    def __init__(
        self,
        count: int,
        task: str,
        *,
        model: Model,
        starts: Starts,
        fps: float,
        horizon: int,
        diet: SceneDistribution,
        seed: int,
    ) -> None:
        super().__init__(count, task)
        self.worlds = ImaginedVectorEnv(
            count, model=model, task=task, fps=fps, observation="state", duration_s=horizon / fps, diet=diet, starts=starts,
            window=starts.seen - 1,
        )  # fmt: skip
        self._first: int | None = seed

    def reset(self) -> NDArray[np.float32]:
        state, _ = self.worlds.reset(seed=self._first)
        self._first = None
        return self.seen(state)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        state, reward, terminated, truncated, _ = self.worlds.step(self._actions)
        ended, last = terminated | truncated, self.seen(state)
        if ended.any():
            self.worlds.restart(ended)
            state = self.worlds.observe()
        return self.seen(state), reward.astype(np.float32), ended, self._infos(last, ended, truncated)
