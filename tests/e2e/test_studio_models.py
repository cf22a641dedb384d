"""The Studio beside an open model: forms, actions and pages follow what the chosen model can film."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")
pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from playwright.sync_api import Page, expect
from tests.e2e.browser import PHONE, QUICK, check_axe, choose, go, latest, needs_axe, picture, signed_in
from tests.e2e.conftest import Opens, Running, start, stop, until

from kinema.engines.diffusers.tiny.models import make_tiny

LICENSE = {
    "name": "apache-2.0",
    "link": "https://www.apache.org/licenses/LICENSE-2.0",
    "attribution": "Powered by a tiny model",
    "territory": "everywhere but on the moon",
    "revenue": "up to 10 million dollars a year",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that films with Kinema's models and with an open one named wan."""
    folder = tmp_path_factory.mktemp("open")
    make_tiny("wan", folder / "wan")
    named = ", ".join(f'{name} = "{text}"' for name, text in LICENSE.items())
    (folder / "models.toml").write_text(
        f'[models.wan]\nsource = "{folder / "wan"}"\nlicense = {{ {named} }}\nseconds_per_second = 12.5\n'
    )
    running = start(folder / "data", env={"KINEMA_MODELS": str(folder / "models.toml")})
    yield running
    stop(running)


@pytest.fixture(scope="module")
def filmed(server: Running) -> dict[str, dict[str, Any]]:
    """A clip of each kind of model."""
    wanted = {
        "wan": {"model": "wan", "prompt": "a lighthouse", "seconds": "1", "size": "64x48", "steps": 2},
        "own": {"model": "kinema-tiny", "prompt": "a red ball", **QUICK, "size": "48x48"},
    }
    with server.http() as client:
        sent = {name: client.post("/v1/videos", json=body).json()["id"] for name, body in wanted.items()}
    made = {name: server.wait(id, 180) for name, id in sent.items()}
    assert all(video["status"] == "completed" for video in made.values()), made
    return made


def choose_wan(page: Page) -> None:
    page.get_by_test_id("model").select_option("wan")
    expect(page.get_by_test_id("model-line")).to_contain_text("An open model")


def set_size(page: Page, width: int, height: int) -> None:
    for field, side in (("width", width), ("height", height)):
        page.get_by_test_id(field).fill(str(side))
        page.get_by_test_id(field).press("Tab")


def test_the_form_follows_the_model(studio: Page) -> None:
    """Controls, defaults and limits are those of the chosen model; what the other one needs is hidden, not lost."""
    for control in ("vocabulary", "timeline", "camera"):
        expect(studio.get_by_test_id(control)).to_be_visible()
    for control in ("negative", "width", "license"):
        expect(studio.get_by_test_id(control)).to_have_count(0)
    studio.get_by_test_id("add-picture-input").set_input_files(picture((200, 30, 30)))
    expect(studio.get_by_test_id("pin")).to_have_count(1)
    choose_wan(studio)
    for control in ("vocabulary", "timeline", "camera", "strict"):
        expect(studio.get_by_test_id(control)).to_have_count(0)
    expect(studio.get_by_test_id("unused-pictures")).to_contain_text("1 picture of the timeline is not used")
    expect(studio.get_by_test_id("width")).to_have_value("832")
    expect(studio.get_by_test_id("seconds").get_by_label("5.06 s", exact=True)).to_be_checked()
    expect(studio.get_by_test_id("seconds").get_by_label("6 s", exact=True)).to_have_count(0)
    line = studio.get_by_test_id("model-line")
    expect(line).to_contain_text("4k+1 frames")
    expect(line).to_contain_text("13 s of filming for a second of film")
    for text in ("attribution", "territory", "revenue"):
        expect(studio.get_by_test_id("license")).to_contain_text(LICENSE[text])
    expect(studio.get_by_test_id("license").get_by_role("link")).to_have_attribute("href", LICENSE["link"])
    studio.get_by_test_id("more-settings").locator("summary").click()
    expect(studio.get_by_test_id("steps-number")).to_have_attribute("placeholder", "50")
    expect(studio.get_by_test_id("guidance")).to_have_attribute("placeholder", "5")
    studio.get_by_test_id("model").select_option("kinema-tiny")
    expect(studio.get_by_test_id("pin")).to_have_count(1)
    expect(studio.get_by_test_id("size")).to_have_value("128x128")
    expect(studio.get_by_test_id("seconds").get_by_label("4 s", exact=True)).to_be_checked()


