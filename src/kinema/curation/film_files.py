"""What is stored of each film that was measured, so that a curation that was killed goes on with the next film."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinema.curation.shots import DetectedShot, measure_film, shots_of
from kinema.datasets.clip_sources import FoundClip
from kinema.errors import MediaError
from kinema.media.write import write_text

VERSION = 1
"""Of the measures; films that another version measured are measured anew."""


@dataclass(frozen=True, kw_only=True)
class MeasuredFilm:
    """A film and its shots, or (error) why it cannot be read.

    fingerprint: of its video. width, height: in pixels; fps: frames a second.
    """

    name: str
    fingerprint: str
    width: int = 0
    height: int = 0
    fps: float = 0.0
    shots: tuple[DetectedShot, ...] = ()
    error: str = ""


def measured(folder: Path, clip: FoundClip, longest_s: float) -> MeasuredFilm:
    """Measure a film, or read what was stored of it in `folder`."""
    path = folder / f"{hashlib.sha256(clip.name.encode()).hexdigest()[:24]}.json"
    try:
        fingerprint = clip.video.fingerprint()
    except (MediaError, OSError) as error:
        return MeasuredFilm(name=clip.name, fingerprint="", error=str(error))
    key = [VERSION, longest_s]
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if (stored["name"], stored["fingerprint"], stored["key"]) == (clip.name, fingerprint, key):
            return _film_from(stored)
    try:
        measures = measure_film(clip.video)
        facts = measures.facts
        film = MeasuredFilm(
            name=clip.name, fingerprint=fingerprint, width=facts.width, height=facts.height, fps=facts.fps,
            shots=tuple(shots_of(measures, longest_s)),
        )  # fmt: skip
    except MediaError as error:
        film = MeasuredFilm(name=clip.name, fingerprint=fingerprint, error=str(error))
    write_text(path, json.dumps({**_film_to(film), "key": key}), force=True)
    return film


def _film_to(film: MeasuredFilm) -> dict[str, Any]:
    return {**vars(film), "shots": [_shot_to(shot) for shot in film.shots]}


def _film_from(stored: dict[str, Any]) -> MeasuredFilm:
    values = {name: stored[name] for name in ("name", "fingerprint", "width", "height", "fps", "error")}
    return MeasuredFilm(**values, shots=tuple(_shot_from(shot) for shot in stored["shots"]))


def _shot_to(shot: DetectedShot) -> dict[str, Any]:
    packed = base64.b64encode(zlib.compress(shot.copies.tobytes())).decode()
    return {**vars(shot), "copies": packed, "shape": shot.copies.shape}


def _shot_from(stored: dict[str, Any]) -> DetectedShot:
    values = {name: value for name, value in stored.items() if name != "shape"}
    pixels = np.frombuffer(zlib.decompress(base64.b64decode(stored["copies"])), np.uint8).reshape(stored["shape"])
    return DetectedShot(
        **{**values, "copies": pixels, "box": tuple(stored["box"]), "thumbnails": tuple(stored["thumbnails"])}
    )
