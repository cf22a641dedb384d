"""Numbers of a recording that are always on a grid, such as the whole numbers of a game."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinema.models.dit_model import MOST_SPREADS
from kinema.models.rules import LEAST_SPACING
from kinema.training.recordings import Recordings
from kinema.training.rule_examples import MOST_READ, NAME

GRID_FRAMES, OFF_GRID = 200_000, 0.02
"""Frames in which a grid is looked for, at most; how far from it, in its spacings, a number may seem to be by rounding."""


def spacing_of(values: Tensor) -> float:
    """The spacing of a grid, LEAST_SPACING or wider, that all values [N] of a number lie on but those that are cut off at
    MOST_SPREADS; of a single place, its distance to these. 0: there is none."""
    every = np.unique(values.double().numpy())
    places = every[np.abs(every) < MOST_SPREADS]
    places = every if len(places) == 1 else places
    spacing = float(np.diff(places).min()) if len(places) > 1 else 0.0
    if spacing < LEAST_SPACING:
        return 0.0
    counted = (places - places[0]) / spacing
    if np.abs(counted - counted.round()).max() > OFF_GRID:
        return 0.0
    return float((places[-1] - places[0]) / counted[-1].round())


def find_grids(recordings: Recordings) -> Tensor:
    """[2, D] as `Rule.grid` has them, of numbers that change within an episode and lie on the same grid in both halves of what
    training sees: every other episode, or the halves of a single one."""
    most = min(GRID_FRAMES, MOST_READ // max(recordings.sensors, 1))
    seen, parts, frames = recordings.episodes[: len(recordings.episodes) - recordings.num_held_back], list[Tensor](), 0
    for one in seen:
        parts.append(one[NAME].float())
        frames += len(parts[-1])
        if frames >= most:
            break
    parts = list(parts[0].chunk(2)) if len(parts) == 1 else parts
    grids = torch.zeros(2, recordings.sensors)
    for column in range(recordings.sensors):
        mine = [part[:, column] for part in parts]
        every = torch.cat(mine)
        spacing = spacing_of(every)
        if not spacing or all(bool((one == one[0]).all()) for one in mine):
            continue
        if all(abs(spacing_of(torch.cat(mine[at::2])) - spacing) < OFF_GRID * spacing for at in range(min(2, len(mine)))):
            inside = every[every.abs() < MOST_SPREADS]
            grids[:, column] = torch.tensor([float(inside.min()), spacing])
    return grids
