"""The model of a recorded world as a Gymnasium environment, `kinema/Recorded-v0`, and as a world to play in.

    env = gymnasium.make("kinema/Recorded-v0", model="out/pong/world")
    many = gymnasium.make_vec("kinema/Recorded-v0", num_envs=16, model="out/pong/world")

Worlds begin with recorded frames that are stored beside the model. Actions are those of the recorded environment, and observations
are pictures of the recorded size. There are no slots, so there are no questions or edits.

Axes: B worlds, T frames.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from kinema.autoencoder import to_bytes
from kinema.canvas.canvas import TextCondition
from kinema.canvas.patchify import from_cells
from kinema.devices import AUTO
from kinema.envs.imagined import placed
from kinema.envs.spaces import check, decode, encode, space_of, width
from kinema.errors import InputError, ModelError
from kinema.inference.canvas_io import check_seed, resolve_model
from kinema.inference.rollout import FrameState, prefill, split_frames, step, terminated
from kinema.models.hub import Model, find
from kinema.scene.encoding import STATE_FEATURES
from kinema.simulation.checkpoint import packed, read, unpacked, write

STARTS = "starts.safetensors"
Tracks = dict[str, torch.Tensor]
REWIND_FRAMES = 64
"""Frames that can be rewound, beyond those in the model's window."""


def starts_of(model: Model) -> Tracks:
    """The recorded beginnings kept beside a model, tracks [N, T, ...] and "task" [N]."""
    if model.config.world is None:
        raise InputError(f"{model.config.name} is no model of a recorded world; step into it with kinema.World")
    path = find(model.source) / STARTS
    try:
        tracks = {name: x.float() if name == "video" else x for name, x in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); train the world again") from None
    batch, frames = tracks["reward"].shape[:2]
    state = torch.zeros(batch, frames, 1, STATE_FEATURES)
    state[..., 0] = -1.0
    nothing = {"state": state, "camera": torch.zeros(batch, frames, 3), "scene": torch.zeros(batch, frames, 6)}
    if not model.config.denoiser.sensors:
        tracks.pop("sensors", None)
    return {name: x.to(model.device) for name, x in (tracks | nothing).items()}


class RecordedVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` worlds of one model, stepped in one forward pass. duration_s: time limit. steps: of the sampler, each frame."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        model: Model | str | Path,
        duration_s: float = 60.0,
        steps: int = 1,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1 or steps < 1:
            raise InputError(f"{num_envs} environments, {steps} steps: expected at least 1 of each")
        self.model = resolve_model(str(model) if isinstance(model, Path) else model)
        self._recorded = starts_of(self.model)
        world: dict[str, Any] = self.model.config.world or {}
        self.spec_of_actions, self.fps = world["action"], float(world["fps"])
        self.scale, self.tasks = float(world["reward_scale"]), list(world["tasks"])
        height, across = world["size"]
        self.num_envs, self.steps, self.render_mode = num_envs, steps, render_mode
        self.metadata = {**self.metadata, "render_fps": round(self.fps)}
        self.max_steps = max(1, round(duration_s * self.fps))
        self.single_observation_space = gym.spaces.Box(0, 255, (height, across, 3), np.uint8)
        self.single_action_space = space_of(self.spec_of_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._frame_states: list[FrameState] = []
        self._texts: dict[str, TextCondition | None] = {}

    @property
    def window(self) -> int:
        """Number of cached frames that a step reads."""
        return self.model.config.window

    def _condition(self, which: torch.Tensor) -> TextCondition | None:
        if not any(self.tasks):
            return None
        parts = []
        for number in which.tolist():
            task = self.tasks[number]
            if task not in self._texts:
                spans = [(task or " ", 0.0, 1e9)]
                self._texts[task] = self.model.condition(spans, torch.zeros(1, 1, device=self.model.device))
            parts.append(self._texts[task])
        if not any(parts):
            return None
        width = max(part.states.shape[1] for part in parts if part is not None)
        states = torch.zeros(len(parts), width, self.model.config.denoiser.text_dim, device=self.model.device)
        reads = torch.zeros(len(parts), 1, width, dtype=torch.bool, device=self.model.device)
        for row, part in enumerate(parts):
            if part is not None:
                states[row, : part.states.shape[1]] = part.states[0]
                reads[row, 0, : part.reads.shape[2]] = part.reads[0, 0]
        return TextCondition(states=states, reads=reads)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """New beginnings for all."""
        first = seed[0] if isinstance(seed, list) else seed
        if first is not None or not self._frame_states:
            super().reset(seed=first)
            self._rng = np.random.default_rng(first)
        self._seed = check_seed(int(self._rng.integers(2**31)))
        self._task = torch.zeros(self.num_envs, dtype=torch.long)
        self._frame_states = self._initial_states(np.arange(self.num_envs), 0.0)
        self._text = self._condition(self._task)
        self._done = np.zeros(self.num_envs, bool)
        self._count = np.zeros(self.num_envs, np.int64)
        return self.observe(), {}

    def _initial_states(self, index: NDArray[np.int64], start_s: float) -> list[FrameState]:
        """Beginnings for the worlds of this index; none of them has ended."""
        ended = (self._recorded["terminated"][..., 0] > 0).any(1).cpu().numpy()
        usable = np.flatnonzero(~ended) if (~ended).any() else np.arange(len(ended))
        rows = torch.from_numpy(self._rng.choice(usable, len(index)))
        self._task[torch.from_numpy(index)] = self._recorded["task"].cpu()[rows].long()
        tracks = {name: x[rows.to(x.device)] for name, x in self._recorded.items() if name != "task"}
        states = [replace(m, acted=True) for m in split_frames(tracks, start_s, self.fps)]
        return prefill(self.model, states, self._condition(self._task[torch.from_numpy(index)]), window=self.window)

    def restart(self, which: NDArray[np.bool_]) -> None:
        """Begin some worlds (bool [B]) again; their past frames are replaced as well. The other worlds go on."""
        index = np.flatnonzero(which)
        self._count[index], self._done[index] = 0, False
        frames = self._recorded["reward"].shape[1]
        old = self._frame_states[-frames:]
        new = self._initial_states(index, old[0].time_s)
        rows = torch.from_numpy(index).to(self.model.device)
        self._frame_states = [placed(a, b, rows, self.num_envs) for a, b in zip(old, new, strict=True)]
        self._text = self._condition(self._task)

    def encode_actions(self, actions: Any) -> torch.Tensor:
        """Actions of the environment, encoded for the model [B, D]; InputError for invalid ones."""
        try:
            each = list(iterate(self.action_space, actions))
        except (TypeError, ValueError, KeyError, IndexError):
            raise InputError(f"actions {str(actions)[:60]}: expected those of {self.action_space}") from None
        if len(each) != self.num_envs:
            raise InputError(f"{len(each)} actions for {self.num_envs} worlds: expected one for each")
        for action in each:
            check(self.spec_of_actions, action)
        return torch.from_numpy(np.stack([encode(self.spec_of_actions, action) for action in each])).to(self.model.device)

    def _seeds(self) -> list[int]:
        number = round(self._frame_states[-1].time_s * self.fps)
        return [(self._seed * 1_000_003 + number * 4099 + i) % 2**62 for i in range(self.num_envs)]

    def ended(self) -> NDArray[np.bool_]:
        """Which worlds end in this frame, drawn with the model's termination probability."""
        return terminated(self._frame_states[-1], self._seeds())

    def advance(self, action: torch.Tensor) -> None:
        """Step one frame with actions that are encoded (`encode_actions`)."""
        seeds = self._seeds()
        last, new = step(
            self.model,
            self._frame_states,
            action,
            fps=self.fps,
            seeds=seeds,
            steps=self.steps,
            text=self._text,
            window=self.window,
        )
        self._frame_states = [*self._frame_states[-self.window - REWIND_FRAMES : -1], last, new]

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One frame further in every world."""
        if not self._frame_states:
            raise InputError("step before reset: call reset() first")
        over = self._done.copy()
        self.advance(self.encode_actions(actions))
        self._count += 1
        new = self._frame_states[-1]
        reward = new.tracks["reward"][:, 0].float().cpu().numpy().astype(np.float64) * self.scale
        terminated = self.ended()
        truncated = (self._count >= self.max_steps) & ~terminated
        if over.any():
            self.restart(over)
            reward[over], terminated[over], truncated[over] = 0.0, False, False
        self._done = terminated | truncated
        return self.observe(), reward, terminated, truncated, {}

    def observe(self) -> NDArray[np.uint8]:
        """The pictures now, uint8 [B, H, W, 3]."""
        cells = self._frame_states[-1].tracks["video"][:, None].float()
        shown = to_bytes(self.model.autoencoder.decode(from_cells(cells, self.model.config.denoiser.patch)))
        return np.ascontiguousarray(shown[:, 0])

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each world."""
        return tuple(self.observe()) if self.render_mode == "rgb_array" else None


class RecordedEnv(gym.Env[NDArray[np.uint8], Any]):
    """One such world; all arguments as in `RecordedVectorEnv`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        self._many = RecordedVectorEnv(1, **options)
        self.render_mode = self._many.render_mode
        self.metadata = {**self.metadata, "render_fps": round(self._many.fps)}
        self.observation_space = self._many.single_observation_space
        self.action_space = self._many.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new beginning."""
        super().reset(seed=seed)
        frames, _ = self._many.reset(seed=int(self.np_random.integers(2**31)))
        return frames[0], self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One frame further."""
        many = self._many
        check(many.spec_of_actions, action)
        if not many._frame_states:
            raise InputError("step before reset: call reset() first")
        many.advance(torch.from_numpy(encode(many.spec_of_actions, action))[None].to(many.model.device))
        many._count += 1
        new = many._frame_states[-1]
        over = bool(many.ended()[0])
        cut = bool(many._count[0] >= many.max_steps) and not over
        return many.observe()[0], float(new.tracks["reward"][0, 0]) * many.scale, over, cut, self._info()

    def _info(self) -> dict[str, Any]:
        return {"task": self._many.tasks[int(self._many._task[0])] if self._many.tasks else ""}

    def render(self) -> NDArray[np.uint8] | None:
        """The current picture."""
        return self._many.observe()[0] if self.render_mode == "rgb_array" else None


class RecordedWorld:
    """One recorded world to play in, with the interface that `kinema play` needs."""

    def __init__(self, model: Model | str | Path, *, seed: int = 0, device: str | torch.device = AUTO) -> None:
        self._many = RecordedVectorEnv(1, model=resolve_model(str(model) if isinstance(model, Path) else model, device))
        self._many.reset(seed=seed)
        self.fps, self.task = self._many.fps, None
        self._idle = int((self._many.model.config.world or {}).get("idle", 0))
        self._choices = (
            int(self._many.spec_of_actions.get("n", 0)) if self._many.spec_of_actions["type"] == "discrete" else 0
        )

    def branch(self) -> RecordedWorld:
        """Another world that shares the past."""
        other = object.__new__(RecordedWorld)
        many = object.__new__(RecordedVectorEnv)
        many.__dict__ = {**self._many.__dict__, "_frame_states": list(self._many._frame_states)}
        other.__dict__ = {**self.__dict__, "_many": many}
        return other

    @property
    def past_frames(self) -> int:
        """Frames that can be rewound."""
        return max(len(self._many._frame_states) - self._many.window - 1, 0)

    def rewind(self, frames: int = 16) -> RecordedWorld:
        """Go back by some frames and drop the later ones. Returns the world itself."""
        if not 0 <= frames <= self.past_frames:
            raise InputError(f"{frames} frames back: expected 0 to {self.past_frames}, which this world remembers")
        if frames:
            self._many._frame_states = self._many._frame_states[:-frames]
        return self

    @property
    def time_s(self) -> float:
        return self._many._frame_states[-1].time_s

    @property
    def frame(self) -> NDArray[np.uint8]:
        return np.asarray(self._many.observe()[0])

    @property
    def reward(self) -> float:
        return float(self._many._frame_states[-1].tracks["reward"][0, 0]) * self._many.scale

    @property
    def terminated(self) -> bool:
        return bool(self._many.ended()[0])

    def go(self, action: Any) -> RecordedWorld:
        """One frame further, by an action of the recorded environment."""
        check(self._many.spec_of_actions, action)
        self._many.advance(torch.from_numpy(encode(self._many.spec_of_actions, action))[None].to(self._many.model.device))
        return self

    def _advance(self, frames: int, action: Any = None) -> RecordedWorld:
        """Step some frames. action: the number of a discrete action, two numbers for a continuous one, or None for no action. For
        composed actions the number counts the choices of all parts in order."""
        spec = self._many.spec_of_actions
        nothing = np.zeros(sum(1 for _ in spec.get("edges", [])), np.float32)
        for _ in range(frames):
            if self._choices:
                which = min(action, self._choices - 1) if isinstance(action, int) else self._idle
                self.go(which + spec["start"])
            elif spec["type"] == "box":
                pair = np.asarray(action if action is not None and not isinstance(action, int) else (), np.float32)
                given = nothing.copy()
                given[: min(len(pair), len(given))] = pair[: len(given)]
                low, high = self._many.single_action_space.low, self._many.single_action_space.high  # type: ignore[attr-defined]
                self.go(np.clip(given.reshape(spec["shape"]), low, high).astype(spec["dtype"]))
            else:
                vector = np.zeros(width(spec), np.float32)
                if isinstance(action, int) and action < len(vector):
                    vector[action] = 2.0
                self.go(decode(spec, vector))
        return self

    def ask(self, question: str) -> Any:
        raise InputError("a recorded world has no slots, so nothing can be asked of it; kinema-tiny's worlds can")

    edit = ask

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Save the world in one file, from which `RecordedWorld.open` continues bit for bit.

        OutputError: the path exists and force is False, a full disk, no permission.
        """
        many = self._many
        data = {
            "model": many.model.source,
            "seed": many._seed,
            "task": many._task,
            "count": int(many._count[0]),
            "moments": packed(many._frame_states),
        }
        return write(Path(path), "dream", data, force=force)

    @staticmethod
    def open(
        path: str | Path, *, model: Model | str | Path | None = None, device: str | torch.device = AUTO
    ) -> RecordedWorld:
        """A saved world, with the model that it was saved with unless another is given; device: where a named model computes."""
        data = read(Path(path), "dream")
        try:
            dream = RecordedWorld(model or data["model"], device=device)
            many = dream._many
            many._seed, many._task = data["seed"], data["task"]
            many._count[:] = data["count"]
            many._text = many._condition(many._task)
            many._frame_states = unpacked(data["moments"], many.model.device)
            return dream
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise InputError(f"{path} is not a saved world ({type(error).__name__}: {str(error).splitlines()[0]})") from None
