"""How a benchmark that is given a model, a file or a folder ends: with its status, or with one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from kinema.errors import KinemaError


def run_benchmark(main: Callable[[], int | None]) -> NoReturn:
    """Run a benchmark and end. What it is given and cannot use is one line on stderr and exit code 2, as of `kinema`."""
    try:
        status = main() or 0
    except KinemaError as error:
        print(f"{sys.argv[0].rpartition('/')[2]}: {' '.join(str(error).splitlines())}", file=sys.stderr)
        status = 2
    raise SystemExit(status)
