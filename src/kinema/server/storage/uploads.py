"""Uploads: pictures and videos sent as file parts, data: URLs or, if the operator allows it, web addresses.

Bytes are never decoded in this process. A subprocess with limits decodes them (`decode`), and only the pixels are stored, under a
name generated here; the original bytes are discarded.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from sqlalchemy import Row, func, select

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.jobs.queue import Queue
from kinema.server.storage.artifacts import ArtifactStore, is_id, new_id
from kinema.server.storage.tables import files

MOST_BYTES = 64 << 20
MOST_PIXELS = 1920 * 1088
MOST_FRAMES = 2000
LIMIT_S = 40.0
AT_ONCE = 2
"""Files that are decoded at the same time."""
FETCH_S = 15.0
PASSED = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""Environment variables that the decoding subprocess inherits."""
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
    """Stores the uploads of a server and resolves references to pictures and videos."""

    def __init__(self, store: ArtifactStore, queue: Queue, *, remote: bool = False) -> None:
        self.store, self.queue, self.remote = store, queue, remote
        self._slots = threading.Semaphore(AT_ONCE)

    def add(self, key_id: str, sent: Sent) -> Row[Any]:
        """Decode and store a file; 400 if it cannot be read."""
        if not sent.content:
            raise ApiError(400, f"the file {sent.name[:80]!r} is empty", param="file", code="invalid_media")
        if len(sent.content) > MOST_BYTES:
            raise ApiError(
                413, f"the file has {len(sent.content) >> 20} MiB, {MOST_BYTES >> 20} are allowed; cut it first", code="too_large"
            )  # fmt: skip
        self.store.check_space()
        with self.queue.database.reading() as db:
            stored_bytes = int(db.scalar(select(func.sum(files.c.bytes)).where(files.c.key_id == key_id)) or 0)
        if stored_bytes > MAX_STORED:
            raise ApiError(
                409, f"this key has {stored_bytes >> 20} MiB of files here; delete some first", code="too_many_files"
            )
        id = new_id("file")
        target = self.store.file(id)
        result = self._decoded(sent.content, target)
        with self.queue.database.writing() as db:
            now = self.queue.database.now(db)
            row = {
                "id": id, "key_id": key_id, "created_at": now, "filename": _plain(sent.name), "bytes": target.stat().st_size,
                **{name: result[name] for name in ("width", "height", "frames", "fps")},
            }  # fmt: skip
            db.execute(files.insert().values(**row))
            return db.execute(select(files).where(files.c.id == id)).one()

    def _decoded(self, content: bytes, target: Path) -> dict[str, Any]:
        result = self._apart(content, "keep", [str(target), str(MOST_PIXELS), str(MOST_FRAMES)])
        if "error" in result:
            target.unlink(missing_ok=True)
            raise _bad(result["error"])
        return result

    def judge(self, sent: Sent, anchors: bytes) -> dict[str, Any]:
        """Whether Kinema made a file: its manifest and its watermark, read in the decoding subprocess."""
        if not sent.content:
            raise ApiError(400, f"the file {sent.name[:80]!r} is empty", param="file", code="invalid_media")
        result = self._apart(
            sent.content, "verify", [str(MOST_PIXELS), str(MOST_FRAMES), anchors.decode("ascii", "replace")]
        )
        if "error" in result:
            raise _bad(result["error"])
        return result

    def _apart(self, content: bytes, what: str, rest: list[str]) -> dict[str, Any]:
        """Run the decoding subprocess on some bytes. Returns the JSON that it prints."""
        with tempfile.TemporaryDirectory(prefix="kinema-upload-") as folder:
            source = Path(folder) / "upload"
            source.write_bytes(content)
            command = [sys.executable, "-m", "kinema.server.storage.decode", what, str(source), *rest]
            quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            with self._slots:
                try:
                    done = subprocess.run(
                        command, capture_output=True, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL, cwd=folder,
                        env={**{name: os.environ[name] for name in PASSED if name in os.environ}, **quiet},
                    )  # fmt: skip
                except subprocess.TimeoutExpired:
                    raise _bad(f"the file takes longer than {LIMIT_S:g} s to read; cut it first") from None
        try:
            result: dict[str, Any] = json.loads(done.stdout.decode().strip().splitlines()[-1])
        except (IndexError, json.JSONDecodeError, UnicodeDecodeError):
            return {"error": "the file could not be read within the limits of memory and time; make it smaller first"}
        return result

    def find(self, id: str, key_id: str | None) -> Row[Any]:
        with self.queue.database.reading() as db:
            row = db.execute(select(files).where(files.c.id == id)).first()
        if row is None or (key_id is not None and row.key_id != key_id) or not self.store.file(id).exists():
            raise not_found("file", id)
        return row

    def remove(self, id: str, key_id: str | None) -> None:
        self.find(id, key_id)
        with self.queue.database.writing() as db:
            db.execute(files.delete().where(files.c.id == id))
        self.store.file(id).unlink(missing_ok=True)

    def forget(self, older_s: float) -> int:
        """Delete uploads older than older_s, and decoded files without a row. Returns how many files were deleted."""
        with self.queue.database.writing() as db:
            now = self.queue.database.now(db)
            old = list(db.execute(select(files.c.id).where(files.c.created_at < now - older_s)).scalars())
            for id in old:
                db.execute(files.delete().where(files.c.id == id))
            known = set(db.execute(select(files.c.id)).scalars())
        strays = [
            path for path in self.store.file("x").parent.iterdir() if path.stem not in known and _age_s(path) > STRAY_S
        ]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)

    def resolve(
        self, given: Any, key_id: str | None, owner: str, param: str, *, stored_files: list[str] | None = None
    ) -> dict[str, str]:
        """A reference in any of its forms -> {"file": id} or {"video": id}, both known to exist and to belong to the caller.
        stored_files: a list that receives the id of a file that was stored for this reference."""
        reference = self._resolve(given, key_id, owner, param)
        if stored_files is not None and "file" in reference and not (_id_in(given) or "").startswith("file_"):
            stored_files.append(reference["file"])
        return reference

    def _resolve(self, given: Any, key_id: str | None, owner: str, param: str) -> dict[str, str]:
        if isinstance(given, Sent):
            return {"file": self.add(owner, given).id}
        inner = _id_in(given)
        if inner:
            return self._by_id(inner, key_id, owner, param)
        raise ApiError(
            400, f'{param}: expected a file, an id, {{"file_id": ...}}, {{"id": "video_..."}} or {{"image_url": "data:..."}}',
            param=param, code="invalid_reference",
        )  # fmt: skip

    def _by_id(self, text: str, key_id: str | None, owner: str, param: str) -> dict[str, str]:
        if text.startswith("data:"):
            return {"file": self.add(owner, _from_data(text, param)).id}
        if text.startswith(("http://", "https://")):
            return {"file": self.add(owner, self._fetch(text, param)).id}
        if is_id(text, "file"):
            return {"file": self.find(text, key_id).id}
        if is_id(text, "video"):
            job = self.queue.get(text, key_id)
            if job.status != "completed":
                raise ApiError(
                    409, f"{text} is {job.status.replace('_', ' ')}; wait until it is completed", param=param, code="not_completed"
                )  # fmt: skip
            return {"video": job.id}
        raise ApiError(404, f"no file or video {text[:80]!r}", param=param, code="reference_not_found")

    def _fetch(self, url: str, param: str) -> Sent:
        """From a public address, looked up once and connected to just there; no redirects, and no more bytes than allowed."""
        if not self.remote:
            raise ApiError(
                400, f"{param}: web addresses are switched off on this server; send the file itself", param=param,
                code="remote_urls_off",
            )  # fmt: skip
        import httpx

        address = public_address(url)
        parts = urlsplit(url)
        pinned = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port else ""
        target = parts._replace(netloc=f"{pinned}{port}").geturl()
        extensions = {"sni_hostname": parts.hostname} if parts.scheme == "https" else {}
        content = bytearray()
        try:
            with (
                httpx.Client(timeout=FETCH_S, follow_redirects=False, trust_env=False) as client,
                client.stream("GET", target, headers={"host": parts.netloc}, extensions=extensions) as answer,
            ):
                if answer.status_code != 200:
                    raise _bad(f"{url[:120]} answered {answer.status_code}; expected 200")
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise _bad(f"{url[:120]} has more than the {MOST_BYTES >> 20} MiB that are allowed")
        except httpx.HTTPError as error:
            raise _bad(f"{url[:120]} could not be fetched ({type(error).__name__})") from None
        return Sent(name=Path(parts.path).name or "fetched", content=bytes(content))


