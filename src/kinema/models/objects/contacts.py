"""Contact module: changes of position and velocity when two slots, or a slot and a wall, touch.

The trunk gets positions as Fourier features, which do not resolve the 0.08 units between "about to touch" and "touched", so it
predicts a mean over the time of contact: an object that stops (docs/training-log.md). This module gets the gap as an input. For
every pair of slots it takes from the motion prior (`kinema.models.objects.motion_prior`), in float32, the gap along the line
between their centers and its closing speed, and their materials and sizes. It predicts a change of position and velocity along that
line and across it, summed over partners; four walls are partners too. The prior assumes straight motion, so a gap below 0 is how
far past the contact the expected position lies. The trunk's output at a contact is a mean over whether it has happened, so
the module also predicts the share of that output to retain.

Axes: B batch, N frames, K slots, F features, W walls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.block import Linear
from kinema.scene.geometry import CEILING, FLOOR, RIM, ROOM_HEIGHT
from kinema.scene.schema import StateSchema

REACH_UNITS = 1.5
"""Partners farther apart than this have no effect on each other."""
WALLS = ((FLOOR, 0.0, ROOM_HEIGHT, CEILING), (RIM, RIM, ROOM_HEIGHT - RIM, CEILING - RIM))
"""Initial positions of floor, left wall, right wall and ceiling in units, in the side view and from above: those of
the Playground, whatever the schema. They are trained."""
NORMALS = ((0.0, -1.0), (-1.0, 0.0), (1.0, 0.0), (0.0, 1.0))
GEOMETRY = 6
"""Number of geometry features of a pair: the gap at three scales, closing and sliding speed, touching times closing."""
ANSWERS = 8
KEEPING = 4.0
"""Initial log odds of retaining the trunk's output."""
MIN_SPREAD = 0.005


def _geometry(gap: Tensor, closing: Tensor, sliding: Tensor) -> Tensor:
    touching = torch.sigmoid(-60 * gap)
    scaled = [gap * 2, (gap * 10).clamp(-3, 3), (gap * 40).clamp(-3, 3), closing / 3, sliding / 3, touching * closing / 3]
    return torch.stack(scaled, -1)


def _retained(answers: Tensor, near: Tensor) -> Tensor:
    """Share of the trunk's output to retain because of one partner, 0 to 1."""
    return 1 - torch.sigmoid(answers[..., 7] - KEEPING) * near


def _changes(answers: Tensor, gap: Tensor, closing: Tensor, normal: Tensor, schema: StateSchema) -> Tensor:
    """The network's outputs [..., ANSWERS] as changes of (x, y, vx, vy) [..., 4] on the track. An impulse scales with the closing
    speed, and the correction of the expected position with its depth past the contact."""
    depth = (-gap).clamp(0, 1)
    tangent = torch.stack([-normal[..., 1], normal[..., 0]], -1)
    place_n = 0.1 * answers[..., 0] + answers[..., 1] * depth / schema.position_scale
    velocity_n = answers[..., 3] + answers[..., 4] * closing / schema.velocity_scale
    place = place_n[..., None] * normal + 0.1 * answers[..., 2, None] * tangent
    velocity = (
        velocity_n[..., None] * normal
        + (answers[..., 5] + answers[..., 6] * closing / schema.velocity_scale)[..., None] * tangent
    )
    return torch.cat([place, velocity], -1)


@dataclass(frozen=True, kw_only=True)
class _Slots:
    """Inputs of the contact module for every slot, in units: expected place and velocity [B, N, K, 2], half its extent across and
    down [B, N, K, 2], size and whether it is known to exist [B, N, K], kind and material, and log spreads of the prior."""

    place: Tensor
    velocity: Tensor
    half: Tensor
    size: Tensor
    appearance: Tensor
    certainty: Tensor
    exists: Tensor


