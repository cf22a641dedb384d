"""The state of a world at one time, as plain values.

Units: a room is 10 units high and wide, x to the right, y up; seconds; radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinema.scene.scene import COLORS, KINDS, MATERIALS, SIZES, Scene


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One object. `visible` is its visible share, 0 to 1; a hidden object still exists."""

    slot: int
    kind: str
    color: str
    material: str
    size: str
    radius: float
    x: float
    y: float
    vx: float
    vy: float
    angle: float
    visible: float

    @property
    def name(self) -> str:
        return f"{self.color} {self.kind}"

    @property
    def speed(self) -> float:
        return float(np.hypot(self.vx, self.vy))


@dataclass(frozen=True, kw_only=True)
class State:
    """All entities at one time; `scene` is the same as a `Scene` of one frame."""

    time_s: float
    entities: tuple[Entity, ...]
    view: str
    background: str
    scene: Scene

    @staticmethod
    def of(scene: Scene, time_s: float) -> State:
        """The first frame of a scene."""
        entities = tuple(
            Entity(
                slot=k,
                kind=KINDS[scene.kind[k]],
                color=COLORS[scene.color[k]],
                material=MATERIALS[scene.material[k]],
                size=min(SIZES, key=lambda name: abs(SIZES[name] - float(scene.size[k]))),
                radius=float(scene.size[k]),
                **{name: float(getattr(scene, name)[0, k]) for name in ("x", "y", "vx", "vy", "angle", "visible")},
            )
            for k in scene.entities
        )
        return State(time_s=time_s, entities=entities, view=scene.view, background=scene.background, scene=scene)
