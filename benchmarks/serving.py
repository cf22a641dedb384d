"""A server under load, attack and murder: python -m benchmarks.serving [--parts ...] [--quick] [--write]

    clients    the official client's flows (tests/e2e/test_official_client.py), counted
    kills      200 random kill -9 of workers and server while jobs come in; then every accepted job is looked for
    requests   status and list with 100,000 jobs in the store
    overhead   a 4 s clip through the server beside the same by the library
    workers    two workers beside one, batched or not; fairness between two keys
    malformed  2,000 malformed uploads and requests
    memory     500 jobs by one worker
    disk       a disk that fills up while jobs are made (needs the right to mount)

Live worlds have `benchmarks.live_serving`, the watermark `benchmarks.watermark`. Nothing else may run beside timings.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from benchmarks.autoencoder import machine
from PIL import Image

import kinema
from kinema.media import Clip
from kinema.server.auth import Auth
from kinema.server.jobs.queue import Queue
from kinema.server.settings import Settings
from kinema.server.storage.artifacts import ArtifactStore, new_id
from kinema.server.storage.database import Database
from kinema.server.storage.tables import jobs, keys

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "serving.md"
LONG_S = 2.6
"""Longer than the leases of `kills`, which are of two seconds."""
SMALL = {"prompt": "a red ball rolls right", "seconds": 0.25, "size": "48x48", "steps": 1, "guidance": 1.0}
Row = tuple[str, str, str, str]
"""What, bar, measured, met."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(data: Path, *flags: str, key: str = "") -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """`kinema serve` in a process: address, key, process."""
    command = [sys.executable, "-m", "kinema.cli.main", "serve", "--data", str(data), "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    url = (re.findall(r"http://[\d.]+:\d+", process.stdout.readline()) or [""])[0]
    process.stdout.readline()
    key = key or (data / "first-key").read_text().strip()
    try:
        wait_for(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        yield url, key, process
    finally:
        process.terminate()
        process.wait(40)


def wait_for(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(httpx.HTTPError):
            if ready():
                return
        time.sleep(0.02)
    raise TimeoutError


def talk(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60)


def ended(client: httpx.Client, ids: list[str], seconds: float = 600) -> list[dict[str, Any]]:
    """The videos when all have ended; one is asked for at a time and seldom, because asking takes processor time from filming."""
    done: list[dict[str, Any]] = []
    end = time.monotonic() + seconds
    for id in ids:
        while time.monotonic() < end:
            video = client.get(f"/v1/videos/{id}").json()
            if video["status"] in ("completed", "failed"):
                done.append(video)
                break
            time.sleep(0.1)
    return done


# The official client


def clients() -> list[Row]:
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "tests/e2e/test_official_client.py"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    passed, failed = (int((re.findall(rf"(\d+) {word}", told) or ["0"])[0]) for word in ("passed", "failed"))
    (calls,) = re.findall(r"calls of the official client: (\d+)", told) or ["0"]
    met = int(calls) >= 30 and passed > 0 and not failed
    counted = f"{passed} of {passed + failed} tests, {calls} calls"
    return [
        ("official client flows: dated models, a phone's photo, 1080p among them", "30 calls, unmodified", counted, yes(met))
    ]


# Kills


class Child:
    """A part of the server in a forked process, which starts in no time because all is loaded."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run, self.pid = run, 0
        self.start()

    def start(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, 2)
                self.run()
            finally:
                os._exit(0)

    def sleep(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT when the leases it holds have ended; it may be killed before."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)

        def wake() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        threading.Timer(seconds, wake).start()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def kills(count: int) -> list[Row]:
    """Two workers and the HTTP server, one of them killed at random every half second, and now and then a worker stopped for longer
    than its lease; jobs come in all the while."""
    import uvicorn

    from kinema.server.app import create_app
    from kinema.server.jobs.worker import Worker

    torch.set_num_threads(1)
    chance = random.Random(0)
    data = Path(tempfile.mkdtemp(prefix="kinema-kills-"))
    settings = Settings(data=data, threads=1)
    store, database = ArtifactStore(data), Database(settings.url)
    key, row = Auth(database).make("bench", ("read", "videos", "admin"))
    frames = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), np.uint8)
    database.close()
    port = free_port()

    def work() -> None:
        Worker(settings, lease_s=2.0).run()

    def answer() -> None:
        uvicorn.run(create_app(settings), host="127.0.0.1", port=port, log_config=None, access_log=False)

    children = [Child(work), Child(work), Child(answer)]
    accepted: list[str] = []
    done = slept = 0
    client = talk(f"http://127.0.0.1:{port}", key)
    sink = io.BytesIO()
    Image.fromarray(frames[0]).save(sink, "PNG")
    wait_for(lambda: client.get("/healthz").status_code == 200)
    stop = threading.Event()

    def load() -> None:
        with talk(f"http://127.0.0.1:{port}", key) as mine:
            number = 0
            while not stop.is_set():
                number += 1
                with suppress(httpx.HTTPError):
                    given = {**SMALL, "seed": number, "size": ("48x48", "64x64")[number % 2]}
                    answer = mine.post("/v1/videos", json=given)
                    if answer.status_code == 200:
                        accepted.append(answer.json()["id"])
                stop.wait(0.45)

    thread = threading.Thread(target=load)
    thread.start()
    begun = time.monotonic()
    while done < count:
        time.sleep(chance.uniform(0.1, 0.9))
        if chance.random() < 0.1:
            chance.choice(children[:2]).sleep(LONG_S)
            slept += 1
        victim = chance.choice(children)
        victim.kill()
        victim.start()
        done += 1
        if done % 20 == 0:
            print(f"  {done} kills, {len(accepted)} accepted, {time.monotonic() - begun:.0f} s", flush=True)
    stop.set()
    thread.join()
    database = Database(settings.url)
    queue = Queue(database)
    with suppress(TimeoutError):
        wait_for(lambda: not queue.waiting(None), 300)
    for child in children:
        child.kill()
    rows = {id: queue.get(id, None) for id in accepted}
    lost = [id for id, row in rows.items() if row.status != "completed"]
    done_ids = [id for id in accepted if id not in lost]
    for id in lost[:5]:
        print("  not completed:", id, rows[id].status, rows[id].error_code, rows[id].attempts)
    store.sweep(queue.artifacts(), older_s=-1)
    twice = [id for id in done_ids if len(list((data / "videos" / id).iterdir())) != 1]
    known = set(queue.artifacts())
    strays = [f for f in (data / "videos").iterdir() if f.name not in known] + list((data / "work").iterdir())
    unreadable = [
        id for id, r in rows.items() if r.artifact and Clip.open(store.video(id, r.artifact) / "video.mp4").num_frames != 4
    ]
    with database.reading() as db:
        whole = db.exec_driver_sql("PRAGMA integrity_check").scalar()
        book = db.execute(keys.select().where(keys.c.id == row.id)).one()
        total = sum(r[0] for r in db.execute(jobs.select().with_only_columns(jobs.c.pixel_seconds)))
    balanced = abs(book.used - total) < 1 and abs(book.reserved) < 1
    database.close()
    shutil.rmtree(data)
    told = (
        f"{count} kills, {slept} workers stopped past their lease: {len(accepted)} accepted, {len(lost)} lost, "
        f"{len(twice)} not published once, "
        f"{len(strays)} orphans after a sweep, {len(unreadable)} unreadable; "
        f"database {whole}; books {'balance' if balanced else 'DIFFER'}"
    )
    met = bool(accepted) and not (lost or twice or strays or unreadable) and whole == "ok" and balanced
    bar = "none lost, none twice, no orphan, no corrupt database"
    return [(f"{count} random kills under load", bar, told, yes(met))]


