"""Tasks with a reward: push a thing to the flag, reach the flag, touch a thing.

The reward of a frame is the progress since the frame before, in units of distance, plus 1 at success; success terminates.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from random import Random

from kinema.canvas.scene import COLORS, KINDS
from kinema.errors import InputError
from kinema.worlds.playground.physics import Cast

Rows = list[tuple[float, float, float, float, float]]

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
        plain = " ".join(text.lower().replace(".", " ").split())
        for verb, pattern in _PATTERNS.items():
            found = pattern.match(plain)
            if found:
                named = found.groupdict()
                return Task(verb=verb, color=named.get("color"), kind=named.get("kind"))
        raise InputError(
            f"task {text!r} is not understood; expected 'push the COLOR KIND to the flag', 'reach the flag'"
            " or 'touch the COLOR KIND'"
        )

    def slots(self, cast: Cast) -> tuple[int, int] | None:
        """(what moves, where it shall go) in this scene; None when the scene lacks one of them."""
        kinds = [actor.kind for actor in cast.actors]
        robot = kinds.index("robot") if "robot" in kinds else None
        flag = kinds.index("flag") if "flag" in kinds else None
        thing = next((i for i, a in enumerate(cast.actors) if a.kind == self.kind and a.color == self.color), None)
        pair = {"push": (thing, flag), "reach": (robot, flag), "touch": (robot, thing)}[self.verb]
        if robot is None or pair[0] is None or pair[1] is None or pair[0] == pair[1]:
            return None
        return pair[0], pair[1]


class Judge:
    """Rewards one task in one scene."""

    def __init__(self, task: Task, cast: Cast, rows: Rows) -> None:
        slots = task.slots(cast)
        if slots is None:
            raise InputError(f"task '{task}' cannot be done in a scene without what it names")
        self.mover, self.goal = slots
        self.side = cast.view == "side"
        mover, goal = cast.actors[self.mover], cast.actors[self.goal]
        if task.verb == "touch":
            self.near = (mover.reach + goal.reach if self.side else mover.bound + goal.bound) + 0.12
        else:
            self.near = mover.reach * 0.6 + 0.1 if self.side else mover.bound * 0.8 + 0.3 * goal.size
        self.distance = self._distance(rows)

    def _distance(self, rows: Rows) -> float:
        dx, dy = rows[self.mover][0] - rows[self.goal][0], rows[self.mover][1] - rows[self.goal][1]
        return abs(dx) if self.side else math.hypot(dx, dy)

    def judge(self, rows: Rows) -> tuple[float, bool]:
        """(reward, success) of the frame just reached."""
        distance = self._distance(rows)
        progress, self.distance = self.distance - distance, distance
        done = distance < self.near
        return progress + (1.0 if done else 0.0), done
