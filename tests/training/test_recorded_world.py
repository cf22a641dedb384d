"""World models of recordings: what a batch shows, resuming, and stepping into the result."""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from kinema.autoencoder import Autoencoder, load_autoencoder
from kinema.cli.main import main
from kinema.cli.play import Play, begin
from kinema.datasets.folder_lock import locked
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.envs.recorded import RecordedEnv, RecordedVectorEnv, RecordedWorld, recorded_model
from kinema.errors import DivergedError, InputError, MediaError, ModelError, OutputError
from kinema.inference.dit_rollout import predict_frame
from kinema.inference.rollout import split_frames
from kinema.models.dit_model import DiTModel
from kinema.models.hub import load, read_config, weights_folder
from kinema.models.rules import MEMORY
from kinema.simulation.checkpoint import packed
from kinema.simulation.world import World
from kinema.training import checkpoint, track_files
from kinema.training import recordings as recordings_module
from kinema.training.compiling import can_compile
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.parallel import Share
from kinema.training.recorded_world import train_world
from kinema.training.recordings import Recordings, mean_and_std, reward_unit
from kinema.training.world_lesson import (
    HELD_OUT_BATCHES,
    HELD_OUT_ROWS,
    RecordingsLesson,
    WorldRecipe,
    draw_world_batch,
    with_own_frames,
)
from kinema.training.world_report import LEAST_ENDS, Rollouts, evaluate, figure_in_words, place_errors, step_to_ends
from kinema.training.world_stages import config_for

