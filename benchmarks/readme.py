"""README's figures, from the stored measurements: python -m benchmarks.readme [--write]

Reads docs/measurements/, prints README's table of figures, and with --write puts it between README's two marks. A row names the
training step of the weights that were measured, "older" where the weights that ship have another; tests hold README to it.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MEASUREMENTS = ROOT / "docs" / "measurements"
MODEL = "kinema-tiny"
BEGIN, END = "<!-- figures: python -m benchmarks.readme --write -->", "<!-- end of figures -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. file: stem of its file in docs/measurements/. step: of the weights, None where no model is in it."""

    what: str
    measured: str
    bar: str
    file: str
    step: int | None


def shipped_step() -> int:
    """Training step of the weights that ship."""
    return int(json.loads((ROOT / "weights" / MODEL / "config.json").read_text())["trained"]["steps"])


def step_of(stem: str) -> int | None:
    """Training step that a measurement's page names for the model."""
    found = re.search(rf"{MODEL} \(step ([\d,]+)", (MEASUREMENTS / f"{stem}.md").read_text())
    return int(found[1].replace(",", "")) if found else None


def _json(name: str) -> Any:
    return json.loads((MEASUREMENTS / f"{name}.json").read_text())


def _bars(stem: str, wanted: dict[str, str]) -> list[Row]:
    """Rows of a table of bars; wanted: what its row begins with, to what README calls it."""
    rows = []
    for begins, what in wanted.items():
        row = next(row for row in _json(stem) if row["what"].startswith(begins))
        met = {True: "met", False: "**missed**", None: ""}[row["met"]]
        rows.append(Row(what=what, measured=row["measured"], bar=f"{row['bar']}: {met}", file=stem, step=step_of(stem)))
    return rows


def _arena() -> list[Row]:
    rows = []
    for test in _json(f"arena/{MODEL}")["tests"]:
        verdict = test.get("verdict")
        if verdict is None or verdict["score"] is None:
            continue
        figure = f"{verdict['score']:.2f} [{verdict['low']:.2f}, {verdict['high']:.2f}], n = {verdict['count']}"
        rows.append(Row(what=f"arena: {test['title']}", measured=figure, bar="", file="arena", step=step_of("arena")))
    return rows


def _agents() -> list[Row]:
    rows = []
    for row in _json("agents"):
        if row["who"].startswith("**bar"):
            what = f"agent that learned inside, '{row['task']}': share of the real learner's gain above random"
            bar = f">= 80%: {row['minutes']}"
            rows.append(Row(what=what, measured=row["above random"], bar=bar, file="agents", step=step_of("agents")))
    return rows


def _recorded() -> list[Row]:
    """Worlds of recorded environments: what agents learn in them, and errors after 12 and 64 frames, of copying's."""
    found = []
    for row in _json("recorded-worlds"):
        name, share = row["environment"].rpartition(":")[2], row.get("share of its gain", "")
        ratios = [float(row.get(f"after {n} frames", ":nan").rpartition(":")[2]) for n in (12, 64)]
        if not np.isnan(ratios).any():
            what = f"recorded world, {name}: error after 12 and 64 frames, of copying's"
            met = "met" if ratios[0] <= 0.35 and ratios[1] <= 0.7 else "**missed**"
            figure = " and ".join(f"{ratio:.2f}" for ratio in ratios)
            found.append(Row(what=what, measured=figure, bar=f"<= 0.35 and 0.7: {met}", file="recorded-worlds", step=None))
        if share.endswith("]"):
            what = f"agent that learned inside a recorded world, {name}: share of the real learner's gain above random"
            met = "met" if float(share.partition("%")[0]) >= 80 else "**missed**"
            found.append(Row(what=what, measured=share, bar=f">= 80%: {met}", file="recorded-worlds", step=None))
    return found


def _server() -> list[Row]:
    return _marked("serving", "server", ("200 random kills", "status, 100,000", "overhead of the server"))


def _engines() -> list[Row]:
    return _marked(
        "engines", "open models", ("families that film", "frames of engine", "random kill", "another server films")
    )


def _marked(file: str, of: str, wanted: tuple[str, ...]) -> list[Row]:
    """Rows of a page of tables with bars, those that begin so."""
    rows = []
    for group in _json(file).values():
        for what, bar, measured, met in group if isinstance(group[0], list) else []:
            if what.startswith(wanted):
                met = "met" if met == "yes" else "**missed**"
                rows.append(Row(what=f"{of}: {what}", measured=measured, bar=f"{bar}: {met}", file=file, step=None))
    return rows


def _met(measured: str, bar: str) -> str:
    """A bar that a figure should reach, and whether it does."""
    one, two = (float(re.findall(r"[\d.]+", text)[0]) for text in (measured, bar))
    return f">= {bar}: {'met' if one >= two else '**missed**'}"


def _sharp() -> list[Row]:
    """Of the column of the weights that ship, or of the last one measured."""
    bars = {
        "true states filmed at 64 px": "33 dB",
        "true states filmed at 128 px, PSNR": "35 dB",
        "true states filmed at 256 px": "34 dB",
        "prompts at 128 px: cast right, known": "90%",
        "prompts at 128 px: cast right, held-out": "80%",
        "perceive from 128 px": "95%",
        "perceive from 16:9": "95%",
        "perceive from phone-like": "95%",
    }
    columns = {name: parts for name, parts in _json("sharp").items() if name.startswith(MODEL)}
    if not columns:
        return []
    title, parts = list(columns.items())[-1]
    step = int(re.sub(r"\D", "", title))
    figures = [figure for part in parts.values() for figure in part["figures"]]
    return [
        Row(what=figure["what"], measured=figure["measured"], bar=_met(figure["measured"], bar), file="sharp", step=step)
        for begins, bar in bars.items()
        for figure in figures
        if figure["what"].startswith(begins)
    ]


def rows() -> list[Row]:
    return [
        *_sharp(),
        *_arena(),
        *_bars(
            "first-light",
            {
                "prompts followed, known": "films that hold exactly what the prompt asks for, by a strict parser",
                "prompts followed, held-out": "the same for pairs of kind and color that were never shown",
                "perceive: position": "places read from pictures, error in units of 10",
                "render": "a given state filmed, PSNR",
            },
        ),
        *_bars(
            "live-world",
            {
                "live, 64x64": "speed of one live world, and of 64 at once",
                "action following": "actions followed after a second",
                "hidden behind a screen for 2 s": "hidden for two seconds and more, back in place",
            },
        ),
        *_agents(),
        *_recorded(),
        *_bars(
            "live-serving", {"live, action to picture": "a live world's picture on a server, above the model's own time"}
        ),
        *_server(),
        *_engines(),
    ]


def section() -> str:
    """README's table, with its marks."""
    shipped = shipped_step()
    lines = [BEGIN, f"Weights that ship: {MODEL} at step {shipped:,}.", "", "| what | measured | bar | weights | from |"]
    lines.append("|---|---|---|---|---|")
    for row in rows():
        step = "-" if row.step is None else f"step {row.step:,}" + ", older" * (row.step != shipped)
        link = f"[{row.file}](docs/measurements/{row.file}.md)"
        lines.append(f"| {row.what} | {row.measured} | {row.bar} | {step} | {link} |")
    return "\n".join([*lines, END])


def replaced(text: str) -> str:
    """README with its figures anew."""
    before, _, rest = text.partition(BEGIN)
    return before + section() + rest.partition(END)[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    given = parser.parse_args()
    print(section())
    if given.write:
        (ROOT / "README.md").write_text(replaced((ROOT / "README.md").read_text()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
