"""What an agent sees of a state: who it is, what it is to move, where to, and what else is there, in that order.

Slots are sorted by kind and color, so a robot stands in another slot in every room. Here each thing is named by its part in the
task instead, and described relative to the robot. The same numbers come from the real room and from the imagined one.

Axes: B rooms, K slots, F features of the `state` observation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinema.envs.playground import FEATURES
from kinema.playground.tasks import Task
from kinema.scene.scene import COLORS, KINDS
from kinema.types import Floats

_AT = {name: i for i, name in enumerate(FEATURES)}
OTHERS = 2
"""Further things that are described, the nearest first."""
EACH = 7
"""Numbers for each thing but the robot: there at all, offset, closeness, speed, size."""
WIDTH = 6 + (2 + OTHERS) * EACH
LIMIT = 20.0
ROBOT, FLAG = KINDS.index("robot"), KINDS.index("flag")


def _first(flags: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Index of the first True in each row, and whether there is one."""
    return flags.argmax(1), np.asarray(flags.any(1))


def roles(state: Floats, task: Task) -> Floats:
    """The `state` observation [B, K, F] -> float32 [B, WIDTH], all of about unit size and none beyond LIMIT."""
    rows = np.arange(len(state))
    kind, color = state[..., _AT["kind"]], state[..., _AT["color"]]
    robot, acting = _first(kind == ROBOT)
    thing, has_thing = _first((kind == KINDS.index(task.kind)) & (color == COLORS.index(task.color))) if task.kind and (
        task.color
    ) else (robot, np.zeros(len(state), bool))  # fmt: skip
    flag, has_flag = _first(kind == FLAG)
    me = state[rows, robot]
    place = me[:, [_AT["x"], _AT["y"]]]
    offset = state[..., [_AT["x"], _AT["y"]]] - place[:, None]
    speed = state[..., [_AT["vx"], _AT["vy"]]]
    away = np.linalg.norm(offset, axis=-1)
    relative = np.concatenate(
        [np.ones_like(away)[..., None], offset / 3, np.exp(-away)[..., None], speed / 3, state[..., _AT["size"], None]], -1
    )
    rest = kind >= 0
    rest[rows, robot] = False
    rest[rows[has_thing], thing[has_thing]] = False
    rest[rows[has_flag], flag[has_flag]] = False
    order = np.argsort(np.where(rest, away, np.inf), axis=1, kind="stable")[:, :OTHERS]
    own = np.stack(
        [place[:, 0] / 5 - 1, place[:, 1] / 5 - 1, *(me[:, _AT[n]] / 3 for n in ("vx", "vy")), me[:, _AT["size"]], acting], 1
    )
    parts = [own, relative[rows, thing] * has_thing[:, None], relative[rows, flag] * has_flag[:, None]]
    for column in range(OTHERS):
        if column >= order.shape[1]:
            parts.append(np.zeros((len(state), EACH)))
            continue
        which = order[:, column]
        parts.append(relative[rows, which] * rest[rows, which][:, None])
    return np.concatenate(parts, 1).astype(np.float32).clip(-LIMIT, LIMIT)
