"""Each measure says what it should of pictures made for it, whatever their size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tests.datasets.films import panning, scenery

from kinema.curation.decide import picture_hashes
from kinema.curation.measures import blur, camera_shift, luma_of, picture_box, shake, shift_between, text_share
from kinema.curation.shots import find_cuts
from kinema.media.fingerprint import small_copies

SIZES = [(96, 128), (270, 480), (360, 640)]


def blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def written(picture: np.ndarray, lines: int, size: int = 22) -> np.ndarray:
    shown = Image.fromarray(picture)
    draw = ImageDraw.Draw(shown)
    for line in range(lines):
        draw.text(
            (12, 12 + line * 1.5 * size),
            "Terms and conditions apply to this",
            fill="white",
            font=ImageFont.load_default(size),
        )
    return np.asarray(shown)


@pytest.mark.parametrize("side", [8, 40, 160])
def test_flat_drawings_are_sharp_until_they_are_blurred(side: int) -> None:
    """Games and screens: nearly all of the picture is of one color."""
    picture = np.full((270, 480, 3), 40, np.uint8)
    picture[60 : 60 + side, 100 : 100 + side] = (220, 60, 60)
    assert blur(luma_of(picture)) < 0.3 and blur(luma_of(blurred(picture, 6))) > 0.72
    assert blur(luma_of(np.full((270, 480, 3), 40, np.uint8))) == 1


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_blur_grows_with_blur_and_keeps_below_the_limit_for_sharp_pictures(height: int, width: int, seed: int) -> None:
    picture = scenery(seed, height, width)
    values = [blur(luma_of(picture)), *(blur(luma_of(blurred(picture, radius))) for radius in (1, 2, 4))]
    assert values == sorted(values) and values[0] < 0.5 and values[-1] > 0.72


def test_a_sharp_thing_before_a_soft_background_is_sharp() -> None:
    picture = blurred(scenery(0, 270, 480), 8)
    assert blur(luma_of(picture)) > 0.72
    picture = picture.copy()
    picture[60:200, 180:300] = scenery(1, 140, 120)
    assert blur(luma_of(picture)) < 0.6
    assert blur(np.full((90, 160), 128, np.float32)) == 1.0, "nothing is seen in it"


@pytest.mark.parametrize("seed", range(6))
def test_lines_of_text_are_text_and_scenery_is_none(seed: int) -> None:
    picture = scenery(seed, 360, 640)
    assert text_share(luma_of(picture)) < 0.01
    shares = [text_share(luma_of(written(picture, lines))) for lines in (1, 4, 9)]
    assert shares == sorted(shares) and shares[0] < 0.06 < shares[-1], "a subtitle is not heavy, a page of text is"


def test_stripes_and_checkers_are_no_text() -> None:
    y, x = np.mgrid[:360, :640]
    for pattern in (y // 8 % 2, x // 40 % 2):
        assert text_share((pattern * 255).astype(np.float32)) < 0.06


@pytest.mark.parametrize("move", [(0, 0), (3, 0), (0, -4), (-2, 5)])
def test_shifts_are_measured(move: tuple[int, int]) -> None:
    wide = luma_of(scenery(3, 96, 96))
    before = wide[16:64, 16:64]
    after = wide[16 - move[0] : 64 - move[0], 16 - move[1] : 64 - move[1]]
    shift = shift_between(before, after)
    assert shift is not None and np.allclose(shift, np.array(move) / 48, atol=0.01)
    noise = np.random.default_rng(0).normal(size=(2, 48, 48)).astype(np.float32)
    assert shift_between(noise[0], noise[1]) is None or max(map(abs, shift_between(noise[0], noise[1]) or ())) <= 0.5


def test_a_pan_is_steady_and_a_trembling_camera_is_not() -> None:
    even = np.full((40, 2), 0.02)
    slow = np.stack([np.linspace(0, 0.04, 40), np.zeros(40)], 1)
    trembling = np.random.default_rng(0).normal(0, 0.03, (40, 2))
    assert shake(even) < 0.01 and shake(slow) < 0.2 and shake(trembling) > 2
    gaps = np.where(np.arange(40)[:, None] % 7 == 0, np.nan, even)
    assert shake(gaps) < 0.01 and shake(np.full((40, 2), np.nan)) == 0.0
    jump = even.copy()
    jump[20] = 0.3
    assert shake(jump) < 0.1, "one jump makes no shaky camera"


def test_things_that_move_before_a_camera_at_rest_are_no_movement_of_the_camera() -> None:
    wide = luma_of(scenery(4, 120, 120))
    before, after = wide[12:108, 12:108], wide[10:106, 15:111]
    assert np.allclose(camera_shift(before, after) or (), (2 / 96, -3 / 96), atol=0.003)
    with_thing = [before.copy(), before.copy()]
    for frame, left in zip(with_thing, (30, 39), strict=True):
        frame[30:50, left : left + 20] = luma_of(scenery(5, 60, 60)[:20, :20])
    assert np.allclose(camera_shift(*with_thing) or (), (0, 0), atol=0.003)
    plain = [np.full((96, 96), 120, np.float32) for _ in range(2)]
    for frame, left in zip(plain, (30, 39), strict=True):
        frame[70:] = 60
        frame[30:50, left : left + 20] = luma_of(scenery(5, 60, 60)[:20, :20])
    assert camera_shift(*plain) is None, "before a plain wall a thing says nothing of the camera"
    assert camera_shift(before, luma_of(scenery(6, 96, 96))) is None, "two pictures of different things"


def test_black_bars_are_found_and_dark_pictures_are_left() -> None:
    bright, bars = np.full(90, 200, np.uint8), np.full(90, 200, np.uint8)
    bars[:12] = bars[-12:] = 17
    assert picture_box(bright, bright) == (0.0, 0.0, 1.0, 1.0)
    top, left, bottom, right = picture_box(bars, bright)
    assert (left, right) == (0.0, 1.0) and 12 / 90 <= top <= 14 / 90 and 76 / 90 <= bottom <= 78 / 90
    assert picture_box(np.full(90, 10, np.uint8), np.full(160, 10, np.uint8)) == (0.0, 0.0, 1.0, 1.0)
    lamp = np.full(90, 10, np.uint8)
    lamp[44:46] = 250
    assert picture_box(lamp, lamp) == (0.0, 0.0, 1.0, 1.0), "a light in the dark is no picture within bars"


def cuts_of(frames: np.ndarray) -> list[int]:
    """As a film's frames are measured: on small copies."""
    small = [np.asarray(Image.fromarray(frame).resize((64, 64), Image.Resampling.BOX)) for frame in frames]
    steps = [0.0, *(float(np.abs(after.astype(int) - before).mean()) for before, after in pairwise(small))]
    return find_cuts(steps, [np.asarray(Image.fromarray(one).convert("L").reduce(4)) for one in small])


