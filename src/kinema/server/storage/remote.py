"""A folder on object storage, such as S3, by fsspec: objects appear whole or not at all, and are deleted by their names.

URL/store-id                        the id of the database that the objects belong to
URL/videos/ID/FENCE/NAME            published films, as in a data folder
URL/files/ID.npz, ID.film, ID.c2pa  uploads
URL/work/ID/NAME                    what must outlive a worker while it makes a video
"""

from __future__ import annotations

import errno
import importlib
import posixpath
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from kinema.errors import InputError, OutputError, StorageError


def check_address(url: str) -> str:
    """The address of a folder on object storage, without a slash at its end. InputError for other texts, and for one with keys."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InputError("artifacts: keys do not belong in an address; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not parts.scheme or "://" not in url or not (parts.netloc or parts.path.strip("/")):
        raise InputError(f"artifacts {url[:80]!r}: expected an address such as s3://bucket/prefix")
    return url.rstrip("/")


class RemoteFolder:
    """A folder on object storage.

    Args:
        url: Its address, such as s3://bucket/prefix; fsspec says which there are.

    Raises:
        InputError: The package for this kind of storage is not installed.
        StorageError: It cannot be written to; so do all methods where the storage does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = check_address(url)
        fsspec = importlib.import_module("fsspec")
        try:
            folders = {"auto_mkdir": True} if self.url.startswith("file://") else {}
            self._fs, self._path = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **folders)
        except ImportError as error:
            raise InputError(f"{self.url} needs a package ({error}); for s3: pip install 'kinema[s3]'") from None
        except ValueError as error:
            raise InputError(f"artifacts {self.url}: {error}; expected an address such as s3://bucket/prefix") from None
        probe = f".probe-{secrets.token_hex(4)}"
        self.write(probe, b"x")
        self.remove(probe)

    def put(self, source: Path, name: str) -> None:
        """Write a file as an object."""
        with self._errors("written"):
            self._fs.put_file(str(source), self._at(name))

    def fetch(self, name: str, target: Path) -> bool:
        """Copy an object into a new file, which has its name only when it is whole. Returns whether there is such an object."""
        temporary = target.with_name(f".{secrets.token_hex(6)}.tmp")
        try:
            with self._errors("read"):
                try:
                    self._fs.get_file(self._at(name), str(temporary))
                except FileNotFoundError:
                    return False
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def read(self, name: str) -> bytes | None:
        """The bytes of an object; None if there is none."""
        with self._errors("read"):
            try:
                return bytes(self._fs.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes] | None]:
        """An object as a file of which only the parts that are read are transferred; None if there is none. StorageError for
        whatever is raised while it is open, so also if it is damaged."""
        with self._errors("read"):
            try:
                file = self._fs.open(self._at(name), "rb")
            except FileNotFoundError:
                file = None
            try:
                yield file
            finally:
                if file is not None:
                    file.close()

    def write(self, name: str, content: bytes) -> None:
        """Write an object, in place of one of the same name."""
        with self._errors("written"):
            self._fs.pipe_file(self._at(name), content)

    def exists(self, name: str) -> bool:
        """Whether there is an object of this name."""
        with self._errors("read"):
            return bool(self._fs.isfile(self._at(name)))

    def names(self, below: str) -> list[str]:
        """The names of all objects below a name, relative to the folder."""
        with self._errors("listed"):
            try:
                paths = self._fs.find(self._at(below))
            except FileNotFoundError:
                return []
        return sorted(posixpath.relpath(path, self._path) for path in paths)

    def age_s(self, name: str) -> float:
        """For how many seconds an object has been there; 0 if it is not there any more."""
        with self._errors("read"):
            try:
                return time.time() - float(self._fs.modified(self._at(name)).timestamp())
            except FileNotFoundError:
                return 0.0

    def remove(self, name: str) -> None:
        """Delete an object, and all objects below its name."""
        for one in self.names(name):
            with self._errors("deleted"), suppress(FileNotFoundError):
                self._fs.rm_file(self._at(one))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """StorageError for whatever the storage's own package raises: their errors have no common class. OutputError where this
        machine's own disk is full."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutputError(
                    f"{self.url} could not be {what}: the disk of this machine is full; free some space"
                ) from None
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise StorageError(
                f"{self.url} could not be {what}: {lines[0][:200]}; check the address, its keys and its network"
            ) from error


class RemoteRecords:
    """Small files of one video below work/, as `kinema.engines.ledger.Records`."""

    def __init__(self, remote: RemoteFolder, id: str) -> None:
        self._remote, self._id = remote, id

    def read(self, name: str) -> bytes | None:
        return self._remote.read(f"work/{self._id}/{name}")

    def write(self, name: str, content: bytes) -> None:
        self._remote.write(f"work/{self._id}/{name}", content)