def test_a_film_by_an_open_model(studio: Page, server: Running) -> None:
    """Filmed from the form, with what not to show and a size that the model does not have; what is cut and fitted is said."""
    studio.get_by_test_id("prompt").fill("a lighthouse at dawn")
    choose_wan(studio)
    choose(studio, "seconds", "1 s")
    set_size(studio, 64, 50)
    studio.get_by_test_id("more-settings").locator("summary").click()
    studio.get_by_test_id("steps-number").fill("2")
    studio.get_by_test_id("negative").fill("blur")
    expect(studio.get_by_test_id("fitting")).to_have_text(
        "Filmed at 64×64, shown at 64×50; filmed in 17 frames (4k+1), 16 are kept."
    )
    expect(studio.get_by_test_id("unknown-words")).to_be_empty()
    with studio.expect_request(lambda one: one.method == "POST" and one.url.endswith("/v1/videos")) as request:
        studio.get_by_test_id("film").click()
    sent = request.value.post_data_json
    assert (sent["model"], sent["size"], sent["negative_prompt"], sent["steps"]) == ("wan", "64x50", "blur", 2)
    assert not {"guides", "strict", "characters", "input_reference"} & set(sent)
    until(lambda: latest(server)["prompt"] == "a lighthouse at dawn")
    video = server.wait(latest(server)["id"], 180)
    assert video["status"] == "completed" and video["size"] == "64x50"
    go(studio, "gallery", str(video["id"]))
    facts = studio.get_by_test_id("facts")
    expect(facts).to_contain_text("Not to showblur")
    expect(facts).to_contain_text("filmed in 17 frames")
    expect(studio.get_by_test_id("clip-license")).to_contain_text(LICENSE["attribution"])
    studio.get_by_test_id("reuse").click()
    expect(studio.get_by_test_id("model")).to_have_value("wan")
    expect(studio.get_by_test_id("negative")).to_have_value("blur")
    expect(studio.get_by_test_id("width")).to_have_value("64")


def test_a_clip_offers_what_some_model_can_make_of_it(studio: Page, server: Running, filmed: dict[str, Any]) -> None:
    """Each action names the models that can; what needs a state is not offered for clips without one."""
    clip = filmed["wan"]
    go(studio, "gallery", clip["id"])
    expect(studio.get_by_test_id("other-makers")).to_contain_text(re.compile("extend, blend and loop .*kinema-tiny.* can"))
    for control in ("step-into", "character-details"):
        expect(studio.get_by_test_id(control)).to_have_count(0)
    studio.get_by_test_id("remix-details").locator("summary").click()
    expect(studio.get_by_test_id("remix-model")).to_have_value("wan")
    studio.get_by_test_id("change-extend").click()
    expect(studio.get_by_test_id("tool-extend")).to_have_attribute("aria-selected", "true")
    expect(studio.get_by_test_id("extend-model").locator("option")).not_to_contain_text(["wan"])
    expect(studio.get_by_test_id("maker-note")).to_contain_text("wan, which filmed this clip, cannot make it longer")
    for tool in ("background", "motion"):
        expect(studio.get_by_test_id(f"tool-{tool}")).to_have_count(0)
    expect(studio.get_by_test_id("not-offered")).to_contain_text("background and motion")
    studio.get_by_test_id("tool-repaint").click()
    expect(studio.get_by_test_id("repaint-model")).to_have_value("wan")
    for control in ("brush", "mask"):
        expect(studio.get_by_test_id(control)).to_have_count(0)
    studio.get_by_test_id("repaint-prompt").fill("a lighthouse at night")
    with studio.expect_request("**/v1/videos/edits") as request:
        studio.get_by_test_id("repaint").click()
    assert (request.value.post_data_json["model"], "mask" in request.value.post_data_json) == ("wan", False)
    server.wait(latest(server)["id"], 180)
    studio.get_by_test_id("repaint-model").select_option("kinema-tiny")
    expect(studio.get_by_test_id("mask")).to_be_visible()
    go(studio, "edit", filmed["own"]["id"], "motion")
    expect(studio.get_by_test_id("tool-motion")).to_have_attribute("aria-selected", "true")


def test_storyboards_and_worlds_are_for_models_that_have_them(studio: Page) -> None:
    choose_wan(studio)
    go(studio, "storyboard", "cards")
    expect(studio.get_by_test_id("board-note")).to_contain_text("the cards are filmed by kinema-tiny")
    studio.get_by_test_id("card-text").first.fill("a red ball rolls right")
    with studio.expect_request("**/v1/estimate") as request:
        studio.get_by_test_id("card-text").last.fill("the red ball stops")
    assert request.value.post_data_json["model"] == "kinema-tiny"
    assert request.value.post_data_json["size"] == "128x128"
    go(studio, "world")
    options = studio.get_by_test_id("world-model").locator("option").all_inner_texts()
    assert "kinema-tiny" in options and "wan" not in options


def test_the_models_page(studio: Page) -> None:
    """What each model can and cannot do stands there in words, with its license, and leads to the form."""
    go(studio, "models", "wan")
    card = studio.locator("[data-testid=model-card][data-model=wan]")
    for text in ("from words", "what not to show", "4k+1", "5.06 s at most", "Silent", *list(LICENSE.values())[2:]):
        expect(card).to_contain_text(text)
    expect(card.get_by_role("heading")).to_be_focused()
    card.get_by_test_id("model-lacks").locator("summary").click()
    expect(card.get_by_test_id("model-lacks")).to_contain_text(re.compile("longer films out of others .*kinema-tiny.* can"))
    expect(card.get_by_test_id("enter-model")).to_have_count(0)
    card.get_by_test_id("use-model").click()
    expect(studio.get_by_test_id("model")).to_have_value("wan")


