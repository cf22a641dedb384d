"""What a task of the arena is: items that can be asked one by one and kept, and a verdict over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kinema.evaluation.cases import Case
from kinema.evaluation.model_under_test import Evaluated
from kinema.statistics import bootstrap

Result = dict[str, Any]
SCALES = ("quick", "full")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure with its 95% interval where there is one."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """score: 0 for what needs no model, 1 for the truth; None where a task knows no such scale. curves: name to points."""

    score: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    metrics: tuple[Metric, ...] = ()
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    axes: tuple[str, str] = ("", "")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ArenaTask:
    """A family of tests.

    number: the tests that it answers. examples: at a scale ("quick" or "full"), in order, the first few of which pass the gate.
    evaluate: one model on one example, as plain JSON; `value` in it says how good it was, 0 to 1. aggregate: over the results of a
    model, beside those of the oracle (the floor of every error) where there are some. baselines: which must come out near 0.
    """

    name: str
    number: str
    title: str
    says: str
    examples: Callable[[str], list[str]]
    evaluate: Callable[[Evaluated, str], Result | None]
    aggregate: Callable[[Sequence[Result], Sequence[Result]], TaskResult]
    baselines: tuple[str, ...] = ()
    case: Callable[[str], Case] | None = None
    """The case of an item, where it is one that can be shown as a strip."""
    cases: Callable[[str], list[Case]] | None = None
    """All the cases of an item, where it has more than the one that is shown."""
    gate: int = 6
    """Items on which the truth and its round trip through the autoencoder must pass before a model is asked; 0: no gate."""


def mean_with_interval(results: Sequence[Result], key: str = "value") -> tuple[float, float, float]:
    """Mean of a key over items, with its interval."""
    values = np.array([float(result[key]) for result in results])
    low, high = bootstrap(len(values), lambda pick: float(values[pick].mean()))
    return float(values.mean()), low, high


def skill(
    results: Sequence[Result], oracle: Sequence[Result], *, error: str = "error", trivial: str = "trivial"
) -> tuple[float, float, float]:
    """(trivial - error) / (trivial - floor) of the means, clipped to 0 and 1: 0 is what the best trivial way gets, 1 what the
    truth gets by the same reading. `trivial` of an item is a dictionary, way to error; the best way is chosen over all items."""
    errors = np.array([float(result[error]) for result in results])
    names = sorted(results[0][trivial])
    off = np.array([[float(result[trivial][name]) for name in names] for result in results])
    least = float(np.mean([float(result[error]) for result in oracle])) if oracle else 0.0

    def of(pick: Any) -> float:
        best = float(off[pick].mean(0).min())
        return float(np.clip((best - errors[pick].mean()) / max(best - least, 1e-6), 0.0, 1.0))

    low, high = bootstrap(len(errors), of)
    return of(slice(None)), low, high
