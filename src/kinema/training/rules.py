"""How a recording's numbers change, found out of numbers alone before a network learns pictures: `kinema.models.rules.Rule`.

A line is fitted by least squares, then a small network to what is left. A step of that costs a hundredth of a step of the network
for pictures, so it sees each frame hundreds of times more often: where a ball bounces is learned in a minute. A share of the frames
checks both: numbers that they do not foretell, as those that jump or are noise, are left alone.

Where a frame has numbers besides those of entities, such as a picture that was recorded as numbers, it is tried whether entities
are foretold better by entities and actions alone.

Another small network is trained with a memory, over stretches of frames, for what the few frames that are read do not show. Each
number is foretold by the one that keeps it closer to the true one where parts that check are foretold from frame to frame.

Numbers that change by few amounts, as most of a game do, are foretold by choosing one of these, which is learned as classes are: so
a ball that flies on flies exactly on, and where it may turn or not, it does one of both and not the mean of both. And numbers that
are always on a grid, such as the whole numbers of a game, are rounded to it from frame to frame, so that small errors vanish
instead of adding up. Both where it keeps them closer to the true ones in the frames that check.

Axes: N frames, S stretches of T frames, K frames that are read, A numbers of an action, D numbers of a frame, F numbers that are
read in all, M numbers of a memory, W amounts that a change is chosen from.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.dit import DiTConfig
from kinema.models.rules import NUMBER_WAVES, Rule
from kinema.training.found_parts import fit_part
from kinema.training.number_grids import find_choices, find_grids
from kinema.training.recordings import Recordings
from kinema.training.rule_examples import NAME, Examples, examples
from kinema.training.rule_rollouts import (
    RuleCheck,
    choose_choices,
    choose_grids,
    fill_memory,
    foretold_by,
    has_choices,
    missed,
)
from kinema.training.seeds import seeded

log = logging.getLogger(__name__)

RIDGES = (1e-5, 1e-3, 1e-1)
"""How much a line may be drawn to zero, in mean squares of what is read: hardly, as numbers may be given twice, or more, where
there is little to fit by."""
RATE, DECAY = 2e-3, 0.01
STRETCH = 32
"""Frames of the stretches over which a memory is trained."""
RARE = 0.3
"""From how many usual changes on an error counts by its size and not by its square: a few jumps, as of a score, must not decide."""
NOISE = 0.1
"""The most that numbers are disturbed by, in usual changes, as a rollout reads its own answers, which are a little off; but not
those on a grid."""
TRIAL, ENTITY_WIDTH = 0.2, 192
"""Share of the time in which a rule is tried that foretells entities by everything, and again in which one does so by entities
alone; and how much of the small network is theirs then."""
MEMORY_SHARE, GAIN = 0.5, 0.9
"""Share of the rest in which the network with a memory is trained; and the share of the error of the other below which a number is
foretold by it."""
LINE_BETTER, BETTER = 0.95, 0.8
"""The share of the error of no change below which a line, and that of the line's error below which the small network, has learned
something that holds elsewhere too."""

Groups = list[tuple[list[int], Tensor]]
"""Groups of numbers: their columns, and which of what is read [F] they may be foretold by. Each column is in one group."""


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


def rows_of(rule: Rule, columns: Tensor) -> Tensor:
    """Which rows of the last layer of a small network are of these numbers [D]: what is added, and scores."""
    width = cast(nn.Linear, rule.bend[-1]).out_features // len(columns) - 1
    return torch.cat([columns, columns.repeat_interleave(width)])


def missed_by(error: Tensor) -> Tensor:
    """[D], how much errors [N, D] in usual changes count: by their square up to RARE, from there by their size (Huber 1964)."""
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=RARE).mean(0)


def wrongly_chosen(rule: Rule, scores: Tensor, moved: Tensor) -> Tensor:
    """How improbable scores [N, D, W] make the choices that are nearest to changes [N, D] in usual changes: the mean over all
    numbers of the cross entropy, which is 0 of those without choices."""
    if not scores.shape[-1]:
        return scores.new_zeros(())
    which = has_choices(rule)
    choices = rule.get_buffer("choices")[which]
    nearest = (moved[:, which, None] - choices).abs().argmin(-1)
    possible = torch.where(choices < math.inf, scores[:, which], -math.inf)
    return F.cross_entropy(possible.flatten(0, 1), nearest.flatten(), reduction="sum") / moved.numel()


def _masks(rule: Rule, memory: nn.GRU | None, by: Groups, recorded: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights of a small network, and of what a memory reads, each with 1 for those that are trained and 0 for those held at 0: of
    what is not recorded [F], as it says nothing. Where entities are foretold by themselves, the first ENTITY_WIDTH of each layer
    are theirs; what is remembered, and what follows from it, are of them alone."""
    network = rule.bend if memory is None else cast(nn.Sequential, rule.recall)
    weights: list[Tensor] = [layer.weight for layer in network if isinstance(layer, nn.Linear)]
    masks = [torch.ones_like(weight) for weight in weights]

    def with_waves(reads: Tensor) -> Tensor:
        return torch.cat([reads, reads[rule.last].repeat(2 * len(NUMBER_WAVES))]).float()

    masks[0] *= with_waves(recorded)
    (columns, reads), *others = by
    if memory is not None:
        masks[0] *= with_waves(reads)
        weights.append(memory.get_parameter("weight_ih_l0"))
        masks.append(rule.without_memory(recorded & reads).float().expand_as(weights[-1]))
    elif others:
        masks[0][:ENTITY_WIDTH] *= with_waves(reads)
        for mask in masks[1:-1]:
            mask[:ENTITY_WIDTH, ENTITY_WIDTH:] = 0.0
        theirs = torch.zeros(rule.line.out_features, dtype=torch.bool)
        theirs[columns] = True
        masks[-1][rows_of(rule, theirs), ENTITY_WIDTH:] = 0.0
    return list(zip(weights, masks, strict=True))


