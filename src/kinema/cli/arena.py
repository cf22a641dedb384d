"""kinema arena: how true is a world model? Tests with oracles and baselines beside every score, a report, a leaderboard."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import add_device, model_name
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.evaluation.runner import Run

SUBJECTS = (
    "a model's name or folder; folder:DIR with answers in files; package.module:factory; oracle, or the name of a baseline"
)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    arena = subparsers.add_parser("arena", help="test how true a world model is", description=__doc__)
    verbs = arena.add_subparsers(required=True, metavar="run|report|board|tests|cases")

    run = verbs.add_parser("run", help="ask a model every task; goes on where it was stopped", description=run_run.__doc__)
    _subject(run)
    run.set_defaults(run=run_run)

    report = verbs.add_parser("report", help="a run as one page", description=run_report.__doc__)
    report.add_argument("folder", type=Path, help="of the run")
    report.add_argument("--model", type=model_name, default=None, help="for the strips, if it is not the run's own name")
    add_device(report)
    report.add_argument("-o", "--output", type=Path, help="where to write (default: FOLDER/arena.html)")
    report.set_defaults(run=run_report)

    board = verbs.add_parser("board", help="a leaderboard of many runs", description=run_board.__doc__)
    board.add_argument("cards", type=Path, nargs="+", help="arena.json files, or folders of runs")
    board.add_argument("-o", "--output", type=Path, default=Path("arena-board.html"), help="(default: arena-board.html)")
    board.set_defaults(run=run_board)

    tests = verbs.add_parser("tests", help="what is asked", description=run_tests.__doc__)
    tests.set_defaults(run=run_tests)

    cases = verbs.add_parser(
        "cases", help="write the cases as files, to be answered in files", description=run_cases.__doc__
    )
    cases.add_argument("--tests", nargs="+", default=[], metavar="NAME", help="(default: all that have cases)")
    cases.add_argument("--quick", action="store_true", help="those of a quick run")
    cases.add_argument("-o", "--output", type=Path, default=Path("arena-cases"), help="folder (default: arena-cases)")
    cases.set_defaults(run=run_cases)


def _subject(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=model_name, default="kinema-tiny", help=f"{SUBJECTS} (default: kinema-tiny)")
    add_device(parser)
    parser.add_argument(
        "--tests", nargs="+", default=[], metavar="NAME", help="some of them (default: all; see kinema arena tests)"
    )
    parser.add_argument("--quick", action="store_true", help="few cases of each: minutes instead of an hour")
    parser.add_argument("--out", type=Path, help="folder of the run (default: out/arena-MODEL)")


def _folder(name: str, out: Path | None) -> Path:
    plain = Path(name).name if "/" in name else name.replace(":", "-")
    return out or Path("out") / f"arena-{plain}"


def _open(arguments: argparse.Namespace) -> Run:
    from kinema.evaluation.model_under_test import open_model
    from kinema.evaluation.runner import Run

    out = _folder(arguments.model, arguments.out)
    scale = "quick" if arguments.quick else "full"
    return Run(open_model(arguments.model, arguments.device), out, scale, arguments.tests)


def run_run(arguments: argparse.Namespace) -> int:
    """Ask a model every task, item by item; what is known is kept, and a run that was stopped goes on. Writes arena.json and
    arena.html into the folder of the run."""
    from kinema.cli.train import Line

    run, line = _open(arguments), Line()

    def show(title: str, done: int, of: int, left_s: float) -> None:
        line.write(f"{done} of {of}  {title}  about {left_s / 60:.1f} min left", done == of)

    card = run.work(show)
    _tell(card)
    return _write_page(run, card, run.out / "arena.html")


def _tell(card: dict[str, object]) -> None:
    from kinema.evaluation.report import _score

    rows = card["tests"]
    assert isinstance(rows, list)
    for row in rows:
        score = _score(row)
        if score is None:
            line = row.get("why") or "; ".join(
                f"{m['name']} {m['value']:.3g} {m['unit']}".strip() for m in row["verdict"]["metrics"]
            )
        else:
            aggregated = row["verdict"]
            beside = ", ".join(f"{who} {value:.2f}" for who, value in row["beside"].items())
            line = f"{score:.2f} [{aggregated['low']:.2f}, {aggregated['high']:.2f}]  ({beside})"
        print(f"{row['number']:>3}  {row['title']}: {line}")


def _write_page(run: Run, card: dict[str, object], path: Path) -> int:
    from kinema.evaluation.report import report
    from kinema.evaluation.runner import strips

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(report(card, strips(run, card)))
    temporary.replace(path)
    print(f"{path}")
    return 0


def run_report(arguments: argparse.Namespace) -> int:
    """Write the page of a run again from what it has kept."""
    from kinema.evaluation.model_under_test import open_model
    from kinema.evaluation.report import read_cards
    from kinema.evaluation.runner import Run

    old = read_cards([arguments.folder])[0]
    model = open_model(old["subject"] if arguments.model is None else arguments.model, arguments.device)
    run = Run(model, arguments.folder, old["scale"], [row["name"] for row in old["tests"]])
    return _write_page(run, run.card(), arguments.output or arguments.folder / "arena.html")


def run_board(arguments: argparse.Namespace) -> int:
    """Many runs side by side, best first."""
    from kinema.evaluation.report import board, read_cards

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(board(read_cards(arguments.cards)))
    print(f"{arguments.output}")
    return 0


def run_tests(arguments: argparse.Namespace) -> int:
    """List the tests: number, name, and what their score is."""
    from kinema.evaluation.tasks import TASKS

    for task in TASKS.values():
        print(f"{task.number:>3}  {task.name:13} {task.title}. {task.says}")
    return 0


def run_cases(arguments: argparse.Namespace) -> int:
    """Write each case as CASE.npz (context, uint8 [C, H, W, 3]) and CASE.json (horizon, fps, seed, text, actions). Answer with
    CASE.npy (uint8 [horizon, H, W, 3]) or CASE.mp4 in a folder, and ask for it with --model folder:DIR."""
    import numpy as np

    from kinema.evaluation.model_under_test import describe, file_of
    from kinema.evaluation.runner import case_items
    from kinema.evaluation.tasks import TASKS

    unknown = [name for name in arguments.tests if name not in TASKS]
    if unknown:
        raise InputError(f"no test {', '.join(unknown)}; there are {', '.join(TASKS)}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    count = 0
    for name in arguments.tests or TASKS:
        for case in case_items(TASKS[name], "quick" if arguments.quick else "full"):
            stem = arguments.output / file_of(case.name)
            np.savez_compressed(stem.with_name(stem.name + ".npz"), context=case.context)
            stem.with_name(stem.name + ".json").write_text(describe(case) + "\n")
            count += 1
    print(f"{count} cases in {arguments.output}", file=sys.stdout)
    return 0
