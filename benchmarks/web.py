"""How fast a world plays in a browser: python -m benchmarks.web WORLD... [--runtime FILE] [--write]

Each WORLD, a folder that `kinema train world` made or a model such as kinema-tiny, is exported as `kinema export web` does, served
by Python's http.server and opened in Chromium without a window. Steps are asked of the page's own worker as fast as it answers (a
step is the network, the decoder and the way there and back), in rounds that alternate with the same number of steps of the same
world with their pictures in Python on one thread. Browser and Python are bound to the same core, then both to two. Then the page
plays for some seconds, at the world's own rate. --write puts the table into docs/measurements/web.md.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT

from kinema.envs.recorded import RecordedWorld, recorded_model
from kinema.envs.starts import STARTS
from kinema.envs.web import WebExport, export_live_web, export_web, fetch_runtime
from kinema.envs.web.live import BEGINNINGS, SIZE
from kinema.models.hub import load_slot_model
from kinema.simulation.world import World, usual_fps
from kinema.statistics import mean_interval
from kinema.training.caches import cache_folder

BAR_FPS = 16.0
ROUNDS, STEPS, WARM = 6, 25, 5
"""Rounds of so many steps each; the first steps of each are not counted."""
PLAY_S = 6.0
STEPPED = """async (count) => {
  if (!window.steps) {
    const worker = new Worker("worker.js", { type: "module" });
    const ask = (given) => new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
      worker.postMessage({ id: 1, ...given });
    });
    const about = await (await fetch("world.json")).json();
    await ask({ do: "load", seed: 1 });
    await ask({ do: "begin", which: 0 });
    window.steps = async () => {
      const begun = performance.now();
      await ask({ do: "step", action: about.controls.idle });
      return performance.now() - begun;
    };
  }
  const took = [];
  for (let i = 0; i < count; i += 1) took.push(await window.steps());
  return took;
}"""
PLAYED = """async (seconds) => {
  let count = 0;
  const observer = new MutationObserver(() => (count += 1));
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-frame"] });
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  observer.disconnect();
  return (1000 * count) / (performance.now() - begun);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """The server of `python -m http.server`, without its log."""

    def log_message(self, format: str, *given: Any) -> None:
        pass


@dataclass(kw_only=True)
class Timing:
    """Milliseconds of single steps."""

    world: str
    where: str
    cores: int
    ms: list[float]
    processor_ms: float = 0.0
    """Of all steps together, also those that are not counted, by all processes that took part."""
    played_fps: float | None = None

    def row(self) -> str:
        """One row of the table."""
        mean, low, high = mean_interval(self.ms)
        fps = 1000.0 / mean
        met = "" if self.where != "Chromium" else "yes" if fps >= BAR_FPS else "**no**"
        played = "" if self.played_fps is None else f"{self.played_fps:.1f}"
        each = self.processor_ms / (ROUNDS * (WARM + STEPS))
        return (
            f"| {self.world} | {self.where} | {self.cores} | {mean:.1f} [{low:.1f}, {high:.1f}]"
            f" | {np.percentile(self.ms, 10):.1f} | {each:.1f} | {fps:.1f} [{1000 / high:.1f}, {1000 / low:.1f}]"
            f" | {played} | {len(self.ms)} | {met} |"
        )


def python_steps(step: Callable[[], object], count: int) -> list[float]:
    """Milliseconds of so many steps with their pictures."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        step()
        took.append(1000 * (time.perf_counter() - begun))
    return took


def browser_ms() -> float:
    """Processor time in milliseconds that the browser's processes have taken so far: all that this process has begun."""
    parents, taken = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(status.parent.name)
        parents[number], taken[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours, before = {os.getpid()}, 0
    while len(ours) != before:
        before = len(ours)
        ours |= {number for number, parent in parents.items() if parent in ours}
    return 1000.0 * sum(taken.get(number, 0) for number in ours - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


def exported(source: str, folder: Path, runtime: Path) -> tuple[str, WebExport, Callable[[], Callable[[], object]]]:
    """The name of a world in the table, what was written, and what begins it in Python and returns its step."""
    given = next((one for one in (Path(source), Path(source) / "world") if (one / STARTS).is_file()), None)
    if given is None:
        live = load_slot_model(source, device="cpu")
        made = export_live_web(live, folder, runtime=runtime)

        def begin_live() -> Callable[[], object]:
            world = World(live, BEGINNINGS[0], fps=usual_fps(live.config), size=SIZE)
            return lambda: world.step((0.0, 0.0))

        return f"{live.config.name}, {SIZE[1]}x{SIZE[0]}, {usual_fps(live.config):g} fps", made, begin_live
    model = recorded_model(given, "cpu")
    about = model.config.world or {}
    entities = ", entities" if about["sensors"].get("names") else ""

    def begin() -> Callable[[], object]:
        world = RecordedWorld(model, seed=1)
        return lambda: (world.go(world.idle), world.frame)

    name = f"{model.config.name}, {about['size'][1]}x{about['size'][0]}, {about['fps']:g} fps{entities}"
    return name, export_web(model, folder, runtime=runtime), begin


def measure(name: str, begin: Callable[[], Callable[[], object]], url: str, playwright: Any) -> list[Timing]:
    """The timings of one world on one core and on two."""
    everywhere, made = sorted(os.sched_getaffinity(0)), []
    executable = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    for cores in sorted({1, min(2, len(everywhere))}):
        os.sched_setaffinity(0, everywhere[-cores:])
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(url)
            page.locator("body[data-ready]").wait_for(state="attached", timeout=120_000)
            step = begin()
            there, here = (Timing(world=name, where=where, cores=cores, ms=[]) for where in ("Chromium", "Python"))
            for _ in range(ROUNDS):
                page.evaluate(STEPPED, 1)  # the first one loads the networks
                before = browser_ms()
                there.ms += page.evaluate(STEPPED, WARM + STEPS)[WARM:]
                there.processor_ms += browser_ms() - before
                before = 1000 * time.process_time()
                here.ms += python_steps(step, WARM + STEPS)[WARM:]
                here.processor_ms += 1000 * time.process_time() - before
            page.locator("#play").click()
            there.played_fps = page.evaluate(PLAYED, PLAY_S)
            browser.close()
            made += [there, here]
        finally:
            os.sched_setaffinity(0, everywhere)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="+", metavar="WORLD")
    parser.add_argument("--runtime", type=Path, help="the npm package onnxruntime-web (default: fetched by npm, once)")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    torch.set_num_threads(1)
    runtime = arguments.runtime or fetch_runtime(cache_folder() / "npm")
    rows: list[Timing] = []
    sizes, version, loads = [], "", [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        for i, source in enumerate(arguments.worlds):
            folder = Path(scratch) / str(i)
            name, made, begin = exported(source, folder, runtime)
            squeezed = sum(len(gzip.compress(path.read_bytes(), 6)) for path in folder.rglob("*") if path.is_file())
            sizes.append(f"| {name} | {made.bytes / 1e6:.1f} MB | {squeezed / 1e6:.1f} MB | {made.beginnings} |")
            version = made.runtime
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            rows += measure(name, begin, f"http://127.0.0.1:{server.server_port}/", playwright)
            loads.append(os.getloadavg()[0])
            server.shutdown()
            print(*(row.row() for row in rows[-4:]), sizes[-1], sep="\n", flush=True)
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None),
            args=["--no-sandbox"],
        )
        chromium = browser.version
        browser.close()
    lines = [
        "# Worlds in a browser", "",
        f"`python -m benchmarks.web WORLD... --write`, {date.today()}, {machine()}, Chromium {chromium} without a window,"
        f" onnxruntime-web {version} (WebAssembly with SIMD, one thread), torch {torch.__version__} on one thread", "",
        f"The machine's load was {min(loads):.1f} to {max(loads):.1f}; above {os.cpu_count()}, others computed on it and took"
        " their share. A step is the network, the decoder and the way to the worker and back; the mean has a 95% interval under"
        " resampling of the steps. The fastest tenth of the steps took at most the time in the next column. Processor ms: what a"
        " step takes of a processor, in all processes of the browser, about what it would last on a machine of its own. The bar is"
        f" {BAR_FPS:g} frames a second. Played: frames that the page showed in a second while it played, at most the world's own"
        " rate. Python computes in its usual number format there, bfloat16 where the processor has it.", "",
        "| world | where | cores | ms a step | fastest tenth | processor ms | frames a second | played | n | bar met |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(row.row() for row in rows), "",
        "The folder, of which the runtime is 14.3 MB, and what a host that compresses sends of it:", "",
        "| world | folder | compressed | beginnings |", "|---|---|---|---|", *sizes, "",
    ]  # fmt: skip
    if arguments.write:
        (ROOT / "docs" / "measurements" / "web.md").write_text("\n".join(lines))
    slow = [row for row in rows if row.where == "Chromium" and 1000.0 / float(np.mean(row.ms)) < BAR_FPS]
    return int(bool(slow))


if __name__ == "__main__":
    run_benchmark(main)
