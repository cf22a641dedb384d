"""Worlds on a server: no command is lost, keys are isolated, branches are independent, live play waits for acknowledgments."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tests.server.served_worlds import PROMPT, serving
from tests.simulation.saved_worlds import OUTSIDE, Evil, Tensors, changed, header_of, torch_saved, with_header
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from kinema.errors import ApiError
from kinema.media import Clip
from kinema.media.encoded import encode_clip
from kinema.scene.scene import Scene
from kinema.server.worlds import manager as manager_module
from kinema.server.worlds.executor import Executor
from kinema.server.worlds.live import MAX_CATCH_UP, FrameClock
from kinema.server.worlds.manager import WorldManager
from kinema.server.worlds.session import WorldSession, step_of
from kinema.server.worlds.uploaded import OLD_FORMAT, rewrite_world
from kinema.simulation.world import World
from kinema.simulation.world_file import is_torch_format, read_header


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(WorldManager(tmp_path_factory.mktemp("data") / "worlds", threads=1)) as address:
        yield address


@pytest.fixture
def ann(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"authorization": "Bearer ann"}, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def parent(url: str) -> str:
    """A world that tests branch from, three frames old."""
    with httpx.Client(base_url=url, headers={"authorization": "Bearer ann"}, timeout=30) as client:
        id = client.post("/v1/worlds", json={"prompt": PROMPT, "seed": 3, "name": "parent"}).json()["id"]
        client.post(f"/v1/worlds/{id}/step", json={"action": [0.5, 0.0], "frames": 3})
    return str(id)


@pytest.fixture
def world(ann: httpx.Client, parent: str) -> str:
    return str(ann.post(f"/v1/worlds/{parent}/branch", json={}).json()["id"])


def test_a_world_comes_is_listed_is_renamed_and_goes(ann: httpx.Client) -> None:
    made = ann.post("/v1/worlds", json={"start": {"prompt": PROMPT}, "seed": 5, "task": "reach the flag"}).json()
    assert made["object"] == "world" and made["id"].startswith("world_") and len(made["id"]) == 30
    assert (made["seed"], made["fps"], made["size"], made["model"]) == (5, 16.0, "128x128", "kinema-tiny")
    assert made["name"] == PROMPT and made["parent"] is None and made["time_s"] == 0 and made["past_frames"] == 0
    assert {"slot", "name", "kind", "color", "material", "size", "x", "y", "vx", "vy", "angle", "visible"} == set(
        made["state"]["things"][0]
    )
    at = f"/v1/worlds/{made['id']}"
    assert ann.get(at).json() == made
    assert ann.post(f"{at}/rename", json={"name": "my world"}).json()["name"] == "my world"
    listed = ann.get("/v1/worlds").json()["data"]
    assert next(one for one in listed if one["id"] == made["id"])["name"] == "my world"
    assert ann.delete(at).json() == {"id": made["id"], "object": "world.deleted", "deleted": True}
    assert ann.get(at).status_code == 404 and made["id"] not in [one["id"] for one in ann.get("/v1/worlds").json()["data"]]


def test_no_browser_keeps_the_picture_of_now(ann: httpx.Client, world: str) -> None:
    assert ann.get(f"/v1/worlds/{world}/frame").headers["cache-control"] == "no-store"


def test_for_another_key_there_is_no_such_world(url: str, world: str, ann: httpx.Client) -> None:
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "", {}), ("DELETE", "", {}), ("GET", "/frame", {}), ("GET", "/clip", {}), ("GET", "/file", {}),
        ("GET", "/scene", {}),
        ("POST", "/step", {}), ("POST", "/ask", {"question": "what is there?"}), ("POST", "/edit", {"text": "remove the ball"}),
        ("POST", "/move", {"slot": 0, "x": 1, "y": 1}), ("POST", "/what_if", {"cause": "x"}), ("POST", "/branch", {}),
        ("POST", "/rewind", {"frames": 1}), ("POST", "/rename", {"name": "mine"}),
    ]  # fmt: skip
    with httpx.Client(base_url=url, headers={"authorization": "Bearer bob"}) as bob:
        for method, path, body in requests:
            answer = bob.request(method, f"/v1/worlds/{world}{path}", json=body or None)
            assert answer.status_code == 404, path
            assert answer.json()["error"]["code"] == "world_not_found"
        assert world not in [one["id"] for one in bob.get("/v1/worlds").json()["data"]]
        with connect(f"ws{url[4:]}/v1/worlds/{world}/live?key=bob") as line:
            assert json.loads(line.recv())["error"]["type"] == "not_found_error"
            with pytest.raises(ConnectionClosed):
                line.recv()
    reader, root, nobody = ({"authorization": f"Bearer {name}"} for name in ("reader", "root", "nobody"))
    assert ann.get(f"/v1/worlds/{world}", headers=root).status_code == 200
    assert ann.get(f"/v1/worlds/{world}", headers=reader).status_code == 200
    assert ann.post(f"/v1/worlds/{world}/step", headers=reader).status_code == 403
    assert ann.get(f"/v1/worlds/{world}", headers=nobody).status_code == 401
    assert ann.get("/v1/worlds", headers={"authorization": "Bearer films"}).status_code == 403


def test_a_branch_does_not_change_its_parent_and_a_rewound_world_is_as_it_was(
    ann: httpx.Client, parent: str, world: str
) -> None:
    before = ann.get(f"/v1/worlds/{parent}").json()
    picture = ann.get(f"/v1/worlds/{parent}/frame").content
    child = ann.get(f"/v1/worlds/{world}").json()
    assert child["parent"] == parent and child["branched_at_s"] == before["time_s"] == pytest.approx(3 / 16)
    assert child["state"] == before["state"]
    moved = ann.post(f"/v1/worlds/{world}/move", json={"slot": 0, "x": 7, "y": 6}).json()
    assert moved["understood"].endswith("to (7.0, 6.0)")
    assert ann.post(f"/v1/worlds/{world}/edit", json={"text": "remove the robot"}).json()["understood"]
    ann.post(f"/v1/worlds/{world}/step", json={"frames": 2})
    assert ann.get(f"/v1/worlds/{parent}").json() == before
    assert ann.get(f"/v1/worlds/{parent}/frame").content == picture
    back = ann.post(f"/v1/worlds/{world}/rewind", json={"frames": 3}).json()
    assert back["time_s"] == pytest.approx(2 / 16) and len(back["state"]["things"]) == len(before["state"]["things"])
    again = ann.post(f"/v1/worlds/{world}/step", json={"action": [0.5, 0.0]}).json()
    assert again["state"] == before["state"]


def test_pictures_films_files_and_answers(ann: httpx.Client, world: str, tmp_path: Path) -> None:
    picture = ann.get(f"/v1/worlds/{world}/frame", params={"scale": 4})
    with Image.open(io.BytesIO(picture.content)) as opened:
        large = np.array(opened)
    with Image.open(io.BytesIO(ann.get(f"/v1/worlds/{world}/frame").content)) as opened:
        small = np.array(opened)
    assert large.shape == (512, 512, 3) and np.array_equal(large[::4, ::4], small)
    for form, kind in (("mp4", "video/mp4"), ("png", "image/png")):
        made = ann.get(f"/v1/worlds/{world}/clip", params={"frames": 3, "format": form})
        path = tmp_path / f"clip.{form}"
        path.write_bytes(made.content)
        clip = Clip.open(path)
        assert made.headers["content-type"] == kind and clip.num_frames == 3 and clip.fps == 16 and clip.state is not None
    off = np.abs(clip.frames[-1].astype(int) - small)
    assert off.max() <= 1, "an animated PNG holds every pixel as it is; a frame drawn among others may round otherwise"
    assert Scene.from_dict(ann.get(f"/v1/worlds/{world}/scene").json()).num_frames == 4
    answer = ann.post(f"/v1/worlds/{world}/ask", json={"question": "how many balls are there?"}).json()
    assert answer["value"] == 1 and answer["text"] == "There is 1: the red ball."
    assert ann.post(f"/v1/worlds/{world}/ask", json={"question": "what will happen next?"}).json()["text"]
    both = ann.post(f"/v1/worlds/{world}/what_if", json={"cause": "the ball had been yellow", "since": 2}).json()
    assert both["understood"] == "make the red ball yellow" and both["instead"].startswith("data:video/mp4;base64,")
    path = tmp_path / "it.world"
    path.write_bytes(ann.get(f"/v1/worlds/{world}/file").content)
    sent = ann.post("/v1/worlds/open", files={"file": ("it.world", path.read_bytes())}).json()
    assert sent["name"] == "it" and sent["state"] == ann.get(f"/v1/worlds/{world}").json()["state"]
    expected = World.open(path).step((1.0, 0.0))
    there = ann.post(f"/v1/worlds/{sent['id']}/step", json={"action": [1, 0]}).json()
    with Image.open(io.BytesIO(base64.b64decode(there["frame"].partition(",")[2]))) as opened:
        assert np.array_equal(np.array(opened), expected.frame)


def test_worlds_begin_from_pictures_films_and_states(ann: httpx.Client, scene: Callable[..., Scene]) -> None:
    states = scene(4).to_dict()
    made = ann.post("/v1/worlds", json={"start": {"state": states}}).json()
    assert [thing["name"] for thing in made["state"]["things"]] == ["red ball", "blue box", "green robot"]
    assert made["past_frames"] == 3
    picture = ann.get(f"/v1/worlds/{made['id']}/frame").content
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    seen = ann.post("/v1/worlds", json={"start": {"picture": {"image_url": url}}, "name": "seen"}).json()
    assert {"red ball", "blue box"} <= {thing["name"] for thing in seen["state"]["things"]} and seen["past_frames"] == 0
    film_png = encode_clip(Clip(frames=np.repeat(np.array(Image.open(io.BytesIO(picture)))[None], 3, 0), fps=16.0), "png")
    url = "data:image/png;base64," + base64.b64encode(film_png).decode()
    assert ann.post("/v1/worlds", json={"start": {"video": {"image_url": url}}}).status_code == 200
    both = ann.post("/v1/worlds", json={"prompt": "a ball", "start": {"state": states}})
    assert both.status_code == 400 and "state and prompt" in both.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/step", {"action": [2, 0]}, "expected two finite numbers"),
        ("/step", {"action": "left"}, "expected two finite numbers"),
        ("/step", {"action": [1, None]}, "expected two"),
        ("/move", {"slot": 3, "x": 99, "y": 1}, ""),
        ("/edit", {"text": "make it nice"}, "is not understood"),
        ("/ask", {"question": "why?"}, "is not understood"),
        ("/rewind", {"frames": 4000}, "expected 0 to 3"),
        ("/rename", {"name": " "}, "is empty"),
        ("/rename", {"name": "x" * 201}, "expected 1 to"),
        ("/what_if", {"cause": "x", "since": 3}, "is not understood"),
        ("/what_if", {"cause": "the ball had been blue", "since": 100}, "expected 1 to 3"),
    ],
)
def test_invalid_requests_fail_in_one_line_and_change_nothing(
    ann: httpx.Client, parent: str, path: str, body: dict[str, Any], says: str
) -> None:
    before = ann.get(f"/v1/worlds/{parent}").json()
    answer = ann.post(f"/v1/worlds/{parent}{path}", json=body)
    line = answer.json()["error"]["message"]
    assert answer.status_code == 400 and says in line and "\n" not in line
    assert ann.get(f"/v1/worlds/{parent}").json() == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"fps": 500}, "frames a second"),
        ({"fps": float("nan")}, "a number"),
        ({"size": "9999x9999"}, "the nearest is"),
        ({"model": "../../etc"}, "no model"),
        ({"task": "make me a coffee"}, "is not understood"),
        ({"seed": "x"}, "seed"),
        ({"start": {"prompts": "x"}}, "prompts"),
        ({"colour": "red"}, "colour"),
        ({"start": {"state": {"format": 1}}}, "has no field"),
    ],
)
def test_worlds_that_cannot_begin(ann: httpx.Client, body: dict[str, Any], says: str) -> None:
    answer = ann.post("/v1/worlds", content=json.dumps(body))
    assert answer.status_code == 400 and says in answer.json()["error"]["message"], answer.text
    assert ann.post("/v1/worlds", content=b"{").status_code == 400


# Files and states from strangers


@pytest.mark.parametrize(
    "change",
    [
        {"num_frames": 10**9}, {"num_slots": 10**9}, {"num_frames": "x"}, {"fps": 0}, {"fps": 1e-9}, {"fps": float("nan")},
        {"camera": []},
        {"camera": [[5, 5, 0]] * 4}, {"room_width": 1e300}, {"entities": 3}, {"entities": [[]]}, {"background": []}, {"view": {}},
    ],
)  # fmt: skip
def test_states_that_are_none_are_refused(ann: httpx.Client, scene: Callable[..., Scene], change: dict[str, Any]) -> None:
    answer = ann.post("/v1/worlds", content=json.dumps({"start": {"state": scene(4).to_dict() | change}}))
    assert answer.status_code == 400, answer.text
    assert "\n" not in answer.json()["error"]["message"]


def hostile(good: bytes) -> dict[str, bytes]:
    """Files that are no worlds, by what is wrong with them."""

    def entry(**entries: Any) -> bytes:
        return changed(good, lambda e, x: e.update(entries))

    def track(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
        return changed(good, lambda e, x: x.update({name: change(x["tracks.state"]).clone().contiguous()}))

    evil, plain = io.BytesIO(), header_of(good)
    torch.save({"format": 2, "kind": "world", "model": Evil()}, evil)
    numbers = good[8 + int.from_bytes(good[:8], "little") :]
    claimed = {**plain, "tracks.state": {**plain["tracks.state"], "shape": [1, 1, 10**6, 10**6]}}
    return {
        "empty": b"",
        "text": b"hello",
        "cut": good[: len(good) // 2],
        "pickle": pickle.dumps(Evil()),
        "evil": evil.getvalue(),
        "nan": track("tracks.state", lambda state: state * float("nan")),
        "beyond": track("tracks.state", lambda state: state + 1e5),
        "huge": with_header(claimed, numbers),
        "shape": track("tracks.state", lambda state: state[:, :, :1]),
        "double": track("tracks.state", lambda state: state.double()),
        "half": track("tracks.state", lambda state: state.bfloat16()),
        "more": track("tracks.more", lambda state: state),
        "unknown": track("weights", lambda state: state),
        "memory": changed(good, lambda e, x: x.update({"memory.0.keys": x["memory.0.keys"] * float("inf")})),
        "no metadata": with_header({name: part for name, part in plain.items() if name != "__metadata__"}, numbers),
        "no json": with_header({**plain, "__metadata__": {"kinema": "{"}}, numbers),
        "deep json": with_header({**plain, "__metadata__": {"kinema": "[" * 100_000}}, numbers),
        "other metadata": with_header({**plain, "__metadata__": {**plain["__metadata__"], "x": "y"}}, numbers),
        "none": entry(time_s=[], acted=[]),
        "many": changed(
            good,
            lambda e, x: (
                e.update(time_s=[float(i) for i in range(3000)], acted=[False] * 3000, remembered=[]),
                [x.pop(name) for name in list(x) if name.startswith("memory.")],
                x.update({name: part[:1].repeat(3000, *[1] * (part.ndim - 1)) for name, part in x.items()}),
            ),
        ),
        "acted": changed(good, lambda e, x: e["acted"].append(True)),
        "remembered": entry(remembered=[10**9]),
        "format": entry(format=[3, 3]),
        "later": entry(format=4),
        "kind": entry(kind="dream"),
        "lacks": changed(good, lambda e, x: e.pop("seed")),
        "fps": entry(fps=1e9),
        "endless": entry(fps=float("inf")),
        "rate": entry(fps=33),
        "steps": entry(steps=10**6),
        "seed": entry(seed="x"),
        "large seed": entry(seed=10**300),
        "size": entry(size=[100_000, 100_000]),
        "other size": entry(size=[3, 5]),
        "task": entry(task="x" * 10_000),
        "other task": entry(task="make me a coffee \ud800"),
        "model": entry(model="/etc"),
        "model's name": entry(model="\ud800\n"),
        "order": changed(good, lambda e, x: e["time_s"].reverse()),
        "time": changed(good, lambda e, x: e["time_s"].__setitem__(-1, 1e9)),
    }


def test_files_from_strangers_are_refused_in_one_line(ann: httpx.Client, world: str) -> None:
    good = ann.get(f"/v1/worlds/{world}/file").content
    for what, data in hostile(good).items():
        answer = ann.post("/v1/worlds/open", files={"file": ("x.world", data)})
        assert answer.status_code == 400, (what, answer.text)
        assert "\n" not in answer.json()["error"]["message"] and "/tmp" not in answer.json()["error"]["message"], what
    assert not OUTSIDE.exists()
    assert ann.post("/v1/worlds/open", files={"other": ("x.world", good)}).status_code == 400
    line = http.client.HTTPConnection(ann.base_url.host, ann.base_url.port or 0)
    line.putrequest("POST", "/v1/worlds/open")
    for name, value in (("authorization", "Bearer ann"), ("content-length", str(1 << 30))):
        line.putheader(name, value)
    line.endheaders()
    assert line.getresponse().status == 413, "told before it is read"
    line.close()


def test_what_a_file_remembers_wrongly_is_looked_at_anew(ann: httpx.Client, world: str) -> None:
    good = ann.get(f"/v1/worlds/{world}/file").content

    def other(entries: dict[str, Any], tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith("memory.")]:
            del tensors[name]
        both = ("memory.0.keys", "memory.0.values")
        tensors.update({name: torch.zeros(len(entries["remembered"]), 3) for name in both})

    opened = ann.post("/v1/worlds/open", files={"file": ("x.world", changed(good, other))}).json()
    step = {"action": [0.2, 0.0]}
    a, b = (ann.post(f"/v1/worlds/{id}/step", json=step).json()["state"] for id in (opened["id"], world))
    np.testing.assert_allclose([t["x"] for t in a["things"]], [t["x"] for t in b["things"]], atol=0.05)


def test_a_file_in_the_format_before_is_refused_with_its_mend(ann: httpx.Client, world: str, tmp_path: Path) -> None:
    path, anew = tmp_path / "old.world", tmp_path / "new.world"
    path.write_bytes(ann.get(f"/v1/worlds/{world}/file").content)
    path.write_bytes(torch_saved(World.open(path)))
    refused = ann.post("/v1/worlds/open", files={"file": ("old.world", path.read_bytes())})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == OLD_FORMAT and "kinema.World.open(FILE).save(NEW)" in OLD_FORMAT
    opened = ann.post("/v1/worlds/open", files={"file": ("new.world", World.open(path).save(anew).read_bytes())})
    assert opened.json()["state"] == ann.get(f"/v1/worlds/{world}").json()["state"]


def test_a_file_is_written_anew_before_it_is_opened(ann: httpx.Client, world: str, tmp_path: Path) -> None:
    """Of a world that began with several frames, before 0 s, as those from videos do."""
    path, anew = tmp_path / "it.world", tmp_path / "new.world"
    path.write_bytes(ann.get(f"/v1/worlds/{world}/file").content)
    early = changed(path.read_bytes(), lambda e, x: e.update(time_s=[at - 1.0 for at in e["time_s"]]))
    path.write_bytes(early)
    assert rewrite_world(path, anew) == "kinema-tiny"
    before, after = read_header(path), read_header(anew)
    assert before == after
    with safe_open(path, "pt") as one, safe_open(anew, "pt") as other:
        assert all(torch.equal(one.get_tensor(name), other.get_tensor(name)) for name in before.shapes)
    sent = ann.post("/v1/worlds/open", files={"file": ("it.world", early)}).json()
    assert sent["time_s"] == pytest.approx(3 / 16 - 1.0)
    there = ann.post(f"/v1/worlds/{sent['id']}/step", json={"action": [1, 0]}).json()
    with Image.open(io.BytesIO(base64.b64decode(there["frame"].partition(",")[2]))) as opened:
        assert np.array_equal(np.array(opened), World.open(path).step((1.0, 0.0)).frame)


def test_a_stored_world_of_the_version_before_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        manager, session = await begun(tmp_path)
        world = await manager.private_branch(session)
        await manager.close()
        (path,) = session.folder.glob("*.world")
        path.write_bytes(torch_saved(world))
        (session.folder / "000001.steps").write_text('["step", [1.0, 0.0]]\n')
        manager = WorldManager(tmp_path, threads=1)
        session = manager.sessions[session.meta.id]
        assert same(await manager.private_branch(session), world._advance(1, (1.0, 0.0)))
        await manager.execute(session, step_of(None))
        await manager.close()
        (path,) = session.folder.glob("*.world")
        assert not is_torch_format(path) and same(World.open(path), world._advance(1))

    asyncio.run(run())


# Live


@contextmanager
def playing(url: str, id: str, query: str = "") -> Iterator[ClientConnection]:
    with connect(f"ws{url[4:]}/v1/worlds/{id}/live?key=ann{query}", max_size=None) as line:
        yield line


def say(line: ClientConnection, **message: Any) -> None:
    line.send(json.dumps(message))


def shown(line: ClientConnection, timeout: float = 60.0) -> tuple[dict[str, Any], Image.Image]:
    message = line.recv(timeout)
    assert isinstance(message, bytes), message
    length = int.from_bytes(message[:4], "big")
    return json.loads(message[4 : 4 + length]), Image.open(io.BytesIO(message[4 + length :]))


def until(line: ClientConnection, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Take frames until what is said with one holds; TimeoutError if none comes."""
    done = False
    while not done:
        body, _ = shown(line)
        say(line, type="ack", frame=body["frame"])
        done = holds(body)


