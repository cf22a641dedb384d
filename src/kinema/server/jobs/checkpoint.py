"""What workers keep of a film while they make it, so that another worker goes on where one was killed, stopped or paused.

    DATA/work/ID/windows-RANDOM.safetensors    tracks of some windows, STAGE.NUMBER.TRACK

Files are written whole or not at all. Files that another request or another model wrote are not read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kinema.models.hub import WEIGHTS, find

log = logging.getLogger(__name__)

WRITE_S = 2.0
"""Windows are written at most this often; what a killed worker loses is about as long."""


def film_digest(model: str, request: Mapping[str, Any]) -> str:
    """What windows follow from: the request, the model's weights and this version of Kinema."""
    weights = (find(model) / WEIGHTS).stat()
    parts = [version("kinema"), model, weights.st_size, weights.st_mtime_ns, request]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class FilmCheckpoint:
    """A `WindowCheckpoint` of films that are made in one pass. folders: the folder of each film, and its `film_digest`. written:
    called when windows are on disk."""

    def __init__(self, folders: Mapping[Path, str], *, written: Callable[[], None] = lambda: None) -> None:
        self.folders, self._report = dict(folders), written
        self._stored = [_read(folder, digest) for folder, digest in self.folders.items()]
        self._unwritten: dict[str, Tensor] = {}
        self._written_at = time.monotonic()

    @property
    def resumed(self) -> bool:
        """Whether windows of some film were there from the beginning."""
        return any(self._stored)

    def load(self, stage: str, number: int) -> dict[str, Tensor] | None:
        """The tracks of a window, if they were kept for all films."""
        prefix = f"{stage}.{number}."
        names = [{name for name in stored if name.startswith(prefix)} for stored in self._stored]
        shared = set.intersection(*names)
        if not shared or any(own != shared for own in names):
            return None
        return {name.removeprefix(prefix): torch.stack([stored[name] for stored in self._stored]) for name in sorted(shared)}

    def save(self, stage: str, number: int, tracks: dict[str, Tensor]) -> None:
        """Keep the tracks of a window; on disk within WRITE_S and the next window."""
        self._unwritten |= {f"{stage}.{number}.{name}": values for name, values in tracks.items()}
        if time.monotonic() - self._written_at >= WRITE_S:
            self.write()

    def write(self) -> None:
        """Write the windows that are not on disk yet. Where the disk is full, the film goes on without."""
        if not self._unwritten:
            return
        for place, (folder, digest) in enumerate(self.folders.items()):
            own = {name: values[place].detach().cpu().contiguous() for name, values in self._unwritten.items()}
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _write(folder / f"windows-{secrets.token_hex(6)}.safetensors", own, digest)
            except (OSError, SafetensorError) as error:
                log.warning("the windows of a film are not kept: %s", error)
        self._unwritten, self._written_at = {}, time.monotonic()
        self._report()


def _write(path: Path, tracks: dict[str, Tensor], digest: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file({name: values.clone() for name, values in tracks.items()}, temporary, metadata={"of": digest})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(folder: Path, digest: str) -> dict[str, Tensor]:
    """The tracks of all windows in a folder by name."""
    tracks: dict[str, Tensor] = {}
    for path in sorted(folder.glob("windows-*.safetensors")):
        with suppress(OSError, SafetensorError), safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("of") == digest:
                tracks |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tracks
