"""Figures, their intervals, and docs/measurements/sharp.md and .json, which hold a column for each state of the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.autoencoder import machine

from kinema.statistics import mean_interval

FOLDER = Path(__file__).parents[2] / "docs" / "measurements"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row. measured: with its 95% interval and n; truth: the same question put to the true pictures or their round trip
    through the autoencoder; trivial: what needs no model."""

    what: str
    measured: str
    truth: str = "-"
    trivial: str = "-"


def share(rights: Sequence[bool]) -> str:
    """'52.0% [42, 62], n = 100': a share with its 95% interval (Wilson 1927)."""
    n = len(rights)
    if not n:
        return "none"
    p, z2 = float(np.mean(rights)), 1.96**2
    middle, spread = (p + z2 / (2 * n)) / (1 + z2 / n), np.sqrt(z2 * p * (1 - p) / n + z2 * z2 / (4 * n * n)) / (1 + z2 / n)
    return f"{100 * p:.1f}% [{100 * (middle - spread):.0f}, {100 * (middle + spread):.0f}], n = {n}"


def mean(values: Sequence[float], unit: str = "", digits: int = 1) -> str:
    """'32.8 dB [32.1, 33.4], n = 96': a mean with its 95% bootstrap interval."""
    if not len(values):
        return "none"
    value, low, high = mean_interval(values)
    return f"{value:.{digits}f}{unit and ' ' + unit} [{low:.{digits}f}, {high:.{digits}f}], n = {len(values)}"


def percent(rights: Sequence[bool]) -> str:
    return f"{100 * float(np.mean(rights)):.0f}%" if len(rights) else "-"


def write(label: str, model: str, share_of: int, parts: dict[str, list[Figure]]) -> None:
    """Put these parts into the column; parts of it that were not measured now stay as they are."""
    store = FOLDER / "sharp.json"
    every: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    column = every.setdefault(label, {})
    for name, figures in parts.items():
        column[name] = {
            "model": model, "share": share_of, "date": str(date.today()), "machine": machine(),
            "figures": [asdict(figure) for figure in figures],
        }  # fmt: skip
    store.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n")
    (FOLDER / "sharp.md").write_text(page(every))


def page(every: dict[str, Any]) -> str:
    """The whole page: a table over all columns, then each column with its truths and how it was measured."""
    lines = [
        "# Sharp", "",
        "`python -m benchmarks.sharp`: pictures above 64 pixels, prompts, perceiving, live worlds; every figure on fresh",
        "episodes (seeds from 900,000,000 on) with its 95% interval (Wilson or bootstrap).", "",
        f"| what | {' | '.join(every)} |", "|---" * (1 + len(every)) + "|",
    ]  # fmt: skip
    whats = dict.fromkeys(f["what"] for column in every.values() for part in column.values() for f in part["figures"])
    found = {
        (label, f["what"]): f["measured"]
        for label, column in every.items()
        for part in column.values()
        for f in part["figures"]
    }
    lines += [f"| {what} | {' | '.join(found.get((label, what), '') for label in every)} |" for what in whats]
    for label, column in every.items():
        for name, part in column.items():
            share_of = f" --share {part['share']}" if part["share"] > 1 else ""
            command = f"python -m benchmarks.sharp --parts {name} --model {part['model']}{share_of}"
            lines += ["", f"## {label}: {name}", "", f"`{command}`, {part['date']}, {part['machine']}", ""]
            lines += ["| what | measured | truth | best trivial |", "|---|---|---|---|"]
            lines += [f"| {f['what']} | {f['measured']} | {f['truth']} | {f['trivial']} |" for f in part["figures"]]
    return "\n".join(lines) + "\n"
