"""Compiled graphs stay on disk between runs."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.test_parallel import RECIPE, trainer_of
from torch._dynamo.utils import counters

from kinema.training.compiling import can_compile


def start(out: Path) -> Counter[str]:
    """A run of one step, as a new process would begin it; what became of its graphs in the cache."""
    torch._dynamo.reset()
    counters.clear()
    can_compile.cache_clear()
    trainer_of(out, replace(RECIPE, compile=True), steps=1).one_step()
    found = Counter(counters["inductor"])
    return Counter(
        {name.removeprefix("fxgraph_cache_"): n for name, n in found.items() if name.startswith("fxgraph_cache_")}
    )


@pytest.mark.slow
def test_the_second_start_of_a_run_finds_its_graphs_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is as before afterwards
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    first, second = start(tmp_path / "a"), start(tmp_path / "b")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "compiled")
    assert any((tmp_path / "cache" / "compiled" / "fxgraph").rglob("*")), "Kinema's cache folder holds them"
    assert first["miss"] > 0 and second["hit"] > 0 and second["miss"] == 0, (first, second)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert start(tmp_path / "c")["miss"] > 0 and any((tmp_path / "elsewhere").iterdir()), "its own variable holds"
