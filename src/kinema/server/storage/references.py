"""The forms in which a request refers to a picture or video: a plain id, an object with an id or address, a data: URL."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes

from kinema.errors import ApiError

FIELDS = ("file_id", "video_id", "id", "image_url", "video_url", "url")
"""Fields of an object that may hold the id or address, first one first."""


def id_or_address(reference: Any) -> str | None:
    """The id or address that a reference holds in whichever form, or None."""
    if isinstance(reference, str):
        return reference
    if isinstance(reference, dict):
        for name in FIELDS:
            value = reference.get(name)
            if isinstance(value, dict) and "url" in value:
                value = value["url"]
            if isinstance(value, str) and value:
                return value
    return None


def data_url_bytes(url: str, param: str) -> bytes:
    """The bytes of a data: URL. 400, naming the parameter that holds it, if it is damaged."""
    head, comma, body = url.partition(",")
    try:
        if not comma:
            raise ValueError
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (ValueError, binascii.Error):
        raise ApiError(400, f"{param}: the data: address is damaged", param=param, code="invalid_reference") from None
