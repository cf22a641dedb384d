"""Films are compared by what they show: a part of a film is in it, and a film is not in a part of it."""

from __future__ import annotations

import numpy as np

from kinema.media.fingerprint import MOST_STORED, SIDE, same_content, small_copies


def moving(count: int) -> np.ndarray:
    """Pictures [T, 64, 64, 3] in which a bright block goes from place to place."""
    frames = np.full((count, 64, 64, 3), 30, np.uint8)
    for number in range(count):
        row, column = divmod(number, 8)
        frames[number, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 230
    return frames


def test_a_part_is_in_the_film_and_the_film_is_not_in_the_part() -> None:
    whole = moving(64)
    stored, part = small_copies(whole), small_copies(whole[20:30])
    assert same_content(part, stored) and same_content(stored, stored)
    assert not same_content(stored, part)
    assert not same_content(small_copies(255 - whole[20:30]), stored)


def test_copies_are_spread_evenly_and_bounded() -> None:
    copies = small_copies(moving(64), 4)
    assert copies.shape == (4, SIDE, SIDE, 3)
    assert np.array_equal(copies, small_copies(moving(64))[[0, 21, 42, 63]])
    assert len(small_copies(np.zeros((MOST_STORED + 20, 8, 8, 3), np.uint8))) == MOST_STORED
