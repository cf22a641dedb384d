"""Reads a world file of a stranger, in the process that decodes uploads: checks every part of it, and writes a new file that holds
nothing else. What a model can do with it is checked by `kinema.server.worlds.files`. This module needs no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import TensorSpec, deserialize, serialize_file

from kinema.errors import InputError
from kinema.simulation.world_file import METADATA, WorldHeader, header_text, is_torch_format, read_header

MAX_BYTES = 64 << 20
MAX_STEPS = 8
"""The most sampler steps a frame that a file may set, which bounds the time of a step."""
LARGEST = 1e4
"""No number of a track is beyond this."""
EARLIEST_S, LATEST_S = -60.0, 1e7
"""A world that begins with several frames has those before 0 s."""
LONGEST_TASK = LONGEST_MODEL = 200
MOST_TASKS = 10**6
OLD_FORMAT = (
    "the file is a world in the format of Kinema 0.2, which a server does not open; save it anew with this version:"
    " kinema play FILE --save NEW.world, or kinema.World.open(FILE).save(NEW)"
)
FLOATS = {"F32": ("float32", np.float32), "F16": ("float16", np.float16), "BF16": ("bfloat16", np.uint16)}
"""Types of numbers: as `serialize_file` names them, and as NumPy reads them (bfloat16 as its bits)."""


def rewrite_world(source: Path, target: Path) -> str:
    """Check a world file and write it anew. Returns the name of the model that it is of; InputError: what is wrong with it."""
    size = source.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"a world file of {size >> 20} MiB: expected at most {MAX_BYTES >> 20} MiB")
    if is_torch_format(source):
        raise InputError(OLD_FORMAT)
    header = read_header(source)
    check_entries(header.entries, header.kind)
    for name, (numbers, _) in header.shapes.items():
        if numbers not in FLOATS:
            raise refuse_world(f"{name} holds {numbers}; expected one of {', '.join(FLOATS)}")
    _write(target, header, _numbers(source, header))
    return str(header.entries["model"])


def check_entries(entries: dict[str, Any], kind: str = "world") -> None:
    """InputError unless types and ranges of the settings of a world are ones that some model can have. kind: "world" or "dream"."""
    model = entries["model"]
    if not isinstance(model, str) or not 0 < len(model) <= LONGEST_MODEL:
        raise refuse_world("it names no model")
    if not is_whole_in(entries["seed"], 0, 2**62):
        raise refuse_world("its seed is no whole number from 0 to 2^62")
    if not all(EARLIEST_S <= at < LATEST_S for at in entries["time_s"]):
        raise refuse_world(f"its frames are not between {EARLIEST_S:g} and {LATEST_S:g} s")
    if kind == "world":
        _check_settings(entries)
        return
    task = entries["task"]
    if not isinstance(task, list) or len(task) != 1 or not is_whole_in(task[0], 0, MOST_TASKS):
        raise refuse_world("its task is not the number of one")
    if not is_whole_in(entries["count"], 0, 2**62):
        raise refuse_world("its count of frames is no whole number from 0 on")


def _check_settings(entries: dict[str, Any]) -> None:
    fps, size, task = (entries[name] for name in ("fps", "size", "task"))
    if type(fps) not in (int, float) or not 0 < fps <= 1000:
        raise refuse_world(f"it has {brief(fps)} frames a second")
    if not is_whole_in(entries["steps"], 1, MAX_STEPS):
        raise refuse_world(f"it takes {brief(entries['steps'])} steps a frame; expected 1 to {MAX_STEPS}")
    if not isinstance(size, list) or len(size) != 2 or not all(is_whole_in(side, 1, 1 << 14) for side in size):
        raise refuse_world("its size is not two whole numbers of pixels")
    if task is not None and not (isinstance(task, str) and len(task) <= LONGEST_TASK):
        raise refuse_world(f"its task is no text of up to {LONGEST_TASK} characters")


def refuse_world(what: str) -> InputError:
    return InputError(f"the file is not a world that can be opened here: {what}")


def is_whole_in(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def brief(value: Any) -> str:
    """A number as it is, of anything else its type only."""
    return f"{value:g}" if type(value) is float or (type(value) is int and abs(value) < 10**12) else type(value).__name__


def _numbers(source: Path, header: WorldHeader) -> dict[str, NDArray[Any]]:
    """The numbers of each tensor as they are stored, in reach all of them."""
    made = {}
    for name, part in deserialize(source.read_bytes()):  # type: ignore[no-untyped-call]
        stored = np.frombuffer(part["data"], FLOATS[header.shapes[name][0]][1])
        as_float = (stored.astype(np.uint32) << 16).view(np.float32) if stored.dtype == np.uint16 else stored
        if not (np.abs(as_float) < LARGEST).all():
            raise refuse_world(f"{name} holds numbers that are not finite, or beyond {LARGEST:g}")
        made[name] = stored
    return made


def _write(target: Path, header: WorldHeader, numbers: dict[str, NDArray[Any]]) -> None:
    parts = {}
    for name, (kind, shape) in header.shapes.items():
        values = numbers[name]
        parts[name] = TensorSpec(
            dtype=FLOATS[kind][0], shape=list(shape), data_ptr=values.ctypes.data, data_len=values.nbytes
        )
    serialize_file(parts, target, {METADATA: header_text(header.kind, header.entries)})
