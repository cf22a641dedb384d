"""Laws of licenses on a server: accepted once by each key, refused where they do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")
pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from fastapi.testclient import TestClient

from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.licenses import TENCENT
from kinema.engines.registry import ModelEntry, save_entry
from kinema.errors import InputError
from kinema.server.app import create_app
from kinema.server.settings import Settings

BODY = {"prompt": "a red ball", "seconds": "0.5", "size": "64x48"}


@pytest.fixture(scope="session")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("wan", tmp_path_factory.mktemp("open") / "wan")


@pytest.fixture
def entry(wan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelEntry:
    """Of a model named hunyuan, whose license must be accepted and does not hold everywhere."""
    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    made = ModelEntry(name="hunyuan", source=str(wan), license=TENCENT)
    save_entry(made)
    return made


def served(tmp_path: Path, *territories: str) -> Iterator[TestClient]:
    app = create_app(Settings(data=tmp_path / "data", territories=list(territories)))
    with TestClient(app) as client:
        client.headers["authorization"] = f"Bearer {app.state.services.auth.make('me', ('videos', 'admin'))[0]}"
        yield client


@pytest.fixture
def client(tmp_path: Path, entry: ModelEntry) -> Iterator[TestClient]:
    yield from served(tmp_path, "US")


@pytest.fixture
def european(tmp_path: Path, entry: ModelEntry) -> Iterator[TestClient]:
    yield from served(tmp_path, "US", "DE")


def film(client: TestClient, model: str = "hunyuan") -> tuple[int, str, str]:
    """Status, code and message of a request for a film."""
    answer = client.post("/v1/videos", json={**BODY, "model": model})
    error = answer.json().get("error") or {}
    return answer.status_code, error.get("code", ""), error.get("message", "")


def accept(client: TestClient, model: str = "hunyuan", **headers: str) -> int:
    answer = client.post(f"/v1/models/{model}/license", json={"accept": True}, headers=headers)
    return answer.status_code


def test_a_license_is_accepted_once_by_each_key(client: TestClient, entry: ModelEntry) -> None:
    status, code, message = film(client)
    assert (status, code) == (403, "license_not_accepted") and "\n" not in message
    assert (
        "POST /v1/models/hunyuan/license" in message and "tencent-hunyuan-community" in message and "100 million" in message
    )
    assert client.post("/v1/estimate", json={**BODY, "model": "hunyuan"}).status_code == 403
    refusal = client.get("/v1/models/hunyuan").json()["kinema"]["license_refusal"]
    assert refusal == {"code": "license_not_accepted", "message": message}
    for given in ({}, {"accept": False}, {"accept": "yes"}):
        assert client.post("/v1/models/hunyuan/license", json=given).status_code == 400
    assert film(client)[0] == 403
    answers = [client.post("/v1/models/hunyuan/license", json={"accept": True}).json() for _ in range(2)]
    assert answers[0] == answers[1] and answers[0]["license"]["excluded"] == ["EU", "GB", "KR"]
    assert film(client)[0] == 200
    listed = {model["id"]: model["kinema"]["license_refusal"] for model in client.get("/v1/models").json()["data"]}
    assert listed["hunyuan"] is None and listed["kinema-tiny"] is None
    text, _ = client.app.state.services.auth.make("another", ("videos",))  # type: ignore[attr-defined]
    other = client.post("/v1/videos", json={**BODY, "model": "hunyuan"}, headers={"authorization": f"Bearer {text}"})
    assert other.json()["error"]["code"] == "license_not_accepted"
    save_entry(replace(entry, license=replace(TENCENT, revenue="none at all")))
    assert film(client)[1] == "license_not_accepted", "other terms are asked for anew"


def test_models_without_a_license_to_accept_film_at_once(client: TestClient) -> None:
    assert film(client, "kinema-tiny")[0] == 200
    assert accept(client, "kinema-tiny") == 200
    assert accept(client, "none") == 404


def test_who_may_not_film_may_not_accept(client: TestClient) -> None:
    text, _ = client.app.state.services.auth.make("reader", ("read",))  # type: ignore[attr-defined]
    assert accept(client, authorization=f"Bearer {text}") == 403
    assert film(client)[1] == "license_not_accepted"


def test_a_license_that_does_not_hold_where_the_server_is(european: TestClient) -> None:
    """Refused before and after somebody would accept it, in one line that names the territory."""
    for _ in range(2):
        status, code, message = film(european)
        assert (status, code) == (403, "license_excludes_territory")
        assert "does not hold in DE" in message and "\n" not in message
        assert accept(european) == 403
    assert european.get("/v1/models/hunyuan").json()["kinema"]["license_refusal"]["code"] == "license_excludes_territory"
    assert film(european, "kinema-tiny")[0] == 200


def test_failed_films_are_not_retried_around_a_license(client: TestClient, entry: ModelEntry) -> None:
    accept(client)
    id = client.post("/v1/videos", json={**BODY, "model": "hunyuan"}).json()["id"]
    client.post(f"/v1/videos/{id}/cancel")
    save_entry(replace(entry, license=replace(TENCENT, revenue="none at all")))
    assert client.post(f"/v1/videos/{id}/retry").json()["error"]["code"] == "license_not_accepted"
    accept(client)
    assert client.post(f"/v1/videos/{id}/retry").status_code == 200


def test_settings_name_territories_by_their_codes(tmp_path: Path) -> None:
    for wrong in ("Germany", "UK", "eu"):
        with pytest.raises(InputError, match="territory"):
            Settings(data=tmp_path, territories=[wrong])
