"""The page on several GPUs shows what its command computes, and the formulas keep to what they say."""

from __future__ import annotations

import pytest
from benchmarks.scale import (
    BEGIN,
    END,
    PAGE,
    Chip,
    dry_run,
    lines,
    network,
    one_clip,
    planned,
    state_bytes,
    stored_bytes,
    traffic,
)

from kinema.models.dit import DiT


@pytest.mark.slow
def test_the_page_is_what_the_command_writes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0].strip() == "\n".join(lines(Chip()))


def test_a_dry_run_counts_what_a_real_one_stores() -> None:
    """The same network with numbers has as many weights; in float32 it keeps more, but not twice what bfloat16 does."""
    config = network("nano")
    assert dry_run("nano").parameters == sum(p.numel() for p in DiT(config).parameters())
    stored = stored_bytes(DiT(config), one_clip(config, "cpu"))
    assert 1 < stored / dry_run("nano").stored < 2


def test_shares_and_traffic() -> None:
    run = dry_run("S")
    assert state_bytes(run, 1) == 20 * run.parameters
    assert state_bytes(run, 8) == pytest.approx(20 * run.parameters / 8 + 4 * run.block)
    assert traffic(run, 8, "replicate") == (pytest.approx(8 * run.parameters * 7 / 8), 0.0)
    inside, outside = traffic(run, 64, "hybrid")
    assert inside == pytest.approx(8 * run.parameters * 7 / 8) and outside == pytest.approx(8 * run.parameters / 8 * 7 / 8)
    assert run.stored_recompute < run.stored / 3
    small = planned("S", run, 8, Chip(memory_gb=1.0))
    assert (
        small.parallel == "shard" and small.state < 1e9 and planned("S", run, 64, Chip(memory_gb=1.0)).parallel == "hybrid"
    )
