"""Webhooks: events are posted to the URLs that a key registered, signed by the Standard Webhooks specification, and retried.

A delivery is a row written in the same transaction as its event, so none is lost when the server stops. A receiver may get an
event twice, with the same id.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Connection, Row, and_, func, select, tuple_

from kinema.errors import ApiError
from kinema.server.api.errors import not_found, refuse
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.database import Database
from kinema.server.storage.fetch import public_address
from kinema.server.storage.job_rows import event_of
from kinema.server.storage.tables import deliveries, webhooks

log = logging.getLogger(__name__)

EVENTS = ("video.completed", "video.failed")
TRIES = 12
TIMEOUT_S = 10.0
MAX_WEBHOOKS, MAX_URL = 10, 1000
AT_ONCE = 32
RETAINED_S, MOST_LOGGED = 7 * 86400.0, 1000
"""How long finished deliveries are stored, and how many of a webhook at most."""
MOST_TESTS = 8
"""Tests of webhooks at a time: each holds a thread until the receiver has answered."""
TEST = "webhook.test"
"""The event that a webhook is tried with."""


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """What is posted to a webhook. secrets: each signs it."""

    id: str
    webhook: str
    url: str
    body: str
    secrets: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an attempt: the status of the answer, or why there was none."""

    status: int | None = None
    error: str | None = None

    @property
    def received(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def columns(self, now: float) -> dict[str, Any]:
        return {"last_at": now, "last_status": self.status, "last_error": self.error}


def signature(secret: str, id: str, stamp: int, body: str) -> str:
    """v1, and the HMAC-SHA256 of id.time.body under the secret's bytes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{id}.{stamp}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(made).decode()


class Webhooks:
    """Manages the webhooks of a server and runs the thread that delivers events."""

    def __init__(self, database: Database, *, private: bool = False) -> None:
        self.database, self.private = database, private
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._testing: set[str] = set()
        """Keys of which a webhook is being tested."""
        self._testing_lock = threading.Lock()

    def make(self, key_id: str, url: str, events: list[Any]) -> Row[Any]:
        try:
            parts = urlsplit(url)
            if len(url) > MAX_URL or httpx.URL(url).scheme not in ("http", "https") or not parts.hostname:
                raise ValueError
            if any(c.isspace() for c in parts.netloc) or parts.port == 0:  # `port` is a ValueError beyond 65535
                raise ValueError
        except (httpx.InvalidURL, ValueError):
            raise refuse("url", url, f"an address with http:// or https:// and a host, up to {MAX_URL} characters") from None
        if not self.private:
            public_address(url)
        wanted = list(events) or list(EVENTS)
        if any(event not in EVENTS for event in wanted):
            raise ApiError(
                400, f"events {wanted}: expected some of {', '.join(EVENTS)}", param="events", code="invalid_value"
            )
        with self.database.writing() as db:
            own = select(func.count()).select_from(webhooks).where(webhooks.c.key_id == key_id)
            if int(db.scalar(own) or 0) >= MAX_WEBHOOKS:
                raise ApiError(409, f"this key has {MAX_WEBHOOKS} webhooks; delete one first", code="too_many_webhooks")
            id = new_id("wh")
            now = self.database.now(db)
            row = {"id": id, "key_id": key_id, "created_at": now, "url": url, "events": wanted, "secret": _new_secret()}
            db.execute(webhooks.insert().values(**row))
            return db.execute(select(webhooks).where(webhooks.c.id == id)).one()

    def all(self, key_id: str | None) -> list[Row[Any]]:
        query = select(webhooks).order_by(webhooks.c.created_at)
        with self.database.reading() as db:
            return list(db.execute(query if key_id is None else query.where(webhooks.c.key_id == key_id)).all())

    def remove(self, id: str, key_id: str | None) -> None:
        with self.database.writing() as db:
            _webhook(db, id, key_id)
            db.execute(webhooks.delete().where(webhooks.c.id == id))
            db.execute(deliveries.delete().where(deliveries.c.webhook == id))

    def rotate(self, id: str, key_id: str | None, overlap_s: float) -> Row[Any]:
        """Give a webhook a new secret; for overlap_s seconds the one before signs as well. Returns its row."""
        with self.database.writing() as db:
            webhook = _webhook(db, id, key_id)
            old = {"old_secret": webhook.secret, "old_secret_until": self.database.now(db) + overlap_s}
            db.execute(webhooks.update().where(webhooks.c.id == id).values(secret=_new_secret(), **old))
            return _webhook(db, id, key_id)

    def log(self, id: str, key_id: str | None, *, after: str | None = None, limit: int = 20) -> tuple[list[Row[Any]], bool]:
        """The deliveries to a webhook, newest first, and whether more follow. after: the last of the page before."""
        age = (deliveries.c.created_at, deliveries.c.id)
        query = select(deliveries).where(deliveries.c.webhook == id)
        with self.database.reading() as db:
            _webhook(db, id, key_id)
            if after is not None:
                last = _delivery(db, id, after)
                query = query.where(tuple_(*age) < tuple_(last.created_at, last.id))
            rows = db.execute(query.order_by(*(column.desc() for column in age)).limit(limit + 1)).all()
        return list(rows[:limit]), len(rows) > limit

    def replay(self, id: str, key_id: str | None, delivery: str) -> Row[Any]:
        """Send a delivery again, with its id, and again until it is received. Returns its row."""
        with self.database.writing() as db:
            _webhook(db, id, key_id)
            _delivery(db, id, delivery)
            again = {"attempts": 0, "next_at": self.database.now(db), "done_at": None}
            db.execute(deliveries.update().where(deliveries.c.id == delivery).values(**again))
            return _delivery(db, id, delivery)

    def test(self, id: str, key_id: str | None) -> Row[Any]:
        """Post a TEST event to a webhook, once and now. Returns the row of the delivery; 409 while another test of the key waits
        for its answer."""
        with self.database.reading() as db:
            webhook, now = _webhook(db, id, key_id), self.database.now(db)
        with self._testing_lock:
            if webhook.key_id in self._testing:
                raise ApiError(
                    409, "a test waits for its answer already; try again when it has ended", code="test_under_way"
                )
            self._testing.add(webhook.key_id)
        try:
            return self._test(webhook, now)
        finally:
            with self._testing_lock:
                self._testing.discard(webhook.key_id)

    def _test(self, webhook: Row[Any], now: float) -> Row[Any]:
        id = webhook.id
        event, body = event_of(TEST, id, now)
        outgoing = Outgoing(id=event, webhook=id, url=webhook.url, body=body, secrets=_secrets(webhook, now))
        (outcome,) = asyncio.run(self._send_all([outgoing]))
        with self.database.writing() as db:
            _webhook(db, id, webhook.key_id)
            row = {
                "id": event,
                "webhook": id,
                "body": body,
                "attempts": 1,
                "next_at": now,
                "done_at": now,
                "created_at": now,
            }
            db.execute(deliveries.insert().values(**row, **outcome.columns(self.database.now(db))))
            _forget_old(db, id)
            return _delivery(db, id, event)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="kinema-hooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self.deliver():
                    continue
            except Exception:
                log.exception("webhooks wait")
            self._stop.wait(0.5)

    def deliver(self) -> bool:
        """Send due deliveries concurrently, each within TIMEOUT_S, of each webhook in turn, so that one that hangs does not hold up
        the others. Returns whether there was any."""
        with self.database.reading() as db:
            now = self.database.now(db)
            turn = func.row_number().over(partition_by=deliveries.c.webhook, order_by=deliveries.c.next_at)
            query = (
                select(deliveries, *(webhooks.c[name] for name in ("url", "secret", "old_secret", "old_secret_until")))
                .join(webhooks, webhooks.c.id == deliveries.c.webhook)
                .where(deliveries.c.done_at.is_(None), deliveries.c.next_at <= now)
                .order_by(turn, deliveries.c.next_at)
                .limit(AT_ONCE)
            )
            due = db.execute(query).all()
        if not due:
            return False
        outgoing = [
            Outgoing(id=row.id, webhook=row.webhook, url=row.url, body=row.body, secrets=_secrets(row, now)) for row in due
        ]
        outcomes = asyncio.run(self._send_all(outgoing))
        with self.database.writing() as db:
            now = self.database.now(db)
            for row, outcome in zip(due, outcomes, strict=True):
                done = outcome.received or row.attempts + 1 >= TRIES
                wait = min(2.0**row.attempts, 3600.0)
                values = {"attempts": row.attempts + 1, "next_at": now + wait, "done_at": now if done else None}
                sent = and_(
                    deliveries.c.id == row.id, deliveries.c.attempts == row.attempts
                )  # unless it was replayed meanwhile
                db.execute(deliveries.update().where(sent).values(**values, **outcome.columns(now)))
            db.execute(deliveries.delete().where(deliveries.c.done_at < now - RETAINED_S))
            for webhook in {row.webhook for row in due}:
                _forget_old(db, webhook)
        return True

    async def _send_all(self, outgoing: Sequence[Outgoing]) -> list[Outcome]:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            return list(await asyncio.gather(*(self._sent(client, one) for one in outgoing)))

    async def _sent(self, client: httpx.AsyncClient, one: Outgoing) -> Outcome:
        """Post one delivery. The response body is not read."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                target, headers, extensions = await asyncio.to_thread(self._addressed, one)
                async with client.stream("POST", target, content=one.body, headers=headers, extensions=extensions) as answer:
                    return Outcome(status=answer.status_code)
        except TimeoutError:
            return Outcome(error=f"no answer within {TIMEOUT_S:g} s")
        except Exception as error:  # one receiver must not stop deliveries to others
            log.info("webhook not delivered: %s", error, extra={"webhook": one.webhook})
            return Outcome(error=(str(error) or type(error).__name__)[:200])

    def _addressed(self, one: Outgoing) -> tuple[str, dict[str, str], dict[str, Any]]:
        """The URL with its host resolved to a public address, the signed headers and httpx extensions."""
        stamp = int(time.time())
        signatures = (signature(secret, one.id, stamp, one.body) for secret in one.secrets)
        headers = {
            "content-type": "application/json", "webhook-id": one.id, "webhook-timestamp": str(stamp),
            "webhook-signature": " ".join(signatures), "user-agent": "kinema",
        }  # fmt: skip
        if self.private:
            return one.url, headers, {}
        url = httpx.URL(one.url)
        address = public_address(one.url)
        host = url.raw_host.decode("ascii")
        headers["host"] = host if url.port is None else f"{host}:{url.port}"
        return str(url.copy_with(host=address)), headers, {"sni_hostname": host} if url.scheme == "https" else {}


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _secrets(webhook: Row[Any], now: float) -> list[str]:
    """What a delivery is signed with now: the secret, and the one before while that holds."""
    old_holds = webhook.old_secret is not None and webhook.old_secret_until > now
    return [webhook.secret, webhook.old_secret] if old_holds else [webhook.secret]


def _webhook(db: Connection, id: str, key_id: str | None) -> Row[Any]:
    """A webhook of this key (of any: None), or 404."""
    row = db.execute(select(webhooks).where(webhooks.c.id == id)).first()
    if row is None or (key_id is not None and row.key_id != key_id):
        raise not_found("webhook", id)
    return row


def _delivery(db: Connection, webhook: str, id: str) -> Row[Any]:
    row = db.execute(select(deliveries).where(deliveries.c.id == id, deliveries.c.webhook == webhook)).first()
    if row is None:
        raise not_found("delivery", id)
    return row


def _forget_old(db: Connection, webhook: str) -> None:
    """Delete the finished deliveries to a webhook but for the newest MOST_LOGGED."""
    done = select(deliveries.c.id).where(deliveries.c.webhook == webhook, deliveries.c.done_at.is_not(None))
    newest = (deliveries.c.created_at.desc(), deliveries.c.id.desc())
    old = db.execute(done.order_by(*newest).offset(MOST_LOGGED).limit(MOST_LOGGED)).scalars().all()
    if old:
        db.execute(deliveries.delete().where(deliveries.c.id.in_(old)))
