"""The Studio and the API's page in a browser, below a path of a host, as a proxy shows them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="needs kinema[dev]")

from playwright.sync_api import Browser, Page, expect
from tests.e2e.conftest import Running, start, stop


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("below") / "data", "--root-path", "/films")
    yield running
    stop(running)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of which every request succeeds, goes to this machine, and breaks no policy."""
    context = browser.new_context()
    context.set_default_timeout(120_000)
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    requested: list[str] = []
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("http://127.0.0.1", "data:", "blob:")) else requested.append(asked.url),
    )
    yield page
    context.close()
    assert errors == []
    assert [url for url in requested if not url.startswith(("http://127.0.0.1", "data:", "blob:"))] == []


def test_the_studio_works_below_a_path(page: Page, below: Running) -> None:
    """Signed in by the cookie of the path, it films, shows the film and steps a world."""
    page.goto(f"{below.url}/films/#key={below.key}")
    expect(page.get_by_test_id("nav-create")).to_be_visible()
    with below.http() as client:
        id = client.post("/films/v1/videos", json={"prompt": "a red ball", "fps": 8, "steps": 2, "seconds": 0.25}).json()[
            "id"
        ]
    below.wait(id)
    page.reload()
    page.evaluate("() => { location.hash = '#/gallery'; }")
    expect(page.locator(f"[src*='/films/v1/videos/{id}/content']").first).to_be_visible()
    assert {cookie["path"] for cookie in page.context.cookies()} == {"/films/"}
    page.goto(f"{below.url}/films/verify")
    expect(page.get_by_test_id("dropzone")).to_be_visible()


def test_the_page_of_the_api_needs_no_network(page: Page, below: Running) -> None:
    """It lists routes and sends one with a key, and nothing is asked of another host."""
    page.goto(f"{below.url}/films/docs")
    expect(page.get_by_text("/v1/videos", exact=True).first).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(below.key)
    page.locator(".auth-container").get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").first.click()
    usage = page.locator(".opblock").filter(has=page.get_by_text("/v1/usage", exact=True)).first
    usage.locator(".opblock-summary-control").click()
    usage.get_by_role("button", name="Try it out").click()
    with page.expect_response(lambda answer: "/films/v1/usage" in answer.url) as answered:
        usage.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200 and answered.value.request.headers["authorization"] == f"Bearer {below.key}"
