"""Signed distances of the Playground's kinds, in units of an entity's own frame.

Negative inside, positive outside. p = (u, v) are offsets from the center turned into the entity's frame and divided by its
radius, so every shape is drawn for radius 1. Distance formulas are the elementary ones (a half-plane, a box, a disc).

Axes: any; all arguments broadcast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BOX_HALF = 0.88
SCREEN_HALF = (0.9, 2.2)
REACH = {"ball": 1.0, "box": 1.25, "triangle": 1.2, "star": 1.25, "car": 1.3, "robot": 1.5, "screen": 2.4, "flag": 1.9}
"""Radius of a circle around everything a kind draws."""


def box(u: Tensor, v: Tensor, half_u: float, half_v: float, rounded: float = 0.0) -> Tensor:
    a, b = u.abs() - (half_u - rounded), v.abs() - (half_v - rounded)
    outside = (a.clamp_min(0).square() + b.clamp_min(0).square()).sqrt()
    return outside + torch.maximum(a, b).clamp_max(0) - rounded


def disc(u: Tensor, v: Tensor, radius: float = 1.0) -> Tensor:
    return (u.square() + v.square()).sqrt() - radius


def polygon(u: Tensor, v: Tensor, sides: int, inner: float) -> Tensor:
    """A regular polygon with a corner upwards, by its largest half-plane."""
    distance = torch.full_like(u, -10.0)
    for i in range(sides):
        angle = math.pi / 2 + math.pi / sides + 2 * math.pi * i / sides
        distance = torch.maximum(distance, u * math.cos(angle) + v * math.sin(angle) - inner)
    return distance


def star(u: Tensor, v: Tensor, outer: float = 1.2, inner: float = 0.56) -> Tensor:
    """Five points, one upwards: fold the angle into half a point, then one half-plane."""
    radius = (u.square() + v.square()).sqrt()
    step = 2 * math.pi / 5
    turn = torch.remainder(torch.atan2(u, v) + step / 2, step) - step / 2
    x, y = radius * turn.abs().sin(), radius * turn.cos()
    ix, iy = inner * math.sin(step / 2), inner * math.cos(step / 2)
    nx, ny = outer - iy, ix
    length = math.hypot(nx, ny)
    return ((x - ix) * nx + (y - iy) * ny) / length


def car_side(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Body, window, wheels of a car that looks to +u."""
    body = torch.minimum(box(u, v + 0.12, 1.1, 0.3, 0.14), box(u + 0.1, v - 0.3, 0.58, 0.34, 0.16))
    window = torch.minimum(box(u - 0.14, v - 0.32, 0.2, 0.17, 0.06), box(u + 0.36, v - 0.32, 0.2, 0.17, 0.06))
    wheels = torch.minimum(disc(u - 0.6, v + 0.4, 0.28), disc(u + 0.6, v + 0.4, 0.28))
    return body, window, wheels


def car_top(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    body = box(u, v, 1.1, 0.58, 0.25)
    window = torch.minimum(box(u - 0.38, v, 0.14, 0.42, 0.08), box(u + 0.62, v, 0.1, 0.38, 0.06))
    wheels = torch.minimum(box(u.abs() - 0.62, v.abs() - 0.58, 0.2, 0.1, 0.05), window + 9.0)
    return body, window, wheels


def robot(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Head, body and antenna; then the eyes."""
    head = box(u, v - 0.42, 0.62, 0.4, 0.14)
    trunk = box(u, v + 0.5, 0.82, 0.46, 0.12)
    mast = torch.minimum(box(u, v - 0.98, 0.07, 0.22), disc(u, v - 1.22, 0.16))
    eyes = disc(u.abs() - 0.27, v - 0.45, 0.17)
    return torch.minimum(torch.minimum(head, trunk), mast), eyes


def flag(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The pole, then the pennant; the pole's foot is one radius below the center."""
    pole = box(u + 0.45, v - 0.3, 0.07, 1.3)
    pennant = torch.maximum((u + 0.45) * 0.5 + (v - 1.1).abs() - 0.62, -(u + 0.45))
    return pole, pennant * 0.9
