"""What a training learns from: one folder, or several of which each batch comes from one, by weight."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinema.datasets.addresses import AnyPath, is_address
from kinema.errors import InputError
from kinema.types import path_exists

WeightedFolder = tuple[Path | str, float]
"""A folder or an address, and its weight."""
Data = Path | str | Sequence[WeightedFolder]
"""One folder, or several with their weights, above 0."""
LARGEST_SUM = 1e12
"""Of the weights; that of floats near the largest would be infinite."""


def weighted_folders(data: Data) -> list[WeightedFolder]:
    """The folders with their weights; one alone has weight 1. InputError: none, one without a weight, a weight that is not above 0,
    weights of which the sum is above LARGEST_SUM, one folder twice, also by another path."""
    if isinstance(data, Path | str):
        return [(data, 1.0)]
    sources: list[Any] = list(data)
    if not sources:
        raise InputError("no data: expected at least one folder to learn from")
    for source in sources:
        if not isinstance(source, tuple | list) or len(source) != 2:
            raise InputError(f"data {source!r}: expected a folder with its weight, such as ('pong', 1.0)")
        folder, weight = source
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise InputError(f"{folder} with weight {weight!r}: expected a number above 0")
    if not sum(weight for _, weight in sources) <= LARGEST_SUM:
        raise InputError(f"the weights of {len(sources)} folders are too large; expected numbers such as 1 and 2")
    there = [os.path.realpath(str(folder).removeprefix("file://")) for folder, _ in sources]
    twice = next((str(folder) for i, (folder, _) in enumerate(sources) if there[i] in there[:i]), None)
    if twice is not None:
        raise InputError(f"{twice} is named twice; name it once, with a weight: {twice}=2")
    return [(folder, float(weight)) for folder, weight in sources]


def folder_name(folder: AnyPath | str) -> str:
    """What a folder is called, also where its path ends in "..", or where it is at an address."""
    if is_address(folder):
        return str(folder).rstrip("/").rpartition("/")[2]
    return Path(os.path.normpath(Path(str(folder)).absolute())).name


def absolute_folder(folder: str) -> str:
    """A folder as it is found from anywhere; "" stays "", for none."""
    return str(Path(folder).resolve()) if folder else ""


def parse_source(text: str) -> WeightedFolder:
    """ "FOLDER" or "FOLDER=WEIGHT", such as pong=2, as a folder with its weight. InputError: the weight is none above 0."""
    folder, sign, weight = text.rpartition("=")
    if not sign or path_exists(text):
        return text, 1.0
    try:
        number = float(weight)
    except ValueError:
        return text, 1.0
    if not folder or not math.isfinite(number) or number <= 0:
        raise InputError(f"--data {text!r}: expected FOLDER or FOLDER=WEIGHT with a weight above 0, such as pong=2")
    return folder, number
