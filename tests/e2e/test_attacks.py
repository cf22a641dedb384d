"""What somebody with a key, or without one, may try on a server; none of it costs others anything."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from tests.e2e.conftest import Running, until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from kinema.server.api.worlds import FIRST_FRAMES

QUICK = {"fps": 8, "seed": 3, "steps": 2, "seconds": 0.25}


def png(text: dict[str, str] | None = None, size: tuple[int, int] = (64, 64)) -> bytes:
    sink, info = io.BytesIO(), PngImagePlugin.PngInfo()
    for name, value in (text or {}).items():
        info.add_text(name, value)
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(sink, "PNG", pnginfo=info)
    return sink.getvalue()


def live(server: Running, world: str, key: str, query: str = "") -> ClientConnection:
    url = f"ws{server.url.removeprefix('http')}/v1/worlds/{world}/live{query}"
    return connect(url, additional_headers={"authorization": f"Bearer {key}"}, max_size=None)


def test_names_in_prompts_are_put_in_once(server: Running) -> None:
    with server.http() as client:
        one = client.post("/v1/videos", json={"prompt": "a red ball rolls right", **QUICK}).json()
        server.wait(one["id"])
        made = client.post("/v1/videos/characters", json={"name": "e", "video": one["id"]}).json()
        request = {"prompt": "e", "characters": [made["id"]] * 1000, **QUICK}
        video = client.post("/v1/videos", json=request).json()
        assert video["prompt"] == f"the {made['looks']}"
        body = json.dumps({**request, "characters": ["\ud800"]}).encode()
        refused = client.post("/v1/videos", content=body, headers={"content-type": "application/json"})
        assert refused.status_code == 404


def test_settings_in_files_stay_there(server: Running) -> None:
    """Words and numbers that a stranger put into a file reach neither jobs nor prompts."""
    with server.http() as client:
        content = png({"comment": '{"seconds": NaN}', "kinema": "x"})
        file = client.post("/v1/files", files={"file": ("x.png", content)}).json()
        made = client.post("/v1/videos/extensions", json={"video": file["id"], "seconds": 0.25, "steps": 1}).json()
        assert server.wait(made["id"])["status"] == "completed"
        listed = client.get("/v1/videos?limit=5")
        assert listed.status_code == 200 and "NaN" not in listed.text


def test_a_trim_of_an_upload_is_made_at_the_size_that_was_paid(server: Running) -> None:
    with server.http() as client:
        file = client.post("/v1/files", files={"file": ("x.png", png(size=(1280, 720)))}).json()
        cuts = [[0, 1 / 16]] * 4
        made = client.post("/v1/videos/trims", json={"video": file["id"], "cuts": cuts}).json()
        done = server.wait(made["id"])
        assert (done["status"], done["size"]) == ("completed", "1280x720"), done
        assert done["kinema"]["pixel_seconds"] == pytest.approx(1280 * 720 * 4 / 16)  # type: ignore[index]


def test_more_work_costs_more(server: Running) -> None:
    with server.http() as client:

        def price(**more: Any) -> float:
            return float(
                client.post("/v1/estimate", json={"prompt": "a star", "seconds": 4, **more}).json()["pixel_seconds"]
            )

        assert price() == price(fps=8) == 128 * 128 * 4
        assert price(fps=32) == 2 * price() and price(steps=160) == 10 * price()
        assert price(seconds=0.01) == 128 * 128 / 16


def test_frames_of_worlds_cost_what_films_cost(server: Running) -> None:
    """A quota holds for worlds too, over HTTP and live, and the books say what they took."""
    with server.http() as root:
        key = root.post("/v1/keys", json={"name": "player", "quota": 64 * 64 * 2}).json()["key"]
        with server.http(key) as client:
            world = client.post("/v1/worlds", json={"prompt": "a red ball", "size": "64x64"}).json()
            assert client.post(f"/v1/worlds/{world['id']}/step", json={"frames": 8}).status_code == 200
            for refused in (
                ("what_if", {"cause": "x y z"}),
                ("step", {"frames": 17}),
                ("what_if", {"cause": "x", "since": 100}),
            ):
                answer = client.post(f"/v1/worlds/{world['id']}/{refused[0]}", json=refused[1])
                assert answer.status_code in (400, 429), "and nothing is billed for it"
            assert answer.json()["error"]["code"] == "insufficient_quota"
            until(lambda: client.get("/v1/usage").json()["quota"]["used"] == 64 * 64 * (FIRST_FRAMES + 8) / 16)
            assert {line["video"] for line in client.get("/v1/usage").json()["ledger"]} == {"worlds"}
            with live(server, world["id"], key) as socket:
                seen = 0
                while not isinstance(message := socket.recv(30), str):
                    length = int.from_bytes(message[:4], "big")
                    socket.send(json.dumps({"type": "ack", "frame": json.loads(message[4 : 4 + length])["frame"]}))
                    seen += 1
            assert json.loads(message)["error"]["code"] == "insufficient_quota" and seen == 1 + 16
        root.delete(f"/v1/worlds/{world['id']}")


def test_who_loses_the_key_leaves_the_world(server: Running) -> None:
    with server.http() as root:
        made = root.post("/v1/keys", json={"name": "guest", "rate": 3}).json()
        with server.http(made["key"]) as client:
            world = client.post("/v1/worlds", json={"prompt": "a red ball"}).json()
        with live(server, world["id"], made["key"], "?paused=1") as socket:
            assert isinstance(socket.recv(30), bytes)
            root.delete(f"/v1/keys/{made['id']}")
            assert "was revoked" in json.loads(socket.recv(30))["error"]["message"]
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(30)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
        slow = root.post("/v1/keys", json={"name": "slow", "rate": 1}).json()
        with server.http(slow["key"]) as client:
            assert client.get("/v1/worlds").status_code == 200
        with live(server, world["id"], slow["key"]) as socket:
            assert json.loads(socket.recv(30))["error"]["code"] == "rate_limit_exceeded"
        root.delete(f"/v1/worlds/{world['id']}")


def test_words_of_changes_are_checked_before_they_are_accepted(server: Running) -> None:
    with server.http() as client:
        sent = client.post("/v1/files", files={"file": ("a.png", png(), "image/png")}).json()
        for prompt, strict in (("2-1: a star", False), ("a wolf", True)):
            refused = client.post("/v1/videos/edits", json={"prompt": prompt, "strict": strict, "video": sent["id"]})
            assert refused.status_code == 400 and refused.json()["error"]["code"] == "invalid_value", refused.text


def test_a_request_that_comes_twice_is_one(server: Running) -> None:
    """With an Idempotency-Key a client may send again what it had no answer to."""
    with server.http() as client:
        name, request = {"idempotency-key": "order 1"}, {"prompt": "a star", **QUICK}
        first = client.post("/v1/videos", json=request, headers=name).json()
        assert client.post("/v1/videos", json=request, headers=name).json()["id"] == first["id"]
        other = client.post("/v1/videos", json={**request, "prompt": "a box"}, headers=name)
        assert other.status_code == 409 and other.json()["error"]["code"] == "idempotency_conflict"
        assert client.post("/v1/videos", json=request).json()["id"] != first["id"]
        picture = {"input_reference": ("a.png", png(), "image/png")}
        one, again = (
            client.post("/v1/videos", data={"seconds": "0.25"}, files=picture, headers={"idempotency-key": "2"}).json()
            for _ in range(2)
        )
        assert one["id"] == again["id"] != first["id"]
        assert client.post("/v1/videos", json=request, headers={"idempotency-key": "x" * 300}).status_code == 400


def test_pictures_of_refused_requests_are_deleted(server: Running) -> None:
    with server.http() as root:
        key = root.post("/v1/keys", json={"name": "small", "quota": 64 * 64 / 2, "concurrency": 1}).json()["key"]
    files = server.data / "files"
    before = set(files.iterdir())
    with server.http(key) as client:
        for data in {"seconds": "4"}, {"seconds": "0.25", "keyframes": '[{"picture": "file_0", "at": 0}]'}:
            refused = client.post("/v1/videos", data=data, files={"input_reference": ("a.png", png(), "image/png")})
            assert refused.status_code in (404, 429), refused.text
        sent = {"prompt": "a ball", "video": {"image_url": "data:image/png;base64," + base64.b64encode(png()).decode()}}
        assert client.post("/v1/videos/edits", json={**sent, "steps": 200}).status_code == 429
    assert set(files.iterdir()) == before


def test_strangers_wait_for_each_other_and_for_nobody_else(server: Running) -> None:
    """A crowd without keys is turned away beyond a few, and an upload with one goes past it."""
    answers: list[int] = []

    def ask() -> None:
        sent = {"file": ("a.png", png(size=(512, 512)), "image/png")}
        answers.append(httpx.post(f"{server.url}/v1/verify", files=sent, timeout=120).status_code)

    crowd = [threading.Thread(target=ask) for _ in range(14)]
    for one in crowd:
        one.start()
    until(lambda: 503 in answers)
    with server.http() as client:
        sent = client.post("/v1/files", files={"file": ("a.png", png(), "image/png")})
        waiting = sum(one.is_alive() for one in crowd)
    for one in crowd:
        one.join()
    assert sent.status_code == 200 and waiting > 2, "it did not wait until the others were through"
    assert set(answers) == {200, 503} and answers.count(200) >= 8


def test_webhooks_of_one_do_not_keep_anothers(server: Running) -> None:
    """Receivers that never answer, that answer without end, and one that listens."""
    heard: list[str] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            heard.append(self.path)
            if self.path == "/slow":
                time.sleep(30)
            self.send_response(200)
            self.end_headers()
            if self.path == "/endless":
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    pass

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Many(HTTPServer):
        daemon_threads = True

        def process_request(self, request: Any, client_address: Any) -> None:
            threading.Thread(target=self.finish_request, args=(request, client_address), daemon=True).start()

    ear = Many(("127.0.0.1", 0), Ear)
    threading.Thread(target=ear.serve_forever, daemon=True).start()
    with server.http() as client:
        webhooks = [
            client.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server_port}{path}"}).json()["id"]
            for path in ("/slow", "/endless", "/good")
        ]
        for bad in ("http://[", "http://1.1.1.1/\x7f", "ftp://x", "nothing"):
            assert client.post("/v1/webhooks", json={"url": bad}).status_code == 400, bad
        made = client.post("/v1/videos", json={"prompt": "a star", **QUICK}).json()
        server.wait(made["id"])
        end = time.monotonic() + 15
        while heard.count("/good") < 1 and time.monotonic() < end:
            time.sleep(0.05)
        assert "/good" in heard
        again = client.post("/v1/videos", json={"prompt": "a star", **QUICK}).json()
        server.wait(again["id"])
        end = time.monotonic() + 30
        while heard.count("/good") < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert heard.count("/good") >= 2
        for hook in webhooks:
            client.delete(f"/v1/webhooks/{hook}")
    ear.shutdown()


def test_pages_of_other_servers_get_nowhere(server: Running) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        signed_in = client.post("/v1/session", json={"key": server.key})
        foreign = {"origin": "http://127.0.0.1:9"}
        refused = client.post("/v1/videos", json={"prompt": "a ball"}, headers=foreign)
        assert refused.status_code == 403 and "another server" in refused.json()["error"]["message"]
        assert client.post("/v1/session", json={"key": server.key}, headers=foreign).status_code == 403
        assert client.get("/v1/usage", headers={"origin": server.url}).status_code == 200
        assert client.post("/v1/estimate", json={"prompt": "a star"}, headers={"origin": server.url}).status_code == 200
        world = client.post("/v1/worlds", json={"prompt": "a star"}, headers={"origin": server.url}).json()["id"]
        cookie = {"cookie": signed_in.headers["set-cookie"].partition(";")[0]}
        url = f"ws{server.url.removeprefix('http')}/v1/worlds/{world}/live?paused=1"
        for more, origin in (
            ("", server.url),
            ("", foreign["origin"]),
            ("&key=", foreign["origin"]),
            ("&key=x", "http://x"),
        ):
            with connect(url + more, additional_headers=cookie, origin=origin) as socket:  # type: ignore[arg-type]
                assert isinstance(socket.recv(30), bytes) == (origin == server.url), (more, origin)
        client.delete(f"/v1/worlds/{world}")


def test_bodies_are_bounded(server: Running) -> None:
    with server.http() as client:
        large = client.post("/v1/session", content=b'{"key": "' + b"x" * 100_000 + b'"}')
        assert large.status_code == 413 and large.json()["error"]["code"] == "too_large"
        deep = client.post("/v1/videos", content=b'{"keyframes": ' + b"[" * 200_000)
        assert deep.status_code == 400
        many = client.post("/v1/videos", json={"prompt": "a ball", "keyframes": [{"picture": "file_x", "at": 0}] * 65})
        assert many.status_code == 400 and "up to 64" in many.json()["error"]["message"]
        file_as_text = client.post("/v1/videos", files={"prompt": ("x", bytes(3_000_000))})
        assert file_as_text.status_code == 400 and len(file_as_text.text) < 500


def test_odd_values_are_refused_in_the_documented_shape(server: Running) -> None:
    with server.http() as client:
        for path, body in (
            ("/v1/estimate", {"prompt": "a ball", "size": "9" * 5000 + "x9"}),
            ("/v1/estimate", {"prompt": "a ball", "size": "9" * 400 + "x" + "9" * 400}),
            ("/v1/videos", {"prompt": "a ball", "guides": {"camera": []}}),
            ("/v1/videos", {"prompt": "a ball", "guides": {"camera": [[0, 5, 5, 1e400]]}}),
            ("/v1/videos/loops", {"video": {}}),
            ("/v1/videos/renders", {"state": {"num_frames": 10**9}}),
        ):
            answer = client.post(path, content=json.dumps(body).encode())
            assert answer.status_code == 400, (path, answer.text[:200])
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        deep = b'{"prompt": "a ball", "keyframes": ' + b"[" * 900 + b"]" * 900 + b"}"
        assert client.post("/v1/videos", content=deep).status_code == 400
        for path in ("/v1/videos/a%00b", "/v1/videos?search=%00", "/v1/videos?after=%00"):
            assert client.get(path).status_code == 400, path
        head = client.head("/v1/videos/video_" + "0" * 24 + "/content")
        assert head.status_code == 404
