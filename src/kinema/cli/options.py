"""Arguments that several verbs share, and how progress and results are printed."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.engines import Engine
    from kinema.inference.pipeline import Progress
    from kinema.inference.sampling import SamplingConfig
    from kinema.media import Clip
    from kinema.models.hub import Model


MOST_STEPS, MOST_CANDIDATES = 1000, 16
"""As many as a sampler takes (`kinema.inference.sampling`, which a test compares)."""
MOST = 1e9
"""More than any number that makes sense here, and small enough to count frames with."""


def number(text: str) -> float:
    """A number up to a billion; argparse turns the error into the one line that is shown."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from {-MOST:,.0f} to {MOST:,.0f}")
    return value


def words(text: str) -> str:
    """A prompt as it was typed, also where the locale knows few letters and Python keeps the others as single bytes."""
    return os.fsencode(text).decode("utf-8", "replace") if any("\udc80" <= c <= "\udcff" for c in text) else text


def filled(text: str) -> str:
    """A text as it was typed; a blank one is no wish for the default."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; give it a value, or leave it out")
    return words(text)


def path(text: str) -> Path:
    """A file or folder, with the bytes that were typed; an empty text would be the current folder."""
    filled(text)
    return Path(text)


def model_name(text: str) -> str:
    """The name of a model; a blank one is no wish for the default."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name of the model is empty; leave it out for the default")
    return text


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number") from None


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 or more")
    return value


def up_to(most: int) -> Callable[[str], int]:
    """A whole number from 1 to `most`."""

    def parse(text: str) -> int:
        value = whole(text)
        if not 1 <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to {most}")
        return value

    return parse


def seed(text: str) -> int:
    value = whole(text)
    if not 0 <= value < 2**62:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0 to {2**62 - 1}")
    return value


def import_from_here() -> None:
    """Let `module:Id-v0` name a module in the current folder, after those that are installed."""
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path(default), help=f"where to write (default: {default})")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")


DEVICE_HELP = "auto, cpu, cuda or mps; auto is the first there is of cuda, mps, cpu"


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help=f"{DEVICE_HELP} (default: auto)")


def add_size(parser: argparse.ArgumentParser, default: str = "the model's own") -> None:
    parser.add_argument(
        "--size",
        default=None,
        help=f"WIDTHxHEIGHT in pixels, one that `kinema models` lists or between (default: {default})",
    )


def model_from(arguments: argparse.Namespace) -> Model:
    """The model of --model, on the device of --device."""
    from kinema.inference.canvas_io import resolve_model

    return resolve_model(arguments.model, arguments.device)


def engine_from(arguments: argparse.Namespace) -> Engine:
    """The engine of --model, on the device of --device."""
    from kinema.engines.native import engine_for

    return engine_for(arguments.model, device=arguments.device)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """What open models take besides."""
    parser.add_argument(
        "--negative", type=words, default="", metavar="TEXT", help="what is not to be seen, for models that take it"
    )
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE=SCALE",
        help="a LoRA file, for models that take some; may be repeated",
    )


def add_model(
    parser: argparse.ArgumentParser,
    steps: str = "steps of the sampler (default: the model's own; of kinema-tiny 16, to extend without words 1; 4 is fast)",
) -> None:
    """steps: the help of --steps."""
    parser.add_argument(
        "--model",
        type=model_name,
        default=None,
        help="the name of a model (kinema models), a folder or a server's address (default: kinema-tiny)",
    )
    add_device(parser)
    parser.add_argument("--seed", type=seed, default=0, help="the same seed on the same machine gives the same clip")
    parser.add_argument("--steps", type=up_to(MOST_STEPS), default=None, help=steps)
    parser.add_argument(
        "--candidates",
        type=up_to(MOST_CANDIDATES),
        default=None,
        help="for kinema-tiny and its kind: plans of which the best is filmed; they share the steps (default: 4)",
    )
    parser.add_argument(
        "--guidance",
        type=number,
        default=None,
        help="how hard the text pulls; 1: not at all (default: the model's own; of kinema-tiny 2)",
    )
    parser.add_argument("--strict", action="store_true", help="refuse words that the model does not know")


def options(arguments: argparse.Namespace, *, steps: bool = True) -> SamplingConfig | None:
    """The sampler options that were given; None if none were, so that each command uses its own defaults. steps: with the steps
    and the guidance, which all models know."""
    from kinema.inference.sampling import SamplingConfig

    names = {
        "steps": "num_plan_steps",
        "candidates": "num_candidates",
        "film_steps": "num_render_steps",
        "guidance": "guidance_scale",
    }
    taken = names if steps else {name: new for name, new in names.items() if name not in ("steps", "guidance")}
    given = {new: getattr(arguments, name, None) for name, new in taken.items()}
    chosen = {name: value for name, value in given.items() if value is not None}
    return SamplingConfig(**chosen) if chosen else None


def check_output(path: Path, force: bool, *, still: bool = False) -> None:
    """Refuse early, before any work, what `Clip.save` would refuse after it."""
    from kinema.media.write import check_ending, check_free

    check_free(path, force=force)
    check_ending(path, still=still)


def numbered(path: Path, count: int) -> list[Path]:
    """out.mp4, or out-1.mp4 ... out-N.mp4."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i + 1}{path.suffix}") for i in range(count)]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr for what takes longer than a moment; silent where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, int] = {}

        def show(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=of)
            bars.update(tasks[stage], completed=done, total=of)  # type: ignore[arg-type]

        yield show


def tell(clip: Clip, path: Path, seconds: float) -> None:
    from kinema.inference.familiarity import FOREIGN
    from kinema.media.write import VIDEOS

    length = "" if clip.num_frames == 1 else f", {clip.duration_s:.1f} s at {clip.fps:g} fps"
    heard = ", with sound" if clip.sound is not None and path.suffix.lower() in VIDEOS else ""
    print(f"{path}  {clip.size}{length}{heard}, made in {seconds:.1f} s")
    if FOREIGN in clip.settings:
        print(f"note: {clip.settings[FOREIGN]}")


def parse_at(text: str) -> tuple[Path, float]:
    """'a.png@1.5' -> (a.png, 1.5)."""
    name, sign, second = text.rpartition("@")
    try:
        if not sign or not name:
            raise ValueError
        at_s = float(second)
        if not 0 <= at_s <= MOST:
            raise ValueError
    except ValueError:
        raise InputError(f"{text!r}: expected PICTURE@SECONDS from 0 on, such as a.png@1.5") from None
    return Path(name), at_s
