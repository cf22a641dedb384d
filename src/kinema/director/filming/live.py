"""Steering a live world: changes at a time or when a question is answered by yes, and an agent that moves the robot.

    world = kinema.World(start="a red ball rolls right past a screen")
    director = LiveDirector(world, [Cue(when="is the red ball behind the screen?", do="add a blue box on the right")])
    for _ in range(64):
        frame, state, reward = director.step()

A shot of a script that has cues or an actor is filmed so: from its staged first picture a world is stepped for as long as the shot
lasts, and its states are rendered with the shot's camera.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from kinema.director.filming.staging import camera_at
from kinema.director.script import Cue, cue_problems
from kinema.engines.native import NativeEngine
from kinema.engines.protocol import Cancelled, Engine
from kinema.errors import InputError, excerpt
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.scene.scene import Scene
from kinema.simulation.questions import answer
from kinema.simulation.state import State
from kinema.simulation.world import Step, World

if TYPE_CHECKING:
    from kinema.agents import Agent
    from kinema.director.filming.takes import StagedShot

GIVEN = "cues"
"""Setting of a take: the cues whose moments came, `GivenCue.to_dict` of each."""
REMEMBERED = 960
"""States that questions are answered from: a minute at the usual rate, as long as a world retains."""
PART_S = 30.0
"""Seconds that are kept as one part, before a world forgets them."""


@dataclass(frozen=True, kw_only=True)
class GivenCue:
    """A cue whose moment came. number: of the cue, from 0 on; at_s: seconds since the director began; understood: the change;
    problem: why it could not be made, else ""."""

    number: int
    at_s: float
    understood: str = ""
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        more = {"problem": self.problem} if self.problem else {}
        return {"number": self.number, "at_s": round(self.at_s, 4), "understood": self.understood, **more}


class LiveWorld(Protocol):
    """What is steered: `kinema.World`, or `kinema.RemoteWorld`."""

    @property
    def time_s(self) -> float:
        """Seconds since the world began."""

    @property
    def state(self) -> State:
        """The current state."""

    @property
    def scene(self) -> Scene:
        """The retained frames as one scene."""

    def step(self, action: ArrayLike | None = None) -> Step:
        """Predict the next frame."""

    def edit(self, text: str) -> str:
        """Change the world."""


class LiveDirector:
    """Steps a world, gives cues and lets an agent act.

    Args:
        world: The world.
        cues: Changes, each given once: at its time, or in the first frame in which its question is answered by yes.
        actor: An agent that was trained for a task of the Playground. It moves the robots. None: the given actions do.

    Raises:
        InputError: A cue whose question or change has no known form, or an actor that was trained for a recorded environment.
    """

    def __init__(self, world: LiveWorld, cues: Sequence[Cue] = (), actor: Agent | None = None) -> None:
        for number, cue in enumerate(cues, 1):
            if not isinstance(cue, Cue):
                raise InputError(f"cue {number} is {excerpt(repr(cue))}: expected a kinema.director.script.Cue")
            for problem in cue_problems(cue):
                raise InputError(f"cue {number}: {problem}")
        if actor is not None and not hasattr(actor, "task"):
            raise InputError(
                f"the actor is {excerpt(repr(actor))}: expected an agent, such as kinema.agents.Agent.open(folder)"
            )
        if actor is not None and actor.task is None:
            raise InputError(
                f"the actor was trained for {actor.env}; expected an agent with a task, as kinema agent train makes"
            )
        self.world, self.cues, self.actor = world, tuple(cues), actor
        self.begun_s = world.time_s
        self.states = deque([world.state], maxlen=REMEMBERED)
        """The last states since the director began, which questions are answered from."""
        self.given: list[GivenCue] = []
        self._action: Any = None
        if actor is not None:
            actor.begin(1)

    def due(self) -> list[int]:
        """Numbers of the cues that are to be given now."""
        given = {one.number for one in self.given}
        return [number for number, cue in enumerate(self.cues) if number not in given and self._holds(cue)]

    def _holds(self, cue: Cue) -> bool:
        if cue.at_s is not None:
            return self.world.time_s - self.begun_s >= cue.at_s - 1e-6
        assert cue.when is not None
        try:
            return bool(answer(cue.when, list(self.states), list).value)
        except InputError:
            return False  # it asks for a thing that is not there, perhaps not yet

    def give(self, number: int) -> GivenCue:
        """Make the change of a cue, which counts as given even where it cannot be made.

        Args:
            number: Of the cue, from 0 on.

        Returns:
            What was understood, and when.

        Raises:
            InputError: The change is not understood, or what it names is not there.
        """
        at_s = self.world.time_s - self.begun_s
        try:
            understood = self.world.edit(self.cues[number].do)
        except InputError as error:
            self.given.append(GivenCue(number=number, at_s=at_s, problem=str(error)))
            raise InputError(f"cue {number + 1}, at {at_s:.2f} s: {error}") from None
        self.given.append(GivenCue(number=number, at_s=at_s, understood=understood))
        self.states[-1] = self.world.state
        return self.given[-1]

    def step(self, action: ArrayLike | None = None) -> Step:
        """Give the cues that are due, and predict the next frame.

        Args:
            action: (right, up) in [-1, 1] for the robots, where there is no actor.

        Returns:
            The picture uint8 [H, W, 3], the state and the reward of the new frame.

        Raises:
            InputError: A change of a cue that is not understood, or an action that is none.
        """
        for number in self.due():
            self.give(number)
        return self._advance(action)

    def _advance(self, action: ArrayLike | None = None) -> Step:
        """Predict the next frame without cues."""
        step = self.world.step(self._acted() if self.actor is not None else action)
        self.states.append(step.state)
        return step

    def _acted(self) -> Any:
        from kinema.envs.playground import observed_state

        assert self.actor is not None
        now = self.world.scene.frames(slice(-1, None))
        self._action = self.actor.act(observed_state(now)[None], [now], self._action)
        return self._action[0]


def film_live(
    engine: Engine, staged: StagedShot, cues: Sequence[Cue], *, actor: Path | None, frames: int, size: tuple[int, int], fps: float,
    seed: int, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None,
) -> Clip:  # fmt: skip
    """Film a shot by stepping a world.

    Args:
        engine: Of one of Kinema's own models with a state.
        staged: The shot's first pictures and camera.
        cues: Its cues.
        actor: Folder of the agent that moves the robots. None: nobody moves them.
        frames: How many.
        size: (width, height) in pixels.
        fps: Frames per second.
        seed: Of the world.
        progress: Called with ("live", frames done, frames in all).
        cancelled: Asked before each frame.

    Returns:
        The film, with its state, whose identities are those at the end. `GIVEN` in its settings: which cues were given, and when.

    Raises:
        InputError: A model without a state, or an agent that cannot be used.
        MediaError: There is no such agent.
        Cancelled: `cancelled` returned True.
    """
    from kinema.api import render

    if not isinstance(engine, NativeEngine) or staged.pictures.state is None:
        raise InputError(f"{engine.capabilities.model}: cues and actors need one of Kinema's own models with a state")
    agent = None
    if actor is not None:
        from kinema.agents import Agent

        agent = Agent.open(actor)
    world = World(engine.model, staged.pictures.state, seed=seed, fps=fps, size=size)
    director = LiveDirector(world, cues, agent)
    camera = camera_at(staged.stops, [(i + 1) / fps for i in range(frames)])
    parts: list[Scene] = []
    begun, longest = 0, max(round(PART_S * fps), 1)
    for frame in range(frames):
        if cancelled is not None and cancelled():
            raise Cancelled
        due = director.due()
        if frame > begun and (due or frame - begun == longest):
            parts.append(world.scene.frames(slice(begun - frame, None)))
            begun = frame
        for number in due:
            with suppress(InputError):  # the check of the take tells it
                director.give(number)
        director._advance()
        if progress is not None:
            progress("live", frame + 1, frames)
    parts.append(world.scene.frames(slice(begun - frames, None)))
    pictures = [
        render(replace(part, camera=seen), model=engine.model, size=size, seed=seed).frames
        for part, seen in _with_cameras(parts, camera)
    ]
    state = replace(_joined(parts), camera=camera)
    settings = {
        "layout": "live",
        "model": engine.model.source,
        "seed": seed,
        GIVEN: [one.to_dict() for one in director.given],
    }
    return Clip(frames=np.concatenate(pictures), fps=fps, state=state, settings=settings)


def _with_cameras(parts: Sequence[Scene], camera: np.ndarray[Any, Any]) -> Iterator[tuple[Scene, np.ndarray[Any, Any]]]:
    begun = 0
    for part in parts:
        yield part, camera[begun : begun + part.num_frames]
        begun += part.num_frames


def _joined(parts: Sequence[Scene]) -> Scene:
    """One scene with the identities of the last part: what it does not hold is left out, what a part before did not hold is hidden
    there. Things are known by their names, and those that were painted by their kind."""
    last = parts[-1]
    moving: dict[str, list[np.ndarray[Any, Any]]] = {
        name: [] for name in ("x", "y", "vx", "vy", "angle", "visible", "camera")
    }
    for part in parts:
        names = {part.name(slot): slot for slot in part.entities}
        free = {int(part.kind[slot]): slot for slot in part.entities if part.name(slot) not in map(last.name, last.entities)}
        was = [names.get(last.name(slot), free.get(int(last.kind[slot]))) for slot in last.entities]
        for name, rows in moving.items():
            values = getattr(part, name)
            if name == "camera":
                rows.append(values)
                continue
            row = np.zeros((part.num_frames, last.num_slots), np.float32)
            for slot, old in zip(last.entities, was, strict=True):
                if old is not None:
                    row[:, slot] = values[:, old]
            rows.append(row)
    joined: dict[str, Any] = {name: np.concatenate(rows) for name, rows in moving.items()}
    return replace(last, **joined)
