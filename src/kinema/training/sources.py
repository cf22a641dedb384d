"""What a training learns from: one folder, or several of which each batch comes from one, by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from kinema.errors import InputError

WeightedFolder = tuple[Path | str, float]
"""A folder or an address, and its weight."""
Data = Path | str | Sequence[WeightedFolder]
"""One folder, or several with their weights, above 0."""


def weighted_folders(data: Data) -> list[WeightedFolder]:
    """The folders with their weights; one alone has weight 1. InputError: none, a weight that is not above 0, one named twice."""
    if isinstance(data, Path | str):
        return [(data, 1.0)]
    sources = list(data)
    if not sources:
        raise InputError("no data: expected at least one folder to learn from")
    for folder, weight in sources:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight <= 0:
            raise InputError(f"{folder} with weight {weight!r}: expected a number above 0")
    names = [str(folder) for folder, _ in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is named twice; name it once, with a weight: {twice}=2")
    return [(folder, float(weight)) for folder, weight in sources]


def parse_source(text: str) -> WeightedFolder:
    """ "FOLDER" or "FOLDER=WEIGHT", such as pong=2, as a folder with its weight. InputError: the weight is none above 0."""
    folder, sign, weight = text.rpartition("=")
    if not sign or Path(text).exists():
        return text, 1.0
    try:
        number = float(weight)
    except ValueError:
        return text, 1.0
    if not folder or not math.isfinite(number) or number <= 0:
        raise InputError(f"--data {text!r}: expected FOLDER or FOLDER=WEIGHT with a weight above 0, such as pong=2")
    return folder, number
