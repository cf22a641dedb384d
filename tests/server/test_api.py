"""The routes over HTTP: bodies as JSON and as forms, keys before bodies, errors in one shape."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient
from PIL import Image

from kinema.engines.protocol import Capabilities, FrameRule
from kinema.inference.familiarity import FOREIGN
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.server.app import create_app
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage.tables import jobs


def png() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 9, 9)).save(made, "PNG")
    return made.getvalue()


PICTURE = ("a.png", png(), "image/png")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(Settings(data=tmp_path_factory.mktemp("data")))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as made:
        yield made


def test_a_form_says_what_json_says(client: TestClient) -> None:
    picture = client.post("/v1/files", files={"file": PICTURE}).json()["id"]
    given = {
        "prompt": "a star", "seconds": 2, "size": "128x128", "strict": True, "keyframes": [{"picture": picture, "at": 1}]
    }  # fmt: skip
    form = {
        "prompt": "a star", "seconds": "2", "size": "128x128", "strict": "true", "keyframes[0][picture]": picture,
        "keyframes[0][at]": "1",
    }  # fmt: skip
    answers = [
        client.post("/v1/estimate", json=given),
        client.post("/v1/estimate", data=form),
        client.post("/v1/estimate", data=form, files={"input_reference": PICTURE}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert answers[0].json()["pixel_seconds"] == 128 * 128 * 2
    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [picture], "an estimate keeps no file"


def test_a_video_names_the_files_that_it_was_made_from(client: TestClient) -> None:
    files = [client.post("/v1/files", files={"file": PICTURE}).json()["id"] for _ in range(2)]
    given = {"prompt": "a star", "seconds": 2, "input_reference": files[0], "keyframes": [{"picture": files[1], "at": 1}]}
    video = client.post("/v1/videos", json=given).json()
    assert video["kinema"]["files"] == [
        {"field": "input_reference", "file_id": files[0], "at": None},
        {"field": "keyframes", "file_id": files[1], "at": 1.0},
    ]
    assert client.delete(f"/v1/videos/{video['id']}").status_code == 200


def test_a_foreign_picture_is_said_before_filming(client: TestClient) -> None:
    """By the estimate and by the answer to the request, of a picture that is sent or stored, and of a video that is remade."""
    made = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)).save(made, "PNG")
    noise = ("noise.png", made.getvalue(), "image/png")
    stored = client.post("/v1/files", files={"file": noise}).json()["id"]
    given = {"prompt": "a red ball", "input_reference": stored}
    sent = client.post("/v1/estimate", data={"prompt": "a red ball"}, files={"input_reference": noise}).json()["notes"]
    estimated, video = (client.post(path, json=given).json() for path in ("/v1/estimate", "/v1/videos"))
    alone = client.post("/v1/videos", json={"prompt": "", "input_reference": stored}).json()
    longer = client.post("/v1/videos/extensions", json={"video": stored}).json()
    for notes in (sent, estimated["notes"], video["kinema"]["notes"]):
        assert len(notes) == 1 and "shows nothing that kinema-tiny knows" in notes[0] and "does not show it" in notes[0]
    for notes in (alone["kinema"]["notes"], longer["kinema"]["notes"]):
        assert len(notes) == 1 and "what is made of it will look otherwise" in notes[0]
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    with services.database.writing() as db:  # as it is once the film is finished
        db.execute(jobs.update().where(jobs.c.id == video["id"]).values(settings={FOREIGN: video["kinema"]["notes"][0]}))
    assert client.get(f"/v1/videos/{video['id']}").json()["kinema"]["notes"] == video["kinema"]["notes"], "said once"
    scene = simulate(tiny(), 1, fps=16.0, num_frames=1).scene
    made = io.BytesIO()
    Image.fromarray(render_scene(scene, height=64, width=64)[0]).save(made, "PNG")
    given = {
        "prompt": "a red ball",
        "input_reference": client.post("/v1/files", files={"file": made.getvalue()}).json()["id"],
    }
    assert client.post("/v1/estimate", json=given).json()["notes"] == []
    for one in (video, alone, longer):
        client.delete(f"/v1/videos/{one['id']}")


def test_an_estimate_says_what_is_cut_and_fitted(client: TestClient) -> None:
    """Kinema's own models film what is asked for; an open one the nearest that it can."""
    assert client.post("/v1/estimate", json={"prompt": "a star", "fps": 8}).json()["fitting"] == []
    open_model = Capabilities(
        model="open", engine="diffusers", family="Open", workflows=("generate",), size=(64, 48), fps=16, seconds=2,
        frames=FrameRule(step=4, offset=1), multiple=16,
    )  # fmt: skip
    assert open_model.fitting(1, 8, (60, 48)) == (
        "filmed at 64x48, shown at 60x48",
        "filmed in 17 frames (4k+1), 16 are kept",
        "filmed at 16 frames a second, shown at 8",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": " "},
        {"prompt": "quantum finance"},
        {"prompt": "a ball", "project": "proj_0"},
        {"prompt": "a ball", "seconds": 1, "keyframes": [{"picture": "file_x", "at": 1}]},
        {"prompt": "a ball", "input_reference": "file_x"},
        {"prompt": "a ball", "input_reference": "data:image/png;base64,AAAA"},
        {"prompt": "a ball", "characters": ["char_x"]},
        {"prompt": "a ball", "guides": {"camera": [[1, 5, 5, 0]]}},
        {"prompt": "a ball", "size": "31x31"},
        {"blend": {"a": "video_x", "b": "video_y"}},
    ],
)
def test_an_estimate_refuses_what_is_refused(client: TestClient, given: Any) -> None:
    estimated, made = (client.post(path, json=given) for path in ("/v1/estimate", "/v1/videos"))
    assert estimated.status_code == made.status_code >= 400, (estimated.text, made.text)
    assert estimated.json() == made.json()


