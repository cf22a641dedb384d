"""The Studio in a browser, against the server that users start: every room, by hand."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect
from tests.e2e.browser import (
    PHONE,
    QUICK,
    ROOMS,
    choose,
    drag,
    go,
    latest,
    middle,
    pick,
    picture,
    rests,
    seconds_of,
    signed_in,
    times,
    world_of,
)
from tests.e2e.conftest import Opens, Running, until

DONE = "[data-testid=result][data-status=completed]"
DARK, LIGHT = "rgb(15, 17, 19)", "rgb(231, 233, 234)"


def test_the_door(opens: Opens, server: Running) -> None:
    """By the printed address or by typing a key; wrong keys are refused in words; out again."""
    window = opens()
    window.provoked.append("401 POST .*/v1/session")
    page = window.page
    page.goto(server.url)
    page.get_by_test_id("key").fill("kinema_wrong")
    page.get_by_test_id("signin-button").click()
    expect(page.get_by_test_id("note")).to_contain_text("key")
    page.get_by_test_id("key").fill(server.key)
    page.get_by_test_id("signin-button").click()
    expect(page.get_by_test_id("prompt")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("prompt")).to_be_visible()
    page.get_by_test_id("nav-settings").click()
    expect(page.get_by_test_id("who")).to_contain_text("first")
    window.provoked.append("401 GET .*/v1/")  # what was on its way when the door closed
    page.get_by_test_id("signout").click()
    expect(page.get_by_test_id("signin")).to_be_visible()

    fresh = signed_in(opens(), server)
    expect(fresh.get_by_test_id("prompt")).to_be_visible()
    assert server.key not in fresh.url


def test_create(studio: Page, server: Running) -> None:
    """Words are checked and the price is told before anything runs; two takes come out of one form."""
    studio.get_by_test_id("prompt").fill("a red bal rolls right")
    words = studio.get_by_test_id("unknown-words")
    expect(words.locator(".strange")).to_have_text("bal")
    expect(words).to_contain_text("ball")
    studio.get_by_test_id("prompt").fill("a red ball rolls right at night")
    expect(words.locator(".strange")).to_have_count(0)
    choose(studio, "seconds", "1 s")
    choose(studio, "fps", "8")
    choose(studio, "count", "2")
    estimate = studio.get_by_test_id("estimate")
    expect(estimate).to_contain_text(re.compile(r"Cost\s*32\.8 k px·s"))
    expect(studio.get_by_test_id("queue-empty")).to_be_visible()
    studio.get_by_test_id("picture-at").fill("0.5")
    studio.get_by_test_id("add-picture-input").set_input_files(picture((90, 120, 200)))
    pin = studio.get_by_test_id("pin")
    expect(pin).to_contain_text("0.5 s")
    pin.get_by_role("slider").press("ArrowRight")
    expect(pin).to_contain_text("0.75 s")
    studio.get_by_test_id("more-settings").locator("summary").click()
    studio.get_by_test_id("steps-number").fill("24")
    studio.get_by_test_id("seed").fill("11")
    with studio.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/videos")) as request:
        studio.get_by_test_id("film").click()
    sent = request.value.post_data_json
    assert sent["seconds"] == "1" and sent["seed"] == 11 and sent["steps"] == 24
    assert [one["at"] for one in sent["keyframes"]] == [0.75]
    jobs = studio.get_by_test_id("job")
    expect(jobs.get_by_role("progressbar").first).to_be_visible()
    expect(studio.get_by_test_id("monitor")).to_contain_text("%")
    expect(jobs).to_have_count(0)
    expect(studio.get_by_test_id("monitor").get_by_test_id("player")).to_be_visible()
    studio.get_by_test_id("nav-gallery").click()
    studio.get_by_test_id("search").fill("ball rolls right at night")
    cards = studio.get_by_test_id("card")
    expect(cards).to_have_count(2)
    expect(cards.filter(has_text="seed 11")).to_have_count(1)
    expect(cards.filter(has_text="seed 12")).to_have_count(1)
    assert latest(server)["kinema"]["frames"] == 8


def test_vocabulary_and_frames_of_clips(studio: Page, clips: dict[str, dict[str, Any]]) -> None:
    """Words and examples are put in by pressing them; a clip's frame is taken into the film."""
    studio.get_by_test_id("example").first.click()
    expect(studio.get_by_test_id("prompt")).not_to_have_value("")
    studio.get_by_test_id("prompt").fill("a")
    studio.get_by_test_id("vocabulary-toggle").click()
    for word in ("purple", "star"):
        studio.get_by_test_id("word").get_by_text(word, exact=True).click()
    expect(studio.get_by_test_id("prompt")).to_have_value("a purple star")
    studio.get_by_test_id("add-frame").click()
    pick(studio, clips["ball"])
    studio.get_by_test_id("frame-dialog").get_by_test_id("frame-on").click()
    studio.get_by_test_id("use-frame").click()
    expect(studio.get_by_test_id("pin")).to_contain_text("first")
    studio.reload()
    expect(studio.get_by_test_id("prompt")).to_have_value("a purple star")
    expect(studio.get_by_test_id("pin")).to_contain_text("first")
    studio.get_by_test_id("pin-remove").click()
    expect(studio.get_by_test_id("pin")).to_have_count(0)


