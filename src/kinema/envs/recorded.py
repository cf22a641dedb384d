"""The model of a recorded world as a Gymnasium environment, `kinema/Recorded-v0`, and as a world to play in.

    env = gymnasium.make("kinema/Recorded-v0", model="out/pong/world")
    many = gymnasium.make_vec("kinema/Recorded-v0", num_envs=16, model="out/pong/world")

Worlds begin with recorded frames that are stored beside the model. Actions are those of the recorded environment, and observations
are pictures of the recorded size. Where numbers with names were recorded (`kinema.datasets.entities`), the model predicts them, and
a world can be asked for them and changed by them.

Axes: B worlds, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from kinema.autoencoder import to_uint8
from kinema.canvas.canvas import Tracks
from kinema.devices import AUTO, float32_default, resolve_device
from kinema.envs.controls import box_action, chosen_action
from kinema.envs.spaces import check, encode_action, padded, space_of
from kinema.envs.starts import start_from, starts_of
from kinema.envs.vector import WorldEnv, WorldVectorEnv
from kinema.errors import InputError, excerpt
from kinema.inference.canvas_io import check_seed
from kinema.inference.dit_rollout import WANTED, paint_numbers
from kinema.inference.frame_state import FrameState
from kinema.media import Clip
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model, load
from kinema.simulation.checkpoint import checked, packed, read_world_data, unpacked, write_world_data
from kinema.simulation.entity_numbers import Entities, answer_from_numbers, change_from_text, entities_of
from kinema.simulation.questions import Answer

MOST_STEPS = 64
"""Steps of the sampler of a saved world at most."""
REWIND_FRAMES = 64
"""Frames that can be rewound, beyond those in the model's window."""


NO_STATE = (
    "this recorded world has no state of things: act in it, rewind or branch it; where its recording has entities"
    " (kinema record --entities), they can be asked for and changed in words"
)

NO_CHANGE = "this recorded world was trained before worlds could be changed: train it again on the same recording"

ALWAYS = 1.001e-3
"""A number of up to this spread never changed: the least is 1e-3 as a float32 (`kinema.training.recordings`)."""
FURTHEST = 5.0
"""How far from the mean of a recording a number may be set, in units of its spread; training clips what is further. Worlds know the
least and the most of the recording too, but for those from before."""
BEYOND = 0.5
"""By how much a number may be beyond those, in units of its spread."""

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
    if not isinstance(given, DiTModel) or given.config.world is None:
        raise InputError(f"{given.config.name} is no model of a recorded world; step into it with kinema.World")
    return given


