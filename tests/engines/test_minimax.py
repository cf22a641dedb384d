"""MiniMax-H3: film and sound of one network, at least five seconds of them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.conftest import noise

from kinema.engines import FilmRequest
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError

Engines = Callable[[str], DiffusersEngine]
REQUEST = FilmRequest(workflow="generate", prompt="A red ball rolls", size=(32, 32), steps=2, seed=3)


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the pipeline is given, call after call."""
    given: list[dict[str, Any]] = []
    kind = importlib.import_module("diffusers").MiniMaxH3ModularPipeline
    call = kind.__call__

    def kept(self: Any, *positional: Any, **named: Any) -> Any:
        given.append(named)
        return call(self, *positional, **named)

    monkeypatch.setattr(kind, "__call__", kept)
    return given


@pytest.mark.parametrize(("seconds", "filmed"), [(1.0, 124), (124 / 24, 124), (125 / 24, 141)])
def test_the_next_longer_film_is_cut(
    engine_of: Engines, arguments: list[dict[str, Any]], seconds: float, filmed: int
) -> None:
    """With its sound, which is stereo of 32 kHz."""
    wanted = round(seconds * 24)
    (clip,) = engine_of("minimax-h3").film(replace(REQUEST, seconds=seconds))
    assert [one["num_frames"] for one in arguments] == [filmed]
    assert clip.num_frames == wanted and clip.fps == 24
    notes = clip.settings.get("notes", [])
    assert notes == ([] if filmed == wanted else [f"filmed in {filmed} frames (17k+5), {wanted} are kept"])
    assert clip.sound is not None and (clip.sound.rate, clip.sound.channels) == (32_000, 2)
    assert clip.sound.duration_s == pytest.approx(clip.duration_s, abs=1 / 24)
    samples = clip.sound.samples.astype(np.int64)
    assert (samples[:, 0] != samples[:, 1]).any() and np.abs(samples).max() > 0


def test_pictures_are_keyframes_at_the_ends(engine_of: Engines, arguments: list[dict[str, Any]]) -> None:
    """Their order matters: the first is where the film begins."""
    engine, ends = engine_of("minimax-h3"), (noise(), noise(seed=1))
    (image,) = engine.film(replace(REQUEST, workflow="image", seconds=0.5, first=ends[0]))
    (both,) = engine.film(replace(REQUEST, workflow="first_last", seconds=124 / 24, first=ends[0], last=ends[1]))
    (turned,) = engine.film(replace(REQUEST, workflow="first_last", seconds=124 / 24, first=ends[1], last=ends[0]))
    given = [[one.get(name) for name in ("image", "last_image")] for one in arguments]
    pictures = [None if one is None else np.asarray(one) for pair in given for one in pair]
    known = [ends[0], None, ends[0], ends[1], ends[1], ends[0]]
    assert all((a is b is None) or (a == b.frames[0]).all() for a, b in zip(pictures, known, strict=True))
    assert image.num_frames == 12 and both.num_frames == turned.num_frames == 124
    assert (both.frames != turned.frames).any()


def test_longer_films_go_on_from_the_last_picture(engine_of: Engines, arguments: list[dict[str, Any]]) -> None:
    """More than 15 seconds in parts, the sound of one after that of the other."""
    able = engine_of("minimax-h3").capabilities
    assert able.frames.most == 345 and able.most_seconds is None
    made = DiffusersEngine(engine_of("minimax-h3").entry, device="cpu")
    made.family = replace(made.family, frames=replace(made.family.frames, most=124))
    (clip,) = made.film(replace(REQUEST, seconds=130 / 24))
    assert [(one["num_frames"], "image" in one) for one in arguments] == [(124, False), (124, True)]
    assert clip.num_frames == 130 and clip.sound is not None
    assert clip.sound.duration_s == pytest.approx(130 / 24, abs=1 / 24)


def test_a_component_that_cannot_be_loaded_is_named(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """Diffusers goes on without it."""
    folder = Path(shutil.copytree(tiny("minimax-h3"), tmp_path / "copy"))
    (weights,) = (folder / "audio_vae").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EngineError, match=r"^h3 failed: .*audio_vae") as refused:
        DiffusersEngine(ModelEntry(name="h3", source=str(folder)), device="cpu").film(REQUEST)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="the package is installed")
def test_without_torchvision_the_official_processor_is_not_loaded(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """The tiny model has another one; with the official one the missing package is named."""
    folder = Path(shutil.copytree(tiny("minimax-h3"), tmp_path / "copy"))
    index, config = folder / "modular_model_index.json", folder / "processor" / "processor_config.json"
    index.write_text(index.read_text().replace("ColQwen2Processor", "Qwen3VLProcessor"))
    halves = {"processor_class": "Qwen3VLProcessor", "video_processor": {"video_processor_type": "Qwen3VLVideoProcessor"}}
    config.write_text(json.dumps({**json.loads(config.read_text()), **halves}))
    with pytest.raises(EngineError, match=r"^h3 needs a package that is missing: .*Torchvision") as refused:
        DiffusersEngine(ModelEntry(name="h3", source=str(folder)), device="cpu").film(REQUEST)
    assert "\n" not in str(refused.value)
