"""Begin a training with another model's weights, as far as they fit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kinema.models.denoiser import Denoiser

WIDER = ("video_in.first.weight", "splatter.slot_in.weight", "splatter.offset_in.weight")
"""Layers whose inputs have grown: what is new begins at nothing."""
HEAD, LOCAL_HEAD = "video_out.", "local_head."


def begin_with(model: Denoiser, weights: Mapping[str, Tensor]) -> int:
    """Copy what fits of `weights` into the model; returns how many parameters were taken. Inputs that are new begin at nothing. A
    model from before there were sketches drew with `video_out`: that becomes the sketch, and `video_out` answers nothing."""
    weights = dict(weights)
    if LOCAL_HEAD + "last.weight" not in weights:
        drawn = {LOCAL_HEAD + name.removeprefix(HEAD): x for name, x in weights.items() if name.startswith(HEAD)}
        weights |= {name: x for name, x in drawn.items() if "spread" not in name}
        weights |= {name: torch.zeros_like(x) for name, x in weights.items() if name.startswith(HEAD + "last")}
    taken = 0
    with torch.no_grad():
        for name, mine in model.named_parameters():
            value = weights.get(name)
            if value is None:
                continue
            value = value.to(mine)
            if mine.shape == value.shape:
                mine.copy_(value)
            elif name.startswith(LOCAL_HEAD + "last") and mine.shape[1:] == value.shape[1:]:
                mine[: len(value)] = value
            elif name in WIDER and mine.shape[0] == value.shape[0]:
                _widen(mine, value)
            else:
                continue
            taken += 1
    return taken


def _widen(mine: Tensor, value: Tensor) -> None:
    known = min(value.shape[1], mine.shape[1])
    mine.zero_()
    mine[:, :known] = value[:, :known]
