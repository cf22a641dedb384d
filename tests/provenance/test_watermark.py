"""Laws of the invisible mark: seen by nobody, read from changed copies, never read where it is not."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kinema.errors import InputError
from kinema.media import Clip
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.provenance import PUBLIC_KEY, detect, detect_unchanged, label, mark
from kinema.provenance.code import CODED_BITS, decode_id, encode_id

Frames = NDArray[np.uint8]
ID = 0xC0FFEE1234


@pytest.fixture(scope="module")
def clip() -> Frames:
    return render_scene(simulate(tiny(), 77, fps=16.0, num_frames=64).scene, height=64, width=64)


@pytest.fixture(scope="module")
def marked(clip: Frames) -> Frames:
    return mark(clip, ID)


def h264(frames: Frames, crf: int = 23) -> Frames:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=16, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def resized(frames: Frames, side: int) -> Frames:
    return np.stack([np.asarray(Image.fromarray(frame).resize((side, side))) for frame in frames])


def psnr(a: Frames, b: Frames) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((a.astype(np.float32) - b) ** 2)))


def test_a_mark_stays_above_38_db_and_changes_no_brightness_on_the_whole(clip: Frames, marked: Frames) -> None:
    assert marked.dtype == np.uint8 and marked.shape == clip.shape
    assert psnr(marked, clip) >= 38.0
    assert abs(marked.mean() - clip.mean(dtype=np.float64)) < 1.0


def test_a_mark_in_a_flat_sky_is_a_gray_level_and_is_found() -> None:
    """45 dB of noise in colors that change by less than a level from pixel to pixel, in which every block would show."""
    down = np.linspace(0, 24, 128)[:, None, None]
    sky = np.repeat((np.array([110.0, 160.0, 220.0]) - down + np.zeros((128, 128, 3))).round().astype(np.uint8)[None], 32, 0)
    made = mark(sky, ID)
    assert psnr(made, sky) >= 44.0
    assert np.abs(made.astype(np.int16) - sky).max() <= 4
    found = detect(h264(made, 28))
    assert found is not None and found.id == ID


ATTACKS = {
    "H.264 CRF 28": lambda f: h264(f, 28),
    "half size, CRF 28": lambda f: h264(resized(f, 32), 28),
    "the middle half": lambda f: h264(f[:, 10:54, 10:54]),
    "half the width": lambda f: h264(f[:, :, 16:48]),
    "a crop off the grid": lambda f: h264(f[:, 3:51, 5:49]),
    "brightness": lambda f: h264((f * 0.8 + 25).astype(np.uint8)),
    "trimmed": lambda f: h264(f[19:], 28),
    "two thirds of the size": lambda f: h264(resized(f, 42)),
    "four times the size": lambda f: resized(f, 256)[:40],
    "half the rate": lambda f: h264(f[::2]),
    "double the rate": lambda f: h264(f.repeat(2, 0)),
    "mute colors": lambda f: np.repeat(np.asarray(f.mean(-1, keepdims=True), np.uint8), 3, -1),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_id_is_read_from_a_changed_copy(marked: Frames, attack: str) -> None:
    found = detect(ATTACKS[attack](marked))
    assert found is not None and found.id == ID
    assert found.score > 5 and 0.7 <= found.agreement <= 1


def test_frames_of_the_marked_size_are_searched_faster(clip: Frames, marked: Frames) -> None:
    """At one scale alone, that of the marked frames; a film of another size needs the whole search."""
    assert detect_unchanged(marked) == detect(marked) and detect_unchanged(clip) is None
    large = mark(np.repeat(np.repeat(clip[:16], 8, 1), 8, 2), ID)
    found = detect_unchanged(large)
    assert found is not None and (found.id, found.chip) == (ID, 16.0)
    half = h264(marked[:, ::2, ::2])
    assert detect(half) is not None and detect_unchanged(half) is None


def test_a_saved_clip_keeps_its_mark_and_all_that_is_known_of_it(clip: Frames, tmp_path: Path) -> None:
    before = Clip(frames=clip, fps=16.0, caption="a ball", settings={"seed": 3})
    after = Clip.open(replace(before, frames=mark(clip, ID)).save(tmp_path / "a.mp4"))
    found = detect(after.frames)
    assert found is not None and found.id == ID
    assert (after.fps, after.caption, after.settings) == (before.fps, before.caption, before.settings)


def test_nothing_is_found_where_there_is_no_mark_or_one_of_another_key(clip: Frames, marked: Frames) -> None:
    rng = np.random.default_rng(0)
    assert detect(clip) is None
    assert detect(marked, b"another key") is None
    assert detect(rng.integers(0, 256, (32, 64, 64, 3), dtype=np.uint8)) is None
    assert detect(np.zeros((16, 64, 64, 3), np.uint8)) is None
    for seed in range(5):
        assert detect(render_scene(simulate(tiny(), 500 + seed, fps=16.0, num_frames=32).scene, height=64, width=64)) is None


def test_the_same_key_and_id_make_the_same_mark_forever(clip: Frames) -> None:
    """Marks made by this version must be readable by every later one: if this fails, give the new pattern a new name."""
    from kinema.provenance.pattern import plan_of_key, tile_start

    made = plan_of_key(PUBLIC_KEY)
    assert made.sign[0, 0, :8].tolist() == SIGNS
    assert made.role[3, 5, :8].tolist() == ROLES
    assert tile_start(ID) == START
    assert np.flatnonzero(encode_id(ID) < 0)[:8].tolist() == ONES
    assert np.array_equal(mark(clip, ID), mark(clip, ID))


SIGNS = [1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0]
ROLES = [30, 114, 161, -1, -1, 63, -1, 116]
START = (10, 6, 15)
ONES = [0, 1, 2, 3, 6, 7, 10, 11]


def test_a_second_mark_lies_beside_the_first(clip: Frames, marked: Frames) -> None:
    found = detect(mark(marked, 7))
    assert found is not None and found.id in (7, ID)


def test_the_code_mends_a_tenth_of_its_bits_and_refuses_noise() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        value = int(rng.integers(1 << 40))
        evidence = encode_id(value) + rng.normal(0, 0.9, CODED_BITS).astype(np.float32)
        assert (evidence * encode_id(value) < 0).mean() > 0.06
        assert decode_id(evidence) == value
    assert all(decode_id(rng.normal(0, 1, CODED_BITS).astype(np.float32)) is None for _ in range(100))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 64, 64), (7, 31, 47), (9, 20, 300), (40, 6, 6)])
def test_what_is_too_small_or_short_is_marked_without_complaint(shape: tuple[int, int, int]) -> None:
    frames = np.full((*shape, 3), 128, np.uint8)
    assert mark(frames, ID).shape == frames.shape
    found = detect(mark(frames, ID))
    assert found is None or found.id == ID


def test_a_large_picture_carries_the_whole_id() -> None:
    """Pictures have no time to average over: smooth ones keep the id, through JPEG too; a busy one may lose it, never lie."""
    y, x = np.mgrid[:256, :256]
    picture = np.stack([60 + x // 3, 90 + y // 4, 120 + (x + y) // 8], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(mark(picture[None], ID)[0]).save(file, "JPEG", quality=85)
    found = detect(np.asarray(Image.open(file))[None])
    assert found is not None and found.id == ID


def test_wrong_ids_and_frames_are_refused_in_one_line(clip: Frames) -> None:
    for id in (-1, 1 << 40):
        with pytest.raises(InputError, match="40 bits"):
            mark(clip, id)
    with pytest.raises(InputError, match="expected uint8"):
        mark(clip[0], ID)


def test_a_label_is_seen_in_the_corner_and_nowhere_else(clip: Frames) -> None:
    shown = label(clip)
    changed = (shown != clip).any((0, 3))
    assert changed[-12:, -16:].any() and not changed[:-14].any() and not changed[:, :-20].any()
    assert np.ptp(shown[0, -10:, -12:].astype(int)) > 100
    with pytest.raises(InputError, match="no room"):
        label(clip[:, :4, :4])
