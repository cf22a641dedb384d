"""kinema restore: puts a backup into a new folder, checked, ready for `kinema serve`."""

from __future__ import annotations

import argparse
from pathlib import Path

from kinema.cli.backup import described
from kinema.cli.serve import check_installed
from kinema.cli.settings import add_settings, fill


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("restore", help="restore a backup into a new folder", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="what kinema backup wrote")
    add_settings(parser, ("data", "database"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    fill(arguments)
    check_installed()
    from kinema.server.storage.backup import restore

    contents = restore(arguments.file, data=arguments.data, url=arguments.database)
    print(f"{arguments.data}  {described(contents)}, saved {contents.made_at}; every file has the SHA-256 that was saved")
    print(f"Start it with: kinema serve --data {arguments.data}{' --database URL' if arguments.database else ''}")
    return 0
