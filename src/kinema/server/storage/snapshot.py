"""The rows of a store as one SQLite file: read from any database at one moment, and written into an empty one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import make_url

from kinema.errors import InputError
from kinema.server.storage.database import Database
from kinema.server.storage.engine import write_transaction
from kinema.server.storage.sqlite_copy import copy_pages
from kinema.server.storage.tables import facts, metadata

ROWS = 1000
"""Rows that are held in memory at a time."""


def save_rows(database: Database, target: Path) -> None:
    """Write all that is committed in a database into a new SQLite file; others may write meanwhile."""
    if database.sqlite:
        copy_pages(Path(make_url(database.url).database or ""), target)
        return
    copy = Database(f"sqlite:///{target}")
    try:
        with database.engine.connect() as db:
            reader = db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with reader.begin(), write_transaction(copy.engine) as writer:
                writer.execute(facts.delete())
                _copy_rows(reader, writer)
    finally:
        copy.close()


def load_rows(source: Path, url: str) -> None:
    """Write the rows of a SQLite file, which is at the newest revision, into an empty database. InputError if it holds a store."""
    copy, database = Database(f"sqlite:///{source}"), Database(url)
    try:
        with copy.reading() as reader, database.writing() as writer:
            used = [table.name for table in metadata.sorted_tables if writer.scalar(select(func.count()).select_from(table))]
            if set(used) - {facts.name} or writer.scalar(select(facts.c.value).where(facts.c.name == "store")):
                raise InputError("the database holds a store already; expected an empty one; name another with --database")
            writer.execute(facts.delete())
            _copy_rows(reader, writer)
            _continue_numbers(writer)
    finally:
        database.close()
        copy.close()


def _copy_rows(reader: Connection, writer: Connection) -> None:
    for table in metadata.sorted_tables:
        rows = reader.execution_options(stream_results=True).execute(select(table)).mappings()
        for part in rows.partitions(ROWS):
            writer.execute(table.insert(), [dict(row) for row in part])


def _continue_numbers(db: Connection) -> None:
    """Let Postgres count on after the numbers that were written."""
    if db.dialect.name == "sqlite":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None and column.autoincrement is True:
            last = select(func.max(column)).scalar_subquery()
            db.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), func.coalesce(last, 1))))
