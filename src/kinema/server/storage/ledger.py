"""The quota of a key in pixel-seconds, and the ledger of what its jobs took."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from kinema.errors import ApiError
from kinema.server.storage.tables import ledger


def check_quota(key: Row[Any], pixel_seconds: float) -> None:
    """429 if a key has fewer pixel-seconds left than a job takes."""
    if key.quota is not None and key.used + key.reserved + pixel_seconds > key.quota:
        raise quota_exceeded(pixel_seconds, key.quota - key.used - key.reserved, key.quota)


def quota_exceeded(pixel_seconds: float, left: float, quota: float) -> ApiError:
    """The error for a job that takes more pixel-seconds than are left of a quota."""
    return ApiError(
        429, f"this would take {pixel_seconds:,.0f} pixel-seconds; the key has {max(left, 0.0):,.0f} of {quota:,.0f} left",
        code="insufficient_quota", headers={"x-should-retry": "false"},
    )  # fmt: skip


def add_to_ledger(db: Connection, now: float, key_id: str, job: str, kind: str, pixel_seconds: float) -> None:
    """Add a line to the ledger of a key. kind: "reserve", "settle" or "refund"."""
    db.execute(ledger.insert().values(key_id=key_id, at=now, job=job, kind=kind, pixel_seconds=pixel_seconds))