# Requests


def requests(count: int, seconds: float) -> list[Row]:
    """`count` jobs in the store; eight connections ask, from this process, which shares the two cores with the server."""
    data = Path(tempfile.mkdtemp(prefix="kinema-requests-"))
    settings = Settings(data=data)
    ArtifactStore(data)
    database = Database(settings.url)
    access = Auth(database)
    key, row = access.make("bench", ("read", "videos"))
    others = [access.make(f"other {i}")[1].id for i in range(9)]
    ids = [new_id("video") for _ in range(count)]
    now = time.time()
    request = {"prompt": "a red ball", "seconds": 4.0, "fps": 16.0, "seed": 1, "steps": None, "guidance": None}
    made = [
        {
            "id": id, "key_id": row.id if i % 2 else others[i % 9], "kind": "generate",
            "status": "completed" if i % 50 else "queued",
            "paused": False, "cancelled": False, "created_at": now - count + i, "model": "kinema-tiny",
            "prompt": f"a red ball {i}",
            "seconds": "4", "size": "64x64", "request": request, "sources": [], "priority": 0, "place": float(i), "shape": "x",
            "pixel_seconds": 16384.0, "progress": 100.0, "stage": "completed", "attempts": 1, "not_before": 0.0, "fence": 1,
            "artifact": "1", "bytes": 10, "frames": 64, "took_s": 2.0, "settings": {}, "has_state": True, "mark": "0",
            "expires_at": now + 1e6,
        }
        for i, id in enumerate(ids)
    ]  # fmt: skip
    with database.writing() as db:
        for start in range(0, count, 5000):
            db.execute(jobs.insert(), made[start : start + 5000])
    database.close()
    mine = [id for i, id in enumerate(ids) if i % 2]
    chance = random.Random(0)
    rows: list[Row] = []
    with server(data, "--workers", "0", key=key) as (url, _, _process):
        paths: dict[str, Callable[[], str]] = {
            "status": lambda: f"/v1/videos/{chance.choice(mine)}",
            "list": lambda: f"/v1/videos?limit=20&after={chance.choice(mine)}",
            "both, half each": lambda: chance.choice((paths["status"], paths["list"]))(),
        }
        for name, path in paths.items():
            times = asyncio.run(ask(url, key, path, seconds))
            rate, p99 = len(times) / seconds, 1000 * float(np.quantile(times, 0.99))
            told = f"{rate:.0f} a second, p99 {p99:.0f} ms, median {1000 * float(np.median(times)):.1f} ms"
            rows.append(
                (
                    f"{name}, {count:,} jobs in the store",
                    ">= 300 a second; p99 <= 50 ms",
                    told,
                    yes(rate >= 300 and p99 <= 50),
                )
            )
    shutil.rmtree(data)
    return rows


