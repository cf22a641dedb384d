"""The Studio in a browser: what helps somebody who makes many films, and what keeps them from losing one."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

from playwright.sync_api import Page, Request, WebSocketRoute, expect
from tests.e2e.browser import PHONE, QUICK, choose, go, latest, picture, signed_in, world_of
from tests.e2e.conftest import Opens, Running, until


def is_film(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/v1/videos")


def film(page: Page) -> dict[str, Any]:
    """Press the button; the body that was sent."""
    with page.expect_response(lambda response: is_film(response.request)) as response:
        page.get_by_test_id("film").click()
    body: dict[str, Any] = response.value.request.post_data_json
    return body


def quick(page: Page, prompt: str) -> None:
    """A form that is filmed in a moment."""
    page.get_by_test_id("prompt").fill(prompt)
    choose(page, "seconds", "1 s")
    choose(page, "fps", "8")
    choose(page, "steps", "Fast")
    page.get_by_test_id("size").select_option("48x48")


def begin_world(page: Page) -> None:
    go(page, "world")
    page.get_by_test_id("world-example").first.click()
    page.get_by_test_id("start-world").click()
    expect(page.get_by_test_id("live")).to_be_visible()
    expect(page.locator(".screen-note")).to_have_count(0)


def test_the_seed_is_random_until_it_is_kept(studio: Page, server: Running) -> None:
    """Without a seed each film has another one; the lock keeps that of the last film; a world's is random too."""
    quick(studio, "a red ball")
    expect(studio.get_by_test_id("seed")).to_have_attribute("placeholder", "random")
    seeds = []
    for _ in range(2):
        assert "seed" not in film(studio)
        expect(studio.get_by_test_id("queue-empty")).to_be_visible()
        seeds.append(latest(server)["kinema"]["seed"])
    assert seeds[0] != seeds[1]
    lock = studio.get_by_test_id("seed-lock")
    expect(lock).to_have_attribute("aria-pressed", "false")
    expect(lock).to_have_attribute("title", f"Keep the seed {seeds[1]}")
    lock.click()
    expect(lock).to_have_attribute("aria-pressed", "true")
    expect(studio.get_by_test_id("seed")).to_have_value(str(seeds[1]))
    assert film(studio)["seed"] == seeds[1]
    lock.click()
    expect(studio.get_by_test_id("seed")).to_have_value("")
    go(studio, "world")
    studio.get_by_test_id("world-example").first.click()
    with studio.expect_request(lambda request: request.url.endswith("/v1/worlds") and request.method == "POST") as request:
        studio.get_by_test_id("start-world").click()
    assert request.value.post_data_json["seed"] > 0


def test_earlier_prompts_and_presets(opens: Opens, server: Running) -> None:
    """What was filmed is listed, the latest first; settings are saved by a name; both stay with their key, and come back when
    they were taken out by mistake."""
    page = signed_in(opens(), server)
    for prompt in ("a red ball", "a blue box", "a red ball"):
        quick(page, prompt)
        film(page)
        expect(page.get_by_test_id("queue-empty")).to_be_visible()
    page.get_by_test_id("prompts").click()
    lines = page.get_by_test_id("earlier-prompt")
    expect(lines).to_have_text(["a red ball", "a blue box"])
    page.get_by_test_id("prompts-search").fill("BOX")
    expect(lines).to_have_text(["a blue box"])
    lines.first.click()
    expect(page.get_by_test_id("prompt")).to_have_value("a blue box")
    page.get_by_test_id("toast-action").click()
    expect(page.get_by_test_id("prompt")).to_have_value("a red ball")
    page.get_by_test_id("prompts").click()
    page.get_by_test_id("forget-prompts").click()
    expect(lines).to_have_count(0)
    page.get_by_test_id("toast-action").last.click()
    expect(lines).to_have_count(2)
    page.get_by_test_id("dialog-close").click()

    page.get_by_test_id("presets").click()
    page.get_by_test_id("preset-name").fill("a quick look")
    page.get_by_test_id("save-preset").click()
    expect(page.get_by_test_id("preset")).to_contain_text("1 s · 8 fps · 48×48 · 4 steps")
    page.get_by_test_id("dialog-close").click()
    choose(page, "seconds", "4 s")
    page.get_by_test_id("prompt").fill("a green robot")
    page.reload()
    page.get_by_test_id("presets").click()
    page.get_by_test_id("preset").click()
    expect(page.get_by_test_id("seconds").get_by_label("1 s", exact=True)).to_be_checked()
    expect(page.get_by_test_id("prompt")).to_have_value("a green robot")
    page.get_by_test_id("presets").click()
    page.get_by_test_id("delete-preset").click()
    expect(page.get_by_test_id("preset")).to_have_count(0)
    page.get_by_test_id("toast-action").last.click()
    expect(page.get_by_test_id("preset")).to_have_count(1)
    page.get_by_test_id("dialog-close").click()

    with server.http() as client:
        other = client.post("/v1/keys", json={"name": "another hand", "scopes": ["read", "videos"]}).json()["key"]
    page.evaluate("key => { location.hash = `key=${key}`; location.reload(); }", other)
    expect(page.get_by_test_id("prompt")).to_be_visible()
    page.get_by_test_id("prompts").click()
    expect(page.get_by_test_id("prompts-dialog").get_by_test_id("empty")).to_contain_text("None yet")
    page.get_by_test_id("dialog-close").click()
    page.get_by_test_id("presets").click()
    expect(page.get_by_test_id("preset")).to_have_count(0)


