"""What steers another model lies where the renderer draws the things."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import make_scene

from kinema.errors import InputError
from kinema.playground.controls import CONTROLS, control_film
from kinema.playground.renderer import render_scene


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_is_a_film_of_the_scene(control: str) -> None:
    scene = make_scene(3)
    clip = control_film(scene, control, 96, 64)  # type: ignore[arg-type]
    assert (clip.size, clip.num_frames, clip.fps) == ("96x64", 3, scene.fps) and clip.state is scene
    assert len(np.unique(clip.frames)) > 1


def test_segments_are_the_things_that_the_picture_shows() -> None:
    scene = make_scene(2)
    numbers = control_film(scene, "segments", 64, 64).frames[..., 0]
    picture = render_scene(scene, height=64, width=64).astype(int)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 90) & (picture[..., 2] < 90)
    assert set(np.unique(numbers[red])) == {64} and (numbers[0] == 64).sum() > 50, "the ball is the first slot"
    assert {0, 64} < set(np.unique(numbers)) and len(np.unique(numbers)) == 4, "three things before the room"
    assert not (numbers[0] == numbers[1]).all(), "the ball rolls"


def test_depth_tells_things_wall_and_ground_apart() -> None:
    scene = make_scene(1)
    depth = control_film(scene, "depth", 64, 64).frames[0, ..., 0].astype(int)
    numbers = control_film(scene, "segments", 64, 64).frames[0, ..., 0]
    assert depth[numbers > 0].min() > depth[numbers == 0].max(), "things are nearer than the room"
    assert depth[0, 0] < depth[-1, 0], "the ground is nearer than the wall"


def test_edges_go_around_the_things() -> None:
    scene = make_scene(1)
    edges = control_film(scene, "edges", 64, 64).frames[0, ..., 0]
    numbers = control_film(scene, "segments", 64, 64).frames[0, ..., 0]
    assert set(np.unique(edges)) == {0, 255}
    inside = numbers == 64
    rows, columns = np.where(inside)
    assert edges[int(rows.mean()), int(columns.mean())] == 0, "not within a thing"
    assert 0 < (edges == 255).mean() < 0.2
    apart = np.zeros(numbers.shape, bool)
    apart[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    assert (edges[apart] == 255).all() and (edges[:, 1:][~apart[:, 1:]] == 255).any(), "beside, and above and below"
    apart[1:] |= numbers[1:] != numbers[:-1]
    assert np.array_equal(edges == 255, apart)


def test_another_control_is_refused() -> None:
    with pytest.raises(InputError, match="expected coarse, depth, segments, edges"):
        control_film(make_scene(1), "pose", 64, 64)  # type: ignore[arg-type]
