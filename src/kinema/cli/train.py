"""kinema train RECIPE: train a model, or go on with a run.

kinema train world --data DIR: a world of your own recordings. kinema train video --data DIR: a model that films what your captioned
clips show. kinema train autoencoder --data DIR: what turns pictures of your footage into latents, for video. World and video can
train in several processes: --nproc N starts them here, --ray N on a Ray cluster, and torchrun -m kinema.cli.main train ...
anywhere.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.cli.train_options import OF_AUTOENCODER, OF_PICTURES, OF_VIDEO, TOGETHER, add_options
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.training.dit_trainer import R
    from kinema.training.parallel import Ranks
    from kinema.training.sources import Data


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a model by a recipe",
        description=__doc__,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=run)


NEEDS_DATA = {
    "world": "train world needs --data DIR, a dataset made by kinema record",
    "autoencoder": "train autoencoder needs --data DIR, a folder as for train video, or a dataset made by kinema record",
    "video": "train video needs --data DIR, a folder of videos with a text beside each, such as kinema curate makes",
}


def run(arguments: argparse.Namespace) -> int:
    from kinema.devices import resolve_device
    from kinema.training.run import train

    for own, recipes in (
        (OF_VIDEO, ("video",)),
        (OF_AUTOENCODER, ("autoencoder",)),
        (OF_PICTURES, ("video", "autoencoder")),
        (("camera",), ("world",)),
    ):
        for name in own:
            if getattr(arguments, name) not in (None, False) and arguments.recipe not in recipes:
                option, known = name.replace("_", "-"), " or ".join(recipes)
                raise InputError(f"--{option} goes with the recipe {known}, not with {arguments.recipe}")
    if arguments.recipe == "autoencoder":
        return _autoencoder(arguments)
    if arguments.recipe in ("world", "video"):
        return _run_ranks(arguments)
    _refuse(arguments, TOGETHER)
    if arguments.data is not None:
        raise InputError(f"--data goes with the recipe world or video, not with {arguments.recipe}")
    _log(logging.INFO)
    device, line = str(resolve_device(arguments.device)), Line()
    folder = train(
        arguments.recipe,
        out=_out(arguments),
        minutes=arguments.minutes,
        resume=arguments.resume,
        steps=arguments.steps,
        device=device,
        show=line.show,
        prepare=lambda name, done, of: line.write(f"simulating {name}: {done}/{of} shards", done == of),
    )
    line.write(f"model written to {folder}", True)
    return 0


def _log(level: int) -> None:
    """Print what is logged as lines of their own, also where `Line` has written one that is rewritten."""
    logging.basicConfig(level=level, format="\r\033[K%(message)s" if sys.stderr.isatty() else "%(message)s")


def _refuse(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    """InputError where an option of world and video was given."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value is not False:
            raise InputError(f"--{name.replace('_', '-')} goes with the recipe world or video, not with {arguments.recipe}")


def _autoencoder(arguments: argparse.Namespace) -> int:
    """Train an autoencoder on footage."""
    from kinema.devices import resolve_device
    from kinema.training.autoencoder.footage import recipe_for, train_autoencoder

    _refuse(arguments, [name for name in TOGETHER if name != "seed"])
    if arguments.data is None:
        raise InputError(NEEDS_DATA["autoencoder"])
    _log(logging.INFO)
    line, names = Line(), ("time_factor", "channels", "short_side", "seed")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    folder = train_autoencoder(
        _data(arguments),
        out=_out(arguments),
        minutes=arguments.minutes,
        steps=arguments.steps,
        resume=arguments.resume is not None,
        recipe=recipe_for(arguments.resume, given),
        device=str(resolve_device(arguments.device)),
        show=line.write,
    )
    line.write(f"autoencoder written to {folder}; film with it: kinema train video --data DIR --autoencoder {folder}", True)
    return 0


def _out(arguments: argparse.Namespace) -> Path:
    out: Path = arguments.resume or arguments.out or Path("out") / f"train-{arguments.recipe}"
    return out


