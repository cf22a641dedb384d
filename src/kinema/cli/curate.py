"""kinema curate IN OUT: cut films into shots, drop those that teach little, caption the others, and show what was kept and why."""

from __future__ import annotations

import argparse
from pathlib import Path

from kinema.cli.options import number, whole


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("curate", help="make a set of captioned clips of raw films", description=__doc__)
    parser.add_argument(
        "source",
        metavar="IN",
        help="a folder of films, with texts beside them or without; WebDataset shards; an address of either",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the clips and of report.html; a killed run goes on")
    parser.add_argument(
        "--caption", metavar="URL", help="a server with OpenAI's chat completions; its key: KINEMA_CAPTION_KEY"
    )
    parser.add_argument("--caption-model", metavar="NAME", help="the vision model that it shall use")
    parser.add_argument("--shards", action="store_true", help="write WebDataset shards instead of videos and metadata.jsonl")
    parser.add_argument(
        "--short-side", type=whole, default=720, metavar="PX", help="most pixels of the shorter side (default: 720)"
    )
    parser.add_argument(
        "--ray", action="store_true",
        help="measure and write on all machines of the Ray cluster that RAY_ADDRESS names, or on all cores of this one",
    )  # fmt: skip
    parser.add_argument("--shortest", type=number, metavar="S", help="seconds below which a shot is dropped (default: 1)")
    parser.add_argument(
        "--longest", type=number, metavar="S", help="seconds above which a shot is cut in pieces (default: 20)"
    )
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=NUMBER",
        help="another limit: motion=8 (least), shake=1.5, blur=0.72, text=0.06 (most), side=48 (least pixels); may be repeated",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from kinema.cli.train import Line
    from kinema.curation.captioner import Captioner
    from kinema.curation.curate import curate
    from kinema.curation.decide import parse_limits
    from kinema.errors import InputError

    if (arguments.caption is None) != (arguments.caption_model is None):
        raise InputError("--caption URL and --caption-model NAME go together")
    line = Line()
    result = curate(
        arguments.source,
        arguments.out,
        limits=parse_limits(arguments.limit, shortest_s=arguments.shortest, longest_s=arguments.longest),
        captioner=None if arguments.caption is None else Captioner(arguments.caption, arguments.caption_model),
        shards=arguments.shards,
        short_side=arguments.short_side,
        cluster=arguments.ray,
        show=lambda stage, done, of: line.write(f"{stage}: {done}/{of}", done == of),
    )
    dropped = ", ".join(f"{name} {count}" for name, count in sorted(result.dropped.items(), key=lambda item: -item[1]))
    print(f"{result.out}  {len(result.clips)} clips of {result.films} films" + (f"; dropped: {dropped}" if dropped else ""))
    print(f"{result.report}  shows what was kept and what was dropped")
    return 0
