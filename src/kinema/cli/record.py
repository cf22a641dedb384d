"""kinema record ENV_ID: record episodes of any Gymnasium environment, or take in a Minari dataset."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from kinema.cli.options import import_from_here, seed, whole
from kinema.errors import InputError, excerpt
from kinema.types import parse_json

MINARI = "minari:"
OF_ENVIRONMENTS = {"episodes": 20, "policy": "random", "most": None, "seed": 0, "options": "{}", "entities": None}
"""What is asked of an environment and not of a Minari dataset, and how it is by default."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("record", help="record a Gymnasium environment", description=__doc__)
    parser.add_argument("env", help="a Gymnasium id (MiniGrid-Empty-8x8-v0, ALE/Pong-v5, module:Id-v0), or minari:DATASET")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of the dataset; recording again adds to it (default: by id)"
    )
    parser.add_argument("--episodes", type=whole, help="how many (default: 20)")
    parser.add_argument(
        "--policy", metavar="random|FILE|MODULE:FUNCTION",
        help="random, a policy saved by Stable-Baselines3, or a function of yours from environment and seed to what acts"
        " (default: random)",
    )  # fmt: skip
    parser.add_argument(
        "--size", default="64x64", help="WIDTHxHEIGHT of the pictures kept, multiples of 16 (default: 64x64)"
    )
    parser.add_argument("--most", type=whole, help="frames after which an episode is cut off (default: ten minutes' worth)")
    parser.add_argument(
        "--seed",
        type=seed,
        help="of the first episode and what its policy draws; each further one has its own (default: 0)",
    )
    parser.add_argument("--options", help="for gymnasium.make, as JSON: '{\"frameskip\": 4}'")
    parser.add_argument(
        "--picture",
        help="where pictures come from: a key of the observation, 'observation' or 'render' (default: found out)",
    )
    parser.add_argument(
        "--entities", metavar="MODULE:FUNCTION",
        help="reads named numbers, such as ball.x, from the environment; none: not even those of known ones (default: known ones)",
    )  # fmt: skip
    parser.set_defaults(run=run, **OF_ENVIRONMENTS)


def run(arguments: argparse.Namespace) -> int:
    from kinema.cli.train import Line
    from kinema.datasets.recorder import record

    sides = re.fullmatch(r"(\d{2,4})x(\d{2,4})", arguments.size)
    if sides is None:
        raise InputError(f"--size {arguments.size!r}: expected WIDTHxHEIGHT, like 64x64")
    size = int(sides[2]), int(sides[1])
    try:
        options = parse_json(arguments.options)
        assert isinstance(options, dict)
    except (ValueError, AssertionError):
        raise InputError(
            f"--options {excerpt(repr(arguments.options))}: expected a JSON object, like '{{\"frameskip\": 4}}'"
        ) from None
    out = arguments.output or Path("out") / re.sub(r"[^A-Za-z0-9]+", "-", arguments.env).strip("-").lower()
    line = Line()
    import_from_here()
    if arguments.env.startswith(MINARI):
        given = [f"--{name}" for name, default in OF_ENVIRONMENTS.items() if getattr(arguments, name) != default]
        if given:
            raise InputError(f"{' and '.join(given)}: a Minari dataset is taken in as it is; leave this out")
        from kinema.datasets.minari import convert_minari

        writer = convert_minari(arguments.env.removeprefix(MINARI), out, size=size, picture=arguments.picture)
    else:
        writer = record(
            arguments.env,
            out,
            episodes_wanted=arguments.episodes,
            policy=arguments.policy,
            size=size,
            seed=arguments.seed,
            most=arguments.most,
            options=options,
            picture=arguments.picture,
            entities=arguments.entities,
            show=lambda done, of, frames: line.write(f"episode {done} of {of}, {frames:,} frames"),
        )
    total = writer.rows[-1]["dataset_to_index"] if writer.rows else 0
    line.write(f"{len(writer.rows)} episodes, {total:,} frames in {out}", True)
    return 0
