"""Revisions of the store's tables, each one file in `versions`, run by `kinema.server.storage.upgrade`.

A new revision, in a checkout (pyproject.toml tells Alembic where they are):

    alembic -x database=sqlite:////tmp/store.db upgrade head
    alembic -x database=sqlite:////tmp/store.db revision --autogenerate --rev-id 0002 -m "what changes"

Read what Alembic wrote, set REVISION in `tables.py`, and run tests/server/storage. A revision runs in the same transaction as all
others of an upgrade, so it must not commit; SQLite changes a column by `op.batch_alter_table`. It imports no tables from Kinema,
because those are the tables of the newest revision. None can be undone: restore the copy that was made before.
"""
