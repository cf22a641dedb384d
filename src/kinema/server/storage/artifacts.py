"""The data folder: atomically published videos, uploads, and the deletion of orphaned files.

    DATA/kinema.db            the database, where no other is named
    DATA/videos/ID/FENCE/     one published film: video.mp4, thumbnail.jpg, spritesheet.jpg, state.json
    DATA/work/ID/             what a worker stores while it renders a video; preview.jpg
    DATA/files/ID.npz         an upload, decoded
    DATA/worlds/, DATA/identity/

All names below it are generated here; no text from a caller becomes part of a path.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path

import numpy as np

from kinema.errors import OutputError
from kinema.media import Clip
from kinema.scene.scene import Scene
from kinema.server.storage.disk import sync

SPARE_BYTES = 64 << 20
"""No job is begun on a disk with less than this free."""
ORPHANED_S = 3600.0
"""Orphaned files older than this are deleted."""


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def is_id(text: str, kind: str) -> bool:
    return re.fullmatch(rf"{kind}_[0-9a-f]{{24}}", text) is not None


class ArtifactStore:
    """Files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            for name in ("videos", "work", "files", "worlds", "identity"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{secrets.token_hex(4)}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"the data folder {root} cannot be written: {error.strerror}; name another with --data"
            ) from None

    def check_space(self) -> None:
        """Raise OutputError if less than SPARE_BYTES are free."""
        free = shutil.disk_usage(self.root).free
        if free < SPARE_BYTES:
            raise OutputError(f"the disk of {self.root} has {free >> 20} MiB free, {SPARE_BYTES >> 20} are wanted")

    # Videos

    def video(self, id: str, artifact: str) -> Path:
        return self.root / "videos" / id / artifact

    def stage(self, id: str) -> Path:
        """Create an empty staging folder for a video."""
        folder = self.root / "videos" / id / f".ready-{secrets.token_hex(6)}"
        folder.mkdir(parents=True)
        return folder

    def settle(self, staged: Path, artifact: str) -> None:
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
            shutil.rmtree(self.work(id, make=False), ignore_errors=True)

    def keep_only(self, id: str, artifact: str) -> None:
        """Remove what earlier claims of a job left behind."""
        for other in (self.root / "videos" / id).iterdir():
            if other.name != artifact:
                shutil.rmtree(other, ignore_errors=True)
        shutil.rmtree(self.work(id, make=False), ignore_errors=True)

    def work(self, id: str, *, make: bool = True) -> Path:
        folder = self.root / "work" / id
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def sweep(self, known: dict[str, tuple[str | None, str, int]], *, older_s: float = ORPHANED_S) -> list[str]:
        """Delete files that belong to no job. known: `Queue.artifacts()`. Returns the names of the deleted folders."""
        then = time.time() - older_s
        removed: list[str] = []
        for folder in [*(self.root / "videos").iterdir(), *(self.root / "work").iterdir()]:
            work = folder.parent.name == "work"
            artifact, status, _ = known.get(folder.name, (None, "", 0))
            if status == "in_progress" or (work and status == "queued"):
                continue
            if not folder.is_dir():
                continue
            for part in [folder] if work or not status else list(folder.iterdir()):
                ours = not work and part.name == artifact
                if not ours and part.stat().st_mtime < then:
                    shutil.rmtree(part, ignore_errors=True)
                    removed.append(f"{part.parent.name}/{part.name}")
        return removed

    # Work of a worker

    def save_film(self, id: str, clip: Clip) -> None:
        """Store the rendered frames, so that they need not be rendered again if the worker dies while publishing."""
        path = self.work(id) / "film.npz"
        save_clip(path, clip)

    def load_film(self, id: str) -> Clip | None:
        path = self.root / "work" / id / "film.npz"
        try:
            return load_clip(path) if path.exists() else None
        except (OSError, ValueError, KeyError):
            path.unlink(missing_ok=True)
            return None

    def preview(self, id: str) -> Path:
        return self.root / "work" / id / "preview.jpg"

    # Uploads

    def file(self, id: str) -> Path:
        return self.root / "files" / f"{id}.npz"


def save_clip(path: Path, clip: Clip) -> None:
    """Write a clip without loss, by temporary file and rename."""
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    rest = {
        "fps": clip.fps,
        "caption": clip.caption,
        "settings": clip.settings,
        "state": None if clip.state is None else clip.state.to_dict(),
    }
    try:
        with temporary.open("wb") as file:
            np.savez(file, frames=clip.frames, rest=np.frombuffer(json.dumps(rest).encode(), np.uint8))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_clip(path: Path) -> Clip:
    with np.load(path, allow_pickle=False) as archive:
        rest = json.loads(archive["rest"].tobytes())
        state = rest.pop("state")
        return Clip(frames=archive["frames"], state=None if state is None else Scene.from_dict(state), **rest)
