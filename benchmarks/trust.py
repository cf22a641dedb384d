"""What a server promises under forgery, crowding, slowness and loss: python -m benchmarks.trust [--parts ...] [--write]

    forgeries    twelve files that claim or suggest what is not so, and five honest ones, sent to POST /v1/verify
    beside       a film of one second by one key while a film of 600 s by another is made, --rounds times
    connections  1,100 half-open connections and 200 bodies that drip, while others ask
    restore      a backup that is taken while films are made, put into a new folder

--write puts the table into docs/measurements/trust.md. Nothing else may run beside `beside`.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from benchmarks.serving import Row, ended, server, talk, yes
from numpy.typing import NDArray
from PIL import Image

from kinema.media import Clip
from kinema.provenance import Identity, mark, own_identity, sign

PAGE = ROOT / "docs" / "measurements" / "trust.md"
FRAMES, FPS = 32, 16.0
MANIFEST_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Name of the box of an MP4 that holds its C2PA manifest (C2PA 2.1, embedding manifests into BMFF-based assets)."""
HALF_OPEN, DRIPPING = 1100, 200
BESIDE_BAR_S = 20.0


def footage(seed: int) -> NDArray[np.uint8]:
    """Pictures [32, 144, 256, 3] that no model made: smooth noise under a panning camera, with the grain of a sensor."""
    noise = np.random.default_rng(seed)
    rough = Image.fromarray(noise.integers(0, 255, (9, 16, 3), np.uint8)).resize((292, 192), Image.Resampling.BICUBIC)
    wide = np.asarray(rough, np.float32)
    views = np.stack([wide[20:164, i : i + 256] for i in range(FRAMES)])
    return np.clip(views + noise.normal(0, 2, views.shape), 0, 255).round().astype(np.uint8)


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """The outermost boxes of an MP4: kind and bytes of each."""
    found, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or len(data) - at
        found.append((data[at + 4 : at + 8], data[at : at + size]))
        at += size
    return found


def manifest_of(data: bytes) -> bytes:
    """The box of an MP4 with its manifest."""
    return next(box for kind, box in boxes(data) if kind == b"uuid" and MANIFEST_BOX in box[:32])


