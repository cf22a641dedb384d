"""What a rule of a recording's numbers is found by: frames with those before them, most to be fitted to and some to check it
(`kinema.training.rules`).

Axes: N frames, S stretches of T frames, K frames that are read, A numbers of an action, D numbers of a frame, F numbers that are
read in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinema.models.dit import DiTConfig
from kinema.models.rules import as_read
from kinema.training.recordings import Recordings, contexts

NAME = "sensors"
"""The numbers that have a rule."""
MOST_READ, TOGETHER, CHECKED, MOST_CHECKED = 50_000_000, 64, 8, 10_000
"""How many numbers are read at most of all frames that a rule is found by; how many frames stay together, where there are many; one
in how many of these parts checks it, up to so many frames."""
BATCH = 512
"""Frames of a step."""


def read_of(given: Mapping[str, Tensor], config: DiTConfig) -> Tensor:
    """What a network reads [N, F] of these numbers by name; what is not given as zeros."""
    like = given[NAME]
    known = {
        name: given[name] if name in given else like.new_zeros(len(like), width) for name, width in config.known.items()
    }
    return as_read(known, config.relative)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Frames to learn a rule from: numbers [N, K, D] and actions [N, K * A] before each, and its own numbers [N, D]; in parts of so
    many frames [S] that follow each other."""

    numbers: Tensor
    action: Tensor
    after: Tensor
    parts: Tensor

    def __len__(self) -> int:
        return len(self.after)

    def at(self, index: Tensor) -> Examples:
        """Of these frames, each as a part of its own."""
        alone = torch.ones(len(index), dtype=torch.long)
        return Examples(numbers=self.numbers[index], action=self.action[index], after=self.after[index], parts=alone)

    def sequences(self, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices [S, T] of BATCH frames, so many of which follow each other, from anywhere in parts by chance, the longer the
        likelier; and which of them there are [S, T]: at the end of a shorter part its last one is repeated."""
        which = torch.multinomial(self.parts.float(), BATCH // frames, replacement=True, generator=generator)
        begin = torch.rand(len(which), generator=generator) * (self.parts[which] - frames + 1).clamp_min(1)
        return self._following(which, begin.long()[:, None] + torch.arange(frames))

    def every_part(self) -> tuple[Tensor, Tensor]:
        """The same of all parts as they are."""
        return self._following(
            torch.arange(len(self.parts)), torch.arange(int(self.parts.max())).expand(len(self.parts), -1)
        )

    def _following(self, which: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        last, first = (self.parts - 1)[which][:, None], (self.parts.cumsum(0) - self.parts)[which][:, None]
        return first + torch.minimum(at, last), at <= last

    def read(self, config: DiTConfig, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What a network reads of these frames [N, F], what is not recorded as zeros, and how numbers change [N, D] in usual
        changes. noise: added to the numbers before [N, K, D]."""
        before = self.numbers if noise is None else self.numbers + noise
        read = read_of({"action": self.action, NAME: before.flatten(1)}, config)
        return read, (self.after - before[:, -1]) / torch.tensor(config.relative[NAME])


def examples(recordings: Recordings, config: DiTConfig) -> tuple[Examples, Examples]:
    """Frames that training sees and that have as many before them as the network reads: those that a rule is fitted to, and those
    that check it, in parts of TOGETHER frames or, of few, fewer, by chance. Either may be none."""
    parts: list[list[tuple[Tensor, Tensor, Tensor, Tensor]]] = [[], []]
    for checks, (number, begin, end) in ranges_with_checks(recordings, config):
        one = recordings.episodes[number]
        before = (one[name][None, begin - config.context : end].float() for name in (NAME, "action"))
        numbers, action = (contexts(x, config.context)[0] for x in before)
        parts[checks].append((numbers, action.flatten(1), one[NAME][begin:end].float(), torch.tensor([end - begin])))
    width, count = recordings.action_width * config.context, recordings.sensors
    none = torch.zeros(0, config.context, count), torch.zeros(0, width), torch.zeros(0, count), torch.zeros(0).long()
    joined = [[torch.cat(tensors) for tensors in zip(none, *part, strict=True)] for part in parts]
    seen, check = (Examples(numbers=x, action=action, after=after, parts=of) for x, action, after, of in joined)
    return seen, check


def ranges_with_checks(recordings: Recordings, config: DiTConfig) -> Iterator[tuple[bool, tuple[int, int, int]]]:
    """`frame_ranges`, each with whether it checks a rule."""
    for which, part in enumerate(frame_ranges(recordings, config)):
        yield which % CHECKED == 1 and which * TOGETHER < CHECKED * MOST_CHECKED, part


def frame_ranges(recordings: Recordings, config: DiTConfig) -> Iterator[tuple[int, int, int]]:
    """Number of an episode, and first and end of some frames of it, in an order by chance."""
    lengths = [len(one[NAME]) for one in recordings.episodes[: len(recordings.episodes) - recordings.num_held_back]]
    frames = sum(max(length - config.context, 0) for length in lengths)
    together = min(TOGETHER, max(frames // (2 * CHECKED), 1))
    every = [
        (number, at, min(at + together, length))
        for number, length in enumerate(lengths)
        for at in range(config.context, length, together)
    ]
    most = MOST_READ // sum(config.known.values()) // together + 1
    for which in np.random.default_rng(0).permutation(len(every))[:most]:
        yield every[which]
