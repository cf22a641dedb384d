"""The tables of a server, on SQLite or Postgres, and how a transaction is opened on each.

Times are seconds since 1970; the clock is the database's own machine, so that workers on several machines agree on leases.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import QueuePool

from kinema.errors import InputError

FORMAT = 1
"""Raised when tables change; a store of another format is refused, not guessed at."""
RETAINED_S = 30 * 86400.0
"""How long videos are stored by default."""
AUDIT_S = 365 * 86400.0
"""How long lines of the audit log are stored by default."""
REPEATED_S = 86400.0
"""For so long a request with the same Idempotency-Key is the same request."""
BUSY_S = 30.0
PATIENCE_MS = 15_000
"""On Postgres: a writer that waits, or is stopped, for longer is given up, so that others can go on."""
WRITERS = 0x6B696E65
"""The advisory lock that writers hold on Postgres, where SQLite has its own."""

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
    Column("quota", Float),
    Column("rate", Integer),
    Column("concurrency", Integer),
    Column("used", Float, nullable=False, default=0.0),
    Column("reserved", Float, nullable=False, default=0.0),
    Column("served", Float, nullable=False, default=0.0),
)
"""quota, used, reserved: pixel-seconds. served: pixel-seconds begun, which is what fairness goes by."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("paused", Boolean, nullable=False, default=False),
    Column("cancelled", Boolean, nullable=False, default=False),
    Column("deleted_at", Float),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("expires_at", Float),
    Column("model", String(200), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("seconds", String(16), nullable=False),
    Column("size", String(16), nullable=False),
    Column("request", JSON, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("remixed_from", String(40)),
    Column("priority", Integer, nullable=False, default=0),
    Column("place", Float, nullable=False),
    Column("shape", String(200)),
    Column("pixel_seconds", Float, nullable=False),
    Column("progress", Float, nullable=False, default=0.0),
    Column("stage", String(40), nullable=False, default="waiting"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", Float, nullable=False, default=0.0),
    Column("worker", String(80)),
    Column("lease_until", Float),
    Column("fence", Integer, nullable=False, default=0),
    Column("artifact", String(80)),
    Column("bytes", BigInteger),
    Column("took_s", Float),
    Column("frames", Integer),
    Column("has_state", Boolean, nullable=False, default=False),
    Column("settings", JSON),
    Column("mark", String(16)),
    Column("error_code", String(60)),
    Column("error_message", Text),
    Index("jobs_of_key", "key_id", "created_at", "id"),
    Index("jobs_by_mark", "mark"),
    Index("jobs_to_do", "status", "key_id", "priority", "place"),
)
"""place: order in the queue of a key. shape: jobs of one shape may be run together. fence: counts the claims of a job; only the
holder of the latest may publish. artifact: the folder below videos/ID that is published."""

workers = Table(
    "workers",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("seen_at", Float, nullable=False),
    Column("warm", JSON, nullable=False),
)

speeds = Table(
    "speeds",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("per_pixel_second", Float, nullable=False),
)
"""Measured on finished jobs: seconds of work for each pixel-second."""

ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key_id", String(40), nullable=False),
    Column("at", Float, nullable=False),
    Column("job", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("pixel_seconds", Float, nullable=False),
    Index("ledger_of_key", "key_id", "id"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("key_id", String(40)),
    Column("action", String(60), nullable=False),
    Column("target", String(80)),
    Column("detail", JSON),
)

files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("filename", String(200), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("fps", Float, nullable=False),
)

characters = Table(
    "characters",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("name", String(80), nullable=False),
    Column("looks", String(120), nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("secret", String(80), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("webhook", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Float, nullable=False),
    Column("done_at", Float),
    Index("deliveries_due", "done_at", "next_at"),
)
"""An outbox: written in the transaction that ends the job, sent afterwards, again and again until it was received."""

repeats = Table(
    "repeats",
    metadata,
    Column("key_id", String(40), primary_key=True),
    Column("token", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("job", String(40), nullable=False),
    Column("at", Float, nullable=False),
)
"""Requests that were sent with an Idempotency-Key (token: its hash), and the job that each became."""

facts = Table("facts", metadata, Column("name", String(40), primary_key=True), Column("value", JSON, nullable=False))


class Database:
    """An engine with the two kinds of transactions that the store needs."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.engine = _engine(url)
            self.sqlite = self.engine.dialect.name == "sqlite"
            with self.writing() as db:
                metadata.create_all(db)
                stored = db.execute(facts.select().where(facts.c.name == "format")).first()
                if stored is None:
                    db.execute(facts.insert().values(name="format", value=FORMAT))
                elif stored.value != FORMAT:
                    raise InputError(f"the store was written by another version (format {stored.value}; this one: {FORMAT})")
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise InputError(
                f"database {url!r}: {str(error).splitlines()[0]}; expected sqlite:///FILE or postgresql://USER@HOST/NAME "
                "(pip install 'kinema[postgres]')"
            ) from None
        except OperationalError as error:
            reason = str(error.orig).splitlines()[0]
            raise InputError(f"the database cannot be used: {reason}; is it running, and is the disk writable?") from None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning, all or nothing; writers of all processes take turns."""
        with self.engine.begin() as db:
            if not self.sqlite:
                db.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": WRITERS})
            yield db

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.engine.connect() as db:
            reader = db.execution_options(isolation_level="AUTOCOMMIT")
            yield reader

    def now(self, db: Connection) -> float:
        """The database's clock."""
        if self.sqlite:
            return float(db.scalar(text("SELECT (julianday('now') - 2440587.5) * 86400.0")) or 0.0)
        return float(db.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)

    def belongs(self, root: Path) -> None:
        """InputError unless a data folder is the one that this database tells of; both are new together."""
        mark = root / "store-id"
        written = mark.read_text().strip() if mark.exists() else None
        with self.writing() as db:
            known = db.scalar(select(facts.c.value).where(facts.c.name == "store"))
            if known is None and written is None:
                known = written = secrets.token_hex(12)
                db.execute(facts.insert().values(name="store", value=known))
                mark.write_text(written)
        if known != written:
            raise InputError(
                f"the data folder {root} and the database do not belong together; name the folder that was used with it, "
                "or a new folder with a new database"
            )

    def close(self) -> None:
        self.engine.dispose()


def _value(stored: Any) -> Any:
    """JSON of a column; SQLite gives numbers as such."""
    return stored if isinstance(stored, int | float) else orjson.loads(stored)


def _engine(url: str) -> Engine:
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if not url.startswith("sqlite"):
        limits = f"-c lock_timeout={PATIENCE_MS} -c idle_in_transaction_session_timeout={PATIENCE_MS}"
        alive = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        return create_engine(
            url, pool_size=24, max_overflow=40, pool_pre_ping=True, connect_args={"options": limits, **alive},
            json_deserializer=_value,
        )  # fmt: skip
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=16, max_overflow=32, json_deserializer=_value,
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={int(1000 * BUSY_S)}", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        if db.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            db.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def sqlite_url(data: Path) -> str:
    return f"sqlite:///{data.absolute() / 'kinema.db'}"
