"""A clip shown larger: by an upscaler, by an edit that keeps most of it, and from its state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.conftest import make_scene
from tests.engines.conftest import noise

import kinema
from kinema.engines import FilmRequest
from kinema.engines.compose import Parts, film_workflow
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.protocol import Capabilities, FilmPlan, FrameRule
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
    assert len({film.tobytes() for film in made.frames}) == 11, "no frame is shown twice"
    odd = kinema.upscale(noise(5, 10.0, (50, 38)), size="90x70", model=engine)
    assert (odd.num_frames, odd.fps, odd.size) == (5, 10.0, "90x70")


@pytest.mark.parametrize(("size", "fps", "wanted"), [
    ((33, 32), 16.0, None), ((80, 48), 60.0, None), ((100, 30), 8.0, None), ((64, 2), 25.0, None), ((40, 40), 12.0, (120, 60)),
])  # fmt: skip
def test_an_upscaler_shows_all_of_each_frame_where_it_was(
    size: tuple[int, int], fps: float, wanted: tuple[int, int] | None
) -> None:
    """With an upscaler that repeats each pixel four times: sides that it does not take are filled up and cut off again; a wanted
    shape is cut out of the middle, as a clip is fitted to it."""
    passes: list[tuple[int, ...]] = []

    def primitive(one: FilmRequest, plan: FilmPlan) -> Clip:
        assert one.video is not None
        passes.append((one.video.num_frames, *plan.size))
        frames = one.video.frames[: plan.frames]
        frames = np.concatenate([frames, np.repeat(frames[-1:], plan.frames - len(frames), 0)])
        return replace(one.video, frames=frames.repeat(2, 1).repeat(2, 2))

    able = Capabilities(
        model="larger", engine="test", family="test", workflows=("upscale",), size=(64, 64), fps=25.0, seconds=1.0,
        frames=FrameRule(step=8, offset=1, most=9), multiple=32,
    )  # fmt: skip
    clip = noise(20, fps, size)
    parts = Parts(capabilities=able, primitive=primitive, primitives=("upscale",))
    made = film_workflow(parts, FilmRequest(workflow="upscale", video=clip, size=wanted))
    assert all(frames <= 9 and not width % 32 and not height % 32 for frames, width, height in passes)
    assert made.fps == fps and made.num_frames == 20
    if wanted is None:
        assert (made.frames == clip.frames.repeat(2, 1).repeat(2, 2)).all()
    else:
        assert made.size == "120x60" and len(passes) == 2 * 3, "three times larger takes two passes of three parts"
        fitted = clip.fit(*wanted).frames.astype(int)
        assert abs(made.frames - fitted).mean() < 40, "the same part of each picture"


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


@pytest.mark.parametrize("name", ["ltx-upscaler", "kinema-tiny"])
def test_what_an_upscaler_does_not_use_is_refused(engine_of: Engines, name: str) -> None:
    """Else the film's settings would hold what it was not made with."""
    model = name if name == "kinema-tiny" else engine_of(name)
    clip = replace(noise(5, size=(64, 64)), caption="a red ball")
    more: dict[str, Any]
    for more in ({"prompt": "a blue ball"}, {"strength": 0.5}, {"guidance": 9.0}, {"steps": 7}):
        if name == "kinema-tiny" and "steps" in more:
            continue  # it looks for the state in so many
        with pytest.raises(InputError, match=rf"{name} takes no \w+ to upscale: leave (it|them) out"):
            kinema.upscale(clip, model=model, **more)
    if name != "kinema-tiny":
        made = kinema.upscale(clip, model=model)
        assert made.caption == made.settings["prompt"] == "a red ball"
        assert not {"steps", "guidance", "strength", "notes"} & made.settings.keys()


@pytest.mark.parametrize(("size", "notes"), [
    ("64x64", []), ("96x96", ["enlarged to 128x128, shown at 96x96"]),
    ("64x128", ["of what is given (32x32) 50% is cut away to the shape of 64x128"]),
])  # fmt: skip
def test_what_is_shown_otherwise_is_noted(engine_of: Engines, size: str, notes: list[str]) -> None:
    made = kinema.upscale(noise(5), size=size, model=engine_of("ltx-upscaler"))
    assert made.size == size and made.settings.get("notes", []) == notes


def test_what_cannot_be_is_one_line(engine_of: Engines) -> None:
    with pytest.raises(InputError, match=r"upscale to 32x20: expected a size larger than the film's 32x32"):
        kinema.upscale(noise(5), size="32x20", model=engine_of("ltx-upscaler"))
    for strength in (0.0, -1.0, 2.0, float("nan")):
        with pytest.raises(InputError, match=r"strength .*: expected above 0, up to 1"):
            kinema.upscale(noise(5), model=engine_of("wan"), strength=strength)
    with pytest.raises(SizeError, match="expected up to 16,777,216 pixels"):
        kinema.upscale(noise(5), model=engine_of("wan"), size="8000x8000")
    with pytest.raises(InputError, match="takes no strength to restyle"):
        kinema.restyle(make_scene(5), "x", model=engine_of("cosmos-transfer"), strength=0.5)
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
