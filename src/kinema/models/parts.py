"""A model's folder cut into files of limited size, for machines from which only small files come back, and whole again."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from kinema.errors import ModelError, OutputError
from kinema.models.hub import WEIGHTS, shrink
from kinema.types import parse_json

PART_BYTES = 15_000_000
"""The most that one file of weights has."""
ABOUT = "parts.json"


def write_parts(model: Path, folder: Path) -> None:
    """Write a model into `folder` with int8 weights in files of PART_BYTES at most, in place of one that is there.

    OutputError: `folder` cannot be written, or something else than a model in parts is there.
    """
    check_parts(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            made = Path(scratch) / folder.name
            shrink(model, made)
            whole = (made / WEIGHTS).read_bytes()
            (made / WEIGHTS).unlink()
            for number, first in enumerate(range(0, len(whole), PART_BYTES)):
                (made / f"{WEIGHTS}.{number:03d}").write_bytes(whole[first : first + PART_BYTES])
            (made / ABOUT).write_text(json.dumps({"sha256": hashlib.sha256(whole).hexdigest()}) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
    except OSError as error:
        raise OutputError(f"the model could not be written to {folder}: {error.strerror or error}") from None


def check_parts(folder: Path) -> None:
    """OutputError where something else than a model in parts is there."""
    if folder.exists() and not (folder.is_dir() and (holds_parts(folder) or not any(folder.iterdir()))):
        raise OutputError(f"{folder} holds something else than a model in parts; name a new folder")


def holds_parts(folder: Path) -> bool:
    """Whether a folder holds a model in parts."""
    return (folder / ABOUT).exists()


def whole_model(folder: Path, out: Path) -> Path:
    """Put a model in parts together as the model's folder `out`, in place of one that is there; returns `out`.

    ModelError: a part is missing or damaged. OutputError: `out` cannot be written.
    """
    try:
        stated = str(parse_json((folder / ABOUT).read_text(encoding="utf-8"))["sha256"])
        parts = sorted(folder.glob(f"{WEIGHTS}.*"))
        whole = b"".join(path.read_bytes() for path in parts)
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{folder / ABOUT} or a part beside it cannot be read; fetch all files of {folder} again") from None
    if hashlib.sha256(whole).hexdigest() != stated:
        raise ModelError(f"{len(parts)} parts in {folder} are not those of {ABOUT}; fetch all files of it again")
    try:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder, out, ignore=shutil.ignore_patterns(f"{WEIGHTS}.*", ABOUT))
        (out / WEIGHTS).write_bytes(whole)
    except OSError as error:
        raise OutputError(f"the model could not be written to {out}: {error.strerror or error}") from None
    return out
