"""Speed: a moving average by model and kind, which one slow film does not overturn."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from tests.server.conftest import Harness

from kinema.server.jobs.throughput import ThroughputStats


def test_speed_is_a_moving_average(harness: Harness) -> None:
    def speed(kind: str) -> float | None:
        return ThroughputStats(harness.queue.database).speed("tiny", kind)

    assert speed("generate") is None
    stats = ThroughputStats(harness.queue.database)
    stats.measured("tiny", "generate", 100.0, 10.0)
    assert speed("generate") == pytest.approx(0.1)
    stats.measured("tiny", "generate", 100.0, 110.0)
    assert speed("generate") == pytest.approx(0.7 * 0.1 + 0.3 * 1.1)
    stats.measured("tiny", "edit", 100.0, 60.0)
    assert speed("edit") == pytest.approx(0.6)
    assert speed("extend") == pytest.approx((0.4 + 0.6) / 2), "of a kind that was never made: that of the model"
