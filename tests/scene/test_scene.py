"""Scenes: laws of what is made of a scene without a model."""

from dataclasses import replace

import numpy as np
from tests.conftest import make_scene

from kinema.playground import simulate, tiny


def test_between_keeps_the_frames_that_there_are_and_moves_on_at_their_speed() -> None:
    scene = simulate(tiny(), 5, fps=16.0, num_frames=6).scene
    finer = scene.between(3, 17)
    assert (finer.num_frames, finer.fps) == (17, 48.0)
    np.testing.assert_allclose(finer.x[::3], scene.x)
    np.testing.assert_allclose(finer.y[4], scene.y[1] + scene.vy[1] / 48.0, atol=1e-5)


def test_a_frame_of_another_rate_is_the_latest_old_one() -> None:
    scene = simulate(tiny(), 5, fps=16.0, num_frames=6).scene
    for fps, frames in ((8.0, [0, 2, 4]), (32.0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]), (24.0, [0, 0, 1, 2, 2, 3, 4, 4, 5])):
        other = scene.resample(fps)
        assert other.fps == fps
        np.testing.assert_array_equal(other.x, scene.x[frames])
        np.testing.assert_array_equal(scene.resample(fps, last=2).camera, scene.camera[frames[-2:]])
    assert scene.resample(16.0) is scene and scene.resample(16.0, last=1).num_frames == 1


def test_a_crop_shows_the_share_of_a_thing_that_lies_inside() -> None:
    scene = make_scene(2)
    x = scene.x.copy()
    x[:, :3] = 10.0, 5.0, 10.0 - 0.5 * 0.85
    whole = replace(scene, x=x).cropped(1.0, 1.0)
    np.testing.assert_allclose(whole.visible[:, :3], [[0.5, 1.0, 0.75]] * 2, atol=1e-6)
    closer = replace(scene, x=x).cropped(1.0, 2.0)
    assert (closer.camera[:, 2] == 2.0).all() and (closer.visible[:, [0, 2]] == 0).all()
    narrow = scene.cropped(0.5, 1.0)
    shown = (2.0 + 0.85 - 2.5) / (2 * 0.85)
    np.testing.assert_allclose(narrow.visible[0, :3], [shown, 1.0, shown], atol=1e-6, err_msg="2.5 to 7.5 is shown")
