"""`WorldSession`: one world of a server, on disk and in memory.

DATA/worlds/{id}/ holds meta.json, one `NNNNNN.world` (`World.save`) and one or more `NNNNNN.steps`: one line for each
command since. A command is logged before it is answered, so a killed server loses none: replaying the log on the saved world
gives the same world, bit for bit. Saving takes too long to do it at each step; it begins a new number, and older files are
deleted once the new file is complete.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TextIO, overload

import numpy as np

from kinema.envs.controls import action_from_json, key_actions
from kinema.envs.recorded import NO_STATE, RecordedWorld
from kinema.errors import ApiError, InputError, KinemaError, OutputError
from kinema.inference.frame_state import FrameState
from kinema.inference.rollout import render_frames
from kinema.media.write import replace_file, write_text
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model
from kinema.simulation.state import State
from kinema.simulation.world import World, check_action
from kinema.types import Frame, Frames, python_values

log = logging.getLogger(__name__)

META = "meta.json"
Command = list[Any]
"""["step", action or None], ["edit", text], ["move", slot, x, y] or ["rewind", frames]. An action is [right, up], or of a recorded
world an action of its own space as JSON; None is an unknown one, or of a recorded world the idle one."""
ServedWorld = World | RecordedWorld
_PAIR = {"type": "box", "edges": [[-1.0, 1.0], [-1.0, 1.0]], "shape": [2], "dtype": "float32"}
ROBOT_CONTROLS = {"space": _PAIR, "idle": None, "keys": key_actions(_PAIR)}
"""How a world with slots is acted in, as `kinema.envs.controls.action_controls` says it of recorded worlds."""


def perform(world: ServedWorld, command: Command, *, picture: bool = False) -> Any:
    """Run a command on a world. Returns what the world returns: the picture of a step if wanted, `understood` of an edit."""
    if isinstance(world, RecordedWorld):
        return _perform_recorded(world, command, picture=picture)
    match command:
        case ["step", action]:
            return world.step(action).frame if picture else world._advance(1, action) and None
        case ["edit", str(text)]:
            return world.edit(text)
        case ["move", slot, x, y]:
            return world.move(slot, x, y)
        case ["rewind", frames]:
            return world.rewind(frames)
    raise InputError(f"{str(command)[:80]} is nothing that can be done to a world")


def _perform_recorded(world: RecordedWorld, command: Command, *, picture: bool) -> Any:
    match command:
        case ["step", action]:
            world.go(world.idle if action is None else action_from_json(world.action_spec, action))
            return world.frame if picture else None
        case ["edit", str(text)]:
            return world.edit(text)
        case ["rewind", frames]:
            return world.rewind(frames)
    raise InputError(NO_STATE)


def step_of(action: Any, controls: dict[str, Any] | None = None) -> Command:
    """The command of one step, with the action checked. controls: of a recorded world (`Meta.controls`)."""
    if action is None:
        return ["step", None]
    if controls is None:
        return ["step", check_action(action).tolist()]
    return ["step", python_values(action_from_json(controls["space"], action))]


def pictures_of(world: ServedWorld, frame_states: Sequence[FrameState]) -> Frames:
    """Pictures uint8 [T, H, W, 3] of some of a world's frames."""
    if isinstance(world, RecordedWorld):
        return world.pictures_of(frame_states)
    width, height = world.size
    return np.asarray(render_frames(world.model, frame_states, height, width)[0])


def save_world(world: ServedWorld, path: Path, model: str) -> Path:
    """Save a world. model: its name on this server, which the file of a recorded world says in place of a folder."""
    if isinstance(world, RecordedWorld):
        return world.save(path, force=True, model=model)
    return world.save(path, force=True)


