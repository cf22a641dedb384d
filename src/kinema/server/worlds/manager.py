"""The living worlds of one server: found, begun, stepped, saved, put to sleep.

Every world has a folder (`kinema.server.worlds.session`); at most `alive` of them are in memory, and who was not used for
longest is saved and let go. Whatever is done to a world is done under its lock, so clients of one world are served in the order
in which they came; questions and films are put to a branch, and keep nobody waiting. Models run in one thread
(`kinema.server.worlds.executor`), files are written in another, and the event loop does neither.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from kinema.errors import ApiError, InputError, KinemaError, ModelError
from kinema.inference.canvas_io import resolve_model
from kinema.inference.rollout import render_frames
from kinema.media import Clip
from kinema.models.hub import DEFAULT, Model, available
from kinema.scene.scene import Scene
from kinema.server.api.errors import not_found
from kinema.server.worlds.executor import Executor
from kinema.server.worlds.files import mended, opened, source_of
from kinema.server.worlds.session import Deed, Meta, Past, Snapshot, WorldSession, done, now_of
from kinema.simulation.questions import Answer, answer
from kinema.simulation.world import WhatIf, World

log = logging.getLogger(__name__)
T = TypeVar("T")

QUIET_S = 1.0
"""A world is saved when nothing was done to it for so long,"""
MOST_DEEDS = 480
"""or so much was done that doing it again would take long."""
MOST_WORLDS = 500
"""Of one key."""
FILMED = 16
"""Frames of a film that are drawn in one pass."""
LONGEST_NAME = 200


class Caller(Protocol):
    """Who asks."""

    @property
    def key_id(self) -> str: ...
    @property
    def scopes(self) -> Any: ...


class WorldManager:
    """folder: where worlds are kept. alive: how many are in memory at once. threads: cores for one operation of a model; None
    leaves it to torch. models: names of those that worlds may be of; None: all that are installed. device: where they compute."""

    def __init__(
        self, folder: Path, *, alive: int = 16, threads: int | None = None, models: list[str] | None = None,
        device: str = "auto",
    ) -> None:  # fmt: skip
        if alive < 1:
            raise InputError(f"{alive} living worlds: expected at least 1")
        self.folder, self.alive, self.device = Path(folder), alive, device
        self.models = available() if models is None else models
        self.engine = Executor(threads=threads)
        self._files = ThreadPoolExecutor(1, thread_name_prefix="kinema-files")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._awake: OrderedDict[str, WorldSession] = OrderedDict()
        self._closed = False
        self._coming: Counter[str] = Counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        for dead in self.folder.glob(".deleted-*"):
            shutil.rmtree(dead, ignore_errors=True)
        found = (WorldSession.found(folder) for folder in sorted(self.folder.glob("world_*")))
        self.rooms: dict[str, WorldSession] = {room.meta.id: room for room in found if room is not None}

    # Who is there

    def find(self, id: str, caller: Caller) -> WorldSession:
        """A world of this key (of any: scope "admin"); for others there is none."""
        room = self.rooms.get(id)
        if room is None or room.gone or not _may(caller, room):
            raise not_found("world", id)
        return room

    def of(self, caller: Caller) -> list[WorldSession]:
        """All of this key's worlds, the newest first."""
        mine = [room for room in self.rooms.values() if not room.gone and _may(caller, room)]
        return sorted(mine, key=lambda room: (-room.meta.created_at, room.meta.id))

    def _model(self, name: str | None) -> Model:
        name = name or DEFAULT
        if name not in self.models:
            raise ModelError(f"no model {name[:80]!r}; expected one of: {', '.join(self.models) or 'none is installed'}")
        return self.engine.watch(resolve_model(name, self.device))

    # Coming and going

    async def create(
        self,
        owner: str,
        start: str | Clip | Scene,
        *,
        model: str | None = None,
        name: str | None = None,
        seed: int = 0,
        fps: float = 16.0,
        size: str | None = None,
        task: str | None = None,
    ) -> WorldSession:
        """A new world; it is on disk when this returns."""
        chosen = model or DEFAULT

        def begin() -> World:
            return World(self._model(chosen), start, seed=seed, fps=fps, size=size, task=task)

        with self._room_for(owner):
            world = await self.engine.run(begin)
            called = name or (start.strip() if isinstance(start, str) else "") or "untitled"
            return await self._enter(world, owner, chosen, called)

    async def open(self, owner: str, path: Path, name: str) -> WorldSession:
        """A new world from a file that anybody may have made."""
        with self._room_for(owner):
            source = await self._filed(lambda: source_of(path))
            model = await self.engine.run(lambda: self._model(source))
            world = await self._filed(lambda: opened(path, model))
            await self.engine.run(lambda: mended(world))
            return await self._enter(world, owner, source, name)

    async def branch(self, room: WorldSession, owner: str, name: str | None = None) -> WorldSession:
        """Another world that shares the past; neither changes the other."""
        with self._room_for(owner):
            world = await self.snapshot(room)
            return await self._enter(world, owner, room.meta.model, name or f"{room.meta.name}, branch", room)

    @contextmanager
    def _room_for(self, owner: str) -> Iterator[None]:
        """While a world is made it counts already."""
        if self._closed:
            raise ApiError(503, "the server is closing; try again in a moment", code="closing")
        if sum(room.meta.owner == owner for room in self.rooms.values()) + self._coming[owner] >= MOST_WORLDS:
            raise ApiError(
                429, f"this key has {MOST_WORLDS} worlds, which is the most; delete one first", code="too_many_worlds"
            )
        self._coming[owner] += 1
        try:
            yield
        finally:
            self._coming[owner] -= 1

    async def _enter(
        self, world: World, owner: str, model: str, name: str, parent: WorldSession | None = None
    ) -> WorldSession:
        id = f"world_{secrets.token_hex(12)}"
        meta = Meta(
            id=id, name=name[:LONGEST_NAME], owner=owner, model=model, parent=parent.meta.id if parent else None,
            branched_at_s=world.time_s if parent else None, created_at=time.time(), seed=world.seed, fps=world.fps,
            size=f"{world.size[0]}x{world.size[1]}", task=world.task, now=await self.engine.run(lambda: now_of(world)),
        )  # fmt: skip
        room = WorldSession(folder=self.folder / id, meta=meta, world=world)
        try:
            await self._filed(lambda: room.write(world, room.turn()))
        except BaseException:
            await self._filed(lambda: shutil.rmtree(room.folder, ignore_errors=True))
            raise
        self.rooms[id] = room
        self._woken(room)
        return room

    async def rename(self, room: WorldSession, name: str) -> None:
        if not name.strip() or len(name) > LONGEST_NAME:
            raise InputError(f"name of {len(name)} characters: expected 1 to {LONGEST_NAME}")
        room.meta.name = name.strip()
        await self._filed(room.write_meta)

    async def delete(self, room: WorldSession) -> None:
        """Gone at once and for good; its branches stay."""
        room.gone = True
        self._tell(room)
        async with room.saving, room.lock:
            self.rooms.pop(room.meta.id, None)
            self._awake.pop(room.meta.id, None)
            room.world = room.look = None
            room.shut()
            trash = room.folder.with_name(f".deleted-{room.folder.name}")
            await self._filed(lambda: shutil.rmtree(room.folder.replace(trash), ignore_errors=True))

    # What is done to a world

    @asynccontextmanager
    async def inside(self, room: WorldSession) -> AsyncIterator[World]:
        """The world, awake and nobody else's for as long."""
        async with room.lock:
            if room.gone:
                raise not_found("world", room.meta.id)
            if room.world is None:
                model = await self.engine.run(lambda: self._model(room.meta.model))
                world, deeds = await self._filed(lambda: room.read(model))
                room.meta.now = await self.engine.run(lambda: now_of(room.replay(world, deeds)))
                room.world = world
            self._woken(room)
            yield room.world

    async def do(self, room: WorldSession, deed: Deed, *, urgent: bool = False, picture: bool = True) -> Snapshot:
        """Do something to a world; it is written down when this returns."""
        async with self.inside(room) as world:

            def work() -> Snapshot:
                look = done(world, deed, picture=picture)
                room.note(deed)
                return look

            try:
                room.look = await self.engine.run(work, urgent=urgent)
            except InputError:
                raise
            except BaseException:
                room.look = None
                self._changed(room)
                raise
            look = room.look
            self._changed(room)
        return look

    def _changed(self, room: WorldSession) -> None:
        room.version += 1
        self._tell(room)
        room.changed_at = time.monotonic()
        if room.timer is None and not self._closed:
            room.timer = asyncio.get_running_loop().call_later(QUIET_S, self._maybe_keep, room)

    async def look(self, room: WorldSession, *, picture: bool = True, urgent: bool = False) -> Snapshot:
        """The world as it is, without going on."""
        if room.look is not None and (room.look.frame is not None or not picture):
            return room.look
        async with self.inside(room) as world:
            seen = room.look

            def work() -> Snapshot:
                now = now_of(world) if seen is None else seen.now
                action = None if seen is None else seen.action
                return Snapshot(now=now, frame=world.frame if picture else None, action=action)

            if seen is None or (picture and seen.frame is None):
                room.look = seen = await self.engine.run(work, urgent=urgent)
        return seen

    async def now(self, room: WorldSession) -> dict[str, Any]:
        """What is told of it; a world that sleeps is woken only where more was done to it than was saved."""
        if room.world is None and not room.written:
            return room.meta.now
        return (await self.look(room, picture=False)).now

    async def snapshot(self, room: WorldSession) -> World:
        """A branch that nobody else has, as the world is now."""
        async with self.inside(room) as world:
            return world.branch()

    async def ask(self, room: WorldSession, question: str) -> Answer:
        world = await self.snapshot(room)
        return await self.engine.run(lambda: answer(question, Past(world, self.engine.yield_to_urgent), world._roll))

    async def what_if(self, room: WorldSession, cause: str, since: int) -> WhatIf:
        world = await self.snapshot(room)
        return await self.engine.run(lambda: world.what_if(cause, since))

    async def clip(self, room: WorldSession, frames: int | None = None) -> Clip:
        """The last frames (all that are kept, if not told)."""
        world = await self.snapshot(room)
        moments = world._frame_states if frames is None else world._frame_states[-frames:]
        width, height = world.size
        parts = [
            (await self.engine.run(partial(render_frames, world.model, moments[i : i + FILMED], height, width)))[0]
            for i in range(0, len(moments), FILMED)
        ]
        settings = {"layout": "world", "model": world.model.source, "seed": world.seed}
        return Clip(frames=np.concatenate(parts), fps=world.fps, state=world._scene(moments), settings=settings)

    async def export(self, room: WorldSession, path: Path) -> Path:
        """The world as one file, which `World.open` goes on from."""
        world = await self.snapshot(room)
        return await self._filed(lambda: world.save(path, force=True))

    # Keeping

    async def _filed(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    async def keep(self, room: WorldSession) -> None:
        """Save a world, unless nothing was done to it since it was saved."""
        async with room.saving:
            async with room.lock:
                if room.gone or room.world is None or not room.written:
                    return
                world, number, written = room.world.branch(), room.turn(), room.written
                room.meta.now = (room.look or Snapshot(now=await self.engine.run(lambda: now_of(world)), frame=None)).now
            await self._filed(lambda: room.write(world, number))
            room.written -= written

    def _maybe_keep(self, room: WorldSession) -> None:
        room.timer = None
        idle = time.monotonic() - room.changed_at
        if idle >= QUIET_S or room.written >= MOST_DEEDS:
            self._later(self.keep(room))
        elif not self._closed:
            room.timer = asyncio.get_running_loop().call_later(QUIET_S - idle, self._maybe_keep, room)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except KinemaError as wrong:
                log.error("%s", wrong)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def left(self, room: WorldSession) -> None:
        """A live session has ended."""
        if not self._closed:
            self._later(self.keep(room))

    def _tell(self, room: WorldSession) -> None:
        for watcher in room.watchers:
            watcher.set()

    def _woken(self, room: WorldSession) -> None:
        self._awake[room.meta.id] = room
        self._awake.move_to_end(room.meta.id)
        excess = max(len(self._awake) - self.alive, 0)
        idle = [other for other in self._awake.values() if other is not room and not other.watchers]
        for sleepy in idle[:excess]:
            del self._awake[sleepy.meta.id]
            self._later(self._sleep(sleepy))

    async def _sleep(self, room: WorldSession) -> None:
        await self.keep(room)
        async with room.lock:
            if room.meta.id not in self._awake and not room.written and not room.watchers:
                room.world = room.look = None

    async def close(self) -> None:
        """Save all and end the threads; nothing more is begun."""
        self._closed = True
        for room in self.rooms.values():
            if room.timer is not None:
                room.timer.cancel()
                room.timer = None
            self._tell(room)
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        for room in list(self.rooms.values()):
            try:
                await self.keep(room)
            except KinemaError as wrong:
                log.error("%s", wrong)
            room.shut()
        await asyncio.get_running_loop().run_in_executor(None, self.engine.close)
        self._files.shutdown()

    @property
    def closed(self) -> bool:
        return self._closed


def _may(caller: Caller, room: WorldSession) -> bool:
    return caller.key_id == room.meta.owner or "admin" in caller.scopes
