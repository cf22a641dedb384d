"""Tiny models of open families, made once, and engines of them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.registry import ModelEntry
from kinema.media import Clip
from kinema.playground.controls import Control

for package in ("diffusers", "transformers"):
    logging: Any = importlib.import_module(f"{package}.utils.logging")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, by its name."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make_tiny(name, tmp_path_factory.mktemp(name, numbered=False))
        return made[name]

    return folder


class Guardrail:
    """In place of `cosmos_guardrail`, a package of several GB of weights: it lets everything through."""

    def to(self, device: Any) -> None:
        """It has no weights to move."""

    def check_text_safety(self, prompt: str) -> bool:
        """Whether a prompt is safe."""
        return True

    def check_video_safety(self, frames: Any) -> Any:
        """Frames with what must not be shown hidden."""
        return frames


COSMOS = {
    "cosmos1": "cosmos_text2world",
    "cosmos1-image": "cosmos_video2world",
    "cosmos2-image": "cosmos2_video2world",
    "cosmos25": "cosmos2_5_predict",
    "cosmos-transfer": "cosmos2_5_transfer",
}
"""Tiny models whose pipelines make a guardrail, and the modules of these."""
STEERED: dict[str, tuple[Control, ...]] = {
    "animatediff-control": ("depth",),
    "cosmos-transfer": ("edges",),
    "ltx2": ("depth", "edges"),
}
"""What steers the tiny models for which somebody must say it."""


class _Transforms:
    """In place of torchvision, which Cosmos' ControlNet makes its mask of padding smaller with."""

    InterpolationMode = SimpleNamespace(NEAREST="nearest")
    functional = SimpleNamespace(
        resize=lambda mask, size, interpolation: torch.nn.functional.interpolate(mask, size, mode=interpolation)
    )


GUARDRAILS: dict[str, Any] = {}
"""What diffusers itself makes, by the tiny models for which it has a stand-in."""


def cosmos_module(name: str) -> Any:
    """The module of a Cosmos pipeline."""
    return importlib.import_module(f"diffusers.pipelines.cosmos.pipeline_{COSMOS[name]}")


@pytest.fixture(scope="session")
def session_patch() -> Iterator[pytest.MonkeyPatch]:
    """Undone at the end of the session."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def engine_of(tiny: Callable[[str], Path], session_patch: pytest.MonkeyPatch) -> Callable[[str], DiffusersEngine]:
    """An engine of a tiny model, by its name; it stays loaded. Cosmos has a stand-in for its guardrail."""
    made: dict[str, DiffusersEngine] = {}

    def engine(name: str) -> DiffusersEngine:
        if name not in made:
            if name in COSMOS:
                GUARDRAILS[name] = cosmos_module(name).CosmosSafetyChecker
                session_patch.setattr(cosmos_module(name), "CosmosSafetyChecker", Guardrail)
            if name == "cosmos-transfer" and importlib.util.find_spec("torchvision") is None:
                steering: Any = importlib.import_module("diffusers.models.controlnets.controlnet_cosmos")
                session_patch.setattr(steering, "transforms", _Transforms, raising=False)
            entry = ModelEntry(name=name, source=str(tiny(name)), controls=STEERED.get(name, ()))
            made[name] = DiffusersEngine(entry, device="cpu")
        return made[name]

    return engine


def noise(frames: int = 1, fps: float = 16.0, size: tuple[int, int] = (32, 32), seed: int = 0) -> Clip:
    """A clip of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, size[1], size[0], 3), np.uint8)
    return Clip(frames=pixels, fps=fps)