def test_two_frames_are_in_flight_at_most_and_the_world_waits(url: str, world: str, ann: httpx.Client) -> None:
    with playing(url, world, "&size=256") as line:
        first, picture = shown(line)
        assert picture.format == "JPEG" and picture.size == (256, 256)
        second, _ = shown(line)
        assert (first["frame"], second["frame"]) == (0, 1)
        assert second["time_s"] == pytest.approx(first["time_s"] + 1 / 16) and second["model_ms"] > 0
        with pytest.raises(TimeoutError):
            line.recv(0.4)
        assert ann.get(f"/v1/worlds/{world}").json()["time_s"] == second["time_s"], "the world waits"
        say(line, type="action", action=[1, 0])
        say(line, type="ack", frame=1)
        third, _ = shown(line)
        assert third["action"] == [1.0, 0.0] and third["frame"] == 2
        fourth, _ = shown(line)
        assert fourth["action"] == [1.0, 0.0], "the latest action holds"
        with pytest.raises(TimeoutError):
            line.recv(0.2)
    with playing(url, world, "&paused=1") as line:
        assert shown(line)[0]["state"] == fourth["state"], "what was played is kept"


def test_a_paused_session_steps_on_request(url: str, world: str) -> None:
    with playing(url, world, "&paused=1&format=png") as line:
        begin, picture = shown(line)
        assert picture.format == "PNG" and picture.size == (128, 128) and not begin["playing"]
        say(line, type="ack", frame=0)
        for action in ([0.5, 0.0], [-0.5, 0.0]):
            say(line, type="action", action=action)
            say(line, type="step")
        headers = [shown(line)[0] for _ in range(2)]
        assert [one["action"] for one in headers] == [[0.5, 0.0], [-0.5, 0.0]]
        assert [one["stepped"] for one in headers] == [1, 2]
        with pytest.raises(TimeoutError):
            line.recv(0.2)


