"""`Executor`: one thread for all model work of a server's worlds.

Urgent jobs (steps of live play) run before all others and interrupt them: a long job runs urgent ones between two blocks of its
network and wherever it calls `yield_to_urgent`. A live frame waits for part of a forward pass, never for a whole clip.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from kinema.errors import ApiError
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model
from kinema.types import T

Watched = TypeVar("Watched", bound=Model | DiTModel)
SHARE = 0.25
"""After an urgent job, the others get this share of the time it took, so that continuous stepping does not starve them."""


@dataclass(frozen=True, kw_only=True)
class Job:
    work: Callable[[], Any]
    future: Future[Any]

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.work())
        except BaseException as error:
            self.future.set_exception(error)


class Executor:
    """The thread. threads: how many cores one operation may use; None leaves it to torch."""

    def __init__(self, *, threads: int | None = None) -> None:
        self._urgent: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._ready = threading.Condition()
        self._closed, self._hurrying = False, False
        self._theirs_until = 0.0
        self._watched: set[int] = set()
        self._hook_handles: list[Any] = []
        self._threads = threads
        self._thread = threading.Thread(target=self._work, name="kinema-worlds", daemon=True)
        self._thread.start()

    def watch(self, model: Watched) -> Watched:
        """Register hooks that run urgent jobs between the blocks and convolutions of this model's network."""
        if id(model) not in self._watched:
            self._watched.add(id(model))
            network = model.network if isinstance(model, DiTModel) else model.denoiser
            parts = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
            self._hook_handles += [
                part.register_forward_pre_hook(self.yield_to_urgent) for part in (*network.blocks, *parts)
            ]
        return model

    def yield_to_urgent(self, *_: Any) -> None:
        """Called in the middle of a job: runs a waiting urgent job."""
        if self._urgent and not self._hurrying and threading.current_thread() is self._thread and self._may_hurry():
            self._hurry()

    def _may_hurry(self) -> bool:
        return time.monotonic() >= self._theirs_until

    def _hurry(self) -> None:
        begun = time.monotonic()
        self._hurrying = True
        self._urgent.popleft().run()
        self._hurrying = False
        ended = time.monotonic()
        self._theirs_until = ended + SHARE * (ended - begun)

    def _work(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        while True:
            with self._ready:
                while not (self._urgent or self._others or self._closed):
                    self._ready.wait()
                if self._closed and not (self._urgent or self._others):
                    return
            if self._urgent and (not self._others or self._may_hurry()):
                self._hurry()
            elif self._others:
                self._others.popleft().run()

    def submit(self, work: Callable[[], T], *, urgent: bool = False) -> Future[T]:
        """Queue a job; jobs of one urgency run in the order in which they came."""
        future: Future[T] = Future()
        with self._ready:
            if self._closed:
                raise ApiError(503, "the server is closing; try again in a moment", code="closing")
            (self._urgent if urgent else self._others).append(Job(work=work, future=future))
            self._ready.notify()
        return future

    async def run(self, work: Callable[[], T], *, urgent: bool = False) -> T:
        """Run a job and wait for it. If the caller is cancelled while the job runs, it waits for the job to end, so that no
        world is left half stepped."""
        future = self.submit(work, urgent=urgent)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            while not (waiting.done() or future.cancel()):
                try:
                    await asyncio.wait([waiting])
                except asyncio.CancelledError:
                    continue
            raise

    def close(self) -> None:
        """Finish what was submitted, then end the thread."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()
        for handle in self._hook_handles:
            handle.remove()
