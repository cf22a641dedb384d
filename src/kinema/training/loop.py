"""The loop that every training shares: length, learning rate, clock, running means, checkpoints and Ctrl-C."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType
from typing import Any

from kinema.errors import InputError
from kinema.training.length import check_minutes, check_steps

log = logging.getLogger(__name__)


class Interval:
    """Says when so many seconds have passed since it last did, or since it was made."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._since = seconds, time.monotonic()

    def due(self) -> bool:
        """Whether they have passed; if so they begin anew."""
        if time.monotonic() - self._since <= self.seconds:
            return False
        self._since = time.monotonic()
        return True


class TrainingLoop(ABC):
    """One training run, until its steps are taken or its minutes are spent, whichever is first.

    A subclass takes the steps. Its own `run` calls `loop` with what follows each step and, where it keeps checkpoints, with what
    writes one.
    """

    smoothing = 0.97
    """How much of a running mean a step keeps."""

    def __init__(self, *, steps: int | None, minutes: float | None, warmup: int, cooldown: float = 1.0) -> None:
        """warmup: steps over which the learning rate rises from zero; cooldown: the last share of the run, over which it falls.

        InputError: a length that is none, or neither steps nor minutes.
        """
        check_minutes(minutes)
        check_steps(steps)
        if minutes is None and steps is None:
            raise InputError("a run without an end: expected minutes or steps")
        self.steps, self.minutes, self.warmup, self.cooldown = steps, minutes, warmup, cooldown
        self.step, self.elapsed_s = 0, 0.0
        self.running: dict[str, float] = {}
        """Running means of the losses."""
        self.stopping, self._clock = False, time.monotonic()

    @abstractmethod
    def one_step(self) -> None:
        """Take one optimizer step and count it in `step`."""

    @property
    def done(self) -> float:
        """Share of the run that is done, by steps or by the time budget, whichever is further."""
        by_steps = self.step / self.steps if self.steps is not None else 0.0
        by_time = self.elapsed_s / (self.minutes * 60) if self.minutes is not None else 0.0
        return min(max(by_steps, by_time), 1.0)

    @property
    def eta_s(self) -> float:
        """Seconds that are left, if the rest goes as fast as what is done."""
        return (1.0 - self.done) / max(self.done, 1e-6) * self.elapsed_s

    @property
    def warmed(self) -> float:
        """The factor of the learning rate that rises from 0 to 1 over the warmup."""
        return min((self.step + 1) / self.warmup, 1.0)

    def rate(self) -> float:
        """The factor of the learning rate: warm up, hold, fall to a hundredth over the cooldown."""
        return self.warmed * max(min((1.0 - self.done) / self.cooldown, 1.0), 0.01)

    def smooth(self, name: str, value: float) -> None:
        """Take a value into the running mean of this name."""
        self.running[name] = self.smoothing * self.running.get(name, value) + (1.0 - self.smoothing) * value

    def tick(self) -> None:
        """Count the time since the last tick in `elapsed_s`."""
        now = time.monotonic()
        self.elapsed_s += now - self._clock
        self._clock = now

    def agree(self) -> None:  # noqa: B027
        """After each step: where several processes take it together, make `elapsed_s` and `stopping` the same for all. Nothing to
        do for one."""

    def loop(
        self,
        after_step: Callable[[], None],
        save: Callable[[], None] | None = None,
        save_every_s: float = math.inf,
    ) -> None:
        """Take steps until the run is done. With `save`, a checkpoint is written every so many seconds and at the end, and Ctrl-C
        ends the loop after the step that is being taken; without it, Ctrl-C raises KeyboardInterrupt as it does elsewhere. In other
        threads than the main one there is no Ctrl-C, and Python has no signal handlers."""
        handles = save is not None and threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, self._interrupt) if handles else None
        self._clock, saved_s = time.monotonic(), self.elapsed_s
        try:
            while self.done < 1.0 and not self.stopping:
                self.one_step()
                self.tick()
                after_step()
                self.agree()
                if save is not None and self.elapsed_s - saved_s >= save_every_s:
                    save()
                    saved_s = self.elapsed_s
        finally:
            if handles:
                signal.signal(signal.SIGINT, before)
        if save is not None:
            save()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        log.warning("stopping after this step; the run is saved and can be resumed")
        self.stopping = True

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the loop; `go_on` reads it."""
        return {"step": self.step, "elapsed_s": self.elapsed_s, "running": self.running}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take over where the loop of a checkpoint was."""
        self.step, self.elapsed_s, self.running = state["step"], state["elapsed_s"], dict(state["running"])
