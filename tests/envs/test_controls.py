"""Actions of recorded environments as JSON, and the keys that stand for them."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from kinema.envs.controls import action_controls, action_from_json, action_names, chosen_action
from kinema.envs.spaces import check, encode_action, spec_of
from kinema.errors import InputError
from kinema.types import python_values

SPACES: dict[str, gym.Space[Any]] = {
    "discrete": gym.spaces.Discrete(12, start=3),
    "multi": gym.spaces.MultiDiscrete([3, 2]),
    "binary": gym.spaces.MultiBinary(3),
    "box": gym.spaces.Box(np.float32([-2.0, 0.1, -1.0]), np.float32([2.0, 1.0, 1.0]), dtype=np.float32),
    "whole": gym.spaces.Box(0, 9, (2, 2), np.uint8),
    "dict": gym.spaces.Dict({"a": gym.spaces.Discrete(2), "b": gym.spaces.Box(-1.0, 1.0, (1,), np.float32)}),
    "tuple": gym.spaces.Tuple((gym.spaces.Discrete(2), gym.spaces.MultiBinary(2))),
}


@pytest.mark.parametrize("name", SPACES)
def test_actions_survive_json_and_all_keys_act(name: str) -> None:
    space = SPACES[name]
    spec = spec_of(space)
    space.seed(0)
    for _ in range(5):
        action = space.sample()
        again = action_from_json(spec, json.loads(json.dumps(python_values(action))))
        assert np.array_equal(encode_action(spec, again), encode_action(spec, action))
    controls = json.loads(json.dumps(action_controls({"action": spec, "idle": 4})))
    assert controls["space"] == json.loads(json.dumps(spec)) and controls["keys"]
    for action in (controls["idle"], *controls["keys"].values()):
        check(spec, action_from_json(spec, action))


def test_keys_count_choices_and_go_to_the_edges_of_numbers() -> None:
    keys = action_controls({"action": spec_of(SPACES["discrete"]), "idle": 4})
    assert keys["idle"] == 7 and list(keys["keys"].items())[-2:] == [("A", 13), ("B", 14)]
    box = action_controls({"action": spec_of(SPACES["box"])})
    assert box["idle"] == pytest.approx([0.0, 0.1, 0.0])
    assert {key: numbers[:2] for key, numbers in box["keys"].items()} == {
        "ArrowLeft": pytest.approx([-2.0, 0.1]),
        "ArrowRight": pytest.approx([2.0, 0.1]),
        "ArrowDown": pytest.approx([0.0, 0.1]),
        "ArrowUp": pytest.approx([0.0, 1.0]),
    }
    assert action_controls({"action": spec_of(SPACES["multi"])})["keys"]["4"] == [0, 1]
    assert list(action_controls({"action": spec_of(gym.spaces.Discrete(99))})["keys"])[-1] == "Z"
    assert chosen_action(spec_of(SPACES["discrete"]), 99) == 14


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discrete", 2), ("discrete", 15), ("discrete", "3"), ("discrete", True), ("discrete", [3, 4]), ("discrete", 10**400),
        ("multi", [3, 0]), ("multi", [0]), ("multi", "00"), ("binary", [0, 1, 2]), ("binary", None), ("box", [0.0, 0.5]),
        ("box", [0.0, float("nan"), 0.0]), ("box", ["a", 0, 0]), ("box", {"0": 1}), ("dict", {"a": 0}), ("dict", [0, [0.0]]),
        ("tuple", [0]), ("tuple", 1), ("whole", [[1, 2], [3]]),
    ],
)  # fmt: skip
def test_what_is_no_action_is_refused_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=r"expected one of .*, such as") as refused:
        action_from_json(spec_of(SPACES[name]), value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600


def test_environments_tell_the_names_of_their_choices() -> None:
    pytest.importorskip("minigrid", reason="needs kinema[worlds]")

    class Named(gym.Env[Any, Any]):
        action_space: gym.Space[Any] = gym.spaces.Discrete(2)

        def __init__(self, names: Any) -> None:
            self.names = names

        def get_action_meanings(self) -> Any:
            return self.names

    assert action_names(gym.make("MiniGrid-Empty-5x5-v0"))[:3] == ["left", "right", "forward"]
    assert action_names(gym.make("CartPole-v1")) == [] and action_names(gym.make("Pendulum-v1")) == []
    assert action_names(Named(["NOOP", "FIRE"])) == ["noop", "fire"]
    assert action_names(Named(["NOOP"])) == action_names(Named(None)) == []
