"""Saves a store and ends by kill -9 at a point: python tests/server/storage/saving.py DATA FILE POINT"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from kinema.server.storage import archive, backup


def kill(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    data, file, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if point == "begun":
        backup._add_named_files = kill
    elif point == "nearly whole":
        archive.ArchiveWriter.close = kill
    elif point == "not renamed":
        Path.replace = kill
    backup.backup(file, data=data)


if __name__ == "__main__":
    main()
