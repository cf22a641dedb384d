"""Productions over HTTP: planned, filmed by workers in takes that are jobs, killed, decided on, delivered."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import func, select
from tests.director.test_llm import StandIn
from tests.server.killed import killed

from kinema.director.checking import looks
from kinema.director.production import Production
from kinema.provenance.manifest import read_manifest
from kinema.server.app import create_app
from kinema.server.jobs.worker import Worker
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage.tables import jobs, ledger

SCRIPT: dict[str, Any] = {
    "production": {"title": "The box", "size": "64x64", "fps": 8, "budget": {"per_shot": 1}},
    "cast": [
        {"id": "ball", "name": "the ball", "look": "a red ball", "identity": {"kind": "ball", "color": "red"}},
        {"id": "box", "name": "the box", "look": "a blue box", "identity": {"kind": "box", "color": "blue"}},
    ],
    "shots": [
        {"id": "roll", "prompt": "a red ball rolls right with a blue box", "seconds": 0.5, "cast": ["ball", "box"],
         "dialogue": [{"who": "Box", "text": "Ouch."}]},
        {"id": "hit", "prompt": "a red ball hits a blue box", "seconds": 0.5, "cast": ["ball", "box"], "goes_on_from": "roll",
         "seed": 2},
        {"id": "end", "prompt": "a blue box on a field", "seconds": 0.5, "cast": ["box"], "scene": "2", "seed": 3},
    ],
}  # fmt: skip


class Site:
    """A server over its data folder, and a worker that runs when it is told to."""

    def __init__(self, data: Path, client: TestClient, services: Services) -> None:
        self.data, self.client, self.services = data, client, services

    def work(self, jobs_done: int | None = None) -> None:
        """Let a worker make all that waits, or so many jobs."""
        worker = Worker(Settings(data=self.data, threads=1), lease_s=1.0)
        left = [jobs_done if jobs_done is not None else 1000]
        once = worker.once

        def counted() -> bool:
            left[0] -= 1
            return once()

        worker.once = counted  # type: ignore[method-assign]
        waits = self.services.queue.waiting
        while left[0] > 0 and waits(None):
            worker.run(idle=lambda: True)
            if left[0] > 0 and waits(None):
                worker.once()
        worker.close()

    def make(self, **given: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/productions", json={"script": SCRIPT, **given})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def get(self, id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/v1/productions/{id}").json())

    def post(self, id: str, rest: str, status: int = 200, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"/v1/productions/{id}/{rest}", json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def events(self, id: str) -> list[str]:
        return [event["what"] for event in self.client.get(f"/v1/productions/{id}/events").json()["data"]]

    def entries(self, kind: str) -> int:
        """Lines of the ledger."""
        with self.services.database.reading() as db:
            return int(db.scalar(select(func.count()).select_from(ledger).where(ledger.c.kind == kind)) or 0)


@pytest.fixture(scope="module")
def stand() -> StandIn:
    """A language model that answers with a script."""
    return StandIn(["Here it is: " + json.dumps({"shots": [{"id": "s1", "prompt": "a red ball", "framing": "closeup"}]})])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    data = tmp_path / "data"
    app = create_app(Settings(data=data))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as client:
        yield Site(data, client, app.state.services)


def test_a_story_is_planned(site: Site) -> None:
    story = "A red ball rolls right. It hits a blue box."
    made = site.make(script=None, story=story, title="The box", stop_after="script", budget={"per_shot": 1}, seed=5)
    assert made["status"] == "planned" and made["title"] == "The box" and made["story"] == story
    assert [shot["id"] for shot in made["shots"]] == ["s1", "s2"] and made["estimate"]["most_takes"] == 2
    assert site.events(made["id"])[0] == "planned"


def test_the_language_model_of_the_operator_plans(tmp_path: Path, stand: StandIn) -> None:
    app = create_app(Settings(data=tmp_path / "data", llm=stand.url, llm_model="small"))
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as client:
        body = {"story": "A ball is seen.", "llm": True, "stop_after": "script"}
        made = client.post("/v1/productions", json=body).json()
        assert made["script"]["shots"][0]["framing"] == "close" and stand.bodies[-1]["model"] == "small"
        assert stand.bodies[-1]["messages"][1]["content"] == body["story"]
        stand.answers[:] = ["I would rather not."]
        refused = client.post("/v1/productions", json=body)
        assert refused.status_code == 503 and "no valid script" in refused.json()["error"]["message"]


def test_a_script_becomes_a_film(site: Site) -> None:
    """It is filmed by a worker in takes that are jobs, cut, logged and delivered; each take is paid once."""
    made = site.make(script={**SCRIPT, "shots": SCRIPT["shots"][:2]})
    assert made["status"] == "filming" and made["making"]["kind"] == "take" and made["making"]["shot"] == "roll"
    site.work()
    done = site.get(made["id"])
    assert done["status"] == "completed" and done["film_is_current"] and done["error"] is None and done["version"] == 4
    assert [(shot["used"], len(shot["takes"])) for shot in done["shots"]] == [(1, 1), (1, 1)]
    assert all(check["saw"] for shot in done["shots"] for check in shot["takes"][0]["checks"])
    log = site.events(made["id"])
    assert [what for what in log if what != "noted"] == ["planned", *["filmed", "checked", "accepted"] * 2, "delivered"]
    assert site.entries("reserve") == site.entries("settle") == 3 and site.entries("refund") == 0
    listed = site.client.get("/v1/videos").json()["data"]
    assert [video["id"] for video in listed] == [done["film"]], "the film is a video, takes are not listed"
    film = site.client.get(f"/v1/productions/{made['id']}/film")
    assert (
        film.status_code == 200 and film.content[4:8] == b"ftyp" and "The%20box.mp4" in film.headers["content-disposition"]
    )
    take = done["shots"][0]["takes"][0]["video"]
    assert site.client.get(f"/v1/videos/{take}/content?variant=thumbnail").status_code == 200
    assert site.client.get(f"/v1/videos/{take}").json()["expires_at"] is None, "takes stay as long as their production"
    assert site.client.delete(f"/v1/videos/{take}").status_code == 409


def test_the_manifest_of_the_film_names_its_takes(site: Site) -> None:
    made = site.make()
    site.work()
    done = site.get(made["id"])
    path = site.services.store.video(done["film"], site.services.queue.get(done["film"], None).artifact or "") / "video.mp4"
    manifest = read_manifest(path)
    assert manifest.state == "valid" and manifest.making == "edited"
    assert set(manifest.sources) == {shot["takes"][0]["video"] for shot in done["shots"]}


def test_it_stops_where_a_person_wants_to_look(site: Site) -> None:
    made = site.make(stop_after="script")
    assert made["status"] == "planned" and made["making"] is None
    site.work()
    assert site.entries("reserve") == 0
    site.post(made["id"], "shots/roll/retake", 409)
    still = site.client.get(f"/v1/productions/{made['id']}/shots/hit/still")
    assert Image.open(io.BytesIO(still.content)).size == (64, 64)
    site.post(made["id"], "resume", stop_after="shots")
    site.work()
    filmed = site.get(made["id"])
    assert filmed["status"] == "filmed" and filmed["film"] is None
    assert site.client.get(f"/v1/productions/{made['id']}/film").status_code == 409
    assert site.post(made["id"], "resume")["making"]["kind"] == "cut"
    site.work()
    done = site.get(made["id"])
    assert done["status"] == "completed"
    site.client.delete(f"/v1/videos/{done['film']}")
    gone = site.get(made["id"])
    assert gone["status"] == "filmed" and gone["film"] is None, "a film that was deleted can be cut again"
    assert site.post(made["id"], "resume")["making"]["kind"] == "cut"


@pytest.mark.slow
def test_decisions_change_nothing_else(site: Site) -> None:
    """Retake, accept, lock, reword and order: other shots keep their takes to the byte; versions keep two people apart."""
    made = site.make()
    id = made["id"]
    site.work()
    before = {shot["id"]: shot for shot in site.get(id)["shots"]}
    kept = {name: site.client.get(f"/v1/videos/{before[name]['takes'][0]['video']}/content").content for name in before}
    version = site.get(id)["version"]
    site.post(id, "shots/hit/lock", version=version)
    stale = site.post(id, "shots/end/lock", 409, version=version)
    assert stale["error"]["code"] == "version_conflict"
    assert "locked" in site.post(id, "shots/hit/retake", 400)["error"]["message"]
    site.post(id, "shots/hit/lock", locked=False)
    assert site.post(id, "shots/end/retake")["making"]["take"] == 2
    site.work()
    after = {shot["id"]: shot for shot in site.get(id)["shots"]}
    assert len(after["end"]["takes"]) == 2 and after["end"]["used"] == 2 and after["roll"] == before["roll"]
    assert {name: len(after[name]["takes"]) for name in after} == {"roll": 1, "hit": 1, "end": 2}
    accepted = site.post(id, "shots/end/accept", take=1)
    assert accepted["shots"][2]["used"] == 1 and accepted["status"] == "filmed" and not accepted["film_is_current"]
    site.post(id, "shots/end/accept", 400, take=9)
    ordered = site.post(id, "order", order=["end", "roll", "hit"])
    assert [shot["id"] for shot in ordered["shots"]] == ["end", "roll", "hit"]
    assert "goes_on_from" in site.post(id, "order", 400, order=["hit", "roll", "end"])["error"]["message"]
    reworded = site.post(id, "shots/hit/reword", prompt="a red ball rolls left with a blue box")
    assert reworded["status"] == "planned" and reworded["making"] is None, "words alone film nothing"
    site.post(id, "resume")
    site.work()
    done = site.get(id)
    assert done["status"] == "completed" and done["shots"][2]["takes"][-1]["number"] == 2
    for name, content in kept.items():
        assert site.client.get(f"/v1/videos/{before[name]['takes'][0]['video']}/content").content == content


def test_a_take_that_is_of_no_use_any_more_is_cancelled_and_refunded(site: Site) -> None:
    made = site.make()
    changed = site.post(made["id"], "shots/roll/reword", prompt="a red ball rolls left with a blue box")
    assert changed["making"]["video"] != made["making"]["video"] and changed["making"]["shot"] == "roll"
    assert site.client.get(f"/v1/videos/{made['making']['video']}").json()["error"]["code"] == "cancelled"
    site.post(made["id"], "shots/end/lock", 400)
    same = site.post(made["id"], "order", order=["end", "roll", "hit"])
    assert same["making"]["video"] == changed["making"]["video"], "what another decision does not touch goes on"
    stopped = site.post(made["id"], "stop")
    assert stopped["status"] == "planned" and stopped["making"] is None
    site.post(made["id"], "resume")
    site.work()
    assert site.get(made["id"])["status"] == "completed"
    assert site.entries("reserve") == 6 and site.entries("settle") == 4 and site.entries("refund") == 2


@pytest.mark.parametrize(
    ("point", "passes"), [("claimed", 1), ("kept", 2), ("written", 2), ("settled", 3), ("published", 2)]
)
def test_killed_at_any_moment_it_goes_on(site: Site, point: str, passes: int) -> None:
    """Nothing is filmed twice or paid twice, and the takes are those of a production that nobody killed."""
    made = site.make()
    assert killed(site.data, point, passes)
    site.work()
    done = site.get(made["id"])
    assert done["status"] == "completed" and [len(shot["takes"]) for shot in done["shots"]] == [1, 1, 1]
    assert site.entries("reserve") == site.entries("settle") == 4 and site.entries("refund") == 0
    log = site.events(made["id"])
    assert log.count("filmed") == 3 and log.count("delivered") == 1


def test_a_quota_stops_it_until_there_is_more(site: Site) -> None:
    one = 64 * 64 * 0.5
    text, key = site.services.auth.make("small", quota=2.5 * one)
    mine = {"authorization": f"Bearer {text}"}
    made = site.client.post("/v1/productions", json={"script": SCRIPT}, headers=mine).json()
    site.work()
    stopped = site.client.get(f"/v1/productions/{made['id']}", headers=mine).json()
    assert stopped["status"] == "failed" and stopped["error"]["code"] == "insufficient_quota"
    assert [len(shot["takes"]) for shot in stopped["shots"]] == [1, 1, 0], "what is paid is kept"
    again = site.client.post(f"/v1/productions/{made['id']}/resume", json={}, headers=mine)
    assert again.status_code == 429
    row = next(row for row in site.services.auth.all() if row.id == key.id)
    assert row.used == 2 * one and row.reserved == 0


def test_keys_see_their_own(site: Site) -> None:
    made = site.make(stop_after="script")
    text, _ = site.services.auth.make("other")
    other = {"authorization": f"Bearer {text}"}
    assert site.client.get("/v1/productions", headers=other).json()["data"] == []
    for method, rest in (("GET", ""), ("GET", "/events"), ("GET", "/film?format=zip"), ("POST", "/resume"), ("DELETE", "")):
        answer = site.client.request(method, f"/v1/productions/{made['id']}{rest}", headers=other)
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "production_not_found"
    assert [one["id"] for one in site.client.get("/v1/productions").json()["data"]] == [made["id"]]


def test_a_cancelled_take_stops_its_production(site: Site) -> None:
    made = site.make()
    video = made["making"]["video"]
    site.client.post(f"/v1/videos/{video}/cancel")
    stopped = site.get(made["id"])
    assert (
        stopped["status"] == "failed"
        and stopped["error"]["code"] == "cancelled"
        and site.events(made["id"])[-1] == "stopped"
    )
    assert site.client.post(f"/v1/videos/{video}/retry").status_code == 409
    assert site.post(made["id"], "resume")["status"] == "filming"


def test_it_is_delivered_to_other_programs_and_opens_elsewhere(site: Site, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 220, 255)).save(buffer, "PNG")
    file = site.client.post("/v1/files", files={"file": ("sky.png", buffer.getvalue(), "image/png")}).json()["id"]
    shots = [SCRIPT["shots"][0], {**SCRIPT["shots"][2], "first_frame": file, "transition": "fade"}]
    made = site.make(script={**SCRIPT, "shots": shots})
    site.work()
    done = site.get(made["id"])
    assert done["status"] == "completed", done["error"]
    address = f"/v1/productions/{made['id']}/film?format="
    timeline = site.client.get(address + "otio").json()
    clips = [one for one in timeline["tracks"]["children"][0]["children"] if one["OTIO_SCHEMA"] == "Clip.2"]
    assert [clip["name"] for clip in clips] == ["roll", "end"]
    assert "TITLE: The box" in site.client.get(address + "edl").text and "Ouch." in site.client.get(address + "srt").text
    assert "one of mp4, otio" in site.client.get(address + "avi").json()["error"]["message"]
    with zipfile.ZipFile(io.BytesIO(site.client.get(address + "zip").content)) as packed:
        packed.extractall(tmp_path / "elsewhere")
    opened = Production.open(tmp_path / "elsewhere" / made["id"])
    assert opened.used("end") == 1 and opened.takes("roll")[0].plan.number == 1 and opened.lines()[-1]["what"] == "delivered"
    assert opened.open_take("roll", 1).num_frames == 4
    with opened.writing():
        assert opened.used("end") == 1, "a shot whose picture has another name here is not filmed again"
    assert (opened.folder / str(opened.script.shots[1].first_frame)).is_file() and (opened.folder / "film.mp4").is_file()


def upload(site: Site, color: tuple[int, int, int] = (0, 0, 255)) -> str:
    """The id of an uploaded picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), color).save(buffer, "PNG")
    return str(site.client.post("/v1/files", files={"file": ("box.png", buffer.getvalue(), "image/png")}).json()["id"])


