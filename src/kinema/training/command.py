"""The parser of the commands `python -m kinema.training.NAME`."""

from __future__ import annotations

import argparse
from typing import NoReturn


class TrainingParser(argparse.ArgumentParser):
    """Ends with one line on stderr and exit status 2 where a command line cannot be used."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.splitlines())}\n")
