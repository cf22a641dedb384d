"""Recorded worlds on a server: begun by name, stepped in their own action space, played live, rewound, branched, saved, opened."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from tests.server.recorded_worlds import add_world, cart_entities
from tests.server.served_worlds import serving
from tests.server.test_worlds import playing, say, shown

from kinema.client import RemoteWorld
from kinema.envs.recorded import RecordedWorld, recorded_model
from kinema.errors import InputError, ModelError, SizeError
from kinema.media import Clip
from kinema.scene.scene import Scene
from kinema.server.api.models import model_shown
from kinema.server.worlds.beginnings import begin_world
from kinema.server.worlds.manager import WorldManager
from kinema.server.worlds.session import step_of
from kinema.simulation.checkpoint import read_world_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a recorded world named cart."""
    place = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINEMA_MODELS", str(place / "models.toml"))
        yield add_world(place, place / "models.toml")


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(WorldManager(tmp_path_factory.mktemp("data") / "worlds", threads=1)) as address:
        yield address


@pytest.fixture
def ann(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"authorization": "Bearer ann"}, timeout=60) as client:
        yield client


def begun(ann: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = ann.post("/v1/worlds", json={"model": "cart", "seed": 3, **more})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def picture_now(ann: httpx.Client, id: str) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(ann.get(f"/v1/worlds/{id}/frame").content)) as opened:
        return np.array(opened)


def test_a_recorded_world_says_how_it_is_acted_in_and_is_the_local_one(ann: httpx.Client, folder: Path) -> None:
    made, local = begun(ann), RecordedWorld(folder, seed=3)
    assert (made["model"], made["name"], made["size"], made["fps"], made["seed"]) == ("cart", "cart", "48x32", 50.0, 3)
    assert made["state"] is None and made["task"] is None and made["reward"] == local.reward
    space = {"type": "discrete", "n": 2, "start": 0}
    assert made["controls"] == {"space": space, "idle": local.idle, "keys": {"0": 0, "1": 1}}
    at = f"/v1/worlds/{made['id']}"
    assert np.array_equal(picture_now(ann, made["id"]), local.frame)
    for action in (1, 0, None, 1):
        told = ann.post(f"{at}/step", json={"action": action}).json()
        local.go(local.idle if action is None else action)
        assert (told["time_s"], told["reward"], told["terminated"]) == (local.time_s, local.reward, local.terminated)
        assert told["past_frames"] == local.past_frames and told["state"] is None
        assert np.array_equal(picture_now(ann, made["id"]), local.frame)
    assert begun(ann, model="cart-alias", name="mine")["model"] == "cart"
    assert made["id"] in [one["id"] for one in ann.get("/v1/worlds").json()["data"]]
    assert ann.delete(at).json()["deleted"] and ann.get(at).status_code == 404


def test_actions_and_beginnings_that_cannot_be_are_refused_in_one_line(ann: httpx.Client) -> None:
    id = begun(ann)["id"]
    for action in (2, -1, True, "1", 0.5, [1.0, 0.0], {"a": 1}, [[[]]], 10**400):
        answer = ann.post(f"/v1/worlds/{id}/step", json={"action": action})
        message = answer.json()["error"]["message"]
        assert answer.status_code == 400 and "\n" not in message, action
        assert "expected one of Discrete(2), such as 0, or null for none" in message
    assert ann.get(f"/v1/worlds/{id}").json()["time_s"] == begun(ann)["time_s"], "nothing was stepped"
    for more, told in (
        ({"prompt": "a red ball"}, "not with other words"),
        ({"start": {"state": {"num_frames": 1}}}, ""),
        ({"fps": 16}, "was recorded at 50; leave fps out"),
        ({"size": "64x64"}, "are 48x32, as they were recorded; leave size out"),
        ({"task": "reach the flag"}, "it was recorded without tasks; leave task out"),
        ({"model": "dog"}, "no model 'dog'; expected one of: "),
    ):
        answer = ann.post("/v1/worlds", json={"model": "cart", **more})
        assert answer.status_code == 400 and told in answer.json()["error"]["message"], more
    assert begun(ann, fps=50, size="48x32")["size"] == "48x32"


