"""Authentication: API keys with scopes and rate limits."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row, func, select, true
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from kinema.errors import ApiError, InputError
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.database import Database
from kinema.server.storage.tables import audit, keys, sessions

SCOPES = ("read", "videos", "worlds", "admin")
"""read: see the key's own data, which every key may; videos: create them; worlds: create and step them; admin: manage keys and see
the data of all keys."""
SCOPES_OF_A_KEY = ("read", "videos", "worlds")
"""Those of a new key for which none are named."""
LIMITS = {"concurrency": 20, "daily_quota": 1e8, "max_worlds": 50}
"""Those of a new key for which none are named, unless it is an administrator's: videos waiting or being made, pixel-seconds in any
24 hours (an hour of film at 224x128), and worlds."""
SESSION_S = 30 * 86400.0
"""How long somebody stays signed in."""
MOST_SESSIONS = 100
"""Of a key; the oldest ends when there would be more."""
PREFIX = "kinema_"
CACHE_S, MAX_CACHED = 1.0, 4096
"""How long a key's row is cached and how many rows are. A key that another process revokes stops working within a second."""
USED_S = 60.0
"""The time of a key's last use is written at most this often."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An authenticated key. `sees`: the key whose jobs it may see; None: the jobs of all keys."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    rate: int | None = None
    concurrency: int | None = None
    max_worlds: int | None = None

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


def cookie_of(connection: HTTPConnection) -> str:
    """The name of the cookie. Browsers send cookies to every port of a host, and to every path below that of a cookie, so it names
    the port and the root path: two servers on one machine do not end each other's sessions."""
    try:
        port = connection.url.port
    except ValueError:  # a Host header whose port is no number
        port = None
    below: str = connection.scope.get("root_path", "").replace("/", "_").replace("~", ".")
    return f"kinema_session_{port or connection.url.scheme}{below}"


