"""Weights of parts of a network that are found before it learns pictures. They are stored in the run's folder, so that a run that
goes on need not find them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kinema.errors import OutputError


def save_found(weights: Mapping[str, Tensor], path: Path, sought: dict[str, str]) -> None:
    """sought: how long and with which seed they were found. OutputError: they cannot be written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file({name: x.contiguous() for name, x in weights.items()}, temporary, metadata=sought)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path} could not be written: {error}") from None


def load_found(path: Path, expected: Mapping[str, Tensor], sought: dict[str, str]) -> dict[str, Tensor] | None:
    """None where there are none that can be read, have the names and shapes of `expected`, and were found as asked."""
    try:
        with safe_open(path, "pt") as file:
            same = file.metadata() == sought and set(file.keys()) == expected.keys()
            weights = {name: file.get_tensor(name) for name in expected} if same else {}
    except (OSError, SafetensorError):
        return None
    return weights if same and all(x.shape == expected[name].shape for name, x in weights.items()) else None
