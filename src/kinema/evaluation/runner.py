"""Asking a model every task: item by item, each kept as soon as it is known, so a run that was killed goes on.

A task is first put to the truth and to its round trip through the model's autoencoder, on its first items, by the same
reading: that is the parser gate. Where they do not pass, the reading is at fault and the model is not scored.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from kinema.errors import InputError
from kinema.evaluation.baselines import BASELINES, Oracle, RoundTrip
from kinema.evaluation.cases import Case
from kinema.evaluation.model_under_test import Evaluated, predict
from kinema.evaluation.task import SCALES, ArenaTask, Result, TaskResult
from kinema.evaluation.tasks import TASKS
from kinema.types import parse_json

PASS_TRUTH, PASS_AUTOENCODER = 0.85, 0.6
"""Scores that truth and autoencoder need before a model is scored."""
RESULTS, CARD = "results.jsonl", "arena.json"
FORMAT = 1

TaskProgress = Callable[[str, int, int, float], None]
"""Called with the task's title, items done, items in all, and seconds left."""


@dataclass
class Run:
    """One model at one scale, in a folder."""

    model: Evaluated
    out: Path
    scale: str = "quick"
    names: Sequence[str] = ()
    seen: dict[tuple[str, str, str], Result | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in TASKS]
        if unknown:
            raise InputError(f"no test {', '.join(unknown)}; there are {', '.join(TASKS)}")
        if self.scale not in SCALES:
            raise InputError(f"scale {self.scale!r}: expected {' or '.join(SCALES)}")
        self.out.mkdir(parents=True, exist_ok=True)
        self._read()

    @property
    def tasks(self) -> list[ArenaTask]:
        return [TASKS[name] for name in (self.names or TASKS)]

    def _read(self) -> None:
        """What an earlier run of the same model and scale has found; a line that was cut off is asked again."""
        path = self.out / RESULTS
        if not path.exists():
            return
        for number, line in enumerate(path.read_text().splitlines()):
            try:
                row = parse_json(line)
            except ValueError:
                continue
            if number == 0 and "subject" in row:
                if (row["subject"], row["scale"]) != (self.model.name, self.scale):
                    raise InputError(
                        f"{self.out} holds a run of {row['subject']} ({row['scale']}); name another folder with --out, or delete it"
                    )
                continue
            if {"question", "who", "item", "result"} <= row.keys():
                self.seen[row["question"], row["who"], row["item"]] = row["result"]

    def _keep(self, row: dict[str, Any]) -> None:
        path = self.out / RESULTS
        fresh = not path.exists() or path.stat().st_size == 0
        cut = not fresh and not path.read_bytes().endswith(b"\n")
        with path.open("a") as file:
            if fresh:
                file.write(json.dumps({"subject": self.model.name, "scale": self.scale, "format": FORMAT}) + "\n")
            file.write("\n" * cut + json.dumps(row) + "\n")

    def _assignments(self, task: ArenaTask) -> list[tuple[str, Evaluated, list[str]]]:
        """Who is asked which items: truth and autoencoder pass the gate first, baselines stand beside."""
        items = task.examples(self.scale)
        gate = items[: task.gate]
        own = self.model.name
        if not task.gate:
            return [(own, self.model, items)]
        beside: list[tuple[str, Evaluated, list[str]]] = [("oracle", Oracle(), gate)]
        round_trip = getattr(self.model, "round_trip", None)
        if task.case is not None and round_trip is not None:
            beside.append(("codec", RoundTrip(round_trip), gate))
        beside += [(name, BASELINES[name](), gate) for name in task.baselines]
        beside = [one for one in beside if one[0] != own]
        return [*beside, (own, self.model, items)]

    def work(self, show: TaskProgress | None = None) -> dict[str, Any]:
        """Ask what is not yet known; returns the card that is written beside it."""
        wanted = [
            (task, who, model, item)
            for task in self.tasks
            for who, model, items in self._assignments(task)
            for item in items
        ]
        missing = [one for one in wanted if (one[0].name, one[1], one[3]) not in self.seen]
        begun, spent = time.monotonic(), {task.name: [0.0, 0] for task in self.tasks}
        for number, (task, who, model, item) in enumerate(missing):
            if show is not None:
                show(
                    task.title,
                    len(wanted) - len(missing) + number,
                    len(wanted),
                    _left(missing[number:], spent, begun, number),
                )
            started = time.monotonic()
            result = task.evaluate(model, item)
            taken = time.monotonic() - started
            spent[task.name][0] += taken
            spent[task.name][1] += 1
            if result is not None:
                result = {**result, "item": item, "took_s": round(taken, 3)}
            self.seen[task.name, who, item] = result
            self._keep({"question": task.name, "who": who, "item": item, "result": result})
        if show is not None:
            show("done", len(wanted), len(wanted), 0.0)
        card = self.card()
        temporary = self.out / f".{CARD}.tmp"
        temporary.write_text(json.dumps(card, indent=1) + "\n")
        temporary.replace(self.out / CARD)
        return card

    def _results(self, task: ArenaTask, who: str, items: list[str]) -> list[Result]:
        results = (self.seen.get((task.name, who, item)) for item in items)
        return [result for result in results if result is not None]

    def card(self) -> dict[str, Any]:
        """The model's results on every test in this folder; beside them truth, autoencoder and baselines on the gate's items."""
        names = {task for task, who, _ in self.seen if who == self.model.name} | {q.name for q in self.tasks}
        rows = [self._row(task) for name, task in TASKS.items() if name in names]
        return {
            "format": FORMAT,
            "subject": self.model.name,
            "scale": self.scale,
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "tests": rows,
        }

    def _row(self, task: ArenaTask) -> dict[str, Any]:
        items = task.examples(self.scale)
        gate = items[: task.gate]
        oracle = self._results(task, "oracle", gate)
        beside = {}
        for who in ("oracle", "codec", *task.baselines):
            some = self._results(task, who, gate)
            if some:
                beside[who] = task.aggregate(some, oracle).score
        own = self._results(task, self.model.name, items)
        row: dict[str, Any] = {
            "name": task.name, "number": task.number, "title": task.title, "says": task.says, "beside": beside,
        }  # fmt: skip
        truth, autoencoder = beside.get("oracle"), beside.get("codec")
        if truth is not None and truth < PASS_TRUTH:
            return row | {"state": "gate", "why": f"the reading fails the truth itself ({truth:.2f} < {PASS_TRUTH})"}
        if autoencoder is not None and autoencoder < PASS_AUTOENCODER:
            return row | {
                "state": "gate",
                "why": f"what passed the autoencoder cannot be read ({autoencoder:.2f} < {PASS_AUTOENCODER})",
            }
        if not own:
            return row | {"state": "unasked", "why": "the model has no interface for it"}
        aggregated: TaskResult = task.aggregate(own, oracle)
        ranked = sorted(own, key=lambda result: float(result["value"]))
        shown = [result["item"] for result in ranked if task.case is not None and _is_shown(task, result["item"])]
        return row | {
            "state": "scored",
            "verdict": aggregated.to_dict(),
            "worst": shown[:2],
            "best": shown[-1:],
            "values": {result["item"]: float(result["value"]) for result in own},
        }


