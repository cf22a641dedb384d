"""The Studio beside models whose license must be accepted, that have LoRA, and that the state of a scene can steer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")
pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from playwright.sync_api import Page, expect
from tests.e2e.browser import QUICK, choose, go, latest, signed_in
from tests.e2e.conftest import Opens, Running, start, stop, until
from tests.engines.loras import make_lora

from kinema.engines.diffusers.tiny.models import make_tiny


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a model that has LoRA, one that a state can steer, and two whose licenses keep them from filming."""
    folder = tmp_path_factory.mktemp("licensed")
    for model in ("wan", "wan-vace"):
        make_tiny(model, folder / model)
    lora = make_lora(folder / "wan", folder / "lora")
    (folder / "models.toml").write_text(
        f'[models.wan]\nsource = "{folder / "wan"}"\nlora_files = {{ film = "{lora}", noir = "{lora}" }}\n'
        f'[models.vace]\nsource = "{folder / "wan-vace"}"\n'
        f'[models.asks]\nsource = "{folder / "wan-vace"}"\n'
        'license = { name = "a-community-license", revenue = "up to 5 dollars" }\n'
        f'[models.away]\nsource = "{folder / "wan"}"\nlicense = {{ name = "not-here", excluded = ["EU"] }}\n'
    )
    running = start(folder / "data", "--territory", "FR", env={"KINEMA_MODELS": str(folder / "models.toml")})
    yield running
    stop(running)


@pytest.fixture(scope="module")
def clip(server: Running) -> dict[str, Any]:
    """A clip with a state."""
    body = {"model": "kinema-tiny", "prompt": "a red ball rolls right", **QUICK, "size": "48x48"}
    with server.http() as client:
        id = client.post("/v1/videos", json=body).json()["id"]
    made: dict[str, Any] = server.wait(id)
    assert made["status"] == "completed", made
    return made


def test_a_license_is_read_and_accepted(opens: Opens, server: Running) -> None:
    """Asked for once, with its terms; until then nothing is sent. Where it does not hold, nothing can be accepted."""
    page = signed_in(opens(), server)
    page.get_by_test_id("prompt").fill("a lighthouse")
    page.get_by_test_id("model").select_option("away")
    expect(page.get_by_test_id("license-note")).to_contain_text("does not hold in FR")
    expect(page.get_by_test_id("read-license")).to_have_count(0)
    page.get_by_test_id("model").select_option("asks")
    expect(page.get_by_test_id("lacking")).to_contain_text("films once its license is accepted")
    page.get_by_test_id("film").click()
    with server.http() as client:
        assert client.get("/v1/videos", params={"model": "asks"}).json()["data"] == []
    page.get_by_test_id("read-license").click()
    dialog = page.get_by_test_id("license-dialog")
    expect(dialog).to_contain_text("a-community-license")
    expect(dialog).to_contain_text("up to 5 dollars")
    dialog.get_by_test_id("license-no").click()
    expect(page.get_by_test_id("license-note")).to_be_visible()
    page.get_by_test_id("read-license").click()
    page.get_by_test_id("license-yes").click()
    expect(page.get_by_test_id("license-question")).to_have_count(0)
    expect(page.get_by_test_id("estimate")).to_contain_text("Cost")
    with server.http() as client:
        assert client.get("/v1/models/asks").json()["kinema"]["license_refusal"] is None
    page.reload()
    expect(page.get_by_test_id("model")).to_have_value("asks")
    expect(page.get_by_test_id("license-question")).to_have_count(0)


