"""A recorded world in the Studio: begun by its model, acted in by its keys, without what needs a state."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

from playwright.sync_api import Page, expect
from tests.e2e.browser import choose, picture, rests, world_of
from tests.e2e.conftest import Running, start, stop, until
from tests.server.recorded_worlds import add_world, cart_entities

PICTURE = os.environ.get("KINEMA_PICTURE", "")
"""A file for a picture of the page."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("recorded")
    models = folder / "models.toml"
    add_world(folder, models)
    add_world(folder / "more", models, name="told", entities=cart_entities)
    running = start(folder / "data", env={"KINEMA_MODELS": str(models)})
    yield running
    stop(running)


def videos(server: Running) -> list[dict[str, Any]]:
    with server.http() as client:
        listed: list[dict[str, Any]] = client.get("/v1/videos").json()["data"]
    return listed


def test_a_recorded_world_is_played_by_its_keys(studio: Page, server: Running) -> None:
    studio.get_by_test_id("nav-models").click()
    card = studio.locator("[data-testid=model-card][data-model=cart]")
    expect(card).to_contain_text("Recorded from")
    expect(card).to_contain_text("CartPole-v1")
    expect(card.get_by_test_id("use-model")).to_have_count(0)
    card.get_by_test_id("enter-model").click()
    expect(studio.get_by_test_id("world-model")).to_have_value("cart")
    expect(studio.get_by_test_id("about-recorded")).to_contain_text("CartPole-v1 from recordings")
    for field in ("world-prompt", "world-fps", "world-task", "recorded-task"):
        expect(studio.get_by_test_id(field)).to_have_count(0)
    studio.get_by_test_id("start-world").click()
    expect(studio.get_by_test_id("recorded-world")).to_contain_text("one of 2")
    for control in ("talk", "what-if", "world-thing", "act-up"):
        expect(studio.get_by_test_id(control)).to_have_count(0)
    expect(studio.get_by_test_id("world-keys").get_by_role("button")).to_have_text(["0", "1"])
    begun = world_of(server, studio)
    assert begun["state"] is None
    studio.get_by_test_id("world-step").click()
    until(lambda: world_of(server, studio)["past_frames"] == begun["past_frames"] + 1)
    studio.keyboard.down("1")
    expect(studio.get_by_test_id("act-1")).to_have_class(re.compile("held"))
    expect(studio.get_by_test_id("world-play")).to_have_text("Pause")
    until(lambda: world_of(server, studio)["past_frames"] > begun["past_frames"] + 3)
    studio.keyboard.up("1")
    expect(studio.get_by_test_id("act-1")).not_to_have_class(re.compile("held"))
    studio.keyboard.press("Space")
    expect(studio.get_by_test_id("world-play")).to_have_text("Play")
    until(lambda: rests(server, studio))
    expect(studio.get_by_test_id("world-reward")).to_have_text(re.compile(r"^-?\d"))
    drawn = studio.get_by_test_id("live").locator("canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((one, i) => i % 4 < 3 && one > 0)"
    )  # fmt: skip
    assert drawn
    if PICTURE:
        studio.screenshot(path=PICTURE)
    studio.get_by_test_id("record").click()
    studio.get_by_test_id("world-step").click()
    studio.get_by_test_id("record-stop").click()
    until(lambda: [(one["status"], one["model"]) for one in videos(server)] == [("completed", "cart")])
    before = studio.url
    studio.get_by_test_id("branch").click()
    expect(studio).not_to_have_url(before)
    assert world_of(server, studio)["parent"] == begun["id"]
    expect(studio.get_by_test_id("world-keys")).to_be_visible()


def test_a_recorded_world_begins_with_a_picture(studio: Page, server: Running) -> None:
    studio.get_by_test_id("nav-models").click()
    studio.locator("[data-testid=model-card][data-model=cart]").get_by_test_id("enter-model").click()
    choose(studio, "start-from", "A picture")
    expect(studio.get_by_test_id("start-world")).to_be_disabled()
    studio.get_by_test_id("world-picture-input").set_input_files(picture((240, 30, 30)))
    studio.get_by_test_id("start-world").click()
    expect(studio.get_by_test_id("world-keys")).to_be_visible()
    id = world_of(server, studio)["id"]
    with server.http() as client, Image.open(io.BytesIO(client.get(f"/v1/worlds/{id}/frame").content)) as shown:
        red, green, _ = np.asarray(shown.convert("RGB")).reshape(-1, 3).mean(0)
    assert red > 180 and green < 90, "what was sent, not a recorded beginning"


def test_an_end_stays_in_sight(studio: Page, server: Running) -> None:
    """Untrained, the world ends by chance about every other frame."""
    with server.http() as client:
        world = client.post("/v1/worlds", json={"model": "cart", "seed": 1}).json()
        for _ in range(60):
            if client.post(f"/v1/worlds/{world['id']}/step", json={"action": 0}).json()["terminated"]:
                break
        else:
            pytest.fail("it never ended")
    studio.evaluate("hash => { location.hash = hash; }", f"#/world/{world['id']}")
    expect(studio.get_by_test_id("world-ended")).to_contain_text("Episode ended at")
    ended = studio.get_by_test_id("world-ended").inner_text()
    studio.get_by_test_id("world-step").click()
    expect(studio.get_by_test_id("world-time")).not_to_have_text(ended.rpartition(" ")[2])
    expect(studio.get_by_test_id("world-ended")).to_be_visible()


def test_a_world_does_not_film(server: Running) -> None:
    with server.http() as client:
        answer = client.post("/v1/videos", json={"model": "cart", "prompt": "a cart"})
        assert answer.status_code == 400 and "step into it" in answer.json()["error"]["message"]
        models = {one["id"]: one["kinema"] for one in client.get("/v1/models").json()["data"]}
    assert models["cart"]["world"] and models["cart"]["recorded"]["env"] == "CartPole-v1"
    assert not models["kinema-tiny"]["world"] and models["kinema-tiny"]["recorded"] is None


def test_entities_of_a_recorded_world_are_shown_and_asked_for(studio: Page, server: Running) -> None:
    """Their numbers change with every frame, a question is answered, and a change is made."""
    studio.get_by_test_id("nav-models").click()
    studio.locator("[data-testid=model-card][data-model=told]").get_by_test_id("enter-model").click()
    studio.get_by_test_id("start-world").click()
    shown = studio.get_by_test_id("entities")
    expect(shown).to_contain_text("cart")
    expect(shown).to_contain_text("angle")
    before = shown.inner_text()
    studio.get_by_test_id("world-step").click()
    expect(shown).not_to_have_text(before)
    studio.get_by_test_id("talk-example").nth(1).click()
    expect(studio.get_by_test_id("talk")).to_have_value("where is the cart?")
    studio.get_by_test_id("say").click()
    expect(studio.get_by_test_id("talk-log")).to_contain_text("cart is at x ")
    studio.get_by_test_id("talk").fill("set the cart's x to 0.05")
    studio.get_by_test_id("say").click()
    expect(studio.get_by_test_id("talk-log")).to_contain_text("-> 0.05")
    expect(shown).to_contain_text("x 0.05")
    if PICTURE:
        studio.screenshot(path=PICTURE.replace(".png", "-entities.png"), full_page=True)