def test_the_camera(studio: Page) -> None:
    """A move by name becomes stops; those can be changed; without a move none are sent."""
    quick(studio, "a red ball")
    assert "guides" not in film(studio)
    studio.get_by_test_id("camera").select_option("right")
    (first, last) = film(studio)["guides"]["camera"]
    assert first[0] == 0 and last[0] == 1 and first[1] < last[1] and first[2:] == last[2:]
    studio.get_by_test_id("camera").select_option("in")
    studio.get_by_test_id("camera").select_option("own")
    stops = studio.get_by_test_id("camera-stop")
    expect(stops).to_have_count(2)
    stops.nth(1).get_by_test_id("stop-zoom").fill("1.25")
    stops.nth(1).get_by_test_id("stop-at").fill("0.5")
    studio.get_by_test_id("add-stop").click()
    stops.nth(2).get_by_test_id("stop-x").fill("6")
    sent = film(studio)["guides"]["camera"]
    assert [stop[0] for stop in sent] == [0, 0.5, 1] and sent[1][3] == 1.25 and sent[2][1] == 6
    expect(studio.get_by_test_id("queue-empty")).to_be_visible()
    studio.get_by_test_id("camera").select_option("free")
    expect(stops).to_have_count(0)


def test_estimates_by_size_care_and_model(studio: Page) -> None:
    """What other settings would take stands in one table, and a press takes one of them."""
    studio.get_by_test_id("prompt").fill("a red ball")
    choose(studio, "seconds", "1 s")
    choose(studio, "fps", "8")
    studio.get_by_test_id("comparison").locator("summary").click()
    rows = studio.get_by_test_id("alternative")
    expect(rows.filter(has_text="64×64")).to_contain_text("4096")
    expect(rows.filter(has_text="128×128")).to_contain_text("16.4 k")
    expect(rows.filter(has_text="Careful")).to_contain_text("32.8 k")
    rows.filter(has_text="64×64").get_by_role("button").click()
    expect(studio.get_by_test_id("estimate")).to_contain_text(re.compile(r"Cost\s*4096"))
    expect(rows.filter(has_text="64×64")).to_have_attribute("aria-current", "true")


def test_the_keys_are_shown(opens: Opens, server: Running) -> None:
    """A question mark lists the keys, but not while somebody writes one; a button does the same."""
    window = opens()
    window.provoked.append("400 POST .*/v1/estimate")  # what is typed names nothing that is filmed
    page = signed_in(window, server)
    dialog = page.get_by_test_id("shortcuts-dialog")
    page.get_by_test_id("prompt").focus()
    page.keyboard.type("who?")
    expect(page.get_by_test_id("prompt")).to_have_value("who?")
    expect(dialog).to_have_count(0)
    page.get_by_test_id("prompt").blur()
    page.keyboard.press("?")
    expect(dialog).to_contain_text("Play and pause")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    for _ in range(3):  # opened and closed at once, and without a press that would let the browser ask before it closes
        page.get_by_test_id("shortcuts").evaluate("button => button.click()")
        expect(dialog).to_have_count(1)
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
    phone = signed_in(opens(viewport=PHONE, has_touch=True, is_mobile=True), server)
    phone.get_by_test_id("shortcuts").tap()
    expect(phone.get_by_test_id("shortcuts-dialog")).to_be_visible()


