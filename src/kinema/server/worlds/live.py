"""Live play over one WebSocket: the server steps a world and sends its pictures; the client sends actions.

The server waits while IN_FLIGHT pictures are not acknowledged, so that nothing piles up on a slow connection. One session at a
time plays, that is, steps the world on a clock. Other sessions of the same world watch: they receive every change and may request
single steps. A client whose connection was cut may be back before the server has noticed: by the name that it gives itself its new
session takes the place of the old one.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import numpy as np
from fastapi import WebSocket
from numpy.typing import NDArray
from PIL import Image
from starlette.websockets import WebSocketDisconnect

from kinema.errors import ApiError, InputError, KinemaError, OutputError, UnavailableModelError
from kinema.server.api.errors import not_found, unavailable_error
from kinema.server.worlds.manager import WorldManager
from kinema.server.worlds.session import Snapshot, WorldSession, step_of

log = logging.getLogger(__name__)

IN_FLIGHT = 2
"""The most pictures that are sent and not acknowledged."""
WAITING_STEPS = 64
LONGEST_MESSAGE = 4096
SIZES = (32, 1024)
FPS_RANGE = (0.25, 120.0)
MAX_CATCH_UP = 4
LARGE = 256 * 256
"""Pictures of more pixels are encoded in a thread; for smaller ones starting the thread would take longer."""
CHECK_KEY_S = 3.0
"""How often the key of a session is checked."""
REFUSED, NOT_FOUND, REPLACED, CLOSING, LATER, FAILED = 4401, 4404, 4409, 1012, 1013, 1011
"""WebSocket close codes."""
LONGEST_CLIENT = 64
"""The most characters of a client's name."""


def encode_picture(frame: NDArray[np.uint8], size: int | None, *, lossless: bool = False) -> bytes:
    """Encode a picture as JPEG or PNG, resized by nearest neighbor so that its longer side is `size`."""
    picture = Image.fromarray(frame)
    longer = max(picture.size)
    if size is not None and size != longer:
        wide, high = (max(round(side * size / longer), 1) for side in picture.size)
        picture = picture.resize((wide, high), Image.Resampling.NEAREST)
    made = io.BytesIO()
    if lossless:
        picture.save(made, "PNG", compress_level=1)
    else:
        picture.save(made, "JPEG", quality=90, subsampling=0)
    return made.getvalue()


async def encode_async(frame: NDArray[np.uint8], size: int | None, *, lossless: bool = False) -> bytes:
    """`encode_picture`, in a thread where the picture is large."""
    high, wide = frame.shape[:2]
    if high * wide * ((size or max(high, wide)) / max(high, wide)) ** 2 > LARGE:
        return await asyncio.to_thread(encode_picture, frame, size, lossless=lossless)
    return encode_picture(frame, size, lossless=lossless)


