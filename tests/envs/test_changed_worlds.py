"""Recorded worlds changed by their entities: what rows teach it, and what a change does."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests.envs.web_worlds import lively
from tests.server.recorded_worlds import RECIPE, cart_entities

from kinema.autoencoder import load_autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.envs.recorded import RecordedWorld
from kinema.errors import InputError
from kinema.inference.dit_rollout import WANTED, predict_frame, read_numbers, wanted_width
from kinema.inference.frame_state import FrameState
from kinema.models import dit_model
from kinema.models.dit import DiT
from kinema.models.dit_model import EXACT, DiTModel
from kinema.models.hub import load, read_config, read_weights, save, weights_folder
from kinema.models.priors import PicturePrior
from kinema.models.rules import MEMORY_WIDTH, Rule
from kinema.simulation.entity_numbers import change_from_text
from kinema.training import recorded_world, world_report, world_stages
from kinema.training.checkpoint import KEYS, save_checkpoint
from kinema.training.dit_trainer import recipe_of_run
from kinema.training.found_parts import load_found
from kinema.training.recorded_world import train_world
from kinema.training.recordings import Recordings
from kinema.training.rule_examples import examples
from kinema.training.rules import find_rule, missed_by
from kinema.training.world_lesson import RecordingsLesson, WorldBatch, WorldRecipe, draw_world_batch, world_losses
from kinema.training.world_stages import config_for

BALL = {"ball": {"x": 3.0, "y": 1.25}, "the paddle": {"x": 2.0}, "game": {"score": 2.0}}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changed") / "cart"
    record("CartPole-v1", folder, episodes_wanted=4, size=(32, 48), entities=cart_entities)
    return folder


@pytest.fixture(scope="module")
def world(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_world(recorded, out=tmp_path_factory.mktemp("run"), steps=2, recipe=RECIPE)


@pytest.fixture(scope="module")
def batch(recorded: Path) -> WorldBatch:
    """One in which some rows are told what is asked for, and of some others the numbers are hidden."""
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    recipe = replace(RECIPE, batch=12, wanted_share=0.4, hidden_share=0.3, numbers_share=0.0)
    return draw_world_batch(recordings, recipe, 0, torch.device("cpu"))


def test_rows_tell_the_entities_of_a_frame_from_elsewhere(batch: WorldBatch) -> None:
    assert batch.wanted is not None and batch.wanted.shape[-1] == wanted_width(2)
    told, hidden = batch.wanted[:, :, -2] > 0, batch.wanted[:, :, -1] > 0
    rows, blind, plain = (x[:, 0].nonzero()[:, 0].tolist() for x in (told, hidden, ~told & ~hidden))
    assert rows and blind and plain and not (told & hidden).any()
    given = batch.given(batch.level)
    assert torch.equal(given.vectors[WANTED], batch.wanted)
    assert torch.equal(batch.wanted[rows][..., :2], batch.targets["sensors"][rows][..., 4:]), "the last two are entities"
    assert not batch.wanted[plain].any() and not batch.wanted[blind][..., :-2].any()
    follows = batch.tracks["video"][:, batch.before :]
    assert torch.equal(batch.targets["video"][plain + blind], follows[plain + blind])
    assert not torch.equal(batch.targets["video"][rows], follows[rows])
    assert not batch.tracks["action"][rows].any() and batch.tracks["action"][plain].any()
    assert not batch.tracks["sensors"][blind].any() and batch.tracks["sensors"][rows].any()
    whole = batch.past[:, batch.before - 1 : -1] + batch.spread * batch.clean()
    torch.testing.assert_close(whole, batch.targets["video"], msg="what is asked for is the change from the frame shown")


def test_much_that_changes_where_something_is_told_weighs_no_more_than_what_stands_still(batch: WorldBatch) -> None:
    assert batch.wanted is not None
    told = batch.wanted[:, 0, -2] > 0
    assert batch.weight[told].unique().numel() == 1 and batch.weight[~told].unique().numel() == 2
    assert batch.weight[told].unique() == batch.weight[~told].min()


def test_tokens_are_shown_where_a_few_numbers_with_edges_and_told_places_point(
    world: Path, recorded: Path, tmp_path: Path
) -> None:
    assert read_config(world).network.pointing.keys() == {WANTED}, "the cart's actions are two buttons"
    ((column, least, most),) = read_config(world).network.pointing[WANTED]
    assert column == 0 and -5 <= least < 0 < most <= 5, "the cart's x, and not the pole's angle"
    assert read_config(world).network.pointing_if == {WANTED: wanted_width(2) - 2}, "where it is told that they are given"
    assert read_config(world).network.hidden_if == {WANTED: wanted_width(2) - 1}
    assert (least, most) == (round(least, 2), round(most, 2)), "the same on every machine"
    record("Pendulum-v1", tmp_path / "pendulum", episodes_wanted=2, most=8, size=(32, 32))
    data = Dataset.open(tmp_path / "pendulum")
    recordings = Recordings(data, load_autoencoder(weights_folder() / "codec-8x8"), None)
    config = config_for(data, recordings, RECIPE, "x").network
    assert config.pointing == {"action": [(RECIPE.context - 1, -1.0, 1.0)]}, "the last action"
    far = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    far.most = np.full_like(far.most, 1e9)
    ((_, _, most),) = config_for(Dataset.open(recorded), far, RECIPE, "x").network.pointing[WANTED]
    assert most == 5.0, "numbers are read up to five spreads from their mean"
    far.least, far.most = far.mean - 0.001 * far.std, far.mean + 0.001 * far.std
    assert not config_for(Dataset.open(recorded), far, RECIPE, "x").network.pointing[WANTED], "one place, but for rounding"
    for pointless in (replace(RECIPE, points=False), replace(RECIPE, **WorldRecipe.before)):
        assert not config_for(data, recordings, pointless, "x").network.pointing


def test_what_happens_is_not_learned_from_frames_that_do_not_follow(batch: WorldBatch) -> None:
    assert batch.wanted is not None
    jumps = batch.wanted[:, 0, -2] > 0
    answers = {name: x.clone() for name, x in batch.targets.items()}
    answers["video"] = batch.clean()
    true = world_losses(lambda given: answers, batch)
    assert all(float(x) < 1e-8 for x in true.values())
    answers["reward"][jumps] += 1
    assert torch.equal(world_losses(lambda given: answers, batch)["reward"], true["reward"])
    answers["reward"][~jumps] += 1
    assert world_losses(lambda given: answers, batch)["reward"] == pytest.approx(1.0)


def test_frames_that_follow_are_painted_with_their_entities_given_too(recorded: Path) -> None:
    """As a rollout does: it predicts the numbers, then the picture with them given."""
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    recipe = replace(RECIPE, batch=12, wanted_share=0.2, hidden_share=0.3, numbers_share=0.6)
    batch = draw_world_batch(recordings, recipe, 0, torch.device("cpu"))
    assert batch.wanted is not None
    told, follows = batch.wanted[..., -2] > 0, batch.tracks["action"].flatten(1).any(1)
    blind = batch.wanted[:, 0, -1] > 0
    assert told[~follows].all() and 0.3 < told[follows & ~blind].float().mean() < 0.9
    assert blind.any() and not told[blind].any(), "numbers are to be read off pictures there"
    assert torch.equal(batch.wanted[told][:, :2], batch.targets["sensors"][told][:, 4:])
    assert torch.equal(batch.targets["video"][follows], batch.tracks["video"][follows, batch.before :])
    answers = batch.targets | {"video": batch.clean()}
    wrong = answers | {"sensors": answers["sensors"] + told[..., None]}
    assert float(world_losses(lambda given: wrong, batch)["sensors"]) == 0, "numbers that are given teach nothing"
    wrong = answers | {"sensors": answers["sensors"] + ~told[..., None]}
    assert float(world_losses(lambda given: wrong, batch)["sensors"]) > 0
    still = draw_world_batch(recordings, recipe, 0, torch.device("cpu"), held_back=True)
    assert still.wanted is not None and not still.wanted.any()
    with pytest.raises(InputError, match=r"numbers_share 1: expected a share from 0 to below 1"):
        replace(recipe, numbers_share=1)


def test_errors_of_numbers_count_in_what_they_usually_change_by(recorded: Path) -> None:
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    every = [one["sensors"] for one in recordings.episodes]
    square = torch.cat([one.diff(dim=0) for one in every]).square().mean(0)
    torch.testing.assert_close(recordings.changes, square.sqrt().clamp_min(0.05))
    recipe = replace(RECIPE, batch=12, wanted_share=0.0, numbers_share=0.0)
    batch = draw_world_batch(recordings, recipe, 0, torch.device("cpu"))
    torch.testing.assert_close(batch.number_weight, (0.05 * recordings.changes**-2).expand(12, RECIPE.frames, -1))
    plain = draw_world_batch(recordings, replace(recipe, relative=False), 0, torch.device("cpu"))
    assert plain.number_weight.unique().tolist() == pytest.approx([0.05])


@pytest.mark.parametrize("better", [True, False])
def test_a_world_predicts_numbers_first_where_that_is_better(
    world: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch, better: bool
) -> None:
    model, roll = lively(world), world_report.roll
    model.config = replace(model.config, numbers_first=True)
    recordings = Recordings(Dataset.open(recorded), model.autoencoder, None)

    def right_in_one_order(one: DiTModel, tracks: dict[str, torch.Tensor], known: int, *rest: Any) -> list[FrameState]:
        states = roll(one, tracks, known, *rest)
        latents = tracks["video"][:, -1] + (0 if one.config.numbers_first == better else 0.3)
        return [*states[:-1], replace(states[-1], tracks=states[-1].tracks | {"video": latents})]

    monkeypatch.setattr(world_report, "roll", right_in_one_order)
    chosen, errors = world_report.in_better_order(model, recordings)
    assert chosen.config.numbers_first is better and chosen.network is model.network
    assert (errors["seen_first"] < errors["seen_together"]) is better and min(errors.values()) < 0.01
    model.config = replace(model.config, numbers_first=False)
    assert world_report.in_better_order(model, recordings) == (model, {})


def test_where_nothing_changed_a_world_predicts_numbers_and_picture_at_once(
    world: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively(world)
    model.config = replace(model.config, numbers_first=True)
    monkeypatch.setattr(world_report, "changed_error", lambda *_: float("nan"))
    chosen, errors = world_report.in_better_order(model, Recordings(Dataset.open(recorded), model.autoencoder, None))
    assert not chosen.config.numbers_first and not errors


def test_what_is_exact_stays_so_wherever_a_model_is_stored_and_loaded(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dit_model, "fast_dtype", lambda device: torch.bfloat16)
    config, weights = read_config(world), read_weights(world)
    exact = {name: x for name, x in weights.items() if name.startswith(EXACT)}
    assert {name.partition(".")[0] for name in exact} == {"rules", "pointing", "prior"}
    for number, x in enumerate(exact.values()):
        x += (1 + number) / 3
    for int8 in (False, True):
        folder = tmp_path / f"{int8}"
        save(folder, config, weights, "# x\n", int8=int8)
        held = load(folder, device="cpu").network.state_dict()
        assert held["frame_token"].dtype == torch.bfloat16
        assert all(torch.equal(held[name], x) and x.dtype == torch.float32 for name, x in exact.items())


def test_a_rule_that_is_linear_is_known_before_training(recorded: Path) -> None:
    """CartPole's places follow from its speeds; of the other numbers, angles and speeds, nearly all is linear."""
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x").network
    assert config.relative == {"sensors": [round(x, 4) for x in recordings.changes.tolist()]}
    rule = find_rule(recordings, config, seconds=0, steps=None, seed=0)
    network = DiT(config)
    RecordingsLesson(recordings, RECIPE, rule).begin(network)
    for parameter in network.heads.parameters():
        torch.nn.init.zeros_(parameter)
    batch = draw_world_batch(recordings, replace(RECIPE, numbers_share=0.0), 0, torch.device("cpu"), held_back=True)
    last = batch.tracks["sensors"][:, batch.before - 1 : -1]
    made, changes = network(batch.given(batch.level))["sensors"], torch.tensor(config.relative["sensors"])
    missed, still = (((x - batch.targets["sensors"]) / changes).square().mean() for x in (made, last))
    assert missed < 0.02 * still
    known = {"action": 400, "sensors": 1200}
    short = [{name: x[:9] for name, x in one.items()} for one in recordings.episodes]
    recordings.episodes = short
    few = find_rule(recordings, config, seconds=0, steps=None, seed=0)
    assert few["line.weight"].any(), "of some frames there is a line"
    long = replace(config, context=200, known=known, pointing={}, pointing_if={}, hidden_if={}, prior={})
    assert not find_rule(recordings, long, seconds=0, steps=None, seed=0)["line.weight"].any(), "no episode is that long"