def _is_shown(task: ArenaTask, item: str) -> bool:
    """Whether an item is a case with pictures."""
    return not item.startswith(("arrow", "kept"))


def case_items(task: ArenaTask, scale: str) -> Iterator[Case]:
    """Every case that a task asks a model."""
    if task.case is None:
        return
    for item in task.examples(scale):
        if _is_shown(task, item):
            yield from task.cases(item) if task.cases else [task.case(item)]


def _left(
    missing: Sequence[tuple[ArenaTask, str, Evaluated, str]], spent: dict[str, list[float]], begun: float, done: int
) -> float:
    """Seconds left: each task's own mean so far, else the mean of all."""
    mean = (time.monotonic() - begun) / done if done else 1.0
    return sum(spent[q.name][0] / spent[q.name][1] if spent[q.name][1] else mean for q, _, _, _ in missing)


def strips(run_: Run, card: dict[str, Any], *, columns: int = 8) -> dict[str, list[dict[str, Any]]]:
    """For each scored test the best and the worst cases: truth beside what the model made of it, as images."""
    from kinema.media.contact_sheet import strip

    notes: dict[str, list[dict[str, Any]]] = {}
    for row in card["tests"]:
        task = TASKS[row["name"]]
        if row["state"] != "scored" or task.case is None:
            continue
        for which, item in [("worst", item) for item in row["worst"]] + [("best", item) for item in row["best"]]:
            case = task.case(item)
            made = predict(run_.model, case)
            rows = {"truth": case.frames[case.known :], run_.model.name[:14]: made}
            image = strip(rows, columns=columns, scale=1)
            note = {"which": which, "item": item, "seed": case.seed, "text": case.text, "value": row["values"][item]}
            notes.setdefault(row["name"], []).append({**note, "image": image})
    return notes
