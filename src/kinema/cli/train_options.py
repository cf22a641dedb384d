"""Options and help of kinema train: those of all recipes, and of each recipe its own."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from kinema.cli.options import add_device, filled, number, path, positive, seed, whole

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
    ("world", "batch"): "rows of a batch, all processes together (default: 4)",
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """All that kinema train takes."""
    parser.add_argument("-h", "--help", action=HelpWithRecipes, help="show this help message and exit")
    _add_run(parser)
    _add_model(parser)
    _add_processes(parser)
    add_device(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    """What is trained, on what, and for how long."""
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


def _add_model(parser: argparse.ArgumentParser) -> None:
    """The network, its parts, and the clips that it is shown."""
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


def _add_processes(parser: argparse.ArgumentParser) -> None:
    """Batches, processes, and where figures go."""
    parser.add_argument(
        "--batch", type=positive, help="for world and video: rows of a batch, all processes together (default: 4, 8)"
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
