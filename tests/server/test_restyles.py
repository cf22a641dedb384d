"""A video's state painted by an open model: refused where it cannot be, made where it can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")
pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from fastapi.testclient import TestClient
from tests.conftest import make_scene

from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.registry import ModelEntry, save_entry
from kinema.server.app import create_app
from kinema.server.jobs.worker import Worker
from kinema.server.settings import Settings


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    folder = make_tiny("wan-vace", tmp_path / "vace")
    save_entry(ModelEntry(name="vace", source=str(folder), lora_files={"film": "/nowhere.safetensors"}))
    app = create_app(Settings(data=tmp_path / "data", threads=1))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as made:
        yield made


def test_a_state_is_painted_by_an_open_model(client: TestClient) -> None:
    state = make_scene(5).to_dict()
    body = {"state": state, "prompt": "a bowling alley", "model": "vace", "size": "32x32", "steps": 1}
    for change, status, message in (
        ({"model": "kinema-tiny"}, 400, "one that a state can steer; installed models that can: vace"),
        ({"control": "segments"}, 400, "depth or edges or coarse"),
        ({"state": None}, 400, "either a video or a state"),
        ({"prompt": " "}, 400, "prompt"),
    ):
        answer = client.post("/v1/videos/restyles", json={**body, **change})
        assert answer.status_code == status and message in answer.json()["error"]["message"], answer.text
    id = client.post("/v1/videos/restyles", json=body).json()["id"]
    services = client.app.state.services  # type: ignore[attr-defined]
    worker = Worker(services.settings)
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()
    video = client.get(f"/v1/videos/{id}").json()
    assert video["status"] == "completed", video["error"]
    assert video["kinema"]["has_state"] and video["kinema"]["settings"]["control"] == "depth"
    shown = client.get(f"/v1/videos/{id}/content?variant=state").json()
    assert [one["kind"] for one in shown["entities"]] == [one["kind"] for one in state["entities"]]


def test_a_video_is_shown_larger(client: TestClient, tmp_path: Path) -> None:
    """By Kinema's own model from its state, by an upscaler; refused where nothing would be larger."""
    save_entry(ModelEntry(name="larger", source=str(make_tiny("ltx-upscaler", tmp_path / "upscaler"))))
    services = client.app.state.services  # type: ignore[attr-defined]
    worker = Worker(services.settings)

    def made(address: str, body: dict[str, object]) -> dict[str, Any]:
        answer = client.post(address, json=body)
        assert answer.status_code == 200, answer.text
        worker.run(idle=lambda: not services.queue.waiting(None))
        video: dict[str, Any] = client.get(f"/v1/videos/{answer.json()['id']}").json()
        assert video["status"] == "completed", video["error"]
        return video

    first = made("/v1/videos/renders", {"state": make_scene(5).to_dict(), "size": "64x64"})
    for model, size in (("kinema-tiny", None), ("larger", "96x96")):
        body = {"video": {"id": first["id"]}, "model": model, **({"size": size} if size else {})}
        estimated = client.post("/v1/estimate/upscales", json=body).json()
        larger = made("/v1/videos/upscales", body)
        assert larger["size"] == estimated["size"] == (size or "128x128") and larger["seconds"] == first["seconds"]
        assert services.queue.get(larger["id"], None).pixel_seconds == estimated["pixel_seconds"]
        assert larger["kinema"]["kind"] == "upscale" and larger["kinema"]["settings"]["layout"] == "upscale"
        assert larger["kinema"]["has_state"]
    for change, param, message in (
        ({"size": "64x64"}, "size", "a size larger than the video's 64x64"),
        ({"model": "vace"}, "model", "cannot do 'upscale'"),
        ({"prompt": "x"}, "prompt", "larger takes no words to upscale"),
        ({"strength": 0.1}, "strength", "larger takes no strength"),
        ({"steps": 7}, "steps", "larger takes no steps"),
        ({"guidance": 9.0, "model": "kinema-tiny"}, "guidance", "kinema-tiny takes no guidance to upscale"),
    ):
        for address in ("/v1/videos/upscales", "/v1/estimate/upscales"):
            answer = client.post(address, json={"video": {"id": first["id"]}, "model": "larger", **change})
            error = answer.json()["error"]
            assert answer.status_code == 400 and error["param"] == param and message in error["message"], answer.text
    worker.close()


def test_a_model_that_only_restyles_paints(client: TestClient, tmp_path: Path) -> None:
    """By the drawing that it was trained on; what a request names besides is checked as the library checks it."""
    save_entry(ModelEntry(name="adc", source=str(make_tiny("animatediff-control", tmp_path / "adc")), controls=("depth",)))
    body = {
        "state": make_scene(5).to_dict(),
        "prompt": "snow",
        "model": "adc",
        "control": "depth",
        "size": "32x32",
        "steps": 1,
    }
    estimated = client.post("/v1/estimate/restyles", json=body)
    assert estimated.status_code == 200 and estimated.json()["pixel_seconds"] > 0, estimated.text
    for address in ("/v1/videos/restyles", "/v1/estimate/restyles"):
        answer = client.post(address, json={**body, "strength": 0.5})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, "strength") and "takes no strength" in error["message"]
    id = client.post("/v1/videos/restyles", json=body).json()["id"]
    services = client.app.state.services  # type: ignore[attr-defined]
    assert services.queue.get(id, None).pixel_seconds == estimated.json()["pixel_seconds"]
    worker = Worker(services.settings)
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()
    video = client.get(f"/v1/videos/{id}").json()
    assert video["status"] == "completed" and video["kinema"]["settings"]["control"] == "depth", video["error"]


def test_only_named_loras_may_be_asked_for(client: TestClient) -> None:
    """Never a file by its path."""
    body = {"prompt": "a red ball", "model": "vace", "seconds": 0.5, "size": "32x32"}
    for name in ("/etc/passwd", "other"):
        for address, more in (("/v1/videos", {}), ("/v1/videos/restyles", {"state": make_scene(5).to_dict()})):
            sent = {name: value for name, value in body.items() if address == "/v1/videos" or name != "seconds"}
            answer = client.post(address, json={**sent, **more, "loras": [{"name": name}]})
            assert answer.status_code == 400 and "one of vace's: film" in answer.json()["error"]["message"], answer.text
    answer = client.post("/v1/videos", json={**body, "loras": [{"name": "film", "scale": 0.5}]})
    services = client.app.state.services  # type: ignore[attr-defined]
    assert services.queue.get(answer.json()["id"], None).request["loras"] == [["film", 0.5]]
    refused = client.post("/v1/videos", json={**body, "size": "64x64", "model": "kinema-tiny", "loras": [{"name": "film"}]})
    assert refused.status_code == 400 and "it has none" in refused.json()["error"]["message"]
