"""How a recording's numbers change, found out of numbers alone before a network learns pictures: `kinema.models.rules.Rule`.

A line is fitted by least squares, then a small network to what is left. A step of that costs a hundredth of a step of the network
for pictures, so it sees each frame hundreds of times more often: where a ball bounces is learned in a minute. A share of the frames
checks both: numbers that they do not foretell, as those that jump or are noise, are left alone.

Axes: N frames, K frames that are read, A numbers of an action, D numbers of a frame, F numbers that are read in all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.dit import DiTConfig
from kinema.models.rules import Rule, as_read
from kinema.training.found_parts import fit_part
from kinema.training.recordings import Recordings, contexts
from kinema.training.seeds import seeded

log = logging.getLogger(__name__)

NAME = "sensors"
"""The numbers that have a rule."""
MOST_READ, TOGETHER, CHECKED, MOST_CHECKED = 50_000_000, 64, 8, 10_000
"""How many numbers are read at most of all frames that a rule is found by; how many frames stay together, where there are many; one
in how many of these parts checks it, up to so many frames."""
RIDGES = (1e-5, 1e-3, 1e-1)
"""How much a line may be drawn to zero, in mean squares of what is read: hardly, as numbers may be given twice, or more, where
there is little to fit by."""
BATCH, RATE, DECAY = 512, 2e-3, 0.01
RARE = 0.3
"""From how many usual changes on an error counts by its size and not by its square: a few jumps, as of a score, must not decide."""
NOISE = 0.1
"""The most that numbers are disturbed by, in usual changes: a rollout reads its own answers, which are a little off."""
LINE_BETTER, BETTER = 0.95, 0.8
"""The share of the error of no change below which a line, and that of the line's error below which the small network, has learned
something that holds elsewhere too."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Frames to learn a rule from: numbers [N, K, D] and actions [N, K * A] before each, and its own numbers [N, D]."""

    numbers: Tensor
    action: Tensor
    after: Tensor

    def __len__(self) -> int:
        return len(self.after)

    def at(self, index: Tensor) -> Examples:
        return Examples(numbers=self.numbers[index], action=self.action[index], after=self.after[index])

    def read(self, config: DiTConfig, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What a network reads of these frames [N, F], what is not recorded as zeros, and how numbers change [N, D] in usual
        changes. noise: added to the numbers before [N, K, D]."""
        before = self.numbers if noise is None else self.numbers + noise
        given = {name: before.new_zeros(len(self), width) for name, width in config.known.items()}
        read = as_read(given | {"action": self.action, NAME: before.flatten(1)}, config.relative)
        return read, (self.after - before[:, -1]) / torch.tensor(config.relative[NAME])


def examples(recordings: Recordings, config: DiTConfig) -> tuple[Examples, Examples]:
    """Frames that training sees and that have as many before them as the network reads: those that a rule is fitted to, and those
    that check it, in parts of TOGETHER frames or, of few, fewer, by chance. Either may be none."""
    parts: list[list[tuple[Tensor, Tensor, Tensor]]] = [[], []]
    for which, (number, begin, end) in enumerate(frame_ranges(recordings, config)):
        one = recordings.episodes[number]
        before = (one[name][None, begin - config.context : end].float() for name in (NAME, "action"))
        numbers, action = (contexts(x, config.context)[0] for x in before)
        checks = which % CHECKED == 1 and which * TOGETHER < CHECKED * MOST_CHECKED
        parts[checks].append((numbers, action.flatten(1), one[NAME][begin:end].float()))
    width, count = recordings.action_width * config.context, recordings.sensors
    none = torch.zeros(0, config.context, count), torch.zeros(0, width), torch.zeros(0, count)
    joined = [[torch.cat(tensors) for tensors in zip(none, *part, strict=True)] for part in parts]
    seen, check = (Examples(numbers=numbers, action=action, after=after) for numbers, action, after in joined)
    return seen, check


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


def fit_line(rule: Rule, seen: Examples, check: Examples, config: DiTConfig) -> None:
    """By least squares. The examples that check say of each number which of RIDGES fits it best; nothing changes where none of them
    is better than that."""
    (x, y), (x_check, y_check) = (one.read(config) for one in (seen, check))
    varies = F.pad((x != 0).any(0), (0, 1), value=True)
    x, x_check = (F.pad(one, (0, 1), value=1.0)[:, varies].double() for one in (x, x_check))
    y, y_check = y.double(), y_check.double()
    xx, xy = x.T @ x, x.T @ y
    best, error = torch.zeros_like(xy), LINE_BETTER * y_check.square().sum(0)
    for ridge in RIDGES:
        line = torch.linalg.solve(xx + ridge * torch.diag(xx.diag()), xy)
        missed = (x_check @ line - y_check).square().sum(0)
        best, error = torch.where(missed < error, line, best), torch.minimum(missed, error)
    fit = torch.zeros(len(varies), best.shape[1])
    fit[varies] = best.float()
    rule.line.weight.copy_(fit[:-1].T)
    rule.line.bias.copy_(fit[-1])


def missed_by(error: Tensor) -> Tensor:
    """[D], how much errors [N, D] in usual changes count: by their square up to RARE, from there by their size (Huber 1964)."""
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=RARE).mean(0)


def fit_bend(
    rule: Rule,
    seen: Examples,
    check: Examples,
    config: DiTConfig,
    *,
    seconds: float,
    steps: int | None,
    seed: int,
    show: Callable[[str], None] | None = None,
) -> int:
    """To what the line leaves, for so long or so many steps, whichever ends first; kept as it was when the examples that check were
    foretold best, and only for numbers that are foretold much better with it. Returns the steps."""
    generator, unit = torch.Generator().manual_seed(seed), torch.tensor(config.relative[NAME])
    first, last = (cast(nn.Linear, rule.bend[at]) for at in (0, -1))
    first.weight[:, ~(seen.read(config)[0] != 0).any(0)] = 0.0  # what is not recorded says nothing
    x_check, y_check = check.read(config)
    with torch.no_grad():
        of_line, still = missed_by(rule.line(x_check) - y_check), float(missed_by(y_check).mean())

    def loss() -> Tensor:
        batch = seen.at(torch.randint(len(seen), (BATCH,), generator=generator))
        size = NOISE * unit * torch.rand(BATCH, 1, 1, generator=generator)
        read, moved = batch.read(config, size * torch.randn(batch.numbers.shape, generator=generator))
        return missed_by(rule(read) - moved).mean()

    def left() -> Tensor:
        error = missed_by(rule(x_check) - y_check)
        return torch.where(error < BETTER * of_line, error, of_line)

    def say(step: int, error: float) -> None:
        if show is not None:
            show(f"numbers: step {step}  error {error / max(still, 1e-12):.2f} of leaving them as they were")

    step, _ = fit_part(
        rule.bend, loss, lambda: left().mean(), before=float(of_line.mean()), rate=RATE, decay=DECAY, seconds=seconds,
        steps=steps, show=say,
    )  # fmt: skip
    with torch.no_grad():
        useless = left() == of_line
    last.weight[useless], last.bias[useless] = 0.0, 0.0
    return step


def find_rule(
    recordings: Recordings,
    config: DiTConfig,
    *,
    seconds: float,
    steps: int | None,
    seed: int,
    show: Callable[[str], None] | None = None,
) -> dict[str, Tensor]:
    """The weights of a rule of how a recording's numbers change. seconds, steps: that it may take; the line is fitted in any case.
    show: gets a line now and then."""
    began = time.monotonic()
    with seeded(seed):
        rule = Rule(sum(config.known.values()), recordings.sensors)
    seen, check = examples(recordings, config)
    if not len(seen) or not len(check):
        log.info("numbers: no rule of how they change, as episodes are too short")
        return rule.state_dict()
    fit_line(rule, seen, check, config)
    remaining, did = seconds - (time.monotonic() - began), 0
    if remaining > 0 and steps != 0:
        did = fit_bend(rule, seen, check, config, seconds=remaining, steps=steps, seed=seed, show=show)
    read, moved = check.read(config)
    foretold = torch.cat([rule.line.weight, cast(nn.Linear, rule.bend[-1]).weight], -1).any(-1)
    rule.get_buffer("left").copy_(torch.where(foretold, (rule(read) - moved).abs().mean(0).clamp_max(1.0), 1.0))
    error = missed_by(rule(read) - moved).mean() / missed_by(moved).mean().clamp_min(1e-12)
    log.info(
        "numbers: after %d steps a rule errs by %.2f of leaving them as they were, in frames kept to check it", did, error
    )
    return rule.state_dict()
