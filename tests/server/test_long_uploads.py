"""Long films that were sent: stored as they came, measured without decoding them, and read in the parts that are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient

from kinema.media import Clip, Sound
from kinema.server.app import create_app
from kinema.server.jobs.sources import Sources, cut_size
from kinema.server.jobs.worker import Worker
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage.clips import stored_about

FRAMES, FPS = 3000, 20.0


def shown(count: int) -> np.ndarray:
    """Pictures [T, 64, 64, 3] that become lighter from the first to the last."""
    levels = np.linspace(0, 255, count).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels[:, None, None, None], (count, 64, 64, 3)))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tone = np.where(np.arange(FRAMES * 800)[:, None] < FRAMES * 400, 0, 8000).astype(np.int16)
    clip = Clip(frames=shown(FRAMES), fps=FPS, sound=Sound(samples=tone, rate=16_000))
    return clip.save(tmp_path_factory.mktemp("film") / "long.mp4").read_bytes()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data=tmp_path_factory.mktemp("data"), threads=1, max_seconds=100.0)


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings)
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as made:
        yield made


@pytest.fixture(scope="module")
def file(client: TestClient, film: bytes) -> str:
    return str(client.post("/v1/files", files={"file": ("long.mp4", film)}).json()["id"])


def made(client: TestClient, settings: Settings, path: str, given: dict[str, Any]) -> tuple[dict[str, Any], Clip]:
    """The finished video of a request, and its clip."""
    asked = client.post(path, json=given)
    assert asked.status_code == 200, asked.text
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    worker = Worker(settings)
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()
    video = client.get(f"/v1/videos/{asked.json()['id']}").json()
    assert video["status"] == "completed", video["error"]
    return video, services.clip({"video": video["id"]})


def levels(clip: Clip) -> np.ndarray:
    return clip.frames.mean((1, 2, 3)) / 255 * (FRAMES - 1)


def test_it_is_stored_as_it_came(client: TestClient, settings: Settings, file: str, film: bytes) -> None:
    about = client.get(f"/v1/files/{file}").json()
    assert (about["frames"], about["fps"], about["width"], about["height"]) == (FRAMES, FPS, 64, 64)
    assert about["kind"] == "video" and about["has_sound"] and about["bytes"] < 2 * len(film)
    assert (settings.data / "files" / f"{file}.film").read_bytes() == film
    stored = settings.data / "files" / f"{file}.npz"
    assert stored_about(stored).long and stored.stat().st_size < 4 * 64 * 64 * 3 + 4096, "three pictures, not all"


def test_a_trim_reads_its_cuts_with_their_sound(client: TestClient, settings: Settings, file: str) -> None:
    video, clip = made(client, settings, "/v1/videos/trims", {"video": file, "cuts": [[100, 101], [10, 10.5]]})
    assert (video["size"], video["seconds"], clip.num_frames, clip.fps) == ("64x64", "1.5", 30, FPS)
    expected = [*range(2000, 2020), *range(200, 210)]
    assert np.abs(levels(clip) - expected).max() < 40, "a level is 12 frames, and a watermark lies over them"
    assert clip.sound is not None
    loud = np.abs(clip.sound.samples[:, 0].astype(int)) > 4000
    assert loud[4000:12_000].mean() > 0.9 and not loud[20_000:].any(), "the film is loud from its middle on"
    assert video["kinema"]["settings"]["cuts"] == [[100, 101], [10, 10.5]]


def test_a_join_reads_its_parts(client: TestClient, settings: Settings, file: str) -> None:
    parts = [{"video": file, "start": 149.5}, {"video": file, "start": 0, "end": 0.25}]
    _, clip = made(client, settings, "/v1/videos/joins", {"parts": parts})
    assert np.abs(levels(clip) - [*range(2990, 3000), *range(5)]).max() < 40


def test_an_extension_goes_on_after_the_whole_film(client: TestClient, settings: Settings, file: str) -> None:
    """Longer than the server's limit, which bounds what is made: the second that is added."""
    video, clip = made(
        client, settings, "/v1/videos/extensions", {"video": file, "seconds": 0.25, "steps": 1, "prompt": "a ball"}
    )
    assert clip.num_frames == FRAMES + 5 and video["seconds"] == "150.25"
    assert np.abs(levels(clip)[:FRAMES:100] - np.arange(0, FRAMES, 100)).max() < 40
    refused = client.post("/v1/videos/extensions", json={"video": file, "seconds": 101})
    assert refused.status_code == 400 and "up to 100, the longest video" in refused.json()["error"]["message"]


def test_its_first_picture_begins_a_film_and_its_last_one_ends_it(client: TestClient, settings: Settings, file: str) -> None:
    given = {"prompt": "", "input_reference": file, "last": file, "seconds": 0.5, "steps": 1}
    _, clip = made(client, settings, "/v1/videos", given)
    assert clip.frames[0].mean() < 20 and clip.frames[-1].mean() > 235


def test_what_would_remake_too_much_is_refused_in_one_line(client: TestClient, file: str) -> None:
    for path, given in (
        ("/v1/videos/edits", {"video": file, "prompt": "a ball"}),
        ("/v1/videos/trims", {"video": file, "cuts": [[0, 101]]}),
    ):
        refused = client.post(path, json=given)
        assert refused.status_code == 400 and "up to 100, the longest video" in refused.json()["error"]["message"], path
    for path, method, given in (
        ("/v1/worlds", "POST", {"start": {"video": file}}),
        (f"/v1/files/{file}/content", "GET", None),
    ):
        refused = client.request(method, path, json=given)
        assert refused.status_code == 413 and "cut a part out of it first" in refused.json()["error"]["message"], path


def test_it_is_verified(client: TestClient, film: bytes) -> None:
    verdict = client.post("/v1/verify", files={"file": ("long.mp4", film)}).json()
    assert verdict["made_by_kinema"] is False and verdict["known_video"] is None, verdict


def test_cuts_keep_their_size_as_long_as_they_take_little() -> None:
    assert cut_size(1920, 1080, 100) == (1920, 1080) and cut_size(3840, 2160, 10) == (1920, 1080)
    width, height = cut_size(1920, 1080, 2000)
    assert width * height * 3 * 2000 <= 768 << 20 and abs(width / height - 16 / 9) < 0.02


def test_deleting_it_deletes_all_of_it(client: TestClient, settings: Settings, film: bytes) -> None:
    id = client.post("/v1/files", files={"file": ("long.mp4", film)}).json()["id"]
    assert client.delete(f"/v1/files/{id}").status_code == 200
    assert not list((settings.data / "files").glob(f"{id}*"))
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="gone; upload it again"):
        Sources(services.store, services.queue).clip({"file": id})


def test_a_file_may_be_as_large_as_the_server_says(tmp_path: Path, film: bytes) -> None:
    app = create_app(Settings(data=tmp_path / "data", max_upload=1))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as client:
        assert client.post("/v1/files", files={"file": ("long.mp4", film)}).status_code == 200
        refused = client.post("/v1/files", files={"file": ("a.mp4", film + bytes(1 << 20))})
        assert refused.status_code == 413 and "1 are allowed" in refused.json()["error"]["message"]
