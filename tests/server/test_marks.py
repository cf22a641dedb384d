"""Published films carry a mark that can be read from the file, or say that they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from PIL import Image

from kinema.media import Clip
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.provenance import detect
from kinema.provenance.identity import own_identity
from kinema.server.jobs.publish import VIDEO, mark_of, write_film
from kinema.types import Frames

ID = f"video_{0xC0FFEE1234:010x}{0:014x}"


def scene(frames: int, side: int) -> Frames:
    return render_scene(simulate(tiny(), 77, fps=16.0, num_frames=frames).scene, height=side, width=side)


def restless() -> Frames:
    """Patches of all colors that pan by three pixels a frame: too much moves for a mark to stand out."""
    patches = np.random.default_rng(2).integers(0, 255, (9, 16, 3), np.uint8)
    wide = np.asarray(Image.fromarray(patches).resize((240, 144), Image.Resampling.BICUBIC))
    return np.stack([wide[20:116, 3 * i : 3 * i + 128] for i in range(32)])


def written(folder: Path, shown: Frames) -> tuple[bool, bool]:
    """What is said of a film, and whether its mark is read from the file."""
    me = own_identity(folder / "identity")
    made = write_film(folder, Clip(frames=shown, fps=16.0), video=ID, identity=me, visible=False, model="kinema-tiny")
    found = detect(Clip.open(folder / VIDEO).frames)
    return made.readable, found is not None and found.id == mark_of(ID)


@pytest.mark.parametrize(("frames", "side"), [(2, 48), (4, 64), (12, 64), (32, 64), (64, 48)])
def test_a_film_says_whether_its_mark_can_be_read(tmp_path: Path, frames: int, side: int) -> None:
    said, read = written(tmp_path, scene(frames, side))
    assert said == read
    assert said == {2: False, 32: True}.get(frames, said)


def test_a_long_film_in_which_the_mark_is_lost_says_so(tmp_path: Path) -> None:
    assert written(tmp_path, restless()) == (False, False)