class Films:
    """A server's films, a stranger's identity, and what is made of them. Each method gives the bytes of an MP4."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.stranger: Identity = own_identity(folder / "stranger")
        self.id, self.film = self.filmed("/v1/videos", {"prompt": "a red ball rolls right", "seconds": 2, "seed": 1})
        mark_id = client.post("/v1/verify", files={"file": ("a.mp4", self.film)}).json()["watermark"]["id"]
        self.mark_id = int(mark_id, 16)
        self.footage_id = client.post("/v1/files", files={"file": ("holiday.mp4", self.saved(footage(1)))}).json()["id"]

    def filmed(self, path: str, body: dict[str, Any]) -> tuple[str, bytes]:
        asked = self.client.post(path, json=body)
        asked.raise_for_status()
        (video,) = ended(self.client, [asked.json()["id"]])
        assert video["status"] == "completed", video["error"]
        return video["id"], self.client.get(f"/v1/videos/{video['id']}/content").content

    def saved(self, frames: NDArray[np.uint8], settings: dict[str, Any] | None = None) -> bytes:
        path = self.folder / "saved.mp4"
        return Clip(frames=frames, fps=FPS, settings=settings or {}).save(path, force=True).read_bytes()

    def signed(self, data: bytes, identity: Identity | None = None) -> bytes:
        path = self.folder / "signed.mp4"
        path.write_bytes(data)
        sign(path, identity or self.stranger, model="kinema-tiny", settings={"seed": 1}, watermark_id=self.mark_id)
        return path.read_bytes()

    def frames(self) -> NDArray[np.uint8]:
        path = self.folder / "film.mp4"
        path.write_bytes(self.film)
        return Clip.open(path).frames

    def trimmed(self, video: str, end: float = 1) -> tuple[str, bytes]:
        return self.filmed("/v1/videos/trims", {"video": video, "cuts": [[0, end]]})

    def uploaded(self, data: bytes) -> str:
        return str(self.client.post("/v1/files", files={"file": ("sent.mp4", data)}).json()["id"])


def flipped(data: bytes) -> bytes:
    """The file with one byte of its pictures changed."""
    changed = bytearray(data)
    changed[data.index(b"mdat") + 1500] ^= 1
    return bytes(changed)


def forged(films: Films, other: bytes) -> dict[str, tuple[bytes, str | None]]:
    """Twelve files of which none may be called made by Kinema, by what was done, each with the one video of the server that it may
    be recognized as. other: a film of another server."""
    marked = films.saved(mark(footage(2), films.mark_id))
    tags = {"model": "kinema-tiny", "prompt": "a red ball rolls right", "seed": 1}
    once, cut = films.trimmed(films.footage_id)
    twice, cut_again = films.trimmed(once, 0.5)
    marked_cut_id, marked_cut = films.trimmed(films.uploaded(marked))
    height, width = films.frames().shape[1:3]
    middle = films.frames()[:, height // 4 : 3 * height // 4 // 2 * 2, width // 4 : 3 * width // 4 // 2 * 2]
    return {
        "footage, signed by a stranger in Kinema's words": (films.signed(films.saved(footage(2))), None),
        "footage with the manifest of a film": (films.saved(footage(2)) + manifest_of(films.film), None),
        "footage with the public mark of a film": (marked, None),
        "footage with Kinema's tags": (films.saved(footage(2), tags), None),
        "footage with tags, mark and a stranger's manifest": (
            films.signed(films.saved(mark(footage(2), films.mark_id), tags)), None
        ),
        "footage, trimmed by this server": (cut, once),
        "footage, trimmed twice by this server": (cut_again, twice),
        "footage with the mark of a film, trimmed by this server": (marked_cut, marked_cut_id),
        "a film, mirrored and saved anew": (films.saved(films.frames()[:, :, ::-1]), films.id),
        "the middle of a film, saved anew": (films.saved(np.ascontiguousarray(middle)), films.id),
        "a film with one byte changed": (flipped(films.film), films.id),
        "a film of another server": (other, None),
    }  # fmt: skip


def honest(films: Films) -> dict[str, bytes]:
    """Five files that a model of Kinema's made, all of them or in part."""
    quick = {"seconds": 1, "seed": 2, "steps": 4}
    return {
        "a film": films.film,
        "a film, trimmed": films.trimmed(films.id)[1],
        "a remix of a film": films.filmed(f"/v1/videos/{films.id}/remix", {"prompt": "a blue ball rolls right"})[1],
        "a film that goes on": films.filmed(
            "/v1/videos/extensions", {"video": films.id, "prompt": "the ball rolls", **quick}
        )[1],
        "footage that a model goes on with": films.filmed(
            "/v1/videos/extensions", {"video": films.footage_id, "prompt": "a red ball", **quick}
        )[1],
    }


def forgeries() -> list[Row]:
    with ExitStack() as stack:
        folder, data, elsewhere = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3))
        url, key, _ = stack.enter_context(server(elsewhere))
        with talk(url, key) as client:
            asked = client.post("/v1/videos", json={"prompt": "a red ball rolls right", "seconds": 1}).json()
            ended(client, [asked["id"]])
            other = client.get(f"/v1/videos/{asked['id']}/content").content
        url, key, _ = stack.enter_context(server(data))
        client = stack.enter_context(talk(url, key))
        films = Films(client, folder)

        def judged(file: bytes) -> dict[str, Any]:
            answer = client.post("/v1/verify", files={"file": ("a.mp4", file)})
            answer.raise_for_status()
            verdict: dict[str, Any] = answer.json()
            return verdict

        false_claims, missed = [], []
        known = 0
        attacks, films_honest = forged(films, other), honest(films)
        for name, (file, known_as) in attacks.items():
            verdict = judged(file)
            false_known = verdict["known_video"] not in (None, known_as)
            print(f"  {name}: {verdict['verdict']} known: {verdict['known_video']}", flush=True)
            if verdict["made_by_kinema"] or false_known:
                false_claims.append(name)
        for name, file in films_honest.items():
            verdict = judged(file)
            known += verdict["known_video"] is not None
            print(f"  {name}: {verdict['verdict']} known: {verdict['known_video']}", flush=True)
            if not verdict["made_by_kinema"]:
                missed.append(name)
    told = f"{len(attacks) - len(false_claims)} of {len(attacks)} without a false claim" + "".join(
        f"; NOT: {name}" for name in false_claims
    )
    verified = f"{len(films_honest) - len(missed)} of {len(films_honest)} verified, {known} found among the server's videos"
    return [
        ("forged, marked, tagged, trimmed, mirrored, cropped, changed", "no false claim in 12 of 12", told, yes(not false_claims)),
        ("honest films", "verified", verified + "".join(f"; NOT: {name}" for name in missed), yes(not missed)),
    ]  # fmt: skip


