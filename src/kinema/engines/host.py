"""An engine in a process of its own, so that what goes wrong in a model's code ends one film and nothing else.

The process is started with the first film and kept for the next. It is killed when it says nothing for `stall_s` seconds, and ends
by itself when the process that started it has ended. Frames come back through a file, not through the pipe.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from kinema.devices import AUTO
from kinema.engines.opening import capabilities_for, open_engine
from kinema.engines.protocol import Cancelled, Capabilities, FilmRequest, Watch, never
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError, InputError, KinemaError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.media.sound import Sound

STALL_S = 1800.0
"""The longest silence: loading and the first step of a large model take minutes."""
POLL_S, CANCEL_S = 0.1, 60.0
"""How often the pipe is looked at, and how long a cancelled film may take to end before its process is killed."""
PARENT_S, CLOSE_S = 1.0, 5.0


class EngineProcess:
    """An engine in a process of its own.

    Args:
        entry: The model's entry.
        device: Where it computes, unless its entry says.
        stall_s: Seconds without a word after which the process is killed.
    """

    def __init__(self, entry: ModelEntry, *, device: str = AUTO, stall_s: float = STALL_S) -> None:
        self.entry, self.device, self.stall_s = entry, device, stall_s
        self.tick: Callable[[], None] = lambda: None
        """Called many times a second during a film; what it raises ends the film."""
        self.watch: Watch | None = None
        """Called with pictures, where `film` is given no other."""
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the engine films, read without starting the process."""
        return capabilities_for(self.entry)

    @property
    def process_id(self) -> int | None:
        """Of the process that runs; None before the first film."""
        return None if self._process is None else self._process.pid

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request; see `kinema.engines.Engine`. EngineError ends the process; the next film starts another."""
        pipe = self._start()
        with tempfile.TemporaryDirectory(prefix="kinema-engine-") as folder:
            try:
                pipe.send(("film", request, folder))
                return self._listen(pipe, progress, cancelled, watch or self.watch)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise self._died() from None
            except EngineError:
                self.close()
                raise
            except (InputError, Cancelled):
                raise
            except BaseException:  # the caller's own, out of `progress` or `watch`
                self._abandon(pipe)
                raise

    def close(self) -> None:
        """End the process, which gives all its memory back."""
        process, self._process, pipe, self._pipe = self._process, None, self._pipe, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.join(CLOSE_S)
            process.kill()
            process.join(10)

    def _start(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._pipe is not None:
            return self._pipe
        self.close()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=run_engine, args=(theirs, self.entry, self.device, os.getpid()), name=f"kinema-engine-{self.entry.name}"
        )
        self._process.start()
        theirs.close()
        return self._pipe

    def _listen(
        self, pipe: Connection, progress: Progress | None, cancelled: Callable[[], bool], watch: Watch | None
    ) -> list[Clip]:
        """Pass on what the process says until it has filmed."""
        last, cancelled_at = time.monotonic(), 0.0
        while True:
            self.tick()
            if not cancelled_at and cancelled():
                cancelled_at = time.monotonic()
                pipe.send(("cancel",))
            if cancelled_at and time.monotonic() - cancelled_at > CANCEL_S:
                self.close()
                raise Cancelled
            if not pipe.poll(POLL_S):
                if time.monotonic() - last > self.stall_s:
                    raise EngineError(
                        f"{self.entry.name} said nothing for {self.stall_s:g} s and was stopped; the next film starts it anew",
                        "engine_stalled",
                    )
                continue
            word, *values = pipe.recv()
            last = time.monotonic()
            if word == "progress" and progress is not None and not cancelled_at:
                progress(*values)
            elif word == "picture" and watch is not None:
                watch(values[0])
            elif word == "cancelled":
                raise Cancelled
            elif word == "error":
                raise values[0]
            elif word == "clips":
                return [_received(*one) for one in values[0]]

    def _abandon(self, pipe: Connection) -> None:
        """Let the process end the film that it makes, so that the next begins with warm weights; kill it if it does not."""
        end = time.monotonic() + CANCEL_S
        with contextlib.suppress(EOFError, OSError):
            pipe.send(("cancel",))
            while time.monotonic() < end:
                if pipe.poll(POLL_S) and pipe.recv()[0] in ("cancelled", "clips", "error"):
                    return
        self.close()

    def _died(self) -> EngineError:
        """Why the process is gone, by its exit code."""
        code = None
        if self._process is not None:
            self._process.join(10)
            code = self._process.exitcode
        self.close()
        if code == -signal.SIGKILL:
            reason = "was killed while it filmed, as the system does when memory runs out"
            return EngineError(f"{self.entry.name} {reason}; ask for a shorter or smaller film", "out_of_memory")
        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
        return EngineError(f"{self.entry.name} ended {how} while it filmed; see the server's log", "engine_crashed")


def run_engine(pipe: Connection, entry: ModelEntry, device: str, parent: int) -> None:
    """What the process does: film requests that come through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    with contextlib.suppress(ImportError):  # else a killed process leaves a semaphore, of which Python warns
        importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    stopped = threading.Event()
    lock = threading.Lock()
    waiting: list[tuple[Any, ...]] = []
    arrived = threading.Condition()

    def say(*words: Any) -> None:
        with lock, contextlib.suppress(BrokenPipeError):
            pipe.send(words)

    def listen() -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                message = ("close",)
            if message[0] in ("cancel", "close"):
                stopped.set()
            if message[0] == "cancel":
                continue
            with arrived:
                waiting.append(message)
                arrived.notify()
            if message[0] == "close":
                return

    threading.Thread(target=listen, daemon=True).start()
    engine = None
    while True:
        with arrived:
            while not waiting:
                arrived.wait()
            message = waiting.pop(0)
        if message[0] == "close":
            return
        _, request, folder = message
        stopped.clear()
        try:
            if engine is None:
                say("progress", "load", 0, 1)
                engine = open_engine(entry, device=device)
            clips = engine.film(
                request, lambda *step: say("progress", *step), stopped.is_set, lambda picture: say("picture", picture)
            )
            say("clips", [_sent(clip, Path(folder) / f"{i}.npy") for i, clip in enumerate(clips)])
        except Cancelled:
            say("cancelled")
        except KinemaError as error:
            say("error", error)
            if isinstance(error, EngineError):
                os._exit(1)  # nobody knows what state the model's code is in; memory goes back whole
        except BaseException as error:
            say("error", EngineError(f"{entry.name} failed: {type(error).__name__}: {str(error)[:300]}"))
            os._exit(1)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(0)


def _sent(clip: Clip, path: Path) -> tuple[str, Clip, Sound | None]:
    """A clip whose frames lie in a file beside."""
    np.save(path, clip.frames)
    return str(path), replace(clip, frames=np.zeros((1, 1, 1, 3), np.uint8), sound=None), clip.sound


def _received(path: str, clip: Clip, sound: Sound | None) -> Clip:
    frames = np.load(path)
    return replace(clip, frames=frames, sound=sound)
