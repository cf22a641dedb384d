"""Cases: what a model is shown, what is done, and what really happens then.

Everything is a function of a seed, on seeds that no training uses. Truth is a scene of the Playground's own physics (or of
PhyWorld's closed forms), drawn by the renderer.

Axes: T frames, of which C are shown; K slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.playground import Episode, SceneDistribution, simulate
from kinema.playground.camera import visible
from kinema.playground.episode import to_scene
from kinema.playground.physics import EpisodeSetup, PhysicsWorld
from kinema.playground.renderer import render_scene
from kinema.scene.geometry import DEFAULT_CAMERA
from kinema.scene.scene import Scene
from kinema.types import Floats, Frames

FPS = 16.0
SIDE = 128
"""Pixels of a picture's sides."""
SEED = 950_000_000
"""Episodes of the arena begin here; training stays below 900,000,000."""
VISIBLE_SHARE = 0.5
"""Things of which a picture shows this share are asked for."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`known` frames of `truth` are shown. actions: what is done in each of its frames [T, 2], or None where nobody acts.
    no_action: what would happen if nothing were done. other: another case's truth, as long."""

    name: str
    seed: int
    truth: Scene
    known: int
    actions: Floats | None = None
    text: str = ""
    no_action: Scene | None = None
    other: Scene | None = None
    marks: dict[str, Any] = field(default_factory=dict)
    """What a task wants to remember of a case."""

    @cached_property
    def frames(self) -> Frames:
        """The true pictures [T, H, W, 3]."""
        return true_frames(self.truth)

    @property
    def context(self) -> Frames:
        return self.frames[: self.known]

    @property
    def horizon(self) -> int:
        return self.truth.num_frames - self.known

    @property
    def fps(self) -> float:
        return self.truth.fps


def true_frames(scene: Scene) -> Frames:
    return np.asarray(render_scene(scene, height=SIDE, width=SIDE))


def enact(setup: EpisodeSetup, actions: Floats, *, fps: float = FPS, slots: int = 4) -> Scene:
    """What physics makes of an episode when its robot does this, as many frames as actions."""
    world = PhysicsWorld(setup, fps)
    path = [world.rows()]
    for action in actions[:-1]:
        world.step((float(action[0]), float(action[1])))
        path.append(world.rows())
    track = np.asarray(path, np.float32)
    camera = np.tile(np.array(DEFAULT_CAMERA, np.float32), (len(track), 1))
    seen, _ = visible(setup, track[:, :, 0], track[:, :, 1], camera, 1.0)
    return to_scene(setup, track, seen, camera, fps, slots)


def straight(scene: Scene, known: int) -> tuple[Floats, Floats]:
    """Where everything would be if it kept the speed of the last shown frame: x, y [T, K]."""
    ahead = (np.arange(scene.num_frames) - (known - 1)).clip(0)[:, None] / scene.fps
    last = known - 1
    x = np.where(ahead > 0, scene.x[last] + scene.vx[last] * ahead, scene.x)
    y = np.where(ahead > 0, scene.y[last] + scene.vy[last] * ahead, scene.y)
    return x.astype(np.float32), y.astype(np.float32)


def looped(known: int, frames: int) -> NDArray[np.int64]:
    """Which shown frame stands at every frame when the shown ones are played over and over."""
    return np.arange(frames) % known


def trivial_errors(scene: Scene, known: int) -> dict[str, Floats]:
    """Distance from the truth [T, K] of what needs no model: freezing, looping, going straight on."""
    frames = scene.num_frames
    hold = np.minimum(np.arange(frames), known - 1)
    guesses = {
        "freeze": (scene.x[hold], scene.y[hold]),
        "loop": (scene.x[looped(known, frames)], scene.y[looped(known, frames)]),
        "straight": straight(scene, known),
    }
    return {name: np.hypot(x - scene.x, y - scene.y).astype(np.float32) for name, (x, y) in guesses.items()}


def least_trivial(scene: Scene, known: int, at: int) -> float:
    """How far off the thing that the best of the trivial ways gets most wrong is at a frame, among things in sight."""
    seen = [k for k in scene.entities if scene.visible[at, k] >= VISIBLE_SHARE]
    errors = trivial_errors(scene, known)
    return min((max((float(error[at, k]) for k in seen), default=0.0) for error in errors.values()), default=0.0)


def sample_episodes(
    distribution: SceneDistribution, count: int, first: int, *, frames: int, keep: Callable[[Episode], bool] = lambda _: True
) -> list[Episode]:
    """Fresh episodes that a task can use, of plain things: how bouncy or heavy a thing is, no picture shows."""
    distribution = replace(distribution, materials={"plain": 1.0})
    chosen: list[Episode] = []
    seed = SEED + first
    while len(chosen) < count:
        episode = simulate(distribution, seed, fps=FPS, num_frames=frames)
        chosen += [episode] if keep(episode) else []
        seed += 1
    return chosen


def with_others(cases: Sequence[Case]) -> list[Case]:
    """Each case with the truth of the next one beside it, for the baseline that answers another task."""
    return [replace(case, other=cases[(i + 1) % len(cases)].truth) for i, case in enumerate(cases)]
