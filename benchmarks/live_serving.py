"""Worlds on a server, measured over loopback: python -m benchmarks.live_serving [--share N] [--write]

A server runs in a process of its own, as `kinema serve` runs it but without workers; the client is this process. A round trip is
from sending an action to holding the picture in which it was done; the model's time, which the server tells, is taken off it.
--write puts the table into docs/measurements/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from benchmarks.first_light import Row, write_table
from websockets.sync.client import connect

from kinema.client import RemoteWorld, from_url, picture_of
from kinema.models.hub import DEFAULT

PROMPT = "a red ball, a yellow car and a green robot on a field"
FPS = 16.0


def serve(folder: Path) -> None:
    """The server process: tells its address and key in one line."""
    import socket

    import uvicorn

    from kinema.server.app import create_app
    from kinema.server.settings import Settings

    app = create_app(Settings(data=folder, threads=1))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # named, or asyncio leaves Nagle's delay on: 40 ms a request
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps([address, app.state.services.auth.first()]), flush=True)
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="websockets-sansio")
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.live_serving", "--serve", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        address, key = json.loads(process.stdout.readline())
        try:
            while True:
                try:
                    httpx.get(f"{address}/healthz")
                    break
                except httpx.HTTPError:
                    time.sleep(0.05)
            yield address, key
        finally:
            process.terminate()
            process.wait()


def spread(taken: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{np.median(taken):.1f} / {np.percentile(taken, 95):.1f}"


class Player:
    """A live session by hand."""

    def __init__(self, address: str, key: str, id: str, query: str) -> None:
        self.url = f"ws{address[4:]}/v1/worlds/{id}/live?key={key}{query}"

    @contextmanager
    def opened(self) -> Iterator[None]:
        with connect(self.url, max_size=None, compression=None) as self.socket:
            self.shown()
            yield

    def shown(self) -> dict[str, float]:
        """The next frame, acknowledged."""
        message = self.socket.recv()
        assert isinstance(message, bytes), message
        told: dict[str, float] = json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])
        self.socket.send(json.dumps({"type": "ack", "frame": told["frame"]}))
        return told

    def step(self, right: float) -> tuple[float, float]:
        """Milliseconds of a round trip, and of the model in it."""
        begun = time.perf_counter()
        self.socket.send(json.dumps({"type": "action", "action": [right, 0.0]}))
        self.socket.send('{"type":"step"}')
        told = self.shown()
        assert told["action"] is not None
        return 1000 * (time.perf_counter() - begun), told["model_ms"]


def by_hand(address: str, key: str, world: RemoteWorld, query: str, count: int) -> tuple[list[float], list[float]]:
    """Of so many steps: the round trip without the model, and the model, in ms."""
    player = Player(address, key, world.id, f"&paused=1{query}")
    with player.opened():
        for _ in range(5):
            player.step(0.0)
        both = [player.step(i % 3 / 2 - 0.5) for i in range(count)]
    return [trip - model for trip, model in both], [model for _, model in both]


def remote(address: str, key: str, world: RemoteWorld, count: int) -> tuple[list[float], list[float]]:
    """What `RemoteWorld.step` takes above the model, by WebSocket and by HTTP, in ms."""
    sockets, requests = [], []
    world.step((0.0, 0.0))
    for _ in range(count):
        begun = time.perf_counter()
        world.step((0.5, 0.0))
        sockets.append(1000 * (time.perf_counter() - begun) - world._now["model_ms"])
    with httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}) as client:
        for _ in range(count):
            begun = time.perf_counter()
            told = client.post(f"/v1/worlds/{world.id}/step", json={"action": [0.5, 0.0]}).json()
            picture_of(from_url(told["frame"]))
            requests.append(1000 * (time.perf_counter() - begun) - told["model_ms"])
    return sockets, requests


def paced(address: str, key: str, world: RemoteWorld, seconds: float, fps: float = FPS) -> list[float]:
    """Milliseconds between frames of live play at a rate."""
    player, arrived = Player(address, key, world.id, "&size=256"), []
    with player.opened():
        player.socket.send(json.dumps({"type": "fps", "fps": fps}))
        for _ in range(5):
            player.shown()
        for _ in range(round(seconds * fps)):
            player.shown()
            arrived.append(1000 * time.perf_counter())
    return np.diff(arrived).tolist()


def beside(address: str, key: str, world: RemoteWorld, other: RemoteWorld, count: int) -> tuple[list[float], float]:
    """Round trips of live steps above the model, in ms, while another world is asked `what_if`, and the seconds that that took."""
    player, trips = Player(address, key, world.id, "&paused=1&size=256"), []
    took = [0.0]

    def ask() -> None:
        begun = time.perf_counter()
        other.what_if("the ball had been blue", since=32)
        took[0] = time.perf_counter() - begun

    with player.opened():
        player.step(0.0)
        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.2)
        while asking.is_alive() and len(trips) < count:
            trip, model = player.step(0.5)
            trips.append(trip - model)
            time.sleep(max(1 / FPS - trip / 1000, 0.0))
        asking.join()
    return trips, took[0]


def measure(share: int) -> list[Row]:
    rows: list[Row] = []

    def note(what: str, bar: str, measured: str, met: bool | None) -> None:
        rows.append(Row(what, bar, measured, met))
        print(f"{'ok  ' if met else 'MISS' if met is not None else '    '}  {what}: {measured}  (bar {bar})", flush=True)

    count = max(200 // share, 20)
    with served() as (address, key), RemoteWorld(address, PROMPT, key=key, seed=1) as world:
        above, model = by_hand(address, key, world, "&size=256", count)
        note("live, action to picture (JPEG, 256 high), above the model, median / 95%", "<= 10 ms", f"{spread(above)} ms",
             float(np.median(above)) <= 10)  # fmt: skip
        note("the model's own time in it", "", f"{spread(model)} ms", None)
        lossless, _ = by_hand(address, key, world, "&format=png", count)
        note("the same with PNG, 64x64", "<= 10 ms", f"{spread(lossless)} ms", float(np.median(lossless)) <= 10)
        sockets, requests = remote(address, key, world, count)
        note(
            "RemoteWorld.step above the model: by WebSocket",
            "<= 10 ms",
            f"{spread(sockets)} ms",
            float(np.median(sockets)) <= 10,
        )
        note("the same by HTTP", "", f"{spread(requests)} ms", None)
        gaps = paced(address, key, world, 40 / share)
        note("live play at 16 frames/s: between frames, mean; median / 95% / most", "62.5 ms +- 1%",
             f"{np.mean(gaps):.2f}; {spread(gaps)} / {np.max(gaps):.0f} ms", abs(float(np.mean(gaps)) - 62.5) < 0.63)  # fmt: skip
        with world.branch() as other:
            begun = time.perf_counter()
            other.branch().delete()
            note("a branch of it, on disk, and its end", "", f"{1000 * (time.perf_counter() - begun):.0f} ms", None)
            trips, took = beside(address, key, world, other, count)
            note(
                "live steps above the model while a what_if of 32 frames runs",
                "",
                f"{spread(trips)} ms, what_if {took:.1f} s",
                None,
            )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only one in N of the steps, for a quick look")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/live-serving.md")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return 0
    rows = measure(arguments.share)
    if arguments.write:
        write_table("Worlds on a server", "live_serving", DEFAULT, arguments.share, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
