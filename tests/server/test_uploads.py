"""Uploads: whatever comes is decoded apart or refused in one line, and no name or text in it reaches another file."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.errors import ApiError
from kinema.media import Clip, Sound
from kinema.provenance import own_identity, part_of, sign
from kinema.server.auth import Auth
from kinema.server.jobs.queue import Queue
from kinema.server.storage.artifacts import ArtifactStore
from kinema.server.storage.clips import Stored, load_clip, stored_about
from kinema.server.storage.database import Database
from kinema.server.storage.engine import sqlite_url
from kinema.server.storage.fetch import fetch, is_public, public_address
from kinema.server.storage.uploads import MOST_BYTES, Sent, Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    database = Database(sqlite_url(tmp_path))
    yield Uploads(ArtifactStore(tmp_path), Queue(database))
    database.close()


@pytest.fixture
def key(uploads: Uploads) -> str:
    return str(Auth(uploads.queue.database).make("me")[1].id)


def png(width: int = 8, height: int = 6) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(sink, "PNG")
    return sink.getvalue()


def test_only_pixels_are_stored_under_a_generated_name(uploads: Uploads, key: str, tmp_path: Path) -> None:
    row = uploads.add(key, Sent(name="../../etc/x\n\0.png", content=png()))
    assert (row.width, row.height, row.frames, row.filename) == (8, 6, 1, "x.png")
    endings = ("npz", "c2pa", "part.c2pa")
    assert {path.name for path in (tmp_path / "files").iterdir()} == {f"{row.id}.{ending}" for ending in endings}
    assert (load_clip(uploads.store.file(row.id)).frames[0, 0, 0] == (200, 10, 10)).all()


def test_a_clip_keeps_its_state(uploads: Uploads, key: str, tmp_path: Path, scene_clip: Clip) -> None:
    path = scene_clip.save(tmp_path / "clip.mp4")
    row = uploads.add(key, Sent(name="clip.mp4", content=path.read_bytes()))
    stored = load_clip(uploads.store.file(row.id))
    assert stored.state is not None and stored.caption == "" and not stored.settings and stored.num_frames == row.frames == 4


def test_a_clip_keeps_its_sound_and_what_is_not_kept_is_noted(uploads: Uploads, key: str, tmp_path: Path) -> None:
    frames = np.zeros((16, 32, 32, 3), np.uint8)
    sound = Sound(samples=np.full((32_000, 2), 5000, np.int16), rate=16_000)
    path = Clip(frames=frames, fps=8.0, sound=sound).save(tmp_path / "clip.mp4")
    row = uploads.add(key, Sent(name="clip.mp4", content=path.read_bytes()))
    stored = load_clip(uploads.store.file(row.id))
    assert stored.sound is not None and (stored.sound.rate, stored.sound.channels) == (16_000, 2)
    assert stored.sound.duration_s == 2.0 and abs(int(stored.sound.samples[16_000, 0]) - 5000) < 300
    assert stored_about(uploads.store.file(row.id)) == Stored(has_sound=True)
    with av.open(str(path)) as container, av.open(str(tmp_path / "two.mkv"), "w") as twice:
        tracks = [twice.add_stream_from_template(container.streams[i]) for i in (0, 1, 1)]
        for packet in container.demux():
            if packet.dts is not None:
                for track in tracks[:1] if packet.stream.index == 0 else tracks[1:]:
                    packet.stream = track
                    twice.mux(packet)
    row = uploads.add(key, Sent(name="two.mkv", content=(tmp_path / "two.mkv").read_bytes()))
    assert stored_about(uploads.store.file(row.id)).notes == ("the file has 2 tracks of sound; the first is kept",)


@pytest.fixture
def scene_clip() -> Clip:
    from kinema.playground import simulate, tiny
    from kinema.playground.renderer import render_scene

    scene = simulate(tiny(), 1, fps=16.0, num_frames=4).scene
    return Clip(frames=render_scene(scene, height=32, width=32), fps=16.0, state=scene, caption="a ball")


@pytest.mark.parametrize("kind", ["empty", "playlist", "concat", "bomb", "cut", "text", "svg"])
def test_what_is_no_picture_is_refused_in_one_line(uploads: Uploads, key: str, tmp_path: Path, kind: str) -> None:
    secret = Clip(frames=np.zeros((2, 16, 16, 3), np.uint8), fps=8.0).save(tmp_path / "secret.mp4")
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    content = {
        "empty": b"",
        "playlist": f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "bomb": bomb.getvalue(),
        "cut": png(64, 64)[:40],
        "text": b"hello " * 100,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    }[kind]
    with pytest.raises(ApiError) as refused:
        uploads.add(key, Sent(name="film.mp4", content=content))
    message = str(refused.value)
    assert refused.value.status == 400 and len(message.splitlines()) == 1 and str(tmp_path) not in message, message
    assert not list((tmp_path / "files").iterdir())


def test_too_much_is_refused_before_it_is_read(uploads: Uploads, key: str) -> None:
    with pytest.raises(ApiError, match="64 are allowed"):
        uploads.add(key, Sent(name="x", content=bytes(MOST_BYTES + 1)))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
        ("2002:808:808::1", True), ("224.0.0.1", False), ("240.0.0.1", False), ("100.64.0.1", False), ("ff0e::1", False),
        ("fe80::1", False), ("fc00::1", False),
        ("::", False), ("::ffff:127.0.0.1", False), ("::127.0.0.1", False), ("64:ff9b::7f00:1", False), ("64:ff9b::a00:1", False),
        ("64:ff9b:1::808:808", False), ("2002:a00:1::1", False), ("2001:0:808:808::1", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_what_is_public_is_so_in_every_form(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "http://localhost:9/x", "http://[::1]/x", "http://169.254.1.1/", "http://10.0.0.1/", "ftp://x/y",
            "http://user:pw@example.com/", "http://0.0.0.0/", "http:///x"],
)  # fmt: skip
def test_only_public_addresses_are_fetched(url: str) -> None:
    with pytest.raises(ApiError) as refused:
        public_address(url)
    assert refused.value.status == 400


def test_a_name_with_any_address_that_is_not_public_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(ApiError, match="not a public address"):
        public_address("http://example.com/x")


def test_a_page_is_asked_for_by_the_name_in_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many names may share one address, so the server must be told which is meant. What is too long is refused."""

    class Names(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers["host"].encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Names) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        name = f"pictures.example.com:{server.server_port}"
        try:
            monkeypatch.setattr("kinema.server.storage.fetch.public_address", lambda _: "127.0.0.1")
            assert fetch(f"http://{name}/x.png", 1000) == name.encode()
            with pytest.raises(ApiError, match="that are allowed"):
                fetch(f"http://{name}/x.png", 5)
        finally:
            server.shutdown()
            thread.join()


