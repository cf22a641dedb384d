"""A worker that ends itself by kill -9 at a point of its work, in a process of its own.

The process is forked from one that has imported the worker, since the import takes longer than all that it does.
It writes every window of a film to disk, so that it can be killed after each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from kinema.server.jobs import checkpoint
from kinema.server.jobs.worker import Worker
from kinema.server.settings import Settings

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["kinema.server.jobs.worker", "kinema.api"])


def killed(data: Path, point: str, passes: int = 1) -> bool:
    """Run a worker on a data folder until it comes to a point for the `passes`-th time; whether kill -9 ended it."""
    process = FORKS.Process(target=_work, args=(data, point, passes))
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _work(data: Path, point: str, passes: int) -> None:
    left = [passes]
    checkpoint.WRITE_S = 0.0

    def reached(name: str) -> None:
        if name == point:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    Worker(Settings(data=data, threads=1), reached=reached, lease_s=1.0).run(idle=lambda: True)
