"""Several jobs of one production at a time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    made = op.create_table(
        "production_jobs",
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("production", sa.String(length=40), nullable=False),
        sa.Column("shot", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_index("jobs_of_production", "production_jobs", ["production"])
    productions = sa.table("productions", sa.column("id"), sa.column("job"))
    jobs = sa.table("jobs", sa.column("id"), sa.column("request", sa.JSON()))
    db = op.get_bind()
    making = sa.select(productions.c.id, productions.c.job, jobs.c.request).join(jobs, jobs.c.id == productions.c.job)
    rows = [{"job": row.job, "production": row.id, "shot": row.request.get("shot")} for row in db.execute(making).all()]
    if rows:
        op.bulk_insert(made, rows)
    op.drop_index("productions_by_job", "productions")
    with op.batch_alter_table("productions") as table:
        table.drop_column("job")
