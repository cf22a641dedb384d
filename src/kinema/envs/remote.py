"""`kinema/Remote-v0`: worlds of a server as a Gymnasium environment."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.client.world import RemoteWorld
from kinema.envs.playground import LOW, observed_space, observed_state
from kinema.envs.window import check_render_mode
from kinema.errors import ApiError, InputError
from kinema.media import Clip
from kinema.playground.scene_distribution import tiny
from kinema.scene.scene import Scene
from kinema.types import Frame


class RemoteEnv(gym.Env[Any, NDArray[np.float32]]):
    """Worlds of a server as a Gymnasium environment with the spaces of `kinema/Playground-v0`; each episode is a new world that
    begins as `start` says and is deleted after. `options` are those of `RemoteWorld`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16}  # noqa: RUF012

    def __init__(
        self,
        url: str,
        start: str | Clip | Scene = "",
        *,
        task: str | None = "reach the flag",
        size: int = 64,
        fps: float = 16.0,
        observation: str = "pixels",
        render_mode: str | None = None,
        duration_s: float = 20.0,
        **options: Any,
    ) -> None:
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])
        self._url, self._start, self._observation = url, start, observation
        self._options = {**options, "task": task, "size": f"{size}x{size}", "fps": fps}
        self.metadata = {**self.metadata, "render_fps": round(fps)}
        self.max_steps, self._count = max(1, round(duration_s * fps)), 0
        self.world: RemoteWorld | None = None
        self._slots = tiny().slots
        self.observation_space = observed_space(observation, size, self._slots)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new world. options: {"task": ...} changes the task from here on."""
        super().reset(seed=seed)
        if options and "task" in options:
            self._options["task"] = options["task"]
        self.close()
        self.world = RemoteWorld(self._url, self._start, seed=int(self.np_random.integers(2**31)), **self._options)
        self._count = 0
        return self._observed(), self._info(False)

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One frame further."""
        if self.world is None:
            raise InputError("step before reset: call reset() first")
        self.world.step(action)
        self._count += 1
        ended = self.world.terminated
        cut = self._count >= self.max_steps and not ended
        return self._observed(), self.world.reward, ended, cut, self._info(ended)

    def _observed(self) -> Any:
        assert self.world is not None
        if self._observation == "pixels":
            return self.world.frame
        state = np.zeros((self._slots, len(LOW)), np.float32)
        state[:, 0] = -1.0
        entities = observed_state(self.world.state.scene)[: self._slots]
        state[: len(entities)] = entities
        return state if self._observation == "state" else {"pixels": self.world.frame, "state": state}

    def _info(self, success: bool) -> dict[str, Any]:
        return {"task": self._options["task"], "success": success}

    def render(self) -> Frame | None:
        """The current picture, uint8 [size, size, 3]."""
        return self.world.frame if self.render_mode == "rgb_array" and self.world is not None else None

    def close(self) -> None:
        """Delete the world of the last episode."""
        world, self.world = self.world, None
        if world is not None:
            with suppress(ApiError, InputError):  # gone already
                world.delete()
