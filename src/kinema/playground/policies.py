"""What the robot does in recorded episodes: idle, drift (smooth random), seek (to a thing), push (a thing to a goal)."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from kinema.playground.physics import EpisodeSetup, Rows

RobotPolicy = Callable[[Rows], tuple[float, float]]


def idle(rows: Rows) -> tuple[float, float]:
    """Nothing."""
    return (0.0, 0.0)


def drift(rng: Random, fps: float, side: bool) -> RobotPolicy:
    """Smooth random actions; side view: with a jump now and then."""
    state = [rng.uniform(-1, 1), rng.uniform(-1, 1)]
    keep = math.exp(-1.2 / fps)
    noise = 1.1 * math.sqrt(1 - keep * keep)
    hold = [0]

    def act(rows: Rows) -> tuple[float, float]:
        for i in (0, 1):
            state[i] = max(-1.0, min(1.0, keep * state[i] + noise * rng.gauss(0, 1)))
        if not side:
            return (state[0], state[1])
        if hold[0] == 0 and rng.random() < 0.7 / fps:
            hold[0] = max(1, round(0.15 * fps))
        hold[0] = max(0, hold[0] - 1)
        return (state[0], 1.0 if hold[0] else 0.0)

    return act


def seek(robot: int, target: int, pace: float, side: bool) -> RobotPolicy:
    """Straight to a thing; the pace in (0, 1] scales the action."""

    def act(rows: Rows) -> tuple[float, float]:
        dx, dy = rows[target][0] - rows[robot][0], rows[target][1] - rows[robot][1]
        if side:
            return (pace * max(-1.0, min(1.0, 2 * dx)), 0.0)
        far = max(math.hypot(dx, dy), 0.5)
        return (pace * dx / far, pace * dy / far)

    return act


def push(robot: int, load: int, goal: int | None, reach: float, pace: float, side: bool) -> RobotPolicy:
    """Goes behind the load as seen from the goal, then pushes; without a goal it pushes straight ahead.

    reach: distance of the two centers when they touch.
    """
    ahead: list[float] = []

    def act(rows: Rows) -> tuple[float, float]:
        (rx, ry), (lx, ly) = rows[robot][:2], rows[load][:2]
        if goal is None:
            if not ahead:
                far = max(math.hypot(lx - rx, ly - ry), 1e-6)
                ahead[:] = [(lx - rx) / far, (ly - ry) / far]
            ux, uy = ahead
        else:
            gx, gy = rows[goal][0] - lx, rows[goal][1] - ly
            far = math.hypot(gx, gy)
            if (abs(gx) if side else far) < 0.3:
                return (0.0, 0.0)
            ux, uy = gx / max(far, 1e-6), gy / max(far, 1e-6)
        if side:
            heading = 1.0 if ux > 0 else -1.0
            return (pace * (heading if (lx - rx) * heading > 0 else -heading), 0.0)
        bx, by = lx - ux * (reach + 0.15), ly - uy * (reach + 0.15)
        along, across = (lx - rx) * ux + (ly - ry) * uy, (lx - rx) * uy - (ly - ry) * ux
        if along > 0 and abs(across) < 0.35:
            return (pace * (ux - across * -uy), pace * (uy - across * ux))
        if along < 0.5 * reach:
            heading = 1.0 if across > 0 else -1.0
            bx, by = bx - heading * uy * (reach + 0.3), by + heading * ux * (reach + 0.3)
        far = max(math.hypot(bx - rx, by - ry), 0.3)
        return (pace * (bx - rx) / far, pace * (by - ry) / far)

    return act


def restless(robot: int, others: list[int], rng: Random, fps: float, side: bool) -> RobotPolicy:
    """Now this, now that, each for a tenth of a second to one second: full or half force, a jump, a rest, a thing to go to."""
    seekers = [seek(robot, other, 1.0, side) for other in others]
    left, force = [0], [(0.0, 0.0)]
    going: list[RobotPolicy | None] = [None]

    def act(rows: Rows) -> tuple[float, float]:
        if left[0] <= 0:
            left[0] = max(1, round(rng.uniform(0.1, 1.0) * fps))
            kind, going[0] = rng.random(), None
            if kind < 0.2:
                force[0] = (0.0, 0.0)
            elif kind < 0.45 and seekers:
                going[0] = rng.choice(seekers)
            elif kind < 0.75:
                force[0] = (rng.choice((-1.0, 1.0)), rng.choice((-1.0, 0.0, 1.0, 1.0) if side else (-1.0, 0.0, 0.0, 1.0)))
            else:
                force[0] = (rng.uniform(-1, 1), rng.uniform(-1, 1))
        left[0] -= 1
        policy = going[0]
        return force[0] if policy is None else policy(rows)

    return act


def choose_policy(cast: EpisodeSetup, rng: Random, fps: float) -> tuple[int | None, RobotPolicy]:
    """The robot's slot, if there is one, and what it does."""
    robots = [slot for slot, actor in enumerate(cast.actors) if actor.kind == "robot"]
    if not robots:
        return None, idle
    robot, side, pace = robots[0], cast.view == "side", rng.uniform(0.5, 1.0)
    others = [slot for slot, actor in enumerate(cast.actors) if slot != robot and actor.kind != "screen"]
    flags = [slot for slot in others if cast.actors[slot].kind == "flag"]
    load = cast.load
    if cast.policy == "push" and robot == cast.lead and load is not None:
        reach = cast.actors[robot].bound + cast.actors[load].bound
        return robot, push(robot, load, flags[0] if flags else None, reach, pace, side)
    if cast.policy == "seek" and others:
        target = flags[0] if flags else rng.choice(others)
        return robot, seek(robot, target, pace, side)
    if cast.policy == "idle":
        return robot, idle
    if cast.policy == "restless":
        return robot, restless(robot, others, rng, fps, side)
    return robot, drift(rng, fps, side)
