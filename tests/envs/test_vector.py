"""Vector environments: seeds of their own, worlds begun anew, copies by pickle, and other processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import kinema
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.errors import InputError

STEADY = np.zeros((3, 2), np.float32)


@pytest.fixture(scope="module")
def many() -> ImaginedVectorEnv:
    return ImaginedVectorEnv(3, observation="state", window=3)


def played(many: ImaginedVectorEnv, seeds: Any, **options: Any) -> np.ndarray:
    """What each world shows at first and two steps later, [B, 2, ...]."""
    first = many.reset(seed=seeds, options=options or None)[0].copy()
    many.step(STEADY)
    return np.stack([first, many.step(STEADY)[0]], 1)


def test_each_world_has_its_own_seed(many: ImaginedVectorEnv) -> None:
    a, b = played(many, [1, 2, 3]), played(many, [1, 5, 3])
    np.testing.assert_allclose(a[[0, 2]], b[[0, 2]], atol=1e-4)
    assert not np.allclose(a[1], b[1], atol=1e-2)
    np.testing.assert_allclose(played(many, np.array([1, 2, 3])), a, atol=1e-4)
    np.testing.assert_array_equal(played(many, 7)[:, 0], played(many, 7)[:, 0])


def test_a_world_without_a_seed_goes_on_and_a_mask_begins_some_anew(many: ImaginedVectorEnv) -> None:
    a = played(many, [1, 2, 3])
    b = played(many, [None, 2, None])
    np.testing.assert_allclose(a[1], b[1], atol=1e-4)
    assert not np.allclose(a[0], b[0], atol=1e-2)
    before = many.observe().copy()
    mask = np.array([False, True, False])
    after = many.reset(seed=[9, 2, 9], options={"reset_mask": mask})[0]
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    np.testing.assert_allclose(after[1, :, :4], a[1, 0, :, :4], atol=1e-4)
    with pytest.raises(InputError, match="2 seeds for 3 worlds"):
        many.reset(seed=[1, 2])


def test_a_copy_by_pickle_goes_on_as_the_original() -> None:
    env = gym.make("kinema/Imagined-v0", observation="state")
    env.reset(seed=4)
    copy = pickle.loads(pickle.dumps(env))
    action = np.array([0.5, 0.0], np.float32)
    np.testing.assert_array_equal(env.step(action)[0], copy.step(action)[0])


def test_forked_processes_do_not_hang() -> None:
    """With several threads in this process, whose copies of them are dead in the forked ones."""
    code = """
import gymnasium, kinema
many = gymnasium.make_vec("kinema/Imagined-v0", num_envs=2, vectorization_mode="async")
many.reset(seed=1)
many.step(many.action_space.sample())
many.close()
"""
    source = str(Path(kinema.__file__).parents[1])
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": source}
    assert subprocess.run([sys.executable, "-c", code], env=env, timeout=120, check=False).returncode == 0