@pytest.mark.parametrize("address", ["nowhere", "gallery/%E0%A4%A", "create/one/two/three", "constructor", "world//"])
def test_addresses_that_lead_nowhere(studio: Page, address: str) -> None:
    """They show a page with ways on; and so after a reload, when nothing else is there."""
    for _ in range(2):
        studio.evaluate("hash => { location.hash = hash; }", f"#/{address}")
        expect(studio.get_by_test_id("lost")).to_be_visible()
        expect(studio).to_have_title(re.compile("No such page"))
        studio.reload()
        expect(studio.get_by_test_id("lost")).to_be_visible()
    studio.get_by_test_id("nav-create").click()
    expect(studio.get_by_test_id("prompt")).to_be_visible()


def test_the_server_goes_away_and_comes_back(opens: Opens, server: Running) -> None:
    """A line says so and when the next try is; what failed meanwhile is loaded by itself afterwards."""
    window = opens()
    window.provoked.append("ERR_INTERNET_DISCONNECTED")
    page = signed_in(window, server)
    page.context.set_offline(True)
    away = page.get_by_test_id("away")
    expect(away).to_contain_text("does not answer")
    expect(away).to_contain_text(re.compile(r"Next try (in \d+ s|now)"))
    page.get_by_test_id("nav-settings").click()
    expect(page.get_by_test_id("usage").get_by_test_id("note")).to_be_visible()
    page.context.set_offline(False)
    page.get_by_test_id("try-now").or_(page.get_by_test_id("nav-settings")).first.click()
    expect(away).to_have_count(0)
    expect(page.get_by_test_id("usage")).to_contain_text("pixel-seconds used")


def test_the_studio_begins_without_a_server(opens: Opens, server: Running) -> None:
    """A page that is opened while the server restarts waits for it, and does not ask for the key again."""
    window = opens()
    window.provoked.append("ERR_FAILED")
    page = signed_in(window, server)
    page.context.route("**/v1/**", lambda route: route.abort())
    page.reload()
    expect(page.get_by_test_id("away")).to_be_visible()
    expect(page.get_by_test_id("signin")).to_have_count(0)
    page.context.unroute("**/v1/**")
    expect(page.get_by_test_id("prompt")).to_be_visible()
    expect(page.get_by_test_id("away")).to_have_count(0)


def test_a_world_is_connected_again(studio: Page) -> None:
    """A cut wire is tried again by itself, and play goes on."""
    wires: list[WebSocketRoute] = []

    def watch(wire: WebSocketRoute) -> None:
        wires.extend((wire, wire.connect_to_server()))

    studio.route_web_socket(re.compile("/live"), watch)
    begin_world(studio)
    studio.get_by_test_id("world-play").click()
    clock = studio.get_by_test_id("world-time")
    began = clock.inner_text()
    expect(clock).not_to_have_text(began)
    for wire in wires[1::-1]:
        wire.close(code=1012, reason="the server is closing")
    expect(studio.get_by_test_id("wire-lost")).to_contain_text("Next try")
    until(lambda: studio.wait_for_timeout(50) is None and len(wires) > 2)
    expect(studio.get_by_test_id("wire-lost")).to_have_count(0)
    after = clock.inner_text()
    expect(clock).not_to_have_text(after)


def test_keys_act_in_a_world_at_once(studio: Page) -> None:
    """Nothing has to be pressed first; and what is written into a field does not act."""
    begin_world(studio)
    expect(studio.get_by_test_id("live")).to_be_focused()
    studio.keyboard.down("d")
    expect(studio.get_by_test_id("act-right")).to_have_class(re.compile("held"))
    studio.keyboard.up("d")
    expect(studio.get_by_test_id("act-right")).not_to_have_class(re.compile("held"))
    studio.get_by_test_id("all-worlds").focus()
    studio.keyboard.press("Space")
    expect(studio.get_by_test_id("world-play")).to_have_text("Pause")
    studio.get_by_test_id("live").focus()
    studio.keyboard.press("Space")
    expect(studio.get_by_test_id("world-play")).to_have_text("Play")
    studio.get_by_test_id("talk").focus()
    studio.keyboard.type("add a sword")
    expect(studio.get_by_test_id("talk")).to_have_value("add a sword")
    expect(studio.get_by_test_id("world-play")).to_have_text("Play")