def fit_network(
    rule: Rule,
    seen: Examples,
    check: Examples,
    config: DiTConfig,
    by: Groups,
    *,
    remembers: bool,
    noise: Tensor,
    seconds: float,
    steps: int | None,
    seed: int,
    show: Callable[[str], None] | None = None,
) -> int:
    """To what the line leaves, for so long or so many steps, whichever ends first; kept as it was when the examples that check were
    foretold best, each number by choices or by what is added, and only for numbers that are foretold much better with it.
    remembers: the one with a memory. noise: the most that numbers are disturbed by [D]. Returns the steps."""
    generator, network, memory, frames = torch.Generator().manual_seed(seed), rule.bend, None, 1
    if remembers and rule.memory is not None:
        network, frames = cast(nn.Sequential, rule.recall), min(STRETCH, int(seen.parts.max()))
        with seeded(seed):
            memory = nn.GRU(rule.memory.input_size, rule.remembers, batch_first=True)
    recorded = (seen.read(config)[0] != 0).any(0)
    recorded[rule.memory_at] = remembers
    masks = _masks(rule, memory, by, recorded)
    (x_check, y_check), (index, there) = check.read(config), check.every_part()
    with torch.no_grad():
        of_line, still = missed_by(rule.line(x_check) - y_check), float(missed_by(y_check).mean())
        for weight, mask in masks:
            weight.mul_(mask)

    def answers(read: Tensor) -> tuple[Tensor, Tensor]:
        """Changes and scores of what is read in stretches [S, T, F], at the beginning of which nothing is remembered."""
        read = read if memory is None else rule.with_memory(read, memory(rule.without_memory(read))[0])
        return rule.answers(read, network)

    def loss() -> Tensor:
        which, counts = seen.sequences(frames, generator)
        batch = seen.at(which.flatten())
        size = noise * torch.rand(len(batch), 1, 1, generator=generator)
        read, moved = batch.read(config, size * torch.randn(batch.numbers.shape, generator=generator))
        made, scores = answers(read.reshape(*which.shape, -1))
        moved = moved[counts.flatten()]
        return missed_by(made[counts] - moved).mean() + wrongly_chosen(rule, scores[counts], moved)

    def errors() -> tuple[Tensor, Tensor]:
        """Of what is added alone, and with choices [D]; where they are much better than the line's."""
        made, scores = answers(x_check[index])
        every = (missed_by(one[there] - y_check) for one in (made, rule.chosen(made, scores)))
        added, chosen = (torch.where(error < BETTER * of_line, error, of_line) for error in every)
        return added, chosen

    def say(step: int, error: float) -> None:
        if show is not None:
            show(f"numbers: step {step}  error {error / max(still, 1e-12):.2f} of leaving them as they were")

    part = network if memory is None else nn.ModuleList([network, memory])
    part.requires_grad_(True)
    hooks = [
        weight.register_hook(lambda gradient, mask=mask: gradient * mask)  # type: ignore[no-untyped-call]
        for weight, mask in masks
    ]
    step, _ = fit_part(
        part, loss, lambda: torch.minimum(*errors()).mean(), before=float(of_line.mean()), rate=RATE, decay=DECAY, seconds=seconds,
        steps=steps, show=say,
    )  # fmt: skip
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        added, chosen = (error < of_line for error in errors())
    last, count = cast(nn.Linear, network[-1]), len(of_line)
    if config.choices:
        chosen &= has_choices(rule)
        rule.get_buffer("choices")[~chosen] = math.inf
    used = torch.cat([added, rows_of(rule, chosen)[count:]])
    last.weight[~used], last.bias[~used] = 0.0, 0.0
    if rule.memory is not None and memory is not None and used.any():
        rule.memory.load_state_dict({name.removesuffix("_l0"): x for name, x in memory.state_dict().items()})
    return step


