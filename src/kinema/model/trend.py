"""What a slot's neighbors in time say of it: a short way along time, as sight and stamps are in space.

Where a path is roughly known, its noise shows as the distance from where the frames around say it should be. A trunk that has
to find that distance by attention must tell differences of a fiftieth of the room apart and amplify them twentyfold; it
did not, and paths trembled. Here each moving field gets a local mean over its neighbors, near ones and sure ones first, and
what the bare network would answer if that mean were the truth: with x_t = (1 - t) x + t noise and the preconditioning of
`kinema.model.denoiser`, F = (t x - (1 - t) noise) / sqrt((1 - t)^2 + t^2).

Axes: B batch, T frames, K slots, M moving fields, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinema.canvas.tracks import STATE_FEATURES, group_slice
from kinema.model.block import Linear

MOVING = ("position", "velocity", "angle", "visible")
COLUMNS = [column for name in MOVING for column in range(group_slice(name).start, group_slice(name).stop)]
REACH = (1.2, 4.0)
"""How far along time a mean reaches, in sixteenths of a second."""


def answers(state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """state, level [B, T, K, F], bias [T, T] along time -> what the means answer, and how sure they are, 0 to 1:
    [B, T, K, M * len(REACH)] each."""
    x, t = state[..., COLUMNS].float(), level[..., COLUMNS].float()
    sure = (1 - t) / (t.square() + 0.01)
    apart = (time_s[:, :, None] - time_s[:, None]) * 16.0
    alone = torch.eye(x.shape[1], device=x.device)
    seen = (1 - alone) if bias is None else (1 - alone) * (bias > -1).float()
    root = ((1 - t).square() + t.square()).sqrt()
    said, trust = [], []
    for reach in REACH:
        near = torch.exp(-0.5 * (apart / reach).square()) * seen
        weight = torch.einsum("bij,bjkm->bikm", near, sure * (1 - t))
        mean = torch.einsum("bij,bjkm->bikm", near, sure * x) / (weight + 1e-3)
        noise = ((x - (1 - t) * mean) / (t + 0.01)).clamp(-4, 4)
        certain = weight / (weight + 1.0)
        said.append(certain * (t * mean - (1 - t) * noise) / root)
        trust.append(certain)
    return torch.cat(said, -1), torch.cat(trust, -1)


class Trend(nn.Module):
    """The means' answers, into the slot tokens and straight into the network's answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        count = len(COLUMNS) * len(REACH)
        self.into = Linear(2 * count, width, bias=False)
        self.out = Linear(count, STATE_FEATURES, bias=False)
        nn.init.normal_(self.into.weight, std=0.02)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            for i in range(count):
                self.out.weight[COLUMNS[i % len(COLUMNS)], i] = 0.25

    def forward(self, state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """What to add to slot tokens [B, T, K, C], and to the answers [B, T, K, F]."""
        said, trust = answers(state, level, time_s, bias)
        return self.into(torch.cat([said, trust], -1)), self.out(said)
