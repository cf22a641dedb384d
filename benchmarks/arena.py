"""The arena's own numbers, for docs: python -m benchmarks.arena [FOLDER...] [--before CARD] [--write]

Reads finished runs (`kinema arena run --out FOLDER`, each with its arena.json), prints one table of scores with their intervals,
the truth, the codec and the best baseline beside them; --before names an older card of the first model for a table of before and
after. --write puts them into docs/measurements/arena.md, keeps the cards in docs/measurements/arena/, and pictures of shipped
models' best and worst cases in docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT, described

from kinema.evaluation.model_under_test import open_model
from kinema.evaluation.report import _score, read_cards
from kinema.evaluation.runner import Run, strips
from kinema.models.hub import available_models

SHOWN = ("uniform", "collision", "combinations", "conservation", "permanence", "causes", "future", "actions", "prompts")


def cell(row: dict[str, Any] | None) -> str:
    score = _score(row)
    if row is None:
        return "not run"
    if score is None:
        return "-" if row["state"] == "scored" else str(row["why"])
    aggregated = row["verdict"]
    return f"**{score:.2f}** [{aggregated['low']:.2f}, {aggregated['high']:.2f}]"


def table(cards: list[dict[str, Any]]) -> list[str]:
    """Scores of every model, a row a test; the reading's own limits beside them."""
    lines = [
        "| # | test | " + " | ".join(str(card["subject"]) for card in cards) + " | truth | codec | best baseline |",
        "|---|---|" + "---|" * (len(cards) + 3),
    ]
    rows = [{row["name"]: row for row in card["tests"]} for card in cards]
    for name, row in rows[0].items():
        beside = row["beside"]
        baselines = {who: value for who, value in beside.items() if who not in ("oracle", "codec")}
        best = max(baselines, key=lambda who: baselines[who], default=None)
        ends = [f"{beside[who]:.2f}" if who in beside else "-" for who in ("oracle", "codec")]
        ends.append("-" if best is None else f"{best} {baselines[best]:.2f}")
        lines.append(
            f"| {row['number']} | {row['title']} | "
            + " | ".join(cell(each.get(name)) for each in rows)
            + f" | {' | '.join(ends)} |"
        )
    return lines


def details(card: dict[str, Any]) -> list[str]:
    lines = ["| test | what | measured | 95% |", "|---|---|---|---|"]
    for row in card["tests"]:
        for metric in row["verdict"]["metrics"] if row["state"] == "scored" else ():
            between = "" if metric["low"] is None else f"{metric['low']:.3g} to {metric['high']:.3g}"
            lines.append(f"| {row['name']} | {metric['name']} | {metric['value']:.3g} {metric['unit']} | {between} |")
    return lines


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    old = {row["name"]: row for row in before["tests"]}
    lines = ["| test | before | after |", "|---|---|---|"]
    for row in after["tests"]:
        if row["name"] in old and _score(row) is not None:
            lines.append(f"| {row['title']} | {cell(old[row['name']])} | {cell(row)} |")
    return lines


def picture(card: dict[str, Any], place: Path) -> None:
    """The worst and the best case of each test that is shown."""
    run = Run(open_model(card["subject"]), place, card["scale"], [row["name"] for row in card["tests"]])
    for name, some in strips(run, run.card()).items():
        for one in (some[0], some[-1]):
            if name in SHOWN:
                path = ROOT / "docs" / "pictures" / f"arena-{card['subject']}-{name}-{one['which']}.jpg"
                one["image"].convert("RGB").save(path, quality=88)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="of runs (default: a quick run of kinema-tiny, made now)")
    parser.add_argument("--before", type=Path, help="an older card of the first model")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if not given.folders:
        given.folders = [ROOT / "out" / "arena-kinema-tiny"]
        Run(open_model("kinema-tiny"), given.folders[0], "quick").work()
    cards = read_cards(given.folders)
    lines = table(cards)
    print("\n".join(lines))
    if not given.write:
        return 0
    folder = ROOT / "docs" / "measurements"
    (folder / "arena").mkdir(exist_ok=True)
    for card in cards:
        (folder / "arena" / f"{card['subject']}.json").write_text(json.dumps(card, indent=1) + "\n")
    first = cards[0]
    weights = ", ".join(described(card["subject"]) for card in cards if card["subject"] in available_models())
    head = (
        f"# The arena: figures\n\n`kinema arena run{' --quick' * (first['scale'] == 'quick')} --model {first['subject']}`,"
        f" then `python -m benchmarks.arena FOLDER... --write`; {weights}; {first['date']}, {machine()}. 0: what needs no"
        " model; 1: the truth by the same reading. Brackets: 95% bootstrap intervals over cases."
        " Truth, codec and baselines: on the gate's cases.\n\n"
    )
    parts = [head + "\n".join(lines)]
    if given.before is not None:
        old = read_cards([given.before])[0]
        (folder / "arena" / f"{old['subject']}-before.json").write_text(json.dumps(old, indent=1) + "\n")
        parts.append("## Before and after\n\n" + "\n".join(compared(old, first)))
    parts += [f"## {card['subject']}\n\n" + "\n".join(details(card)) for card in cards]
    (folder / "arena.md").write_text("\n\n".join(parts) + "\n")
    for card, place in zip(cards, given.folders, strict=True):
        if card["subject"] in available_models():
            picture(card, place)
    return 0


if __name__ == "__main__":
    run_benchmark(main)
