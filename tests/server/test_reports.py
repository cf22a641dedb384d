"""Laws of complaints about videos: stored, listed and closed by administrators, counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient

from kinema.server import reports
from kinema.server.app import create_app
from kinema.server.settings import Settings

BODY = {"prompt": "a red ball", "seconds": "0.5", "size": "48x48"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(Settings(data=tmp_path / "data"))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as made:
        yield made


@pytest.fixture
def reader(client: TestClient) -> dict[str, str]:
    """The header of a key that may only read."""
    return {"authorization": f"Bearer {client.app.state.services.auth.make('reader', ('read',))[0]}"}  # type: ignore[attr-defined]


def metric(client: TestClient, state: str) -> float:
    (line,) = [
        one for one in client.get("/metrics").text.splitlines() if one.startswith(f'kinema_reports{{state="{state}"}}')
    ]
    return float(line.split()[1])


def test_a_report_from_sending_to_closing(client: TestClient, reader: dict[str, str]) -> None:
    """Anybody with a key complains about anybody's video; only administrators see what was said."""
    video = client.post("/v1/videos", json=BODY).json()["id"]
    given = {"video": video, "reason": "likeness", "text": "that is me"}
    sent = client.post("/v1/reports", json=given, headers=reader)
    assert sent.status_code == 200 and sent.json() | given == sent.json() and "video_key_id" not in sent.json()
    assert client.get("/v1/reports", headers=reader).status_code == 403
    client.post("/v1/reports", json={"video": video, "reason": "other"})
    newest, oldest = client.get("/v1/reports").json()["data"]
    assert oldest | sent.json() == oldest and newest["text"] == "" and oldest["closed_at"] is None
    assert oldest["key_id"] != oldest["video_key_id"] == newest["key_id"] and oldest["model"] == "kinema-tiny"
    assert (metric(client, "open"), metric(client, "closed")) == (2, 0)
    page = client.get("/v1/reports?limit=1").json()
    assert page["has_more"] and page["data"] == [newest]
    assert client.get(f"/v1/reports?limit=1&after={newest['id']}").json()["data"] == [oldest]
    assert client.post(f"/v1/reports/{oldest['id']}/close", headers=reader).status_code == 403
    closed = client.post(f"/v1/reports/{oldest['id']}/close").json()
    assert closed["closed_at"] and client.post(f"/v1/reports/{oldest['id']}/close").json() == closed
    assert client.get("/v1/reports?state=open").json()["data"] == [newest]
    assert client.get("/v1/reports?state=closed").json()["data"] == [closed]
    assert (metric(client, "open"), metric(client, "closed")) == (1, 1)
    client.delete(f"/v1/videos/{video}")
    assert len(client.get("/v1/reports").json()["data"]) == 2, "reports outlive their videos"


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"video": "video_" + 24 * "0"}, 404, "no video"),
        ({"video": "me"}, 404, "no video"),
        ({"video": None}, 400, "video"),
        ({"reason": "ugly"}, 400, "illegal, likeness, copyright, harmful, other"),
        ({"reason": None}, 400, "reason"),
        ({"text": "x" * 9000}, 400, "text"),
        ({"score": 3}, 400, "score"),
    ],
)
def test_mistakes(client: TestClient, change: dict[str, object], status: int, message: str) -> None:
    video = client.post("/v1/videos", json=BODY).json()["id"]
    answer = client.post("/v1/reports", json={"video": video, "reason": "illegal", **change})
    assert answer.status_code == status and message in answer.json()["error"]["message"], answer.text
    assert client.get("/v1/reports").json()["data"] == []


def test_lists_that_cannot_be_asked_for(client: TestClient) -> None:
    for query, status in (("state=new", 400), ("limit=101", 400), ("after=report_1", 404), ("page=2", 400)):
        assert client.get(f"/v1/reports?{query}").status_code == status, query
    assert client.post("/v1/reports/report_1/close").status_code == 404


def test_a_key_does_not_fill_the_store(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_OPEN", 2)
    video = client.post("/v1/videos", json=BODY).json()["id"]
    made = [client.post("/v1/reports", json={"video": video, "reason": "illegal"}) for _ in range(3)]
    assert [one.status_code for one in made] == [200, 200, 429]
    client.post(f"/v1/reports/{made[0].json()['id']}/close")
    assert client.post("/v1/reports", json={"video": video, "reason": "illegal"}).status_code == 200
