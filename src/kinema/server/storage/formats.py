"""Films in other formats than MP4: made when they are first asked for, in the process of `decoder`, and kept while there is room.

A GIF, a WebM and single frames hold no signed manifest; what the pixels carry stays, as far as the format keeps it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from kinema.errors import ApiError
from kinema.server.storage.artifacts import ArtifactStore, make_room
from kinema.server.storage.decoder import MediaDecoder

ENDINGS = {"webm": (".webm", "video/webm"), "gif": (".gif", "image/gif"), "frames": (".zip", "application/zip")}
"""File ending and media type of each format."""
MOST_PIXELS_BYTES = 256 << 20
"""Decoded bytes of a film that is converted."""
MOST_STORED = 1 << 30
"""Bytes of all conversions that are kept; those that were asked for longest ago go first."""


class Formats:
    """Converts films, one at a time, and keeps what was made."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self._decoder = MediaDecoder()
        self._lock = threading.Lock()

    def get(self, format: str, video: str, artifact: str, film: Path, decoded_bytes: int) -> Path:
        """A film in a format of ENDINGS. artifact, film: its artifact, and the MP4 of it. 413 if it is too long or large."""
        if decoded_bytes > MOST_PIXELS_BYTES:
            raise ApiError(
                413, f"{video} has {decoded_bytes >> 20} MiB of pixels; films of up to {MOST_PIXELS_BYTES >> 20} are written as "
                f"{format}; trim it first (POST /v1/videos/trims), or take the mp4", param="format", code="too_large",
            )  # fmt: skip
        target = self.store.formats / f"{video}-{artifact}{ENDINGS[format][0]}"
        with self._lock:
            if not target.exists():
                self.store.check_space()
                self._decoder.convert(film, target)
            os.utime(target)
            make_room(self.store.formats, MOST_STORED)
        return target
