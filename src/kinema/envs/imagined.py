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

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from kinema.envs.playground import HIGH, LOW, PlaygroundEnv
from kinema.envs.window import Window
from kinema.errors import InputError
from kinema.inference import limits
from kinema.inference.canvas_io import check_seed, resolve_model
from kinema.inference.keyframes import tracks_of
from kinema.inference.rollout import WINDOW, FrameState, prefill, render_frames, split_frames, step
from kinema.inference.rollout import terminated as happened
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution, tiny
from kinema.scene.encoding import decode_reward, decode_scene, decode_slots, encode_reward
from kinema.scene.scene import Scene
from kinema.simulation.world import check_action, check_fps, check_task

TRIES = 20

Tracks = dict[str, torch.Tensor]
Starts = Callable[[np.random.Generator, int], Tracks]
"""Draws the first frames of so many worlds: tracks [B, T, ...], T = window + 1."""


def beginning(env: PlaygroundEnv, rng: np.random.Generator, model: Model, frames: int) -> Tracks:
    """The first frames of a Playground room as tracks [1, frames, ...], with random actions; its task does not end in them."""
    for _ in range(TRIES):
        env.reset(seed=int(rng.integers(2**31)))
        scenes, actions, rewards = [env.scene], [np.zeros(2, np.float32)], [0.0]
        action, terminated = np.zeros(2, np.float32), False
        for _ in range(frames - 1):
            if rng.random() < 0.15:
                action = rng.uniform(-1, 1, 2).astype(np.float32) * float(rng.random() < 0.6)
            _, reward, terminated, _, _ = env.step(action)
            actions[-1] = action
            scenes.append(env.scene)
            actions.append(np.zeros(2, np.float32))
            rewards.append(float(reward))
            if terminated:
                break
        if not terminated:
            moving: dict[str, Any] = {
                name: np.concatenate([getattr(scene, name) for scene in scenes])
                for name in ("x", "y", "vx", "vy", "angle", "visible", "camera")
            }
            tracks = tracks_of(replace(scenes[0], **moving), model.config.denoiser.slots, model.device)
            tracks["action"] = torch.from_numpy(np.stack(actions))[None].to(model.device)
            tracks["reward"] = torch.from_numpy(encode_reward(np.array([rewards], np.float32))).to(model.device)
            return tracks
    raise InputError(f"{TRIES} rooms ended within their first {frames} frames; give another task or diet")