def test_cuts_are_found_and_fast_movement_and_flashes_are_none() -> None:
    one, other = panning(0, 20, 180, 240, step_px=2).frames, panning(1, 20, 180, 240, step_px=2).frames
    assert cuts_of(np.concatenate([one, other])) == [20]
    assert cuts_of(np.concatenate([one[:9], other[:9], one[9:18]])) == [9, 18]
    assert cuts_of(panning(2, 40, 180, 240, step_px=25).frames) == []
    for first, last in ((10, 11), (10, 12), (0, 1)):
        flash = one.copy()
        flash[first:last] = np.minimum(flash[first:last].astype(int) + 120, 255)
        assert cuts_of(flash) == ([1] if first == 0 else [])


@pytest.mark.parametrize("color", [0, 255])
def test_a_fade_through_one_color_is_a_cut(color: int) -> None:
    one, other = panning(0, 20, 180, 240, step_px=2).frames, panning(1, 20, 180, 240, step_px=2).frames

    def faded(frames: np.ndarray, ramp: np.ndarray) -> np.ndarray:
        mixed = frames * ramp[:, None, None, None] + color * (1 - ramp[:, None, None, None])
        return np.asarray(mixed, np.uint8)

    out, into = faded(one[12:], np.linspace(1, 0, 8)), faded(other[:8], np.linspace(0, 1, 8))
    (cut,) = cuts_of(np.concatenate([one[:12], out, into, other[8:]]))
    assert abs(cut - 20) <= 2
    assert cuts_of(np.concatenate([one[:12], out])) == [], "a film that ends in one color"
    assert cuts_of(np.concatenate([into, other[8:]])) == [], "a film that begins in one"
    assert len(cuts_of(np.concatenate([one[:12], out, out[-1:], other]))) == 1, (
        "one that fades out, and jumps to what follows"
    )


def test_hashes_of_a_picture_saved_smaller_are_near_and_of_others_far() -> None:
    pictures = [scenery(seed, 180, 320) for seed in range(12)]
    hashes = picture_hashes(small_copies(np.stack(pictures)))
    smaller = picture_hashes(small_copies(np.stack([np.asarray(Image.fromarray(p).resize((200, 112))) for p in pictures])))
    apart = np.bitwise_count(hashes[:, None] ^ smaller[None])
    assert np.diag(apart).max() <= 6 and np.sort(apart[~np.eye(12, dtype=bool)])[0] > 10
