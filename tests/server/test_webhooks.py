"""The log of deliveries, replay, rotation of secrets, and the test of a webhook."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from kinema.server import webhooks as sending
from kinema.server.app import create_app
from kinema.server.settings import Settings
from kinema.server.storage.job_rows import event_of
from kinema.server.storage.tables import deliveries, webhooks
from kinema.server.webhooks import Webhooks, signature


class Ear:
    """A receiver that answers with `status`, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], str]] = []
        self.status = 204
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                ear.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(ear.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def signed_with(self, secret: str) -> bool:
        """Whether the latest delivery is signed with a secret."""
        headers, body = self.heard[-1]
        wanted = signature(secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        return wanted in headers["webhook-signature"].split(" ")


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[TestClient]:
    """A server whose deliveries are sent when a test says so."""
    made = create_app(Settings(data=tmp_path, private_webhooks=True))
    client = TestClient(made, headers={"authorization": f"Bearer {made.state.services.auth.first()}"})
    yield client
    made.state.services.database.close()


@pytest.fixture
def hooks(app: TestClient) -> Webhooks:
    made: Webhooks = app.app.state.services.webhooks  # type: ignore[attr-defined]
    return made


def post_event(hooks: Webhooks, hook: str, about: str = "video_1") -> str:
    """What the end of a job writes, a millisecond or more after the event before: SQLite's clock has steps of one."""
    with hooks.database.writing() as db:
        latest = db.scalar(select(func.max(deliveries.c.created_at))) or 0.0
        now = hooks.database.now(db)
        id, body = event_of("video.completed", about, now)
        values = {"next_at": now, "created_at": max(now, latest + 0.001)}
        db.execute(deliveries.insert().values(id=id, webhook=hook, body=body, attempts=0, **values))
    return id


def test_the_log_says_what_became_of_each_delivery(app: TestClient, hooks: Webhooks, ear: Ear) -> None:
    hook = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server.server_port}/x"}).json()
    path = f"/v1/webhooks/{hook['id']}/deliveries"
    first = post_event(hooks, hook["id"])
    (logged,) = app.get(path).json()["data"]
    assert (logged["status"], logged["attempts"], logged["event"]["data"]["id"]) == ("pending", 0, "video_1")
    ear.status = 500
    assert hooks.deliver()
    (logged,) = app.get(path).json()["data"]
    assert (logged["status"], logged["attempts"], logged["last_status"]) == ("pending", 1, 500) and logged["next_at"]
    second = post_event(hooks, hook["id"])
    ear.status = 200
    assert hooks.deliver()
    newest, _ = app.get(path).json()["data"]
    assert (newest["id"], newest["status"], newest["last_status"]) == (second, "delivered", 200)
    page = app.get(f"{path}?limit=1").json()
    assert page["has_more"] and [one["id"] for one in app.get(f"{path}?after={second}").json()["data"]] == [first]
    replayed = app.post(f"{path}/{second}/replay").json()
    assert (replayed["id"], replayed["status"], replayed["attempts"]) == (second, "pending", 0)
    assert hooks.deliver() and [headers["webhook-id"] for headers, _ in ear.heard].count(second) == 2
    assert app.post(f"{path}/evt_0/replay").status_code == 404


def test_a_receiver_that_fails_is_tried_again_later_and_later(app: TestClient, hooks: Webhooks, ear: Ear) -> None:
    hook = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server.server_port}/x"}).json()["id"]
    event, ear.status = post_event(hooks, hook), 500
    for wait_s in (1.0, 2.0, 4.0, 8.0):
        assert hooks.deliver() and not hooks.deliver(), "not before its time"
        (logged,) = app.get(f"/v1/webhooks/{hook}/deliveries").json()["data"]
        with hooks.database.writing() as db:
            row = db.execute(select(deliveries).where(deliveries.c.id == event)).one()
            assert row.next_at - row.last_at == pytest.approx(wait_s) and logged["status"] == "pending"
            db.execute(deliveries.update().values(next_at=hooks.database.now(db)))
    assert len(ear.heard) == 4


