"""Productions, their takes and their log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "productions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("story", sa.Text(), nullable=False),
        sa.Column("script", sa.JSON(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("stop_after", sa.String(length=16), nullable=True),
        sa.Column("job", sa.String(length=40), nullable=True),
        sa.Column("film", sa.String(length=40), nullable=True),
        sa.Column("film_edit", sa.String(length=64), nullable=True),
        sa.Column("error_code", sa.String(length=60), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("productions_of_key", "productions", ["key_id", "created_at", "id"])
    op.create_index("productions_by_job", "productions", ["job"])
    op.create_table(
        "takes",
        sa.Column("production", sa.String(length=40), nullable=False),
        sa.Column("shot", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("production", "shot", "number"),
        sa.UniqueConstraint("job"),
    )
    op.create_table(
        "production_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("production", sa.String(length=40), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("shot", sa.String(length=40), nullable=True),
        sa.Column("take", sa.Integer(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_of_production", "production_events", ["production", "id"])
