"""A small server with /v1/videos that misbehaves as it is told, in a thread."""

from __future__ import annotations

import email
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from kinema.media import Clip, Sound

Reply = tuple[int, dict[str, str], bytes]
DROP = "drop"
"""Close the connection without an answer."""


def reply(value: Any, status: int = 200, **headers: str) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {name.replace("_", "-"): text for name, text in headers.items()}, body


def error(status: int, message: str = "no", **headers: str) -> Reply:
    return reply({"error": {"message": message}}, status, **headers)


def mp4(folder: Path, *, frames: int = 48, fps: float = 24.0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A film with sound."""
    x = np.arange(size[0], dtype=np.uint8) * 4
    pixels = np.stack([np.broadcast_to(np.roll(x, i)[None, :, None], (size[1], size[0], 3)) for i in range(frames)])
    tone = (8000 * np.sin(np.arange(round(frames / fps * 48000)) / 20)).astype(np.int16)[:, None]
    path = folder / "film.mp4"
    Clip(frames=np.ascontiguousarray(pixels), fps=fps, sound=Sound(samples=tone, rate=48000)).save(path, force=True)
    return path.read_bytes()


class StandIn:
    """scripts: what is answered next to "models", "post", "poll", "content" and "delete", in place of the right answer. polls:
    after how many a video is made. idempotent: the same key gets the same video."""

    def __init__(self, film: bytes, *, polls: int = 2, idempotent: bool = False) -> None:
        self.film, self.polls, self.idempotent = film, polls, idempotent
        self.scripts: dict[str, list[Any]] = defaultdict(list)
        self.posts: list[dict[str, Any]] = []
        self.videos: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.seen: list[str] = []
        self.on: dict[str, Callable[[], None]] = {}
        """Called at each request of a kind, before it is answered."""
        self._by_key: dict[str, str] = {}
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        threading.Thread(target=lambda: self.http.serve_forever(0.02), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, kind: str, id: str, headers: Any, body: bytes) -> Any:
        self.seen.append(kind)
        self.on.get(kind, lambda: None)()
        if kind == "post":
            self.posts.append({"headers": dict(headers.items()), "fields": _fields(headers, body)})
        script = self.scripts[kind]
        planned = script.pop(0) if script else None
        if callable(planned):
            planned = planned()
        made = None if planned not in (None, DROP) and planned[0] >= 400 else self._right(kind, id, headers)
        return planned if planned is not None else made

    def _right(self, kind: str, id: str, headers: Any) -> Reply:
        if kind == "models":
            return error(404)
        if kind == "post":
            key = headers.get("idempotency-key", "")
            new = self._by_key.get(key) if self.idempotent and key else None
            if new is None:
                new = f"video_{len(self.videos)}"
                self.videos[new] = {"id": new, "status": "queued", "progress": 0, "polled": 0}
                self._by_key[key] = new
            return reply(self.videos[new])
        if id not in self.videos:
            return error(404, "no such video")
        video = self.videos[id]
        if kind == "delete":
            self.deleted.append(id)
            del self.videos[id]
            return reply({"id": id, "deleted": True})
        if kind == "content":
            return reply(self.film, content_type="video/mp4")
        video["polled"] += 1
        done = video["polled"] >= self.polls
        video |= {"status": "completed" if done else "in_progress", "progress": 100 if done else 50}
        return reply(video)


def _fields(headers: Any, body: bytes) -> dict[str, bytes]:
    kind = headers.get("content-type", "")
    message = email.message_from_bytes(f"content-type: {kind}\r\n\r\n".encode() + body)
    fields = {}
    for part in message.get_payload() if message.is_multipart() else []:
        name = part.get_param("name", header="content-disposition")
        fields.setdefault(name, part.get_payload(decode=True))
    return fields


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = self.path.strip("/").split("/")
            kind = "models" if parts[1] == "models" else {"POST": "post", "DELETE": "delete"}.get(self.command, "poll")
            kind = "content" if parts[-1] == "content" else kind
            answer = server.answer(kind, parts[2] if len(parts) > 2 else "", self.headers, body)
            if answer == DROP:
                self.close_connection = True
                self.connection.close()
                return
            status, headers, content = answer
            self.close_connection = "content-length" in headers
            self.send_response(status)
            for name, text in {"content-type": "application/json", "content-length": str(len(content)), **headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def slowly(seconds: float, then: Any = None) -> Callable[[], Any]:
    """An answer that takes its time."""

    def answer() -> Any:
        time.sleep(seconds)
        return then

    return answer
