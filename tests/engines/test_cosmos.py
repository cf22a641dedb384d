"""Cosmos: its guardrail is not left out, and a picture is the condition that its pipeline makes of one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.engines.conftest import COSMOS, GUARDRAILS, STEERED, Guardrail, cosmos_module, noise

from kinema.engines import FilmRequest
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError

Engines = Callable[[str], DiffusersEngine]
REQUEST = FilmRequest(workflow="image", prompt="A red ball rolls", seconds=5 / 16, size=(32, 32), steps=2, seed=3)


INSTALLED = importlib.util.find_spec("cosmos_guardrail") is not None


@pytest.mark.skipif(INSTALLED, reason="the package is installed")
@pytest.mark.parametrize("name", COSMOS)
def test_without_its_guardrail_a_model_does_not_film(
    tiny: Callable[[str], Path], engine_of: Engines, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it can do is known all the same; one line names the package."""
    engine_of(name)
    monkeypatch.setattr(cosmos_module(name), "CosmosSafetyChecker", GUARDRAILS[name])
    entry = ModelEntry(name=name, source=str(tiny(name)), controls=STEERED.get(name, ()))
    engine = DiffusersEngine(entry, device="cpu")
    workflow = engine.capabilities.workflows[0]
    with pytest.raises(EngineError, match="pip install cosmos_guardrail") as refused:
        engine.film(replace(REQUEST, workflow=workflow, pictures=((noise(), 0.0),), video=noise(5)))
    assert "\n" not in str(refused.value) and str(refused.value).startswith(f"{name} needs a package that is missing")


def test_what_the_guardrail_refuses_is_not_filmed(engine_of: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("cosmos25")
    monkeypatch.setattr(Guardrail, "check_text_safety", lambda *_: False)
    with pytest.raises(EngineError, match="unsafe text in the prompt: A red ball rolls") as refused:
        engine.film(replace(REQUEST, workflow="generate"))
    assert "\n" not in str(refused.value)


def test_the_guardrail_looks_at_the_film(engine_of: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is returned are the frames that it returned."""
    monkeypatch.setattr(Guardrail, "check_video_safety", lambda _, frames: np.full_like(frames, 51))
    for name in COSMOS:
        engine = engine_of(name)
        known = {"pictures": ((noise(), 0.0),), "video": noise(5)}
        (clip,) = engine.film(replace(REQUEST, workflow=engine.capabilities.workflows[0], **known))
        assert (clip.frames == 51).all()


def test_a_first_picture_is_the_condition_of_the_pipeline(engine_of: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """`image=` needs torchvision for one line of it, which is written out here; a video of one frame does not."""
    engine = engine_of("cosmos25")
    (clip,) = engine.film(replace(REQUEST, pictures=((noise(), 0.0),)))

    def to_tensor(picture: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255

    transforms = SimpleNamespace(functional=SimpleNamespace(to_tensor=to_tensor))
    monkeypatch.setattr(cosmos_module("cosmos25"), "torchvision", SimpleNamespace(transforms=transforms), raising=False)
    pipeline = engine._pipeline(engine.family.bases[engine.folder.base]["image"])
    asked = {
        "prompt": REQUEST.prompt, "height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "guidance_scale": 7.0,
        "output_type": "np",
    }  # fmt: skip
    made = pipeline(image=noise().picture(), generator=torch.Generator().manual_seed(3), **asked)
    assert (np.rint(255 * made.frames[0]).astype(np.uint8) == clip.frames).all()
    still = pipeline(video=[noise().picture()] * 5, generator=torch.Generator().manual_seed(3), **asked)
    assert (np.rint(255 * still.frames[0]).astype(np.uint8) != clip.frames).any()  # five known frames are another condition
