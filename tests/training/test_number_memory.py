"""A rule remembers what the few frames that it reads do not show, where that foretells numbers better."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.training.test_number_grids import CONTEXT, config, recorded, walk
from torch import Tensor

from kinema.models.dit import DiTConfig
from kinema.models.rules import MEMORY, MEMORY_WIDTH, Rule
from kinema.training import rule_examples, rule_rollouts
from kinema.training.rule_examples import NAME, Examples, examples, ranges_with_checks, read_of
from kinema.training.rule_rollouts import RuleCheck, fill_memory, memory_of, missed, roll_numbers
from kinema.training.rules import _masks, find_rule, joined, readable


def with_memory(count: int) -> DiTConfig:
    plain = config(count)
    return replace(plain, known=plain.known | {MEMORY: MEMORY_WIDTH})


def remembering(frames: DiTConfig, count: int) -> Rule:
    rule = Rule(frames.known, NAME, count)
    for weight in rule.memory.parameters():
        weight.copy_(0.5 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return rule


def read_frame(frames: DiTConfig, one: dict[str, Tensor], at: int, memory: Tensor) -> Tensor:
    """What is read to foretell this frame of an episode [1, F]."""
    given = {name: one[name][None, at - CONTEXT : at].flatten(1) for name in ("action", NAME)}
    return read_of(given | {MEMORY: memory[None]}, frames)


def test_a_memory_is_made_from_frame_to_frame_from_the_beginning_of_an_episode() -> None:
    recording, frames = recorded(walk(400), walk(400).cos(), episodes=4), with_memory(2)
    rule = remembering(frames, 2)
    fill_memory(rule, recording, frames)
    for one in recording.episodes:
        assert one[MEMORY].shape == (100, MEMORY_WIDTH) and not one[MEMORY][0].any() and one[MEMORY][1:].any(1).all()
        for at in (CONTEXT, 50, 99):
            torch.testing.assert_close(rule.remember(read_frame(frames, one, at, one[MEMORY][at - 1]))[0], one[MEMORY][at])
    changed, one = recording.episodes[0], recording.episodes[0][MEMORY].clone()
    changed["sensors"][60:] += 1.0
    fill_memory(rule, recording, frames)
    assert torch.equal(changed[MEMORY][:61], one[:61]) and not torch.equal(changed[MEMORY][61], one[61])


def test_a_rollout_with_true_numbers_remembers_what_the_recording_does() -> None:
    """A rule that foretells nothing, of numbers that never change."""
    recording, frames = recorded(torch.ones(400), torch.zeros(400), episodes=4), with_memory(2)
    rule, one = remembering(frames, 2), recording.episodes[1]
    fill_memory(rule, recording, frames)
    seen: list[Tensor] = []
    rule.changes = lambda read: seen.append(read[..., rule.memory_at]) or torch.zeros(1, 2)  # type: ignore[assignment, func-returns-value]
    bounds = torch.full((2,), -9.0), torch.full((2,), 9.0)
    roll_numbers(rule, frames, one["sensors"][None, 20:24], one["action"][None, 20:43], one[MEMORY][None, 23], bounds)
    torch.testing.assert_close(torch.cat(seen), one[MEMORY][24:44])


def test_stretches_are_of_frames_that_follow_each_other() -> None:
    parts = torch.tensor([40, 3, 64])
    count = int(parts.sum())
    some = Examples(numbers=torch.zeros(count, 1, 1), action=torch.zeros(count, 0), after=torch.zeros(count, 1), parts=parts)
    index, there = some.sequences(32, torch.Generator().manual_seed(0))
    of = torch.arange(3).repeat_interleave(parts)
    assert index.shape == there.shape == (16, 32) and index.max() < count
    for row, counts in zip(index, there, strict=True):
        assert of[row].unique().numel() == 1 and (row[counts].diff() == 1).all()
        assert counts.all() == (of[row[0]] != 1) and counts.sum() in (3, 32)
    single, every = some.sequences(1, torch.Generator().manual_seed(0))
    assert single.shape == (512, 1) and every.all() and single.unique().numel() > count / 2
    index, there = some.every_part()
    assert torch.equal(index[there], torch.arange(count))


def test_a_rule_remembers_what_its_frames_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that says which action was taken one frame before those that are read, beside one that moves by the last action."""
    monkeypatch.setattr(rule_examples, "BATCH", 128)
    recording, frames = recorded(torch.zeros(4000), torch.zeros(4000)), with_memory(2)
    for one in recording.episodes:
        one["sensors"][CONTEXT + 1 :, 0] = 0.4 * one["action"][: -CONTEXT - 1, 1]
        one["sensors"][1:, 1] = 0.01 * one["action"][:-1, 1].cumsum(0)
    recording.most = torch.tensor([0.4, 9.0])
    found, plain = Rule(frames.known, NAME, 2), Rule(config(2).known, NAME, 2)
    found.load_state_dict(find_rule(recording, frames, seconds=math.inf, steps=500, seed=0))
    plain.load_state_dict(find_rule(recording, config(2), seconds=math.inf, steps=250, seed=0))
    assert found.recall[-1].weight[0].any() and not found.recall[-1].weight[1].any(), "the line says all of the other"
    assert found.memory.weight_ih.any() and not found.bend[-1].weight[0].any()
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    off, off_without = (check.off(rule, recording, of).mean(0) for rule, of in ((found, frames), (plain, config(2))))
    assert off[0] < 0.2 * off_without[0] and off[1] < 0.01
    assert recording.episodes[0][MEMORY].any(), "the recording has its memory"