@pytest.mark.parametrize(
    "path", ["/v1/videos", "/v1/files", "/v1/models", "/v1/worlds", "/v1/videos/video_x", "/v1/keys", "/docs"]
)
def test_head_is_answered_wherever_get_is(client: TestClient, path: str) -> None:
    got, asked = client.get(path), client.head(path)
    assert asked.status_code == got.status_code and asked.headers["content-type"] == got.headers["content-type"]
    assert client.head(path, headers={"authorization": ""}).status_code == (200 if path == "/docs" else 401)


def test_what_one_key_sent_is_no_start_of_another_keys_world(client: TestClient) -> None:
    """Nor of its films, nor is it to be read; an upload, a video and a world of one key are not there for another."""
    file = client.post("/v1/files", files={"file": PICTURE}).json()["id"]
    video = client.post("/v1/videos", json={"prompt": "a star", "seconds": 1}).json()["id"]
    world = client.post("/v1/worlds", json={"start": {"picture": file}, "size": "64x64"}).json()["id"]
    made = client.post("/v1/keys", json={"name": "other", "scopes": ["videos", "worlds"]}).json()
    other = {"authorization": f"Bearer {made['key']}"}
    for kind in ("picture", "video"):
        for id in (file, video, {"file_id": file}, {"id": video}):
            refused = client.post("/v1/worlds", json={"start": {kind: id}, "size": "64x64"}, headers=other)
            assert refused.status_code == 404, (kind, id, refused.text)
    for method, path in (
        ("GET", f"/v1/files/{file}"), ("GET", f"/v1/files/{file}/content"), ("DELETE", f"/v1/files/{file}"),
        ("GET", f"/v1/videos/{video}"), ("GET", f"/v1/worlds/{world}"), ("GET", f"/v1/worlds/{world}/frame"),
        ("GET", f"/v1/worlds/{world}/file"), ("POST", f"/v1/worlds/{world}/branch"), ("GET", f"/v1/worlds/{world}/clip"),
    ):  # fmt: skip
        assert client.request(method, path, headers=other).status_code == 404, path
    assert client.post("/v1/videos/edits", json={"video": file, "prompt": "a star"}, headers=other).status_code == 404
    assert client.get("/v1/worlds", headers=other).json()["data"] == []
    client.delete(f"/v1/videos/{video}")
    client.delete(f"/v1/worlds/{world}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/videos?limt=3", "unknown parameter 'limt'; did you mean 'limit'?"),
        ("/v1/keys?x=3", "unknown parameter 'x'; there are none here"),
    ],
)
def test_unknown_fields_of_addresses_are_refused(client: TestClient, path: str, message: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


def test_a_form_that_is_not_utf_8_is_refused(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na b\xe4ll\r\n--x--\r\n'
    answer = client.post("/v1/videos", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")
    assert answer.json()["error"]["message"] == "prompt is not a text in utf-8; send it in UTF-8"


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/keys", "/v1/files", "/v1/worlds", "/v1/worlds/world_0/step"])
def test_no_body_is_read_before_the_key_is_known(client: TestClient, path: str) -> None:
    for key, status in (("Bearer kinema_wrong", 401), (client.headers["authorization"], 400)):
        headers = {"authorization": key}
        refused = client.post(path, content=b"{", headers=headers)
        assert refused.status_code == (404 if status == 400 and "world_0" in path else status), refused.text


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "param", "message"),
    [
        ("POST", "/v1/videos", {"seconds": 0}, 400, "seconds", "seconds 0: expected a number from 0.01 to 600"),
        (
            "POST",
            "/v1/videos/trims",
            {"video": "v", "cuts": [5]},
            400,
            "cuts[0]",
            "cuts[0] 5: expected [start, end] in seconds",
        ),
        ("POST", "/v1/videos/loops", {"prompt": ""}, 400, "video", "video is missing: the video to go by"),
        ("POST", "/v1/keys", {"name": "x", "rate": 0}, 400, "rate", "rate 0: expected a whole number from 1 to 1000000"),
        ("POST", "/v1/webhooks", {"urls": "x"}, 400, "urls", "unknown parameter 'urls'; did you mean 'url'?"),
        ("POST", "/v1/session", {}, 400, "key", "key is missing: an API key"),
        (
            "POST",
            "/v1/worlds",
            {"seed": "x"},
            400,
            "seed",
            "seed 'x': expected a whole number from 0 to 4611686018427387904",
        ),
        *(
            ("POST", path, {"prompt": "a ball", "size": size}, 400, "size", message)
            for path in ("/v1/videos", "/v1/estimate")
            for size, message in (
                ("0x0", "size 0x0"),
                ("99999x99999", "kinema-tiny cannot film 99999x99999"),
                ("abc", "size 'abc'"),
                ("32x32", "kinema-tiny cannot film 32x32"),
            )
        ),
        ("POST", "/v1/videos", {"prompt": "a ball", "fps": 100}, 400, "fps", "100 frames a second"),
        ("POST", "/v1/videos", {"prompt": "0-2: a ball | 1-2: a box"}, 400, "prompt", "'1-2: a box' starts before"),
        ("POST", "/v1/videos", {"prompt": "a ball", "guides": {"camera": [[1, 5, 5, 0]]}}, 400, "guides.camera", "camera"),
        ("POST", "/v1/worlds", {"prompt": "a red ball", "size": "abc"}, 400, "size", "size 'abc'"),
        ("POST", "/v1/estimate", [1], 400, None, "the body is list; expected a JSON object"),
        ("GET", "/v1/videos?limit=101", None, 400, "limit", "limit 101: expected a whole number from 0 to 100"),
        ("GET", "/v1/usage?limit=x", None, 422, "limit", "limit 'x': it should be a valid integer"),
    ],
)
def test_an_error_is_one_line_about_one_parameter(
    client: TestClient, method: str, path: str, given: Any, status: int, param: str | None, message: str
) -> None:
    answer = client.request(method, path, json=given)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert error["message"].startswith(message) and set(error) == {"message", "type", "param", "code"}


def test_an_address_that_leads_nowhere_shows_people_a_page_and_programs_an_error(client: TestClient) -> None:
    page = client.get("/galery/1", headers={"accept": "text/html,*/*"})
    assert page.status_code == 404 and page.headers["content-type"].startswith("text/html") and "no such page" in page.text
    for address, accept in (("/galery/1", "*/*"), ("/v1/galery", "text/html")):
        error = client.get(address, headers={"accept": accept})
        assert error.status_code == 404 and set(error.json()) == {"error"}
