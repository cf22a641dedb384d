"""Titles, tags, favorites and projects; lists by them; files; deletion of every byte; downloads in other formats."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from kinema.media import Clip
from kinema.server.api.handlers import add_error_handlers
from kinema.server.api.served_file import ServedFile
from kinema.server.app import create_app
from kinema.server.jobs.leases import Finished, Leases
from kinema.server.jobs.publish import VIDEO
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage import formats
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.uploads import Sent
from kinema.server.storage.zip_stream import file_name


@pytest.fixture
def app(tmp_path: Path) -> Iterator[TestClient]:
    made = create_app(Settings(data=tmp_path))
    with TestClient(made, headers={"authorization": f"Bearer {made.state.services.auth.first()}"}) as client:
        yield client


@pytest.fixture
def services(app: TestClient) -> Services:
    made: Services = app.app.state.services  # type: ignore[attr-defined]
    return made


def key_of(services: Services) -> str:
    return str(services.auth.all()[0].id)


def job(services: Services, prompt: str = "a red ball", *, key: str | None = None, **more: Any) -> str:
    """A waiting video."""
    row = {
        "id": new_id("video"), "key_id": key or key_of(services), "kind": "generate", "model": "kinema-tiny", "prompt": prompt,
        "seconds": "1", "size": "32x32", "request": {"seed": 1}, "sources": [], "remixed_from": None, "priority": 0,
        "shape": None, "pixel_seconds": 1.0, **more,
    }  # fmt: skip
    return str(services.queue.submit(row).id)


def clip_of(frames: int = 3, fps: float = 8.0) -> Clip:
    pixels = np.zeros((frames, 32, 32, 3), np.uint8)
    pixels[:, 8:24, 8:24, 0] = 40 * np.arange(1, frames + 1, dtype=np.uint8)[:, None, None]
    return Clip(frames=pixels, fps=fps)


def film(services: Services, **more: Any) -> str:
    """A completed video with a real file."""
    id = job(services, priority=9, **more)
    leases = Leases(services.database)
    (claim,) = leases.claim("w")
    assert claim.id == id
    folder = services.store.video(id, "1")
    folder.mkdir(parents=True)
    clip_of().save(folder / VIDEO)
    done = Finished(
        bytes=9,
        frames=3,
        took_s=1.0,
        settings={},
        has_state=False,
        mark="00",
        size="32x32",
        seconds=more.get("seconds", "1"),
    )
    assert leases.publish(claim, "1", done)
    return id


def listed(app: TestClient, **query: Any) -> list[str]:
    answer = app.get("/v1/videos", params=query)
    assert answer.status_code == 200, answer.text
    return [video["id"] for video in answer.json()["data"]]


def test_labels_are_changed_one_by_one(app: TestClient, services: Services) -> None:
    id = job(services)
    project = app.post("/v1/projects", json={"name": "  A  film "}).json()
    assert project["name"] == "A film" and project["videos"] == 0
    labels = {"title": " First  try ", "tags": ["Draft", " two  words", "draft"], "favorite": True, "project": project["id"]}
    given = app.post(f"/v1/videos/{id}", json=labels).json()["kinema"]
    shown = {name: given[name] for name in labels}
    assert shown == {"title": "First try", "tags": ["draft", "two words"], "favorite": True, "project": project["id"]}
    after = app.post(f"/v1/videos/{id}", json={"title": "", "favorite": False}).json()["kinema"]
    assert {name: after[name] for name in labels} == {**shown, "title": None, "favorite": False}
    assert app.get(f"/v1/projects/{project['id']}").json()["videos"] == 1
    assert app.post(f"/v1/projects/{project['id']}", json={"name": "B"}).json()["name"] == "B"
    assert app.post("/v1/projects", json={"name": "B"}).status_code == 409
    assert app.delete(f"/v1/projects/{project['id']}").json()["deleted"]
    assert app.get(f"/v1/videos/{id}").json()["kinema"]["project"] is None


def test_labels_of_others_are_out_of_reach(app: TestClient, services: Services) -> None:
    secret, other = services.auth.make("other")
    mine, theirs = job(services), job(services, key=other.id)
    project = app.post("/v1/projects", json={"name": "mine"}).json()["id"]
    stranger = {"authorization": f"Bearer {secret}"}
    for path, given in ((f"/v1/videos/{mine}", {"title": "x"}), (f"/v1/projects/{project}", {"name": "x"})):
        assert app.post(path, json=given, headers=stranger).status_code == 404
    refused = app.post(f"/v1/videos/{theirs}", json={"project": project}, headers=stranger)
    assert refused.status_code == 404 and "no project" in refused.json()["error"]["message"]
    assert app.post(f"/v1/videos/{theirs}", json={"project": project}).status_code == 404, "an admin mixes no keys"
    assert app.get("/v1/projects", headers=stranger).json()["data"] == []


@pytest.mark.parametrize(
    "given", [{"title": "x" * 201}, {"tags": [" "]}, {"tags": ["x"] * 33}, {"favorite": "maybe"}, {"name": "x"}]
)
def test_labels_that_cannot_be_used_are_refused(app: TestClient, services: Services, given: Any) -> None:
    id = job(services)
    answer = app.post(f"/v1/videos/{id}", json=given)
    assert answer.status_code == 400 and answer.json()["error"]["param"].startswith(next(iter(given)))
    assert app.get(f"/v1/videos/{id}").json()["kinema"]["tags"] == []


def test_lists_are_filtered_and_sorted(app: TestClient, services: Services) -> None:
    project = app.post("/v1/projects", json={"name": "p"}).json()["id"]
    one = job(services, "a red ball", seconds="10")
    two = job(services, "a 100% blue box", seconds="2", model="other")
    three = film(services, prompt="ÜBER a star", seconds="1")
    app.post(f"/v1/videos/{one}", json={"tags": ["a", "b%"], "favorite": True, "project": project})
    app.post(f"/v1/videos/{two}", json={"tags": ["a", "ab"], "title": "Die Möwe"})
    assert listed(app) == [three, two, one] and listed(app, order="asc") == [one, two, three]
    assert listed(app, tag="A") == [two, one] and listed(app, tag=["a", "b%"]) == [one] and listed(app, tag="b") == []
    assert listed(app, favorite="true") == [one] and listed(app, favorite="false") == [three, two]
    assert listed(app, project=project) == [one] and listed(app, project="none") == [three, two]
    assert listed(app, model="other") == [two] and listed(app, status="completed") == [three]
    assert (
        listed(app, search="MÖWE") == [two] and listed(app, search="über") == [three] and listed(app, search="0% b") == [two]
    )
    assert listed(app, sort="duration") == [one, two, three]
    assert listed(app, sort="duration", order="asc", favorite="false") == [three, two]
    assert app.get("/v1/videos?sort=size").json()["error"]["message"] == "sort 'size': expected created or duration"


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created", "duration"])
def test_pages_hold_every_video_once(app: TestClient, services: Services, sort: str, order: str) -> None:
    for seconds in ("2", "10", "2", "2", "1"):
        job(services, seconds=seconds)
    whole, seen = listed(app, sort=sort, order=order), []
    assert len(whole) == 5
    while True:
        page = app.get(
            "/v1/videos", params={"sort": sort, "order": order, "limit": 2, **({"after": seen[-1]} if seen else {})}
        ).json()
        seen += [video["id"] for video in page["data"]]
        if not page["has_more"]:
            break
    assert seen == whole


def png() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(made, "PNG")
    return made.getvalue()


def test_files_are_listed_by_kind_and_purpose(app: TestClient, services: Services) -> None:
    sent = app.post("/v1/files", files={"file": ("a.png", png())}).json()
    brought = services.uploads.add(key_of(services), Sent(name="b.png", content=png()), "reference").id
    page = app.get("/v1/files").json()
    assert [file["id"] for file in page["data"]] == [brought, sent["id"]] and not page["has_more"]
    assert {file["kind"] for file in page["data"]} == {"picture"}
    assert [file["id"] for file in app.get("/v1/files?purpose=input").json()["data"]] == [sent["id"]]
    first = app.get("/v1/files?limit=1&order=asc").json()
    assert first["has_more"] and first["last_id"] == sent["id"]
    last = app.get(f"/v1/files?order=asc&limit=1&after={sent['id']}").json()
    assert [file["id"] for file in last["data"]] == [brought] and not last["has_more"], "a full page may be the last"
    secret, _ = services.auth.make("other")
    assert app.get("/v1/files", headers={"authorization": f"Bearer {secret}"}).json()["data"] == []


def bytes_with(root: Path, *words: str) -> list[str]:
    """Files below a folder whose name or bytes hold one of the words."""
    return [
        str(path)
        for path in root.rglob("*")
        if path.is_file() and any(word in str(path) or word.encode() in path.read_bytes() for word in words)
    ]


def test_deleting_leaves_no_byte(app: TestClient, services: Services, tmp_path: Path) -> None:
    key = key_of(services)
    picture = services.uploads.add(key, Sent(name="private.png", content=png()), "reference").id
    request = {"seed": 1, "image": {"file": picture}}
    id = film(services, prompt="an unusual zebra", request=request)
    assert app.get(f"/v1/videos/{id}/content?format=gif").status_code == 200
    assert bytes_with(tmp_path / "formats", id) and bytes_with(tmp_path, "unusual zebra") and bytes_with(tmp_path, picture)
    answer = app.delete(f"/v1/videos/{id}").json()
    assert answer == {
        "id": id, "object": "video.deleted", "deleted": True, "restorable": False, "needed_by": [], "ingredient_of": []
    }  # fmt: skip
    assert not bytes_with(tmp_path, "unusual zebra", picture, "private.png")
    assert {Path(path).name.partition("-")[0] for path in bytes_with(tmp_path, id)} <= {"kinema.db"}
    assert app.post(f"/v1/videos/{id}/restore").status_code == 404


def test_a_restorable_deletion_keeps_all_until_it_is_deleted_again(app: TestClient, services: Services) -> None:
    id = film(services)
    assert app.delete(f"/v1/videos/{id}?restorable=true").json()["restorable"]
    assert listed(app) == [] and app.post(f"/v1/videos/{id}/restore").json()["id"] == id
    assert app.get(f"/v1/videos/{id}/content").status_code == 200
    app.delete(f"/v1/videos/{id}?restorable=true")
    app.delete(f"/v1/videos/{id}")
    assert app.post(f"/v1/videos/{id}/restore").status_code == 404 and not services.store.video(id, "1").exists()


def test_what_others_are_made_from_goes_when_they_have_ended(app: TestClient, services: Services) -> None:
    sent = app.post("/v1/files", files={"file": ("a.png", png())}).json()["id"]
    source = film(services)
    made = job(services, sources=[source], request={"seed": 1, "video": {"video": source}, "mask": {"file": sent}})
    assert app.delete(f"/v1/videos/{source}").json()["needed_by"] == [made]
    assert app.delete(f"/v1/files/{sent}").json()["needed_by"] == [made]
    for path in (f"/v1/videos/{source}", f"/v1/files/{sent}"):
        assert app.get(path).status_code == 404
    services.uploads.forget(3600.0)
    services.delete_bytes(services.queue.delete_expired(restorable_s=0.0))
    assert services.store.video(source, "1").exists() and services.store.file(sent).exists()
    app.post(f"/v1/videos/{made}/cancel")
    services.uploads.forget(3600.0)
    services.delete_bytes(services.queue.delete_removed())
    assert not services.store.video(source, "1").exists() and not services.store.file(sent).exists()


def test_a_picture_that_two_videos_came_with_goes_with_the_last(app: TestClient, services: Services) -> None:
    picture = services.uploads.add(key_of(services), Sent(name="a.png", content=png()), "reference").id
    first, second = (film(services, request={"seed": 1, "image": {"file": picture}}) for _ in range(2))
    app.delete(f"/v1/videos/{first}")
    assert services.store.file(picture).exists()
    app.delete(f"/v1/videos/{second}")
    assert not services.store.file(picture).exists()


def test_films_come_in_other_formats(app: TestClient, services: Services, tmp_path: Path) -> None:
    id = film(services)
    app.post(f"/v1/videos/{id}", json={"title": 'A "ball": 1/2'})
    for format, ending in (("mp4", "mp4"), ("webm", "webm"), ("gif", "gif")):
        answer = app.get(f"/v1/videos/{id}/content?format={format}")
        assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''A%20ball%2012.{ending}"
        assert answer.headers["x-kinema-manifest"] == ("yes" if format == "mp4" else "no")
        path = tmp_path / f"got.{ending}"
        path.write_bytes(answer.content)
        got = Clip.open(path)
        assert got.num_frames == 3 and abs(got.frames.astype(int) - clip_of().frames).mean() < 4
    with zipfile.ZipFile(io.BytesIO(app.get(f"/v1/videos/{id}/content?format=frames").content)) as frames:
        assert frames.namelist() == [f"frame-0000{i}.png" for i in range(3)] and frames.testzip() is None
        film_frames = Clip.open(services.store.video(id, "1") / VIDEO).frames
        assert (np.asarray(Image.open(frames.open("frame-00002.png"))) == film_frames[2]).all()
    refused = app.get(f"/v1/videos/{id}/content?format=avi").json()["error"]["message"]
    assert refused == "format 'avi': expected one of mp4, webm, gif, frames, and no variant beside it"


def test_conversions_are_kept_and_bounded(app: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = film(services), film(services)
    app.get(f"/v1/videos/{one}/content?format=gif")
    (made,) = services.store.formats.iterdir()
    made.write_bytes(b"GIF that was kept")
    assert app.get(f"/v1/videos/{one}/content?format=gif").content == b"GIF that was kept"
    monkeypatch.setattr(formats, "MOST_STORED", 1)
    assert app.get(f"/v1/videos/{two}/content?format=gif").status_code == 200
    assert [path.name for path in services.store.formats.iterdir()] == [f"{two}-1.gif"]
    monkeypatch.setattr(formats, "MOST_PIXELS_BYTES", 3 * 32 * 32 * 3 - 1)
    refused = app.get(f"/v1/videos/{two}/content?format=gif")
    assert refused.status_code == 413 and "trim it first" in refused.json()["error"]["message"]


def test_a_deleted_video_does_not_count_in_its_project(app: TestClient, services: Services) -> None:
    project = app.post("/v1/projects", json={"name": "one"}).json()["id"]
    ids = [film(services) for _ in range(2)]
    for id in ids:
        app.post(f"/v1/videos/{id}", json={"project": project})
    assert app.get(f"/v1/projects/{project}").json()["videos"] == 2
    app.delete(f"/v1/videos/{ids[0]}?restorable=true")
    assert app.get(f"/v1/projects/{project}").json()["videos"] == 1
    app.post(f"/v1/videos/{ids[0]}/restore")
    assert app.get(f"/v1/projects/{project}").json()["videos"] == 2


def test_an_archive_holds_the_films_as_they_are(app: TestClient, services: Services) -> None:
    ids = [film(services) for _ in range(3)]
    for id in ids[:2]:
        app.post(f"/v1/videos/{id}", json={"title": "Ball"})
    answer = app.get("/v1/videos/archive", params={"ids": ",".join([*ids, ids[0]])})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.namelist() == ["Ball.mp4", f"Ball {ids[1][-6:]}.mp4", f"{ids[2]}.mp4"] and made.testzip() is None
        assert {entry.compress_type for entry in made.infolist()} == {zipfile.ZIP_STORED}
        assert made.read("Ball.mp4") == (services.store.video(ids[0], "1") / VIDEO).read_bytes()
    head = app.head("/v1/videos/archive", params={"ids": ids[0]})
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "application/zip", b"")
    assert head.headers["content-disposition"] == answer.headers["content-disposition"]
    assert app.head(f"/v1/videos/archive?ids={new_id('video')}").status_code == 404
    assert app.get(f"/v1/videos/archive?ids={job(services)}").json()["error"]["code"] == "not_completed"
    assert app.get("/v1/videos/archive?ids=,").json()["error"]["message"].startswith("ids '0 of them': expected 1 to 100")
    assert app.get(f"/v1/videos/archive?ids={new_id('video')}").status_code == 404


def test_the_page_of_routes_names_labels_and_filters(app: TestClient) -> None:
    page = app.get("/openapi.json").json()
    names = {one["name"] for one in page["paths"]["/v1/videos"]["get"]["parameters"]}
    assert {"tag", "project", "favorite", "model", "status", "search", "sort", "order", "after", "limit"} <= names
    assert "LabelVideo" in json.dumps(page["paths"]["/v1/videos/{video_id}"]["post"])


@pytest.mark.parametrize(
    ("wanted", "status", "length"),
    [
        ("bytes=0-3", 206, 4),
        ("bytes=-5", 206, 5),
        ("bytes=999999999-", 416, None),
        ("bytes=5-1", 200, None),
        ("bytes=-0", 200, None),
        ("pages=1", 200, None),
        ("x", 200, None),
        ("bytes=", 200, None),
        ("bytes=" + "9" * 5000 + "-", 200, None),
    ],
)
def test_a_range_is_sent_ignored_or_refused_as_an_error(
    app: TestClient, services: Services, wanted: str, status: int, length: int | None
) -> None:
    id = film(services)
    answer = app.get(f"/v1/videos/{id}/content", headers={"range": wanted})
    assert answer.status_code == status
    if status == 416:
        size = len(app.get(f"/v1/videos/{id}/content").content)
        assert answer.json()["error"]["code"] == "invalid_range" and answer.headers["content-range"] == f"bytes */{size}"
    elif length is not None:
        assert len(answer.content) == length


def test_a_file_that_is_deleted_while_it_is_asked_for_is_not_found(tmp_path: Path) -> None:
    made = FastAPI()
    add_error_handlers(made)

    @made.get("/gone")
    async def gone() -> ServedFile:
        return ServedFile(tmp_path / "gone.mp4")

    answer = TestClient(made).get("/gone")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found")


@pytest.mark.parametrize("title", ["🎈" * 80, "映" * 80, "x" * 200])
def test_a_long_title_is_a_file_name_that_every_system_takes(title: str) -> None:
    name = file_name(title, new_id("video"), ".webm", set())
    assert len(name.encode()) <= 255 and name.startswith(title[:40])
    assert len(file_name(title, new_id("video"), ".webm", {name.lower()}).encode()) <= 255


def test_a_part_after_the_end_stands_in_the_notes(app: TestClient) -> None:
    prompt = "0-1: a red ball rolls right | 5-6: the ball stops"
    made = app.post("/v1/videos", json={"prompt": prompt, "seconds": "1"}).json()
    assert made["kinema"]["notes"] == [
        "'the ball stops' begins at 5 s, but the film ends at 1 s; ask for more seconds, or move the part"
    ]
    assert app.post("/v1/videos", json={"prompt": prompt, "seconds": "6"}).json()["kinema"]["notes"] == []
    refused = app.post("/v1/videos", json={"prompt": prompt, "seconds": "1", "strict": True})
    assert refused.status_code == 400 and "begins at 5 s" in refused.json()["error"]["message"]


def test_what_is_missing_or_empty_is_said_without_gaps(app: TestClient) -> None:
    assert app.get("/v1/videos/archive").json()["error"]["message"] == "ids is missing: it is needed"
    id = app.post("/v1/videos", json={"prompt": "a red ball", "seconds": "1"}).json()["id"]
    assert app.post(f"/v1/videos/{id}", json={"tags": [" "]}).json()["error"]["message"] == "tags[0] is empty: expected text"
