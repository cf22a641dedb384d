"""The Playground's physics: pymunk bodies for the entities of one scene, stepped frame by frame.

Side view: gravity down, floor at y = 1, walls at x = 0 and x = room_width, ceiling at y = 10. Top view: no gravity, walls
0.3 from the room's edges, speed decays exponentially. Screens and flags are scenery: nothing collides with them. Balls and
stars collide as circles. Bodies keep their angle unless the scene distribution lets boxes and triangles tumble; a star turns as it
rolls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pymunk

from kinema.scene.geometry import CEILING, FLOOR, GRAVITY, RIM, ROUND, SOLID, bound

SUBSTEPS_HZ = 128.0
ROBOT_SPEED = 3.5
JUMP_SPEED = 6.0
SIDE_DAMPING = 0.96
TOP_DAMPING = 0.72
"""Share of the speed kept after one second."""

SCENERY = ("screen", "flag")
RESTITUTION = {"plain": 0.7, "bouncy": 0.95, "heavy": 0.4}
DENSITY = {"plain": 1.0, "bouncy": 1.0, "heavy": 4.0}
FRICTION = {"ball": 0.0, "star": 0.0, "box": 0.18, "triangle": 0.18, "car": 0.0, "robot": 0.0}

_ROUND, _CORNERED, _FOOT = 1, 2, 4
"""Who collides with whom: a triangle has an upright foot for cornered shapes only, else they would climb its slopes."""

Rows = list[tuple[float, float, float, float, float]]
"""(x, y, vx, vy, angle) of every slot in one frame."""


@dataclass(kw_only=True)
class Actor:
    """One entity at the start of a scene. motor: the speed a car's engine holds, 0 for none."""

    kind: str
    color: str
    material: str
    size: float
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    angle: float = 0.0
    motor: float = 0.0

    @property
    def bound(self) -> float:
        """Radius of a circle around the center that holds the whole entity."""
        return self.size * bound(self.kind)

    @property
    def reach(self) -> float:
        return self.size * SOLID[self.kind].across


@dataclass(kw_only=True)
class EpisodeSetup:
    """A scene before the first frame; actors in slot order. lead: the slot the scene is about; load: what the lead meets."""

    view: str
    background: str
    room_width: float
    scenario: str
    actors: list[Actor]
    lead: int = 0
    load: int | None = None
    policy: str = "idle"
    tumble: bool = False


@dataclass(frozen=True)
class Contact:
    """The begin of a touch: slot against another slot, or against a wall when other is -1."""

    time_s: float
    slot: int
    other: int
    where: str
    speed: float