def made_up(recordings: Recordings, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    """Put walks by chance in the place of the numbers, the first of which changes by the others and the action before."""
    rng = np.random.default_rng(0)
    for one in recordings.episodes:
        x = torch.from_numpy(rng.normal(size=(400, 6)).cumsum(0)).float() / 10
        action = torch.from_numpy(np.eye(2)[rng.integers(2, size=400)]).float()
        x[1:, 0] = x[0, 0] + change(x[:-1], action[:-1]).cumsum(0)
        one["sensors"], one["action"] = x, action


def test_a_rule_is_found_of_numbers_that_have_one_and_chance_is_left_alone(recorded: Path) -> None:
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x").network
    config = replace(config, relative={"sensors": [0.1] * 6})
    made_up(recordings, lambda x, action: 0.1 * action[:, 0])
    rule = find_rule(recordings, config, seconds=0, steps=None, seed=0)
    assert rule["line.weight"][0].abs().max() > 0.1 and not rule["line.weight"][1:].any()
    assert not rule["bend.6.weight"].any(), "a line alone"
    assert rule["left"][0] < 0.01 and (rule["left"][1:] > 0.5).all(), "what is known leaves nothing to add"
    for one in recordings.episodes:
        one["sensors"][:, 5] = 0.0
    assert find_rule(recordings, config, seconds=0, steps=None, seed=0)["left"][5] == 1, "what did not change may yet"
    made_up(recordings, lambda x, action: 0.2 * (action[:, 0] * (x[:, 1] > 0)))  # no line says so
    bent = find_rule(recordings, config, seconds=math.inf, steps=400, seed=0)
    assert bent["bend.6.weight"][0].any() and not bent["bend.6.weight"][1:].any()
    network = Rule(config.known, "sensors", 6)
    missed = list[float]()
    for weights in (bent, bent | {"bend.6.weight": torch.zeros_like(bent["bend.6.weight"])}):
        network.load_state_dict(weights)
        read, moved = examples(recordings, config)[1].read(config)
        missed.append(float(missed_by(network(read)[0] - moved)[0]))
    assert missed[0] < 0.6 * missed[1]
    recorded_columns = sum(config.known[name] for name in ("action", "sensors"))
    reads = sum(config.known.values())
    assert bent["bend.0.weight"][:, :recorded_columns].any() and bent["bend.0.weight"][:, reads:].any(), "waves at the end"
    assert not bent["bend.0.weight"][:, recorded_columns:reads].any()
    again = find_rule(recordings, config, seconds=math.inf, steps=400, seed=0)
    assert all(torch.equal(x, again[name]) for name, x in bent.items())


def test_a_run_keeps_what_it_found_and_takes_it_when_it_goes_on(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(recorded_world, "DiTTrainer", ended)
        with pytest.raises(KeyboardInterrupt):
            train_world(recorded, out=tmp_path / "run", steps=2, recipe=RECIPE)
    with monkeypatch.context() as patched:
        for name in ("find_rule", "find_prior"):
            patched.setattr(world_stages, name, ended)
        world = train_world(recorded, out=tmp_path / "run", resume=True, recipe=RECIPE)
    network, weights = read_config(world).network, read_weights(world)
    shares = {"rules": RECIPE.rule_share, "prior": RECIPE.prior_share}
    sought = {"seconds": "inf", "seed": str(RECIPE.seed)}
    parts = {"rules": Rule(network.known, "sensors", 6), "prior": PicturePrior(network)}
    for (name, part), begin in zip(parts.items(), ("rules.sensors.", "prior."), strict=True):
        path, expected = world.parent / f"{name}.safetensors", part.state_dict()
        with safe_open(path, "pt") as file:
            made_of = file.metadata()
        assert sought.items() <= made_of.items() and made_of["steps"] == str(RECIPE.found_length(shares[name], None, 2)[1])
        found = load_found(path, expected, made_of)
        assert found is not None and any(x.any() for x in found.values())
        for key, x in found.items():
            assert torch.equal(weights[f"{begin}{key}"], x), "training leaves it as it is"
        assert load_found(path, expected | {next(iter(expected)): torch.zeros(3)}, made_of) is None, (
            "it is of another network"
        )
        for key in made_of:
            assert load_found(path, expected, made_of | {key: "other"}) is None
        assert load_found(path.with_name("other"), expected, made_of) is None
        path.write_bytes(b"damaged")
        assert load_found(path, expected, made_of) is None
    assert made_of.keys() - sought.keys() == {"steps", "spread", "autoencoder", "places"}, "what a prior is made of"


def test_a_run_that_goes_on_keeps_what_was_found_out_from_the_recording(recorded: Path) -> None:
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    now = config_for(Dataset.open(recorded), recordings, RECIPE, "x")
    before = {"hidden_if": {}, "pointing": {}, "pointing_if": {}, "bodies": {}, "prior": {}}
    began = replace(now.network, relative={"sensors": [0.7] * 6}, places=False, **before)
    again = world_stages.as_begun(now, began).network
    assert again.relative == began.relative and not any(getattr(again, name) for name in before)
    assert again.places == now.network.places, "what an option says is not hidden"
    assert again.known == now.network.known and again.known["memory"] == MEMORY_WIDTH
    known = {name: count for name, count in now.network.known.items() if name != "memory"}
    assert world_stages.as_begun(now, replace(began, known=known)).network.known == known, "it began without a memory"


def test_a_frame_is_asked_for_with_the_memory_of_the_one_before(recorded: Path) -> None:
    recordings = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    for one in recordings.episodes:
        one["memory"] = torch.arange(1.0, len(one["reward"]) + 1)[:, None].expand(-1, 2)
    recipe = replace(RECIPE, batch=12, wanted_share=0.2, hidden_share=0.3, numbers_share=0.0)
    batch = draw_world_batch(recordings, recipe, 0, torch.device("cpu"))
    given, k = batch.given(batch.level).vectors["memory"], batch.before
    assert given.shape == (12, recipe.frames, 2) and "memory" not in batch.targets and batch.wanted is not None
    hidden = batch.wanted[:, 0, -1] > 0
    assert hidden.any() and not given[hidden].any() and given[~hidden].all()
    numbers = batch.tracks["sensors"][~hidden]
    for row, track in zip(given[~hidden], numbers, strict=True):
        last = int(row[-1, 0])
        assert row[:, 0].tolist() == [max(last - i, 1) for i in reversed(range(recipe.frames))], (
            "the first frame is repeated"
        )
        places = [one["sensors"][last - 1] for one in recordings.episodes if len(one["reward"]) >= last]
        assert any(torch.equal(place.float(), track[k + recipe.frames - 2]) for place in places), "of the last known frame"


def test_how_long_rules_and_priors_are_looked_for() -> None:
    recipe = WorldRecipe()
    assert recipe.found_length(0.05, 10, None) == (30.0, None) and recipe.found_length(0.05, 600, None) == (180.0, None)
    assert recipe.found_length(0.05, None, 40) == (math.inf, 200) and recipe.found_length(0, 10, 40) == (0, 0)
    assert not any(WorldRecipe.before[name] for name in ("rule_share", "prior_share"))
    with pytest.raises(InputError, match=r"autoencoder_share, rule_share and prior_share .*: expected less than 1 in all"):
        replace(recipe, rule_share=0.5, prior_share=0.5)
    for wrong in ({"rule_share": -0.1}, {"prior_share": 1.0}, {"numbers_weight": math.nan}, {"numbers_weight": -1.0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} .*: expected a"):
            replace(recipe, **wrong)


def test_a_rollout_paints_a_frame_with_the_numbers_it_predicted(world: Path) -> None:
    model = lively(world)
    model.config = replace(model.config, numbers_first=True)
    assert model.config.first_columns == [4, 5]
    state = FrameState(
        time_s=0.0,
        tracks={
            "video": torch.randn(1, model.config.network.channels, 4, 6),
            "action": torch.zeros(1, 2),
            "sensors": torch.zeros(1, 6),
            "memory": torch.zeros(1, MEMORY_WIDTH),
        },
    )
    grid = model.network.get_submodule("rules.sensors").get_buffer("grid").zero_()
    made = predict_frame(model, [state], fps=model.config.fps, seeds=[1])
    model.config = replace(model.config, numbers_first=False)
    plain = predict_frame(model, [state], fps=model.config.fps, seeds=[1])
    for name in ("sensors", "reward", "terminated", "memory"):
        assert torch.equal(made.tracks[name], plain.tracks[name]), "what happens is known before it is painted"
    assert not torch.equal(made.tracks["video"], plain.tracks["video"])
    assert made.kv is not None and plain.kv is not None and not torch.equal(made.kv[0][0], plain.kv[0][0])
    given: list[torch.Tensor] = []
    model.network.register_forward_pre_hook(lambda _, args: given.append(args[0].vectors[WANTED][:, 0]))
    model.config = replace(model.config, numbers_first=True)
    predict_frame(model, [state], fps=model.config.fps, seeds=[1])
    nothing, told = given
    about, limit = copy.deepcopy(model.config.world), float(made.tracks["sensors"][0, 4]) - 0.5
    assert about is not None
    about["sensors"]["most"][4] = about["sensors"]["mean"][4] + limit * about["sensors"]["std"][4]
    about["sensors"]["least"][4] = about["sensors"]["most"][4] - 1
    bounded = DiTModel(replace(model.config, world=about), model.network, model.autoencoder)
    held = predict_frame(bounded, [state], fps=model.config.fps, seeds=[1]).tracks["sensors"][0]
    assert held[4] == pytest.approx(limit, abs=1e-4) and torch.equal(held[5], made.tracks["sensors"][0, 5])
    assert torch.equal(given[3][0, 0], held[4]), "numbers stay where the recording's were"
    assert not nothing.any() and torch.equal(told[:, :2], made.tracks["sensors"][:, 4:])
    grid[:, 5] = torch.tensor([0.05, 0.2])
    rounded = predict_frame(model, [state], fps=model.config.fps, seeds=[1]).tracks["sensors"][0]
    steps, before = float((rounded[5] - 0.05) / 0.2), made.tracks["sensors"][0]
    assert steps == pytest.approx(round(steps), abs=1e-4) and 0 < abs(rounded[5] - before[5]) <= 0.1001
    assert torch.equal(rounded[:5], before[:5]) and torch.equal(given[-1][0, 1], rounded[5]), "it is painted where it is"


def test_a_rollout_passes_on_what_its_rule_remembers(world: Path) -> None:
    model = lively(world)
    rolled = RecordedWorld(model, seed=0)
    rolled.go(1)
    states = rolled._frame_states
    before, after = states[-2].tracks["memory"], states[-1].tracks["memory"]
    recent = states[-1 - model.config.network.context : -1]
    known = {name: torch.cat([one.tracks[name] for one in recent], -1) for name in ("action", "sensors")}
    given = {name: torch.zeros(1, count) for name, count in model.config.network.known.items()}
    read = model.network.numbers(given | known | {"memory": before})
    rule = model.network.get_submodule("rules.sensors")
    assert isinstance(rule, Rule)
    torch.testing.assert_close(after, rule.remember(read))
    assert not torch.equal(rule(read)[0], rule(model.network.numbers(given | known | {"memory": before + 1.0}))[0])


def test_a_change_holds_and_the_world_goes_on_from_it(world: Path, tmp_path: Path) -> None:
    model = lively(world)
    changed, plain = RecordedWorld(model, seed=3), RecordedWorld(model, seed=3)
    for one in (changed, plain):
        one.go(1)
    other, before, x = changed.branch(), changed.frame, changed.entities["cart"]["x"]
    angle = changed.entities["pole"]["angle"]
    assert changed.edit("set the cart's x to 0.15") == f"cart.x {x:.4g} -> 0.15"
    assert changed.entities["cart"]["x"] == pytest.approx(0.15, abs=1e-5)
    assert changed.entities["pole"]["angle"] == pytest.approx(angle, abs=1e-5), "what is not named stays"
    assert not np.array_equal(changed.frame, before) and np.array_equal(other.frame, before)
    again = other.branch()
    again.edit("set the cart's x to 0.15")
    assert np.array_equal(again.frame, changed.frame)
    assert changed.time_s == plain.time_s and changed.past_frames == 0
    path = changed.save(tmp_path / "w.world")
    opened = RecordedWorld.open(path, model=model)
    assert np.array_equal(opened.go(0).frame, changed.go(0).frame)
    assert not np.array_equal(changed.frame, plain.go(0).frame)
    assert np.array_equal(other.go(0).frame, plain.frame), "a branch from before knows nothing of it"


def test_earlier_frames_are_shifted_alike_so_that_what_moves_goes_on_moving(world: Path) -> None:
    one = RecordedWorld(lively(world), seed=3)
    for action in (1, 1, 0):
        one.go(action)
    frames = one.model.config.network.context
    xs = [float(state.tracks["sensors"][0, 4]) for state in one._frame_states[-frames:]]
    one.edit("set cart.x to 0.15")
    after = [float(state.tracks["sensors"][0, 4]) for state in one._frame_states]
    assert len(after) == frames
    np.testing.assert_allclose(np.diff(after), np.diff(xs), atol=1e-4)


def test_what_cannot_be_changed_is_said_in_one_line(world: Path) -> None:
    model = lively(world)
    one = RecordedWorld(model, seed=3)
    before = one.frame
    for text, told in (
        ("set the cart's x to 1e9", "is far from all that was recorded; expected -"), ("set the cart's z to 1", "cart has no 'z'"),
        ("set the dog's x to 1", "there is no 'dog'; expected one of cart, pole"),
        ("jump", "not understood; say: set X's FIELD to N"),
        ("move the cart to 1 2", "was not recorded with x and y; it has x"), ("set the cart's x to nan", "not understood"),
    ):  # fmt: skip
        with pytest.raises(InputError) as refused:
            one.edit(text)
        assert told in str(refused.value) and "\n" not in str(refused.value), refused.value
    assert np.array_equal(one.frame, before)
    scales = (model.config.world or {})["sensors"]
    column = scales["names"].index("cart.x")
    span, most = scales["std"][column], scales["most"][column]
    one.edit(f"set the cart's x to {most + 0.4 * span:.6f}")
    with pytest.raises(InputError, match="is far from all that was recorded"):
        one.edit(f"set the cart's x to {most + 0.6 * span:.6f}")
    scales["mean"][column], scales["std"][column] = 0.1, float(np.float32(1e-3))
    scales["least"][column] = scales["most"][column] = 0.1
    with pytest.raises(InputError, match=r"^cart\.x was always 0\.1 in the recording, so nothing else has been learned$"):
        one.edit("set the cart's x to 0.2")
    known = {name: numbers for name, numbers in model.config.network.known.items() if name != WANTED}
    model.config = replace(
        model.config, network=replace(model.config.network, known=known, pointing={}, pointing_if={}, hidden_if={}, prior={})
    )
    with pytest.raises(InputError, match="train it again"):
        one.edit("set the cart's x to 0.2")


def test_numbers_are_read_off_pictures_alone(world: Path) -> None:
    model = lively(world)
    one = RecordedWorld(model, seed=3)
    latents = one._frame_states[-1].tracks["video"].float()
    read = read_numbers(model, torch.cat([latents, latents + 1]))
    torch.testing.assert_close(read[:1], read_numbers(model, latents))
    assert read.shape == (2, 6) and (read[0] - read[1]).abs().max() > 0.01


def test_a_run_from_before_goes_on_as_it_was(tmp_path: Path) -> None:
    recipe = {name: value for name, value in vars(RECIPE).items() if name not in WorldRecipe.before}
    save_checkpoint(tmp_path, dict.fromkeys(KEYS, 0) | {"recipe": recipe})
    again, now = recipe_of_run(WorldRecipe, tmp_path), WorldRecipe()
    assert all(getattr(again, name) == value for name, value in WorldRecipe.before.items())
    assert not any(getattr(now, name) == value for name, value in WorldRecipe.before.items())


def test_changes_in_words() -> None:
    for text in ("set the ball's x to 4.5", "Set ball.x to 4.5.", "set ball x = 4.5"):
        assert change_from_text(text, BALL) == {"ball.x": 4.5}
    assert change_from_text("move the ball to -1 .5", BALL) == {"ball.x": -1.0, "ball.y": 0.5}
    assert change_from_text("move the ball by (1, -1e0)", BALL) == {"ball.x": 4.0, "ball.y": 0.25}
    assert change_from_text("set the paddle's x to 3", BALL) == {"the paddle.x": 3.0}