def _id_in(given: Any) -> str | None:
    """The id or address that a reference holds, in whichever form it comes."""
    if isinstance(given, str):
        return given
    if isinstance(given, dict):
        for name in ("file_id", "video_id", "id", "image_url", "video_url", "url"):
            inner = given.get(name)
            if isinstance(inner, dict) and "url" in inner:
                inner = inner["url"]
            if isinstance(inner, str) and inner:
                return inner
    return None


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def public_address(url: str) -> str:
    """The one address that a name stands for now; 400 if any that it stands for is not public."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError
    except ValueError:
        raise _bad(f"{url[:120]!r}: expected http:// or https:// and a host") from None
    try:
        entries = socket.getaddrinfo(
            parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), type=socket.SOCK_STREAM
        )
    except (OSError, ValueError, UnicodeError):
        raise _bad(f"{parts.hostname[:80]!r} is not known") from None
    addresses = [str(entry[4][0]) for entry in entries]
    for address in addresses:
        if not ipaddress.ip_address(address.split("%")[0]).is_global:
            raise _bad(f"{parts.hostname[:80]!r} is not a public address")
    return addresses[0]


def _bad(message: str) -> ApiError:
    return ApiError(400, message, code="invalid_media")


def _plain(name: str) -> str:
    """A name for people; never a path."""
    printable = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return printable[:120] or "file"


def _from_data(text: str, param: str) -> Sent:
    head, comma, body = text.partition(",")
    try:
        if not comma:
            raise ValueError
        content = base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (ValueError, binascii.Error):
        raise ApiError(400, f"{param}: the data: address is damaged", param=param, code="invalid_reference") from None
    return Sent(name="data", content=content)
