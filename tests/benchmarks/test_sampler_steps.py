"""The measures by which films of several numbers of steps are compared: what is blurred is far from the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.sampler_steps import Moments, apart, frechet, with_interval

ALL = np.arange(32)


def films(seed: int) -> torch.Tensor:
    return torch.randn(32, 4, 3, 5, 6, generator=torch.Generator().manual_seed(seed))


def test_the_distance_of_gaussians_is_that_of_their_means_and_spreads() -> None:
    one, other = (np.zeros(2), np.eye(2)), (np.array([3.0, 0.0]), 4 * np.eye(2))
    assert frechet(one, one) == pytest.approx(0.0, abs=1e-9)
    assert frechet(one, other) == pytest.approx(9 + 2 * (2 - 1) ** 2)


def test_moments_of_films_together_are_those_of_all_their_cells() -> None:
    x = films(0)
    here = x[:, :-1, :, :, :-1].movedim(2, -1).reshape(-1, 3)
    mean, covariance = Moments.of(x).pooled(ALL)
    assert mean[:3] == pytest.approx(here.mean(0).numpy(), abs=1e-5)
    assert covariance[:3, :3] == pytest.approx(np.cov(here.numpy().T, bias=True), abs=1e-4)


def test_blur_is_far_from_the_truth_though_its_squared_error_is_less() -> None:
    truth, sharp, blurred = films(0), films(1), torch.zeros(32, 4, 3, 5, 6)
    far, near = (frechet(Moments.of(x).pooled(ALL), Moments.of(truth).pooled(ALL)) for x in (blurred, sharp))
    assert far > 10 * near
    assert (blurred - truth).square().mean() < (sharp - truth).square().mean()


def test_the_energy_score_is_least_for_films_as_varied_as_the_truth() -> None:
    """Half of two films' distance is taken off, so that neither one film again and again nor noise that is too wide is best."""

    def score(spread: float) -> float:
        one, two = spread * films(1), spread * films(2)
        return float((apart(one, films(0)) + apart(two, films(0)) - apart(one, two)).mean() / 2)

    assert score(1.0) < score(0.6) < score(0.0) and score(1.0) < score(1.6)


def test_an_interval_holds_its_value() -> None:
    values = np.arange(10.0)
    written = with_interval(lambda which: float(values[which].mean()), 10)
    value, low, high = (float(part.strip("[],")) for part in written.split())
    assert value == 4.5 and low < 4.5 < high