def test_where_pictures_may_stand(studio: Page) -> None:
    """A model that films from a first picture is shown one place, and what is missing is said."""
    found = studio.evaluate(
        """async () => {
          const { missing, placesOf, settled, offers } = await import("./capabilities.js");
          const about = {
            engine: "diffusers", workflows: ["image", "first_last"], seconds: 5, most_seconds: 6, fps: 24, steps: 4, size: [96, 64],
          };
          const facts = { capabilities: about, fps: [1, 120], max_seconds: 600, size: "96x64", sizes: ["96x64"] };
          const model = { id: "i2v", kinema: facts };
          const only = { ...model, kinema: { ...model.kinema, capabilities: { ...about, workflows: ["image"] } } };
          const first = { at: 0 }, last = { at: 5 };
          return {
            places: [placesOf(model), placesOf(only)],
            missing: [[], [first], [first, last], [last]].map((pictures) => missing(model, pictures, 5)),
            settled: settled({ seconds: 9, fps: null, size: "70x50" }, model),
            lengths: offers(model).lengths,
            care: offers(model).care,
          };
        }"""
    )
    assert found["places"] == [
        {"first": True, "last": True, "between": False},
        {"first": True, "last": False, "between": False},
    ]
    assert found["missing"][0] == "i2v films from a first picture: add one."
    assert found["missing"][1:3] == [None, None] and "needs a first picture" in found["missing"][3]
    assert found["settled"] == {"seconds": 6, "fps": 24, "size": "70x50"}
    assert found["lengths"] == [1, 2, 4, 5, 6] and found["care"] == [[2, "Fast"], [None, "Standard"], [6, "Careful"]]


def test_uploaded_pictures_are_shown_with_the_clip(studio: Page, server: Running) -> None:
    with server.http() as client:
        given = picture((30, 30, 200))
        file = client.post("/v1/files", files={"file": (given["name"], given["buffer"], given["mimeType"])}).json()["id"]
        body = {
            "model": "kinema-tiny",
            "prompt": "a red ball",
            **QUICK,
            "size": "48x48",
            "input_reference": {"file_id": file},
        }
        made = client.post("/v1/videos", json=body).json()["id"]
    server.wait(made)
    go(studio, "gallery", made)
    expect(studio.get_by_test_id("files")).to_contain_text("First picture")
    expect(studio.get_by_test_id("files").get_by_role("link")).to_have_attribute(
        "href", re.compile(f"/v1/files/{file}/content")
    )


def engines_of(server: Running) -> list[int]:
    """The processes that open models run in."""

    def children(parent: int) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout
        return [int(line) for line in found.split()]

    below = [one for worker in children(server.process.pid) for one in children(worker)]
    return [one for one in below if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()]


def test_a_failure_says_what_helps(studio: Page, server: Running, filmed: dict[str, Any]) -> None:
    """A model's process that ends while it films: the reason in plain words, what to do, and the settings to change."""
    with server.http() as client:
        body = {"model": "wan", "prompt": "a film that is lost", "seconds": "1", "size": "64x48", "steps": 200}
        lost = client.post("/v1/videos", json=body).json()["id"]
        until(lambda: client.get(f"/v1/videos/{lost}").json()["status"] == "in_progress")
        until(lambda: bool(engines_of(server)) or client.get(f"/v1/videos/{lost}").json()["status"] == "failed")
    for process in engines_of(server):
        os.kill(process, signal.SIGKILL)
    video: Any = server.wait(lost, 180)
    assert video["status"] == "failed"
    go(studio, "gallery", lost)
    reason = studio.get_by_test_id("failure-reason")
    expect(reason).to_contain_text(video["error"]["message"])
    expect(reason.locator(".advice")).not_to_be_empty()
    studio.get_by_test_id("clip-detail").get_by_test_id("reuse").click()
    expect(studio.get_by_test_id("prompt")).to_have_value("a film that is lost")


@needs_axe
@pytest.mark.parametrize(
    "options", [{}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}], ids=["desktop", "phone"]
)
def test_pages_are_accessible_and_fit(
    opens: Opens, server: Running, filmed: dict[str, Any], options: dict[str, Any]
) -> None:
    """No violation of axe, and nothing sticks out, with an open model chosen."""
    page = signed_in(opens(**options), server)
    choose_wan(page)
    page.get_by_test_id("prompt").fill("a lighthouse")
    choose(page, "seconds", "2 s")
    page.get_by_test_id("more-settings").locator("summary").click()
    expect(page.get_by_test_id("fitting")).to_be_visible()
    clip = filmed["wan"]["id"]
    places = [
        ("create",),
        ("gallery", clip),
        ("edit", clip, "extend"),
        ("edit", clip, "repaint"),
        ("models",),
        ("storyboard", "cards"),
        ("world",),
    ]
    shown = {
        "gallery": "changes",
        "edit": "tool-extend",
        "models": "model-lacks",
        "storyboard": "board-note",
        "world": "start-world",
    }
    for place in places:
        go(page, *place)
        expect(page.get_by_test_id(shown.get(place[0], "film")).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), place
        check_axe(page, "/".join(place))
