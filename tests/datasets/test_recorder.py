"""Recording: real environments of every kind of space, whole episodes, errors that name the mend."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from kinema.cli.main import main
from kinema.datasets.folder_lock import locked
from kinema.datasets.lerobot import Dataset
from kinema.datasets.observed import Eyes
from kinema.datasets.pictures import is_small_picture
from kinema.datasets.recorder import make_env, random_policy, record, record_episodes
from kinema.envs.spaces import decode_action, spec_of
from kinema.errors import InputError, MediaError, OutputError


def test_what_is_read_is_what_was_seen_and_done(tmp_path: Path) -> None:
    """CartPole, whose episodes end soon: numbers come back exactly, pictures nearly, and the last picture is the end."""
    record("CartPole-v1", tmp_path / "d", episodes_wanted=3, size=(64, 96), seed=5)
    data = Dataset.open(tmp_path / "d")
    assert len(data) == 3 and data.about["env"] == "CartPole-v1" and data.sensors == 4
    env = make_env("CartPole-v1")
    spec, eyes = spec_of(env.action_space), Eyes.of(env, (64, 96))
    truth = record_episodes(env, eyes, spec, random_policy(env, 5), seed=5, most=10_000)
    for found, true in zip(data, truth, strict=False):
        for name in ("action", "reward", "terminated", "truncated", "sensors"):
            np.testing.assert_array_equal(getattr(found, name), getattr(true, name))
        assert np.abs(found.frames.astype(int) - true.frames).mean() < 2
        assert found.terminated[-1] and not found.terminated[:-1].any() and not found.truncated.any()
        assert found.reward[0] == 0 and (found.reward[1:] == 1).all()
        assert all(env.action_space.contains(decode_action(spec, row)) for row in found.action[:-1])


def test_time_running_out_is_not_an_end(tmp_path: Path) -> None:
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=5)
    episode = Dataset.open(tmp_path / "d").episode(0)
    assert len(episode.frames) == 5 and episode.truncated[-1] and not episode.terminated.any()


def test_recording_again_adds_and_other_settings_are_refused(tmp_path: Path) -> None:
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=6)
    record("CartPole-v1", tmp_path / "d", episodes_wanted=2, most=6)
    data = Dataset.open(tmp_path / "d")
    assert len(data) == 3
    assert not np.array_equal(data.episode(0).sensors, data.episode(1).sensors)
    with pytest.raises(InputError, match="another kind"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1, size=(32, 32))
    assert len(Dataset.open(tmp_path / "d")) == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        record("CartPole-v1", tmp_path / "other", episodes_wanted=1)


def test_a_board_is_no_small_picture() -> None:
    for space, small in (
        (gym.spaces.Box(0, 255, (7, 7, 3), np.uint8), True),
        (gym.spaces.Box(0, 255, (7, 7, 1), np.uint8), True),
        (gym.spaces.Box(0, 1, (8, 8, 3), np.uint8), False),
        (gym.spaces.Box(0, 255, (8, 8, 12), np.uint8), False),
        (gym.spaces.Box(0, 255, (7, 3), np.uint8), False),
        (gym.spaces.Box(0, 255, (7, 7, 3), np.float32), False),
        (gym.spaces.Discrete(4), False),
    ):
        assert is_small_picture(space) is small, space


def test_a_mission_is_the_task_and_a_small_picture_is_no_number(tmp_path: Path) -> None:
    pytest.importorskip("minigrid")
    record("MiniGrid-Fetch-5x5-N2-v0", tmp_path / "d", episodes_wanted=2, most=8)
    data = Dataset.open(tmp_path / "d")
    episode = data.episode(0)
    assert episode.task.split()[-1] in ("key", "ball") and episode.action.shape[1] == 7
    names = data.sensor_names
    assert data.sensors == len(names) and names[0] == "direction" and not any(name.startswith("image") for name in names)
    turned = episode.sensors[:, names.index("direction")]
    assert set(np.unique(turned)) <= {0, 1, 2, 3} and np.array_equal(
        turned, episode.sensors[:, names.index("agent.direction")]
    )
    assert episode.sensors[:, [names.index(name) for name in ("agent.x", "agent.y")]].min() >= 1, "inside the walls"
    plain = record("MiniGrid-Fetch-5x5-N2-v0", tmp_path / "plain", episodes_wanted=1, most=8, entities="none")
    assert Dataset.open(plain.folder).sensor_names == ("direction",)


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "CrafterReward-v1", "VizdoomBasic-v1"])
def test_others_are_recorded_from_their_ids_alone(env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"ALE/Pong-v5": "ale_py", "CrafterReward-v1": "crafter", "VizdoomBasic-v1": "vizdoom"}[env_id]
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)  # ViZDoom writes _vizdoom.ini into the current folder
    record(env_id, tmp_path / "d", episodes_wanted=1, most=6)
    assert Dataset.open(tmp_path / "d").episode(0).frames.shape == (6, 64, 64, 3)


class Mixed(gym.Env):
    """Pictures of another size beside numbers, under a dictionary of actions; step 3 ends it."""

    metadata = {"render_modes": [], "render_fps": 7}  # noqa: RUF012
    observation_space = gym.spaces.Dict(
        {"eye": gym.spaces.Box(0, 255, (30, 50, 1), np.uint8), "fuel": gym.spaces.Box(-np.inf, np.inf, (1,))}
    )
    action_space = gym.spaces.Dict({"gas": gym.spaces.Box(0.0, 1.0, (1,)), "gear": gym.spaces.Discrete(3)})

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def _seen(self) -> dict:
        return {"eye": np.full((30, 50, 1), 40 * self.t, np.uint8), "fuel": np.array([self.t], np.float32)}

    def step(self, action: dict) -> tuple[dict, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        self.t += 1
        return self._seen(), float(action["gear"]), self.t == 3, False, {}


class Blind(gym.Env):
    observation_space = gym.spaces.Box(-1.0, 1.0, (3,))
    action_space = gym.spaces.Discrete(2)


def test_a_dictionary_of_actions_and_gray_pictures(tmp_path: Path) -> None:
    if "Mixed-v0" not in gym.registry:
        gym.register("Mixed-v0", Mixed)
    record("Mixed-v0", tmp_path / "d", episodes_wanted=2, size=(32, 48))
    data = Dataset.open(tmp_path / "d")
    episode = data.episode(1)
    assert data.fps == 7 and episode.action.shape == (4, 4) and episode.sensors[:, 0].tolist() == [0, 1, 2, 3]
    assert [round(float(f.mean()) / 40) for f in episode.frames] == [0, 1, 2, 3]


def test_what_cannot_be_recorded_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "Blind-v0" not in gym.registry:
        gym.register("Blind-v0", Blind)
    with pytest.raises(InputError, match="no pixels"):
        record("Blind-v0", tmp_path / "d", episodes_wanted=1)
    with pytest.raises(InputError, match="no environment"):
        record("NoSuchThing-v3", tmp_path / "d", episodes_wanted=1)
    with pytest.raises(InputError, match="multiples of 16"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1, size=(50, 50))
    with pytest.raises(InputError, match="does not exist"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1, policy=str(tmp_path / "none.zip"))
    assert not (tmp_path / "d" / "meta").exists()
    assert main(["record", "CartPole-v1", "--size", "huge"]) == 2
    assert "64x64" in capsys.readouterr().err


def to_the_right(env: gym.Env[Any, Any], seed: int) -> Any:
    assert isinstance(env.action_space, gym.spaces.Discrete) and seed == 3
    return lambda observation: int(observation[0] < 9)


def test_a_policy_of_ones_own_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a function, and by its name as the command takes it, from the folder that one is in."""
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=6, seed=3, policy=to_the_right)
    done = Dataset.open(tmp_path / "d").episode(0).action
    assert (done[:-1].argmax(-1) == 1).all()
    (tmp_path / "my_policies.py").write_text("def right(env, seed):\n    return lambda observation: 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_policies", raising=False)
    order = ["record", "CartPole-v1", "--episodes", "1", "--most", "6", "-o", "named", "--policy"]
    assert main([*order, "my_policies:right"]) == 0
    np.testing.assert_array_equal(Dataset.open("named").episode(0).action, done)


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        ("poor_policies:breaks", "episode 0, step 1: the policy failed in its own code: IndexError"),
        ("poor_policies:none", "the policy returned None: expected a function from observation to action"),
        ("poor_policies:gone", "policy 'poor_policies:gone' cannot be imported"),
        ("nowhere:right", "policy 'nowhere:right' cannot be imported"),
        ("poor_policies:", "policy 'poor_policies:': expected MODULE:FUNCTION, random or the file of a policy"),
    ],
)
def test_a_policy_that_cannot_act_is_one_line(
    policy: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "poor_policies.py").write_text(
        "def breaks(env, seed):\n    return lambda observation: observation['cart']\ndef none(env, seed):\n    return None\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "poor_policies", raising=False)
    assert main(["record", "CartPole-v1", "--episodes", "1", "-o", "d", "--policy", policy]) == 2
    seen = capsys.readouterr().err
    assert line in seen and seen.count("\n") == 1
    assert not (tmp_path / "d" / "meta").exists()


def test_a_dataset_cut_short_or_of_another_version_is_named(tmp_path: Path) -> None:
    assert main(["record", "CartPole-v1", "-o", str(tmp_path / "d"), "--episodes", "2", "--most", "5"]) == 0
    lost = tmp_path / "lost"
    shutil.copytree(tmp_path / "d", lost)
    next(lost.glob("videos/*/*/file-001.mp4")).unlink()
    with pytest.raises(MediaError, match="cut short"):
        Dataset.open(lost)
    half = tmp_path / "half"
    shutil.copytree(tmp_path / "d", half)
    parquet = next(half.glob("data/*/file-000.parquet"))
    parquet.write_bytes(parquet.read_bytes()[:200])
    with pytest.raises(MediaError, match="cannot be read"):
        Dataset.open(half).episode(0)
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "d", old)
    info = old / "meta/info.json"
    info.write_text(info.read_text().replace('"v3.0"', '"v1.6"'))
    with pytest.raises(MediaError, match=r"v1\.6"):
        Dataset.open(old)
    with pytest.raises(MediaError, match="no episode dataset"):
        Dataset.open(tmp_path)


