"""Motion prior: estimates every slot at frame t from the other frames of the clip.

`answers` gives local estimates of every moving field: a weighted mean over neighboring frames; for positions and velocities also a
line through the neighboring positions; and for positions the extrapolation by neighboring velocities. Near and less noisy frames
weigh more. Each estimate is converted to the network output that would predict it: with x_t = (1 - t) x + t noise and the
preconditioning of `kinema.models.denoiser`, F = (t x - (1 - t) noise) / sqrt((1 - t)^2 + t^2). Attention alone did not resolve
differences of a fiftieth of the room, and predicted paths trembled.

`expected` gives mean and standard deviation of position and velocity, assuming constant velocity with process noise. The denoiser
uses them in its preconditioning in place of 0 and 1, so a network output of 0 means straight motion.

Axes: B batch, T frames, N frames to estimate (the last of T), K slots, M columns, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.block import Linear
from kinema.scene.schema import StateSchema

MOVING = ("position", "velocity", "angle", "visible")
"""Groups of the state that are estimated from other frames."""
REACH = (1.2, 4.0)
"""Standard deviations of the means' kernels along time, in sixteenths of a second."""
EXPECTED = 10
"""Number of features of the prior per slot, of position and then of velocity: the mean, the noisy value's normalized difference to
it, the logarithm of the spread."""
STRAYS, SWERVES = 0.6, 3.0
"""Process noise by forces and collisions, on the track: standard deviations that position and velocity gain in a second."""
SPEED_VARIANCE = 0.3
"""Variance of velocities on the track when nothing is known of them."""
SURE = 1e-3
"""Variance below which a value counts as known."""
EVEN_S = 0.03
"""Positions closer in time than this give no velocity."""


@dataclass(frozen=True, kw_only=True)
class MovingColumns:
    """Columns of the state that move, and its number of features F, of a schema.

    Attributes:
        moving: of all groups in MOVING.
        place, speed: of position and velocity, side by side.
        answered: of each estimate: means of all moving fields, the line through neighboring positions and its slope, and the
            extrapolation by neighboring velocities.
        features: F.
        per_second: A velocity of 1 on the track moves the position by this in a second.
    """

    moving: list[int]
    place: list[int]
    speed: list[int]
    answered: list[int]
    features: int
    per_second: float

    @staticmethod
    def of(schema: StateSchema) -> MovingColumns:
        def columns(*names: str) -> list[int]:
            return [column for name in names for column in range(schema.slice(name).start, schema.slice(name).stop)]

        moving, place, speed = columns(*MOVING), columns("position"), columns("velocity")
        return MovingColumns(
            moving=moving,
            place=place,
            speed=speed,
            answered=(moving + place + speed + place) * len(REACH),
            features=schema.features,
            per_second=schema.per_second,
        )


def output_for(x: Tensor, t: Tensor, mean: Tensor, certain: Tensor | float = 1.0) -> Tensor:
    """The network output that predicts `mean` of a value x at level t whose prior has mean 0 and spread 1, times `certain`."""
    noise = ((x - (1 - t) * mean) / (t + 0.01)).clamp(-4, 4)
    return certain * (t * mean - (1 - t) * noise) * torch.rsqrt((1 - t).square() + t.square())


def _real(x: Tensor) -> Tensor:
    """float64 as it is, all else as float32."""
    return x if x.dtype == torch.float64 else x.float()


def _others(time_s: Tensor, bias: Tensor | None, now: int) -> tuple[Tensor, Tensor]:
    """Time of each frame relative to the last `now` ones [B, N, T], and a mask [N, T] of the other frames that they may read."""
    apart = time_s[:, None] - time_s[:, -now:, None]
    others = 1 - torch.eye(time_s.shape[1], device=time_s.device)[-now:]
    return apart, others if bias is None else others * (bias > -1).float()


