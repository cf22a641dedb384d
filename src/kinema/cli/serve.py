"""kinema serve: an HTTP API, a worker and the Studio, with nothing else to install or configure."""

from __future__ import annotations

import argparse
import socket
from typing import TYPE_CHECKING

from kinema.cli.settings import SETTINGS, add_settings, fill, table
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.server.settings import Settings

BACKLOG = 2048


def settings(arguments: argparse.Namespace) -> Settings:
    """The settings of a server or worker, from the arguments of its command after `fill`."""
    from kinema.server.settings import Settings

    given = {s.field: getattr(arguments, s.name) for s in SETTINGS if s.field and hasattr(arguments, s.name)}
    return Settings(**{**given, "aliases": dict(given.get("aliases", []))})


def check_installed() -> None:
    """InputError unless the extra is installed."""
    try:
        import alembic
        import c2pa
        import fastapi
        import sqlalchemy
        import uvicorn
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; the server needs: pip install 'kinema[serve]'") from None
    del alembic, c2pa, fastapi, sqlalchemy, uvicorn


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("serve", help="HTTP API, workers and the Studio", description=__doc__)
    add_settings(parser, [setting.name for setting in SETTINGS])
    parser.add_argument("--show-settings", action="store_true", help="print the settings and where they come from, and end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    sources = fill(arguments)
    if arguments.show_settings:
        print(table(arguments, sources))
        return 0
    check_installed()
    if not 0 <= arguments.port <= 65535:
        raise InputError(f"port {arguments.port}: expected 0 to 65535")
    if not 0 <= arguments.workers <= 64:
        raise InputError(f"{arguments.workers} workers: expected 0 to 64")
    from kinema.devices import resolve_device
    from kinema.server.main import serve

    resolve_device(arguments.device)
    listener = _listen(arguments.host, arguments.port)
    return serve(settings(arguments), listener, workers=arguments.workers, key_file=arguments.key_file)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # who connects before the app answers waits instead of being refused
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port") from None
    return listener
