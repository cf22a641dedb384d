"""Actions of any Gymnasium space as numbers and back, and spaces as plain data that a dataset or a model's config can hold.

One of N becomes N numbers, 1 for the one and -1 for the others; bounded numbers are scaled to [-1, 1]; parts of composed spaces
stand one after the other.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

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


def check(spec: Spec, action: Any) -> None:
    """InputError unless the action lies in the space."""
    space = space_of(spec)
    if isinstance(space, gym.spaces.Discrete) and isinstance(action, (int, np.integer, np.ndarray)):
        action = np.asarray(action).reshape(-1)[0] if np.size(action) == 1 else action
        fits = np.ndim(action) == 0 and float(action).is_integer() and space.contains(int(action))
    elif isinstance(space, gym.spaces.Box):
        given = np.asarray(action)
        fits = given.shape == space.shape and bool(np.isfinite(given).all())
        fits = fits and space.contains(np.clip(given, space.low, space.high).astype(space.dtype))
    else:
        fits = space.contains(action)
    if not fits:
        raise InputError(f"action {str(action)[:80]} is not in {space}")


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
        given = np.asarray(action, np.float64).reshape(-1)
        scaled = [
            number if edge is None else 2 * (min(max(number, edge[0]), edge[1]) - edge[0]) / max(edge[1] - edge[0], 1e-9) - 1
            for number, edge in zip(given, spec["edges"], strict=True)
        ]
        return np.array(scaled, np.float32)
    return np.concatenate([encode_action(part, action[name]) for name, part in _parts(spec)])


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
        return np.array(numbers).astype(spec["dtype"]).reshape(spec["shape"])
    parts, start = [], 0
    for name, part in _parts(spec):
        parts.append((name, decode_action(part, vector[start : start + width(part)])))
        start += width(part)
    return dict(parts) if kind == "dict" else tuple(value for _, value in parts)
