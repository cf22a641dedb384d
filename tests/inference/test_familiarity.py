"""What is foreign to a model is recognized, said, and not shown where a film would only jump away from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import kinema
from kinema.api import SamplingConfig
from kinema.inference import familiarity
from kinema.inference.canvas_io import resolve_model
from kinema.inference.familiarity import FOREIGN, is_foreign
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene

FAST = SamplingConfig(num_plan_steps=2, num_render_steps=1)


def drawn(seed: int, height: int = 64, width: int = 64) -> Clip:
    scene = simulate(tiny(), seed, fps=16.0, num_frames=3).scene
    return Clip(frames=render_scene(scene, height=height, width=width), fps=16.0, state=scene)


def text_card() -> Clip:
    picture = Image.new("RGB", (320, 180), "white")
    for line in range(6):
        ImageDraw.Draw(picture).text((20, 10 + 28 * line), "Quarterly figures and other matters", fill="black")
    return Clip(frames=np.asarray(picture)[None], fps=16.0)


def test_the_shipped_model_knows_its_world_and_nothing_else() -> None:
    model = resolve_model(None)
    for clip in (drawn(930_000_001), drawn(930_000_002, 128, 224)):
        assert not is_foreign(replace(clip, state=None), model)
    noise = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    assert is_foreign(Clip(frames=noise, fps=16.0), model) and is_foreign(text_card(), model)


def test_a_clip_with_a_state_is_known_and_models_that_are_not_measured_know_all(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_foreign(text_card(), model)
    monkeypatch.setitem(familiarity.THRESHOLDS, model.config.name, 0.0)
    assert is_foreign(text_card(), model) and not is_foreign(drawn(1), model)


def test_what_is_made_of_something_foreign_says_so(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(familiarity.THRESHOLDS, model.config.name, 0.0)
    clip = replace(drawn(1), state=None)
    made = [
        kinema.extend(clip, seconds=0.25, model=model),
        kinema.edit(clip, "a blue ball", model=model, options=FAST),
        kinema.blend(clip, clip, seconds=0.25, model=model, options=FAST),
        kinema.infill([(clip, 0.0), (drawn(2), 0.25)], model=model, options=FAST),
        kinema.interpolate(replace(clip, fps=8.0), fps=16.0, model=model, options=FAST),
    ]
    assert all("shows nothing that" in one.settings[FOREIGN] for one in made) and len(caplog.records) >= 5
    caplog.clear()
    kinema.perceive(clip, model=model)
    assert "shows nothing that" in caplog.text
    assert FOREIGN not in kinema.extend(drawn(1), seconds=0.25, model=model).settings


def test_a_film_with_a_prompt_leaves_foreign_pictures_out(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = replace(drawn(1).cut(slice(0, 1)), state=None)
    common = {"model": model, "seconds": 0.25, "size": "64x64", "options": FAST}
    monkeypatch.setitem(familiarity.THRESHOLDS, model.config.name, 0.0)
    without = kinema.generate("a red ball", image=picture, last=picture, pictures=[(picture, 0.1)], **common)[0]
    assert "does not show it" in without.settings[FOREIGN] and "pictures" not in without.settings
    assert np.array_equal(without.frames, kinema.generate("a red ball", **common)[0].frames)
    alone = kinema.generate("", image=picture, **common)[0]
    assert np.array_equal(alone.frames[0], picture.frames[0]), "without words the picture is all that there is"
    assert "shows nothing that" in alone.settings[FOREIGN]
    monkeypatch.delitem(familiarity.THRESHOLDS, model.config.name)
    shown = kinema.generate("a red ball", image=picture, **common)[0]
    assert np.array_equal(shown.frames[0], picture.frames[0]) and FOREIGN not in shown.settings


def test_it_is_said_before_anything_is_made(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the first step of the sampler the warning is there: for a film with a prompt, that the picture is left out."""
    monkeypatch.setitem(familiarity.THRESHOLDS, model.config.name, 0.0)
    clip = replace(drawn(1), state=None)
    said: list[str] = []

    def progress(stage: str, done: int, of: int) -> None:
        said.append(caplog.text)

    common = {"model": model, "options": FAST, "progress": progress}
    kinema.generate("a red ball", image=clip.cut(slice(1)), seconds=0.25, size="64x64", **common)
    assert "does not show it" in said[0]
    for make in (
        lambda: kinema.extend(clip, seconds=0.25, **common),
        lambda: kinema.edit(clip, "a blue ball", **common),
        lambda: kinema.interpolate(replace(clip, fps=8.0), fps=16.0, **common),
    ):
        said.clear()
        caplog.clear()
        make()
        assert "will look otherwise" in said[0]
