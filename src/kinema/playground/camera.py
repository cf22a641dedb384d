"""Camera work and what the camera sees.

Axes: T frames, K slots, P sample points of an entity, S screens.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from kinema.playground.physics import SCENERY, EpisodeSetup
from kinema.playground.scene_distribution import SceneDistribution
from kinema.scene.geometry import HALF_HEIGHT, MIDDLE, MOVER_BODY, ROOM_HEIGHT, SOLID
from kinema.types import Floats


def shoot(
    distribution: SceneDistribution, cast: EpisodeSetup, x: Floats, y: Floats, fps: float, rng: Random
) -> tuple[Floats, tuple[int, ...]]:
    """Camera [T, 3] and the frames at which a new shot starts."""
    frames = len(x)
    cuts: list[int] = []
    if distribution.cuts and rng.random() < distribution.cuts and frames > 1.5 * fps:
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randint(int(0.5 * fps), frames - int(0.5 * fps))
            if all(abs(at - other) >= 0.5 * fps for other in cuts):
                cuts.append(at)
        cuts.sort()
    camera = np.empty((frames, 3), np.float32)
    for begin, end in zip([0, *cuts], [*cuts, frames], strict=True):
        camera[begin:end] = _shot(distribution, cast, x[begin:end], y[begin:end], fps, rng, begin > 0)
    return camera, tuple(cuts)


def _shot(
    distribution: SceneDistribution, cast: EpisodeSetup, x: Floats, y: Floats, fps: float, rng: Random, cut_to: bool
) -> Floats:
    frames, width, lead = len(x), cast.room_width, cast.lead
    move = "still"
    if cut_to:
        move = rng.choice(("close", "close", "still", "follow"))
    elif distribution.camera == "moving" and cast.scenario != "leave":
        move = rng.choice(("still", "still", "pan", "zoom", "follow"))
    zoom = np.ones(frames)
    if move in ("close", "follow"):
        zoom[:] = rng.uniform(1.1, 1.6)
    elif move == "zoom":
        first, last = rng.choice(((1.0, 1.5), (1.5, 1.0)))
        zoom = np.linspace(first, last, frames)
    half = HALF_HEIGHT / zoom
    across = half * distribution.aspect
    if move == "follow":
        px, py = _smooth(x[:, lead], fps), np.maximum(_smooth(y[:, lead], fps), 0)
    else:
        px, py = np.full(frames, float(x[0, lead])), np.full(frames, float(y[0, lead]))
        if move == "still":
            px[:] = MIDDLE if cast.scenario == "leave" else rng.uniform(MIDDLE, max(MIDDLE, width - MIDDLE))
            py[:] = MIDDLE
            if cast.scenario != "leave" and width > ROOM_HEIGHT:
                px[:] = x[0, lead] + rng.uniform(-3, 3)
        elif move == "pan":
            px = px + rng.choice((-1, 1)) * rng.uniform(0.3, 1.2) * np.arange(frames) / fps
    low, high = np.minimum(across, width / 2), np.maximum(width - across, width / 2)
    px, py = np.clip(px, low, high), np.clip(py, half, np.maximum(ROOM_HEIGHT - half, half))
    return np.stack([px, py, zoom], 1).astype(np.float32)


def _smooth(track: Floats, fps: float) -> NDArray[np.float64]:
    """A lagging follow of a track: an exponential average with a time constant of 0.25 s."""
    keep, value = math.exp(-4.0 / fps), float(track[0])
    out = np.empty(len(track))
    for t, target in enumerate(track.tolist()):
        value = keep * value + (1 - keep) * target
        out[t] = value
    return out


def _disc() -> NDArray[np.float32]:
    """Points spread evenly over the unit disc, [P, 2] (a sunflower spiral)."""
    order = np.arange(24) + 0.5
    radius, turn = np.sqrt(order / 24), order * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1).astype(np.float32)


POINTS = _disc()


def visible(cast: EpisodeSetup, x: Floats, y: Floats, camera: Floats, aspect: float) -> tuple[Floats, Floats]:
    """Share of every entity that is inside the picture and not behind a screen, [T, K]; and inside the picture alone."""
    actors = cast.actors
    rx = np.array([a.size * (SOLID[a.kind].across if a.kind in SCENERY else MOVER_BODY) for a in actors], np.float32)
    ry = np.array([a.size * (SOLID[a.kind].below if a.kind in SCENERY else MOVER_BODY) for a in actors], np.float32)
    moved = len(x) if (x != x[0]).any() or (y != y[0]).any() or (camera != camera[0]).any() else 1
    px = x[:moved, :, None] + rx[:, None] * POINTS[:, 0]
    py = y[:moved, :, None] + ry[:, None] * POINTS[:, 1]
    half = (HALF_HEIGHT / camera[:moved, 2])[:, None, None]
    inside = np.abs(px - camera[:moved, 0, None, None]) <= half * aspect
    inside &= np.abs(py - camera[:moved, 1, None, None]) <= half
    seen = inside.copy()
    for screen in actors:
        if screen.kind == "screen":
            behind = np.abs(px - screen.x) <= screen.size * SOLID["screen"].across
            behind &= (py >= screen.y - screen.size * SOLID["screen"].below) & (
                py <= screen.y + screen.size * SOLID["screen"].above
            )
            others = [k for k in range(len(actors)) if actors[k].kind != "screen"]
            seen[:, others] &= ~behind[:, others]
    share, window = seen.mean(2, dtype=np.float32), inside.mean(2, dtype=np.float32)
    if moved == 1:
        return np.repeat(share, len(x), 0), np.repeat(window, len(x), 0)
    return share, window
