"""The data folder: atomically published videos, uploads, and the deletion of orphaned files.

    DATA/kinema.db            the database, where no other is named
    DATA/videos/ID/FENCE/     one published film: video.mp4, thumbnail.jpg, spritesheet.jpg, state.json
    DATA/formats/             films in other formats, made on demand (`storage/formats.py`)
    DATA/work/ID/             what a worker stores while it renders a video; preview.jpg
    DATA/files/ID.npz         an upload, decoded; beside it ID.film: a long film as it was sent; ID.c2pa and ID.part.c2pa:
                              its hash and its own manifest, if it had one
    DATA/fetched/             with films and uploads on object storage (`storage/remote.py`): copies of what was read lately
    DATA/worlds/, DATA/identity/

All names below it are generated here; no text from a caller becomes part of a path.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from kinema.engines.ledger import FolderRecords, Records
from kinema.errors import OutputError, StorageError
from kinema.media import Clip
from kinema.provenance import part_of
from kinema.server.storage.clips import Stored, load_clip, read_about, save_clip, stored_about
from kinema.server.storage.disk import sync
from kinema.server.storage.remote import RemoteFolder, RemoteRecords

MIN_FREE_BYTES = 64 << 20
"""On a disk with less than this free, no job begins."""
ORPHANED_S = 3600.0
"""Orphaned files older than this are deleted."""
MOST_FETCHED, FETCHED_S = 4 << 30, 600.0
"""Bytes of all copies of what is on object storage, and for how many seconds at least a copy stays after it was read."""
log = logging.getLogger(__name__)


def new_id(kind: str) -> str:
    """A random id, such as video_0123456789abcdef01234567."""
    return f"{kind}_{secrets.token_hex(12)}"


def is_id(text: str, kind: str) -> bool:
    """Whether a text has the form of an id of this kind."""
    return re.fullmatch(rf"{kind}_[0-9a-f]{{24}}", text) is not None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


class ArtifactStore:
    """The files of a server, below one folder, films and uploads on object storage where an address of it is given. OutputError if
    it cannot be written; StorageError where object storage does not answer, so do all methods."""

    def __init__(self, root: Path, artifacts: str | None = None) -> None:
        self.root = root.absolute()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("videos", "work", "files", "formats", "fetched", "worlds", "identity"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{secrets.token_hex(4)}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"the data folder {root} cannot be written: {error.strerror}; name another with --data"
            ) from None
        self.remote = None if artifacts is None else RemoteFolder(artifacts)

    def check_space(self) -> None:
        """Raise OutputError if less than MIN_FREE_BYTES are free."""
        free = shutil.disk_usage(self.root).free
        if free < MIN_FREE_BYTES:
            raise OutputError(f"the disk of {self.root} has {free >> 20} MiB free, {MIN_FREE_BYTES >> 20} are wanted")

    # Videos

    def video(self, id: str, artifact: str) -> Path:
        """The folder of a published video, which is not there if the video is on object storage."""
        return self.root / "videos" / id / artifact

    def film_file(self, id: str, artifact: str, name: str) -> Path:
        """A file of a published video, fetched from object storage if it is there; it may not exist."""
        folder = self.video(id, artifact)
        if self.remote is None or folder.is_dir():
            return folder / name
        return self._fetched(f"videos/{id}/{artifact}/{name}", f"{id}.{artifact}.{name}")

    def _fetched(self, name: str, copy: str) -> Path:
        """The copy of an object, which may not exist; those that were read longest ago go when there are too many."""
        assert self.remote is not None
        path = self.root / "fetched" / copy
        if not path.exists():
            self.check_space()
            if self.remote.fetch(name, path):
                make_room(self.root / "fetched", MOST_FETCHED, younger_s=FETCHED_S)
        with suppress(FileNotFoundError):
            os.utime(path)
        return path

    def _forget_fetched(self, pattern: str) -> None:
        for path in (self.root / "fetched").glob(pattern):
            path.unlink(missing_ok=True)

    def stage(self, id: str) -> Path:
        """Create an empty staging folder for a video."""
        folder = self.root / "videos" / id / f".ready-{secrets.token_hex(6)}"
        folder.mkdir(parents=True)
        return folder

    def publish(self, staged: Path, artifact: str) -> None:
        """Sync all staged files to disk, then rename the folder to the artifact's name; or write them to object storage. Nobody
        reads them before the database names the artifact."""
        if self.remote is not None:
            for file in sorted(staged.iterdir()):
                self.remote.put(file, f"videos/{staged.parent.name}/{artifact}/{file.name}")
            shutil.rmtree(staged)
            with suppress(OSError):  # another claim's files are there
                staged.parent.rmdir()
            return
        for file in staged.iterdir():
            sync(file)
        sync(staged)
        target = staged.parent / artifact
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
        sync(staged.parent)
        sync(staged.parent.parent)

    def drop(self, id: str, artifact: str | None = None) -> None:
        """Remove one artifact, or all that belongs to a video."""
        folder = self.root / "videos" / id
        shutil.rmtree(folder if artifact is None else folder / artifact, ignore_errors=True)
        if artifact is None:
            self.drop_work(id)
        for path in self.formats.glob(f"{id}-{artifact or '*'}.*"):
            path.unlink(missing_ok=True)
        self._forget_fetched(f"{id}.{artifact or '*'}.*")
        self._remove_remote(f"videos/{id}" if artifact is None else f"videos/{id}/{artifact}")

    def drop_work(self, id: str) -> None:
        """Remove what a worker stored while it made a video."""
        shutil.rmtree(self.work_folder(id, make=False), ignore_errors=True)
        self._remove_remote(f"work/{id}")

    def records(self, id: str) -> Records:
        """Where a worker writes what must outlive it, also if the next worker is on another machine."""
        return FolderRecords(self.work_folder(id, make=False)) if self.remote is None else RemoteRecords(self.remote, id)

    def _remove_remote(self, name: str) -> None:
        """Delete objects; what is left because the storage does not answer is deleted by `sweep`."""
        if self.remote is not None:
            try:
                self.remote.remove(name)
            except StorageError as error:
                log.warning("%s; it is deleted later", error)

    @property
    def formats(self) -> Path:
        """The folder of films in other formats, ID-ARTIFACT.ENDING."""
        return self.root / "formats"

    def remove_others(self, id: str, artifact: str) -> None:
        """Remove what earlier claims of a job left behind."""
        for other in (self.root / "videos" / id).glob("*"):
            if other.name != artifact:
                shutil.rmtree(other, ignore_errors=True)
        if self.remote is not None:
            for other_artifact in {name.split("/")[2] for name in self.remote.names(f"videos/{id}")} - {artifact}:
                self._remove_remote(f"videos/{id}/{other_artifact}")
        self.drop_work(id)

    def work_folder(self, id: str, *, make: bool = True) -> Path:
        """Where a worker stores what it renders for a video. make: create it if it does not exist."""
        folder = self.root / "work" / id
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def sweep(self, jobs: dict[str, tuple[str | None, str, int]], *, older_s: float = ORPHANED_S) -> list[str]:
        """Delete files that belong to no job and are older than older_s. jobs: `Queue.artifacts()`, artifact and status of each id.
        Returns the names of what was deleted."""
        orphans: list[Path] = []
        for folder in filter(Path.is_dir, (self.root / "videos").iterdir()):
            artifact, status, _ = jobs.get(folder.name, (None, None, 0))
            if status is None:
                orphans.append(folder)
            elif status != "in_progress":
                orphans += [part for part in folder.iterdir() if part.name != artifact]
        for folder in filter(Path.is_dir, (self.root / "work").iterdir()):
            if jobs.get(folder.name, (None, None, 0))[1] not in ("queued", "in_progress"):
                orphans.append(folder)
        for path in self.formats.iterdir():
            id, _, artifact = path.name.partition(".")[0].partition("-")
            if jobs.get(id, (None, None, 0))[0] != artifact:
                orphans.append(path)
        removed: list[str] = self._sweep_remote(jobs, older_s)
        for path in orphans:
            with suppress(FileNotFoundError):  # a worker may remove it at the same time
                if time.time() - path.stat().st_mtime > older_s:
                    _remove(path)
                    removed.append(f"{path.parent.name}/{path.name}")
        return removed

    def _sweep_remote(self, jobs: dict[str, tuple[str | None, str, int]], older_s: float) -> list[str]:
        """`sweep` on object storage."""
        if self.remote is None:
            return []
        removed = []
        for name in [*self.remote.names("videos"), *self.remote.names("work")]:
            kind, id, part = name.split("/")[:3]
            artifact, status, _ = jobs.get(id, (None, None, 0))
            if status == "in_progress" or (kind == "videos" and part == artifact) or (kind == "work" and status == "queued"):
                continue
            if self.remote.age_s(name) > older_s:
                self.remote.remove(name)
                removed.append(name)
        return removed

    # Work of a worker

    def save_rendered(self, id: str, clip: Clip) -> None:
        """Store the rendered frames, so that they need not be rendered again if the worker dies while publishing."""
        save_clip(self.work_folder(id) / "film.npz", clip)

    def load_rendered(self, id: str) -> Clip | None:
        """The rendered frames of a video, or None if none are stored or they are damaged."""
        path = self.work_folder(id, make=False) / "film.npz"
        try:
            return load_clip(path) if path.exists() else None
        except (OSError, ValueError, KeyError):
            path.unlink(missing_ok=True)
            return None

    def preview(self, id: str) -> Path:
        """The latest picture of a video that is being made."""
        return self.work_folder(id, make=False) / "preview.jpg"

    # Uploads

    def file(self, id: str) -> Path:
        """The decoded pixels of an upload, fetched from object storage if they are there; they may not exist."""
        return self._upload_part(f"{id}.npz")

    def new_file(self, id: str) -> Path:
        """Where a new upload is written; `keep_file` stores it."""
        return self.root / "files" / f"{id}.npz"

    def new_original(self, id: str) -> Path:
        """Where a new long film is written as it was sent."""
        return self.root / "files" / f"{id}.film"

    def new_ingredient(self, id: str) -> Path:
        """Where the manifest of a new upload is written."""
        return self.root / "files" / f"{id}.c2pa"

    def original(self, id: str) -> Path:
        """A long film that was uploaded, as it was sent, fetched like `file`; only the decode process reads it."""
        return self._upload_part(f"{id}.film")

    def about(self, id: str) -> Stored:
        """What is known of an upload without its pixels; of one that is gone, nothing."""
        name = f"{id}.npz"
        paths = [path for path in (self.root / "files" / name, self.root / "fetched" / name) if path.exists()]
        if self.remote is None or paths:
            return stored_about(paths[0] if paths else self.new_file(id))
        with self.remote.opened(f"files/{name}") as file:
            return Stored() if file is None else read_about(file)

    def ingredient(self, id: str) -> Path:
        """What manifests of films made from an upload say of it (`kinema.provenance.archive_ingredient`)."""
        archive = self._upload_part(f"{id}.c2pa")
        self._upload_part(part_of(archive).name)
        return archive

    def keep_file(self, id: str) -> None:
        """Write a new upload to object storage, if there is one; its local files become copies."""
        if self.remote is None:
            return
        for path in self._written(id):
            self.remote.put(path, f"files/{path.name}")
        for path in self._written(id):
            path.replace(self.root / "fetched" / path.name)
        make_room(self.root / "fetched", MOST_FETCHED, younger_s=FETCHED_S)

    def has_file(self, id: str) -> bool:
        """Whether the pixels of an upload are there."""
        name = f"{id}.npz"
        local = any((self.root / folder / name).exists() for folder in ("files", "fetched"))
        return local or (self.remote is not None and self.remote.exists(f"files/{name}"))

    def drop_file(self, id: str) -> None:
        """Remove all that belongs to an upload."""
        for path in self._written(id):
            path.unlink(missing_ok=True)
        self._forget_fetched(f"{id}.*")
        for path in self.upload_paths(id):
            self._remove_remote(f"files/{path.name}")

    def sweep_files(self, known: set[str], *, older_s: float) -> set[str]:
        """Delete files of uploads whose ids are not known and that are older than older_s; the ids of those deleted."""
        swept: set[str] = set()
        for path in (self.root / "files").iterdir():
            id = path.name.partition(".")[0]
            with suppress(FileNotFoundError):
                if id not in known and time.time() - path.stat().st_mtime > older_s:
                    path.unlink()
                    swept.add(id)
        for name in [] if self.remote is None else self.remote.names("files"):
            id = name.rpartition("/")[2].partition(".")[0]
            if self.remote is not None and id not in known and self.remote.age_s(name) > older_s:
                self._remove_remote(name)
                swept.add(id)
        return swept

    def _written(self, id: str) -> list[Path]:
        """The files of an upload that lie in the data folder itself."""
        return [path for path in self.upload_paths(id) if path.exists()]

    def upload_paths(self, id: str) -> tuple[Path, ...]:
        """Where a new upload and all that belongs to it is written; objects have the same names."""
        ingredient = self.new_ingredient(id)
        return self.new_file(id), self.new_original(id), ingredient, part_of(ingredient)

    def _upload_part(self, name: str) -> Path:
        path = self.root / "files" / name
        return path if self.remote is None or path.exists() else self._fetched(f"files/{name}", name)


def make_room(folder: Path, most_bytes: int, *, younger_s: float = 0.0) -> None:
    """Delete the files of a folder that were used longest ago until the rest have at most so many bytes. The one used last stays.
    younger_s: so do files that were used within so many seconds."""
    stored = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            stat = path.stat()
            stored.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in stored)
    for used_at, size, path in sorted(stored)[:-1]:
        if total <= most_bytes or time.time() - used_at < younger_s:
            return
        path.unlink(missing_ok=True)
        total -= size