def test_a_recording_killed_half_way_keeps_whole_episodes(tmp_path: Path) -> None:
    """An episode whose files are written but not yet counted is not there, and its place is taken by the next."""
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=5)
    info = (tmp_path / "d/meta/info.json").read_bytes()
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=5)
    (tmp_path / "d/meta/info.json").write_bytes(info)
    assert len(Dataset.open(tmp_path / "d")) == 1
    record("CartPole-v1", tmp_path / "d", episodes_wanted=1, most=7)
    assert [len(episode.frames) for episode in Dataset.open(tmp_path / "d")] == [5, 7]


def test_lerobot_reads_what_we_write(tmp_path: Path) -> None:
    """By its own reader, where it is installed (it wants torchvision, which has no build for a CPU's torch)."""
    reader = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    record("CartPole-v1", tmp_path / "d", episodes_wanted=2, most=6)
    ours = Dataset.open(tmp_path / "d").episode(1)
    theirs = reader.LeRobotDataset("kinema/test", root=tmp_path / "d")
    row = theirs[6 + 2]
    assert len(theirs) == 12 and int(row["episode_index"]) == 1
    np.testing.assert_allclose(row["action"], ours.action[2])
    np.testing.assert_allclose(row["observation.image"].permute(1, 2, 0) * 255, ours.frames[2], atol=1)


