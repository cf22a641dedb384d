"""Open models as engines: the same frames, what the server costs, and what happens when processes die: python -m benchmarks.engines

    same       films of the engine beside those of the plain pipeline with the same seeds
    tiny       a tiny film through the server beside the plain pipeline, and a long one whose steps sleep
    cancel     how many steps pass until a cancelled film has ended
    drift      colors and sharpness over ten chained parts that shift, with the guard on and off
    faults     engines that hang, run out of memory, and leak
    kills      random kill -9 of engine, worker and server for --minutes
    upstream   random kill -9 of both servers and of workers while another server films, and lost answers, for --minutes
    batch      four films of one shape in one pass beside one by one
    families   which families film in the tests, and in how many workflows

All on a tiny Wan of random weights, on this machine. --parts names some, --write keeps the page.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.serving import Row, ended, server, talk, wait_for, yes
from benchmarks.upstream_kills import upstream

from kinema import api
from kinema.engines import host
from kinema.engines.compose import Parts, film_workflow
from kinema.engines.diffusers import hooks
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.families import FAMILIES
from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.opening import capabilities_for, open_engine
from kinema.engines.protocol import Cancelled, Capabilities, FilmRequest, FrameRule
from kinema.engines.registry import ModelEntry, save_entry
from kinema.errors import EngineError, ModelError
from kinema.media import Clip
from kinema.server.auth import Auth
from kinema.server.settings import Settings
from kinema.server.storage.database import Database
from kinema.statistics import mean_interval

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "engines.md"
PARTS = ("families", "same", "tiny", "batch", "cancel", "drift", "faults", "kills", "upstream")
SMALL = {"prompt": "a red ball", "seconds": 1, "size": "64x48", "steps": 2}
REQUEST = FilmRequest(workflow="generate", prompt="a red ball", seconds=1.0, size="64x48", steps=2)
LONG_STEP_S, LONG_STEPS = 2.0, 30
RUN = host.run_engine


def bench_engine(pipe: Any, entry: ModelEntry, device: str, parent: int) -> None:
    """As `run_engine`, with an engine that does what the first word of a prompt says."""
    host.open_engine = lambda entry, device: Faulty(open_engine(entry, device=device))  # type: ignore[assignment, misc]
    RUN(pipe, entry, device, parent)


class Faulty:
    """An engine whose steps sleep ("sleep SECONDS ..."), or that hangs, runs out of memory or leaks 50 MB a film."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.leaked = engine, []
        self.step = hooks.StepHooks.step

    def film(self, request: FilmRequest, *more: Any) -> list[Clip]:
        word, _, rest = request.prompt.partition(" ")
        if word == "hang":
            time.sleep(3600)
        if word == "memory":
            np.ones(1 << 50)
        if word == "leak":
            self.leaked.append(np.ones(50_000_000, np.uint8))
        pause_s = float(rest.split()[0]) if word == "sleep" else 0.0

        def slow(hook: Any, *arguments: Any, **named: Any) -> Any:
            time.sleep(pause_s)
            return self.step(hook, *arguments, **named)

        hooks.StepHooks.step = slow  # type: ignore[method-assign]
        return list(self.engine.film(request, *more))


def work(data: str) -> None:
    """A worker with such engines."""
    from kinema.server.jobs.worker import Worker

    host.run_engine = bench_engine
    worker = Worker(Settings(data=Path(data), threads=1, stall_s=60.0), lease_s=4.0)
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    worker.run()
    worker.close()


class WorkerProcess:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.start()

    def start(self) -> None:
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(str(self.data),))
        self.process.start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(20)
        self.process.kill()

    def engines(self) -> list[int]:
        """Ids of its engines' processes."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
                if parent == self.process.pid and b"spawn_main" in (path.parent / "cmdline").read_bytes():
                    found.append(int(path.parent.name))
        return found


def resident(pid: int | None) -> float:
    """MB of memory of a process."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000
    return 0.0


