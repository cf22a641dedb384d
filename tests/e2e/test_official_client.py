"""The official client of the Videos API, unmodified, against a real server over HTTP."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.e2e.conftest import Running

from kinema.inference import limits
from kinema.media import Clip
from kinema.models.hub import find, read_config
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene

openai = pytest.importorskip("openai", reason="needs the openai package")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
QUICK = {"fps": 8, "seed": 3, "steps": 2}


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Any]:
    calls: list[Any] = []
    http = openai.DefaultHttpxClient(event_hooks={"request": [calls.append]})
    yield openai.OpenAI(api_key=server.key, base_url=f"{server.url}/v1", max_retries=0, http_client=http)
    print(f"calls of the official client: {len(calls)}")


@pytest.fixture(scope="module")
def video(client: Any) -> Any:
    """One finished second of film."""
    return client.videos.create_and_poll(
        prompt="a red ball rolls right", model="kinema-tiny", seconds="1", size="64x64", extra_body=QUICK
    )


def saved(content: Any, path: Path) -> Clip:
    content.write_to_file(path)
    return Clip.open(path)


def test_create_poll_and_download(client: Any, video: Any, tmp_path: Path) -> None:
    assert (video.status, video.progress, video.error, video.seconds, video.size) == ("completed", 100, None, "1", "64x64")
    clip = saved(client.videos.download_content(video.id), tmp_path / "v.mp4")
    assert (clip.num_frames, clip.fps, clip.size) == (8, 8.0, "64x64")
    assert clip.settings["seed"] == 3 and clip.settings["video"] == video.id
    for variant in ("thumbnail", "spritesheet"):
        picture = Image.open(io.BytesIO(client.videos.download_content(video.id, variant=variant).read()))
        assert min(picture.size) >= 128, variant


def test_what_unmodified_code_asks_for(client: Any) -> None:
    """The defaults of the service that ended: its model's name, its sizes; the answer says what was done instead."""
    video = client.videos.create(prompt="a blue box", model="sora-2", seconds="4", size="1280x720")
    assert video.status == "queued" and video.model == "kinema-tiny"
    near = limits.fitted_size(read_config(find("kinema-tiny")), 1280, 720)
    assert video.size == "x".join(map(str, near)) and near[1] == read_config(find("kinema-tiny")).height
    assert "sora-2 does not exist any more" in video.model_extra["kinema"]["notes"][0]
    assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


@pytest.mark.parametrize("model", ["sora-2-2025-10-06", "sora-2-2025-12-08", "sora-2-pro", "sora-2-pro-2025-10-06"])
@pytest.mark.parametrize("size", ["720x1280", "1792x1024"])
def test_dated_models_and_official_sizes(client: Any, model: str, size: str) -> None:
    """They are taken, upright stays upright, and the answer says what is filmed instead."""
    video = client.videos.create(prompt="a red ball rolls right", model=model, seconds="4", size=size)
    assert video.model == "kinema-tiny" and model in " ".join(video.model_extra["kinema"]["notes"])
    asked, filmed = ([int(side) for side in text.split("x")] for text in (size, video.size))
    assert (asked[0] < asked[1]) == (filmed[0] < filmed[1])
    client.videos.delete(video.id)


def test_a_phone_s_photo_begins_a_film(client: Any, server: Running, tmp_path: Path) -> None:
    """Twelve megapixels, stored on its side with a note that it is upright."""
    upright = render_scene(simulate(tiny(), 930_000_002, fps=8.0, num_frames=1).scene, height=96, width=64)[0]
    photo = Image.fromarray(upright).resize((3024, 4032)).transpose(Image.Transpose.ROTATE_90)
    turned = Image.Exif()
    turned[0x0112] = 6
    sink = io.BytesIO()
    photo.save(sink, "JPEG", quality=92, exif=turned)
    made = client.videos.create(
        prompt="a red ball", model="sora-2", seconds="0.5", size="64x96", extra_body=QUICK,
        input_reference=("IMG_0001.JPG", sink.getvalue(), "image/jpeg"),
    )  # fmt: skip
    done = server.wait(made.id)
    assert done["status"] == "completed", done["error"]
    clip = saved(client.videos.download_content(made.id), tmp_path / "v.mp4")
    assert clip.size == "64x96" and np.abs(clip.frames[0].astype(int) - upright).mean() < 16


