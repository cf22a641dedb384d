"""Published films carry a mark that can be read from the file, or say that they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.media import Clip
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.provenance import detect
from kinema.provenance.identity import own_identity
from kinema.server.jobs.publish import VIDEO, mark_of, write_film

ID = f"video_{0xC0FFEE1234:010x}{0:014x}"


def written(folder: Path, frames: int, side: int) -> tuple[bool, bool]:
    """What is said of a film of that size, and whether its mark is read from the file."""
    scene = simulate(tiny(), 77, fps=16.0, num_frames=frames).scene
    clip = Clip(frames=render_scene(scene, height=side, width=side), fps=16.0)
    made = write_film(folder, clip, video=ID, identity=own_identity(folder / "identity"), visible=False, model="kinema-tiny")
    found = detect(Clip.open(folder / VIDEO).frames)
    return made.readable, found is not None and found.id == mark_of(ID)


@pytest.mark.parametrize(("frames", "side"), [(2, 48), (4, 64), (12, 64), (32, 64), (64, 48)])
def test_a_film_says_whether_its_mark_can_be_read(tmp_path: Path, frames: int, side: int) -> None:
    said, read = written(tmp_path, frames, side)
    assert said == read
    assert said == {2: False, 32: True}.get(frames, said)
