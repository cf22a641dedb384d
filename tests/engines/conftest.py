"""Tiny models of open families, made once, and engines of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.registry import ModelEntry
from kinema.media import Clip

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


@pytest.fixture(scope="session")
def engine_of(tiny: Callable[[str], Path]) -> Callable[[str], DiffusersEngine]:
    """An engine of a tiny model, by its name; it stays loaded."""
    made: dict[str, DiffusersEngine] = {}

    def engine(name: str) -> DiffusersEngine:
        if name not in made:
            made[name] = DiffusersEngine(ModelEntry(name=name, source=str(tiny(name))), device="cpu")
        return made[name]

    return engine


def noise(frames: int = 1, fps: float = 16.0, size: tuple[int, int] = (32, 32), seed: int = 0) -> Clip:
    """A clip of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, size[1], size[0], 3), np.uint8)
    return Clip(frames=pixels, fps=fps)
