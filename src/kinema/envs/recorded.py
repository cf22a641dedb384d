"""The model of a recorded world as a Gymnasium environment, `kinema/Recorded-v0`, and as a world to play in.

    env = gymnasium.make("kinema/Recorded-v0", model="out/pong/world")
    many = gymnasium.make_vec("kinema/Recorded-v0", num_envs=16, model="out/pong/world")

Worlds begin with recorded frames that are stored beside the model. Actions are those of the recorded environment, and observations
are pictures of the recorded size. There are no slots, so there are no questions or edits.

Axes: B worlds, T frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from kinema.autoencoder import to_uint8
from kinema.canvas.canvas import Tracks
from kinema.devices import AUTO, float32_default, resolve_device
from kinema.envs.spaces import check, decode_action, encode_action, space_of, width
from kinema.envs.vector import WorldEnv, WorldVectorEnv
from kinema.errors import InputError, ModelError
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model, find, load
from kinema.simulation.checkpoint import checked, packed, read_world_data, unpacked, write_world_data

STARTS = "starts.safetensors"
REWIND_FRAMES = 64
"""Frames that can be rewound, beyond those in the model's window."""


_loaded: dict[tuple[str, torch.device], DiTModel] = {}


def recorded_model(model: DiTModel | Model | str | Path, device: str | torch.device = AUTO) -> DiTModel:
    """The model of a recorded world: itself, or that of a name or folder, loaded once per process.

    ModelError: there is none. InputError: it is one that films.
    """
    if isinstance(model, str | Path):
        key = str(model), resolve_device(device)
        given = _loaded.get(key) or load(key[0], device=key[1])
        if isinstance(given, DiTModel):
            _loaded[key] = given
    else:
        given = model
    if isinstance(given, Model) and given.config.world is not None:
        raise ModelError(f"{given.source} is a recorded world of an earlier version; train it again: kinema train world")
    if not isinstance(given, DiTModel) or given.config.world is None:
        raise InputError(f"{given.config.name} is no model of a recorded world; step into it with kinema.World")
    return given


def starts_of(model: DiTModel) -> Tracks:
    """The recorded beginnings kept beside a model, tracks [N, T, ...] and "task" [N]."""
    path = find(model.source) / STARTS
    try:
        tracks = {name: x.float() if name == "video" else x for name, x in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); train the world again") from None
    if "sensors" not in model.config.network.predicted:
        tracks.pop("sensors", None)
    return {name: x.to(model.device) for name, x in tracks.items()}