def test_web_addresses_are_off_unless_the_operator_wants_them(uploads: Uploads, key: str) -> None:
    with pytest.raises(ApiError, match="switched off"):
        uploads.resolve({"image_url": "https://example.com/x.png"}, None, key, "input_reference")


def test_references_are_the_callers_own(uploads: Uploads, key: str) -> None:
    row = uploads.add(key, Sent(name="a.png", content=png()))
    assert uploads.resolve(row.id, key, key, "video") == {"file": row.id}
    for given in (row.id, {"file_id": row.id}, {"image_url": {"url": row.id}}):
        with pytest.raises(ApiError, match="no file"):
            uploads.resolve(given, "key_other", "key_other", "video")
    for given in ({}, 7, {"file_id": 3}, [], "../x", "file_zz"):
        with pytest.raises(ApiError):
            uploads.resolve(given, key, key, "video")


def test_verdicts_come_from_apart_too(uploads: Uploads, tmp_path: Path) -> None:
    identity = own_identity(tmp_path / "own")
    clip = Clip(frames=np.zeros((4, 32, 32, 3), np.uint8), fps=8.0)
    path = clip.save(tmp_path / "x.mp4")
    sign(path, identity, model="kinema-tiny", settings={})
    result = uploads.judge(Sent(name="x.mp4", content=path.read_bytes()), identity.anchors)
    assert result["made_by_kinema"] and result["manifest"]["state"] == "valid"
    assert not uploads.judge(Sent(name="x.png", content=png(64, 64)), identity.anchors)["made_by_kinema"]
    with pytest.raises(ApiError):
        uploads.judge(Sent(name="x", content=b"nothing"), identity.anchors)


def test_a_file_leaves_its_hash_and_manifest_and_both_go_with_it(uploads: Uploads, key: str, tmp_path: Path) -> None:
    identity = own_identity(tmp_path / "own")
    path = sign(
        Clip(frames=np.zeros((4, 32, 32, 3), np.uint8), fps=8.0).save(tmp_path / "x.mp4"), identity, model="m", settings={}
    )
    row = uploads.add(key, Sent(name="x.mp4", content=path.read_bytes()))
    archive = uploads.store.ingredient(row.id)
    kept = (archive, part_of(archive))
    assert all(file.stat().st_size > 1000 for file in kept)
    uploads.remove(row.id, key)
    assert not any(file.exists() for file in kept)


def test_files_are_forgotten_in_time(uploads: Uploads, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.server.storage.uploads.STRAY_S", -1.0)
    row = uploads.add(key, Sent(name="a.png", content=png()))
    stray = uploads.store.file("file_stray")
    stray.write_bytes(b"x")
    assert uploads.forget(60.0) == 1 and not stray.exists() and uploads.store.file(row.id).exists()
    assert uploads.forget(-1.0) == 1 and not uploads.store.file(row.id).exists()
    with pytest.raises(ApiError):
        uploads.find(row.id, key)
