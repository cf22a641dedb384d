"""Pictures of the Studio for the documentation: python -m benchmarks.studio_pictures [--out DIR] [--only ROOM ...]

A server starts in a folder that is deleted afterwards, films a handful of clips and holds a live world; a browser (chromium,
or the one of `playwright install chromium`) opens rooms, and what it shows is written to docs/pictures/studio-ROOM.jpg.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

LARGEST = 150_000
QUALITY = 84
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
FILMS: list[tuple[str, dict[str, Any]]] = [
    ("a purple robot walks right in a lab", {"seed": 5}),
    ("a yellow car drives right in the desert", {"seed": 2}),
    ("a pink ball is thrown up in a lab", {"seed": 12}),
    ("a green robot jumps at night", {"seed": 1}),
    ("a pink star falls onto the floor in the snow", {"seed": 3}),
    ("a cyan ball bounces on a field", {"seed": 6}),
    ("an orange flag stands and a blue ball rolls left", {"seed": 7}),
    ("a green car drives left behind a screen on a field", {"seed": 8}),
    ("a yellow ball rolls and hits a purple ball at night", {"seed": 9}),
    ("a red triangle slides right in the snow", {"seed": 10}),
    ("a blue robot walks left in the desert", {"seed": 11}),
    ("a purple star and a yellow box at night", {"seed": 13}),
    ("a red ball rolls right and hits a blue box on a field", {"seed": 4}),
]
BOARD = [
    ("a red ball rolls right on a field", 2),
    ("a red ball hits a blue box", 1.5),
    ("a blue box slides right", 1.5),
    ("a red ball stops", 1),
]


class Server:
    """`kinema serve` with its first key."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "kinema.cli.main", "serve", "--port", "0", "--data", str(folder / "data")]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", self.process.stdout.readline())
        if found is None:
            sys.exit((folder / "log").read_text()[-2000:])
        self.process.stdout.readline()
        self.url, self.key = found.group(), (folder / "data" / "first-key").read_text().strip()
        self.client = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=120)
        while self.client.get("/readyz").status_code != 200:
            time.sleep(0.2)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def film(self, path: str = "", **body: Any) -> str:
        """A clip, made; its id."""
        id = str(self.post(f"/v1/videos{path}", **body)["id"])
        while (video := self.client.get(f"/v1/videos/{id}").json())["status"] not in ("completed", "failed"):
            time.sleep(0.2)
        assert video["status"] == "completed", video["error"]
        return id


@contextmanager
def served() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait()


class Studio:
    """Windows of one browser, signed in."""

    def __init__(self, browser: Browser, server: Server, out: Path) -> None:
        self.browser, self.server, self.out = browser, server, out

    def open(self, *, scheme: str = "dark", **options: Any) -> Page:
        context = self.browser.new_context(**{"viewport": DESK, "color_scheme": scheme, **options})
        page = context.new_page()
        page.goto(f"{self.server.url}/#key={self.server.key}")
        page.get_by_test_id("nav-create").wait_for()
        return page

    def go(self, page: Page, *parts: str) -> None:
        page.evaluate("hash => { location.hash = hash; }", f"#/{'/'.join(parts)}")

    def keep(self, page: Page, room: str) -> None:
        """What the page shows, once its pictures are there, as a JPEG of at most LARGEST bytes."""
        page.wait_for_load_state("networkidle")
        picture = Image.open(io.BytesIO(page.screenshot(scale="css"))).convert("RGB")
        page.context.close()
        for quality in range(QUALITY, 30, -6):
            made = io.BytesIO()
            picture.save(made, "JPEG", quality=quality, subsampling=0, optimize=True, progressive=True)
            if made.tell() <= LARGEST:
                break
        path = self.out / f"studio-{room}.jpg"
        path.write_bytes(made.getvalue())
        print(f"{path}: {picture.width}x{picture.height}, quality {quality}, {made.tell() / 1000:.0f} kB", flush=True)


def show_frame(page: Page, frame: int) -> None:
    """Pause the player on one frame."""
    for _ in range(frame + 1):
        page.get_by_test_id("frame-on").click()
    page.get_by_test_id("scrub").fill(str(frame))


def create(studio: Studio, clips: list[str]) -> None:
    page = studio.open()
    page.get_by_test_id("hold-queue").click()
    for i, prompt in enumerate(("a green robot walks right in a lab", "a yellow car drives left in the snow")):
        studio.server.post("/v1/videos", prompt=prompt, seed=21 + i)
    page.get_by_test_id("prompt").fill("a red ball rolls right and hits a blue box on a field")
    page.get_by_test_id("add-frame").click()
    page.locator(f"[data-testid=pick-clip][data-id={clips[-1]}]").click()
    page.get_by_test_id("use-frame").click()
    page.get_by_test_id("pin").wait_for()
    page.get_by_test_id("picture-at").fill("2.5")
    page.get_by_test_id("add-frame").click()
    page.locator(f"[data-testid=pick-clip][data-id={clips[-1]}]").click()
    page.get_by_test_id("frame-dialog").get_by_test_id("scrub").fill("40")
    page.get_by_test_id("use-frame").click()
    page.get_by_test_id("pin").nth(1).wait_for()
    page.get_by_test_id("seed").fill("7")
    page.get_by_test_id("job").nth(1).wait_for()
    page.get_by_test_id("estimate").locator("dl").wait_for()
    show_frame(page, 20)
    studio.keep(page, "create")
    studio.server.post("/v1/queue/resume")
    while studio.server.client.get("/v1/queue").json()["data"]:
        time.sleep(0.2)


