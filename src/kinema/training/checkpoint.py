"""Checkpoints: everything to go on bit for bit, written so that a crash leaves the old one or the new one, never a half."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from kinema.errors import InputError, OutputError

NAME = "state.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Temp file, fsync, rename, fsync of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{NAME}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
    except OSError as wrong:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"the checkpoint could not be written to {folder}: {wrong.strerror}; the last one is intact"
        ) from None
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.exists():
        raise InputError(f"{folder} holds no checkpoint ({NAME}); name the --out folder of an earlier run")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
