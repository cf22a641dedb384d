"""Numbers of a recording stepped by a rule: in rollouts, with what it remembers, and in parts that check it, which say where its
choices and grids help (`kinema.training.rules`).

Axes: N frames, S parts or stretches of T frames, K frames that are read, A numbers of an action, D numbers of a frame, F numbers
that are read in all, M numbers of a memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from kinema.models.dit import DiTConfig
from kinema.models.rules import MEMORY, Rule
from kinema.training.recordings import Recordings, contexts
from kinema.training.rule_examples import NAME, Examples, ranges_with_checks, read_of

EPISODES, FILLED = 16, 256
"""How many episodes are filled with a memory at once, and how many frames."""
LEAST_OFF = 1e-3
"""The least error, in spreads, by which two rules are compared."""
KNOWN = (NAME, "action")
"""What is recorded of a frame that is read."""
LEAST_ROLLED, CLOSER = 8, 0.98
"""Frames of a rollout below which it says nothing, and the share of the error without a grid, or without choices, below which they
are kept."""


@torch.no_grad()
def roll_numbers(
    rule: Rule, config: DiTConfig, numbers: Tensor, actions: Tensor, memory: Tensor, bounds: tuple[Tensor, Tensor]
) -> Tensor:
    """Numbers [N, T, D] after the first ones [N, K, D], each by a rule from those before it as it made them, with the actions
    [N, K + T - 1, A] of all frames but the last. memory: of the last of the first ones [N, M]. bounds: the least and the most that
    numbers can be [D]."""
    context, unit = config.context, torch.tensor(config.relative[NAME])
    made = numbers
    for t in range(actions.shape[1] - context + 1):
        given = {"action": actions[:, t : t + context].flatten(1), NAME: made[:, -context:].flatten(1), MEMORY: memory}
        read = read_of(given, config)
        changes, memory = rule(read)
        made = torch.cat([made, rule.within(made[:, -1] + unit * changes, *bounds)[:, None]], 1)
    return made[:, context:]


@torch.no_grad()
def fill_memory(rule: Rule, recordings: Recordings, config: DiTConfig) -> None:
    """Each frame of a recording gets the memory of a rule, from the beginning of its episode on; of one that has no memory,
    none."""
    memory, context = memory_of(rule), config.context
    if memory is None:
        return
    episodes = sorted(recordings.episodes, key=lambda one: len(one[NAME]))
    for one in episodes:
        one[MEMORY] = torch.zeros(1, 1).expand(len(one[NAME]), rule.remembers)
    if not memory.get_parameter("weight_hh_l0").any():
        return
    for some in (episodes[at : at + EPISODES] for at in range(0, len(episodes), EPISODES)):
        longest, last = len(some[-1][NAME]), torch.zeros(1, len(some), rule.remembers)
        made = [torch.zeros(len(some), 1, rule.remembers)]
        for begin in range(0, longest - 1, FILLED):
            at = torch.arange(begin - context + 1, min(begin + FILLED, longest - 1) + 1)
            rows = [at.clamp(0, len(one[NAME]) - 1) for one in some]
            given = {
                name: torch.stack([one[name][row].float() for one, row in zip(some, rows, strict=True)]) for name in KNOWN
            }
            given["action"][:, at < 0] = 0.0
            read = read_of({name: contexts(x, context).flatten(0, 1).flatten(1) for name, x in given.items()}, config)
            after, last = memory(rule.without_memory(read).reshape(len(some), len(at) - context, -1), last)
            made.append(after)
        for one, track in zip(some, torch.cat(made, 1), strict=True):
            one[MEMORY] = track[: len(one[NAME])].clone()


def memory_of(rule: Rule) -> nn.GRU | None:
    """The rule's memory as a network for stretches [S, T, F - M], with the same weights; None: it has none."""
    if rule.memory is None:
        return None
    memory = nn.GRU(rule.memory.input_size, rule.memory.hidden_size, batch_first=True, device="meta").to_empty(device="cpu")
    memory.load_state_dict({f"{name}_l0": x for name, x in rule.memory.state_dict().items()})
    return memory


@torch.no_grad()
def missed(rule: Rule, check: Examples, config: DiTConfig, memory: Tensor | None = None) -> Tensor:
    """Errors [N, D] in usual changes. memory: of the frames before the parts [S, M]; None: nothing is remembered there."""
    (read, moved), (index, there), network = check.read(config), check.every_part(), memory_of(rule)
    if network is None:
        return rule.changes(read) - moved
    begun = torch.zeros(len(index), rule.remembers) if memory is None else memory
    remembered, _ = network(rule.without_memory(read[index]), begun[None])
    return rule.changes(rule.with_memory(read[index], remembered))[there] - moved