def pictured(*pictures: str, shots: slice = slice(1)) -> dict[str, Any]:
    """A script whose box has pictures."""
    ball, box = SCRIPT["cast"]
    return {**SCRIPT, "cast": [ball, {**box, "pictures": list(pictures)}], "shots": SCRIPT["shots"][shots]}


def packed_log(site: Site, id: str) -> list[dict[str, Any]]:
    """The log in the zip of a production."""
    with zipfile.ZipFile(io.BytesIO(site.client.get(f"/v1/productions/{id}/film?format=zip").content)) as packed:
        return [json.loads(line) for line in packed.read(f"{id}/log.jsonl").decode().splitlines()]


@pytest.mark.skipif(find_spec(looks.PACKAGE) is None, reason="needs kinema[look]")
def test_takes_are_compared_with_uploaded_pictures_of_the_cast(site: Site, tmp_path: Path) -> None:
    file, other = upload(site), upload(site, (255, 0, 0))
    made = site.make(script=pictured(file, other), look=True)
    assert made["look"] and made["script"]["cast"][1]["pictures"] == [file, other]
    assert site.client.delete(f"/v1/files/{file}").status_code == 200, "its bytes stay while a take needs them"
    site.work()
    done = site.get(made["id"])
    assert done["status"] == "completed", done["error"]
    (take,) = done["shots"][0]["takes"]
    assert [check["name"] for check in take["checks"] if check["name"].startswith("same look")] == ["same look: box"]
    manifest = site.client.get(f"/v1/videos/{take['video']}").json()
    assert file not in json.dumps(manifest), "what a take is compared with is no part of it"
    with zipfile.ZipFile(io.BytesIO(site.client.get(f"/v1/productions/{made['id']}/film?format=zip").content)) as packed:
        packed.extractall(tmp_path / "elsewhere")
    opened = Production.open(tmp_path / "elsewhere" / made["id"])
    with opened.writing():
        assert opened.used("roll") == 1, "a shot whose pictures have other names here is not filmed again"
    pictures = opened.script.cast[1].pictures
    assert all((opened.folder / name).is_file() for name in pictures) and looks.LookChecks(opened.script, opened.folder)
    site.services.uploads.forget(86400.0)
    lines = packed_log(site, made["id"])
    assert [line["why"].split(" ")[0] for line in lines if "is not here" in line.get("why", "")] == [pictures[0]]
    retaken = site.post(made["id"], "shots/roll/retake")
    assert retaken["making"]["take"] == 2
    site.work()
    stopped = site.get(made["id"])
    assert (
        stopped["status"] == "failed"
        and f"the file {file} is gone; upload it again, and make a new production" in stopped["error"]["message"]
    )


