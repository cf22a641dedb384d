"""What was asked of another server for one film, written down before and after, so that nothing is paid twice after a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kinema.errors import OutputError

FILE = "upstream.json"


class Ledger:
    """The record of one film.

    Args:
        folder: Where the record is kept; None: in memory.
        token: A name of the film that no other has. Servers that know idempotency keys answer a repeated request with the same
            video.
    """

    def __init__(self, folder: Path | None = None, token: str = "") -> None:
        self.folder, self.token = folder, token
        self._record: dict[str, Any] = {}
        if folder is not None:
            try:
                record = json.loads((folder / FILE).read_text(encoding="utf-8"))
                self._record = record if isinstance(record, dict) else {}
            except (OSError, ValueError):
                pass

    @property
    def video(self) -> str | None:
        """The id of the video on the other server, once it is known."""
        value = self._record.get("video")
        return value if isinstance(value, str) else None

    @property
    def is_open(self) -> bool:
        """Whether a video was asked for without an answer being written down: nobody knows whether it was accepted."""
        return bool(self._record.get("begun")) and self.video is None

    def begin(self) -> None:
        """Write down that a video is asked for now."""
        self._write({"begun": True})

    def accept(self, video: str) -> None:
        """Write down the id of the video."""
        self._write({"begun": True, "video": video})

    def clear(self) -> None:
        """Forget the video: it is lost there, or was refused."""
        self._write({})

    def _write(self, record: dict[str, Any]) -> None:
        self._record = record
        if self.folder is None:
            return
        path = self.folder / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"{path} could not be written: {error.strerror or error}") from None
