"""What a world's training was asked for: its length and data. It is written before the first stage, so that a run that ends before
its first checkpoint can go on, and is refused where the data are others by then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError, OutputError
from kinema.training.sources import WeightedFolder
from kinema.types import parse_json

RUN = "run.json"
"""In the run's folder."""
WeightedRecordings = Sequence[tuple[Dataset, float]]
"""Recordings with their weights."""


def read_begun(out: Path) -> dict[str, Any] | None:
    """What a run was asked for (RUN), None where there is none; InputError where it cannot be read."""
    path = out / RUN
    if not path.exists():
        return None
    try:
        begun = parse_json(path.read_text(encoding="utf-8"))
        return {name: begun[name] for name in ("minutes", "steps", "data")}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} cannot be read; begin a new run in another --out") from None


def data_of_run(out: Path | str) -> tuple[list[WeightedFolder], str | None] | None:
    """The recordings that the run in `out` learns from with their weights, and the camera, by RUN; None where it does not say."""
    try:
        begun = parse_json((Path(out) / RUN).read_text(encoding="utf-8"))
        if "folders" in begun:
            return [(str(folder), float(weight)) for folder, weight in begun["folders"]], begun["camera"]
        return [(str(begun["folder"]), 1.0)], str(begun["data"]["camera"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def recordings_identity(learned: WeightedRecordings) -> dict[str, Any]:
    """What tells recordings from others, as JSON holds it."""
    if len(learned) == 1:
        return learned[0][0].identity()
    return {"recordings": [data.identity() for data, _ in learned], "weights": [weight for _, weight in learned]}


def _folders(learned: WeightedRecordings) -> str:
    return ", ".join(str(data.folder) for data, _ in learned)


def write_begun(
    out: Path, minutes: float | None, steps: int | None, learned: WeightedRecordings, camera: str | None
) -> None:
    """Also of where the recordings lie, and of the camera. OutputError: it cannot be written."""
    path, temporary = out / RUN, out / f".{RUN}.tmp"
    places = [data.folder.resolve() if isinstance(data.folder, Path) else data.folder for data, _ in learned]
    folders = [(str(place), weight) for place, (_, weight) in zip(places, learned, strict=True)]
    where: dict[str, Any] = {"folder": folders[0][0]} if len(folders) == 1 else {"folders": folders, "camera": camera}
    begun = {"minutes": minutes, "steps": steps, "data": recordings_identity(learned), **where}
    try:
        temporary.write_text(json.dumps(begun, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}") from None


def check_same_data(before: dict[str, Any] | None, learned: WeightedRecordings, out: Path) -> None:
    """InputError where a run goes on with another recording than it began with, saying what differs."""
    now = recordings_identity(learned)
    if before is None or before == now:
        return
    names = {
        "episodes": "episodes",
        "frames": "frames",
        "fps": "frames a second",
        "actions": "actions",
        "files": "contents",
    }
    differs = [
        f"{before.get(name)} {word}, now {now.get(name)}" if name in ("episodes", "frames", "fps") else f"other {word}"
        for name, word in names.items()
        if before.get(name) != now.get(name)
    ]
    if "recordings" in before or "recordings" in now:
        differs = ["other recordings, weights, or order of them"]
    if differs == ["other actions"] and None in before["actions"].get("edges", ()):
        raise InputError(
            f"the run in {out} was begun by a version that did not scale these actions; begin a new run in another --out"
        )
    raise InputError(
        f"{_folders(learned)} has changed since the run in {out} began ({'; '.join(differs) or 'another recording'}); begin a new"
        " run in another --out"
    )
