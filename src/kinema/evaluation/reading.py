"""From a model's pixels to things, by the independent parser (`kinema.playground.parser`), never by a model.

A thing that cannot be found is a failure: it counts as LOST units off, and as nothing found of its kind.

Axes: N frames looked at, K slots of the true scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.evaluation.cases import VISIBLE_SHARE
from kinema.playground.parser import ParsedObject, parse_clip
from kinema.scene.scene import COLORS, Scene
from kinema.types import Floats, Frames

LOST = 5.0
"""Units by which a thing that is not found is off."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Where the things of a scene are [N, K, 2] (NaN: not found), whether kind and color were read right [N, K], and how many
    further things stand there [N]."""

    at: NDArray[np.int64]
    place: Floats
    named: NDArray[np.bool_]
    extra: NDArray[np.int64]

    def errors(self, scene: Scene) -> Floats:
        """Distance from the truth [N, K]; LOST where nothing is found; NaN where the truth is not in sight."""
        truth = np.stack([scene.x[self.at], scene.y[self.at]], -1)
        off = np.minimum(np.linalg.norm(self.place - truth, axis=-1), LOST)
        off = np.where(np.isnan(off), LOST, off)
        visible = visible_things(scene, self.at)
        return np.where(visible, off, np.nan).astype(np.float32)


def visible_things(scene: Scene, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which things are asked for [N, K]."""
    exists = np.zeros(scene.num_slots, bool)
    exists[scene.entities] = True
    return (scene.visible[at] >= VISIBLE_SHARE) & exists


def read_pictures(frames: Frames, scene: Scene, at: NDArray[np.int64]) -> Reading:
    """frames: pictures [N, H, W, 3] that stand for frames `at` of the scene."""
    place = np.full((len(at), scene.num_slots, 2), np.nan, np.float32)
    named = np.zeros((len(at), scene.num_slots), bool)
    extra = np.zeros(len(at), np.int64)
    for n, seen in enumerate(parse_clip(frames)):
        left = list(seen)
        for exact in (True, False):
            for k in scene.entities:
                if not np.isnan(place[n, k, 0]):
                    continue
                mine = [s for s in left if _fits(s, scene, k, exact)]
                if not mine:
                    continue
                best = max(mine, key=lambda s: s.score)
                left = [s for s in left if s is not best]
                place[n, k], named[n, k] = (best.x, best.y), exact
        extra[n] = len(left)
    return Reading(at=at, place=place, named=named, extra=extra)


def _fits(seen: ParsedObject, scene: Scene, slot: int, exact: bool) -> bool:
    """Of that kind and color; failing that, of a color that only this thing has."""
    color: str = COLORS[scene.color[slot]]
    if exact:
        return f"{seen.color} {seen.kind}" == scene.name(slot)
    alone = sum(COLORS[scene.color[k]] == color for k in scene.entities) == 1
    return alone and seen.color == color


def frames_to_read(known: int, frames: int, step: int) -> NDArray[np.int64]:
    """Frames after the shown ones, the last among them."""
    return np.arange(frames - 1, known - 1, -step)[::-1].copy()
