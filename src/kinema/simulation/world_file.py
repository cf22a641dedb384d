"""The format of saved worlds: a safetensors file with numbers by name, and one JSON object in its metadata.

    metadata "kinema"                         {"format": 3, "kind": "world", "model": "kinema-tiny", ..., "time_s": [...], ...}
    tracks.NAME                               [T, B, ...], one track of all frames
    memory.LAYER.keys, memory.LAYER.values    [R, ...], what attention remembers of the frames that `remembered` lists

`read_header` checks everything but the numbers, and reads nothing but the header. This module needs no torch, so a process that
reads files of strangers starts fast and small.

Axes: T frames, B worlds, R remembered frames.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError, safe_open

from kinema.errors import InputError, ModelError, excerpt
from kinema.types import parse_json

FORMAT = 3
METADATA = "kinema"
MAX_HEADER_BYTES = 4 << 20
"""A minute of frames takes 60 KB."""
SETTINGS = {
    "world": ("model", "seed", "fps", "steps", "size", "task"),
    "dream": ("model", "seed", "task", "count"),
}
"""Entries of the JSON by kind, besides format, kind and those of frames. A "dream" is a recorded world."""
OPTIONAL = {"world": (), "dream": ("steps",)}
"""Entries that may be missing. A dream's steps are 1 where it has none."""
OF_FRAMES = ("time_s", "acted", "remembered")
NUMBERS = ("F32", "F16", "BF16", "F64")
"""Types of numbers that a tensor may have, as safetensors names them."""
TRACK = re.compile(r"tracks\.([a-z_]{1,40})")
MEMORY = re.compile(r"memory\.(0|[1-9]\d{0,2})\.(keys|values)")


@dataclass(frozen=True, kw_only=True)
class WorldHeader:
    """What a saved world says of itself.

    Attributes:
        kind: "world" or "dream".
        entries: The JSON: settings by `SETTINGS`, and `OF_FRAMES`.
        shapes: Type and shape of each tensor by its name.
    """

    kind: str
    entries: dict[str, Any]
    shapes: dict[str, tuple[str, tuple[int, ...]]]


def is_torch_format(path: Path) -> bool:
    """Whether a file is a zip archive, as worlds of formats 1 and 2 are, which torch wrote."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def header_text(kind: str, entries: Mapping[str, Any]) -> str:
    """The JSON of a world of a kind, for the metadata. NumPy's numbers become plain ones."""
    return json.dumps({"format": FORMAT, "kind": kind, **entries}, allow_nan=False, default=lambda value: value.item())


def read_header(path: Path) -> WorldHeader:
    """Read and check the header of a saved world: format, kind, entries, and names, types and shapes of tensors.

    InputError: the file is none, is damaged, or lacks or has a part that no world has. ModelError: it has another format.
    """
    metadata, shapes = _open(path)
    entries = _parse(path, metadata)
    if type(entries.get("format")) is not int or not isinstance(entries.get("kind"), str):
        raise _refuse(path, "its JSON names no format and kind")
    stored_format, kind = entries.pop("format"), entries.pop("kind")
    if stored_format != FORMAT:
        raise ModelError(f"{path} was written by another version of Kinema; this one reads format {FORMAT}")
    if kind not in SETTINGS:
        raise _refuse(path, f"its kind is {excerpt(kind)!r}; expected {' or '.join(SETTINGS)}")
    expected = {*SETTINGS[kind], *OF_FRAMES}
    unknown = entries.keys() - expected - set(OPTIONAL[kind])
    for what, names in (("lacks", expected - entries.keys()), ("has the unknown entry", unknown)):
        if names:
            raise _refuse(path, f"its JSON {what} {', '.join(repr(excerpt(name)) for name in sorted(names)[:3])}")
    _check_frames(path, entries)
    _check_shapes(path, shapes, len(entries["time_s"]), len(entries["remembered"]))
    return WorldHeader(kind=kind, entries=entries, shapes=shapes)


def _refuse(path: Path, what: str) -> InputError:
    return InputError(f"{path} is not a saved world: {what}")


def _open(path: Path) -> tuple[dict[str, str], dict[str, tuple[str, tuple[int, ...]]]]:
    """Metadata, and type and shape of each tensor. safetensors refuses tensors that overlap or leave the file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= path.stat().st_size - 8:
        raise _refuse(path, "it is no safetensors file, or was cut off")
    if length > MAX_HEADER_BYTES:
        raise _refuse(path, f"its header of {length >> 20} MiB is too long; expected at most {MAX_HEADER_BYTES >> 20}")
    try:
        with safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: (str(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()}
            return dict(file.metadata() or {}), shapes
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise _refuse(path, excerpt((str(error).splitlines() or ["it cannot be read"])[0], 160)) from None


def _parse(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    def no_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    if metadata.keys() != {METADATA}:
        raise _refuse(path, f"expected {METADATA!r} and nothing else in its metadata")
    try:
        entries = parse_json(metadata[METADATA], parse_constant=no_number)
    except ValueError as error:
        raise _refuse(path, f"its JSON cannot be read ({excerpt(str(error))})") from None
    if not isinstance(entries, dict):
        raise _refuse(path, "its JSON is no object")
    return entries


def _check_frames(path: Path, entries: dict[str, Any]) -> None:
    times, acted, remembered = (entries[name] for name in OF_FRAMES)
    if not all(isinstance(values, list) for values in (times, acted, remembered)):
        raise _refuse(path, f"{', '.join(OF_FRAMES)} are no lists")
    if not times or len(acted) != len(times):
        raise _refuse(
            path, f"it has {len(times)} frames by time_s and {len(acted)} by acted; expected as many, and one at least"
        )
    if not all(type(at) is float and math.isfinite(at) for at in times) or any(b <= a for a, b in pairwise(times)):
        raise _refuse(path, "the times of its frames are not in order")
    if not all(type(known) is bool for known in acted):
        raise _refuse(path, "acted is not true or false for each frame")
    in_reach = all(type(i) is int and 0 <= i < len(times) for i in remembered)
    if not in_reach or any(b <= a for a, b in pairwise(remembered)):
        raise _refuse(path, "it remembers frames that it does not hold")


def _check_shapes(path: Path, shapes: dict[str, tuple[str, tuple[int, ...]]], frames: int, remembered: int) -> None:
    layers: dict[int, set[str]] = {}
    tracks = 0
    for name, (numbers, shape) in shapes.items():
        memory = MEMORY.fullmatch(name)
        if memory is not None:
            layers.setdefault(int(memory[1]), set()).add(memory[2])
        elif TRACK.fullmatch(name):
            tracks += 1
        else:
            raise _refuse(path, f"it has the unknown tensor {excerpt(name)!r}")
        if numbers not in NUMBERS:
            raise _refuse(path, f"{name} holds {numbers}; expected one of {', '.join(NUMBERS)}")
        expected = frames if memory is None else remembered
        if len(shape) < 2 or shape[0] != expected or 0 in shape:
            raise _refuse(
                path, f"{name} has shape {excerpt(str(list(shape)))}; expected one row for each of {expected} frames"
            )
    if not tracks:
        raise _refuse(path, "it has no tracks")
    if sorted(layers) != list(range(len(layers))) or any(len(both) != 2 for both in layers.values()):
        raise _refuse(path, "what it remembers of frames lacks a layer")
    if remembered and not layers:
        raise _refuse(path, f"it remembers {remembered} frames and holds nothing of them")