def digest_of(key: str) -> str:
    """The hash under which a key is stored. Keys are 256 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def key_limits(scopes: tuple[str, ...], given: Mapping[str, float | None]) -> dict[str, Any]:
    """The limits of a new key. given: those that were named, 0 for no limit; where they are None, LIMITS, or none for
    administrators."""
    usual = {} if "admin" in scopes else LIMITS
    named = {name: value for name, value in given.items() if value is not None}
    return {name: value or None for name, value in {**usual, **named}.items()}


class Auth:
    """Creates, revokes and checks the API keys of a server."""

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
        scopes: tuple[str, ...] = SCOPES_OF_A_KEY,
        *,
        expires_s: float | None = None,
        quota: float | None = None,
        rate: int | None = None,
        concurrency: int | None = None,
        daily_quota: float | None = None,
        max_worlds: int | None = None,
        by: str | None = None,
    ) -> tuple[str, Row[Any]]:
        """Create a key. Returns its text, which is not stored, and its row. Limits: None is none; `key_limits` a new key."""
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise InputError(f"scopes {', '.join(unknown) or 'none'}: expected some of {', '.join(SCOPES)}")
        if not name.strip() or len(name) > 200:
            raise InputError(f"name {name[:40]!r}: expected 1 to 200 characters")
        limits = {
            "quota": quota,
            "rate": rate,
            "concurrency": concurrency,
            "daily_quota": daily_quota,
            "max_worlds": max_worlds,
        }
        for what, value in (("expiry", expires_s), *limits.items()):
            if value is not None and not 0 < value < 1e15:
                raise InputError(f"{what.replace('_', ' ')} {value}: expected more than 0")
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
                    **limits,
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
        """Create the first key, with all scopes, and return its text; None if there is a key already."""
        with self.database.reading() as db:
            if db.scalar(select(func.count()).select_from(keys)):
                return None
        return self.make("first", SCOPES)[0]

    def all(self) -> list[Row[Any]]:
        with self.database.reading() as db:
            return list(db.execute(select(keys).order_by(keys.c.created_at)).all())

    def revoke(self, id: str, *, by: str | None = None) -> Row[Any]:
        """Revoke a key. Returns its row."""
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
        """The caller of a key; 401 when the key is unknown, expired or revoked."""
        return self._caller(self._lookup(digest_of(key)))

    def _caller(self, key_row: Row[Any] | None) -> Caller:
        """The caller of a key's row; 401 when there is none, or it has expired or was revoked."""
        row, now = _check_valid(key_row), time.time()
        if now - max(row.last_used_at or 0.0, self._last_noted.get(row.id, 0.0)) > USED_S:
            self._last_noted[row.id] = now
            self._notes.submit(self._note, row.id, now)
        return Caller(
            key_id=row.id, name=row.name, scopes=tuple(row.scopes), rate=row.rate, concurrency=row.concurrency,
            max_worlds=row.max_worlds,
        )  # fmt: skip

    def _lookup(self, digest: str, *, session: bool = False) -> Row[Any] | None:
        """The row of a key, at most CACHE_S old. digest: of the key, or of a session of it."""
        then, row = self._cached.get(digest, (-CACHE_S, None))
        now = time.monotonic()
        if now - then < CACHE_S:
            return row
        with self.database.reading() as db:
            wanted = select(keys).where(keys.c.digest == digest)
            if session:
                held = (sessions.c.digest == digest) & (sessions.c.expires_at > self.database.now(db))
                wanted = select(keys).join(sessions, sessions.c.key_id == keys.c.id).where(held)
            row = db.execute(wanted).first()
        if row is not None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[digest] = (now, row)
        return row

    def sign_in(self, key: str, agent: str) -> tuple[str, Caller]:
        """A new session of a key: its text, for the cookie, and the caller. 401 when the key is no good."""
        caller = self.caller(key)
        text = secrets.token_urlsafe(32)
        with self.database.writing() as db:
            now = self.database.now(db)
            own = select(sessions.c.id).where(sessions.c.key_id == caller.key_id).order_by(sessions.c.created_at.desc())
            old = list(db.execute(own.offset(MOST_SESSIONS - 1)).scalars())
            db.execute(sessions.delete().where((sessions.c.expires_at < now) | sessions.c.id.in_(old)))
            db.execute(
                sessions.insert().values(
                    id=new_id("session"), digest=digest_of(text), key_id=caller.key_id, created_at=now,
                    expires_at=now + SESSION_S, agent=agent[:200],
                )
            )  # fmt: skip
        return text, caller

    def signed_in(self, text: str) -> Caller:
        """The caller of a session; 401 when it has ended, or its key has."""
        row = self._lookup(digest_of(text), session=True)
        if row is None:
            raise ApiError(401, "this session has ended; sign in again with an API key", code="session_ended")
        return self._caller(row)

    def sign_out(self, text: str) -> None:
        """End a session, if there is one of this text."""
        with self.database.writing() as db:
            db.execute(sessions.delete().where(sessions.c.digest == digest_of(text)))
        self._cached.pop(digest_of(text), None)

    def sessions(self, key_id: str | None) -> list[Row[Any]]:
        """The sessions of a key (of all: None), newest first."""
        with self.database.reading() as db:
            held = select(sessions).where(sessions.c.expires_at > self.database.now(db))
            own = held if key_id is None else held.where(sessions.c.key_id == key_id)
            return list(db.execute(own.order_by(sessions.c.created_at.desc())).all())

    def end_session(self, id: str, key_id: str | None) -> None:
        """End a session of a key (of any: None), or 404."""
        with self.database.writing() as db:
            own = (sessions.c.id == id) & (sessions.c.key_id == key_id if key_id is not None else true())
            if not db.execute(sessions.delete().where(own)).rowcount:
                raise ApiError(404, f"no session {id[:80]!r}", code="session_not_found")
        self._cached.clear()

    def check_key(self, id: str) -> None:
        """Raise 401 if a key has expired or was revoked."""
        with self.database.reading() as db:
            _check_valid(db.execute(select(keys).where(keys.c.id == id)).first())

    def _note(self, id: str, now: float) -> None:
        with suppress(SQLAlchemyError), self.database.writing() as db:
            db.execute(keys.update().where(keys.c.id == id).values(last_used_at=now))

    def caller_of(self, connection: HTTPConnection) -> Caller:
        """The caller of a request or WebSocket: by header, or by the session's cookie."""
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        key = given.strip() if scheme.lower() == "bearer" else ""
        session = "" if key else connection.cookies.get(cookie_of(connection), "")
        if session and connection.scope.get("method", "") not in ("GET", "HEAD"):  # a WebSocket has none, and acts
            check_origin(connection)
        if not key and not session:
            raise ApiError(
                401, "no API key was sent; expected the header `Authorization: Bearer kinema_...`", code="missing_api_key"
            )  # fmt: skip
        caller = self.caller(key) if key else self.signed_in(session)
        self._count(caller)
        return caller

    def _count(self, caller: Caller) -> None:
        """Token bucket that holds one minute of requests; 429 when it is empty."""
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
    """Raise 403 for a request that a page of another origin sends with this server's cookie."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
        raise ApiError(
            403, "the request comes from a page of another server; open the Studio of this one", code="foreign_origin"
        )
