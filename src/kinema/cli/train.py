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
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.cli.options import add_device, filled, number, path, positive, seed, whole
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
    parser.add_argument("-h", "--help", action=HelpWithRecipes, help="show this help message and exit")
    parser.add_argument("recipe", help="one of the recipes below; RECIPE --help shows its options")
    parser.add_argument(
        "--data",
        action="append",
        metavar="DIR",
        help="for world: a dataset of kinema record or LeRobot; for video: a folder of videos with texts, or such a dataset; for"
        " autoencoder: either; also an address such as s3://bucket/pong; may be repeated, for one model of all, with weights as in"
        " DIR=2",
    )
    parser.add_argument("--out", type=Path, help="folder of the run (default: out/train-RECIPE)")
    parser.add_argument("--minutes", type=number, help="time budget above 0, simulating episodes included")
    parser.add_argument("--steps", type=whole, help="length of the run in steps, 1 or more, instead of the recipe's")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("--camera", help="for world: the camera of a dataset with several, such as top (default: the first)")
    parser.add_argument(
        "--size",
        help="for world and video: of the network: XXS, XS, S, B, L or XL, for video 5.5, 9.3, 37.5, 142, 484 or 1423 million"
        " parameters, for world 3.6, 6.3, 26, 102, 348 or 1027 and more with tasks or numbers (default: XXS, XS)",
    )
    parser.add_argument(
        "--patch",
        type=whole,
        help="for video: latents along one side of a token; 1 draws small things, at four times the cost of 2 (default: 2)",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="for video: blocks attend to all tokens of all frames at once, in place of inside frames and along time; dearer in"
        " long films",
    )
    parser.add_argument(
        "--begin",
        metavar="MODEL",
        help="for video: begin with the weights of a model that films, by its name, folder or run; its size, patch, frames,"
        " sides, autoencoder and text encoder are kept",
    )
    parser.add_argument(
        "--few-steps",
        action="store_true",
        help="for video: teach long steps too, so that films of 1, 2, 4 or 8 steps get nearer to those of many; with --begin, of a"
        " model that is finished",
    )
    parser.add_argument(
        "--text-encoder",
        type=path,
        metavar="DIR",
        help="for world and video: a text encoder of transformers on this machine, such as UMT5, Qwen or BERT, which the model"
        " needs ever after (default: MiniLM, which comes with Kinema)",
    )
    parser.add_argument(
        "--frames",
        type=whole,
        help="for video: the most frames of a clip that are learned at once, 2 or more; latents, where --autoencoder has ones of"
        " several frames (default: 12)",
    )
    parser.add_argument(
        "--lengths",
        type=positive,
        help="for video: among how many lengths clips vary, --frames, a half of it, a quarter, so that short ones are used"
        " (default: 3)",
    )
    parser.add_argument(
        "--rates",
        type=positive,
        help="for video: among how many rates clips vary, their own, a half of it, a third (default: 2)",
    )
    parser.add_argument(
        "--autoencoder",
        type=path,
        metavar="DIR",
        help="for video: a folder of kinema train autoencoder, or one of diffusers with AutoencoderKLWan, AutoencoderKLLTXVideo or"
        " AutoencoderKL (default: codec-8x8, which comes with Kinema)",
    )
    parser.add_argument(
        "--short-side",
        type=positive,
        metavar="PX",
        help="for video and autoencoder: pixels of the shorter side of clips (default: 64)",
    )
    parser.add_argument(
        "--time-factor",
        type=positive,
        metavar="F",
        help="for autoencoder: frames that a latent stands for, 1, 2 or 4 (default: 4)",
    )
    parser.add_argument(
        "--channels", type=positive, metavar="N", help="for autoencoder: numbers of a latent of 8x8 pixels (default: 24)"
    )
    parser.add_argument(
        "--batch", type=positive, help="for world and video: rows of a batch, all processes together (default: 6, 8)"
    )
    parser.add_argument(
        "--nproc", type=positive, metavar="N", help="for world and video: train in so many processes, one a GPU"
    )
    parser.add_argument(
        "--ray",
        type=positive,
        metavar="N",
        help="for world and video: train in so many processes of the Ray cluster that RAY_ADDRESS names, or of one started here",
    )
    parser.add_argument(
        "--restarts",
        type=whole,
        metavar="K",
        help="for world and video: with --nproc or --ray, how often all processes start anew from the last checkpoint after one has"
        " died (default: 0, with --ray 3)",
    )
    parser.add_argument(
        "--parallel",
        help="for world and video: replicate: each process holds all weights (the default); shard: a share of them; hybrid: a share"
        " of its machine's",
    )
    parser.add_argument(
        "--accumulate",
        type=positive,
        metavar="N",
        help="for world and video: pass each process's rows in so many parts, to save memory",
    )
    parser.add_argument(
        "--seed", type=seed, help="for world, video and autoencoder: of the weights' beginning and of the noise (default: 0)"
    )
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="for world and video: compute blocks again in the backward pass, to save memory",
    )
    parser.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="for world and video: write each step's figures there"
    )
    parser.add_argument(
        "--wandb",
        type=filled,
        metavar="PROJECT",
        help="for world and video: send each step's figures to this project at Weights & Biases; WANDB_MODE=offline sends nothing",
    )
    add_device(parser)
    parser.set_defaults(run=run)


