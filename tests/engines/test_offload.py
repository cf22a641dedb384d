"""Weights that wait until they are used: the same films, by the hooks of either format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kinema.engines import FilmRequest
from kinema.engines.diffusers import loading
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.offload import offload

REQUEST = FilmRequest(workflow="generate", prompt="A red ball", seconds=5 / 16, size=(32, 32), steps=2, seed=3)


@pytest.mark.parametrize("name", ["wan", "wan-modular"])
@pytest.mark.parametrize("way", ["model", "group"])
def test_the_film_is_the_same(
    engine_of: Callable[[str], DiffusersEngine], name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "model":
        if name == "wan":
            pytest.skip("diffusers' own method, which needs a GPU")
        monkeypatch.setattr(torch.cpu, "mem_get_info", lambda *_: (1 << 34, 1 << 34), raising=False)
    engine = DiffusersEngine(engine_of(name).entry, device="cpu")
    placed: list[Any] = []
    (usual,) = engine_of(name).film(REQUEST)
    monkeypatch.setattr(loading, "_put", lambda pipeline, *_: placed.append(offload(pipeline, way, torch.device("cpu"))))
    (film,) = engine.film(REQUEST)
    assert placed == [None] and np.abs(film.frames.astype(int) - usual.frames).max() <= 1
    if way == "model":
        assert all(
            hasattr(part, "_hf_hook") for part in engine._first.components.values() if isinstance(part, torch.nn.Module)
        )
    else:
        network = engine._first.transformer
        assert any(hasattr(one, "_diffusers_hook") for one in network.modules()), "each layer has its hook"
