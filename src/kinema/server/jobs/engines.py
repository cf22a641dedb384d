"""The engines of a worker: Kinema's own models in its process, open models in processes of their own, other servers by HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kinema.engines.catalog import entry_named
from kinema.engines.host import EngineProcess
from kinema.engines.ledger import Ledger
from kinema.engines.native import NativeEngine
from kinema.engines.opening import capabilities_for, opens
from kinema.errors import EngineError
from kinema.inference import limits
from kinema.inference.canvas_io import resolve_model

if TYPE_CHECKING:
    from kinema.engines.ledger import Records
    from kinema.engines.protocol import Engine, Watch
    from kinema.engines.registry import ModelEntry

log = logging.getLogger(__name__)

BESIDE_WEIGHTS = 1.3
"""A process takes so many times the bytes of its weights."""
HURRY_S = 2.0


class EngineBusy(Exception):
    """The engine films something else for the same worker at this moment."""


class EnginePool:
    """Opens engines and keeps their processes for the next job, as long as there is memory for all of them.

    Args:
        device: Where models compute, unless their entry says.
        most: How many processes are kept at most.
        stall_s: How long a process may say nothing before it is killed.
    """

    def __init__(self, device: str, *, most: int = 2, stall_s: float) -> None:
        self.device, self.most, self.stall_s = device, most, stall_s
        self._processes: dict[str, EngineProcess] = {}
        self._busy: set[str] = set()

    def film_with(
        self, model: str, records: Records, token: str, tick: Callable[[], None], watch: Watch | None = None,
        dropped: Callable[[BaseException | None], bool] = lambda error: False,
    ) -> EngineLease:  # fmt: skip
        """The engine of a model, for the time of one job.

        Args:
            model: The name of an installed model.
            records: Where the job keeps what must outlive this process.
            token: The job's id.
            tick: Called many times a second while the engine films; what it raises ends the film.
            watch: Called with small pictures of what is being filmed.
            dropped: Whether an error that ended the film means that nobody wants it any more; another server is told so.

        Raises:
            EngineBusy: It films something else at this moment.
            EngineError: There is not enough memory for it.
            UnavailableModelError: There is no such model any more, or it cannot be opened.
        """
        with opens(model):
            entry = entry_named(model)
            if entry is None:
                return EngineLease(NativeEngine(resolve_model(model, self.device)))
            return self._lease(entry, records, token, tick, watch, dropped)

    def _lease(
        self, entry: ModelEntry, records: Records, token: str, tick: Callable[[], None], watch: Watch | None,
        dropped: Callable[[BaseException | None], bool],
    ) -> EngineLease:  # fmt: skip
        if entry.is_upstream:
            from kinema.engines.upstream import UpstreamEngine

            upstream = UpstreamEngine(entry, ledger=Ledger(records, token), tick=tick)

            def end(error: BaseException | None) -> None:
                if dropped(error):
                    upstream.stop()
                upstream.close()

            return EngineLease(upstream, ended=end)
        key = entry.to_toml()
        if key in self._busy:
            raise EngineBusy
        engine = self._processes.pop(key, None) or self._opened(entry)
        self._processes[key] = engine  # the last one used is the last one closed
        engine.tick, engine.watch = tick, watch
        self._busy.add(key)
        return EngineLease(engine, ended=lambda _: self._busy.discard(key))

    def _opened(self, entry: ModelEntry) -> EngineProcess:
        """A process for a model, after others have made room for it."""
        needed = int((capabilities_for(entry).memory_bytes or 0) * BESIDE_WEIGHTS)
        idle = [key for key in self._processes if key not in self._busy]
        while idle and (len(self._processes) >= self.most or limits.memory_free() < needed):
            log.info("an idle model is put away for another", extra={"model": self._processes[idle[0]].entry.name})
            self._processes.pop(idle.pop(0)).close()
        free = limits.memory_free()
        if self.device in ("cpu", "auto") and needed > free:
            raise EngineError(
                f"{entry.name} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free on this machine",
                "out_of_memory",
            )
        return EngineProcess(entry, device=self.device, stall_s=self.stall_s)

    def hurry(self) -> None:
        """The worker stops: films that are given up now have HURRY_S to end before their processes are killed."""
        for engine in self._processes.values():
            engine.cancel_s = HURRY_S

    def close(self) -> None:
        """End all processes."""
        for engine in self._processes.values():
            engine.close()
        self._processes.clear()


class EngineLease:
    """An engine while one job uses it."""

    def __init__(self, engine: Engine, *, ended: Callable[[BaseException | None], None] = lambda error: None) -> None:
        self.engine, self._ended = engine, ended

    def __enter__(self) -> Engine:
        return self.engine

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._ended(error)
