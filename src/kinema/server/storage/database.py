"""`Database`: the store of a server, opened at the revision that this Kinema works with."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from kinema.errors import InputError
from kinema.server.storage.engine import SQLITE_WAIT_S, make_engine, write_transaction
from kinema.server.storage.remote import RemoteFolder
from kinema.server.storage.tables import REVISION, facts
from kinema.server.storage.upgrade import prepare_store, stored_revision

STORE_ID = "store-id"
"""The file with the id of a store, in its folders."""


class Database:
    """An engine with the two kinds of transactions that the store needs.

    url: sqlite:///FILE or postgresql://USER@HOST/NAME; an empty store receives its tables. upgrade: whether a store of an older
    Kinema is upgraded. InputError if the URL names no database, and for a store that is newer, or older and not to be upgraded.
    """

    def __init__(self, url: str, *, upgrade: bool = False) -> None:
        self.url = url
        self.engine = _engine_of(url)
        self.sqlite = self.engine.dialect.name == "sqlite"
        try:
            self._prepare(upgrade)
        except BaseException:
            self.close()
            raise

    def _prepare(self, upgrade: bool) -> None:
        try:
            with self.reading() as db:
                revision = stored_revision(db)
            if revision != REVISION:
                prepare_store(self.url, upgrade=upgrade)
        except OperationalError as error:
            reason = str(error.orig).splitlines()[0]
            raise InputError(f"the database cannot be used: {reason}; is it running, and is the disk writable?") from None
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0]
            raise InputError(
                f"the store could not be made or upgraded, and is as it was: {reason}; expected a user that may create and change "
                "tables"
            ) from error

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that holds the write lock from its beginning, all or nothing; writers of all processes take turns."""
        return write_transaction(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries, each of which sees what is committed when it begins."""
        with self.engine.connect() as db:
            reader = db.execution_options(isolation_level="AUTOCOMMIT")
            yield reader

    def now(self, db: Connection) -> float:
        """The database's clock, in seconds since 1970; workers on several machines agree on leases by it."""
        if self.sqlite:
            return float(db.scalar(text("SELECT (julianday('now') - 2440587.5) * 86400.0")) or 0.0)
        return float(db.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)

    def check_data_folder(self, root: Path) -> None:
        """InputError unless the id in a data folder is that in this database. If neither has one, both receive it."""
        file = root / STORE_ID
        id_of_folder = file.read_text().strip() if file.exists() else None
        with self.writing() as db:
            id_of_database = db.scalar(select(facts.c.value).where(facts.c.name == "store"))
            if id_of_database is None and id_of_folder is None:
                id_of_database = id_of_folder = secrets.token_hex(12)
                db.execute(facts.insert().values(name="store", value=id_of_database))
                file.touch(mode=0o600)
                file.write_text(id_of_folder)
        if id_of_database != id_of_folder:
            raise InputError(
                f"the data folder {root} and the database do not belong together; name the folder that was used with it, "
                "or a new folder with a new database"
            )

    def check_artifacts(self, remote: RemoteFolder | None) -> None:
        """InputError unless this is where the films of this store lie: on object storage that has its id, or in the data folder.
        Object storage that holds no films yet receives the id. Called after `check_data_folder`."""
        there = None if remote is None else remote.read(STORE_ID)
        with self.writing() as db:
            values = {
                row.name: row.value for row in db.execute(select(facts).where(facts.c.name.in_(("store", "artifacts"))))
            }
            known, id = values.get("artifacts"), str(values["store"])
            if remote is None:
                if known is not None:
                    raise InputError(f"the films of this store lie at {known}; name it with --artifacts")
                return
            if there is None and known is None and not any(remote.names(folder) for folder in ("videos", "files", "work")):
                remote.write(STORE_ID, id.encode())
            elif there is None or there.decode("utf-8", "replace") != id:
                mend = (
                    f"they lie at {known}; copy all of it there first" if known else "name an empty folder with --artifacts"
                )
                raise InputError(f"{remote.url} does not hold the films of this store; {mend}")
            if known != remote.url:
                db.execute(facts.delete().where(facts.c.name == "artifacts"))
                db.execute(facts.insert().values(name="artifacts", value=remote.url))

    def forget_deleted(self) -> None:
        """On SQLite: write what is committed to the file and empty the log beside it, so that deleted rows stand in neither. Where
        others are reading, the log goes at a later time."""
        if self.sqlite:
            with self.reading() as db:
                db.exec_driver_sql("PRAGMA busy_timeout=200")
                db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
                db.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * SQLITE_WAIT_S)}")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine_of(url: str) -> Engine:
    """Connections to the store at a URL, or an InputError that shows the URL without its password."""
    try:
        return make_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        hidden = re.sub(r"//([^:/@]*):.*@", r"//\1:***@", url)
        reason = str(error).splitlines()[0].replace(url, hidden)
        raise InputError(
            f"database {hidden!r}: {reason}; expected sqlite:///FILE or postgresql://USER@HOST/NAME "
            "(pip install 'kinema[postgres]')"
        ) from None
