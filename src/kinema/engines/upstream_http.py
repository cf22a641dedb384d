"""One exchange with another server that has `/v1/videos`, sorted by what is known after it: made, refused, or nobody knows.

The key never stands in a message: what the other server says is repeated without it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx

from kinema.engines.registry import ModelEntry
from kinema.errors import InputError

TIMEOUT_S, TICK_S = 60.0, 0.1
KEY_VARIABLE = "KINEMA_UPSTREAM_KEY"
NOT_NOW = (429, 503)
"""Statuses of servers that did not take the request."""
REFUSED = (400, 405, 411, 413, 414, 415, 422)
_Made = TypeVar("_Made")


@dataclass(frozen=True, kw_only=True)
class UpstreamAnswer:
    """What came of one request.

    outcome: "ok": value is what the server said. "gone": it does not know what was asked for. "refused", "key": it says that the
    request or the key is bad. "not now": it did not take the request, and may later. "unclear": nobody knows whether it did.
    problem: in words, where the outcome is not "ok". wait_s: how long it asks to wait. nonsense: it answered well, but what it said
    cannot be read. reached: there was a connection.
    """

    outcome: Literal["ok", "gone", "refused", "key", "not now", "unclear"]
    value: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    wait_s: float = 0.0
    nonsense: bool = False
    reached: bool = True


class UpstreamClient:
    """Speaks HTTP with the server of an entry. InputError for an address or a key that cannot be one."""

    def __init__(self, entry: ModelEntry) -> None:
        address = entry.source.rstrip("/")
        variable = entry.key_variable or KEY_VARIABLE
        self._key = os.environ.get(variable, "").strip()
        if not all("!" <= letter <= "~" for letter in self._key):
            raise InputError(f"the key in {variable} holds letters that no key has; set it anew")
        try:
            self._http = httpx.Client(
                base_url=address if address.endswith("/v1") else f"{address}/v1", timeout=TIMEOUT_S,
                headers={"authorization": f"Bearer {self._key}"} if self._key else {},
            )  # fmt: skip
        except (httpx.InvalidURL, ValueError):
            raise InputError(f"{entry.name}: its source is no address of a server, such as http://127.0.0.1:8000") from None

    @property
    def host(self) -> str:
        return self._http.base_url.host

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, **arguments: Any) -> UpstreamAnswer:
        """One request and its answer in JSON."""
        try:
            return self._sorted(self._http.request(method, path, **arguments))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            return UpstreamAnswer(outcome="not now", problem=f"no connection ({self.clean(str(error))})", reached=False)
        except httpx.HTTPError as error:
            return UpstreamAnswer(outcome="unclear", problem=f"no answer ({type(error).__name__})")

    def fetch(self, path: str, file: Path) -> UpstreamAnswer:
        """Write what the server has under a path into a file, also where it sends on to another address."""
        try:
            with self._http.stream("GET", path, follow_redirects=True) as response:
                if response.status_code != 200:
                    response.read()
                    return self._sorted(response)
                with file.open("wb") as opened:
                    for part in response.iter_bytes():
                        opened.write(part)
        except httpx.HTTPError as error:
            return UpstreamAnswer(outcome="unclear", problem=f"no answer ({type(error).__name__})")
        return UpstreamAnswer(outcome="ok")

    def _sorted(self, response: httpx.Response) -> UpstreamAnswer:
        status = response.status_code
        if response.is_success:
            with suppress(ValueError):
                value = response.json()
                if isinstance(value, dict):
                    return UpstreamAnswer(outcome="ok", value=value)
            return UpstreamAnswer(outcome="unclear", problem="an answer that is no JSON object", nonsense=True)
        problem = f"status {status}"
        with suppress(ValueError, AttributeError, KeyError, TypeError):
            problem = self.clean(str(response.json()["error"]["message"]))
        if status in (404, 410):
            return UpstreamAnswer(outcome="gone", problem=problem)
        if status in REFUSED or 300 <= status < 400:
            return UpstreamAnswer(outcome="refused", problem=problem)
        if status in (401, 403):
            return UpstreamAnswer(outcome="key", problem=problem)
        wait_s = retry_after(response.headers.get("retry-after", ""))
        return UpstreamAnswer(outcome="not now" if status in NOT_NOW else "unclear", problem=problem, wait_s=wait_s)

    def clean(self, text: str) -> str:
        """One line of a text, without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        return re.sub(r"\s+", " ", text).strip()[:300]


def retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks to wait; 0 where it says nothing."""
    with suppress(ValueError):
        return max(float(int(header)), 0.0)
    with suppress(ValueError, TypeError, OverflowError):
        from datetime import UTC, datetime

        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


def with_ticks(call: Callable[[], _Made], tick: Callable[[], None]) -> _Made:
    """What a call returns; `tick` is called while it runs. What `tick` raises goes on at once, and the call's answer is dropped."""
    done = threading.Event()
    made: list[_Made] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            made.append(call())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, daemon=True).start()
    while not done.wait(TICK_S):
        tick()
    if errors:
        raise errors[0]
    return made[0]
