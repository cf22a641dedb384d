"""What a proxy in front of the server says of a request, and the path below which the server is seen.

Headers `X-Forwarded-For`, `-Proto` and `-Host` count only where the connection comes from a trusted proxy: anybody else could write
what they like into them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kinema.errors import InputError

HOST = re.compile(rb"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(text: str) -> Network:
    """An address or a network, such as 10.0.0.0/8. InputError if it is none."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise InputError(f"trusted proxy {text!r}: expected an address or a network, such as 10.0.0.0/8") from None


def check_root_path(path: str) -> None:
    """InputError unless a path is one below which a server can be seen: "" or /name."""
    if path and (not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or path.split("/")[1] in ("v1", ".", "..")):
        raise InputError(
            f"root path {path!r}: expected a path such as /kinema, which does not begin with /v1 and has no / at its end"
        )


def check_origin_name(origin: str) -> None:
    """InputError unless a text is what browsers send as the origin of a page, or *."""
    parts = urlsplit(origin)
    if origin != "*" and (
        parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        raise InputError(f"origin {origin!r}: expected one such as https://example.com, without a path, or *")


class BehindProxy:
    """Middleware: the scheme, client and host that a trusted proxy names, and addresses below a root path.

    Requests come with the root path or without it, as the proxy leaves it on or takes it off.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str], root_path: str) -> None:
        self.inner, self.root_path = app, root_path
        self.forwarded = ProxyHeadersMiddleware(app, trusted_hosts=list(trusted))  # type: ignore[arg-type]
        self.networks = [network_of(one) for one in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.inner(scope, receive, send)
            return
        if self.root_path:
            if scope["path"] == self.root_path and scope["type"] == "http":
                await RedirectResponse(f"{self.root_path}/", status_code=308)(scope, receive, send)
                return
            scope = self._below_root(scope)
        if not self._is_trusted(scope):
            await self.inner(scope, receive, send)
            return
        await self.forwarded(_with_host(scope), receive, send)  # type: ignore[arg-type]

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            address = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        return any(address in network for network in self.networks)

    def _below_root(self, scope: Scope) -> Scope:
        path, raw = scope["path"], scope.get("raw_path") or scope["path"].encode()
        if not path.startswith(f"{self.root_path}/"):
            path, raw = self.root_path + path, self.root_path.encode() + raw
        return {**scope, "root_path": self.root_path, "path": path, "raw_path": raw}


def _with_host(scope: Scope) -> Scope:
    """The request with the host that its client asked for, if the proxy names it."""
    named = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
    host = named[-1].rpartition(b",")[2].strip() if named else b""
    if not HOST.fullmatch(host):
        return scope
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {**scope, "headers": [*headers, (b"host", host)]}
