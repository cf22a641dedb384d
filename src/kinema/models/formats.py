"""Formats of a model on disk, and how an earlier one is read.

Format 2 (0.2.0) renamed parameters of the network and an entry of config.json; nothing else differs.

Up to 0.2 the network with slots was also that of recorded worlds, by entries of config.json that it no longer has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.errors import ModelError

FORMAT = 2
_WORLD_ENTRIES = {"predict_residual": False, "follows": False, "sensors": 0, "action_width": 2, "world": None}
"""Entries that recorded worlds had up to 0.2, with the values of all other models."""
_PARTS = {
    "stamp.thing": "splatter.slot_in",
    "stamp.further": "splatter.slot_mix",
    "stamp.way": "splatter.offset_in",
    "stamp.share": "splatter.offset_weights",
    "stamp.ground": "splatter.setting_in",
    "stamp": "splatter",
    "trend": "motion_prior",
    "pairs": "contacts",
    "stride_in": "step_size_in",
    "deed_in": "action_in",
    "sketch_out": "local_head",
    "sight_out": "detection_head",
}
"""Parts of the network in format 1, and what they are called now; the first that fits counts."""


def without_world_entries(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a model with slots, or of its denoiser, without those of recorded worlds.

    ModelError: it is a recorded world, which this version does not read.
    """
    if any(stored.get(name, usual) != usual for name, usual in _WORLD_ENTRIES.items()):
        raise ModelError("a recorded world of Kinema 0.2 or before; train it again: kinema train world")
    return {name: value for name, value in stored.items() if name not in _WORLD_ENTRIES}


def current_config(stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entries of a config.json in today's names, without "format"; None where its format is not known.

    KeyError: an entry is missing. TypeError: `stored` is no object.
    """
    if not isinstance(stored, Mapping):
        raise TypeError(f"it holds {type(stored).__name__}, expected an object")
    config = dict(stored)
    version = config.pop("format")
    if version == 1 and version is not True:
        config["autoencoder"] = config.pop("codec")
    elif version != FORMAT:
        return None
    return config


def current_weights(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by today's names of their parameters, from those of any format."""

    def current(name: str) -> str:
        old = next((part for part in _PARTS if name.startswith(part + ".")), None)
        return name if old is None else _PARTS[old] + name.removeprefix(old)

    return {current(name): value for name, value in stored.items()}