def answers(
    state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, now: int, columns: MovingColumns
) -> tuple[Tensor, Tensor]:
    """state, level [B, T, K, F], bias [N, T] along time -> estimates of the last `now` frames as network outputs, and their
    certainty, 0 to 1: [B, N, K, len(columns.answered)] each."""
    apart, others = _others(time_s, bias, now)

    def of(some: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy value, its level, and its weight as an estimate of the clean value."""
        x, t = _real(state[..., some]), _real(level[..., some])
        return x, t, (1 - t).square() / (t.square() + 0.01)

    def over(kernel: Tensor, values: Tensor) -> Tensor:
        return torch.einsum("bij,bjkm->bikm", kernel, values)

    x, t, weight = of(columns.moving)
    place, place_t, place_weight = of(columns.place)
    speed, speed_t, speed_weight = of(columns.speed)
    clean, clean_place = x / (1 - t).clamp_min(0.02), place / (1 - place_t).clamp_min(0.02)
    clean_speed = speed / (1 - speed_t).clamp_min(0.02) * columns.per_second
    both = place_weight * speed_weight / (place_weight + speed_weight + 1e-3)
    estimates, trust = [], []
    for reach in REACH:
        near = torch.exp(-0.5 * (apart * 16.0 / reach).square()) * others
        total = over(near, weight)
        certain = total / (total + 1)
        estimates.append(output_for(x[:, -now:], t[:, -now:], over(near, weight * clean) / (total + 1e-3), certain))
        trust.append(certain)

        n, first, second = (over(near * apart**power, place_weight) for power in (0, 1, 2))
        middle, product = (over(near * apart**power, place_weight * clean_place) for power in (0, 1))
        spread = (second - first.square() / (n + 1e-3)).clamp_min(0.0)
        slope = (product - first * middle / (n + 1e-3)) / (spread + EVEN_S**2 * n + 1e-3)
        certain = spread / (spread + 0.1)
        estimates.append(output_for(place[:, -now:], place_t[:, -now:], (middle - slope * first) / (n + 1e-3), certain))
        estimates.append(output_for(speed[:, -now:], speed_t[:, -now:], slope / columns.per_second, certain))
        trust += [certain, certain]

        total = over(near, both)
        certain = total / (total + 1)
        ahead = (over(near, both * clean_place) - over(near * apart, both * clean_speed)) / (total + 1e-3)
        estimates.append(output_for(place[:, -now:], place_t[:, -now:], ahead, certain))
        trust.append(certain)
    return torch.cat(estimates, -1), torch.cat(trust, -1)


def expected(
    state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, now: int, columns: MovingColumns
) -> GaussianPrior:
    """Mean and standard deviation of each slot's position and velocity in the last `now` frames, given all other frames.

    Every other frame predicts constant velocity from its position. It weighs less the further away it is in time, and the noisier
    its position and velocity are. Without known frames the mean is 0 and the spread 1, which is the track's scale.
    """
    later, others = _others(time_s, bias, now)
    apart, readable = -later, others[..., None]
    frames = time_s.shape[1]
    own = torch.arange(frames - now, frames, device=time_s.device)
    after = torch.arange(frames, device=time_s.device)[None] > own[:, None]

    def weights_of(some: list[int], strayed: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of each frame's noisy and clean value [B, N, T, K], if clean values differ by the variance `strayed`.

        Known frames in between lower the weight, so that their information counts once."""
        t = _real(level[..., some]).amax(-1)
        signal = 1 - t
        known = readable * (signal.square() / (t.square() + SURE))[:, None]
        until = known.cumsum(2)
        between = (until - until[:, range(now), own][:, :, None]).abs() - torch.where(after[..., None], known, 0.0)
        share = readable * signal[:, None] / (t.square()[:, None] + signal.square()[:, None] * strayed)
        share = share / (1 + strayed * between.clamp_min(0.0))
        return share, share * signal[:, None]

    def over(share: Tensor, values: Tensor) -> Tensor:
        return torch.einsum("bijk,bjkm->bikm", share, values)

    speed, place = _real(state[..., columns.speed]), _real(state[..., columns.place])
    t = _real(level[..., columns.speed]).amax(-1)
    gain = (1 - t) * SPEED_VARIANCE / ((1 - t).square() * SPEED_VARIANCE + t.square() + 1e-6)
    straight = (columns.per_second * apart).square()[..., None] * (SPEED_VARIANCE * (1 - gain * (1 - t)))[:, None]
    share, weight = weights_of(columns.place, straight + (STRAYS * apart).square()[..., None] + 1e-4)
    going = over(share, place) + over(weight * apart[..., None], columns.per_second * gain[..., None] * speed)
    total = weight.sum(2)[..., None] + 1

    share, weight = weights_of(columns.speed, (SWERVES * apart).square()[..., None] + 1e-3)
    speed_total = weight.sum(2)[..., None] + 1
    mean = torch.cat([going / total, over(share, speed) / speed_total], -1)
    spread = torch.cat([total.rsqrt().expand_as(going), speed_total.rsqrt().expand_as(going)], -1)
    return GaussianPrior(mean=mean, spread=spread, columns=columns)


def moving_share(share: Tensor, columns: MovingColumns) -> Tensor:
    """A factor for positions and velocities [B, T, K] as factors of all features [B, T, K, F]; 1 for the other features."""
    moving = share[..., None].expand(*share.shape, columns.speed[-1] + 1 - columns.place[0])
    return F.pad(moving, (columns.place[0], columns.features - columns.speed[-1] - 1), value=1.0)


@dataclass(frozen=True, kw_only=True)
class GaussianPrior:
    """Mean and standard deviation [B, T, K, 4] of each slot's position and velocity, given the other frames."""

    mean: Tensor
    spread: Tensor
    columns: MovingColumns

    def over(self) -> tuple[Tensor, Tensor]:
        """Mean and spread of all features of a slot [B, T, K, F]: 0 and 1 except for position and velocity."""
        around = self._around()
        return F.pad(self.mean, around), F.pad(self.spread, around, value=1.0)

    def _around(self) -> tuple[int, int]:
        """Number of features before and after position and velocity."""
        return self.columns.place[0], self.columns.features - self.columns.speed[-1] - 1

    def place(self, state: Tensor, level: Tensor) -> Tensor:
        """Posterior mean of the position [B, T, K, 2], given the prior and the noisy position."""
        x, t = _real(state[..., self.columns.place]), _real(level[..., self.columns.place])
        mean, variance = self.mean[..., :2], self.spread[..., :2].square()
        gain = (1 - t) * variance / (((1 - t).square()) * variance + t.square()).clamp_min(1e-8)
        return mean + gain * (x - (1 - t) * mean)

    def answered(self, change: Tensor) -> Tensor:
        """A change of the mean [B, T, K, 4] as the network output that causes it, for all features [B, T, K, F]."""
        return F.pad(change / self.spread, self._around())

    def features(self, state: Tensor, level: Tensor) -> Tensor:
        """Features of the prior for the slot tokens [B, T, K, EXPECTED]."""
        both = self.columns.place + self.columns.speed
        x, t = _real(state[..., both]), _real(level[..., both])
        off = (x - (1 - t) * self.mean) * torch.rsqrt(((1 - t) * self.spread).square() + t.square() + 1e-4)
        off, wide = off.clamp(-5, 5), self.spread.log()
        return torch.cat(
            [self.mean[..., :2], off[..., :2], wide[..., :1], self.mean[..., 2:], off[..., 2:], wide[..., 2:3]], -1
        )


class MotionPrior(nn.Module):
    """Adds the estimates from other frames to the slot tokens and to the network's output."""

    def __init__(self, schema: StateSchema, width: int) -> None:
        super().__init__()
        self.columns = MovingColumns.of(schema)
        answered = self.columns.answered
        self.into = Linear(2 * len(answered) + EXPECTED, width, bias=False)
        self.out = Linear(len(answered), schema.features, bias=False)
        nn.init.normal_(self.into.weight, std=0.02)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            for i, column in enumerate(answered):
                self.out.weight[column, i] = 0.0 if column in self.columns.place + self.columns.speed else 0.1

    def forward(
        self, state: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, now: int
    ) -> tuple[Tensor, Tensor, GaussianPrior]:
        """Of the last `now` frames: what to add to slot tokens [B, N, K, C] and to outputs [B, N, K, F], both in float32, and the
        prior, in float64 where the state is; bias [N, T]."""
        estimates, trust = answers(state, level, time_s, bias, now, self.columns)
        prior = expected(state, level, time_s, bias, now, self.columns)
        features = prior.features(state[:, -now:], level[:, -now:])
        drift = self.into(torch.cat([estimates, trust, features], -1)).float()
        return drift, self.out(estimates).float(), prior
