"""Checkpoints of worlds: one file each (`kinema.simulation.world_file`), written atomically.

Files of format 2, which torch wrote, are still opened, by its `weights_only` loader: no code in them is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kinema.errors import InputError, ModelError, OutputError
from kinema.inference.frame_state import FrameState
from kinema.media.write import replace_file
from kinema.models.hub import Model
from kinema.simulation.world_file import METADATA, OF_FRAMES, WorldHeader, header_text, is_torch_format, read_header

TORCH_FORMAT = 2


def packed(frame_states: Sequence[FrameState]) -> dict[str, Any]:
    """Frame states as a few large tensors and plain lists, which save faster than many small tensors."""
    remembered = [i for i, state in enumerate(frame_states) if state.kv]
    caches = [kv for state in frame_states if (kv := state.kv) is not None]
    return {
        "time_s": [state.time_s for state in frame_states],
        "acted": [state.acted for state in frame_states],
        "tracks": {name: torch.stack([state.tracks[name] for state in frame_states]) for name in frame_states[0].tracks},
        "remembered": remembered,
        "memory": [[torch.stack(both) for both in zip(*layer, strict=True)] for layer in zip(*caches, strict=True)],
    }


def unpacked(values: dict[str, Any], device: torch.device, dtype: torch.dtype | None = None) -> list[FrameState]:
    """The frame states that `packed` converted, on a device. dtype: of what they remember; None: as it was saved."""
    tracks = {name: x.to(device).unbind() for name, x in values["tracks"].items()}
    layers = [[x.to(device, dtype).unbind() for x in layer] for layer in values["memory"]]
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

    moments = data["moments"]
    settings = {name: value for name, value in data.items() if name != "moments"}
    text = header_text(kind, {**settings, **{name: moments[name] for name in OF_FRAMES}})
    tensors = {f"tracks.{name}": x for name, x in moments["tracks"].items()}
    for i, (keys, values) in enumerate(moments["memory"]):
        tensors |= {f"memory.{i}.keys": keys, f"memory.{i}.values": values}

    def fill(temporary: Path) -> None:
        temporary.write_bytes(save({name: x.cpu().contiguous() for name, x in tensors.items()}, {METADATA: text}))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the world could not be written to {path}: {reason}") from None
    return replace_file(path, fill, force=force)


def saved_kind(path: Path) -> str:
    """The kind of a saved world."""
    return str(_read(path)["kind"])


def _read(path: Path) -> dict[str, Any]:
    """Kind, settings and moments of a saved world of any format that is read."""
    if not path.is_file():
        raise InputError(f"no world at {path}")
    try:
        return _read_torch(path) if is_torch_format(path) else _read_tensors(path, read_header(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_tensors(path: Path, header: WorldHeader) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in header.shapes}
    except SafetensorError as error:
        raise InputError(f"{path} is not a saved world: {str(error).splitlines()[0]}") from None
    layers = sum(name.startswith("memory.") for name in tensors) // 2
    moments = {
        **{name: header.entries[name] for name in OF_FRAMES},
        "tracks": {name.removeprefix("tracks."): x for name, x in tensors.items() if name.startswith("tracks.")},
        "memory": [[tensors[f"memory.{i}.keys"], tensors[f"memory.{i}.values"]] for i in range(layers)],
    }
    settings = {name: value for name, value in header.entries.items() if name not in OF_FRAMES}
    return {"kind": header.kind, **settings, "moments": moments}


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        data = torch.load(path, weights_only=True, map_location="cpu")
        stored_format = data["format"]
    except Exception as error:
        raise InputError(f"{path} is not a saved world ({type(error).__name__})") from None
    if stored_format != TORCH_FORMAT:
        raise ModelError(f"{path} was written by another version of Kinema; this one reads formats 2 and 3")
    return {"kind": "world", **data}


def read_world_data(path: Path, kind: str) -> dict[str, Any]:
    """The data that `write_world_data` saved; InputError for any other file and for another kind of world."""
    data = _read(path)
    if data["kind"] != kind:
        raise InputError(
            f"{path} holds a {data['kind']}; expected a {kind} (a dream is a recorded world, open it with RecordedWorld.open)"
        )
    return data


def check_tracks(path: str | Path, moments: dict[str, Any], model: Model) -> None:
    """InputError unless frames have the tracks of a model with slots, in its shapes."""
    schema, frames = model.config.denoiser.schema, len(moments["time_s"])
    shapes = {
        "state": (frames, 1, model.config.denoiser.slots, schema.features),
        **{name: (frames, 1, width) for name, width in schema.vectors.items()},
    }
    tracks = moments["tracks"]
    if tracks.keys() != shapes.keys():
        raise InputError(f"{path} holds other tracks than a world of {model.config.name}")
    for name, shape in shapes.items():
        if tuple(tracks[name].shape) != shape or tracks[name].dtype != torch.float32:
            stored = f"{list(tracks[name].shape)} {str(tracks[name].dtype).removeprefix('torch.')}"
            raise InputError(
                f"{path} does not fit {model.config.name}: its {name} is {stored}, expected {list(shape)} float32;"
                " name the model that it was saved with"
            )


def memory_fits(moments: dict[str, Any], model: Model) -> bool:
    """Whether what frames remember has the shapes and the type of a model with slots."""
    config, frames = model.config.denoiser, len(moments["remembered"])
    shape = (frames, config.slots + 1, config.heads, 1, config.width // config.heads)
    layers = config.depth // 2 if frames else 0
    return len(moments["memory"]) == layers and all(
        tuple(x.shape) == shape and x.dtype == model.dtype for pair in moments["memory"] for x in pair
    )


@contextmanager
def checked(path: str | Path) -> Iterator[None]:
    """InputError for whatever is missing or of another type in the data of a saved world, used inside."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is not a saved world ({type(error).__name__}: {str(error).splitlines()[0]})") from None
