"""Checkpoints of worlds: one file each, written atomically and loaded without executing code (`weights_only`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kinema.errors import InputError, ModelError, OutputError
from kinema.inference.rollout import FrameState
from kinema.media.write import replace_file

FORMAT = 2


def packed(frame_states: Sequence[FrameState]) -> dict[str, Any]:
    """Frame states as a few large tensors and plain lists, which save faster than many small tensors."""
    remembered = [i for i, state in enumerate(frame_states) if state.kv is not None]
    caches = [kv for state in frame_states if (kv := state.kv) is not None]
    return {
        "time_s": [state.time_s for state in frame_states],
        "acted": [state.acted for state in frame_states],
        "tracks": {name: torch.stack([state.tracks[name] for state in frame_states]) for name in frame_states[0].tracks},
        "remembered": remembered,
        "memory": [[torch.stack(both) for both in zip(*layer, strict=True)] for layer in zip(*caches, strict=True)],
    }


def unpacked(values: dict[str, Any], device: torch.device) -> list[FrameState]:
    """The frame states that `packed` converted, on a device."""
    tracks = {name: x.to(device).unbind() for name, x in values["tracks"].items()}
    layers = [[x.to(device).unbind() for x in layer] for layer in values["memory"]]
    caches = {
        i: tuple((keys[row].clone(), rest[row].clone()) for keys, rest in layers)
        for row, i in enumerate(values["remembered"])
    }
    return [
        FrameState(
            time_s=time_s,
            acted=values["acted"][i],
            tracks={name: x[i].clone() for name, x in tracks.items()},
            kv=caches.get(i),
        )
        for i, time_s in enumerate(values["time_s"])
    ]


def write_world_data(path: Path, kind: str, data: dict[str, Any], *, force: bool = False) -> Path:
    """Write a world of a kind ("world" or "dream"), whole or not at all; a missing folder is made.

    OutputError: the path exists and force is False, a full disk, no permission.
    """

    def fill(temporary: Path) -> None:
        try:
            torch.save({"format": FORMAT, "kind": kind, **data}, temporary)
        except RuntimeError as error:
            raise OSError(0, str(error).splitlines()[0]) from None

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the world could not be written to {path}: {reason}") from None
    return replace_file(path, fill, force=force)


def saved_kind(path: Path) -> str:
    """The kind of a saved world."""
    return str(_read(path).get("kind", "world"))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"no world at {path}")
    try:
        data = torch.load(path, weights_only=True, map_location="cpu")
        stored_format = data["format"]
    except Exception as error:
        raise InputError(f"{path} is not a saved world ({type(error).__name__})") from None
    if stored_format != FORMAT:
        raise ModelError(f"{path} was written by another version of Kinema; this one reads format {FORMAT}")
    return dict(data)


def read_world_data(path: Path, kind: str) -> dict[str, Any]:
    """The data that `write_world_data` saved; InputError for any other file and for another kind of world."""
    data = _read(path)
    if data.get("kind", "world") != kind:
        raise InputError(
            f"{path} holds a {data['kind']}; expected a {kind} (a dream is a recorded world, open it with RecordedWorld.open)"
        )
    return data


@contextmanager
def checked(path: str | Path) -> Iterator[None]:
    """InputError for whatever is missing or of another type in the data of a saved world, used inside."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is not a saved world ({type(error).__name__}: {str(error).splitlines()[0]})") from None
