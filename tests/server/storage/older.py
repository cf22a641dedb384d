"""Stores as earlier revisions were."""

from __future__ import annotations

from sqlalchemy import Connection

TABLES = ("sessions", "projects", "acceptances", "reports", "productions", "takes", "production_events", "production_jobs")
INDEXES = ("jobs_deleted", "files_of_key", "ledger_of_day", "deliveries_of_webhook")
COLUMNS = (
    *("jobs.title", "jobs.favorite", "jobs.tags", "jobs.project", "files.purpose", "files.deleted_at"),
    *("keys.daily_quota", "keys.max_worlds", "webhooks.old_secret", "webhooks.old_secret_until"),
    *("deliveries.created_at", "deliveries.last_at", "deliveries.last_status", "deliveries.last_error"),
)
"""What the revisions after 0001 added."""


def as_first_revision(db: Connection) -> None:
    """Remove what later revisions added; the revision itself stays as it is written down."""
    for table in TABLES:
        db.exec_driver_sql(f"DROP TABLE {table}")
    for index in INDEXES:
        db.exec_driver_sql(f"DROP INDEX {index}")
    for name in COLUMNS:
        table, _, column = name.partition(".")
        db.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