def test_a_clip_of_1080_lines_goes_on(client: Any, server: Running, tmp_path: Path) -> None:
    small = render_scene(simulate(tiny(), 930_000_003, fps=24.0, num_frames=24).scene, height=90, width=160)
    large = np.repeat(np.repeat(small, 12, 1), 12, 2)
    sent = Clip(frames=large, fps=24.0).save(tmp_path / "holiday.mp4")
    made = client.videos.extend(prompt="", seconds="1", video=("holiday.mp4", sent.read_bytes()))
    done = server.wait(made.id, 180)
    assert done["status"] == "completed", done["error"]
    clip = saved(client.videos.download_content(made.id), tmp_path / "v.mp4")
    assert clip.num_frames / clip.fps == pytest.approx(2.0) and clip.size == "224x128"
    assert done["kinema"]["notes"][0] == "what is given (1920x1080) is taken at 224x128, which kinema-tiny films"


@pytest.mark.parametrize("form", ["part", "data", "id", "object", "video"])
def test_pictures_in_all_forms(client: Any, server: Running, video: Any, form: str, tmp_path: Path) -> None:
    pixels = render_scene(simulate(tiny(), 930_000_001, fps=8.0, num_frames=1).scene, height=64, width=64)[0]
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    given: Any = ("first.png", sink.getvalue(), "image/png")
    if form == "data":
        import base64

        given = {"image_url": "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()}
    id = ""
    if form in ("id", "object"):
        with server.http() as http:
            id = http.post("/v1/files", files={"file": given}).json()["id"]
        given = {"file_id": id}
    if form == "part":
        made = client.videos.create(prompt="a red ball", seconds="0.5", input_reference=given, extra_body=QUICK).to_dict()
    elif form in ("data", "object"):
        extra = {**QUICK, "input_reference": given}
        made = client.videos.create(prompt="a red ball", seconds="0.5", extra_body=extra).to_dict()
    else:
        reference: Any = id if form == "id" else {"id": video.id}
        with server.http() as http:
            body = {"prompt": "", "seconds": 0.5, "input_reference": reference, **QUICK}
            made = http.post("/v1/videos", json=body).json()
    done = server.wait(str(made["id"]))
    assert done["status"] == "completed", done["error"]
    if form != "video":
        clip = saved(client.videos.download_content(made["id"]), tmp_path / "v.mp4")
        error = np.abs(clip.frames[0].astype(int) - pixels).mean()
        assert error < 12, "the first frame is the picture, but for coding and the mark"


def test_remix_edit_extend(client: Any, video: Any, server: Running, tmp_path: Path) -> None:
    remix = client.videos.remix(video.id, prompt="a blue ball rolls right")
    assert remix.remixed_from_video_id == video.id and remix.prompt == "a blue ball rolls right"
    part = ("v.mp4", client.videos.download_content(video.id).read())
    edit = client.videos.edit(prompt="a green ball rolls right", video=part)
    again = client.videos.extend(prompt="", seconds="1", video=part)
    with server.http() as http:
        body = {"prompt": "", "seconds": "1", "video": {"id": video.id}}
        more = client.videos.retrieve(http.post("/v1/videos/extensions", json=body).json()["id"])
    for made, seconds in ((remix, 1.0), (edit, 1.0), (more, 2.0), (again, 2.0)):
        done = server.wait(made.id)
        assert done["status"] == "completed", done["error"]
        assert float(str(done["seconds"])) == pytest.approx(seconds)
    assert saved(client.videos.download_content(more.id), tmp_path / "v.mp4").num_frames == 16


def test_characters(client: Any, server: Running, video: Any) -> None:
    character = client.videos.create_character(
        name="Rosie", video=("v.mp4", client.videos.download_content(video.id).read())
    )
    assert character.name == "Rosie" and character.model_extra["looks"].split()[0]
    assert client.videos.get_character(character.id).id == character.id
    made = client.videos.create(
        prompt="Rosie rolls left", seconds="0.5", extra_body={**QUICK, "characters": [{"id": character.id}]}
    )
    assert made.prompt == f"the {character.model_extra['looks']} rolls left"
    server.wait(made.id)


def test_lists_page_by_cursor(client: Any, video: Any, server: Running) -> None:
    for seed in range(2):
        server.wait(client.videos.create(prompt="a star", seconds="0.25", extra_body={**QUICK, "seed": seed}).id)
    ids = [one.id for one in client.videos.list(limit=2, order="asc")]
    assert len(ids) == len(set(ids)) >= 3 and video.id in ids
    assert [one.id for one in client.videos.list(limit=3)] == ids[::-1]


def test_errors_have_the_documented_shape(client: Any) -> None:
    cases: tuple[tuple[Any, str, str | None], ...] = (
        ({"prompt": ""}, "prompt is missing", "prompt"),
        ({"prompt": "a ball", "seconds": "0"}, "seconds '0': expected a number from 0.01 to 600", "seconds"),
        ({"prompt": "a ball", "size": "7x7"}, "the nearest is ", "size"),
        ({"prompt": "a purple wolf", "extra_body": {"strict": True}}, "does not know 'wolf'", "prompt"),
        ({"prompt": "0-2: a ball | 1-9: a box"}, "starts before 2 s", "prompt"),
        ({"prompt": "a ball", "size": "9" * 400 + "x9"}, "expected WIDTHxHEIGHT", "size"),
        ({"prompt": "a ball", "size": "big"}, "expected WIDTHxHEIGHT", "size"),
        ({"prompt": "a ball", "extra_body": {"fpss": 3}}, "did you mean 'fps'?", "fpss"),
        ({"prompt": "a ball", "extra_body": {"seed": -1}}, "seed -1: expected a whole number", "seed"),
        ({"prompt": "a ball", "extra_body": {"fps": 64}}, "films 8 to 32; pass fps=16", "fps"),
    )
    for given, message, param in cases:
        with pytest.raises(openai.BadRequestError) as refused:
            client.videos.create(**given)
        assert message in refused.value.body["message"], refused.value.body
        assert refused.value.body["type"] == "invalid_request_error" and refused.value.body["param"] == param
        assert refused.value.request_id and refused.value.request_id.startswith("req_")
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        client.videos.create(prompt="a ball", model="gpt")
    with pytest.raises(openai.NotFoundError, match="no video"):
        client.videos.retrieve("video_" + "0" * 24)
    with pytest.raises(openai.AuthenticationError, match="no such API key"):
        client.with_options(api_key="kinema_wrong").videos.list()


def test_failed_films_end_the_poll(client: Any, server: Running) -> None:
    video = client.videos.create(prompt="a red ball", seconds="8", extra_body={"steps": 200})
    with server.http() as http:
        http.post(f"/v1/videos/{video.id}/cancel")
    ended = client.videos.poll(video.id)
    assert ended.status == "failed" and ended.error.code == "cancelled"


def test_webhooks_are_signed_as_the_client_checks(client: Any, server: Running) -> None:
    heard: list[tuple[dict[str, str], bytes]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((dict(self.headers), body))
            self.send_response(500 if len(heard) == 1 else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    ear = HTTPServer(("127.0.0.1", 0), Ear)
    threading.Thread(target=ear.serve_forever, daemon=True).start()
    with server.http() as http:
        hook = http.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{ear.server_port}/x"}).json()
        made = client.videos.create_and_poll(prompt="a red ball", seconds="0.25", extra_body=QUICK)
        end = time.monotonic() + 20
        while len(heard) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        http.delete(f"/v1/webhooks/{hook['id']}")
    ear.shutdown()
    (first, _), (headers, body) = heard[:2]
    assert first["webhook-id"] == headers["webhook-id"], "what was not received comes again, with its id"
    event = client.webhooks.unwrap(body, {k.lower(): v for k, v in headers.items()}, secret=hook["secret"])
    assert event.type == "video.completed" and event.data.id == made.id
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body + b" ", {k.lower(): v for k, v in headers.items()}, secret=hook["secret"])
    assert json.loads(body)["object"] == "event"