@contextmanager
def place(entry: ModelEntry) -> Iterator[tuple[httpx.Client, WorkerProcess]]:
    """A server with one worker of such engines, in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="kinema-bench-") as folder,
        server(Path(folder), "--workers", "0") as (url, key, _),
    ):
        worker = WorkerProcess(Path(folder))
        try:
            yield talk(url, key), worker
        finally:
            worker.stop()


def ask(client: httpx.Client, **given: Any) -> str:
    return str(client.post("/v1/videos", json={"model": "wan", **SMALL, **given}).raise_for_status().json()["id"])


def spread(values: Sequence[float], unit: str, digits: int = 0) -> str:
    mean, low, high = mean_interval(values)
    return f"{mean:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f}, n {len(values)})"


def plain(entry: ModelEntry) -> Any:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(entry.source)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def filmed_plainly(pipeline: Any, engine: DiffusersEngine, seed: int, steps: int = 2) -> np.ndarray[Any, Any]:
    known = engine.capabilities
    frames = pipeline(
        prompt="a red ball", height=48, width=64, num_frames=known.plan(1.0, None, "64x48").frames, num_inference_steps=steps,
        guidance_scale=known.guidance, generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
        **dict(engine.entry.arguments),
    ).frames[0]  # fmt: skip
    return np.rint(frames.clip(0, 1) * 255).astype(np.uint8)


def families(entry: ModelEntry) -> list[Row]:
    """Those of the table with tiny models that the tests film, and the workflows that those have."""
    tested = [family for family in FAMILIES if family.tiny]
    names = [name for family in tested for name in family.tiny]
    workflows = 0
    with tempfile.TemporaryDirectory(prefix="kinema-tiny-") as folder:
        for name in names:
            one = ModelEntry(name=name, source=str(make_tiny(name, Path(folder) / name)))
            with suppress(ModelError):
                workflows += len(capabilities_for(one).workflows)
    modular = sum(bool(family.modular) for family in tested)
    measured = (
        f"{len(tested)} of {len(FAMILIES)} ({modular} of them also modular), {len(names)} tiny models, {workflows} workflows"
    )
    return [("families that film in the tests, every workflow", ">= 16", measured, yes(len(tested) >= 16))]


def batch(entry: ModelEntry) -> list[Row]:
    """Four films of one shape in one pass of the pipeline, beside one after another."""
    asked = replace(REQUEST, further=tuple(("a red ball", seed) for seed in (1, 2, 3)), steps=8)
    took: dict[int, list[float]] = {1: [], 4: []}
    engines = {size: DiffusersEngine(replace(entry, batch=size), device="cpu") for size in took}
    for engine in engines.values():
        engine.film(asked)
    for _ in range(8):
        for size, engine in engines.items():
            begun = time.perf_counter()
            engine.film(asked)
            took[size].append(time.perf_counter() - begun)
    ratios = [one / many for one, many in zip(took[1], took[4], strict=True)]
    return [("four films of one shape in one pass", "", f"{spread(ratios, 'times as fast', 2)}", "")]


def same(entry: ModelEntry) -> list[Row]:
    engine, pipeline = DiffusersEngine(entry, device="cpu"), plain(entry)
    equal = 0
    for seed in range(10):
        made = engine.film(replace(REQUEST, seed=seed))[0].frames
        equal += np.array_equal(made, filmed_plainly(pipeline, engine, seed)[: len(made)])
    return [("frames of engine and plain pipeline", "identical", f"{equal} of 10 seeds", yes(equal == 10))]


def tiny(entry: ModelEntry) -> list[Row]:
    engine, pipeline = DiffusersEngine(entry, device="cpu"), plain(entry)
    filmed_plainly(pipeline, engine, 0)
    alone, through = [], []
    with place(entry) as (client, _):
        ended(client, [ask(client)], 120)
        for seed in range(15):
            begun = time.perf_counter()
            filmed_plainly(pipeline, engine, seed)
            alone.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            id = ask(client, seed=seed)
            wait_for(lambda id=id: client.get(f"/v1/videos/{id}").json()["status"] == "completed")  # type: ignore[misc]
            through.append(time.perf_counter() - begun)
        over = [1000 * (b - a) for a, b in zip(alone, through, strict=True)]
        measured = f"{spread(over, 'ms')}; plain {spread([1000 * a for a in alone], 'ms')}"
        rows = [("tiny film: the server over the plain pipeline", "<= 150 ms", measured, yes(float(np.mean(over)) <= 150))]
        stepped = pipeline.scheduler.step

        def slow(*given: Any, **named: Any) -> Any:
            time.sleep(LONG_STEP_S)
            return stepped(*given, **named)

        pipeline.scheduler.step = slow
        begun = time.perf_counter()
        filmed_plainly(pipeline, engine, 0, LONG_STEPS)
        alone_s = time.perf_counter() - begun
        begun = time.perf_counter()
        ended(client, [ask(client, prompt=f"sleep {LONG_STEP_S} s", steps=LONG_STEPS)], 300)
        took_s = time.perf_counter() - begun
    percent = 100 * (took_s / alone_s - 1)
    measured = f"{percent:+.1f}% ({took_s:.1f} s beside {alone_s:.1f} s, n 1)"
    rows.append((f"long film, {LONG_STEPS} steps of {LONG_STEP_S:g} s", "<= 1%", measured, yes(percent <= 1)))
    return rows


def cancel(entry: ModelEntry) -> list[Row]:
    host.run_engine = bench_engine
    engine = host.EngineProcess(entry, device="cpu")
    step_s, passed, warm = 0.3, [], True
    try:
        engine.film(REQUEST)
        pid = engine.process_id
        for i in range(12):
            at = random.Random(i).uniform(0.4, 1.5)
            begun = time.perf_counter()

            def late(begun: float = begun, at: float = at) -> bool:
                return time.perf_counter() - begun > at

            with suppress(Cancelled):
                engine.film(replace(REQUEST, prompt=f"sleep {step_s}", steps=50), cancelled=late)
            passed.append((time.perf_counter() - begun - at) / step_s)
        warm = engine.process_id == pid
    finally:
        engine.close()
        host.run_engine = RUN
    measured = f"{spread(passed, 'steps', 2)}, at most {max(passed):.2f}, of {step_s:g} s; same process: {yes(warm)}"
    return [("from cancelling to the end of the film", "one step", measured, yes(max(passed) <= 1.5 and warm))]


def sharpness(frames: np.ndarray[Any, Any]) -> float:
    gray = frames.astype(np.float64).mean(-1)
    edges = 4 * gray[:, 1:-1, 1:-1] - gray[:, :-2, 1:-1] - gray[:, 2:, 1:-1] - gray[:, 1:-1, :-2] - gray[:, 1:-1, 2:]
    return float(edges.var())


def drift(entry: ModelEntry) -> list[Row]:
    """The primitive repeats its first picture, moved by a pixel a frame, with colors and contrast a little off in each pass."""
    capabilities = Capabilities(
        model="drifting", engine="test", family="test", workflows=("generate", "image"), size=(64, 48), fps=8.0, seconds=1.0,
        frames=FrameRule(most=9),
    )  # fmt: skip
    rows: list[Row] = []
    for guard in (False, True):
        colors, sharp = [], []
        for seed in range(10):
            x = np.random.default_rng(seed).uniform(0, 255, (12, 16, 3)).repeat(4, 0).repeat(4, 1)

            def primitive(one: FilmRequest, plan: Any, x: Any = x, seed: int = seed) -> Clip:
                first = one.pictures[0][0].frames[0].astype(np.float64) if one.pictures else 0.6 * x + 50
                pass_ = np.random.default_rng(1000 * seed + one.seed)
                drawn = (first - 128) * 0.97 + 128 + np.array([4.0, -1.0, -3.0]) + pass_.normal(0, 0.5, 3)
                made = np.stack([np.roll(drawn, i, 1) for i in range(plan.frames)])
                return Clip(frames=made.round().clip(0, 255).astype(np.uint8), fps=plan.fps)

            parts = Parts(capabilities=capabilities, primitive=primitive, primitives=("generate", "image"), guard=guard)
            clip = film_workflow(parts, FilmRequest(workflow="generate", seconds=81 / 8, size="64x48", seed=0))
            means = clip.frames.astype(np.float64).mean((1, 2))
            colors.append(float(np.abs(means[-1] - means[0]).mean()))
            sharp.append(sharpness(clip.frames[-1:]) / sharpness(clip.frames[:1]))
        measured = f"colors {spread(colors, 'of 255', 1)}; sharpness x{spread(sharp, 'of the first', 2)}"
        rows.append((f"ten chained parts, guard {'on' if guard else 'off'}", "", measured, ""))
    return [*rows, own_drift()]


def own_drift() -> Row:
    """`kinema-tiny` itself: one second, and ten more, each filmed on from the end of the one before."""
    colors, sharp = [], []
    for seed in range(5):
        clip = api.generate("a blue box stands still", seconds=1, size="64x64", seed=seed)[0]
        for _ in range(10):
            clip = api.extend(clip, seconds=1, seed=seed)
        means = clip.frames.astype(np.float64).mean((1, 2))
        colors.append(float(np.abs(means[-1] - means[0]).mean()))
        sharp.append(sharpness(clip.frames[-1:]) / sharpness(clip.frames[:1]))
    measured = f"colors {spread(colors, 'of 255', 1)}; sharpness x{spread(sharp, 'of the first', 2)}"
    return "kinema-tiny, ten seconds chained to one", "", measured, ""


def faults(entry: ModelEntry) -> list[Row]:
    rows: list[Row] = []
    host.run_engine = bench_engine
    engine = host.EngineProcess(entry, device="cpu", stall_s=60.0)
    try:
        engine.film(REQUEST)
        for prompt, code in (("hang", "engine_stalled"), ("memory", "out_of_memory")):
            engine.stall_s = 3.0
            begun, got = time.perf_counter(), ""
            try:
                engine.film(replace(REQUEST, prompt=prompt))
            except EngineError as error:
                got = error.code
            took = time.perf_counter() - begun
            engine.stall_s = 60.0
            begun = time.perf_counter()
            fine = len(engine.film(REQUEST)) == 1
            again = time.perf_counter() - begun
            next_film = f"next film: {yes(fine)}, {again:.1f} s with loading"
            measured = f"{got} after {took:.1f} s (stall 3 s); {next_film}"
            rows.append((f"an engine: {prompt}", f"{code}, and the next film is made", measured, yes(got == code and fine)))
        before, mine = resident(engine.process_id), resident(os.getpid())
        for _ in range(10):
            engine.film(replace(REQUEST, prompt="leak"))
        after, mine_after = resident(engine.process_id), resident(os.getpid())
        pid = engine.process_id
        engine.close()
        grown = f"engine {before:.0f} -> {after:.0f} MB, the other side {mine:.0f} -> {mine_after:.0f} MB"
        measured = f"{grown}; after close {resident(pid):.0f} MB"
        met = mine_after - mine < 50 and resident(pid) == 0
        rows.append(("an engine that leaks 50 MB a film, 10 films", "its own process alone grows", measured, yes(met)))
    finally:
        engine.close()
        host.run_engine = RUN
    return rows


def kills(entry: ModelEntry, minutes: float) -> list[Row]:
    chance, killed, accepted = random.Random(0), Counter[str](), []
    with tempfile.TemporaryDirectory(prefix="kinema-bench-") as folder:
        data = Path(folder)
        worker, key = None, ""
        end = time.monotonic() + 60 * minutes
        served = server(data, "--workers", "0")
        url, key, process = served.__enter__()
        try:
            worker = WorkerProcess(data)
            while time.monotonic() < end:
                with suppress(httpx.HTTPError), talk(url, key) as client:
                    waiting = client.get("/v1/videos", params={"limit": 100}).json()["data"]
                    if sum(video["status"] in ("queued", "in_progress") for video in waiting) < 4:
                        accepted.append(ask(client, prompt="sleep 0.2", steps=chance.randint(2, 12)))
                        continue
                time.sleep(chance.uniform(0.2, 4.0))
                what = chance.choice(("engine", "engine", "worker", "server"))
                if what == "engine" and worker.engines():
                    os.kill(chance.choice(worker.engines()), signal.SIGKILL)
                    killed[what] += 1
                elif what == "worker":
                    worker.process.kill()
                    worker.process.join()
                    worker.start()
                    killed[what] += 1
                elif what == "server":
                    process.kill()
                    process.wait()
                    killed[what] += 1
                    served = server(data, "--workers", "0", key=key)
                    url, key, process = served.__enter__()
            with talk(url, key) as client:
                videos = ended(client, accepted, 180)
        finally:
            if worker is not None:
                worker.stop()
            served.__exit__(None, None, None)
        made = [video for video in videos if video["status"] == "completed"]
        codes = Counter(video["error"]["code"] for video in videos if video["status"] == "failed")
        twice = sum(len(list((data / "videos" / video["id"]).iterdir())) != 1 for video in made)
        left = len(list((data / "work").iterdir()))
        database = Database(Settings(data=data).url)
        rows = Auth(database).all()
        balance = all(abs(row.reserved) < 1e-6 for row in rows)
        cost = {
            float(video["size"].split("x")[0]) * float(video["size"].split("x")[1]) * float(video["seconds"])
            for video in made
        }
        database.close()
        used = sum(row.used for row in rows)
    count = sum(killed.values())
    by = ", ".join(f"{n} of {what}" for what, n in sorted(killed.items()))
    failed = ", ".join(f"{n} {code}" for code, n in sorted(codes.items())) or "0"
    measured = (
        f"{count} kills ({by}) in {minutes:g} min: {len(accepted)} accepted, {len(videos)} ended, {len(made)} made,"
        f" failed: {failed}; {twice} not published once, {left} work folders left; nothing reserved: {yes(balance)},"
        f" {used:.0f} pixel-seconds billed"
        f" ({len(cost)} price{'s' if len(cost) != 1 else ''} asked)"
    )  # fmt: skip
    met = len(videos) == len(accepted) and not twice and balance and set(codes) <= {"out_of_memory", "engine_crashed"}
    return [("random kill -9 of engine, worker and server", "none lost, none twice, books balance", measured, yes(met))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=6.0, help="of kills")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kinema-wan-") as folder:
        os.environ["KINEMA_MODELS"] = str(Path(folder) / "models.toml")
        entry = ModelEntry(
            name="wan", source=str(make_tiny("wan", Path(folder) / "wan")), arguments={"max_sequence_length": 16}
        )
        save_entry(entry)
        kept = json.loads(PAGE.with_suffix(".json").read_text()) if PAGE.with_suffix(".json").exists() else {}
        for part in arguments.parts:
            if part == "upstream":
                rows = upstream(arguments.minutes)
            else:
                rows = kills(entry, arguments.minutes) if part == "kills" else globals()[part](entry)
            kept[part] = rows
            for row in rows:
                print(" | ".join(row), flush=True)
            if arguments.write:
                PAGE.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n")
                PAGE.write_text(page(kept))
    return 0


def page(kept: dict[str, list[Row]]) -> str:
    where = f"{time.strftime('%Y-%m-%d')}, {machine()}"
    head = ["# Open models as engines: figures", "", f"`python -m benchmarks.engines --write`; {where}.", ""]
    about = (
        "A tiny Wan of random weights; other work ran on the machine, but for the parts of the server's cost. In brackets 95%"
        " intervals of the mean. What was killed with its engine fails with out_of_memory, as the system kills where memory"
        " runs out. The drift is planted: each pass moves colors by about (+4, -1, -3) and takes 3% of the contrast."
    )
    lines = ["| what | bar | measured | met |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for part in PARTS for row in kept.get(part, [])]
    return "\n".join([*head, about, "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