def test_a_bad_message_is_answered_and_the_session_goes_on(url: str, world: str) -> None:
    with playing(url, world, "&paused=1") as line:
        shown(line)
        bad = [
            "x", "[]", "{}", '{"type":"dance"}', '{"type":"action","action":[5,0]}', '{"type":"ack","frame":9}',
            '{"type":"ack","frame":null}', '{"type":"fps","fps":0}', '{"type":"fps","fps":NaN}', "x" * 9000, "[" * 4000, b"x",
        ]  # fmt: skip
        for message in bad:
            line.send(message)
            answer = json.loads(line.recv(60))
            assert answer["type"] == "error" and answer["error"]["type"] == "invalid_request_error", message
            assert "\n" not in answer["error"]["message"]
        say(line, type="step")
        assert shown(line)[0]["stepped"] == 1
    with playing(url, world, "&size=9") as line:
        assert "expected the longer side" in json.loads(line.recv(60))["error"]["message"]


def test_one_plays_and_others_watch(url: str, world: str, ann: httpx.Client) -> None:
    with playing(url, world) as one, playing(url, world) as two:
        assert json.loads(two.recv(60))["error"]["code"] == "world_in_play"
        assert shown(one)[0]["playing"] and not shown(two)[0]["playing"]
        say(one, type="pause")
        time.sleep(0.3)
        for line in (one, two):
            with pytest.raises(TimeoutError):
                while True:
                    say(line, type="ack", frame=shown(line, 0.3)[0]["frame"])
        ann.post(f"/v1/worlds/{world}/edit", json={"text": "make the box yellow"})
        for line in (one, two):  # a change is shown to all, paused or not
            until(line, lambda body: "yellow box" in [thing["name"] for thing in body["state"]["things"]])
        say(two, type="play")
        until(two, lambda body: body["playing"])
        ann.delete(f"/v1/worlds/{world}")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                one.recv(60)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4404


