"""PhyWorld's worlds obey their closed forms, and the ranges inside and outside of training do not overlap."""

from __future__ import annotations

import numpy as np
import pytest

from kinema.errors import InputError
from kinema.playground.phyworld import GRAVITY, LEVELS, RADII, SHIFTS, SPEEDS, PhyWorld


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_inside_and_outside(level: str, shift: str) -> None:
    for seed in range(20):
        scene = PhyWorld(levels=(level,), shift=shift).simulate(seed).scene
        low, high = RADII[level]
        inside = all(low <= scene.size[k] <= high for k in scene.entities)
        assert inside == (shift in ("in", "speed"))
        speeds = np.abs(scene.vx[0, scene.entities])
        within = bool(((speeds >= SPEEDS[0]) & (speeds <= SPEEDS[1])).all())
        assert within == (shift in ("in", "radius"))


def test_collisions_keep_momentum_and_energy() -> None:
    for seed in range(30):
        scene = PhyWorld(levels=("collision",)).simulate(seed).scene
        mass = scene.size.astype(float) ** 2
        first, touched = scene.vx[0], np.flatnonzero(scene.vx[:, 0] != scene.vx[0, 0])
        last = scene.vx[touched[0]]
        assert (mass * first).sum() == pytest.approx((mass * last).sum(), abs=1e-4)
        assert (mass * first**2).sum() == pytest.approx((mass * last**2).sum(), rel=1e-4)
        gap = np.abs(scene.x[:, 0] - scene.x[:, 1]) - scene.size.sum()
        assert gap[scene.visible.min(1) > 0.2].min() > -1e-4


def test_parabola_falls_by_its_gravity() -> None:
    scene = PhyWorld(levels=("parabola",)).simulate(3, fps=20.0, num_frames=10).scene
    second = np.diff(scene.y[:, 0], 2) * 20.0**2
    assert second == pytest.approx(-GRAVITY, abs=0.02) and (scene.view, scene.vx[0, 0]) == ("side", scene.vx[-1, 0])


def test_same_seed_same_episode_and_bad_names() -> None:
    one, two = (PhyWorld().simulate(5) for _ in range(2))
    assert np.array_equal(one.scene.x, two.scene.x)
    with pytest.raises(InputError, match="levels"):
        PhyWorld(levels=("billiards",))
    with pytest.raises(InputError, match="shift"):
        PhyWorld(shift="wild")
