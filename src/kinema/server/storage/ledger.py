"""The quota of a key in pixel-seconds, and the ledger of what its jobs took."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from kinema.errors import ApiError
from kinema.server.storage.tables import ledger

DAY_S = 86400.0
WORLDS = "worlds"
"""Stands in the ledger in place of a video's id, for frames of worlds."""


def check_quota(db: Connection, now: float, key: Row[Any], pixel_seconds: float) -> None:
    """429 if a key has fewer pixel-seconds left than a job takes, in all or for this day."""
    if key.quota is not None and key.used + key.reserved + pixel_seconds > key.quota:
        raise quota_exceeded(pixel_seconds, key.quota - key.used - key.reserved, key.quota)
    if key.daily_quota is not None:
        left = key.daily_quota - spent_today(db, now, key.id)
        if pixel_seconds > left:
            raise quota_exceeded(pixel_seconds, left, key.daily_quota, daily=True)


def spent_today(db: Connection, now: float, key_id: str) -> float:
    """Pixel-seconds of the last 24 hours: what jobs reserved and did not give back, and frames of worlds."""
    sign = case(
        (ledger.c.kind == "refund", -1.0), (ledger.c.kind == "reserve", 1.0), (ledger.c.job == WORLDS, 1.0), else_=0.0
    )
    mine = (ledger.c.key_id == key_id) & (ledger.c.at > now - DAY_S)
    return max(float(db.scalar(select(func.sum(sign * ledger.c.pixel_seconds)).where(mine)) or 0.0), 0.0)


def quota_exceeded(pixel_seconds: float, left: float, quota: float, *, daily: bool = False) -> ApiError:
    """The error for a job that takes more pixel-seconds than are left of a quota, in all or (daily) in 24 hours."""
    span = " for 24 hours" if daily else ""
    return ApiError(
        429, f"this would take {pixel_seconds:,.0f} pixel-seconds; the key has {max(left, 0.0):,.0f} of {quota:,.0f}{span} left",
        code="daily_quota_exceeded" if daily else "insufficient_quota", headers={"x-should-retry": "false"},
    )  # fmt: skip


def add_to_ledger(db: Connection, now: float, key_id: str, job: str, kind: str, pixel_seconds: float) -> None:
    """Add a line to the ledger of a key. kind: "reserve", "settle" or "refund"."""
    db.execute(ledger.insert().values(key_id=key_id, at=now, job=job, kind=kind, pixel_seconds=pixel_seconds))
