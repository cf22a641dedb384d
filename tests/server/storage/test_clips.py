"""Stored clips come back as they were; large ones lie in a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.media import Clip, frame_buffer
from kinema.provenance import label, mark
from kinema.server.jobs.render import join_parts
from kinema.server.storage.clips import load_clip, save_clip

FRAMES = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), np.uint8)


def in_file(frames: np.ndarray) -> bool:
    owner: object = frames
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return not isinstance(owner, np.ndarray)


def test_large_clips_are_read_joined_and_marked_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Clip(frames=FRAMES, fps=16.0, caption="a ball")
    marked, labelled = mark(FRAMES, 7), label(FRAMES)
    save_clip(tmp_path / "a.npz", small)
    monkeypatch.setattr(frame_buffer, "HELD_BYTES", FRAMES.nbytes // 4)
    monkeypatch.setattr(frame_buffer, "LET_GO_BYTES", 3 * FRAMES[0].nbytes)
    stored = load_clip(tmp_path / "a.npz")
    assert np.array_equal(stored.frames, FRAMES) and (stored.caption, stored.fps) == ("a ball", 16.0)
    joined = join_parts([(stored, 0.0, 1.0), (stored, 1.0, 2.0)], size="48x32", fps=16.0)
    assert np.array_equal(joined.frames, FRAMES[:32])
    again = mark(stored.frames, 7), label(stored.frames)
    assert np.array_equal(again[0], marked) and np.array_equal(again[1], labelled)
    assert all(in_file(frames) for frames in (stored.frames, joined.frames, *again))


@pytest.mark.parametrize("frames", [FRAMES.astype(np.int16), FRAMES[0], FRAMES[:0]])
def test_other_arrays_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", frames=frames, rest=np.frombuffer(b'{"state": null, "fps": 16}', np.uint8))
    with pytest.raises(ValueError, match=r"expected uint8 \[T, H, W, 3\]"):
        load_clip(tmp_path / "a.npz")


def test_cut_off_frames_are_refused(tmp_path: Path) -> None:
    save_clip(tmp_path / "a.npz", Clip(frames=FRAMES, fps=16.0))
    with zipfile.ZipFile(tmp_path / "a.npz") as whole, zipfile.ZipFile(tmp_path / "b.npz", "w") as cut:
        cut.writestr("rest.npy", whole.read("rest.npy"))
        cut.writestr("frames.npy", whole.read("frames.npy")[:-1])
    with pytest.raises(ValueError, match="bytes of a frame"):
        load_clip(tmp_path / "b.npz")
