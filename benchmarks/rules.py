"""How far numbers are foretold without pictures: python -m benchmarks.rules DATA ... [--minutes N] [--write]

Of each recording with entities a rule is found as `kinema train world` finds it (`kinema.training.rules`), and numbers of held-back
episodes are stepped with it and their true actions: how far entities are from their places after some frames, with the rule, with
it but without choosing amounts, without rounding to a grid either, with its line alone, and left where they were last known, in the
entities' own units; and in which share of the stretches the rule has them in their places, off by less than a hundredth of how far
they range. And the error of all numbers after one frame, as a share of that of leaving them as they were, as
`kinema.training.rules.missed_by` counts it.

Nothing is painted: a world that predicts its numbers first is as good as these at first, and learns more by its pictures.
--write puts the rows into docs/measurements/rules.md, where rows of other recordings stay.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT
from torch import Tensor

from kinema.autoencoder import load_autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError
from kinema.models.hub import weights_folder
from kinema.models.rules import MEMORY, Rule
from kinema.training.recordings import Recordings
from kinema.training.rule_rollouts import fill_memory, roll_numbers
from kinema.training.rules import find_rule, missed_by
from kinema.training.world_lesson import WorldRecipe
from kinema.training.world_report import PLACES, SHOWN
from kinema.training.world_stages import config_for, word_of

LEFT_OUT = ((), ("choices",), ("choices", "grid"), ("choices", "grid", "bend.6.", "recall.6."))
"""How names of a rule's weights begin that are left out: none, its choices, its grid besides, and all but its line."""
IN_PLACE = 0.01
"""Of how far an entity ranges: nearer to its place it is in it."""
EVERY = 8
"""Frames from the beginning of one stretch to that of the next."""
COLUMNS = (
    "recording", "date", "frames", "minutes for the rule", "errs after a frame by, of leaving all: rule, line", "entity",
    "in its place after 1, 4, 12, 64 frames: rule", "left where it was", "off after these: rule", "without choices",
    "without choices and grid", "line", "left where it was", "stretches",
)  # fmt: skip
PAGE = ROOT / "docs" / "measurements" / "rules.md"


def stretches(recordings: Recordings, before: int) -> tuple[Tensor, ...]:
    """Numbers [N, before + 64, D] and actions of held-back episodes, and what a rule that the recording is filled with remembers at
    the last of the frames before [N, M]."""
    length, held = before + SHOWN[-1], range(len(recordings.episodes) - recordings.num_held_back, len(recordings.episodes))
    at = [(one, begin) for one in held for begin in range(0, len(recordings.episodes[one]["sensors"]) - length + 1, EVERY)]
    if not at:
        raise InputError(f"no held-back episode has {length} frames; record longer ones")
    numbers, actions = (
        torch.stack([recordings.episodes[one][name][begin : begin + length] for one, begin in at]).float()
        for name in ("sensors", "action")
    )
    return numbers, actions, torch.stack([recordings.episodes[one][MEMORY][begin + before - 1] for one, begin in at])


