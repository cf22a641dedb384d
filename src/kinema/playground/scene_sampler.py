"""A scene under construction: draws entities, places them and sets them moving, within the bounds of a scene distribution."""

from __future__ import annotations

import math
from random import Random

from kinema.playground.physics import SCENERY, Actor
from kinema.playground.scene_distribution import SceneDistribution
from kinema.scene.geometry import CEILING, RIM, SOLID, standing_y
from kinema.scene.scene import COLORS, KINDS, SIZES

MOVERS = ("ball", "box", "triangle", "star", "car", "robot")
GAP = 0.15
"""Free space between any two entities at the start."""


class SceneSampler:
    """Actors in the order they were drawn; the lead comes first. must: a pair that the scene still has to hold."""

    def __init__(
        self,
        distribution: SceneDistribution,
        rng: Random,
        scenario: str,
        view: str,
        room_width: float,
        must: tuple[int, int] | None,
    ) -> None:
        self.distribution, self.rng, self.scenario, self.width, self.must = distribution, rng, scenario, room_width, must
        self.view, self.side = view, view == "side"
        self.pool = distribution.pairs()
        self.actors: list[Actor] = []
        self.crowded = False
        self.policy = rng.choice(("idle", "drift", "drift", "seek"))

    def actor(self, kinds: tuple[str, ...], size: str | None = None, color: str | None = None) -> Actor | None:
        """A new entity of one of the kinds, standing at x = 0; None when the pool has none left."""
        some = [pair for pair in self.pool if KINDS[pair[0]] in kinds and color in (None, COLORS[pair[1]])]
        if any(a.kind == "robot" for a in self.actors):
            some = [pair for pair in some if KINDS[pair[0]] != "robot"]
        if not some:
            return None
        if self.must is not None and self.must in some:
            pair, self.must = self.must, None
        else:
            kind = self.rng.choice(sorted({pair[0] for pair in some}))
            pair = self.rng.choice([p for p in some if p[0] == kind])
        self.pool.remove(pair)
        kind_name = KINDS[pair[0]]
        if size is None or size not in self.distribution.sizes:
            size = (
                "small" if self.crowded and "small" in self.distribution.sizes else self.rng.choice(self.distribution.sizes)
            )
        material = (
            "plain" if kind_name in ("car", "robot", *SCENERY) else weighted_choice(self.rng, self.distribution.materials)
        )
        radius = SIZES[size]
        actor = Actor(kind=kind_name, color=COLORS[pair[1]], material=material, size=radius, x=0.0, y=0.0)
        if self.side:
            actor.y = standing_y(kind_name, radius)
        else:
            actor.y = self.rng.uniform(RIM + actor.bound + 0.1, CEILING - RIM - actor.bound - 0.1)
            if kind_name in ("box", "triangle", "car"):
                actor.angle = self.rng.uniform(-math.pi, math.pi)
        if kind_name == "star":
            actor.angle = self.rng.uniform(-math.pi, math.pi)
        elif kind_name == "car" and self.side:
            actor.angle = self.rng.choice((0.0, math.pi))
        self.actors.append(actor)
        return actor

    def span(self, actor: Actor) -> tuple[float, float]:
        """Where the center may be along x."""
        edge = 0.05 if self.side else RIM + 0.05
        reach = actor.reach if self.side else actor.bound
        return edge + reach, self.width - edge - reach

    def speed(self) -> float:
        return self.rng.uniform(*self.distribution.speeds)

    def start(self, actor: Actor, towards: float, speed: float | None = None) -> None:
        """Sets the actor moving along `towards`, an angle; robots move by their actions instead."""
        speed = self.speed() if speed is None else speed
        if actor.kind == "robot":
            self.policy = self.policy if self.policy != "idle" else "drift"
            return
        if self.side:
            towards = 0.0 if math.cos(towards) > 0 else math.pi
        if actor.kind == "car":
            speed = min(speed, 4.0)
            actor.angle = towards
            actor.motor = math.copysign(speed, math.cos(towards)) if self.side else speed
        actor.vx, actor.vy = speed * math.cos(towards), 0.0 if self.side else speed * math.sin(towards)

    def heading(self) -> float:
        """A direction: along x in side view; mostly along an axis, else anywhere, in top view."""
        if self.side:
            return self.rng.choice((0.0, math.pi))
        if self.rng.random() < 0.6:
            return self.rng.choice((0.0, 0.5, 1.0, 1.5)) * math.pi + self.rng.uniform(-0.15, 0.15)
        return self.rng.uniform(-math.pi, math.pi)

    def put(self, actor: Actor, x: float) -> None:
        low, high = self.span(actor)
        actor.x = min(max(x, low), high)

    def ahead(self, actor: Actor, heading: float, distance: float) -> tuple[float, float]:
        return actor.x + distance * math.cos(heading), actor.y + distance * math.sin(heading)

    def place(self, actor: Actor, heading: float) -> None:
        """Somewhere with room ahead."""
        low, high = self.span(actor)
        back, front = low + 0.35 * (high - low), high - 0.35 * (high - low)
        c = math.cos(heading)
        actor.x = self.rng.uniform(low if c > -0.3 else front, high if c < 0.3 else back)
        if not self.side:
            s, bottom, top = math.sin(heading), RIM + actor.bound + 0.05, CEILING - RIM - actor.bound - 0.05
            third = 0.35 * (top - bottom)
            actor.y = self.rng.uniform(bottom if s > -0.3 else top - third, top if s < 0.3 else bottom + third)

    def lift(self, actor: Actor, low: float) -> None:
        """Raises an actor at least `low` above its stand."""
        stand = standing_y(actor.kind, actor.size)
        actor.y = self.rng.uniform(stand + low, max(stand + low + 0.1, CEILING - 0.6 - SOLID[actor.kind].above * actor.size))

    def line_up(self) -> None:
        """Places all actors at random: in a row in their order, from either end, in side view; anywhere in top view."""
        if not self.side:
            for i, actor in enumerate(self.actors):
                self._scatter(actor, self.actors[:i])
            return
        room = self.width - 0.1 - sum(2 * actor.reach + 2 * GAP for actor in self.actors)
        shares = [self.rng.random() for _ in range(len(self.actors) + 1)]
        x, flip = 0.05, self.rng.random() < 0.5
        for actor, share in zip(self.actors, shares, strict=False):
            x += max(room, 0.0) * share / sum(shares) + actor.reach + GAP
            actor.x = self.width - x if flip else x
            x += actor.reach + GAP

    def _scatter(self, actor: Actor, others: list[Actor]) -> bool:
        """Looks for a free place; False when there is none."""
        for _ in range(20):
            actor.x = self.rng.uniform(*self.span(actor))
            if not self.side:
                actor.y = self.rng.uniform(RIM + actor.bound + 0.05, CEILING - RIM - actor.bound - 0.05)
            if not any(_touch(actor, other) for other in others if other is not actor):
                return True
        return False

    def bystander(self) -> bool:
        """Adds one more entity where there is room; False when there is none."""
        scenery = tuple(k for k in SCENERY if (self.side or k != "screen") and k not in [a.kind for a in self.actors])
        fence = self.rng.random() < self.distribution.fences or (self.must is not None and KINDS[self.must[0]] in SCENERY)
        actor = (self.actor(scenery) if fence else None) or self.actor(MOVERS) or self.actor(scenery)
        if actor is None:
            return False
        moves = actor.kind not in SCENERY and self.rng.random() < self.distribution.extra_movers and self.scenario != "still"
        if moves and self.side and actor.kind not in ("car", "robot") and self.rng.random() < 0.4:
            self.lift(actor, 2.0)
        elif moves:
            self.start(actor, self.heading())
        if self._scatter(actor, self.actors):
            return True
        self.actors.remove(actor)
        return False


def any_overlap(actors: list[Actor]) -> bool:
    """Whether two entities start inside each other."""
    return any(_touch(a, b) for i, a in enumerate(actors) for b in actors[:i])


def _touch(a: Actor, b: Actor) -> bool:
    if abs(a.y - b.y) > a.bound + b.bound + GAP:
        return False
    if _upright(a) and _upright(b):
        low, high = (a, b) if a.y < b.y else (b, a)
        apart = (high.y - SOLID[high.kind].below * high.size) - (low.y + SOLID[low.kind].above * low.size)
        return abs(a.x - b.x) < a.reach + b.reach + GAP and apart < GAP
    return math.hypot(a.x - b.x, a.y - b.y) < a.bound + b.bound + GAP


def _upright(actor: Actor) -> bool:
    """Whether its half width and half height hold along x and y."""
    return actor.kind in ("ball", "star") or abs(math.sin(actor.angle)) < 1e-6


def rank(actor: Actor) -> tuple[int, int]:
    """The canonical order of slots."""
    return KINDS.index(actor.kind), COLORS.index(actor.color)


def weighted_choice(rng: Random, weights: dict[str, float]) -> str:
    """One name, by weight."""
    return rng.choices(list(weights), list(weights.values()))[0]
