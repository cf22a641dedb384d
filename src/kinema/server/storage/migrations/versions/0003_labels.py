"""Titles, favorites, tags and projects of videos; deletion of files, and for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_id", "name", name="one_project_of_a_name"),
    )
    op.add_column("jobs", sa.Column("title", sa.String(length=200), nullable=True))
    op.add_column("jobs", sa.Column("favorite", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("tags", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("jobs", sa.Column("project", sa.String(length=40), nullable=True))
    op.create_index("jobs_deleted", "jobs", ["deleted_at"])
    op.add_column("files", sa.Column("purpose", sa.String(length=16), server_default="input", nullable=False))
    op.add_column("files", sa.Column("deleted_at", sa.Float(), nullable=True))
    op.create_index("files_of_key", "files", ["key_id", "created_at", "id"])
