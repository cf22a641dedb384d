"""Fetch a picture or video from a public web address, and tell which addresses are public."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from kinema.server.storage.decoder import invalid_media

TIMEOUT_S = 15.0
UNICAST = ipaddress.IPv6Network("2000::/3")
"""The part of IPv6 from which public addresses are given out."""
NAT64, TEREDO = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2001::/32")


def fetch(url: str, max_bytes: int) -> bytes:
    """The body at a public address. Its name is resolved once, and only that address is connected to; redirects are not followed.
    400 for addresses that are not public, other answers than 200 and bodies of more than max_bytes."""
    import httpx

    address = public_address(url)
    parts = urlsplit(url)
    pinned = f"[{address}]" if ":" in address else address
    port = f":{parts.port}" if parts.port else ""
    target = parts._replace(netloc=f"{pinned}{port}").geturl()
    extensions = {"sni_hostname": parts.hostname} if parts.scheme == "https" else {}
    content = bytearray()
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", target, headers={"host": parts.netloc}, extensions=extensions) as response,
        ):
            if response.status_code != 200:
                raise invalid_media(f"{url[:120]} answered {response.status_code}; expected 200")
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > max_bytes:
                    raise invalid_media(f"{url[:120]} has more than the {max_bytes >> 20} MiB that are allowed")
    except httpx.HTTPError as error:
        raise invalid_media(f"{url[:120]} could not be fetched ({type(error).__name__})") from None
    return bytes(content)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet's, and so is the IPv4 address that it stands for, if any: mapped into
    IPv6, or reached by 6to4 or NAT64. Teredo's, whose other end anybody chooses, are none."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        return ip in UNICAST and ip not in TEREDO and ip.is_global
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def public_address(url: str) -> str:
    """The IP address of a URL's host. 400 if the URL is not http(s) with a host, or if any address of the host is not public."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError
    except ValueError:
        raise invalid_media(f"{url[:120]!r}: expected http:// or https:// and a host") from None
    try:
        entries = socket.getaddrinfo(
            parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), type=socket.SOCK_STREAM
        )
    except (OSError, ValueError, UnicodeError):
        raise invalid_media(f"{parts.hostname[:80]!r} is not known") from None
    addresses = [str(entry[4][0]) for entry in entries]
    for address in addresses:
        if not is_public(address.split("%")[0]):
            raise invalid_media(f"{parts.hostname[:80]!r} is not a public address")
    return addresses[0]
