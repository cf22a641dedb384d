"""Starts the ranks of a run on this machine, watches them, and ends all of them once one has ended badly, or starts them anew."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, launch_agent

from kinema.errors import EngineError, excerpt

log = logging.getLogger(__name__)

LOST_PEER = 75
"""Exit status of a rank that ends because another one has."""
REPORTED = (2, 130)
"""Exit statuses of the command after an error that it has printed, and after Ctrl-C: they would come again."""
RUN_ID = "kinema-"
"""How the names of runs begin that `launch_ranks` has started."""


def launched_here() -> bool:
    """Whether this process is a rank of `launch_ranks`, which reports why a run ends."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(RUN_ID)


def launch_ranks(
    count: int, command: Sequence[str], logs: Path, *, restarts: int = 0, again: Callable[[], Sequence[str]] | None = None
) -> int:
    """Run `kinema COMMAND` in so many processes that find each other.

    command: words after `kinema`. logs: folder for what ranks other than the first print. restarts: how often all ranks start anew
    after one of them has died; an error that it reports itself would come again, and ends the run. again: gives the words with
    which they do, where these differ.

    Returns the exit status of the first rank, which prints its own errors. EngineError: another rank has ended badly, or one has
    died more than `restarts` times.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    for restart in range(1, restarts + 2):
        ended = _launch_once(count, command, logs)
        if ended is None:
            return 0
        if restart > restarts or not ended.died:
            if ended.status is not None:
                return ended.status
            raise EngineError(f"{ended.reason}; go on from the last checkpoint with --resume", "engine_crashed")
        log.warning("%s; all ranks start anew from the last checkpoint (%d of %d)", ended.reason, restart, restarts)
        command = again() if again is not None else command
    raise AssertionError("the last round returns or raises")


@dataclass(frozen=True)
class _Ended:
    """How ranks ended badly. died: a rank was ended from outside, or by an error that it did not report in one line. status: of
    the first rank, where it has printed why itself."""

    reason: str
    died: bool
    status: int | None


def _launch_once(count: int, command: Sequence[str], logs: Path) -> _Ended | None:
    """Run the ranks once; None where all end well."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"{RUN_ID}{uuid.uuid4().hex[:12]}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=dict.fromkeys(range(1, count), Std.ALL)),
    )
    try:
        launch_agent(config, sys.executable, ["-m", "kinema.cli.main", *command])
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        caused = {
            rank: failure for rank, failure in error.failures.items() if failure.exitcode not in (LOST_PEER, -signal.SIGTERM)
        }
        rank, failure = min((caused or error.failures).items())
        died = failure.exitcode not in REPORTED
        if failure.exitcode < 0:
            return _Ended(f"rank {rank} was ended by {signal.Signals(-failure.exitcode).name}", died, None)
        if rank == 0:
            return _Ended(f"rank 0 ended with status {failure.exitcode}", died, int(failure.exitcode))
        last = _last_line(logs, config.run_id, rank)
        return _Ended(f"rank {rank} ended with status {failure.exitcode}: {last}", died, None)
    return None


def _last_line(logs: Path, run_id: str, rank: int) -> str:
    """Of what a rank has printed."""
    for path in sorted(logs.glob(f"{run_id}*/attempt_*/{rank}/stderr.log"), reverse=True):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        return f"{excerpt(next((line for line in reversed(lines) if line.strip()), 'it said nothing'), 200)} ({path})"
    return "it said nothing"
