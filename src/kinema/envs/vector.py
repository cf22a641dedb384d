"""Worlds of a model as Gymnasium environments, many side by side (`WorldVectorEnv`) or one (`WorldEnv`).

What is common to imagined rooms and recorded worlds: spaces, seeds, time limits, starting anew, pictures and closing.

Axes: B worlds, T frames, D numbers of an encoded action.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from kinema.canvas.canvas import TextCondition, Tracks
from kinema.devices import float32_default, use_one_thread_if_forked
from kinema.diffusion.seeds import frame_seed, row_seeds
from kinema.envs.window import RenderedEnv, check_count, check_render_mode, check_time_limit
from kinema.errors import InputError
from kinema.inference.canvas_io import check_seed
from kinema.inference.frame_state import FrameState
from kinema.inference.rollout import Rollout, split_frames, task_condition
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model

StepResult = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


def autoreset_mode_of(mode: Any) -> AutoresetMode:
    """Gymnasium's mode, from itself or its value; InputError names those that there are."""
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise InputError(f"autoreset_mode {mode!r}: expected {', '.join(one.value for one in AutoresetMode)}") from None


def first_of(observation: Any) -> Any:
    """The observation of the first world, from that of all."""
    return {name: x[0] for name, x in observation.items()} if isinstance(observation, dict) else observation[0]