class RecordedVectorEnv(WorldVectorEnv):
    """`num_envs` recorded worlds of one model, stepped in one forward pass each frame; arguments as of `WorldVectorEnv`."""

    model: DiTModel

    def __init__(
        self,
        num_envs: int = 1,
        *,
        model: DiTModel | Model | str | Path | None = None,
        duration_s: float = 60.0,
        steps: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        if model is None:
            raise InputError("no model was given: expected model=, the folder of a world that kinema train world made")
        model = recorded_model(model)
        self._starts = starts_of(model)
        ended = (self._starts["terminated"][..., 0] > 0).any(1).cpu().numpy()
        self._usable = np.flatnonzero(~ended) if (~ended).any() else np.arange(len(ended))
        world: dict[str, Any] = model.config.world or {}
        self.action_spec, self.reward_scale = world["action"], float(world["reward_scale"])
        super().__init__(
            num_envs,
            model,
            observation_space=gym.spaces.Box(0, 255, (*world["size"], 3), np.uint8),
            action_space=space_of(self.action_spec),
            tasks=list(world["tasks"]) or [""],
            fps=float(world["fps"]),
            duration_s=duration_s,
            steps=steps,
            window=model.config.frames,
            render_mode=render_mode,
            autoreset_mode=autoreset_mode,
        )

    @property
    def task(self) -> str:
        """The task of the first world."""
        return self.tasks[int(self._task[0])]

    def _initial_tracks(self, rng: np.random.Generator, count: int) -> Tracks:
        """Recorded beginnings in which nothing has ended."""
        rows = torch.from_numpy(rng.choice(self._usable, count))
        return {name: x[rows.to(x.device)] for name, x in self._starts.items()}

    def encode_action(self, action: Any) -> NDArray[np.float32]:
        check(self.action_spec, action)
        return encode_action(self.action_spec, action)

    def _rewards(self) -> NDArray[np.float64]:
        return self._frame_states[-1].tracks["reward"][:, 0].float().cpu().numpy().astype(np.float64) * self.reward_scale

    def pixels(self) -> NDArray[np.uint8]:
        latents = self._frame_states[-1].tracks["video"][:, None].float()
        return np.ascontiguousarray(to_uint8(self.model.autoencoder.decode(latents))[:, 0])


class RecordedEnv(WorldEnv):
    """One recorded world; all arguments as of `RecordedVectorEnv`."""

    vector_env = RecordedVectorEnv


class RecordedWorld(RecordedVectorEnv):
    """One recorded world to play in: a vector environment of one, with what `kinema play` needs of a `World` besides."""

    def __init__(self, model: DiTModel | str | Path, *, seed: int = 0, device: str | torch.device = AUTO) -> None:
        super().__init__(1, model=recorded_model(model, device))
        self.reset(seed=seed)

    def _forget(self) -> None:
        del self._frame_states[: -self.window - REWIND_FRAMES - 1]

    @property
    def past_frames(self) -> int:
        """Frames that can be rewound: to the end of the recorded beginning, or as far as what a frame reads is retained."""
        whole = self._frame_states[0].time_s == 0
        read = int(self._starts["reward"].shape[1]) if whole else self.window + 1
        return max(len(self._frame_states) - read, 0)

    @property
    @float32_default()
    def frame(self) -> NDArray[np.uint8]:
        """The current picture, uint8 [H, W, 3]."""
        return np.asarray(self.pixels()[0])

    @property
    def reward(self) -> float:
        return float(self._rewards()[0])

    @property
    def terminated(self) -> bool:
        """Whether the episode ends in this frame, drawn with the model's termination probability."""
        return bool(self._terminations()[0])

    @float32_default()
    def go(self, action: Any) -> RecordedWorld:
        """One frame further, by an action of the recorded environment."""
        self._predict(torch.from_numpy(self.encode_action(action))[None].to(self.model.device))
        return self

    def _advance(self, frames: int, action: Any = None) -> RecordedWorld:
        """Step some frames. action: the number of a discrete action, two numbers for a continuous one, or None for no action. For
        composed actions the number counts the choices of all parts in order."""
        given = self._playable(action)
        for _ in range(frames):
            self.go(given)
        return self

    def _playable(self, action: Any) -> Any:
        """The environment's action for what `_advance` was given."""
        spec = self.action_spec
        number = int(action) if isinstance(action, int | np.integer) else None
        if spec["type"] == "discrete":
            idle = int((self.model.config.world or {}).get("idle", 0))
            return (idle if number is None else min(number, int(spec["n"]) - 1)) + spec["start"]
        if spec["type"] == "box":
            space: Any = self.single_action_space
            given = np.zeros(len(spec["edges"]), np.float32)
            pair = np.asarray(() if action is None or number is not None else action, np.float32)[: len(given)]
            given[: len(pair)] = pair
            return np.clip(given.reshape(spec["shape"]), space.low, space.high).astype(spec["dtype"])
        vector = np.zeros(width(spec), np.float32)
        if number is not None and number < len(vector):
            vector[number] = 2.0
        return decode_action(spec, vector)

    def ask(self, question: str) -> Any:
        raise InputError("a recorded world has no slots, so nothing can be asked of it; kinema-tiny's worlds can")

    edit = ask

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Save the world in one file, from which `RecordedWorld.open` continues bit for bit.

        OutputError: the path exists and force is False, a full disk, no permission.
        """
        data = {
            "model": self.model.source,
            "seed": self._seed,
            "task": self._task.tolist(),
            "count": int(self._count[0]),
            "moments": packed(self._frame_states),
        }
        return write_world_data(Path(path), "dream", data, force=force)

    @staticmethod
    def open(
        path: str | Path, *, model: DiTModel | str | Path | None = None, device: str | torch.device = AUTO
    ) -> RecordedWorld:
        """A saved world, with the model that it was saved with unless another is given; device: where a named model computes."""
        data = read_world_data(Path(path), "dream")
        with checked(path):
            world = RecordedWorld(model or data["model"], device=device)
            world._seed, world._task = data["seed"], torch.as_tensor(data["task"], dtype=torch.long)
            world._count[:] = data["count"]
            world._text = world._condition(world._task)
            world._frame_states = unpacked(data["moments"], world.model.device)
        return world
