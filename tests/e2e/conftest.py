"""A server as users start it: `kinema serve` in a process of its own, on a free port and a fresh folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page
    from tests.e2e.browser import Watched

pytest.importorskip("fastapi", reason="needs kinema[serve]")

import httpx


@dataclass
class Running:
    """A server process, where it is and its first key."""

    process: subprocess.Popen[str]
    url: str
    key: str
    data: Path
    log: Path

    def http(self, key: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {key or self.key}"}, timeout=60)

    def wait(self, id: str, seconds: float = 90.0) -> dict[str, object]:
        """A video when it has ended."""
        end = time.monotonic() + seconds
        with self.http() as client:
            while time.monotonic() < end:
                video: dict[str, object] = client.get(f"/v1/videos/{id}").json()
                if video["status"] in ("completed", "failed"):
                    return video
                time.sleep(0.05)
        raise AssertionError(f"{id} did not end in {seconds} s")


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds. (The pages' policy forbids what `Page.wait_for_function` does.)"""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.05)


def start(data: Path, *flags: str, port: int = 0, key: str = "", env: dict[str, str] | None = None) -> Running:
    """`kinema serve`, and what it says when it is there. env: further variables."""
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.parent / f"{data.name}.log"
    command = [
        sys.executable,
        "-m",
        "kinema.cli.main",
        "serve",
        "--data",
        str(data),
        "--port",
        str(port),
        "--threads",
        "1",
        *flags,
    ]
    with log.open("a") as sink:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )
    assert process.stdout is not None
    url = (re.findall(r"http://[\d.]+:\d+", process.stdout.readline()) or [""])[0]
    assert url, log.read_text()[-2000:]
    assert process.stdout.readline()
    key = key or (data / "first-key").read_text().strip()
    running = Running(process=process, url=url, key=key, data=data, log=log)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return running
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the server was not ready: {log.read_text()[-2000:]}")


def stop(running: Running) -> int:
    running.process.terminate()
    code = running.process.wait(40)
    if running.process.stdout is not None:
        running.process.stdout.close()
    return code


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("served") / "data", "--allow-private-webhooks")
    yield running
    stop(running)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import Error, sync_playwright

    executable = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    with sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"no browser: install chromium, or run `playwright install chromium` ({str(error).splitlines()[0]})")
        yield opened
        opened.close()


Opens = Callable[..., "Watched"]


@pytest.fixture
def opens(browser: Browser) -> Iterator[Opens]:
    """Opens isolated windows; at the end no unexpected error may have occurred in any of them."""
    from tests.e2e.browser import Watched

    contexts: list[BrowserContext] = []
    windows: list[Watched] = []

    def opened(**options: Any) -> Watched:
        contexts.append(browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options}))
        windows.append(Watched(contexts[-1]))
        return windows[-1]

    yield opened
    for context in contexts:
        context.close()
    for window in windows:
        window.check()


@pytest.fixture
def studio(opens: Opens, server: Running) -> Page:
    """The Studio, signed in."""
    from tests.e2e.browser import signed_in

    return signed_in(opens(), server)


@pytest.fixture(scope="module")
def clips(server: Running) -> dict[str, dict[str, Any]]:
    """Two clips, made without the Studio."""
    from tests.e2e.browser import QUICK

    prompts = {"ball": "a cyan ball rolls right on a field", "box": "a pink box slides left in the snow"}
    with server.http() as client:
        sent = {k: client.post("/v1/videos", json={"prompt": prompt, **QUICK}).json()["id"] for k, prompt in prompts.items()}
    made = {k: server.wait(id) for k, id in sent.items()}
    assert all(video["status"] == "completed" for video in made.values())
    return made
