"""The `kinema` command: parses, calls the library, prints. One file per verb beside this one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

VERBS = ("generate", "change", "state", "train")


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kinema", description="An open world model: films what you describe.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for verb in VERBS:
        import_module(f"kinema.cli.{verb}").add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; user errors are one line on stderr and exit code 2."""
    from kinema.errors import KinemaError

    arguments = build().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KinemaError as wrong:
        print(f"kinema: {wrong}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