class WorldVectorEnv(Rollout, VectorEnv[Any, Any, Any]):
    """`num_envs` worlds of one model, stepped in one forward pass each frame.

    A subclass says where worlds begin, how actions are encoded, and what is observed and rewarded. tasks: those that worlds may
    have, "" for none. duration_s: time limit. steps: of the sampler, each frame. window: frames that a step reads.
    autoreset_mode: Gymnasium's; an ended world starts anew at the step after its last, in the same step, or never by itself.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 16}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        model: Model | DiTModel,
        *,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        tasks: list[str],
        fps: float,
        duration_s: float,
        steps: int,
        window: int,
        render_mode: str | None,
        autoreset_mode: AutoresetMode | str,
    ) -> None:
        check_count("num_envs", num_envs)
        check_count("steps", steps)
        check_time_limit(duration_s)
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.metadata = {**self.metadata, "render_fps": round(fps), "autoreset_mode": self.autoreset_mode}
        self.model, self.num_envs, self.tasks = model, num_envs, tasks
        self.fps, self.steps, self.window = fps, steps, window
        self.max_steps = max(1, round(duration_s * fps))
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self._frame_states = []
        self._own: dict[int, np.random.Generator] = {}
        """Generators of worlds that were seeded each by a number of its own."""
        self._own_seeds: dict[int, int] = {}
        self._texts: dict[str, TextCondition | None] = {}

    # What a subclass gives

    @abstractmethod
    def _initial_tracks(self, rng: np.random.Generator, count: int) -> Tracks:
        """The first frames of so many worlds, tracks [count, T, ...]; "task" [count], if there, indexes `tasks`."""

    @abstractmethod
    def encode_action(self, action: Any) -> NDArray[np.float32]:
        """One action, encoded for the model [D]; InputError for an invalid one."""

    @abstractmethod
    def _rewards(self) -> NDArray[np.float64]:
        """The rewards of the current frame [B]."""

    @abstractmethod
    def pixels(self) -> NDArray[np.uint8]:
        """The current pictures, uint8 [B, H, W, 3]."""

    def observe(self) -> Any:
        """The current observation of all worlds."""
        return self.pixels()

    def encode_actions(self, actions: Any) -> torch.Tensor:
        """An action for each world, encoded for the model [B, D]; InputError for invalid ones."""
        try:
            each = list(iterate(self.action_space, actions))
        except (TypeError, ValueError, KeyError, IndexError):
            raise InputError(f"actions {str(actions)[:60]}: expected those of {self.action_space}") from None
        if len(each) != self.num_envs:
            raise InputError(f"{len(each)} actions for {self.num_envs} worlds: expected one for each")
        return torch.from_numpy(np.stack([self.encode_action(action) for action in each])).to(self.model.device)

    # Beginning

    @float32_default()
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """New worlds for all.

        seed: a number for all together; or one for each world, which then begins and goes on by its own seed alone (None: as it
        would without a seed). options: {"reset_mask": bool [B]} begins only these anew. InputError: a seed or mask that cannot be
        used.
        A number with a mask seeds the masked worlds alone.
        """
        use_one_thread_if_forked()
        seeds = self._seeds_of(seed)
        mask = (options or {}).get("reset_mask")
        which = None if mask is None or not self._frame_states else self._mask_of(mask)
        if isinstance(seeds, int) and which is not None:
            seeds = np.random.default_rng(seeds).integers(2**31, size=self.num_envs).tolist()
        if isinstance(seeds, int) or not self._frame_states:
            super().reset(seed=seeds if isinstance(seeds, int) else None)
            self._rng = np.random.default_rng(seeds if isinstance(seeds, int) else None)
            self._own, self._own_seeds = {}, {}
        if isinstance(seeds, list):
            self._seed_each(seeds, np.ones(self.num_envs, bool) if which is None else which)
        if which is not None:
            if which.any():
                self.restart(which)
            return self.observe(), {}
        self._seed = check_seed(int(self._rng.integers(2**31)))
        if not isinstance(seeds, list):
            self._own_seeds = {i: int(rng.integers(2**31)) for i, rng in self._own.items()}
        self._begin()
        return self.observe(), {}

    def _seeds_of(self, seed: Any) -> int | list[int | None] | None:
        """The seed of all, or those of each world; None: go on with the generators as they are."""
        if isinstance(seed, np.ndarray) and seed.ndim == 1:
            seed = seed.tolist()
        if not isinstance(seed, list | tuple):
            return None if seed is None else check_seed(seed)
        if len(seed) != self.num_envs:
            raise InputError(f"{len(seed)} seeds for {self.num_envs} worlds: expected one for each, or one number for all")
        if all(one is None for one in seed):
            return None
        return [None if one is None else check_seed(one) for one in seed]

    def _seed_each(self, seeds: list[int | None], which: NDArray[np.bool_]) -> None:
        """Give worlds (bool [B]) generators of their own; those without a seed keep theirs, if they have one."""
        for i in np.flatnonzero(which).tolist():
            seed = seeds[i]
            if seed is not None:
                self._own[i] = np.random.default_rng(seed)
            if i in self._own:
                self._own_seeds[i] = int(self._own[i].integers(2**31))

    def _drawn_tracks(self, index: NDArray[np.int64]) -> Tracks:
        """The first frames of these worlds, each drawn from its own generator if worlds have some."""
        if not self._own:
            return self._initial_tracks(self._rng, len(index))
        parts = [self._initial_tracks(self._own.get(int(i), self._rng), 1) for i in index]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _mask_of(self, mask: Any) -> NDArray[np.bool_]:
        which = np.asarray(mask)
        if which.dtype != np.bool_ or which.shape != (self.num_envs,):
            raise InputError(f"reset_mask {str(mask)[:60]}: expected {self.num_envs} booleans, one for each world")
        return which

    def _begin(self) -> None:
        everyone = np.arange(self.num_envs)
        self._task = torch.zeros(self.num_envs, dtype=torch.long)
        self._done, self._count = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, np.int64)
        self._frame_states = self._initial_states(self._drawn_tracks(everyone), everyone, 0.0)
        self._text = self._condition(self._task)

    def _initial_states(self, tracks: Tracks, index: NDArray[np.int64], start_s: float) -> list[FrameState]:
        rows = torch.from_numpy(index)
        self._task[rows] = tracks.get("task", torch.zeros(len(index))).long().cpu()
        states = split_frames({name: x for name, x in tracks.items() if name != "task"}, start_s, self.fps)
        states = [replace(state, acted=True) for state in states]
        return self._prefilled(states, self._condition(self._task[rows]))

    def restart(self, which: NDArray[np.bool_]) -> None:
        """Begin some worlds (bool [B]) anew; their past frames are replaced as well. The other worlds go on."""
        index = np.flatnonzero(which)
        self._count[index], self._done[index] = 0, False
        tracks = self._drawn_tracks(index)
        recent = self._frame_states[-tracks["reward"].shape[1] :]
        replacements = self._initial_states(tracks, index, recent[0].time_s)
        rows = torch.from_numpy(index).to(self.model.device)
        self._frame_states = [placed(old, new, rows, self.num_envs) for old, new in zip(recent, replacements, strict=True)]
        self._text = self._condition(self._task)

    def _condition(self, tasks: torch.Tensor) -> TextCondition | None:
        """The text of worlds with these tasks [B]; None if no task has any."""
        names = [self.tasks[number] for number in tasks.tolist()]
        for name in set(names) - self._texts.keys():
            self._texts[name] = task_condition(self.model, name)
        parts = [self._texts[name] for name in names]
        if not any(parts):
            return None
        width = max(part.states.shape[1] for part in parts if part is not None)
        dim = next(part.states.shape[2] for part in parts if part is not None)
        states = torch.zeros(len(parts), width, dim, device=self.model.device)
        reads = torch.zeros(len(parts), 1, width, dtype=torch.bool, device=self.model.device)
        for row, part in enumerate(parts):
            if part is not None:
                states[row, : part.states.shape[1]] = part.states[0]
                reads[row, 0, : part.reads.shape[2]] = part.reads[0, 0]
        return TextCondition(states=states, reads=reads)

    # Stepping

    def check_begun(self) -> None:
        """InputError before the first reset."""
        if not self._frame_states:
            raise InputError("step before reset: call reset() first")

    def _seeds(self, frame: int) -> list[int]:
        seeds = row_seeds(self._seed, frame, self.num_envs)
        for i, seed in self._own_seeds.items():
            seeds[i] = frame_seed(seed, frame)
        return seeds

    def _forget(self) -> None:
        del self._frame_states[: -self.window - 1]

    def step(self, actions: Any) -> StepResult:
        """One frame further in every world."""
        self.check_begun()
        return self.step_encoded(self.encode_actions(actions))

    @float32_default()
    def step_encoded(self, actions: torch.Tensor) -> StepResult:
        """`step` with actions that are encoded already [B, D]."""
        self._predict(actions)
        self._count += 1
        reward, terminated = self._rewards(), self._terminations()
        truncated = (self._count >= self.max_steps) & ~terminated
        infos: dict[str, Any] = {}
        before, self._done = self._done, terminated | truncated
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and before.any():
            reward[before], terminated[before], truncated[before] = 0.0, False, False
            self.restart(before)
        elif self.autoreset_mode is AutoresetMode.SAME_STEP and self._done.any():
            ended = self._done.copy()
            infos = {"final_obs": self._final(ended), "_final_obs": ended}
            self.restart(ended)
        return self.observe(), reward, terminated, truncated, infos

    def _final(self, ended: NDArray[np.bool_]) -> NDArray[np.object_]:
        """The current observation of each ended world, None for the others."""
        each = np.full(self.num_envs, None, dtype=object)
        for i, observation in enumerate(iterate(self.observation_space, self.observe())):
            each[i] = observation if ended[i] else None
        return each

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each world."""
        return tuple(self.pixels()) if self.render_mode == "rgb_array" else None


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


