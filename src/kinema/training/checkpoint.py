"""Checkpoints: everything to go on bit for bit, written so that a crash leaves the old one or the new one, never a half."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kinema.errors import InputError, KinemaError, OutputError

NAME = "state.pt"
KEYS = frozenset({"recipe", "step", "elapsed_s", "running", "model", "optimizer"})
"""What the checkpoint of every run holds."""


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Temp file, fsync, rename, fsync of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{NAME}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"the checkpoint could not be written to {folder}: {error.strerror}; the last one is intact"
        ) from None
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_exists(folder: Path) -> None:
    """InputError unless the folder holds a checkpoint."""
    if not os.path.lexists(folder / NAME):
        raise InputError(f"{folder} holds no checkpoint ({NAME}); name the --out folder of an earlier run")


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of a run; InputError where there is none, or the file is damaged or holds something else."""
    check_exists(folder)
    path = folder / NAME
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name the --out folder of another run") from None
    try:
        with file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as parts:
                    damaged = parts.testzip()
                if damaged is not None:
                    raise ValueError(f"{damaged} is damaged")
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # foreign bytes make the unpickler raise errors of every class
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise
        raise InputError(f"{path} is damaged or no checkpoint; begin a new run in another --out") from None
    if not isinstance(state, dict) or not state.keys() >= KEYS:
        raise InputError(f"{path} is no checkpoint of a run of Kinema; name the --out folder of an earlier run")
    return state


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """InputError where the parts of a loaded checkpoint do not fit the run that takes them."""
    try:
        yield
    except KinemaError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{folder / NAME} does not fit this run: {reason}; begin a new run in another --out") from None
