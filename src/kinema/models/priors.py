"""What a picture looks like by the numbers of its entities alone, as far as it was found out before a network learned pictures
(`kinema.training.priors`).

Each latent of a picture is made on its own by a small network that reads where it lies from the places that numbers may stand for,
and, of things that have an angle, where it lies as seen from them: what is there is the same wherever a thing is and however it is
turned. What numbers do not say, such as which bricks are left, is as it is on average; a network that sees the past mends that.

Axes: D numbers, P points, M bodies, N latents of a picture, C channels, h x w latents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kinema.errors import ModelError
from kinema.models.rules import MEMORY

if TYPE_CHECKING:
    from kinema.models.dit import DiTConfig

PRIOR_WIDTH, MOST_WAVES, TURNS = 256, 16, 4
"""Of the small network; the most waves across a picture that tell it where a latent is, of which there are as many as latents along
it; up to how many times an angle it reads cosines and sines."""
Point = tuple[int, float, float]
"""The column of a number that may be a place along the picture, and about what it is at either edge."""
TurnedPoints = list[Point]
"""x and y of a thing, and the cosine and the sine of its angle, of which the "edges" stand for -1 and 1. x rises to the right and y
down, both from edge to edge over the same length, about the picture's longer side."""


def checked_places(config: DiTConfig) -> dict[str, Any]:
    """The entries `pointing`, `bodies` and `prior`, with points as tuples, as JSON has lists. ModelError: a point of a number that
    is not given, or edges that do not rise; a body that has not four points; a prior of other than one name, which is in
    `pointing_if`, other than rows and columns, or for a network that does not read the frame before."""
    for name, one in config.bodies.items():
        if not all(len(body) == 4 for body in one):
            raise ModelError(f"bodies {name} {one}: expected x, y, cosine and sine of each")
    for name, shape in config.prior.items():
        counts = isinstance(shape, list | tuple) and len(shape) == 2 and all(type(n) is int and n > 0 for n in shape)
        if len(config.prior) > 1 or name not in config.pointing_if or not counts or not config.context:
            raise ModelError(f"prior {config.prior}: expected rows and columns for a name in pointing_if, and a context")
    return {
        "pointing": {name: _points(config, name, one) for name, one in config.pointing.items()},
        "bodies": {name: [_points(config, name, body) for body in one] for name, one in config.bodies.items()},
        "prior": {name: list(shape) for name, shape in config.prior.items()},
    }


def _points(config: DiTConfig, name: str, points: Sequence[Any]) -> list[Point]:
    columns = range(config.known.get(name, 0))
    if not all(column in columns and -math.inf < least < most < math.inf for column, least, most in points):
        raise ModelError(f"places {name} {points}: expected columns of numbers that are given, and rising edges")
    return [(column, least, most) for column, least, most in points]


