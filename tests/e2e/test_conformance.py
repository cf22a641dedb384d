"""`kinema conform` against a real Kinema server: everything that the official client requires is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Running

OFFERED = {
    *("reach.models", "create.unmodified", "create.reference_file", "create.reference_object", "create.reference_json"),
    *("content.range", "content.range_past_end", "content.head", "content.thumbnail", "content.spritesheet"),
    *("delete.cancel", "change.remix", "change.edit", "change.extend", "load.idempotency", "load.idempotency_other"),
    *("run.error_param", "run.request_id", "polling.poll_after", "object.expires_at"),
}
"""What only some servers offer, and Kinema does."""


def test_kinema_conforms(server: Running, tmp_path: Path) -> None:
    with server.http() as client:
        before = {video["id"] for video in client.get("/v1/videos?limit=100").json()["data"]}
        report = tmp_path / "report.json"
        command = [
            *(sys.executable, "-m", "kinema.cli.main", "conform", server.url, "--key", server.key),
            *("--model", "kinema-tiny", "--size", "64x64", "--seconds", "1", "--json", str(report)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        results = {check["name"]: check["result"] for check in json.loads(report.read_text())["checks"]}
        assert not [name for name, result in results.items() if result == "failed"], done.stdout
        assert {name for name in OFFERED if results[name] == "passed"} == OFFERED
        assert {name for name, result in results.items() if result == "not offered"} == {"list.before"}
        after = {video["id"] for video in client.get("/v1/videos?limit=100").json()["data"]}
        assert after <= before, "the films of the run are deleted"


def test_a_range_that_there_is_not_is_an_error_object(server: Running) -> None:
    with server.http() as client:
        id = client.post("/v1/videos", json={"prompt": "a red ball", "seconds": 0.25, "size": "64x64", "steps": 2}).json()[
            "id"
        ]
        size = server.wait(id)["kinema"]["bytes"]  # type: ignore[index]
        for text, status in ((f"bytes={size}-", 416), ("bytes=9-1", 400), ("pages=1-2", 400)):
            answer = client.get(f"/v1/videos/{id}/content", headers={"range": text})
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, "invalid_range"), text
            assert answer.headers.get("content-range") == (f"bytes */{size}" if status == 416 else None)
        assert len(client.get(f"/v1/videos/{id}/content", headers={"range": "bytes=0-9"}).content) == 10
        client.delete(f"/v1/videos/{id}")
