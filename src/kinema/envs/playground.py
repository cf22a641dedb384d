"""The Playground as a Gymnasium environment: `kinema/Playground-v0`, a robot with a task.

One step is one frame at `fps`. An episode terminates when the task is done and is truncated when its time is up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.envs.window import RenderedEnv, check_time_limit
from kinema.errors import InputError, SizeError
from kinema.playground.camera import visible
from kinema.playground.episode import to_scene
from kinema.playground.physics import PhysicsWorld, Rows
from kinema.playground.renderer import render_scene
from kinema.playground.scenarios import draw_task_cast
from kinema.playground.scene_distribution import SceneDistribution, tiny
from kinema.playground.tasks import Judge, Task
from kinema.scene.geometry import DEFAULT_CAMERA
from kinema.scene.scene import COLORS, KINDS, MATERIALS, SIZES, Scene
from kinema.types import Frame

FEATURES = ("kind", "color", "material", "size", "x", "y", "vx", "vy", "angle", "visible")
"""Columns of the `state` observation; kind is -1 in an empty slot, angle lies in [-pi, pi]."""

LOW = (-1.0, 0.0, 0.0, 0.0, -1.0, -1.0, -50.0, -50.0, -4.0, 0.0)
HIGH = (len(KINDS), len(COLORS), len(MATERIALS), 2 * max(SIZES.values()), 20.0, 11.0, 50.0, 50.0, 4.0, 1.0)

Observation = NDArray[Any] | dict[str, NDArray[Any]]
OBSERVATIONS = ("pixels", "state", "dict")


def observed_state(scene: Scene) -> NDArray[np.float32]:
    """A scene's first frame as the `state` observation, float32 [K, len(FEATURES)]."""
    columns = [scene.kind, scene.color, scene.material, scene.size, scene.x[0], scene.y[0], scene.vx[0], scene.vy[0]]
    columns += [np.remainder(scene.angle[0] + math.pi, 2 * math.pi) - math.pi, scene.visible[0]]
    state = np.stack([np.asarray(column, np.float32) for column in columns], 1)
    return np.clip(state, LOW, HIGH).astype(np.float32)


def observed_space(observation: str, size: int, slots: int) -> gym.Space[Any]:
    """The observation space: "pixels", "state", or "dict" of both."""
    if observation not in OBSERVATIONS:
        raise InputError(f"observation {observation!r}: expected {', '.join(OBSERVATIONS)}")
    low, high = (np.tile(np.array(edge, np.float32), (slots, 1)) for edge in (LOW, HIGH))
    pixels, state = gym.spaces.Box(0, 255, (size, size, 3), np.uint8), gym.spaces.Box(low, high, dtype=np.float32)
    spaces: dict[str, gym.Space[Any]] = {"pixels": pixels, "state": state}
    return spaces.get(observation, gym.spaces.Dict(spaces))


def observed(kind: str, pixels: Callable[[], NDArray[Any]], state: Callable[[], NDArray[Any]]) -> Observation:
    """An observation of a kind of `observed_space`, of which only what it needs is computed."""
    if kind == "pixels":
        return pixels()
    return state() if kind == "state" else {"pixels": pixels(), "state": state()}


def checked_distribution(distribution: SceneDistribution | None) -> SceneDistribution:
    """The distribution, or the usual one; InputError for anything else."""
    if distribution is None:
        return tiny()
    if not isinstance(distribution, SceneDistribution):
        raise InputError(
            f"distribution {str(distribution)[:40]!r}: expected a SceneDistribution, such as kinema.playground.tiny()"
        )
    return distribution


class PlaygroundEnv(RenderedEnv):
    """A robot in a small room.

    task: 'push the red ball to the flag', 'reach the flag', 'touch the blue box', or None for free play without reward.
    size: height and width of the picture in pixels. observation: "pixels" gives uint8 [size, size, 3]; "state" gives float32
    [K, len(FEATURES)]; "dict" gives {"pixels": ..., "state": ...}. distribution: what else the room may hold. duration_s: time
    limit. The action is (right, up) in [-1, 1]; in side view up > 0.5 jumps.
    """

    def __init__(
        self,
        *,
        task: str | None = "reach the flag",
        size: int = 64,
        fps: float = 16.0,
        observation: str = "pixels",
        render_mode: str | None = None,
        duration_s: float = 20.0,
        distribution: SceneDistribution | None = None,
    ) -> None:
        if not isinstance(size, int | np.integer) or not 32 <= size <= 2048:
            raise SizeError(f"size {str(size)[:20]!r} pixels: expected 32 to 2048")
        check_time_limit(duration_s)
        if not isinstance(fps, int | float | np.number) or not 1.0 <= fps <= 128.0:
            raise SizeError(f"{fps} frames a second: expected 1 to 128, such as fps=16")
        size, fps = int(size), float(fps)
        super().__init__(render_mode, fps)
        self.task = None if task is None else Task.parse(task)
        self.size, self.observation = size, observation
        self.max_steps = max(1, round(duration_s * fps))
        self.distribution = checked_distribution(distribution)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = observed_space(observation, size, self.distribution.slots)
        self._world: PhysicsWorld | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """A new room. options: {"task": ...} changes the task from here on."""
        super().reset(seed=seed)
        if options and "task" in options:
            self.task = None if options["task"] is None else Task.parse(options["task"])
        rng = Random(int(self.np_random.integers(2**62)))
        self._world = PhysicsWorld(draw_task_cast(self.distribution, self.task, rng), self.fps)
        self._steps, self._ended = 0, False
        self._rows = self._world.rows()
        self._judge = Judge(self.task, self._world.cast, self._rows) if self.task else None
        self._show()
        return self._observe(), self._info(False)

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One frame further."""
        if self._world is None:
            raise InputError("step before reset: call reset() first")
        pair = np.asarray(action, np.float32).reshape(-1)
        if pair.shape != (2,) or not np.isfinite(pair).all() or np.abs(pair).max() > 1:
            raise InputError(f"action {action!r}: expected two finite numbers in [-1, 1]")
        self._world.step((float(pair[0]), float(pair[1])))
        self._rows = self._world.rows()
        self._steps += 1
        reward, success = self._judge.judge(self._rows) if self._judge else (0.0, False)
        truncated = self._steps >= self.max_steps and not success
        self._show()
        return self._observe(), float(reward), success, truncated, self._info(success)

    @property
    def rows(self) -> Rows:
        """x, y, vx, vy, angle of everything in the room, for policies."""
        return list(self._rows)

    @property
    def scene(self) -> Scene:
        """The true state now, one frame long."""
        if self._world is None:
            raise InputError("no scene before reset: call reset() first")
        entities = self._world.cast
        track = np.asarray([self._rows], np.float32)
        camera = np.array([DEFAULT_CAMERA], np.float32)
        visible_share, _ = visible(entities, track[:, :, 0], track[:, :, 1], camera, 1.0)
        return to_scene(entities, track, visible_share, camera, self.fps, self.distribution.slots)

    def pixels(self) -> Frame:
        frames = np.asarray(render_scene(self.scene, height=self.size, width=self.size))
        return np.ascontiguousarray(frames[0], np.uint8)

    def _observe(self) -> Observation:
        return observed(self.observation, self.pixels, lambda: observed_state(self.scene))

    def _info(self, success: bool) -> dict[str, Any]:
        return {"task": None if self.task is None else str(self.task), "success": success}
