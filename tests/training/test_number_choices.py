"""Numbers that change by few amounts are foretold by choosing one of these."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.test_number_grids import CONTEXT, config, recorded, walk
from torch import Tensor

from kinema.models.dit import DiT, DiTConfig
from kinema.models.rules import MEMORY_WIDTH, Rule
from kinema.training import number_grids, rules
from kinema.training.number_grids import MOST_CHOICES, find_choices
from kinema.training.rule_examples import NAME, examples
from kinema.training.rule_rollouts import RuleCheck, choose_choices, choose_grids, foretold_by, has_choices, roll_numbers
from kinema.training.rules import ENTITY_WIDTH, _masks, find_rule, joined, readable, wrongly_chosen


def with_choices(count: int, choices: int) -> DiTConfig:
    return replace(config(count), choices=choices)


def bouncing(frames: int = 1600) -> Tensor:
    """Up and down between 0 and 7 spacings."""
    at = torch.arange(frames) % 14
    return 0.1 * torch.minimum(at, 14 - at)


def test_choices_are_the_amounts_by_which_a_number_on_a_grid_changes() -> None:
    mostly = walk()
    rng = np.random.default_rng(2)
    many = 0.01 * torch.from_numpy(rng.integers(0, 400, size=1600)).float()
    found = find_choices(recorded(bouncing(), mostly.cos(), many, torch.ones(1600)))
    assert found.shape[0] == 4 and found.shape[1] < MOST_CHOICES
    own = found[0][found[0] < math.inf]
    torch.testing.assert_close(own.sort().values[[0, -1]], torch.tensor([-0.1, 0.1]), rtol=0, atol=1e-4)
    assert not (found[1:] < math.inf).any(), "of no grid, of too many amounts, of none"
    walked = find_choices(recorded(mostly))[0]
    steps = torch.cat([one["sensors"][:, 0].diff() for one in recorded(mostly).episodes])
    commonest = (steps / 0.1).round().mode().values
    assert abs(float(walked[0] / 0.1) - float(commonest)) < 1e-3, "the commonest first"
    assert find_choices(recorded(mostly.cos())).shape == (1, 0)


def test_amounts_of_one_half_of_the_episodes_alone_are_no_choices() -> None:
    up, even = 0.1 * (torch.arange(1600) % 10), torch.arange(1600) // 200 % 2 == 0
    assert find_choices(recorded(up)).shape[1] == 2
    for half in (even, ~even):
        more = torch.where(half, up, 0.1 * ((3 * torch.arange(1600)) % 10))
        assert find_choices(recorded(more)).shape == (1, 0)
        some = torch.where(half & (torch.arange(1600) % 100 == 50), 0.5, 0.1 * (torch.arange(1600) % 2))
        assert find_choices(recorded(some)).shape == (1, 0), "one half has all amounts of the other"


def test_amounts_that_were_hardly_seen_are_no_choices() -> None:
    numbers = 0.1 * (torch.arange(1600) % 2)
    numbers[700:702] = torch.tensor([0.4, 0.9])
    found = find_choices(recorded(numbers))[0]
    torch.testing.assert_close(found.sort().values, torch.tensor([-0.1, 0.1]), rtol=0, atol=1e-4)


def test_of_many_numbers_each_has_fewer_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_grids, "MOST_SCORES", 8)
    assert find_choices(recorded(bouncing(), bouncing())).shape == (2, 2)
    assert find_choices(recorded(*[bouncing()] * 8)).shape == (8, 0), "one amount is not enough"
    monkeypatch.setattr(number_grids, "MOST_SCORES", 4)
    assert find_choices(recorded(bouncing(), torch.ones(1600), walk().cos(), walk().sin())).shape == (4, 0)


def test_a_number_that_is_cut_off_can_reach_its_edge() -> None:
    """Of 0, 1 and 2 the last is more than five spreads from the mean, and read as 5, which is on no whole spacing."""
    at = torch.arange(1600)
    whole = torch.where(at % 20 == 7, 5.0, torch.where(at % 5 == 0, 3.591, -0.198))
    found = find_choices(recorded(whole))[0]
    for amount in (5.0 + 0.198, -0.198 - 5.0, 3.591 + 0.198):
        assert float((found - amount).abs().min()) < 0.01


def test_a_number_changes_by_the_choice_with_the_highest_score() -> None:
    rule = Rule({"sensors": 6}, "sensors", 3, 4)
    rule.get_buffer("choices")[0] = torch.tensor([0.0, 1.5, -1.5, math.inf])
    rule.get_buffer("choices")[1] = torch.tensor([0.0, 2.0, math.inf, math.inf])
    scores = torch.tensor([[0.0, 1.0, 2.0, 9.0], [-3.0, -4.0, 5.0, 9.0], [1.0, 2.0, 3.0, 4.0]])
    changes = torch.tensor([[0.1, 0.2, 0.3]])
    assert rule.chosen(changes, scores[None]).tolist() == [torch.tensor([-1.5, 0.0, 0.3]).tolist()]
    read = torch.randn(2, 6)
    assert rule.changes(read).tolist() == [[0.0] * 3] * 2, "the first of all where nothing is learned"
    rule.bend[-1].bias[3:] = scores.flatten()
    rule.bend[-1].bias[:3] = 7.0
    assert rule.changes(read).tolist() == [[-1.5, 0.0, 7.0]] * 2
    assert has_choices(rule).tolist() == [True, True, False] and foretold_by(rule).tolist() == [True, True, False]
    plain = Rule({"sensors": 6}, "sensors", 3)
    assert "choices" not in plain.state_dict() and torch.equal(plain.chosen(changes, torch.zeros(1, 3, 0)), changes)


def test_scores_are_learned_as_those_of_classes() -> None:
    rule = Rule({"sensors": 4}, "sensors", 2, 3)
    rule.get_buffer("choices")[0] = torch.tensor([0.0, 1.0, math.inf])
    moved, scores = torch.tensor([[1.1, 0.3], [0.1, 0.0]]), torch.zeros(2, 2, 3)
    assert abs(float(wrongly_chosen(rule, scores, moved)) - math.log(2) / 2) < 1e-6, (
        "of one number in two, one choice in two"
    )
    scores[0, 0, 1] = scores[1, 0, 0] = 50.0
    assert float(wrongly_chosen(rule, scores, moved)) < 1e-6
    assert float(wrongly_chosen(rule, scores[..., :0], moved)) == 0.0


def test_what_bounces_is_exactly_where_it_should_be() -> None:
    """Beside a number that goes on a little at every frame, on no grid."""
    slow = 0.5 + 0.003 * (torch.arange(1600) % 200) * 1.0037 ** (torch.arange(1600) % 200)
    recording = recorded(bouncing(), slow)
    frames = with_choices(2, find_choices(recording).shape[1])
    assert frames.choices > 1
    rule = Rule(frames.known, NAME, 2, frames.choices)
    rule.load_state_dict(find_rule(recording, frames, seconds=math.inf, steps=300, seed=0))
    assert (
        has_choices(rule).tolist() == [True, False]
        and rule.get_buffer("grid")[1, 0] > 0
        and rule.get_buffer("left")[0] < 0.05
    )
    one = recording.episodes[-1]
    bounds = torch.full((2,), -9.0), torch.full((2,), 9.0)
    made = roll_numbers(rule, frames, one["sensors"][None, :CONTEXT], one["action"][None, :199], torch.zeros(1, 0), bounds)
    torch.testing.assert_close(made[0, :, 0], one["sensors"][CONTEXT:, 0], rtol=0, atol=1e-4)


def test_choices_are_kept_where_they_keep_numbers_closer() -> None:
    """The first number goes up by its spacing in every frame, of which the line knows a bit less; the second in every eighth, of
    which the line knows the mean, and no score tells when."""
    at, frames = torch.arange(1600) % 200, with_choices(2, 2)
    recording, rule = recorded(0.02 * at, 0.02 * at.div(8, rounding_mode="floor")), Rule(frames.known, NAME, 2, 2)
    rule.get_buffer("choices")[:] = torch.tensor([[0.1, math.inf], [0.0, 0.1]])  # in usual changes of 0.2
    rule.line.bias.copy_(torch.tensor([0.08, 0.0125]))
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    choose_choices(rule, check, recording, frames)
    assert has_choices(rule).tolist() == [True, False]
    choose_grids(rule, check, recording, frames, torch.tensor([[0.0, 0.0], [0.02, 0.02]]))
    assert rule.get_buffer("grid")[1].tolist() == [torch.tensor(0.02).item(), 0.0], "what is chosen is on its grid"


def test_numbers_that_are_better_added_to_are_not_lost_beside_choices() -> None:
    """A number that moves in 45% of the frames, one spacing up or down as another one says, with usual changes of four spacings:
    it is likeliest to stay, as the line says too, and the mean is better."""
    rng = np.random.default_rng(0)
    other, moves = (torch.from_numpy(rng.normal(size=4000)).float(), torch.from_numpy(rng.random(4000) < 0.45))
    recording = recorded((0.05 * moves * (3 * other).sin().sign()).roll(1).cumsum(0).clamp(-2, 2), other)
    frames = with_choices(2, find_choices(recording).shape[1])
    rule = find_rule(recording, frames, seconds=math.inf, steps=400, seed=0)
    assert frames.choices >= 3 and float(rule["left"][0]) < 0.2 and not (rule["choices"] < math.inf).any()


def test_a_rule_without_time_chooses_nothing() -> None:
    recording = recorded(bouncing())
    frames = with_choices(1, 2)
    for length in ({"seconds": 0.0, "steps": None}, {"seconds": math.inf, "steps": 0}):
        assert not (find_rule(recording, frames, seed=0, **length)["choices"] < math.inf).any()  # type: ignore[arg-type]


def test_rules_are_asked_whether_their_choices_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """That without a memory and that with one."""
    asked: list[bool] = []
    real = rules.choose_choices
    monkeypatch.setattr(
        rules, "choose_choices", lambda rule, *rest: asked.append(bool(has_choices(rule).any())) or real(rule, *rest)
    )
    frames = with_choices(1, 2)
    frames = replace(frames, known=frames.known | {"memory": MEMORY_WIDTH})
    find_rule(recorded(bouncing()), frames, seconds=math.inf, steps=200, seed=0)
    assert asked == [True, True]


def test_scores_of_entities_are_of_entities_alone_where_that_is_asked() -> None:
    groups = readable(with_choices(4, 3), [1], True)
    rule = Rule(with_choices(4, 3).known, "sensors", 4, 3)
    reads = torch.ones(rule.line.in_features, dtype=torch.bool)
    mask = _masks(rule, None, groups, reads)[-1][1]
    own = torch.zeros(16, dtype=torch.bool)
    own[[1, 7, 8, 9]] = True
    assert not mask[own, ENTITY_WIDTH:].any() and mask[own, :ENTITY_WIDTH].all() and mask[~own].all()


def test_errors_count_up_to_a_usual_change() -> None:
    recording, frames = recorded(5 * bouncing()), config(1)
    rule = Rule(frames.known, NAME, 1)
    rule.line.bias.fill_(40.0)
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    assert check.rolled and float(check.off(rule, recording, frames).max()) < 0.201
    assert float(replace(check, rolled=[]).off(rule, recording, frames).max()) < 0.201


def test_what_is_chosen_is_on_its_grid_where_nothing_is_rolled_out() -> None:
    recording, frames = recorded(bouncing(40), episodes=4), with_choices(1, 2)
    rule = Rule(frames.known, NAME, 1, 2)
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    grids = torch.tensor([[0.0], [0.1]])
    choose_grids(rule, check, recording, frames, grids)
    assert not check.rolled and not rule.get_buffer("grid").any()
    rule.get_buffer("choices")[0, 0] = 0.5
    choose_grids(rule, check, recording, frames, grids)
    assert torch.equal(rule.get_buffer("grid"), grids)


def test_each_number_has_the_choices_of_the_network_that_foretells_it() -> None:
    known = {"action": 2, "sensors": 4, "memory": 3}
    rule, other = (Rule(known, "sensors", 2, 2) for _ in range(2))
    rule.get_buffer("choices")[:] = torch.tensor([1.0, 2.0])
    other.get_buffer("choices")[1] = torch.tensor([3.0, 4.0])
    rule.bend[-1].bias.copy_(torch.tensor([7.0, 7.0, 0.0, 1.0, 1.0, 0.0]))
    other.recall[-1].bias.copy_(torch.tensor([7.0, 7.0, 9.0, 0.0, 0.0, 9.0]))
    both = joined(rule, other, torch.tensor([False, True]))
    assert both(torch.zeros(1, 9))[0].tolist() == [[2.0, 4.0]]
    assert joined(rule, other, torch.tensor([True, True]))(torch.zeros(1, 9))[0].tolist() == [[7.0, 4.0]]


def test_a_network_has_the_choices_of_its_config() -> None:
    network = DiT(with_choices(2, 3))
    assert network.rules[NAME].get_buffer("choices").shape == (2, 3)
    assert not hasattr(DiT(config(2)).rules[NAME], "choices")
