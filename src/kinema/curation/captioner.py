"""Captions of three kinds by a vision model of another server, by its OpenAI-compatible chat completions."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from kinema.errors import EngineError, InputError, excerpt
from kinema.types import Frame, parse_json

KEY_VARIABLE = "KINEMA_CAPTION_KEY"
TRIES = 4
FIRST_WAIT_S = 1.0
PICTURE_PX = 512
PROMPT = (
    "These pictures are frames of one video shot, in order. Describe the video, not the single pictures: who or what is seen, what"
    " moves and how, where it is, how the camera moves, light and style. State only what is visible. Reply with one JSON object"
    ' and nothing else: {"short": one sentence of at most 15 words, "detailed": two to five sentences,'
    ' "tags": a list of 3 to 12 words}.'
)


@dataclass(frozen=True, kw_only=True)
class ShotCaptions:
    """What is said of a shot: one sentence, a few sentences, and words with commas between them."""

    short: str
    detailed: str
    tags: str


class Captioner:
    """Asks a vision model for captions.

    Args:
        address: Of the server, such as http://127.0.0.1:8000; its key, if it needs one, is in the environment variable
            KINEMA_CAPTION_KEY.
        model: The name that the server knows it by.

    Raises:
        InputError: httpx is not installed, or an address or a key that cannot be one.
    """

    def __init__(self, address: str, model: str) -> None:
        try:
            from kinema.engines.upstream_http import UpstreamClient
        except ImportError:
            raise InputError("captions by a server need httpx: pip install 'kinema[serve]'") from None
        from kinema.engines.registry import ModelEntry

        if not address.startswith(("http://", "https://")):
            raise InputError(f"--caption {address[:80]!r}: expected the address of a server, such as http://127.0.0.1:8000")
        self.model = model
        self._client = UpstreamClient(ModelEntry(name="captions", source=address, key_variable=KEY_VARIABLE))

    def describe(self, frames: Sequence[Frame]) -> ShotCaptions:
        """Captions of a shot by some of its frames, each uint8 [H, W, 3].

        EngineError: the server refuses, or does not answer with captions after several tries.
        """
        content: list[dict[str, Any]] = [{"type": "text", "text": PROMPT}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(frame)}} for frame in frames]
        payload = {"model": self.model, "messages": [{"role": "user", "content": content}], "temperature": 0.2}
        problem = ""
        for attempt in range(TRIES):
            result = self._client.send("POST", "chat/completions", json=payload)
            if result.outcome == "ok":
                captions = parse_captions(result.value)
                if captions is not None:
                    return captions
                problem = "its answer is not the JSON object that was asked for"
            elif result.outcome in ("refused", "key", "gone"):
                hint = f"; set {KEY_VARIABLE}" if result.outcome == "key" else ""
                raise EngineError(f"{self._client.host} refuses to caption ({result.problem}){hint}", "upstream_failed")
            else:
                problem = result.problem
            if attempt + 1 < TRIES:
                time.sleep(max(result.wait_s, FIRST_WAIT_S * 2**attempt if result.outcome != "ok" else 0.0))
        raise EngineError(
            f"{self._client.host} gave no captions in {TRIES} tries ({excerpt(problem)}); run the command again, it goes on",
            "upstream_failed",
        )


def _data_url(frame: Frame) -> str:
    picture, data = Image.fromarray(frame), io.BytesIO()
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    picture.save(data, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def parse_captions(completion: dict[str, Any]) -> ShotCaptions | None:
    """The captions in a chat completion, also in a fence of Markdown; None where they are not all there."""
    try:
        text = str(completion["choices"][0]["message"]["content"])
        value = parse_json(text[text.index("{") : text.rindex("}") + 1])
        tags = value["tags"]
        words = tags if isinstance(tags, list) else str(tags).split(",")
        parts = {
            "short": str(value["short"]), "detailed": str(value["detailed"]), "tags": ", ".join(str(w).strip() for w in words if w),
        }  # fmt: skip
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    parts = {name: re.sub(r"\s+", " ", part).strip() for name, part in parts.items()}
    return ShotCaptions(**parts) if all(parts.values()) else None