def joined(rule: Rule, other: Rule, better: Tensor) -> Rule:
    """A rule by whose small network with a memory, that of the other, numbers are foretold where that is better [D]."""
    both = copy.deepcopy(rule)
    cast(nn.Module, both.memory).load_state_dict(cast(nn.Module, other.memory).state_dict())
    cast(nn.Module, both.recall).load_state_dict(cast(nn.Module, other.recall).state_dict())
    for network, unused in ((both.bend, better), (both.recall, ~better)):
        last, rows = cast(nn.Linear, cast(nn.Sequential, network)[-1]), rows_of(rule, unused)
        last.weight[rows], last.bias[rows] = 0.0, 0.0
    if has_choices(rule).any() or has_choices(other).any():
        both.get_buffer("choices")[better] = other.get_buffer("choices")[better]
    return both


def find_rule(
    recordings: Recordings,
    config: DiTConfig,
    *,
    seconds: float,
    steps: int | None,
    seed: int,
    show: Callable[[str], None] | None = None,
) -> dict[str, Tensor]:
    """The weights of a rule of how a recording's numbers change; the recording is filled with its memory. seconds, steps: that it
    may take; the line is fitted in any case. show: gets a line now and then."""
    began = time.monotonic()
    with seeded(seed):
        rule = Rule(config.known, NAME, recordings.sensors, config.choices)
    seen, checking = examples(recordings, config)
    if not len(seen) or not len(checking):
        log.info("numbers: no rule of how they change, as episodes are too short")
        return rule.state_dict()
    entities, grids = recordings.entity_columns, find_grids(recordings)
    noise = torch.where(grids[1] > 0, 0.0, NOISE * torch.tensor(config.relative[NAME]))
    if config.choices:
        choices = find_choices(recordings)[:, : config.choices] / torch.tensor(config.relative[NAME])[:, None]
        rule.get_buffer("choices")[:, : choices.shape[-1]] = choices
    has_others, check = 0 < len(entities) < recordings.sensors, RuleCheck.of(checking, recordings, config)
    groups = [readable(config, entities, alone) for alone in (False, True)[: 1 + has_others]]
    lines = [copy.deepcopy(rule) for _ in groups]
    for line, by in zip(lines, groups, strict=True):
        fit_line(line, seen, checking, config, by)
    left_s = seconds - (time.monotonic() - began)

    def fitted(alone: bool, share: float, remembers: bool = False) -> tuple[Rule, int]:
        """With a small network that is fitted in this share of what is left."""
        one, most = copy.deepcopy(lines[alone]), None if steps is None else round(share * steps)
        if left_s <= 0 or most == 0:
            if config.choices:
                one.get_buffer("choices").fill_(math.inf)
            return one, 0
        return one, fit_network(
            one, seen, checking, config, groups[alone], remembers=remembers, noise=noise, seconds=share * left_s, steps=most,
            seed=seed, show=show,
        )  # fmt: skip

    tried = [fitted(bool(alone), TRIAL)[0] for alone in range(len(lines))] if has_others else lines
    errors = [float(missed_by(missed(one, checking, config))[entities].sum()) for one in tried]
    alone, share = errors.index(min(errors)) > 0, 1 - TRIAL * len(lines) if has_others else 1.0
    rule, did = fitted(alone, share * (1 - MEMORY_SHARE) if rule.remembers else share)
    fill_memory(rule, recordings, config)
    choose_choices(rule, check, recordings, config)
    choose_grids(rule, check, recordings, config, grids)
    remembers = False
    if rule.remembers:
        other, more = fitted(alone, share * MEMORY_SHARE, True)
        off = check.far_off(rule, recordings, config)
        fill_memory(other, recordings, config)
        choose_choices(other, check, recordings, config)
        choose_grids(other, check, recordings, config, grids)
        better = check.far_off(other, recordings, config) < off + math.log(GAIN)
        both, did = joined(rule, other, better), did + more
        choose_grids(both, check, recordings, config, grids)
        remembers = bool((check.far_off(both, recordings, config) - off)[entities or slice(None)].mean() < 0)
        rule = both if remembers else rule
    fill_memory(rule, recordings, config)
    error, moved = missed(rule, checking, config, check.memory(rule, recordings)), checking.read(config)[1]
    rule.get_buffer("left").copy_(torch.where(foretold_by(rule), error.abs().mean(0).clamp_max(1.0), 1.0))
    log.info(
        "numbers: after %d steps a rule errs by %.2f of leaving them as they were, in frames kept to check it%s%s",
        did,
        missed_by(error).mean() / missed_by(moved).mean().clamp_min(1e-12),
        "; entities by entities alone" if alone else "",
        "; it remembers" if remembers else "",
    )
    return rule.state_dict()
