"""The sizes that help and docs state are those of the networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from kinema.cli.main import main
from kinema.models.dit import SIZES, DiT, DiTConfig

SCALE = Path(__file__).parents[2] / "docs" / "scale.md"
NAMES = ("XXS", "XS", "S", "B", "L", "XL")


def millions(name: str, **options: object) -> float:
    across, depth, heads = SIZES[name]
    with torch.device("meta"):
        network = DiT(DiTConfig(width=across, depth=depth, heads=heads, channels=24, **options))  # type: ignore[arg-type]
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_stated_sizes_are_true(capsys: pytest.CaptureFixture[str]) -> None:
    video = [millions(name, patch=2, time_every=1, text_dim=384, places=True) for name in NAMES]
    known, predicted = {"action": 4 * 6}, {"reward": 1, "terminated": 1}
    world = [millions(name, context=4, causal=True, time_every=3, known=known, predicted=predicted) for name in NAMES]
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    found = re.search(r"for video ([\d., ]+) or (\d+) million parameters, for world ([\d., ]+) or (\d+)", words)
    assert found is not None
    table = [line for line in SCALE.read_text().splitlines() if line.startswith("| `kinema train ")]
    for sizes, stated, row in ((video, found[1] + ", " + found[2], table[0]), (world, found[3] + ", " + found[4], table[1])):
        assert [float(n) for n in stated.split(", ")] == pytest.approx(sizes, rel=0.02)
        cells = row.split("|")[2:-1]
        assert [float(cell.replace(",", "")) for cell in cells] == pytest.approx(sizes, rel=0.02)
