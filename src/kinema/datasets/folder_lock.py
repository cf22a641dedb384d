"""The folder of a run or of a dataset: made and locked before any work, so that two writers never share one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kinema.errors import InputError, OutputError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two runs in one folder are not told apart
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_held: set[int] = set()
"""File descriptors of the locks that this process holds."""


def _close_in_child() -> None:
    """A lock lasts until every copy of its descriptor is closed: worker processes that outlive a killed run must not hold it."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(folder: Path, writer: str = "run", option: str = "--out") -> Iterator[None]:
    """Make a folder and hold its lock. The kernel releases the lock when the process ends, however it ends. Nothing is left of
    a folder that was made for this where what is done within is refused before it has written anything; folders above it stay.

    writer: what writes to it ("run", "recording"); option: of the command that names another folder.
    OutputError: the folder cannot be made or written to. InputError: another writer holds the lock.
    """
    made = not _exists(folder)
    handle = _open(folder, option)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while not os.fstat(handle).st_nlink:  # one that was refused removed it after we opened it
                os.close(handle)
                handle = _open(folder, option)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"another {writer} is writing to {folder}; wait until it ends, or name another {option}") from None
    except OSError as error:
        os.close(handle)
        raise OutputError(f"{folder / LOCK} cannot be locked: {error.strerror}; name an {option} on another disk") from None
    _held.add(handle)
    try:
        yield
    except InputError:
        with suppress(OSError):  # it may be gone, or another one in it by now
            if made and fcntl is not None and [one.name for one in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()
        raise
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def _exists(folder: Path) -> bool:
    """False also of a name that can be none, which `_open` refuses."""
    try:
        return folder.exists()
    except OSError:
        return False


def _open(folder: Path, option: str) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{option} {folder} is a file or lies in one; name a folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{option} {str(folder)[:200]!r} cannot be written to: {reason}; name another folder") from None
