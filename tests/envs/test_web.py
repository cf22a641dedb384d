"""A world for a browser: the exported step is Python's, and what cannot be exported is said in one line."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.envs.web_worlds import LivePlayer, Player, live_noise, lively, noise_of, tiny_world

from kinema.cli import export as export_verb
from kinema.cli.main import main
from kinema.envs.controls import chosen_action
from kinema.envs.recorded import MOST_STEPS, RecordedWorld
from kinema.envs.spaces import encode_action, spec_of
from kinema.envs.web.controls import web_controls
from kinema.envs.web.export import PLAYER, export_web
from kinema.envs.web.graphs import SMALL, _halved, _without_traces, write_graphs
from kinema.envs.web.live import export_live_web
from kinema.envs.web.live_graphs import float32_copy, write_live_graphs
from kinema.envs.web.runtime import FILES, PACKAGE, RUNTIME_VERSION, fetch_runtime, read_runtime
from kinema.errors import InputError, OutputError
from kinema.inference.rollout import WINDOW, task_condition
from kinema.models.dit_model import EXACT
from kinema.models.hub import Model
from kinema.models.rules import RULE_WIDTH
from kinema.simulation.world import World

TOLERANCE = 5e-4
"""Of latents and numbers after 20 frames, as a share of the largest where that is above 1."""
EXPORTS = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")),
    reason="exporting needs: pip install 'kinema[web]'",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory.mktemp("web"), "MiniGrid-Empty-5x5-v0")


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A package with the names of the files that the player needs, and nothing in them."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": PACKAGE, "version": "9.9.9"}))
    for name in FILES:
        (folder / "dist" / name).write_bytes(name.encode())
    return folder


@EXPORTS
def test_no_part_of_a_graph_keeps_where_it_was_written() -> None:
    import onnx
    from onnx import helper

    def node() -> onnx.NodeProto:
        made = helper.make_node("Identity", ["a"], ["b"], doc_string="/home/me/world.py")
        helper.set_model_props(made, {"trace": "/home/me/world.py"})
        return made

    branch = helper.make_graph([node()], "branch", [], [], doc_string="/home/me")
    chosen = helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch)
    function = helper.make_function("here", "f", ["a"], ["b"], [node()], [helper.make_opsetid("", 20)])
    model = helper.make_model(helper.make_graph([node(), chosen], "graph", [], []), functions=[function])
    assert b"/home/me" in model.SerializeToString()
    assert b"/home/me" not in _without_traces(model).SerializeToString()
    assert [one.op_type for one in model.graph.node] == ["Identity", "If"]


@EXPORTS
def test_weights_that_float16_cannot_hold_stay_as_they_are() -> None:
    from onnx import helper, numpy_helper

    exact, fine = np.full(300, 0.5, np.float32), np.full(300, 0.1, np.float32)
    exact[0] = fine[0] = np.inf  # as choices that a number does not have
    tensors = [numpy_helper.from_array(x, name) for name, x in (("exact", exact), ("fine", fine), ("large", 1e6 * fine))]
    halved = _halved(helper.make_model(helper.make_graph([], "graph", [], [], tensors)))
    assert {one.name for one in halved.graph.initializer} == {"exact.half", "fine", "large"}


@EXPORTS
@pytest.mark.parametrize(("steps", "first"), [(1, False), (1, True), (2, True)])
def test_the_exported_step_is_that_of_python(world: Path, tmp_path: Path, steps: int, first: bool) -> None:
    model = lively(world)
    model.config = replace(model.config, numbers_first=first)
    assert bool(model.config.first_columns) is first and model.number_bounds is not None
    text = task_condition(model, (model.config.world or {})["tasks"][0])
    assert text is not None
    given = {"text": text.states.numpy(), "text_mask": text.reads[:, 0].numpy()}
    write_graphs(model, tmp_path, steps=steps, text_tokens=given["text"].shape[1])
    import onnx

    stored = onnx.load(str(tmp_path / "step.onnx")).graph.initializer
    kinds = {kind: {int(np.prod(x.dims)) for x in stored if x.data_type == kind} for kind in (1, 10)}  # FLOAT, FLOAT16
    assert RULE_WIDTH**2 in kinds[1] - kinds[10] and max(kinds[10]) >= SMALL, "rules stay in float32, other weights do not"
    rolled, player = RecordedWorld(model, seed=3, steps=steps), Player(tmp_path, model)
    recorded_noise = torch.randn(1, *player.shapes.inputs["noise"][1:], generator=torch.Generator().manual_seed(0)).numpy()
    known = [{name: x[0].numpy() for name, x in state.tracks.items()} for state in rolled._frame_states]
    for index, frame in enumerate(known):
        if index:
            player.run(index, recorded_noise, given)
        player.frames.append(frame)
    assert [one is not None for one in player.held].count(True) == min(len(known) - 1, player.places)
    change, actions = 0.0, np.random.default_rng(0).integers(7, size=20)
    for action in actions:
        before, noise, index = rolled.frame, noise_of(rolled), rolled.frame_index + 1
        rolled.go(int(action))
        player.frames[-1]["action"] = rolled._frame_states[-2].tracks["action"][0].numpy()
        made = player.run(index, noise, given)
        tracks = rolled._frame_states[-1].tracks
        player.frames.append({
            "video": made["next_video"][0], "sensors": made["next_sensors"][0], "memory": made["next_memory"][0],
            "action": tracks["action"][0].numpy(),
        })  # fmt: skip
        assert np.abs(made["next_memory"]).max() > 0.01
        for name in ("video", "reward", "terminated", "sensors", "memory"):
            true = tracks[name].numpy()
            assert np.abs(made[f"next_{name}"] - true).max() < TOLERANCE * max(1.0, np.abs(true).max()), (index, name)
        picture = player.picture(made["next_video"][0])
        assert (picture[..., 3] == 255).all()
        assert np.abs(picture[..., :3].astype(int) - rolled.frame.astype(int)).max() <= 1
        change = max(change, float(np.abs(rolled.frame.astype(int) - before.astype(int)).max()))
    assert change > 20, "a world that stands still would prove nothing"
    assert all(one is not None for one in player.held), "the ring has come round"


@EXPORTS
def test_the_exported_live_step_is_that_of_python(model: Model, tmp_path: Path) -> None:
    live = float32_copy(model)
    with torch.no_grad():
        live.denoiser.action_in.weight.normal_(
            std=0.3, generator=torch.Generator().manual_seed(7)
        )  # it is 0 before training
    step = write_live_graphs(live, tmp_path, fps=16.0, size=(32, 48))
    stepped = World(live, "a red ball and a green robot", seed=2, size=(48, 32))
    player = LivePlayer(tmp_path, step, {name: x.numpy() for name, x in stepped._frame_states[-1].tracks.items()})
    rng, seen = np.random.default_rng(0), []
    for index in range(40):
        action, noise = rng.uniform(-1, 1, 2).astype(np.float32), live_noise(stepped)
        stepped._advance(1, action)
        made = player.go(action, noise)
        for name, x in stepped._frame_states[-1].tracks.items():
            assert np.abs(made[name] - x.numpy()).max() < TOLERANCE, (index, name)
        assert np.abs(player.picture()[..., :3].astype(int) - stepped.frame.astype(int)).max() <= 1
        seen.append(stepped.frame.astype(int))
    assert player.held == WINDOW, "the oldest frames have been dropped"
    assert max(np.abs(a - b).max() for a, b in itertools.pairwise(seen)) > 5


@pytest.mark.slow
@EXPORTS
def test_a_folder_of_a_live_world(model: Model, runtime: Path, tmp_path: Path) -> None:
    made = export_live_web(model, tmp_path / "page", runtime=runtime, texts=["a red ball", "a green robot"])
    about = json.loads((made.folder / "world.json").read_text())
    assert about["kind"] == "live" and about["tasks"] == ["a red ball", "a green robot"] and made.beginnings == 2
    assert [one["keys"] for one in about["controls"]["actions"]] == [
        ["ArrowLeft"],
        ["ArrowRight"],
        ["ArrowDown"],
        ["ArrowUp"],
    ]
    assert all(about["data"][name]["shape"][0] == 2 for name in about["tracks"])


@EXPORTS
def test_a_folder_holds_all_that_the_page_needs(world: Path, runtime: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "page"
    assert main(["export", "web", str(world.parent), "-o", str(out), "--runtime", str(runtime)]) == 0
    about = json.loads((out / "world.json").read_text())
    made = {"step.onnx", "decoder.onnx", "world.json", "beginnings.bin", "beginnings.png", "README.md"}
    assert {path.name for path in out.iterdir()} == {*PLAYER, *made, "runtime"}
    assert {path.name for path in (out / "runtime").iterdir()} == set(FILES)
    assert about["env"] == "MiniGrid-Empty-5x5-v0" and "recorded frames" in about["about"]
    assert about["runtime"] == {PACKAGE: "9.9.9"} and [one["label"] for one in about["controls"]["actions"]][:2] == [
        "left",
        "right",
    ]
    assert about["tasks"] == ["get to the green goal square"] and about["text"]
    assert "agent.x" in about["numbers"]["name"] and about["fps"] == 10.0
    length = (out / "beginnings.bin").stat().st_size
    for entry in about["data"].values():
        size = int(np.prod(entry["shape"])) * np.dtype(entry["type"]).itemsize
        assert entry["offset"] % 4 == 0 and entry["offset"] + size <= length
    assert about["data"]["video"]["shape"][0] == len(about["beginnings"]["task"])
    assert not list(out.parent.glob(".*")), "nothing half made is left"
    assert main(["export", "web", str(world), "-o", str(out), "--runtime", str(runtime)]) == 2


@EXPORTS
def test_weights_are_stored_in_half_the_bytes_and_no_path_with_them(world: Path, tmp_path: Path) -> None:
    model = lively(world)
    write_graphs(model, tmp_path, text_tokens=8)
    exact = sum(x.numel() for name, x in model.network.named_parameters() if name.startswith(EXACT))
    stored = 4 * exact + 2 * (model.parameters - exact)
    size = (tmp_path / "step.onnx").stat().st_size
    assert size < stored + 300_000, "the rest is the graph"
    for name in ("step.onnx", "decoder.onnx"):
        made = (tmp_path / name).read_bytes()
        assert b".py" not in made, "neither source nor paths of the machine that exported it"


def test_errors_are_one_line(world: Path, runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()

    def said(*given: str) -> str:
        assert main(["export", "web", *given]) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    name = str(world)
    assert "is no recorded world" in said(str(tmp_path / "empty"), "-o", str(tmp_path / "out"))
    assert "is not empty" in said(name, "-o", str(tmp_path / "full"), "--runtime", str(runtime))
    assert "is a file" in said(name, "-o", str(tmp_path / "file"), "--runtime", str(runtime))
    assert "-o" in said(name)
    assert "--steps cannot be changed" in said("kinema-tiny", "-o", str(tmp_path / "out"), "--steps", "2")
    assert "--begin cannot be changed" in said(name, "-o", str(tmp_path / "out"), "--begin", "a red ball")
    assert "expected 1 to 64" in said(name, "-o", str(tmp_path / "out"), "--steps", "0")


def test_missing_packages_are_named(
    world: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "web", str(world), "-o", str(tmp_path / "out"), "--runtime", str(runtime)]) == 2
    assert "onnx is not installed; exporting needs: pip install 'kinema[web]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_runtime_is_an_npm_package(runtime: Path, tmp_path: Path) -> None:
    packed = tmp_path / "runtime.tgz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(runtime, "package")
    assert read_runtime(packed) == read_runtime(runtime) == read_runtime(runtime.parent)
    version, files = read_runtime(packed)
    assert version == "9.9.9" and files == {name: name.encode() for name in FILES}
    (runtime / "dist" / FILES[-1]).unlink()
    with pytest.raises(InputError, match=rf"holds no {PACKAGE} \({FILES[-1]} is not in it\)"):
        read_runtime(runtime)
    with pytest.raises(InputError, match="does not exist"):
        read_runtime(tmp_path / "nowhere.tgz")
    (tmp_path / "text.tgz").write_text("no archive")
    with pytest.raises(InputError, match=f"holds no {PACKAGE}"):
        read_runtime(tmp_path / "text.tgz")
    (runtime / "package.json").write_text('{"name": "left-pad", "version": "1"}')
    (runtime / "dist" / FILES[-1]).write_text("")
    with pytest.raises(InputError, match="holds the package left-pad"):
        read_runtime(runtime)


def test_without_npm_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=f"npm is not installed, which would fetch {PACKAGE}@{RUNTIME_VERSION}; give the"):
        fetch_runtime(tmp_path / "cache")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(InputError, match=r"npm could not fetch .*: no network; give the package"):
        fetch_runtime(tmp_path / "cache")
    kept = tmp_path / "cache" / f"{PACKAGE}-{RUNTIME_VERSION}.tgz"
    npm.write_text(f"#!/bin/sh\necho packed > {PACKAGE}-{RUNTIME_VERSION}.tgz\n")
    assert fetch_runtime(tmp_path / "cache") == kept and kept.read_text() == "packed\n"
    npm.unlink()
    assert fetch_runtime(tmp_path / "cache") == kept


def test_a_model_that_films_is_refused(world: Path, runtime: Path, tmp_path: Path) -> None:
    model = lively(world)
    for names in (["a"], list("abcdefghij")):
        with pytest.raises(InputError, match="it has 7 choices"):
            export_web(model, tmp_path / "out", runtime=runtime, action_names=names)
    with pytest.raises(OutputError, match="is a file"):
        export_web(model, Path(__file__), runtime=runtime)
    with pytest.raises(InputError, match="0 steps"):
        export_web(model, tmp_path / "out", runtime=runtime, steps=0)


def test_keys_change_the_action_of_no_key_to_theirs() -> None:
    import gymnasium as gym

    spaces = (
        gym.spaces.Discrete(3, start=-1), gym.spaces.MultiDiscrete([2, 3]), gym.spaces.MultiBinary(3),
        gym.spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 2.0], np.float32)),
        gym.spaces.Dict({"a": gym.spaces.Discrete(2), "b": gym.spaces.MultiBinary(2)}),
    )  # fmt: skip
    for space in spaces:
        world = {"action": spec_of(space), "idle": 1}
        made = web_controls(world)
        assert made["idle"] == encode_action(world["action"], chosen_action(world["action"], None, 1)).tolist()
        keys = [key for one in made["actions"] for key in one["keys"]]
        assert len(keys) == len(set(keys))
        for i, one in enumerate(made["actions"]):
            vector = np.array(made["idle"], np.float32)
            for at, value in one["set"]:
                vector[at] = value
            if world["action"]["type"] != "box":
                assert np.array_equal(vector, encode_action(world["action"], chosen_action(world["action"], i, 1)))
        assert made["combine"] is not isinstance(space, gym.spaces.Discrete)
    box = web_controls({"action": spec_of(spaces[3])})
    assert [one["keys"] for one in box["actions"]] == [["ArrowLeft"], ["ArrowRight"], ["ArrowDown"], ["ArrowUp"]]
    assert [one["set"] for one in box["actions"]] == [[[0, -1.0]], [[0, 1.0]], [], [[1, 1.0]]]


def test_named_actions_have_keys_that_fit_their_names() -> None:
    world = {"action": {"type": "discrete", "n": 5, "start": 0}, "idle": 0}
    made = web_controls(world, ["noop", "fire", "Left", "right", "jump"])
    assert [one["label"] for one in made["actions"]] == ["noop", "fire", "Left", "right", "jump"]
    assert [one["keys"] for one in made["actions"]] == [
        ["Digit0"], ["Digit1", "Space"], ["Digit2", "ArrowLeft"], ["Digit3", "ArrowRight"], ["Digit4"],
    ]  # fmt: skip
    assert web_controls({**world, "action_names": ["a", "b", "c", "d", "e"]})["actions"][4]["label"] == "e"
    with pytest.raises(InputError, match="it has 5 choices"):
        web_controls(world, ["noop"])
    with pytest.raises(InputError, match="numbers"):
        web_controls({"action": {"type": "box", "edges": [None], "shape": [1], "dtype": "float32"}}, ["x"])


def test_the_command_takes_as_many_steps_as_a_world() -> None:
    assert export_verb.MOST_STEPS == MOST_STEPS