def rows_of(folder: Path, minutes: float, seed: int) -> list[list[str]]:
    """A row of the table for each entity that moves, up to PLACES."""
    data = Dataset.open(folder).fitted()
    recordings = Recordings(data, load_autoencoder(weights_folder() / WorldRecipe().autoencoder), show_reading)
    if not recordings.entity_columns:
        raise InputError(f"{folder} has no entities; record one whose environment tells them")
    recipe = WorldRecipe()
    config = config_for(data, recordings, recipe, "rules").network
    seconds, _ = recipe.found_length(recipe.rule_share, minutes, None)
    weights = find_rule(recordings, config, seconds=seconds, steps=None, seed=seed, show=say)
    rules = [Rule(config.known, "sensors", recordings.sensors, config.choices) for _ in LEFT_OUT]
    for rule, left_out in zip(rules, LEFT_OUT, strict=True):
        nothing = rule.state_dict()
        rule.load_state_dict({name: nothing[name] if name.startswith(left_out) else x for name, x in weights.items()})
    fill_memory(rules[0], recordings, config)
    numbers, actions, memory = stretches(recordings, config.context)
    seen, true = numbers[:, : config.context], numbers[:, config.context :]
    bounds = recordings.scaled(recordings.least), recordings.scaled(recordings.most)
    made = [roll_numbers(rule, config, seen, actions[:, :-1], memory, bounds) for rule in rules]
    made.append(numbers[:, config.context - 1 : config.context].expand_as(true))
    first = [(one[:, 0] - true[:, 0]) / torch.tensor(config.relative["sensors"]) for one in made]
    left = [float(missed_by(first[at]).mean() / missed_by(first[-1]).mean()) for at in (0, 3)]
    rows, names, spread = list[list[str]](), recordings.sensor_names, torch.from_numpy(recordings.std)
    for entity in dict.fromkeys(name.rpartition(".")[0] for name in names if name.endswith((".x", ".y"))):
        columns = [i for i, name in enumerate(names) if name in (f"{entity}.x", f"{entity}.y")]
        each = [((one - true)[..., columns] * spread[columns]).norm(dim=-1) for one in made]
        range_of = float((torch.from_numpy(recordings.most - recordings.least)[columns]).norm())
        off, there = [one.mean(0) for one in each], [(each[at] < IN_PLACE * range_of).float().mean(0) for at in (0, -1)]
        if len(rows) < PLACES and float(off[-1].max()) > 0:
            shown = [" / ".join(f"{float(one[after - 1]):.3g}" for after in SHOWN) for one in (*there, *off)]
            told = [f"{left[0]:.2f}, {left[1]:.2f}", entity, *shown, str(len(true))]
            rows.append(
                [
                    f"{word_of(data)} ({folder.name})",
                    str(date.today()),
                    f"{data.total_frames:,}",
                    f"{seconds / 60:.1f}",
                    *told,
                ]
            )
    return rows


def say(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}")


def show_reading(done: int, of: int) -> None:
    say(f"reading episode {done} of {of}")


def written(page: Path, title: str, about: str, columns: Sequence[str], rows: list[list[str]]) -> str:
    """A page with a table, with these rows in the place of those of the same recordings and of those that had other columns."""
    before = page.read_text().splitlines() if page.exists() else []
    kept = [re.split(r"\s*\|\s*", line.strip("| ")) for line in before if re.match(r"\| .*\d{4}-\d\d-\d\d", line)]
    rows = [row for row in kept if len(row) == len(columns) and row[0] not in {new[0] for new in rows}] + rows
    lines = [f"| {' | '.join(row)} |" for row in ([*columns], ["---"] * len(columns), *rows)]
    command = f"`python -m benchmarks.{page.stem}`"
    head = [f"# {title}", "", f"{command}, {machine()}", "", f"{about} (`python -m benchmarks.{page.stem} --help`).", ""]
    return "\n".join([*head, *lines]) + "\n"


def arguments(about: str, part: str) -> argparse.Namespace:
    """What a benchmark of a part that is found before pictures are learned is given."""
    page = f"docs/measurements/{part}s.md"
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="recordings with entities, such as kinema record makes")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help=f"of a training, a share of which the {part} has (default: 60)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write {page}")
    return parser.parse_args()


def main() -> int:
    given = arguments(str(__doc__), "rule")
    torch.set_num_threads(1)
    rows = [row for folder in given.data for row in rows_of(folder, given.minutes, given.seed)]
    for row in rows:
        print(" | ".join(row))
    if given.write:
        about = "Means over stretches of held-back episodes, in the entities' own units"
        PAGE.write_text(written(PAGE, "Numbers foretold without pictures", about, COLUMNS, rows))
    return 0


if __name__ == "__main__":
    run_benchmark(main)
