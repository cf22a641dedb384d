"""Starts the ranks of a run on this machine, watches them, and ends all of them once one has ended badly."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, launch_agent

from kinema.errors import EngineError, excerpt

LOST_PEER = 75
"""Exit status of a rank that ends because another one has."""
RUN_ID = "kinema-"
"""How the names of runs begin that `launch_ranks` has started."""


def launched_here() -> bool:
    """Whether this process is a rank of `launch_ranks`, which reports why a run ends."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(RUN_ID)


def launch_ranks(count: int, command: Sequence[str], logs: Path) -> int:
    """Run `kinema COMMAND` in so many processes that find each other.

    command: words after `kinema`. logs: folder for what ranks other than the first print.
    Returns the exit status of the first rank, which prints its own errors. EngineError: another rank has ended badly.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
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
        if failure.exitcode < 0:
            reason = f"was ended by {signal.Signals(-failure.exitcode).name}"
        elif rank == 0:
            return int(failure.exitcode)
        else:
            reason = f"ended with status {failure.exitcode}: {_last_line(logs, config.run_id, rank)}"
        raise EngineError(f"rank {rank} {reason}; go on from the last checkpoint with --resume", "engine_crashed") from None
    return 0


def _last_line(logs: Path, run_id: str, rank: int) -> str:
    """Of what a rank has printed."""
    for path in sorted(logs.glob(f"{run_id}*/attempt_*/{rank}/stderr.log"), reverse=True):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        return f"{excerpt(next((line for line in reversed(lines) if line.strip()), 'it said nothing'), 200)} ({path})"
    return "it said nothing"
