"""PhyWorld's three worlds, re-created from the description in Kang et al. 2024 ("How Far is Video Generation from World Model"):
a ball that moves evenly, two balls that collide head on, a ball thrown on a parabola.

Solved in closed form: no step of any simulator. 10 x 10 units, radii and speeds of training within IN, those of the generalization
tests within OUT. Differences from the paper: our renderer, and exactly elastic collisions at every closing speed (their
engine takes speeds up to 1 as inelastic). A side view tells that there is gravity, which three frames could not.

Axes: T frames, K slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from kinema.errors import InputError
from kinema.playground.captions import Captions
from kinema.playground.episode import Episode
from kinema.playground.visibility import visible_share
from kinema.scene.geometry import DEFAULT_CAMERA, HALF_HEIGHT, MIDDLE
from kinema.scene.scene import COLORS, KINDS, SIZES, Scene
from kinema.types import Doubles

LEVELS = ("uniform", "collision", "parabola")
SHIFTS = ("in", "radius", "speed", "both")
"""What of a test lies outside the range of training."""
FPS, FRAMES, KNOWN = 10.0, 32, 3
"""A clip: 0.1 s a frame, of which so many are given."""
GRAVITY = 2.5
RADII = {"uniform": (0.7, 1.4), "collision": (0.5, 1.5), "parabola": (0.7, 1.4)}
SPEEDS = (1.0, 4.0)
"""What is trained on."""
RADII_OUT = {
    "uniform": ((0.3, 0.6), (1.5, 2.0)),
    "collision": ((0.3, 0.4), (1.6, 2.0)),
    "parabola": ((0.3, 0.6), (1.5, 2.0)),
}
SPEEDS_OUT = ((0.0, 0.8), (4.5, 6.0))
MEET_S = (0.5, 2.2)
"""When two balls meet, so that a test sees them before and after."""
BALL_COLORS = ("red", "blue")
TRIES = 1000


@dataclass(frozen=True, kw_only=True)
class PhyWorld:
    """What a stream of these episodes holds: its levels, each as often, and what lies outside the range of training."""

    levels: tuple[str, ...] = LEVELS
    shift: str = "in"
    slots: int = 2

    def __post_init__(self) -> None:
        unknown = [level for level in self.levels if level not in LEVELS]
        if unknown or not self.levels or self.shift not in SHIFTS:
            raise InputError(f"levels {self.levels}, shift {self.shift!r}: expected some of {LEVELS}, and one of {SHIFTS}")

    @property
    def lacks(self) -> tuple[str, ...]:
        """Names of kinds and colors that no episode holds, and of sizes: radii are continuous, and no caption names one."""
        return tuple(name for name in (*KINDS, *COLORS, *SIZES) if name != "ball" and name not in BALL_COLORS)

    def simulate(self, seed: int, *, fps: float = FPS, num_frames: int = FRAMES) -> Episode:
        """The episode of a seed."""
        rng = Random(f"{seed}/phyworld")
        level = rng.choice(self.levels)
        ball = _collision if level == "collision" else _thrown if level == "parabola" else _even
        radius, paths = ball(rng, self.shift, np.arange(num_frames) / fps)
        return _episode(level, radius, paths, fps, seed, self.slots)


def _radius(rng: Random, level: str, shift: str) -> float:
    low, high = rng.choice(RADII_OUT[level]) if shift in ("radius", "both") else RADII[level]
    return rng.uniform(low, high)


def _speed(rng: Random, shift: str) -> float:
    low, high = rng.choice(SPEEDS_OUT) if shift in ("speed", "both") else SPEEDS
    return rng.uniform(low, high)


def _even(rng: Random, shift: str, time_s: Doubles) -> tuple[list[float], Doubles]:
    """Radii and paths [K, T, 4] of x, y, vx, vy."""
    r, v = _radius(rng, "uniform", shift), _speed(rng, shift)
    x, y = r + rng.uniform(0.1, 1.0), rng.uniform(r + 0.1, 9.9 - r)
    one = np.ones_like(time_s)
    return [r], np.stack([x + v * time_s, y * one, v * one, 0 * one], -1)[None]


def _thrown(rng: Random, shift: str, time_s: Doubles) -> tuple[list[float], Doubles]:
    r, v = _radius(rng, "parabola", shift), _speed(rng, shift)
    x, y = r + rng.uniform(0.1, 1.0), rng.uniform(7.0, 9.9) - r
    path = [x + v * time_s, y - GRAVITY * time_s**2 / 2, v * np.ones_like(time_s), -GRAVITY * time_s]
    return [r], np.stack(path, -1)[None]


def _collision(rng: Random, shift: str, time_s: Doubles) -> tuple[list[float], Doubles]:
    for _ in range(TRIES):
        r1, r2 = _radius(rng, "collision", shift), _radius(rng, "collision", shift)
        v1, v2 = _speed(rng, shift), -_speed(rng, shift)
        x1, x2 = r1 + rng.uniform(0.1, 1.5), 9.9 - r2 - rng.uniform(0.0, 1.4)
        gap, closing = x2 - x1 - r1 - r2, v1 - v2
        if gap > 0.2 and closing > 0 and MEET_S[0] <= gap / closing <= MEET_S[1]:
            break
    else:
        raise InputError(f"no head-on collision with shift {shift!r} in {TRIES} draws")
    m1, m2, meet = r1 * r1, r2 * r2, gap / closing
    u1 = ((m1 - m2) * v1 + 2 * m2 * v2) / (m1 + m2)
    u2 = ((m2 - m1) * v2 + 2 * m1 * v1) / (m1 + m2)
    after = time_s > meet
    y = np.full_like(time_s, MIDDLE)
    paths = [
        np.stack(
            [
                x + v * np.minimum(time_s, meet) + u * np.maximum(time_s - meet, 0),
                y,
                np.where(after, u, v),
                0 * y,
            ],
            -1,
        )
        for x, v, u in ((x1, v1, u1), (x2, v2, u2))
    ]
    return [r1, r2], np.stack(paths)


def _halted(path: Doubles, radius: float) -> Doubles:
    """Out of sight a ball is halted, so that numbers stay small over long clips."""
    outside = (np.abs(path[:, :2] - MIDDLE) > HALF_HEIGHT + radius + 0.2).any(-1)
    if outside.any():
        first = int(outside.argmax())
        path[first:, :2] = path[first, :2]
        path[first:, 2:] = 0.0
    return path


def _episode(level: str, radii: list[float], paths: Doubles, fps: float, seed: int, slots: int) -> Episode:
    count, frames = paths.shape[:2]
    moving: dict[str, Any] = {
        name: np.zeros((frames, slots), np.float32) for name in ("x", "y", "vx", "vy", "angle", "visible")
    }
    kind = np.full(slots, -1, np.int8)
    color, size = np.zeros(slots, np.int8), np.zeros(slots, np.float32)
    for k in range(count):
        kind[k], color[k], size[k] = KINDS.index("ball"), COLORS.index(BALL_COLORS[k]), radii[k]
        path = _halted(paths[k].copy(), radii[k])
        for column, name in enumerate(("x", "y", "vx", "vy")):
            moving[name][:, k] = path[:, column]
    scene = Scene(
        fps=fps,
        view="side" if level == "parabola" else "top",
        background="lab",
        kind=kind,
        color=color,
        material=np.zeros(slots, np.int8),
        size=size,
        camera=np.tile(np.array(DEFAULT_CAMERA, np.float32), (frames, 1)),
        **moving,
    )
    scene.visible[:] = visible_share(scene)
    nothing = np.zeros(frames, np.float32)
    return Episode(
        scene=scene,
        events=(),
        action=np.zeros((frames, 2), np.float32),
        has_action=False,
        reward=nothing,
        terminated=nothing.astype(bool),
        captions=Captions(short="a ball", detailed="a ball"),
        cuts=(),
        seed=seed,
    )