@dataclass(frozen=True, kw_only=True)
class RuleCheck:
    """Parts that check a rule: their frames, and the episode and first frame of each; and which of them are rolled out, so many
    frames far: those half as long as the longest or longer, as far as the shortest of these goes; none where that is fewer than
    LEAST_ROLLED."""

    examples: Examples
    places: list[tuple[int, int]]
    rolled: list[int]
    ahead: int

    @staticmethod
    def of(examples: Examples, recordings: Recordings, config: DiTConfig) -> RuleCheck:
        parts = [part for checks, part in ranges_with_checks(recordings, config) if checks]
        longest = max(end - begin for _, begin, end in parts)
        rolled = [i for i, (_, begin, end) in enumerate(parts) if 2 * (end - begin) >= longest]
        ahead = min(parts[i][2] - parts[i][1] for i in rolled)
        places = [(one, begin) for one, begin, _ in parts]
        return RuleCheck(examples=examples, places=places, rolled=rolled if ahead >= LEAST_ROLLED else [], ahead=ahead)

    def memory(self, rule: Rule, recordings: Recordings) -> Tensor:
        """What a rule that the recording is filled with remembers before each part [S, M]."""
        if not rule.remembers:
            return torch.zeros(len(self.places), 0)
        return torch.stack([recordings.episodes[one][MEMORY][begin - 1] for one, begin in self.places])

    def off(self, rule: Rule, recordings: Recordings, config: DiTConfig) -> Tensor:
        """How far numbers are off after each frame of a rollout [T, D], in spreads, on the mean; after one frame where none is
        rolled out [1, D]. Each counts up to a usual change, as a ball that is not where it should be is wrong however far away.
        The recording is filled with the rule's memory."""
        memory, most = self.memory(rule, recordings), torch.tensor(config.relative[NAME])
        if not self.rolled:
            error = missed(rule, self.examples, config, memory)
            return error.abs().clamp_max(1.0).mean(0, keepdim=True) * most
        places = [self.places[i] for i in self.rolled]
        numbers, actions = (
            torch.stack(
                [recordings.episodes[one][name][at - config.context : at + self.ahead] for one, at in places]
            ).float()
            for name in KNOWN
        )
        bounds = recordings.scaled(recordings.least), recordings.scaled(recordings.most)
        made = roll_numbers(rule, config, numbers[:, : config.context], actions[:, :-1], memory[self.rolled], bounds)
        return torch.minimum((made - numbers[:, config.context :]).abs(), most).mean(0)

    def far_off(self, rule: Rule, recordings: Recordings, config: DiTConfig) -> Tensor:
        """The mean logarithm of how far numbers are off after 1, 2, 4 frames and so on [D]."""
        off = self.off(rule, recordings, config)
        return off[[2**i - 1 for i in range(len(off).bit_length())]].clamp_min(LEAST_OFF).log().mean(0)


def foretold_by(rule: Rule) -> Tensor:
    """Which numbers a rule foretells [D]."""
    networks = [cast(nn.Linear, network[-1]).weight for network in (rule.bend, rule.recall) if network is not None]
    count = rule.line.out_features
    added = torch.stack([weight[:count].any(-1) for weight in networks]).any(0)
    return rule.line.weight.any(-1) | added | has_choices(rule)


def choose_choices(rule: Rule, check: RuleCheck, recordings: Recordings, config: DiTConfig) -> None:
    """The rule keeps the choices of those numbers that stay closer to the true ones with them. The recording is filled with its
    memory."""
    if not config.choices:
        return
    choices = rule.get_buffer("choices").clone()
    off = list[Tensor]()
    for tried in (torch.full_like(choices, math.inf), choices):
        rule.get_buffer("choices").copy_(tried)
        off.append(check.off(rule, recordings, config).mean(0))
    rule.get_buffer("choices")[off[1] >= CLOSER * off[0]] = math.inf


def choose_grids(rule: Rule, check: RuleCheck, recordings: Recordings, config: DiTConfig, grids: Tensor) -> None:
    """The rule gets the grids of those numbers that it foretells and that stay closer to the true ones with them, or are chosen.
    The recording is filled with its memory."""
    wanted, off = has_choices(rule), list[Tensor]()
    for tried in (torch.zeros_like(grids), grids) if check.rolled else ():
        rule.get_buffer("grid").copy_(tried)
        off.append(check.off(rule, recordings, config).mean(0))
    if off:
        wanted |= foretold_by(rule) & (off[1] < CLOSER * off[0])
    rule.get_buffer("grid").copy_(torch.where(wanted, grids, 0.0))


def has_choices(rule: Rule) -> Tensor:
    """Of which numbers the change is chosen [D]."""
    choices = dict(rule.named_buffers()).get("choices")
    return torch.zeros(rule.line.out_features, dtype=torch.bool) if choices is None else (choices < math.inf).any(-1)
