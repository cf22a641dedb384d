"""A server as its operator knows it: killed and started again, drained, asked by strangers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.e2e.conftest import Running, start, stop, until

from kinema.cli.main import main
from kinema.media import Clip

QUICK = {"fps": 8, "seed": 3, "steps": 2, "seconds": 0.25}


def test_killed_or_stopped_and_started_again_it_loses_nothing(tmp_path: Path) -> None:
    """kill -9 with ten jobs accepted: after a new start all are made, each once. SIGTERM: exit code 0, the job in hand is back in
    the queue, workers are gone."""
    own = start(tmp_path / "data")
    with own.http() as client:
        ids = [client.post("/v1/videos", json={"prompt": f"a red ball {i}", **QUICK}).json()["id"] for i in range(10)]
    own.process.kill()
    own.process.wait()
    again = start(own.data, key=own.key)
    try:
        for id in ids:
            assert again.wait(id)["status"] == "completed"
            assert len(list((own.data / "videos" / id).iterdir())) == 1
        with again.http() as client:
            usage = client.get("/v1/usage").json()
            assert usage["quota"]["reserved"] == 0 and usage["quota"]["used"] == 10 * 128 * 128 * 0.25
            assert not list((own.data / "work").iterdir())
            long = client.post("/v1/videos", json={"prompt": "a red ball", "seconds": 8, "steps": 200}).json()["id"]
            until(lambda: client.get(f"/v1/videos/{long}").json()["status"] == "in_progress")
        assert stop(again) == 0
        assert '"worker stopped"' in again.log.read_text()
        again = start(own.data, key=own.key)
        with again.http() as client:
            assert client.get(f"/v1/videos/{long}").json()["status"] in ("queued", "in_progress")
            assert client.post(f"/v1/videos/{long}/cancel").status_code == 200
        assert again.wait(long)["error"] == {"code": "cancelled", "message": "cancelled by its owner"}
    finally:
        if again.process.poll() is None:
            stop(again)


def test_a_killed_worker_is_replaced(server: Running) -> None:
    with server.http() as client:
        ids = [client.post("/v1/videos", json={"prompt": "a star", **QUICK}).json()["id"] for _ in range(3)]
    children = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    assert [server.wait(id)["status"] for id in ids] == ["completed"] * 3


def test_a_server_that_is_stopped_while_it_starts_ends(tmp_path: Path) -> None:
    """Its address is printed when it can be reached and its key read; SIGTERM from then on is heard."""
    command = [sys.executable, "-m", "kinema.cli.main", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert "Kinema is at" in process.stdout.readline()
        process.terminate()
        assert (tmp_path / "data" / "first-key").read_text().startswith("kinema_")
        assert process.wait(40) == 0


def test_strangers_and_scopes(server: Running) -> None:
    with server.http() as client:
        made = client.post("/v1/keys", json={"name": "reader", "scopes": ["read"], "rate": 5}).json()
        films = server.http(client.post("/v1/keys", json={"name": "films", "scopes": ["videos"]}).json()["key"])
        assert films.get("/v1/videos").status_code == 200, "every key may look at its own"
        reader = server.http(made["key"])
        assert reader.get("/v1/videos").json()["data"] == []
        refused = reader.post("/v1/videos", json={"prompt": "a ball"})
        assert refused.status_code == 403 and refused.json()["error"]["type"] == "permission_error"
        for _ in range(10):
            answer = reader.get("/v1/usage")
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
        assert client.delete(f"/v1/keys/{made['id']}").json()["revoked_at"]
        revoked = reader.get("/v1/videos")
        assert revoked.status_code == 401 and "was revoked" in revoked.json()["error"]["message"]
        listed = client.get("/v1/keys").json()["data"]
        assert not any("digest" in key or "key" in key for key in listed)
    nobody = httpx.get(f"{server.url}/v1/videos")
    assert nobody.status_code == 401 and "Authorization: Bearer" in nobody.json()["error"]["message"]


def test_sessions_open_the_studio(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/v1/session").json() == {"key": None}
        assert client.post("/v1/session", json={"key": "kinema_no"}).status_code == 401
        answer = client.post("/v1/session", json={"key": server.key})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert server.key.lower() not in cookie and f"kinema_session_{server.url.rpartition(':')[2]}=" in cookie
        assert client.get("/v1/session").json()["key"]["name"] == "first"
        client.delete("/v1/session")
        assert client.get("/v1/session").json() == {"key": None}
        held = {"cookie": cookie_of(answer)}
        assert httpx.get(f"{server.url}/v1/usage", headers=held).status_code == 401, "signing out ends it on the server"


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_sessions_are_listed_and_ended(server: Running) -> None:
    with server.http() as admin:
        key = admin.post("/v1/keys", json={"name": "somebody"}).json()
        answer = httpx.post(f"{server.url}/v1/session", json={"key": key["key"]}, headers={"user-agent": "a browser"})
        held = {"cookie": cookie_of(answer)}
        (session,) = httpx.get(f"{server.url}/v1/sessions", headers=held).json()["data"]
        assert session["agent"] == "a browser" and session["key_id"] == key["id"] and session["current"]
        seen = {row["id"]: row["current"] for row in admin.get("/v1/sessions").json()["data"]}
        assert seen[session["id"]] is False
        with server.http(key["key"]) as own:
            assert own.delete(f"/v1/sessions/{session['id']}").json() == {"id": session["id"], "deleted": True}
            assert own.delete(f"/v1/sessions/{session['id']}").status_code == 404
        assert httpx.get(f"{server.url}/v1/sessions", headers=held).status_code == 401


def test_the_first_key_is_in_a_file_of_its_own_and_in_no_log(server: Running) -> None:
    file = server.data / "first-key"
    assert file.read_text().strip() == server.key and file.stat().st_mode & 0o777 == 0o600
    assert server.key not in server.log.read_text()


def test_health_metrics_and_request_ids(server: Running) -> None:
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    ready = httpx.get(f"{server.url}/readyz")
    assert ready.status_code == 200 and ready.json()["workers"] >= 1
    page = httpx.get(f"{server.url}/metrics").text
    assert 'kinema_jobs{status="completed"}' in page and "kinema_request_seconds_bucket" in page
    assert httpx.get(f"{server.url}/nowhere").headers["x-request-id"].startswith("req_")
    assert httpx.get(f"{server.url}/nowhere").json()["error"]["type"] == "not_found_error"
    assert '"request": "req_' in server.log.read_text()


def test_an_owner_controls_the_queue(server: Running) -> None:
    with server.http() as client:
        assert client.post("/v1/queue/pause").json() == {"paused": True}
        a, b, c = (client.post("/v1/videos", json={"prompt": f"a ball {i}", **QUICK}).json() for i in range(3))
        moved = client.post(f"/v1/videos/{c['id']}/move", json={"before": a["id"]}).json()
        assert moved["kinema"]["position"] == 0
        queue = client.get("/v1/queue").json()
        assert queue["paused"] and [job["id"] for job in queue["data"]][:3] == [c["id"], a["id"], b["id"]]
        assert client.post(f"/v1/videos/{b['id']}/pause").json()["kinema"]["paused"]
        refused = client.post("/v1/queue/resume?held=true")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "held"), "the address says what to do"
        assert client.post("/v1/queue/resume").json() == {"paused": False}
        assert server.wait(a["id"])["status"] == "completed"
        assert client.get(f"/v1/videos/{b['id']}").json()["status"] == "queued"
        client.post(f"/v1/videos/{b['id']}/resume")
        assert server.wait(b["id"])["status"] == "completed"


def test_estimates_come_before_the_bill(server: Running) -> None:
    with server.http() as client:
        estimate = client.post("/v1/estimate", json={"prompt": "a red bal rolls", "seconds": 4}).json()
        assert (
            estimate["pixel_seconds"] == 128 * 128 * 4
            and estimate["unknown_words"] == ["bal"]
            and "ball" in estimate["hint"]
        )


def test_every_kind_of_change(server: Running) -> None:
    with server.http() as client:

        def made(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = client.post(f"/v1/videos{path}", json={"steps": 2, "seed": 1, **body})
            assert answer.status_code == 200, answer.text
            done = server.wait(answer.json()["id"])
            assert done["status"] == "completed", done["error"]
            return done

        one = made("", {"prompt": "a red ball rolls right", "seconds": 1, "fps": 8})
        two = made("", {"prompt": "a blue box", "seconds": 1, "fps": 8, "keyframes": [{"picture": one["id"], "at": 0.5}]})
        assert two["kinema"]["sources"] == [one["id"]]
        assert made("/blends", {"a": one["id"], "b": two["id"], "seconds": 1})["kinema"]["frames"] == 24
        assert made("", {"seconds": 1, "blend": {"a": one["id"], "b": two["id"]}})["kinema"]["kind"] == "blend"
        zoomed = made("", {"prompt": "a star", "seconds": 1, "guides": {"camera": [[0, 5, 5, 1], [1, 5, 5, 2]]}})
        seen = client.get(f"/v1/videos/{zoomed['id']}/content?variant=state").json()["camera"]
        assert seen[0][2] < 1.1 and seen[-1][2] > 1.8
        assert made("/loops", {"video": one["id"], "seconds": 1})["kinema"]["frames"] == 16
        assert made("/trims", {"video": one["id"], "cuts": [[0.5, 1], [0, 0.25]]})["kinema"]["frames"] == 6
        assert (
            made("/extensions", {"video": one["id"], "seconds": 1, "before": True, "prompt": "a red ball"})["kinema"][
                "frames"
            ]
            == 16
        )
        state = client.get(f"/v1/videos/{one['id']}/content?variant=state").json()
        state["background"] = "night"
        rendered = made("/renders", {"state": state})
        changed = client.get(f"/v1/videos/{rendered['id']}/content?variant=state").json()
        assert changed["background"] == "night"
        assert client.delete(f"/v1/videos/{two['id']}?restorable=true").status_code == 200
        assert client.get(f"/v1/videos/{two['id']}").status_code == 404
        assert client.post(f"/v1/videos/{two['id']}/restore").json()["id"] == two["id"]
        content = client.get(f"/v1/videos/{one['id']}/content").content
        estimate = httpx.post(f"{server.url}/v1/verify", files={"file": ("x.mp4", content)}, timeout=60).json()
        assert estimate["made_by_kinema"] and estimate["known_video"] == one["id"] and estimate["manifest"]["trusted"]
        half = client.get(f"/v1/videos/{one['id']}/content", headers={"range": "bytes=0-99"})
        assert half.status_code == 206 and len(half.content) == 100


def test_bad_starts_fail_in_one_line(tmp_path: Path, server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    port = server.url.rpartition(":")[2]
    for flags, message in (
        (["--port", port], "choose another with --port"),
        (["--port", "99999"], "expected 0 to 65535"),
        (["--data", "/proc/nowhere"], "name another with --data"),
        (["--database", "mysql://x"], "expected sqlite:///FILE or postgresql://"),
        (["--policy", "no.such:thing"], "expected package.module:object"),
    ):
        code = main(["serve", "--port", "0", "--data", str(tmp_path / "x"), *flags])
        error = capsys.readouterr().err
        assert code == 2 and message in error, (flags, error)
        assert len(error.strip().splitlines()) == 1, error


def test_a_trim_keeps_the_size_and_rate_of_its_source(server: Running, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (50, 90, 162, 3), np.uint8)
    path = Clip(frames=frames, fps=50.0).save(tmp_path / "phone.mp4")
    with server.http() as client:
        sent = client.post("/v1/files", files={"file": ("phone.mp4", path.read_bytes(), "video/mp4")}).json()
        made = client.post("/v1/videos/trims", json={"video": sent["id"], "cuts": [[0.2, 0.6]]}).json()
        video = server.wait(made["id"])
        assert (video["status"], video["size"]) == ("completed", "162x90"), video
        content = client.get(f"/v1/videos/{made['id']}/content").content
    (tmp_path / "trim.mp4").write_bytes(content)
    clip = Clip.open(tmp_path / "trim.mp4")
    assert (clip.size, clip.fps, clip.num_frames) == ("162x90", 50.0, 20)