def test_a_film_with_a_lora(studio: Page, server: Running) -> None:
    """Chosen by name where the model has any; the film says which, and its settings can be used again."""
    studio.get_by_test_id("more-settings").locator("summary").click()
    expect(studio.get_by_test_id("loras")).to_have_count(0)
    studio.get_by_test_id("prompt").fill("a lighthouse in the rain")
    studio.get_by_test_id("model").select_option("wan")
    choose(studio, "seconds", "1 s")
    for field in ("width", "height"):
        studio.get_by_test_id(field).fill("48")
        studio.get_by_test_id(field).press("Tab")
    studio.get_by_test_id("steps-number").fill("2")
    field = studio.get_by_test_id("loras")
    expect(field.get_by_test_id("lora-scale")).to_have_count(0)
    field.get_by_label("noir", exact=True).check()
    field.get_by_label("film", exact=True).check()
    field.get_by_label("film", exact=True).uncheck()
    field.get_by_test_id("lora-scale").fill("0.6")
    with studio.expect_request(lambda one: one.method == "POST" and one.url.endswith("/v1/videos")) as request:
        studio.get_by_test_id("film").click()
    assert request.value.post_data_json["loras"] == [{"name": "noir", "scale": 0.6}]
    until(lambda: latest(server)["prompt"] == "a lighthouse in the rain")
    video: Any = server.wait(latest(server)["id"], 180)
    assert video["status"] == "completed", video["error"]
    go(studio, "gallery", video["id"])
    expect(studio.get_by_test_id("facts")).to_contain_text("noir 0.6")
    studio.get_by_test_id("reuse").click()
    studio.get_by_test_id("more-settings").locator("summary").click()
    expect(studio.get_by_test_id("loras").get_by_label("noir", exact=True)).to_be_checked()
    expect(studio.get_by_test_id("lora-scale")).to_have_value("0.6")
    studio.get_by_test_id("model").select_option("kinema-tiny")
    with studio.expect_request("**/v1/estimate") as estimate:
        studio.get_by_test_id("prompt").fill("a red ball")
    assert "loras" not in estimate.value.post_data_json


def test_the_state_of_a_clip_steers_another_model(studio: Page, server: Running, clip: dict[str, Any]) -> None:
    go(studio, "gallery", clip["id"])
    studio.get_by_test_id("change-restyle").click()
    expect(studio.get_by_test_id("tool-restyle")).to_have_attribute("aria-selected", "true")
    options = studio.get_by_test_id("restyle-model").locator("option").all_inner_texts()
    assert {"vace", "asks"} <= set(options) and "kinema-tiny" not in options
    studio.get_by_test_id("restyle-model").select_option("vace")
    expect(studio.get_by_test_id("restyle")).to_be_disabled()
    studio.get_by_test_id("restyle-prompt").fill("a bowling alley")
    studio.get_by_test_id("restyle-negative").fill("blur")
    expect(studio.get_by_test_id("restyle-control").get_by_label("its depth")).to_be_checked()
    expect(studio.get_by_test_id("restyle-strength")).to_have_count(0)
    choose(studio, "restyle-control", "its outlines")
    with studio.expect_request("**/v1/videos/restyles") as request:
        studio.get_by_test_id("restyle").click()
    sent = request.value.post_data_json
    assert sent == {
        "video": {"id": clip["id"]}, "prompt": "a bowling alley", "model": "vace", "control": "edges", "negative_prompt": "blur",
    }  # fmt: skip
    until(lambda: latest(server)["prompt"] == "a bowling alley")
    assert latest(server)["kinema"]["kind"] == "restyle"
    with server.http() as client:  # of the model's usual size, which takes minutes
        client.post(f"/v1/videos/{latest(server)['id']}/cancel")


def test_a_clip_without_a_state_is_not_restyled(studio: Page, server: Running) -> None:
    body = {"model": "wan", "prompt": "a lighthouse at noon", "seconds": "1", "size": "48x48", "steps": 2}
    with server.http() as client:
        id = client.post("/v1/videos", json=body).json()["id"]
    assert server.wait(id, 180)["status"] == "completed"
    go(studio, "edit", id)
    expect(studio.get_by_test_id("tool-repaint")).to_be_visible()
    expect(studio.get_by_test_id("tool-restyle")).to_have_count(0)
    expect(studio.get_by_test_id("not-offered")).to_contain_text("restyle, as the clip has no state")


def test_a_clip_is_reported(studio: Page, server: Running, clip: dict[str, Any]) -> None:
    """By anybody; administrators find it in the settings and close it."""
    go(studio, "gallery", clip["id"])
    studio.get_by_test_id("report").click()
    studio.get_by_test_id("report-reason").select_option("copyright")
    studio.get_by_test_id("report-text").fill("my ball")
    studio.get_by_test_id("report-yes").click()
    expect(studio.get_by_test_id("report-dialog")).to_have_count(0)
    go(studio, "settings")
    row = studio.get_by_test_id("report-row")
    expect(row).to_contain_text("It takes a work of others")
    expect(row).to_contain_text("my ball")
    row.get_by_test_id("close-report").click()
    expect(studio.get_by_test_id("reports")).to_contain_text("Nobody complains about a clip")
    with server.http() as client:
        (report,) = client.get("/v1/reports").json()["data"]
    assert (report["video"], report["reason"]) == (clip["id"], "copyright") and report["closed_at"]