async def ask(url: str, key: str, path: Callable[[], str], seconds: float, lines: int = 8) -> list[float]:
    """Seconds that each answer took, over keep-alive connections."""
    host, port = url.removeprefix("http://").split(":")
    times: list[float] = []

    async def line(end: float) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < end:
            begun = time.perf_counter()
            writer.write(f"GET {path()} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode()[:200])
            length = int(re.findall(rb"content-length: (\d+)", head.lower())[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - begun)
        writer.close()

    for span in (1.0, seconds):
        times.clear()
        end = time.perf_counter() + span
        await asyncio.gather(*(line(end) for _ in range(lines)))
    return times


# Overhead, workers


def overhead(rounds: int) -> list[Row]:
    data = Path(tempfile.mkdtemp(prefix="kinema-overhead-"))
    prompt = "a red ball rolls right and hits a blue box"
    alone: list[float] = []
    served: list[float] = []
    with server(data) as (url, key, _), talk(url, key) as client:

        def by_library(seed: int) -> float:
            begun = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                kinema.generate(prompt, seed=seed)[0].save(Path(folder) / "clip.mp4")
            return time.perf_counter() - begun

        database = Database(Settings(data=data).url)
        queue = Queue(database)

        def by_server(seed: int) -> float:
            """Until it is accepted, and from there to the end by the store's own clock: asking all the time would slow it down."""
            begun = time.perf_counter()
            id = client.post("/v1/videos", json={"prompt": prompt, "seed": seed}).json()["id"]
            accepted = time.perf_counter() - begun
            while (video := queue.get(id, None)).status in ("queued", "in_progress"):
                time.sleep(0.1)
            assert video.status == "completed", video.error_message
            return accepted + float(video.completed_at - video.created_at)

        for seed in range(rounds + 1):
            first, second = (by_library, by_server) if seed % 2 else (by_server, by_library)
            pair = first(seed), second(seed)
            if seed:
                alone.append(pair[0 if seed % 2 else 1])
                served.append(pair[1 if seed % 2 else 0])
        database.close()
    shutil.rmtree(data)
    a, b = float(np.median(alone)), float(np.median(served))
    each = np.array(served) / np.array(alone) - 1
    low, over, high = (float(value) for value in np.quantile(each, (0.25, 0.5, 0.75)))
    told = (
        f"{100 * over:+.1f}% in the middle of {rounds} pairs, half of them between {100 * low:+.0f} and {100 * high:+.0f}% "
        f"({b:.2f} s beside {a:.2f} s); marking, signing and sheets included"
    )
    return [("overhead of the server, 4 s clip", "<= 5%", told, yes(over <= 0.05))]


def workers(count: int) -> list[Row]:
    """Jobs of one shape from two keys, the second coming when the first has filled the queue."""
    took: dict[str, float] = {}
    share = 0.0
    plans = {
        "one worker, alone": ("--workers", "1", "--batch", "1"),
        "one worker, batched": ("--workers", "1", "--batch", "4"),
        "two workers, batched": ("--workers", "2", "--batch", "4", "--threads", "1"),
    }
    for name, flags in plans.items():
        data = Path(tempfile.mkdtemp(prefix="kinema-workers-"))
        with server(data, *flags) as (url, key, _), talk(url, key) as client:
            hands = int(flags[1])
            wait_for(lambda client=client, hands=hands: client.get("/readyz").json().get("workers", 0) >= hands)
            for _ in range(int(flags[1]) * 4):
                client.post("/v1/videos", json={"prompt": "a star", "seconds": 2})
            wait_for(lambda client=client: not client.get("/v1/queue").json()["data"], 120)
            other = client.post("/v1/keys", json={"name": "other", "concurrency": 0, "daily_quota": 0}).json()["key"]
            client.post("/v1/queue/pause")
            first = [
                client.post("/v1/videos", json={"prompt": f"a red ball {i}", "seconds": 2}).json()["id"]
                for i in range(count)
            ]
            with talk(url, other) as second_client:
                late = [
                    second_client.post("/v1/videos", json={"prompt": f"a blue box {i}", "seconds": 2}).json()["id"]
                    for i in range(count // 4)
                ]
            begun = time.perf_counter()
            client.post("/v1/queue/resume")
            videos = ended(client, first + late)
            took[name] = time.perf_counter() - begun
            assert all(video["status"] == "completed" for video in videos)
            order = sorted(videos, key=lambda video: video["kinema"]["started_at"])
            share = sum(video["id"] in late for video in order[: 2 * len(late)]) / (2 * len(late))
        shutil.rmtree(data)
        print(" ", name, f"{took[name]:.1f} s, {share:.0%} of the first turns for the key that came late", flush=True)
    best = min(took["one worker, alone"], took["one worker, batched"])
    films = count + count // 4
    told = "; ".join(f"{name} {films / seconds:.2f} films/s" for name, seconds in took.items())
    return [
        ("two workers beside one, two cores", "no slower", told, yes(took["two workers, batched"] <= 1.03 * best)),
        (
            "fairness between keys",
            "fair",
            f"{share:.0%} of the turns, while both wait, for each of two keys",
            yes(0.4 <= share <= 0.6),
        ),
    ]


# Malformed


def media(chance: random.Random, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files that are not what they say, or too much, or cut off."""
    frames = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), np.uint8)
    clip = Clip(frames=frames, fps=8.0)
    good = {}
    for ending in (".mp4", ".webm", ".gif", ".mkv"):
        good[ending] = clip.save(folder / f"good{ending}").read_bytes()
    for ending in (".png", ".jpg", ".webp"):
        good[ending] = Clip(frames=frames[:1], fps=8.0).save(folder / f"still{ending}").read_bytes()
    secret = folder / "secret.mp4"
    secret.write_bytes(good[".mp4"])
    bomb = io.BytesIO()
    Image.new("1", (30000, 30000)).save(bomb, "PNG")
    yield "bomb.png", bomb.getvalue()
    wide = io.BytesIO()
    Image.new("P", (4000, 4000)).save(
        wide, "GIF", save_all=True, append_images=[Image.new("P", (4000, 4000), i) for i in range(1, 60)]
    )
    yield "bomb.gif", wide.getvalue()
    for name in ("list.mp4", "list.txt", "list.ffconcat"):
        yield name, f"ffconcat version 1.0\nfile '{secret}'\n".encode()
    for line in (
        f"file://{secret}",
        "/etc/passwd",
        "http://127.0.0.1:1/x",
        "concat:/etc/passwd|/etc/hosts",
        "subfile,,start,0,end,9,,:/etc/passwd",
    ):
        yield "play.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{line}\n#EXT-X-ENDLIST\n".encode()
    yield "x.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "x.sdp", b"v=0\nm=video 5004 RTP/AVP 96\nc=IN IP4 127.0.0.1\n"
    yield "empty.mp4", b""
    yield "zip.png", b"PK\x03\x04" + bytes(1000)
    while True:
        ending, content = chance.choice(list(good.items()))
        way = chance.randrange(4)
        if way == 0:
            yield f"cut{ending}", content[: chance.randrange(1, len(content))]
        elif way == 1:
            changed = bytearray(content)
            for _ in range(chance.choice((1, 8, 64, 512))):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            yield f"flipped{ending}", bytes(changed)
        elif way == 2:
            at = chance.randrange(len(content))
            yield f"spliced{ending}", content[:at] + chance.randbytes(chance.randrange(1, 5000)) + content[at:]
        else:
            yield f"noise{ending}", chance.randbytes(chance.randrange(1, 20000))


def malformed(count: int) -> list[Row]:
    data = Path(tempfile.mkdtemp(prefix="kinema-malformed-"))
    chance = random.Random(0)
    wrong: list[str] = []
    slowest = 0.0
    uploads = count // 4
    with (
        tempfile.TemporaryDirectory() as folder,
        server(data, "--workers", "1") as (url, key, process),
        talk(url, key) as client,
    ):
        refused = 0
        for number, (name, content) in enumerate(media(chance, Path(folder))):
            if number == uploads:
                break
            begun = time.perf_counter()
            answer = client.post("/v1/files" if number % 8 else "/v1/verify", files={"file": (name, content)})
            slowest = max(slowest, time.perf_counter() - begun)
            refused += answer.status_code != 200
            shape = set(answer.json().get("error", {})) == {"message", "type", "param", "code"}
            if answer.status_code >= 500 or (answer.status_code != 200 and not shape):
                wrong.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            if name.startswith(("list", "play")) and answer.status_code == 200:
                wrong.append(f"{name}: was read")
        print(f"  {uploads} uploads, {refused} refused, slowest {slowest:.1f} s", flush=True)
        asked, findings = schemathesis(url, key, count - uploads)
        wrong += findings
        alive = process.poll() is None and client.get("/healthz").status_code == 200
        while waiting := client.get("/v1/queue").json()["data"]:  # what was made up and happened to be valid may be long
            for job in waiting:
                client.post(f"/v1/videos/{job['id']}/cancel")
        with suppress(TimeoutError):  # what was deleted while it was made is not in the queue, and ends within a step
            wait_for(lambda: not client.get("/readyz").json()["jobs"].get("in_progress"), 120)
        video = client.post("/v1/videos", json=SMALL).json()
        (done,) = ended(client, [video["id"]], 60) or ({"status": "lost"},)
    shutil.rmtree(data)
    for line in wrong[:20]:
        print("  ", line)
    if done["status"] != "completed":
        print("  the film after it all:", done)
    met = alive and not wrong and done["status"] == "completed" and slowest < 45
    told = (
        f"{uploads} uploads ({refused} refused, slowest {slowest:.1f} s), {asked} requests: {len(wrong)} undocumented answers; "
        f"the server {'goes on' if alive else 'DIED'}, a film asked for then "
        f"{'is made' if done['status'] == 'completed' else 'WAITS'}"
    )
    return [(f"{uploads + asked:,} malformed uploads and requests", "no crash, no hang, documented errors", told, yes(met))]


def schemathesis(url: str, key: str, count: int) -> tuple[int, list[str]]:
    """Requests made up from the OpenAPI page, valid and not; answers of 500 and undocumented ones are findings."""
    import schemathesis as st
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from schemathesis import GenerationMode

    schema = st.openapi.from_url(f"{url}/openapi.json")
    skipped = ("/v1/queue/pause", "/v1/session")
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [op for op in operations if op.path not in skipped and not op.path.startswith("/v1/keys")]
    asked, number = 0, 0
    wrong: list[str] = []
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    limits = settings(max_examples=6, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=quiet)

    def one(case: Any) -> None:
        nonlocal asked
        asked += 1
        answer = case.call(headers={"authorization": f"Bearer {key}"}, timeout=60)
        told = answer.status_code
        if told >= 500 and told != 503:
            wrong.append(f"{case.method} {case.path}: {told} {answer.text[:160]} {str(case.body)[:80]}")
        elif (
            told >= 400
            and case.method != "HEAD"
            and set(answer.json().get("error", {})) != {"message", "type", "param", "code"}
        ):
            wrong.append(f"{case.method} {case.path}: {told} without a documented error")

    while asked < count:
        number += 1
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                try:
                    strategy = operation.as_strategy(generation_mode=mode)
                    seed(number)(limits(given(case=strategy)(one)))()
                except Exception as problem:
                    if type(problem).__name__ not in ("Unsatisfiable", "SkipTest"):
                        wrong.append(f"{operation.label} {type(problem).__name__} {str(problem)[:160]}")
    return asked, wrong


# Memory, disk


def memory(count: int) -> list[Row]:
    data = Path(tempfile.mkdtemp(prefix="kinema-memory-"))
    seen: list[tuple[int, float, float]] = []
    with server(data, "--batch", "4") as (url, key, process), talk(url, key) as client:
        done = 0
        while done < count:
            ids = [client.post("/v1/videos", json={**SMALL, "seed": done + i}).json()["id"] for i in range(25)]
            ended(client, ids)
            done += 25
            worker = int(
                subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()[
                    0
                ]
            )
            seen.append((done, resident(worker), resident(process.pid)))
            if done % 100 == 0:
                print("  jobs, worker MiB, server MiB:", seen[-1], flush=True)
    shutil.rmtree(data)
    first = next(row for row in seen if row[0] >= count // 5)
    last = seen[-1]
    grown = f"worker {first[1]:.0f} -> {last[1]:.0f} MiB, server {first[2]:.0f} -> {last[2]:.0f} MiB"
    told = f"{grown} from job {first[0]} to {last[0]}"
    met = last[1] <= 1.05 * first[1] and last[2] <= 1.05 * first[2]
    return [(f"memory over {count} jobs", "flat", told, yes(met))]


def resident(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def disk() -> list[Row]:
    """A small disk of its own, filled up by someone else while jobs wait, and freed again."""
    data = Path(tempfile.mkdtemp(prefix="kinema-disk-"))
    what, bar = "a disk that fills up", "none lost, clear errors, no corrupt database"
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(data)], check=False, capture_output=True
    ).returncode:
        return [(what, bar, "not tried: no right to mount", "-")]
    try:
        with server(data) as (url, key, process), talk(url, key) as client:
            ids = [client.post("/v1/videos", json={**SMALL, "seed": i}).json()["id"] for i in range(40)]
            plug = data / "plug"
            with plug.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            time.sleep(4)
            refused = client.post("/v1/videos", json=SMALL)
            told = refused.json()["error"]
            alive = process.poll() is None
            plug.unlink()
            videos = ended(client, ids, 120)
            database = Database(Settings(data=data).url)
            with database.reading() as db:
                whole = db.exec_driver_sql("PRAGMA integrity_check").scalar()
            once = all(len(list((data / "videos" / id).iterdir())) == 1 for id in ids)
            database.close()
        fine = [video for video in videos if video["status"] == "completed"]
        met = alive and len(fine) == len(ids) and refused.status_code in (503, 507) and whole == "ok" and once
        message = re.sub(r"/\S+/", "", told["message"])
        text = f"{len(fine)} of {len(ids)} completed after it was freed; meanwhile {refused.status_code} {message!r}; "
        text += f"database {whole}"
        return [(what, bar, text, yes(met))]
    finally:
        subprocess.run(["umount", "-l", str(data)], check=False)
        shutil.rmtree(data, ignore_errors=True)


def yes(met: bool) -> str:
    return "yes" if met else "NO"


PARTS: dict[str, Callable[[bool], list[Row]]] = {
    "clients": lambda quick: clients(),
    "kills": lambda quick: kills(30 if quick else 200),
    "disk": lambda quick: disk(),
    "requests": lambda quick: requests(10_000 if quick else 100_000, 5 if quick else 15),
    "overhead": lambda quick: overhead(5 if quick else 15),
    "workers": lambda quick: workers(8 if quick else 24),
    "malformed": lambda quick: malformed(200 if quick else 2000),
    "memory": lambda quick: memory(100 if quick else 500),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="some of it; the rest of the page is kept"
    )
    parser.add_argument("--quick", action="store_true", help="a part of each")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    print(machine())
    kept_path = PAGE.with_suffix(".json")
    kept: dict[str, list[Row]] = json.loads(kept_path.read_text()) if kept_path.exists() else {}
    for part in given.parts:
        print(part, flush=True)
        kept[part] = PARTS[part](given.quick)
        for row in kept[part]:
            print("  ", " | ".join(row), flush=True)
        if given.write:
            kept_path.write_text(json.dumps(kept, indent=1) + "\n")
            PAGE.write_text(page(kept))
    return 0


def page(kept: dict[str, list[Row]]) -> str:
    where = f"{time.strftime('%Y-%m-%d')}, {machine().rsplit(', ', 2)[0]}, torch {torch.__version__}"
    head = ["# The server: figures", "", f"`python -m benchmarks.serving --write`; {where}.", ""]
    lines = ["| what | bar | measured | met |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for part in PARTS for row in kept.get(part, [])]
    return "\n".join([*head, *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
