"""A log of deliveries to webhooks, and their former secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("old_secret", sa.String(length=80), nullable=True))
    op.add_column("webhooks", sa.Column("old_secret_until", sa.Float(), nullable=True))
    op.add_column("deliveries", sa.Column("created_at", sa.Float(), server_default=sa.text("0"), nullable=False))
    op.add_column("deliveries", sa.Column("last_at", sa.Float(), nullable=True))
    op.add_column("deliveries", sa.Column("last_status", sa.Integer(), nullable=True))
    op.add_column("deliveries", sa.Column("last_error", sa.String(length=200), nullable=True))
    op.create_index("deliveries_of_webhook", "deliveries", ["webhook", "created_at", "id"])
    op.execute("UPDATE deliveries SET created_at = next_at")
