"""Connections to a server: HTTP for requests, a WebSocket for steps."""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from PIL import Image

from kinema import errors
from kinema.errors import API_TYPES, ApiError, InputError, KinemaError
from kinema.media import Clip
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, VIEWS, Scene
from kinema.simulation.state import State
from kinema.types import Frame

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

FIXED = {"kind": KINDS, "color": COLORS, "material": MATERIALS}
MOVING = ("x", "y", "vx", "vy", "angle", "visible")
KINDS_OF_ERRORS: dict[str, type[KinemaError]] = {
    "media_error": errors.MediaError,
    "size_error": errors.SizeError,
    "vocabulary_error": errors.VocabularyError,
    "model_error": errors.ModelError,
    "storage_full": errors.OutputError,
}
LONGEST_LINE = 300
STATUSES = {kind: status for status, kind in API_TYPES.items()} | {"server_error": 500}


def error_of(status: int, payload: Any) -> KinemaError:
    """Convert an error response to the exception that the same mistake raises locally."""
    payload = payload if isinstance(payload, dict) else {}
    message, code = str(payload.get("message") or f"the server answered {status}")[: 4 * LONGEST_LINE], payload.get("code")
    if isinstance(code, str) and code in KINDS_OF_ERRORS:
        return KINDS_OF_ERRORS[code](message)
    if status in (400, 404, 413, 422):
        return InputError(message)
    return ApiError(status, message, type=payload.get("type"), param=payload.get("param"), code=code)


def state_from_json(payload: dict[str, Any], fps: float) -> State:
    """Restore a state from the server's JSON, bit for bit."""
    slots = int(payload["slots"])
    fixed: dict[str, Any] = {name: np.zeros(slots, np.int8) for name in FIXED}
    fixed["kind"][:] = -1
    fixed["size"] = np.zeros(slots, np.float32)
    moving: dict[str, Any] = {name: np.zeros((1, slots), np.float32) for name in MOVING}
    for thing in payload["things"]:
        k = thing["slot"]
        fixed["size"][k] = thing["size"]
        for name, names in FIXED.items():
            fixed[name][k] = names.index(thing[name])
        for name, values in moving.items():
            values[0, k] = thing[name]
    scene = Scene(
        fps=fps, view=VIEWS[VIEWS.index(payload["view"])], background=BACKGROUNDS[BACKGROUNDS.index(payload["background"])],
        room_width=payload["room_width"], camera=np.array([payload["camera"]], np.float32), **fixed, **moving,
    )  # fmt: skip
    return State.of(scene, payload["time_s"])


def picture_of(data: bytes) -> Frame:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return np.array(picture.convert("RGB"))


def clip_of(data: bytes) -> Clip:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.png"
        path.write_bytes(data)
        return Clip.open(path)


def from_url(url: str) -> bytes:
    """The bytes of a data: address."""
    return base64.b64decode(url.partition(",")[2])


class Connection:
    """An HTTP client with an API key. All failures raise KinemaError or a subclass."""

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        self.url, self.key = url.rstrip("/"), key or os.environ.get("KINEMA_KEY")
        self.headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        self.timeout_s = timeout_s
        self._http: httpx.Client | None = None
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"address {url!r}: expected one such as http://127.0.0.1:8000")

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return its response. KinemaError if there is none or it is an error."""
        try:
            if self._http is None:
                self._http = httpx.Client(base_url=self.url, headers=self.headers, timeout=self.timeout_s)
            answer = self._http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise KinemaError(f"no answer from {self.url} ({error}); is `kinema serve` running there?") from None
        if answer.is_success:
            return answer
        try:
            payload = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            payload = {"message": f"{self.url} answered {answer.status_code} {answer.reason_phrase}"}
        raise error_of(answer.status_code, payload)

    def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        options = {} if body is None else {"json": body}
        return self.call(method, path, **options).json()

    def close(self) -> None:
        """Close the connection; the next request reconnects."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


class StepSocket:
    """A paused live session that requests single steps and waits for their pictures."""

    def __init__(self, connection: Connection, id: str) -> None:
        from websockets.sync.client import connect

        url = f"ws{connection.url.removeprefix('http')}/v1/worlds/{id}/live?format=png&paused=1"
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(url, additional_headers=connection.headers, compression=None, max_size=None)
        )
        # When a program ends, its threads are stopped before its objects are deleted, and the socket's own thread is waited for.
        self._at_exit = weakref.finalize(self, self._open.close)
        self.timeout_s = connection.timeout_s
        self.stepped = 0
        self.action: Any = None

    def step(self, action: Any) -> tuple[dict[str, Any], Frame]:
        """Step the world once with an action. Returns the header of the frame and its picture."""
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed):  # the reason is in a message that is still to be received
            if action != self.action:
                self.socket.send(json.dumps({"type": "action", "action": action}))
                self.action = action
            self.socket.send('{"type":"step"}')
        self.stepped += 1
        while True:
            message = self.socket.recv(self.timeout_s)
            if isinstance(message, str):
                header = json.loads(message)["error"]
                raise error_of(STATUSES.get(header["type"], 400), header)
            length = int.from_bytes(message[:4], "big")
            header = json.loads(message[4 : 4 + length])
            with suppress(ConnectionClosed):
                self.socket.send(f'{{"type":"ack","frame":{header["frame"]}}}')
            if header["stepped"] >= self.stepped:
                return header, picture_of(message[4 + length :])

    def close(self) -> None:
        self._at_exit()