class _Network(nn.Module):
    """An MLP with two hidden layers whose output is 0 at the start of training."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = Linear(inputs, hidden), Linear(hidden, hidden)
        self.last = Linear(hidden, ANSWERS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.last(F.silu(self.second(F.silu(self.first(x)))))
        return answers


class ContactModule(nn.Module):
    """Changes of the motion prior's mean by contacts, for pairs of slots and for slots and walls."""

    def __init__(self, schema: StateSchema, hidden: int = 96) -> None:
        super().__init__()
        self.schema = schema
        self.kind, self.material, self.size = (schema.slice(name) for name in ("kind", "material", "size"))
        appearance = len(schema.kinds) + len(schema.materials)
        self.reach = nn.Parameter(torch.tensor(schema.solid))
        self.walls = nn.Parameter(torch.tensor(WALLS))
        self.pairs = _Network(GEOMETRY + 2 * appearance + 7, hidden)
        self.sides = _Network(GEOMETRY + appearance + 4 + len(NORMALS), hidden)

    def forward(self, state: Tensor, level: Tensor, view: Tensor, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """state, level [B, N, K, F] as tracks; view [B, N], 1 from the side, -1 from above, 0 unknown; mean, spread [B, N, K, 4] of
        positions and velocities by the motion prior. Returns the change of that mean [B, N, K, 4], and the share of the trunk's
        output for positions and velocities to retain [B, N, K], in the dtype of `mean`."""
        dtype = mean.dtype
        kind, material = (state[..., columns].to(dtype) for columns in (self.kind, self.material))
        unknown = torch.cat([level[..., columns] for columns in (slice(0, 1), self.kind, self.size)], -1).amax(-1)
        size = self.schema.size_units(state[..., self.size][..., 0]).to(dtype).clamp(0.1, 3)
        slots = _Slots(
            place=self.schema.position_units(mean[..., :2]),
            velocity=self.schema.velocity_scale * mean[..., 2:],
            half=size[..., None] * ((kind > 0).to(dtype) @ self.reach.to(dtype)),
            size=size,
            appearance=torch.cat([kind, material], -1),
            certainty=spread.clamp_min(MIN_SPREAD).log()[..., ::2] * 0.3,
            exists=((state[..., 0] > 0) * (1 - unknown).clamp(0, 1)).to(dtype),
        )
        between, retained = self._between(slots)
        against, retained_by_walls = self._walls(slots, view.to(dtype))
        return between + against, retained * retained_by_walls

    def _between(self, slots: _Slots) -> tuple[Tensor, Tensor]:
        count = slots.place.shape[2]
        offset = slots.place[:, :, None] - slots.place[:, :, :, None]
        apart = offset.square().sum(-1).clamp_min(1e-6).sqrt()
        normal = offset / apart[..., None]
        relative = slots.velocity[:, :, None] - slots.velocity[:, :, :, None]
        closing = -(relative * normal).sum(-1)
        sliding = relative[..., 1] * normal[..., 0] - relative[..., 0] * normal[..., 1]
        gap = apart - slots.half[..., 0, None] - slots.half[:, :, None, :, 0]
        square = slots.size.square()

        def own(x: Tensor) -> Tensor:
            return x[:, :, :, None].expand(-1, -1, -1, count, -1)

        def other(x: Tensor) -> Tensor:
            return x[:, :, None].expand(-1, -1, count, -1, -1)

        extra = torch.cat([slots.appearance, slots.certainty, (slots.size - self.schema.size_offset)[..., None]], -1)
        lighter = square[:, :, None] / (square[..., None] + square[:, :, None])
        features = [_geometry(gap, closing, sliding), own(extra), other(extra), lighter[..., None]]
        answers = self.pairs(torch.cat(features, -1))
        near = torch.sigmoid((REACH_UNITS - gap) / 0.1) * slots.exists[..., None] * slots.exists[:, :, None]
        near = near * (1 - torch.eye(count, device=gap.device, dtype=gap.dtype))
        change = (_changes(answers, gap, closing, normal, self.schema) * near[..., None]).sum(3)
        return change, _retained(answers, near).prod(3)

    def _walls(self, slots: _Slots, view: Tensor) -> tuple[Tensor, Tensor]:
        walls = self.walls.to(view.dtype)
        from_side = (1 + view[..., None]) / 2
        at = from_side * walls[0] + (1 - from_side) * walls[1]
        normal = torch.tensor(NORMALS, device=view.device, dtype=view.dtype)
        vertical = normal[:, 1].abs()
        toward = normal.sum(-1)
        reach = slots.half[..., :1] * (1 - vertical) + slots.half[..., 1:] * vertical
        gap = (at[:, :, None] - slots.place @ normal.abs().T) * toward - reach
        closing = slots.velocity @ normal.T
        sliding = slots.velocity @ torch.stack([-normal[:, 1], normal[:, 0]])
        frames = (*slots.place.shape[:3], len(NORMALS))

        def each(x: Tensor) -> Tensor:
            return x[..., None, :].expand(*frames, -1)

        which = torch.eye(len(NORMALS), device=view.device, dtype=view.dtype).expand(*frames, -1)
        more = torch.stack([slots.size - self.schema.size_offset, view[..., None].expand_as(slots.size)], -1)
        features = [_geometry(gap, closing, sliding), each(slots.appearance), each(slots.certainty), each(more), which]
        answers = self.sides(torch.cat(features, -1))
        near = torch.sigmoid((REACH_UNITS - gap) / 0.1) * slots.exists[..., None]
        change = (_changes(answers, gap, closing, normal.expand(*frames, 2), self.schema) * near[..., None]).sum(3)
        return change, _retained(answers, near).prod(3)