def test_the_queue(studio: Page) -> None:
    """Held, put in another order, paused, canceled, taken up again."""
    studio.get_by_test_id("hold-queue").click()
    expect(studio.get_by_test_id("hold-queue")).to_have_text("Go on")
    choose(studio, "seconds", "1 s")
    choose(studio, "fps", "8")
    choose(studio, "steps", "Fast")
    jobs = studio.get_by_test_id("job")
    for i, prompt in enumerate(("a star falls", "a flag stands", "a robot jumps")):
        studio.get_by_test_id("prompt").fill(prompt)
        studio.get_by_test_id("film").click()
        expect(jobs).to_have_count(i + 1)
    expect(jobs.locator(".job-title")).to_have_text(["a star falls", "a flag stands", "a robot jumps"])
    expect(jobs.first.get_by_test_id("job-state")).to_contain_text("Next")
    jobs.nth(2).get_by_test_id("job-up").click()
    expect(jobs.locator(".job-title")).to_have_text(["a star falls", "a robot jumps", "a flag stands"])
    jobs.nth(0).get_by_test_id("job-down").click()
    expect(jobs.locator(".job-title")).to_have_text(["a robot jumps", "a star falls", "a flag stands"])
    jobs.nth(2).drag_to(jobs.nth(0))
    expect(jobs.locator(".job-title")).to_have_text(["a flag stands", "a robot jumps", "a star falls"])
    star = jobs.filter(has_text="a star falls")
    star.get_by_test_id("job-pause").click()
    expect(star.get_by_test_id("job-state")).to_contain_text("Paused")
    jobs.filter(has_text="a flag stands").get_by_test_id("job-cancel").click()
    expect(jobs).to_have_count(2)
    expect(studio.get_by_test_id("toast")).to_contain_text("Canceled")
    studio.get_by_test_id("hold-queue").click()
    expect(jobs).to_have_count(1)
    expect(star.get_by_test_id("job-state")).to_contain_text("Paused")
    star.get_by_test_id("job-resume").click()
    expect(studio.get_by_test_id("queue-empty")).to_be_visible()
    failed = studio.get_by_test_id("failed").filter(has_text="a flag stands")
    expect(failed).to_contain_text("Canceled")
    failed.get_by_test_id("retry").click()
    expect(failed).to_have_count(0)
    expect(studio.get_by_test_id("queue-empty")).to_be_visible()
    for prompt in ("a flag stands", "a robot jumps", "a star falls"):
        expect(studio.locator(".latest figcaption").get_by_text(prompt, exact=True)).to_be_visible()