def beside(rounds: int) -> list[Row]:
    waited: list[float] = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (url, key, _), talk(url, key) as client:
        long_id = client.post("/v1/videos", json={"prompt": "a red ball rolls right", "seconds": 600}).json()["id"]
        other = client.post("/v1/keys", json={"name": "other"}).json()["key"]
        while not client.get(f"/v1/videos/{long_id}").json()["progress"]:
            time.sleep(0.5)
        with talk(url, other) as second:
            for round in range(rounds):
                time.sleep(3 + 4 * round)
                begun = time.perf_counter()
                id = second.post("/v1/videos", json={"prompt": "a blue box", "seconds": 1, "seed": round}).json()["id"]
                (video,) = ended(second, [id])
                assert video["status"] == "completed", video["error"]
                waited.append(time.perf_counter() - begun)
                progress = client.get(f"/v1/videos/{long_id}").json()["progress"]
                print(f"  {waited[-1]:.1f} s; the long film is at {progress}%", flush=True)
        status = client.get(f"/v1/videos/{long_id}").json()["status"]
        client.post(f"/v1/videos/{long_id}/cancel")
        assert status == "in_progress", f"the long film was {status}; nothing was waited for"
    told = f"{np.median(waited):.1f} s in the middle, {max(waited):.1f} s at most, n = {rounds}"
    return [
        ("a film of 1 s beside one of 600 s of another key", f"within {BESIDE_BAR_S:g} s", told, yes(max(waited) <= BESIDE_BAR_S))
    ]  # fmt: skip


def connections() -> list[Row]:
    times: list[float] = []
    failed = 0
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (url, key, process), ExitStack() as stack:
        port = int(url.rpartition(":")[2])

        def opened(first: bytes) -> socket.socket | None:
            with suppress(OSError):
                line = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                line.sendall(first)
                return line
            return None

        silent = [opened(b"GET /v1/videos HTTP/1.1\r\nHost: x\r\n"[: i % 30]) for i in range(HALF_OPEN)]
        head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 1000000\r\n\r\n"
        dripping = [opened(head.encode()) for _ in range(DRIPPING)]
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(1):
                for line in dripping:
                    if line is not None:
                        with suppress(OSError):
                            line.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            begun = time.perf_counter()
            try:
                failed += (
                    httpx.get(f"{url}/v1/videos", headers={"authorization": f"Bearer {key}"}, timeout=10).status_code != 200
                )
            except httpx.HTTPError:
                failed += 1
            times.append(time.perf_counter() - begun)
            time.sleep(0.1)
        stop.set()
        thread.join()
        alive = process.poll() is None
        held = sum(line is not None for line in [*silent, *dripping])
    told = (
        f"{held:,} opened; {len(times) - failed} of {len(times)} requests of others in 60 s answered, each on a connection of its "
        f"own, p99 {1000 * float(np.quantile(times, 0.99)):.0f} ms; the server {'goes on' if alive else 'DIED'}"
    )
    what = f"{HALF_OPEN:,} half-open connections, {DRIPPING} bodies that drip"
    return [(what, "the server answers", told, yes(alive and not failed))]


