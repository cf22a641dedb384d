"""kinema generate "a red ball rolls right and hits a blue box": film what you describe."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from kinema.cli.options import (
    add_engine,
    add_model,
    add_output,
    add_size,
    check_output,
    engine_from,
    number,
    numbered,
    options,
    progress_bar,
    tell,
    whole,
    words,
)
from kinema.errors import InputError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("generate", help="film a description", description=__doc__)
    parser.add_argument(
        "prompt", nargs="?", type=words, help="what happens; 'START-END: text | ...' in seconds is a storyboard"
    )
    add_output(parser, "out.mp4")
    parser.add_argument(
        "--seconds", type=number, default=None, help="length of the clip (default: 4, or as the model films)"
    )
    add_size(parser, "that of the picture given, else the model's own")
    parser.add_argument("--fps", type=number, default=None, help="frames a second (default: 16, or as the model films)")
    parser.add_argument("--image", type=Path, help="the first picture")
    parser.add_argument("--last", type=Path, help="the last picture")
    parser.add_argument("--count", type=whole, default=1, help="how many clips, with seeds SEED, SEED + 1, ...")
    parser.add_argument("--from", dest="source", type=Path, metavar="CLIP", help="repeat with the settings kept in a clip")
    add_model(parser)
    add_engine(parser)
    parser.set_defaults(run=run, seed=None)


STORED: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    "model": (str,),
    "seed": (int,),
    "seconds": (int, float),
    "size": (str,),
    "fps": (int, float),
    "steps": (int,),
    "candidates": (int,),
    "film_steps": (int,),
    "guidance": (int, float),
}
"""The settings that repeat a clip, and what they may be."""


def _repeat(arguments: argparse.Namespace) -> None:
    """Fill in from a clip's settings what the command line leaves open."""
    from kinema.engines.native import is_native
    from kinema.media import Clip

    source = arguments.source
    settings = Clip.open(source, first=1).settings
    if settings.get("layout") != "generate":
        raise InputError(
            f"{source} was made by {settings.get('layout', 'something else')!r}; only `generate` can be repeated"
        )
    if settings.get("pictures") and arguments.image is None and arguments.last is None:
        raise InputError(f"{source} was made from pictures, which it does not hold; give --image or --last again")
    settings = {"candidates": 1, **settings}
    own = arguments.model is None or is_native(arguments.model)
    for name, kinds in STORED.items():
        if name in ("candidates", "film_steps") and not own:
            continue  # another model is to film the same
        if not isinstance(settings.get(name), kinds):
            raise InputError(f"{source} cannot be repeated: it holds no {name.replace('_', ' ')}; give a prompt instead")
        if getattr(arguments, name, None) is None:
            setattr(arguments, name, settings[name])


def run(arguments: argparse.Namespace) -> int:
    from kinema import api

    if arguments.source is not None:
        _repeat(arguments)
    if not (arguments.prompt or "").strip() and arguments.image is None and arguments.last is None:
        raise InputError('nothing to film: give a prompt, such as "a red ball rolls right and hits a blue box"')
    if not 1 <= arguments.count <= 1000:
        raise InputError(f"--count {arguments.count}: expected at least 1 and up to 1000")
    still = arguments.seconds is not None and arguments.seconds * (arguments.fps or 16.0) < 1.5
    paths = numbered(arguments.output, arguments.count)
    for path in paths:
        check_output(path, arguments.force, still=still)
    begun = time.perf_counter()
    with progress_bar() as progress:
        clips = api.generate(
            arguments.prompt or "",
            model=engine_from(arguments),
            seconds=arguments.seconds,
            size=arguments.size,
            fps=arguments.fps,
            image=Path(arguments.image) if arguments.image else None,
            last=Path(arguments.last) if arguments.last else None,
            seed=arguments.seed or 0,
            count=arguments.count,
            options=options(arguments, steps=False),
            steps=arguments.steps,
            guidance=arguments.guidance,
            strict=arguments.strict,
            negative_prompt=arguments.negative,
            loras=arguments.lora,
            progress=progress,
        )
    for clip, path in zip(clips, paths, strict=True):
        clip.save(path, force=arguments.force)
        tell(clip, path, time.perf_counter() - begun)
    return 0
