"""Scenes: laws of what is made of a scene without a model."""

import numpy as np

from kinema.playground import simulate, tiny


def test_between_keeps_the_frames_that_there_are_and_moves_on_at_their_speed() -> None:
    scene = simulate(tiny(), 5, fps=16.0, num_frames=6).scene
    finer = scene.between(3, 17)
    assert (finer.num_frames, finer.fps) == (17, 48.0)
    np.testing.assert_allclose(finer.x[::3], scene.x)
    np.testing.assert_allclose(finer.y[4], scene.y[1] + scene.vy[1] / 48.0, atol=1e-5)
