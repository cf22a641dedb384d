"""A world's room on disk and in memory.

DATA/worlds/{id}/ holds meta.json, one `NNNNNN.world` (`World.save`) and one or more `NNNNNN.steps`: a line for each deed since. A
deed is written down before it is answered, so a killed server loses none: from the saved world the same deeds lead to the same
world, bit for bit. Saving takes too long to do it at each step; it begins a new number, and what is older is deleted once the
new file is whole.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO, overload

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError, KinemaError, OutputError
from kinema.media.write import replace_file, write_text
from kinema.models.hub import Model
from kinema.simulation.state import State
from kinema.simulation.world import World, check_action

log = logging.getLogger(__name__)

META = "meta.json"
Frame = NDArray[np.uint8]
Deed = list[Any]
"""["step", [right, up] or None], ["edit", text], ["move", slot, x, y] or ["rewind", frames]."""


def perform(world: World, deed: Deed, *, picture: bool = False) -> Any:
    """Do a deed; what the world answers: a step's picture if there is to be one, an edit's `understood`."""
    match deed:
        case ["step", action]:
            return world.step(action).frame if picture else world._advance(1, action) and None
        case ["edit", str(text)]:
            return world.edit(text)
        case ["move", slot, x, y]:
            return world.move(slot, x, y)
        case ["rewind", frames]:
            return world.rewind(frames)
    raise InputError(f"{str(deed)[:80]} is nothing that can be done to a world")


def step_of(action: Any) -> Deed:
    """A step as a deed, the action checked and as the world takes it."""
    return ["step", None if action is None else check_action(action).tolist()]


def state_json(state: State) -> dict[str, Any]:
    """A state as clients read it; numbers are not rounded, so that they can be told apart and put together again."""
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


def now_of(world: World) -> dict[str, Any]:
    """What a client is told of a world as it is now."""
    return {
        "time_s": world.time_s,
        "past_frames": world.past_frames,
        "state": state_json(world.state),
        "reward": world.reward,
        "terminated": world.terminated,
    }


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A world at one moment: its numbers, its picture, what was done last, how long that took, and what it answered."""

    now: dict[str, Any]
    frame: Frame | None
    action: list[float] | None = None
    model_ms: float = 0.0
    answer: Any = None


def done(world: World, deed: Deed, *, picture: bool = True) -> Snapshot:
    """Do a deed and look; of a step there is a picture if there is to be one."""
    begun = time.perf_counter()
    answer = perform(world, deed, picture=picture)
    took = 1000 * (time.perf_counter() - begun)
    stepped = deed[0] == "step"
    return Snapshot(
        now=now_of(world),
        frame=answer if stepped else None,
        action=deed[1] if stepped else None,
        model_ms=took,
        answer=answer,
    )


class Past(Sequence[State]):
    """A world's states, oldest first, each made when it is read; `breathe` is called before."""

    def __init__(self, world: World, breathe: Callable[[], None]) -> None:
        self.world, self.breathe = world, breathe

    def __len__(self) -> int:
        return len(self.world._frame_states)

    @overload
    def __getitem__(self, index: int) -> State: ...
    @overload
    def __getitem__(self, index: slice) -> list[State]: ...
    def __getitem__(self, index: int | slice) -> State | list[State]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        self.breathe()
        return self.world._state(self.world._frame_states[index])


@dataclass(kw_only=True)
class Meta:
    """What is known of a world without opening it. now: as it was when it was saved last."""

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


@dataclass(eq=False)
class WorldSession:
    """One world of a server. `lock` is held by whoever does something to it; `world` is None while it lies on disk only."""

    folder: Path
    meta: Meta
    world: World | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    look: Snapshot | None = None
    version: int = 0
    """Grows with everything that is done."""
    watchers: set[asyncio.Event] = field(default_factory=set)
    """Set whenever something was done, or the room is gone."""
    player: object | None = None
    """The live session that makes time go on."""
    gone: bool = False
    written: int = 0
    """Deeds since the world was saved."""
    timer: asyncio.TimerHandle | None = None
    changed_at: float = 0.0
    _number: int = 0
    _steps: TextIO | None = None

    @staticmethod
    def found(folder: Path) -> WorldSession | None:
        """The room that a folder holds; None with a warning where it holds none."""
        try:
            data = json.loads((folder / META).read_text(encoding="utf-8"))
            meta = Meta(**{f.name: data[f.name] for f in fields(Meta)})
            if meta.id != folder.name or not any(folder.glob("*.world")):
                raise ValueError("it is not whole")
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            log.warning("%s holds no world (%s); it is left alone", folder, wrong)
            return None
        room = WorldSession(folder=folder, meta=meta)
        room.written = sum(path.stat().st_size > 0 for path in folder.glob("*.steps"))
        return room

    def read(self, model: Model) -> tuple[World, list[Deed]]:
        """The world as it was saved, and what was done to it since (`replay` does it again)."""
        bases = self._numbered("world")
        if not bases:
            raise OutputError(f"the file of world {self.meta.id} is lost")
        newest, base = bases[-1]
        deeds = []
        for number, path in self._numbered("steps"):
            if number < newest:
                continue
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    deeds.append(json.loads(line))
                except ValueError:
                    log.warning("world %s: a line of %s was cut off and is left out", self.meta.id, path.name)
        self._number = self._last() + bool(deeds)
        self.written = len(deeds)
        return World.open(base, model=model), deeds

    def replay(self, world: World, deeds: Sequence[Deed]) -> World:
        """Do again what was done."""
        for deed in deeds:
            try:
                perform(world, deed)
            except (KinemaError, TypeError, ValueError) as wrong:
                log.warning("world %s: %s could not be done again: %s", self.meta.id, str(deed)[:80], wrong)
        return world

    def _numbered(self, kind: str) -> list[tuple[int, Path]]:
        """Files of a kind, oldest first."""
        return sorted((int(path.stem), path) for path in self.folder.glob(f"*.{kind}") if path.stem.isdecimal())

    def _last(self) -> int:
        return max((number for kind in ("world", "steps") for number, _ in self._numbered(kind)), default=0)

    def note(self, deed: Deed) -> None:
        """Write a deed down before it is answered."""
        self.written += 1
        try:
            if self._steps is None:
                self._steps = (self.folder / f"{self._number:06}.steps").open("a", encoding="utf-8")
            self._steps.write(json.dumps(deed) + "\n")
            self._steps.flush()
        except OSError as wrong:
            self.turn()
            raise OutputError(f"the step was done but could not be written down: {wrong.strerror}") from None

    def turn(self) -> int:
        """Begin the next number: deeds from here on come after the world that is about to be saved under it."""
        self.shut()
        self._number = max(self._last(), self._number) + 1
        return self._number

    def write(self, world: World, number: int) -> None:
        """Save a world under a number, whole or not at all, then forget the older files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{number:06}.world", lambda path: _saved(world, path), force=True)
        self.write_meta()
        older = [path for kind in ("world", "steps") for other, path in self._numbered(kind) if other < number]
        for path in [*older, *self.folder.glob(".*.tmp*")]:
            path.unlink(missing_ok=True)

    def write_meta(self) -> None:
        write_text(self.folder / META, json.dumps(asdict(self.meta)), force=True)

    def shut(self) -> None:
        """Close the file that deeds are written into."""
        steps, self._steps = self._steps, None
        if steps is not None:
            with suppress(OSError):
                steps.close()


def _saved(world: World, path: Path) -> None:
    world.save(path, force=True)
