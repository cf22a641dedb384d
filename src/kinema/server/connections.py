"""HTTP connections that cannot be held open for nothing: headers and bodies must come in time, and there is room for new ones.

uvicorn limits how long an idle connection is kept after an answer, but not how long a request may take to arrive.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_FILES = 4096
"""Open files that the server asks the system for."""


def raise_file_limit() -> None:
    """Let this process open as many files as it may, up to MOST_FILES: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. A connection over one of them is closed; nothing is answered, since nobody listens."""

    head_s: ClassVar[float] = 10.0
    """The line and headers of a request must be there after this."""
    body_grace_s: ClassVar[float] = 20.0
    body_bytes_per_s: ClassVar[float] = 1024.0
    """After the first seconds a body must have come at this rate at least."""
    check_s: ClassVar[float] = 2.0
    most: ClassVar[int] = 512
    """Connections at a time. One more closes the one that has waited longest for its request, or itself."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self.waits_since: float | None = None
        """Since when a request is awaited of which nothing or a part has come; None while one is answered, and after an answer."""
        self._counted: Any = None
        """The request whose body is counted."""
        self._body_since, self._body_bytes = 0.0, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waits_since = self.loop.time()
        self._timer = self.loop.call_later(self.check_s, self._check)
        if len(self.connections) > self.most:
            _longest_waiting(self.connections, self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self.waits_since = self.waits_since or self.loop.time()
            return
        self.waits_since = None
        if self.cycle is not self._counted:
            self._counted, self._body_since, self._body_bytes = self.cycle, self.loop.time(), 0
        self._body_bytes += len(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.waits_since = None

    def _check(self) -> None:
        if self.transport.is_closing() or self not in self.connections:  # a WebSocket has taken the connection over
            return
        if self._is_late(self.loop.time()):
            self.transport.abort()
            return
        self._timer = self.loop.call_later(self.check_s, self._check)

    def _is_late(self, now: float) -> bool:
        if self.waits_since is not None:
            return now - self.waits_since > self.head_s
        if self.cycle is None or self.cycle.response_complete or not self.cycle.more_body:
            return False
        took_s = now - self._body_since
        return took_s > self.body_grace_s and self._body_bytes < self.body_bytes_per_s * took_s


def _longest_waiting(connections: Iterable[Any], new: BoundedProtocol) -> BoundedProtocol:
    """The connection that has waited longest for its request; the new one if no other waits."""
    waiting = [one for one in connections if isinstance(one, BoundedProtocol) and one.waits_since is not None]
    return min(waiting, key=lambda one: one.waits_since or 0.0, default=new)
