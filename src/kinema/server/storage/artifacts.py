"""The data folder: atomically published videos, uploads, and the deletion of orphaned files.

    DATA/kinema.db            the database, where no other is named
    DATA/videos/ID/FENCE/     one published film: video.mp4, thumbnail.jpg, spritesheet.jpg, state.json
    DATA/formats/             films in other formats, made on demand (`storage/formats.py`)
    DATA/work/ID/             what a worker stores while it renders a video; preview.jpg
    DATA/files/ID.npz         an upload, decoded; beside it ID.c2pa and ID.part.c2pa: its hash and its own manifest, if it had one
    DATA/worlds/, DATA/identity/

All names below it are generated here; no text from a caller becomes part of a path.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from kinema.errors import OutputError
from kinema.media import Clip
from kinema.provenance import part_of
from kinema.server.storage.clips import load_clip, save_clip
from kinema.server.storage.disk import sync

MIN_FREE_BYTES = 64 << 20
"""On a disk with less than this free, no job begins."""
ORPHANED_S = 3600.0
"""Orphaned files older than this are deleted."""


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
    """The files of a server, below one folder. OutputError if it cannot be written."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("videos", "work", "files", "formats", "worlds", "identity"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{secrets.token_hex(4)}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"the data folder {root} cannot be written: {error.strerror}; name another with --data"
            ) from None

    def check_space(self) -> None:
        """Raise OutputError if less than MIN_FREE_BYTES are free."""
        free = shutil.disk_usage(self.root).free
        if free < MIN_FREE_BYTES:
            raise OutputError(f"the disk of {self.root} has {free >> 20} MiB free, {MIN_FREE_BYTES >> 20} are wanted")

    # Videos

    def video(self, id: str, artifact: str) -> Path:
        """The folder of a published video."""
        return self.root / "videos" / id / artifact

    def stage(self, id: str) -> Path:
        """Create an empty staging folder for a video."""
        folder = self.root / "videos" / id / f".ready-{secrets.token_hex(6)}"
        folder.mkdir(parents=True)
        return folder

    def publish(self, staged: Path, artifact: str) -> None:
        """Sync all staged files to disk, then rename the folder to the artifact's name."""
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
            shutil.rmtree(self.work_folder(id, make=False), ignore_errors=True)
        for path in self.formats.glob(f"{id}-{artifact or '*'}.*"):
            path.unlink(missing_ok=True)

    @property
    def formats(self) -> Path:
        """The folder of films in other formats, ID-ARTIFACT.ENDING."""
        return self.root / "formats"

    def remove_others(self, id: str, artifact: str) -> None:
        """Remove what earlier claims of a job left behind."""
        for other in (self.root / "videos" / id).iterdir():
            if other.name != artifact:
                shutil.rmtree(other, ignore_errors=True)
        shutil.rmtree(self.work_folder(id, make=False), ignore_errors=True)

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
        removed: list[str] = []
        for path in orphans:
            with suppress(FileNotFoundError):  # a worker may remove it at the same time
                if time.time() - path.stat().st_mtime > older_s:
                    _remove(path)
                    removed.append(f"{path.parent.name}/{path.name}")
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
        """The decoded pixels of an upload."""
        return self.root / "files" / f"{id}.npz"

    def original(self, id: str) -> Path:
        """A long film that was uploaded, as it was sent; only the decode process reads it."""
        return self.root / "files" / f"{id}.film"

    def ingredient(self, id: str) -> Path:
        """What manifests of films made from an upload say of it (`kinema.provenance.archive_ingredient`)."""
        return self.root / "files" / f"{id}.c2pa"

    def drop_file(self, id: str) -> None:
        """Remove all that belongs to an upload."""
        for path in (self.file(id), self.original(id), self.ingredient(id), part_of(self.ingredient(id))):
            path.unlink(missing_ok=True)