def test_logs_are_out_of_reach_for_others_and_bounded(
    app: TestClient, hooks: Webhooks, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server.server_port}/x"}).json()["id"]
    key = app.post("/v1/keys", json={"name": "other"}).json()["key"]
    other = {"authorization": f"Bearer {key}"}
    event = post_event(hooks, hook)
    for method, rest in (
        ("GET", "deliveries"),
        ("POST", f"deliveries/{event}/replay"),
        ("POST", "test"),
        ("POST", "rotate"),
    ):
        assert app.request(method, f"/v1/webhooks/{hook}/{rest}", headers=other).status_code == 404, rest
    assert not ear.heard
    theirs = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server.server_port}/y"}, headers=other).json()[
        "id"
    ]
    assert [one["id"] for one in app.get("/v1/webhooks", headers=other).json()["data"]] == [theirs]
    assert [one["id"] for one in app.get("/v1/webhooks").json()["data"]] == [hook, theirs], (
        "an administrator sees those of all"
    )
    assert app.get(f"/v1/webhooks/{theirs}/deliveries").json()["data"] == []
    assert app.post(f"/v1/webhooks/{theirs}/rotate", json={}).status_code == 200
    assert app.delete(f"/v1/webhooks/{hook}", headers=other).status_code == 404
    assert app.delete(f"/v1/webhooks/{theirs}").status_code == 200
    monkeypatch.setattr(sending, "MOST_LOGGED", 2)
    events = [event, *(post_event(hooks, hook) for _ in range(3))]
    assert hooks.deliver()
    assert {one["id"] for one in app.get(f"/v1/webhooks/{hook}/deliveries").json()["data"]} == set(events[2:])


def test_both_secrets_sign_while_they_overlap(app: TestClient, hooks: Webhooks, ear: Ear) -> None:
    hook = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server.server_port}/x"}).json()
    rotated = app.post(f"/v1/webhooks/{hook['id']}/rotate", json={"overlap_hours": 1}).json()
    assert rotated["secret"] != hook["secret"]
    assert rotated["old_secret_until"] - rotated["created_at"] == pytest.approx(3600, abs=300)
    assert "secret" not in app.get("/v1/webhooks").json()["data"][0]
    app.post(f"/v1/webhooks/{hook['id']}/test")
    assert ear.signed_with(hook["secret"]) and ear.signed_with(rotated["secret"])
    with hooks.database.writing() as db:
        db.execute(webhooks.update().values(old_secret_until=webhooks.c.old_secret_until - 3601))
    app.post(f"/v1/webhooks/{hook['id']}/test")
    assert not ear.signed_with(hook["secret"]) and ear.signed_with(rotated["secret"])
    refused = app.post(f"/v1/webhooks/{hook['id']}/rotate", json={"overlap_hours": 1000}).json()["error"]["message"]
    assert refused == "overlap_hours 1000: expected a number from 0 to 168"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/x", "http://127.0.0.1:0/", "http://a b/x", "http://127.0.0.1:x/"])
def test_an_address_that_cannot_be_reached_is_refused(app: TestClient, url: str) -> None:
    refused = app.post("/v1/webhooks", json={"url": url})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "url", refused.text


def test_tests_of_a_receiver_that_hangs_hold_up_nobody(app: TestClient) -> None:
    """Of one key, one test waits at a time; other requests are answered before it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(60) as pool, app:
        hook = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}).json()["id"]
        tests = [pool.submit(app.post, f"/v1/webhooks/{hook}/test") for _ in range(60)]
        connection, _ = silent.accept()
        assert app.get("/v1/projects").status_code == 200
        assert 200 not in {one.result().status_code for one in tests if one.done()}
        connection.close()
        answers = [one.result() for one in tests]
    assert {one.status_code for one in answers} == {200, 409}
    assert {one.json()["error"]["code"] for one in answers if one.status_code == 409} == {"test_under_way"}


def test_a_test_is_sent_once_and_says_what_came_back(app: TestClient, hooks: Webhooks, ear: Ear) -> None:
    hook = app.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server.server_port}/x"}).json()["id"]
    for status, outcome in ((204, "delivered"), (410, "failed")):
        ear.status = status
        tested = app.post(f"/v1/webhooks/{hook}/test").json()
        assert (tested["status"], tested["last_status"], tested["event"]["type"]) == (outcome, status, "webhook.test")
        assert json.loads(ear.heard[-1][1]) == tested["event"]
    ear.server.shutdown()
    ear.server.server_close()
    tested = app.post(f"/v1/webhooks/{hook}/test").json()
    assert tested["status"] == "failed" and tested["last_status"] is None and tested["last_error"]
    assert not hooks.deliver(), "a test is not sent again"
