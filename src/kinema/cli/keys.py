"""kinema keys: who may use a server. add NAME | list | revoke ID | audit"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from kinema.cli.options import number, whole
from kinema.cli.serve import check_installed
from kinema.cli.settings import add_settings, fill
from kinema.errors import InputError

LIMIT_OPTIONS: tuple[tuple[str, Callable[[str], float], str], ...] = (
    ("--quota", number, "pixel-seconds in all"),
    ("--daily-quota", number, "pixel-seconds in any 24 hours"),
    ("--rate", whole, "requests a minute"),
    ("--concurrency", whole, "videos waiting or being made"),
    ("--max-worlds", whole, "worlds"),
)


def limits_text(row: Any) -> str:
    """The limits of a key, in words."""
    named = [(option[2:].replace("-", "_"), about) for option, _, about in LIMIT_OPTIONS]
    return (
        ", ".join(f"{getattr(row, name):,.0f} {about}" for name, about in named if getattr(row, name) is not None) or "none"
    )


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("keys", help="API keys of a server", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb, about in (("add", "a new key, told this once"), ("list", "all keys"), ("revoke", "a key opens nothing any more"),
                        ("audit", "who did what")):  # fmt: skip
        one = verbs.add_parser(verb, help=about)
        add_settings(one, ("data", "database"))
        one.set_defaults(run=run, verb=verb)
        if verb == "add":
            one.add_argument("name", help="what the key is for")
            one.add_argument(
                "--scopes", default="read,videos,worlds", help="of read, videos, worlds, admin (default: %(default)s)"
            )
            one.add_argument("--days", type=number, help="days until it opens nothing any more")
            for option, convert, about in LIMIT_OPTIONS:
                one.add_argument(option, type=convert, metavar="N", help=f"{about}; 0: no limit")
        elif verb == "revoke":
            one.add_argument("id", help="key_...")


def run(arguments: argparse.Namespace) -> int:
    fill(arguments)
    check_installed()
    from sqlalchemy import select

    from kinema.errors import ApiError
    from kinema.server.auth import Auth, key_limits
    from kinema.server.storage.database import Database
    from kinema.server.storage.engine import sqlite_url
    from kinema.server.storage.tables import audit

    if arguments.database is None and not (arguments.data / "kinema.db").is_file():
        raise InputError(f"{arguments.data} holds no server's data; name its folder with --data")
    database = Database(arguments.database or sqlite_url(arguments.data))
    auth = Auth(database)
    try:
        if arguments.verb == "add":
            scopes = tuple(scope.strip() for scope in arguments.scopes.split(",") if scope.strip())
            expires = None if arguments.days is None else 86400 * arguments.days
            options = {option[2:].replace("-", "_") for option, _, _ in LIMIT_OPTIONS}
            named = {name: getattr(arguments, name) for name in options}
            text, row = auth.make(arguments.name, scopes, expires_s=expires, **key_limits(scopes, named))
            print(f"{row.id}  {text}")
            print(f"Limits: {limits_text(row)}; each can be named, and 0 lifts it")
        elif arguments.verb == "revoke":
            print(f"{auth.revoke(arguments.id).id} opens nothing any more")
        elif arguments.verb == "list":
            for row in auth.all():
                state = (
                    "revoked"
                    if row.revoked_at
                    else "expired"
                    if row.expires_at and row.expires_at < time.time()
                    else "holds"
                )
                quota = "" if row.quota is None else f" of {row.quota:,.0f}"
                used = f"{row.used:,.0f}{quota} pixel-seconds"
                print(f"{row.id}  {row.prefix}...  {row.name}  {','.join(row.scopes)}  {used}  {state}")
        else:
            with database.reading() as db:
                for line in db.execute(select(audit).order_by(audit.c.id)):
                    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.at))
                    print(
                        f"{written}  {line.key_id or '-'}  {line.action}  {line.target or ''}  {line.detail or ''}".rstrip()
                    )
    except ApiError as error:
        raise InputError(str(error)) from None
    finally:
        database.close()
    return 0