def _run_ranks(arguments: argparse.Namespace) -> int:
    """Train a world or a model that films: in this process, in several that it starts, or as one of several."""
    from kinema.devices import resolve_device
    from kinema.training.board import check_boards
    from kinema.training.launch import LOST_PEER, launch_ranks, launched_here
    from kinema.training.parallel import LostPeerError

    _find_data(arguments)
    check_boards(arguments.tensorboard, arguments.wandb)
    if arguments.restarts is not None and (arguments.restarts < 0 or ((arguments.nproc or 1) < 2 and arguments.ray is None)):
        raise InputError(f"--restarts {arguments.restarts}: expected 0 or more, with --nproc 2 or more, or with --ray")
    if arguments.ray is not None:
        return _run_on_ray(arguments)
    device = resolve_device(arguments.device)
    if arguments.nproc is not None and arguments.nproc > 1:
        _log(logging.WARNING)
        logs = _out(arguments) / "ranks"
        again = partial(_command_again, arguments)
        return launch_ranks(arguments.nproc, _command(arguments), logs, restarts=arguments.restarts or 0, again=again)
    try:
        _run_rank(arguments, str(device))
    except LostPeerError as error:
        if not launched_here():
            print(f"kinema: {error}", file=sys.stderr)
        sys.stderr.flush()
        return LOST_PEER
    return 0


def _find_data(arguments: argparse.Namespace) -> None:
    """The data of a run of a world that goes on, where none are named; InputError where nothing says what to learn from."""
    if arguments.data is None and arguments.resume is not None and arguments.recipe == "world":
        from kinema.training.begun_run import data_of_run

        known = data_of_run(arguments.resume)
        if known is not None:
            sources, camera = known
            arguments.data = [f"{folder}={weight!r}" for folder, weight in sources]
            arguments.camera = arguments.camera or camera
    if arguments.data is None:
        raise InputError(NEEDS_DATA[arguments.recipe])


def _data(arguments: argparse.Namespace) -> Data:
    """What --data says: a folder, or several with their weights."""
    from kinema.training.sources import parse_source

    sources = [parse_source(text) for text in arguments.data]
    return sources[0][0] if len(sources) == 1 else sources


def _run_rank(arguments: argparse.Namespace, device: str) -> None:
    """Train as this process alone, or as one of the ranks that a launcher has started."""
    from kinema.training.parallel import join_ranks

    with join_ranks(device) as (ranks, mine):
        _log(logging.INFO if ranks.first else logging.WARNING)
        line = Line()
        text = (_world if arguments.recipe == "world" else _video)(arguments, ranks, mine, line)
        if ranks.first:
            line.write(text, True)


def _run_on_ray(arguments: argparse.Namespace) -> int:
    """Train in processes of a Ray cluster."""
    from kinema.training.ray_ranks import RESTARTS, launch_ray_ranks
    from kinema.training.sharded_checkpoint import holds_run

    out = _out(arguments)
    if arguments.nproc is not None or "WORLD_SIZE" in os.environ:
        raise InputError("--ray N starts all processes of a run; leave out --nproc and torchrun")
    if arguments.resume is None and holds_run(out):
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    restarts = RESTARTS if arguments.restarts is None else arguments.restarts
    launch_ray_ranks(arguments.ray, partial(_run_rank, arguments), arguments.device, out, restarts)
    return 0


def _command(arguments: argparse.Namespace) -> list[str]:
    """The words of the same command for one of its processes."""
    words = ["train", arguments.recipe]
    for name, value in vars(arguments).items():
        if value is None or value is False or name in ("command", "recipe", "run", "nproc", "restarts"):
            continue
        for one in value if isinstance(value, list) else [value]:
            option = f"--{name.replace('_', '-')}"
            words += [option] if one is True else [option, str(one)]
    return words


