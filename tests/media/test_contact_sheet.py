"""Contact sheets and strips: every pixel of a chosen frame is on the page, in its place."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kinema.errors import InputError
from kinema.media.clip import Clip
from kinema.media.contact_sheet import GAP, LINE, contact_sheet, strip
from kinema.types import Frames


def numbered(frames: int, height: int = 20, width: int = 24) -> Frames:
    """Frame t is all of gray t + 1, but for one white corner pixel."""
    gray = np.arange(1, frames + 1, dtype=np.uint8)[:, None, None, None]
    film = np.broadcast_to(gray, (frames, height, width, 3)).copy()
    film[:, 0, 0] = 255
    return film


def test_a_sheet_shows_evenly_spaced_frames_pixel_for_pixel() -> None:
    film = numbered(9)
    page = np.asarray(contact_sheet([film], columns=3, scale=3))
    assert page.shape == (LINE + 60, 3 * 72 + 2 * GAP, 3)
    for column, index in enumerate((0, 4, 8)):
        left = column * (72 + GAP)
        shown = page[LINE:, left : left + 72]
        assert np.array_equal(shown[::3, ::3], film[index]) and np.array_equal(shown[2::3, 2::3], film[index])


def test_rows_may_differ_in_size_and_length() -> None:
    page = np.asarray(contact_sheet([numbered(1), Clip(frames=numbered(50, 40, 10), fps=8.0)], columns=4, scale=1))
    assert page.shape == (2 * LINE + 20 + 40 + GAP, 4 * 10 + 3 * GAP, 3)
    assert np.array_equal(page[-40:, -10:], numbered(50, 40, 10)[-1])


def test_captions_come_from_the_clips_and_stay_inside() -> None:
    clip = Clip(frames=numbered(8), fps=8.0, caption="ein roter Ball, 红球,\nrolls " + "very " * 200 + "far")
    page = np.asarray(contact_sheet([clip, numbered(8)], columns=4, scale=2))
    row = LINE + 40 + GAP
    assert page[:LINE].min() < 128, "the caption is written"
    assert page[row : row + LINE].min() == 255, "frames alone have none"
    assert np.array_equal(page[LINE : LINE + 40 : 2, 0:48:2], numbered(8)[0]), "a long caption does not run into the frames"
    assert np.array_equal(np.asarray(contact_sheet([numbered(2)], captions=["a"])), np.asarray(contact_sheet([
        Clip(frames=numbered(2), fps=8.0, caption="a")])))  # fmt: skip


def test_a_strip_is_aligned_in_time() -> None:
    truth, rollout = numbered(9), numbered(5)
    page = np.asarray(strip({"truth": truth, "rollout": rollout}, columns=3, scale=2))
    margin = page.shape[1] - (3 * 48 + 2 * GAP)
    assert margin > 10 and page[LINE:, :margin].min() < 128, "labels stand on the left"
    for row, film in enumerate((truth, rollout)):
        top = LINE + row * (40 + GAP)
        for column, index in enumerate((0, 4, 8)):
            shown = page[top : top + 40 : 2, margin + column * (48 + GAP) :][:, :48:2]
            if index < len(film):
                assert np.array_equal(shown, film[index])
            else:
                assert np.unique(shown).tolist() == [0xDD], "the row has ended"


def test_errors_say_the_mend() -> None:
    for make in (lambda: contact_sheet([]), lambda: strip({})):
        with pytest.raises(InputError, match="at least one"):
            make()
    with pytest.raises(InputError, match="1 captions for 2 clips"):
        contact_sheet([numbered(2), numbered(2)], captions=["a"])
    with pytest.raises(InputError, match="1 or more"):
        contact_sheet([numbered(2)], columns=0)
    with pytest.raises(InputError, match="expected uint8"):
        contact_sheet([numbered(2)[0]])
    with pytest.raises(InputError, match=r"24x20, 24x40.*fit"):
        strip({"a": numbered(2), "b": numbered(2, 40)})
    with pytest.raises(InputError, match=r"8, 16 fps.*resample"):
        strip({"a": Clip(frames=numbered(2), fps=8.0), "b": Clip(frames=numbered(2), fps=16.0)})


def test_media_is_light() -> None:
    code = "import sys, kinema.media, kinema.media.contact_sheet; print([m for m in ('torch', 'av', 'pymunk') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
