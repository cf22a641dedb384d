"""Numbers of a recording that are always on a grid, such as the whole numbers of a game, and those of them that change by few
amounts.

Axes: N frames, D numbers of a frame, W amounts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from kinema.models.dit_model import MOST_SPREADS
from kinema.models.rules import LEAST_SPACING
from kinema.training.recordings import Recordings
from kinema.training.rule_examples import MOST_READ, NAME

MOST_CHOICES, MOST_SCORES, SEEN, COVERED = 64, 2048, 3, 0.99
"""Amounts that a number's change is chosen from, at most, and those of all numbers together; in how many frames an amount was seen
at least, and the least share of the frames of each half that all of a number together make up."""
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


def seen_numbers(recordings: Recordings) -> list[Tensor]:
    """Numbers [N, D] of episodes that training sees, of enough of them; the halves of a single one."""
    most = min(GRID_FRAMES, MOST_READ // max(recordings.sensors, 1))
    seen, parts, frames = recordings.episodes[: len(recordings.episodes) - recordings.num_held_back], list[Tensor](), 0
    for one in seen:
        parts.append(one[NAME].float())
        frames += len(parts[-1])
        if frames >= most:
            break
    return list(parts[0].chunk(2)) if len(parts) == 1 else parts


def find_grids(recordings: Recordings) -> Tensor:
    """[2, D] as `Rule.grid` has them, of numbers that change within an episode and lie on the same grid in both halves of what
    training sees: every other episode, or the halves of a single one."""
    parts, grids = seen_numbers(recordings), torch.zeros(2, recordings.sensors)
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


def find_choices(recordings: Recordings) -> Tensor:
    """[D, W] as `Rule.choices` has them, but in spreads and the commonest first; W is 0 where no number has any. Of numbers on a
    grid, whose commonest amounts in one half of what training sees make up nearly all in the other half too. Amounts are whole
    spacings but from and to where a number was cut off."""
    parts, spacings = seen_numbers(recordings), find_grids(recordings)[1]
    most, chosen = min(MOST_CHOICES, MOST_SCORES // max(recordings.sensors, 1)), dict[int, Tensor]()
    for column in spacings.nonzero()[:, 0].tolist():
        each = [_in_spacings(part[:, column], float(spacings[column])) for part in parts]
        steps = [torch.cat([torch.zeros(0), *each[at::2]]) for at in range(2)]
        if all(_covers(steps[at], steps[1 - at], most) for at in range(2)):
            chosen[column] = _commonest(torch.cat(steps), most) * spacings[column]
    choices = torch.full((recordings.sensors, max((len(one) for one in chosen.values()), default=0)), math.inf)
    for column, one in chosen.items():
        choices[column, : len(one)] = one
    return choices


def _in_spacings(numbers: Tensor, spacing: float) -> Tensor:
    """By how many spacings numbers [N] change from frame to frame [N - 1]."""
    amounts, cut_off = numbers.diff() / spacing, numbers.abs() >= MOST_SPREADS
    return torch.where(cut_off[1:] | cut_off[:-1], amounts.round(decimals=3), amounts.round())


def _commonest(amounts: Tensor, most: int) -> Tensor:
    """The amounts of [N] that were seen often enough, the commonest first."""
    each, counts = np.unique(amounts.numpy(), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return torch.from_numpy(each[order][counts[order] >= SEEN])


def _covers(seen: Tensor, other: Tensor, most: int) -> bool:
    """Whether the commonest amounts of some frames make up nearly all amounts of others."""
    return bool(len(other)) and float(torch.isin(other, _commonest(seen, most)).float().mean()) >= COVERED
