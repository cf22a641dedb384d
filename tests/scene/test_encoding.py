"""Scenes coded as tracks come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinema.canvas.canvas import Canvas, blank
from kinema.errors import InputError
from kinema.playground import simulate, tiny
from kinema.scene.encoding import (
    Fields,
    decode_scene,
    encode_camera,
    encode_setting,
    encode_state,
    project_for_render,
    project_identity,
)
from kinema.scene.scene import Scene
from kinema.scene.schema import PLAYGROUND


def coded(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fields = Fields.of(scene)
    return (
        encode_state(fields)[0],
        encode_camera(fields.camera)[0],
        encode_setting(fields.view, fields.background, scene.num_frames)[0],
    )


@pytest.mark.parametrize("seed", range(8))
def test_scene_round_trip(seed: int) -> None:
    scene = simulate(tiny(), seed, num_frames=16).scene
    back = decode_scene(*coded(scene), fps=scene.fps)
    assert (back.view, back.background) == (scene.view, scene.background)
    assert np.array_equal(back.kind, scene.kind)
    for k in scene.entities:
        assert back.name(k) == scene.name(k)
        np.testing.assert_allclose(back.x[:, k], scene.x[:, k], atol=1e-4)
        np.testing.assert_allclose(back.vy[:, k], scene.vy[:, k], atol=1e-4)
        np.testing.assert_allclose(back.size[k], scene.size[k], atol=1e-4)
    np.testing.assert_allclose(back.camera, scene.camera, atol=1e-4)


def test_equal_pictures_have_one_code() -> None:
    """A box turned by a quarter looks the same, so it is coded the same."""
    scene = simulate(tiny(), 3, num_frames=4).scene
    kind = np.array([1, -1, -1, -1], np.int8)
    a = Scene(**{**scene.__dict__, "kind": kind, "angle": np.full_like(scene.angle, 0.3)})
    b = Scene(**{**scene.__dict__, "kind": kind, "angle": np.full_like(scene.angle, 0.3 + np.pi / 2)})
    np.testing.assert_allclose(coded(a)[0], coded(b)[0], atol=1e-5)


def test_json_round_trip_and_errors() -> None:
    scene = simulate(tiny(), 5, num_frames=6).scene
    back = Scene.from_json(scene.to_json())
    np.testing.assert_allclose(back.x[:, back.entities], scene.x[:, scene.entities], atol=1e-3)
    with pytest.raises(InputError, match="no field"):
        Scene.from_json('{"format": 1}')
    with pytest.raises(InputError, match="format 9"):
        Scene.from_json('{"format": 9}')
    with pytest.raises(InputError, match="not a state file"):
        Scene.from_json("{")


def test_canvas_refuses_levels_of_another_shape() -> None:
    good = blank(batch=1, frames=3, fps=16.0, slots=2)
    assert good.values["state"].shape == (1, 3, 2, PLAYGROUND.features)
    bad = {**good.levels, "camera": good.levels["camera"][:, :2]}
    with pytest.raises(InputError, match="camera"):
        Canvas(time_s=good.time_s, values=good.values, levels=bad)


def test_identity_is_settled_once_and_exactly() -> None:
    scene = simulate(tiny(), 2, num_frames=12).scene
    state = torch.from_numpy(encode_state(Fields.of(scene)))
    blurred = state + 0.4 * torch.randn(state.shape, generator=torch.Generator().manual_seed(0))
    settled = project_identity(blurred, PLAYGROUND)
    width = PLAYGROUND.slice("size").start
    torch.testing.assert_close(settled[..., :width], state[..., :width])
    assert (settled[..., :width] == settled[:, :1, :, :width]).all()
    empty = state[..., 0] < 0
    assert (settled[empty][:, 1:] == 0).all()


def test_looks_are_settled_and_stay_settled() -> None:
    """A shortened arrow becomes a turn, what is never seen turned has none, and a settled state is left as it is."""
    scene = simulate(tiny(), 3, fps=16.0, num_frames=4).scene
    state = torch.from_numpy(encode_state(Fields.of(scene)))[0]
    assert torch.allclose(project_for_render(state, PLAYGROUND), state, atol=1e-5)
    faint = state.clone()
    faint[..., PLAYGROUND.slice("angle")] *= 0.3
    faint[..., PLAYGROUND.slice("visible")] += 0.5
    settled = project_for_render(faint, PLAYGROUND)
    exists = state[..., 0] > 0
    assert torch.allclose(
        settled[exists][..., PLAYGROUND.slice("angle")], state[exists][..., PLAYGROUND.slice("angle")], atol=1e-4
    )
    assert float(settled[..., PLAYGROUND.slice("visible")].max()) <= 1.0


def test_a_turn_hardly_known_is_that_of_the_nearest_frame() -> None:
    """An arrow near zero points anywhere: what is drawn by it would flip for a frame."""
    scene = simulate(tiny(), 3, fps=16.0, num_frames=6).scene
    state = torch.from_numpy(encode_state(Fields.of(scene)))[0]
    turn = PLAYGROUND.slice("angle")
    lost = state.clone()
    lost[2:4, :, turn] *= -0.05
    settled = project_for_render(lost, PLAYGROUND)
    exists = state[0, :, 0] > 0
    assert torch.allclose(settled[2, exists][:, turn], project_for_render(state, PLAYGROUND)[1, exists][:, turn], atol=1e-5)
    assert torch.allclose(settled[3, exists][:, turn], project_for_render(state, PLAYGROUND)[4, exists][:, turn], atol=1e-5)