def gallery(studio: Studio, clips: list[str]) -> None:
    page = studio.open(scheme="light")
    studio.go(page, "gallery")
    thumb = page.locator(f"[data-testid=thumb][data-id={clips[-1]}]")
    thumb.hover()
    page.wait_for_timeout(500)
    thumb.hover(position={"x": 130, "y": 60})
    thumb.locator(".sprite").wait_for()
    studio.keep(page, "gallery")


def edit(studio: Studio, clips: list[str]) -> None:
    page = studio.open()
    studio.go(page, "edit", clips[-1])
    page.get_by_test_id("tool-motion").click()
    page.get_by_test_id("entity").first.wait_for()
    show_frame(page, 12)
    page.get_by_test_id("motion-mode").get_by_label("Draws a path").check()
    box = page.get_by_test_id("scene-overlay").bounding_box()
    assert box is not None
    # An arc, as a hand draws it.
    for i in range(25):
        along = i / 24
        spot = (box["x"] + box["width"] * (0.2 + 0.6 * along), box["y"] + box["height"] * (0.75 - 2 * along * (1 - along)))
        page.mouse.move(*spot)
        if i == 0:
            page.mouse.down()
    page.mouse.up()
    page.mouse.move(5, 5)
    studio.keep(page, "edit")


def world(studio: Studio, clips: list[str]) -> None:
    start = {"prompt": "a green robot and a red ball on a field"}
    id = str(studio.server.post("/v1/worlds", start=start, seed=4, name="The green robot")["id"])
    studio.server.post(f"/v1/worlds/{id}/step", action=[1, 0], frames=6)
    for name, action in (("It goes on", [1, 0]), ("It jumps", [0, 1])):
        branch = studio.server.post(f"/v1/worlds/{id}/branch", name=name)["id"]
        studio.server.post(f"/v1/worlds/{branch}/step", action=action, frames=20)
    page = studio.open()
    studio.go(page, "world", id)
    live = page.get_by_test_id("live")
    live.wait_for()
    for question in ("where is the red ball?", "what will happen next?"):
        page.get_by_test_id("talk").fill(question)
        page.get_by_test_id("say").click()
        page.get_by_test_id("talk-log").get_by_text(question).wait_for()
    page.get_by_test_id("world-thing").first.click()
    live.focus()
    page.keyboard.down("ArrowRight")
    page.wait_for_timeout(1000)
    studio.keep(page, "world")


def storyboard(studio: Studio, clips: list[str]) -> None:
    page = studio.open(scheme="light")
    studio.go(page, "storyboard")
    for i, (text, seconds) in enumerate(BOARD):
        if i >= 2:
            page.get_by_test_id("add-card").click()
        page.get_by_test_id("card-text").nth(i).fill(text)
        page.get_by_test_id("card-seconds").nth(i).fill(f"{seconds:g}")
    for i, frame in ((0, 0), (2, 48)):
        page.get_by_test_id("story-card").nth(i).get_by_test_id("card-frame").click()
        page.locator(f"[data-testid=pick-clip][data-id={clips[-1]}]").click()
        page.get_by_test_id("frame-dialog").get_by_test_id("scrub").fill(str(frame))
        page.get_by_test_id("use-frame").click()
        page.get_by_test_id("story-card").nth(i).locator(".story-picture img").wait_for()
    page.get_by_test_id("film-board").wait_for()
    page.locator(".slate dl").wait_for()
    studio.keep(page, "storyboard")


def phone(studio: Studio, clips: list[str]) -> None:
    page = studio.open(viewport=PHONE, is_mobile=True, has_touch=True)
    studio.go(page, "gallery")
    page.get_by_test_id("card").nth(3).wait_for()
    studio.keep(page, "phone")


ROOMS: dict[str, Callable[[Studio, list[str]], None]] = {
    "create": create, "gallery": gallery, "edit": edit, "world": world, "storyboard": storyboard, "phone": phone,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"), metavar="DIR")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=ROOMS,
        default=["create"],
        metavar="ROOM",
        help=f"which rooms, of {', '.join(ROOMS)}; by default the one that the documentation shows",
    )
    told = parser.parse_args(arguments)
    told.out.mkdir(parents=True, exist_ok=True)
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    with served() as server, sync_playwright() as playwright:
        clips = [server.film(prompt=prompt, **settings) for prompt, settings in FILMS]
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        studio = Studio(browser, server, told.out)
        for room in told.only:
            ROOMS[room](studio, clips)
        browser.close()


if __name__ == "__main__":
    main()
