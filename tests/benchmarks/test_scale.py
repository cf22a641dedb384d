"""The page on several GPUs shows what its command computes, and the formulas keep to what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.scale import (
    BEGIN,
    END,
    PAGE,
    Chip,
    dry_run,
    fits,
    largest_network,
    lines,
    longest_clip,
    network,
    one_clip,
    planned,
    state_bytes,
    stored_bytes,
    tensor_traffic,
    traffic,
)

from kinema.models.dit import SIZES, DiT


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


def test_limits_are_the_last_that_fit() -> None:
    chip, depth = Chip(memory_gb=0.5), SIZES["XXS"][1]
    frames, run = longest_clip("XXS", chip)
    assert frames > 16 and fits(run, depth, 8, chip) and not fits(dry_run("XXS", 2 * frames), depth, 8, chip)
    assert longest_clip("XXS", Chip(memory_gb=2.0))[0] > frames
    few, many = (largest_network(gpus, Chip(memory_gb=8.0)).parameters for gpus in (8, 64))
    assert 20 * few / 8 < 8e9 and many > few


def test_tensor_parallelism_sends_all_tokens_of_every_block() -> None:
    """Four all-reduces each way, in bfloat16, of the tokens of the whole machine's clips; a ring sends 2 (k - 1) / k of each."""
    run = dry_run("S")
    plan = replace(planned("S", run, 8, Chip()), clips=2, recompute=False)
    width, depth, _ = SIZES["S"]
    assert tensor_traffic("S", run, plan) == pytest.approx(depth * 8 * (2 * 7 / 8) * 2 * (16 * run.tokens) * width)
    assert tensor_traffic("S", run, replace(plan, recompute=True)) == 1.5 * tensor_traffic("S", run, plan)
