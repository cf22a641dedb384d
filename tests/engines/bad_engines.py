"""Engines that go wrong in the way their prompt says, in the process of `kinema.engines.host`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kinema.engines import host
from kinema.engines.protocol import Cancelled, Capabilities, FilmRequest, never
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError, InputError
from kinema.media import Clip, Sound

STEP_S = 0.05


class BadEngine:
    """The prompt is what it does; "film" and "big" work, "steps 40" takes 40 steps of STEP_S."""

    capabilities: Capabilities

    def film(
        self, request: FilmRequest, progress: Any = None, cancelled: Callable[[], bool] = never, watch: Any = None
    ) -> list[Clip]:
        word, _, value = request.prompt.partition(" ")
        if request.further:
            if "error" in (request.prompt, *(prompt for prompt, _ in request.further)):
                raise RuntimeError("one of several")
            return [clip for one in request.each() for clip in self.film(one, progress, cancelled, watch)]
        if word == "signal":
            os.kill(os.getpid(), int(value))
        if word == "exit":
            os._exit(int(value))
        if word == "error":
            raise RuntimeError("a model's\nown error")
        if word == "memory":
            raise MemoryError if value == "python" else RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        if word == "oom":
            raise EngineError("bad ran out of memory", "out_of_memory")
        if word == "input":
            raise InputError("bad cannot film that")
        if word == "hang":
            time.sleep(3600)
        if word == "steps":
            for step in range(int(value)):
                if cancelled():
                    raise Cancelled
                progress("film", step, int(value))
                watch(np.zeros((4, 4, 3), np.uint8))
                time.sleep(STEP_S)
        shape = (240, 256, 320, 3) if word == "big" else (4, 8, 8, 3)
        pixels = np.random.default_rng(request.seed).integers(0, 255, shape, np.uint8)
        sound = Sound(samples=np.arange(48000, dtype=np.int16)[:, None], rate=48000)
        first = () if request.first is None else (int(request.first.frames.sum()),)
        return [Clip(frames=pixels, fps=16.0, sound=sound, settings={"pid": os.getpid(), "first": first})]

    def close(self) -> None:
        pass


def run_bad(pipe: Any, entry: ModelEntry, device: str, parent: int) -> None:
    """As `run_engine`, with that engine."""
    host.open_engine = lambda entry, device: BadEngine()  # type: ignore[assignment, misc]
    host.run_engine(pipe, entry, device, parent)


def run_bad_forked(pipe: Any, entry: ModelEntry, device: str, parent: int) -> None:
    """In a process that a fork server started, which is its parent."""
    run_bad(pipe, entry, device, os.getppid())


def film_and_hang(pids: Any) -> None:
    """Of a process that is killed while its engine hangs."""
    run, host.run_engine = host.run_engine, run_bad
    engine = host.EngineProcess(ModelEntry(name="bad", source="nowhere"))
    engine.film(FilmRequest(workflow="generate", prompt="film"))
    host.run_engine = run
    pids.put(engine.process_id)
    engine.film(FilmRequest(workflow="generate", prompt="hang"))
