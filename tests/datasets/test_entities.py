"""Entities of an environment, recorded with its pictures: read by a function, named, checked, predicted and asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kinema.datasets.dataset_files import SENSORS
from kinema.datasets.entities import flat_entities, read_entities, reader_for
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import make_env, record
from kinema.datasets.writer import Writer
from kinema.envs.recorded import RecordedWorld
from kinema.errors import InputError
from kinema.models.hub import read_config
from kinema.simulation.entity_numbers import answer_from_numbers, entities_of
from kinema.training.recorded_world import train_world
from kinema.training.world_lesson import WorldRecipe

RECIPE = WorldRecipe(compile=False, frames=4, batch=2, size="nano", time_every=2, context=2, autoencoder_share=0.0, window=8)
BALL = {"ball": {"x": 3.0, "y": 1.25}, "game": {"score": 2.0}}


def cart_entities(env: Any) -> dict[str, dict[str, float]]:
    x, _, angle, _ = env.unwrapped.state
    return {"cart": {"x": x}, "pole": {"angle": angle}}


def test_a_known_environment_is_read_by_itself(tmp_path: Path) -> None:
    pytest.importorskip("minigrid")
    record("MiniGrid-DoorKey-5x5-v0", tmp_path / "d", episodes_wanted=1, most=12)
    data = Dataset.open(tmp_path / "d")
    told = {name: data.episode(0).sensors[:, i] for i, name in enumerate(data.sensor_names)}
    assert set(told["key.carried"]) <= {0.0, 1.0} and set(told["door.open"]) <= {0.0, 1.0}
    assert (told["goal.x"] == 3).all() and (told["goal.y"] == 3).all() and (told["ball.x"] == -1).all()


def test_a_function_of_one_s_own_is_recorded_trained_on_and_asked(tmp_path: Path) -> None:
    record("CartPole-v1", tmp_path / "d", episodes_wanted=4, size=(32, 48), entities=cart_entities)
    data = Dataset.open(tmp_path / "d")
    assert data.sensor_names[-2:] == ("cart.x", "pole.angle") and data.sensors == 6
    sensors = data.episode(0).sensors
    assert np.allclose(sensors[:, 4], sensors[:, 0]) and np.allclose(sensors[:, 5], sensors[:, 2])
    folder = train_world(tmp_path / "d", out=tmp_path / "run", steps=2, recipe=RECIPE)
    figures = read_config(folder).trained["figures"]
    assert {name for name in figures if name.startswith("entities")} >= {"entities_1", "entities_4"}
    world = RecordedWorld(folder, seed=1)
    assert set(world.numbers) == set(data.sensor_names) and set(world.entities) == {"cart", "pole"}
    begun = world.entities["cart"]["x"]
    episodes = [data.episode(i).sensors[:, 4] for i in range(4)]
    assert min(float(np.abs(one - begun).min()) for one in episodes) < 1e-3, "the beginning is a recorded one"
    assert world.ask("where is the cart?").value == {"x": begun}
    world.go(1)
    assert world.entities["cart"]["x"] != begun
    with pytest.raises(InputError, match="not understood; say: set X"):
        world.edit("move the cart left")


def test_questions_to_numbers() -> None:
    assert answer_from_numbers("Where is the ball?", BALL).value == {"x": 3.0, "y": 1.25}
    assert answer_from_numbers("what is the ball's Y?", BALL).sentence == "ball's y is 1.25."
    assert answer_from_numbers("What is the score of the game", BALL).value == 2.0
    assert (
        answer_from_numbers("what is game score", BALL).value == answer_from_numbers("what is the score?", BALL).value == 2.0
    )
    assert answer_from_numbers("where is the cart", {"the cart": {"x": 1.0}}).value == {"x": 1.0}
    assert answer_from_numbers("what is there?", BALL).value == BALL
    for question, message in (
        ("where is the bal?", "there is no 'bal'; expected one of ball, game (perhaps ball)"),
        ("where is the game?", "it has score"), ("what is the ball's z?", "ball has no 'z'; expected one of x, y"),
        ("why?", "ask like this: what is there"),
    ):  # fmt: skip
        with pytest.raises(InputError) as refused:
            answer_from_numbers(question, BALL)
        assert message in str(refused.value) and "\n" not in str(refused.value)


def test_names_without_an_entity_are_no_entities() -> None:
    assert entities_of({"ball.x": 1.0, "image[3]": 2.0, "direction": 3.0, ".x": 4.0, "a.b.c": 5.0}) == {
        "ball": {"x": 1.0}, "a.b": {"c": 5.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ball": 3.0}, "expected names, each with fields"), (None, "expected names"), ({"ball": {"x": np.nan}}, "ball.x is nan"),
        ({"a.b": {"c": 1}}, "expected an entity of up to 40 letters"), ({"": {"": 1}}, "expected an entity"),
        ({"a": {"c;d": 1}}, "a field of up to 40 letters"), ({"a\nb": {"c": 1}}, "expected an entity"),
        ({"ball": {"x": "left"}}, "ball.x is 'left': expected a finite number"), ({"ball": {"x": 1e39}}, "a finite number"),
    ],
)  # fmt: skip
def test_what_is_no_entity_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        flat_entities(given)


def test_a_function_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reads_nothing.py").write_text("def all(env):\n    return {'a': {'b': 1}}\nNUMBER = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    read = reader_for("CartPole-v1", "reads_nothing:all")
    assert read is not None and read(None) == {"a": {"b": 1}}  # type: ignore[arg-type]
    assert reader_for("MiniGrid-Empty-5x5-v0", "none") is None and reader_for("CartPole-v1", None) is None
    for wanted in ("reads_nothing", "reads_nothing:other", "nowhere_at_all:x", "reads_nothing:NUMBER"):
        with pytest.raises(InputError, match="entities"):
            reader_for("CartPole-v1", wanted)
    sys.modules.pop("reads_nothing")


def test_functions_and_modules_that_fail_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(env: Any) -> dict[str, dict[str, float]]:
        raise KeyError("no such ball")

    with pytest.raises(InputError, match=r"the function of entities failed: KeyError: 'no such ball'"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=8, entities=fails)
    (tmp_path / "broken_entities.py").write_text("def all(env:\n")
    (tmp_path / "ending_entities.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("broken_entities", "ending_entities", "./mine"):
        with pytest.raises(InputError, match="cannot be imported") as refused:
            reader_for("CartPole-v1", f"{module}:all")
        assert "\n" not in str(refused.value)


def test_entities_that_change_their_names_are_refused(tmp_path: Path) -> None:
    asked: list[int] = []

    def fickle(env: Any) -> dict[str, dict[str, float]]:
        asked.append(1)
        return {"cart": {"x" if len(asked) < 5 else "y": 0.0}}

    with pytest.raises(InputError, match=r"episode 0, step 3: its entities are cart\.y: expected cart\.x, as before"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=8, entities=fickle)


def test_a_dataset_without_names_is_added_to(tmp_path: Path) -> None:
    """An earlier version wrote none."""
    about = record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=6).about
    info = tmp_path / "d" / "meta" / "info.json"
    text = info.read_text()
    assert '"observation[0]"' in text
    older = Writer(tmp_path / "older", fps=50.0, size=(64, 64), sensors=4, about=about)
    older.add(Dataset.open(tmp_path / "d").episode(0))
    assert Dataset.open(tmp_path / "older").info["features"][SENSORS]["names"] is None
    record("CartPole-v1", tmp_path / "older", episodes_wanted=1, most=6)
    assert len(Dataset.open(tmp_path / "older")) == 2 and Dataset.open(tmp_path / "older").sensor_names == ()


ATARI = (
    "Boxing",
    "Freeway",
    "Hero",
    "MsPacman",
    "Riverraid",
    "Seaquest",
    "Skiing",
    "SpaceInvaders",
    "Tennis",
    "VideoPinball",
)


@pytest.mark.parametrize("game", ATARI)
def test_what_is_read_of_a_game_is_what_moves(game: str) -> None:
    pytest.importorskip("ale_py")
    env = make_env(f"ALE/{game}-v5")
    read = reader_for(f"ALE/{game}-v5", None)
    assert read is not None
    env.reset(seed=0)
    env.action_space.seed(0)
    seen = []
    for _ in range(150):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        names, numbers = read_entities(read, env)
        seen.append(numbers)
        if terminated or truncated:
            env.reset()
    spread = dict(zip(names, np.ptp(np.stack(seen), 0), strict=True))
    assert max(spread[name] for name in names if name.startswith(("player.", "ball."))) > 5
    assert all(0 <= number <= 255 for number in np.stack(seen).ravel())


def test_the_player_of_crafter_is_read() -> None:
    pytest.importorskip("crafter")
    env = make_env("CrafterReward-v1")
    env.reset(seed=0)
    read = reader_for("CrafterReward-v1", None, env)
    assert read is not None
    names, numbers = read_entities(read, env)
    told = dict(zip(names, numbers.tolist(), strict=True))
    assert (told["player.x"], told["player.y"]) == (32, 32)
    assert {told[f"player.{name}"] for name in ("health", "food", "drink", "energy")} == {9}
    assert told["player.wood"] == told["player.iron_pickaxe"] == 0
    env.step(2)
    env.step(2)
    moved = dict(zip(names, read_entities(read, env)[1].tolist(), strict=True))
    assert (moved["player.x"], moved["player.y"]) != (32, 32) or moved == told, (
        "walked right, unless something is in the way"
    )


def simulation(bodies: list[str], joints: list[tuple[str, int]]) -> Any:
    """An environment that MuJoCo simulates, as its bindings show one. joints: name and type."""
    places = np.arange(3.0 * (len(bodies) + 1)).reshape(-1, 3)
    wide = {0: 7, 1: 4, 2: 1, 3: 1}
    starts = np.cumsum([0, *(wide[kind] for _, kind in joints)])[:-1]
    model = SimpleNamespace(
        nbody=len(bodies) + 1, njnt=len(joints), jnt_type=np.array([kind for _, kind in joints], int), jnt_qposadr=starts,
        jnt_dofadr=starts, body=lambda i: SimpleNamespace(name=["world", *bodies][i]),
        joint=lambda i: SimpleNamespace(name=joints[i][0]),
    )  # fmt: skip
    data = SimpleNamespace(xpos=places, qpos=np.arange(20.0), qvel=-np.arange(20.0))
    return SimpleNamespace(unwrapped=SimpleNamespace(model=model, data=data))


def test_bodies_and_joints_of_mujoco_are_read_by_their_names() -> None:
    env = simulation(["torso", "robot0:arm", "", "torso"], [("root", 0), ("hip", 3), ("", 2)])
    read = reader_for("Ant-v5", None, env)
    assert read is not None and reader_for("Ant-v5", None) is None and reader_for("Ant-v5", "none", env) is None
    names, numbers = read_entities(read, env)
    told = dict(zip(names, numbers.tolist(), strict=True))
    assert (told["torso.x"], told["torso.z"], told["robot0_arm.y"]) == (3, 5, 7)
    assert (told["part 2.x"], told["torso 3.x"]) == (9, 12), "without a name, and with one that is taken"
    assert (told["hip_joint.place"], told["hip_joint.speed"]) == (7, -7)
    assert len(names) == 4 * 3 + 2 * 2, "a free joint is where its body is"


def test_of_many_bodies_the_first_are_read_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    env = simulation([f"finger {i}" for i in range(40)], [(f"j{i}", 3) for i in range(20)])
    read = reader_for("Hand-v1", None, env)
    assert read is not None
    assert len(read_entities(read, env)[0]) == 16 * 3 + 20 * 2
    assert "of 40 bodies the first 16 are recorded" in caplog.text and "joints" not in caplog.text


def doom(labels: list[Any] | None, *, enabled: bool = True) -> Any:
    game = SimpleNamespace(
        get_available_game_variables=lambda: [SimpleNamespace(name="HEALTH"), SimpleNamespace(name="AMMO2")],
        get_game_variable=lambda variable: {"HEALTH": 75.0, "AMMO2": 26.0}[variable.name],
        is_labels_buffer_enabled=lambda: enabled,
    )
    state = None if labels is None else SimpleNamespace(labels=labels)
    return SimpleNamespace(unwrapped=SimpleNamespace(game=game, state=state))


def test_variables_of_vizdoom_and_the_largest_thing_in_sight_are_read() -> None:
    read = reader_for("VizdoomBasic-v1", None)
    assert read is not None
    labels = [
        SimpleNamespace(object_name=name, x=x, y=10, width=wide, height=20)
        for name, x, wide in (("DoomPlayer", 0, 300), ("Cacodemon", 100, 40), ("Medikit", 5, 8))
    ]
    expected = {"x": 120.0, "y": 20.0, "width": 40.0, "height": 20.0, "seen": 1.0}
    assert read(doom(labels)) == {"player": {"health": 75.0, "ammo2": 26.0}, "target": expected}
    for nothing in ([], None):
        assert read(doom(nothing))["target"] == dict.fromkeys(expected, 0.0), "also where an episode has ended"
    assert set(read(doom(None, enabled=False))) == {"player"}


def test_a_recording_from_before_goes_on_without_entities(tmp_path: Path) -> None:
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=6)
    with pytest.raises(InputError, match="or go on without entities: --entities none"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=6, entities=cart_entities)
