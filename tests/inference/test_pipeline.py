"""Between perceiving and planning."""

from __future__ import annotations

from dataclasses import replace

import torch

from kinema.canvas.canvas import blank
from kinema.inference.pipeline import ROUGHLY, _settled_camera, plan_state, propagate_identity
from kinema.inference.sampling import SamplingConfig
from kinema.models.hub import Model
from kinema.scene.schema import IDENTITY, PLAYGROUND


def test_who_was_seen_stays_and_empty_slots_stay_open() -> None:
    canvas = blank(batch=1, frames=4, fps=16.0, slots=3)
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    shown = torch.where(torch.arange(state.shape[-1]) % 3 == 0, 1.0, -1.0)
    state[:, 1, 0], state[:, 1, 1] = shown, -shown
    level[:, 1] = ROUGHLY
    level[:, 2, 0] = 0.0
    scene, scene_level = canvas.values["scene"].clone(), canvas.levels["scene"].clone()
    scene[:, 1], scene_level[:, 1] = 0.5, ROUGHLY
    done = propagate_identity(
        canvas.with_values({"state": state, "scene": scene}).with_levels({"state": level, "scene": scene_level})
    )
    for group in IDENTITY:
        columns = PLAYGROUND.slice(group)
        for t in (0, 3):
            assert torch.equal(done.values["state"][:, t, 0, columns], shown[columns][None])
            assert (done.levels["state"][:, t, 0, columns] == 0).all()
        assert (done.levels["state"][:, 0, 1:, columns] == 1).all(), "nothing was seen there"
        assert torch.equal(done.values["state"][:, 2, 0, columns], state[:, 2, 0, columns]), "what is known is not touched"
    assert (done.levels["state"][:, 0, 0, PLAYGROUND.slice("position")] == 1).all()
    assert (done.values["scene"] == 0.5).all() and (done.levels["scene"][:, 0] == 0).all()


def test_a_planned_scene_has_one_view_and_one_background(model: Model) -> None:
    """In every frame that reads the same words, whatever the network says of it; a known scene comes back as it was, and a scene
    that one frame shows is that of all."""
    options = SamplingConfig(num_plan_steps=2, num_candidates=1)
    canvas = blank(batch=2, frames=12, fps=8.0, slots=model.config.denoiser.slots)
    canvas = replace(canvas, text=model.condition([("a red ball", 0.0, 1e9)], canvas.time_s))
    scene = plan_state(model, canvas, options, [1, 2]).values["scene"]
    assert (scene.abs() == 1).all() and (scene == scene[:, :1]).all() and ((scene[..., 1:] > 0).sum(-1) == 1).all()
    known, level = torch.full_like(scene, 0.25), torch.zeros_like(canvas.levels["scene"])
    known_canvas = canvas.with_values({"scene": known}).with_levels({"scene": level})
    assert torch.equal(plan_state(model, known_canvas, options, [1, 2]).values["scene"], known)
    other_scene = -torch.ones_like(scene)
    other_scene[..., -1] = 1.0
    level = torch.ones_like(level)
    level[:, 5] = 0.0
    known_canvas = canvas.with_values({"scene": other_scene}).with_levels({"scene": level})
    assert torch.equal(plan_state(model, known_canvas, options, [1, 2]).values["scene"], other_scene)


def test_a_camera_that_is_nearly_at_rest_is_at_rest() -> None:
    blank_part = blank(batch=1, frames=3, fps=16.0, slots=2)
    near, far = torch.full((1, 3, 3), 0.1), torch.full((1, 3, 3), 0.1)
    far[0, 2, 0] = 0.4
    assert (_settled_camera(blank_part, near) == 0).all()
    assert (_settled_camera(blank_part, far) == far).all()
    known = blank_part.write("camera", slice(None), near)
    assert (_settled_camera(known, near) == near).all()
