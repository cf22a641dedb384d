"""Webhooks: what happened is told to the addresses that a key named, signed as Standard Webhooks asks, until it was received.

Deliveries are rows that were written with what they tell of, so none is lost when the server is; one may come twice, with one id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Row, select

from kinema.errors import ApiError
from kinema.serve.errors import not_found
from kinema.serve.store import new_id
from kinema.serve.tables import Database, deliveries, webhooks
from kinema.serve.uploads import public_address

log = logging.getLogger(__name__)

EVENTS = ("video.completed", "video.failed")
TRIES = 12
TIMEOUT_S = 10.0


def signature(secret: str, id: str, stamp: int, body: str) -> str:
    """v1, and the HMAC-SHA256 of id.time.body under the secret's bytes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{id}.{stamp}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(made).decode()


class Hooks:
    """The webhooks of a server, and the thread that delivers."""

    def __init__(self, database: Database, *, private: bool = False) -> None:
        self.database, self.private = database, private
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def make(self, key_id: str, url: str, events: list[Any]) -> Row[Any]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ApiError(
                400, f"url {url[:120]!r}: expected http:// or https:// and a host", param="url", code="invalid_value"
            )
        if not self.private:
            public_address(url)
        wanted = list(events) or list(EVENTS)
        if any(event not in EVENTS for event in wanted):
            raise ApiError(
                400, f"events {wanted}: expected some of {', '.join(EVENTS)}", param="events", code="invalid_value"
            )
        with self.database.writing() as db:
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
        """Send what is due, one after another; whether there was any."""
        with self.database.reading() as db:
            now = self.database.now(db)
            query = (
                select(deliveries, webhooks.c.url, webhooks.c.secret)
                .join(webhooks, webhooks.c.id == deliveries.c.webhook)
                .where(deliveries.c.done_at.is_(None), deliveries.c.next_at <= now)
                .order_by(deliveries.c.next_at)
                .limit(16)
            )
            due = db.execute(query).all()
        for row in due:
            received = self._send(row)
            with self.database.writing() as db:
                now = self.database.now(db)
                done = received or row.attempts + 1 >= TRIES
                wait = min(2.0**row.attempts, 3600.0)
                db.execute(
                    deliveries.update()
                    .where(deliveries.c.id == row.id)
                    .values(attempts=row.attempts + 1, next_at=now + wait, done_at=now if done else None)
                )
        return bool(due)

    def _send(self, row: Row[Any]) -> bool:
        stamp = int(time.time())
        headers = {
            "content-type": "application/json", "webhook-id": row.id, "webhook-timestamp": str(stamp),
            "webhook-signature": signature(row.secret, row.id, stamp, row.body), "user-agent": "kinema",
        }  # fmt: skip
        try:
            url, extensions = row.url, {}
            if not self.private:
                parts = urlsplit(row.url)
                address = public_address(row.url)
                host = f"[{address}]" if ":" in address else address
                url = parts._replace(netloc=host + (f":{parts.port}" if parts.port else "")).geturl()
                headers["host"] = parts.netloc
                extensions = {"sni_hostname": parts.hostname} if parts.scheme == "https" else {}
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = client.post(url, content=row.body, headers=headers, extensions=extensions)
            return answer.is_success
        except (httpx.HTTPError, ApiError) as wrong:
            log.info("webhook not delivered: %s", wrong, extra={"webhook": row.webhook, "attempt": row.attempts + 1})
            return False
