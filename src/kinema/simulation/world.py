"""A world model as a simulation: step it without limit, ask questions, edit, branch, rewind and save it.

    world = kinema.World("kinema-tiny", "a red ball, a yellow car and a screen on a field")
    frame, state, reward = world.step((1.0, 0.0))
    print(world.ask("where is the red ball?"))
    print(world.edit("move the car left"))

The model steps the state track frame by frame; pictures are rendered from the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from kinema.api import perceive
from kinema.devices import AUTO, float32_default
from kinema.diffusion.seeds import frame_seed
from kinema.errors import InputError, SizeError, excerpt
from kinema.inference import limits
from kinema.inference.canvas_io import blank_canvas, check_seed, encode_prompt, resolve_model
from kinema.inference.frame_state import FrameState
from kinema.inference.keyframes import tracks_of
from kinema.inference.pipeline import plan_state
from kinema.inference.rollout import WINDOW, Rollout, prefill, render_frames, split_frames, task_condition
from kinema.inference.sampling import SamplingConfig, check_options
from kinema.media import Clip
from kinema.models.hub import Model, ModelConfig
from kinema.playground.tasks import Task
from kinema.scene.encoding import (
    decode_reward,
    decode_scene,
)
from kinema.scene.scene import Scene
from kinema.scene.schema import IDENTITY
from kinema.simulation.checkpoint import (
    check_tracks,
    checked,
    memory_fits,
    packed,
    read_world_data,
    unpacked,
    write_world_data,
)
from kinema.simulation.edits import Change, EditParser, _shift, parse, parse_cause
from kinema.simulation.questions import Answer, answer
from kinema.simulation.state import State
from kinema.types import Frame

RETAINED_S = 60.0
"""Seconds of past frames that a world retains. Entities stay in the state when older frames are dropped."""
REWOUND = 64
"""Frames that can be rewound without computing keys and values again."""
AHEAD_S = 1.5
"""How far `ask("what will happen next")` predicts."""
CHANGES = 16
"""Changes that can be rewound."""
USUAL_FPS = 16.0
FIRST_S = 2.0
"""A world from words begins with the first frame of a plan this long."""


class Step(NamedTuple):
    """The result of a step: picture uint8 [H, W, 3], state and reward."""

    frame: Frame
    state: State
    reward: float


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """What happened, and what would have happened with one cause changed.

    Attributes:
        understood: The changed cause, as it was understood.
        happened: The frames as they were.
        instead: The same frames with the changed cause.
    """

    understood: str
    happened: Clip
    instead: Clip


def sort_slots(scene: Scene) -> tuple[Scene, NDArray[np.int64]]:
    """Things in canonical order (kind, then color; empty slots last), and which slot each came from."""
    key = [(scene.kind[k] < 0, scene.kind[k], scene.color[k]) for k in range(scene.num_slots)]
    order = np.array(sorted(range(scene.num_slots), key=lambda k: (*key[k], k)))
    fixed: dict[str, Any] = {name: getattr(scene, name)[order] for name in ("kind", "color", "material", "size")}
    moving: dict[str, Any] = {name: getattr(scene, name)[:, order] for name in ("x", "y", "vx", "vy", "angle", "visible")}
    return replace(scene, **fixed, **moving), order


def check_task(model: Model, task: str) -> None:
    """InputError unless a task is one that a model has been taught."""
    wanted = Task.parse(task)
    missing = [name for name in (wanted.kind, wanted.color) if name is not None and name in model.config.lacks]
    if missing:
        raise InputError(f"task {excerpt(task)!r}: {model.config.name} was not fed {' or '.join(missing)}")


def usual_fps(config: ModelConfig) -> float:
    """USUAL_FPS, or the nearest rate that the model films."""
    low, high = config.fps
    return min(max(USUAL_FPS, low), high)


def check_fps(model: Model, fps: float) -> float:
    """The frame rate; InputError for what is no number, SizeError unless the model steps at it."""
    if not limits.is_number(fps):
        raise InputError(f"fps {fps!r}: expected a number")
    low, high = model.config.fps
    if not low <= fps <= high:
        usual = usual_fps(model.config)
        raise SizeError(
            f"{fps:g} frames a second: {model.config.name} steps at {low:g} to {high:g}; pass fps={usual:g} (--fps {usual:g})"
        )
    return float(fps)


def check_action(action: ArrayLike) -> NDArray[np.float32]:
    """Two finite numbers in [-1, 1]."""
    try:
        given = np.asarray(action).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        given = np.empty(0)
    pair = given.astype(np.float32) if given.dtype.kind in "fiu" else np.empty(0, np.float32)
    if pair.shape != (2,) or not np.isfinite(pair).all() or np.abs(pair).max() > 1.0:
        raise InputError(f"action {excerpt(repr(action))}: expected two finite numbers in [-1, 1], right and up, or None")
    return pair


class World(Rollout):
    """A world that a model predicts frame by frame.

    Args:
        model: A model, or the name or folder of one. None: the default, `kinema-tiny`.
        start: Words, a picture or clip, or a state.
        seed: Same seed, machine and device: same frames.
        fps: Frames per second.
        size: "WIDTHxHEIGHT" or (width, height) of the pictures in pixels. None: that of the clip that the world starts from, or the
            nearest one that the model films; else the model's own.
        task: A task such as "reach the flag", which the model rewards.
        steps: Steps of the sampler for each frame.
        options: How to plan the first frame of a world that starts from words.
        strict: Refuse words that the model cannot film, instead of logging a warning.
        parser: Understands the texts of `edit` and `what_if`.

    Raises:
        InputError: A start, task or number that cannot be used, or a model of a recorded world.
        SizeError: A size or frame rate that the model cannot do.
        VocabularyError: strict is True and the words hold something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """

    model: Model

    _shown: tuple[FrameState, Frame] | None = None

    @float32_default()
    def __init__(
        self,
        model: Model | str | None = None,
        start: str | Clip | Scene = "",
        *,
        seed: int = 0,
        fps: float = 16.0,
        size: str | tuple[int, int] | None = None,
        task: str | None = None,
        steps: int = 1,
        options: SamplingConfig | None = None,
        strict: bool = False,
        parser: EditParser = parse,
    ) -> None:
        self.model = resolve_model(model)
        if task is not None:
            check_task(self.model, task)
        if not limits.is_whole(steps) or steps < 1:
            raise InputError(f"steps {steps}: expected a whole number from 1 on")
        self.seed, self.fps, self.steps, self.parser = check_seed(seed), check_fps(self.model, fps), steps, parser
        self.task = task
        if not isinstance(start, str | Scene):
            start = Clip.of(start)
        if size is None and isinstance(start, Clip):
            self.size = limits.fitted_size(self.model.config, start.frames.shape[2], start.frames.shape[1])
        else:
            self.size = limits.check_size(self.model.config, size)
        self._text = task_condition(self.model, task)
        scene = self._first(start, check_options(options), strict)
        scene, _ = sort_slots(scene.frames(slice(-WINDOW, None)))
        tracks = tracks_of(scene, self.model.config.denoiser.slots, self.model.device)
        begin = -(scene.num_frames - 1) / self.fps
        self._frame_states = prefill(self.model, split_frames(tracks, begin, self.fps), self._text)
        self._before: list[tuple[FrameState, ...]] = []
        """For each of the latest changes, all frame states before it."""

    def _first(self, start: str | Clip | Scene, options: SamplingConfig, strict: bool) -> Scene:
        if isinstance(start, Scene):
            if start.num_frames < 1:
                raise InputError("the state has no frames")
            return start.resample(self.fps, last=WINDOW)
        if isinstance(start, Clip):
            return perceive(start.resample(self.fps) if start.num_frames > 1 else start, model=self.model, seed=self.seed)
        width, height = self.size
        frames = max(round(FIRST_S * self.fps), 2)
        canvas = blank_canvas(self.model, count=1, frames=frames, fps=self.fps, height=height, width=width)
        canvas = canvas.without("video")
        if start.strip():
            canvas = encode_prompt(self.model, canvas, start, strict)
        done = plan_state(self.model, canvas, options, [self.seed])
        tracks = {name: done.values[name][0].float().cpu().numpy() for name in ("state", "camera", "scene")}
        scene = decode_scene(tracks["state"], tracks["camera"], tracks["scene"], fps=self.fps)
        return scene.frames(slice(0, 1))

    # The current frame

    @property
    def scene(self) -> Scene:
        """All retained frames as one scene with the current identities; its last frame is the current one."""
        return self._scene(self._frame_states)

    @property
    @float32_default()
    def state(self) -> State:
        """The current state: all objects, also hidden ones."""
        return self._state(self._frame_states[-1])

    @property
    @float32_default()
    def frame(self) -> Frame:
        """The current picture, uint8 [H, W, 3]; rendered once and cached."""
        now, drawn = self._shown if self._shown is not None else (None, None)
        if drawn is None or now is not self._frame_states[-1]:
            width, height = self.size
            drawn = np.asarray(render_frames(self.model, self._frame_states[-1:], height, width)[0, 0])
            self._shown = self._frame_states[-1], drawn
        return drawn.copy()

    @property
    def reward(self) -> float:
        """The task's reward in this frame, as the model predicts it."""
        return float(decode_reward(self._frame_states[-1].tracks["reward"].float().cpu().numpy())[0])

    @property
    def terminated(self) -> bool:
        """Whether the task ends in this frame, drawn with the model's termination probability."""
        return bool(self._terminations()[0])

    def _seeds(self, frame: int) -> list[int]:
        return [frame_seed(self.seed, frame)]

    def clip(self, frames: int | None = None) -> Clip:
        """Render the last frames.

        Args:
            frames: Number of frames. None: all that are retained.

        Returns:
            A clip with its state.
        """
        frame_states = self._frame_states if frames is None else self._frame_states[-frames:]
        width, height = self.size
        pictures = render_frames(self.model, frame_states, height, width)[0]
        settings = {"layout": "world", "model": self.model.source, "seed": self.seed}
        return Clip(frames=pictures, fps=self.fps, state=self._scene(frame_states), settings=settings)

    def _scene(self, frame_states: Sequence[FrameState]) -> Scene:
        tracks = {
            name: torch.stack([m.tracks[name][0] for m in frame_states]).float().cpu().numpy()
            for name in ("state", "camera", "scene")
        }
        for group in IDENTITY:
            columns = self.model.config.denoiser.schema.slice(group)
            tracks["state"][..., columns] = tracks["state"][-1:, :, columns]
        tracks["scene"][:] = tracks["scene"][-1:]
        return decode_scene(tracks["state"], tracks["camera"], tracks["scene"], fps=self.fps)

    def _state(self, frame_state: FrameState) -> State:
        return State.of(self._scene([frame_state]), frame_state.time_s)

    # Stepping

    @float32_default()
    def step(self, action: ArrayLike | None = None) -> Step:
        """Predict the next frame.

        Args:
            action: (right, up) in [-1, 1] for the robots. None: the action is unknown.

        Returns:
            The picture uint8 [H, W, 3], the state and the reward of the new frame.

        Raises:
            InputError: An action that is not two finite numbers in [-1, 1].
        """
        self._go(None if action is None else check_action(action))
        return Step(self.frame, self.state, self.reward)

    def _advance(self, frames: int, action: ArrayLike | None = None) -> World:
        """Step some frames without rendering pictures; returns the world itself."""
        for _ in range(frames):
            self._go(None if action is None else check_action(action))
        return self

    def _go(self, action: NDArray[np.float32] | None) -> None:
        self._predict(None if action is None else torch.from_numpy(action)[None].to(self.model.device))

    def _forget(self) -> None:
        """Drop the keys and values of older frames, and frames beyond RETAINED_S."""
        far = -WINDOW - REWOUND - 1
        if len(self._frame_states) >= -far:
            self._frame_states[far] = replace(self._frame_states[far], kv=None)
        excess = len(self._frame_states) - round(RETAINED_S * self.fps)
        if excess > 0:
            del self._frame_states[:excess]

    def rewind(self, frames: int = 16) -> Self:
        """Go back, and drop the later frames and the changes since then.

        Args:
            frames: Number of frames, up to `past_frames`.

        Returns:
            The world itself.

        Raises:
            InputError: More frames than the world retains.
        """
        super().rewind(frames)
        if frames:
            until = self.time_s
            undone = [history for history in self._before if history[-1].time_s > until]
            if undone:
                self._before = self._before[: -len(undone)]
                self._frame_states = [m for m in undone[0] if m.time_s <= until]
            self._frame_states[-1] = replace(self._frame_states[-1], acted=False)
            self._with_memory()
        return self

    def _refresh_cache(self) -> None:
        """Compute keys and values of the last frames again."""
        self._frame_states[-WINDOW - 1 :] = prefill(self.model, self._frame_states[-WINDOW - 1 :], self._text)

    # Questions and edits

    @float32_default()
    def ask(self, question: str) -> Answer:
        """Answer a question about the world.

        Args:
            question: "where is the red ball?", "did the car touch the box?", "what will happen next?" and the like.

        Returns:
            The kind of the question, the answer as a value and as a sentence.

        Raises:
            InputError: The question is not understood, or names no object or several. The message lists the forms of questions.
        """
        return answer(question, [self._state(m) for m in self._frame_states], self._roll)

    def _roll(self) -> list[State]:
        other = self.branch()
        states = []
        for _ in range(max(round(AHEAD_S * self.fps), 1)):
            other._go(None)
            states.append(other.state)
        return states

    @float32_default()
    def edit(self, text: str) -> str:
        """Change the world.

        Args:
            text: "move the car left", "remove the ball", "add a blue box on the right" and the like.

        Returns:
            The change as it was understood.

        Raises:
            InputError: The change is not understood, or names no object or several. The message lists the forms of changes.
        """
        change = self.parser(text, self.state)
        self._change(change)
        return change.understood

    @float32_default()
    def move(self, slot: int, x: float, y: float) -> str:
        """Move an object. It keeps its velocity.

        Args:
            slot: The object's slot, `Entity.slot`.
            x: Position to the right in room units, 0 to 10.
            y: Position up in room units, 0 to 10.

        Returns:
            The change in words.

        Raises:
            InputError: The slot is empty, or the position is outside the room.
        """
        entity = next((e for e in self.state.entities if e.slot == slot), None)
        if entity is None:
            occupied = ", ".join(f"{e.slot} ({e.name})" for e in self.state.entities)
            raise InputError(f"slot {slot} is empty; expected one of: {occupied or 'none, the room is empty'}")
        if not (0 <= x <= 10 and 0 <= y <= 10):
            raise InputError(f"({x:g}, {y:g}) is outside the room: expected 0 to 10 each way")
        dx, dy = x - entity.x, y - entity.y
        understood = f"move the {entity.name} to ({x:.1f}, {y:.1f})"
        self._change(Change(understood=understood, apply=lambda scene: _shift(scene, slot, dx, dy)))
        return understood

    def _change(self, change: Change) -> None:
        recent = self._frame_states[-WINDOW - 1 :]
        scene, order = sort_slots(change.apply(self._scene(recent)))
        tracks = tracks_of(scene, self.model.config.denoiser.slots, self.model.device)
        pick = torch.from_numpy(order).to(self.model.device)

        def reordered(frame_state: FrameState) -> FrameState:
            return replace(
                frame_state, tracks={**frame_state.tracks, "state": frame_state.tracks["state"][:, pick]}, kv=None
            )

        self._before = [*self._before, tuple(self._frame_states)][-CHANGES:]
        older = [reordered(m) for m in self._frame_states[: -WINDOW - 1]]
        changed = [
            replace(m, tracks={**m.tracks, **{name: tracks[name][:, t] for name in ("state", "camera", "scene")}})
            for t, m in enumerate(recent)
        ]
        self._frame_states = [*older, *changed]
        self._refresh_cache()

    @float32_default()
    def what_if(self, cause: str, since: int = 16) -> WhatIf:
        """Predict the last frames again with one cause changed. The world itself stays as it is.

        Args:
            cause: What is different, such as "the ball had not been pushed".
            since: Number of frames to go back, up to `past_frames`.

        Returns:
            The last `since` frames as they were, and as they would have been with the same actions.

        Raises:
            InputError: The cause is not understood, or the world does not retain so many frames.
        """
        if not limits.is_whole(since) or not 1 <= since <= self.past_frames:
            raise InputError(f"since {since} frames: expected 1 to {self.past_frames}, which this world remembers")
        other = self.branch()
        done = [m.tracks["action"][0].cpu().numpy() if m.acted else None for m in self._frame_states[-since - 1 : -1]]
        other.rewind(since)
        change = parse_cause(cause, other.state) if self.parser is parse else self.parser(cause, other.state)
        other._change(change)
        for action in done:
            other._go(action)
        return WhatIf(understood=change.understood, happened=self.clip(since + 1), instead=other.clip(since + 1))

    # Checkpoints

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Save the world in one file, from which `World.open` continues bit for bit. Frames before a change are not saved.

        Args:
            path: The file.
            force: Overwrite the file if it exists.

        Returns:
            The path.

        Raises:
            OutputError: The file exists and force is False, the disk is full, or there is no permission.
        """
        data = {
            "model": self.model.source,
            "seed": self.seed,
            "fps": self.fps,
            "steps": self.steps,
            "size": list(self.size),
            "task": self.task,
            "moments": packed(self._frame_states),
        }
        return write_world_data(Path(path), "world", data, force=force)

    @staticmethod
    @float32_default()
    def open(
        path: str | Path, *, model: Model | str | None = None, parser: EditParser = parse, device: str | torch.device = AUTO
    ) -> World:
        """Open a saved world.

        Args:
            path: A file that `save` wrote.
            model: A model, or the name or folder of one. None: the model that the world was saved with.
            parser: Understands the texts of `edit` and `what_if`.
            device: Device of a model that is given by name.

        Returns:
            The world.

        Raises:
            InputError: The file is missing or is no saved world.
            ModelError: The file has another format, or its model cannot be loaded.
        """
        data = read_world_data(Path(path), "world")
        return World._made(data, path, resolve_model(model or data.get("model"), device), parser)._with_memory()

    @staticmethod
    def _made(data: dict[str, Any], path: str | Path, model: Model, parser: EditParser = parse) -> World:
        """The world of a checkpoint's data; without its memory where that does not fit the model."""
        with checked(path):
            world = object.__new__(World)
            world.model, moments = model, data["moments"]
            check_tracks(path, moments, model)
            if not memory_fits(moments, model):
                moments = {**moments, "remembered": [], "memory": []}
            world.seed, world.fps, world.steps = data["seed"], data["fps"], data["steps"]
            world.size, world.task, world.parser = (data["size"][0], data["size"][1]), data["task"], parser
            world._text = task_condition(world.model, world.task)
            world._frame_states, world._before = unpacked(moments, world.model.device), []
        return world

    def _with_memory(self) -> World:
        """The world itself; keys and values of the last frames are computed again if they are missing."""
        if any(m.kv is None for m in self._frame_states[-WINDOW - 1 : -1]):
            self._refresh_cache()
        return self
