"""An engine in a process of its own, so that what goes wrong in a model's code ends one film and nothing else.

The process is started with the first film and kept for the next. It is killed when it says nothing for `stall_s` seconds, and ends
by itself when the process that started it has ended. Requests and frames go through files, not through the pipe, which would hold
up both sides while one of them is busy.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pickle
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
from kinema.engines.opening import capabilities_for, open_engine, opens
from kinema.engines.protocol import Cancelled, Capabilities, FilmRequest, Watch, never
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError, KinemaError, ModelError, OutputError, UnavailableModelError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.media.sound import Sound

STALL_S = 1800.0
"""The longest silence: loading and the first step of a large model take minutes."""
POLL_S, CANCEL_S = 0.1, 60.0
"""How often the pipe is looked at, and how long a cancelled film usually may take to end."""
PARENT_S, CLOSE_S = 1.0, 5.0
REQUEST = "request.pickle"


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
        self.cancel_s = CANCEL_S
        """How long a cancelled film may take to end before its process is killed."""
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
        with tempfile.TemporaryDirectory(prefix="kinema-engine-") as folder:
            _write_request(request, Path(folder) / REQUEST)
            pipe = self._start()
            try:
                _send(pipe, "film", folder)
                made = self._listen(pipe, progress, cancelled, watch or self.watch)
            except _Ended:
                raise self._died() from None
            except BaseException:  # the caller's own, out of `tick`, `progress`, `cancelled` or `watch`
                self._abandon(pipe)
                raise
            if isinstance(made, EngineError):
                self.close()
            if isinstance(made, Exception):
                raise made
            return [_received(*one) for one in made]

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
    ) -> list[tuple[str, Clip, Sound | None]] | Exception:
        """Pass on what the process says until it has filmed; the clips, with the files of their frames, or how the film ended."""
        last, cancelled_at = time.monotonic(), 0.0
        while True:
            self.tick()
            if not cancelled_at and cancelled():
                cancelled_at = time.monotonic()
                _send(pipe, "cancel")
            if cancelled_at and time.monotonic() - cancelled_at > self.cancel_s:
                self.close()
                return Cancelled()
            words = _receive(pipe)
            if words is None:
                if time.monotonic() - last > self.stall_s:
                    stalled = f"said nothing for {self.stall_s:g} s and was stopped; the next film starts it anew"
                    return EngineError(f"{self.entry.name} {stalled}", "engine_stalled")
                continue
            word, *values = words
            last = time.monotonic()
            if word == "progress" and progress is not None and not cancelled_at:
                progress(*values)
            elif word == "picture" and watch is not None:
                watch(values[0])
            elif word == "cancelled":
                return Cancelled()
            elif word == "error":
                error: Exception = values[0]
                return error
            elif word == "clips":
                clips: list[tuple[str, Clip, Sound | None]] = values[0]
                return clips

    def _abandon(self, pipe: Connection) -> None:
        """Let the process end the film that it makes, so that the next begins with warm weights; kill it if it does not."""
        end = time.monotonic() + self.cancel_s
        with contextlib.suppress(_Ended):
            _send(pipe, "cancel")
            while time.monotonic() < end:
                words = _receive(pipe)
                if words is not None and words[0] in ("cancelled", "clips", "error"):
                    if words[0] == "error" and isinstance(words[1], EngineError):
                        break  # it ends
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


class _Ended(Exception):
    """The process has ended: its pipe is closed."""


def _send(pipe: Connection, *words: Any) -> None:
    try:
        pipe.send(words)
    except OSError:
        raise _Ended from None


def _receive(pipe: Connection) -> tuple[Any, ...] | None:
    """What the process says, within POLL_S; None: nothing."""
    try:
        if not pipe.poll(POLL_S):
            return None
        words: tuple[Any, ...] = pipe.recv()
    except (EOFError, OSError):  # OSError: it ended in the middle of a word
        raise _Ended from None
    return words


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
            if message[0] == "film":  # here, so that a "cancel" right after it counts
                stopped.clear()
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
        folder = Path(message[1])
        try:
            request: FilmRequest = pickle.loads((folder / REQUEST).read_bytes())
            if engine is None:
                say("progress", "load", 0, 1)
                with opens(entry.name):
                    engine = open_engine(entry, device=device)
            clips = engine.film(
                request, lambda *step: say("progress", *step), stopped.is_set, lambda picture: say("picture", picture)
            )
            say("clips", [_sent(clip, folder / f"{i}.npy") for i, clip in enumerate(clips)])
        except Cancelled:
            say("cancelled")
        except ModelError as error:  # weights are loaded with the first film
            say("error", UnavailableModelError(str(error), entry.name))
        except KinemaError as error:
            say("error", error)
            if isinstance(error, EngineError):
                os._exit(1)  # nobody knows what state the model's code is in; memory goes back whole
        except BaseException as error:
            short = isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error)
            lines = str(error).strip().splitlines() or [""]
            ran_out = "ran out of memory; ask for a shorter or smaller film"
            reason = lines[0].replace(entry.source, entry.name)[:300]  # clients see it
            failed = ran_out if short else f"failed: {type(error).__name__}: {reason}"
            say("error", EngineError(f"{entry.name} {failed}", "out_of_memory" if short else "engine_failed"))
            os._exit(1)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(0)


def _write_request(request: FilmRequest, path: Path) -> None:
    try:
        with path.open("wb") as file:
            pickle.dump(request, file, protocol=pickle.HIGHEST_PROTOCOL)
    except OSError as error:
        raise OutputError(f"the request could not be written: {error.strerror or error}") from None


def _sent(clip: Clip, path: Path) -> tuple[str, Clip, Sound | None]:
    """A clip whose frames lie in a file beside."""
    try:
        np.save(path, clip.frames)
    except OSError as error:
        raise OutputError(f"the film could not be written: {error.strerror or error}") from None
    return str(path), replace(clip, frames=np.zeros((1, 1, 1, 3), np.uint8), sound=None), clip.sound


def _received(path: str, clip: Clip, sound: Sound | None) -> Clip:
    frames = np.load(path)
    return replace(clip, frames=frames, sound=sound)
