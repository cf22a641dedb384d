"""The Studio in a browser: finding, naming and grouping clips, cutting several into one, recording play, and who is signed in."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

from playwright.sync_api import Locator, Page, expect
from tests.e2e.browser import choose, go, latest, pick, signed_in
from tests.e2e.conftest import Opens, Running, until

Clips = dict[str, dict[str, Any]]

FORMATS = {
    "download": b"ftyp",
    "download-webm": b"\x1a\x45\xdf\xa3",
    "download-gif": b"GIF8",
    "download-frames": b"PK",
}
"""Buttons, and how the files begin that they give."""


@pytest.fixture
def labeled(server: Running, clips: Clips) -> Iterator[Clips]:
    """The clips without labels, before and after; and no project."""

    def clear() -> None:
        with server.http() as client:
            for clip in clips.values():
                client.post(f"/v1/videos/{clip['id']}", json={"title": "", "tags": [], "favorite": False, "project": ""})
            for project in client.get("/v1/projects").json()["data"]:
                client.delete(f"/v1/projects/{project['id']}")

    clear()
    yield clips
    clear()


def card(page: Page, clip: dict[str, Any]) -> Locator:
    return page.locator(f"[data-testid=card][data-id={clip['id']}]")


def details(server: Running, clip: dict[str, Any]) -> dict[str, Any]:
    with server.http() as client:
        found: dict[str, Any] = client.get(f"/v1/videos/{clip['id']}").json()["kinema"]
    return found


def test_a_clip_is_named_and_found_by_its_labels(studio: Page, server: Running, labeled: Clips) -> None:
    """Title, tags, project and star are saved as they are entered; each is a filter; the order can be turned."""
    ball, box = labeled["ball"], labeled["box"]
    go(studio, "gallery")
    studio.get_by_test_id("manage-projects").click()
    studio.get_by_test_id("project-name").fill("The snow film")
    studio.get_by_test_id("create-project").click()
    expect(studio.get_by_test_id("rename-project")).to_have_value("The snow film")
    studio.get_by_test_id("rename-project").fill("Winter")
    studio.get_by_test_id("rename-project").blur()
    studio.get_by_test_id("projects-dialog").get_by_test_id("dialog-close").click()
    go(studio, "gallery", box["id"])
    studio.get_by_test_id("clip-title").fill("Sledge, take 1")
    studio.get_by_test_id("clip-title").blur()
    expect(studio.get_by_test_id("clip-detail").get_by_role("heading", name="Sledge, take 1")).to_be_visible()
    studio.get_by_test_id("clip-tags").fill("Snow, draft , snow")
    studio.get_by_test_id("clip-tags").blur()
    expect(studio.get_by_test_id("clip-tags")).to_have_value("snow, draft")
    studio.get_by_test_id("clip-project").select_option(label="Winter")
    studio.get_by_test_id("clip-detail").get_by_test_id("favorite").click()
    expect(studio.get_by_test_id("clip-detail").get_by_test_id("favorite")).to_have_attribute("aria-pressed", "true")
    about = details(server, box)
    assert (about["title"], about["tags"], about["favorite"]) == ("Sledge, take 1", ["snow", "draft"], True)
    studio.get_by_test_id("clip-detail").get_by_test_id("dialog-close").click()

    expect(card(studio, box)).to_contain_text("Sledge, take 1")
    expect(card(studio, box)).to_contain_text("Winter")
    expect(card(studio, ball)).to_be_visible()
    cards = studio.get_by_test_id("card")
    for filtered in (
        lambda: studio.get_by_test_id("filter-favorite").click(),
        lambda: studio.get_by_test_id("filter-project").select_option(label="Winter (1)"),
        lambda: studio.get_by_test_id("filter-tag").select_option("draft"),
        lambda: studio.get_by_test_id("search").fill("sledge"),
    ):
        filtered()
        expect(cards).to_have_count(1)
        expect(card(studio, box)).to_be_visible()
        studio.get_by_test_id("clear-filters").click()
        expect(card(studio, ball)).to_be_visible()
    newest = cards.first.get_attribute("data-id")
    studio.get_by_test_id("sort").select_option("oldest")
    expect(cards.first).not_to_have_attribute("data-id", newest or "")

    studio.get_by_test_id("manage-projects").click()
    studio.get_by_test_id("delete-project").click()
    studio.get_by_test_id("project-yes").click()
    expect(studio.get_by_test_id("project-row")).to_have_count(0)
    assert details(server, box)["project"] is None


def test_many_at_once(studio: Page, server: Running, labeled: Clips, tmp_path: Path) -> None:
    """Chosen clips are starred, tagged, put into a project and downloaded together."""
    with server.http() as client:
        project = client.post("/v1/projects", json={"name": "Both"}).json()["id"]
    go(studio, "gallery")
    studio.get_by_test_id("search").fill("cyan ball rolls right on a field")
    for clip in labeled.values():
        studio.get_by_test_id("search").fill(clip["prompt"])
        card(studio, clip).get_by_test_id("pick").check(force=True)
    bar = studio.get_by_test_id("picked-bar")
    expect(bar).to_contain_text("2 clips chosen")
    studio.get_by_test_id("favorite-picked").click()
    expect(studio.get_by_test_id("favorite-picked")).to_have_text("No favorite")
    studio.get_by_test_id("label-picked").click()
    studio.get_by_test_id("bulk-add-tags").fill("one, two")
    studio.get_by_test_id("bulk-project").select_option(label="Both")
    studio.get_by_test_id("bulk-save").click()
    expect(studio.get_by_test_id("bulk-labels")).to_have_count(0)
    for clip in labeled.values():
        about = details(server, clip)
        assert (about["favorite"], about["tags"], about["project"]) == (True, ["one", "two"], project)
    studio.get_by_test_id("label-picked").click()
    studio.get_by_test_id("bulk-remove-tags").fill("two")
    studio.get_by_test_id("bulk-save").click()
    expect(studio.get_by_test_id("bulk-labels")).to_have_count(0)
    assert details(server, labeled["ball"])["tags"] == ["one"]
    with studio.expect_download() as download:
        studio.get_by_test_id("download-picked").click()
    download.value.save_as(tmp_path / "films.zip")
    with zipfile.ZipFile(tmp_path / "films.zip") as archive:
        films = {name: archive.read(name) for name in archive.namelist()}
    assert len(films) == 2 and all(film[4:8] == b"ftyp" for film in films.values())


def test_formats(studio: Page, clips: Clips, tmp_path: Path) -> None:
    """A clip is kept as MP4, WebM, GIF, or single frames."""
    go(studio, "gallery", clips["ball"]["id"])
    for name, begins in FORMATS.items():
        with studio.expect_download() as download:
            studio.get_by_test_id(name).click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        assert begins in saved.read_bytes()[:12], name
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as frames:
        assert len(frames.namelist()) == clips["ball"]["kinema"]["frames"]


def test_several_clips_are_cut_and_joined(studio: Page, server: Running, clips: Clips) -> None:
    """Put in a row, cut in two, put in another order, taken out and back, watched, joined."""
    go(studio, "edit")
    studio.get_by_test_id("open-cutting").click()
    expect(studio.get_by_test_id("empty")).to_contain_text("Nothing on the table")
    for clip in clips.values():
        studio.get_by_test_id("add-clip").click()
        pick(studio, clip)
    parts = studio.get_by_test_id("reel-part")
    expect(parts).to_have_count(2)
    expect(studio.get_by_test_id("join")).to_have_text("Join 2 to 2 s")
    studio.get_by_test_id("sequence-scrub").fill("0.5")
    studio.get_by_test_id("split").click()
    expect(parts).to_have_text(["0.5 s", "0.5 s", "1 s"])
    parts.nth(2).click()
    studio.get_by_test_id("part-to").fill("0.25")
    expect(parts).to_have_text(["0.5 s", "0.5 s", "0.25 s"])
    studio.get_by_test_id("part-earlier").click()
    expect(parts).to_have_text(["0.5 s", "0.25 s", "0.5 s"])
    parts.nth(1).press("Alt+ArrowLeft")
    expect(parts).to_have_text(["0.25 s", "0.5 s", "0.5 s"])
    parts.nth(2).click()
    studio.get_by_test_id("part-out").click()
    expect(parts).to_have_count(2)
    studio.get_by_test_id("toast-action").last.click()
    expect(parts).to_have_count(3)
    studio.reload()
    expect(parts).to_have_text(["0.25 s", "0.5 s", "0.5 s"])
    studio.get_by_test_id("sequence-play").click()
    expect(parts.nth(1)).to_have_attribute("aria-pressed", "true")
    studio.get_by_test_id("film-title").fill("Both of them")
    studio.get_by_test_id("join").click()
    expect(studio.locator("[data-testid=result][data-status=completed]")).to_have_count(1)
    video = latest(server)
    about = video["kinema"]
    assert (about["kind"], about["title"], about["frames"], video["seconds"]) == ("join", "Both of them", 10, "1.25")
    assert about["sources"] == [clips["box"]["id"], clips["ball"]["id"]]
    studio.get_by_test_id("clear-table").click()
    expect(parts).to_have_count(0)
    studio.get_by_test_id("toast-action").last.click()
    expect(parts).to_have_count(3)


def test_play_is_recorded_to_the_gallery(studio: Page, server: Running) -> None:
    """From one press to the next, frame for frame; or not kept at all."""
    go(studio, "world")
    choose(studio, "start-from", "Words")
    studio.get_by_test_id("world-prompt").fill("a green robot and a red ball")
    studio.get_by_test_id("start-world").click()
    expect(studio.get_by_test_id("live")).to_be_visible()
    expect(studio.locator(".screen-note")).to_have_count(0)
    studio.get_by_test_id("record").click()
    studio.get_by_test_id("record-cancel").click()
    studio.get_by_test_id("record").click()
    for i in range(4):
        studio.get_by_test_id("world-step").click()
        expect(studio.get_by_test_id("rewind-slider")).to_have_attribute("max", str(i + 1))
    studio.get_by_test_id("record-stop").click()
    studio.get_by_test_id("toast-action").last.click()
    expect(studio.get_by_test_id("facts")).to_be_visible()
    video = latest(server)
    assert (video["kinema"]["kind"], float(video["seconds"])) == ("record", 5 / 16)
    assert studio.url.endswith(video["id"])


def test_browsers_are_signed_out(opens: Opens, server: Running) -> None:
    """All of them are listed; ending one needs a yes, and shows there at once."""
    with server.http() as client:
        key = client.post("/v1/keys", json={"name": "two browsers", "scopes": ["read", "videos"]}).json()["key"]
    first, other = opens(user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"), opens()
    for window in (first, other):
        window.page.goto(f"{server.url}/#key={key}")
        expect(window.page.get_by_test_id("prompt")).to_be_visible()
    go(other.page, "settings")
    rows = other.page.get_by_test_id("session-row")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="this one")).to_have_count(1)
    row = rows.filter(has_text="Firefox on Linux")
    row.get_by_test_id("end-session").click()
    other.page.get_by_test_id("session-no").click()
    expect(rows).to_have_count(2)
    row.get_by_test_id("end-session").click()
    other.page.get_by_test_id("session-yes").click()
    expect(rows).to_have_count(1)
    first.provoked.append("401 (GET|POST) .*/v1/")
    expect(first.page.get_by_test_id("signin")).to_be_visible()
    other.provoked.append("401 (GET|POST) .*/v1/")
    rows.get_by_test_id("end-session").click()
    other.page.get_by_test_id("session-yes").click()
    expect(other.page.get_by_test_id("signin")).to_be_visible()
    assert re.search("#key=", other.page.url) is None
    expect(signed_in(opens(), server).get_by_test_id("prompt")).to_be_visible()


class Receiver(BaseHTTPRequestHandler):
    """Takes webhooks, and refuses the first."""

    taken: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.taken.append(self.headers["webhook-id"])
        self.send_response(500 if len(self.taken) == 1 else 204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_a_webhook_is_tried_logged_sent_again_and_renewed(studio: Page, server: Running) -> None:
    """What the receiver answered is told at once and stands in the log; a new secret is shown once, after a question."""
    Receiver.taken.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver, server.http() as client:
        Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_port}/hook"
        made = client.post("/v1/webhooks", json={"url": url, "events": ["video.completed"]}).json()
        if "old_secret_until" not in made:
            pytest.skip("this server keeps no log of deliveries")
        go(studio, "settings")
        row = studio.get_by_test_id("webhook-row").filter(has_text=url)
        row.get_by_test_id("test-webhook").click()
        expect(studio.get_by_test_id("toast")).to_contain_text("answered 500")
        row.get_by_test_id("deliveries").click()
        deliveries = studio.get_by_test_id("delivery")
        expect(deliveries).to_have_count(1)
        expect(deliveries.first).to_contain_text("answered 500")
        deliveries.first.get_by_test_id("replay").click()
        until(lambda: studio.wait_for_timeout(50) is None and len(Receiver.taken) == 2)
        studio.get_by_test_id("reload-deliveries").click()
        expect(deliveries.first).to_contain_text("Received")
        assert Receiver.taken[0] == Receiver.taken[1], "a delivery that is sent again keeps its id"
        studio.get_by_test_id("deliveries-dialog").get_by_test_id("dialog-close").click()
        row.get_by_test_id("rotate-webhook").click()
        studio.get_by_test_id("rotate-yes").click()
        expect(studio.get_by_test_id("secret")).not_to_have_text(made["secret"])
        studio.get_by_test_id("secret-done").click()
        expect(row).to_contain_text("old secret until")
        client.delete(f"/v1/webhooks/{made['id']}")
        receiver.shutdown()
