"""The model as a Gymnasium environment, one world or many at once: `kinema/Imagined-v0`.

It has the spaces of `kinema/Playground-v0`, so an agent runs in both unchanged. An episode begins with frames of a real Playground
room, as many as the model's window holds. The model predicts every later frame, reward and termination.

    import gymnasium, kinema.envs.imagined
    env = gymnasium.make("kinema/Imagined-v0", task="reach the flag")
    many = gymnasium.make_vec("kinema/Imagined-v0", num_envs=64, task="reach the flag")

Axes: B worlds, T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from kinema.canvas.canvas import Tracks
from kinema.envs.playground import HIGH, LOW, PlaygroundEnv, checked_distribution, observed
from kinema.envs.vector import WorldEnv, WorldVectorEnv
from kinema.envs.window import check_count
from kinema.errors import InputError
from kinema.inference import limits
from kinema.inference.canvas_io import resolve_model
from kinema.inference.keyframes import tracks_of
from kinema.inference.rollout import WINDOW, render_frames, terminated
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution
from kinema.playground.tasks import Task
from kinema.scene.encoding import decode_reward, decode_scene, decode_slots, encode_reward
from kinema.scene.scene import Scene
from kinema.simulation.world import check_action, check_fps, check_task

TRIES = 20
MOVING = ("x", "y", "vx", "vy", "angle", "visible", "camera")
"""Fields of a scene that have a value for each frame."""

StartSampler = Callable[[np.random.Generator, int], Tracks]
"""Draws the first frames of so many worlds: tracks [B, T, ...], T = window + 1."""


def random_walk(
    env: PlaygroundEnv, rng: np.random.Generator, model: Model, frames: int, *, change: float, active: float
) -> Tracks:
    """A new room's first frames as tracks [1, T, ...]; T is `frames`, or less if the task is done before.

    The robot chooses anew in a frame with probability `change`: a random action with probability `active`, else none.
    """
    env.reset(seed=int(rng.integers(2**31)))
    scenes, actions, rewards = [env.scene], [np.zeros(2, np.float32)], [0.0]
    action = np.zeros(2, np.float32)
    while len(scenes) < frames:
        if rng.random() < change:
            action = rng.uniform(-1, 1, 2).astype(np.float32) * float(rng.random() < active)
        _, reward, terminated, _, _ = env.step(action)
        actions[-1] = action
        if terminated:
            break
        scenes.append(env.scene)
        actions.append(np.zeros(2, np.float32))
        rewards.append(float(reward))
    moving: dict[str, Any] = {name: np.concatenate([getattr(scene, name) for scene in scenes]) for name in MOVING}
    tracks = tracks_of(replace(scenes[0], **moving), model.config.denoiser.slots, model.device)
    tracks["action"] = torch.from_numpy(np.stack(actions))[None].to(model.device)
    tracks["reward"] = torch.from_numpy(encode_reward(np.array([rewards], np.float32))).to(model.device)
    return tracks


def beginning(env: PlaygroundEnv, rng: np.random.Generator, model: Model, frames: int) -> Tracks:
    """The first frames of a Playground room as tracks [1, frames, ...], with random actions; its task does not end in them."""
    for _ in range(TRIES):
        tracks = random_walk(env, rng, model, frames, change=0.15, active=0.6)
        if tracks["reward"].shape[1] == frames:
            return tracks
    raise InputError(f"{TRIES} rooms ended within their first {frames} frames; give another task or scene distribution")


def observed_tracks(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """The `state` observation [B, K, len(FEATURES)] of one frame of many worlds, from their state tracks [B, K, F]."""
    scene = decode_slots(state[:, None])
    exists = scene["kind"] >= 0
    columns = [scene[name] for name in ("kind", "color", "material", "size")]
    columns += [scene[name][:, 0] for name in ("x", "y", "vx", "vy", "angle", "visible")]
    table = np.stack([np.asarray(column, np.float32) for column in columns], -1)
    table[..., 1:] *= exists[..., None]
    return np.clip(table, LOW, HIGH).astype(np.float32)


class ImaginedVectorEnv(WorldVectorEnv):
    """`num_envs` imagined rooms of one model, stepped in one forward pass each frame.

    model: a model, its name or folder. starts: where worlds begin, a function of a generator and their number; None: in fresh
    Playground rooms. window: frames remembered; fewer are faster. The others as of `PlaygroundEnv` and `WorldVectorEnv`.
    """

    model: Model

    def __init__(
        self,
        num_envs: int = 1,
        *,
        model: Model | str | None = None,
        task: str | None = "reach the flag",
        size: int = 64,
        fps: float = 16.0,
        observation: str = "pixels",
        render_mode: str | None = None,
        duration_s: float = 20.0,
        distribution: SceneDistribution | None = None,
        steps: int = 1,
        starts: StartSampler | None = None,
        window: int = WINDOW,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        check_count("window", window)
        if window > WINDOW:
            raise InputError(f"a window of {window} frames: expected 1 to {WINDOW}")
        if starts is not None and not callable(starts):
            raise InputError(f"starts {str(starts)[:40]!r}: expected a function of a generator and a number of worlds")
        model = resolve_model(model)
        check_fps(model, fps)
        if task is not None:
            check_task(model, task)
        self.task, self.size, self.observation, self.starts = task, size, observation, starts
        self.distribution = checked_distribution(distribution)
        if self.distribution.slots > model.config.denoiser.slots:
            raise InputError(
                f"a scene distribution of {self.distribution.slots} slots; {model.config.name} has {model.config.denoiser.slots}"
            )
        self._playground = PlaygroundEnv(
            task=task,
            size=size,
            fps=fps,
            observation=observation,
            duration_s=duration_s + (window + 1) / fps,
            distribution=self.distribution,
        )
        if observation != "state" or render_mode is not None:
            limits.check_size(model.config, (size, size))
        super().__init__(
            num_envs,
            model,
            observation_space=self._playground.observation_space,
            action_space=self._playground.action_space,
            tasks=[task or ""],
            fps=fps,
            duration_s=duration_s,
            steps=steps,
            window=window,
            render_mode=render_mode,
            autoreset_mode=autoreset_mode,
        )

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """New rooms for all. options: {"task": ...} changes the task from here on."""
        if options and "task" in options:
            task = options["task"]
            if task is not None:
                check_task(self.model, task)
            self.task, self.tasks = task, [task or ""]
            self._playground.task = None if task is None else Task.parse(task)
        return super().reset(seed=seed, options=options)

    def _initial_tracks(self, rng: np.random.Generator, count: int) -> Tracks:
        if self.starts is not None:
            return self.starts(rng, count)
        parts = [beginning(self._playground, rng, self.model, self.window + 1) for _ in range(count)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def restart(self, which: NDArray[np.bool_]) -> None:
        """Begin new rooms in some worlds (bool [B]), the others go on. Where all begin anew, so does the clock."""
        if np.all(which):
            self._begin()
        else:
            super().restart(which)

    def encode_action(self, action: Any) -> NDArray[np.float32]:
        return check_action(action)

    def encode_actions(self, actions: Any) -> torch.Tensor:
        given = np.asarray(actions, np.float32)
        if given.shape != (self.num_envs, 2):
            raise InputError(f"actions of shape {given.shape}: expected {(self.num_envs, 2)}, one pair for each world")
        if not np.isfinite(given).all() or np.abs(given).max() > 1:
            raise InputError("actions outside the space, or NaN: expected finite numbers in [-1, 1]")
        return torch.from_numpy(given).to(self.model.device)

    def _rewards(self) -> NDArray[np.float64]:
        return decode_reward(self._frame_states[-1].tracks["reward"].float().cpu().numpy()).astype(np.float64)

    def _terminations(self) -> NDArray[np.bool_]:
        """Which worlds end in this frame [B], drawn from the seeds of the frame before it."""
        return terminated(self._frame_states[-1], self._seeds(self.frame_index - 1))

    def scenes(self) -> list[Scene]:
        """The current state of each world, one frame each."""
        tracks = {name: self._frame_states[-1].tracks[name].float().cpu().numpy() for name in ("state", "camera", "scene")}
        return [
            decode_scene(*(tracks[name][i, None] for name in ("state", "camera", "scene")), fps=self.fps)
            for i in range(self.num_envs)
        ]

    def pixels(self) -> NDArray[np.uint8]:
        return np.asarray(render_frames(self.model, self._frame_states[-1:], self.size, self.size)[:, 0])

    def observe(self) -> Any:
        return observed(self.observation, self.pixels, self._states)

    def _states(self) -> NDArray[np.float32]:
        return observed_tracks(self._frame_states[-1].tracks["state"].float().cpu().numpy())[:, : self.distribution.slots]


class ImaginedEnv(WorldEnv):
    """One imagined room; all arguments as of `ImaginedVectorEnv`."""

    vector_env = ImaginedVectorEnv

    def _info(self, terminated: bool) -> dict[str, Any]:
        return {**super()._info(terminated), "success": terminated}

    @property
    def scene(self) -> Scene:
        """The current state, one frame long."""
        scene: Scene = self._many.scenes()[0]
        return scene