def test_a_picture_begins_a_world_and_a_state_does_not(folder: Path, scene: Callable[..., Scene]) -> None:
    model = recorded_model(folder)
    picture = RecordedWorld(model, seed=5).frame
    large = Clip(frames=picture.repeat(3, 0).repeat(3, 1)[None], fps=50.0)
    made = begin_world(model, large, seed=3, fps=None, size=None, task=None)
    assert np.abs(made.frame.astype(int) - picture.astype(int)).mean() < 12
    assert np.array_equal(made.frame, RecordedWorld(model, start=large, seed=3).frame)
    with pytest.raises(InputError, match="has no state to begin with"):
        begin_world(model, scene(), seed=3, fps=None, size=None, task=None)


def test_without_a_state_nothing_is_asked_or_changed(ann: httpx.Client) -> None:
    id = begun(ann)["id"]
    before = ann.get(f"/v1/worlds/{id}").json()
    for method, path, body in (
        ("POST", "ask", {"question": "where is the cart?"}),
        ("POST", "edit", {"text": "remove the cart"}),
        ("POST", "move", {"slot": 0, "x": 1, "y": 1}),
        ("POST", "what_if", {"cause": "the cart had not been there"}),
        ("GET", "scene", None),
    ):
        answer = ann.request(method, f"/v1/worlds/{id}/{path}", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "no_state"), path
        assert "this recorded world has no state" in error["message"] and "\n" not in error["message"]
    assert ann.get(f"/v1/worlds/{id}").json() == before


def test_entities_are_told_and_asked_for(url: str, folder: Path, tmp_path: Path) -> None:
    """Where a recording has them: in what a world is, after each step, and as answers, the same as in the library."""
    add_world(tmp_path, folder.parents[1] / "models.toml", name="told", entities=cart_entities)
    with RemoteWorld(url, model="told", seed=3, key="ann") as world:
        local = RecordedWorld(tmp_path / "run" / "world", seed=3)
        world.go(1)
        local.go(1)
        assert world.entities == local.entities and set(world.entities) == {"cart", "pole"}
        assert world.ask("where is the cart?") == local.ask("where is the cart?")
        with pytest.raises(InputError, match=r"there is no 'dog'; expected one of cart, pole"):
            world.ask("where is the dog?")
        with pytest.raises(InputError, match="not understood; say: set X's FIELD to N"):
            world.edit("move the cart left")
        assert world.edit("set the cart's x to 0.1") == local.edit("set the cart's x to 0.1")
        assert world.entities == local.entities and world.entities["cart"]["x"] == pytest.approx(0.1, abs=1e-5)
        assert np.array_equal(world.frame, local.frame)
        assert np.array_equal(world.go(0).frame, local.go(0).frame)
        world.delete()


def test_a_program_ends_though_its_world_is_not_closed(url: str) -> None:
    """Also where it has stepped, which opens a WebSocket with a thread of its own."""
    code = f"import kinema; w = kinema.RemoteWorld({url!r}, model='cart', key='ann'); w.go(0); print(w.time_s > 0)"
    ended = subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr


def test_branches_rewinding_and_clips(ann: httpx.Client) -> None:
    parent = begun(ann)["id"]
    ann.post(f"/v1/worlds/{parent}/step", json={"action": 1, "frames": 3})
    before, picture = ann.get(f"/v1/worlds/{parent}").json(), picture_now(ann, parent)
    child = ann.post(f"/v1/worlds/{parent}/branch", json={}).json()
    assert child["parent"] == parent and child["controls"] == before["controls"]
    ann.post(f"/v1/worlds/{child['id']}/step", json={"action": 0, "frames": 2})
    assert ann.get(f"/v1/worlds/{parent}").json() == before
    back = ann.post(f"/v1/worlds/{child['id']}/rewind", json={"frames": 2}).json()
    assert back["time_s"] == before["time_s"] and np.array_equal(picture_now(ann, child["id"]), picture)
    assert ann.post(f"/v1/worlds/{parent}/rewind", json={"frames": 99}).status_code == 400
    clip = ann.get(f"/v1/worlds/{parent}/clip", params={"frames": 2, "format": "png"})
    assert clip.status_code == 200 and clip.headers["content-type"] == "image/png"


