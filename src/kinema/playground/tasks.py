"""Tasks with a reward: push a thing to the flag, reach the flag, touch a thing.

The reward of a frame is the progress since the frame before, in units of distance, plus 1 at success; success terminates.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from kinema.errors import InputError, excerpt
from kinema.playground.physics import Actor, EpisodeSetup, Rows
from kinema.scene.geometry import SOLID
from kinema.scene.scene import COLORS, KINDS

_THING = rf"(?:the )?(?P<color>{'|'.join(COLORS)}) (?P<kind>{'|'.join(KINDS)})"
_PATTERNS = {
    "push": re.compile(rf"^(?:push|move|bring) {_THING} to (?:the|a) (?:\w+ )?flag$"),
    "reach": re.compile(r"^(?:reach|go to|move to) (?:the|a) (?:\w+ )?flag$"),
    "touch": re.compile(rf"^(?:touch|go to|hit|bump into) {_THING}$"),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the robot shall do. verb: "push" | "reach" | "touch"; color and kind name the thing, None for "reach"."""

    verb: str
    color: str | None = None
    kind: str | None = None

    def __str__(self) -> str:
        if self.verb == "reach":
            return "reach the flag"
        if self.verb == "push":
            return f"push the {self.color} {self.kind} to the flag"
        return f"touch the {self.color} {self.kind}"

    def say(self, rng: Random) -> str:
        """One of the wordings that `parse` reads back."""
        if self.verb == "reach":
            return rng.choice(("reach the flag", "go to the flag"))
        if self.verb == "push":
            return f"{rng.choice(('push', 'push', 'bring'))} the {self.color} {self.kind} to the flag"
        return f"{rng.choice(('touch', 'touch', 'go to'))} the {self.color} {self.kind}"

    @staticmethod
    def parse(text: str) -> Task:
        """'push the red ball to the flag' -> Task; InputError names the three forms."""
        if not isinstance(text, str):
            raise InputError(f"task {str(text)[:40]!r}: expected text such as 'reach the flag'")
        plain = " ".join(text.lower().replace(".", " ").split())
        for verb, pattern in _PATTERNS.items():
            match = pattern.match(plain)
            if match:
                named = match.groupdict()
                return Task(verb=verb, color=named.get("color"), kind=named.get("kind"))
        raise InputError(
            f"task {excerpt(text)!r} is not understood; expected 'push the COLOR KIND to the flag', 'reach the flag'"
            " or 'touch the COLOR KIND'"
        )

    def slots(self, cast: EpisodeSetup) -> tuple[int, int] | None:
        """(what moves, where it shall go) in this scene; None when the scene lacks one of them."""
        kinds = [actor.kind for actor in cast.actors]
        robot = kinds.index("robot") if "robot" in kinds else None
        flag = kinds.index("flag") if "flag" in kinds else None
        thing = next((i for i, a in enumerate(cast.actors) if a.kind == self.kind and a.color == self.color), None)
        pair = {"push": (thing, flag), "reach": (robot, flag), "touch": (robot, thing)}[self.verb]
        if robot is None or pair[0] is None or pair[1] is None or pair[0] == pair[1]:
            return None
        return pair[0], pair[1]


def pole_gap(side: bool, dx: Any, dy: Any, flag: Actor) -> Any:
    """Distance from a flag's pole, of a center at the offset (dx, dy): along x in side view; arrays or numbers."""
    if side:
        return np.abs(dx)
    return np.hypot(dx, dy - np.clip(dy, -flag.size * SOLID["flag"].below, flag.size * SOLID["flag"].above))


def at_flag(side: bool, dx: Any, dy: Any, mover: Actor, flag: Actor) -> Any:
    """Whether an entity at the offset (dx, dy) from a flag is at it; arrays or numbers."""
    gap = pole_gap(side, dx, dy, flag)
    if not side:
        return gap < mover.bound * 0.7 + 0.2 * flag.size
    low, high = -flag.size * SOLID["flag"].below - mover.size, flag.size * SOLID["flag"].above + mover.size
    return (gap < mover.reach * 0.6 + 0.1) & (dy > low) & (dy < high)


class Judge:
    """Rewards one task in one scene."""

    def __init__(self, task: Task, cast: EpisodeSetup, rows: Rows) -> None:
        slots = task.slots(cast)
        if slots is None:
            raise InputError(f"task '{task}' cannot be done in a scene without what it names")
        self.mover, self.goal = slots
        self.side = cast.view == "side"
        self.actor, self.target = cast.actors[self.mover], cast.actors[self.goal]
        self.distance, _ = self._measure(rows)

    def _measure(self, rows: Rows) -> tuple[float, bool]:
        """(distance to go, whether it is done)."""
        dx, dy = rows[self.mover][0] - rows[self.goal][0], rows[self.mover][1] - rows[self.goal][1]
        a, b = self.actor, self.target
        if b.kind == "flag":
            return float(pole_gap(self.side, dx, dy, b)), bool(at_flag(self.side, dx, dy, a, b))
        if not self.side:
            return math.hypot(dx, dy), math.hypot(dx, dy) < a.bound + b.bound + 0.12
        low, high = (a, b) if dy < 0 else (b, a)
        apart = abs(dy) - low.size * SOLID[low.kind].above - high.size * SOLID[high.kind].below
        return abs(dx), abs(dx) < a.reach + b.reach + 0.12 and apart < 0.12

    def judge(self, rows: Rows) -> tuple[float, bool]:
        """(reward, success) of the frame just reached."""
        distance, done = self._measure(rows)
        progress, self.distance = self.distance - distance, distance
        return progress + (1.0 if done else 0.0), done
