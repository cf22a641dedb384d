"""perceive: the state of a clip as JSON. render: a clip from such a state."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from kinema.cli.options import add_model, add_output, add_size, check_output, model_from, options, progress_bar, tell
from kinema.errors import KinemaError, MediaError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("perceive", help="read what is in a clip", description="Write a clip's state as JSON.")
    parser.add_argument("clip", type=Path)
    add_output(parser, "state.json")
    add_model(parser)
    add_size(parser, "the model's own height, as wide as the clip's shape asks for")
    parser.set_defaults(run=run_perceive)
    parser = subparsers.add_parser("render", help="film a state", description="Film a state that `perceive` wrote.")
    parser.add_argument("state", type=Path)
    add_size(parser)
    add_output(parser, "out.mp4")
    add_model(parser)
    parser.set_defaults(run=run_render)


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
    from kinema.scene.scene import Scene

    try:
        scene = Scene.from_json(arguments.state.read_text(encoding="utf-8"))
    except KinemaError as error:
        raise MediaError(f"{arguments.state}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise MediaError(f"{arguments.state} cannot be read ({reason}); expected what `kinema perceive` writes") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise MediaError(f"{arguments.state} holds a value that is none ({error}); perceive the clip again") from None
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