def test_gallery(studio: Page, server: Running, clips: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Leafed through, searched, compared on one clock, used again, taken home, verified, deleted and brought back."""
    studio.get_by_test_id("nav-gallery").click()
    cards = studio.get_by_test_id("card")
    expect(cards.nth(1)).to_be_visible()
    studio.get_by_test_id("search").fill("no such words")
    expect(studio.get_by_test_id("empty")).to_contain_text("no such words")
    studio.get_by_test_id("search").fill(clips["ball"]["prompt"])
    expect(cards).to_have_count(1)
    thumb = cards.get_by_test_id("thumb")
    thumb.hover(position={"x": 5, "y": 20})
    sprite = thumb.locator(".sprite")
    x, y = middle(thumb)
    studio.mouse.move(x - 60, y)
    studio.wait_for_timeout(200)
    studio.mouse.move(x - 59, y)
    expect(sprite).to_be_visible()
    place = sprite.evaluate("one => one.style.backgroundPosition")
    studio.mouse.move(x + 60, y)
    expect(sprite).not_to_have_css("background-position", place)

    studio.get_by_test_id("search").fill("")
    for clip in clips.values():
        one = studio.locator(f"[data-testid=card][data-id={clip['id']}]")
        one.hover()
        one.get_by_test_id("pick").check()
    studio.get_by_test_id("compare").click()
    dialog = studio.get_by_test_id("compare-dialog")
    expect(dialog.locator("video")).to_have_count(2)
    until(lambda: all(at > 0.2 for at in times(dialog)))
    dialog.get_by_test_id("sync-scrub").fill("0.5")
    until(lambda: times(dialog) == pytest.approx([0.5, 0.5], abs=0.02))
    dialog.get_by_test_id("sync-play").click()
    until(lambda: all(at > 0.55 for at in times(dialog)))
    dialog.get_by_test_id("dialog-close").click()
    expect(dialog).to_have_count(0)
    studio.get_by_test_id("clear-picked").click()

    clip = clips["ball"]
    mine = studio.locator(f"[data-testid=card][data-id={clip['id']}]")
    mine.get_by_test_id("thumb").click()
    detail = studio.get_by_test_id("clip-detail")
    detail.get_by_test_id("frame-on").click()
    code = detail.get_by_test_id("timecode")
    at = code.inner_text()
    detail.get_by_test_id("frame-on").click()
    expect(code).not_to_have_text(at)
    with studio.expect_download() as download:
        detail.get_by_test_id("download").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.suffix == ".mp4" and b"ftyp" in saved.read_bytes()[:16]
    detail.get_by_test_id("verify").click()
    expect(detail.get_by_test_id("verdict")).to_have_attribute("data-made", "true")
    detail.get_by_test_id("reuse").click()
    expect(studio.get_by_test_id("prompt")).to_have_value(clip["prompt"])
    expect(studio.get_by_test_id("seed")).to_have_value("3")
    expect(studio.get_by_test_id("seconds").get_by_label("1 s", exact=True)).to_be_checked()
    expect(studio.get_by_test_id("fps").get_by_label("8", exact=True)).to_be_checked()

    go(studio, "gallery", clip["id"])
    detail.get_by_test_id("delete").click()
    expect(mine).to_have_count(0)
    with server.http() as client:
        assert client.get(f"/v1/videos/{clip['id']}").status_code == 404
    studio.get_by_test_id("toast").filter(has_text="deleted").get_by_test_id("toast-action").click()
    expect(mine).to_be_visible()


def test_edit_longer_and_shorter(studio: Page, server: Running, clips: dict[str, dict[str, Any]]) -> None:
    """Extended, cut and joined, blended, looped."""
    go(studio, "gallery", clips["ball"]["id"])
    studio.get_by_test_id("open-edit").click()
    done = studio.locator(DONE)
    choose(studio, "extend-where", "Before it begins")
    choose(studio, "extend-seconds", "0.5 s")
    studio.get_by_test_id("extend").click()
    expect(done).to_have_count(1)
    assert latest(server)["kinema"]["kind"] == "extend" and latest(server)["kinema"]["frames"] == 12

    studio.get_by_test_id("tool-recut").click()
    studio.get_by_test_id("from-number").fill("0.5")
    studio.get_by_test_id("add-part").click()
    studio.get_by_test_id("from-number").fill("0")
    studio.get_by_test_id("cut-to").press("Home")
    studio.get_by_test_id("to-number").fill("0.25")
    studio.get_by_test_id("add-part").click()
    expect(studio.get_by_test_id("part")).to_have_text([re.compile("0.5–1 s"), re.compile("0–0.25 s")])
    studio.get_by_test_id("part").nth(1).get_by_test_id("part-left").click()
    expect(studio.get_by_test_id("part").first).to_contain_text("0–0.25 s")
    studio.get_by_test_id("recut").click()
    expect(done).to_have_count(2)
    assert latest(server)["kinema"]["kind"] == "trim" and latest(server)["kinema"]["frames"] == 6

    studio.get_by_test_id("tool-blend").click()
    expect(studio.get_by_test_id("blend")).to_be_disabled()
    studio.get_by_test_id("blend-choose").click()
    pick(studio, clips["box"])
    choose(studio, "blend-seconds", "0.5 s")
    studio.get_by_test_id("blend").click()
    expect(done).to_have_count(3)
    assert latest(server)["kinema"]["sources"] == [clips["ball"]["id"], clips["box"]["id"]]

    studio.get_by_test_id("tool-loop").click()
    choose(studio, "loop-seconds", "0.5 s")
    studio.get_by_test_id("loop").click()
    expect(done).to_have_count(4)
    assert latest(server)["kinema"]["kind"] == "loop"
    studio.get_by_test_id("result").first.get_by_test_id("compare-result").click()
    expect(studio.get_by_test_id("compare-dialog").locator("video")).to_have_count(2)
    studio.get_by_test_id("dialog-close").click()
    studio.get_by_test_id("result").first.get_by_test_id("go-on").click()
    expect(studio.get_by_test_id("result")).to_have_count(0)


def test_a_clip_is_made_larger(studio: Page, server: Running, clips: dict[str, dict[str, Any]]) -> None:
    """To the size that the form shows, by the model that it names."""
    clip = clips["box"]
    width, height = (2 * int(side) for side in clip["size"].split("x"))
    go(studio, "gallery", clip["id"])
    studio.get_by_test_id("change-upscale").click()
    expect(studio.get_by_test_id("tool-upscale")).to_have_attribute("aria-selected", "true")
    expect(studio.get_by_test_id("upscale-times").get_by_label("4 times")).to_have_count(0)  # more than it films
    choose(studio, "upscale-times", "1.5 times")
    choose(studio, "upscale-times", "2 times")
    expect(studio.get_by_test_id("upscale-size")).to_have_text(f"{clip['size'].replace('x', '×')} → {width}×{height}")
    expect(studio.get_by_text("rendered at the larger size")).to_be_visible()
    studio.get_by_test_id("upscale").click()
    expect(studio.locator(DONE)).to_have_count(1)
    assert latest(server)["size"] == f"{width}x{height}" and latest(server)["kinema"]["kind"] == "upscale"


def test_edit_what_is_seen(studio: Page, server: Running, clips: dict[str, dict[str, Any]]) -> None:
    """Repainted under a mask, put in another place, moved by dragging, by a drawn path and by keys."""
    clip = clips["ball"]
    go(studio, "edit", clip["id"])
    done = studio.locator(DONE)
    studio.get_by_test_id("tool-repaint").click()
    expect(studio.get_by_test_id("mask-share")).to_contain_text("All of the picture")
    choose(studio, "brush", "Broad")
    x, y = middle(studio.get_by_test_id("mask"))
    drag(studio, (x, y), (120, 0))
    expect(studio.get_by_test_id("mask-share")).to_contain_text(re.compile(r"\d+% of the picture"))
    studio.get_by_test_id("strength").fill("0.8")
    studio.get_by_test_id("repaint-prompt").fill("a red ball rolls right on a field")
    with studio.expect_request("**/v1/videos/edits") as request:
        studio.get_by_test_id("repaint").click()
    assert request.value.post_data_json["strength"] == 0.8
    with server.http() as client:
        mask = client.get(f"/v1/files/{request.value.post_data_json['mask']['file_id']}/content").content
    painted = np.asarray(Image.open(io.BytesIO(mask)).convert("L"))
    assert (
        painted.shape == (128, 128) and set(np.unique(painted)) == {0, 255} and painted[64, 72] == 255 and painted[4, 4] == 0
    )
    expect(done).to_have_count(1)

    studio.get_by_test_id("tool-background").click()
    expect(studio.get_by_test_id("render-background")).to_be_disabled()
    studio.get_by_test_id("place-night").click()
    studio.get_by_test_id("render-background").click()
    expect(done).to_have_count(2)
    with server.http() as client:
        shown = client.get(f"/v1/videos/{latest(server)['id']}/content?variant=state").json()
        before = client.get(f"/v1/videos/{clip['id']}/content?variant=state").json()
    assert shown["background"] == "night" != before["background"]

    studio.get_by_test_id("tool-motion").click()
    studio.get_by_test_id("scene-reset").click()
    thing = studio.get_by_test_id("entity").first
    place = studio.get_by_test_id("thing-x")
    at = float(place.input_value())
    drag(studio, middle(thing), (-100, 0))
    expect(place).not_to_have_value(f"{at:g}")
    assert float(place.input_value()) < at
    studio.get_by_test_id("scene-undo").click()
    expect(place).to_have_value(f"{at:g}")
    thing.press("ArrowRight")
    expect(place).to_have_value(f"{round(at + 0.25, 2):g}")
    studio.get_by_test_id("straight-right").click()
    choose(studio, "motion-mode", "Draws a path")
    drag(studio, (middle(thing)[0] - 60, middle(thing)[1]), (160, -160))
    with studio.expect_request("**/v1/videos/renders") as request:
        studio.get_by_test_id("render-motion").click()
    led = request.value.post_data_json["state"]["entities"][0]
    assert led["x"][-1] > led["x"][0] + 1 and led["y"][-1] > led["y"][0] + 1 and led["vx"][0] > 0 < led["vy"][0]
    expect(done).to_have_count(3)
    assert latest(server)["kinema"]["kind"] == "render"


def test_world(studio: Page, server: Running) -> None:
    """Begun from words, played by keys over the wire, stepped, asked, changed, taken back, branched."""
    studio.get_by_test_id("nav-world").click()
    choose(studio, "start-from", "Words")
    studio.get_by_test_id("world-prompt").fill("a green robot and a red ball on a field")
    studio.get_by_test_id("world-seed").fill("1")
    studio.get_by_test_id("start-world").click()
    live, clock = studio.get_by_test_id("live"), studio.get_by_test_id("world-time")
    expect(live).to_be_visible()
    expect(studio.get_by_test_id("world-play")).to_have_text("Play")
    expect(studio.locator(".screen-note")).to_have_count(0)

    # A key that acts sets time going; the meters tell what it takes.
    began = clock.inner_text()
    live.focus()
    studio.keyboard.down("ArrowRight")
    expect(studio.get_by_test_id("world-play")).to_have_text("Pause")
    expect(studio.get_by_test_id("act-right")).to_have_class(re.compile("held"))
    expect(studio.get_by_test_id("round-trip")).to_have_text(re.compile(r"^\d+ ms$"))
    studio.keyboard.up("ArrowRight")
    expect(studio.get_by_test_id("act-right")).not_to_have_class(re.compile("held"))
    expect(studio.get_by_test_id("model-ms")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(clock).not_to_have_text(began)
    colors = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert live.locator("canvas").evaluate(colors) > 20
    until(lambda: seconds_of(clock) > 0.5)
    live.focus()
    studio.keyboard.press("Space")
    expect(studio.get_by_test_id("world-play")).to_have_text("Play")
    expect(studio.get_by_test_id("rewind-slider")).to_be_enabled()
    until(lambda: rests(server, studio))
    past = world_of(server, studio)["past_frames"]
    expect(studio.get_by_test_id("rewind-slider")).to_have_attribute("max", str(past))
    studio.get_by_test_id("world-step").click()
    expect(studio.get_by_test_id("rewind-slider")).to_have_attribute("max", str(past + 1))

    log = studio.get_by_test_id("talk-log")
    studio.get_by_test_id("talk").fill("where is the red ball?")
    studio.get_by_test_id("say").click()
    expect(log.locator("p").nth(1)).to_contain_text("ball")
    studio.get_by_test_id("talk").fill("change the background to snow")
    studio.get_by_test_id("say").click()
    expect(log.locator(".said")).to_have_count(2)
    expect(log.locator(".bad")).to_have_count(0)
    assert world_of(server, studio)["state"]["background"] == "snow"

    things = studio.get_by_test_id("world-thing")
    things.filter(has_text="red ball").click()
    expect(studio.get_by_test_id("inspector")).to_contain_text("Material")
    studio.get_by_test_id("move-x").fill("3")
    studio.get_by_test_id("move-y").fill("6")
    with studio.expect_response("**/move") as answer:
        studio.get_by_test_id("move-thing").click()
    assert answer.value.ok
    expect(things.filter(has_text="red ball")).to_contain_text(re.compile(r"3(\.\d)?, [56]"))
    # By hand: from where it is in the picture to somewhere else.
    state = world_of(server, studio)["state"]
    ball = next(thing for thing in state["things"] if thing["name"] == "red ball")
    pan_x, pan_y, zoom = state["camera"]
    box = live.bounding_box()
    assert box is not None
    spot = (
        box["x"] + box["width"] * ((ball["x"] - pan_x) * zoom / 10 + 0.5),
        box["y"] + box["height"] * (0.5 - (ball["y"] - pan_y) * zoom / 10),
    )
    with studio.expect_response("**/move") as answer:
        drag(studio, spot, (box["width"] * 0.4, 0))
    moved = next(thing for thing in answer.value.json()["world"]["state"]["things"] if thing["name"] == "red ball")
    assert moved["x"] > ball["x"] + 2

    slider = studio.get_by_test_id("rewind-slider")
    slider.fill(str(past - 4))
    studio.get_by_test_id("rewind").click()
    studio.get_by_test_id("rewind-yes").click()
    expect(studio.get_by_test_id("toast").filter(has_text="Back to")).to_be_visible()
    assert world_of(server, studio)["past_frames"] == past - 4
    assert seconds_of(clock) == pytest.approx(world_of(server, studio)["time_s"], abs=0.02)

    nodes = studio.get_by_test_id("tree-node")
    expect(nodes).to_have_count(1)
    root = studio.url
    studio.get_by_test_id("branch").click()
    expect(nodes).to_have_count(2)
    assert studio.url != root
    assert world_of(server, studio)["parent"] == root.rpartition("/")[2]
    studio.get_by_test_id("world-step").click()
    nodes.first.click()
    expect(studio).to_have_url(root)
    assert world_of(server, studio)["past_frames"] == past - 4


def test_what_if(studio: Page) -> None:
    """What happened beside what would have been, on one clock; the world is left as it was."""
    studio.get_by_test_id("nav-world").click()
    studio.get_by_test_id("world-example").first.click()
    studio.get_by_test_id("start-world").click()
    expect(studio.locator(".screen-note")).to_have_count(0)
    for i in range(8):
        studio.get_by_test_id("world-step").click()
        expect(studio.get_by_test_id("rewind-slider")).to_have_attribute("max", str(i + 1))
    studio.get_by_test_id("cause").fill("the red ball had not been there")
    studio.get_by_test_id("since").fill("0.5")
    studio.get_by_test_id("what-if").click()
    dialog = studio.get_by_test_id("what-if-dialog")
    expect(dialog.locator("video")).to_have_count(2)
    expect(dialog).to_contain_text("What would have been")
    until(lambda: all(at > 0.1 for at in times(dialog)))
    dialog.get_by_test_id("dialog-close").click()
    expect(dialog).to_have_count(0)


def test_storyboard(studio: Page, server: Running) -> None:
    """Two cards become one clip, as long as both."""
    studio.get_by_test_id("nav-storyboard").click()
    studio.get_by_test_id("by-cards").click()
    cards = studio.get_by_test_id("story-card")
    expect(cards).to_have_count(2)
    for i, text in enumerate(("a blue ball rolls left", "a blue ball stops")):
        cards.nth(i).get_by_test_id("card-text").fill(text)
        cards.nth(i).get_by_test_id("card-seconds").fill(("0.5", "1")[i])
    prompt = studio.get_by_test_id("board-prompt")
    expect(prompt).to_have_text("0-0.5: a blue ball rolls left | 0.5-1.5: a blue ball stops")
    studio.get_by_test_id("add-card").click()
    expect(cards).to_have_count(3)
    cards.nth(2).get_by_test_id("card-remove").click()
    cards.nth(0).get_by_test_id("card-right").click()
    expect(prompt).to_have_text("0-1: a blue ball stops | 1-1.5: a blue ball rolls left")
    film = studio.get_by_test_id("film-board")
    expect(film).to_have_text("Film 1.5 s")
    film.click()
    expect(studio.get_by_test_id("queue-empty")).to_be_visible()
    expect(studio.get_by_test_id("monitor")).to_contain_text("a blue ball rolls left")
    video = latest(server)
    assert video["status"] == "completed" and float(video["seconds"]) == 1.5 and video["kinema"]["frames"] == 24


def test_models_and_settings(studio: Page, server: Running) -> None:
    """Cards of the models; a key is made, shown once, used and revoked; the ledger."""
    studio.get_by_test_id("nav-models").click()
    with server.http() as client:
        names = {model["id"] for model in client.get("/v1/models").json()["data"]}
    cards = studio.get_by_test_id("model-card")
    expect(cards).to_have_count(len(names))
    assert {name.strip() for name in cards.locator(".model-side h2").all_inner_texts()} == names
    expect(cards.first).to_contain_text("kinema-tiny")
    expect(cards.first).to_contain_text("What it was trained on")

    studio.get_by_test_id("nav-settings").click()
    studio.get_by_test_id("key-name").fill("for the screen")
    studio.get_by_test_id("create-key").click()
    secret = studio.get_by_test_id("secret").inner_text()
    with server.http(secret) as guest:
        assert guest.get("/v1/videos").status_code == 200
    studio.get_by_test_id("secret-done").click()
    row = studio.get_by_test_id("key-row").filter(has_text="for the screen")
    expect(row).to_contain_text("read, videos, worlds")
    assert secret not in studio.content()
    row.get_by_test_id("revoke").click()
    studio.get_by_test_id("revoke-yes").click()
    expect(row).to_contain_text("revoked")
    with server.http(secret) as guest:
        assert guest.get("/v1/videos").status_code == 401

    with server.http() as client:
        made = client.post("/v1/videos", json={"prompt": "a red box", **QUICK}).json()["id"]
    server.wait(made)
    studio.get_by_label("Refresh usage").click()
    studio.get_by_test_id("usage").locator("summary").click()
    rows = studio.get_by_test_id("ledger").locator("tr").filter(has_text=made)
    expect(rows.filter(has_text="Used")).to_contain_text("16.4 k")


def test_a_key_with_a_quota(opens: Opens, server: Running) -> None:
    """Who may not manage keys sees none; what is left is told, and what is too much refused."""
    with server.http() as client:
        key = client.post("/v1/keys", json={"name": "small", "scopes": ["read", "videos"], "quota": 20000}).json()["key"]
    window = opens()
    window.provoked.append("(403|429) POST .*/v1/videos")
    page = window.page
    page.goto(f"{server.url}/#key={key}")
    page.get_by_test_id("prompt").fill("a red ball")
    expect(page.get_by_test_id("estimate")).to_contain_text(re.compile(r"Left\s*20 k"))
    choose(page, "seconds", "8 s")
    expect(page.get_by_test_id("estimate").locator(".over")).to_be_visible()
    page.get_by_test_id("film").click()
    expect(page.get_by_test_id("toast")).to_contain_text("pixel-seconds")
    page.get_by_test_id("nav-settings").click()
    expect(page.get_by_test_id("usage")).to_contain_text("of 20 k")
    expect(page.get_by_test_id("keys")).to_have_count(0)


def test_the_public_page(opens: Opens, server: Running, clips: dict[str, dict[str, Any]]) -> None:
    """Without a key: a clip of Kinema's, and a picture that is not."""
    with server.http() as client:
        film = client.get(f"/v1/videos/{clips['ball']['id']}/content").content
    page = opens().page
    page.goto(f"{server.url}/verify")
    expect(page.get_by_test_id("dropzone")).to_be_visible()
    page.get_by_test_id("verify-file-input").set_input_files({"name": "clip.mp4", "mimeType": "video/mp4", "buffer": film})
    expect(page.get_by_test_id("verdict")).to_have_attribute("data-made", "true")
    page.get_by_test_id("verify-file-input").set_input_files(picture((200, 10, 10)))
    expect(page.get_by_test_id("verdict")).to_have_attribute("data-made", "false")
    expect(page.get_by_text("sky.png")).to_be_visible()
    assert httpx.get(f"{server.url}/v1/videos").status_code == 401


def test_dark_and_light(opens: Opens, server: Running) -> None:
    """As the system is, until one chooses; the choice stays."""
    for scheme, color in (("dark", DARK), ("light", LIGHT)):
        page = signed_in(opens(color_scheme=scheme), server)
        expect(page.locator("body")).to_have_css("background-color", color)
    page.get_by_test_id("nav-settings").click()
    choose(page, "theme-choice", "Dark")
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.get_by_test_id("theme").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile("."))
    page.get_by_test_id("theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_a_phone(opens: Opens, server: Running, clips: dict[str, dict[str, Any]]) -> None:
    """390 pixels wide, nothing sticks out of any room, and every way leads somewhere."""
    page = signed_in(opens(viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True), server)
    id = clips["ball"]["id"]

    def fits(where: str) -> None:
        wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth, document.body.scrollWidth]")
        assert wide == [390, 390, 390], (where, wide)

    for room in ROOMS:
        page.get_by_test_id(f"nav-{room}").tap()
        expect(page.locator(f"main.room-{room}")).to_be_visible()
        page.wait_for_load_state("networkidle")
        fits(room)
    page.get_by_test_id("usage").locator("summary").tap()
    expect(page.get_by_test_id("ledger")).to_be_visible()
    fits("the ledger")
    go(page, "create")
    page.get_by_test_id("vocabulary-toggle").tap()
    page.get_by_test_id("more-settings").locator("summary").tap()
    expect(page.get_by_test_id("guidance")).to_be_visible()
    fits("all of the form")
    go(page, "gallery", id)
    expect(page.get_by_test_id("facts")).to_be_visible()
    fits("a clip")
    go(page, "edit", id)
    for tool in ("extend", "recut", "blend", "loop", "repaint", "background", "motion"):
        page.get_by_test_id(f"tool-{tool}").tap()
        fits(tool)
    expect(page.get_by_test_id("thing").first).to_be_visible()
    fits("things")
    go(page, "cutting")
    page.get_by_test_id("add-clip").tap()
    page.get_by_test_id("pick-clip").first.tap()
    expect(page.get_by_test_id("reel-part")).to_have_count(1)
    fits("the cutting table")
    go(page, "world", "new", id)
    page.get_by_test_id("start-world").tap()
    expect(page.get_by_test_id("live")).to_be_visible()
    fits("a world")
    page.get_by_test_id("branch").tap()
    expect(page.get_by_test_id("tree-node")).to_have_count(2)
    fits("its branches")
    page.goto(f"{server.url}/verify")
    expect(page.get_by_test_id("dropzone")).to_be_visible()
    fits("the public page")
