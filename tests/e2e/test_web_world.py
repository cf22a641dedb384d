"""A world as static files in a real browser: its step is Python's, and it is played by keys without a network."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install -e '.[dev]'")

from playwright.sync_api import Page, expect
from tests.e2e.browser import PHONE
from tests.e2e.conftest import Opens, until
from tests.envs.web_worlds import live_noise, lively, noise_of, tiny_world

from kinema.envs.recorded import RecordedWorld
from kinema.envs.starts import starts_of
from kinema.envs.web import export_live_web, export_web, fetch_runtime
from kinema.envs.web.live import SIZE
from kinema.envs.web.live_graphs import float32_copy
from kinema.errors import InputError
from kinema.models.hub import load_slot_model
from kinema.simulation.world import World
from kinema.training.caches import cache_folder

BUTTONS = (
    ("left", "←"), ("right", "→"), ("forward", "↑"), ("pickup", "3"), ("drop", "4"), ("toggle", "space"), ("done", "6"),
)  # fmt: skip
LOG_FRAMES = """() => {
  window.frames_seen = {};
  const seen = () => (window.frames_seen[document.body.dataset.frame] = document.getElementById("picture").toDataURL());
  new MutationObserver(seen).observe(document.body, { attributes: true, attributeFilter: ["data-frame"] });
}"""
ROLL = """async ({ which, noise, actions }) => {
  const ort = await import("./runtime/ort.wasm.min.mjs");
  const { World, unpack } = await import("./world.js");
  const { LiveWorld } = await import("./live.js");
  ort.env.wasm.wasmPaths = new URL("./runtime/", location.href).href;
  ort.env.wasm.numThreads = 1;
  const about = await (await fetch("world.json")).json();
  const arrays = unpack(await (await fetch("beginnings.bin")).arrayBuffer(), about.data);
  const network = async (name) => {
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: about.optimization };
    const session = await ort.InferenceSession.create(name, options);
    return async (inputs) => {
      const feeds = Object.entries(inputs).map(([key, { type, dims, data }]) => [key, new ort.Tensor(type, data, dims)]);
      const outputs = Object.entries(await session.run(Object.fromEntries(feeds)));
      return Object.fromEntries(outputs.map(([key, tensor]) => [key, tensor.data]));
    };
  };
  const [step, decoder] = [await network("step.onnx"), await network("decoder.onnx")];
  const live = about.kind === "live";
  const first = live ? 1 : arrays.video.shape[1];
  const floats = (given) => Array.isArray(given) ? Float32Array.from(given)
    : Object.fromEntries(Object.entries(given).map(([name, values]) => [name, floats(values)]));
  const world = new (live ? LiveWorld : World)(about, arrays, step, { noise: (index) => floats(noise[index - first]) });
  await world.begin(which);
  const rolled = [];
  for (const action of actions) {
    const frame = await world.step(Float32Array.from(action));
    const { picture } = await decoder(world.drawn(frame));
    rolled.push({
      picture: [...picture], reward: frame.reward, probability: frame.probability, numbers: frame.numbers,
    });
  }
  return rolled;
}"""


@pytest.fixture(scope="module")
def runtime() -> Path:
    for name in ("onnx", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'kinema[web]'")
    try:
        return fetch_runtime(cache_folder() / "npm")
    except InputError as error:
        pytest.skip(f"no runtime for the browser: {error}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory.mktemp("world"), "MiniGrid-Empty-5x5-v0")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """The server of `python -m http.server`, without its log."""

    def log_message(self, format: str, *given: Any) -> None:
        pass


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def page_url(trained: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page") / "world"
    export_web(lively(trained, ends=False), folder, runtime=runtime)
    server = serve(folder)
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def begun(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("body[data-ready]")).to_be_attached(timeout=60_000)
    return page


def frame_of(page: Page) -> int:
    return int(page.locator("body").get_attribute("data-frame") or -1)


def held(page: Page, key: str, frames: int) -> dict[str, str]:
    """Restart, hold a key for so many frames; the pictures of all frames by their numbers."""
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.evaluate("() => { window.frames_seen = {}; }")
    first = frame_of(page)
    page.keyboard.down(key)
    until(lambda: frame_of(page) >= first + frames)
    page.keyboard.up(key)
    page.keyboard.press("Escape")
    seen: dict[str, str] = page.evaluate("() => window.frames_seen")
    return {number: picture for number, picture in seen.items() if int(number) <= first + frames}


def picture_of(page: Page) -> str:
    return str(page.evaluate("() => document.getElementById('picture').toDataURL()"))


def test_it_is_played_by_keys_and_nothing_is_loaded_from_elsewhere(opens: Opens, page_url: str) -> None:
    window = opens()
    page, asked = window.page, []
    page.on("request", lambda request: asked.append(request.url))
    begun(page, page_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("world-recording")
    expect(page.locator("#about")).to_contain_text("recorded frames")
    expect(page.locator("#task")).to_have_text("Task: get to the green goal square")
    expect(page.locator("#buttons button")).to_have_text([name + cap for name, cap in BUTTONS])
    page.evaluate(LOG_FRAMES)
    first, begin_frame = picture_of(page), frame_of(page)
    left, right, again = held(page, "ArrowLeft", 30), held(page, "ArrowRight", 30), held(page, "0", 30)
    assert {str(begin_frame + i) for i in range(1, 31)} <= left.keys()
    assert left == again, "the same actions from the same seed are the same frames, and 0 is the key of the first action"
    assert sum(left[number] != right[number] for number in left) > 25
    assert len(set(left.values())) > 25
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert picture_of(page) != first
    page.keyboard.press("Backspace")
    until(lambda: picture_of(page) == first)
    assert frame_of(page) == begin_frame
    page.get_by_role("button", name="Beginning 2", exact=True).click()
    until(lambda: page.locator("body").get_attribute("data-ready") == "1")
    assert picture_of(page) != first
    assert asked and all(url.startswith(page_url) for url in asked), asked


def test_it_is_played_by_touch_on_a_phone(opens: Opens, page_url: str) -> None:
    page = begun(opens(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark").page, page_url)
    first = frame_of(page)
    page.get_by_role("button", name="forward").tap()
    until(lambda: frame_of(page) > first + 3)
    page.get_by_role("button", name="Pause").tap()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"], "nothing lies beside the page"


def test_a_roll_in_the_browser_is_that_of_python(opens: Opens, trained: Path, page_url: str) -> None:
    model = lively(trained, ends=False)
    rolled = RecordedWorld(model, seed=3)
    starts, rows = starts_of(model), rolled._usable[:1]
    rolled._frame_states = rolled._initial_states({name: x[rows] for name, x in starts.items()}, np.arange(1), 0.0)
    noise, actions, pictures, told = [], [], [], []
    for action in np.random.default_rng(1).integers(7, size=20):
        noise.append(noise_of(rolled).ravel().tolist())
        rolled.go(int(action))
        actions.append(rolled._frame_states[-2].tracks["action"][0].tolist())
        pictures.append(rolled.frame)
        told.append((rolled.reward, rolled.numbers))
    page = begun(opens().page, page_url)
    made = page.evaluate(ROLL, {"which": 0, "noise": noise, "actions": actions})
    for one, picture, (reward, numbers) in zip(made, pictures, told, strict=True):
        shown = np.array(one["picture"], int).reshape(*picture.shape[:2], 4)[..., :3]
        assert np.abs(shown - picture.astype(int)).max() <= 1
        assert abs(one["reward"] - reward) < 1e-3 and one["probability"] == 0
        assert [name for name, _ in one["numbers"]] == list(numbers)
        assert np.abs(np.array([value for _, value in one["numbers"]]) - np.array(list(numbers.values()))).max() < 1e-2


@pytest.mark.slow
def test_a_live_world_is_played_by_arrow_keys_and_is_that_of_python(opens: Opens, runtime: Path, tmp_path: Path) -> None:
    """By the model that ships: pictures of an untrained one hardly show its state."""
    live, text = float32_copy(load_slot_model("kinema-tiny", device="cpu")), "a green robot and a red ball on a field"
    export_live_web(live, tmp_path / "page", runtime=runtime, texts=[text])
    stepped = World(live, text, seed=0, size=SIZE)
    noise, actions, pictures = [], [], []
    for action in np.random.default_rng(3).uniform(-1, 1, (36, 2)).astype(np.float32):
        noise.append({name: x.ravel().tolist() for name, x in live_noise(stepped).items()})
        actions.append(action.tolist())
        pictures.append(stepped._advance(1, action).frame)
    server = serve(tmp_path / "page")
    try:
        page = begun(opens().page, f"http://127.0.0.1:{server.server_port}/")
        expect(page.locator("#task")).to_have_text(f"Begun as: {text}")
        expect(page.locator("#reward")).to_be_hidden()
        page.evaluate(LOG_FRAMES)
        left, again, right = held(page, "ArrowLeft", 12), held(page, "ArrowLeft", 12), held(page, "ArrowRight", 12)
        assert left == again and left != right
        made = page.evaluate(ROLL, {"which": 0, "noise": noise, "actions": actions})
    finally:
        server.shutdown()
        server.server_close()
    for one, picture in zip(made, pictures, strict=True):
        shown = np.array(one["picture"], int).reshape(*picture.shape[:2], 4)[..., :3]
        assert np.abs(shown - picture.astype(int)).max() <= 1


def test_an_episode_that_ends_says_so(opens: Opens, trained: Path, runtime: Path, tmp_path: Path) -> None:
    export_web(lively(trained, ends=True), tmp_path / "page", runtime=runtime)
    server = serve(tmp_path / "page")
    try:
        page = begun(opens().page, f"http://127.0.0.1:{server.server_port}/")
        first, begin_frame = picture_of(page), frame_of(page)
        page.keyboard.press("ArrowUp")
        expect(page.locator("#cover")).to_contain_text("The episode has ended after 0.1 s")
        assert frame_of(page) == begin_frame + 1
        page.keyboard.press("ArrowUp")
        page.get_by_role("button", name="Restart").click()
        until(lambda: picture_of(page) == first)
        expect(page.locator("#cover")).to_contain_text("Press a key to play")
        assert frame_of(page) == begin_frame
    finally:
        server.shutdown()
        server.server_close()
    # What cannot be loaded is said on the page.
    (tmp_path / "page" / "step.onnx").unlink()
    server = serve(tmp_path / "page")
    try:
        window = opens()
        window.provoked.append("404")
        window.page.goto(f"http://127.0.0.1:{server.server_port}/")
        expect(window.page.locator("#cover")).to_contain_text("cannot be played here: step.onnx could not be loaded (404)")
    finally:
        server.shutdown()
        server.server_close()
