"""kinema backup: saves everything of a server into one file, while it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.serve import check_installed
from kinema.cli.settings import add_settings, fill

if TYPE_CHECKING:
    from kinema.server.storage.backup import Contents


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("backup", help="save a server's data into one file", description=__doc__)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the file to write; it holds keys that sign, so keep it secret"
    )
    add_settings(parser, ("data", "database", "artifacts"))
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    fill(arguments)
    check_installed()
    from kinema.server.storage.backup import backup

    contents = backup(
        arguments.file, data=arguments.data, url=arguments.database, artifacts=arguments.artifacts, force=arguments.force
    )
    print(f"{arguments.file}  {described(contents)}, {contents.bytes / 1e6:,.1f} MB")
    if contents.lost:
        print(
            f"{contents.lost} films or uploads have no files in {arguments.artifacts or arguments.data} and are not in the backup"
        )
    return 0


def described(contents: Contents) -> str:
    """What a backup holds, in words."""
    parts = (("films", contents.films), ("uploads", contents.uploads), ("worlds", contents.worlds), ("keys", contents.keys))
    return ", ".join(f"{count:,} {name if count != 1 else name[:-1]}" for name, count in parts)
