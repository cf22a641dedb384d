"""Tracks of episodes in files, one a track, mapped into memory: a recording of any length is read in bounded memory.

    plan.json     what the files are made of, and how many episodes they hold for sure
    index.json    shapes of the tracks and tasks of the episodes, written last
    video.bin     latents of all frames, one after another, in bfloat16; other tracks in float32

A build that was killed goes on after the last episode that plan.json counts. Axes: T frames of an episode, N frames of all.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from kinema.errors import InputError, OutputError
from kinema.media.write import write_text
from kinema.types import parse_json

PLAN, INDEX = "plan.json", "index.json"
SYNC_S = 60.0
"""How often a build makes sure that its files are on disk: that much work is lost at most where it is killed."""


def _bytes(track: Tensor) -> bytes:
    bits = track.contiguous().view(torch.int16) if track.dtype == torch.bfloat16 else track.contiguous()
    return bits.numpy().tobytes()


def _about(track: Tensor) -> dict[str, Any]:
    """The shape of a frame of a track, and whether it is in bfloat16 rather than float32."""
    return {"shape": list(track.shape[1:]), "narrow": track.dtype == torch.bfloat16}


def _row_bytes(about: Mapping[str, Any]) -> int:
    return int(np.prod(about["shape"], dtype=np.int64)) * (2 if about["narrow"] else 4)


class TrackWriter:
    """Appends episodes to the tracks in a folder.

    Attributes:
        done: Episodes that the folder holds already; those that are added come after them.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], lengths: Sequence[int]) -> None:
        """identity: JSON of what the files are made of; a folder of something else is begun anew. lengths: frames of all episodes.
        OutputError: the folder cannot be written to."""
        self.folder, self.identity, self.lengths = folder, identity, list(lengths)
        self._files: dict[str, BinaryIO] = {}
        self._tracks: dict[str, Any] = {}
        self.done, self._synced = 0, time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / INDEX).unlink(missing_ok=True)
            plan = _read(folder / PLAN)
            if plan.get("identity") == identity:
                self.done, self._tracks = int(plan["episodes"]), dict(plan["tracks"])
            else:
                (folder / PLAN).unlink(missing_ok=True)  # it counts episodes of files that are about to be overwritten
            sizes = {name: sum(self.lengths[: self.done]) * _row_bytes(about) for name, about in self._tracks.items()}
            paths = {name: folder / f"{name}.bin" for name in sizes}
            if any(not path.exists() or path.stat().st_size < sizes[name] for name, path in paths.items()):
                self.done, self._tracks = 0, {}
            for name in self._tracks:
                self._open(name).truncate(sizes[name])
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to: {error.strerror}") from None

    def _open(self, name: str) -> BinaryIO:
        if name not in self._files:
            self._files[name] = (self.folder / f"{name}.bin").open("r+b" if self.done else "w+b")
        return self._files[name]

    def add(self, tracks: Mapping[str, Tensor]) -> None:
        """Append an episode: name -> [T, ...], in bfloat16 or float32. OutputError: there is no place on the disk."""
        try:
            for name, track in tracks.items():
                self._tracks.setdefault(name, _about(track))
                file = self._open(name)
                file.seek(0, os.SEEK_END)
                file.write(_bytes(track))
            self.done += 1
            if time.monotonic() - self._synced >= SYNC_S:
                self._sync()
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written to: {error.strerror}") from None

    def _sync(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        plan = {"identity": self.identity, "episodes": self.done, "tracks": self._tracks}
        write_text(self.folder / PLAN, json.dumps(plan), force=True)
        self._synced = time.monotonic()

    def finish(self, names: Sequence[str]) -> None:
        """Write the index. names: tasks of the episodes. OutputError as in `add`."""
        try:
            self._sync()
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written to: {error.strerror}") from None
        self.close()
        index = {"identity": self.identity, "tracks": self._tracks, "lengths": self.lengths, "names": list(names)}
        write_text(self.folder / INDEX, json.dumps(index), force=True)

    def close(self) -> None:
        """Close the files; a build that goes on opens them again."""
        for file in self._files.values():
            file.close()


class TrackFiles:
    """The tracks in a folder that was finished.

    Attributes:
        lengths: Frames of each episode.
        names: Task of each.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """InputError: the folder is not finished, of something else, or cut short."""
        index = _read(folder / INDEX)
        if index.get("identity") != identity:
            raise InputError(f"{folder} does not hold the tracks of this recording; delete it, and it is made anew")
        self.folder, self.lengths, self.names = folder, [int(n) for n in index["lengths"]], [str(n) for n in index["names"]]
        self._about: dict[str, Any] = index["tracks"]

    @staticmethod
    def finished(folder: Path, identity: dict[str, Any]) -> bool:
        """Whether a folder holds all tracks of this recording."""
        return bool(_read(folder / INDEX).get("identity") == identity)

    def whole(self, name: str, *, stored_as: str | None = None) -> Tensor:
        """All frames of a track, [N, ...], mapped to be read alone, as a file may be larger than memory. stored_as: the name of its
        file where it is another one. InputError: the file is cut short."""
        about, rows = self._about[name], sum(self.lengths)
        path, count = self.folder / f"{stored_as or name}.bin", rows * _row_bytes(about)
        if not count:
            return torch.zeros(rows, *about["shape"])
        if not path.exists() or path.stat().st_size < count:
            raise InputError(f"{path} is cut short; delete {self.folder}, and it is made anew")
        dtype = np.int16 if about["narrow"] else np.float32
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # and nobody writes to it
            mapped = torch.from_numpy(np.memmap(path, dtype, "r", shape=(rows, *about["shape"])))
        return mapped.view(torch.bfloat16) if about["narrow"] else mapped

    def episodes(self, track: Tensor) -> Iterator[Tensor]:
        """The parts [T, ...] of a track [N, ...], an episode each."""
        begin = 0
        for length in self.lengths:
            yield track[begin : begin + length]
            begin += length

    def rewrite(self, name: str, episodes: Iterator[Tensor]) -> Tensor:
        """Store a track in another unit, episode by episode, and map it. Who has mapped an earlier one keeps it. OutputError: there
        is no place on the disk."""
        path = self.folder / f"{name}-scaled.bin"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                for track in episodes:
                    file.write(_bytes(track))
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from None
        finally:
            temporary.unlink(missing_ok=True)
        return self.whole(name, stored_as=f"{name}-scaled")


def _read(path: Path) -> dict[str, Any]:
    """The JSON of a file, {} where there is none that can be read."""
    try:
        return dict(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