def state_json(state: State) -> dict[str, Any]:
    """A state as JSON; numbers are not rounded, so that clients can restore it exactly."""
    scene = state.scene
    things = [
        {
            "slot": e.slot, "name": e.name, "kind": e.kind, "color": e.color, "material": e.material, "size": e.radius,
            "x": e.x, "y": e.y, "vx": e.vx, "vy": e.vy, "angle": e.angle, "visible": e.visible,
        }
        for e in state.entities
    ]  # fmt: skip
    return {
        "time_s": state.time_s,
        "view": state.view,
        "background": state.background,
        "camera": scene.camera[0].tolist(),
        "things": things,
        "slots": scene.num_slots,
        "room_width": scene.room_width,
    }


def now_of(world: ServedWorld) -> dict[str, Any]:
    """The current time, state (None: of a recorded world), entities (None: of another one), reward and termination of a world as
    JSON."""
    return {
        "time_s": world.time_s,
        "past_frames": world.past_frames,
        "state": state_json(world.state) if isinstance(world, World) else None,
        "entities": python_values(world.entities) if isinstance(world, RecordedWorld) else None,
        "reward": world.reward,
        "terminated": world.terminated,
    }


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A world at one moment: its state, its picture, the last action, how long the model took, and the world's answer."""

    now: dict[str, Any]
    frame: Frame | None
    action: Any = None
    model_ms: float = 0.0
    answer: Any = None


def run_command(world: ServedWorld, command: Command, *, picture: bool = True) -> Snapshot:
    """Run a command and take a snapshot. picture: whether a step returns a picture."""
    started_at = time.perf_counter()
    answer = perform(world, command, picture=picture)
    elapsed_ms = 1000 * (time.perf_counter() - started_at)
    stepped = command[0] == "step"
    return Snapshot(
        now=now_of(world),
        frame=answer if stepped else None,
        action=command[1] if stepped else None,
        model_ms=elapsed_ms,
        answer=answer,
    )


class StateHistory(Sequence[State]):
    """A world's states, oldest first, each computed when it is read; `yield_to_urgent` is called before."""

    def __init__(self, world: World, yield_to_urgent: Callable[[], None]) -> None:
        self.world, self.yield_to_urgent = world, yield_to_urgent

    def __len__(self) -> int:
        return len(self.world._frame_states)

    @overload
    def __getitem__(self, index: int) -> State: ...
    @overload
    def __getitem__(self, index: slice) -> list[State]: ...
    def __getitem__(self, index: int | slice) -> State | list[State]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        self.yield_to_urgent()
        return self.world._state(self.world._frame_states[index])


@dataclass(kw_only=True)
class Meta:
    """The contents of meta.json, known without loading the world. now: as `now_of` at the last save."""

    id: str
    name: str
    owner: str
    model: str
    parent: str | None
    branched_at_s: float | None
    created_at: float
    seed: int
    fps: float
    size: str
    task: str | None
    now: dict[str, Any]
    controls: dict[str, Any] | None = None
    """Of a recorded world: how it is acted in (`kinema.envs.controls.action_controls`)."""


class WorldPlayer(Protocol):
    """Who steps a world on a clock. client: the name that its client gives itself; replaced: whether that client
    has connected anew."""

    client: str | None
    replaced: bool

    def leave(self) -> None:
        """End the session, as if the client had left."""


