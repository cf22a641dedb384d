"""A revision after the newest, for tests: it adds a column to jobs, fills it and changes it, which rewrites SQLite tables."""

from __future__ import annotations

import os
import signal
import time

import sqlalchemy as sa
from alembic import op

from kinema.server.storage.tables import REVISION

revision = "9999"
down_revision = REVISION


def reached(point: str) -> None:
    """End the process by kill -9 at the point that KILL_AT names."""
    if os.environ.get("KILL_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


def upgrade() -> None:
    reached("begun")
    op.add_column("jobs", sa.Column("owner", sa.String(40)))
    reached("column added")
    op.execute("UPDATE jobs SET owner = key_id")
    with op.batch_alter_table("jobs") as batch:
        batch.alter_column("owner", existing_type=sa.String(40), nullable=False)
    op.execute("INSERT INTO audit (at, action) VALUES (0, 'upgraded')")
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    reached("changed")
