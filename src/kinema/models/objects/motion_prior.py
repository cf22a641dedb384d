"""What a slot's neighbors in time say of it: a short way along time, as sight and stamps are in space.

Where a path is roughly known, its noise shows as the distance from where the frames around say it should be. A trunk that has
to find that distance by attention must tell differences of a fiftieth of the room apart and amplify them twentyfold; it
did not, and paths trembled. Here each moving field gets a local mean over its neighbors, near ones and sure ones first; places
also a line through those around, which tells speeds too, and where the speeds around lead. Each becomes what the bare network
would answer if that were the truth: with x_t = (1 - t) x + t noise and the preconditioning of `kinema.models.denoiser`,
F = (t x - (1 - t) noise) / sqrt((1 - t)^2 + t^2).

Places and speeds go further: what the frames around say of them, and how surely, is what the denoiser's preconditioning takes
as their mean and spread, in place of 0 and 1. So an answer of nothing means straight on, and what the trunk has to tell is
what happens between things, at the scale at which it happens.

Axes: B batch, T frames, N frames asked about (the last of T), K slots, M columns, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.block import Linear
from kinema.scene.encoding import STATE_FEATURES, group_slice

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
EXPECTED = 10
"""Numbers a slot is told of what was expected, of its place and then of its speed: the mean, how far off the noisy value is, the
logarithm of the spread."""
STRAYS, SWERVES = 0.6, 3.0
"""How far from straight on a place strays, and how much a speed changes, in a second, on the track: forces and collisions."""
SPEED_VARIANCE = 0.3
"""Of speeds, on the track, when nothing is known of them: most things are slower than the fastest."""
SURE = 1e-3
"""Variance below which a value counts as known."""
EVEN_S = 0.03
"""Places closer in time than this do not say how fast a thing is."""


def _answer(x: Tensor, t: Tensor, mean: Tensor, certain: Tensor) -> Tensor:
    """What the bare network would say if `mean` were the truth, as far as that is certain."""
    noise = ((x - (1 - t) * mean) / (t + 0.01)).clamp(-4, 4)
    return certain * (t * mean - (1 - t) * noise) * torch.rsqrt((1 - t).square() + t.square())


def _real(x: Tensor) -> Tensor:
    """float64 as it is, all else as float32."""
    return x if x.dtype == torch.float64 else x.float()


def _others(time_s: Tensor, bias: Tensor | None, now: int) -> tuple[Tensor, Tensor]:
    """How much later each frame is than the last `now` [B, N, T], and which of them those read [N, T]: not themselves."""
    apart = time_s[:, None] - time_s[:, -now:, None]
    others = 1 - torch.eye(time_s.shape[1], device=time_s.device)[-now:]
    return apart, others if bias is None else others * (bias > -1).float()


def answers(state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, now: int) -> tuple[Tensor, Tensor]:
    """state, level [B, T, K, F], bias [N, T] along time -> what the neighbors of the last `now` frames answer, and how sure they
    are, 0 to 1: [B, N, K, len(ANSWERED)] each."""
    apart, others = _others(time_s, bias, now)

    def of(columns: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Value, level, and weight of what the value says of the clean one."""
        x, t = _real(state[..., columns]), _real(level[..., columns])
        return x, t, (1 - t).square() / (t.square() + 0.01)

    def over(kernel: Tensor, values: Tensor) -> Tensor:
        return torch.einsum("bij,bjkm->bikm", kernel, values)

    x, t, weight = of(COLUMNS)
    place, place_t, place_weight = of(PLACE)
    speed, speed_t, speed_weight = of(SPEED)
    clean, clean_place = x / (1 - t).clamp_min(0.02), place / (1 - place_t).clamp_min(0.02)
    clean_speed = speed / (1 - speed_t).clamp_min(0.02) * PER_SECOND
    both = place_weight * speed_weight / (place_weight + speed_weight + 1e-3)
    estimates, trust = [], []
    for reach in REACH:
        near = torch.exp(-0.5 * (apart * 16.0 / reach).square()) * others
        total = over(near, weight)
        certain = total / (total + 1)
        estimates.append(_answer(x[:, -now:], t[:, -now:], over(near, weight * clean) / (total + 1e-3), certain))
        trust.append(certain)

        n, first, second = (over(near * apart**power, place_weight) for power in (0, 1, 2))
        middle, moment = (over(near * apart**power, place_weight * clean_place) for power in (0, 1))
        spread = (second - first.square() / (n + 1e-3)).clamp_min(0.0)
        slope = (moment - first * middle / (n + 1e-3)) / (spread + EVEN_S**2 * n + 1e-3)
        certain = spread / (spread + 0.1)
        estimates.append(_answer(place[:, -now:], place_t[:, -now:], (middle - slope * first) / (n + 1e-3), certain))
        estimates.append(_answer(speed[:, -now:], speed_t[:, -now:], slope / PER_SECOND, certain))
        trust += [certain, certain]

        total = over(near, both)
        certain = total / (total + 1)
        ahead = (over(near, both * clean_place) - over(near * apart, both * clean_speed)) / (total + 1e-3)
        estimates.append(_answer(place[:, -now:], place_t[:, -now:], ahead, certain))
        trust.append(certain)
    return torch.cat(estimates, -1), torch.cat(trust, -1)


