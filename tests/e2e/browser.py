"""Pages of the Studio in a real browser: what every test of them needs."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, Response, expect
from tests.e2e.conftest import Running, until

ROOMS = ("create", "gallery", "edit", "world", "storyboard", "models", "settings")
QUICK = {"seconds": "1", "fps": 8, "steps": 2, "seed": 3}
PHONE = {"width": 390, "height": 844}
AXE = os.environ.get("KINEMA_AXE", "")
"""A file of axe-core, as the npm package has it."""
needs_axe = pytest.mark.skipif(not Path(AXE).is_file(), reason="needs axe-core: KINEMA_AXE=FOLDER/axe.min.js")

expect.set_options(timeout=30_000)


class Watched:
    """A page and the errors that occur on it. `provoked`: patterns of errors that a test causes on purpose."""

    def __init__(self, context: BrowserContext) -> None:
        self.page = context.new_page()
        self.provoked: list[str] = []
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        self.page.on(
            "console",
            lambda message: message.type == "error" and self._record_console(message.text, message.location["url"]),
        )
        self.page.on("response", self._answered)
        # Leaving a page, another estimate or another place in a clip cut off what is under way; nothing is wrong with that.
        self.page.on(
            "requestfailed",
            lambda request: (
                "ERR_ABORTED" in (request.failure or "") or self.errors.append(f"{request.failure} {request.url}")
            ),
        )

    def _record_console(self, text: str, url: str) -> None:
        if not text.startswith("Failed to load resource"):  # recorded by `_answered`
            self.errors.append(f"console: {text} {url}")

    def _answered(self, answer: Response) -> None:
        # A preview is gone as soon as its clip is done, which may be between being told of it and asking for it.
        if answer.status >= 400 and not (answer.status == 404 and "variant=preview" in answer.url):
            self.errors.append(f"{answer.status} {answer.request.method} {answer.url}")

    def check(self) -> None:
        assert [error for error in self.errors if not any(re.search(one, error) for one in self.provoked)] == []


def signed_in(window: Watched, server: Running) -> Page:
    window.page.goto(f"{server.url}/#key={server.key}")
    expect(window.page.get_by_test_id("nav-create")).to_be_visible()
    return window.page


def go(page: Page, *parts: str) -> None:
    """To a room, by the address."""
    page.evaluate("hash => { location.hash = hash; }", f"#/{'/'.join(parts)}")


def check_axe(page: Page, where: str) -> None:
    """No violation of axe."""
    page.evaluate(Path(AXE).read_text())
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], where


def choose(page: Page, group: str, label: str) -> None:
    page.get_by_test_id(group).get_by_label(label, exact=True).check()


def latest(server: Running, **query: Any) -> dict[str, Any]:
    """The newest video, once there is one."""
    videos: list[dict[str, Any]] = []

    def found() -> bool:
        with server.http() as client:
            videos[:] = client.get("/v1/videos", params={"limit": 1, "order": "desc", **query}).json()["data"]
        return bool(videos)

    until(found)
    return videos[0]


def world_of(server: Running, page: Page) -> dict[str, Any]:
    with server.http() as client:
        world: dict[str, Any] = client.get(f"/v1/worlds/{page.url.rpartition('/')[2]}").json()
    return world


def rests(server: Running, page: Page) -> bool:
    """Whether a world stands still; a frame that was begun before the pause still comes."""
    before = world_of(server, page)["past_frames"]
    page.wait_for_timeout(300)
    same: bool = world_of(server, page)["past_frames"] == before
    return same


def middle(part: Locator) -> tuple[float, float]:
    box = part.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Press, move in a few steps, let go."""
    page.mouse.move(*start)
    page.mouse.down()
    for i in range(1, 6):
        page.mouse.move(start[0] + by[0] * i / 5, start[1] + by[1] * i / 5)
    page.mouse.up()


def picture(color: tuple[int, int, int]) -> dict[str, Any]:
    """A file for a file field."""
    made = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(made, "PNG")
    return {"name": "sky.png", "mimeType": "image/png", "buffer": made.getvalue()}


def seconds_of(code: Locator) -> float:
    """A time code as seconds."""
    minutes, _, seconds = code.inner_text().partition(":")
    return 60 * int(minutes) + float(seconds)


def times(dialog: Locator) -> list[float]:
    """Where the videos in a dialog are."""
    seconds: list[float] = dialog.locator("video").evaluate_all("all => all.map(video => video.currentTime)")
    return seconds


def pick(page: Page, clip: dict[str, Any]) -> None:
    """In the dialog that is open, by its words."""
    page.get_by_test_id("pick-search").fill(clip["prompt"])
    page.locator(f"[data-testid=pick-clip][data-id={clip['id']}]").click()
