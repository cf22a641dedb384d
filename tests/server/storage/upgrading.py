"""Upgrades a store, from a process of its own: python tests/server/storage/upgrading.py URL REVISIONS

GATE: a folder; the process adds a file to it and begins when there are as many as NUM_PROCESSES.
KILL_AT: the point at which it ends itself by kill -9: "copying", "upgraded" or one of the later revision.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import alembic.command  # before the wait, so that processes begin together

from kinema.server.storage import sqlite_copy
from kinema.server.storage.upgrade import prepare_store


def kill(path: Path | None = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    assert alembic.command
    point = os.environ.get("KILL_AT")
    if point == "copying":
        sqlite_copy.sync = kill
    if "GATE" in os.environ:
        gate = Path(os.environ["GATE"])
        (gate / str(os.getpid())).touch()
        while len(list(gate.iterdir())) < int(os.environ["NUM_PROCESSES"]):
            time.sleep(0.01)
    prepare_store(sys.argv[1], upgrade=True, folder=Path(sys.argv[2]))
    if point == "upgraded":
        kill()


if __name__ == "__main__":
    main()
