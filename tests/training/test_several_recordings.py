"""One network of several recordings: a world of each, with the same weights."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from kinema.cli.main import main
from kinema.cli.play import begin
from kinema.datasets.addresses import RemotePath, name_below
from kinema.datasets.clip_sources import find_clips
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.envs.recorded import RecordedWorld
from kinema.envs.starts import start_from, world_from
from kinema.envs.web.controls import web_controls
from kinema.errors import InputError
from kinema.media import Clip
from kinema.models.dit_model import DiTModel
from kinema.models.hub import load, weights_sha256
from kinema.training import checkpoint
from kinema.training.recorded_world import train_world
from kinema.training.recordings import Among, Recordings
from kinema.training.sources import folder_name, parse_source, weighted_folders
from kinema.training.track_files import TrackWriter
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_stages import word_of

RECIPE = WorldRecipe(compile=False, frames=4, batch=2, size="nano", time_every=2, context=2)
TASK = "get to the green goal square"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("several")
    folders = {"CartPole-v1": folder / "cart", "MiniGrid-Empty-5x5-v0": folder / "grid"}
    for env, path in folders.items():
        record(env, path, episodes_wanted=3, size=(32, 48), most=20)
    return {path.name: path for path in folders.values()}


@pytest.fixture(scope="module")
def worlds(recorded: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = [(recorded["cart"], 1.0), (recorded["grid"], 2.0)]
    return train_world(data, out=tmp_path_factory.mktemp("run"), steps=4, recipe=RECIPE)


def test_each_becomes_a_world_of_its_own_actions_with_the_same_weights(worlds: Path) -> None:
    assert sorted(path.name for path in worlds.iterdir()) == ["cart", "grid"]
    assert weights_sha256(worlds / "cart") == weights_sha256(worlds / "grid")
    cart, grid = (load(str(worlds / name)) for name in ("cart", "grid"))
    assert isinstance(cart, DiTModel) and isinstance(grid, DiTModel)
    assert cart.config.network == grid.config.network and cart.config.action_width == 7 and cart.config.network.places
    about = cart.config.world or {}
    assert about["tasks"] == ["CartPole"] and about["action"]["n"] == 2 and about["sensors"]["names"] == []
    assert (grid.config.world or {})["tasks"] == [TASK]
    for model, action in ((cart, 1), (grid, 6)):
        world = RecordedWorld(model, seed=1)
        world.go(action)
        assert world._frame_states[-2].tracks["action"].shape == (1, 7) and world.frame.shape == (32, 48, 3)
        with pytest.raises(InputError, match="is not in Discrete"):
            world.go(action + 1)
    assert RecordedWorld(cart).encode_action(1).tolist() == [-1, 1, 0, 0, 0, 0, 0]
    assert web_controls(about, numbers=7)["idle"] == [*web_controls(about)["idle"], 0, 0, 0, 0, 0]


def test_steps_take_each_by_its_weight_and_learn_its_actions_padded(recorded: dict[str, Path], worlds: Path) -> None:
    autoencoder = load(str(worlds / "cart")).autoencoder
    cart, grid = (
        Recordings(Dataset.open(recorded[name]), autoencoder, None, among=Among(7, name)) for name in ("cart", "grid")
    )
    lesson = RecordingsLesson([(cart, 1.0), (grid, 3.0)], RECIPE)
    drawn = [lesson.recordings_of(step) for step in range(400)]
    assert 0.68 < np.mean([one is grid for one in drawn]) < 0.82
    assert [one is grid for one in drawn] == [lesson.recordings_of(step) is grid for step in range(400)]
    assert (cart.episodes[0]["action"][:, 2:] == 0).all() and cart.sensors == grid.sensors == 0
    assert cart.text is not None and grid.text is not None and cart.text[0].shape == grid.text[0].shape
    assert cart.tasks == ["cart"] and grid.tasks == [TASK]


def test_a_run_goes_on_as_one_that_never_stopped(recorded: dict[str, Path], worlds: Path, tmp_path: Path) -> None:
    plain, data = WorldRecipe(**{**RECIPE.__dict__, "autoencoder_share": 0.0}), [(path, 1 / 3) for path in recorded.values()]
    train_world(data, out=tmp_path / "a", steps=3, recipe=plain)
    train_world(data, out=tmp_path / "b", steps=1, recipe=plain)
    assert main(["train", "world", "--resume", str(tmp_path / "b"), "--steps", "3"]) == 0, "it knows its recordings"
    a, b = (checkpoint.load_checkpoint(tmp_path / name)["model"] for name in "ab")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    for other in ([(recorded["cart"], 1.0), (recorded["grid"], 2.0)], data[::-1], recorded["cart"]):
        with pytest.raises(InputError, match="other recordings, weights, or order of them"):
            train_world(other, out=tmp_path / "b", steps=4, resume=True, recipe=plain)


def test_a_world_is_called_as_its_folder_is_by_any_path(recorded: dict[str, Path], tmp_path: Path) -> None:
    plain = replace(RECIPE, autoencoder_share=0.0)
    data = [(recorded["cart"] / "meta" / "..", 1.0), (recorded["grid"] / ".", 1.0)]
    worlds = train_world(data, out=tmp_path / "run", steps=1, recipe=plain)
    assert sorted(path.name for path in worlds.iterdir()) == ["cart", "grid"]
    assert not (tmp_path / "run" / "config.json").exists()


def test_stretches_are_as_long_as_episodes_that_are_not_held_back(recorded: dict[str, Path], tmp_path: Path) -> None:
    plain = replace(RECIPE, autoencoder_share=0.0, frames=30)
    record("CartPole-v1", tmp_path / "data", episodes_wanted=2, size=(32, 48), most=40, seed=2)
    assert [int(row["length"]) for row in Dataset.open(tmp_path / "data").rows] == [12, 40], "the second is held back"
    train_world(tmp_path / "data", out=tmp_path / "run", steps=1, recipe=plain)


@pytest.mark.slow
def test_ranks_that_write_nothing_end_well(recorded: dict[str, Path], tmp_path: Path) -> None:
    sources = [word for path in recorded.values() for word in ("--data", str(path))]
    more = ["--steps", "2", "--size", "nano", "--batch", "2", "--nproc", "2", "--device", "cpu"]
    assert main(["train", "world", *sources, "--out", str(tmp_path / "run"), *more]) == 0
    assert sorted(path.name for path in (tmp_path / "run" / "worlds").iterdir()) == ["cart", "grid"]


def test_words_and_pictures_name_a_world(worlds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [worlds / "cart", worlds / "grid"]
    assert world_from(folders, "cartpole") == (worlds / "cart", "CartPole")
    assert world_from(folders, TASK) == (worlds / "grid", TASK)
    with pytest.raises(InputError, match=f"'pong'.*expected one of.*'CartPole'.*'{TASK}'"):
        world_from(folders, "pong")
    for name in ("cart", "grid"):
        picture = Clip(frames=RecordedWorld(worlds / name, seed=2).frame[None], fps=10.0)
        assert world_from(folders, picture) == (worlds / name, None)
        big = Clip(frames=np.repeat(np.repeat(picture.frames, 3, 1), 3, 2), fps=10.0)
        path = big.save(tmp_path / f"{name}.png")
        world = begin(_arguments(str(path), model=str(worlds.parent)))
        assert isinstance(world, RecordedWorld) and world.model.config.name == f"world-{name}"
        seen = np.abs(world.frame.astype(int) - picture.frames[0].astype(int)).mean()
        assert seen < 12, "it begins with the picture, as the autoencoder draws it"
        assert world.go(1).frame_index == 8
    with pytest.raises(InputError, match="holds several worlds: cart, grid; step into one"):
        begin(_arguments(str(worlds.parent)))
    assert main(["export", "web", str(worlds.parent), "-o", str(tmp_path / "web")]) == 2
    assert "holds several worlds: cart, grid; export one" in capsys.readouterr().err
    for words in ("世" * 100, "x" * 500):
        with pytest.raises(InputError, match="expected one of"):
            begin(_arguments(words, model=str(worlds.parent)))
    with pytest.raises(InputError, match="no model"):
        begin(_arguments("grid", model="x" * 300))


def test_a_folder_s_name_comes_before_the_word_of_another(worlds: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "cartpole"]
    for folder in folders:
        shutil.copytree(worlds / "cart", folder)
    assert world_from(folders, "CartPole")[0] == folders[1]
    with pytest.raises(InputError, match="expected one of 'a', 'CartPole', 'cartpole'"):
        world_from(folders, "pong")


def test_a_saved_world_that_began_with_a_picture_opens_and_begins_anew(worlds: Path, tmp_path: Path) -> None:
    picture = RecordedWorld(worlds / "grid", seed=2).clip(1)
    world = RecordedWorld(worlds / "grid", start=picture)
    first = world.frame
    assert world.past_frames == 0 and world.go(1).past_frames == 1
    world.rewind(1)
    assert np.array_equal(world.frame, first)
    opened = RecordedWorld.open(world.save(tmp_path / "w.world"))
    assert np.array_equal(opened.go(2).frame, world.go(2).frame)
    opened.reset()
    world.reset()
    assert opened.past_frames == 0 and np.array_equal(world.frame, first)
    with pytest.raises(InputError, match="start is str; expected a Clip"):
        RecordedWorld(worlds / "grid", start="p.png")  # type: ignore[arg-type]


def test_a_picture_stands_for_the_frames_before_it(worlds: Path) -> None:
    model = load(str(worlds / "grid"))
    assert isinstance(model, DiTModel)
    frames = RecordedWorld(model, seed=3).clip().frames
    one, two = (start_from(model, Clip(frames=frames[-n:], fps=10.0), 0) for n in (1, 2))
    assert torch.equal(one["video"][:, 0], one["video"][:, -1]) and (one["action"] == 0).all()
    torch.testing.assert_close(two["video"][:, -1], one["video"][:, -1], atol=0.02, rtol=0)
    assert (one["terminated"] == -1).all() and one["video"].shape == two["video"].shape


def test_what_cannot_be_learned_together_is_one_line(
    recorded: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record("CartPole-v1", tmp_path / "wide", episodes_wanted=2, size=(32, 64), most=8)
    record("CartPole-v1", tmp_path / "x" / "cart", episodes_wanted=2, size=(32, 48), most=8)

    def refused(*data: str) -> str:
        sources = [word for one in data for word in ("--data", one)]
        assert main(["train", "world", *sources, "--out", str(tmp_path / "run"), "--steps", "1"]) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    cart = str(recorded["cart"])
    assert "one network learns those of one size" in refused(cart, str(tmp_path / "wide"))
    assert "two recordings are in folders called 'cart'" in refused(cart, str(tmp_path / "x" / "cart"))
    assert "is named twice; name it once, with a weight" in refused(cart, cart)
    (tmp_path / "link").symlink_to(recorded["cart"])
    record("CartPole-v1", tmp_path / "CART", episodes_wanted=2, size=(32, 48), most=8)
    assert "is named twice; name it once, with a weight" in refused(cart, str(tmp_path / "link"))
    assert "two recordings are in folders called 'CART'" in refused(cart, str(tmp_path / "CART"))
    assert "holds no episode dataset" in refused(cart, "x" * 300)
    assert "expected FOLDER or FOLDER=WEIGHT" in refused(f"{cart}=0", str(recorded["grid"]))


def test_sources_have_weights(tmp_path: Path) -> None:
    assert parse_source("pong=2.5") == ("pong", 2.5) and parse_source("pong") == ("pong", 1.0)
    (tmp_path / "a=2").mkdir()
    assert parse_source(str(tmp_path / "a=2")) == (str(tmp_path / "a=2"), 1.0), "a folder that is there is meant"
    assert parse_source("s3://x?key=abc") == ("s3://x?key=abc", 1.0)
    assert weighted_folders("a") == [("a", 1.0)] and weighted_folders([("a", 1), ("b", 3)]) == [("a", 1.0), ("b", 3.0)]
    large = [("a", 1e308), ("b", 1e308)]
    bad: list[Any] = [[], [("a", 0.0)], [("a", float("nan"))], [("a", True)], large, [("a", 10**400)], ["a", "b"], ("a", 2)]
    for one in bad:
        with pytest.raises(InputError, match="expected"):
            weighted_folders(one)


@pytest.mark.parametrize(
    "env, word",
    [
        ("ALE/Pong-v5", "Pong"),
        ("MiniGrid-DoorKey-6x6-v0", "MiniGrid DoorKey 6x6"),
        ("gym_pusht:gym_pusht/PushT-v0", "PushT"),
    ],
)
def test_the_word_of_an_environment(recorded: dict[str, Path], env: str, word: str) -> None:
    data = Dataset.open(recorded["cart"])
    assert word_of(data) == "CartPole"
    named = replace(data, info={**data.info, "kinema": {**data.info["kinema"], "env": env}})
    assert word_of(named) == word


def _arguments(start: str, **more: str) -> argparse.Namespace:
    usual = {"model": None, "device": "cpu", "seed": 0, "size": None, "fps": None, "task": None, "steps": None}
    plan = {"candidates": None, "guidance": None, "strict": False}
    return argparse.Namespace(start=start, **{**usual, **plan, **more})


@pytest.fixture
def address(recorded: dict[str, Path]) -> Iterator[str]:
    """A recording in memory, behind an address of fsspec."""
    fs = fsspec.filesystem("memory")
    fs.put(str(recorded["cart"]), "/recordings/cart", recursive=True)
    yield "memory://recordings/cart"
    fs.rm("/recordings", recursive=True)


def test_a_recording_at_an_address_is_the_one_in_a_folder(recorded: dict[str, Path], address: str, tmp_path: Path) -> None:
    here, there = Dataset.open(recorded["cart"]), Dataset.open(address)
    assert here.identity() == there.identity() and here.size == there.size
    for mine, other in zip(here, there, strict=True):
        assert np.array_equal(mine.frames, other.frames) and np.array_equal(mine.sensors, other.sensors)
    plain = replace(RECIPE, autoencoder_share=0.0)
    folder = train_world(recorded["cart"], out=tmp_path / "a", steps=2, recipe=plain)
    assert main(["train", "world", "--data", address, "--out", str(tmp_path / "b"), "--size", "nano", "--steps", "1"]) == 0
    assert json.loads((tmp_path / "b" / "run.json").read_text())["folder"] == address
    assert main(["train", "world", "--resume", str(tmp_path / "b"), "--steps", "2"]) == 0, "a run knows the address"
    train_world(address, out=tmp_path / "c", steps=2, recipe=plain)
    a, c = (checkpoint.load_checkpoint(tmp_path / name)["model"] for name in "ac")
    assert all(torch.equal(x, c[name]) for name, x in a.items())
    assert load(str(folder)).config.name == load(str(tmp_path / "b" / "world")).config.name == "world-cart"


def test_clips_of_a_recording_at_an_address_are_those_in_a_folder(recorded: dict[str, Path], address: str) -> None:
    here, there = (find_clips(place) for place in (recorded["cart"], address))
    assert [clip.name for clip in here] == [clip.name for clip in there] != []
    assert [clip.video.fingerprint() for clip in here] == [clip.video.fingerprint() for clip in there]
    shown = [next(clip.video.frames(size=None, start_s=0.1, stop_s=1.0))[1] for clip in (here[1], there[1])]
    assert np.array_equal(shown[0], shown[1])


def test_an_address_that_cannot_be_read_is_one_line(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # which nothing here imports, as fsspec keeps what was imported once
    fsspec.filesystem("memory").rm("/recordings/cart/videos", recursive=True)
    for recipe, given, message in (
        ("world", "gs://bucket/pong", "install gcsfs"),
        ("video", "gs://bucket/pong", "install gcsfs"),
        ("world", "nowhere://pong", "nowhere"),
        ("world", "memory://recordings/none", "holds no episode dataset"),
        ("world", address, f"is cut short: {address}/videos/"),
    ):
        assert main(["train", recipe, "--data", given, "--out", str(tmp_path / "r"), "--steps", "1"]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, said


def test_what_an_address_is_called() -> None:
    assert [folder_name(one) for one in ("s3://bucket/pong/", "memory://pong", "s3://b/a/..x")] == ["pong", "pong", "..x"]
    path = RemotePath("memory://set") / "a" / "b.mp4"
    assert name_below(path, RemotePath("memory://set")) == name_below(Path("a/b.mp4"), Path()) == "a/b.mp4"
    assert str(path) == "memory://set/a/b.mp4" and path.suffix == ".mp4" and not path.exists()


def test_tracks_of_another_recording_are_forgotten_before_they_are_overwritten(tmp_path: Path) -> None:
    writer = TrackWriter(tmp_path, {"of": "a"}, [2, 2])
    writer.add({"reward": torch.zeros(2, 1)})
    writer._sync()
    writer.close()
    other = TrackWriter(tmp_path, {"of": "b"}, [3])
    other.add({"reward": torch.ones(3, 1)})
    other.close()
    assert TrackWriter(tmp_path, {"of": "a"}, [2, 2]).done == 0, "what is there is not of a"
