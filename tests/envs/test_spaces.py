"""Actions of every space survive being turned into numbers, and spaces being written down."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

from kinema.envs.spaces import (
    batch_from_learner,
    check,
    decode_action,
    edged,
    encode_action,
    from_learner,
    learner_space,
    space_of,
    spec_of,
    width,
)
from kinema.errors import InputError

SPACES = [
    gym.spaces.Discrete(5),
    gym.spaces.Discrete(3, start=-1),
    gym.spaces.MultiDiscrete([2, 4, 3]),
    gym.spaces.MultiDiscrete([2, 3], start=[1, -1]),
    gym.spaces.MultiBinary(4),
    gym.spaces.Box(-2.0, 5.0, (3,), np.float32),
    gym.spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    gym.spaces.Dict({"gas": gym.spaces.Box(0.0, 1.0, (1,), np.float32), "gear": gym.spaces.Discrete(3)}),
    gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.MultiBinary(2)]),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_an_action_comes_back(space: gym.Space) -> None:
    spec = json.loads(json.dumps(spec_of(space)))
    assert space_of(spec) == space
    space.seed(0)
    for _ in range(20):
        action = space.sample()
        check(spec, action)
        vector = encode_action(spec, action)
        assert vector.shape == (width(spec),) and vector.dtype == np.float32
        again = decode_action(spec, vector)
        assert space.contains(again)
        np.testing.assert_allclose(encode_action(spec, again), vector, atol=1e-5)
        flat, flat_again = (gym.spaces.flatten(space, one) for one in (action, again))
        np.testing.assert_allclose(flat, flat_again, atol=1e-5)


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (SPACES[0], 7),
        (SPACES[0], 1.5),
        (SPACES[0], np.nan),
        (SPACES[4], np.array([0.0, np.nan, 0.0])),
        (SPACES[4], np.zeros(2)),
        (SPACES[2], np.array([5, 0, 0])),
    ],
)
def test_an_action_outside_its_space_is_named(space: gym.Space, action: object) -> None:
    with pytest.raises(InputError, match="is not in"):
        check(spec_of(space), action)


def test_a_space_without_a_fixed_width_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be recorded"):
        spec_of(gym.spaces.Text(5))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_learner_s_actions_are_actions_of_the_space(space: gym.Space) -> None:
    """Of every space, also of choices that do not count from 0, alone and for many environments."""
    spec = spec_of(space)
    simple = learner_space(spec)
    assert isinstance(simple, gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary | gym.spaces.Box)
    simple.seed(0)
    drawn = [simple.sample() for _ in range(8)]
    assert all(space.contains(from_learner(spec, action)) for action in drawn)
    many = gym.vector.utils.batch_space(space, 8)
    assert many.contains(batch_from_learner(spec, np.stack(drawn)))


def test_choices_of_a_learner_count_from_0() -> None:
    space = gym.spaces.Dict({"a": gym.spaces.Discrete(3, start=5), "b": gym.spaces.MultiDiscrete([2, 2], start=[1, -1])})
    spec = spec_of(space)
    assert learner_space(spec) == gym.spaces.MultiDiscrete([3, 2, 2])
    action = from_learner(spec, np.array([2, 0, 1]))
    assert action["a"] == 7 and action["b"].tolist() == [1, 0]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e300])
def test_actions_that_are_not_finite_are_refused_wherever_they_are(wrong: float) -> None:
    box = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    with pytest.raises(InputError, match="is not in"):
        check(spec_of(gym.spaces.Dict({"a": gym.spaces.Tuple([box])})), {"a": (np.array([wrong]),)})


def test_numbers_of_boxes_with_edges_are_found_inside_other_spaces() -> None:
    half = gym.spaces.Box(np.array([0, -np.inf], np.float32), np.array([1, np.inf], np.float32))
    mixed = gym.spaces.Dict(
        {"gear": gym.spaces.Discrete(3), "hand": gym.spaces.Tuple([half, gym.spaces.Box(-1.0, 1.0, (1,))])}
    )
    assert edged(spec_of(mixed)) == [3, 5]
    assert edged(spec_of(gym.spaces.MultiBinary(4))) == []
