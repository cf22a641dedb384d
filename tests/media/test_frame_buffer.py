"""Frames are held once, and only those that are wanted, at the size that is wanted."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.media.test_read import levels, write_video

import kinema
from kinema.api import SamplingConfig
from kinema.errors import MediaError
from kinema.inference import limits
from kinema.media import Clip, Limits, frame_buffer, read_clip
from kinema.media import video as reading_module
from kinema.media.frame_buffer import FrameBuffer, each, held
from kinema.media.wanted import LEAST_SIDE, Wanted
from kinema.models.hub import Model

FAST = SamplingConfig(num_plan_steps=1, num_render_steps=1, num_candidates=1)


@pytest.mark.parametrize(
    ("expected", "last", "held"), [(0, None, range(200)), (200, None, range(200)), (7, 5, range(195, 200))]
)
def test_frames_come_back_in_order(expected: int, last: int | None, held: range) -> None:
    buffer = FrameBuffer(expected, last)
    assert buffer.frame_shape is None and len(buffer) == 0
    for value in range(200):
        buffer.append(np.full((2, 3, 3), value, np.uint8))
    assert buffer.frame_shape == (2, 3, 3) and len(buffer) == len(held)
    assert buffer.take()[:, 0, 0, 0].tolist() == list(held) and len(buffer) == 0


def test_large_ones_lie_in_a_file_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_buffer, "HELD_BYTES", 1000)
    monkeypatch.setattr(frame_buffer, "LET_GO_BYTES", 100)
    given = np.arange(200 * 2 * 3 * 3).astype(np.uint8).reshape(200, 2, 3, 3)
    for count in (200, 3):
        frames = held(given, count)
        assert np.array_equal(frames, given) and not frames.base.flags.owndata, "grown or not"
    assert np.array_equal(list(each(frames)), given)
    assert np.array_equal(list(each(frames[7:], np.array([5, 2]))), given[[12, 9]])
    frames[3] = 9
    assert (held(each(frames), 200)[3] == 9).all(), "what is written stays, also after the memory was let go"


def test_pictures_are_shrunk_to_fit_but_stay_large_enough(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", levels(4, size=512))
    whole = Clip.open(path)
    fitted = Clip.open(path, within=whole.frames.nbytes // 4)
    assert fitted.size == "256x256" and fitted.source_size == "512x512" and fitted.num_frames == 4
    assert Clip.open(path, within=1000).size == f"{LEAST_SIDE}x{LEAST_SIDE}"
    assert Clip.open(path, within=1 << 40).size == "512x512"
    assert Clip.open(path, first=2, within=whole.frames.nbytes // 2).size == "512x512", "only what is wanted has to fit"
    assert Wanted(within=3 * 100 * 400).size(100, 400) == (100, 400), "small pictures stay as they are"


def test_too_long_a_film_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, shown = write_video(tmp_path / "a.mp4", levels(10)), []
    upright = reading_module.upright
    monkeypatch.setattr(reading_module, "upright", lambda *given: shown.append(1) or upright(*given))
    with pytest.raises(MediaError, match="more than the 4 frames"):
        read_clip(path, Limits(max_frames=20, max_bytes=4 * 16 * 16 * 3))
    assert len(shown) == 1, "by the first picture it is known how much memory all of them take"
    assert read_clip(path, Limits(max_bytes=4 * 16 * 16 * 3), Wanted(first=3)).num_frames == 3


def test_decoded_surfaces_are_let_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Python's garbage collector, which runs late: in 4K a hundred surfaces take more than a gigabyte."""
    path, alive, shown = write_video(tmp_path / "a.mp4", levels(40)), [], []
    upright = reading_module.upright

    def counting(*given: Any) -> Any:
        if len(shown) % 13 == 0:  # all objects are gone through, which takes a while
            alive.append(sum(type(one) is av.VideoFrame for one in gc.get_objects()))
        shown.append(1)
        return upright(*given)

    monkeypatch.setattr(reading_module, "upright", counting)
    gc.collect()
    gc.disable()
    try:
        Clip.open(path)
    finally:
        gc.enable()
    assert len(alive) == 4 and max(alive) < min(alive) + 10


def test_a_part_of_a_film_takes_the_room_of_that_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `verify` reads it: of a long film some seconds, whatever the file says of its length."""
    path, rooms = write_video(tmp_path / "a.mp4", levels(600)), []
    room = frame_buffer._room
    monkeypatch.setattr(frame_buffer, "_room", lambda shape: (rooms.append(shape[0]), room(shape))[1])
    part = read_clip(path, wanted=Wanted(max_bytes=100 * 16 * 16 * 3, sound=False))
    assert part.num_frames == 100 and max(rooms) <= 150


def test_large_films_have_few_decoder_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds surfaces of its own."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    counts = [reading_module._threads(*size) for size in ((320, 180), (1920, 1080), (3840, 2160), (16384, 8192))]
    assert counts[0] == 64 and counts == sorted(counts, reverse=True) and counts[-1] == 1
    assert all(3 * 1920 * 1080 * counts[1] <= most and 3 * 3840 * 2160 * counts[2] <= most for most in (128 << 20,))
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert reading_module._threads(0, 0) == 1


def test_what_a_model_reads_of_large_files(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A masked edit, a picture and a clip are shrunk while they are decoded; of a film given as a picture one frame is."""
    sizes: list[tuple[int, ...]] = []
    take = FrameBuffer.take
    monkeypatch.setattr(FrameBuffer, "take", lambda self: (frames := take(self), sizes.append(frames.shape))[0])
    film = write_video(tmp_path / "a.mp4", np.repeat(np.repeat(levels(3, size=30), 30, 1), 40, 2))
    mask = np.zeros((900, 1200, 3), np.uint8)
    mask[:, :600] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    most = 2 * model.config.max_side
    made = kinema.edit(film, "a red ball", mask=tmp_path / "mask.png", model=model, options=FAST)
    assert made.settings["scaled_from"] == "1200x900" and sizes[0] == (3, most * 3 // 4, most, 3)
    right = made.frames[:, :, made.frames.shape[2] // 2 + 1 :]
    given = limits.fit_to_model(model, Clip.open(film, longest=most)).frames
    assert np.array_equal(right, given[:, :, made.frames.shape[2] // 2 + 1 :]), "outside the mask nothing changes"
    sizes.clear()
    kinema.generate("a red ball", image=film, last=film, seconds=0.25, model=model, options=FAST)
    assert [shape for shape in sizes if shape[2] == most] == 2 * [(1, most * 3 // 4, most, 3)]
