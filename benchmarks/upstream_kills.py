"""Films that another server makes, while it, the server here and its workers are killed and answers are lost: a part of
`python -m benchmarks.engines`."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from benchmarks.serving import Row, ended, free_port, server, talk, yes

from kinema.engines.registry import ModelEntry, save_entry

FAULTS, SLOW_S = 0.15, 2.0
"""Share of the answers that are spoiled on their way, and how late a slow one comes."""
DRAIN_S = 240.0


class Spoiler:
    """A proxy before the other server. Of its answers some come as garbage, as an error 500, late, or not at all, mostly after the
    other server did what it was asked for."""

    def __init__(self, target: str, seed: int = 0) -> None:
        chance, counts, lock = random.Random(seed), Counter[str](), threading.Lock()
        client = httpx.Client(base_url=target, timeout=60)
        self.counts = counts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                with lock:
                    fault = chance.choice(("500", "garbage", "slow", "cut")) if chance.random() < FAULTS else ""
                    counts[fault] += 1
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                try:
                    answer = client.request(self.command, self.path, content=body, headers=headers)
                    status, content, kind = answer.status_code, answer.content, answer.headers.get("content-type", "")
                except httpx.HTTPError:
                    self.close_connection = True
                    return
                if fault == "cut":
                    self.close_connection = True
                    return
                if fault == "slow":
                    time.sleep(SLOW_S)
                if fault in ("500", "garbage"):
                    status, content, kind = (500 if fault == "500" else 200), b"<html>so so", "text/html"
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = pass_on

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def kill_whole(pid: int) -> None:
    """A process and those that it started."""
    for one in (*children(pid), pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def upstream(minutes: float) -> list[Row]:
    """Kill at random for some minutes, then let all films end; count what was made there and here."""
    chance, killed, accepted = random.Random(1), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="kinema-bench-") as folder:
        far_data, near_data = Path(folder) / "far", Path(folder) / "near"
        port = str(free_port())
        far = server(far_data, "--workers", "1", "--port", port)
        far_url, far_key, far_process = far.__enter__()
        proxy = Spoiler(far_url)
        os.environ["BENCH_FAR_KEY"] = far_key
        save_entry(ModelEntry(name="far", source=proxy.url, key_variable="BENCH_FAR_KEY", lost="resubmit", idempotent=True))
        near = server(near_data, "--workers", "2")
        url, key, process = near.__enter__()
        body = {"model": "far", "prompt": "a red ball rolls right", "seconds": 1, "size": "64x64", "steps": 4}
        end = time.monotonic() + 60 * minutes
        try:
            while time.monotonic() < end:
                with suppress(httpx.HTTPError), talk(url, key) as client:
                    waiting = client.get("/v1/videos", params={"limit": 100}).json()["data"]
                    if sum(video["status"] in ("queued", "in_progress") for video in waiting) < 4:
                        answer = client.post("/v1/videos", json={**body, "seed": len(accepted)})
                        if answer.status_code == 200:
                            accepted.append(answer.json()["id"])
                        continue
                time.sleep(chance.uniform(0.5, 5.0))
                what = chance.choice(("worker", "worker", "server", "the other server"))
                if what == "worker" and (workers := children(process.pid)):
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(workers), signal.SIGKILL)
                    killed[what] += 1
                elif what == "server":
                    kill_whole(process.pid)
                    process.wait()
                    killed[what] += 1
                    near = server(near_data, "--workers", "2", key=key)
                    url, key, process = near.__enter__()
                elif what == "the other server":
                    kill_whole(far_process.pid)
                    far_process.wait()
                    killed[what] += 1
                    time.sleep(chance.uniform(0.0, 2.0))
                    far = server(far_data, "--workers", "1", "--port", port, key=far_key)
                    _, _, far_process = far.__enter__()
            with talk(url, key) as client:
                videos = ended(client, accepted, DRAIN_S)
            with talk(far_url, far_key) as client:
                made_there = client.get("/v1/videos", params={"limit": 100}).json()
                there = [video["id"] for video in made_there["data"]]
                while made_there["has_more"]:
                    made_there = client.get("/v1/videos", params={"limit": 100, "after": there[-1]}).json()
                    there += [video["id"] for video in made_there["data"]]
        finally:
            near.__exit__(None, None, None)
            far.__exit__(None, None, None)
            proxy.close()
    made = [video for video in videos if video["status"] == "completed"]
    taken = [video["kinema"]["settings"].get("upstream_id") for video in made]
    count, by = sum(killed.values()), ", ".join(f"{n} of {what}" for what, n in sorted(killed.items()))
    spoiled = ", ".join(f"{n} {fault}" for fault, n in sorted(proxy.counts.items()) if fault)
    codes = Counter(video["error"]["code"] for video in videos if video["status"] == "failed")
    failed = ", ".join(f"{n} {code}" for code, n in sorted(codes.items())) or "0"
    measured = (
        f"{count} kills ({by}) in {minutes:g} min, answers spoiled: {spoiled}; {len(accepted)} accepted, {len(videos)} ended,"
        f" {len(made)} made, failed: {failed}; made by the other server: {len(there)}, of which none twice:"
        f" {yes(len(set(taken)) == len(taken) and len(there) == len(accepted))}"
    )
    met = len(videos) == len(accepted) == len(made) == len(there) and len(set(taken)) == len(taken)
    return [("another server films; both are killed, answers are lost", "none lost, none paid twice", measured, yes(met))]
