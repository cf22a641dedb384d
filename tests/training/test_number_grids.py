"""Numbers that are always on a grid stay on it in a rollout, where that keeps them closer to the true ones."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kinema.models.dit import DiTConfig
from kinema.models.rules import Rule
from kinema.training import rules
from kinema.training.number_grids import find_grids, spacing_of
from kinema.training.rule_examples import examples
from kinema.training.rule_rollouts import RuleCheck, choose_grids, roll_numbers
from kinema.training.rules import ENTITY_WIDTH, find_rule

CONTEXT = 4


def config(count: int) -> DiTConfig:
    known = {"action": CONTEXT * 2, "sensors": CONTEXT * count}
    relative = {"sensors": [0.2] * count}
    return DiTConfig(
        width=16, depth=1, heads=1, channels=4, context=CONTEXT, known=known, predicted={"sensors": count}, relative=relative
    )


def recorded(*columns: Tensor, episodes: int = 8) -> Any:
    """A recording, 0 of its actions taken or 1 by chance, whose numbers are these columns [episodes * frames], in spreads."""
    numbers = torch.stack(columns, -1).float().chunk(episodes)
    rng = np.random.default_rng(0)
    actions = [torch.from_numpy(np.eye(2, dtype=np.float32)[rng.integers(2, size=len(one))]) for one in numbers]
    parts = [{"sensors": x, "action": action} for x, action in zip(numbers, actions, strict=True)]
    every = torch.cat(numbers)
    return SimpleNamespace(
        episodes=parts, num_held_back=1, sensors=len(columns), entity_columns=[], action_width=2, scaled=lambda x: x,
        least=every.amin(0), most=every.amax(0),
    )  # fmt: skip


def walk(frames: int = 1600, spacing: float = 0.1, start: float = 0.03) -> Tensor:
    """Up or down by one spacing or not at all, by chance, and back in time."""
    steps = torch.from_numpy(np.random.default_rng(1).integers(-1, 2, size=frames))
    return start + spacing * (steps.cumsum(0) % 17)


def test_the_spacing_of_a_grid() -> None:
    rng = np.random.default_rng(0)
    whole = torch.from_numpy(rng.integers(-20, 20, size=500)).float()
    assert spacing_of(0.13 * whole + 0.7) == pytest.approx(0.13, rel=1e-4)
    assert spacing_of(torch.cat([0.13 * whole, torch.tensor([5.0, -5.0])])) == pytest.approx(0.13, rel=1e-4), "cut off at 5"
    assert spacing_of(torch.tensor([0.0, 1.0, 1.0])) == 1.0 and spacing_of(torch.ones(9)) == 0.0
    assert spacing_of(torch.from_numpy(rng.normal(size=500)).float()) == 0.0
    assert spacing_of(torch.cat([0.13 * whole, torch.tensor([0.05])])) == 0.0, "one number beside it"
    assert spacing_of(1e-4 * whole) == 0.0, "finer than anything that matters"


def test_grids_are_of_numbers_that_move_on_the_same_one_everywhere() -> None:
    moving, halves = walk(), walk()
    halves[300] += 0.05  # between two places, in one half of the episodes alone
    still = torch.arange(1600).div(200, rounding_mode="floor") % 2
    found = find_grids(recorded(moving, halves, still, moving.cos()))
    assert found[:, 0].tolist() == pytest.approx([0.03, 0.1], abs=1e-5) and not found[:, 1:].any()
    assert find_grids(recorded(moving, episodes=2))[1, 0] == pytest.approx(0.1, rel=1e-3), "a single one is cut into halves"


def test_rounding_to_a_grid() -> None:
    rule, bounds = Rule({"sensors": 4}, "sensors", 2), (torch.full((2,), -2.0), torch.full((2,), 2.0))
    numbers = torch.tensor([[0.26, 0.26], [-0.11, -3.0]])
    torch.testing.assert_close(
        rule.within(numbers, *bounds), torch.tensor([[0.26, 0.26], [-0.11, -2.0]]), msg="none to begin with"
    )
    rule.get_buffer("grid").copy_(torch.tensor([[0.03, 9.0], [0.1, 0.0]]))
    rounded = rule.within(numbers, *bounds)
    torch.testing.assert_close(rounded, torch.tensor([[0.23, 0.26], [-0.07, -2.0]]))
    torch.testing.assert_close(rule.within(rounded, *bounds), rounded)


def test_what_is_cut_off_stays_where_it_is_and_a_flag_that_is_hardly_ever_set_has_a_grid() -> None:
    """Of 0, 1 and 2 the last is more than five spreads from the mean, and read as 5; so is a flag that is set in a frame of 100."""
    at = torch.arange(1600)
    whole = torch.where(at % 100 == 7, 5.0, torch.where(at % 9 == 0, 3.591, -0.198))
    flag = torch.where(at % 100 == 3, 5.0, -0.1)
    recording = recorded(whole, flag)
    grids, rule = find_grids(recording), Rule({"sensors": 4}, "sensors", 2)
    torch.testing.assert_close(grids, torch.tensor([[-0.198, -0.1], [3.789, 5.1]]))
    rule.get_buffer("grid").copy_(grids)
    made = rule.within(torch.tensor([[4.9, 4.0], [3.3, 0.4]]), recording.least, recording.most)
    torch.testing.assert_close(made, torch.tensor([[5.0, 5.0], [3.591, -0.1]]))


def test_a_rule_from_before_there_were_grids_and_waves_has_none() -> None:
    known = {"action": 2, "sensors": 4}
    before = {name: x + 1 for name, x in Rule(known, "sensors", 2).state_dict().items() if name != "grid"}
    before["bend.0.weight"] = before["bend.0.weight"][:, :6]
    rule = Rule(known, "sensors", 2)
    rule.load_state_dict(before)
    assert not rule.get_buffer("grid").any() and rule.line.bias[0] == 1
    assert torch.equal(rule.bend[0].weight[:, :6], before["bend.0.weight"]) and not rule.bend[0].weight[:, 6:].any()


def test_a_rule_reads_sines_and_cosines_of_the_last_numbers() -> None:
    rule = Rule({"action": 2, "sensors": 4, "wanted": 3}, "sensors", 2)
    read = torch.arange(9.0)[None]
    waves = rule.with_waves(read)[0, 9:]
    torch.testing.assert_close(waves[:4], torch.cat([torch.tensor([2.0, 3.0]).sin(), torch.tensor([2.0, 3.0]).cos()]))
    assert len(waves) == rule.bend[0].in_features - 9 == 12


def test_a_grid_is_kept_where_it_helps_and_not_where_it_stops_what_is_slow() -> None:
    """The first number goes up by its spacing in every frame, which the rule knows but for a little; the second in every eighth, of
    which the rule knows the mean."""
    at, frames = torch.arange(1600) % 200, config(2)
    steady, slow = 0.02 * at, 0.02 * at.div(8, rounding_mode="floor")
    recording, rule = recorded(steady, slow), Rule(frames.known, "sensors", 2)
    grids = find_grids(recording)
    assert (grids[1] - 0.02).abs().max() < 1e-4
    rule.line.bias.copy_(torch.tensor([0.102, 0.0125]))  # in usual changes of 0.2
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    choose_grids(rule, check, recording, frames, grids)
    assert not rule.get_buffer("grid").any(), "of what is not foretold"
    rule.line.weight[:, 0] = 1e-9
    choose_grids(rule, check, recording, frames, grids)
    assert torch.equal(rule.get_buffer("grid")[:, 0], grids[:, 0]) and not rule.get_buffer("grid")[:, 1].any()
    one = recording.episodes[0]
    seen, bounds = one["sensors"][None, :CONTEXT], (torch.full((2,), -9.0), torch.full((2,), 9.0))
    made = roll_numbers(rule, frames, seen, one["action"][None, :99], torch.zeros(1, 0), bounds)
    assert made.shape == (1, 96, 2)
    torch.testing.assert_close(made[0, :, 0], one["sensors"][CONTEXT:100, 0], rtol=0, atol=1e-4)
    assert (made[0, :, 1] - one["sensors"][CONTEXT:100, 1]).abs().max() < 0.05
    rule.get_buffer("grid").zero_()
    assert (
        roll_numbers(rule, frames, seen, one["action"][None, :99], torch.zeros(1, 0), bounds)[0, -1, 0]
        - one["sensors"][99, 0]
    ).abs() > 0.02


def test_entities_are_foretold_by_themselves_where_that_is_better() -> None:
    """A switch that an action turns over, beside 40 numbers that are chance; and a thing that follows one of them."""
    rng = np.random.default_rng(3)
    noise = [torch.from_numpy(rng.normal(size=1600)) for _ in range(40)]
    recording = recorded(torch.zeros(1600), *noise)
    frames = replace(config(41), relative={"sensors": [0.5] * 41})
    for one in recording.episodes:
        one["sensors"][1:, 0] = one["action"][:-1, 1].cumsum(0) % 2
    recording.entity_columns = [0]
    alone, count = find_rule(recording, frames, seconds=math.inf, steps=500, seed=0), CONTEXT * 2
    of_others = torch.arange(CONTEXT * 41) % 41 != 0
    waves = torch.arange(6 * 41) % 41 != 0
    mine = alone["bend.0.weight"][:ENTITY_WIDTH]
    assert mine[:, :count].any() and not mine[:, count:][:, torch.cat([of_others, waves])].any()
    assert not alone["line.weight"][0, count:][of_others].any()
    assert (
        not alone["bend.2.weight"][:ENTITY_WIDTH, ENTITY_WIDTH:].any() and not alone["bend.6.weight"][0, ENTITY_WIDTH:].any()
    )
    assert alone["bend.2.weight"][ENTITY_WIDTH:, :ENTITY_WIDTH].any(), "others may read it"
    for one in recording.episodes:
        one["sensors"][1:, 0] = one["sensors"][:-1, 5]
    led = find_rule(recording, frames, seconds=0, steps=None, seed=0)
    assert led["line.weight"][0, count:][of_others].any() and led["left"][0] < 0.05


def test_a_rule_that_is_found_has_the_grids_of_its_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thing that goes up where an action says so, by a line that is drawn to zero a little, beside numbers on no grid."""
    monkeypatch.setattr(rules, "RIDGES", (0.05,))
    recording = recorded(torch.zeros(1600), walk().cos())
    for one in recording.episodes:
        one["sensors"][1:, 0] = 0.02 * one["action"][:-1, 1].cumsum(0)
    recording.most[0] = 9.0
    grid = find_rule(recording, config(2), seconds=0, steps=None, seed=0)["grid"]
    assert grid[:, 0].tolist() == pytest.approx([0.0, 0.02], abs=1e-4) and not grid[:, 1].any()


def test_numbers_on_a_grid_are_not_disturbed_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Tensor] = []
    monkeypatch.setattr(rules, "fit_network", lambda *_, noise, **__: given.append(noise) or 0)
    find_rule(recorded(walk(), walk().cos()), config(2), seconds=9, steps=None, seed=0)
    assert given[0].tolist() == pytest.approx([0.0, 0.1 * 0.2])


def test_parts_that_are_too_short_choose_no_grid() -> None:
    recording = recorded(0.02 * (torch.arange(40) % 10), episodes=4)
    frames = config(1)
    rule = Rule(frames.known, "sensors", 1)
    check = RuleCheck.of(examples(recording, frames)[1], recording, frames)
    assert not check.rolled
    choose_grids(rule, check, recording, frames, torch.tensor([[0.0], [0.02]]))
    assert not rule.get_buffer("grid").any()
