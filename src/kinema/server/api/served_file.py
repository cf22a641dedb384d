"""Files as answers, whole or in parts; what goes wrong is answered as an error of the API."""

from __future__ import annotations

import os
import re

from anyio import to_thread
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from kinema.errors import ApiError

_RANGE = re.compile(r"bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*\s*")


class ServedFile(FileResponse):
    """A file. A header Range that cannot be read is ignored, as RFC 9110 (14.2) wants it.

    Raises:
        ApiError: 416 for a range that begins after the end, 404 if the file was deleted meanwhile.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.stat_result = await to_thread.run_sync(os.stat, self.path)
        except FileNotFoundError:
            raise ApiError(404, "the file was deleted or expired meanwhile", code="file_not_found") from None
        self.set_stat_headers(self.stat_result)
        wanted = Headers(scope=scope).get("range")
        if wanted is not None:
            spans = _spans(wanted)
            if not spans:
                scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
            elif all(start >= self.stat_result.st_size for start, _ in spans):
                size = self.stat_result.st_size
                raise ApiError(
                    416, f"Range {wanted[:80]!r}: expected one that begins before the end, at {size} bytes", code="invalid_range",
                    headers={"content-range": f"bytes */{size}"},
                )  # fmt: skip
        await super().__call__(scope, receive, send)


def _spans(text: str) -> list[tuple[int, int | None]]:
    """(first, last) byte of each range of a header, the last bytes of a file as (0, None); none if it cannot be read."""
    if len(text) > 1000 or not _RANGE.fullmatch(text):
        return []
    spans: list[tuple[int, int | None]] = []
    for part in text.removeprefix("bytes=").split(","):
        first, _, last = part.strip().partition("-")
        if not first and int(last) == 0:
            return []
        spans.append((int(first), int(last) if last else None) if first else (0, None))
    return [] if any(last is not None and last < first for first, last in spans) else spans