def test_a_rule_has_no_memory_where_it_gains_nothing() -> None:
    recording, frames = recorded(torch.zeros(1600)), with_memory(1)
    for one in recording.episodes:
        one["sensors"][1:, 0] = 0.01 * one["action"][:-1, 1].cumsum(0)
    recording.most[0] = 9.0
    found = find_rule(recording, frames, seconds=math.inf, steps=40, seed=0)
    assert not any(found[name].any() for name in found if name.startswith("memory")) and found["line.weight"].any()
    assert not any(one[MEMORY].any() for one in recording.episodes)


def test_parts_that_check_begin_with_what_is_remembered_there(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, frames = recorded(walk(), walk().cos()), with_memory(2)
    rule = remembering(frames, 2)
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    rule.recall[-1].weight.fill_(0.01)
    given: list[Tensor] = []
    real = rule_rollouts.roll_numbers
    monkeypatch.setattr(rule_rollouts, "roll_numbers", lambda *all_of: given.append(all_of[4]) or real(*all_of))
    fill_memory(rule, recording, frames)
    off = check.off(rule, recording, frames)
    parts = [part for checks, part in ranges_with_checks(recording, frames) if checks]
    assert off.shape == (check.ahead, 2) and check.places == [(one, at) for one, at, _ in parts] and len(check.rolled) > 1
    begun = torch.stack([recording.episodes[one][MEMORY][at - 1] for one, at in (check.places[i] for i in check.rolled)])
    assert torch.equal(given[0], begun) and begun.any(1).all()
    alone = missed(rule, check.examples, frames)
    assert not torch.equal(missed(rule, check.examples, frames, check.memory(rule, recording)), alone)
    one, at = check.places[0]
    last = recording.episodes[one]
    read = read_frame(frames, last, at, last[MEMORY][at - 1])
    true = (last[NAME][at] - last[NAME][at - 1]) / 0.2
    torch.testing.assert_close(
        missed(rule, check.examples, frames, check.memory(rule, recording))[0], rule(read)[0][0] - true, rtol=0, atol=1e-5
    )


def test_what_says_nothing_is_not_remembered() -> None:
    """What is asked for, as it is not recorded; where entities are foretold by themselves, all other numbers."""
    frames = with_memory(5)
    frames = replace(frames, known=frames.known | {"wanted": 3})
    rule, count = Rule(frames.known, NAME, 5), CONTEXT * 5
    memory = memory_of(rule)
    recorded_numbers = torch.ones(rule.line.in_features, dtype=torch.bool)
    recorded_numbers[-3:] = False
    of_memory = _masks(rule, memory, readable(frames, [0], True), recorded_numbers)
    assert [weight is layer.weight for (weight, _), layer in zip(of_memory, list(rule.recall)[::2], strict=False)] == [
        True
    ] * 4
    reads, own = of_memory[-1][1].bool().any(0), torch.arange(count) % 5 == 0
    assert of_memory[-1][0] is memory.weight_ih_l0 and len(reads) == 8 + count + 3
    assert reads[:8].all() and torch.equal(reads[8:-3], own) and not reads[-3:].any()
    sees = of_memory[0][1].bool().any(0)
    assert sees[:8].all() and torch.equal(sees[8 : 8 + count], own) and sees[rule.memory_at].all()
    assert not sees[8 + count + MEMORY_WIDTH :][:3].any() and torch.equal(sees[-30:], torch.arange(30) % 5 == 0)
    plain = _masks(rule, memory, readable(frames, [0], False), recorded_numbers)
    assert plain[-1][1][:, :-3].all() and not plain[-1][1][:, -3:].any()
    assert len(_masks(rule, None, readable(frames, [0], False), recorded_numbers)) == 4, "nothing is remembered"


def test_each_number_is_foretold_by_the_better_network() -> None:
    frames = with_memory(2)
    rule, other = Rule(frames.known, NAME, 2), Rule(frames.known, NAME, 2)
    rule.bend[-1].bias.copy_(torch.tensor([1.0, 2.0]))
    other.recall[-1].bias.copy_(torch.tensor([3.0, 4.0]))
    other.memory.bias_hh.fill_(0.5)
    both = joined(rule, other, torch.tensor([False, True]))
    read = torch.zeros(1, rule.line.in_features)
    changes, memory = both(read)
    assert changes[0].tolist() == [1.0, 4.0] and torch.equal(memory, other.remember(read)) and memory.any()
    assert rule(read)[0][0].tolist() == [1.0, 2.0], "it is left as it was"