def test_a_client_that_is_back_takes_the_place_of_its_old_session(url: str, world: str) -> None:
    """The old connection need not be seen to be cut; a client of another name still waits."""
    with playing(url, world, "&client=a") as old:
        assert shown(old)[0]["playing"]
        with playing(url, world, "&client=b") as other:
            assert json.loads(other.recv(60))["error"]["code"] == "world_in_play"
        with playing(url, world, "&client=a") as new:
            until(new, lambda body: body["playing"])
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    old.recv(60)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4409
            until(new, lambda body: body["playing"] and body["frame"] > 2)
    for bad in ("", "x" * 65):
        with playing(url, world, f"&client={bad}") as line:
            assert "expected a name of 1 to 64 characters" in json.loads(line.recv(60))["error"]["message"]


def test_frames_come_at_the_requested_rate(url: str, world: str) -> None:
    with playing(url, world) as line:
        say(line, type="fps", fps=5)
        arrived: list[float] = []
        while len(arrived) < 7:
            message_body, _ = shown(line)
            arrived.append(time.monotonic())
            say(line, type="ack", frame=message_body["frame"])
        assert (arrived[-1] - arrived[2]) / 4 > 0.15, "a slow machine may be slower, none is faster"


def test_the_clock_is_even_and_catches_up_little_after_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("kinema.server.worlds.live.time.monotonic", lambda: now)
    clock, begun = FrameClock(16.0), []
    clock.due = now
    for i in range(64):
        now = clock.due + 0.004 * (i % 3)
        begun.append(now)
        clock.frame_started()
    assert clock.due == pytest.approx(100 + 64 / 16), "late frames do not move those after them"
    now += 5
    hurried = 0
    while clock.wait_s() <= 0:
        clock.frame_started()
        hurried += 1
    assert hurried == 1 + MAX_CATCH_UP and clock.wait_s() == pytest.approx(1 / 16)
    clock.change(64.0)
    assert clock.wait_s() == pytest.approx(1 / 64)


