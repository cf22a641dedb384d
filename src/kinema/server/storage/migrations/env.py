"""Run by Alembic: applies revisions on the connection that an upgrade holds, or on the store of `alembic -x database=URL`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from kinema.server.storage.engine import make_engine, write_transaction
from kinema.server.storage.tables import metadata


def run_revisions(db: Connection) -> None:
    """Apply revisions within the transaction of a connection."""
    context.configure(connection=db, target_metadata=metadata, transactional_ddl=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    run_revisions(context.config.attributes["connection"])
else:
    with write_transaction(make_engine(context.get_x_argument(as_dictionary=True)["database"])) as connection:
        run_revisions(connection)