RECIPE = WorldRecipe(compile=False, frames=4, batch=2, size="nano", time_every=2, context=2)
PLAIN = replace(RECIPE, autoencoder_share=0.0)
"""Without the training of an autoencoder, which takes longer than all else."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "cart"
    record("CartPole-v1", folder, episodes_wanted=4, size=(32, 48))
    return folder


@pytest.fixture(scope="module")
def world(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_world(recorded, out=tmp_path_factory.mktemp("run"), steps=4, recipe=RECIPE)


@pytest.fixture(scope="module")
def recordings(recorded: Path) -> Recordings:
    return Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)


def trainer_of(recordings: Recordings, recorded: Path, out: Path, **length: Any) -> DiTTrainer:
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x")
    return DiTTrainer(RECIPE, config, RecordingsLesson(recordings, RECIPE), out, **(length or {"steps": 4}))


def test_a_batch_shows_each_frame_the_frames_and_actions_before_it(recordings: Recordings) -> None:
    part = draw_world_batch(recordings, RECIPE, 3, torch.device("cpu"))
    given, k = part.given(part.level), RECIPE.context
    assert given.context is not None
    for t in range(RECIPE.frames):
        assert torch.equal(given.context[:, t], part.past[:, t : t + k])
        assert torch.equal(given.vectors["action"][:, t], part.tracks["action"][:, t : t + k].flatten(1))
    assert (part.past - part.tracks["video"]).abs().max() < 10 * RECIPE.noise
    whole = part.past[:, k - 1 : -1] + RECIPE.spread * part.clean()
    torch.testing.assert_close(
        whole, part.tracks["video"][:, k:], msg="what is asked for is the change from the frame shown"
    )
    again = draw_world_batch(recordings, RECIPE, 3, torch.device("cpu"))
    assert torch.equal(again.past, part.past) and torch.equal(again.noise, part.noise)


def test_before_an_episode_its_first_frame_stands_without_an_action(recordings: Recordings) -> None:
    row = recordings._window(0, -2, 5)
    first = recordings.episodes[0]
    assert torch.equal(row["video"][0], first["video"][0]) and torch.equal(row["video"][1], first["video"][0])
    assert (row["action"][:2] == 0).all() and torch.equal(row["action"][2:], first["action"][:3])


def test_a_past_of_its_own_is_what_the_network_made_and_what_is_asked_for_stays_true(recordings: Recordings) -> None:
    part = draw_world_batch(recordings, RECIPE, 1, torch.device("cpu"))
    made = torch.full_like(part.clean(), 0.5)
    own = with_own_frames(lambda given: {"video": made}, part, 1)
    k = part.before
    torch.testing.assert_close(own.past[:, k:], part.past[:, k - 1 : -1] + 0.5 * RECIPE.spread)
    assert torch.equal(own.past[:, :k], part.past[:, :k]) and own.tracks is part.tracks
    torch.testing.assert_close(own.past[:, k - 1 : -1] + RECIPE.spread * own.clean(), part.targets["video"])


def test_what_is_learned_is_what_a_rollout_asks(recordings: Recordings, recorded: Path, tmp_path: Path) -> None:
    """For the first frame of a stretch: the answer in a batch, and that of a rollout for the same past and the same noise."""
    trainer = trainer_of(recordings, recorded, tmp_path)
    torch.nn.init.normal_(trainer.model.modulation.weight, std=0.05)
    trainer.optimizer.average.restart(trainer.model)
    model = trainer.finished(recordings.autoencoder)
    model.network.float()
    model.dtype = torch.float32
    part = draw_world_batch(recordings, RECIPE, 0, torch.device("cpu"))
    part = replace(part, past=part.tracks["video"])
    with torch.inference_mode():
        taught = model.network(part.given(torch.ones_like(part.level)))
    first = {name: x[:, : RECIPE.context] for name, x in part.tracks.items()}
    states = [replace(state, acted=True) for state in split_frames(first, 0.0, recordings.fps)]
    generator = torch.Generator().manual_seed(3)
    made = predict_frame(model, states, fps=recordings.fps, seeds=generator)
    noise = torch.randn(first["video"][:, 0].shape, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        same = model.network(replace(part, noise=noise[:, None].expand_as(part.noise)).given(torch.ones_like(part.level)))
    expected = first["video"][:, -1] + RECIPE.spread * same["video"][:, 0]
    torch.testing.assert_close(made.tracks["video"], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made.tracks["reward"], same["reward"][:, 0], atol=1e-4, rtol=1e-4)
    assert (taught["video"][:, 0] - same["video"][:, 0]).abs().max() > 1e-4, "noise matters"


def test_termination_is_judged_by_auroc_and_only_where_there_are_ends(
    world: Path, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of right frames would be near 1 for a world in which nothing ever ends."""
    assert "ends_told" not in read_config(world).trained["figures"]
    model = recorded_model(world)
    drawn = recordings.sample_windows
    ended = 0

    def with_ends(*args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        tracks = drawn(*args, **kwargs)  # type: ignore[arg-type]
        tracks["terminated"] = torch.full_like(tracks["terminated"], -1.0)
        tracks["terminated"][:ended, -1] = 1.0
        return tracks

    monkeypatch.setattr(recordings, "sample_windows", with_ends)
    for ended in (0, LEAST_ENDS - 2, LEAST_ENDS - 1):
        figures, _ = evaluate(model, recordings, count=8)
        assert figures["ends"] == ended + 1, "those of the stretches, and that of the one episode which is held back"
        assert ("ends_auroc" in figures) == (ended == LEAST_ENDS - 1)
    assert 0.0 <= figures["ends_auroc"] <= 1.0


def test_rewards_and_ends_are_judged_where_episodes_end(world: Path, recordings: Recordings) -> None:
    """Each held-back episode's end is among what is stepped, once, and nothing of the others."""
    model, every = recorded_model(world), copy.copy(recordings)
    every.num_held_back = len(recordings.episodes)
    events = step_to_ends(model, every)
    lengths = sorted(len(one["reward"]) for one in recordings.episodes)
    ahead = min(16, lengths[len(lengths) // 2] - 1)
    kept = [one for one in recordings.episodes if len(one["reward"]) > ahead]
    assert len(events.ended) == ahead * len(kept) and int(events.ended.sum()) == len(kept) >= 2
    assert events.reward.shape == events.end.shape == events.true_reward.shape == events.ended.shape
    again = step_to_ends(model, every)
    assert torch.equal(again.end, events.end) and torch.equal(again.true_reward, events.true_reward)
    for one in (alone := copy.copy(recordings)).episodes:
        assert float(one["terminated"][-1]) > 0
    assert int(step_to_ends(model, alone).ended.sum()) == 1, "one of four is held back"


def test_how_far_a_place_is_off_is_a_distance_in_the_entity_s_own_units(world: Path) -> None:
    config = recorded_model(world).config
    names = ["speed", "ball.x", "ball.y", "wall.x", "wall.y", "agent.x", "game.score"]
    spread = [1.0, 2.0, 4.0, 1.0, 1.0, 1.0, 1.0]
    config = replace(config, world={**(config.world or {}), "sensors": {"names": names, "std": spread}})
    truth = torch.zeros(2, 7, 7)
    truth[:, :, 1], truth[:, :, 5] = torch.arange(7.0), torch.arange(7.0)  # the ball goes 2 a frame; the agent has x alone
    made = truth[:, 2:].clone()
    made[:, 3, 2] += 1.0  # the ball is 4 too low after 4 frames
    states = [SimpleNamespace(tracks={"sensors": made[:, t]}) for t in range(5)]
    picture = np.zeros((2, 5, 8, 8, 3), np.uint8)
    rolled = Rollouts(
        known=2, truth=picture, made=picture, astray=picture, last=picture[:, 0], tracks={"sensors": truth},
        states=states, text=None,  # type: ignore[arg-type]
    )  # fmt: skip
    assert place_errors(config, rolled) == {
        "ball_off_1": 0.0, "ball_copied_off_1": 2.0, "ball_off_4": 4.0, "ball_copied_off_4": 8.0,
    }  # fmt: skip


def test_blocks_of_a_world_add_what_they_make_from_the_first_step_on(
    recordings: Recordings, recorded: Path, tmp_path: Path
) -> None:
    """A gate of nothing has no gradient but its own: the block behind it learns later."""
    for opened in (True, False):
        recipe = replace(RECIPE, open_gates=opened)
        config = config_for(Dataset.open(recorded), recordings, recipe, "x")
        lesson = RecordingsLesson(recordings, recipe)
        trainer = DiTTrainer(recipe, config, lesson, tmp_path / str(opened), steps=4)
        torch.stack(list(lesson.losses(trainer.network, 0, 0.0, trainer.device).values())).sum().backward()
        for block in trainer.model.blocks:
            assert bool(block.mlp_in.weight.grad.any()) == opened
        assert torch.equal(trainer.averaged_state()["blocks.0.offsets"], trainer.model.blocks[0].offsets)


def test_a_world_goes_on_from_its_checkpoint_bit_for_bit(recordings: Recordings, recorded: Path, tmp_path: Path) -> None:
    def trainer() -> DiTTrainer:
        return trainer_of(recordings, recorded, tmp_path)

    straight = trainer()
    for _ in range(4):
        straight.one_step()
    first = trainer()
    for _ in range(2):
        first.one_step()
    first.save()
    second = trainer()
    second.load(checkpoint.load_checkpoint(tmp_path))
    for _ in range(2):
        second.one_step()
    for name, x in straight.model.state_dict().items():
        assert torch.equal(x, second.model.state_dict()[name]), name


def test_the_finished_world_loads_and_says_what_it_is(world: Path) -> None:
    model = load(world)
    assert model.config.world is not None and model.config.world["env"] == "CartPole-v1"
    assert "CartPole-v1" in (world / "README.md").read_text() and (world.parent / "rollout.png").exists()
    stored = json.loads((world / "config.json").read_text())["network"]
    assert stored["known"]["action"] == 2 * RECIPE.context and stored["predicted"]["reward"] == 1


def test_a_dream_keeps_gymnasium_s_contract(world: Path) -> None:
    env = gym.make("kinema/Recorded-v0", model=world, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=False)
    real = gym.make("CartPole-v1")
    assert env.action_space == real.action_space


def test_dreams_side_by_side_are_those_alone(world: Path) -> None:
    """Same seed, same beginnings and actions; a restart of one leaves the others. Worlds that end by themselves begin anew where
    the dice fall, so this one is made to say that it never does."""
    lasting = load(world)
    assert isinstance(lasting, DiTModel)
    lasting.network.heads["terminated"].bias.data -= 100.0
    lasting.network.float()  # in bfloat16 a row beside others is rounded otherwise
    lasting.autoencoder.use_dtype(torch.float32)
    lasting.dtype = torch.float32
    runs = []
    for restart in (False, True):
        many = RecordedVectorEnv(3, model=lasting)
        many.reset(seed=1)
        many.step(np.array([0, 1, 0]))
        if restart:
            many.restart(np.array([False, True, False]))
        runs.append(many.step(np.array([1, 1, 0]))[0].astype(int))
    assert np.abs(runs[0][[0, 2]] - runs[1][[0, 2]]).max() <= 1
    ended = RecordedVectorEnv(2, model=lasting, duration_s=2 / 50)
    ended.reset(seed=1)
    for _ in range(2):
        _, _, terminated, truncated, _ = ended.step(np.zeros(2, int))
    assert (terminated | truncated).all()
    _, reward, terminated, truncated, _ = ended.step(np.zeros(2, int))
    assert not (terminated | truncated).any() and (reward == 0).all()


def test_arrows_go_to_the_edges_of_a_box_of_numbers(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dream = RecordedWorld(world, seed=3)
    game = Play(dream)
    game.key("d", 0.0)
    assert game.action == (1.0, 0.0), "of a world whose actions are no numbers"
    box = {"type": "box", "edges": [[0.0, 512.0], [10.0, 20.0]], "shape": [2], "dtype": "float32"}
    monkeypatch.setattr(dream, "action_spec", box)
    for key, numbers in (("d", [512.0, 10.0]), ("a", [0.0, 10.0]), ("w", [0.0, 20.0]), ("\x1b[B", [0.0, 10.0])):
        game.key(key, 0.0)
        assert game.action == numbers
    monkeypatch.setattr(dream, "action_spec", {"type": "box", "edges": [[-2.0, 2.0]], "shape": [1], "dtype": "float32"})
    for key, numbers in (("d", [2.0]), ("w", [0.0])):
        game.key(key, 0.0)
        assert game.action == numbers


def test_a_dream_can_be_played_branched_rewound_and_saved(world: Path, tmp_path: Path) -> None:
    dream = RecordedWorld(world, seed=3)
    game = Play(dream)
    for key in "1p":
        game.key(key, 0.0)
    game.paused = False
    game.go(0.1)
    for _ in range(3):
        game.go(9.0)
    before = dream.frame.copy()
    other = dream.branch()
    other.go(1)
    assert np.array_equal(dream.frame, before) and other.time_s > dream.time_s
    assert dream.past_frames == 4
    dream.rewind(2)
    assert dream.past_frames == 2
    assert "no state" in game.say("where is the cart?")
    assert "▀" in game.screen(40, 20, 1.0)
    with pytest.raises(InputError, match="remembers"):
        dream.rewind(99)
    again = RecordedWorld.open(dream.save(tmp_path / "cart.kinema"))
    assert np.array_equal(again.go(1).frame, dream.go(1).frame) and again.reward == dream.reward
    with pytest.raises(OutputError, match="exists; pass --force"):
        dream.save(tmp_path / "cart.kinema")
    assert RecordedWorld.open(dream.save(tmp_path / "cart.kinema", force=True)).time_s == dream.time_s
    with pytest.raises(InputError, match="holds a dream"):
        World.open(tmp_path / "cart.kinema")
    given = argparse.Namespace(start=str(tmp_path / "cart.kinema"), model=None, device="cpu")
    assert isinstance(begin(given), RecordedWorld)
    parts = {"model": dream.model.source, "seed": dream._seed, "task": dream._task, "count": int(dream._count[0])}
    moments = {"moments": packed(dream._frame_states)}
    torch.save({"format": 2, "kind": "dream", **parts, **moments}, tmp_path / "old.kinema")
    old = RecordedWorld.open(tmp_path / "old.kinema")
    assert np.array_equal(old.go(1).frame, dream.branch().go(1).frame), "as Kinema 0.2 saved it"
    with pytest.raises(InputError, match="is not in"):
        dream.go(5)


def test_steps_of_the_sampler_are_kept_with_a_saved_world(world: Path, tmp_path: Path) -> None:
    one, two = RecordedWorld(world, seed=3), RecordedWorld(world, seed=3, steps=2)
    assert np.array_equal(one.frame, two.frame) and not np.array_equal(one.go(1).frame, two.go(1).frame)
    again = RecordedWorld.open(two.save(tmp_path / "two.world"))
    assert again.steps == 2 and np.array_equal(again.go(1).frame, two.go(1).frame)
    assert main(["play", str(world), "--task", "x"]) == 2
    with pytest.raises(InputError, match="steps"):
        RecordedWorld(world, steps=0)


def test_choices_to_play_with_count_from_0_wherever_the_space_starts(world: Path) -> None:
    plain, shifted = RecordedWorld(world, seed=3), RecordedWorld(world, seed=3)
    shifted.action_spec = {**shifted.action_spec, "start": 5}
    for number in (1, 0, None, 99):
        assert np.array_equal(shifted._advance(1, number).frame, plain._advance(1, number).frame), number


def test_bad_worlds_are_named(world: Path, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no model of a recorded world"):
        RecordedEnv(model="kinema-tiny")
    with pytest.raises(InputError, match="already"):
        train_world(recorded, out=world.parent, steps=1, recipe=RECIPE)
    half = tmp_path / "half"
    shutil.copytree(world, half)
    (half / "starts.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="train the world again"):
        RecordedEnv(model=half)
    env = RecordedVectorEnv(2, model=world)
    with pytest.raises(InputError, match="reset"):
        env.step(np.zeros(2, int))
    env.reset(seed=0)
    with pytest.raises(InputError, match="is not in"):
        env.step(np.array([0, 7]))
    for arguments, told in (
        (["train", "world"], "--data"),
        (["train", "tiny", "--data", str(recorded)], "recipe world"),
        (["train", "world", "--data", str(tmp_path)], "no episode dataset"),
        (["train", "world", "--data", str(recorded), "--steps", "0"], "0 steps: expected 1 or more"),
        (["train", "world", "--data", str(recorded), "--minutes", "-1"], "-1 minutes: expected a number above 0"),
        (["train", "world", "--data", str(recorded), "--resume", str(tmp_path)], "holds no checkpoint"),
        (["train", "world", "--data", str(recorded), "--out", str(half / "config.json")], "is a file"),
        (["train", "world", "--resume", str(tmp_path)], "train world needs --data DIR"),
        *(
            (
                ["train", "world", "--data", str(recorded), "--steps", "1", "--out", str(tmp_path / "new"), "--seed", seed],
                "expected 0",
            )
            for seed in ("-1", "99999999999999999999999")
        ),
    ):
        assert main(arguments) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    for seed in (-1, 10**23):
        with pytest.raises(InputError, match=r"seed .*expected a whole number from 0"):
            WorldRecipe(seed=seed)


def test_playing_a_recording_says_to_train_it_first(recorded: Path) -> None:
    import argparse

    with pytest.raises(InputError, match="train a world of it"):
        begin(argparse.Namespace(start=str(recorded), model=None, seed=0))


def test_short_episodes_and_a_change_of_mind_do_not_lose_a_run(recorded: Path, tmp_path: Path) -> None:
    """Stretches longer than episodes are cut to them; a resumed run has the length that it was given."""
    long = replace(RECIPE, frames=5000)
    made = train_world(recorded, out=tmp_path / "a", steps=2, minutes=600.0, recipe=long)
    assert recorded_model(made).config.frames == long.window
    for resumed in (False, True):
        if resumed:
            train_world(recorded, out=tmp_path / "a", resume=True, recipe=long)
        state = checkpoint.load_checkpoint(tmp_path / "a")
        assert (state["step"], state["steps"]) == (2, 2)
        found_s = long.found_length(long.rule_share, 600.0, 2)[0]  # its numbers are no entities, which a prior is of
        assert state["minutes"] == pytest.approx(600.0 * (1 - long.autoencoder_share) - found_s / 60)
    train_world(recorded, out=tmp_path / "a", resume=True, steps=3, recipe=long)
    state = checkpoint.load_checkpoint(tmp_path / "a")
    assert (state["step"], state["steps"], state["minutes"]) == (3, 3, None)


def test_a_world_is_trained_for_the_steps_that_were_given(world: Path) -> None:
    assert read_config(world).trained["steps"] == checkpoint.load_checkpoint(world.parent)["step"] == 4


def test_a_run_of_a_world_is_refused_where_it_would_not_end_or_not_be_alone(
    recordings: Recordings, recorded: Path, tmp_path: Path
) -> None:
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x")
    lengths: tuple[dict[str, float], ...] = ({"minutes": 0}, {"minutes": -1}, {"steps": 0}, {"steps": -1}, {})
    for length in lengths:
        with pytest.raises(InputError, match="expected"):
            DiTTrainer(RECIPE, config, RecordingsLesson(recordings, RECIPE), tmp_path, **length)  # type: ignore[arg-type]
    with locked(tmp_path), pytest.raises(InputError, match="another run is writing"):
        train_world(recorded, out=tmp_path, steps=1, recipe=RECIPE)
    other = {"recipe": {}, "step": 0, "elapsed_s": 0.0, "running": {}, "model": {}, "optimizer": {}}
    checkpoint.save_checkpoint(tmp_path, other)
    with pytest.raises(InputError, match="no run of a recorded world"):
        train_world(recorded, out=tmp_path, resume=True, recipe=RECIPE)


def test_a_video_cut_short_is_named(recorded: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(recorded, half)
    video = next(half.glob("videos/*/*/*.mp4"))
    video.write_bytes(video.read_bytes()[:900])
    with pytest.raises(MediaError, match="copy the dataset again"):
        list(Dataset.open(half))


def test_the_idle_action_is_the_one_after_which_pictures_change_least(recordings: Recordings) -> None:
    """An action is the one taken at a picture: what it does shows in the next. Action 0 moves all, action 1 nothing."""
    actions = torch.tensor([0, 1] * 4)
    moved = torch.cat([torch.zeros(1), (actions[:-1] == 0).float()]).cumsum(0)
    one = copy.copy(recordings)
    one.episodes = [{"action": 2.0 * torch.eye(2)[actions] - 1, "video": moved.reshape(-1, 1, 1, 1).expand(-1, 2, 2, 3)}]
    assert one.idle() == 1


def test_a_rare_reward_is_taught_whole(recordings: Recordings) -> None:
    """A goal of 1 once in a thousand steps that cost 0.01 each; the unit is that of the environment again when it is multiplied."""
    rewards = np.full(1000, -0.01, np.float32)
    rewards[-1] = 1.0
    assert np.abs(rewards / reward_unit(rewards)).max() == pytest.approx(10.0)
    assert reward_unit(np.array([0.0, 1.0, 1.0])) == 1.0 and reward_unit(np.zeros(3)) == 1.0
    assert max(float(one["reward"].max()) for one in recordings.episodes) * recordings.reward_scale == pytest.approx(1.0)


def test_a_run_keeps_its_unit_of_rewards(recorded: Path, recordings: Recordings) -> None:
    """Checkpoints from before hold the mean; what goes on from one is taught in that unit."""
    old = Recordings(Dataset.open(recorded), recordings.autoencoder, None, 0.5)
    assert old.reward_scale == 0.5 and float(old.episodes[0]["reward"].max()) == 2.0


def test_a_run_goes_on_from_before_its_first_checkpoint_with_what_was_asked(recorded: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    for stage in ("autoencoder", "reading"):
        out = tmp_path / stage

        def stop(line: str, stage: str = stage) -> None:
            if line.startswith(stage):
                raise Killed

        with pytest.raises(Killed):
            train_world(recorded, out=out, steps=4, recipe=RECIPE, show=stop)
        assert not (out / checkpoint.NAME).exists()
        train_world(recorded, out=out, resume=True, recipe=RECIPE)
        assert checkpoint.load_checkpoint(out)["step"] == 4


def test_a_run_knows_where_its_recording_lies(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_world(recorded, out=tmp_path / "r", steps=1, recipe=PLAIN)
    assert main(["train", "world", "--resume", str(tmp_path / "r"), "--steps", "2", "--device", "cpu"]) == 0
    assert checkpoint.load_checkpoint(tmp_path / "r")["step"] == 2, capsys.readouterr().err


def test_a_run_does_not_go_on_with_other_data(recorded: Path, tmp_path: Path) -> None:
    data = tmp_path / "cart"
    shutil.copytree(recorded, data)
    train_world(data, out=tmp_path / "r", steps=2, recipe=PLAIN)
    record("CartPole-v1", data, episodes_wanted=1, size=(32, 48))
    with pytest.raises(InputError, match=r"has changed since the run .*4 episodes, now 5"):
        train_world(data, out=tmp_path / "r", steps=3, resume=True, recipe=PLAIN)
    with pytest.raises(InputError, match=r"another network \(context 2, not 3, time_every 2, not 1, .*options"):
        train_world(recorded, out=tmp_path / "r", steps=3, resume=True, recipe=replace(PLAIN, time_every=1, context=3))
    train_world(recorded, out=tmp_path / "r", steps=3, resume=True, recipe=PLAIN)


def test_a_world_is_trained_in_any_thread_and_leaves_torch_as_it_was(recorded: Path, tmp_path: Path) -> None:
    """Off the main thread there are no signal handlers; a program may have chosen another type, or no gradients."""
    errors: list[BaseException] = []
    count: Any = np.int64(2)
    torch.manual_seed(5)
    rng, threads = torch.get_rng_state(), torch.get_num_threads()

    def work() -> None:
        try:
            with torch.inference_mode():
                train_world(recorded, out=tmp_path / "r", steps=count, recipe=replace(RECIPE, batch=np.int64(2)))
        except BaseException as error:
            errors.append(error)

    torch.set_default_dtype(torch.float64)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert not errors and checkpoint.load_checkpoint(tmp_path / "r")["step"] == 2
    assert torch.equal(torch.get_rng_state(), rng) and torch.get_num_threads() == threads


def test_without_a_compiler_a_world_is_trained_all_the_same(
    recordings: Recordings, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*args: object, **kwargs: object) -> object:
        raise RuntimeError("No working C++ compiler found")

    can_compile.cache_clear()
    monkeypatch.setattr(torch, "compile", none)
    recipe = replace(RECIPE, compile=True)
    config = config_for(Dataset.open(recorded), recordings, recipe, "x")
    trainer = DiTTrainer(recipe, config, RecordingsLesson(recordings, recipe), tmp_path, steps=1)
    trainer.one_step()
    can_compile.cache_clear()
    assert "No working C++ compiler found" in caplog.text and "slower" in caplog.text and trainer.step == 1


def test_a_world_model_does_not_film_and_says_what_it_is_for(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a red ball", "--model", str(world)]) == 2
    said = capsys.readouterr().err
    assert f"world model of CartPole-v1, not one that films: step into it with kinema play {world}" in said


def test_a_world_without_attention_along_time_is_saved_and_opened(recorded: Path, tmp_path: Path) -> None:
    made = train_world(recorded, out=tmp_path / "run", steps=1, recipe=replace(PLAIN, time_every=3))
    world = RecordedWorld(made, seed=1)
    world.go(1)
    again = RecordedWorld.open(world.save(tmp_path / "cart.kinema"))
    assert np.array_equal(again.go(1).frame, world.go(1).frame)
    with pytest.raises(InputError, match="at least 1, or None"):
        world.clip(0)


def test_a_checkpoint_with_damaged_bytes_is_refused(recorded: Path, tmp_path: Path) -> None:
    train_world(recorded, out=tmp_path / "r", steps=1, recipe=PLAIN)
    path = tmp_path / "r" / checkpoint.NAME
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200 * [255])
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        train_world(recorded, out=tmp_path / "r", steps=2, resume=True, recipe=PLAIN)


def test_a_loss_that_is_no_number_ends_a_run_in_one_line(recordings: Recordings, recorded: Path, tmp_path: Path) -> None:
    trainer = trainer_of(recordings, recorded, tmp_path)
    assert trainer.model.video_out.bias is not None
    trainer.model.video_out.bias.data += float("nan")
    with pytest.raises(DivergedError, match="the loss is no number at step 0"):
        trainer.one_step()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ratio_1", "error as a share of that of the last known picture, after 1 frame"),
        ("kick_off_ball_off_12", "distance of the kick_off_ball from its place, in its own units, after 12 frames"),
        ("ball_copied_off_4", "distance of the ball from where it was last known, after 4 frames"),
        ("held_out_1", "the same of the world, of frames that are noise alone"),
        ("some_other", "some other"),
        ("some_7", "some, after 7 frames"),
    ],
)
def test_a_card_says_in_words_what_its_figures_are(name: str, words: str) -> None:
    assert figure_in_words(name) == words


def test_held_out_windows_are_the_same_on_every_call_and_in_a_run_that_goes_on(
    recordings: Recordings, recorded: Path, tmp_path: Path
) -> None:
    """Whatever the seed of the run, and from episodes that training never sees, as they were recorded."""
    cpu = torch.device("cpu")
    first = RecordingsLesson(recordings, RECIPE).held_out_batches(cpu)
    again = RecordingsLesson(recordings, replace(RECIPE, seed=7, batch=6)).held_out_batches(cpu)
    assert len(first) == len(again) == HELD_OUT_BATCHES and not torch.equal(first[0].noise, first[1].noise)
    unseen = recordings.episodes[-recordings.num_held_back :]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.noise, other.noise) and torch.equal(one.past, other.past)
        assert torch.equal(one.past, one.tracks["video"]) and one.past.shape[0] == HELD_OUT_ROWS
        for frame in one.past.flatten(0, 1):
            assert any((frame == episode["video"].float()).flatten(1).all(1).any() for episode in unseen)

    def errors(trainer: DiTTrainer) -> dict[str, float]:
        return RecordingsLesson(recordings, RECIPE).held_out_figures(trainer.averaged_network(), cpu)

    whole = trainer_of(recordings, recorded, tmp_path / "a")
    before = errors(whole)
    whole.run()
    half = trainer_of(recordings, recorded, tmp_path / "b", steps=4)
    half.one_step()
    half.one_step()
    half.save()
    on = trainer_of(recordings, recorded, tmp_path / "b")
    on.load(checkpoint.load_checkpoint(tmp_path / "b"))
    on.run()
    assert errors(on) == errors(whole) == errors(whole) != before
    assert before.keys() == {f"held_out_{name}" for name in ("copying", "0.5", "1", "reward", "terminated", "sensors")}
    assert before["held_out_copying"] == errors(whole)["held_out_copying"] > 0
    shares = [
        RecordingsLesson(recordings, RECIPE).held_out_figures(
            whole.averaged_network(), cpu, share=Share(number=number, of=2)
        )
        for number in range(2)
    ]
    for name, value in errors(whole).items():
        assert sum(share[name] for share in shares) / 2 == pytest.approx(value, rel=1e-5)


def test_held_out_errors_of_a_world_are_logged_and_on_its_card(
    recorded: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    made = train_world(recorded, out=tmp_path / "run", steps=2, recipe=PLAIN)
    logged = [record.message for record in caplog.records if "held_out_copying" in record.message]
    assert [line.split("  ")[0] for line in logged] == ["step 0", "step 2"]
    assert read_config(made).trained["figures"]["held_out_1"] > 0
    assert "| training's error on held-out windows, of the last true picture |" in (made / "README.md").read_text()


def test_a_recording_of_one_episode_holds_nothing_out(recordings: Recordings) -> None:
    one = copy.copy(recordings)
    one.num_held_back = 0
    assert RecordingsLesson(one, RECIPE).held_out_figures(lambda given: {}, torch.device("cpu")) == {}


def losses_of(recordings: Recordings, recorded: Path, out: Path) -> list[dict[str, float]]:
    trainer = trainer_of(recordings, recorded, out)
    seen: list[dict[str, float]] = []
    trainer.board = lambda step, figures: seen.append({name: x for name, x in figures.items() if name != "mfu"})
    for _ in range(3):
        trainer.one_step()
    return seen


def counting(most: int = 10**9) -> tuple[Autoencoder, list[int]]:
    """The shipped autoencoder, which notes the pictures of each piece that it encodes, and ends the build after so many pieces."""
    autoencoder, calls = load_autoencoder(weights_folder() / "codec-8x8"), list[int]()
    encode = autoencoder.encode_frames

    def noted(frames: np.ndarray) -> torch.Tensor:
        if len(calls) == most:
            raise KeyboardInterrupt
        calls.append(len(frames))
        return encode(frames)

    autoencoder.encode_frames = noted  # type: ignore[method-assign]
    return autoencoder, calls


def test_a_recording_in_files_gives_the_numbers_of_one_in_memory(
    recordings: Recordings, recorded: Path, tmp_path: Path
) -> None:
    data = Dataset.open(recorded)
    for again in (False, True):
        autoencoder, calls = counting(0 if again else 10**9)
        stored = Recordings(data, autoencoder, None, folder=tmp_path / "tracks")
        assert sum(calls) == (0 if again else data.total_frames)
        for mine, other in zip(stored.episodes, recordings.episodes, strict=True):
            assert mine.keys() | {MEMORY} == other.keys() | {MEMORY}
            assert all(torch.equal(x, other[name]) and x.dtype == other[name].dtype for name, x in mine.items())
        for name in ("mean", "std", "least", "most"):
            assert np.array_equal(getattr(stored, name), getattr(recordings, name)), name
        assert stored.reward_scale == recordings.reward_scale and stored.idle() == recordings.idle()
        assert all(np.array_equal(a, b) for a, b in zip(stored.shown, recordings.shown, strict=True))
        assert losses_of(stored, recorded, tmp_path / "a") == losses_of(recordings, recorded, tmp_path / "b")


def test_a_killed_reading_goes_on_and_other_files_are_made_anew(
    recordings: Recordings, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_files, "SYNC_S", 0.0)
    data, folder = Dataset.open(recorded), tmp_path / "tracks"
    with pytest.raises(KeyboardInterrupt):
        Recordings(data, counting(2)[0], None, folder=folder)
    with (folder / "video.bin").open("ab") as file:
        file.write(b"half a frame")
    rest, calls = counting()
    stored = Recordings(data, rest, None, folder=folder)
    assert len(calls) == len(data) - 2, "what was encoded is not encoded again"
    for mine, other in zip(stored.episodes, recordings.episodes, strict=True):
        assert all(torch.equal(x, other[name]) for name, x in mine.items())
    assert len(stored.shown) == len(recordings.shown)
    changed, calls = counting()
    next(changed.parameters()).data += 1.0
    Recordings(data, changed, None, folder=folder)
    assert len(calls) == len(data), "of another autoencoder"
    (folder / "video.bin").write_bytes(b"short")
    with pytest.raises(InputError, match=r"video\.bin is cut short; delete .*tracks, and it is made anew"):
        Recordings(data, changed, None, folder=folder)


def test_tracks_are_mapped_and_not_read_whole(recorded: Path, tmp_path: Path) -> None:
    """What is mapped costs no memory of its own: episodes are parts of one file, in place."""
    stored = Recordings(
        Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None, folder=tmp_path / "tracks"
    )
    for name in ("video", "action", "reward", "terminated", "sensors"):
        first, second = (one[name] for one in stored.episodes[:2])
        assert second.data_ptr() - first.data_ptr() == first.numel() * first.element_size(), name
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(tmp_path / "tracks" / "video.bin") in maps.read_text()


def test_means_of_many_numbers_are_taken_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).normal(3.0, 2.0, (1000, 4)).astype(np.float32)
    whole = mean_and_std(numbers)
    monkeypatch.setattr(recordings_module, "MANY", 64)
    parts = mean_and_std(numbers)
    assert all(a.dtype == b.dtype == np.float32 for a, b in zip(whole, parts, strict=True))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
