"""How a recording's numbers change from frame to frame, as far as it was found out of numbers alone, before a network learned
pictures (`kinema.training.rules`).

Axes: K frames that are read, D numbers of a frame, F numbers that are read in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

RULE_WIDTH = 256


class Rule(nn.Module):
    """Changes of numbers in usual changes, of what is read [..., F]: a line, and what a small network adds to it. Nothing changes
    until it is fitted. It is never trained with the network that it is a part of.

    `left` [D] is what it leaves: its mean error in usual changes, 1 at most, and 1 of numbers that it does not foretell. What the
    network adds to it is in these units, so that numbers that are known exactly stay so."""

    def __init__(self, reads: int, changes: int) -> None:
        super().__init__()
        self.line = nn.Linear(reads, changes)
        sizes = (reads, RULE_WIDTH, RULE_WIDTH, RULE_WIDTH)
        inner = [part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), nn.SiLU())]
        self.bend = nn.Sequential(*inner, nn.Linear(RULE_WIDTH, changes))
        for layer in (self.line, self.bend[-1]):
            for weight in layer.parameters():
                nn.init.zeros_(weight)
        self.register_buffer("left", torch.ones(changes))
        self.requires_grad_(False)

    def forward(self, read: Tensor) -> Tensor:
        """[..., D], in float32 whatever the autocast."""
        kind = read.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            return self.line(read.float()) + self.bend(read.float())  # type: ignore[no-any-return]


def as_read(vectors: Mapping[str, Tensor], relative: Mapping[str, Sequence[float]]) -> Tensor:
    """[..., F]: numbers [..., K * D] of each name side by side in float32; of those in `relative` the last ones, and the changes
    before them in usual ones, [D] each, as many frames in a row have nearly the same numbers."""
    read = {name: x.float() for name, x in vectors.items()}
    for name, changes in relative.items():
        at = read[name].reshape(*read[name].shape[:-1], -1, len(changes))
        moved = (at[..., 1:, :] - at[..., :-1, :]) / torch.tensor(changes, device=at.device)
        read[name] = torch.cat([at[..., -1:, :], moved], -2).flatten(-2)
    return torch.cat(list(read.values()), -1)