def test_live_play(url: str, ann: httpx.Client, folder: Path) -> None:
    id = begun(ann)["id"]
    local = RecordedWorld(folder, seed=3)
    with playing(url, id, "&paused=1&format=png") as line:
        first, picture = shown(line)
        assert first["state"] is None and not first["playing"] and picture.size == (48, 32)
        say(line, type="ack", frame=0)
        say(line, type="action", action=7)
        assert "expected one of Discrete(2)" in json.loads(line.recv(60))["error"]["message"]
        say(line, type="action", action=1)
        say(line, type="step")
        header, picture = shown(line)
        assert header["action"] == 1 and header["stepped"] == 1
        assert np.array_equal(np.array(picture.convert("RGB")), local.go(1).frame)
        assert (header["reward"], header["terminated"]) == (local.reward, local.terminated)
        say(line, type="ack", frame=1)
        say(line, type="action", action=None)
        say(line, type="play")
        header, _ = shown(line)
        assert header["playing"] and header["action"] is None and header["time_s"] == local.go(local.idle).time_s


def test_a_saved_world_is_opened_again_here_and_there(ann: httpx.Client, folder: Path, tmp_path: Path) -> None:
    id = begun(ann)["id"]
    ann.post(f"/v1/worlds/{id}/step", json={"action": 1, "frames": 3})
    path = tmp_path / "cart.world"
    path.write_bytes(ann.get(f"/v1/worlds/{id}/file").content)
    data = read_world_data(path, "dream")
    assert data["model"] == "cart", "the file names the model, not a folder of the server"
    local = RecordedWorld.open(path, model=folder)
    opened = ann.post("/v1/worlds/open", files={"file": ("mine.world", path.read_bytes())}).json()
    assert (opened["name"], opened["model"], opened["state"]) == ("mine", "cart", None)
    for at in (id, opened["id"]):
        ann.post(f"/v1/worlds/{at}/step", json={"action": 0})
    assert np.array_equal(picture_now(ann, opened["id"]), picture_now(ann, id))
    assert np.array_equal(picture_now(ann, id), local.go(0).frame)
    here = RecordedWorld(folder, seed=5).go(1)
    again = ann.post("/v1/worlds/open", files={"file": ("l.kinema", here.save(tmp_path / "l.kinema").read_bytes())})
    assert again.json()["model"] == "cart", "by the folder that was added"
    assert np.array_equal(picture_now(ann, again.json()["id"]), here.frame)


def test_a_file_that_does_not_fit_is_refused(ann: httpx.Client, folder: Path, tmp_path: Path) -> None:
    world = RecordedWorld(folder, seed=3)
    good = world._frame_states
    last = good[-1]

    def refused(name: str, *, model: str = "cart") -> str:
        path = world.save(tmp_path / name, model=model)
        answer = ann.post("/v1/worlds/open", files={"file": (name, path.read_bytes())})
        world._frame_states = good
        assert answer.status_code == 400, answer.text
        message = str(answer.json()["error"]["message"])
        assert str(tmp_path) not in message and "\n" not in message
        return message

    assert "no model 'elsewhere'" in refused("a", model="elsewhere")
    tracks = {**last.tracks, "video": last.tracks["video"][:, :, :1]}
    world._frame_states = [type(last)(time_s=0.0, tracks=tracks)]
    assert "its video is [1, 1, " in refused("b")
    world._frame_states = [type(last)(time_s=0.0, tracks={**last.tracks, "reward": torch.full((1, 1), torch.inf)})]
    assert "not finite" in refused("c")
    world._frame_states = [type(last)(time_s=0.0, tracks=last.tracks, kv=tuple((k[..., :2], v) for k, v in last.kv or ()))]
    assert "in other shapes" in refused("d")
    many = world.model.config.frames + 100
    world._frame_states = [type(last)(time_s=float(i), tracks=last.tracks) for i in range(many)]
    assert f"holds {many} frames" in refused("e")
    world._task = torch.tensor([3])
    assert "it has task [3]" in refused("f")


