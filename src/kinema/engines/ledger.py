"""What was asked of another server for one film, written down before and after, so that nothing is paid twice after a crash."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

from kinema.errors import OutputError
from kinema.types import parse_json


class Records(Protocol):
    """Small files that outlive the process."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None if there is none. StorageError if nobody can tell."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in place of one of the same name. OutputError or StorageError if it cannot be written."""


class FolderRecords:
    """Files in a folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"{path} could not be written: {error.strerror or error}") from None


class Ledger:
    """The record of one film.

    Args:
        records: Where the record is kept; None: in memory.
        token: A name of the film that no other has. Servers that know idempotency keys answer a repeated request with the same
            video.
        name: Of the record's file, without its ending.
    """

    def __init__(self, records: Records | None = None, token: str = "", name: str = "upstream") -> None:
        self.records, self.token, self.name = records, token, name
        self._record: dict[str, Any] = {}
        written = None if records is None else records.read(f"{name}.json")
        with contextlib.suppress(ValueError):
            record = parse_json(written or b"{}")
            self._record = record if isinstance(record, dict) else {}

    def of_film(self, index: int) -> Ledger:
        """The record of one of several films of a request; that of the first is this one."""
        if index == 0:
            return self
        return Ledger(self.records, f"{self.token}-{index}" if self.token else "", f"{self.name}-{index}")

    @property
    def video(self) -> str | None:
        """The id of the video on the other server, once it is known."""
        value = self._record.get("video")
        return value if isinstance(value, str) else None

    @property
    def is_open(self) -> bool:
        """Whether a video was asked for without an answer being written down: nobody knows whether it was accepted."""
        return bool(self._record.get("begun")) and self.video is None

    @property
    def lost(self) -> int:
        """How many videos of this film the other server lost."""
        value = self._record.get("lost", 0)
        return value if isinstance(value, int) else 0

    @property
    def key(self) -> str:
        """The idempotency key of the video that is asked for: the token, and another one for each video that was lost."""
        return f"{self.token}-lost-{self.lost}" if self.token and self.lost else self.token

    def begin(self) -> None:
        """Write down that a video is asked for now."""
        self._write({"begun": True, "lost": self.lost})

    def accept(self, video: str) -> None:
        """Write down the id of the video."""
        self._write({"begun": True, "video": video, "lost": self.lost})

    def withdraw(self) -> None:
        """Write down that the video was not accepted."""
        self._write({"lost": self.lost})

    def lose(self) -> None:
        """Write down that the other server does not know the video any more."""
        self._write({"lost": self.lost + 1})

    def clear(self) -> None:
        """Forget the film."""
        self._write({})

    def _write(self, record: dict[str, Any]) -> None:
        self._record = record
        if self.records is not None:
            self.records.write(f"{self.name}.json", json.dumps(record).encode())