def expected(state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, now: int) -> GaussianPrior:
    """Where the frames around the last `now` say that each slot is and how fast it goes, before it is looked at itself.

    Every other frame says that the slot went straight on from its place there, as fast as it went there; the further away, and
    the noisier its place and its speed, the less it counts. With nothing known around, this is 0 and 1, which is how the track is
    scaled.
    """
    later, others = _others(time_s, bias, now)
    apart, readable = -later, others[..., None]
    frames = time_s.shape[1]
    own = torch.arange(frames - now, frames, device=time_s.device)
    after = torch.arange(frames, device=time_s.device)[None] > own[:, None]

    def weights_of(columns: list[int], strayed: Tensor) -> tuple[Tensor, Tensor]:
        """How much each frame's value says, and how much that counts, for clean values that stray by so much: [B, N, T, K].

        What frames in between tell as well counts once: theirs is averaged with it as far as they are noisy, and where they are
        known it adds nothing."""
        t = _real(level[..., columns]).amax(-1)
        signal = 1 - t
        known = readable * (signal.square() / (t.square() + SURE))[:, None]
        until = known.cumsum(2)
        between = (until - until[:, range(now), own][:, :, None]).abs() - torch.where(after[..., None], known, 0.0)
        share = readable * signal[:, None] / (t.square()[:, None] + signal.square()[:, None] * strayed)
        share = share / (1 + strayed * between.clamp_min(0.0))
        return share, share * signal[:, None]

    def over(share: Tensor, values: Tensor) -> Tensor:
        return torch.einsum("bijk,bjkm->bikm", share, values)

    speed, place = _real(state[..., SPEED]), _real(state[..., PLACE])
    t = _real(level[..., SPEED]).amax(-1)
    gain = (1 - t) * SPEED_VARIANCE / ((1 - t).square() * SPEED_VARIANCE + t.square() + 1e-6)
    straight = (PER_SECOND * apart).square()[..., None] * (SPEED_VARIANCE * (1 - gain * (1 - t)))[:, None]
    share, weight = weights_of(PLACE, straight + (STRAYS * apart).square()[..., None] + 1e-4)
    going = over(share, place) + over(weight * apart[..., None], PER_SECOND * gain[..., None] * speed)
    total = weight.sum(2)[..., None] + 1

    share, weight = weights_of(SPEED, (SWERVES * apart).square()[..., None] + 1e-3)
    speed_total = weight.sum(2)[..., None] + 1
    mean = torch.cat([going / total, over(share, speed) / speed_total], -1)
    spread = torch.cat([total.rsqrt().expand_as(going), speed_total.rsqrt().expand_as(going)], -1)
    return GaussianPrior(mean=mean, spread=spread)


def moving_share(share: Tensor) -> Tensor:
    """A share of places and velocities [B, T, K] for all features [B, T, K, F]: 1 but for those."""
    moving = share[..., None].expand(*share.shape, SPEED[-1] + 1 - PLACE[0])
    return F.pad(moving, (PLACE[0], STATE_FEATURES - SPEED[-1] - 1), value=1.0)


@dataclass(frozen=True, kw_only=True)
class GaussianPrior:
    """Mean and spread [B, T, K, 4] of each slot's place and speed, by the frames around."""

    mean: Tensor
    spread: Tensor

    def over(self, features: int) -> tuple[Tensor, Tensor]:
        """The same for all features of a slot [B, T, K, F]: 0 and 1 but for places and speeds."""
        around = (PLACE[0], features - SPEED[-1] - 1)
        return F.pad(self.mean, around), F.pad(self.spread, around, value=1.0)

    def place(self, state: Tensor, level: Tensor) -> Tensor:
        """The likeliest place [B, T, K, 2], given what was expected and the noisy place itself."""
        x, t = _real(state[..., PLACE]), _real(level[..., PLACE])
        mean, variance = self.mean[..., :2], self.spread[..., :2].square()
        gain = (1 - t) * variance / (((1 - t).square()) * variance + t.square()).clamp_min(1e-8)
        return mean + gain * (x - (1 - t) * mean)

    def answered(self, change: Tensor) -> Tensor:
        """A change of the mean [B, T, K, 4] as what the bare network would have to answer for it, for all features [B, T, K, F]."""
        return F.pad(change / self.spread, (PLACE[0], STATE_FEATURES - SPEED[-1] - 1))

    def features(self, state: Tensor, level: Tensor) -> Tensor:
        """What a slot is told of it [B, T, K, EXPECTED]."""
        x, t = _real(state[..., PLACE + SPEED]), _real(level[..., PLACE + SPEED])
        off = (x - (1 - t) * self.mean) * torch.rsqrt(((1 - t) * self.spread).square() + t.square() + 1e-4)
        off, wide = off.clamp(-5, 5), self.spread.log()
        return torch.cat(
            [self.mean[..., :2], off[..., :2], wide[..., :1], self.mean[..., 2:], off[..., 2:], wide[..., 2:3]], -1
        )


class MotionPrior(nn.Module):
    """The neighbors' answers, into the slot tokens and straight into the network's answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = Linear(2 * len(ANSWERED) + EXPECTED, width, bias=False)
        self.out = Linear(len(ANSWERED), STATE_FEATURES, bias=False)
        nn.init.normal_(self.into.weight, std=0.02)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            for i, column in enumerate(ANSWERED):
                self.out.weight[column, i] = 0.0 if column in PLACE + SPEED else 0.1

    def forward(
        self, state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, now: int
    ) -> tuple[Tensor, Tensor, GaussianPrior]:
        """What to add to slot tokens [B, N, K, C] and to the answers [B, N, K, F], both in float32, and what was expected, in
        float64 where the state is, of the last `now` frames; bias [N, T]."""
        estimates, trust = answers(state, level, time_s, bias, now)
        prior = expected(state, level, time_s, bias, now)
        features = prior.features(state[:, -now:], level[:, -now:])
        drift = self.into(torch.cat([estimates, trust, features], -1)).float()
        return drift, self.out(estimates).float(), prior
