"""What the API says of models is what their configs say."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from kinema.errors import SizeError
from kinema.inference import limits
from kinema.models.hub import available_models, find, read_config
from kinema.scene.geometry import OUTLINE
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, PALETTE, SIZES
from kinema.server.api.models import model_shown, scene_facts
from kinema.server.api.video_schema import (
    BlendVideos,
    CreateVideo,
    EditVideo,
    ExtendVideo,
    LoopVideo,
    RemixVideo,
    RenderState,
    TrimVideo,
    requested_size,
)
from kinema.server.app import create_app
from kinema.server.settings import Settings


@pytest.mark.parametrize("name", available_models())
def test_sizes_listed_are_those_of_the_config(name: str) -> None:
    config, shown = read_config(find(name)), model_shown(name).kinema.model_dump()
    assert shown["sizes"] == limits.sizes_of(config) and shown["size"] in shown["sizes"]
    assert (shown["heights"], shown["aspects"]) == (list(config.heights), list(config.aspects))
    assert shown["size"] == "x".join(map(str, limits.check_size(config, None)))
    for size in shown["sizes"]:
        limits.check_size(config, requested_size(size, None, name, []))
    with pytest.raises(SizeError, match=r"the nearest is|films 64x64 only"):
        limits.check_size(config, requested_size("9999x9999", None, name, []))


def test_the_page_of_an_arena_run_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody has put one into the model's folder."""
    shutil.copytree(find("kinema-tiny"), tmp_path / "weights/kinema-tiny")
    monkeypatch.setenv("KINEMA_WEIGHTS", str(tmp_path / "weights"))
    app = create_app(Settings(data=tmp_path / "data"))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as client:
        assert client.get("/v1/models/kinema-tiny").json()["kinema"]["has_arena"] is False
        missing = [client.get(f"/v1/models/{name}/arena") for name in ("kinema-tiny", "nothing", "..%2Fkinema-tiny")]
        assert [one.status_code for one in missing] == [404, 404, 404]
        (tmp_path / "weights/kinema-tiny/arena.html").write_text("<h1>Arena</h1>")
        page = client.get("/v1/models/kinema-tiny/arena")
        assert (page.status_code, page.text) == (200, "<h1>Arena</h1>")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/v1/models/kinema-tiny").json()["kinema"]["has_arena"] is True


def test_every_kind_of_video_takes_a_size() -> None:
    for body in (CreateVideo, EditVideo, ExtendVideo, LoopVideo, RemixVideo, TrimVideo, BlendVideos, RenderState):
        assert "size" in body.model_fields


def test_clients_of_the_service_that_ended_get_the_nearest_and_a_note() -> None:
    config, notes = read_config(find("kinema-tiny")), list[str]()
    near = requested_size("720x1280", "sora-2", "kinema-tiny", notes)
    assert near is not None and limits.check_size(config, near)[1] == config.height
    assert notes == [f"kinema-tiny does not film 720x1280; {near} instead"]


def test_the_list_says_what_scenes_are_made_of() -> None:
    facts = scene_facts()
    assert (tuple(facts.palette), tuple(facts.outlines)) == (COLORS, KINDS)
    assert facts.palette["red"] == "#{:02x}{:02x}{:02x}".format(*PALETTE["red"])
    assert facts.outlines["flag"].model_dump() == asdict(OUTLINE["flag"])
    assert (facts.sizes, facts.backgrounds) == (SIZES, list(BACKGROUNDS))
    for name in available_models():
        words = model_shown(name).kinema.vocabulary
        assert (words.kinds, words.colors) == (list(facts.outlines), list(facts.palette))