class Room(gym.Env):
    """Four frames, each 50 brighter, of whatever kind a test wants."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space: gym.Space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space: gym.Space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, **told: object) -> None:
        self.render_mode, self.t = render_mode, 0
        self.__dict__.update(told)

    def level(self) -> int:
        return 50 * self.t

    def observed(self) -> object:
        return np.zeros(2, np.float32)

    def paid(self) -> object:
        return 1.0

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple:
        super().reset(seed=seed)
        self.t = 0
        return self.observed(), {}

    def step(self, action: object) -> tuple:
        self.t += 1
        return self.observed(), self.paid(), self.t == 3, False, {}

    def render(self) -> object:
        return np.full((32, 32, 3), self.level(), np.uint8)


def recorded(kind: type[Room], folder: Path, **options: object) -> Dataset:
    gym.registry.pop("Room-v0", None)
    gym.register("Room-v0", kind)
    record("Room-v0", folder, episodes_wanted=1, size=(32, 32), **options)  # type: ignore[arg-type]
    return Dataset.open(folder)


def levels(data: Dataset) -> list[int]:
    """Brightness of each picture, in steps of 50."""
    return [round(float(frame.mean()) / 50) for frame in data.episode(0).frames]


def test_one_buffer_that_an_environment_reuses_is_copied(tmp_path: Path) -> None:
    class Reuses(Room):
        observation_space = gym.spaces.Dict(
            {"eye": gym.spaces.Box(0, 255, (32, 32, 3), np.uint8), "at": gym.spaces.Box(0, 9, (1,), np.float32)}
        )
        buffer = {"eye": np.zeros((32, 32, 3), np.uint8), "at": np.zeros(1, np.float32)}  # noqa: RUF012

        def observed(self) -> object:
            self.buffer["eye"][:] = self.level()
            self.buffer["at"][:] = self.t
            return self.buffer

        def render(self) -> object:
            self.observed()
            return self.buffer["eye"]

    for name, picture in (("observed", None), ("rendered", "render")):
        data = recorded(Reuses, tmp_path / name, picture=picture)
        assert levels(data) == [0, 1, 2, 3] and data.episode(0).sensors[:, 0].tolist() == [0, 1, 2, 3]


def test_an_environment_that_changes_its_action_changes_no_record(tmp_path: Path) -> None:
    class Clips(Room):
        action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

        def step(self, action: object) -> tuple:
            action[:] = 0.0  # type: ignore[index]
            return super().step(action)

    assert (recorded(Clips, tmp_path / "d").episode(0).action[:-1] != 0).all()


@pytest.mark.parametrize(
    ("space", "value", "rendered"),
    [
        (gym.spaces.Box(0.0, 1.0, (32, 32, 3), np.float32), lambda v: np.full((32, 32, 3), v / 255, np.float32), False),
        (gym.spaces.Box(0, 255, (3, 32, 40), np.uint8), lambda v: np.full((3, 32, 40), v, np.uint8), False),
        (gym.spaces.Box(0, 255, (32, 32), np.int32), lambda v: np.full((32, 32), v, np.int32), False),
        (gym.spaces.Box(0, 5, (20, 20), np.uint8), lambda v: np.full((20, 20), v // 50, np.uint8), True),
        (gym.spaces.Box(-np.inf, np.inf, (20, 20), np.float32), lambda v: np.full((20, 20), v, np.float32), True),
    ],
)
def test_what_is_a_picture(space: gym.Space, value: Any, rendered: bool, tmp_path: Path) -> None:
    """Floats from 0 to 1, channels first and whole numbers are pictures; boards and plain numbers are sensors."""

    class Seen(Room):
        observation_space = space

        def observed(self) -> object:
            return value(self.level())

        def render(self) -> object:
            return np.full((32, 32, 3), 255, np.uint8)

    data = recorded(Seen, tmp_path / "d")
    assert levels(data) == ([5] * 4 if rendered else [0, 1, 2, 3])
    assert data.sensors == (400 if rendered else 0)


def test_rendered_floats_are_as_bright_as_they_look_or_refused(tmp_path: Path) -> None:
    class Floats(Room):
        most = 1.0

        def render(self) -> object:
            return np.full((32, 32, 3), self.most * self.level() / 255)

    class Wrong(Floats):
        most = 255.0

    assert levels(recorded(Floats, tmp_path / "d")) == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"episode 0, step 1: .*values from 50 to 50"):
        recorded(Wrong, tmp_path / "e")


def test_the_picture_is_chosen_by_its_key(tmp_path: Path) -> None:
    eye = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)

    class Two(Room):
        observation_space = gym.spaces.Dict({"a": eye, "arm": gym.spaces.Dict({"b": eye})})

        def observed(self) -> object:
            picture = np.full((32, 32, 3), 200, np.uint8)
            return {"a": picture, "arm": {"b": np.full((32, 32, 3), self.level(), np.uint8)}}

    assert levels(recorded(Two, tmp_path / "first")) == [4, 4, 4, 4]
    data = recorded(Two, tmp_path / "second", picture="arm/b")
    assert levels(data) == [0, 1, 2, 3] and data.about["picture"] == "arm/b"
    with pytest.raises(InputError, match="has a, arm/b, render"):
        recorded(Two, tmp_path / "none", picture="c")


@pytest.mark.parametrize("paid", [float("nan"), float("inf"), 1e300, np.array([1.0, 2.0]), None, "much"])
def test_a_reward_that_is_no_number_is_refused_with_its_step(paid: object, tmp_path: Path) -> None:
    class Pays(Room):
        def paid(self) -> object:
            return paid if self.t == 2 else 1.0

    with pytest.raises(InputError, match="episode 0, step 2: the reward"):
        recorded(Pays, tmp_path / "d")
    assert not (tmp_path / "d" / "meta").exists()


@pytest.mark.parametrize("where", ["made", "reset", "step", "seen"])
def test_an_environment_that_fails_in_its_own_code_is_said_in_one_line(where: str, tmp_path: Path) -> None:
    """The line says where; what was recorded before stays out of the way."""

    class Fails(Room):
        def __init__(self, **options: Any) -> None:
            if where == "made":
                raise AttributeError("'Space' object has no\nattribute 'x'")
            super().__init__(**options)

        def reset(self, **given: Any) -> Any:
            if where == "reset":
                raise ZeroDivisionError("division by zero")
            return super().reset(**given)

        def paid(self) -> object:
            if where == "step":
                raise KeyError("ball")
            return 1.0

        def observed(self) -> object:
            if where == "seen" and self.t == 1:
                raise ValueError("no picture")
            return super().observed()

    said = {
        "made": "while it was made: AttributeError",
        "reset": "ZeroDivisionError",
        "step": "KeyError",
        "seen": "ValueError",
    }
    with pytest.raises(InputError, match=rf"in its own code.*{said[where]}.*\(test_recorder\.py, line \d+\)$") as failed:
        recorded(Fails, tmp_path / "d")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("paid", [2, np.float64(2), np.array(2.0), np.array([2.0]), np.array([[2]]), np.int8(2)])
def test_rewards_of_any_form(paid: object, tmp_path: Path) -> None:
    class Pays(Room):
        def paid(self) -> object:
            return paid

    assert recorded(Pays, tmp_path / "d").episode(0).reward.tolist() == [0, 2, 2, 2]


def test_numbers_that_are_not_finite_are_refused_with_their_step(tmp_path: Path) -> None:
    class Tells(Room):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)

        def observed(self) -> object:
            return np.array([0.0, np.inf if self.t == 1 else 0.0])

    with pytest.raises(InputError, match=r"episode 0, step 1: observation is inf"):
        recorded(Tells, tmp_path / "d")


def test_a_module_s_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rooms_of_mine.py").write_text(
        "import gymnasium as gym\nfrom gymnasium.envs.classic_control import CartPoleEnv\n"
        "gym.register('mine/Room-v0', CartPoleEnv, max_episode_steps=5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    assert main(["record", "rooms_of_mine:mine/Room-v0", "--episodes", "1", "-o", "a:b"]) == 0
    assert Dataset.open("a:b").about["env"] == "rooms_of_mine:mine/Room-v0"
    assert Dataset.open("a:b").episode(0).frames.shape[1:] == (64, 64, 3)
    with pytest.raises(InputError, match="'no_such' of 'no_such:Room-v0' cannot be imported"):
        record("no_such:Room-v0", tmp_path / "d", episodes_wanted=1)


def test_a_package_that_is_missing_is_one_line(tmp_path: Path) -> None:
    class Lacks(Room):
        def render(self) -> object:
            raise gym.error.DependencyNotInstalled("pygame is not installed")

    with pytest.raises(InputError, match="pygame is not installed"):
        recorded(Lacks, tmp_path / "d")


def test_one_recording_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "d", "recording", "-o"), pytest.raises(InputError, match="another recording is writing"):
        record("CartPole-v1", tmp_path / "d", episodes_wanted=1)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    size: Any = (np.int64(32), np.int64(32))
    count: Any = np.int64(2)
    record("CartPole-v1", tmp_path / "d", episodes_wanted=count, seed=count, most=count, size=size)
    assert [len(one.frames) for one in Dataset.open(tmp_path / "d")] == [2, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"episodes_wanted": 1.5}, {"episodes_wanted": "2"}, {"episodes_wanted": float("nan")}, {"seed": -1}, {"seed": None},
        {"size": 32}, {"size": "32"}, {"options": [1]}, {"most": -1}, {"most": 1},
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_are_refused_before_anything_is_made(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        record("CartPole-v1", tmp_path / "d", **{"episodes_wanted": 1, **wrong})
    assert not (tmp_path / "d").exists()


class Unruly(gym.Env[Any, Any]):
    """Breaks what its spaces declare from the second step on."""

    observation_space = gym.spaces.Dict(
        {"picture": gym.spaces.Box(0, 255, (32, 32, 3), np.uint8), "numbers": gym.spaces.Box(-1, 1, (2,), np.float32)}
    )
    action_space = gym.spaces.Discrete(2)

    def __init__(self, breaks: dict[str, Any]) -> None:
        self.breaks, self.count = breaks, 0

    def _seen(self) -> dict[str, Any]:
        seen = {"picture": np.zeros((32, 32, 3), np.uint8), "numbers": np.zeros(2, np.float32)}
        return {name: x for name, x in {**seen, **(self.breaks if self.count > 1 else {})}.items() if x is not None}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.count = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self._seen(), 0.0, False, self.count > 3, {}


@pytest.mark.parametrize(
    ("breaks", "what"),
    [
        ({"numbers": None}, "has no numbers"),
        ({"numbers": np.zeros(3, np.float32)}, "expected 2 numbers"),
        ({"numbers": "x"}, "expected the numbers"),
        ({"picture": np.zeros((16, 32, 3), np.uint8)}, r"expected \(32, 32, 3\)"),
    ],
)
def test_an_environment_that_breaks_its_spaces_is_named_with_episode_and_step(
    tmp_path: Path, breaks: dict[str, Any], what: str
) -> None:
    gym.registry.pop("Unruly-v0", None)
    gym.register("Unruly-v0", entry_point=lambda: Unruly(breaks))
    with pytest.raises(InputError, match=f"episode 0, step 2: .*{what}"):
        record("Unruly-v0", tmp_path / "d", episodes_wanted=1, size=(32, 32))


def test_the_command_s_size_is_width_by_height(tmp_path: Path) -> None:
    wide = ["--size", "64x32", "--episodes", "1", "--most", "3"]
    assert main(["record", "CartPole-v1", "-o", str(tmp_path / "d"), *wide]) == 0
    data = Dataset.open(tmp_path / "d")
    assert data.size == (32, 64) and data.episode(0).frames.shape[1:] == (32, 64, 3)


def test_names_of_actions_are_recorded_and_an_older_dataset_without_them_is_added_to(tmp_path: Path) -> None:
    record("MiniGrid-Empty-5x5-v0", tmp_path / "d", episodes_wanted=1, most=6)
    info = tmp_path / "d" / "meta" / "info.json"
    told = json.loads(info.read_text())
    assert told["kinema"].pop("action_names")[:3] == ["left", "right", "forward"]
    info.write_text(json.dumps(told))
    record("MiniGrid-Empty-5x5-v0", tmp_path / "d", episodes_wanted=1, most=6)
    assert "action_names" not in json.loads(info.read_text())["kinema"] and len(Dataset.open(tmp_path / "d")) == 2