def observed_tracks(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """The `state` observation [B, K, len(FEATURES)] of one frame of many worlds, from their state tracks [B, K, F]."""
    scene = decode_slots(state[:, None])
    exists = scene["kind"] >= 0
    columns = [scene[name] for name in ("kind", "color", "material", "size")]
    columns += [scene[name][:, 0] for name in ("x", "y", "vx", "vy", "angle", "visible")]
    table = np.stack([np.asarray(column, np.float32) for column in columns], -1)
    table[..., 1:] *= exists[..., None]
    return np.clip(table, LOW, HIGH).astype(np.float32)


class ImaginedVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` worlds of one model, stepped in one forward pass each frame.

    model: a model, its name or folder. Everything else as in `PlaygroundEnv`. steps: of the sampler, each frame. starts: where
    worlds begin, a function of a generator and their number; None: in fresh Playground rooms. window: frames remembered;
    fewer are faster. An ended world starts anew at the step after its last.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

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
        diet: SceneDistribution | None = None,
        steps: int = 1,
        starts: Starts | None = None,
        window: int = WINDOW,
    ) -> None:
        if not 1 <= window <= WINDOW:
            raise InputError(f"a window of {window} frames: expected 1 to {WINDOW}")
        if num_envs < 1:
            raise InputError(f"{num_envs} environments: expected at least 1")
        self.model = resolve_model(model)
        if self.model.config.world is not None:
            raise InputError(f"{self.model.config.name} is a recorded world; use kinema/Recorded-v0")
        check_fps(self.model, fps)
        if steps < 1:
            raise InputError(f"{steps} steps: expected 1 or more")
        self.diet = diet or tiny()
        if task is not None:
            check_task(self.model, task)
        slots = self.model.config.denoiser.slots
        if self.diet.slots > slots:
            raise InputError(f"a diet of {self.diet.slots} slots; {self.model.config.name} has {slots}")
        self._playground = PlaygroundEnv(
            task=task,
            size=size,
            fps=fps,
            observation=observation,
            duration_s=duration_s + (window + 1) / fps,
            diet=self.diet,
        )
        if observation != "state" or render_mode is not None:
            limits.check_size(self.model.config, (size, size))
        self.window = window
        self.num_envs, self.size, self.fps, self.observation = num_envs, size, fps, observation
        self.render_mode, self.steps, self.max_steps = render_mode, steps, max(1, round(duration_s * fps))
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode {render_mode!r}: expected None or {', '.join(self.metadata['render_modes'])}")
        self.starts = starts
        self.single_observation_space = self._playground.observation_space
        self.single_action_space = self._playground.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.task = task
        self._text = None
        if task is not None:
            silent = torch.zeros(num_envs, 1, device=self.model.device)
            self._text = self.model.condition([(task, 0.0, 1e9)], silent)
        self._frame_states: list[FrameState] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """New rooms for all."""
        first = seed[0] if isinstance(seed, list) else seed
        if first is not None or not self._frame_states:
            super().reset(seed=first)
            self._rng = np.random.default_rng(first)
        self._seed = check_seed(int(self._rng.integers(2**31)))
        self._frame_states = self._initial_states(self._initial_tracks(self.num_envs), 0.0)
        self._done = np.zeros(self.num_envs, bool)
        self._count = np.zeros(self.num_envs, np.int64)
        return self.observe(), {}

    def _initial_tracks(self, count: int) -> Tracks:
        if self.starts is not None:
            return self.starts(self._rng, count)
        parts = [beginning(self._playground, self._rng, self.model, self.window + 1) for _ in range(count)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _initial_states(self, tracks: Tracks, start_s: float, text: Any = None) -> list[FrameState]:
        states = [replace(m, acted=True) for m in split_frames(tracks, start_s, self.fps)]
        return prefill(self.model, states, self._text if text is None else text, window=self.window)

    def restart(self, which: NDArray[np.bool_]) -> None:
        """Begin new rooms in some worlds (bool [B]); their past frames are replaced as well. The other worlds go on."""
        index = np.flatnonzero(which)
        self._count[index], self._done[index] = 0, False
        tracks = self._initial_tracks(len(index))
        if len(index) == self.num_envs:
            self._frame_states = self._initial_states(tracks, 0.0)
            return
        text = self._text and replace(
            self._text, states=self._text.states[: len(index)], reads=self._text.reads[: len(index)]
        )
        recent = self._frame_states[-self.window - 1 :]
        replacements = self._initial_states(tracks, recent[0].time_s, text)
        rows = torch.from_numpy(index).to(self.model.device)
        self._frame_states = [placed(old, new, rows, self.num_envs) for old, new in zip(recent, replacements, strict=True)]

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One frame further in every world."""
        if not self._frame_states:
            raise InputError("step before reset: call reset() first")
        given = np.asarray(actions, np.float32)
        if given.shape != (self.num_envs, 2):
            raise InputError(f"actions of shape {given.shape}: expected {(self.num_envs, 2)}, one pair for each world")
        if not np.isfinite(given).all() or np.abs(given).max() > 1:
            raise InputError("actions outside the space, or NaN: expected finite numbers in [-1, 1]")
        ended = self._done.copy()
        action_tensor = torch.from_numpy(given).to(self.model.device)
        number = round(self._frame_states[-1].time_s * self.fps)
        seeds = [(self._seed * 1_000_003 + number * 4099 + i) % 2**62 for i in range(self.num_envs)]
        last, new = step(
            self.model,
            self._frame_states,
            action_tensor,
            fps=self.fps,
            seeds=seeds,
            steps=self.steps,
            text=self._text,
            window=self.window,
        )
        self._frame_states = [*self._frame_states[-self.window : -1], last, new]
        self._count += 1
        reward = decode_reward(new.tracks["reward"].float().cpu().numpy()).astype(np.float64)
        terminated = happened(new, seeds)
        truncated = (self._count >= self.max_steps) & ~terminated
        if ended.any():
            self.restart(ended)
            reward[ended], terminated[ended], truncated[ended] = 0.0, False, False
        self._done = terminated | truncated
        return self.observe(), reward, terminated, truncated, {}

    def scenes(self) -> list[Scene]:
        """The current state of each world, one frame each."""
        tracks = {name: self._frame_states[-1].tracks[name].float().cpu().numpy() for name in ("state", "camera", "scene")}
        return [
            decode_scene(*(tracks[name][i, None] for name in ("state", "camera", "scene")), fps=self.fps)
            for i in range(self.num_envs)
        ]

    def _pixels(self) -> NDArray[np.uint8]:
        return np.asarray(render_frames(self.model, self._frame_states[-1:], self.size, self.size)[:, 0])

    def observe(self) -> Any:
        """The current observation of all worlds."""
        if self.observation == "pixels":
            return self._pixels()
        state = observed_tracks(self._frame_states[-1].tracks["state"].float().cpu().numpy())[:, : self.diet.slots]
        return state if self.observation == "state" else {"pixels": self._pixels(), "state": state}

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each world."""
        return tuple(self._pixels()) if self.render_mode == "rgb_array" else None


def placed(old: FrameState, new: FrameState, rows: torch.Tensor, batch: int) -> FrameState:
    """`old` with the samples `rows` replaced by those of `new`, which is as large as `rows`."""
    tracks = {name: x.clone().index_copy(0, rows, new.tracks[name].to(x.dtype)) for name, x in old.tracks.items()}
    if old.kv is None or new.kv is None:
        return replace(old, tracks=tracks, kv=None)
    kv = []
    for (k, v), (new_k, new_v) in zip(old.kv, new.kv, strict=True):
        tokens = len(k) // batch
        token_rows = (rows[:, None] * tokens + torch.arange(tokens, device=rows.device)).flatten()
        kv.append((k.index_copy(0, token_rows, new_k), v.index_copy(0, token_rows, new_v)))
    return replace(old, tracks=tracks, kv=tuple(kv))


class ImaginedEnv(gym.Env[Any, NDArray[np.float32]]):
    """One such world; all arguments as in `ImaginedVectorEnv`."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 16}  # noqa: RUF012

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode {render_mode!r}: expected None, 'rgb_array' or 'human'")
        self._many = ImaginedVectorEnv(1, **options)
        self.render_mode = render_mode
        self._window = Window() if render_mode == "human" else None
        self.metadata = {**self.metadata, "render_fps": round(self._many.fps)}
        self.observation_space = self._many.single_observation_space
        self.action_space = self._many.single_action_space

    def _first(self, observation: Any) -> Any:
        if isinstance(observation, dict):
            return {name: value[0] for name, value in observation.items()}
        return observation[0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new room. options: {"task": ...} changes the task from here on."""
        super().reset(seed=seed)
        if options and "task" in options and options["task"] != self._many.task:
            many = self._many
            self._many = ImaginedVectorEnv(
                1, model=many.model, task=options["task"], size=many.size, fps=many.fps, observation=many.observation,
                duration_s=many.max_steps / many.fps, diet=many.diet, steps=many.steps,
                starts=many.starts, window=many.window,
            )  # fmt: skip
        observation, _ = self._many.reset(seed=int(self.np_random.integers(2**31)))
        self._show()
        return self._first(observation), self._info(False)

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self._many._pixels()[0], self._many.fps)

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One frame further."""
        pair = check_action(action)
        observation, reward, terminated, truncated, _ = self._many.step(pair[None])
        self._many._done[:] = False
        ended = bool(terminated[0])
        self._show()
        return self._first(observation), float(reward[0]), ended, bool(truncated[0]), self._info(ended)

    def _info(self, success: bool) -> dict[str, Any]:
        return {"task": self._many.task, "success": success}

    @property
    def scene(self) -> Scene:
        """The current state, one frame long."""
        return self._many.scenes()[0]

    def render(self) -> NDArray[np.uint8] | None:
        """The current picture, uint8 [size, size, 3]; in mode "human" it is shown in a window instead."""
        self._show()
        return self._many._pixels()[0] if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
