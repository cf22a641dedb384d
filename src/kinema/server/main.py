"""The server process: prints its address, starts its workers, and shuts down cleanly on SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import socket

import uvicorn

from kinema.server.app import create_app
from kinema.server.jobs.process import WorkerPool
from kinema.server.metrics import log_to
from kinema.server.settings import Settings

DRAIN_S = 15
"""Requests that are being answered may take this long after SIGTERM."""


def serve(settings: Settings, listener: socket.socket, *, workers: int = 1) -> int:
    """Serve until SIGTERM or SIGINT, then finish open requests, save worlds and release jobs to the queue."""
    log_to()
    app = create_app(settings)
    key = app.state.services.auth.first()
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    print(f"Kinema is at {address}  (Studio; API at {address}/v1, described at {address}/docs)", flush=True)
    if key is not None:
        print(f"The first API key, shown this once: {key}", flush=True)
        print(f"Open the Studio with it: {address}/#key={key}", flush=True)
    else:
        print(f"Sign in with an API key; make another with: kinema keys add NAME --data {settings.data}", flush=True)
    pool = WorkerPool(settings, workers)
    pool.start()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
        ws="websockets-sansio",
        server_header=False,
    )
    for name in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them once more when it has drained
        signal.signal(name, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        pool.stop()
    return 0
