"""How an environment is seen: where in its observations the picture lies, which numbers it tells, and the text.

What an environment hands out is checked against what it declares.
"""

from __future__ import annotations

import copy
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.datasets.pictures import CELL_PX, is_small_picture, picture_range, to_picture
from kinema.errors import InputError, KinemaError, excerpt
from kinema.types import Frame

log = logging.getLogger(__name__)

MOST_SENSORS = 1024
RENDER, OBSERVATION = "render", "observation"
"""What `picture` names besides keys: what the environment renders, and an observation that is a picture itself."""
At = tuple[str | int, ...]
"""Where a part of an observation lies: keys and numbers, () for the observation itself."""


@contextmanager
def in_code_of(env: gym.Env[Any, Any] | str) -> Iterator[None]:
    """InputError where code of somebody else fails while it runs, such as for the lack of a package (pygame, MuJoCo): of an
    environment, or of what a text names."""
    name = env if isinstance(env, str) else id_of(env)
    try:
        yield
    except KinemaError:
        raise
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise InputError(f"{name} needs a package that is missing: {' '.join(str(error).split())[:160]}") from None
    except Exception as error:  # whatever an environment of somebody else does
        raise InputError(f"{name} failed in its own code: {failure_of(error)}") from error


def failure_of(error: Exception) -> str:
    """What an error says, and where it arose."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = excerpt(f"{type(error).__name__}: {' '.join(str(error).split())}", 160)
    return f"{message} ({Path(where.filename).name}, line {where.lineno})"


def _leaves(space: gym.Space[Any], at: At = ()) -> dict[At, gym.Space[Any]]:
    """The parts of an observation that are not composed of others."""
    if isinstance(space, gym.spaces.Dict):
        parts: list[tuple[str | int, gym.Space[Any]]] = list(space.spaces.items())
    elif isinstance(space, gym.spaces.Tuple):
        parts = list(enumerate(space.spaces))
    else:
        return {at: space}
    return {where: leaf for name, part in parts for where, leaf in _leaves(part, (*at, name)).items()}


def _name(where: At) -> str:
    return "/".join(map(str, where)) or OBSERVATION


def _part(observation: Any, where: At) -> Any:
    """A part of an observation; InputError where it lacks that."""
    part = observation
    for name in where:
        try:
            part = part[name]
        except (KeyError, IndexError, TypeError):
            raise InputError(f"the observation has no {_name(where)}, which the environment declares") from None
    return part


def _picked(parts: dict[At, gym.Space[Any]], wanted: str | None, renders: bool, name: str) -> At | None:
    """Where the picture lies, None: it is rendered."""
    pictures = [where for where, part in parts.items() if picture_range(part) is not None]
    if wanted is None:
        if len(pictures) > 1:
            log.warning("%s shows several pictures; %s is taken, --picture chooses", name, _name(pictures[0]))
        if pictures:
            return pictures[0]
        if not renders:
            raise InputError(f"{name} has no pixels: its observation holds no picture, and it cannot render one (rgb_array)")
        return None
    chosen = next((where for where in parts if _name(where) == wanted), None)
    if chosen is None and wanted == RENDER:
        if not renders:
            raise InputError(f"picture {RENDER!r}: {name} cannot render one (rgb_array)")
        return None
    if chosen is None:
        known = [*(_name(where) for where in parts), *([RENDER] if renders else [])]
        raise InputError(f"picture {wanted!r}: {name} has {', '.join(known)}")
    if picture_range(parts[chosen], chosen=True) is None:
        raise InputError(
            f"picture {wanted!r}: {parts[chosen]} is no picture; expected [height, width, 3] with bounds, {CELL_PX} or more a side"
        )
    return chosen


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """How an environment is seen. picture: where the observation holds it, None to render; shape: of it there; levels: of black and
    white in it; numbers, words: where what becomes sensors, and the task, is; names: of all sensors, those of entities last."""

    size: tuple[int, int]
    picture: At | None
    shape: tuple[int, ...] | None
    levels: tuple[float, float] | None
    numbers: tuple[At, ...]
    words: At | None
    sensors: int
    names: tuple[str, ...] = ()

    @staticmethod
    def of(env: gym.Env[Any, Any], size: tuple[int, int], picture: str | None = None) -> Eyes:
        """Decide it from the spaces; picture: the key of the observation to take ("a/b" in nested ones), "render", or None for the
        first that there is. InputError for an environment without pixels."""
        parts = _leaves(env.observation_space)
        where = _picked(parts, picture, env.render_mode == "rgb_array", id_of(env))
        texts = [at for at, part in parts.items() if isinstance(part, gym.spaces.Text) or at == ("mission",)]
        words = texts[0] if texts else None
        numeric = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
        unread = [at for at, part in parts.items() if at != where and picture_range(part) is None]
        numbers = tuple(at for at in unread if at != words and isinstance(parts[at], numeric))
        small = [at for at in numbers if is_small_picture(parts[at])]
        if small:
            left_out = ", ".join(map(_name, small))
            log.info("%s: %s has the form of a picture, so its numbers are not recorded", id_of(env), left_out)
            numbers = tuple(at for at in numbers if at not in small)
        count = sum(int(np.prod(parts[at].shape or (1,))) for at in numbers)
        if count > MOST_SENSORS:
            log.info("%s tells %d numbers, more than %d: they are not recorded", id_of(env), count, MOST_SENSORS)
            numbers, count = (), 0
        levels = None if where is None else picture_range(parts[where], chosen=True)
        shape = None if where is None else parts[where].shape
        names = tuple(
            f"{_name(at)}[{i}]" if parts[at].shape else _name(at)
            for at in numbers
            for i in range(int(np.prod(parts[at].shape or (1,))))
        )
        return Eyes(
            size=size, picture=where, shape=shape, levels=levels, numbers=numbers, words=words, sensors=count, names=names
        )

    def seen_in(self, observation: Any) -> Frame:
        """The picture that an observation holds, uint8 [H, W, 3] of the wanted size."""
        assert self.picture is not None
        shown = _part(observation, self.picture)
        if np.shape(shown) != self.shape:
            raise InputError(
                f"{_name(self.picture)} has shape {np.shape(shown)}: expected {self.shape}, as the environment declares"
            )
        return to_picture(shown, self.size, self.levels)

    def picture_of(self, env: gym.Env[Any, Any], observation: Any) -> Frame:
        """uint8 [H, W, 3] of the wanted size."""
        if self.picture is not None:
            return self.seen_in(observation)
        with in_code_of(env):
            rendered: Any = env.render()
        if isinstance(rendered, list) and rendered:
            rendered = rendered[-1]
        if rendered is None:
            raise InputError(f"{id_of(env)} rendered nothing: expected an array [height, width, 3]")
        return to_picture(rendered, self.size)

    def sensors_of(self, observation: Any) -> NDArray[np.float32]:
        """Everything it tells in numbers that are recorded, float32 [S]; InputError where one is not finite."""
        if not self.numbers:
            return np.zeros(0, np.float32)
        names = ", ".join(map(_name, self.numbers))
        given = [_part(observation, at) for at in self.numbers]
        try:
            parts = [np.asarray(part, np.float64).reshape(-1) for part in given]
        except (TypeError, ValueError):
            raise InputError(f"{names} in the observation: expected the numbers that the environment declares") from None
        if sum(map(len, parts)) != self.sensors:
            raise InputError(f"{names} in the observation: expected {self.sensors} numbers, as the environment declares")
        for at, part in zip(self.numbers, parts, strict=True):
            if not (np.abs(part) <= np.finfo(np.float32).max).all():
                raise InputError(f"{_name(at)} is {_first_bad(part)}: expected finite numbers")
        return np.concatenate(parts).astype(np.float32)

    def task_of(self, observation: Any) -> str:
        return "" if self.words is None else str(_part(observation, self.words))


def _first_bad(values: NDArray[np.float64]) -> str:
    return f"{values[~(np.abs(values) <= np.finfo(np.float32).max)][0]:g}"


def reward_of(reward: Any) -> float:
    """A reward of any form as a number; InputError for none, several, or one that is not finite in float32."""
    try:
        values = np.asarray(reward, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise InputError(f"the reward is {str(reward)[:40]!r}: expected a number") from None
    if len(values) != 1:
        raise InputError(f"the reward has {len(values)} numbers: expected one")
    if not abs(values[0]) <= np.finfo(np.float32).max:
        raise InputError(f"the reward is {values[0]:g}: expected a finite number")
    return float(values[0])


def flag_of(value: Any) -> bool:
    """Whether an episode ends, of any form."""
    return bool(np.asarray(value).any())


def id_of(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


class PictureObservation(gym.Wrapper[Any, Any, Any, Any]):
    """An environment as its recording shows it: pictures of that size, uint8 [H, W, 3], and nothing else."""

    def __init__(self, env: gym.Env[Any, Any], size: tuple[int, int], picture: str | None = None) -> None:
        """picture: as of `Eyes.of`."""
        super().__init__(env)
        self._eyes = Eyes.of(env, size, picture)
        self.observation_space = gym.spaces.Box(0, 255, (*size, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        with in_code_of(self.env):
            seen, _ = self.env.reset(seed=seed, options=options)
        return self._eyes.picture_of(self.env, seen), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        with in_code_of(self.env):
            seen, reward, terminated, truncated, _ = self.env.step(copy.deepcopy(action))
        picture = self._eyes.picture_of(self.env, seen)
        return picture, reward_of(reward), flag_of(terminated), flag_of(truncated), {}


def check_picture_size(size: tuple[int, int]) -> None:
    """InputError unless pictures [height, width] can become video cells."""
    if min(size) < CELL_PX or any(side % CELL_PX for side in size):
        raise InputError(f"pictures of {size[1]}x{size[0]}: expected multiples of {CELL_PX}")
