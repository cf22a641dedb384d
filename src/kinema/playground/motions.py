"""Puts motions and events of one entity into verb phrases, for the captions.

Axes: T frames, K slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from kinema.playground.events import Event
from kinema.playground.physics import SCENERY, EpisodeSetup
from kinema.playground.vocabulary import FALLS, FLIES, GROUND_VERBS, HITS, LANDS, SLIDES, TOP_VERBS
from kinema.scene.geometry import FLOOR, SOLID
from kinema.scene.scene import KINDS, Scene


@dataclass(frozen=True)
class Clause:
    """A verb phrase of a subject. other: the slot it mentions; "{other}" in words stands for its name. kind: the event's."""

    time_s: float
    slot: int
    words: str
    other: int | None = None
    kind: str = "start"


class Motions:
    """Reads the motions of one clip."""

    def __init__(self, scene: Scene, events: tuple[Event, ...], cast: EpisodeSetup, rng: Random) -> None:
        self.scene, self.events, self.cast, self.rng = scene, events, cast, rng
        self.side = scene.view == "side"
        self.second = max(1, min(scene.num_frames, round(scene.fps)))
        x, y = scene.x[: self.second], scene.y[: self.second]
        self.dx, self.dy = (x - x[0]).mean(0).tolist(), (y - y[0]).mean(0).tolist()
        self.moves = {slot: self._starts(slot) for slot in scene.entities}

    def airborne(self, slot: int) -> bool:
        """Whether the entity starts in the air."""
        kind = KINDS[self.scene.kind[slot]]
        clear = float(self.scene.y[0, slot]) - SOLID[kind].below * float(self.scene.size[slot]) - FLOOR
        return self.side and kind not in SCENERY and clear > 0.3

    def _starts(self, slot: int) -> bool:
        """Whether it moves by itself from the start, rather than only when something hits it."""
        kind = KINDS[self.scene.kind[slot]]
        if kind in SCENERY or (abs(self.dx[slot]) < 0.1 and abs(self.dy[slot]) < 0.1):
            return False
        still = float(abs(self.scene.vx[0, slot]) + abs(self.scene.vy[0, slot])) < 0.3
        if still and kind != "robot":
            return self.airborne(slot)
        hit = any(slot in (e.slot, e.other) and e.kind == "collide" and e.time_s < 0.25 for e in self.events)
        return not (kind == "robot" and hit)

    def direction(self, slot: int) -> str:
        """' right', ' up and left', ...: where the mean displacement of the first second points; '' when nowhere clear."""
        dx, dy = self.dx[slot], self.dy[slot]
        across = "right" if dx > 0 else "left"
        if self.side:
            return f" {across}" if abs(dx) > 0.1 else ""
        along = "up" if dy > 0 else "down"
        if min(abs(dx), abs(dy)) > 0.5 * max(abs(dx), abs(dy)):
            return f" {along} and {across}"
        return f" {across}" if abs(dx) > abs(dy) else f" {along}"

    def opening(self, slot: int) -> Clause:
        """How the entity starts to move."""
        kind = KINDS[self.scene.kind[slot]]
        heading = self.direction(slot)
        if not self.side:
            verb = self.rng.choice(TOP_VERBS.get(kind, SLIDES))
        elif self.airborne(slot) or float(self.scene.vy[0, slot]) > 1.0:
            if abs(self.dx[slot]) > 0.25:
                verb = self.rng.choice(FLIES)
            elif float(self.scene.vy[0, slot]) > 1.0:
                verb, heading = self.rng.choice(FLIES), " up" if self.dy[slot] > 0.1 else ""
            else:
                verb, heading = self.rng.choice(FALLS), ""
        else:
            verb = self.rng.choice(GROUND_VERBS[kind])
            if not heading:
                verb = "jumps" if kind == "robot" and self.dy[slot] > 0.1 else "moves"
        return Clause(0.0, slot, verb + heading)

    def timeline(self) -> list[Clause]:
        """Every opening and event worth telling, in order of time."""
        clauses = [self.opening(slot) for slot, moves in self.moves.items() if moves]
        clauses.sort(key=lambda c: c.slot != self.cast.lead)
        pushed = {(e.slot, e.other) for e in self.events if e.kind == "push"}
        pushed |= {(b, a) for a, b in pushed if b is not None}
        mentioned: set[tuple[str, int, str]] = set()
        for event in self.events:
            if event.kind == "collide" and (event.slot, event.other) in pushed:
                continue
            clause = self._clause(event)
            if clause is None:
                continue
            first, second = sorted((clause.slot, -1 if clause.other is None else clause.other))
            key = (event.kind, first * 16 + second, event.where or "")
            if key not in mentioned:
                mentioned.add(key)
                clauses.append(clause)
        return sorted(clauses, key=lambda c: c.time_s)

    def _clause(self, event: Event) -> Clause | None:
        """The words of one event; None for those that the opening tells already."""
        choose, slot, other = self.rng.choice, event.slot, event.other
        words = ""
        if event.kind == "bounce":
            where = event.where or "floor"
            words = choose(("bounces", "bounces off the floor")) if where == "floor" else f"bounces off the {where}"
            if KINDS[self.scene.kind[slot]] in ("car", "robot"):
                words = f"hits the {where}"
        elif event.kind == "collide" and other is not None:
            if self._speed(other, event.time_s) > self._speed(slot, event.time_s):
                slot, other = other, slot
            if self._above(other, slot, event.time_s):
                slot, other = other, slot
            verb = choose(LANDS) if self._above(slot, other, event.time_s) else choose(HITS)
            words = f"{verb} {{other}}"
        elif event.kind == "push":
            words = "pushes {other}"
        elif event.kind == "pass_behind":
            words = choose(("passes behind {other}", "goes behind {other}"))
        elif event.kind == "come_out":
            words, other = choose(("comes out", "comes out again")), None
        elif event.kind == "leave_view":
            words = choose(("leaves the view", "goes out of view")) if self._mover(slot) else ""
        elif event.kind == "enter_view":
            words = choose(("comes into view", "enters the view")) if self._mover(slot) else ""
        elif event.kind == "reach_flag":
            words = "reaches {other}"
        elif event.kind == "stop":
            words = "stops"
        elif event.kind == "fall" and event.time_s > 0.5:
            words = "" if self.airborne(slot) or KINDS[self.scene.kind[slot]] == "robot" else "falls"
        return Clause(event.time_s, slot, words, other, event.kind) if words else None

    def _mover(self, slot: int) -> bool:
        return float(abs(self.scene.vx[:, slot]).max()) > 0.3 and bool((self.scene.camera == self.scene.camera[0]).all())

    def _above(self, slot: int, other: int, time_s: float) -> bool:
        """Whether the entity comes down upon the other."""
        at = min(self.scene.num_frames - 1, int(time_s * self.scene.fps))
        x, y, vx, vy, size = self.scene.x[at], self.scene.y[at], self.scene.vx[at], self.scene.vy[at], self.scene.size
        over = abs(float(x[slot] - x[other])) < 0.8 * float(size[other]) and float(y[slot] - y[other]) > float(size[other])
        return self.side and over and float(vy[slot]) < -1.0 and abs(float(vx[slot])) < abs(float(vy[slot]))

    def _speed(self, slot: int, time_s: float) -> float:
        """Speed just before a moment."""
        at = min(self.scene.num_frames - 1, int(time_s * self.scene.fps))
        return float(abs(self.scene.vx[at, slot]) + abs(self.scene.vy[at, slot]))
