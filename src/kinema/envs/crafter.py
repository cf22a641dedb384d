"""Crafter as a Gymnasium environment: `CrafterReward-v1` and `CrafterNoReward-v1`. It was written for the older interface."""

from __future__ import annotations

from typing import Any

import crafter
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

LENGTH = 10_000


class Crafter(gym.Env[NDArray[np.uint8], Any]):
    """crafter.Env behind Gymnasium's interface; death terminates, time truncates."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16}  # noqa: RUF012

    def __init__(self, *, reward: bool = True, render_mode: str | None = None, size: int = 64, length: int = LENGTH) -> None:
        self.render_mode, self._reward, self._size, self._length = render_mode, reward, size, length
        self._env: Any = crafter.Env(size=(size, size), reward=reward, length=length)
        self.observation_space = gym.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(self._env.action_names))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        own = int(self.np_random.integers(2**31 - 1))
        self._env = crafter.Env(size=(self._size, self._size), reward=self._reward, length=self._length, seed=own)
        self._steps = 0
        return np.asarray(self._env.reset(), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        pixels, reward, done, info = self._env.step(int(action))
        self._steps += 1
        dead = bool(info.get("discount", 1.0) == 0.0)
        return np.asarray(pixels, np.uint8), float(reward), dead, bool(done and not dead), {"inventory": info["inventory"]}

    @property
    def place(self) -> tuple[float, float]:
        """Where the player is, in cells."""
        x, y = self._env._player.pos
        return float(x), float(y)

    @property
    def inventory(self) -> dict[str, int]:
        """Health, food, drink, energy, and how much of each thing the player carries."""
        return dict(self._env._player.inventory)

    def render(self) -> NDArray[np.uint8] | None:
        return np.asarray(self._env.render(), np.uint8) if self.render_mode == "rgb_array" else None


for _id, _pays in (("CrafterReward-v1", True), ("CrafterNoReward-v1", False)):
    if _id not in gym.registry:
        gym.register(id=_id, entry_point="kinema.envs.crafter:Crafter", kwargs={"reward": _pays})
