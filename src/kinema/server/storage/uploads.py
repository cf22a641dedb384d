"""Uploads: pictures and videos sent as file parts, data: URLs or, if the operator allows it, web addresses.

Only their pixels are stored (`decoder`), under a name generated here; the original bytes are discarded, but those of long films.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, and_, func, or_, select, tuple_

from kinema.errors import ApiError, OutputError
from kinema.media import Clip
from kinema.server.api.errors import not_found
from kinema.server.jobs.queue import Queue
from kinema.server.storage.artifacts import ArtifactStore, is_id, new_id
from kinema.server.storage.clips import save_clip
from kinema.server.storage.decoder import MediaDecoder
from kinema.server.storage.fetch import fetch
from kinema.server.storage.job_rows import is_named, needed, videos_made_from_file
from kinema.server.storage.references import data_url_bytes, id_or_address
from kinema.server.storage.tables import BROUGHT, UPLOADED, files

MOST_BYTES = 64 << 20
"""Of one upload, unless the server's settings say otherwise, and of what is fetched or verified."""
MAX_STORED = 4 << 30
"""Bytes of decoded files that one key may store."""
STRAY_S = 3600.0
"""Decoded files without a row are deleted only when older than this: their upload may be in progress."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file part of a request."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"a file of {len(self.content)} bytes"


class Uploads:
    """Stores the uploads of a server and resolves references to pictures and videos.

    remote: whether pictures may be fetched from public web addresses. most_bytes: of one upload.
    """

    def __init__(self, store: ArtifactStore, queue: Queue, *, remote: bool = False, most_bytes: int = MOST_BYTES) -> None:
        self.store, self.queue, self.remote, self.most_bytes = store, queue, remote, most_bytes
        self._decoder = MediaDecoder()

    def add(self, key_id: str, sent: Sent, purpose: str = UPLOADED) -> Row[Any]:
        """Decode and store a file for a key. purpose: UPLOADED, or BROUGHT by a request. Returns its row; 400 if it cannot be read,
        413 or 409 if it is too much."""
        _check_content(sent)
        if len(sent.content) > self.most_bytes:
            raise ApiError(
                413, f"the file has {len(sent.content) >> 20} MiB, {self.most_bytes >> 20} are allowed; cut it first",
                code="too_large",
            )  # fmt: skip
        self.store.check_space()
        self._check_stored(key_id)
        id = new_id("file")
        name = _plain_name(sent.name)
        decoded = self._decoder.decode(sent.content, self.store.new_file(id), self.store.new_ingredient(id), name)
        if decoded["long"]:
            write_original(self.store.new_original(id), sent.content)
        return self._insert(
            key_id, id, name, purpose, {name: decoded[name] for name in ("width", "height", "frames", "fps")}
        )

    def store_clip(self, key_id: str, clip: Clip, name: str) -> Row[Any]:
        """Store a clip that the server made itself for a key, without loss. Returns its row; 409 if the key stores too much."""
        self.store.check_space()
        self._check_stored(key_id)
        id = new_id("file")
        save_clip(self.store.new_file(id), clip)
        height, width = clip.frames.shape[1:3]
        shape = {"width": width, "height": height, "frames": clip.num_frames, "fps": clip.fps}
        return self._insert(key_id, id, _plain_name(name), BROUGHT, shape)

    def _insert(self, key_id: str, id: str, name: str, purpose: str, shape: dict[str, Any]) -> Row[Any]:
        """Store a written file and tell the database of it. shape: its width, height, frames and fps."""
        written = [path for path in (self.store.new_file(id), self.store.new_original(id)) if path.exists()]
        num_bytes = sum(path.stat().st_size for path in written)
        self.store.keep_file(id)
        with self.queue.database.writing() as db:
            now = self.queue.database.now(db)
            row = {"id": id, "key_id": key_id, "created_at": now, "filename": name, "purpose": purpose, **shape}
            db.execute(files.insert().values(**row, bytes=num_bytes))
            return db.execute(select(files).where(files.c.id == id)).one()

    def _check_stored(self, key_id: str) -> None:
        """409 if a key stores more than MAX_STORED already."""
        with self.queue.database.reading() as db:
            stored_bytes = int(db.scalar(select(func.sum(files.c.bytes)).where(files.c.key_id == key_id)) or 0)
        if stored_bytes > MAX_STORED:
            raise ApiError(
                409, f"this key has {stored_bytes >> 20} MiB of files here; delete some first", code="too_many_files"
            )

    def judge(self, sent: Sent, anchors: bytes) -> dict[str, Any]:
        """Whether Kinema made a file, by its manifest and its watermark. anchors: root certificates that are trusted."""
        _check_content(sent)
        return self._decoder.verify(sent.content, anchors)

    def find(self, id: str, key_id: str | None) -> Row[Any]:
        """The row of a file of this key (of any: None), or 404."""
        with self.queue.database.reading() as db:
            row = db.execute(select(files).where(files.c.id == id, files.c.deleted_at.is_(None))).first()
        if row is None or (key_id is not None and row.key_id != key_id) or not self.store.has_file(id):
            raise not_found("file", id)
        return row

    def page(
        self, key_id: str | None, *, after: str | None = None, limit: int = 20, ascending: bool = False,
        purpose: str | None = None,
    ) -> tuple[list[Row[Any]], bool]:  # fmt: skip
        """A page of the files of a key (of all: None) by age, and whether more follow. after: the last of the page before."""
        age = (files.c.created_at, files.c.id)
        own = [] if key_id is None else [files.c.key_id == key_id]
        query = select(files).where(*own, files.c.deleted_at.is_(None))
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        with self.queue.database.reading() as db:
            if after is not None:
                last = db.execute(select(*age).where(*own, files.c.id == after)).first()
                if last is None:
                    raise not_found("file", after)
                query = query.where(tuple_(*age) > tuple_(*last) if ascending else tuple_(*age) < tuple_(*last))
            ordering = [column.asc() if ascending else column.desc() for column in age]
            rows = db.execute(query.order_by(*ordering).limit(limit + 1)).all()
        return list(rows[:limit]), len(rows) > limit

    def remove(self, id: str, key_id: str | None) -> list[str]:
        """Delete a file of this key (of any: None), or 404. Returns the ids of unfinished videos that are made from it: while
        there are any, its bytes stay (`forget`)."""
        self.find(id, key_id)
        with self.queue.database.writing() as db:
            makers = videos_made_from_file(db, id)
            if makers:
                db.execute(files.update().where(files.c.id == id).values(deleted_at=self.queue.database.now(db)))
            else:
                db.execute(files.delete().where(files.c.id == id))
        if not makers:
            self.store.drop_file(id)
        return makers

    def forget(self, older_s: float) -> int:
        """Delete uploads older than older_s, those that came with a request that no job has, those that are deleted, but none that
        an unfinished job needs; and decoded files without a row. Returns how many files were deleted."""
        with self.queue.database.writing() as db:
            now = self.queue.database.now(db)
            lost = and_(files.c.purpose == BROUGHT, files.c.created_at < now - STRAY_S)
            old = or_(files.c.created_at < now - older_s, files.c.deleted_at.is_not(None), lost)
            rows = db.execute(select(files.c.id, files.c.created_at, files.c.deleted_at).where(old)).all()
            in_use = needed(db).files if rows else set()
            removed = [row.id for row in rows if row.id not in in_use and not self._belongs(db, row, now - older_s)]
            for id in removed:
                db.execute(files.delete().where(files.c.id == id))
            stored = set(db.execute(select(files.c.id)).scalars())
        for id in removed:
            self.store.drop_file(id)
        return len({*removed, *self.store.sweep_files(stored, older_s=STRAY_S)})

    @staticmethod
    def _belongs(db: Connection, row: Any, since: float) -> bool:
        """Whether a file that came with a request is neither old nor deleted, and a job still names it."""
        return row.deleted_at is None and row.created_at >= since and is_named(db, row.id)

    def resolve(
        self, given: Any, key_id: str | None, owner: str, param: str, *, stored_files: list[str] | None = None
    ) -> dict[str, str]:
        """Resolve a reference in any of its forms to {"file": id} or {"video": id}, which exists and which the caller may read.

        key_id: whose files and videos may be referred to (None: anyone's). owner: the key that new files are stored for. param:
        the parameter that an error names. stored_files: a list that receives the id of a file that was stored for this reference.
        """
        if isinstance(given, Sent):
            reference, is_new = {"file": self.add(owner, given, BROUGHT).id}, True
        else:
            reference, is_new = self._resolve_text(id_or_address(given), key_id, owner, param)
        if stored_files is not None and is_new:
            stored_files.append(reference["file"])
        return reference

    def _resolve_text(self, text: str | None, key_id: str | None, owner: str, param: str) -> tuple[dict[str, str], bool]:
        """The reference that an id or address stands for, and whether a new file was stored for it."""
        if not text:
            raise ApiError(
                400, f'{param}: expected a file, an id, {{"file_id": ...}}, {{"id": "video_..."}} or {{"image_url": "data:..."}}',
                param=param, code="invalid_reference",
            )  # fmt: skip
        if text.startswith("data:"):
            return {"file": self.add(owner, Sent(name="data", content=data_url_bytes(text, param)), BROUGHT).id}, True
        if text.startswith(("http://", "https://")):
            return {"file": self.add(owner, self._fetch(text, param), BROUGHT).id}, True
        if is_id(text, "file"):
            return {"file": self.find(text, key_id).id}, False
        if is_id(text, "video"):
            job = self.queue.get(text, key_id)
            if job.status != "completed":
                raise ApiError(
                    409, f"{text} is {job.status.replace('_', ' ')}; wait until it is completed", param=param, code="not_completed"
                )  # fmt: skip
            return {"video": job.id}, False
        raise ApiError(404, f"no file or video {text[:80]!r}", param=param, code="reference_not_found")

    def _fetch(self, url: str, param: str) -> Sent:
        if not self.remote:
            raise ApiError(
                400, f"{param}: web addresses are switched off on this server; send the file itself", param=param,
                code="remote_urls_off",
            )  # fmt: skip
        return Sent(content=fetch(url, MOST_BYTES), name=Path(urlsplit(url).path).name or "fetched")


def write_original(path: Path, content: bytes) -> None:
    """Store a film as it was sent, whole or not at all. OutputError if it cannot be written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _check_content(sent: Sent) -> None:
    if not sent.content:
        raise ApiError(400, f"the file {sent.name[:80]!r} is empty", param="file", code="invalid_media")


def _plain_name(name: str) -> str:
    """A file name to show to people: the last part of a path, printable."""
    printable = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return printable[:120] or "file"