def check_frames(path: str | Path, moments: dict[str, Any], model: DiTModel) -> None:
    """InputError unless saved frames, and what is remembered of them, have the shapes of a recorded world of this model."""
    config, autoencoder = model.config, model.autoencoder
    network, frames = config.network, len(moments["time_s"])
    most = config.frames + REWIND_FRAMES + 1
    if frames > most:
        raise InputError(f"{path} holds {frames} frames; a world of {config.name} retains up to {most}")
    size = (config.height // autoencoder.space_factor, config.width // autoencoder.space_factor)
    shapes: dict[str, tuple[int, ...]] = {
        "video": (frames, 1, network.channels, *size),
        "action": (frames, 1, config.action_width),
        **{name: (frames, 1, numbers) for name, numbers in config.made_numbers.items()},
    }
    for name in sorted(shapes.keys() | moments["tracks"].keys()):
        track, expected = moments["tracks"].get(name), shapes.get(name)
        if track is None or expected is None or tuple(track.shape) != expected or track.dtype != torch.float32:
            stored = "missing" if track is None else f"{list(track.shape)} {str(track.dtype).removeprefix('torch.')}"
            wanted = "nothing" if expected is None else f"{list(expected)} float32"
            raise InputError(
                f"{path} does not fit {config.name}: its {name} is {stored}, expected {wanted};"
                " name the model that it was saved with"
            )
    cells = -(-size[0] // network.patch) * -(-size[1] // network.patch)
    memory = (len(moments["remembered"]), 1, 1 + cells, network.heads, 1, network.width // network.heads)
    layers = model.network.cached_blocks if moments["remembered"] else 0
    shapes_there = [tuple(x.shape) for pair in moments["memory"] for x in pair]
    if shapes_there != [memory] * 2 * layers:
        raise InputError(
            f"{path} does not fit {config.name}: it remembers frames in other shapes; name the model that it was saved with"
        )


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
        return padded(encode_action(self.action_spec, action), self.model.config.action_width)

    def _rewards(self) -> NDArray[np.float64]:
        return self._frame_states[-1].tracks["reward"][:, 0].float().cpu().numpy().astype(np.float64) * self.reward_scale

    def pixels(self) -> NDArray[np.uint8]:
        return self.pictures_of(self._frame_states[-1:])

    def pictures_of(self, frame_states: Sequence[FrameState]) -> NDArray[np.uint8]:
        """Pictures uint8 [T * B, H, W, 3] of frames, each drawn alone."""
        latents = torch.cat([state.tracks["video"] for state in frame_states])[:, None].float()
        return np.ascontiguousarray(to_uint8(self.model.autoencoder.decode(latents))[:, 0])


class RecordedEnv(WorldEnv):
    """One recorded world; all arguments as of `RecordedVectorEnv`."""

    vector_env = RecordedVectorEnv


class RecordedWorld(RecordedVectorEnv):
    """One recorded world to play in: a vector environment of one, with what `kinema play` needs of a `World` besides."""

    def __init__(
        self, model: DiTModel | str | Path, *, start: Clip | None = None, seed: int = 0, task: str | None = None,
        steps: int = 1, device: str | torch.device = AUTO,
    ) -> None:  # fmt: skip
        """start: a picture or clip of the same environment to go on from; None: a recorded beginning. seed: which recorded
        beginning, and what comes after. task: one of the recording's; None: that of the beginning, or the first with a start.
        steps: of the sampler; more keep small things that may go several ways, and take as many times as long."""
        super().__init__(1, model=recorded_model(model, device), steps=steps)
        if task is not None:
            self._usable = self._of_task(task)
        if start is not None:
            if not isinstance(start, Clip):
                raise InputError(f"start is {type(start).__name__}; expected a Clip, such as Clip.open('screenshot.png')")
            self._starts = start_from(self.model, start, 0 if task is None else self.tasks.index(task))
            self._usable = np.zeros(1, np.int64)
        self.seed = check_seed(seed)
        self.reset(seed=self.seed)

    def _of_task(self, task: str) -> NDArray[np.int64]:
        """Which beginnings have a task."""
        name, known = self.model.config.name, [one for one in self.tasks if one]
        if task not in known:
            there = (
                f"expected one of {', '.join(map(repr, known))}"
                if known
                else "it was recorded without tasks; leave task out"
            )
            raise InputError(f"task {excerpt(task)!r} of {name}: {excerpt(there, 300)}")
        tasks = self._starts["task"].cpu().numpy()
        rows: NDArray[np.int64] = self._usable[tasks[self._usable] == self.tasks.index(task)]
        if not len(rows):
            raise InputError(f"no recorded beginning of {name} has the task {excerpt(task)!r}; leave task out")
        return rows

    @property
    def idle(self) -> Any:
        """The action of no key."""
        return self._playable(None)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures in pixels."""
        high, wide = (self.model.config.world or {})["size"]
        return int(wide), int(high)

    def _forget(self) -> None:
        del self._frame_states[: -self.window - REWIND_FRAMES - 1]

    @property
    def past_frames(self) -> int:
        """Frames that can be rewound: to the end of the recorded beginning or a little after the last change, or as far as what a
        frame reads is retained."""
        whole = self._frame_states[0].kv is None
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
    def clip(self, frames: int | None = None) -> Clip:
        """The last frames, without a state; None: all that are retained."""
        if frames is not None and frames < 1:
            raise InputError(f"{frames} frames: expected at least 1, or None for all")
        states = self._frame_states if frames is None else self._frame_states[-frames:]
        settings = {"layout": "world", "model": self.model.source, "seed": self.seed}
        return Clip(frames=self.pictures_of(states), fps=self.fps, settings=settings)

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
        number = int(action) if isinstance(action, int | np.integer) else None
        if self.action_spec["type"] == "box" and action is not None and number is None:
            return box_action(self.action_spec, action)
        return chosen_action(self.action_spec, number, int((self.model.config.world or {}).get("idle", 0)))

    @property
    @float32_default()
    def numbers(self) -> dict[str, float]:
        """What the recording told in numbers, by name, as the model predicts it for this frame; {} where nothing was named."""
        scales = (self.model.config.world or {}).get("sensors", {})
        values = self._frame_states[-1].tracks.get("sensors")
        if values is None or not scales.get("names"):
            return {}
        scaled = values[0].float().cpu().numpy() * np.array(scales["std"], np.float32) + np.array(scales["mean"], np.float32)
        return dict(zip(scales["names"], map(float, scaled), strict=True))

    @property
    def entities(self) -> Entities:
        """Of `numbers` those of entities: entity -> field -> number; the other ones, such as those of a board, are left out."""
        return entities_of(self.numbers)

    def ask(self, question: str) -> Answer:
        """Answer a question about the entities.

        Args:
            question: "where is the ball?", "what is the ball's x?" or "what is there?".

        Returns:
            The kind of the question, the answer as a value and as a sentence.

        Raises:
            InputError: The question is not understood, names nothing that is there, or nothing with a name was recorded.
        """
        if not (entities := self.entities):
            raise InputError(NO_STATE)
        return answer_from_numbers(question, entities)

    @float32_default()
    def edit(self, text: str) -> str:
        """Change the world by its entities: the last frames, of which the next one is made, are painted anew with the new numbers.
        What moves goes on moving, from where it is put. The world begins anew with these frames, so what came before can no longer
        be rewound; branch first where it is wanted.

        Args:
            text: "set the paddle's y to 120", "move the ball to 80 100", "move the ball by -5 0".

        Returns:
            The change as it was understood.

        Raises:
            InputError: The change is not understood, names nothing that is there, a number is far from all that was recorded, or
                the world has no entities or was trained before worlds could be changed.
        """
        entities, config = self.entities, self.model.config
        if not entities:
            raise InputError(NO_STATE)
        if WANTED not in config.network.known:
            raise InputError(NO_CHANGE)
        scales, numbers, columns = (config.world or {})["sensors"], self.numbers, config.entity_columns
        shift = torch.zeros(len(columns), device=self.model.device)
        changes = change_from_text(text, entities)
        for name, value in changes.items():
            column = scales["names"].index(name)
            mean, spread = float(scales["mean"][column]), float(scales["std"][column])
            low, high = mean - FURTHEST * spread, mean + FURTHEST * spread
            if "least" in scales:
                low = max(low, float(scales["least"][column]) - BEYOND * spread)
                high = min(high, float(scales["most"][column]) + BEYOND * spread)
            if not low <= value <= high:
                if spread <= ALWAYS:
                    raise InputError(f"{name} was always {mean:.4g} in the recording, so nothing else has been learned")
                raise InputError(f"{name} {value:g} is far from all that was recorded; expected {low:.4g} to {high:.4g}")
            shift[columns.index(column)] = (value - numbers[name]) / spread
        states, painted = self._frame_states, []
        seeds = self._seeds(self.frame_index)
        for last in range(max(len(states) - config.network.context, 0), len(states)):
            wanted = states[last].tracks["sensors"][:, columns].float() + shift
            made = paint_numbers(self.model, states[: last + 1], wanted, seeds=seeds, steps=self.steps, text=self._text)
            painted.append(replace(made, acted=states[last].acted))
        self._frame_states = self._prefilled(painted, self._text)
        return ", ".join(f"{name} {numbers[name]:.4g} -> {value:.4g}" for name, value in changes.items())

    def save(self, path: str | Path, *, force: bool = False, model: str | None = None) -> Path:
        """Save the world in one file, from which `RecordedWorld.open` continues bit for bit.

        Args:
            path: The file.
            force: Overwrite the file if it exists.
            model: What the file calls the model. None: its name or folder, as it was loaded.

        Returns:
            The path.

        Raises:
            OutputError: The path exists and force is False, a full disk, no permission.
        """
        data = {
            "model": self.model.source if model is None else model,
            "seed": self._seed,
            "task": self._task.tolist(),
            "count": int(self._count[0]),
            **({"steps": self.steps} if self.steps > 1 else {}),
            "moments": packed(self._frame_states),
        }
        return write_world_data(Path(path), "dream", data, force=force)

    @staticmethod
    @float32_default()
    def open(
        path: str | Path, *, model: DiTModel | str | Path | None = None, device: str | torch.device = AUTO
    ) -> RecordedWorld:
        """A saved world, with the model that it was saved with unless another is given; device: where a named model computes.

        InputError: the file is missing, is no saved recorded world, or does not fit the model. ModelError: there is no such model.
        """
        data = read_world_data(Path(path), "dream")
        with checked(path):
            world = object.__new__(RecordedWorld)
            steps = data.get("steps", 1)
            if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MOST_STEPS:
                raise InputError(f"{path} has {excerpt(str(steps))} steps; expected 1 to {MOST_STEPS}")
            RecordedVectorEnv.__init__(world, 1, model=recorded_model(model or data["model"], device), steps=steps)
            check_frames(path, data["moments"], world.model)
            world.seed = world._seed = check_seed(data["seed"])
            world._rng = np.random.default_rng(world.seed)
            world._task = torch.as_tensor(data["task"], dtype=torch.long)
            if world._task.shape != (1,) or not 0 <= int(world._task[0]) < len(world.tasks):
                raise InputError(f"{path} does not fit {world.model.config.name}: it has task {excerpt(str(data['task']))}")
            world._done, world._count = np.zeros(1, bool), np.array([data["count"]], np.int64)
            world._text = world._condition(world._task)
            world._frame_states = unpacked(data["moments"], world.model.device, world.model.dtype)
        return world
