"""Join two trainings that began with the same weights: python -m kinema.training.join LOCAL REST --out FOLDER

`kinema train tiny-drawing` trains the local parts alone (stem, stamps, heads) and `tiny-contacts` the contacts, so that each may
have a core of its own. The joined model has the first ones of LOCAL and the others of REST, and LOCAL's
config and card.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from kinema.errors import KinemaError, ModelError, OutputError
from kinema.models.hub import CARD, CONFIG, WEIGHTS, find, read_slot_config, read_weights, save
from kinema.training.command import TrainingParser

LOCAL = ("video_in.", "splatter.", "local_head.", "video_out.", "detection_head.")
"""Beginnings of the names of the local parts' parameters."""


def joined_steps(one: dict[str, Any], two: dict[str, Any]) -> tuple[int, int]:
    """Steps of the joined model, and of the weights that both trainings began with, which count once.

    one, two: what the configs say of the trainings. Without `steps_before` in either, they began with nothing.
    """
    steps = [int(trained.get("steps", 0)) for trained in (one, two)]
    before = [trained.get("steps_before") for trained in (one, two)]
    if before[1] == steps[0]:
        shared = steps[0]  # the second began with the first
    elif before[0] == steps[1]:
        shared = steps[1]
    else:
        shared = min((int(count) for count in before if count is not None), default=0)
    return sum(steps) - shared, shared


def join(local: Path, rest: Path, out: Path, *, force: bool = False) -> None:
    """Write the joined model to the folder `out`.

    ModelError: the two are one model, or not of one shape. OutputError: `out` holds a model and `force` is not set, or cannot
    be written to.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {out} is a file; name a folder")
    if not force and any((out / name).exists() for name in (CONFIG, WEIGHTS, CARD)):
        raise OutputError(f"--out {out} holds a model already; name another folder, or add --force to overwrite it")
    one, two = read_slot_config(local), read_slot_config(rest)
    if one.denoiser != two.denoiser or one.autoencoder != two.autoencoder:
        raise ModelError(
            f"{local} and {rest} are models of different shapes; join trainings that began with the same weights"
        )
    (weights, card), (others, _) = _read(local), _read(rest)
    if weights.keys() != others.keys():
        raise ModelError(f"the weights in {local} and {rest} have different names; train one of them again")
    if all(torch.equal(x, others[name]) for name, x in weights.items()):
        raise ModelError(f"{local} and {rest} are the same model; name two trainings that began with the same weights")
    weights |= {name: x for name, x in others.items() if not name.startswith(LOCAL)}
    both = [config.trained for config in (one, two)]
    steps, shared = joined_steps(*both)
    trained = {
        **one.trained,
        "recipe": " and ".join(str(trained.get("recipe")) for trained in both),
        "steps": steps,
        "steps_before": shared,
        "minutes": round(sum(float(trained.get("minutes", 0.0)) for trained in both), 1),
        "date": date.today().isoformat(),
        "losses": {**both[1].get("losses", {}), **both[0].get("losses", {})},
    }
    save(out, replace(one, trained=trained), weights, card)


def _read(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Weights and card of a model."""
    try:
        return read_weights(folder), (folder / CARD).read_text(encoding="utf-8")
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the model in {folder} cannot be read: {error}; copy the whole folder again") from None


def main(arguments: list[str] | None = None) -> int:
    parser = TrainingParser(
        prog="python -m kinema.training.join",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("local", type=Path, help="the model whose local parts are taken")
    parser.add_argument("rest", type=Path, help="the model whose other parts are taken")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    given = parser.parse_args(arguments)
    try:
        join(find(given.local), find(given.rest), given.out, force=given.force)
    except KinemaError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