def test_nothing_of_a_world_is_lost_by_one_press(studio: Page, server: Running) -> None:
    """A rewind asks first and offers to keep what is left behind; so do branches and the world itself."""
    begin_world(studio)
    for i in range(4):
        studio.get_by_test_id("world-step").click()
        expect(studio.get_by_test_id("rewind-slider")).to_have_attribute("max", str(i + 1))
    studio.get_by_test_id("rewind-slider").fill("1")
    studio.get_by_test_id("rewind").click()
    studio.get_by_test_id("rewind-no").click()
    assert world_of(server, studio)["past_frames"] == 4
    studio.get_by_test_id("rewind").click()
    studio.get_by_test_id("rewind-other").click()
    nodes = studio.get_by_test_id("tree-node")
    expect(nodes).to_have_count(2)
    assert world_of(server, studio)["past_frames"] == 1
    studio.get_by_test_id("delete-world").click()
    studio.get_by_test_id("delete-world-no").click()
    expect(nodes).to_have_count(2)
    studio.get_by_test_id("delete-world").click()
    studio.get_by_test_id("delete-world-yes").click()
    expect(nodes).to_have_count(1)
    id = studio.url.rpartition("/")[2]
    studio.get_by_test_id("delete-this-world").click()
    studio.get_by_test_id("delete-world-yes").click()
    expect(studio.get_by_test_id("start-world")).to_be_visible()
    with server.http() as client:
        assert client.get(f"/v1/worlds/{id}").status_code == 404


def test_what_is_taken_out_comes_back(studio: Page, clips: dict[str, dict[str, Any]]) -> None:
    """A picture, a card, a part, a mask: each has an undo."""
    undo = studio.get_by_test_id("toast-action").last
    studio.get_by_test_id("add-picture-input").set_input_files(picture((90, 120, 200)))
    studio.get_by_test_id("pin-remove").click()
    expect(studio.get_by_test_id("pin")).to_have_count(0)
    undo.click()
    expect(studio.get_by_test_id("pin")).to_have_count(1)

    go(studio, "storyboard", "cards")
    cards = studio.get_by_test_id("story-card")
    cards.first.get_by_test_id("card-text").fill("a red ball")
    cards.first.get_by_test_id("card-remove").click()
    expect(cards).to_have_count(1)
    undo.click()
    expect(cards.first.get_by_test_id("card-text")).to_have_value("a red ball")
    studio.get_by_test_id("clear-board").click()
    expect(cards.first.get_by_test_id("card-text")).to_have_value("")
    undo.click()
    expect(cards.first.get_by_test_id("card-text")).to_have_value("a red ball")

    go(studio, "edit", clips["ball"]["id"])
    studio.get_by_test_id("tool-recut").click()
    studio.get_by_test_id("add-part").click()
    studio.get_by_test_id("part-remove").click()
    expect(studio.get_by_test_id("part")).to_have_count(0)
    undo.click()
    expect(studio.get_by_test_id("part")).to_have_count(1)
    studio.get_by_test_id("tool-repaint").click()
    studio.get_by_test_id("region").first.click()
    expect(studio.get_by_test_id("mask-share")).to_contain_text("50%")
    studio.get_by_test_id("clear-mask").click()
    expect(studio.get_by_test_id("mask-share")).to_contain_text("All of the picture")
    undo.click()
    expect(studio.get_by_test_id("mask-share")).to_contain_text("50%")
    studio.get_by_test_id("tool-background").click()
    studio.get_by_test_id("place-night").click()
    studio.get_by_test_id("scene-reset").click()
    expect(studio.get_by_test_id("render-background")).to_be_disabled()
    studio.get_by_test_id("scene-undo").click()
    expect(studio.get_by_test_id("render-background")).to_be_enabled()


def test_settings_are_used_again_with_an_undo(studio: Page, clips: dict[str, dict[str, Any]]) -> None:
    """The form takes a clip's settings with its seed kept, and gives back what stood there."""
    studio.get_by_test_id("prompt").fill("something else")
    go(studio, "gallery", clips["ball"]["id"])
    studio.get_by_test_id("reuse").click()
    expect(studio.get_by_test_id("prompt")).to_have_value(clips["ball"]["prompt"])
    expect(studio.get_by_test_id("seed")).to_have_value(str(QUICK["seed"]))
    studio.get_by_test_id("toast-action").click()
    expect(studio.get_by_test_id("prompt")).to_have_value("something else")
    expect(studio.get_by_test_id("seed")).to_have_value("")


def test_a_webhook_is_removed_after_a_question(studio: Page, server: Running) -> None:
    """Its secret cannot be had back, so it is not removed by one press."""
    with server.http() as client:
        client.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook", "events": ["video.completed"]})
    go(studio, "settings")
    row = studio.get_by_test_id("webhook-row").filter(has_text=":9/hook")
    row.get_by_test_id("remove-webhook").click()
    studio.get_by_test_id("webhook-no").click()
    expect(row).to_have_count(1)
    row.get_by_test_id("remove-webhook").click()
    studio.get_by_test_id("webhook-yes").click()
    expect(row).to_have_count(0)
