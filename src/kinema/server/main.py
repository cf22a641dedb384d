"""The server process: prints its address, starts its workers, and shuts down cleanly on SIGTERM or SIGINT."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from kinema.engines.catalog import read_ahead
from kinema.errors import OutputError
from kinema.server.app import create_app
from kinema.server.connections import BoundedProtocol, raise_file_limit
from kinema.server.jobs.process import WorkerPool
from kinema.server.metrics import log_to
from kinema.server.settings import Settings

DRAIN_S = 15
"""Requests that are being answered may take this long after SIGTERM."""


FIRST_KEY = "first-key"
"""In the data folder: where the first API key is written where nobody sees a terminal."""


def hand_over(key: str, settings: Settings, key_file: Path | None) -> str:
    """Show the first API key on the terminal, or write it to a file that only its owner can read; never to a log. Returns the line
    to print."""
    if key_file is None and sys.stdout.isatty():
        return f"The first API key, shown this once: {key}"
    file = key_file or settings.data / FIRST_KEY
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(key + "\n")
    except OSError as error:
        raise OutputError(
            f"the first API key could not be written to {file}: {error.strerror or error}; make another with kinema keys add"
        ) from None
    return f"The first API key is in {file}"


def serve(settings: Settings, listener: socket.socket, *, workers: int = 1, key_file: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then finish open requests, save worlds and release jobs to the queue. key_file: where the
    first API key is written; None: to the terminal, or to DATA/first-key where there is none."""
    os.umask(0o077)
    raise_file_limit()
    log_to()
    app = create_app(settings)
    key = app.state.services.auth.first()
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}{settings.root_path}"
    key_line = (
        f"Sign in with an API key; make another with: kinema keys add NAME --data {settings.data}"
        if key is None
        else hand_over(key, settings, key_file)
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
        http=BoundedProtocol,
        ws="websockets-sansio",
        server_header=False,
        proxy_headers=False,  # the app reads them
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        """Before uvicorn listens for signals, and once more after it has drained, when it raises them again."""
        server.should_exit = True

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    print(f"Kinema is at {address}  (Studio; API at {address}/v1, described at {address}/docs)", flush=True)
    print(key_line, flush=True)
    read_ahead()
    pool = WorkerPool(settings, workers)
    pool.start()
    try:
        server.run(sockets=[listener])
    finally:
        pool.stop()
    return 0
