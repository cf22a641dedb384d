"""How a recording's numbers change from frame to frame, as far as it was found out of numbers alone, before a network learned
pictures (`kinema.training.rules`).

Axes: K frames that are read, D numbers of a frame, F numbers that are read in all, M numbers of a memory, W changes that are chosen
from.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RULE_WIDTH = 256
NUMBER_WAVES = (1.0, 2.0, 4.0)
"""Frequencies of the sines and cosines in which numbers are shown, in spreads."""
MEMORY, MEMORY_WIDTH = "memory", 32
"""Numbers of each frame that a rule passes on to the next one, by name, and how many there are."""
LEAST_SPACING = 1e-3
"""The finest spacing that counts as a grid, in spreads."""


class Rule(nn.Module):
    """Changes of numbers in usual changes, of what is read [..., F]: a line, and what a small network adds to it, which reads sines
    and cosines of the last numbers besides, as what happens at one place often differs from what happens beside it. Nothing changes
    until it is fitted. It is never trained with the network that it is a part of.

    `left` [D] is what it leaves: its mean error in usual changes, 1 at most, and 1 of numbers that it does not foretell. What the
    network adds to it is in these units, so that numbers that are known exactly stay so.

    `choices` [D, W], where there are any: of numbers that change by few amounts, as most of a game do, these amounts in usual
    changes, filled up with infinity. The network scores them, and the number changes by the one with the highest score, so that a
    ball that flies on flies exactly on. Other numbers have infinity alone.

    `grid` [2, D]: of numbers that were never seen elsewhere than on a grid, such as whole ones, a place on it and its spacing, by
    which a rollout rounds its predictions; a spacing of 0 of numbers that are not rounded.

    Where MEMORY is given [M], the rule remembers what the frames that are read do not show, such as how far a paddle's knob was
    turned on after the paddle had reached the wall: each frame's memory is made of that of the frame before and of what is read (a
    gated recurrent unit, Cho et al. 2014). Another small network reads it with the rest, and stands in the place of the first for
    those numbers that are foretold better so. At the beginning of an episode the memory is zero."""

    def __init__(self, known: Mapping[str, int], name: str, changes: int, choices: int = 0) -> None:
        """known: numbers that are read of each name, in this order (`as_read`). name: of those that change, so many a frame.
        choices: the most amounts that the change of a number is chosen from."""
        super().__init__()
        reads, names = sum(known.values()), list(known)
        self.last = slice(before := sum(known[one] for one in names[: names.index(name)]), before + changes)
        """Where the last of these numbers are in what is read."""
        self.remembers = known.get(MEMORY, 0)
        first = sum(known[one] for one in names[: names.index(MEMORY)]) if self.remembers else 0
        self.memory_at = slice(first, first + self.remembers)
        """Where the memory is."""
        self.memory = nn.GRUCell(reads - self.remembers, self.remembers) if self.remembers else None
        self.line = nn.Linear(reads, changes)
        sizes = reads + 2 * len(NUMBER_WAVES) * changes, *[RULE_WIDTH] * 3, changes * (1 + choices)
        self.bend = _small_network(*sizes)
        self.recall = _small_network(*sizes) if self.remembers else None
        last = [network[-1] for network in (self.bend, self.recall) if network is not None]
        for layer in (self.line, *last, self.memory or nn.Identity()):
            for weight in layer.parameters():
                nn.init.zeros_(weight)
        self.register_buffer("left", torch.ones(changes))
        self.register_buffer("grid", torch.zeros(2, changes))
        if choices:
            self.register_buffer("choices", torch.full((changes, choices), math.inf))
        self.requires_grad_(False)

    def forward(self, read: Tensor) -> tuple[Tensor, Tensor]:
        """Changes [..., D], and the memory [..., M] of the frame that is foretold, in float32 whatever the autocast."""
        read, kind = read.float(), read.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            memory = self.remember(read)
            return self.changes(self.with_memory(read, memory)), memory

    def changes(self, read: Tensor) -> Tensor:
        """Changes [..., D] from what is read, whose memory is that of the frame that is foretold already."""
        return self.chosen(*self.answers(read, *(one for one in (self.bend, self.recall) if one is not None)))

    def answers(self, read: Tensor, *networks: nn.Module) -> tuple[Tensor, Tensor]:
        """Of these small networks together: changes by the line and by what they add [..., D], and scores of choices
        [..., D, W]."""
        every, count = self.with_waves(read), self.line.out_features
        made = sum((network(every) for network in networks[1:]), networks[0](every))
        return self.line(read) + made[..., :count], made[..., count:].unflatten(-1, (count, -1))

    def chosen(self, changes: Tensor, scores: Tensor) -> Tensor:
        """Changes [..., D], of numbers with choices the one with the highest score."""
        if not scores.shape[-1]:
            return changes
        choices = self.get_buffer("choices")
        best = torch.where(choices < math.inf, scores, -math.inf).argmax(-1, keepdim=True)
        by_score = choices.expand_as(scores).gather(-1, best)[..., 0]
        return torch.where(by_score < math.inf, by_score, changes)

    def remember(self, read: Tensor) -> Tensor:
        """The memory [..., M] of the frame that is foretold."""
        last = read[..., self.memory_at]
        if self.memory is None:
            return last
        made: Tensor = self.memory(self.without_memory(read).flatten(0, -2), last.flatten(0, -2))
        return made.reshape(last.shape)

    def without_memory(self, read: Tensor) -> Tensor:
        """What is read besides the memory [..., F - M]."""
        return torch.cat([read[..., : self.memory_at.start], read[..., self.memory_at.stop :]], -1)

    def with_memory(self, read: Tensor, memory: Tensor) -> Tensor:
        """What is read with this memory in the place of the last one."""
        return torch.cat([read[..., : self.memory_at.start], memory, read[..., self.memory_at.stop :]], -1)

    def with_waves(self, read: Tensor) -> Tensor:
        """What is read with sines and cosines of the last numbers."""
        last = read[..., self.last]
        return torch.cat([read, *(wave(times * last) for times in NUMBER_WAVES for wave in (torch.sin, torch.cos))], -1)

    def within(self, numbers: Tensor, least: Tensor, most: Tensor) -> Tensor:
        """Numbers [..., D] from the least to the most that they can be [D]: each as the nearest place of its grid, or as one of
        these two, where what lies beyond was cut off."""
        place, spacing = self.get_buffer("grid")
        inside = torch.minimum(torch.maximum(numbers, least), most)
        nearest = place + ((inside - place) / spacing.clamp_min(LEAST_SPACING)).round() * spacing
        for edge in (least, most):
            nearest = torch.where((inside - edge).abs() < (inside - nearest).abs(), edge, nearest)
        return torch.where(spacing > 0, torch.minimum(torch.maximum(nearest, least), most), inside)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Rules from before there were grids and waves have none."""
        state_dict.setdefault(f"{prefix}grid", torch.zeros_like(self.get_buffer("grid")))
        name, waves = f"{prefix}bend.0.weight", 2 * len(NUMBER_WAVES) * self.line.out_features
        if name in state_dict and state_dict[name].shape[-1] == self.line.in_features:
            state_dict[name] = F.pad(state_dict[name], (0, waves))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _small_network(*sizes: int) -> nn.Sequential:
    """Layers from each of these widths to the next, with SiLU between them."""
    layers = [part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


def as_read(vectors: Mapping[str, Tensor], relative: Mapping[str, Sequence[float]]) -> Tensor:
    """[..., F]: numbers [..., K * D] of each name side by side in float32; of those in `relative` the last ones, and the changes
    before them in usual ones, [D] each, as many frames in a row have nearly the same numbers."""
    read = {name: x.float() for name, x in vectors.items()}
    for name, changes in relative.items():
        at = read[name].reshape(*read[name].shape[:-1], -1, len(changes))
        moved = (at[..., 1:, :] - at[..., :-1, :]) / torch.tensor(changes, device=at.device)
        read[name] = torch.cat([at[..., -1:, :], moved], -2).flatten(-2)
    return torch.cat(list(read.values()), -1)