@dataclass(eq=False)
class WorldSession:
    """One world of a server. `lock` is held while a command runs; `world` is None while the world is on disk only."""

    folder: Path
    meta: Meta
    world: ServedWorld | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    snapshot: Snapshot | None = None
    version: int = 0
    """Grows with each command."""
    watchers: set[asyncio.Event] = field(default_factory=set)
    """Events that are set after each command, and when the world is deleted."""
    player: WorldPlayer | None = None
    """The live session that makes time go on."""
    deleted: bool = False
    num_unsaved: int = 0
    """Commands since the last save."""
    timer: asyncio.TimerHandle | None = None
    changed_at: float = 0.0
    _number: int = 0
    _log_file: TextIO | None = None

    @staticmethod
    def load(folder: Path) -> WorldSession | None:
        """The session of a folder; None, with a warning, if it contains no complete world."""
        try:
            data = json.loads((folder / META).read_text(encoding="utf-8"))
            meta = Meta(**{f.name: data[f.name] for f in fields(Meta) if f.name in data or f.default is MISSING})
            if meta.id != folder.name or not any(folder.glob("*.world")):
                raise ValueError("it is not whole")
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s holds no world (%s); it is left alone", folder, error)
            return None
        session = WorldSession(folder=folder, meta=meta)
        session.num_unsaved = sum(path.stat().st_size > 0 for path in folder.glob("*.steps"))
        return session

    def check_state(self) -> None:
        """ApiError for a recorded world, which has no state."""
        if self.meta.controls is not None:
            raise ApiError(400, NO_STATE, code="no_state")

    def read(self, model: Model | DiTModel) -> tuple[ServedWorld, list[Command]]:
        """The world of the last save, and the commands since, for `replay`."""
        bases = self._numbered("world")
        if not bases:
            raise OutputError(f"the file of world {self.meta.id} is lost")
        newest, base = bases[-1]
        commands = []
        for number, path in self._numbered("steps"):
            if number < newest:
                continue
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    commands.append(json.loads(line))
                except ValueError:
                    log.warning("world %s: a line of %s was cut off and is left out", self.meta.id, path.name)
        self._number = self._last() + bool(commands)
        self.num_unsaved = len(commands)
        if isinstance(model, DiTModel):
            return RecordedWorld.open(base, model=model), commands
        return World.open(base, model=model), commands

    def replay(self, world: ServedWorld, commands: Sequence[Command]) -> ServedWorld:
        """Run logged commands again. Those that fail are skipped with a warning."""
        for command in commands:
            try:
                perform(world, command)
            except (KinemaError, TypeError, ValueError) as error:
                log.warning("world %s: %s could not be done again: %s", self.meta.id, str(command)[:80], error)
        return world

    def _numbered(self, kind: str) -> list[tuple[int, Path]]:
        """Files of a kind, oldest first."""
        return sorted((int(path.stem), path) for path in self.folder.glob(f"*.{kind}") if path.stem.isdecimal())

    def _last(self) -> int:
        return max((number for kind in ("world", "steps") for number, _ in self._numbered(kind)), default=0)

    def log_command(self, command: Command) -> None:
        """Append a command to the log before it is answered."""
        self.num_unsaved += 1
        try:
            if self._log_file is None:
                self._log_file = (self.folder / f"{self._number:06}.steps").open("a", encoding="utf-8")
            self._log_file.write(json.dumps(command) + "\n")
            self._log_file.flush()
        except OSError as error:
            self.next_number()
            raise OutputError(f"the step was done but could not be written down: {error.strerror}") from None

    def next_number(self) -> int:
        """Begin the next number: later commands follow the world that is about to be saved under it."""
        self.close_log()
        self._number = max(self._last(), self._number) + 1
        return self._number

    def write(self, world: ServedWorld, number: int) -> None:
        """Save a world under a number, atomically, then delete older files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{number:06}.world", self._saver(world), force=True)
        self.write_meta()
        older = [path for kind in ("world", "steps") for other, path in self._numbered(kind) if other < number]
        for path in [*older, *self.folder.glob(".*.tmp*")]:
            path.unlink(missing_ok=True)

    def _saver(self, world: ServedWorld) -> Callable[[Path], None]:
        def fill(path: Path) -> None:
            save_world(world, path, self.meta.model)

        return fill

    def write_meta(self) -> None:
        write_text(self.folder / META, json.dumps(asdict(self.meta)), force=True)

    def close_log(self) -> None:
        """Close the file that commands are logged to."""
        log_file, self._log_file = self._log_file, None
        if log_file is not None:
            with suppress(OSError):
                log_file.close()
