"""What a slot's neighbors in time say of it: a short way along time, as sight and stamps are in space.

Where a path is roughly known, its noise shows as the distance from where the frames around say it should be. A trunk that has
to find that distance by attention must tell differences of a fiftieth of the room apart and amplify them twentyfold; it
did not, and paths trembled. Here each moving field gets a local mean over its neighbors, near ones and sure ones first; places
also a line through those around, which tells speeds too, and where the speeds around lead. Each becomes what the bare network
would answer if that were the truth: with x_t = (1 - t) x + t noise and the preconditioning of `kinema.model.denoiser`,
F = (t x - (1 - t) noise) / sqrt((1 - t)^2 + t^2).

Places go further: what the frames around say of a place, and how surely, is what the denoiser's preconditioning takes as the
place's mean and spread, in place of 0 and 1. So an answer of nothing means straight on, and what the trunk has to tell is
what happens between things, at the scale at which it happens.

Axes: B batch, T frames, K slots, M columns, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.canvas.tracks import STATE_FEATURES, group_slice
from kinema.model.block import Linear

MOVING = ("position", "velocity", "angle", "visible")
COLUMNS = [column for name in MOVING for column in range(group_slice(name).start, group_slice(name).stop)]
PLACE = list(range(group_slice("position").start, group_slice("position").stop))
SPEED = list(range(group_slice("velocity").start, group_slice("velocity").stop))
REACH = (1.2, 4.0)
"""How far along time a mean reaches, in sixteenths of a second."""
ANSWERED = (COLUMNS + PLACE + SPEED + PLACE) * len(REACH)
"""The state's column that each answer is about: means of all moving fields, the line through the places around and its slope,
and where the speeds around lead."""
PER_SECOND = 3.0 / 2.5
"""A velocity of 1 on the track moves the position by this in a second."""
EXPECTED = 5
"""Numbers a slot is told of what was expected: the mean, how far off the noisy place is, the logarithm of the spread."""
STRAYS = 0.6
"""How far from straight on a place strays in a second, on the track: forces and collisions."""
EVEN_S = 0.03
"""Places closer in time than this do not say how fast a thing is."""


def _answer(x: Tensor, t: Tensor, mean: Tensor, certain: Tensor) -> Tensor:
    """What the bare network would say if `mean` were the truth, as far as that is certain."""
    noise = ((x - (1 - t) * mean) / (t + 0.01)).clamp(-4, 4)
    return certain * (t * mean - (1 - t) * noise) * torch.rsqrt((1 - t).square() + t.square())


def answers(state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """state, level [B, T, K, F], bias [T, T] along time -> what the neighbors answer, and how sure they are, 0 to 1:
    [B, T, K, len(ANSWERED)] each."""
    apart = time_s[:, None] - time_s[:, :, None]
    alone = torch.eye(state.shape[1], device=state.device)
    seen = (1 - alone) if bias is None else (1 - alone) * (bias > -1).float()

    def of(columns: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Value, level, and weight of what the value says of the clean one."""
        x, t = state[..., columns].float(), level[..., columns].float()
        return x, t, (1 - t).square() / (t.square() + 0.01)

    def over(kernel: Tensor, values: Tensor) -> Tensor:
        return torch.einsum("bij,bjkm->bikm", kernel, values)

    x, t, weight = of(COLUMNS)
    place, place_t, place_weight = of(PLACE)
    speed, speed_t, speed_weight = of(SPEED)
    clean, clean_place = x / (1 - t).clamp_min(0.02), place / (1 - place_t).clamp_min(0.02)
    clean_speed = speed / (1 - speed_t).clamp_min(0.02) * PER_SECOND
    both = place_weight * speed_weight / (place_weight + speed_weight + 1e-3)
    said, trust = [], []
    for reach in REACH:
        near = torch.exp(-0.5 * (apart * 16.0 / reach).square()) * seen
        total = over(near, weight)
        certain = total / (total + 1)
        said.append(_answer(x, t, over(near, weight * clean) / (total + 1e-3), certain))
        trust.append(certain)

        n, first, second = (over(near * apart**power, place_weight) for power in (0, 1, 2))
        middle, moment = (over(near * apart**power, place_weight * clean_place) for power in (0, 1))
        spread = (second - first.square() / (n + 1e-3)).clamp_min(0.0)
        slope = (moment - first * middle / (n + 1e-3)) / (spread + EVEN_S**2 * n + 1e-3)
        certain = spread / (spread + 0.1)
        said.append(_answer(place, place_t, (middle - slope * first) / (n + 1e-3), certain))
        said.append(_answer(speed, speed_t, slope / PER_SECOND, certain))
        trust += [certain, certain]

        total = over(near, both)
        certain = total / (total + 1)
        ahead = (over(near, both * clean_place) - over(near * apart, both * clean_speed)) / (total + 1e-3)
        said.append(_answer(place, place_t, ahead, certain))
        trust.append(certain)
    return torch.cat(said, -1), torch.cat(trust, -1)


