"""A worker that ends itself by kill -9 at a point of its work: python tests/server/killed.py DATA POINT [COUNT]

It writes every window of a film to disk, so that it can be killed after each."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from kinema.server.jobs import checkpoint
from kinema.server.jobs.worker import Worker
from kinema.server.settings import Settings


def main() -> None:
    data, point, passes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1
    left = [passes]
    checkpoint.WRITE_S = 0.0

    def reached(name: str) -> None:
        if name == point:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    Worker(Settings(data=data, threads=1), reached=reached, lease_s=1.0).run(idle=lambda: True)


if __name__ == "__main__":
    main()