def restore() -> list[Row]:
    with tempfile.TemporaryDirectory() as root:
        data, new, saved = Path(root) / "data", Path(root) / "new", Path(root) / "all.backup"
        quick = {"prompt": "a red ball", "seconds": 0.5, "steps": 2}
        with server(data) as (url, key, _), talk(url, key) as client:
            file = client.post("/v1/files", files={"file": ("holiday.mp4", _mp4(footage(1), Path(root)))}).json()["id"]
            world = client.post("/v1/worlds", json={"prompt": "a red ball"}).json()["id"]
            client.post(f"/v1/worlds/{world}/step", json={"action": [1, 0]})
            done = [client.post("/v1/videos", json={**quick, "seed": i}).json()["id"] for i in range(8)]
            ended(client, done)
            waiting = [
                client.post("/v1/videos", json={**quick, "seconds": 2, "seed": 50 + i}).json()["id"] for i in range(8)
            ]
            command = [sys.executable, "-m", "kinema.cli.main", "backup", "--data", str(data), str(saved)]
            subprocess.run(command, check=True, capture_output=True)
            content = {id: client.get(f"/v1/videos/{id}/content").content for id in done}
            time_s = client.get(f"/v1/worlds/{world}").json()["time_s"]
        command = [sys.executable, "-m", "kinema.cli.main", "restore", "--data", str(new), str(saved)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(data)
        with server(new, key=key) as (url, _, _), talk(url, key) as client:
            same = sum(client.get(f"/v1/videos/{id}/content").content == content[id] for id in done)
            finished = sum(video["status"] == "completed" for video in ended(client, waiting))
            kept_file = client.get(f"/v1/files/{file}").status_code == 200
            kept_world = client.get(f"/v1/worlds/{world}").json().get("time_s") == time_s
            verdict = client.post("/v1/verify", files={"file": ("a.mp4", content[done[0]])}).json()
            trusted = verdict["made_by_kinema"] and verdict["known_video"] == done[0]
    told = (
        f"{same} of {len(done)} films the same bytes; {finished} of {len(waiting)} that waited are made there; "
        f"upload {_kept(kept_file)}, world {_kept(kept_world)}, key and certificates {_kept(trusted)}"
    )
    met = same == len(done) and finished == len(waiting) and kept_file and kept_world and trusted
    return [("a backup, taken while films are made, in a new folder", "nothing lost", told, yes(met))]


def _kept(kept: bool) -> str:
    return "kept" if kept else "LOST"


def _mp4(frames: NDArray[np.uint8], folder: Path) -> io.BytesIO:
    return io.BytesIO(Clip(frames=frames, fps=FPS).save(folder / "sent.mp4", force=True).read_bytes())


PARTS = ("forgeries", "beside", "connections", "restore")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="some of it; the rest of the page is kept")
    parser.add_argument("--rounds", type=int, default=5, help="films of one second (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    runs: dict[str, Callable[[], list[Row]]] = {
        "forgeries": forgeries, "beside": lambda: beside(given.rounds), "connections": connections, "restore": restore,
    }  # fmt: skip
    kept_path = PAGE.with_suffix(".json")
    kept: dict[str, Any] = json.loads(kept_path.read_text()) if kept_path.exists() else {}
    for part in given.parts:
        print(part, flush=True)
        kept[part] = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "rows": runs[part]()}
        for row in kept[part]["rows"]:
            print("  ", " | ".join(row), flush=True)
        if given.write:
            kept_path.write_text(json.dumps(kept, indent=1) + "\n")
            PAGE.write_text(page(kept))
    return 0


def page(kept: dict[str, Any]) -> str:
    head = ["# Forgery, crowding, slowness and loss", "", "`python -m benchmarks.trust --write`", ""]
    lines = ["| what | bar | measured | met | date, machine |", "|---|---|---|---|---|"]
    lines += [
        "| " + " | ".join([*row, f"{kept[part]['date']}, {kept[part]['machine']}"]) + " |"
        for part in PARTS
        for row in kept.get(part, {}).get("rows", [])
    ]
    return "\n".join([*head, *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
