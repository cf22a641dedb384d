"""Types of arrays that several packages share; shapes stand in the docstrings of what takes and returns them. And how values become
plain Python ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray


def python_values(value: Any) -> Any:
    """A value with the numbers and arrays of NumPy as Python's own, also inside dictionaries, lists and tuples."""
    if isinstance(value, dict):
        return {name: python_values(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(python_values(part) for part in value) if type(value) in (list, tuple) else value
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def parse_json(text: str | bytes, **options: Any) -> Any:
    """What a JSON text holds. ValueError: it is no JSON, or nested too deeply to be read. options: of `json.loads`."""
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def path_exists(path: Path | str) -> bool:
    """Whether a file or folder exists; False also for what is too long for a path."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


T = TypeVar("T")
"""Any type: what a function or a container returns as it was given."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
SmallInts = NDArray[np.int8]
"""Indices into short tables: kinds, colors, materials."""
Frame = NDArray[np.uint8]
"""One picture [H, W, 3]."""
Frames = NDArray[np.uint8]
"""Pictures [T, H, W, 3]."""
