"""Occlusion module: the visible share of a slot behind others.

The trunk gets positions as Fourier features and predicts a visible share of about 0.9 for things that a screen hides wholly
(docs/training-log.md), so they are drawn through it. This module gets, for every pair of slots, how far the center of the second
lies past the first's edges, in units of the second's size. It predicts the share of the second that the first hides, and the share
of the trunk's output to retain.

Axes: B batch, N frames, K slots, F features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.block import Linear
from kinema.scene.schema import StateSchema

REACH_UNITS = 1.0
"""Slots whose centers lie farther outside than this hide nothing of each other."""
GEOMETRY = 6
"""Number of geometry features of a pair: the distance past the edges across and up, the sign and size of the offset up, both sizes,
and the smaller of the distances."""
KEEPING = 4.0
"""Initial log odds of retaining the trunk's output."""
HIDDEN = -4.0
"""Initial log odds of the share that a slot hides of another."""


class OcclusionModule(nn.Module):
    """The visible share of every slot by what lies before it."""

    def __init__(self, schema: StateSchema, hidden: int = 64) -> None:
        super().__init__()
        self.schema = schema
        self.kind, self.size = schema.slice("kind"), schema.slice("size")
        self.extent = nn.Parameter(torch.tensor(schema.solid))
        self.first, self.second = Linear(GEOMETRY + 2 * len(schema.kinds), hidden), Linear(hidden, hidden)
        self.last = Linear(hidden, 2)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([HIDDEN, -KEEPING]))

    def forward(self, state: Tensor, level: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Visible share of each slot [B, N, K], 0 to 1, and the share of the trunk's output for it to retain [B, N, K].

        Args:
            state, level: [B, N, K, F] as tracks.
            place: Likely positions [B, N, K, 2] on the track; results have its dtype.
        """
        dtype = place.dtype
        place = self.schema.position_units(place)
        kind = state[..., self.kind].to(dtype)
        size = self.schema.size_units(state[..., self.size][..., 0]).to(dtype).clamp(0.1, 3)
        half = size[..., None] * ((kind > 0).to(dtype) @ self.extent.to(dtype))
        unknown = torch.cat([level[..., columns] for columns in (slice(0, 1), self.kind, self.size)], -1).amax(-1)
        exists = ((state[..., 0] > 0) * (1 - unknown).clamp(0, 1)).to(dtype)

        count = place.shape[2]
        offset = place[:, :, None] - place[:, :, :, None]
        past = offset.abs() - half[:, :, None]
        farthest = past.amax(-1)
        own = size[..., None]
        scaled = (past / own[..., None]).clamp(-3, 3)
        geometry = [
            scaled,
            (offset[..., 1:] / 3).clamp(-3, 3),
            (farthest / own).clamp(-3, 3)[..., None],
            own[..., None].expand(*offset.shape[:-1], 1),
            size[:, :, None, :, None].expand(*offset.shape[:-1], 1),
        ]
        frames = (*offset.shape[:-1], kind.shape[-1])
        inputs = [*geometry, kind[:, :, :, None].expand(frames), kind[:, :, None].expand(frames)]
        answers = self.last(F.silu(self.second(F.silu(self.first(torch.cat(inputs, -1))))))
        near = torch.sigmoid((REACH_UNITS - farthest) / 0.1) * exists[..., None] * exists[:, :, None]
        near = near * (1 - torch.eye(count, device=near.device, dtype=dtype))
        shown = (1 - torch.sigmoid(answers[..., 0]) * near).prod(3)
        return shown, (1 - torch.sigmoid(answers[..., 1]) * near).prod(3)
