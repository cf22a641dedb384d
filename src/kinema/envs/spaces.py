"""Actions of any Gymnasium space as numbers and back, and spaces as plain data that a dataset or a model's config can hold.

One of N becomes N numbers, 1 for the one and -1 for the others; bounded numbers are scaled to [-1, 1]; parts of composed spaces
stand one after the other.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import concatenate, create_empty_array

from kinema.errors import InputError
from kinema.types import Floats

Spec = dict[str, Any]
"""A space as plain data: {"type": ..., ...}."""


def spec_of(space: gym.Space[Any]) -> Spec:
    """A space as plain data; InputError for those that have no fixed number of numbers."""
    if isinstance(space, gym.spaces.Discrete):
        return {"type": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gym.spaces.MultiDiscrete):
        start = [int(n) for n in np.asarray(space.start).reshape(-1)]
        return {
            "type": "multi_discrete",
            "n": [int(n) for n in space.nvec.reshape(-1)],
            "start": start,
            "shape": list(space.nvec.shape),
        }
    if isinstance(space, gym.spaces.MultiBinary):
        return {"type": "multi_binary", "shape": [int(n) for n in space.shape]}
    if isinstance(space, gym.spaces.Box):
        low, high = (np.asarray(edge, np.float64).reshape(-1) for edge in (space.low, space.high))
        bounded = np.isfinite(low) & np.isfinite(high)
        edges = [[float(a), float(b)] if ok else None for a, b, ok in zip(low, high, bounded, strict=True)]
        return {"type": "box", "edges": edges, "shape": list(space.shape), "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.Dict):
        return {"type": "dict", "spaces": {name: spec_of(part) for name, part in space.spaces.items()}}
    if isinstance(space, gym.spaces.Tuple):
        return {"type": "tuple", "spaces": [spec_of(part) for part in space.spaces]}
    raise InputError(
        f"actions of the space {type(space).__name__} cannot be recorded; expected Discrete, MultiDiscrete, MultiBinary,"
        " Box, Dict or Tuple"
    )


def space_of(spec: Spec) -> gym.Space[Any]:
    """The inverse of `spec_of`."""
    kind = spec["type"]
    if kind == "discrete":
        return gym.spaces.Discrete(spec["n"], start=spec["start"])
    if kind == "multi_discrete":
        many, start = (np.array(spec[name]).reshape(spec["shape"]) for name in ("n", "start"))
        return gym.spaces.MultiDiscrete(many, start=start)
    if kind == "multi_binary":
        shape = spec["shape"]
        return gym.spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    if kind == "box":
        edges = [edge or (-np.inf, np.inf) for edge in spec["edges"]]
        dtype = np.dtype(spec["dtype"])
        low, high = (np.array([edge[i] for edge in edges], np.float64).reshape(spec["shape"]).astype(dtype) for i in (0, 1))
        return gym.spaces.Box(low, high, dtype=dtype.type)
    if kind == "dict":
        return gym.spaces.Dict({name: space_of(part) for name, part in spec["spaces"].items()})
    if kind == "tuple":
        return gym.spaces.Tuple([space_of(part) for part in spec["spaces"]])
    raise InputError(f"a space of type {kind!r}: expected discrete, multi_discrete, multi_binary, box, dict or tuple")


def _parts(spec: Spec) -> list[tuple[Any, Spec]]:
    if spec["type"] == "dict":
        return list(spec["spaces"].items())
    return list(enumerate(spec["spaces"]))


def width(spec: Spec) -> int:
    """How many numbers an action is."""
    kind = spec["type"]
    if kind == "discrete":
        return int(spec["n"])
    if kind == "multi_discrete":
        return sum(spec["n"])
    if kind == "multi_binary":
        return int(np.prod(spec["shape"]))
    if kind == "box":
        return len(spec["edges"])
    return sum(width(part) for _, part in _parts(spec))


def edged(spec: Spec) -> list[int]:
    """Which numbers of an encoded action are those of a box with edges."""
    if spec["type"] == "box":
        return [i for i, edge in enumerate(spec["edges"]) if edge is not None]
    if spec["type"] not in ("dict", "tuple"):
        return []
    parts = [part for _, part in _parts(spec)]
    return [sum(map(width, parts[:i])) + column for i, part in enumerate(parts) for column in edged(part)]


def check(spec: Spec, action: Any) -> None:
    """InputError unless the action lies in the space; numbers of a box may lie outside its edges, but are finite."""
    if not _fits(spec, action):
        raise InputError(f"action {str(action)[:80]} is not in {space_of(spec)}")


def _fits(spec: Spec, action: Any) -> bool:
    kind = spec["type"]
    if kind == "dict":
        return isinstance(action, dict) and action.keys() == spec["spaces"].keys() and _all_fit(spec, action)
    if kind == "tuple":
        return isinstance(action, tuple | list) and len(action) == len(spec["spaces"]) and _all_fit(spec, action)
    if kind in ("discrete", "box"):
        try:
            given = np.asarray(action, np.float64)
        except (TypeError, ValueError):
            return False
        if kind == "box":
            return given.shape == tuple(spec["shape"]) and bool((np.abs(given) <= np.finfo(np.float32).max).all())
        return given.size == 1 and float(given.item()) - spec["start"] in range(spec["n"])
    return space_of(spec).contains(action)


def _all_fit(spec: Spec, action: Any) -> bool:
    return all(_fits(part, action[name]) for name, part in _parts(spec))


def encode_action(spec: Spec, action: Any) -> Floats:
    """An action as float32 [width]; numbers of a box are clipped to its edges."""
    kind = spec["type"]
    if kind == "discrete":
        return _one_hot(int(np.asarray(action).reshape(-1)[0]) - spec["start"], spec["n"])
    if kind == "multi_discrete":
        chosen = np.asarray(action).reshape(-1) - np.array(spec["start"])
        return np.concatenate([_one_hot(int(which), n) for which, n in zip(chosen, spec["n"], strict=True)])
    if kind == "multi_binary":
        return np.asarray(action, np.float32).reshape(-1) * 2 - 1
    if kind == "box":
        given, edges = np.asarray(action, np.float64).reshape(-1), spec["edges"]
        scaled = [x if edge is None else between(x, *edge) for x, edge in zip(given, edges, strict=True)]
        return np.array(scaled, np.float32)
    return np.concatenate([encode_action(part, action[name]) for name, part in _parts(spec)])


def between(number: Any, least: Any, most: Any) -> Any:
    """Where numbers lie between two edges, from -1 to 1; -1 where the edges are one."""
    return 2 * (np.clip(number, least, most) - least) / np.maximum(np.subtract(most, least), 1e-9) - 1


def padded(numbers: Floats, count: int) -> Floats:
    """Numbers [..., D] with zeros after them, so that they are `count`."""
    return np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, count - numbers.shape[-1])])


def _one_hot(which: int, n: int) -> Floats:
    row = np.full(n, -1.0, np.float32)
    row[which] = 1.0
    return row


def decode_action(spec: Spec, vector: Floats) -> Any:
    """The action nearest to float32 [width]."""
    kind = spec["type"]
    if kind == "discrete":
        return np.int64(vector.argmax() + spec["start"])
    if kind == "multi_discrete":
        ends = np.cumsum(spec["n"])[:-1]
        chosen = np.array([part.argmax() for part in np.split(vector, ends)], np.int64) + np.array(spec["start"])
        return chosen.reshape(spec["shape"])
    if kind == "multi_binary":
        return (vector > 0).astype(np.int8).reshape(spec["shape"])
    if kind == "box":
        numbers = [
            number if edge is None else edge[0] + (min(max(float(number), -1.0), 1.0) + 1) / 2 * (edge[1] - edge[0])
            for number, edge in zip(vector, spec["edges"], strict=True)
        ]
        whole = np.issubdtype(np.dtype(spec["dtype"]), np.integer)
        return (np.rint(numbers) if whole else np.array(numbers)).astype(spec["dtype"]).reshape(spec["shape"])
    parts, start = [], 0
    for name, part in _parts(spec):
        parts.append((name, decode_action(part, vector[start : start + width(part)])))
        start += width(part)
    return dict(parts) if kind == "dict" else tuple(value for _, value in parts)


def learner_space(spec: Spec) -> gym.Space[Any]:
    """The space in which a learner of simple spaces acts: choices count from 0; composed spaces are one MultiDiscrete if all their
    parts are choices, else one Box of all numbers."""
    if _bounded_floats(spec):
        return space_of(spec)
    if (choices := _choices(spec)) is None:
        return gym.spaces.Box(-1.0, 1.0, (width(spec),), np.float32)
    if spec["type"] == "discrete":
        return gym.spaces.Discrete(spec["n"])
    return gym.spaces.MultiBinary(width(spec)) if spec["type"] == "multi_binary" else gym.spaces.MultiDiscrete(choices)


def _bounded_floats(spec: Spec) -> bool:
    return spec["type"] == "box" and None not in spec["edges"] and np.issubdtype(np.dtype(spec["dtype"]), np.floating)


def _choices(spec: Spec) -> list[int] | None:
    """How many there are to choose from in each part; None where some part is numbers."""
    kind = spec["type"]
    if kind == "box":
        return None
    if kind == "discrete":
        return [spec["n"]]
    if kind == "multi_discrete":
        return list(spec["n"])
    if kind == "multi_binary":
        return [2] * width(spec)
    parts = [_choices(part) for _, part in _parts(spec)]
    return None if any(part is None for part in parts) else [n for part in parts for n in part or []]


def from_learner(spec: Spec, action: Any) -> Any:
    """The environment's action for one of `learner_space`."""
    if _bounded_floats(spec):
        return np.asarray(action)
    if _choices(spec) is None:
        return decode_action(spec, np.asarray(action, np.float32))
    return _chosen(spec, [int(number) for number in np.asarray(action).reshape(-1)])


def batch_from_learner(spec: Spec, actions: Any) -> Any:
    """The actions of a vector environment for a batch of `learner_space`."""
    space = space_of(spec)
    each = [from_learner(spec, action) for action in actions]
    out: Any = create_empty_array(space, len(each))
    return concatenate(space, each, out)


def _chosen(spec: Spec, numbers: list[int]) -> Any:
    """The action of these choices, which count from 0; takes them off the list."""
    kind = spec["type"]
    if kind == "discrete":
        return np.int64(numbers.pop(0) + spec["start"])
    if kind == "multi_discrete":
        taken = [numbers.pop(0) for _ in spec["n"]]
        return (np.array(taken, np.int64) + np.array(spec["start"], np.int64)).reshape(spec["shape"])
    if kind == "multi_binary":
        return np.array([numbers.pop(0) for _ in range(width(spec))], np.int8).reshape(spec["shape"])
    parts = [(name, _chosen(part, numbers)) for name, part in _parts(spec)]
    return dict(parts) if kind == "dict" else tuple(value for _, value in parts)
