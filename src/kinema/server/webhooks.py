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
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Row, func, select

from kinema.errors import ApiError
from kinema.server.api.errors import not_found, refuse
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.database import Database
from kinema.server.storage.fetch import public_address
from kinema.server.storage.tables import deliveries, webhooks

log = logging.getLogger(__name__)

EVENTS = ("video.completed", "video.failed")
TRIES = 12
TIMEOUT_S = 10.0
MAX_WEBHOOKS, MAX_URL = 10, 1000
AT_ONCE = 32
RETAINED_S = 7 * 86400.0
"""How long rows of finished deliveries are stored."""


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

    def make(self, key_id: str, url: str, events: list[Any]) -> Row[Any]:
        try:
            if len(url) > MAX_URL or httpx.URL(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
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
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
            now = self.database.now(db)
            db.execute(webhooks.insert().values(id=id, key_id=key_id, created_at=now, url=url, events=wanted, secret=secret))
            return db.execute(select(webhooks).where(webhooks.c.id == id)).one()

    def all(self, key_id: str | None) -> list[Row[Any]]:
        query = select(webhooks).order_by(webhooks.c.created_at)
        with self.database.reading() as db:
            return list(db.execute(query if key_id is None else query.where(webhooks.c.key_id == key_id)).all())

    def remove(self, id: str, key_id: str | None) -> None:
        with self.database.writing() as db:
            row = db.execute(select(webhooks).where(webhooks.c.id == id)).first()
            if row is None or (key_id is not None and row.key_id != key_id):
                raise not_found("webhook", id)
            db.execute(webhooks.delete().where(webhooks.c.id == id))
            db.execute(deliveries.delete().where(deliveries.c.webhook == id))

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
        """Send all due deliveries concurrently, each within TIMEOUT_S. Returns whether there was any."""
        with self.database.reading() as db:
            now = self.database.now(db)
            query = (
                select(deliveries, webhooks.c.url, webhooks.c.secret)
                .join(webhooks, webhooks.c.id == deliveries.c.webhook)
                .where(deliveries.c.done_at.is_(None), deliveries.c.next_at <= now)
                .order_by(deliveries.c.next_at)
                .limit(AT_ONCE)
            )
            due = db.execute(query).all()
        if not due:
            return False
        received = asyncio.run(self._send_all(due))
        with self.database.writing() as db:
            now = self.database.now(db)
            for row, received_ok in zip(due, received, strict=True):
                done = received_ok or row.attempts + 1 >= TRIES
                wait = min(2.0**row.attempts, 3600.0)
                values = {"attempts": row.attempts + 1, "next_at": now + wait, "done_at": now if done else None}
                db.execute(deliveries.update().where(deliveries.c.id == row.id).values(**values))
            db.execute(deliveries.delete().where(deliveries.c.done_at < now - RETAINED_S))
        return True

    async def _send_all(self, due: Sequence[Row[Any]]) -> list[bool]:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            return list(await asyncio.gather(*(self._sent(client, row) for row in due)))

    async def _sent(self, client: httpx.AsyncClient, row: Row[Any]) -> bool:
        """Post one delivery; whether the receiver answered with success in time. The response body is not read."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                target, headers, extensions = await asyncio.to_thread(self._addressed, row)
                async with client.stream("POST", target, content=row.body, headers=headers, extensions=extensions) as answer:
                    return bool(answer.is_success)
        except Exception as error:  # one receiver must not stop deliveries to others
            log.info("webhook not delivered: %s", error, extra={"webhook": row.webhook, "attempt": row.attempts + 1})
            return False

    def _addressed(self, row: Row[Any]) -> tuple[str, dict[str, str], dict[str, Any]]:
        """The URL with its host resolved to a public address, the signed headers and httpx extensions."""
        stamp = int(time.time())
        headers = {
            "content-type": "application/json", "webhook-id": row.id, "webhook-timestamp": str(stamp),
            "webhook-signature": signature(row.secret, row.id, stamp, row.body), "user-agent": "kinema",
        }  # fmt: skip
        if self.private:
            return row.url, headers, {}
        url = httpx.URL(row.url)
        address = public_address(row.url)
        host = url.raw_host.decode("ascii")
        headers["host"] = host if url.port is None else f"{host}:{url.port}"
        return str(url.copy_with(host=address)), headers, {"sni_hostname": host} if url.scheme == "https" else {}