def test_pictures_of_the_cast_are_uploads_of_the_caller(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    file = upload(site)
    assert not site.make(script=pictured(file), stop_after="script")["look"], "they are compared with if that is asked for"
    monkeypatch.setattr("kinema.server.productions.planning.is_installed", lambda: False)
    text, _ = site.services.auth.make("other")
    for body, status, says in (
        ({"script": pictured("/etc/passwd")}, 400, "script.cast.pictures '/etc/passwd': expected the id of a file"),
        ({"script": pictured("file_" + 24 * "0")}, 404, "no file"),
        ({"script": pictured(*[file] * 17)}, 400, "17 of box': expected up to 16 of each"),
        ({"script": pictured(), "look": True}, 400, "nobody of the cast has pictures"),
        ({"story": "A red ball rolls.", "look": True}, 400, "nobody of the cast has pictures"),
        ({"script": pictured(file), "look": True}, 400, "kinema[look]"),
    ):
        answer = site.client.post("/v1/productions", json=body)
        assert answer.status_code == status and says in answer.json()["error"]["message"], answer.text
    answer = site.client.post(
        "/v1/productions", json={"script": pictured(file)}, headers={"authorization": f"Bearer {text}"}
    )
    assert answer.status_code == 404
    assert len(site.client.get("/v1/productions").json()["data"]) == 1


def test_a_member_of_the_cast_gets_pictures_later(site: Site, tmp_path: Path) -> None:
    """They stand in the script, its notes follow, takes that there are stay, also where the zip of the production is opened."""
    file, other = upload(site), upload(site, (255, 0, 0))
    made = site.make(script=pictured(shots=slice(2)))
    site.work()
    done = site.get(made["id"])
    note = 'cast member "box": pictures are not given to the model, which films it by its look in words'
    assert done["status"] == "completed" and note not in done["notes"]
    now = site.post(made["id"], "cast/box/pictures", pictures=[file, other])
    assert now["script"]["cast"][1]["pictures"] == [file, other] and now["notes"] == [*done["notes"], note]
    assert (now["status"], now["making"], now["shots"]) == ("completed", None, done["shots"])
    address = f"/v1/productions/{made['id']}/film?format=zip"
    with zipfile.ZipFile(io.BytesIO(site.client.get(address).content)) as packed:
        packed.extractall(tmp_path / "elsewhere")
    opened = Production.open(tmp_path / "elsewhere" / made["id"])
    with opened.writing():
        assert [opened.used(shot.id) for shot in opened.script.shots] == [1, 1], "no shot is filmed again"
    assert len(opened.script.cast[1].pictures) == 2
    now = site.post(made["id"], "cast/box/pictures", pictures=[])
    assert "pictures" not in now["script"]["cast"][1] and now["notes"] == done["notes"] and now["status"] == "completed"
    assert site.events(made["id"])[-2:] == ["noted", "noted"]


def test_other_pictures_begin_a_take_anew_that_is_compared_with_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A take under way is cancelled by what it depends on alone: pictures are part of that where takes are compared with them."""
    monkeypatch.setattr("kinema.server.productions.planning.is_installed", lambda: True)
    file = upload(site)
    made = site.make(script=pictured())
    first = made["making"]["video"]
    assert site.post(made["id"], "cast/box/pictures", pictures=[file])["making"]["video"] == first
    second = site.post(made["id"], "look")
    assert second["look"] and second["making"]["video"] != first
    assert site.post(made["id"], "look")["making"]["video"] == second["making"]["video"], "nothing has changed"
    third = site.post(made["id"], "cast/box/pictures", pictures=[upload(site)])
    assert third["making"]["video"] != second["making"]["video"]
    fourth = site.post(made["id"], "look", look=False)
    assert not fourth["look"] and fourth["making"]["video"] != third["making"]["video"]


def test_pictures_are_checked_however_they_come(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    file = upload(site)
    made = site.make(script=pictured(), stop_after="script")
    text, _ = site.services.auth.make("other")
    for rest, body, status, says in (
        ("cast/box/pictures", {"pictures": ["/etc/passwd"]}, 400, "pictures '/etc/passwd': expected the id of a file"),
        ("cast/box/pictures", {"pictures": ["file_" + 24 * "0"]}, 404, "no file"),
        ("cast/box/pictures", {"pictures": 17 * [file]}, 400, "17 of box': expected up to 16 of each"),
        ("cast/cat/pictures", {"pictures": [file]}, 400, "there is no cast member 'cat': expected one of ball, box"),
        ("cast/box/pictures", {"pictures": [file], "version": 99}, 409, "version 99"),
        ("look", {}, 400, "nobody of the cast has pictures"),
    ):
        answer = site.client.post(f"/v1/productions/{made['id']}/{rest}", json=body)
        assert answer.status_code == status and says in answer.json()["error"]["message"], answer.text
    headers = {"authorization": f"Bearer {text}"}
    answer = site.client.post(f"/v1/productions/{made['id']}/cast/box/pictures", json={"pictures": []}, headers=headers)
    assert answer.status_code == 404
    assert site.get(made["id"])["script"] == made["script"]
    site.post(made["id"], "cast/box/pictures", pictures=[file])
    monkeypatch.setattr("kinema.server.productions.planning.is_installed", lambda: False)
    assert "kinema[look]" in site.post(made["id"], "look", 400)["error"]["message"]


def test_a_picture_that_is_gone_is_told_with_what_helps(site: Site) -> None:
    file = upload(site)
    script = pictured(file)
    script["shots"] = [{**script["shots"][0], "first_frame": file}]
    made = site.make(script=script, stop_after="script")
    assert not any("is not here" in line.get("why", "") for line in packed_log(site, made["id"]))
    site.client.delete(f"/v1/files/{file}")
    site.services.uploads.forget(86400.0)
    assert packed_log(site, made["id"])[-1]["why"].startswith(f"pictures/{file}.png is not here"), "no gap is hidden"
    site.post(made["id"], "resume")
    site.work()
    message = site.get(made["id"])["error"]["message"]
    assert f"the file {file} is gone" in message and "make a new production of the script with the new id in it" in message


def test_a_deleted_production_leaves_its_film(site: Site) -> None:
    made = site.make()
    site.work()
    done = site.get(made["id"])
    take = done["shots"][0]["takes"][0]["video"]
    assert site.client.delete(f"/v1/productions/{made['id']}").json()["deleted"]
    assert site.client.get(f"/v1/productions/{made['id']}").status_code == 404
    assert site.client.get(f"/v1/videos/{take}/content").status_code == 404
    assert not (site.data / "videos" / take).exists()
    assert site.client.get(f"/v1/videos/{done['film']}/content").status_code == 200
    other = site.make()
    site.client.delete(f"/v1/productions/{other['id']}")
    with site.services.database.reading() as db:
        assert not db.scalar(select(func.count()).select_from(jobs).where(jobs.c.status.in_(("queued", "in_progress"))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "either a story or a script"),
        ({"story": "A ball.", "script": SCRIPT}, "either a story or a script"),
        ({"script": {"shots": []}}, "shots"),
        ({"script": {**SCRIPT, "shots": [{**SCRIPT["shots"][0], "framing": "closeup"}]}}, "perhaps close"),
        ({"script": {**SCRIPT, "shots": [{**SCRIPT["shots"][0], "first_frame": "/etc/passwd"}]}}, "the id of a file"),
        ({"script": {**SCRIPT, "shots": [{**SCRIPT["shots"][0], "actor": "/etc"}]}}, "agents are files of another machine"),
        ({"script": {**SCRIPT, "production": {"sound": "/etc/passwd"}}}, "sound"),
        ({"script": {**SCRIPT, "shots": [{**SCRIPT["shots"][0], "model": "nobody"}]}}, "no model 'nobody'"),
        ({"script": {**SCRIPT, "shots": [{**SCRIPT["shots"][0], "seconds": 599}] * 1, "production": {"size": "9999x9999"}}}, ""),
        ({"story": "A red ball.", "stop_after": "never"}, "stop_after"),
        ({"story": "A red ball.", "budget": {"per_shot": 0}}, "per_shot"),
        ({"story": "A red ball.", "llm": True}, "no language model"),
    ],
)  # fmt: skip
def test_what_cannot_be_filmed_is_refused_in_one_line(site: Site, body: dict[str, Any], message: str) -> None:
    answer = site.client.post("/v1/productions", json=body)
    assert answer.status_code in (400, 404, 422), answer.text
    assert message in answer.json()["error"]["message"] and "\n" not in json.dumps(answer.json()["error"]["message"])
    assert site.client.get("/v1/productions").json()["data"] == []


@pytest.mark.parametrize("named", [True, False])
def test_cues_that_a_model_cannot_be_given_are_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """By the production's model and by one that a shot names, before anything is queued."""
    pytest.importorskip("diffusers", reason="needs kinema[open-weights]")
    from kinema.engines.diffusers.tiny.models import make_tiny
    from kinema.engines.registry import ModelEntry, save_entry

    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    save_entry(ModelEntry(name="wan", source=str(make_tiny("wan", tmp_path / "wan"))))
    cued = {**SCRIPT["shots"][2], "cues": [{"at_s": 0.1, "do": "stop the box"}], **({"model": "wan"} if named else {})}
    body = {"script": {**SCRIPT, "shots": [SCRIPT["shots"][0], cued]}, **({} if named else {"model": "wan"})}
    answer = site.client.post("/v1/productions", json=body)
    assert answer.status_code == 400, answer.text
    assert 'shot 2 ("end"), cues: wan has no state' in answer.json()["error"]["message"]
    assert site.client.get("/v1/productions").json()["data"] == [] and site.entries("reserve") == 0
