"""Processes that make takes side by side, each with engines of its own.

They decide nothing and publish nothing: a film lies in a temporary file until the process that directs has renamed it, so what one
leaves that is killed, or that outlives its director, is never a take. They end at once when their director does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType

import torch

from kinema.director.checking.take_report import TakeReport
from kinema.director.script import Shot
from kinema.director.take_maker import TakeMaker, TakeOrder
from kinema.engines import Engine
from kinema.errors import EngineError, InputError, KinemaError
from kinema.inference.pipeline import Progress

MOST_DEATHS = 3
"""Processes that may be killed while they make one take, before it counts as failed."""
CLOSE_S = 5.0
"""How long a process may take to end."""
OpenEngine = Callable[[str], Engine]
"""From a model's name to its engine; a function that can be pickled."""


@dataclass(frozen=True, kw_only=True)
class CheckedTake:
    """A take that was checked. film_s: how long it took to film and check, in seconds; shot_digest: of the shot that it was filmed
    for."""

    report: TakeReport
    film_s: float
    shot_digest: str


@dataclass(kw_only=True)
class _Slot:
    """A process, what it makes, and how many were killed while they made it."""

    process: BaseProcess | None = None
    pipe: Connection | None = None
    order: TakeOrder | None = None
    deaths: int = 0