def expected(state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where the frames around say that each slot is, before it is looked at itself: mean [B, T, K, 2] and spread [B, T, K, 1].

    Every other frame says that the slot went straight on from its place there; the further away, the noisier its place and its
    speed, the less it counts. With nothing known around, this is 0 and 1, which is how the track is scaled.
    """
    apart = time_s[:, :, None] - time_s[:, None]
    alone = torch.eye(state.shape[1], device=state.device)
    seen = (1 - alone) if bias is None else (1 - alone) * (bias > -1).float()

    def of(columns: list[int], variance: float) -> tuple[Tensor, Tensor]:
        """What is known of a field by itself: mean [B, T, K, 2] and variance [B, T, K], from a prior around 0."""
        t = level[..., columns].float().amax(-1)
        gain = (1 - t) * variance / ((1 - t).square() * variance + t.square() + 1e-6)
        return gain[..., None] * state[..., columns].float(), variance * (1 - gain * (1 - t))

    speed, speed_variance = of(SPEED, 0.3)
    t = level[..., PLACE].float().amax(-1)
    signal, place = 1 - t, state[..., PLACE].float()
    straight = (PER_SECOND * apart).square()[..., None] * speed_variance[:, None]
    strayed = straight + (STRAYS * apart).square()[..., None] + 1e-4
    told = seen[..., None] * signal[:, None] / (t.square()[:, None] + signal.square()[:, None] * strayed)
    weight = told * signal[:, None]
    going = torch.einsum("bijk,bjkm->bikm", told, place)
    going = going + torch.einsum("bijk,bjkm->bikm", weight * apart[..., None], PER_SECOND * speed)
    total = weight.sum(2)[..., None] + 1
    return going / total, total.rsqrt()


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Mean [B, T, K, 2] and spread [B, T, K, 1] of each slot's place, by the frames around."""

    mean: Tensor
    spread: Tensor

    def over(self, features: int) -> tuple[Tensor, Tensor]:
        """The same for all features of a slot [B, T, K, F]: 0 and 1 but for places."""
        around = (PLACE[0], features - PLACE[-1] - 1)
        return F.pad(self.mean, around), F.pad(self.spread.expand_as(self.mean), around, value=1.0)

    def place(self, state: Tensor, level: Tensor) -> Tensor:
        """The likeliest place [B, T, K, 2], given what was expected and the noisy place itself."""
        x, t = state[..., PLACE].float(), level[..., PLACE].float()
        variance = self.spread.square()
        gain = (1 - t) * variance / (((1 - t).square()) * variance + t.square()).clamp_min(1e-8)
        return self.mean + gain * (x - (1 - t) * self.mean)


class Trend(nn.Module):
    """The neighbors' answers, into the slot tokens and straight into the network's answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = Linear(2 * len(ANSWERED) + EXPECTED, width, bias=False)
        self.out = Linear(len(ANSWERED), STATE_FEATURES, bias=False)
        nn.init.normal_(self.into.weight, std=0.02)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            for i, column in enumerate(ANSWERED):
                self.out.weight[column, i] = 0.0 if column in PLACE else 0.1

    def forward(self, state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Expected]:
        """What to add to slot tokens [B, T, K, C] and to the answers [B, T, K, F], and what was expected."""
        said, trust = answers(state, level, time_s, bias)
        mean, spread = expected(state, level, time_s, bias)
        found = Expected(mean=mean, spread=spread)
        x, t = state[..., PLACE].float(), level[..., PLACE].float()
        off = (x - (1 - t) * mean) * torch.rsqrt(((1 - t) * spread).square() + t.square() + 1e-4)
        features = torch.cat([said, trust, mean, off.clamp(-5, 5), spread.log()], -1)
        return self.into(features), self.out(said), found
