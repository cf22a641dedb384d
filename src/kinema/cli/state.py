"""perceive: the state of a clip as JSON. render: a clip from such a state. restyle: the same by another model."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import (
    add_engine,
    add_model,
    add_output,
    add_size,
    check_output,
    engine_from,
    model_from,
    number,
    options,
    progress_bar,
    tell,
    words,
)
from kinema.errors import KinemaError, MediaError

if TYPE_CHECKING:
    from kinema.scene.scene import Scene


WORLD_FILES = (".kinema", ".world")
"""Endings of saved worlds."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("perceive", help="read what is in a clip", description="Write a clip's state as JSON.")
    parser.add_argument("clip", type=Path)
    add_output(parser, "state.json")
    add_model(parser)
    add_size(parser, "the model's own height, as wide as the clip's shape asks for")
    parser.set_defaults(run=run_perceive)
    parser = subparsers.add_parser("render", help="film a state", description="Film a state that `perceive` wrote.")
    parser.add_argument("state", type=Path, help="a state that `perceive` wrote, or a saved world (.kinema)")
    add_size(parser)
    add_output(parser, "out.mp4")
    add_model(parser)
    parser.set_defaults(run=run_render)
    parser = subparsers.add_parser(
        "restyle", help="film a state anew with another model",
        description="Film a state, or a clip's, anew with a model that it steers: Kinema keeps who is where, the model paints.",
    )  # fmt: skip
    parser.add_argument("source", type=Path, help="a state that `perceive` wrote, a saved world (.kinema), or a clip")
    parser.add_argument("prompt", type=words, help="what the new film shows")
    parser.add_argument(
        "--control", choices=("coarse", "depth", "segments", "edges"), default=None,
        help="what of the state steers the model (default: the first that it takes)",
    )  # fmt: skip
    parser.add_argument(
        "--strength", type=number, default=None, help="of models that go by a film: near 0 keeps it, 1 nothing"
    )
    add_size(parser)
    add_output(parser, "out.mp4")
    add_model(parser)
    add_engine(parser)
    parser.set_defaults(run=run_restyle)


def run_perceive(arguments: argparse.Namespace) -> int:
    from kinema import api
    from kinema.media import write_text
    from kinema.media.write import check_free

    check_free(arguments.output, force=arguments.force)
    begun = time.perf_counter()
    scene = api.perceive(
        Path(arguments.clip),
        model=model_from(arguments),
        size=arguments.size,
        seed=arguments.seed,
        options=options(arguments),
    )
    write_text(arguments.output, scene.to_json(), force=arguments.force)
    seen = ", ".join(scene.name(slot) for slot in scene.entities) or "nothing"
    print(f"{arguments.output}  {seen}; {scene.num_frames} frames, read in {time.perf_counter() - begun:.1f} s")
    return 0


def run_render(arguments: argparse.Namespace) -> int:
    from kinema import api

    scene = read_state(arguments.state)
    check_output(arguments.output, arguments.force, still=scene.num_frames == 1)
    begun = time.perf_counter()
    with progress_bar() as progress:
        clip = api.render(
            scene,
            model=model_from(arguments),
            size=arguments.size,
            seed=arguments.seed,
            options=options(arguments),
            progress=progress,
        )
    clip.save(arguments.output, force=arguments.force)
    tell(clip, arguments.output, time.perf_counter() - begun)
    return 0


def run_restyle(arguments: argparse.Namespace) -> int:
    from kinema import api

    check_output(arguments.output, arguments.force)
    is_state = arguments.source.suffix.lower() in (".json", *WORLD_FILES)
    source = read_state(arguments.source) if is_state else arguments.source
    begun = time.perf_counter()
    with progress_bar() as progress:
        clip = api.restyle(
            source, arguments.prompt, model=engine_from(arguments), control=arguments.control, strength=arguments.strength,
            size=arguments.size, seed=arguments.seed, steps=arguments.steps, guidance=arguments.guidance,
            negative_prompt=arguments.negative, loras=arguments.lora, progress=progress,
        )  # fmt: skip
    clip.save(arguments.output, force=arguments.force)
    tell(clip, arguments.output, time.perf_counter() - begun)
    return 0


def read_state(path: Path) -> Scene:
    """The state in a file that `kinema perceive` wrote, or of all frames of a saved world. MediaError for anything else."""
    from kinema.scene.scene import Scene

    if path.suffix.lower() in WORLD_FILES:
        from kinema.simulation.world import World

        scene = World.open(path).clip().state
        assert scene is not None
        return scene
    try:
        return Scene.from_json(path.read_text(encoding="utf-8"))
    except KinemaError as error:
        raise MediaError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise MediaError(f"{path} cannot be read ({reason}); expected what `kinema perceive` writes") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise MediaError(f"{path} holds a value that is none ({error}); perceive the clip again") from None