def test_nobody_plays_without_a_key(url: str, world: str) -> None:
    with connect(f"ws{url[4:]}/v1/worlds/{world}/live?paused=1") as line:
        assert json.loads(line.recv(60))["error"]["type"] == "authentication_error"


# Keeping, without a server


def same(a: World, b: World) -> bool:
    return len(a._frame_states) == len(b._frame_states) and all(
        torch.equal(x.tracks[name], y.tracks[name])
        for x, y in zip(a._frame_states, b._frame_states, strict=True)
        for name in x.tracks
    )


async def begun(folder: Path) -> tuple[WorldManager, WorldSession]:
    manager = WorldManager(folder, threads=1)
    return manager, await manager.create("ann", PROMPT, seed=3)


@pytest.mark.parametrize("saved_after", [None, 2, 4])
def test_a_killed_server_loses_nothing(tmp_path: Path, saved_after: int | None) -> None:
    """The manager is dropped without closing; its commands are only logged, or some are in a saved world."""
    commands = [
        step_of((0.5, 0.0)),
        ["edit", "make the ball yellow"],
        step_of(None),
        ["rewind", 1],
        ["move", 0, 6.0, 6.0],
        step_of((0, 1)),
    ]

    async def before() -> tuple[str, World]:
        manager, session = await begun(tmp_path)
        for i, command in enumerate(commands):
            await manager.execute(session, command)
            if i == saved_after:
                await manager.save(session)
        assert session.timer is not None
        session.timer.cancel()
        assert session.world is not None
        return session.meta.id, session.world

    async def after(id: str, was: World) -> None:
        for cut in (False, True):
            manager = WorldManager(tmp_path, threads=1)
            session = manager.sessions[id]
            world = await manager.private_branch(session)
            assert same(world, was), cut
            await manager.execute(session, step_of(None))
            was._advance(1)
            (steps,) = sorted(session.folder.glob("*.steps"))[-1:]
            with steps.open("a") as file:
                file.write('["step", [0.')

    asyncio.run(after(*asyncio.run(before())))


