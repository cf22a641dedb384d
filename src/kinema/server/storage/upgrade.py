"""Create, stamp and upgrade stores: the revisions in `migrations/versions`, run by Alembic in one transaction.

The transaction holds the store's write lock from its beginning, so that of several processes that start at once one upgrades the
store and the others wait and find it done, and so that a process that is killed leaves the store as it was.
"""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from kinema.errors import InputError
from kinema.server.storage.engine import make_engine, write_transaction
from kinema.server.storage.sqlite_copy import copy_before_upgrade
from kinema.server.storage.tables import facts, metadata

log = logging.getLogger("kinema.server")

MIGRATIONS = Path(__file__).parent / "migrations"
FIRST = "0001"
"""The revision that has the tables of an unversioned store."""
UNVERSIONED = "unversioned"
"""Instead of a revision: the store was written before revisions were recorded."""
UNVERSIONED_FORMAT, LATER_FORMAT = 1, 2
"""The fact `format`. A Kinema that knows no revisions refuses every value but the first; it is changed when the tables change."""
WAIT_S = 600.0
"""How long a process waits while another one upgrades the store."""
_one_at_a_time = threading.Lock()
"""Alembic's context is global to the process."""


def stored_revision(db: Connection) -> str | None:
    """The revision of a store: None if it is empty, UNVERSIONED if it was written before revisions were recorded."""
    names = set(inspect(db).get_table_names())
    if "alembic_version" in names:
        revision: str | None = db.scalar(select(column("version_num")).select_from(table("alembic_version")))
        return revision
    if facts.name in names:
        stored = db.scalar(select(facts.c.value).where(facts.c.name == "format"))
        if stored != UNVERSIONED_FORMAT:
            raise InputError(
                f"the store has format {stored} and no revision; expected format {UNVERSIONED_FORMAT} or a revision; "
                "start the Kinema that wrote it, or restore a backup"
            )
        return UNVERSIONED
    foreign = sorted(names & set(metadata.tables))
    if foreign:
        raise InputError(
            f"the database has a table {foreign[0]!r} of another program; expected a store of Kinema or an empty database; "
            "name another with --database"
        )
    return None


def prepare_store(url: str, *, upgrade: bool, folder: Path = MIGRATIONS) -> None:
    """Bring a store to the newest revision: give an empty one its tables, and upgrade an older one.

    upgrade: whether an older store may be changed. folder: Alembic's script location. A SQLite file that has tables is copied
    before it is upgraded. InputError if the store is newer than the revisions in the folder, or older and not to be upgraded.
    """
    engine = make_engine(url, wait_s=WAIT_S)
    try:
        with _one_at_a_time, write_transaction(engine) as db:
            _prepare(db, upgrade, folder)
    finally:
        engine.dispose()


def _prepare(db: Connection, upgrade: bool, folder: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = db
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    newest = revisions[0]
    revision = stored_revision(db)
    if revision == newest:
        return
    if revision not in (None, UNVERSIONED, *revisions):
        raise InputError(
            f"the store has revision {revision!r}, which Kinema {version('kinema')} does not know; expected {newest!r} or older; "
            "start the newer Kinema that upgraded it, or restore the copy that was made before"
        )
    if revision is not None and not upgrade:
        has = "no revision, as an older Kinema wrote it" if revision == UNVERSIONED else f"revision {revision!r}"
        raise InputError(
            f"the store has {has}; expected revision {newest!r}; start kinema serve or kinema worker, which upgrade it"
        )
    if revision == UNVERSIONED:
        command.stamp(config, FIRST)
        log.info("the store has a revision from now on", extra={"revision": FIRST})
        revision = FIRST
    if revision == newest:
        return
    if revision is not None and db.dialect.name == "sqlite":
        copy = copy_before_upgrade(db, newest)
        log.info("the store was copied before its upgrade", extra={"copy": str(copy), "revision": revision})
    command.upgrade(config, newest)
    if newest != FIRST:
        db.execute(facts.delete().where(facts.c.name == "format"))
        db.execute(facts.insert().values(name="format", value=LATER_FORMAT))
    if revision is not None:
        log.info("the store is upgraded", extra={"before": revision, "revision": newest})
