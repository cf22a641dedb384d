"""Many files as one zip file, written while it is sent: stored without compression, in constant memory."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

CHUNK = 256 << 10
MOST_NAME_BYTES = 200
"""Of the part of a file's name that is a title; file systems take 255 bytes in all."""


class _Sink:
    """Collects what a `ZipFile` writes until it is taken. It cannot be searched, so that nothing is written twice."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def zip_stream(files: Sequence[tuple[str, BinaryIO]]) -> Iterator[bytes]:
    """The bytes of a zip file of open files under these names; the files are closed at the end."""
    sink = _Sink()
    try:
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            for name, file in files:
                stat = os.fstat(file.fileno())
                entry = zipfile.ZipInfo(name, time.localtime(stat.st_mtime)[:6])
                entry.file_size = stat.st_size
                with archive.open(entry, "w") as written:
                    while chunk := file.read(CHUNK):
                        written.write(chunk)
                        yield sink.take()
        yield sink.take()
    finally:
        for _, file in files:
            file.close()


def file_name(title: str | None, id: str, ending: str, taken: set[str]) -> str:
    """A name for a download: the title where there is one and no other file has it, in characters that every system takes."""
    plain = "".join(c for c in title or "" if c.isprintable() and c not in '\\/:*?"<>|').strip(" .")[:80]
    plain = plain.encode()[:MOST_NAME_BYTES].decode(errors="ignore").strip(" .")
    name = f"{plain}{ending}" if plain and f"{plain}{ending}".lower() not in taken else ""
    name = name or (f"{plain} {id[-6:]}{ending}" if plain else f"{id}{ending}")
    taken.add(name.lower())
    return name
