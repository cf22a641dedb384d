"""Who is asking: API keys, what each may do and how often."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row, func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from kinema.errors import ApiError, InputError
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.tables import Database, audit, keys

SCOPES = ("read", "videos", "worlds", "admin")
"""read: look at one's own, which every key may; videos: make them; worlds: step into them; admin: keys, and everybody's jobs."""
COOKIE = "kinema_session"
PREFIX = "kinema_"
CACHE_S, MAX_CACHED = 1.0, 4096
"""Keys are looked up anew after so long, and only so many remembered meanwhile: revoked elsewhere, one ends within a second."""
USED_S = 60.0
"""The time of a key's last use is noted at most this often."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A key that was shown and holds. `sees`: whose jobs it may see, None for everybody's."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    rate: int | None = None
    concurrency: int | None = None

    @property
    def admin(self) -> bool:
        return "admin" in self.scopes

    @property
    def sees(self) -> str | None:
        return None if self.admin else self.key_id

    def need(self, scope: str) -> None:
        """403 unless the key may do this."""
        if scope != "read" and scope not in self.scopes and not self.admin:
            raise ApiError(
                403, f"this key may not do that: it has {', '.join(self.scopes)}, {scope!r} is wanted", code="missing_scope"
            )  # fmt: skip


def digest_of(key: str) -> str:
    """Keys are 256 random bits, so one round of a plain hash keeps them."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


class Auth:
    """The keys of a server."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()
        self._last_noted: dict[str, float] = {}
        self._cached: dict[str, tuple[float, Row[Any] | None]] = {}
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="kinema-keys")

    def make(
        self,
        name: str,
        scopes: tuple[str, ...] = ("read", "videos", "worlds"),
        *,
        expires_s: float | None = None,
        quota: float | None = None,
        rate: int | None = None,
        concurrency: int | None = None,
        by: str | None = None,
    ) -> tuple[str, Row[Any]]:
        """A new key: its text, which is told this once, and its row."""
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise InputError(f"scopes {', '.join(unknown) or 'none'}: expected some of {', '.join(SCOPES)}")
        if not name.strip() or len(name) > 200:
            raise InputError(f"name {name[:40]!r}: expected 1 to 200 characters")
        for what, value in (("expiry", expires_s), ("quota", quota), ("rate", rate), ("concurrency", concurrency)):
            if value is not None and not 0 < value < 1e15:
                raise InputError(f"{what} {value}: expected more than 0")
        text = PREFIX + secrets.token_urlsafe(32)
        with self.database.writing() as db:
            now = self.database.now(db)
            id = new_id("key")
            db.execute(
                keys.insert().values(
                    id=id,
                    name=name.strip(),
                    prefix=text[: len(PREFIX) + 4],
                    digest=digest_of(text),
                    scopes=list(scopes),
                    created_at=now,
                    expires_at=None if expires_s is None else now + expires_s,
                    quota=quota,
                    rate=rate,
                    concurrency=concurrency,
                    used=0.0,
                    reserved=0.0,
                    served=0.0,
                )
            )
            db.execute(
                audit.insert().values(at=now, key_id=by, action="key.made", target=id, detail={"scopes": list(scopes)})
            )
            return text, db.execute(select(keys).where(keys.c.id == id)).one()

    def first(self) -> str | None:
        """The text of the very first key, which may do everything; None if there are keys."""
        with self.database.reading() as db:
            if db.scalar(select(func.count()).select_from(keys)):
                return None
        return self.make("first", SCOPES)[0]

    def all(self) -> list[Row[Any]]:
        with self.database.reading() as db:
            return list(db.execute(select(keys).order_by(keys.c.created_at)).all())

    def revoke(self, id: str, *, by: str | None = None) -> Row[Any]:
        """From now on the key opens nothing."""
        with self.database.writing() as db:
            now = self.database.now(db)
            row = db.execute(select(keys).where(keys.c.id == id)).first()
            if row is None:
                raise ApiError(404, f"no key {id[:80]!r}", code="key_not_found")
            db.execute(keys.update().where(keys.c.id == id).values(revoked_at=row.revoked_at or now))
            db.execute(audit.insert().values(at=now, key_id=by, action="key.revoked", target=id))
            revoked = db.execute(select(keys).where(keys.c.id == id)).one()
        self._cached.clear()
        return revoked

    def caller(self, key: str) -> Caller:
        """Whose key it is; 401 when it is nobody's, expired or revoked."""
        row, now = _check_valid(self._lookup(digest_of(key))), time.time()
        if now - max(row.last_used_at or 0.0, self._last_noted.get(row.id, 0.0)) > USED_S:
            self._last_noted[row.id] = now
            self._notes.submit(self._note, row.id, now)
        return Caller(
            key_id=row.id, name=row.name, scopes=tuple(row.scopes), rate=row.rate, concurrency=row.concurrency
        )  # fmt: skip

    def _lookup(self, digest: str) -> Row[Any] | None:
        """The row of a key, as it was at most LATELY_S ago."""
        then, row = self._cached.get(digest, (-CACHE_S, None))
        now = time.monotonic()
        if now - then < CACHE_S:
            return row
        with self.database.reading() as db:
            row = db.execute(select(keys).where(keys.c.digest == digest)).first()
        if row is not None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[digest] = (now, row)
        return row

    def check_key(self, id: str) -> None:
        """401 once a key has expired or was revoked."""
        with self.database.reading() as db:
            _check_valid(db.execute(select(keys).where(keys.c.id == id)).first())

    def _note(self, id: str, now: float) -> None:
        with suppress(SQLAlchemyError), self.database.writing() as db:
            db.execute(keys.update().where(keys.c.id == id).values(last_used_at=now))

    def caller_of(self, connection: HTTPConnection) -> Caller:
        """The caller of a request or WebSocket: by header, by the session's cookie, or (WebSocket) by ?key=."""
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        key = given.strip() if scheme.lower() == "bearer" else ""
        if not key:
            key = connection.cookies.get(COOKIE, "")
            if key and connection.scope.get("method", "") not in ("GET", "HEAD"):  # a WebSocket has none, and acts
                check_origin(connection)
        if not key and connection.scope["type"] == "websocket":
            key = connection.query_params.get("key", "")
        if not key:
            raise ApiError(
                401, "no API key was sent; expected the header `Authorization: Bearer kinema_...`", code="missing_api_key"
            )  # fmt: skip
        caller = self.caller(key)
        self._count(caller)
        return caller

    def _count(self, caller: Caller) -> None:
        """A bucket of as many requests as a minute allows, filled evenly; 429 when it is empty."""
        if caller.rate is None:
            return
        now = time.monotonic()
        with self._lock:
            left, then = self._buckets.get(caller.key_id, (float(caller.rate), now))
            left = min(left + (now - then) * caller.rate / 60.0, float(caller.rate))
            if left >= 1.0:
                self._buckets[caller.key_id] = (left - 1.0, now)
                return
            self._buckets[caller.key_id] = (left, now)
        wait = max(round((1.0 - left) * 60.0 / caller.rate), 1)
        raise ApiError(
            429, f"this key may ask {caller.rate} times a minute; try again in {wait} s", code="rate_limit_exceeded",
            headers={"retry-after": str(wait)},
        )  # fmt: skip


def _check_valid(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise ApiError(401, "no such API key; make one with `kinema keys add`", code="invalid_api_key")
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at < time.time()):
        what = "was revoked" if row.revoked_at is not None else "has expired"
        raise ApiError(
            401, f"the API key {row.prefix}... {what}; make another with `kinema keys add`", code="invalid_api_key"
        )
    return row


def check_origin(connection: HTTPConnection) -> None:
    """403 for what a page of another server sends in this one's name: a cookie goes along with that, a header does not."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
        raise ApiError(
            403, "the request comes from a page of another server; open the Studio of this one", code="foreign_origin"
        )


def shown(row: Row[Any]) -> dict[str, Any]:
    """A key as the API tells of it, without what opens anything."""
    names = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "quota", "rate", "concurrency", "used",
             "reserved", "last_used_at")  # fmt: skip
    return {"object": "key", **{name: getattr(row, name) for name in names}}
