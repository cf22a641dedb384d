"""The thing that is acted with is found by its color, where it is looked for."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.recorded_worlds import ACTED

PADDLE = ACTED["ALE/Pong-v5"]


def drawn(row: int, column: int = 58) -> np.ndarray:
    """A picture [64, 64, 3] of a paddle of 5 x 2 pixels."""
    picture = np.full((64, 64, 3), (144, 72, 17), np.uint8)
    picture[row : row + 5, column : column + 2] = PADDLE.color
    return picture


def test_a_paddle_is_found_by_its_color_where_it_plays() -> None:
    found = PADDLE.places(np.stack([drawn(20), drawn(20, column=4), np.zeros((64, 64, 3), np.uint8)]))
    assert found[0] == pytest.approx([22.5 / 64, 59 / 64])
    assert np.isnan(found[1:]).all()


def test_the_share_in_place_counts_what_is_really_seen() -> None:
    """A paddle that is two rows off is in place, one that is six off or gone is not; where the truth shows none nothing counts."""
    truth = np.stack([drawn(20), drawn(20), drawn(20), drawn(20, column=4)])
    made = np.stack([drawn(22), drawn(26), drawn(20, column=4), drawn(20)])
    assert PADDLE.share_in_place(made, truth) == pytest.approx(1 / 3)
    assert np.isnan(PADDLE.share_in_place(made[3:], truth[3:]))
