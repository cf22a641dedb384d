"""What happened in an episode, read off the contacts and the paths.

Axes: T frames, K slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.playground.physics import SCENERY, Contact, EpisodeSetup
from kinema.playground.tasks import at_flag
from kinema.scene.geometry import FLOOR, SOLID
from kinema.types import Floats

KINDS_OF_EVENT = (
    "bounce",
    "collide",
    "roll",
    "push",
    "fall",
    "stop",
    "pass_behind",
    "come_out",
    "leave_view",
    "enter_view",
    "reach_flag",
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened: what, when, to whom, with whom, where ("floor", "left wall", ...)."""

    kind: str
    time_s: float
    slot: int
    other: int | None = None
    where: str | None = None


def find_events(
    cast: EpisodeSetup, contacts: list[Contact], path: Floats, visible: Floats, window: Floats, fps: float
) -> tuple[Event, ...]:
    """All events in order of time; path: [T, K, 5] of x, y, vx, vy, angle."""
    last = (len(path) - 1) / fps
    events = _from_contacts(cast, [c for c in contacts if c.time_s <= last])
    for slot, actor in enumerate(cast.actors):
        if actor.kind not in SCENERY:
            events += _motion(cast, slot, path, fps)
            events += _flags(cast, slot, path, fps)
        events += _view(cast, slot, path, visible, window, fps)
    events += _pushes(cast, contacts, path, fps)
    events.sort(key=lambda e: (e.time_s, e.slot, e.kind))
    return tuple(events)


def _from_contacts(cast: EpisodeSetup, contacts: list[Contact]) -> list[Event]:
    events: list[Event] = []
    recent: dict[tuple[int, int, str], float] = {}
    for c in contacts:
        key = (min(c.slot, c.other), max(c.slot, c.other), c.where)
        if c.speed < (0.35 if c.other >= 0 else 1.0) or c.time_s - recent.get(key, -1.0) < 0.15:
            continue
        recent[key] = c.time_s
        if c.other < 0:
            if cast.actors[c.slot].kind not in ("car", "robot") or c.where.endswith("wall"):
                events.append(Event(kind="bounce", time_s=c.time_s, slot=c.slot, where=c.where))
        else:
            events.append(Event(kind="collide", time_s=c.time_s, slot=c.slot, other=c.other))
    return events


def _first(mask: NDArray[np.bool_]) -> int | None:
    """Index of the first True."""
    at = int(mask.argmax())
    return at if mask[at] else None


def _motion(cast: EpisodeSetup, slot: int, path: Floats, fps: float) -> list[Event]:
    """roll, fall and stop."""
    events: list[Event] = []
    actor = cast.actors[slot]
    y, vx, vy = path[:, slot, 1], path[:, slot, 2], path[:, slot, 3]
    speed = np.hypot(vx, vy)
    if speed.max() < 0.1:
        return events
    if cast.view == "side":
        clear = y - SOLID[actor.kind].below * actor.size - FLOOR
        if actor.kind in ("ball", "star"):
            rolling = _first((clear < 0.05) & (np.abs(vx) > 0.5) & (np.abs(vy) < 0.2))
            if rolling is not None:
                events.append(Event(kind="roll", time_s=rolling / fps, slot=slot, where="floor"))
        falling = (vy < -1.0) & (clear > 0.4)
        starts = np.flatnonzero(falling[1:] & ~falling[:-1]) + 1
        if len(starts):
            events.append(Event(kind="fall", time_s=float(starts[0]) / fps, slot=slot))
    moving = speed > 0.3
    ends = np.flatnonzero(moving)
    rest = max(2, round(0.25 * fps))
    if len(ends) and ends[-1] + rest < len(speed) and speed[ends[-1] + rest :].max() < 0.15:
        events.append(Event(kind="stop", time_s=(float(ends[-1]) + 1) / fps, slot=slot))
    return events


def _flags(cast: EpisodeSetup, slot: int, path: Floats, fps: float) -> list[Event]:
    """reach_flag: the first time a mover comes to a flag that it did not start at."""
    events = []
    for other, flag in enumerate(cast.actors):
        if flag.kind == "flag":
            dx, dy = path[:, slot, 0] - flag.x, path[:, slot, 1] - flag.y
            first = _first(at_flag(cast.view == "side", dx, dy, cast.actors[slot], flag))
            if first:
                events.append(Event(kind="reach_flag", time_s=first / fps, slot=slot, other=other))
    return events


def _view(cast: EpisodeSetup, slot: int, path: Floats, visible: Floats, window: Floats, fps: float) -> list[Event]:
    """pass_behind and come_out for screens, leave_view and enter_view for the picture's edge."""
    events: list[Event] = []
    inside = window[:, slot]
    for absent, kind in ((True, "leave_view"), (False, "enter_view")):
        state = inside < 0.05 if absent else inside > 0.3
        before = _first(inside > 0.3 if absent else inside < 0.05)
        after = None if before is None else _first(state[before:])
        if before is not None and after is not None:
            events.append(Event(kind=kind, time_s=(before + after) / fps, slot=slot))
    actor = cast.actors[slot]
    if actor.kind in SCENERY:
        return events
    for other, screen in enumerate(cast.actors):
        if screen.kind != "screen":
            continue
        beside = np.abs(path[:, slot, 0] - screen.x) < screen.size * SOLID["screen"].across
        hidden = beside & (visible[:, slot] < 0.35) & (inside > 0.5)
        first = _first(hidden)
        if first:
            events.append(Event(kind="pass_behind", time_s=first / fps, slot=slot, other=other))
            out = _first((visible[first:, slot] > 0.9) & ~beside[first:])
            if out is not None:
                events.append(Event(kind="come_out", time_s=(first + out) / fps, slot=slot, other=other))
    return events


def _pushes(cast: EpisodeSetup, contacts: list[Contact], path: Floats, fps: float) -> list[Event]:
    """push: a robot or car stays in touch with a thing and both move along for at least 0.3 s."""
    events: list[Event] = []
    need = max(2, round(0.3 * fps))
    pairs = {(c.slot, c.other) for c in contacts if c.other >= 0}
    pairs |= {(b, a) for a, b in pairs}
    for slot, other in sorted(pairs):
        pusher, load = cast.actors[slot], cast.actors[other]
        if pusher.kind not in ("car", "robot") or load.kind in ("car", "robot"):
            continue
        a, b = path[:, slot], path[:, other]
        if cast.view == "side":
            near = np.abs(a[:, 0] - b[:, 0]) < pusher.reach + load.reach + 0.12
            near &= np.abs(a[:, 1] - b[:, 1]) < 0.8 * (pusher.size + load.size)
        else:
            near = np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1]) < pusher.bound + load.bound + 0.1
        ahead = (b[:, 0] - a[:, 0]) * b[:, 2] + (b[:, 1] - a[:, 1]) * b[:, 3] > 0
        along = near & ahead & (np.hypot(b[:, 2], b[:, 3]) > 0.3)
        along &= (a[:, 2] * b[:, 2] + a[:, 3] * b[:, 3]) > 0.05
        run = np.convolve(along, np.ones(need), "valid") >= need if len(along) >= need else np.zeros(1, bool)
        first = _first(run)
        if first is not None:
            events.append(Event(kind="push", time_s=first / fps, slot=slot, other=other))
    return events