class WorldEnv(RenderedEnv):
    """One such world; all arguments as of the vector environment."""

    vector_env: ClassVar[type[WorldVectorEnv]]

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        use_one_thread_if_forked()
        if "autoreset_mode" in options:
            raise InputError("autoreset_mode is of gymnasium.make_vec; one environment is reset by its user")
        shown = "rgb_array" if render_mode == "human" else render_mode
        self._many: Any = self.vector_env(1, render_mode=shown, autoreset_mode=AutoresetMode.DISABLED, **options)
        super().__init__(render_mode, self._many.fps)
        self.observation_space, self.action_space = self._many.single_observation_space, self._many.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new beginning; options as of the vector environment."""
        super().reset(seed=seed)
        observation, _ = self._many.reset(seed=int(self.np_random.integers(2**31)), options=options)
        self._show()
        return first_of(observation), self._info(False)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One frame further."""
        many = self._many
        many.check_begun()
        encoded = torch.from_numpy(many.encode_action(action))[None].to(many.model.device)
        observation, reward, terminated, truncated, _ = many.step_encoded(encoded)
        self._show()
        ended = bool(terminated[0])
        return first_of(observation), float(reward[0]), ended, bool(truncated[0]), self._info(ended)

    def _info(self, terminated: bool) -> dict[str, Any]:
        return {"task": self._many.task}

    def pixels(self) -> NDArray[np.uint8]:
        return np.asarray(self._many.pixels()[0])