def test_a_killed_server_loses_nothing_and_closed_worlds_go_on(folder: Path, tmp_path: Path) -> None:
    async def before() -> tuple[str, RecordedWorld]:
        manager = WorldManager(tmp_path, alive=1, threads=1)
        session = await manager.create("ann", "", model="cart", seed=3)
        for action in (1, None, 0):
            await manager.execute(session, step_of(action, session.meta.controls))
        await manager.execute(session, ["rewind", 1])
        assert session.timer is not None and isinstance(session.world, RecordedWorld)
        session.timer.cancel()
        return session.meta.id, session.world

    async def after(id: str, was: RecordedWorld) -> None:
        manager = WorldManager(tmp_path, alive=1, threads=1)
        session = manager.sessions[id]
        for _ in range(2):
            world = await manager.private_branch(session)
            assert np.array_equal(world.frame, was.frame) and world.time_s == was.time_s
            await manager.execute(session, step_of(1, session.meta.controls))
            was.go(1)
            await manager.create("ann", "", model="cart", seed=4)
            while manager._tasks:
                await asyncio.sleep(0.01)
            assert session.world is None, "one world is in memory at a time"
        await manager.close()

    asyncio.run(after(*asyncio.run(before())))


def test_models_say_that_it_is_a_world_and_how_it_is_acted_in(folder: Path) -> None:
    about = model_shown("cart").kinema
    assert about.world and about.recorded is not None and (about.size, about.fps) == ("48x32", (50.0, 50.0))
    assert (about.recorded.env, about.recorded.tasks, about.recorded.fps) == ("CartPole-v1", [], 50.0)
    assert about.recorded.controls.space["n"] == 2 and about.recorded.controls.keys == {"0": 0, "1": 1}
    assert not about.capabilities["workflows"]
    assert model_shown("kinema-tiny").kinema.recorded is None


def test_only_the_models_that_are_named_are_served(folder: Path, tmp_path: Path) -> None:
    manager = WorldManager(tmp_path, threads=1, models=["kinema-tiny"])
    with pytest.raises(ModelError, match="no model 'cart'; expected one of: kinema-tiny"):
        asyncio.run(manager.create("ann", "", model="cart"))
    asyncio.run(manager.close())


def test_a_task_chooses_among_the_beginnings(folder: Path) -> None:
    world = RecordedWorld(folder, seed=1)
    world.tasks = ["left", "right"]
    tasks = torch.arange(len(world._starts["reward"])) % 2
    world._starts = {**world._starts, "task": tasks}
    assert (tasks.numpy()[world._of_task("right")] == 1).all() and len(world._of_task("right")) > 0
    with pytest.raises(InputError, match="expected one of 'left', 'right'"):
        world._of_task("up")


def test_worlds_share_what_the_model_holds(folder: Path) -> None:
    one, two = RecordedWorld(folder, seed=1), RecordedWorld(folder, seed=2)
    assert one.model is two.model is recorded_model(str(folder)) and one._starts is two._starts


def test_the_client_plays_a_recorded_world(url: str, folder: Path, tmp_path: Path) -> None:
    local = RecordedWorld(folder, seed=3)
    with RemoteWorld(url, key="ann", model="cart", seed=3) as remote:
        assert remote.controls["keys"] == {"0": 0, "1": 1} and remote.size == (48, 32) and remote.fps == 50
        for by_socket in (True, False):
            remote._sockets = by_socket
            for action in (np.int64(1), None):
                frame = remote.go(action).frame
                assert np.array_equal(frame, local.go(local.idle if action is None else int(action)).frame)
                assert (remote.reward, remote.terminated) == (local.reward, local.terminated)
            remote.close()
        branch = remote.branch()
        assert branch.rewind(1).time_s < remote.time_s
        branch.delete()
        assert np.array_equal(remote.clip(2).frames, local.clip(2).frames)
        for call in (lambda: remote.state, lambda: remote.step(1), lambda: remote.ask("where?"), lambda: remote.edit("x"),
                     lambda: remote.scene, lambda: remote.what_if("x")):  # fmt: skip
            with pytest.raises(InputError, match="no state"):
                call()
        opened = RecordedWorld.open(remote.save(tmp_path / "cart.world"), model=folder)
        assert np.array_equal(opened.frame, local.frame)
        remote.delete()
    with pytest.raises(SizeError, match="leave fps out"):
        RemoteWorld(url, key="ann", model="cart", fps=16)
    with pytest.raises(ModelError, match="no model 'dog'"):
        RemoteWorld(url, key="ann", model="dog")
