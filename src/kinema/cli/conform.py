"""kinema conform URL: does a server do what the official client of the Videos API expects? Makes a few short films on it and
deletes them. Exit code 0 if no required check failed, 1 if one did, 2 if there is no server."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import model_name
from kinema.errors import InputError, OutputError

if TYPE_CHECKING:
    from kinema.client.conformance import CheckResult

FAILED = 1
KEY = "KINEMA_KEY"


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("conform", help="check a server of the Videos API", description=__doc__)
    parser.add_argument("url", help="address of the server, such as http://127.0.0.1:8000; /v1 may be a part of it")
    parser.add_argument("--key", help=f"API key (default: {KEY} of the environment; without one, keys are not checked)")
    parser.add_argument("--model", type=model_name, help="the model to ask for (default: the server's own)")
    parser.add_argument(
        "--size", metavar="WxH", help="size of the films, the smaller the cheaper (default: the server's own)"
    )
    parser.add_argument(
        "--seconds", default="4", metavar="N", help="length of the films (default: 4, the shortest official one)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a check or a group; may come several times"
    )
    parser.add_argument(
        "--timeout", type=float, default=300.0, metavar="S", help="the longest that a film may take (default: 300)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        from kinema.client.conformance import RunOptions, run_checks
        from kinema.client.conformance.report import group_line, json_report, result_lines, summary_lines
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; the checks need: pip install 'kinema[serve]'") from None

    key = os.environ.get(KEY, "") if arguments.key is None else arguments.key
    options = RunOptions(
        url=arguments.url, key=key, model=arguments.model, size=arguments.size, seconds=arguments.seconds,
        timeout_s=arguments.timeout, only=tuple(arguments.only),
    )  # fmt: skip
    group = ""

    def show(result: CheckResult) -> None:
        nonlocal group
        if result.check.group != group:
            print(f"{'' if not group else chr(10)}{group_line(result)}")
            group = result.check.group
        print("\n".join(result_lines(result)), flush=True)

    finished = run_checks(options, show)
    print()
    print("\n".join(summary_lines(finished)))
    if arguments.json is not None:
        try:
            arguments.json.write_text(
                json.dumps(json_report(finished), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        except OSError as error:
            raise OutputError(f"{arguments.json} cannot be written: {error.strerror or error}") from None
    return 0 if finished.conforms else FAILED
