"""The tables of a server's store, on SQLite or Postgres. Times are seconds since 1970 by the database's clock.

A change of these tables comes with a new revision in `migrations/versions`, and REVISION names it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

REVISION = "0008"
"""The revision of a store that has these tables: the newest in `migrations/versions`."""

AT_ONCE = 0.0
"""In place of a time: deleted for good."""
UPLOADED, BROUGHT = "input", "reference"
"""Purposes of files."""

metadata = MetaData()


class Tags(TypeDecorator[list[str]]):
    """Tags as a text with a line for each and an empty one before: a tag is searched as a whole line on every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> str:
        return "".join(f"\n{tag}" for tag in value) + "\n" if value else ""

    def process_result_value(self, value: str | None, dialect: Dialect) -> list[str]:
        return [tag for tag in (value or "").split("\n") if tag]


keys = Table(
    "keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
    Column("quota", Float),
    Column("rate", Integer),
    Column("concurrency", Integer),
    Column("used", Float, nullable=False, default=0.0),
    Column("reserved", Float, nullable=False, default=0.0),
    Column("served", Float, nullable=False, default=0.0),
    Column("daily_quota", Float),
    Column("max_worlds", Integer),
)
"""quota, used, reserved: pixel-seconds; daily_quota: in any 24 hours. served: pixel-seconds begun, by which keys take turns."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("agent", String(200), nullable=False),
)
"""Who is signed in to the Studio. digest: hash of the random text in the cookie. agent: the browser, as it calls itself."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("paused", Boolean, nullable=False, default=False),
    Column("cancelled", Boolean, nullable=False, default=False),
    Column("deleted_at", Float),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("expires_at", Float),
    Column("model", String(200), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("seconds", String(16), nullable=False),
    Column("size", String(16), nullable=False),
    Column("request", JSON, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("remixed_from", String(40)),
    Column("priority", Integer, nullable=False, default=0),
    Column("place", Float, nullable=False),
    Column("shape", String(200)),
    Column("pixel_seconds", Float, nullable=False),
    Column("progress", Float, nullable=False, default=0.0),
    Column("stage", String(40), nullable=False, default="waiting"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", Float, nullable=False, default=0.0),
    Column("worker", String(80)),
    Column("lease_until", Float),
    Column("fence", Integer, nullable=False, default=0),
    Column("artifact", String(80)),
    Column("bytes", BigInteger),
    Column("took_s", Float),
    Column("frames", Integer),
    Column("has_state", Boolean, nullable=False, default=False),
    Column("settings", JSON),
    Column("mark", String(16)),
    Column("error_code", String(60)),
    Column("error_message", Text),
    Column("title", String(200)),
    Column("favorite", Boolean, nullable=False, default=False, server_default=false()),
    Column("tags", Tags, nullable=False, default=list, server_default=text("''")),
    Column("project", String(40)),
    Index("jobs_of_key", "key_id", "created_at", "id"),
    Index("jobs_by_mark", "mark"),
    Index("jobs_to_do", "status", "key_id", "priority", "place"),
    Index("jobs_deleted", "deleted_at"),
)
"""place: order in the queue of a key. shape: jobs of one shape may be run together. fence: counts the claims of a job; only the
holder of the latest may publish. artifact: the folder below videos/ID that is published. deleted_at: AT_ONCE if it cannot be
restored, and goes as soon as nothing needs it."""

projects = Table(
    "projects",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("name", String(80), nullable=False),
    UniqueConstraint("key_id", "name", name="one_project_of_a_name"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("seen_at", Float, nullable=False),
    Column("warm", JSON, nullable=False),
)

speeds = Table(
    "speeds",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("per_pixel_second", Float, nullable=False),
)
"""Measured on finished jobs: seconds of work for each pixel-second."""

ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key_id", String(40), nullable=False),
    Column("at", Float, nullable=False),
    Column("job", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("pixel_seconds", Float, nullable=False),
    Index("ledger_of_key", "key_id", "id"),
    Index("ledger_of_day", "key_id", "at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("key_id", String(40)),
    Column("action", String(60), nullable=False),
    Column("target", String(80)),
    Column("detail", JSON),
)

files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("filename", String(200), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("fps", Float, nullable=False),
    Column("purpose", String(16), nullable=False, default=UPLOADED, server_default=UPLOADED),
    Column("deleted_at", Float),
    Index("files_of_key", "key_id", "created_at", "id"),
)
"""purpose: UPLOADED, or BROUGHT by the request of a video, with which it goes. deleted_at: it goes as soon as nothing needs it."""

characters = Table(
    "characters",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("name", String(80), nullable=False),
    Column("looks", String(120), nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("secret", String(80), nullable=False),
    Column("old_secret", String(80)),
    Column("old_secret_until", Float),
)
"""old_secret: signs as well, until old_secret_until."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("webhook", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Float, nullable=False),
    Column("done_at", Float),
    Column("created_at", Float, nullable=False, default=0.0, server_default=text("0")),
    Column("last_at", Float),
    Column("last_status", Integer),
    Column("last_error", String(200)),
    Index("deliveries_due", "done_at", "next_at"),
    Index("deliveries_of_webhook", "webhook", "created_at", "id"),
)
"""An outbox: written in the transaction that ends the job, sent afterwards, again and again until it was received.
last_at, last_status, last_error: the latest attempt, the status that the receiver answered with, and why it answered with none."""

repeats = Table(
    "repeats",
    metadata,
    Column("key_id", String(40), primary_key=True),
    Column("token", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("job", String(40), nullable=False),
    Column("at", Float, nullable=False),
)
"""Requests that were sent with an Idempotency-Key (token: its hash), and the job that each became."""

acceptances = Table(
    "acceptances",
    metadata,
    Column("key_id", String(40), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("terms", String(64), primary_key=True),
    Column("license", String(200), nullable=False),
    Column("at", Float, nullable=False),
)
"""Licenses that keys accepted. terms: hash of the license as it was then (`kinema.engines.licenses.terms_digest`)."""

reports = Table(
    "reports",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("video", String(40), nullable=False),
    Column("video_key_id", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("reason", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("closed_at", Float),
    Index("reports_in_order", "created_at", "id"),
)
"""Complaints about videos. key_id: who complains; video_key_id: whose video it is. Reports outlive their videos."""

productions = Table(
    "productions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Column("title", String(200), nullable=False),
    Column("story", Text, nullable=False),
    Column("script", JSON, nullable=False),
    Column("state", JSON, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("stop_after", String(16)),
    Column("film", String(40)),
    Column("film_edit", String(64)),
    Column("error_code", String(60)),
    Column("error_message", Text),
    Index("productions_of_key", "key_id", "created_at", "id"),
)
"""version: counts the changes. script, state: what is filmed, and what is decided (`kinema.director.record`). stop_after: where it
waits for a person; None: it is filmed to the end. film: the video that was cut last, film_edit: the hash of its takes in their
order."""

production_jobs = Table(
    "production_jobs",
    metadata,
    Column("job", String(40), primary_key=True),
    Column("production", String(40), nullable=False),
    Column("shot", String(40)),
    Index("jobs_of_production", "production"),
)
"""What is being made for productions: at most one take of a shot at a time. shot: None for a cut."""

takes = Table(
    "takes",
    metadata,
    Column("production", String(40), primary_key=True),
    Column("shot", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("job", String(40), nullable=False, unique=True),
    Column("record", JSON, nullable=False),
)
"""The takes of productions that were filmed and checked. job: the video. record: plan, checks and time of filming."""

production_events = Table(
    "production_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("production", String(40), nullable=False),
    Column("at", Float, nullable=False),
    Column("what", String(20), nullable=False),
    Column("shot", String(40)),
    Column("take", Integer),
    Column("why", Text, nullable=False),
    Index("events_of_production", "production", "id"),
)
"""The log of a production: what was done and why."""

facts = Table("facts", metadata, Column("name", String(40), primary_key=True), Column("value", JSON, nullable=False))
