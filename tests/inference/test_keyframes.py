"""Given pictures bring their state, and nobody joins them whom the prompt does not name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import kinema
from kinema.api import SamplingConfig
from kinema.canvas.canvas import Canvas, blank
from kinema.inference.keyframes import close_slots, count_new_objects, joining_texts, lay_scenes, named_objects
from kinema.inference.pipeline import ROUGHLY
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.playground.renderer import render_scene
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.scene.schema import PLAYGROUND

FAST = SamplingConfig(num_plan_steps=2, num_render_steps=1)
Make = Callable[..., Scene]


def film_of(scene: Scene) -> Clip:
    return Clip(frames=render_scene(scene, height=64, width=64), fps=scene.fps, state=scene)


def names(scene: Scene | None) -> list[str]:
    assert scene is not None
    return [scene.name(k) for k in scene.entities]


def canvas(frames: int = 6) -> Canvas:
    return blank(batch=1, frames=frames, fps=16.0, slots=4, grid=(4, 4))


def recolored(scene: Scene, slot: int, color: str) -> Scene:
    colors = scene.color.copy()
    colors[slot] = COLORS.index(color)
    return replace(scene, color=colors)


@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_film_keeps_who_is_in_its_picture(model: Model, scene: Make, tmp_path: Path, through_a_file: bool) -> None:
    """The model is untrained: pixels tell it nothing, so what it keeps it has from the state."""
    still = film_of(scene(1))
    if through_a_file:
        still = Clip.open(still.save(tmp_path / "still.png"))
    for given in ({"image": still}, {"last": still}, {"pictures": [(still, 0.25)]}):
        clip = kinema.generate("the red ball rolls", model=model, seconds=0.5, options=FAST, **given)[0]  # type: ignore[arg-type]
        assert names(clip.state) == names(still.state)
        assert clip.state is not None and still.state is not None
        assert clip.state.background == "lab" and (clip.state.material[:3] == still.state.material[:3]).all()
        np.testing.assert_allclose(clip.state.size, np.where(still.state.kind >= 0, 0.85, 0.0), atol=1e-3)
        at = 0 if "image" in given else 7 if "last" in given else 4
        np.testing.assert_allclose(clip.state.x[at, :3], still.state.x[0, :3], atol=1e-3)


def test_every_verb_takes_the_state_for_known(model: Model, scene: Make) -> None:
    clip = film_of(scene(20))
    start, end = (replace(clip, frames=clip.frames[i:][:1], state=clip.state.frames(slice(i, i + 1))) for i in (0, 19))  # type: ignore[union-attr]
    made = {
        "extend": kinema.extend(clip, "it stops", seconds=0.25, model=model, options=FAST),
        "before": kinema.extend(clip, seconds=0.25, before=True, model=model, options=FAST),
        "live": kinema.extend(clip, seconds=0.25, model=model),
        "infill": kinema.infill([(start, 0.0), (end, 0.5)], model=model, options=FAST),
        "interpolate": kinema.interpolate(clip, fps=32.0, model=model, options=FAST),
    }
    for verb, result in made.items():
        assert names(result.state) == names(clip.state), verb
        assert result.state is not None and result.state.num_frames == result.num_frames, verb
    known = scene(20)
    np.testing.assert_allclose(made["extend"].state.x[:20], known.x, atol=2e-3)  # type: ignore[union-attr]
    np.testing.assert_allclose(made["before"].state.x[-20:], known.x, atol=2e-3)  # type: ignore[union-attr]
    found = kinema.perceive(clip, model=model)
    np.testing.assert_allclose(found.x, known.x, atol=1e-3)
    np.testing.assert_allclose(found.vx, known.vx, atol=1e-3)
    world = kinema.World(model, clip)
    assert [entity.name for entity in world.state.entities] == names(clip.state)


def test_two_casts_become_one(scene: Make) -> None:
    """Things are the same if kind and color are; who is not shown at a keyframe is hidden there, and somewhere."""
    first, last = scene(1), recolored(scene(1), 1, "yellow")
    done = lay_scenes(canvas(), {0: first, 5: last})
    state, level = done.values["state"][0], done.levels["state"][0]
    kind, color = state[0, :, PLAYGROUND.slice("kind")].argmax(-1), state[0, :, PLAYGROUND.slice("color")].argmax(-1)
    assert [(COLORS[c], KINDS[k]) for k, c in zip(kind.tolist(), color.tolist(), strict=True)] == [
        ("red", "ball"), ("yellow", "box"), ("blue", "box"), ("green", "robot"),
    ]  # fmt: skip
    position, visible = PLAYGROUND.slice("position"), PLAYGROUND.slice("visible")
    assert (level[0, 1, position] == 1).all() and (level[0, 2, position] == 0).all() and (level[5, 1, position] == 0).all()
    assert (state[0, 1, visible] == -1).all() and (level[0, 1, visible] == 0).all() and (state[0, 2, visible] == 1).all()
    assert (level[1:5] == 1).all()


def test_speeds_are_known_only_between_neighbors(scene: Make) -> None:
    speed = PLAYGROUND.slice("velocity")
    two = scene(2)
    alone = lay_scenes(canvas(), {0: scene(1)})
    assert (alone.levels["state"][0, 0, :, speed] == 1).all() and (alone.levels["camera"][0, 0] == 0).all()
    pair = lay_scenes(canvas(), {i: two.frames(slice(i, i + 1)) for i in range(2)})
    assert (pair.levels["state"][0, :2] == 0).all()


def test_states_that_cannot_be_laid_leave_all_to_be_perceived(scene: Make, caplog: pytest.LogCaptureFixture) -> None:
    many = scene(1)
    other = replace(many, kind=np.array([4, 5, 6, 7], np.int8))
    for scenes in ({0: many, 5: None}, {0: many, 5: other}, {}):
        done = lay_scenes(canvas(), scenes)
        assert (done.levels["state"] == 1).all() and (done.levels["scene"] == 1).all()
    assert len(caplog.records) == 1


def test_a_state_of_another_length_is_not_used(model: Model, scene: Make, caplog: pytest.LogCaptureFixture) -> None:
    wrong = replace(film_of(scene(4)), state=scene(3))
    with caplog.at_level(logging.WARNING):
        found = kinema.perceive(wrong, model=model)
    assert found.num_frames == 4 and "3 frames, the clip 4" in caplog.text


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ("the ball rolls right", 0), ("a red ball hits a blue box", 0), ("", 0), ("the circle hits the square", 0),
        ("a red ball hits a yellow box", 1), ("a green star and a pink car", 2), ("two boxes", 1), ("three large blue boxes", 2),
        ("a red ball on a green field", 0), ("a screen", 1), ("red balls and a robot", 0),
    ],
)  # fmt: skip
def test_who_a_prompt_adds(prompt: str, count: int) -> None:
    cast = [
        (KINDS.index(kind), COLORS.index(color)) for color, kind in (("red", "ball"), ("blue", "box"), ("green", "robot"))
    ]
    named = named_objects(prompt)
    assert named is not None and count_new_objects(named, cast) == count


def test_what_joins_is_told_together_with_who_is_there(scene: Make) -> None:
    """The model reads a text as the whole cast, so what a prompt adds is told with what the pictures show."""
    known = lay_scenes(canvas(), dict.fromkeys((0,), scene(1)))
    texts = {
        prompt: joining_texts(known, [named_objects(prompt)], ROUGHLY)[0]
        for prompt in ("a red ball", "a green star", "a car")
    }
    there = "a red ball, a blue box, a green robot"
    assert texts == {"a red ball": "", "a green star": f"{there} and a green star", "a car": f"{there} and a car"}
    assert joining_texts(canvas(), [named_objects("a car")], ROUGHLY) == [""]


def test_only_who_is_named_may_join(scene: Make) -> None:
    laid = lay_scenes(canvas(), {2: scene(1)})
    exists, visible = 0, PLAYGROUND.slice("visible")
    closed = close_slots(laid, [named_objects("the red ball rolls")], ROUGHLY)
    assert (closed.values["state"][0, :, 3, exists] == -1).all() and (closed.levels["state"][0, :, 3] == 0).all()
    opened = close_slots(laid, [named_objects("a pink star falls")], ROUGHLY)
    assert (opened.levels["state"][0, :, 3, exists] == 1).all()
    assert (opened.values["state"][0, 2, 3, visible] == -1).all() and (opened.levels["state"][0, 2, 3, visible] == 0).all()
    for free in (close_slots(laid, [None], ROUGHLY), close_slots(laid, [named_objects("another ball")], ROUGHLY)):
        assert torch.equal(free.levels["state"], laid.levels["state"])
    blank_canvas = canvas()
    assert torch.equal(
        close_slots(blank_canvas, [named_objects("a ball")], ROUGHLY).levels["state"], blank_canvas.levels["state"]
    )


def test_nobody_joins_a_foreign_picture_unasked(model: Model) -> None:
    gray = Clip(frames=np.full((1, 64, 64, 3), 120, np.uint8), fps=16.0)
    seen = names(kinema.perceive(gray, model=model))
    clip = kinema.generate("it is snowing", model=model, seconds=0.5, image=gray, options=FAST)[0]
    assert names(clip.state) == seen
