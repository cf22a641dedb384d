"""kinema serve: an HTTP API, a worker and the Studio, with nothing else to install or configure."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import add_device, number, whole
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.server.settings import Settings

DATA = Path("kinema-data")
SPINS = "3000"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Flags that the server and workers on other machines share."""
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help=f"where everything is kept (default: {DATA})")
    parser.add_argument("--database", metavar="URL", help="postgresql://USER@HOST/NAME (default: SQLite in the data folder)")
    parser.add_argument("--batch", type=whole, default=4, help="jobs of equal shape filmed together at most (default: 4)")
    parser.add_argument("--threads", type=whole, help="processor threads of each worker (default: all cores)")
    add_device(parser)
    parser.add_argument("--keep-days", type=number, default=30.0, help="how long videos are kept (default: 30)")
    parser.add_argument("--audit-days", type=number, default=365.0, help="how long the audit log is kept (default: 365)")
    parser.add_argument("--job-timeout", type=number, metavar="S", help="fail videos that take longer (default: none does)")
    parser.add_argument("--label", action="store_true", help="a visible mark on every film")
    parser.add_argument("--blocked-words", type=Path, metavar="FILE", help="words that prompts must not hold, one a line")
    parser.add_argument("--policy", metavar="MODULE:OBJECT", help="an object that may refuse prompts and frames")
    parser.add_argument("--sign-chain", type=Path, metavar="PEM", help="your own certificates to sign with, leaf first")
    parser.add_argument("--sign-key", type=Path, metavar="PEM", help="the key of the first of them")


def settings(arguments: argparse.Namespace) -> Settings:
    from kinema.server.settings import Settings

    return Settings(
        data=arguments.data, database=arguments.database, batch=arguments.batch, label=arguments.label, moderation=arguments.policy,
        blocked=arguments.blocked_words, chain=arguments.sign_chain, key=arguments.sign_key, threads=arguments.threads,
        remote=getattr(arguments, "allow_urls", False), private_webhooks=getattr(arguments, "allow_private_webhooks", False),
        retention_days=arguments.keep_days, audit_days=arguments.audit_days, device=arguments.device,
        aliases=dict(getattr(arguments, "alias", [])), any_prompt=getattr(arguments, "any_prompt", False),
        max_seconds=getattr(arguments, "max_seconds", 600.0), max_steps=getattr(arguments, "max_steps", 200),
        job_timeout_s=arguments.job_timeout,
    )  # fmt: skip


def share_cores() -> None:
    """The server and its workers use the same cores. A thread that waits for its team by spinning, as OpenMP's do by default, takes
    the core from the process that the others wait for: they spin only briefly. Read when torch is loaded, so called before."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


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


def alias(text: str) -> tuple[str, str]:
    """NAME=MODEL as a pair."""
    name, _, model = text.partition("=")
    if not name or not model:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=MODEL, such as sora-2=kinema-tiny")
    return name, model


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("serve", help="HTTP API, workers and the Studio", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=whole, default=8000, help="(default: 8000; 0: any that is free)")
    parser.add_argument(
        "--workers", type=whole, default=1, help="worker processes on this machine (default: 1; 0: elsewhere)"
    )
    add_settings(parser)
    parser.add_argument(
        "--alias", action="append", default=[], type=alias, metavar="NAME=MODEL",
        help="another name for a model, such as sora-2=kinema-tiny; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE",
        help="write the first API key to this new file (default: to the terminal; DATA/first-key where there is none)",
    )  # fmt: skip
    parser.add_argument("--max-seconds", type=number, default=600.0, metavar="S", help="longest video (default: 600)")
    parser.add_argument("--max-steps", type=whole, default=200, metavar="N", help="most steps of a plan (default: 200)")
    parser.add_argument("--any-prompt", action="store_true", help="also film prompts that name nothing a model knows")
    parser.add_argument("--allow-urls", action="store_true", help="fetch pictures from public web addresses")
    parser.add_argument("--allow-private-webhooks", action="store_true", help="deliver webhooks to private addresses too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    share_cores()
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
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port") from None
    return listener