class PicturePrior(nn.Module):
    """Latents of a picture by numbers. Nothing is known until it is fitted, and it is never trained with the network that it is a
    part of.

    `useful` is 1 where it was found to tell more than an average picture does, else 0; `spread` is what changes of latents are
    predicted in. By the sigmoid of `trust` [h, w] a network trusts it to begin with, and not the frame before.
    """

    def __init__(self, config: DiTConfig) -> None:
        """config: with `prior`, of which this is the one entry. Numbers that are known and not predicted, such as actions, are
        read too, those of the last frame, but no memory."""
        super().__init__()
        ((self.source, (rows, columns)),) = config.prior.items()
        self.gate, reads = config.pointing_if[self.source], config.known[self.source]
        others = {name: n for name, n in config.known.items() if name not in (self.source, MEMORY, *config.predicted)}
        self.others = {name: n // config.context for name, n in others.items()}
        self.bodies, self.points = list(config.bodies.get(self.source, ())), list(config.pointing.get(self.source, ()))
        self.known_if = [self.gate] * len(self.points)
        for name, count in self.others.items():
            shift = reads + count - config.known[name]
            points = [(column + shift, least, most) for column, least, most in config.pointing.get(name, ())]
            points = [point for point in points if point[0] >= reads]
            reads += count + 1
            self.points, self.known_if = self.points + points, self.known_if + [reads - 1] * len(points)
        turned = len(self.bodies)
        self.waves = min(max(rows, columns), MOST_WAVES)
        features = reads + 4 * self.waves * (len(self.points) + turned) + 2 * TURNS * turned
        placed = len(self.points) + 2 * turned
        self.mend = nn.Parameter(torch.zeros(2, placed)) if placed else None
        self.place_bias = nn.Parameter(torch.zeros(rows * columns, PRIOR_WIDTH))
        self.first = nn.Linear(features, PRIOR_WIDTH)
        inner = [part for _ in range(2) for part in (nn.Linear(PRIOR_WIDTH, PRIOR_WIDTH), nn.SiLU())]
        self.inner, self.last = nn.Sequential(nn.SiLU(), *inner), nn.Linear(PRIOR_WIDTH, config.channels)
        for weight in self.last.parameters():
            nn.init.zeros_(weight)
        self.register_buffer("usual", torch.zeros(config.channels, rows, columns))
        self.register_buffer("unit", torch.ones(config.channels))
        self.register_buffer("spread", torch.ones(1))
        self.register_buffer("useful", torch.zeros(1))
        self.register_buffer("trust", torch.zeros(rows, columns))
        self.requires_grad_(False)

    def forward(self, vectors: Mapping[str, Tensor], last: Tensor) -> Tensor:
        """How the prior of a frame differs from the frame before it, `last` [..., C, h, w], in units of the spread; nowhere where
        the numbers are not given. In float32 whatever the autocast."""
        usual, kind, reads = self.get_buffer("usual"), last.device.type, self.reads(vectors)
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            cells = torch.arange(usual[0].numel(), device=last.device).expand(*reads.shape[:-1], -1)
            beside = (self.get_buffer("unit") * self.at(reads, cells)).transpose(-1, -2).reshape(last.shape)
            given = vectors[self.source][..., self.gate, None, None, None].float() * self.get_buffer("useful")
            made: Tensor = given * (usual + beside - last.float()) / self.get_buffer("spread")
        return made

    def reads(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """[..., D] of what a network is given of a frame: the numbers, and of others those of the last frame and whether there are
        any but zeros."""
        parts = [vectors[self.source].float()]
        for name, count in self.others.items():
            last = vectors[name][..., -count:].float()
            parts += [last, (last != 0).any(-1, keepdim=True).float()]
        return torch.cat(parts, -1)

    def at(self, numbers: Tensor, cells: Tensor) -> Tensor:
        """What is beside the usual, in its units, [..., N, C], at latents [..., N], counted row by row, by numbers that are read
        [..., D]."""
        parts = [numbers[..., None, :].expand(*cells.shape, -1)]
        if self.mend is not None:
            parts += self._seen(numbers, cells, *self.mend)
        read = torch.cat([part.flatten(len(cells.shape)) for part in parts], -1)
        made: Tensor = self.last(self.inner(self.first(read) + self.place_bias[cells]))
        return made

    def _seen(self, numbers: Tensor, cells: Tensor, stretch: Tensor, shift: Tensor) -> list[Tensor]:
        """Where latents lie as seen from places and from things with an angle, and these angles [..., N, some, some] each."""
        _, rows, columns = self.get_buffer("usual").shape
        count, turned = len(self.points), len(self.bodies)
        right, down = (
            ((cells % columns + 0.5) / columns - 0.5)[..., None],
            ((cells // columns + 0.5) / rows - 0.5)[..., None],
        )
        places = self.points + [body[axis] for axis in (0, 1) for body in self.bodies]
        at = ((_between(numbers, places) - 0.5) * (1 + stretch) + shift)[..., None, :]
        known = numbers[..., self.known_if][..., None, :, None]
        parts = [self._waves(place - at[..., :count]) * known for place in (right, down)]
        if turned:
            x = right * (columns / max(rows, columns)) - at[..., count : count + turned]
            y = down * (rows / max(rows, columns)) - at[..., count + turned :]
            angle = self._angle(numbers)[..., None, :]
            cosine, sine = angle.cos(), angle.sin()
            parts += [self._waves(cosine * x + sine * y), self._waves(cosine * y - sine * x)]
            many = angle[..., None] * torch.arange(1, TURNS + 1, device=angle.device)
            parts += [f(many).expand(*cells.shape, -1, -1) for f in (torch.cos, torch.sin)]
        return parts

    def _angle(self, numbers: Tensor) -> Tensor:
        """Of each body [..., M], by its cosine and its sine, of which predicted ones are a little off."""
        cosine, sine = (2 * _between(numbers, [body[at] for body in self.bodies]) - 1 for at in (2, 3))
        return torch.atan2(sine, cosine)

    def _waves(self, far: Tensor) -> Tensor:
        """Sines and cosines [..., 2 * waves] of how far latents are from places [...], in pictures."""
        angle = far[..., None] * (2 * math.pi * torch.arange(1, self.waves + 1, device=far.device))
        return torch.cat([angle.sin(), angle.cos()], -1)


def _between(numbers: Tensor, points: Sequence[Point]) -> Tensor:
    """How far numbers [..., D] are from one edge, 0, to the other, 1, of each point [..., P]."""
    least, most = (torch.tensor([point[at] for point in points], device=numbers.device) for at in (1, 2))
    return (numbers[..., [column for column, *_ in points]] - least) / (most - least)


def prior_products(config: DiTConfig) -> int:
    """Products of numbers that the prior of a frame takes; 0 for a network without one."""
    if not config.prior:
        return 0
    with torch.device("meta"):
        prior = PicturePrior(config)
    return len(prior.place_bias) * sum(x.weight.numel() for x in prior.modules() if isinstance(x, nn.Linear))
