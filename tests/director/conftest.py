"""A production that needs no weights: an engine with a state that films what the simulator draws, and a plain one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinema.engines import Capabilities, FilmRequest
from kinema.media import Clip


class PlainEngine:
    """Films a colored square that moves right, in the color of its seed; it takes a first picture. Counts its films."""

    def __init__(self, **capabilities: Any) -> None:
        self.films: list[FilmRequest] = []
        given: dict[str, Any] = {
            "model": "plain", "engine": "test", "family": "Test", "workflows": ("generate", "image", "first_last", "still"),
            "size": (48, 32), "fps": 8.0, "seconds": 2.0, "seconds_per_second": 0.5,
        }  # fmt: skip
        self.capabilities = Capabilities(**{**given, **capabilities})

    def film(self, request: FilmRequest, progress: Any = None, cancelled: Any = None, watch: Any = None) -> list[Clip]:
        self.films.append(request)
        width, height = request.size if isinstance(request.size, tuple) else self.capabilities.size
        fps = request.fps or self.capabilities.fps
        count = 1 if request.workflow == "still" else round((request.seconds or 2.0) * fps)
        base = np.random.default_rng(7).integers(60, 120, (height, width, 3), np.uint8)
        frames = np.repeat(base[None], count, 0)
        for t in range(count):
            left = 4 + t
            frames[t, 10:20, left : left + 8] = (200, 40 + request.seed % 100, 40)
        return [Clip(frames=frames, fps=fps, caption=request.prompt, settings={"model": "plain", "seed": request.seed})]

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def plain() -> PlainEngine:
    return PlainEngine()


@pytest.fixture
def stubborn() -> Callable[[Callable[[FilmRequest], bool]], PlainEngine]:
    """An engine whose films are frozen as long as something holds of the request."""

    def make(frozen: Callable[[FilmRequest], bool]) -> PlainEngine:
        class Stubborn(PlainEngine):
            def film(self, request: FilmRequest, *more: Any, **named: Any) -> list[Clip]:
                (clip,) = super().film(request, *more, **named)
                still = np.repeat(clip.frames[:1], clip.num_frames, 0)
                return [replace(clip, frames=still) if frozen(request) else clip]

        return Stubborn()

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "production"