NEEDS_DATA = {
    "world": "train world needs --data DIR, a dataset made by kinema record",
    "autoencoder": "train autoencoder needs --data DIR, a folder as for train video, or a dataset made by kinema record",
    "video": "train video needs --data DIR, a folder of videos with a text beside each, such as kinema curate makes",
}
TOGETHER = (
    *("size", "batch", "text_encoder", "nproc", "ray", "restarts", "parallel", "accumulate", "recompute", "tensorboard"),
    *("wandb", "seed"),
)
"""Options of world and video alone."""
OF_VIDEO = ("patch", "frames", "lengths", "rates", "full", "begin", "few_steps", "autoencoder")
OF_AUTOENCODER, OF_PICTURES = ("time_factor", "channels"), ("short_side",)
"""Options of video alone, of autoencoder alone, and of both."""


ABOUT = {
    "world": (
        "A world that is played: trained on recordings of an environment, pictures with the actions taken in them.",
        "kinema record MiniGrid-Empty-8x8-v0 -o out/empty\n"
        "  kinema train world --data out/empty --minutes 30 --out out/empty-run\n"
        "  kinema play out/empty-run",
    ),
    "video": (
        "A model that films what captioned clips show: trained on a folder of videos with a text beside each.",
        "kinema curate holiday/ out/clips\n"
        "  kinema train video --data out/clips --minutes 60 --out out/holiday\n"
        "  kinema generate 'waves on a beach' --model out/holiday/film -o waves.mp4",
    ),
    "autoencoder": (
        "An autoencoder of your own footage, for models that film: trained on a folder of videos or on a recording.",
        "kinema train autoencoder --data out/clips --time-factor 4 --minutes 60 --out out/codec\n"
        "  kinema train video --data out/clips --autoencoder out/codec/autoencoder --out out/holiday",
    ),
}
"""What `kinema train RECIPE --help` says of the recipes that learn from data, and an example."""
REPEATED = "may be repeated, for one model of all, with weights as in DIR=2"
WORDING = {
    ("world", "data"): f"a dataset of kinema record or LeRobot; {REPEATED}",
    ("video", "data"): f"a folder of videos with texts, WebDataset shards or a LeRobot dataset; {REPEATED}",
    ("autoencoder", "data"): f"a folder of videos, WebDataset shards, or a dataset of kinema record or LeRobot; {REPEATED}",
    ("autoencoder", "resume"): "go on with the run in this folder, with the same --data",
    ("autoencoder", "minutes"): "time budget above 0 (default: 30; with --steps, none)",
    ("autoencoder", "steps"): "length of the run in steps, 1 or more",
    ("world", "resume"): "go on with the run in this folder, which knows its --data",
    ("video", "resume"): "go on with the run in this folder, with the same --data",
    ("world", "minutes"): "time budget above 0, the training of the autoencoder included (default: 60)",
    ("video", "minutes"): "time budget above 0, besides the minutes in which clips are encoded, once (default: 60)",
    ("world", "steps"): "length of the run in steps, 1 or more",
    ("video", "steps"): "length of the run in steps, 1 or more",
    ("world", "size"): "of the network, XXS, XS, S, B, L or XL: 3.6, 6.3, 26, 102, 348 or 1027 million parameters, and more"
    " with tasks or numbers (default: XXS)",
    ("video", "size"): "of the network, XXS, XS, S, B, L or XL: 5.5, 9.3, 37.5, 142, 484 or 1423 million parameters"
    " (default: XS)",
    ("world", "batch"): "rows of a batch, all processes together (default: 6)",
    ("video", "batch"): "rows of a batch, all processes together (default: 8)",
}
"""Help of an option for one recipe, where it differs from that for all."""


class HelpWithRecipes(argparse.Action):
    """Prints the help with a list of all recipes; after the name of one, its own: what it is, its options, an example. Recipes are
    imported only then, which takes seconds."""

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

        made = {name: " ".join((make.__doc__ or "").split()) for name, make in RECIPES.items()}
        recipe = getattr(namespace, "recipe", None)
        if recipe in ABOUT or recipe in made:
            described, example = ABOUT.get(recipe) or (made[recipe], f"kinema train {recipe} --minutes 60")
            _show_options_of(parser, recipe)
            parser.description, parser.epilog = described, f"example:\n  {example}"
        else:
            listed = ((name, text.split(". ")[0].rstrip(".")) for name, text in made.items())
            parser.epilog = "recipes:\n" + "\n".join(
                f"  {name:18} {text}" for name, text in (*((name, text) for name, (text, _) in ABOUT.items()), *listed)
            )
        parser.print_help()
        parser.exit()


def _show_options_of(parser: argparse.ArgumentParser, recipe: str) -> None:
    """Hide what one recipe does not take: "for NAME, NAME and NAME: " before the help of an option says which do; else all do."""
    parser.prog = f"{parser.prog} {recipe}"
    for action in parser._actions:
        named = re.match(r"for ((?:\w+(?:, | and ))*\w+): ", action.help or "")
        if (recipe, action.dest) in WORDING:
            action.help = WORDING[recipe, action.dest]
        elif action.dest == "recipe" or (named is not None and recipe not in re.split(", | and ", named[1])):
            action.help = argparse.SUPPRESS
        elif named is not None and action.help is not None:
            action.help = action.help[named.end() :]
        if action.dest == "out" and action.help is not None:
            action.help = action.help.replace("RECIPE", recipe)


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
        from kinema.training.recorded_world import data_of_run

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
    from kinema.training.recordings import WorldRecipe
    from kinema.training.sources import folder_name

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
