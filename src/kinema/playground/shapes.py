"""How each kind of thing looks: signed distances to its outline and parts, turned into coverage and shading.

Every painter works on patches of pixels in the thing's own frame, in multiples of its size, and answers with a `Paint`;
colors come later, as paint = base color * tint + gray. Distances follow the usual two-dimensional constructions (folding
space along symmetry axes; max and min of half planes). They are exact inside and next to edges, which is all that
anti-aliasing over one pixel needs.

Axes: M patches, h and w pixels of a patch. u, v: a thing's own axes (forward, up); light: -1 lower right .. 1 upper left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from kinema.scene.geometry import NOTCH, OUTLINE, TIP


@dataclass(frozen=True)
class Patch:
    """Where the pixels of M patches lie, in multiples of each thing's size. u, v, light: [M, h, w] or broadcastable to it;
    pixel: the width of one pixel [M, 1, 1]."""

    u: Tensor
    v: Tensor
    light: Tensor
    pixel: Tensor

    def cover(self, distance: Tensor) -> Tensor:
        """Share of each pixel inside an outline, 0..1."""
        return (0.5 - distance / self.pixel).clamp_(0.0, 1.0)


@dataclass
class Paint:
    """alpha: share of the pixel that is covered; tint and gray: color = base * tint + gray (of 1). All [M, h, w]."""

    alpha: Tensor
    tint: Tensor
    gray: Tensor | None = None

    def over(self, cover: Tensor, gray: float | Tensor) -> None:
        """Lay a neutral part over what is there: glass, rubber, eyes."""
        keep = 1.0 - cover
        self.tint = self.tint * keep
        self.gray = cover * gray if self.gray is None else self.gray * keep + cover * gray


def _box(u: Tensor, v: Tensor, half_u: float, half_v: float, rounding: float) -> Tensor:
    """Distance to a rectangle around the origin; rounded corners as seen from the inside and close by."""
    du, dv = u.abs() - (half_u - rounding), v.abs() - (half_v - rounding)
    outside = (du.clamp(min=0.0).square() + dv.clamp(min=0.0).square()).sqrt_()
    return outside + du.maximum(dv).clamp_(max=0.0) - rounding


def _disc(u: Tensor, v: Tensor, radius: float) -> Tensor:
    return (u * u + v * v).sqrt_() - radius


def _body(patch: Patch, distance: Tensor, rim: float = 0.16, dark: float = 0.3) -> Paint:
    """A filled outline under light from the upper left, with a darker rim inside its edge."""
    tint = 0.98 + 0.13 * patch.light
    edge = (1.0 + distance / patch.pixel.clamp(min=rim)).clamp_(0.0, 1.0)
    return Paint(patch.cover(distance), tint * (1.0 - dark * edge.square_()))


def ball(patch: Patch) -> Paint:
    squared = patch.u * patch.u + patch.v * patch.v
    distance = squared.sqrt() - OUTLINE["ball"].across
    paint = _body(patch, distance, rim=0.12, dark=0.22)
    paint.tint *= 1.06 - 0.16 * squared
    spot = (patch.u + 0.36).square() + (patch.v - 0.4).square()
    shine = (1.0 - spot / 0.11).clamp_(0.0, 1.0)
    paint.over(shine * (0.35 + 0.45 * shine), 1.0)
    return paint


def box(patch: Patch) -> Paint:
    distance = _box(patch.u, patch.v, OUTLINE["box"].across, OUTLINE["box"].above, 0.12)
    paint = _body(patch, distance)
    panel = patch.cover(distance + 0.3)
    groove = panel * patch.cover(-distance - 0.4)
    paint.tint *= 1.0 - 0.14 * groove
    return paint


def triangle(patch: Patch) -> Paint:
    sides = (0.8660254 * patch.u.abs() + 0.5 * patch.v).maximum(-patch.v) - OUTLINE["triangle"].below
    corners = (patch.u * patch.u + patch.v * patch.v).sqrt_() - TIP["triangle"]
    paint = _body(patch, sides.maximum(corners))
    paint.tint *= 1.0 + 0.07 * patch.cover(sides + 0.28)
    return paint


def star(patch: Patch) -> Paint:
    """Five points with notches between them. Folded twice, then one straight edge from a tip to a notch."""
    u, v = patch.u.abs(), patch.v
    point = OUTLINE["star"].above
    for axis_u, axis_v in ((0.809017, -0.587785), (-0.809017, -0.587785)):
        over = (u * axis_u + v * axis_v).clamp_(min=0.0) * 2.0
        u, v = u - over * axis_u, v - over * axis_v
    along = (NOTCH * math.sin(math.pi / 5), NOTCH * math.cos(math.pi / 5) - point)
    length = math.hypot(*along)
    distance = u.abs() * (-along[1] / length) + (v - point) * (along[0] / length)
    tips = (patch.u * patch.u + patch.v * patch.v).sqrt_() - TIP["star"]
    paint = _body(patch, distance.maximum(tips), rim=0.13)
    facet = (u.clamp(-0.05, 0.05)) * 1.2
    paint.tint += facet
    return paint


def car_side(patch: Patch) -> Paint:
    u, v = patch.u, patch.v
    wheels = [(u + at).square() + (v + 0.36).square() for at in (0.62, -0.62)]
    axle = wheels[0].minimum(wheels[1]).sqrt_()
    hull = _box(u, v + 0.1, OUTLINE["car"].across, 0.3, 0.16)
    slant = 0.94 * (u + 0.14).abs() + 0.34 * v
    cabin = (slant - 0.74).maximum(v - OUTLINE["car"].above).maximum(-v)
    paint = _body(patch, hull.minimum(cabin), rim=0.13)
    glass = (slant - 0.6).maximum(v - 0.53).maximum(0.21 - v).maximum(0.06 - (u + 0.14).abs())
    paint.over(patch.cover(glass), 0.9)
    paint.over(patch.cover(_disc(u - 0.98, v + 0.02, 0.1)), 0.97)
    tire = patch.cover(axle - 0.3)
    paint.over(tire, 0.12)
    paint.over(patch.cover(axle - 0.12), 0.62)
    paint.alpha = paint.alpha.maximum(tire)
    return paint


def car_top(patch: Patch) -> Paint:
    u, v = patch.u, patch.v
    hull = _box(u, v, OUTLINE["car"].across, 0.56, 0.22)
    paint = _body(patch, hull, rim=0.12)
    front = _box(u - 0.36, v, 0.17, 0.42, 0.08)
    rear = _box(u + 0.62, v, 0.1, 0.38, 0.06)
    paint.over(patch.cover(front.minimum(rear)), 0.16)
    paint.over(patch.cover(_disc(u - 0.97, v.abs() - 0.34, 0.1)), 0.97)
    tire = patch.cover(_box(u.abs() - 0.62, v.abs() - 0.54, 0.2, 0.12, 0.05)) * patch.cover(-hull)
    paint.over(tire, 0.12)
    paint.alpha = paint.alpha.maximum(tire)
    return paint


def robot(patch: Patch) -> Paint:
    """A wide head with a dark visor and two light eyes, looking forward; a narrower trunk, two feet and an antenna."""
    u, v = patch.u, patch.v
    head = _box(u, v - 0.3, OUTLINE["robot"].across, 0.55, 0.22)
    trunk = _box(u, v + 0.5, 0.52, 0.34, 0.1)
    knob = _disc(u, v - 1.06, 0.14)
    paint = _body(patch, head.minimum(trunk).minimum(knob), rim=0.13)
    feet = patch.cover(_box(u.abs() - 0.34, v + 0.84, 0.24, 0.12, 0.06))
    stem = patch.cover((u.abs() - 0.06).maximum((v - 0.9).abs() - 0.1))
    paint.over(feet.maximum(stem * (1.0 - patch.cover(knob))), 0.3)
    paint.over(patch.cover(_box(u - 0.05, v - 0.3, 0.62, 0.31, 0.16)), 0.1)
    paint.over(patch.cover(_disc((u - 0.08).abs() - 0.29, v - 0.3, 0.19)), 0.98)
    paint.alpha = paint.alpha.maximum(feet).maximum(stem)
    return paint


def screen(patch: Patch) -> Paint:
    """An upright wall of four planks in a thin frame."""
    across, up = patch.u.abs(), patch.v.abs()
    distance = (across - OUTLINE["screen"].across).maximum(up - OUTLINE["screen"].above)
    plank = (across - 0.4).abs().minimum(across) - 0.03
    inner = patch.cover(distance + 0.13)
    tint = 0.9 + 0.1 * patch.light.clamp(-1.0, 1.0) - 0.3 * (1.0 - inner)
    tint = tint - 0.22 * inner * patch.cover(plank)
    return Paint(patch.cover(distance), tint)


def flag(patch: Patch) -> Paint:
    """A pole through the center with a swallow-tailed pennant at its top."""
    u, v = patch.u, patch.v
    up = (v - 1.18).abs()
    pennant = (0.768 * u - 0.64 * up - 0.576).maximum(up - 0.45).maximum(-u)
    paint = _body(patch, pennant, rim=0.1)
    pole = (u.abs() - 0.085).maximum((v - 0.33).abs() - 1.27)
    rod = patch.cover(pole.minimum(_disc(u, v - 1.6, 0.12)).minimum(_box(u, v + 0.93, 0.3, 0.08, 0.04)))
    paint.over(rod, 0.56 + 0.2 * patch.light)
    paint.alpha = paint.alpha.maximum(rod)
    return paint


PAINTERS: tuple[tuple[str, Callable[[Patch], Paint]], ...] = (
    ("ball", ball),
    ("box", box),
    ("triangle", triangle),
    ("star", star),
    ("car", car_side),
    ("robot", robot),
    ("screen", screen),
    ("flag", flag),
    ("car", car_top),
)
"""In the order of KINDS; the last is a car in the top view."""
