"""README's figures are those of docs/measurements/, and name the weights that they were measured on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASUREMENTS = ROOT / "docs" / "measurements"
WEIGHTS = "kinema-tiny"


def _table() -> list[list[str]]:
    text = (ROOT / "README.md").read_text()
    part = text.partition("<!-- figures: ")[2].partition("<!-- end of figures -->")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def test_every_figure_of_the_readme_names_a_file_and_the_weights_step() -> None:
    """Where weights are new and measurements old, the row says so; make it anew: python -m benchmarks.readme --write."""
    shipped = int(json.loads((ROOT / "weights" / WEIGHTS / "config.json").read_text())["trained"]["steps"])
    rows = _table()
    assert len(rows) >= 10
    for row in rows:
        file = re.search(r"\[[\w-]+\]\((docs/measurements/[\w-]+\.md)\)$", row[-1])
        assert file and (ROOT / file[1]).exists(), row
        page = (ROOT / file[1]).read_text()
        step = re.match(r"step ([\d,]+)(, older)?$", row[-2])
        assert step or row[-2] == "-", row
        if step:
            assert f"{WEIGHTS} (step {step[1]}" in page, f"{file[1]} does not name step {step[1]}"
            assert bool(step[2]) == (int(step[1].replace(",", "")) != shipped), f"older than the weights that ship? {row}"


def test_the_readme_is_what_its_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.readme import replaced

    text = (ROOT / "README.md").read_text()
    assert replaced(text) == text, "README's figures are not those of docs/measurements: python -m benchmarks.readme --write"


def test_no_percentage_of_the_readme_stands_outside_its_table() -> None:
    text = (ROOT / "README.md").read_text()
    before, _, rest = text.partition("<!-- figures: ")
    prose = re.sub(r"intervals are 95%", "", before + rest.partition("<!-- end of figures -->")[2])
    assert not re.findall(r"\d\s?%|\d dB|frames a second", prose)


def test_returns_of_agents_are_stated_above_random() -> None:
    rows = json.loads((MEASUREMENTS / "agents.json").read_text())
    for task in {row["task"] for row in rows}:
        some = [row for row in rows if row["task"] == task]
        mean = {row["who"].split(" (")[0]: float(row["return"].split()[0]) for row in some if "bar" not in row["who"]}
        assert "random" in mean
        real = next(value for who, value in mean.items() if "as many real" in who)
        for row in some:
            share = re.match(r"(-?\d+)%", row["above random"])
            assert share or row["who"] == "random", row
            if share and "bar" not in row["who"]:
                gain = (mean[row["who"].split(" (")[0]] - mean["random"]) / (real - mean["random"])
                assert abs(100 * gain - int(share[1])) <= 4, "rounded returns"


def test_no_page_calls_an_accuracy_of_ends_a_figure() -> None:
    for file in MEASUREMENTS.glob("recorded-worlds.json"):
        assert all("ends told" not in row for row in json.loads(file.read_text()))


@pytest.mark.parametrize("file", ["README.md", "docs/arena.md", "docs/training-log.md", "weights/kinema-phyworld/README.md"])
def test_published_networks_are_not_compared_with_a_few_clips(file: str) -> None:
    assert not re.search(r"DiT-[SBXL]", (ROOT / file).read_text())