def to_api_error(error: KinemaError) -> ApiError:
    """Convert an error of the library to an ApiError whose code is its class, such as size_error."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, OutputError):
        return ApiError(507, str(error), code="storage_full")
    if isinstance(error, UnavailableModelError):
        log.error("%s", error)
        return unavailable_error(error)
    if not isinstance(error, InputError):
        return ApiError(500, str(error))
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return ApiError(400, str(error), param=error.param, code="invalid_value" if kind == "input_error" else kind)


def error_text(error: KinemaError) -> str:
    return json.dumps({"type": "error", **to_api_error(error).body()})


class FrameClock:
    """Schedules frames at an even rate, without drift. After a stall it catches up by at most MAX_CATCH_UP frames."""

    def __init__(self, fps: float) -> None:
        self.fps, self.due = fps, 0.0

    def wait_s(self) -> float:
        return self.due - time.monotonic()

    def frame_started(self) -> None:
        """Schedule the next frame."""
        period = 1 / self.fps
        self.due = max(self.due, time.monotonic() - MAX_CATCH_UP * period) + period

    def change(self, fps: float) -> None:
        self.fps = fps
        self.due = min(self.due, time.monotonic() + 1 / fps)


async def free(frames: int) -> None:
    """Frames cost nothing."""


async def always_valid() -> None:
    """Keys stay valid."""


class LiveSession:
    """One client in one world. size: the longer side of pictures, None: as they are; lossless: PNG in place of JPEG. client: the
    name that the client gives itself, None: without one. charge: bills frames before they are generated, or raises; check_key:
    raises once the client's key is not valid any more."""

    def __init__(
        self,
        manager: WorldManager,
        session: WorldSession,
        socket: WebSocket,
        *,
        size: int | None,
        lossless: bool,
        client: str | None = None,
        charge: Callable[[int], Awaitable[None]] = free,
        check_key: Callable[[], Awaitable[None]] = always_valid,
    ) -> None:
        self.manager, self.session, self.socket, self.size, self.lossless = manager, session, socket, size, lossless
        self.client = client
        self.charge, self.check_key = charge, check_key
        self.expelled: ApiError | None = None
        self.replaced = False
        self.clock = FrameClock(session.meta.fps)
        self.action: Any = None
        self.steps: deque[Any] = deque()
        """Actions of requested steps that have not run."""
        self.stepped = 0
        self.sent, self.acknowledged = 0, 0
        self.version = -1
        self.left = False
        self.wake = asyncio.Event()

    @property
    def playing(self) -> bool:
        return self.session.player is self

    def play(self) -> None:
        """Step the world on this session's clock; ApiError while another client plays."""
        player = self.session.player
        if player is not None and player is not self:
            if self.client is None or player.client != self.client:
                raise ApiError(
                    409,
                    "another session is playing this world; it is shown here and can be stepped, or played once the other pauses",
                    code="world_in_play",
                )
            player.replaced = True
            player.leave()
        if not self.playing:
            self.session.player, self.clock.due = self, time.monotonic()

    def pause(self) -> None:
        if self.playing:
            self.session.player = None

    def leave(self) -> None:
        """End this session, as if the client had left."""
        self.left = True
        self.wake.set()

    async def run(self, *, playing: bool) -> None:
        """Run until the client leaves, the world is deleted or the server closes."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]
        self.session.watchers.add(self.wake)
        try:
            if playing:
                try:
                    self.play()
                except ApiError as error:
                    await self._send(error_text(error))
            while not (self.left or self.session.deleted or self.manager.closed or self.expelled):
                self.wake.clear()
                try:
                    await self._go_on()
                except KinemaError as error:
                    self.pause()
                    self.version = self.session.version
                    await self._send(error_text(error))
            if self.replaced:
                self.left = False
                await self._end(ApiError(409, "this client has connected anew", code="replaced"), REPLACED)
            elif self.expelled:
                await self._end(self.expelled, REFUSED)
            elif self.session.deleted:
                await self._end(not_found("world", self.session.meta.id), NOT_FOUND)
            elif self.manager.closed:
                await self._end(ApiError(503, "the server is closing; the world is kept", code="closing"), CLOSING)
        except Exception:
            log.exception("live session of %s", self.session.meta.id)
            await self._end(ApiError(500, "the world could not go on; it is kept as it was", code="failed"), FAILED)
        finally:
            self.pause()
            self.session.watchers.discard(self.wake)
            for task in tasks:
                task.cancel()
            self.manager.client_left(self.session)

    async def _watch(self) -> None:
        """Check the client's key every CHECK_KEY_S seconds."""
        while True:
            await asyncio.sleep(CHECK_KEY_S)
            try:
                await self.check_key()
            except ApiError as error:
                if error.status == 401:
                    self.expelled = error
                    self.wake.set()
            except Exception as error:
                log.warning("whether a key holds could not be seen: %s", error)

    async def _send(self, message: str | bytes) -> None:
        try:
            await (self.socket.send_text(message) if isinstance(message, str) else self.socket.send_bytes(message))
        except (WebSocketDisconnect, RuntimeError):
            self.left = True

    async def _end(self, error: ApiError, code: int) -> None:
        await self._send(error_text(error))
        if not self.left:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self.socket.close(code)

    async def _go_on(self) -> None:
        """Run the next requested or scheduled step, send a change, or wait."""
        if self.sent - self.acknowledged >= IN_FLIGHT:
            await self.wake.wait()
        elif self.steps:
            await self._step(self.steps.popleft(), requested=True)
        elif self.version != self.session.version:
            snapshot = await self.manager.snapshot(self.session, urgent=True)
            self.version = self.session.version
            await self._show(snapshot)
        elif not self.playing:
            await self.wake.wait()
        elif (left_s := self.clock.wait_s()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self.wake.wait()
            except TimeoutError:
                return
        else:
            self.clock.frame_started()
            await self._step(self.action)

    async def _step(self, action: Any, *, requested: bool = False) -> None:
        try:
            await self.charge(1)
            try:
                snapshot = await self.manager.execute(self.session, ["step", action], urgent=True)
            except BaseException:
                await self.charge(-1)
                raise
        finally:
            self.stepped += requested
        self.version = self.session.version
        await self._show(snapshot)

    async def _show(self, snapshot: Snapshot) -> None:
        assert snapshot.frame is not None
        picture = await encode_async(snapshot.frame, self.size, lossless=self.lossless)
        header = {
            "frame": self.sent, **snapshot.now, "action": snapshot.action, "stepped": self.stepped, "playing": self.playing,
            "model_ms": round(snapshot.model_ms, 3), "sent_ms": round(1000 * time.time(), 3),
        }  # fmt: skip
        header_bytes = json.dumps(header).encode()
        self.sent += 1
        await self._send(len(header_bytes).to_bytes(4, "big") + header_bytes + picture)

    async def _read(self) -> None:
        """Receive messages until the client leaves; an invalid one is answered with an error and changes nothing."""
        try:
            while True:
                message = await self.socket.receive()
                if message["type"] != "websocket.receive":
                    return
                try:
                    self._take(message.get("text"))
                except KinemaError as error:
                    await self._send(error_text(error))
                self.wake.set()
        finally:
            self.leave()

    def _take(self, text: str | None) -> None:
        if text is None or len(text) > LONGEST_MESSAGE:
            raise InputError(f"expected a text message of at most {LONGEST_MESSAGE} characters")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{text[:80]!r} is not JSON") from None
        kind = message.get("type") if isinstance(message, dict) else None
        match kind:
            case "action":
                self.action = step_of(message.get("action"), self.session.meta.controls)[1]
            case "ack":
                number = message.get("frame")
                if type(number) is not int or not 0 <= number < self.sent:
                    raise InputError(f"ack of frame {str(number)[:40]}: expected one that was sent, up to {self.sent - 1}")
                self.acknowledged = max(self.acknowledged, number + 1)
            case "pause":
                self.pause()
            case "play":
                self.play()
            case "step":
                if len(self.steps) >= WAITING_STEPS:
                    raise InputError(f"{WAITING_STEPS} steps are waiting already; acknowledge frames before asking for more")
                self.steps.append(self.action)
            case "fps":
                self.clock.change(_checked_fps(message.get("fps")))
            case _:
                raise InputError(f"type {str(kind)[:40]!r}: expected action, ack, pause, play, step or fps")


def _checked_fps(fps: Any) -> float:
    low, high = FPS_RANGE
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not low <= fps <= high:
        raise InputError(f"fps {str(fps)[:40]}: expected {low:g} to {high:g} frames a second")
    return float(fps)


async def live(
    manager: WorldManager,
    session: WorldSession,
    socket: WebSocket,
    *,
    charge: Callable[[int], Awaitable[None]] = free,
    check_key: Callable[[], Awaitable[None]] = always_valid,
) -> None:
    """Play a world over an accepted socket. Query: size=256 (longer side), format=jpeg or png, paused=1 to begin paused,
    client=NAME (made up by the client, the same when it connects again)."""
    query = socket.query_params
    low, high = SIZES
    size, form, client = query.get("size"), query.get("format", "jpeg"), query.get("client")
    if size is not None and not (size.isdecimal() and len(size) < 6 and low <= int(size) <= high):
        raise InputError(f"size {size[:40]!r}: expected the longer side in pixels, {low} to {high}")
    if form not in ("jpeg", "png"):
        raise InputError(f"format {form[:40]!r}: expected jpeg or png")
    if client is not None and not 0 < len(client) <= LONGEST_CLIENT:
        raise InputError(f"client {client[:40]!r}: expected a name of 1 to {LONGEST_CLIENT} characters")
    live_session = LiveSession(
        manager,
        session,
        socket,
        size=None if size is None else int(size),
        lossless=form == "png",
        client=client,
        charge=charge,
        check_key=check_key,
    )
    await live_session.run(playing=query.get("paused", "0") in ("", "0"))
