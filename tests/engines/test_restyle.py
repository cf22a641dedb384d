"""A state steers another model: the film is painted from it, and it stands beside the film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_scene

import kinema
from kinema.cli.state import read_state
from kinema.engines import FilmRequest, License
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.errors import InputError

Engines = Callable[[str], DiffusersEngine]


def test_a_state_is_painted_and_kept(engine_of: Engines) -> None:
    scene = make_scene(9)
    film = kinema.restyle(scene, "a bowling alley", model=engine_of("wan-vace"), size="32x32", steps=1, seed=1)
    assert (film.num_frames, film.size, film.fps) == (9, "32x32", 16.0)
    assert film.settings["control"] == "depth" and film.settings["layout"] == "restyle"
    assert film.state is not None and np.array_equal(film.state.x, scene.x)
    elsewhere = replace(scene, x=scene.x + 2)
    moved = kinema.restyle(elsewhere, "a bowling alley", model=engine_of("wan-vace"), size="32x32", steps=1, seed=1)
    assert not np.array_equal(moved.frames, film.frames), "what the model paints goes by the state"
    coarse = kinema.restyle(scene, "x", model=engine_of("wan"), size="32x32", steps=2, strength=0.5)
    assert coarse.settings["control"] == "coarse" and coarse.state is not None


def test_a_clip_brings_its_state(engine_of: Engines) -> None:
    clip = kinema.render(make_scene(5), size="64x64")
    film = kinema.restyle(clip, "snow", model=engine_of("wan-vace"), control="edges", size="32x32", steps=1)
    assert film.num_frames == 5 and film.state is not None


def test_branches_of_a_world_are_painted_each_with_its_state(engine_of: Engines, tmp_path: Path) -> None:
    """What differs in them differs in their films; a saved world gives the same one."""
    world = kinema.World(start="a red ball and a blue box", seed=3, size="64x64")
    world.step()
    other = world.branch()
    world.edit("make the box green")
    other.edit("add a yellow star")
    films = []
    for branch in (world, other):
        branch.step()
        film = kinema.restyle(branch, "snow", model=engine_of("wan-vace"), size="32x32", steps=1, seed=1)
        scene = branch.clip().state
        assert film.state is not None and scene is not None and film.num_frames == scene.num_frames
        assert [film.state.name(k) for k in film.state.entities] == [scene.name(k) for k in scene.entities]
        films.append(film)
    assert len(films[0].state.entities) != len(films[1].state.entities)  # type: ignore[union-attr]
    saved = world.save(tmp_path / "box.kinema")
    again = kinema.restyle(read_state(saved), "snow", model=engine_of("wan-vace"), size="32x32", steps=1, seed=1)
    assert (again.frames == films[0].frames).all()


def test_models_that_cannot_be_steered_are_refused(engine_of: Engines) -> None:
    with pytest.raises(InputError, match="kinema-tiny cannot be steered by a state"):
        kinema.restyle(make_scene(2), "snow", model="kinema-tiny")
    with pytest.raises(InputError, match="control 'segments': wan-vace can be steered by depth, edges, coarse"):
        kinema.restyle(make_scene(2), "snow", model=engine_of("wan-vace"), control="segments")


def test_settings_say_what_the_weights_are_and_whose(engine_of: Engines) -> None:
    """They go into the manifest of the film."""
    entry = replace(engine_of("wan").entry, weights_sha256="ab" * 32, license=License(name="apache-2.0", attribution="Wan"))
    film = DiffusersEngine(entry, device="cpu").film(
        FilmRequest(workflow="generate", prompt="x", seconds=0.2, size="36x32", fps=8.0, steps=1)
    )[0]
    named = {name: film.settings[name] for name in ("weights_sha256", "license", "attribution", "notes")}
    assert named == {
        "weights_sha256": "ab" * 32, "license": "apache-2.0", "attribution": "Wan",
        "notes": [
            "filmed at 48x32, shown at 36x32", "filmed in 5 frames (4k+1), 3 are kept",
            "filmed at 16 frames a second, shown at 8",
        ],
    }  # fmt: skip
