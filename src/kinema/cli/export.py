"""kinema export web WORLD -o FOLDER: a recorded world as static files that play in a browser, without a server.

kinema export web out/pong-run -o out/pong-web
python -m http.server --directory out/pong-web
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kinema.cli.options import up_to, words
from kinema.errors import InputError

MOST_STEPS = 64
"""As many as a recorded world takes (`kinema.envs.recorded`, which a test compares)."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "export", help="write a recorded world as a page that plays it", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    kinds = parser.add_subparsers(dest="kind", metavar="{web}", required=True)
    web = kinds.add_parser("web", help="static files that play in a browser", description=run.__doc__)
    web.add_argument("world", type=words, help="the folder of a world that kinema train world made, or of its run")
    web.add_argument("-o", "--output", type=Path, required=True, help="folder that is made")
    web.add_argument(
        "--runtime",
        type=Path,
        help="the npm package onnxruntime-web, as .tgz or unpacked folder (default: fetched by npm, once)",
    )
    web.add_argument("--steps", type=up_to(MOST_STEPS), default=1, help="of the sampler, each frame (default: 1)")
    web.add_argument(
        "--actions", metavar="NAME,NAME", help="what the choices are called, in order (default: as recorded, else numbers)"
    )
    web.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write a recorded world as static files that play in a browser, on any host of static files and without a network."""
    from kinema.envs.recorded import STARTS, recorded_model
    from kinema.envs.web import export_web, fetch_runtime
    from kinema.envs.web.export import HOST, check_folder
    from kinema.envs.web.graphs import check_packages
    from kinema.training.caches import cache_folder

    given = Path(arguments.world)
    folder = next((one for one in (given, given / "world") if (one / STARTS).is_file()), None)
    if folder is None:
        raise InputError(f"{given} is no recorded world; expected a folder that kinema train world made, with {STARTS}")
    check_folder(arguments.output)
    check_packages()
    model = recorded_model(folder, "cpu")
    runtime = arguments.runtime or fetch_runtime(cache_folder() / "npm")
    names = [name.strip() for name in arguments.actions.split(",")] if arguments.actions else []
    made = export_web(model, arguments.output, runtime=runtime, steps=arguments.steps, action_names=names)
    print(f"{made.folder}: {made.beginnings} beginnings, {made.bytes / 1e6:.1f} MB, onnxruntime-web {made.runtime}")
    print(f"play it: {HOST} --directory {made.folder}")
    return 0
