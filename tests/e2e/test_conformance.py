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
