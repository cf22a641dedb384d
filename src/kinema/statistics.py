"""Shares and distances with their uncertainty.

Axes: N samples, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinema.types import Doubles

DRAWS = 1000


def bootstrap(count: int, value: Callable[[NDArray[np.int64]], float], *, draws: int = DRAWS) -> tuple[float, float]:
    """95% interval of a figure of `count` items under resampling of the items."""
    rng = np.random.default_rng(0)
    values = [value(rng.integers(0, count, count)) for _ in range(draws if count > 1 else 1)]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95% interval."""
    array = np.asarray(values, np.float64)
    low, high = bootstrap(len(array), lambda pick: float(array[pick].mean()))
    return float(array.mean()), low, high


def pair_share(pairs: Sequence[tuple[float, float]]) -> float:
    """Share of pairs whose first is below the second; ties count half."""
    return float(np.mean([0.5 if a == b else float(a < b) for a, b in pairs]))


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that one of the positives lies above one of the negatives; ties count half."""
    a, b = np.asarray(positive)[:, None], np.asarray(negative)[None]
    return float((a > b).mean() + 0.5 * (a == b).mean())


@dataclass(frozen=True, kw_only=True)
class GainShare:
    """What an agent gains above acting at random, as a share of what the reference learner gains; with its 95% interval.

    `share` is None where the reference is not above random: then there is no gain to have a share of."""

    share: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.share is None or self.low is None or self.high is None:
            return "no share: the reference is not above random"
        return f"{100 * self.share:.0f}% [{100 * self.low:.0f}, {100 * self.high:.0f}]"


def gain_share(agent: ArrayLike, reference: ArrayLike, random: ArrayLike) -> GainShare:
    """(mean agent - mean random) / (mean reference - mean random) of episode returns. The interval resamples the episodes of each
    policy by themselves; it holds no spread of training seeds beyond what the episodes of several seeds show."""
    columns = [np.asarray(values, np.float64) for values in (agent, reference, random)]

    def share(means: Sequence[float]) -> float:
        gain = means[1] - means[2]
        return float((means[0] - means[2]) / gain) if gain > 0 else float("nan")

    estimate = share([float(column.mean()) for column in columns])
    if np.isnan(estimate):
        return GainShare(share=None)
    rng = np.random.default_rng(0)
    drawn = [[float(c[rng.integers(0, len(c), len(c))].mean()) for c in columns] for _ in range(DRAWS)]
    low, high = np.nanpercentile([share(means) for means in drawn], (2.5, 97.5))
    return GainShare(share=estimate, low=float(low), high=float(high))


def standardized(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    """Both by the mean and spread of the first; features that do not vary there count as they are."""
    mean, spread = a.mean(0), a.std(0)
    spread = np.where(spread < 1e-6, 1.0, spread)
    return (a - mean) / spread, (b - mean) / spread


def mmd2(a: Doubles, b: Doubles) -> float:
    """Squared maximum mean discrepancy, unbiased (U-statistic; Gretton et al. 2012), kernel (1 + <x, y> / D)^3."""
    width = a.shape[1]

    def kernel(x: Doubles, y: Doubles) -> Doubles:
        return np.asarray((1.0 + x @ y.T / width) ** 3)

    m, n = len(a), len(b)
    xx, yy, xy = kernel(a, a), kernel(b, b), kernel(a, b)
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(within - 2.0 * xy.mean())


def mmd_test(a: Doubles, b: Doubles, *, draws: int = 200) -> tuple[float, float, float]:
    """MMD^2, its permutation p-value, and the 95% quantile of its null."""
    both, rng = np.concatenate([a, b]), np.random.default_rng(0)
    distance, null = mmd2(a, b), []
    for _ in range(draws):
        order = rng.permutation(len(both))
        null.append(mmd2(both[order[: len(a)]], both[order[len(a) :]]))
    return distance, float((1 + sum(value >= distance for value in null)) / (1 + draws)), float(np.quantile(null, 0.95))


def frechet(a: Doubles, b: Doubles) -> float:
    """Frechet distance of two Gaussians with the samples' means and covariances."""
    mean = a.mean(0) - b.mean(0)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values = np.linalg.eigvals(one @ two).real.clip(0)
    return float(mean @ mean + np.trace(one) + np.trace(two) - 2.0 * np.sqrt(values).sum())


def frechet_infinity(a: Doubles, b: Doubles) -> tuple[float, float]:
    """The distance at infinitely many samples, from a line in 1 / N through subsets (its bias is about D^2 / 2N); and that of two
    halves of the first, as a null."""
    rng = np.random.default_rng(0)
    least = min(len(a), len(b))
    sizes = sorted({max(int(least * share), 4) for share in (0.4, 0.55, 0.7, 0.85, 1.0)})

    def line(x: Doubles, y: Doubles, counts: list[int]) -> float:
        points = []
        for count in counts:
            some = [frechet(x[rng.permutation(len(x))[:count]], y[rng.permutation(len(y))[:count]]) for _ in range(8)]
            points.append((1.0 / count, float(np.mean(some))))
        at = np.array(points)
        return float(np.polyfit(at[:, 0], at[:, 1], 1)[1]) if len(points) > 1 else float(at[0, 1])

    half = len(a) // 2
    halves = sorted({max(count // 2, 4) for count in sizes})
    return line(a, b, sizes), line(a[:half], a[half:], [count for count in halves if count <= half] or [half])
