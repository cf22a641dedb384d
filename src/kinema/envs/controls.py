"""How a recorded environment is acted in: actions as JSON, the action of no key, and the keys that act.

A choice has a key, 0 to 9 and A to Z. Choices of composed spaces are counted through all their parts in order. Numbers of a box
have the arrow keys, left and right for the first, down and up for the second.
"""

from __future__ import annotations

import string
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.envs.spaces import Spec, check, decode_action, space_of, width
from kinema.errors import InputError, excerpt
from kinema.types import python_values

CHOICE_KEYS = string.digits + string.ascii_uppercase
ARROWS = (("ArrowLeft", "ArrowRight"), ("ArrowDown", "ArrowUp"))
"""Keys of the first and the second number of a box: to its low and to its high edge."""


def chosen_action(spec: Spec, number: int | None, idle: int = 0) -> Any:
    """The action of one choice by its number, counted from 0 through all parts; None: of no choice.

    Args:
        spec: The action space.
        number: Beyond the last choice it is the last one of a discrete space, and no choice of another.
        idle: Which choice of a discrete space stands for none.

    Returns:
        An action of the space. Numbers of a box are zero, or as near as its edges allow; of foreign data as its "rest" says.
    """
    if spec["type"] == "discrete":
        return (idle if number is None else min(number, int(spec["n"]) - 1)) + spec["start"]
    if spec["type"] == "box":
        return box_action(spec, ())
    vector = np.zeros(width(spec), np.float32)
    if number is not None and number < len(vector):
        vector[number] = 2.0
    return decode_action(spec, vector)


def box_action(spec: Spec, numbers: Any) -> NDArray[Any]:
    """The action of a box whose first numbers are these and whose others are 0, or as its "rest" says, clipped to its edges."""
    space: Any = space_of(spec)
    given = np.array(spec.get("rest", [0.0] * len(spec["edges"])), np.float32)
    first = np.asarray(numbers, np.float32)[: len(given)]
    given[: len(first)] = first
    clipped: NDArray[Any] = np.clip(given.reshape(spec["shape"]), space.low, space.high).astype(spec["dtype"])
    return clipped


def action_names(env: Any) -> list[str]:
    """What a recorded environment calls its choices, as Atari games and MiniGrid tell them, in lower case; [] where none does.

    env: A Gymnasium environment of a discrete action space.
    """
    inner = env.unwrapped
    if not isinstance(env.action_space, gym.spaces.Discrete):
        return []
    tell = getattr(inner, "get_action_meanings", None)
    listed = tell() if callable(tell) else getattr(inner, "actions", ())
    try:
        names = [str(getattr(one, "name", one)).lower() for one in listed]
    except TypeError:
        return []
    return names if len(names) == env.action_space.n else []


def action_from_json(spec: Spec, value: Any) -> Any:
    """An action of a space from its JSON: numbers, lists, and objects for the parts of a Dict. InputError: it is none."""
    try:
        action = _read(spec, value)
        check(spec, action)
    except (InputError, ValueError, TypeError, KeyError, OverflowError):
        such = python_values(chosen_action(spec, None))
        raise InputError(
            f"action {excerpt(repr(value))}: expected one of {excerpt(str(space_of(spec)), 160)}, such as {excerpt(str(such))},"
            " or null for none"
        ) from None
    return action


def _read(spec: Spec, value: Any) -> Any:
    kind = spec["type"]
    if kind == "dict":
        if not isinstance(value, dict) or value.keys() != spec["spaces"].keys():
            raise ValueError
        return {name: _read(part, value[name]) for name, part in spec["spaces"].items()}
    if kind == "tuple":
        return tuple(_read(part, one) for part, one in zip(spec["spaces"], value, strict=True))
    given = np.asarray(value)
    if kind == "box":
        if given.dtype.kind not in "iuf" or not np.isfinite(given).all():
            raise ValueError
        return given.astype(np.float64)
    if given.dtype.kind not in "iu" or given.shape != tuple(spec.get("shape", ())):
        raise ValueError
    return int(given) if kind == "discrete" else given.astype(np.int8 if kind == "multi_binary" else np.int64)


def key_actions(spec: Spec, idle: int = 0) -> dict[str, Any]:
    """The actions of keys, by the names that browsers give them ("0", "A", "ArrowLeft"), as JSON."""
    if spec["type"] == "box":
        made = {}
        for i, (edge, keys) in enumerate(zip(spec["edges"], ARROWS, strict=False)):
            for key, number in zip(keys, edge or (-1.0, 1.0), strict=True):
                made[key] = python_values(box_action(spec, (*[0.0] * i, number)))
        return made
    return {key: python_values(chosen_action(spec, i, idle)) for i, key in enumerate(CHOICE_KEYS[: width(spec)])}


def action_controls(world: dict[str, Any]) -> dict[str, Any]:
    """How a recorded world is acted in, as JSON.

    Args:
        world: The entry `world` of the model's config.

    Returns:
        "space": its action space (`kinema.envs.spaces.spec_of`); "idle": the action of no key; "keys": the actions of keys.
    """
    spec, idle = world["action"], int(world.get("idle", 0))
    return {"space": spec, "idle": python_values(chosen_action(spec, None, idle)), "keys": key_actions(spec, idle)}
