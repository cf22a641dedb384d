"""Limits of a key: pixel-seconds in a day, and worlds. Keys that are there have neither."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("keys", sa.Column("daily_quota", sa.Float(), nullable=True))
    op.add_column("keys", sa.Column("max_worlds", sa.Integer(), nullable=True))
    op.create_index("ledger_of_day", "ledger", ["key_id", "at"])
