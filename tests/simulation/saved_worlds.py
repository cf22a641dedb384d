"""Files of worlds for tests: taken apart, put together with other parts, and in the format before."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from kinema.simulation.checkpoint import packed
from kinema.simulation.world import World

Tensors = dict[str, torch.Tensor]
OUTSIDE = Path("/tmp/kinema-was-here")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({str(OUTSIDE)!r}).touch()",)


def header_of(content: bytes) -> dict[str, Any]:
    """The header of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + length]))


def with_header(header: dict[str, Any] | str, numbers: bytes = b"") -> bytes:
    """A safetensors file of any header."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def changed(content: bytes, change: Callable[[dict[str, Any], Tensors], object]) -> bytes:
    """A saved world with other JSON and other tensors."""
    entries, tensors = json.loads(header_of(content)["__metadata__"]["kinema"]), load(content)
    change(entries, tensors)
    return save(tensors, {"kinema": json.dumps(entries)})


def torch_saved(world: World, **others: Any) -> bytes:
    """A world as Kinema 0.2 saved it."""
    file = io.BytesIO()
    data = {
        "format": 2, "kind": "world", "model": world.model.source, "seed": world.seed, "fps": world.fps,
        "steps": world.steps, "size": list(world.size), "task": world.task, "moments": packed(world._frame_states),
    }  # fmt: skip
    torch.save(data | others, file)
    return file.getvalue()
