"""Connections to a store on SQLite or Postgres, and the transaction that writes to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import QueuePool

SQLITE_WAIT_S = 30.0
"""On SQLite: how long a writer waits for another one."""
POSTGRES_WAIT_S = 15.0
"""On Postgres: a writer that waits, or is stopped, for longer is given up, so that others can go on."""
WRITERS = 0x6B696E65
"""The advisory lock that writers hold on Postgres, where SQLite has its own."""


def sqlite_url(data: Path) -> str:
    """The URL of the store in a data folder."""
    return f"sqlite:///{data.absolute() / 'kinema.db'}"


def make_engine(url: str, *, wait_s: float | None = None) -> Engine:
    """Connections to the store at a URL. wait_s: how long a writer waits for others (None: as requests do)."""
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if url.startswith("sqlite"):
        return _sqlite_engine(url, SQLITE_WAIT_S if wait_s is None else wait_s)
    return _postgres_engine(url, POSTGRES_WAIT_S if wait_s is None else wait_s)


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its beginning, all or nothing; writers of all processes take turns."""
    with engine.begin() as db:
        if engine.dialect.name != "sqlite":
            db.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": WRITERS})
        yield db


def _postgres_engine(url: str, wait_s: float) -> Engine:
    wait_ms = round(1000 * wait_s)
    limits = f"-c lock_timeout={wait_ms} -c idle_in_transaction_session_timeout={wait_ms}"
    alive = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    return create_engine(
        url, pool_size=24, max_overflow=40, pool_pre_ping=True, connect_args={"options": limits, **alive},
        json_deserializer=_json_value,
    )  # fmt: skip


def _sqlite_engine(url: str, wait_s: float) -> Engine:
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=16, max_overflow=32, json_deserializer=_json_value,
        connect_args={"timeout": wait_s, "check_same_thread": False},
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        waits = f"busy_timeout={round(1000 * wait_s)}"
        for pragma in ("journal_mode=WAL", "synchronous=FULL", waits, "temp_store=MEMORY", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        if db.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            db.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _lower(text: Any) -> Any:
    """Lower case of every script; SQLite's own knows only ASCII."""
    return text.lower() if isinstance(text, str) else text


def _json_value(stored: Any) -> Any:
    """The value of a JSON column; SQLite returns numbers as such."""
    return stored if isinstance(stored, int | float) else orjson.loads(stored)
