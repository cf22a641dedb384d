"""kinema generate "a red ball rolls right and hits a blue box": film what you describe."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from kinema.cli.options import add_model, add_output, check_free, numbered, options, progress_bar, tell
from kinema.errors import InputError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("generate", help="film a description", description=__doc__)
    parser.add_argument("prompt", nargs="?", help="what happens; 'START-END: text | ...' in seconds is a storyboard")
    add_output(parser, "out.mp4")
    parser.add_argument("--seconds", type=float, default=None, help="length of the clip (default: 4)")
    parser.add_argument("--size", default=None, help="WIDTHxHEIGHT in pixels (default: the model's own)")
    parser.add_argument("--fps", type=float, default=None, help="frames a second (default: 16)")
    parser.add_argument("--image", type=Path, help="the first picture")
    parser.add_argument("--last", type=Path, help="the last picture")
    parser.add_argument("--count", type=int, default=1, help="how many clips, with seeds SEED, SEED + 1, ...")
    parser.add_argument("--from", dest="source", type=Path, metavar="CLIP", help="repeat with the settings kept in a clip")
    add_model(parser)
    parser.set_defaults(run=run)


def _repeat(arguments: argparse.Namespace) -> None:
    """Fill in from a clip's settings what the command line leaves open."""
    from kinema.media import Clip

    kept = Clip.open(arguments.source).settings
    if kept.get("layout") != "generate":
        raise InputError(
            f"{arguments.source} was made by {kept.get('layout', 'something else')!r}; only `generate` can be repeated"
        )
    if kept.get("pictures"):
        raise InputError(f"{arguments.source} was made from pictures, which it does not hold; give --image or --last again")
    arguments.seed = kept["seed"]
    for name in ("prompt", "model", "seconds", "size", "fps", "steps", "guidance"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, kept.get(name))


def run(arguments: argparse.Namespace) -> int:
    from kinema import api
    from kinema.media import Clip

    if arguments.source is not None:
        _repeat(arguments)
    if not (arguments.prompt or "").strip() and arguments.image is None:
        raise InputError('nothing to film: give a prompt, such as "a red ball rolls right and hits a blue box"')
    paths = numbered(arguments.output, arguments.count)
    for path in paths:
        check_free(path, arguments.force)
    begun = time.perf_counter()
    with progress_bar() as progress:
        clips = api.generate(
            arguments.prompt or "",
            model=arguments.model,
            seconds=4.0 if arguments.seconds is None else arguments.seconds,
            size=arguments.size,
            fps=16.0 if arguments.fps is None else arguments.fps,
            image=Clip.open(arguments.image) if arguments.image else None,
            last=Clip.open(arguments.last) if arguments.last else None,
            seed=arguments.seed,
            count=arguments.count,
            options=options(arguments),
            strict=arguments.strict,
            progress=progress,
        )
    for clip, path in zip(clips, paths, strict=True):
        clip.save(path, force=arguments.force)
        tell(clip, path, time.perf_counter() - begun)
    return 0
