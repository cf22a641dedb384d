"""Copies of a store's SQLite file, made while servers and workers use it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from kinema.errors import OutputError
from kinema.server.storage.disk import sync


def copy_pages(source: Path, target: Path) -> None:
    """Copy what is committed in a SQLite file to another one. sqlite3.Error if it cannot be read or written."""
    with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(target)) as writer:
        reader.backup(writer)


def copy_before_upgrade(db: Connection, revision: str) -> Path:
    """Copy what is committed in a SQLite file. Returns the copy: NAME-before-REVISION-TIME.db in the same folder.

    db: holds the write lock, so that nobody changes the file while it is copied. revision: what the store is to be upgraded to.
    OutputError if the copy cannot be written. The copy is complete whenever it has its name.
    """
    source = Path(db.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar_one())
    time_utc = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = source.with_name(f"{source.stem}-before-{revision}-{time_utc}{source.suffix}")
    temporary = source.with_name(f".{source.name}.copy")
    try:
        for suffix in ("", "-journal", "-wal", "-shm"):  # of a copy whose process was killed
            Path(f"{temporary}{suffix}").unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, 0o600))
        copy_pages(source, temporary)
        shutil.copymode(source, temporary)
        sync(temporary)
        temporary.replace(target)
        sync(source.parent)
    except (OSError, sqlite3.Error) as error:
        temporary.unlink(missing_ok=True)
        size = source.stat().st_size
        raise OutputError(
            f"the store {source} could not be copied before its upgrade: {error}; expected {size >> 20} MiB free in its folder"
        ) from None
    return target
