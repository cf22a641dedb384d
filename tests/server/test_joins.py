"""Parts of several videos as one, and frames of a world as a video: the right frames with the right sound, honestly signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient

from kinema.media import Clip, Sound
from kinema.provenance import read_manifest
from kinema.server.app import create_app
from kinema.server.jobs.publish import VIDEO
from kinema.server.jobs.render import join_parts
from kinema.server.jobs.worker import Worker
from kinema.server.services import Services
from kinema.server.settings import Settings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(Settings(data=tmp_path, threads=1))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as made:
        yield made


def services_of(client: TestClient) -> Services:
    made: Services = client.app.state.services  # type: ignore[attr-defined]
    return made


def gray(levels: list[int], *, side: int, fps: float, sound: Sound | None = None) -> Clip:
    frames = np.array(levels, np.uint8)[:, None, None, None].repeat(side, 1).repeat(side, 2).repeat(3, 3)
    return Clip(frames=frames, fps=fps, sound=sound)


def beep(seconds: float) -> Sound:
    return Sound(samples=np.full((round(8000 * seconds), 1), 5000, np.int16), rate=8000)


def filmed(client: TestClient, id: str) -> tuple[dict[str, Any], Path]:
    """A video when a worker has made it, and its file."""
    services = services_of(client)
    worker = Worker(services.settings)
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()
    video: dict[str, Any] = client.get(f"/v1/videos/{id}").json()
    assert video["status"] == "completed", video["error"]
    return video, services.store.video(id, str(services.queue.get(id, None).artifact)) / VIDEO


FIRST, SECOND = gray([8 * i for i in range(16)], side=32, fps=16.0), gray([200] * 8, side=64, fps=8.0, sound=beep(1.0))


def test_parts_stand_in_their_order_at_one_size_and_rate() -> None:
    made = join_parts([(FIRST, 0.5, 1.0), (SECOND, 0.0, 0.5), (FIRST, 0.0, 0.25)], size="32x32", fps=16.0)
    assert (made.size, made.fps) == ("32x32", 16.0)
    assert made.frames[:, 16, 16, 0].tolist() == [8 * i for i in range(8, 16)] + [200] * 8 + [0, 8, 16, 24]
    assert made.sound is not None
    heard = [np.abs(made.sound.part(start, start + 0.2).samples).max() for start in (0.1, 0.6, 1.02)]
    assert heard == [0, 5000, 0]


def test_a_join_is_published_as_an_edit_of_its_sources(client: TestClient) -> None:
    services = services_of(client)
    key = str(services.auth.all()[0].id)
    a, b = (services.uploads.store_clip(key, clip, name).id for clip, name in ((FIRST, "a.mp4"), (SECOND, "b.mp4")))
    parts = [{"video": {"file_id": a}, "start": 0.5}, {"video": b, "end": 0.5}, {"video": {"file_id": a}, "end": 0.25}]
    sent = client.post("/v1/videos/joins", json={"parts": parts, "title": "three parts", "tags": ["cut"]}).json()
    assert (sent["seconds"], sent["size"], sent["kinema"]["fps"]) == ("1.25", "32x32", 16.0)
    video, file = filmed(client, sent["id"])
    about = video["kinema"]
    assert (about["kind"], about["frames"], about["title"], about["has_sound"]) == ("join", 20, "three parts", True)
    manifest = read_manifest(file)
    assert manifest.making == "edited" and manifest.sources == ("a.mp4", "b.mp4")
    assert Clip.open(file).num_frames == 20


@pytest.mark.parametrize(
    ("parts", "param", "message"),
    [
        ([], "parts", "parts"),
        ([{"video": "A", "start": 0.5, "end": 0.25}], "parts[0]", "a part of the 1 s that there are"),
        (
            [{"video": "A"}, {"video": "A", "end": 1.5}],
            "parts[1]",
            "from 0 to 1.5 s: expected a part of the 1 s that there are",
        ),
        ([{"video": "A", "start": 0.5, "end": 0.51}], "parts[0]", "parts[0] from 0.5 to 0.51 s holds no frame"),
        ([{"video": "A", "start": 0.99, "end": 1.04}], "parts[0]", "expected at least 0.0625 s, one frame"),
        ([{"video": "video_0123456789abcdef01234567"}], "parts[0].video", "video"),
        ([{"video": "A"}] * 101, "parts", "parts"),
    ],
)
def test_a_part_that_is_not_there_is_refused(client: TestClient, parts: list[Any], param: str, message: str) -> None:
    services = services_of(client)
    id = services.uploads.store_clip(str(services.auth.all()[0].id), FIRST, "a.mp4").id
    given = [{**part, "video": id if part["video"] == "A" else part["video"]} for part in parts]
    answer = client.post("/v1/videos/joins", json={"parts": given})
    error = answer.json()["error"]
    assert answer.status_code in (400, 404) and message in error["message"], error
    assert error["param"] == param or answer.status_code == 404
    assert services.queue.waiting(None) == []


def test_played_frames_become_a_video(client: TestClient) -> None:
    """The frames of the world to the pixel, with their state; made by the model, for nothing in them was filmed elsewhere."""
    world = client.post("/v1/worlds", json={"prompt": "a red ball", "seed": 3, "size": "48x48", "name": "my play"}).json()
    at = f"/v1/worlds/{world['id']}"
    client.post(f"{at}/step", json={"frames": 5})
    sent = client.post(f"{at}/videos", json={"frames": 4}).json()
    assert (sent["size"], sent["kinema"]["fps"], sent["kinema"]["title"]) == ("48x48", 16.0, "my play")
    services = services_of(client)
    stored = services.clip(services.queue.get(sent["id"], None).request["video"])
    last = client.get(f"{at}/clip", params={"frames": 4, "format": "png"})
    assert last.status_code == 200 and stored.num_frames == 4
    video, file = filmed(client, sent["id"])
    assert (video["kinema"]["kind"], video["kinema"]["frames"], video["kinema"]["has_state"]) == ("record", 4, True)
    assert np.abs(Clip.open(file).frames.astype(int) - stored.frames.astype(int)).mean() < 8
    manifest = read_manifest(file)
    assert manifest.making == "created" and manifest.sources == ()
