"""A Minari dataset with pictures becomes an episode dataset."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError

minari = pytest.importorskip("minari")
from minari.data_collector.episode_buffer import EpisodeBuffer  # noqa: E402


def buffer(number: int, actions: list[int]) -> EpisodeBuffer:
    """An episode whose pictures grow brighter, paid by its actions, ended after the last."""
    count = len(actions)
    return EpisodeBuffer(
        id=number,
        observations=np.stack([np.full((32, 32, 3), 50 * t, np.uint8) for t in range(count + 1)]),
        actions=np.array(actions),
        rewards=[float(action) for action in actions],
        terminations=[t == count - 1 for t in range(count)],
        truncations=[False] * count,
    )


def test_minari_comes_in_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinema.datasets.minari import convert_minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    done = [[0, 1, 2, 0], [1, 2, 0, 1]]
    minari.create_dataset_from_buffers(
        "test/picture-v0",
        buffer=[buffer(number, actions) for number, actions in enumerate(done)],
        observation_space=gym.spaces.Box(0, 255, (32, 32, 3), np.uint8),
        action_space=gym.spaces.Discrete(3),
        algorithm_name="none",
        author="x",
        author_email="x@x.x",
        code_permalink="x",
    )
    convert_minari("test/picture-v0", tmp_path / "d", size=(32, 32))
    data = Dataset.open(tmp_path / "d")
    assert len(data) == 2
    for found, actions in zip(data, done, strict=True):
        assert found.action[:-1].argmax(1).tolist() == actions
        assert found.reward.tolist() == [0.0, *map(float, actions)]
        assert found.terminated.tolist() == [False] * 4 + [True]
        assert [round(float(f.mean()) / 50) for f in found.frames] == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="minari download"):
        convert_minari("none/such-v0", tmp_path / "e")
