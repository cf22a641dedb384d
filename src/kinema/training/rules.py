"""How a recording's numbers change, found out of numbers alone before a network learns pictures: `kinema.models.rules.Rule`.

A line is fitted by least squares, then a small network to what is left. A step of that costs a hundredth of a step of the network
for pictures, so it sees each frame hundreds of times more often: where a ball bounces is learned in a minute. A share of the frames
checks both: numbers that they do not foretell, as those that jump or are noise, are left alone.

Where a frame has numbers besides those of entities, such as a picture that was recorded as numbers, it is tried whether entities
are foretold better by entities and actions alone.

Numbers that are always on a grid, such as the whole numbers of a game, are rounded to it from frame to frame, so that small errors
vanish instead of adding up, where this keeps them closer to the true ones in the frames that check.

Axes: N frames, K frames that are read, A numbers of an action, D numbers of a frame, F numbers that are read in all.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.dit import DiTConfig
from kinema.models.dit_model import MOST_SPREADS
from kinema.models.rules import LEAST_SPACING, NUMBER_WAVES, Rule, as_read
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
"""The most that numbers are disturbed by, in usual changes, as a rollout reads its own answers, which are a little off; but not
those on a grid."""
GRID_FRAMES, OFF_GRID = 200_000, 0.02
"""Frames in which a grid is looked for, at most; how far from it, in its spacings, a number may seem to be by rounding."""
LEAST_ROLLED, CLOSER = 8, 0.98
"""Frames of a rollout below which it says nothing of grids, and the share of the error without one below which a grid is kept."""
TRIAL, ENTITY_WIDTH = 0.2, 192
"""Share of the time in which a rule is tried that foretells entities by everything, and again in which one does so by entities
alone; and how much of the small network is theirs then."""
LINE_BETTER, BETTER = 0.95, 0.8
"""The share of the error of no change below which a line, and that of the line's error below which the small network, has learned
something that holds elsewhere too."""

Groups = list[tuple[list[int], Tensor]]
"""Groups of numbers: their columns, and which of what is read [F] they may be foretold by. Each column is in one group."""


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
    for checks, (number, begin, end) in ranges_with_checks(recordings, config):
        one = recordings.episodes[number]
        before = (one[name][None, begin - config.context : end].float() for name in (NAME, "action"))
        numbers, action = (contexts(x, config.context)[0] for x in before)
        parts[checks].append((numbers, action.flatten(1), one[NAME][begin:end].float()))
    width, count = recordings.action_width * config.context, recordings.sensors
    none = torch.zeros(0, config.context, count), torch.zeros(0, width), torch.zeros(0, count)
    joined = [[torch.cat(tensors) for tensors in zip(none, *part, strict=True)] for part in parts]
    seen, check = (Examples(numbers=numbers, action=action, after=after) for numbers, action, after in joined)
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


def readable(config: DiTConfig, entities: Sequence[int], alone: bool) -> Groups:
    """Columns of numbers, and which of what is read [F] those may be foretold by. alone: whether entities are by entities alone,
    and by what is not a frame's number, such as actions; all others by everything."""
    count = len(config.relative[NAME])
    of_entities = torch.zeros(count, dtype=torch.bool)
    of_entities[list(entities)] = True
    by_name = [
        of_entities.repeat(width // count) if name == NAME else torch.ones(width, dtype=torch.bool)
        for name, width in config.known.items()
    ]
    some, every = torch.cat(by_name), torch.ones(sum(config.known.values()), dtype=torch.bool)
    if not alone:
        return [(list(range(count)), every)]
    return [(of_entities.nonzero()[:, 0].tolist(), some), ((~of_entities).nonzero()[:, 0].tolist(), every)]


def fit_line(rule: Rule, seen: Examples, check: Examples, config: DiTConfig, by: Groups) -> None:
    """By least squares. The examples that check say of each number which of RIDGES fits it best; nothing changes where none of them
    is better than that."""
    (x, y), (x_check, y_check) = (one.read(config) for one in (seen, check))
    varies = (x != 0).any(0)
    x, x_check = (F.pad(one, (0, 1), value=1.0).double() for one in (x, x_check))
    xx, xy = x.T @ x, x.T @ y.double()
    for columns, reads in by:
        used, truth = F.pad(varies & reads, (0, 1), value=True), y_check[:, columns].double()
        mine, target = xx[used][:, used], xy[used][:, columns]
        best, error = torch.zeros_like(target), LINE_BETTER * truth.square().sum(0)
        for ridge in RIDGES:
            line = torch.linalg.solve(mine + ridge * torch.diag(mine.diag()), target)
            missed = (x_check[:, used] @ line - truth).square().sum(0)
            best, error = torch.where(missed < error, line, best), torch.minimum(missed, error)
        fit = torch.zeros(len(used), len(columns))
        fit[used] = best.float()
        rule.line.weight[columns], rule.line.bias[columns] = fit[:-1].T, fit[-1]


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


@torch.no_grad()
def roll_numbers(rule: Rule, config: DiTConfig, numbers: Tensor, actions: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Numbers [N, T, D] after the first ones [N, K, D], each by a rule from those before it as it made them, with the actions
    [N, K + T - 1, A] of all frames but the last. bounds: the least and the most that they can be [D]."""
    context, unit = config.context, torch.tensor(config.relative[NAME])
    made = numbers
    for t in range(actions.shape[1] - context + 1):
        known = {name: numbers.new_zeros(len(numbers), width) for name, width in config.known.items()}
        known |= {"action": actions[:, t : t + context].flatten(1), NAME: made[:, -context:].flatten(1)}
        after = rule.within(made[:, -1] + unit * rule(as_read(known, config.relative)), *bounds)
        made = torch.cat([made, after[:, None]], 1)
    return made[:, context:]


def choose_grids(rule: Rule, recordings: Recordings, config: DiTConfig, grids: Tensor, foretold: Tensor) -> None:
    """The rule gets the grids of those numbers that it foretells [D] and that stay closer to the true ones with them, where parts
    that check are rolled out: those half as long as the longest or longer, as far as the shortest of these goes. None where that is
    fewer than LEAST_ROLLED frames."""
    checks = [part for checks, part in ranges_with_checks(recordings, config) if checks]
    longest = max(end - begin for _, begin, end in checks)
    checks = [(one, begin, end) for one, begin, end in checks if 2 * (end - begin) >= longest]
    ahead = min(end - begin for _, begin, end in checks)
    if ahead < LEAST_ROLLED:
        return
    numbers, actions = (
        torch.stack(
            [recordings.episodes[one][name][begin - config.context : begin + ahead] for one, begin, _ in checks]
        ).float()
        for name in (NAME, "action")
    )
    bounds = recordings.scaled(recordings.least), recordings.scaled(recordings.most)
    off = list[Tensor]()
    for tried in (torch.zeros_like(grids), grids):
        rule.get_buffer("grid").copy_(tried)
        made = roll_numbers(rule, config, numbers[:, : config.context], actions[:, :-1], bounds)
        off.append((made - numbers[:, config.context :]).abs().mean((0, 1)))
    rule.get_buffer("grid").copy_(torch.where(foretold & (off[1] < CLOSER * off[0]), grids, 0.0))


def missed_by(error: Tensor) -> Tensor:
    """[D], how much errors [N, D] in usual changes count: by their square up to RARE, from there by their size (Huber 1964)."""
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=RARE).mean(0)


def _masks(rule: Rule, by: Groups) -> list[Tensor]:
    """0 for weights of the small network's layers that are held at 0, else 1. Where entities are foretold by themselves, the first
    ENTITY_WIDTH of each layer are theirs."""
    layers = [layer for layer in rule.bend if isinstance(layer, nn.Linear)]
    masks = [torch.ones_like(layer.weight) for layer in layers]
    if len(by) > 1:
        (columns, reads), _ = by
        masks[0][:ENTITY_WIDTH] *= torch.cat([reads, reads[rule.last].repeat(2 * len(NUMBER_WAVES))])
        for mask in masks[1:-1]:
            mask[:ENTITY_WIDTH, ENTITY_WIDTH:] = 0.0
        masks[-1][columns, ENTITY_WIDTH:] = 0.0
    return masks


def fit_bend(
    rule: Rule,
    seen: Examples,
    check: Examples,
    config: DiTConfig,
    by: Groups,
    *,
    noise: Tensor,
    seconds: float,
    steps: int | None,
    seed: int,
    show: Callable[[str], None] | None = None,
) -> int:
    """To what the line leaves, for so long or so many steps, whichever ends first; kept as it was when the examples that check were
    foretold best, and only for numbers that are foretold much better with it. noise: the most that numbers are disturbed by [D].
    Returns the steps."""
    generator, layers = torch.Generator().manual_seed(seed), [one for one in rule.bend if isinstance(one, nn.Linear)]
    masks = _masks(rule, by)
    recorded = (seen.read(config)[0] != 0).any(0)  # what is not says nothing
    masks[0] *= torch.cat([recorded, recorded[rule.last].repeat(2 * len(NUMBER_WAVES))])
    for layer, mask in zip(layers, masks, strict=True):
        layer.weight *= mask
    x_check, y_check = check.read(config)
    with torch.no_grad():
        of_line, still = missed_by(rule.line(x_check) - y_check), float(missed_by(y_check).mean())

    def loss() -> Tensor:
        batch = seen.at(torch.randint(len(seen), (BATCH,), generator=generator))
        size = noise * torch.rand(BATCH, 1, 1, generator=generator)
        read, moved = batch.read(config, size * torch.randn(batch.numbers.shape, generator=generator))
        return missed_by(rule(read) - moved).mean()

    def left() -> Tensor:
        error = missed_by(rule(x_check) - y_check)
        return torch.where(error < BETTER * of_line, error, of_line)

    def say(step: int, error: float) -> None:
        if show is not None:
            show(f"numbers: step {step}  error {error / max(still, 1e-12):.2f} of leaving them as they were")

    rule.bend.requires_grad_(True)
    hooks = [
        layer.weight.register_hook(lambda gradient, mask=mask: gradient * mask)  # type: ignore[no-untyped-call]
        for layer, mask in zip(layers, masks, strict=True)
    ]
    step, _ = fit_part(
        rule.bend, loss, lambda: left().mean(), before=float(of_line.mean()), rate=RATE, decay=DECAY, seconds=seconds,
        steps=steps, show=say,
    )  # fmt: skip
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        useless = left() == of_line
    layers[-1].weight[useless], layers[-1].bias[useless] = 0.0, 0.0
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
        rule = Rule(config.known, NAME, recordings.sensors)
    seen, check = examples(recordings, config)
    if not len(seen) or not len(check):
        log.info("numbers: no rule of how they change, as episodes are too short")
        return rule.state_dict()
    entities, grids = recordings.entity_columns, find_grids(recordings)
    noise = torch.where(grids[1] > 0, 0.0, NOISE * torch.tensor(config.relative[NAME]))
    read, moved = check.read(config)
    groups = [readable(config, entities, alone) for alone in (False, True)[: 1 + (0 < len(entities) < recordings.sensors)]]
    lines = [copy.deepcopy(rule) for _ in groups]
    for line, by in zip(lines, groups, strict=True):
        fit_line(line, seen, check, config, by)
    left_s = seconds - (time.monotonic() - began)

    def bent(which: int, share: float) -> tuple[Rule, int]:
        """With a small network that is fitted in this share of what is left."""
        one, most = copy.deepcopy(lines[which]), None if steps is None else round(share * steps)
        if left_s <= 0 or most == 0:
            return one, 0
        return one, fit_bend(
            one, seen, check, config, groups[which], noise=noise, seconds=share * left_s, steps=most, seed=seed, show=show
        )

    tried = [bent(which, TRIAL)[0] for which in range(len(lines))] if len(lines) > 1 else lines
    best = int(np.argmin([float(missed_by(one(read) - moved)[entities].sum()) for one in tried]))
    rule, did = bent(best, 1 - TRIAL * len(lines) if len(lines) > 1 else 1.0)
    foretold = torch.cat([rule.line.weight, cast(nn.Linear, rule.bend[-1]).weight], -1).any(-1)
    rule.get_buffer("left").copy_(torch.where(foretold, (rule(read) - moved).abs().mean(0).clamp_max(1.0), 1.0))
    choose_grids(rule, recordings, config, grids, foretold)
    error = missed_by(rule(read) - moved).mean() / missed_by(moved).mean().clamp_min(1e-12)
    log.info(
        "numbers: after %d steps a rule errs by %.2f of leaving them as they were, in frames kept to check it%s",
        did,
        error,
        "; entities by entities alone" if best else "",
    )
    return rule.state_dict()
