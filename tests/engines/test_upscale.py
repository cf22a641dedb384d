"""A clip shown larger: by an upscaler, by an edit that keeps most of it, and from its state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import make_scene
from tests.engines.conftest import noise

import kinema
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.registry import ModelEntry
from kinema.errors import InputError, ModelError, SizeError
from kinema.media import Clip, Sound

Engines = Callable[[str], DiffusersEngine]


def sounding(frames: int, fps: float) -> Clip:
    samples = np.arange(48_000, dtype=np.int16)[:, None]
    return replace(noise(frames, fps), sound=Sound(samples=samples, rate=48_000), state=make_scene(frames))


@pytest.mark.parametrize("name", ["ltx-upscaler", "ltx2-upscaler"])
def test_an_upscaler_works_in_parts_and_keeps_sound_and_state(engine_of: Engines, name: str) -> None:
    """11 frames at another rate, in parts of 9 at most."""
    usual = engine_of(name)
    engine = DiffusersEngine(usual.entry, device="cpu")
    engine.family = replace(usual.family, frames=replace(usual.family.frames, most=9))
    clip = sounding(11, usual.family.fps)
    made = kinema.upscale(clip, model=engine)
    assert (made.num_frames, made.fps, made.size) == (11, clip.fps, "64x64")
    assert made.sound is clip.sound and made.state is clip.state and made.settings["layout"] == "upscale"
    odd = kinema.upscale(noise(5, 10.0, (50, 38)), size="90x70", model=engine)
    assert (odd.num_frames, odd.fps, odd.size) == (5, 10.0, "90x70")


def test_an_edit_draws_the_enlarged_clip_finer(engine_of: Engines) -> None:
    """The lower the strength, the more of it stays."""
    clip = kinema.render(make_scene(5), size="64x64").fit(32, 32)
    larger = clip.fit(64, 64).frames.astype(int)
    off = []
    for strength in (0.2, 0.9):
        made = kinema.upscale(replace(clip, caption="a red ball"), model=engine_of("wan"), strength=strength, steps=5)
        assert made.size == "64x64" and made.num_frames == 5 and made.state is None
        off.append(float(np.abs(made.frames - larger).mean()))
    assert off[0] < off[1]
    with pytest.raises(InputError, match=r"3 steps at strength 0\.3 change nothing: ask for at least 4 steps"):
        kinema.upscale(clip, model=engine_of("wan"), steps=3)


def test_a_kinema_model_renders_the_state_larger() -> None:
    clip = kinema.render(make_scene(4), size="64x64")
    made = kinema.upscale(clip)
    again = kinema.render(clip.state, size="128x128") if clip.state is not None else None
    assert again is not None and (made.frames == again.frames).all() and made.state is not None
    assert made.settings["layout"] == "upscale" and made.settings["scaled_from"] == "64x64"
    with pytest.raises(SizeError, match=r"expected a size larger than the clip's 64x64"):
        kinema.upscale(clip, size="64x64")


def test_what_cannot_be_is_one_line(engine_of: Engines) -> None:
    with pytest.raises(InputError, match=r"upscale to 32x20: expected a size larger than the film's 32x32"):
        kinema.upscale(noise(5), size="32x20", model=engine_of("ltx-upscaler"))
    with pytest.raises(InputError, match="svd cannot do 'upscale'"):
        kinema.upscale(noise(5), model=engine_of("svd"))
    folder = engine_of("animatediff-control").entry.source
    with pytest.raises(ModelError, match="say which it was trained on, --control"):
        _ = DiffusersEngine(ModelEntry(name="steered", source=folder), device="cpu").capabilities
    with pytest.raises(InputError, match=r"control 'pose' of steered: expected coarse, depth, segments, edges"):
        ModelEntry(name="steered", source=folder, controls=("pose",))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["animatediff-control", "cosmos-transfer", "ltx2"])
def test_what_steers_a_model_is_what_its_entry_says(engine_of: Engines, name: str) -> None:
    """A ControlNet, Cosmos Transfer and an in-context LoRA paint by the state's drawing, which is what changes the film."""
    engine = engine_of(name)
    assert engine.capabilities.controls == engine.entry.controls and "restyle" in engine.capabilities.workflows
    scene, size = make_scene(5), "64x64" if name == "ltx2" else "32x32"
    film = kinema.restyle(scene, "a bowling alley", model=engine, size=size, steps=2, seed=1)
    moved = kinema.restyle(replace(scene, x=scene.x + 2), "a bowling alley", model=engine, size=size, steps=2, seed=1)
    assert film.settings["control"] == engine.entry.controls[0] and film.state is not None
    assert (film.frames != moved.frames).any()
    with pytest.raises(InputError, match="control 'coarse'"):
        kinema.restyle(scene, "x", model=engine, control="coarse")