@dataclass(kw_only=True)
class TakeProcesses:
    """Up to `count` processes, each started with its first take. As a context, it ends them.

    Attributes:
        maker: What makes takes. Its `engine_of` is not used: each process opens engines by `open_engine`.
        open_engine: From a model's name to its engine.
        count: How many takes are made side by side.
        progress: Called with (stage and number of the process, steps done, steps in all).
    """

    maker: TakeMaker
    open_engine: OpenEngine
    count: int
    progress: Progress | None = None
    _slots: list[_Slot] = field(default_factory=list)

    def __enter__(self) -> TakeProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for slot in self._slots:
            self._end(slot, wait_s=CLOSE_S if kind is None else 0.0)

    @property
    def making(self) -> list[str]:
        """Ids of the shots of which a take is being made."""
        return [slot.order.shot.id for slot in self._slots if slot.order is not None]

    def begin(self, order: TakeOrder) -> None:
        """Begin to make a take. There are at most `count` at a time. InputError, EngineError: no process can be started for it."""
        slot = next((slot for slot in self._slots if slot.order is None), None)
        if slot is None:
            assert len(self._slots) < self.count
            slot = _Slot()
            self._slots.append(slot)
        slot.order, slot.deaths = order, 0
        try:
            self._send(slot)
        except KinemaError:
            slot.order = None
            raise

    def wait(self) -> tuple[TakeOrder, Path | CheckedTake | KinemaError]:
        """Wait for what comes next of the takes that are being made.

        Returns:
            The take, and the temporary file of its film, which is waiting for `check`; or its checks; or why it could not be made.
        """
        while True:
            pipes = {slot.pipe: slot for slot in self._slots if slot.order is not None}
            for pipe in wait([pipe for pipe in pipes if pipe is not None]):
                assert isinstance(pipe, Connection)
                slot = pipes[pipe]
                order = slot.order
                assert order is not None
                try:
                    word, *values = pipe.recv()
                except (EOFError, OSError):
                    error = self._died(slot, order)
                    if error is None:
                        continue
                    slot.order = None
                    return order, error
                if word == "progress":
                    if self.progress is not None:
                        stage, done, of = values
                        self.progress(f"{stage} {self._slots.index(slot) + 1}", done, of)
                    continue
                if word != "filmed":
                    slot.order = None
                return order, values[0]

    def check(self, order: TakeOrder) -> None:
        """Let a take be checked whose film was put in its place."""
        slot = next(slot for slot in self._slots if slot.order == order)
        slot.order = replace(order, is_filmed=True)
        assert slot.pipe is not None
        with contextlib.suppress(OSError):  # it has ended, which `wait` notices
            slot.pipe.send("check")

    def _send(self, slot: _Slot) -> None:
        """Give a process its order. One that has ended meanwhile is replaced."""
        if slot.process is None or not slot.process.is_alive():
            self._start(slot)
        assert slot.pipe is not None
        with contextlib.suppress(OSError):  # it has ended, which `wait` notices
            slot.pipe.send(slot.order)

    def _start(self, slot: _Slot) -> None:
        """Start a process, and send it what it films with: through the pipe, which breaks if the process is killed meanwhile, and
        not as an argument, on which `Process.start` would wait for ever."""
        self._end(slot, wait_s=0.0)
        try:
            tools = pickle.dumps((replace(self.maker, engine_of=_unopened), self.open_engine))
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise InputError(
                f"another process cannot be given what films ({error}): expected functions of a module"
            ) from None
        context = multiprocessing.get_context("spawn")
        threads = max(torch.get_num_threads() // self.count, 1)
        try:
            slot.pipe, theirs = context.Pipe()
            process = context.Process(target=make_takes, args=(theirs, threads), name=f"kinema-take-{len(self._slots)}")
            try:
                with _interrupts_blocked():
                    process.start()
            finally:
                theirs.close()
        except OSError as error:
            self._end(slot, wait_s=0.0)
            raise EngineError(
                f"no process can be started for another take: {error.strerror or error}; give fewer --workers",
                "engine_crashed",
            ) from None
        slot.process = process
        with contextlib.suppress(OSError):  # it has ended, which `wait` notices
            slot.pipe.send_bytes(tools)

    def _died(self, slot: _Slot, order: TakeOrder) -> EngineError | None:
        """Make a take again whose process was killed. Returns why, if it is not made again."""
        assert slot.process is not None
        slot.process.join(CLOSE_S)
        code = slot.process.exitcode
        self._end(slot, wait_s=0.0)
        slot.deaths += 1
        if code is not None and code < 0 and slot.deaths < MOST_DEATHS:
            try:
                self._send(slot)
            except EngineError as error:
                return error
            return None
        how = f"with status {code}" if code is None or code >= 0 else f"by signal {-code}, {slot.deaths} times"
        advice = "; the system does so when memory runs out: give fewer --workers" if code == -signal.SIGKILL else ""
        what = f'shot "{order.shot.id}", take {order.plan.number}'
        return EngineError(f"{what}: its process ended {how}{advice}", "engine_crashed")

    def _end(self, slot: _Slot, *, wait_s: float) -> None:
        process, slot.process, pipe, slot.pipe = slot.process, None, slot.pipe, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.join(wait_s)
            process.kill()
            process.join()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C is for the process that directs, also while another one starts: a new process inherits what is blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _unopened(shot: Shot) -> Engine:
    raise AssertionError(f"{shot.id}: engines are opened in the process that films")


def make_takes(pipe: Connection, threads: int) -> None:
    """What a process does: it makes the takes that come through the pipe, until that is closed.

    Args:
        pipe: The maker and what opens engines come through it, pickled, then orders; films, checks, errors and progress go back.
        threads: With how many torch computes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        maker, open_engine = pickle.loads(pipe.recv_bytes())
    except EOFError:
        return
    engines: dict[str, Engine] = {}

    def engine_of(shot: Shot) -> Engine:
        name = shot.model or maker.model
        if name not in engines:
            engines[name] = open_engine(name)
        return engines[name]

    maker = replace(maker, engine_of=engine_of)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            order: TakeOrder = pipe.recv()
            try:
                pipe.send(("checked", _made(pipe, maker, order)))
            except KinemaError as error:
                pipe.send(("failed", error))


def _made(pipe: Connection, maker: TakeMaker, order: TakeOrder) -> CheckedTake:
    begun = time.perf_counter()
    before = maker.before(order)
    if not order.is_filmed:
        clip = maker.film(order, before, lambda *step: pipe.send(("progress", *step)))
        temporary = maker.folder / f".kinema-{secrets.token_hex(6)}.tmp{order.path.suffix}"
        maker.write(order, clip, temporary)
        pipe.send(("filmed", temporary))
        pipe.recv()
    report, digest = maker.check(order, before)
    return CheckedTake(report=report, film_s=time.perf_counter() - begun, shot_digest=digest)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(0)
