"""Tensors in shards of safetensors: written in order, whole or not at all, and read slice by slice from mapped files.

A build that was killed goes on with what is there: the shards say in their headers which tensors they hold.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kinema.errors import MediaError, OutputError
from kinema.media.write import replace_file

SHARD_BYTES = 32 << 20
FLUSH_S = 60.0
"""A shard is written once it has so many bytes, or is so old: that much work is lost at most where a build is killed."""
OPEN_SHARDS = 32


def shard_path(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}-{number:05d}.safetensors"


def written_shards(folder: Path, kind: str) -> list[tuple[list[str], dict[str, Any]]]:
    """Names of the tensors and the note of each shard there is, in order."""
    shards: list[tuple[list[str], dict[str, Any]]] = []
    while (path := shard_path(folder, kind, len(shards))).exists():
        try:
            with safe_open(path, "pt") as file:
                shards.append((list(file.keys()), json.loads(file.metadata()["note"])))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise MediaError(
                f"{path} cannot be read ({str(error)[:80]}); delete it and those after it, and build again"
            ) from None
    return shards


class ShardWriter:
    """Collects tensors and writes them in shards, with a note each. number: of the next shard."""

    def __init__(self, folder: Path, kind: str, number: int) -> None:
        self._folder, self._kind, self._number = folder, kind, number
        self._tensors: dict[str, Tensor] = {}
        self.note: dict[str, Any] = {}
        """JSON that goes with the tensors since the last shard; the writer empties it."""
        self._bytes, self._begun = 0, time.monotonic()

    def add(self, name: str, tensor: Tensor) -> None:
        """Take a tensor, in bfloat16."""
        self._tensors[name] = tensor.detach().to("cpu", torch.bfloat16).contiguous()
        self._bytes += self._tensors[name].nbytes

    def flush_if_due(self) -> None:
        """Write a shard if there is enough for one."""
        if self._bytes >= SHARD_BYTES or time.monotonic() - self._begun >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what there is. OutputError where it cannot be written."""
        if not self._tensors and not self.note:
            return
        path, note = shard_path(self._folder, self._kind, self._number), json.dumps(self.note)

        def write(temporary: Path) -> None:
            try:
                save_file(self._tensors, temporary, {"note": note})
            except SafetensorError as error:
                raise OutputError(f"{path} could not be written: {error}") from None

        replace_file(path, write, force=True)
        self._tensors, self.note, self._bytes = {}, {}, 0
        self._number, self._begun = self._number + 1, time.monotonic()


class ShardReader:
    """Reads slices of tensors from the shards of a folder, from any thread. It may be pickled; a copy opens the files anew."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ShardReader], tuple[Path, str]]:
        return ShardReader, (self._folder, self._kind)

    def read(self, number: int, name: str, start: int, stop: int) -> Tensor:
        """Rows start to stop of a tensor. MediaError where the shard was changed or deleted."""
        rows: Tensor = self._slice(number, name)[start:stop]
        return rows

    def length(self, number: int, name: str) -> int:
        """Rows of a tensor. MediaError as in `read`."""
        return int(self._slice(number, name).get_shape()[0])

    def _slice(self, number: int, name: str) -> Any:
        path = shard_path(self._folder, self._kind, number)
        try:
            with self._lock:
                if number not in self._open:
                    self._open[number] = safe_open(path, "pt")
                    if len(self._open) > OPEN_SHARDS:
                        self._open.popitem(last=False)
                self._open.move_to_end(number)
                return self._open[number].get_slice(name)
        except (SafetensorError, OSError) as error:
            raise MediaError(f"{path} cannot be read ({str(error)[:80]}); delete the cache and build it again") from None