@dataclass
class PhysicsWorld:
    """The bodies of one scene. `step` moves them by one frame; `row` reads them."""

    cast: EpisodeSetup
    fps: float
    time_s: float = 0.0
    contacts: list[Contact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.side = self.cast.view == "side"
        self.substeps = max(1, round(SUBSTEPS_HZ / self.fps))
        self.dt = 1.0 / (self.fps * self.substeps)
        self.space: Any = pymunk.Space()
        self.space.gravity = (0.0, -GRAVITY if self.side else 0.0)
        self.space.damping = SIDE_DAMPING if self.side else TOP_DAMPING
        self.space.collision_slop = 0.005
        self.space.iterations = 12
        self._add_walls()
        self.bodies: list[Any] = []
        self.robots: list[int] = []
        self.motors: dict[int, float] = {}
        self.spin = [actor.angle for actor in self.cast.actors]
        self._grounded_before = False
        for slot, actor in enumerate(self.cast.actors):
            self.bodies.append(None if actor.kind in SCENERY else self._add_body(slot, actor))
            if actor.kind == "robot":
                self.robots.append(slot)
            if actor.motor:
                self.motors[slot] = actor.motor
        self.turns = [s for s, b in enumerate(self.bodies) if b is not None and math.isfinite(b.moment)]
        self.space.on_collision(None, None, begin=self._begin)

    def _add_walls(self) -> None:
        width, thick = self.cast.room_width, 1.0
        low, left, right, high = (FLOOR, 0.0, width, CEILING) if self.side else (RIM, RIM, width - RIM, CEILING - RIM)
        under, over = ("floor", "ceiling") if self.side else ("bottom wall", "top wall")
        lines = {
            under: ((-5, low - thick), (width + 5, low - thick)),
            over: ((-5, high + thick), (width + 5, high + thick)),
            "left wall": ((left - thick, -5), (left - thick, 15)),
            "right wall": ((right + thick, -5), (right + thick, 15)),
        }
        for name, (start, end) in lines.items():
            wall: Any = pymunk.Segment(self.space.static_body, start, end, thick)
            wall.elasticity, wall.friction = 1.0, 1.0
            wall.name = name
            self.space.add(wall)

    def _add_body(self, slot: int, actor: Actor) -> Any:
        r = actor.size
        mass = DENSITY[actor.material] * r * r
        turns = self.cast.tumble and self.side and actor.kind in ("box", "triangle")
        corners = _corners(actor.kind, r)
        moment = pymunk.moment_for_poly(mass, corners) if turns else math.inf
        body = pymunk.Body(mass, moment)
        body.position, body.velocity, body.angle = (actor.x, actor.y), (actor.vx, actor.vy), actor.angle
        outline: Any = pymunk.Poly(body, corners) if corners else pymunk.Circle(body, r * SOLID[actor.kind].across)
        outline.filter = pymunk.ShapeFilter(categories=_CORNERED if corners else _ROUND)
        outlines = [outline]
        if actor.kind == "triangle" and self.side:
            low = -r * SOLID["triangle"].below
            foot: Any = pymunk.Poly(body, [(-r, low), (r, low), (r, low + 0.4 * r), (-r, low + 0.4 * r)])
            foot.filter = pymunk.ShapeFilter(categories=_FOOT, mask=_CORNERED)
            outlines.append(foot)
        for shape in outlines:
            shape.elasticity = 0.2 if actor.kind in ("car", "robot") else RESTITUTION[actor.material]
            shape.friction = FRICTION[actor.kind] * (2.0 if turns else 1.0)
            shape.slot = slot
        self.space.add(body, *outlines)
        return body

    def _begin(self, arbiter: Any, space: Any, data: Any) -> None:
        first, second = arbiter.shapes
        a, b = getattr(first, "slot", -1), getattr(second, "slot", -1)
        normal = arbiter.normal
        closing = abs((first.body.velocity - second.body.velocity).dot(normal))
        if a < 0:
            a, b, first, second = b, a, second, first
        where = getattr(second, "name", "")
        if where.endswith("wall") and a in self.motors:
            self.motors[a] = 0.0
        self.contacts.append(Contact(self.time_s, a, b, where, closing))

    def step(self, action: tuple[float, float] = (0.0, 0.0)) -> None:
        """One frame further; action: two numbers in [-1, 1] for every robot."""
        self._drive(action)
        for _ in range(self.substeps):
            self.space.step(self.dt)
            self.time_s += self.dt
        frame = self.dt * self.substeps
        for slot in self.turns:
            body = self.bodies[slot]
            body.angular_velocity = max(-4.0, min(4.0, body.angular_velocity)) * math.exp(-1.5 * frame)
        if self.side:
            for slot, body in enumerate(self.bodies):
                if body is not None and self.cast.actors[slot].kind == "star":
                    self.spin[slot] -= body.velocity.x / self.cast.actors[slot].size * frame

    def _drive(self, action: tuple[float, float]) -> None:
        frame = self.dt * self.substeps
        for slot, speed in self.motors.items():
            body, heading = self.bodies[slot], (0.0 if self.side else self.cast.actors[slot].angle)
            along = body.velocity.x * math.cos(heading) + body.velocity.y * math.sin(heading)
            gain = max(-6.0 * frame, min(6.0 * frame, speed - along))
            body.velocity += (gain * math.cos(heading), gain * math.sin(heading))
        for slot in self.robots:
            body = self.bodies[slot]
            vx, vy = body.velocity
            ax, ay = (max(-1.0, min(1.0, float(a))) for a in action)
            if self.side:
                gain = max(-12.0 * frame, min(12.0 * frame, ROBOT_SPEED * ax - vx))
                grounded = abs(vy) < 0.05
                jump = ay > 0.5 and grounded and self._grounded_before
                self._grounded_before = grounded and not jump
                body.velocity = (vx + gain, JUMP_SPEED if jump else vy)
            else:
                vx, vy = vx + 10.0 * ax * frame, vy + 10.0 * ay * frame
                over = max(1.0, math.hypot(vx, vy) / ROBOT_SPEED)
                body.velocity = (vx / over, vy / over)

    def rows(self) -> Rows:
        """(x, y, vx, vy, angle) of every slot now."""
        out = []
        for slot, body in enumerate(self.bodies):
            actor = self.cast.actors[slot]
            if body is None:
                out.append((actor.x, actor.y, 0.0, 0.0, 0.0))
            else:
                (x, y), (vx, vy) = body.position, body.velocity
                out.append((x, y, vx, vy, self.spin[slot] if actor.kind == "star" else body.angle))
        return out


def _corners(kind: str, r: float) -> list[tuple[float, float]]:
    """Outline at angle 0; empty for circles."""
    if kind in ROUND:
        return []
    if kind == "triangle":
        far = r * SOLID[kind].above
        return [(far * math.cos(a), far * math.sin(a)) for a in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6)]
    w, low, high = r * SOLID[kind].across, r * SOLID[kind].below, r * SOLID[kind].above
    return [(-w, -low), (w, -low), (w, high), (-w, high)]