def _command_again(arguments: argparse.Namespace) -> list[str]:
    """The same once a process has died: the run goes on from its last checkpoint, or begins anew where there is none yet."""
    from kinema.training.sharded_checkpoint import holds_run

    out = _out(arguments)
    again = {"resume": out, "begin": None, "few_steps": False}
    return _command(argparse.Namespace(**{**vars(arguments), **again}) if holds_run(out) else arguments)


def _common(arguments: argparse.Namespace, ranks: Ranks, device: str, line: Line) -> dict[str, Any]:
    """What both trainings take. A rank that a launcher has started anew goes on from the last checkpoint; a run that ranks of Ray
    find is theirs, as `_run_on_ray` has looked before."""
    from kinema.training.sharded_checkpoint import holds_run

    out = _out(arguments)
    restarts = arguments.ray is not None or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    return {
        "out": out,
        "minutes": arguments.minutes,
        "steps": arguments.steps,
        "resume": arguments.resume is not None or (restarts and holds_run(out)),
        "device": device,
        "show": line.write if ranks.first else None,
        "ranks": ranks,
        "tensorboard": arguments.tensorboard,
        "wandb": arguments.wandb,
    }


def _recipe(kind: type[R], arguments: argparse.Namespace, out: Path, resume: bool, **more: Any) -> R | None:
    """The recipe, where the command says something: its settings in place of those of the run in `out` that goes on, or of the
    usual ones; else None. more: settings besides those that all have."""
    from kinema.training.dit_trainer import recipe_of_run

    values = {name: getattr(arguments, name) for name in ("size", "batch", "parallel", "accumulate", "seed")}
    recompute = {"recompute": True} if arguments.recompute else {}
    given = {name: value for name, value in values.items() if value is not None} | recompute | more
    if arguments.text_encoder is not None:
        given["text_encoder"] = str(arguments.text_encoder)
    if not given:
        return None
    return replace(recipe_of_run(kind, out), **given) if resume else kind(**given)


def _world(arguments: argparse.Namespace, ranks: Ranks, device: str, line: Line) -> str:
    from kinema.training.recorded_world import train_world
    from kinema.training.sources import folder_name
    from kinema.training.world_lesson import WorldRecipe

    data = _data(arguments)
    common = _common(arguments, ranks, device, line)
    recipe = _recipe(WorldRecipe, arguments, common["out"], common["resume"])
    folder = train_world(data, recipe=recipe, camera=arguments.camera, **common)
    if isinstance(data, Path | str):
        return f"world written to {folder}; step into it: kinema play {folder}"
    worlds = sorted(folder_name(one) for one, _ in data)
    return f"worlds written to {folder}: {', '.join(worlds)}; step into one: kinema play {folder / worlds[0]}"


def _video(arguments: argparse.Namespace, ranks: Ranks, device: str, line: Line) -> str:
    from kinema.training.film_lesson import FEW_STEPS_SHARE, FilmRecipe
    from kinema.training.films import train_video

    for name in ("begin", "few-steps"):
        if arguments.resume is not None and getattr(arguments, name.replace("-", "_")) not in (None, False):
            raise InputError(f"--{name} goes with a new run, in an --out of its own; a run that goes on is what it began as")
    for name in ("size", "patch", "full", "frames", "short-side", "autoencoder", "text-encoder"):
        if arguments.begin is not None and getattr(arguments, name.replace("-", "_")) not in (None, False):
            raise InputError(f"--{name} does not go with --begin, whose model has its own; leave it out")
    names = ("patch", "frames", "lengths", "rates", "begin", "autoencoder", *OF_PICTURES)
    own = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    more: dict[str, Any] = {name: str(value) if isinstance(value, Path) else value for name, value in own.items()}
    more |= {"full": True} if arguments.full else {}
    more |= {"shortcut_share": FEW_STEPS_SHARE} if arguments.few_steps else {}
    common = _common(arguments, ranks, device, line)
    recipe = _recipe(FilmRecipe, arguments, common["out"], common["resume"], **more)
    folder = train_video(_data(arguments), recipe=recipe, **common)
    return f"model written to {folder}; film with it: kinema generate 'words' --model {folder}"


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
