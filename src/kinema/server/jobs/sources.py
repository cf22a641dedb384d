"""The clips that a worker makes videos from: uploads and videos by reference. Of long films that were uploaded, what is wanted is
read by the decode process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from kinema.errors import ApiError, InputError
from kinema.inference import limits
from kinema.media import Clip
from kinema.media.wanted import FramePart, Wanted
from kinema.provenance import Ingredient
from kinema.server.jobs.publish import VIDEO
from kinema.server.jobs.queue import Queue
from kinema.server.storage.artifacts import ArtifactStore
from kinema.server.storage.clips import load_clip
from kinema.server.storage.decode import LONGEST, MAX_PART_BYTES
from kinema.server.storage.decoder import MediaDecoder
from kinema.server.storage.tables import files

CUT_BYTES = 768 << 20
"""Frames that are cut out of a long film keep their size as long as all of them take so much; more are shrunk."""


def cut_size(width: int, height: int, frames: int) -> tuple[int, int]:
    """(width, height) of so many frames that are cut out of a long film of this size."""
    return Wanted(longest=LONGEST, within=CUT_BYTES).size(width, height, frames)


def noted_cut_size(source: dict[str, Any], cuts: Sequence[Sequence[float]], notes: list[str]) -> str:
    """The size of cuts, (start, end) in seconds, out of a source (size, fps, whether it is long): its own, but where the pictures
    of a long film have to be shrunk, which is noted."""
    if not source["long"]:
        return str(source["size"])
    frames = sum(round(end * source["fps"]) - round(start * source["fps"]) for start, end in cuts)
    size = "x".join(map(str, cut_size(*limits.parse_size(source["size"]), frames)))
    if size != source["size"]:
        notes.append(f"{frames} frames of {source['size']} take too much room; {size} instead")
    return size


class GoneUploadError(InputError):
    """An upload was deleted since a job that needs it was accepted."""


class Sources:
    """Loads what jobs are made from.

    Args:
        store: Where the files are.
        queue: The queue, which knows videos and uploads.
    """

    def __init__(self, store: ArtifactStore, queue: Queue) -> None:
        self.store, self.queue = store, queue
        self._decoder = MediaDecoder()

    def clip(self, reference: dict[str, str], size: str | None = None) -> Clip:
        """The clip of a reference {"file": id} or {"video": id}.

        Args:
            reference: What is loaded.
            size: "WIDTHxHEIGHT" at which the whole clip is needed; a long film is read at about that size. None: pictures are
                needed, and of a long film there are its first, middle and last frame.

        Raises:
            InputError: Its owner has deleted it since the job was accepted, or it cannot be read.
            StorageError: It lies on object storage, which does not answer; so `parts` and `ingredient`.
        """
        if "video" in reference:
            job = self.queue.get(reference["video"], None, deleted=True)
            if job.artifact is None:
                raise InputError(f"the video {reference['video']} is gone; make it again")
            return Clip.open(self.store.film_file(job.id, job.artifact, VIDEO))
        row = self._long(reference)
        if row is None or size is None:
            return self._stored(reference["file"], self.store.file(reference["file"]))
        width, height = limits.parse_size(size)
        scale = min(max(width / row.width, height / row.height), 1.0)
        longest = max(round(scale * row.width), round(scale * row.height), 1)
        return self._part(row, FramePart(first=0, stop=row.frames, fps=row.fps), longest, MAX_PART_BYTES)

    def parts(self, reference: dict[str, str], cuts: Sequence[Sequence[float]]) -> list[Clip] | None:
        """Parts of a long film, (start, end) in seconds; None of what is no long film. InputError as of `clip`."""
        row = self._long(reference)
        if row is None:
            return None
        spans = [(round(start * row.fps), min(round(end * row.fps), row.frames)) for start, end in cuts]
        width, height = cut_size(row.width, row.height, sum(stop - first for first, stop in spans))
        return [
            self._part(row, FramePart(first=first, stop=stop, fps=row.fps), max(width, height), MAX_PART_BYTES)
            for first, stop in spans
        ]

    def ingredient(self, reference: dict[str, str]) -> Ingredient:
        """What a manifest says of a source: of an upload by its file name, of a video by its id."""
        if "file" in reference:
            row = self._row(reference["file"])
            title = reference["file"] if row is None else row.filename
            return Ingredient(title=title, archive=self.store.ingredient(reference["file"]))
        job = self.queue.get(reference["video"], None, deleted=True)
        path = None if job.artifact is None else self.store.film_file(job.id, job.artifact, VIDEO)
        return Ingredient(title=job.id, path=path)

    def _row(self, id: str) -> Row[Any] | None:
        with self.queue.database.reading() as db:
            return db.execute(select(files).where(files.c.id == id)).first()

    def _long(self, reference: dict[str, str]) -> Row[Any] | None:
        """The row of a long film."""
        id = reference.get("file")
        return self._row(id) if id is not None and self.store.about(id).long else None

    def _part(self, row: Row[Any], part: FramePart, longest: int, within: int) -> Clip:
        with tempfile.TemporaryDirectory(prefix="kinema-part-") as folder:
            target = Path(folder) / "part.npz"
            try:
                self._decoder.read_part(self.store.original(row.id), target, part, longest, within)
            except ApiError as error:
                raise InputError(error.message) from None
            except FileNotFoundError:
                raise GoneUploadError(f"the file {row.id} is gone; upload it again") from None
            return self._stored(row.id, target)

    @staticmethod
    def _stored(id: str, path: Path) -> Clip:
        try:
            return load_clip(path)
        except (OSError, ValueError, KeyError):
            raise GoneUploadError(f"the file {id} is gone; upload it again") from None
