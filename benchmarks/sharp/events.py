"""Prompts of five events, each with the true episode that it tells of, and what the Playground's detector says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kinema.playground import Episode, SceneDistribution, simulate, tiny
from kinema.playground.events import Event
from kinema.playground.physics import SCENERY

FPS = 16.0
FRAMES = 48
"""Frames of a film of an event: three seconds."""
LATEST_S = 2.25
"""When the event has begun in the true episode."""
EVENTS = {
    "hits": r"\b(hits|bumps into|collides? with|collide|meet|hit each other)\b",
    "pushes": r"\bpushes\b",
    "goes behind": r"\b(passes|goes) behind\b",
    "bounces": r"\bbounces( off the floor)?(?! off the (left|right|top|bottom|ceiling))",
    "lands on": r"\b(lands on|falls onto)\b",
}
"""What a caption must say to be a prompt of the event."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """An event of an episode: who, and with whom."""

    event: str
    episode: Episode
    mover: int
    other: int | None

    @property
    def names(self) -> tuple[str, str | None]:
        scene = self.episode.scene
        return scene.name(self.mover), None if self.other is None else scene.name(self.other)


def reported(episode: Episode, event: str, before_s: float = LATEST_S) -> list[tuple[int, int | None]]:
    """(mover, other) of every time that the detector reports the event early enough."""
    found: list[tuple[int, int | None]] = []
    for one in episode.events:
        if one.time_s > before_s:
            continue
        if event == "hits" and one.kind == "collide" and comes_down(episode, one) is None:
            found.append((one.slot, one.other))
        elif event == "lands on" and one.kind == "collide":
            pair = comes_down(episode, one)
            found += [pair] if pair else []
        elif (event == "pushes" and one.kind == "push") or (event == "goes behind" and one.kind == "pass_behind"):
            found.append((one.slot, one.other))
        elif event == "bounces" and one.kind == "bounce" and one.where == "floor":
            found.append((one.slot, None))
    return found


def comes_down(episode: Episode, one: Event) -> tuple[int, int] | None:
    """Who lands on whom in a collision, as the captions have it; None if nobody does."""
    scene = episode.scene
    at = min(scene.num_frames - 1, int(one.time_s * scene.fps))
    x, y, vx, vy, size = (values[at] for values in (scene.x, scene.y, scene.vx, scene.vy, [scene.size] * (at + 1)))
    assert one.other is not None
    for a, b in ((one.slot, one.other), (one.other, one.slot)):
        over = abs(x[a] - x[b]) < 0.8 * size[b] and y[a] - y[b] > size[b]
        if scene.view == "side" and over and vy[a] < -1.0 and abs(vx[a]) < abs(vy[a]):
            return a, b
    return None


def pairs(episode: Episode, event: str) -> list[tuple[int, int | None]]:
    """Every (mover, other) of which the event could be asked."""
    scene = episode.scene
    kinds = {slot: scene.name(slot).split()[1] for slot in scene.entities}
    movable = [slot for slot in kinds if kinds[slot] not in SCENERY]
    if event == "bounces":
        return [(a, None) for a in movable if scene.view == "side"]
    if event == "goes behind":
        return [(a, b) for a in movable for b in kinds if kinds[b] == "screen"]
    if event == "pushes":
        return [
            (a, b) for a in movable for b in movable if kinds[a] in ("car", "robot") and kinds[b] not in ("car", "robot")
        ]
    if event == "lands on":
        return [(a, b) for a in movable for b in movable if a != b and scene.view == "side"]
    return [(a, b) for a in movable for b in movable if a < b]


def scenes(first: int, event: str | None = None) -> Iterator[Episode]:
    """Episodes of two things of different colors from seed `first` on; with an event, from the scripts that bring it about."""
    scripts = {
        "hits": ("hit", "towards"), "pushes": ("push",), "goes behind": ("behind",), "bounces": ("throw", "drop"),
        "lands on": ("drop", "throw"),
    }  # fmt: skip
    distribution: SceneDistribution = replace(tiny(), min_entities=2, max_entities=2)
    if event is not None:
        distribution = replace(
            distribution,
            scenarios={name: weight for name, weight in distribution.scenarios.items() if name in scripts[event]},
        )
    seed = first
    while True:
        episode = simulate(distribution, seed, fps=FPS, num_frames=FRAMES)
        if len({int(episode.scene.color[slot]) for slot in episode.scene.entities}) == 2:
            yield episode
        seed += 1


def prompts(event: str, count: int, first: int) -> list[Told]:
    """Episodes whose short caption tells of the event and in which it happens."""
    found: list[Told] = []
    for episode in scenes(first, event):
        told = reported(episode, event)
        if told and re.search(EVENTS[event], episode.captions.short):
            found.append(Told(event=event, episode=episode, mover=told[0][0], other=told[0][1]))
        if len(found) == count:
            return found
    raise AssertionError
