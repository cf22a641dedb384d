"""The `kinema` command: parses, calls the library, prints. One file per verb beside this one."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from kinema.cli.cores import share_cores
from kinema.cli.options import path
from kinema.errors import InputError, KinemaError

VERBS = (
    "generate",
    "direct",
    "change",
    "state",
    "models",
    "play",
    "agent",
    "arena",
    "record",
    "curate",
    "train",
    "export",
    "serve",
    "worker",
    "keys",
    "backup",
    "restore",
    "verify",
    "conform",
    "doctor",
)
USER_ERROR, STOPPED, PIPE_CLOSED = 2, 130, 141


class CommandLineParser(argparse.ArgumentParser):
    """Reports command line errors in the same form as all other errors."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("type", Path, path)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e9 is a number too; no option begins with a digit

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def build_parser() -> CommandLineParser:
    parser = CommandLineParser(prog="kinema", description="An open world model: films what you describe.")
    parser.add_argument("--version", action="version", version=f"kinema {version('kinema')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for verb in VERBS:
        import_module(f"kinema.cli.{verb}").add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; user errors are one line on stderr and exit code 2."""
    share_cores()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows few letters shows the others as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        parser = build_parser()
        arguments, unknown = parser.parse_known_args(argv)
        if arguments.command is None and not unknown:
            parser.print_help()
            return 0
        if unknown or arguments.command is None:
            of = f"kinema {arguments.command}" if arguments.command else "kinema"
            raise InputError(f"unrecognized arguments: {' '.join(unknown)}; see {of} --help")
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except KinemaError as error:
        return _fail(str(error), USER_ERROR)
    except BrokenPipeError:  # whoever reads the output has left; nothing more can be said, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _fail("stopped; what was not finished was not written", STOPPED)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return _fail("not enough memory; ask for a shorter or smaller film", USER_ERROR)


def _fail(message: str, code: int) -> int:
    print(f"kinema: {' '.join(message.splitlines())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
