"""`WorldManager`: creates, loads, steps, saves and unloads the worlds of one server.

Every world has a folder (`kinema.server.worlds.session`); at most `alive` of them are in memory, and the least recently used is
saved and unloaded. Commands run under the world's lock, so clients of one world are served in the order in which they came;
questions and clips are computed on a branch, and block nobody. Models run in one thread
(`kinema.server.worlds.executor`), files are written in another, and the event loop does neither.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kinema.envs.controls import action_controls
from kinema.envs.recorded import RecordedWorld
from kinema.errors import ApiError, InputError, KinemaError
from kinema.media import Clip
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.server.api.errors import not_found
from kinema.server.storage.decoder import MediaDecoder
from kinema.server.worlds.beginnings import WorldModels, begin_world
from kinema.server.worlds.executor import Executor
from kinema.server.worlds.files import open_recorded, open_world
from kinema.server.worlds.session import (
    Command,
    Meta,
    ServedWorld,
    Snapshot,
    StateHistory,
    WorldSession,
    now_of,
    pictures_of,
    run_command,
    save_world,
)
from kinema.simulation.questions import Answer, answer
from kinema.simulation.world import WhatIf, World
from kinema.types import T

log = logging.getLogger(__name__)

QUIET_S = 1.0
"""A world is saved when it received no command for this long,"""
MAX_COMMANDS = 480
"""or when this many commands would have to be replayed."""
MAX_WORLDS = 500
"""Of one key."""
FRAMES_PER_PASS = 16
"""Frames of a clip that are rendered in one pass."""
LONGEST_NAME = 200


class KeyHolder(Protocol):
    """Who asks."""

    @property
    def key_id(self) -> str: ...
    @property
    def scopes(self) -> Any: ...


class WorldManager:
    """folder: where worlds are stored. alive: how many are in memory at once. threads: cores for one operation of a model; None
    leaves it to torch. models: names of those that worlds may be of; None: all that are installed. device: where they compute."""

    def __init__(
        self, folder: Path, *, alive: int = 16, threads: int | None = None, models: list[str] | None = None,
        device: str = "auto",
    ) -> None:  # fmt: skip
        if alive < 1:
            raise InputError(f"{alive} living worlds: expected at least 1")
        self.folder, self.alive = Path(folder), alive
        self.models = WorldModels(models, device)
        self.executor = Executor(threads=threads)
        self._decoder = MediaDecoder()
        self._files = ThreadPoolExecutor(1, thread_name_prefix="kinema-files")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loaded: OrderedDict[str, WorldSession] = OrderedDict()
        self._closed = False
        self._pending: Counter[str] = Counter()
        self.num_live: Counter[str] = Counter()
        """Live sessions by key."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for dead in self.folder.glob(".deleted-*"):
            shutil.rmtree(dead, ignore_errors=True)
        loaded = (WorldSession.load(folder) for folder in sorted(self.folder.glob("world_*")))
        self.sessions: dict[str, WorldSession] = {session.meta.id: session for session in loaded if session is not None}

    # Lookup

    def find(self, id: str, caller: KeyHolder) -> WorldSession:
        """A world of the caller's key, or of any key with the scope admin; 404 otherwise."""
        session = self.sessions.get(id)
        if session is None or session.deleted or not _is_allowed(caller, session):
            raise not_found("world", id)
        return session

    def list_for(self, caller: KeyHolder) -> list[WorldSession]:
        """All worlds that the caller may see, newest first."""
        mine = [session for session in self.sessions.values() if not session.deleted and _is_allowed(caller, session)]
        return sorted(mine, key=lambda session: (-session.meta.created_at, session.meta.id))

    def counts(self) -> dict[str, int]:
        """How many worlds are stored, how many of them are loaded, and how many live sessions there are."""
        return {"stored": len(self.sessions), "loaded": len(self._loaded), "live": self.num_live.total()}

    def _model(self, name: str) -> Model | DiTModel:
        return self.executor.watch(self.models.load(self.models.name_of(name)))

    # Lifecycle

    async def create(
        self,
        owner: str,
        start: str | Clip | Scene,
        *,
        model: str | None = None,
        name: str | None = None,
        seed: int = 0,
        fps: float | None = None,
        size: str | None = None,
        task: str | None = None,
        most: int | None = None,
    ) -> WorldSession:
        """A new world; it is on disk when this returns. most: how many the owner may have."""
        chosen = self.models.name_of(model)

        def begin() -> ServedWorld:
            return begin_world(self._model(chosen), start, seed=seed, fps=fps, size=size, task=task)

        with self._reserve(owner, most):
            world = await self.executor.run(begin)
            unnamed = "untitled" if isinstance(world, World) else chosen
            called = name or (start.strip() if isinstance(start, str) else "") or unnamed
            return await self._add(world, owner, chosen, called)

    async def open(self, owner: str, content: bytes, name: str, *, most: int | None = None) -> WorldSession:
        """Create a world from the bytes of an untrusted file, which another process reads."""
        with self._reserve(owner, most), tempfile.TemporaryDirectory(prefix="kinema-world-") as folder:
            path = Path(folder) / "opened.world"
            source = await asyncio.to_thread(self._decoder.rewrite_world, content, path)
            called = self.models.name_of(source)
            model = await self.executor.run(lambda: self._model(called))
            if isinstance(model, DiTModel):
                return await self._add(await self._run_io(lambda: open_recorded(path, model)), owner, called, name)
            world = await self._run_io(lambda: open_world(path, model))
            return await self._add(await self.executor.run(world._with_memory), owner, called, name)

    async def branch(
        self, session: WorldSession, owner: str, name: str | None = None, *, most: int | None = None
    ) -> WorldSession:
        """Another world that shares the past; neither changes the other."""
        with self._reserve(owner, most):
            world = await self.private_branch(session)
            return await self._add(world, owner, session.meta.model, name or f"{session.meta.name}, branch", session)

    @contextmanager
    def _reserve(self, owner: str, most: int | None) -> Iterator[None]:
        """Count a world towards its owner's limit while it is being created; 429 beyond the limit."""
        most = min(most or MAX_WORLDS, MAX_WORLDS)
        if self._closed:
            raise ApiError(503, "the server is closing; try again in a moment", code="closing")
        if sum(session.meta.owner == owner for session in self.sessions.values()) + self._pending[owner] >= most:
            raise ApiError(429, f"this key has {most} worlds, which is the most; delete one first", code="too_many_worlds")
        self._pending[owner] += 1
        try:
            yield
        finally:
            self._pending[owner] -= 1

    async def _add(
        self, world: ServedWorld, owner: str, model: str, name: str, parent: WorldSession | None = None
    ) -> WorldSession:
        id = f"world_{secrets.token_hex(12)}"
        meta = Meta(
            id=id, name=name[:LONGEST_NAME], owner=owner, model=model, parent=parent.meta.id if parent else None,
            branched_at_s=world.time_s if parent else None, created_at=time.time(), seed=world.seed, fps=world.fps,
            size=f"{world.size[0]}x{world.size[1]}", task=world.task or None, now=await self.executor.run(lambda: now_of(world)),
            controls=action_controls(world.model.config.world or {}) if isinstance(world, RecordedWorld) else None,
        )  # fmt: skip
        session = WorldSession(folder=self.folder / id, meta=meta, world=world)
        try:
            await self._run_io(lambda: session.write(world, session.next_number()))
        except BaseException:
            await self._run_io(lambda: shutil.rmtree(session.folder, ignore_errors=True))
            raise
        self.sessions[id] = session
        self._mark_used(session)
        return session

    async def rename(self, session: WorldSession, name: str) -> None:
        if not name.strip() or len(name) > LONGEST_NAME:
            raise InputError(f"name of {len(name)} characters: expected 1 to {LONGEST_NAME}")
        session.meta.name = name.strip()
        await self._run_io(session.write_meta)

    async def delete(self, session: WorldSession) -> None:
        """Delete a world for good; its branches stay."""
        session.deleted = True
        self._notify(session)
        async with session.saving, session.lock:
            self.sessions.pop(session.meta.id, None)
            self._loaded.pop(session.meta.id, None)
            session.world = session.snapshot = None
            session.close_log()
            trash = session.folder.with_name(f".deleted-{session.folder.name}")
            await self._run_io(lambda: shutil.rmtree(session.folder.replace(trash), ignore_errors=True))

    # Commands and queries

    @asynccontextmanager
    async def locked_world(self, session: WorldSession) -> AsyncIterator[ServedWorld]:
        """The world, loaded and locked; 404 if it has been deleted."""
        async with session.lock:
            if session.deleted:
                raise not_found("world", session.meta.id)
            if session.world is None:
                model = await self.executor.run(lambda: self._model(session.meta.model))
                world, commands = await self._run_io(lambda: session.read(model))
                session.meta.now = await self.executor.run(lambda: now_of(session.replay(world, commands)))
                session.world = world
            self._mark_used(session)
            yield session.world

    async def execute(
        self, session: WorldSession, command: Command, *, urgent: bool = False, picture: bool = True
    ) -> Snapshot:
        """Run a command on a world; it is logged when this returns."""
        async with self.locked_world(session) as world:

            def work() -> Snapshot:
                snapshot = run_command(world, command, picture=picture)
                session.log_command(command)
                return snapshot

            try:
                session.snapshot = await self.executor.run(work, urgent=urgent)
            except InputError:
                raise
            except BaseException:
                session.snapshot = None
                self._on_change(session)
                raise
            snapshot = session.snapshot
            self._on_change(session)
        return snapshot

    def _on_change(self, session: WorldSession) -> None:
        session.version += 1
        self._notify(session)
        session.changed_at = time.monotonic()
        if session.timer is None and not self._closed:
            session.timer = asyncio.get_running_loop().call_later(QUIET_S, self._maybe_save, session)

    async def snapshot(self, session: WorldSession, *, picture: bool = True, urgent: bool = False) -> Snapshot:
        """A snapshot of the current frame, without a step."""
        if session.snapshot is not None and (session.snapshot.frame is not None or not picture):
            return session.snapshot
        async with self.locked_world(session) as world:
            seen = session.snapshot

            def work() -> Snapshot:
                now = now_of(world) if seen is None else seen.now
                action = None if seen is None else seen.action
                return Snapshot(now=now, frame=world.frame if picture else None, action=action)

            if seen is None or (picture and seen.frame is None):
                session.snapshot = seen = await self.executor.run(work, urgent=urgent)
        return seen

    async def now(self, session: WorldSession) -> dict[str, Any]:
        """`now_of` the world; it is loaded only if it has commands that are not saved."""
        if session.world is None and not session.num_unsaved:
            return session.meta.now
        return (await self.snapshot(session, picture=False)).now

    async def private_branch(self, session: WorldSession) -> ServedWorld:
        """A copy of the current world that is not registered with the manager."""
        async with self.locked_world(session) as world:
            return world.branch()

    async def branch_with_state(self, session: WorldSession) -> World:
        """`private_branch` of a world with a state; ApiError for a recorded world."""
        session.check_state()
        world = await self.private_branch(session)
        assert isinstance(world, World)
        return world

    async def branch_with_entities(self, session: WorldSession) -> RecordedWorld | None:
        """`private_branch` of a recorded world; None: of another one. ApiError for a recorded world without entities."""
        if session.meta.controls is None:
            return None
        recorded = await self.private_branch(session)
        assert isinstance(recorded, RecordedWorld)
        if not recorded.entities:
            session.check_state()
        return recorded

    async def ask(self, session: WorldSession, question: str) -> Answer:
        recorded = await self.branch_with_entities(session)
        if recorded is not None:
            return await self.executor.run(lambda: recorded.ask(question))
        world = await self.branch_with_state(session)
        return await self.executor.run(
            lambda: answer(question, StateHistory(world, self.executor.yield_to_urgent), world._roll)
        )

    async def what_if(self, session: WorldSession, cause: str, since: int) -> WhatIf:
        world = await self.branch_with_state(session)
        return await self.executor.run(lambda: world.what_if(cause, since))

    async def clip(self, session: WorldSession, frames: int | None = None) -> Clip:
        """The last frames as a clip; None: all that are stored."""
        world = await self.private_branch(session)
        moments = world._frame_states if frames is None else world._frame_states[-frames:]
        parts = [
            await self.executor.run(partial(pictures_of, world, moments[i : i + FRAMES_PER_PASS]))
            for i in range(0, len(moments), FRAMES_PER_PASS)
        ]
        settings = {"layout": "world", "model": session.meta.model, "seed": world.seed}
        state = world._scene(moments) if isinstance(world, World) else None
        return Clip(frames=np.concatenate(parts), fps=world.fps, state=state, settings=settings)

    async def export(self, session: WorldSession, path: Path) -> Path:
        """The world as one file, which `World.open` or `RecordedWorld.open` goes on from."""
        world = await self.private_branch(session)
        return await self._run_io(lambda: save_world(world, path, session.meta.model))

    # Saving

    async def _run_io(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    async def save(self, session: WorldSession) -> None:
        """Save a world if it received commands since the last save."""
        async with session.saving:
            async with session.lock:
                if session.deleted or session.world is None or not session.num_unsaved:
                    return
                world, number, num_unsaved = session.world.branch(), session.next_number(), session.num_unsaved
                session.meta.now = (
                    session.snapshot or Snapshot(now=await self.executor.run(lambda: now_of(world)), frame=None)
                ).now
            await self._run_io(lambda: session.write(world, number))
            session.num_unsaved -= num_unsaved

    def _maybe_save(self, session: WorldSession) -> None:
        session.timer = None
        idle = time.monotonic() - session.changed_at
        if idle >= QUIET_S or session.num_unsaved >= MAX_COMMANDS:
            self._run_later(self.save(session))
        elif not self._closed:
            session.timer = asyncio.get_running_loop().call_later(QUIET_S - idle, self._maybe_save, session)

    def _run_later(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except KinemaError as error:
                log.error("%s", error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def client_left(self, session: WorldSession) -> None:
        """Save a world after a live session has ended."""
        if not self._closed:
            self._run_later(self.save(session))

    def _notify(self, session: WorldSession) -> None:
        for watcher in session.watchers:
            watcher.set()

    def _mark_used(self, session: WorldSession) -> None:
        self._loaded[session.meta.id] = session
        self._loaded.move_to_end(session.meta.id)
        excess = max(len(self._loaded) - self.alive, 0)
        idle = [other for other in self._loaded.values() if other is not session and not other.watchers]
        for unused in idle[:excess]:
            del self._loaded[unused.meta.id]
            self._run_later(self._unload(unused))

    async def _unload(self, session: WorldSession) -> None:
        await self.save(session)
        async with session.lock:
            if session.meta.id not in self._loaded and not session.num_unsaved and not session.watchers:
                session.world = session.snapshot = None

    async def close(self) -> None:
        """Save all worlds and end the threads; later calls are refused with 503."""
        self._closed = True
        for session in self.sessions.values():
            if session.timer is not None:
                session.timer.cancel()
                session.timer = None
            self._notify(session)
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        for session in list(self.sessions.values()):
            try:
                await self.save(session)
            except KinemaError as error:
                log.error("%s", error)
            session.close_log()
        await asyncio.get_running_loop().run_in_executor(None, self.executor.close)
        self._files.shutdown()

    @property
    def closed(self) -> bool:
        return self._closed


def _is_allowed(caller: KeyHolder, session: WorldSession) -> bool:
    return caller.key_id == session.meta.owner or "admin" in caller.scopes
