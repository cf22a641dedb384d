"""Folders at an address that fsspec knows, such as s3://bucket/clips, read as those on this machine are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, BinaryIO

from kinema.errors import InputError, excerpt


def is_address(path: object) -> bool:
    """Whether a path is an address, such as s3://bucket/clips, rather than one on this machine."""
    return "://" in str(path)


def filesystem_of(path: Path | str) -> tuple[Any, str]:
    """The filesystem of fsspec that a path or an address lies in, and the path in it. InputError: its protocol is not known, the
    package of that filesystem is not installed, or it cannot be reached."""
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(str(path) if is_address(path) else str(Path(path).absolute()))
    except Exception as error:  # whatever a filesystem of somebody else raises
        raise _unreached(path, error) from None
    return fs, str(root)


def _unreached(path: Path | str, error: Exception) -> InputError:
    return InputError(f"{excerpt(str(path), 200)!r} cannot be opened: {excerpt(' '.join(str(error).split()), 200)}")


class RemotePath:
    """A path at an address, with those methods of `pathlib.Path` that read. Every file is read where it lies, each time anew;
    `simplecache::s3://...` keeps copies on this machine.

    InputError: an address whose protocol is not known, whose package is not installed, or that cannot be reached.
    """

    def __init__(self, address: str, *, _at: tuple[Any, str] | None = None) -> None:
        self._address = address.rstrip("/") if not address.endswith("://") else address
        self._fs, self._path = filesystem_of(address) if _at is None else _at

    def __str__(self) -> str:
        return self._address

    def __repr__(self) -> str:
        return f"RemotePath({self._address!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(other) == self._address

    def __hash__(self) -> int:
        return hash(self._address)

    def __truediv__(self, name: str) -> RemotePath:
        below = f"{self._path.rstrip('/')}/{name}"
        joint = "" if self._address.endswith("/") else "/"
        return RemotePath(f"{self._address}{joint}{name}", _at=(self._fs, below))

    @property
    def suffix(self) -> str:
        return PurePosixPath(self._path).suffix

    def exists(self) -> bool:
        try:
            return bool(self._fs.exists(self._path))
        except Exception as error:  # as in `filesystem_of`
            raise _unreached(self._address, error) from None

    def open(self, mode: str = "rb") -> BinaryIO:
        """An open file that can be sought. OSError: it cannot be read."""
        try:
            file: BinaryIO = self._fs.open(self._path, mode)
        except OSError:
            raise
        except Exception as error:  # as in `filesystem_of`
            raise OSError(f"{self._address}: {error}") from None
        return file

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding=encoding).read()

    def stat(self) -> SimpleNamespace:
        """`st_size`, in bytes."""
        return SimpleNamespace(st_size=int(self._fs.size(self._path)))

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Files below it whose path fits, part by part."""
        root, parts = self._path.rstrip("/"), PurePosixPath(pattern).parts
        for path in self._fs.find(root):
            below = PurePosixPath(str(path)[len(root) :].lstrip("/"))
            if len(below.parts) == len(parts) and all(fnmatchcase(*pair) for pair in zip(below.parts, parts, strict=True)):
                yield self / below.as_posix()


AnyPath = Path | RemotePath
"""A path on this machine or at an address."""


def path_at(path: Path | str) -> AnyPath:
    """The path of a folder on this machine, or of one at an address."""
    return RemotePath(str(path)) if is_address(path) else Path(path)


def name_below(path: AnyPath, folder: AnyPath) -> str:
    """The rest of a path below a folder, with / between its parts."""
    if isinstance(path, Path) and isinstance(folder, Path):
        return path.relative_to(folder).as_posix()
    return str(path).removeprefix(str(folder)).lstrip("/")