def test_an_idle_world_is_saved_and_closing_saves_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "QUIET_S", 0.05)

    async def run() -> None:
        manager, session = await begun(tmp_path)
        await manager.execute(session, step_of(None))
        assert len(list(session.folder.glob("*.steps"))) == 1
        while session.num_unsaved:
            await asyncio.sleep(0.02)
        assert [path.name for path in sorted(session.folder.iterdir())] == ["000002.world", "meta.json"]
        snapshot = await manager.execute(session, step_of(None))
        await manager.close()
        with pytest.raises(ApiError, match="closing"):
            await manager.execute(session, step_of(None))
        assert [path.name for path in sorted(session.folder.iterdir())] == ["000003.world", "meta.json"]
        again = WorldManager(tmp_path, threads=1)
        assert again.sessions[session.meta.id].meta.now == snapshot.now
        await again.close()

    asyncio.run(run())


def test_few_are_awake_and_all_go_on(tmp_path: Path, scene: Callable[..., Scene]) -> None:
    async def run() -> None:
        manager = WorldManager(tmp_path, alive=1, threads=1)
        sessions = [await manager.create("ann", scene(4), seed=seed) for seed in (1, 2)]
        for _ in range(3):
            for session in sessions:
                await manager.execute(session, step_of((0.1, 0.0)))
        while manager._tasks:
            await asyncio.sleep(0.01)
        assert [session.world is None for session in sessions] == [True, False]
        for seed, session in enumerate(sessions, 1):
            expected = World(None, scene(4), seed=seed)._advance(3, (0.1, 0.0))
            assert same(await manager.private_branch(session), expected)
        await manager.close()

    asyncio.run(run())


