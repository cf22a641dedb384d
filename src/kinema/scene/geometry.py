"""Geometry of the room, the camera's window and the kinds of objects. The only tables of these numbers.

A kind has several outlines, because they answer different questions:

- `OUTLINE`: what is drawn.
- `SOLID`: what collides and stands on the floor.
- `BODY`: a plain disc or rectangle of about the drawn area, to count what share of an object is visible.
- `CIRCLES`: two circles inside the solid, to tell from a few numbers whether two objects stand inside each other.
- `SHADOW`: the shadow on a floor seen from above.

All lengths of kinds are in multiples of an object's size (its radius in units), at angle 0. Where two tables hold different numbers
for one kind, the docstring of the second says why. The shipped weights were trained on these numbers: changing one changes
pictures, physics and golden results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ROOM_HEIGHT = 10.0
"""Height in units of the room, and of what a camera with zoom 1 shows from top to bottom."""
HALF_HEIGHT = ROOM_HEIGHT / 2
"""From the middle of a picture to its upper edge in units, at zoom 1."""
MIDDLE = 5.0
"""Both coordinates of the middle of the default room, where the default camera stands."""
DEFAULT_CAMERA = (MIDDLE, MIDDLE, 1.0)
"""Camera (pan x, pan y, zoom) that shows the default room exactly."""
FLOOR = 1.0
"""Height of the ground in the side view."""
CEILING = ROOM_HEIGHT
RIM = 0.3
"""Distance of the top view's walls from the room's edges."""
GRAVITY = 9.0
"""Of the side view, in units per second squared, downwards."""


@dataclass(frozen=True)
class Extent:
    """How far something reaches from its center: `across` to either side, `below`, `above`."""

    across: float
    below: float
    above: float


OUTLINE = {
    "ball": Extent(1.0, 1.0, 1.0),
    "box": Extent(0.88, 0.88, 0.88),
    "triangle": Extent(1.0, 0.575, 1.15),
    "star": Extent(1.14, 0.97, 1.2),
    "car": Extent(1.1, 0.66, 0.66),
    "robot": Extent(0.82, 0.96, 1.2),
    "screen": Extent(0.9, 2.2, 2.2),
    "flag": Extent(1.12, 1.0, 1.72),
}
"""What is drawn. Of the triangle and the star before their tips are cut off (`TIP`)."""
TIP = {"triangle": 1.08, "star": 1.14}
"""Radius at which the drawn tips are cut off, so that they do not flicker between pixels."""
NOTCH = 0.56
"""Radius of a star's notches."""

SYMMETRY = {"ball": 0, "box": 4, "triangle": 3, "star": 5, "car": 1, "robot": 1, "screen": 0, "flag": 0}
"""Order of the rotational symmetry; 0: the kind is never rotated."""

TURNING = tuple(kind for kind, order in SYMMETRY.items() if order > 0)
"""Kinds that are drawn turned; the others always stand upright."""

SOLID = {
    **OUTLINE,
    "star": Extent(1.05, 1.05, 1.05),
    "robot": Extent(0.82, 0.96, 0.85),
    "flag": Extent(0.8, 1.0, 1.7),
}
"""What collides and stands on the floor. The star is a circle between its notches and tips, so that it rolls; the robot is without
its antenna, so that a box may lie on its head. Nothing collides with a flag; its solid is what is kept free around it and what
counts as reaching it, and is a little less than its pennant."""

ROUND = ("ball", "star")
"""Kinds whose solid is a circle."""

BOUND = {
    kind: max(extent.across, extent.below, extent.above)
    if kind in ("ball", "triangle", "star")
    else math.hypot(extent.across, max(extent.below, extent.above))
    for kind, extent in OUTLINE.items()
}
"""Radius of a circle around the center that holds all that is drawn."""


@dataclass(frozen=True)
class BodyShape:
    """An ellipse or a rectangle that stands for a kind: half its width and height, and how far its center lies above the kind's."""

    across: float
    up: float
    rise: float = 0.0
    is_rectangle: bool = False


BODY = {
    "ball": BodyShape(1.0, 1.0),
    "box": BodyShape(0.88, 0.88, is_rectangle=True),
    "triangle": BodyShape(0.8, 0.7, 0.1),
    "star": BodyShape(0.85, 0.85),
    "car": BodyShape(1.1, 0.6, is_rectangle=True),
    "robot": BodyShape(0.7, 0.9, -0.05, is_rectangle=True),
    "screen": BodyShape(0.9, 2.2, is_rectangle=True),
    "flag": BodyShape(0.5, 0.6, 1.0),
}
"""What is counted to tell the visible share of a kind (`kinema.playground.visibility`): corners that are hardly drawn, notches, the
car's wheels, the antenna and the flag's pole are left out, so that the share of the body is near the share of the drawn area."""
MOVER_BODY = 0.95
"""Radius of the disc that stands for any mover in the episodes' own `visible` (`kinema.playground.camera`), which only has to say
whether a mover is in the picture and behind a screen; training data was made with it."""

CIRCLES = {
    "ball": (1.0, 0.0),
    "box": (0.88, 0.0),
    "triangle": (0.575, 0.0),
    "star": (0.8, 0.0),
    "car": (0.56, 0.5),
    "robot": (0.8, 0.0),
}
"""Two circles inside each kind that collides: their radius, and how far they lie before and behind its center. Circles that touch
mean that the objects overlap for certain, so they are smaller than `SOLID`."""

SHADOW = {
    "ball": (0.0, 0.0, 0.95),
    "box": (0.69, 0.69, 0.15),
    "triangle": (0.0, 0.0, 0.72),
    "star": (0.0, 0.0, 0.8),
    "car": (0.85, 0.35, 0.2),
    "robot": (0.45, 0.65, 0.25),
    "screen": (0.76, 2.0, 0.1),
    "flag": (0.0, 0.9, 0.1),
}
"""Shadow on a floor seen from above: a rounded rectangle's half sides without its rounding, and the rounding. A little smaller than
what is drawn, because its edge is soft."""


def bound(kind: str) -> float:
    """Radius of a circle around the center that holds a kind's solid."""
    up = max(SOLID[kind].below, SOLID[kind].above)
    return up if kind in ("ball", "star", "triangle") else math.hypot(up, SOLID[kind].across)


def standing_y(kind: str, size: float) -> float:
    """Height in units of the center of an object that stands on the floor of the side view."""
    return FLOOR + SOLID[kind].below * size


def cell_units(rows: float) -> float:
    """Height in units, at zoom 1, of one of the rows of cells (or of pixels) that fill a picture from top to bottom.

    rows: number of rows; not whole where the last one reaches beyond the picture.
    """
    return ROOM_HEIGHT / rows
