"""`MediaDecoder`: reads bytes from callers in a subprocess with limits of memory, time and size (`decode`), never in this one."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinema.errors import ApiError, InputError
from kinema.media.wanted import FramePart
from kinema.provenance import part_of
from kinema.server.storage.confine import LACKS

log = logging.getLogger("kinema.server")

EMPTY: Mapping[str, Path] = {}
MAX_PIXELS = 4096 * 4096
MAX_FRAMES, MAX_LONG_FRAMES = 2000, 250_000
"""Frames of a film of which all are stored, and of a long one, of which parts are read when they are needed."""
TIMEOUT_S, CONVERT_S, PART_S = 40.0, 150.0, 1500.0
"""How long a file may take to be read, a film to be written in another format, and a part of a long film to be read."""
MAX_PROCESSES = 2
"""Files that are decoded at the same time."""
INHERITED = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""Environment variables that the subprocess inherits."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def invalid_media(message: str) -> ApiError:
    """The error for bytes that are no picture or video, or none that may be read."""
    return ApiError(400, message, code="invalid_media")


class MediaDecoder:
    """Runs the decoding subprocess, up to MAX_PROCESSES at a time."""

    def __init__(self) -> None:
        self._slots = threading.Semaphore(MAX_PROCESSES)
        self._said: set[str] = set()

    def decode(self, content: bytes, target: Path, ingredient: Path, title: str) -> dict[str, Any]:
        """Write the pixels of a picture or video to target, of a long one (`MAX_FRAMES`) a few, and what manifests say of it to
        ingredient. Returns its width, height, frames, fps and whether it is long; 400 if it cannot be read."""
        made = {path.name: path for path in (target, ingredient, part_of(ingredient))}
        try:
            return self._run(
                "decode", content, target.name, str(MAX_PIXELS), str(MAX_FRAMES), str(MAX_LONG_FRAMES), ingredient.name, title,
                made=made,
            )  # fmt: skip
        except (ApiError, OSError):
            for path in made.values():
                path.unlink(missing_ok=True)
            raise

    def verify(self, content: bytes, anchors: bytes) -> dict[str, Any]:
        """Read the manifest and the watermark of a file. anchors: root certificates that are trusted. 400 if it cannot be read."""
        return self._run("verify", content, str(MAX_PIXELS), str(MAX_FRAMES), anchors.decode("ascii", "replace"))

    def read_part(self, film: Path, target: Path, part: FramePart, longest: int, within: int) -> None:
        """Write some frames of a long film to target. longest, within: as in `kinema.media.wanted.Wanted`. 400 if they cannot be
        read."""
        given = (str(part.first), str(part.stop), repr(part.fps), str(longest), str(within))
        self._run("part", film, target.name, str(MAX_PIXELS), *given, made={target.name: target}, timeout_s=PART_S)

    def convert(self, film: Path, target: Path) -> None:
        """Write a film in the format that the ending of target names: .webm, .gif, or .zip of its frames. 400 if it cannot be."""
        try:
            self._run("convert", film, f"made{target.suffix}", made={f"made{target.suffix}": target}, timeout_s=CONVERT_S)
        except (ApiError, OSError):
            target.unlink(missing_ok=True)
            raise

    def rewrite_world(self, content: bytes, target: Path) -> str:
        """Check a world file and write it anew to target. Returns the name of its model; InputError if it cannot be opened."""
        try:
            return str(self._run("world", content, target.name, made={target.name: target})["model"])
        except ApiError as error:
            raise InputError(error.message) from None

    def _run(
        self,
        verb: str,
        content: bytes | Path,
        *arguments: str,
        made: Mapping[str, Path] = EMPTY,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """What the subprocess says. content: what it reads. made: files that it makes in its folder, and where they go."""
        with tempfile.TemporaryDirectory(prefix="kinema-upload-") as folder:
            source = Path(folder) / "upload"
            if isinstance(content, Path):
                shutil.copyfile(content, source)
            else:
                source.write_bytes(content)
            command = [sys.executable, "-m", "kinema.server.storage.decode", verb, str(source), *arguments]
            environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
            with self._slots:
                try:
                    process = subprocess.run(
                        command, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL, cwd=folder,
                        env={**environment, **ONE_THREAD},
                    )  # fmt: skip
                except subprocess.TimeoutExpired:
                    raise invalid_media(f"the file takes longer than {timeout_s:g} s to read; cut it first") from None
            for name, path in made.items():
                if process.returncode == 0 and (Path(folder) / name).is_file():
                    _move(Path(folder) / name, path)
        self._say(process.stderr)
        result: dict[str, Any]
        try:
            result = json.loads(process.stdout.decode().strip().splitlines()[-1])
        except (IndexError, json.JSONDecodeError, UnicodeDecodeError):
            result = {"error": "the file could not be read within the limits of memory and time; make it smaller first"}
        if "error" in result:
            raise invalid_media(result["error"])
        return result

    def _say(self, stderr: bytes) -> None:
        """Log what the subprocess could not give up, once."""
        for line in stderr.decode(errors="replace").splitlines():
            lack = line.removeprefix(LACKS)
            if lack != line and lack not in self._said:
                self._said.add(lack)
                log.warning("files of strangers are read with less protection: %s", lack)


def _move(source: Path, target: Path) -> None:
    """Move a file to another file system or on the same one, whole or not at all."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
