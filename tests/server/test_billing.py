"""The books of worlds: frames are billed before they are made, within what a key has left beside its videos."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from tests.server.conftest import Harness

from kinema.errors import ApiError
from kinema.server.billing import Billing, frames_cost


def test_what_is_reserved_for_videos_is_not_left_for_worlds(harness: Harness) -> None:
    key = harness.make_key("limited", quota=100.0)
    harness.job(key=key, pixel_seconds=60.0)
    billing = Billing(harness.queue.database)
    billing.refresh_quota(key)
    with pytest.raises(ApiError, match="pixel-seconds; the key has"):
        billing.spend(key, 50.0)
    billing.spend(key, 30.0)
    with pytest.raises(ApiError, match="pixel-seconds; the key has"):
        billing.spend(key, 20.0)
    billing.spend(key, -10.0)
    billing.spend(key, 20.0)
    assert harness.books(key) == (0.0, 60.0), "nothing is in the ledger yet"
    billing.settle()
    assert harness.books(key) == (40.0, 60.0)
    billing.settle()
    assert harness.books(key) == (40.0, 60.0), "once"
    billing.refresh_quota(key)
    with pytest.raises(ApiError, match="pixel-seconds; the key has"):
        billing.spend(key, 1.0)


def test_a_second_of_a_world_costs_what_a_second_of_film_costs() -> None:
    assert frames_cost("64x32", 16) == 64 * 32
