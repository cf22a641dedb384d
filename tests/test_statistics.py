"""The figures' own laws: unbiased where they say so, ties by half, intervals that hold the mean."""

from __future__ import annotations

import numpy as np
import pytest

from kinema import statistics
from kinema.evaluation.tasks.distribution import likeness
from kinema.evaluation.tasks.long import _in_order


def test_mmd_finds_a_shift_and_nothing_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 8)), rng.normal(size=(60, 8))
    found, p, null = statistics.mmd_test(a, b)
    assert p > 0.05 and found < null
    found, p, null = statistics.mmd_test(a, b + 0.8)
    assert p < 0.01 and found > null


def test_mmd_is_the_mean_over_pairs_of_different_samples() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(5, 4)), 1.5 * rng.normal(size=(9, 4))

    def mean(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([(1 + x @ y / 4) ** 3 for x, y in pairs]))

    within = [[(x, y) for i, x in enumerate(one) for j, y in enumerate(one) if i != j] for one in (a, b)]
    expected = mean(within[0]) + mean(within[1]) - 2 * mean([(x, y) for x in a for y in b])
    assert statistics.mmd2(a, b) == pytest.approx(expected)


def test_frechet_of_two_gaussians_whose_distance_is_known() -> None:
    """Spreads of 4/3 and 16/3 along both axes, and means 3 apart: 9 + 2 (sqrt(16/3) - sqrt(4/3))^2."""
    a = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert statistics.frechet(a, 2 * a + [3.0, 0.0]) == pytest.approx(9 + 8 / 3)
    assert statistics.frechet(a, a) == pytest.approx(0.0, abs=1e-9)


def test_mmd_is_unbiased() -> None:
    rng = np.random.default_rng(1)
    values = [statistics.mmd2(rng.normal(size=(20, 4)), rng.normal(size=(20, 4))) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)


def test_frechet_at_infinity_takes_the_bias_of_few_samples_away() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(120, 16)), rng.normal(size=(120, 16))
    plain = statistics.frechet(a, b)
    infinite, null = statistics.frechet_infinity(a, b)
    assert abs(infinite) < 0.5 * plain
    assert statistics.frechet_infinity(a, b + 1.0)[0] > 10 > abs(null)


def test_ties_count_half() -> None:
    assert statistics.auroc([1.0, 1.0], [1.0, 1.0]) == 0.5
    assert statistics.pair_share([(1.0, 1.0), (0.0, 1.0)]) == 0.75
    assert statistics.auroc([2.0, 3.0], [0.0, 1.0]) == 1.0


def test_intervals_hold_the_mean() -> None:
    mean, low, high = statistics.mean_interval([0.0, 1.0, 1.0, 0.0, 1.0])
    assert low <= mean <= high and mean == pytest.approx(0.6)


def test_empty_masks_agree_on_nothing() -> None:
    """A frozen video beside a frozen video has no motion to be right about."""
    still = np.full((6, 8, 8, 3), 90, np.uint8)
    found = likeness(still, still)
    assert found["where"] == found["where and when"] == found["where, how much"] == 0.0
    moving = still.copy()
    moving[3:, 2:4, 2:4] = 255
    assert likeness(moving, moving)["where"] == 1.0


def test_events_in_order() -> None:
    assert _in_order(["a", "b", "a"], ["a", "b", "a"]) == 3
    assert _in_order(["b", "a"], ["a", "b"]) == 1
    assert _in_order([], ["a"]) == 0


def test_a_share_of_the_gain_takes_off_what_random_earns() -> None:
    rng = np.random.default_rng(3)
    random, reference = rng.normal(2.0, 0.5, 400), rng.normal(4.0, 0.5, 400)
    half = statistics.gain_share(rng.normal(3.0, 0.5, 400), reference, random)
    assert half.share is not None and half.low is not None and half.high is not None
    assert half.share == pytest.approx(0.5, abs=0.05) and half.low < 0.5 < half.high
    assert statistics.gain_share(random, reference, random).share == 0.0
    assert statistics.gain_share(reference, reference, random).share == 1.0
    worse = statistics.gain_share(random - 2.0, reference, random).share
    assert worse is not None and worse < -0.9, "an agent below random has a negative share"
    assert statistics.gain_share(reference, random, random).share is None, "nothing was gained, so there is no share of it"
