"""The scripts: who is in a scene, where, and how it starts to move, so that a clip has something to tell."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from kinema.errors import InputError
from kinema.playground.physics import SCENERY, Actor, EpisodeSetup
from kinema.playground.scene_distribution import SceneDistribution, is_held_out
from kinema.playground.scene_sampler import MOVERS, SceneSampler, any_overlap, rank, weighted_choice
from kinema.playground.tasks import Task
from kinema.scene.geometry import CEILING, RIM, ROOM_HEIGHT

TRIES = 400
FREE = ("ball", "box", "triangle", "star")
"""Kinds without an engine."""


def draw_cast(distribution: SceneDistribution, rng: Random) -> EpisodeSetup:
    """One scene of the scene distribution, actors in canonical slot order: by kind, then color; no two share both."""
    for _ in range(TRIES):
        cast = _draw(distribution, rng)
        if cast is not None:
            return cast
    raise InputError(
        f"no scene with {distribution.min_entities} to {distribution.max_entities} of {', '.join(distribution.kinds)} fits; allow"
        " more kinds"
    )


def _draw(distribution: SceneDistribution, rng: Random) -> EpisodeSetup | None:
    """One attempt; None when the drawn things do not fit together."""
    view = weighted_choice(rng, distribution.views)
    scenario = weighted_choice(rng, _possible(distribution, view))
    wide = rng.random() < distribution.wide or scenario == "leave"
    width = round(rng.uniform(12.0, 18.0), 1) if wide else ROOM_HEIGHT
    must = (
        rng.choice([pair for pair in distribution.pairs() if is_held_out(*pair)])
        if distribution.held_out == "only"
        else None
    )
    script = _Script(distribution, rng, scenario, view, width, must)
    count = rng.randint(distribution.min_entities, distribution.max_entities)
    script.crowded = count > 4
    load = script.play()
    actors = script.actors
    while actors and len(actors) < count and script.bystander():
        pass
    if script.must or not distribution.min_entities <= len(actors) <= distribution.max_entities or any_overlap(actors):
        return None
    order = sorted(range(len(actors)), key=lambda i: rank(actors[i]))
    return EpisodeSetup(
        view=view,
        background=rng.choice(distribution.backgrounds),
        room_width=width,
        scenario=scenario,
        actors=[actors[i] for i in order],
        lead=order.index(0),
        load=None if load is None else order.index(load),
        policy=script.policy,
        tumble=distribution.tumble,
    )


def draw_task_cast(distribution: SceneDistribution, task: Task | None, rng: Random) -> EpisodeSetup:
    """A scene with a robot in which the task can be done; without a task, a robot among some things.

    What the task names is in the scene even if the scene distribution would not draw it.
    """
    for _ in range(TRIES):
        view = weighted_choice(rng, distribution.views)
        script = _Script(replace(distribution, held_out="any"), rng, "flag", view, ROOM_HEIGHT, None)
        wanted: list[Actor | None] = [script.actor(("robot",))] if "robot" in distribution.kinds else []
        if task is not None and task.kind is not None and task.color is not None:
            wanted.append(script.actor((task.kind,), color=task.color))
        if task is not None and task.verb != "touch":
            wanted.append(script.actor(("flag",)))
        if not wanted or None in wanted:
            break
        script.line_up()
        count = max(len(wanted), rng.randint(distribution.min_entities, distribution.max_entities))
        while len(script.actors) < count and script.bystander():
            pass
        if not any_overlap(script.actors):
            actors = sorted(script.actors, key=rank)
            lead = next(i for i, actor in enumerate(actors) if actor.kind == "robot")
            return EpisodeSetup(
                view=view,
                background=rng.choice(distribution.backgrounds),
                room_width=ROOM_HEIGHT,
                scenario="flag",
                actors=actors,
                lead=lead,
            )
    raise InputError(
        f"no scene for the task '{task}' in this scene distribution; its kinds must hold the robot, the flag and what the task"
        " names"
    )


def _possible(distribution: SceneDistribution, view: str) -> dict[str, float]:
    """Scenarios that the view, the kinds and the number of entities allow."""
    kinds, most, side = set(distribution.kinds), distribution.max_entities, view == "side"
    free, movers = bool(kinds & set(FREE)), bool(kinds & set(MOVERS))
    allowed = {
        "move": movers,
        "throw": side and free,
        "drop": side and free,
        "hit": most > 1 and movers,
        "towards": most > 1 and movers,
        "push": most > 1 and free and bool(kinds & {"car", "robot"}),
        "behind": side and most > 1 and movers and "screen" in kinds,
        "still": True,
        "leave": movers,
        "flag": most > 1 and movers and "flag" in kinds,
        "act": most > 1 and "robot" in kinds,
    }
    some = {name: weight for name, weight in distribution.scenarios.items() if weight > 0 and allowed[name]}
    return some or {"still": 1.0}


class _Script(SceneSampler):
    """Each script places the lead first and returns the index of what it meets."""

    def play(self) -> int | None:
        """Fills the draft by its scenario's script."""
        scripts = {
            "move": self._move,
            "throw": self._throw,
            "drop": self._drop,
            "hit": self._hit,
            "towards": self._towards,
            "push": self._push,
            "behind": self._behind,
            "still": self._still,
            "leave": self._move,
            "flag": self._flag,
            "act": self._act,
        }
        return scripts[self.scenario]()

    def _move(self) -> int | None:
        lead = self.actor(MOVERS)
        if lead is not None:
            heading = self.heading()
            self.place(lead, heading)
            self.start(lead, heading)
        return None

    def _throw(self) -> int | None:
        lead = self.actor(FREE)
        if lead is not None:
            heading, speed = self.heading(), self.speed()
            self.place(lead, heading)
            rise = self.rng.uniform(0.15, 1.25)
            lead.vx, lead.vy = math.cos(heading) * speed * math.cos(rise), speed * math.sin(rise)
            self.lift(lead, 0.4)
            lead.y = min(lead.y, 6.5)
        return None

    def _drop(self) -> int | None:
        lead = self.actor(FREE)
        if lead is not None:
            self.put(lead, self.rng.uniform(0, self.width))
            self.lift(lead, 2.0)
        return None

    def _meet(self, lead: Actor, other: Actor, heading: float, low: float, high: float) -> None:
        """Puts `other` on the lead's way, at a gap between low and high."""
        self.place(lead, heading)
        gap = lead.bound + other.bound + self.rng.uniform(low, high)
        x, y = self.ahead(lead, heading, gap)
        left, right = self.span(other)
        slack = 0.0 if self.side else self.rng.uniform(-0.5, 0.5) * other.size
        other.x = min(max(x - slack * math.sin(heading), left), right)
        if not self.side:
            edge = RIM + other.bound + 0.05
            other.y = min(max(y + slack * math.cos(heading), edge), CEILING - edge)

    def _hit(self) -> int | None:
        lead = self.actor(tuple(k for k in MOVERS if k != "robot"))
        other = self.actor(tuple(k for k in MOVERS if k != "robot"))
        if lead is None or other is None:
            return None
        heading = self.heading()
        self._meet(lead, other, heading, 1.0, 4.0)
        self.start(lead, heading, max(self.speed(), min(2.5, self.distribution.speeds[1])))
        return 1

    def _towards(self) -> int | None:
        load = self._hit()
        if load is not None:
            lead, other = self.actors
            self.start(
                other,
                math.atan2(lead.y - other.y, lead.x - other.x) if not self.side else (math.pi if lead.x < other.x else 0.0),
            )
        return load

    def _push(self) -> int | None:
        lead = (self.actor(("robot",)) if self.rng.random() < 0.7 else None) or self.actor(("car", "robot"))
        other = self.actor(FREE)
        if lead is None or other is None:
            return None
        heading = self.heading()
        self._meet(lead, other, heading, 0.3, 2.0)
        self.start(lead, heading)
        self.policy = "push" if lead.kind == "robot" else self.policy
        if (
            "flag" in self.distribution.kinds
            and self.distribution.max_entities > 2
            and (lead.kind == "robot" or self.rng.random() < 0.3)
        ):
            flag = self.actor(("flag",))
            if flag is not None:
                self._meet_flag(other, flag, heading)
        return 1

    def _meet_flag(self, mover: Actor, flag: Actor, heading: float) -> None:
        x, y = self.ahead(mover, heading, mover.bound + flag.bound + self.rng.uniform(0.8, 3.5))
        left, right = self.span(flag)
        flag.x = min(max(x, left), right)
        if not self.side:
            edge = RIM + flag.bound + 0.05
            flag.y = min(max(y, edge), CEILING - edge)

    def _behind(self) -> int | None:
        size = "small" if self.rng.random() < 0.7 else "medium"
        lead = (self.actor(("ball", "star", "car"), size) if self.rng.random() < 0.6 else None) or self.actor(
            (*FREE, "car"), size
        )
        screen = self.actor(("screen",), self.rng.choice(("medium", "large", "large", "large")))
        if lead is None or screen is None:
            return None
        heading = self.heading()
        self._meet(lead, screen, heading, 0.3, 2.0)
        least = 4.5 if lead.kind in ("box", "triangle") else 2.5
        self.start(lead, heading, max(self.speed(), min(least, self.distribution.speeds[1])))
        return 1

    def _flag(self) -> int | None:
        lead, flag = self.actor(MOVERS), self.actor(("flag",))
        if lead is None or flag is None:
            return None
        heading = self.heading()
        self.place(lead, heading)
        self._meet_flag(lead, flag, heading)
        self.start(lead, heading, max(self.speed(), min(2.5, self.distribution.speeds[1])))
        self.policy = "seek"
        return 1

    def _act(self) -> int | None:
        lead = self.actor(("robot",))
        if lead is None:
            return None
        load = self.actor(FREE) if self.rng.random() < 0.8 else None
        if (
            len(self.actors) < self.distribution.max_entities
            and "flag" in self.distribution.kinds
            and self.rng.random() < 0.8
        ):
            self.actor(("flag",))
        self.line_up()
        self.policy = "restless"
        return None if load is None else 1

    def _still(self) -> int | None:
        lead = self.actor(MOVERS + (SCENERY if self.side and self.distribution.max_entities > 1 else ()))
        if lead is not None:
            self.put(lead, self.rng.uniform(0, self.width))
            self.policy = "idle"
        return None
