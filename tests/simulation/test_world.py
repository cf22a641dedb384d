"""Laws of worlds: steps repeat, branches are free, the past returns, things persist, files resume bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import kinema
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.errors import InputError, OutputError, SizeError, VocabularyError
from kinema.inference.sampling import SamplingConfig
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.simulation import world as room
from kinema.simulation.world import World

MakeScene = Callable[..., Scene]


@pytest.fixture
def world(model: Model, scene: MakeScene) -> World:
    return World(model, scene(), seed=3)


def states(world: World) -> torch.Tensor:
    return torch.stack([m.tracks["state"] for m in world._frame_states])


def test_steps_repeat_and_things_persist(model: Model, world: World, scene: MakeScene) -> None:
    other = World(model, scene(), seed=3)
    for i in range(5):
        a, b = world.step((0.5, 0.0)), other.step((0.5, 0.0))
        assert np.array_equal(a.frame, b.frame) and a.reward == b.reward
        assert [e.name for e in a.state.entities] == ["red ball", "blue box", "green robot"], i
    assert a.frame.shape == (64, 64, 3) and a.frame.dtype == np.uint8
    assert torch.equal(states(world), states(other))
    assert world.time_s == pytest.approx(5 / 16) and world.past_frames == 8
    assert not torch.equal(states(world), states(World(model, scene(), seed=4)._advance(5, (0.5, 0.0))))


def test_a_branch_shares_the_past_and_not_the_future(world: World) -> None:
    world._advance(3)
    before = states(world)
    other = world.branch()
    other._advance(4, (1.0, 0.0))
    other.edit("remove the ball")
    assert torch.equal(states(world), before)
    assert len(world.state.entities) == 3 and len(other.state.entities) == 2
    world._advance(2)
    assert torch.equal(states(world)[: len(before)], before)


def test_rewinding_and_going_on_is_as_if_never_gone(world: World) -> None:
    world._advance(8, (0.3, 0.0))
    after = states(world)
    world.rewind(5)._advance(5, (0.3, 0.0))
    assert torch.equal(states(world), after)
    with pytest.raises(InputError, match="expected 0 to"):
        world.rewind(1000)


def test_rewinding_past_a_change_undoes_it(world: World) -> None:
    world._advance(4)
    before = states(world)
    world.edit("remove the ball")
    world._advance(2)
    assert [world.scene.name(k) for k in world.scene.entities] == ["blue box", "green robot"], "who is there now"
    other = world.branch().rewind(2)
    assert len(other.state.entities) == 2, "at the moment of the change it holds"
    world.rewind(3)
    assert torch.equal(states(world), before[:-1]) and len(world.state.entities) == 3
    assert len(other.state.entities) == 2


def test_a_dragged_thing_is_where_it_was_put_and_rewinding_puts_it_back(world: World) -> None:
    world._advance(3)
    before, box = states(world), next(e for e in world.state.entities if e.name == "blue box")
    assert world.move(box.slot, 7.5, 6.0) == "move the blue box to (7.5, 6.0)"
    moved = next(e for e in world.state.entities if e.name == "blue box")
    assert (moved.x, moved.y) == pytest.approx((7.5, 6.0), abs=1e-4) and len(world.state.entities) == 3
    with pytest.raises(InputError, match="slot 3 is empty"):
        world.move(3, 5.0, 5.0)
    with pytest.raises(InputError, match="outside the room"):
        world.move(box.slot, 11.0, 5.0)
    world._advance(1).rewind(2)
    assert torch.equal(states(world), before[:-1])


def test_saved_and_opened_it_goes_on_bit_for_bit(model: Model, world: World, tmp_path: Path) -> None:
    path = world._advance(3, (0.1, 0.2)).save(tmp_path / "room.kinema")
    other = World.open(path, model=model)
    assert torch.equal(states(other._advance(4)), states(world._advance(4)))
    saved = path.read_bytes()
    with pytest.raises(OutputError, match="exists; pass --force"):
        world.save(path)
    assert path.read_bytes() == saved and list(tmp_path.iterdir()) == [path]
    world.save(path, force=True)
    assert torch.equal(states(World.open(path, model=model)), states(world))
    assert world.save(tmp_path / "new" / "room.kinema").is_file()
    with pytest.raises(OutputError, match="is a folder"):
        world.save(tmp_path / "new", force=True)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a saved world"):
        World.open(path, model=model)
    with pytest.raises(InputError, match="no world at"):
        World.open(tmp_path / "none", model=model)


def test_a_saved_world_knows_in_which_frames_nobody_acted(model: Model, world: World, tmp_path: Path) -> None:
    world._advance(2, (0.1, 0.2))._advance(2)
    acted = [state.acted for state in world._frame_states]
    other = World.open(world.save(tmp_path / "room.kinema"), model=model)
    assert [state.acted for state in other._frame_states] == acted and True in acted and False in acted[:-1]


def test_options_and_strict_are_of_the_plan_of_the_first_frame(model: Model) -> None:
    words = "a red ball and a blue box"
    first = {
        (steps, guidance): World(
            model, words, options=SamplingConfig(num_plan_steps=steps, num_candidates=1, guidance_scale=guidance)
        ).scene.x
        for steps, guidance in ((2, 2.0), (3, 2.0), (2, 1.0))
    }
    assert not np.array_equal(first[2, 2.0], first[3, 2.0]) and not np.array_equal(first[2, 2.0], first[2, 1.0])
    assert np.array_equal(
        first[2, 2.0], World(model, words, options=SamplingConfig(num_plan_steps=2, num_candidates=1), strict=True).scene.x
    )
    with pytest.raises(VocabularyError, match="does not know 'dragon'"):
        World(model, "a red dragon", strict=True)


@pytest.mark.parametrize("fps", [7.9, 33.0])
def test_a_rate_that_the_model_does_not_step_at_has_its_mend(model: Model, fps: float) -> None:
    message = rf"^{fps:g} frames a second: untrained steps at 8 to 32; pass fps=16 \(--fps 16\)$"
    with pytest.raises(SizeError, match=message):
        World(model, "a red ball", fps=fps)
    with pytest.raises(SizeError, match=message):
        ImaginedVectorEnv(1, model=model, fps=fps)
    slow = Model(replace(model.config, fps=(4.0, 10.0)), model.denoiser, model.autoencoder)
    with pytest.raises(SizeError, match=r"steps at 4 to 10; pass fps=10 \(--fps 10\)$"):
        World(slow, "a red ball")


def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RETAINED_S", 5.0)
    monkeypatch.setattr(room, "REWOUND", 8)
    world._advance(90)
    assert len(world._frame_states) == 80
    assert sum(m.kv is not None for m in world._frame_states) == room.WINDOW + 8 - 1
    before = states(world)
    world.rewind(40)
    assert torch.equal(states(world), before[:40])
    world.step()


def test_one_cause_changed(world: World) -> None:
    world._advance(6, (1.0, 0.0))
    both = world.what_if("the ball had not been pushed", since=6)
    assert both.understood == "stop the red ball"
    assert both.happened.num_frames == both.instead.num_frames == 7
    assert both.happened.state is not None and both.instead.state is not None
    assert np.array_equal(both.happened.state.x[-1], world.scene.x[-1])
    assert both.instead.state.vx[0, 0] == 0.0 != both.happened.state.vx[0, 0]
    same = world.what_if("the robot had been plain", since=6)
    np.testing.assert_allclose(same.instead.state.x, same.happened.state.x, atol=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "action", [(2.0, 0.0), (float("nan"), 0.0), (0.0,), "left", (0.0, 0.0, 0.0), (True, False), ("1", "0")]
)
def test_a_bad_action_is_named_and_the_world_is_as_it_was(world: World, action: object) -> None:
    before = states(world)
    with pytest.raises(InputError, match="expected two"):
        world.step(action)  # type: ignore[arg-type]
    assert torch.equal(states(world), before)


def test_a_world_from_words_and_from_pictures(model: Model, scene: MakeScene) -> None:
    words = World(model, "a red ball and a blue box on a field", seed=1)
    assert words.step().frame.shape == (64, 64, 3)
    clip = kinema.render(scene(6), model=model, size=(64, 64))
    assert World(model, clip).past_frames == 5
    with pytest.raises(InputError, match="frames a second"):
        World(model, "", fps=500.0)
    with pytest.raises(InputError, match="is not understood"):
        World(model, "", task="make me a coffee")
    assert World(model, replace(scene(8), fps=32.0)).past_frames == 3, "a state at another rate is brought to this one"
    with pytest.raises(InputError, match="NaN"):
        replace(scene(), x=scene().x * np.nan)
