"""The file of a backup: a tar file that begins with what it is, and ends with the SHA-256 of everything in it.

    kinema-backup.json    format, version of Kinema, time
    kinema.db             the database, as a SQLite file, whichever database the server uses
    store-id, first-key, videos/, files/, worlds/, identity/    as in the data folder
    manifest.json         bytes and SHA-256 of each of these

It is not compressed: films are, and whoever wants to can compress the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from kinema.errors import InputError

FORMAT = 1
HEADER, MANIFEST = "kinema-backup.json", "manifest.json"
MOST_LIST = 1 << 30
"""Bytes of the header or the manifest that are read at most."""
CHUNK = 1 << 20
PARTS = re.compile(r"(kinema\.db|store-id|first-key|(videos/\w+/\w+|files|worlds/\w+|identity)/\w[\w.-]*)", re.ASCII)
"""The names that a backup may hold: nothing that leaves the data folder."""


class HashingReader:
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.hash.update(data)
        return data


class ArchiveWriter:
    """Writes a backup to an open file. `close` makes it whole; without it the file is refused by `extract`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._listed: dict[str, dict[str, Any]] = {}
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._add_json(HEADER, {"format": FORMAT, "kinema": version("kinema"), "made_at": made_at})

    def add(self, name: str, file: IO[bytes]) -> None:
        """Add what an open file holds now."""
        status = os.fstat(file.fileno())
        self._add(name, file, status.st_size, status.st_mtime)

    def add_bytes(self, name: str, data: bytes) -> None:
        self._add(name, io.BytesIO(data), len(data), time.time())

    def _add(self, name: str, file: IO[bytes], size: int, time_s: float) -> None:
        if not PARTS.fullmatch(name):
            raise ValueError(f"{name!r} does not belong to a store")
        reader = HashingReader(file)
        self._tar.addfile(_member(name, size, time_s), reader)
        self._listed[name] = {"bytes": size, "sha256": reader.hash.hexdigest()}

    def _add_json(self, name: str, value: dict[str, Any]) -> None:
        data = json.dumps(value, indent=1).encode()
        self._tar.addfile(_member(name, len(data), time.time()), io.BytesIO(data))

    def close(self) -> None:
        self._add_json(MANIFEST, {"files": self._listed})
        self._tar.close()


def _member(name: str, size: int, time_s: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, int(time_s), 0o600
    return member


def extract(file: Path, folder: Path) -> dict[str, Any]:
    """Write what a backup holds below an empty folder, readable by the owner only, and check every byte.

    Returns its header. InputError if the file is no backup, of a later format, or damaged; what was written then stays behind.
    """
    try:
        with tarfile.open(file, "r:") as tar:
            header = _read_header(file, tar)
            written = _write_members(tar, folder)
    except (tarfile.TarError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is no backup of Kinema; expected a file that kinema backup wrote") from None
    except FileNotFoundError:
        raise InputError(f"{file} does not exist; expected a file that kinema backup wrote") from None
    if written is None:
        raise InputError(f"{file} is damaged: its end is missing; copy it again, or restore another backup")
    listed, extracted = written
    different = sorted(name for name in listed.keys() | extracted.keys() if listed.get(name) != extracted.get(name))
    if different:
        raise InputError(
            f"{file} is damaged: {different[0]} is not what was saved; copy it again, or restore another backup"
        )
    return header


def _read_header(file: Path, tar: tarfile.TarFile) -> dict[str, Any]:
    member = tar.next()
    if member is None or member.name != HEADER:
        raise ValueError
    header: dict[str, Any] = _read_json(tar, member)
    if header.get("format") != FORMAT:
        raise InputError(
            f"{file} is a backup of format {str(header.get('format'))[:20]}; expected {FORMAT}; use the Kinema that wrote it"
        )
    return header


def _write_members(tar: tarfile.TarFile, folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Write all members; what the manifest lists and what was written. None if there is no manifest."""
    extracted: dict[str, Any] = {}
    while (member := tar.next()) is not None:
        if member.name == MANIFEST:
            listed = _read_json(tar, member).get("files")
            return (listed, extracted) if isinstance(listed, dict) else None
        if (
            member.type != tarfile.REGTYPE
            or member.issparse()
            or not PARTS.fullmatch(member.name)
            or member.name in extracted
        ):
            raise ValueError
        data = tar.extractfile(member)
        assert data is not None
        reader = HashingReader(data)
        _write(folder / member.name, folder, reader)
        os.utime(folder / member.name, (member.mtime, member.mtime))
        extracted[member.name] = {"bytes": (folder / member.name).stat().st_size, "sha256": reader.hash.hexdigest()}
    return None


def _read_json(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    file = tar.extractfile(member) if member.isreg() and member.size <= MOST_LIST else None
    value = None if file is None else json.loads(file.read())
    if not isinstance(value, dict):
        raise ValueError
    return value


def _write(path: Path, root: Path, source: HashingReader) -> None:
    for parent in reversed(path.relative_to(root).parents):
        (root / parent).mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while data := source.read(CHUNK):
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
