"""Entities of an environment: numbers with names, such as "ball.x", that are recorded beside its pictures.

    def entities(env):
        return {"ball": {"x": env.unwrapped.ball.x, "y": env.unwrapped.ball.y}}

A world that is trained on them predicts them with its pictures, so that it can be asked for them. Some environments are known:
games of Atari, MiniGrid, PushT, Crafter, ViZDoom and whatever MuJoCo simulates; for others a function reads them,
`record(..., entities="module:function")`.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError, excerpt
from kinema.simulation.entity_numbers import Entities

log = logging.getLogger(__name__)

ReadEntities = Callable[[gym.Env[Any, Any]], Entities]
_ENTITY, _FIELD = re.compile(r"\w(?:[\w -]{0,38}[\w-])?"), re.compile(r"\w{1,40}")
MOST = float(np.finfo(np.float32).max)
NONE = "none"
"""Of `record`'s `entities`: nothing is read."""
MOST_BODIES, MOST_JOINTS, MOST_VARIABLES = 16, 24, 24
"""What is read of one environment at most; what is more is named in the log."""
OWN_LABELS = ("DoomPlayer", "Self")
"""Labels of ViZDoom that are the player's own."""

_ATARI: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "Pong": {
        "player": {"y": 51, "score": 14}, "opponent": {"y": 50, "score": 13}, "ball": {"x": 49, "y": 54},
    },
    "Breakout": {"paddle": {"x": 72}, "ball": {"x": 99, "y": 101}, "game": {"lives": 57}},
    "Boxing": {"player": {"x": 32, "y": 34}, "opponent": {"x": 33, "y": 35}},
    "Freeway": {"player": {"y": 14}, **{f"car {lane + 1}": {"x": 108 + lane} for lane in range(10)}},
    "Hero": {"player": {"x": 27, "y": 31, "power": 43}},
    "MsPacman": {
        "player": {"x": 10, "y": 16}, "sue": {"x": 6, "y": 12}, "inky": {"x": 7, "y": 13}, "pinky": {"x": 8, "y": 14},
        "blinky": {"x": 9, "y": 15}, "game": {"dots_eaten": 119, "lives": 123},
    },
    "Riverraid": {"player": {"x": 51, "fuel": 55}, "missile": {"x": 117, "y": 50}},
    "Seaquest": {"player": {"x": 70, "y": 97, "oxygen": 102, "divers": 62}, "game": {"lives": 59}},
    "Skiing": {"player": {"x": 25}},
    "SpaceInvaders": {"player": {"x": 28}, "invaders": {"x": 26, "y": 24, "left": 17}, "game": {"lives": 73}},
    "Tennis": {"player": {"x": 26, "y": 24, "score": 69}, "opponent": {"x": 27, "y": 25, "score": 70}, "ball": {"x": 16, "y": 17}},
    "VideoPinball": {"ball": {"x": 67, "y": 68}},
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


def _crafter(env: gym.Env[Any, Any]) -> Entities:
    """The player: x and y in cells, health, food, drink, energy, and how much of each thing is carried."""
    game: Any = env.unwrapped
    x, y = game.place
    return {"player": {"x": x, "y": y, **{name: float(count) for name, count in game.inventory.items()}}}


def _vizdoom(env: gym.Env[Any, Any]) -> Entities:
    """The player's variables that the scenario gives, by their names in small letters, and the largest other thing in sight, in
    pixels of the screen, where the scenario labels things; 0 where there is none."""
    game, state = env.unwrapped.game, env.unwrapped.state  # type: ignore[attr-defined]
    variables = list(game.get_available_game_variables())
    parts = {"player": {v.name.lower(): float(game.get_game_variable(v)) for v in variables[:MOST_VARIABLES]}}
    if game.is_labels_buffer_enabled():
        labels = [one for one in getattr(state, "labels", ()) if one.object_name not in OWN_LABELS]
        nearest = max(labels, key=lambda one: one.width * one.height, default=None)
        fields: dict[str, float] = dict.fromkeys(("x", "y", "width", "height", "seen"), 0.0)
        if nearest is not None:
            middle = nearest.x + nearest.width / 2, nearest.y + nearest.height / 2
            fields = dict(zip(fields, map(float, (*middle, nearest.width, nearest.height, 1)), strict=True))
        parts["target"] = fields
    return {name: numbers for name, numbers in parts.items() if numbers}


def _own_names(given: Sequence[str], kind: str) -> list[str]:
    """Names that entities may have, no two alike: other characters become _, and what has no name is numbered."""
    names: list[str] = []
    for number, name in enumerate(given):
        plain = re.sub(r"[^\w-]", "_", name)[:32] or f"{kind} {number}"
        names.append(plain if plain not in names else f"{plain} {number}")
    return names


def _mujoco(env: gym.Env[Any, Any]) -> ReadEntities:
    """Reads the bodies of a simulation by MuJoCo, x, y and z in its own units, and the angles or lengths of joints of one degree of
    freedom with how fast they change."""
    model: Any = env.unwrapped.model  # type: ignore[attr-defined]
    bodies, joints = list(range(1, model.nbody)), [i for i in range(model.njnt) if int(model.jnt_type[i]) in (2, 3)]
    for kind, numbers, most in (("bodies", bodies, MOST_BODIES), ("joints", joints, MOST_JOINTS)):
        if len(numbers) > most:
            log.warning(
                "of %d %s the first %d are recorded; --entities MODULE:FUNCTION reads others", len(numbers), kind, most
            )
    bodies, joints = bodies[:MOST_BODIES], joints[:MOST_JOINTS]
    names = _own_names(
        [str(model.body(i).name) for i in bodies]
        + [f"{name}_joint" if (name := str(model.joint(i).name)) else "" for i in joints],
        "part",
    )

    def read(env: gym.Env[Any, Any]) -> Entities:
        data: Any = env.unwrapped.data  # type: ignore[attr-defined]
        parts = {
            name: dict(zip("xyz", map(float, data.xpos[i]), strict=True)) for name, i in zip(names, bodies, strict=False)
        }
        for name, i in zip(names[len(bodies) :], joints, strict=True):
            place, speed = data.qpos[model.jnt_qposadr[i]], data.qvel[model.jnt_dofadr[i]]
            parts[name] = {"place": float(place), "speed": float(speed)}
        return parts

    return read


def _simulated_by_mujoco(env: gym.Env[Any, Any] | None) -> bool:
    """Whether an environment has a model and data of MuJoCo."""
    model, data = (getattr(env and env.unwrapped, name, None) for name in ("model", "data"))
    return all(hasattr(model, name) for name in ("nbody", "njnt", "jnt_qposadr")) and hasattr(data, "xpos")


def reader_for(env_id: str, wanted: str | None, env: gym.Env[Any, Any] | None = None) -> ReadEntities | None:
    """The function that reads an environment's entities.

    Args:
        env_id: Its Gymnasium id.
        wanted: "module:function", "none", or None for that of a known environment.
        env: The environment, by which MuJoCo's are known; None: they are not.

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
    for prefix, known in (("gym_pusht/", _pusht), ("Crafter", _crafter), ("Vizdoom", _vizdoom)):
        if name.startswith(prefix):
            return known
    return _mujoco(env) if env is not None and _simulated_by_mujoco(env) else None


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
