"""kinema export web WORLD -o FOLDER: a world as static files that play in a browser, without a server.

kinema export web out/pong-run -o out/pong-web
kinema export web kinema-tiny -o out/tiny-web
python -m http.server --directory out/pong-web
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kinema.cli.options import filled, up_to, words
from kinema.errors import InputError

MOST_STEPS = 64
"""As many as a recorded world takes (`kinema.envs.recorded`, which a test compares)."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "export", help="write a world as a page that plays it", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    kinds = parser.add_subparsers(dest="kind", metavar="{web}", required=True)
    web = kinds.add_parser("web", help="static files that play in a browser", description=run.__doc__)
    web.add_argument(
        "world",
        type=filled,
        help="the folder of a world that kinema train world made, or of its run; or a model such as kinema-tiny",
    )
    web.add_argument("-o", "--output", type=Path, required=True, help="folder that is made")
    web.add_argument(
        "--runtime",
        type=Path,
        help="the npm package onnxruntime-web, as .tgz or unpacked folder (default: fetched by npm, once)",
    )
    web.add_argument("--steps", type=up_to(MOST_STEPS), help="of the sampler, each frame of a recorded world (default: 1)")
    web.add_argument(
        "--actions", metavar="NAME,NAME", help="what the choices are called, in order (default: as recorded, else numbers)"
    )
    web.add_argument(
        "--begin", action="append", type=words, metavar="WORDS", help="what a world of a model begins with; may be repeated"
    )
    web.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write a world as static files that play in a browser, on any host of static files and without a network."""
    from kinema.cli.play import refuse_several, refuse_unused
    from kinema.envs.recorded import recorded_model
    from kinema.envs.starts import STARTS, world_folders
    from kinema.envs.web import export_live_web, export_web, fetch_runtime
    from kinema.envs.web.export import HOST, check_folder
    from kinema.envs.web.graphs import check_packages
    from kinema.envs.web.live import BEGINNINGS
    from kinema.inference.canvas_io import resolve_model
    from kinema.models.hub import CONFIG, available_models
    from kinema.training.caches import cache_folder

    given = Path(arguments.world)
    folders = world_folders(given) if arguments.world else []
    refuse_several(given, folders, "export one: kinema export web")
    folder = folders[0] if folders else None
    if folder is None and arguments.world not in available_models() and not (given / CONFIG).is_file():
        raise InputError(
            f"{given} is no recorded world; expected a folder that kinema train world made, with {STARTS}, or a model such as"
            " kinema-tiny"
        )
    check_folder(arguments.output)
    check_packages()
    if folder is not None:
        refuse_unused(arguments, ("begin",), "a recorded world")
        model = recorded_model(folder, "cpu")
    else:
        refuse_unused(arguments, ("steps", "actions"), "a world of a model with slots")
        live = resolve_model(arguments.world, "cpu")
    runtime = arguments.runtime or fetch_runtime(cache_folder() / "npm")
    if folder is not None:
        names = [name.strip() for name in arguments.actions.split(",")] if arguments.actions else []
        steps = arguments.steps or 1
        made = export_web(model, arguments.output, runtime=runtime, steps=steps, action_names=names)
    else:
        made = export_live_web(live, arguments.output, runtime=runtime, texts=arguments.begin or BEGINNINGS)
    print(f"{made.folder}: {made.beginnings} beginnings, {made.bytes / 1e6:.1f} MB, onnxruntime-web {made.runtime}")
    print(f"play it: {HOST} --directory {made.folder}")
    return 0
