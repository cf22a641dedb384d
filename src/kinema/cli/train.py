"""kinema train RECIPE: train a model, or go on with a run.

kinema train world --data DIR: a world of your own recordings. kinema train video --data DIR: a model that films what your captioned
clips show.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kinema.cli.options import add_device, number, whole
from kinema.errors import InputError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a model by a recipe",
        description=__doc__,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-h", "--help", action=HelpWithRecipes, help="show this help message and exit")
    parser.add_argument("recipe", help="one of the recipes below; or world or video, with --data")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="for world: a dataset of kinema record or LeRobot; for video: a folder of videos with texts",
    )
    parser.add_argument("--out", type=Path, help="folder of the run (default: out/train-RECIPE)")
    parser.add_argument("--minutes", type=number, help="time budget above 0, simulating episodes included")
    parser.add_argument("--steps", type=whole, help="length of the run in steps, 1 or more, instead of the recipe's")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("--camera", help="for world: the camera of a dataset with several, such as top (default: the first)")
    parser.add_argument("--size", help="for world and video: of the network, XXS, XS, S, B, L or XL (default: XXS, XS)")
    add_device(parser)
    parser.set_defaults(run=run)


class HelpWithRecipes(argparse.Action):
    """Prints the help with a list of all recipes. They are imported only then, which takes seconds."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        from kinema.training.recipes import RECIPES

        about = {name: " ".join((make.__doc__ or "").split()).split(". ")[0].rstrip(".") for name, make in RECIPES.items()}
        parser.epilog = "recipes:\n" + "\n".join(f"  {name:18} {text}" for name, text in about.items())
        parser.print_help()
        parser.exit()


def run(arguments: argparse.Namespace) -> int:
    from kinema.devices import resolve_device
    from kinema.training.run import train

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = str(resolve_device(arguments.device))
    out = arguments.resume or arguments.out or Path("out") / f"train-{arguments.recipe}"
    line = Line()
    if arguments.recipe == "world":
        return _world(arguments, out, device, line)
    if arguments.recipe == "video":
        return _video(arguments, out, device, line)
    if arguments.data is not None:
        raise InputError(f"--data goes with the recipe world or video, not with {arguments.recipe}")
    folder = train(
        arguments.recipe,
        out=out,
        minutes=arguments.minutes,
        resume=arguments.resume,
        steps=arguments.steps,
        device=device,
        show=line.show,
        prepare=lambda name, done, of: line.write(f"simulating {name}: {done}/{of} shards", done == of),
    )
    line.write(f"model written to {folder}", True)
    return 0


def _world(arguments: argparse.Namespace, out: Path, device: str, line: Line) -> int:
    from kinema.training.recorded_world import train_world
    from kinema.training.recordings import WorldRecipe

    if arguments.data is None:
        raise InputError("train world needs --data DIR, a dataset made by kinema record")
    folder = train_world(
        arguments.data,
        out=out,
        recipe=None if arguments.size is None else WorldRecipe(size=arguments.size),
        minutes=arguments.minutes,
        steps=arguments.steps,
        resume=arguments.resume is not None,
        device=device,
        camera=arguments.camera,
        show=line.write,
    )
    line.write(f"world written to {folder}; step into it: kinema play {folder}", True)
    return 0


def _video(arguments: argparse.Namespace, out: Path, device: str, line: Line) -> int:
    from kinema.training.film_lesson import FilmRecipe
    from kinema.training.films import train_video

    if arguments.data is None:
        raise InputError(
            "train video needs --data DIR, a folder of videos with a text beside each, such as kinema curate makes"
        )
    recipe = FilmRecipe() if arguments.size is None else FilmRecipe(size=arguments.size)
    folder = train_video(
        arguments.data,
        out=out,
        minutes=arguments.minutes,
        steps=arguments.steps,
        resume=arguments.resume is not None,
        recipe=recipe,
        device=device,
        show=line.write,
    )
    line.write(f"model written to {folder}; film with it: kinema generate 'words' --model {folder}", True)
    return 0


class Line:
    """One line that is rewritten on a terminal, and printed every twenty seconds elsewhere."""

    def __init__(self) -> None:
        self.tty, self.last = sys.stderr.isatty(), 0.0

    def write(self, text: str, final: bool = False) -> None:
        if self.tty:
            sys.stderr.write(f"\r\033[K{text}" + ("\n" if final else ""))
        elif final or time.monotonic() - self.last > 20:
            sys.stderr.write(text + "\n")
            self.last = time.monotonic()
        sys.stderr.flush()

    def show(self, report: object) -> None:
        from kinema.training.trainer import Report

        assert isinstance(report, Report)
        parts = "  ".join(f"{name} {value:.4f}" for name, value in report.parts.items())
        self.write(
            f"step {report.step}/{report.steps}  {report.phase}  {parts}  {report.clips_per_s:.1f} clips/s  "
            f"GEMM {100 * report.gemm_share:.0f}% of peak  {report.elapsed_s / 60:.1f} min, {report.eta_s / 60:.1f} left"
        )
