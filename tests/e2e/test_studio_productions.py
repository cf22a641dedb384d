"""The storyboard in a browser: a story is planned, filmed, looked at, decided on and exported; the server holds all of it."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

from playwright.sync_api import Page, expect
from tests.e2e.browser import PHONE, check_axe, choose, go, needs_axe, pick, picture, signed_in
from tests.e2e.conftest import Opens, Running, until

from kinema.director.checking import looks

SCRIPT: dict[str, Any] = {
    "production": {"title": "The box", "size": "64x64", "fps": 8, "budget": {"per_shot": 1}},
    "cast": [{"id": "ball", "name": "the ball", "look": "a red ball", "identity": {"kind": "ball", "color": "red"}}],
    "shots": [
        {"id": "roll", "prompt": "a red ball rolls right", "seconds": 0.5, "cast": ["ball"],
         "events": [{"kind": "moves", "who": "ball", "direction": "right"}]},
        {"id": "stop", "prompt": "a red ball stops", "seconds": 0.5, "cast": ["ball"], "goes_on_from": "roll",
         "dialogue": [{"who": "Ball", "text": "Ouch."}]},
        {"id": "end", "prompt": "a red ball falls", "seconds": 0.5, "cast": ["ball"], "scene": "2"},
    ],
}  # fmt: skip


def make(server: Running, **given: Any) -> str:
    with server.http() as client:
        answer = client.post("/v1/productions", json={"script": SCRIPT, "stop_after": "script", **given})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def get(server: Running, id: str) -> dict[str, Any]:
    with server.http() as client:
        return dict(client.get(f"/v1/productions/{id}").json())


def filmed(server: Running) -> str:
    """A production whose film is there."""
    id, end = make(server, stop_after=None), time.monotonic() + 180
    while (status := get(server, id)["status"]) == "filming":
        assert time.monotonic() < end, "it never came to an end"
        time.sleep(0.1)
    assert status == "completed"
    return id


@pytest.fixture(scope="module")
def film(server: Running) -> str:
    """A production whose film is there, to be looked at only."""
    return filmed(server)


def test_cues_stand_in_the_script(studio: Page, server: Running) -> None:
    cues = [{"when": "is the red ball on the right?", "do": "add a blue box"}, {"at_s": 0.25, "do": "stop the ball"}]
    shots = [{**SCRIPT["shots"][0], "cues": cues}]
    id = make(server, script={**SCRIPT, "shots": shots})
    studio.evaluate("id => { location.hash = `#/storyboard/${id}`; }", id)
    shown = studio.get_by_test_id("production-script").get_by_test_id("cue")
    expect(shown).to_have_text(["is the red ball on the right? add a blue box", "After 0.25 s stop the ball"])


def test_the_cast_gets_pictures(opens: Opens, server: Running) -> None:
    """By a file and by dropping one; a reload keeps them; what is filmed has them in its script; one is removed, and comes back."""
    window = opens()
    window.provoked.append(r"400 POST .*/(pictures|look|files)$")
    page, id = signed_in(window, server), make(server, script={**SCRIPT, "shots": SCRIPT["shots"][:1]})

    def pictures() -> list[str]:
        return list(get(server, id)["script"]["cast"][0].get("pictures", []))

    go(page, "storyboard", id)
    member = page.get_by_test_id("cast-member")
    expect(member).to_contain_text("the balla red ball")
    expect(page.get_by_test_id("cast-hint")).to_contain_text("kinema-tiny films the cast by its look in words")
    expect(page.get_by_test_id("compare-looks")).to_have_count(0)
    member.get_by_test_id("cast-file-input").set_input_files(picture((200, 20, 20)))
    shown = member.get_by_role("img")
    expect(shown).to_have_count(1)
    member.evaluate(
        """(item, bytes) => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(bytes)], "ball.png", { type: "image/png" }));
            item.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
        }""",
        list(picture((220, 0, 0))["buffer"]),
    )
    expect(shown).to_have_count(2)
    assert len(pictures()) == 2
    expect(page.get_by_test_id("production-notes")).to_contain_text("pictures are not given to the model")

    page.reload()
    expect(shown).to_have_count(2)
    expect(member.get_by_role("img", name="Picture 2 of the ball")).to_be_visible()
    until(lambda: bool(shown.last.evaluate("image => image.complete && image.naturalWidth === 64")))
    page.get_by_test_id("film-production").click()
    expect(page.get_by_test_id("production-status")).to_have_text("done", timeout=120_000)
    first, second = pictures()
    with server.http() as client:
        zipped = client.get(f"/v1/productions/{id}/film", params={"format": "zip"}).content
    with zipfile.ZipFile(io.BytesIO(zipped)) as files:
        script = json.loads(files.read(f"{id}/script.json"))
        assert script["cast"][0]["pictures"] == [f"pictures/{file}.png" for file in (first, second)]
        assert {f"{id}/pictures/{file}.png" for file in (first, second)} <= set(files.namelist())

    remove = member.get_by_role("button", name="Remove picture 1 of the ball")
    remove.focus()
    page.keyboard.press("Enter")
    expect(shown).to_have_count(1)
    expect(member.get_by_role("button", name="File that shows the ball")).to_be_focused()
    assert pictures() == [second]
    page.get_by_role("button", name="Undo").click()
    expect(shown).to_have_count(2)
    assert pictures() == [first, second] and get(server, id)["status"] == "completed", "takes stay"

    member.get_by_test_id("cast-file-input").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
    expect(page.get_by_test_id("toast")).to_contain_text("not a video or picture that can be read")
    expect(member.get_by_test_id("cast-file")).to_be_enabled()
    if find_spec(looks.PACKAGE) is None:
        page.get_by_test_id("compare-looks").click()
        expect(page.get_by_test_id("toast").last).to_contain_text("kinema[look]")
        expect(page.get_by_test_id("compare-looks")).not_to_be_checked()
    assert len(pictures()) == 2 and not get(server, id)["look"]


def test_a_frame_of_a_clip_is_a_picture_wherever_one_is_taken(
    studio: Page, server: Running, clips: dict[str, dict[str, Any]]
) -> None:
    """Of the cast, on a card, at the start of a world; the dialog looks the same in all of them."""
    looks_alike = set()
    for place, button in (
        (("storyboard", make(server)), "cast-frame"),
        (("storyboard", "cards"), "card-frame"),
        (("world",), "world-frame"),
    ):
        go(studio, *place)
        if button == "world-frame":
            choose(studio, "start-from", "A picture")
        studio.get_by_test_id(button).first.click()
        pick(studio, clips["ball"])
        dialog = studio.get_by_test_id("frame-dialog")
        expect(dialog.locator("video")).to_be_visible()
        style = "e => { const s = getComputedStyle(e); return [s.fontSize, s.color, s.textAlign, s.fontWeight].join(); }"
        looks_alike.add(dialog.evaluate(style))
        studio.get_by_test_id("use-frame").click()
        expect(dialog).to_have_count(0)
        shown = studio.locator("#main img[src*='/v1/files/']")
        expect(shown).to_have_count(1)
        until(lambda shown=shown: bool(shown.evaluate("image => image.complete && image.naturalWidth > 0")))  # type: ignore[misc]
    assert len(looks_alike) == 1, looks_alike


def test_pictures_of_the_cast_on_a_phone(opens: Opens, server: Running) -> None:
    page, id = signed_in(opens(viewport=PHONE, has_touch=True, is_mobile=True), server), make(server)
    go(page, "storyboard", id)
    member = page.get_by_test_id("cast-member")
    for count in range(1, 6):
        member.get_by_test_id("cast-file-input").set_input_files(picture((40 * count, 20, 20)))
        expect(member.get_by_role("img")).to_have_count(count)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for part in (*member.get_by_role("img").all(), *member.get_by_role("button").all()):
        box = part.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]


@needs_axe
@pytest.mark.parametrize(
    "options", [{}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}], ids=["desktop", "phone"]
)
def test_a_cast_with_pictures_is_accessible(opens: Opens, server: Running, options: dict[str, Any]) -> None:
    page, id = signed_in(opens(**options), server), make(server)
    go(page, "storyboard", id)
    page.get_by_test_id("cast-file-input").set_input_files(picture((200, 20, 20)))
    expect(page.get_by_test_id("cast-picture")).to_have_count(1)
    check_axe(page, "cast")


def test_a_story_is_planned_and_seen_before_it_is_filmed(studio: Page, server: Running) -> None:
    """The script stands beside cards with their first pictures; what is not filmed as written is said; nothing is in the queue."""
    studio.get_by_test_id("nav-storyboard").click()
    studio.get_by_test_id("story").fill("A small red ball rolls right. A blue box falls.")
    studio.get_by_test_id("story-title").fill("My story")
    studio.get_by_test_id("plan-story").click()
    expect(studio.get_by_test_id("production-title")).to_have_text("My story")
    expect(studio.get_by_test_id("production-status")).to_have_text("planned")
    cards = studio.get_by_test_id("shot")
    expect(cards).to_have_count(2)
    expect(studio.get_by_test_id("production-script")).to_contain_text("A small red ball rolls right.")
    expect(studio.get_by_test_id("production-notes")).to_contain_text("small")
    still = cards.first.locator("img")
    until(lambda: bool(still.evaluate("image => image.complete && image.naturalWidth > 0")))
    id = studio.url.rpartition("/")[2]
    assert get(server, id)["making"] is None
    studio.get_by_test_id("all-productions").click()
    expect(studio.get_by_test_id("production-link").first).to_contain_text("My story")
    expect(studio.get_by_test_id("story")).to_have_value("")
    go(studio, "storyboard", id)
    studio.get_by_test_id("delete-production").click()
    studio.get_by_test_id("delete-production-yes").click()
    expect(studio.get_by_test_id("plan-story")).to_be_visible()
    with server.http() as client:
        assert client.get(f"/v1/productions/{id}").status_code == 404


def test_a_reload_in_the_middle_goes_on(studio: Page, server: Running) -> None:
    id = make(server)
    go(studio, "storyboard", id)
    studio.get_by_test_id("film-production").click()
    expect(studio.get_by_test_id("production-status")).to_have_text("being filmed")
    studio.reload()
    expect(studio.get_by_test_id("production-status")).to_have_text("done", timeout=120_000)
    expect(studio.get_by_test_id("production-film")).to_be_visible()
    expect(studio.get_by_test_id("take")).to_have_count(3)
    assert [len(shot["takes"]) for shot in get(server, id)["shots"]] == [1, 1, 1]


@pytest.mark.slow
def test_takes_are_looked_at_and_decided_on(studio: Page, server: Running) -> None:
    """A badge opens its frame; words, order, locks, takes; the film is cut anew; other shots keep their takes."""
    id = filmed(server)
    go(studio, "storyboard", id)
    cards = studio.get_by_test_id("shot")
    expect(cards).to_have_count(3)
    before = get(server, id)
    checks = before["shots"][0]["takes"][0]["checks"]
    index, check = next((i, one) for i, one in enumerate(checks) if one["frames"])
    cards.first.get_by_test_id("check").nth(index).click()
    expect(studio.get_by_test_id("check-saw")).to_contain_text(check["saw"])
    expect(studio.get_by_test_id("timecode").last).to_contain_text(f"{check['frames'][0] / 8:05.2f}")
    expect(studio.get_by_test_id("take-dialog").locator("video")).to_be_visible()
    studio.get_by_test_id("dialog-close").click()

    cards.first.get_by_test_id("shot-lock").click()
    expect(cards.first.get_by_test_id("shot-text")).to_be_disabled()
    expect(cards.first.get_by_test_id("shot-retake")).to_have_count(0)
    cards.first.get_by_test_id("shot-lock").click()
    expect(cards.first.get_by_test_id("shot-text")).to_be_enabled()

    cards.last.get_by_test_id("shot-retake").click()
    expect(cards.last.get_by_test_id("take")).to_have_count(2, timeout=120_000)
    expect(studio.get_by_test_id("production-status")).to_have_text("done", timeout=120_000)
    cards.last.get_by_test_id("take").first.click()
    cards.last.get_by_test_id("shot-accept").click()
    expect(studio.get_by_test_id("film-old")).to_be_visible()

    cards.last.get_by_test_id("shot-earlier").click()
    expect(cards.nth(1)).to_have_attribute("data-id", "end")
    cards.first.get_by_test_id("shot-text").fill("a red ball rolls left")
    cards.first.get_by_test_id("shot-reword").click()
    expect(studio.get_by_test_id("production-status")).to_have_text("planned")
    studio.get_by_test_id("film-production").click()
    expect(studio.get_by_test_id("production-status")).to_have_text("done", timeout=120_000)
    after = {shot["id"]: shot for shot in get(server, id)["shots"]}
    assert after["roll"]["prompt"] == "a red ball rolls left" and after["roll"]["used"] == 2 and after["end"]["used"] == 1
    assert after["stop"]["takes"] == before["shots"][1]["takes"]
    studio.get_by_test_id("production-log").locator("summary").click()
    expect(studio.get_by_test_id("production-log")).to_contain_text("reordered")


def test_a_film_is_exported(studio: Page, film: str) -> None:
    go(studio, "storyboard", film)
    for format in ("mp4", "otio", "edl", "srt", "zip"):
        with studio.expect_download() as download:
            studio.get_by_test_id(f"export-{format}").click()
        assert download.value.suggested_filename == f"The box.{format}"


def test_cards_become_a_production(studio: Page, server: Running) -> None:
    """What is laid out in cards is kept on the server as shots that go on from each other."""
    go(studio, "storyboard", "cards")
    cards = studio.get_by_test_id("story-card")
    for i, text in enumerate(("a blue ball rolls left", "a blue ball stops")):
        cards.nth(i).get_by_test_id("card-text").fill(text)
        cards.nth(i).get_by_test_id("card-seconds").fill("0.5")
    studio.get_by_test_id("plan-board").click()
    expect(studio.get_by_test_id("shot")).to_have_count(2)
    shots = get(server, studio.url.rpartition("/")[2])["script"]["shots"]
    assert [shot["prompt"] for shot in shots] == ["a blue ball rolls left", "a blue ball stops"]
    assert [shot["seconds"] for shot in shots] == [0.5, 0.5] and shots[1]["goes_on_from"] == "s1"


def test_a_production_on_a_phone(opens: Opens, server: Running, film: str) -> None:
    """Nothing is wider than the screen, and a badge opens its frame."""
    page = signed_in(opens(viewport=PHONE, has_touch=True, is_mobile=True), server)
    for parts in (("storyboard",), ("storyboard", film)):
        go(page, *parts)
        expect(page.get_by_test_id("plan-story" if len(parts) == 1 else "shots")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_test_id("shot").first.get_by_test_id("check").first.tap()
    expect(page.get_by_test_id("check-saw")).to_be_visible()
    box = page.get_by_test_id("take-player").bounding_box()
    assert box is not None and box["x"] + box["width"] <= PHONE["width"], "the film is not cut off"


def test_another_key_sees_no_production(opens: Opens, server: Running) -> None:
    id = make(server)
    with server.http() as client:
        key = client.post("/v1/keys", json={"name": "guest of productions"}).json()["key"]
    window = opens()
    window.provoked.append(r"404 GET .*/v1/productions/")
    guest = Running(process=server.process, url=server.url, key=key, data=server.data, log=server.log)
    page = signed_in(window, guest)
    go(page, "storyboard")
    expect(page.get_by_test_id("empty")).to_contain_text("No production yet")
    go(page, "storyboard", id)
    expect(page.get_by_test_id("empty")).to_contain_text("No such production")
    expect(page).to_have_title(re.compile("Storyboard"))
