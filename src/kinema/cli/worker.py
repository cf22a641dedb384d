"""kinema worker: makes the jobs of a server, on its machine or on another that shares its database and data folder."""

from __future__ import annotations

import argparse

from kinema.cli.serve import check_installed, settings
from kinema.cli.settings import SETTINGS, add_settings, fill


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("worker", help="one more worker for a server", description=__doc__)
    add_settings(parser, [setting.name for setting in SETTINGS if setting.worker])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    fill(arguments)
    check_installed()
    from kinema.devices import resolve_device
    from kinema.server.jobs.process import work

    resolve_device(arguments.device)
    return work(settings(arguments))