def test_urgent_jobs_go_into_the_middle_of_long_ones() -> None:
    executor, order, begun_, go = Executor(), [], threading.Event(), threading.Event()

    def long() -> None:
        begun_.set()
        go.wait(5)
        order.append("begin")
        executor.yield_to_urgent()
        order.append("end")

    first = executor.submit(long)
    begun_.wait(5)
    second = executor.submit(lambda: order.append("later"))
    third = executor.submit(lambda: order.append("urgent"), urgent=True)
    go.set()
    for job in (first, second, third):
        job.result(5)
    executor.close()
    assert order == ["begin", "urgent", "end", "later"]
    with pytest.raises(ApiError):
        executor.submit(lambda: None)


def test_a_live_step_does_not_wait_for_a_long_question(tmp_path: Path) -> None:
    async def run() -> None:
        manager, session = await begun(tmp_path)
        other = await manager.create("ann", PROMPT, seed=4)
        for _ in range(16):
            await manager.execute(session, step_of(None), picture=False)
        long = asyncio.create_task(manager.what_if(session, "the ball had been yellow", 16))
        steps = 0
        await asyncio.sleep(0.02)
        while not long.done():
            await manager.execute(other, step_of(None), urgent=True)
            steps += 1
        assert steps >= 3
        expected = World(None, PROMPT, seed=3)._advance(16).what_if("the ball had been yellow", 16)
        assert np.array_equal(long.result().instead.frames, expected.instead.frames), (
            "nothing is changed by what came between"
        )
        await manager.close()

    asyncio.run(run())
