"""Verbs that take clips and give a clip: extend, infill, blend, interpolate, edit, upscale, and image, a clip of one frame."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import (
    add_model,
    add_output,
    add_size,
    check_output,
    engine_from,
    number,
    options,
    parse_at,
    progress_bar,
    tell,
    words,
)
from kinema.errors import InputError
from kinema.inference.editing import EDIT_STRENGTH

if TYPE_CHECKING:
    from kinema.media import Clip


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def verb(name: str, text: str, default: str = "out.mp4") -> argparse.ArgumentParser:
        parser = subparsers.add_parser(name, help=text, description=text)
        add_output(parser, default)
        add_model(parser)
        sizes = {"image": "the model's own", "upscale": "twice the clip's"}
        add_size(parser, sizes.get(name, "that of what is given, or one near that the model films"))
        parser.set_defaults(run=run, verb=name)
        return parser

    parser = verb("extend", "make a clip longer, after its end or before its beginning")
    parser.add_argument("clip", type=Path)
    parser.add_argument("prompt", nargs="?", default="", type=words)
    parser.add_argument("--seconds", type=number, default=2.0, help="how much more (default: 2)")
    parser.add_argument("--before", action="store_true", help="lead up to the clip instead")
    parser = verb("infill", "fill the film between pictures given as PICTURE@SECONDS")
    parser.add_argument(
        "pictures", nargs="+", metavar="PICTURE@SECONDS", help="two or more; a last word without @ is the prompt"
    )
    parser.add_argument("--fps", type=number, default=16.0)
    parser = verb("blend", "lead from one clip into another")
    parser.add_argument("clip", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("prompt", nargs="?", default="", type=words)
    parser.add_argument("--seconds", type=number, default=2.0, help="length of the passage (default: 2)")
    parser = verb("interpolate", "raise a clip's frame rate")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--fps", type=number, required=True)
    parser = verb("edit", "remake a clip by a new prompt")
    parser.add_argument("clip", type=Path)
    parser.add_argument("prompt", type=words)
    parser.add_argument(
        "--strength", type=number, default=EDIT_STRENGTH, help=f"near 0 keeps all, 1 nothing (default: {EDIT_STRENGTH})"
    )
    parser.add_argument("--mask", type=Path, help="a picture of the clip's size, white where it may change")
    parser = verb("upscale", "show a clip larger, drawn finer")
    parser.add_argument("clip", type=Path)
    parser.add_argument("prompt", nargs="?", default="", type=words)
    parser.add_argument(
        "--strength", type=number, help="of models that edit: near 0 keeps the enlarged pixels (default: 0.3)"
    )
    parser = verb("image", "one still picture", "out.png")
    parser.add_argument("prompt", type=words)


def run(arguments: argparse.Namespace) -> int:
    check_output(arguments.output, arguments.force, still=arguments.verb == "image")
    begun = time.perf_counter()
    clip = _make(arguments)
    clip.save(arguments.output, force=arguments.force)
    tell(clip, arguments.output, time.perf_counter() - begun)
    return 0


def _make(arguments: argparse.Namespace) -> Clip:
    from kinema import api

    common = {
        "model": engine_from(arguments),
        "size": arguments.size,
        "seed": arguments.seed,
    }
    if arguments.verb == "interpolate":
        common["options"] = options(arguments)
    else:
        common |= {"options": options(arguments, steps=False), "steps": arguments.steps, "guidance": arguments.guidance}
    if arguments.verb == "image":
        return api.image(arguments.prompt, strict=arguments.strict, **common)
    with progress_bar() as progress:
        common["progress"] = progress
        if arguments.verb == "infill":
            prompt = arguments.pictures.pop() if "@" not in arguments.pictures[-1] else ""
            placed = [parse_at(text) for text in arguments.pictures]
            if not placed:
                raise InputError("no picture was given; expected two or more as PICTURE@SECONDS, such as a.png@0 b.png@1.5")
            return api.infill(placed, prompt, fps=arguments.fps, strict=arguments.strict, **common)
        clip = Path(arguments.clip)
        if arguments.verb == "extend":
            return api.extend(
                clip, arguments.prompt, seconds=arguments.seconds, before=arguments.before, strict=arguments.strict, **common
            )
        if arguments.verb == "blend":
            other = Path(arguments.other)
            return api.blend(clip, other, arguments.prompt, seconds=arguments.seconds, strict=arguments.strict, **common)
        if arguments.verb == "interpolate":
            return api.interpolate(clip, fps=arguments.fps, **common)
        if arguments.verb == "upscale":
            return api.upscale(clip, arguments.prompt, strength=arguments.strength, **common)
        mask = Path(arguments.mask) if arguments.mask else None
        return api.edit(clip, arguments.prompt, strength=arguments.strength, mask=mask, strict=arguments.strict, **common)
