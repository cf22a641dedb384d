"""Entities of an environment: numbers with names, such as "ball.x", that are recorded beside its pictures.

    def entities(env):
        return {"ball": {"x": env.unwrapped.ball.x, "y": env.unwrapped.ball.y}}

A world that is trained on them predicts them with its pictures, so that it can be asked for them. Some environments are known; for
others a function reads them, `record(..., entities="module:function")`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError, excerpt
from kinema.simulation.entity_numbers import Entities

ReadEntities = Callable[[gym.Env[Any, Any]], Entities]
_ENTITY, _FIELD = re.compile(r"\w(?:[\w -]{0,38}[\w-])?"), re.compile(r"\w{1,40}")
MOST = float(np.finfo(np.float32).max)
NONE = "none"
"""Of `record`'s `entities`: nothing is read."""

_ATARI: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "Pong": {
        "player": {"y": 51, "score": 14}, "opponent": {"y": 50, "score": 13}, "ball": {"x": 49, "y": 54},
    },
    "Breakout": {"paddle": {"x": 72}, "ball": {"x": 99, "y": 101}, "game": {"lives": 57}},
}  # fmt: skip
"""Bytes of the console's memory, as the Atari Annotated RAM Interface lists them (Anand et al. 2019, arXiv:1906.08226)."""


def _atari(env: gym.Env[Any, Any], game: str) -> Entities:
    memory = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    return {
        entity: {field: float(memory[byte]) for field, byte in places.items()} for entity, places in _ATARI[game].items()
    }


def _minigrid(env: gym.Env[Any, Any]) -> Entities:
    """The agent, and each thing that is there once by kind; x and y in cells, -1 for what lies nowhere."""
    grid: Any = env.unwrapped
    x, y = (float(place) for place in grid.agent_pos)
    parts: dict[str, dict[str, float]] = {"agent": {"x": x, "y": y, "direction": float(grid.agent_dir)}}
    for kind in ("key", "door", "ball", "box", "goal"):
        cells = [i for i, thing in enumerate(grid.grid.grid) if thing is not None and thing.type == kind]
        row, column = divmod(cells[0], grid.grid.width) if cells else (-1, -1)
        carried = grid.carrying is not None and grid.carrying.type == kind
        parts[kind] = {"x": float(column), "y": float(row), "carried": float(carried)}
        if kind == "door":
            parts[kind]["open"] = float(bool(cells) and grid.grid.grid[cells[0]].is_open)
    return parts


def _pusht(env: gym.Env[Any, Any]) -> Entities:
    scene: Any = env.unwrapped
    parts = {}
    for name, body in (("agent", scene.agent), ("block", scene.block)):
        parts[name] = {"x": float(body.position[0]), "y": float(body.position[1])}
    angle = float(scene.block.angle)
    parts["block"] |= {"cosine": float(np.cos(angle)), "sine": float(np.sin(angle))}
    return parts


def reader_for(env_id: str, wanted: str | None) -> ReadEntities | None:
    """The function that reads an environment's entities.

    Args:
        env_id: Its Gymnasium id.
        wanted: "module:function", "none", or None for that of a known environment.

    Returns:
        The function, or None where there is none.

    Raises:
        InputError: There is no such function.
    """
    if wanted == NONE:
        return None
    if wanted is not None:
        read: ReadEntities = function_by_name(wanted, "entities", f"or {NONE}")
        return read
    name = env_id.rpartition(":")[2]
    game = next((game for game in _ATARI if name.startswith(f"ALE/{game}-")), None)
    if game is not None:
        return lambda env: _atari(env, game)
    if name.startswith(("MiniGrid-", "BabyAI-")):
        return _minigrid
    return _pusht if name.startswith("gym_pusht/") else None


def function_by_name(wanted: str, what: str, otherwise: str) -> Callable[..., Any]:
    """A function of the user's.

    Args:
        wanted: "module:function", of any module that Python finds.
        what: The setting that names it, for errors.
        otherwise: What else the setting may be, for errors.

    Raises:
        InputError: There is no such function.
    """
    module, colon, name = wanted.partition(":")
    if not colon or not module or not name:
        raise InputError(f"{what} {excerpt(wanted)!r}: expected MODULE:FUNCTION, {otherwise}")
    try:
        function = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # whatever a module of somebody else does
        raise InputError(f"{what} {excerpt(wanted)!r} cannot be imported ({_reason(error)})") from None
    if not callable(function):
        raise InputError(f"{what} {excerpt(wanted)!r}: {name} is no function")
    made: Callable[..., Any] = function
    return made


def read_entities(read: ReadEntities, env: gym.Env[Any, Any]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """`flat_entities` of an environment. InputError: also where the function fails."""
    try:
        entities = read(env)
    except (Exception, SystemExit) as error:  # whatever a function of somebody else does
        raise InputError(f"the function of entities failed: {_reason(error)}") from None
    return flat_entities(entities)


def _reason(error: BaseException) -> str:
    return excerpt(f"{type(error).__name__}: {' '.join(str(error).split())}", 160)


def flat_entities(entities: Any) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names such as "ball.x" and numbers, in the order given. InputError: no such mapping, or a number that is not finite."""
    if not isinstance(entities, Mapping) or not all(isinstance(one, Mapping) for one in entities.values()):
        raise InputError(f"entities are {excerpt(repr(entities))}: expected names, each with fields and their numbers")
    names, numbers = [], []
    for entity, fields in entities.items():
        for name, value in fields.items():
            if not _ENTITY.fullmatch(str(entity)) or not _FIELD.fullmatch(str(name)):
                raise InputError(
                    f"{excerpt(repr(entity))}, {excerpt(repr(name))}: expected an entity of up to 40 letters, digits, _, - and"
                    " spaces, and a field of up to 40 letters, digits and _"
                )
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = float("nan")
            if not abs(number) <= MOST:
                raise InputError(f"{excerpt(f'{entity}.{name}')} is {excerpt(repr(value))}: expected a finite number")
            names.append(f"{entity}.{name}")
            numbers.append(number)
    return tuple(names), np.array(numbers, np.float32)
