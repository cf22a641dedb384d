"""Worker processes: each stops within a step on SIGTERM, and ends when the server that started it has ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

from kinema.server.metrics import log_to
from kinema.server.settings import Settings

log = logging.getLogger("kinema.server")

RESTART_S, RESTART_MOST_S = 0.5, 30.0
"""Delay before a worker that ended is restarted; it doubles each time that the worker runs for less than LASTING_S."""
LASTING_S = 60.0
STOP_S = 20.0


def work(settings: Settings, *, parent: int | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT, or until the parent process has ended."""
    os.umask(0o077)
    log_to()
    from kinema.server.jobs.worker import Worker

    worker = Worker(settings)

    def stop(_: int, __: FrameType | None) -> None:
        worker.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if parent is not None:
        threading.Thread(target=_watch, args=(worker.stopping, parent), daemon=True).start()
    log.info("worker started", extra={"worker": worker.name})
    worker.run()
    worker.close()
    log.info("worker stopped", extra={"worker": worker.name})
    return 0


def _watch(stopping: threading.Event, parent: int) -> None:
    while not stopping.wait(1.0):
        if os.getppid() != parent:
            stopping.set()


class WorkerPool:
    """Starts the worker processes of a server, restarts those that end, and stops them with the server."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings, self.count = settings, count
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for slot in range(self.count):
            thread = threading.Thread(target=self._supervise, args=(slot,), name=f"kinema-pool-{slot}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _supervise(self, slot: int) -> None:
        wait_s = RESTART_S
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                process = self._spawn()
            except OSError as error:
                log.error("a worker could not be started: %s", error)
                self._stop.wait(RESTART_MOST_S)
                continue
            self.processes[slot] = process
            if self._stop.is_set():
                process.terminate()
            code = process.wait()
            if self._stop.is_set():
                return
            wait_s = RESTART_S if time.monotonic() - begun > LASTING_S else min(2 * wait_s, RESTART_MOST_S)
            log.warning("a worker ended; another is started", extra={"code": code, "wait_s": wait_s})
            self._stop.wait(wait_s)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start a worker process. Settings are passed by a pipe, because they may contain the database's password."""
        command = [sys.executable, "-m", "kinema.server.jobs.process", str(os.getpid())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(self.settings.to_json().encode())
        return process

    def stop(self) -> None:
        """Stop all workers; they release their jobs to the queue."""
        self._stop.set()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    sys.exit(work(Settings.from_json(sys.stdin.read()), parent=int(sys.argv[1])))
