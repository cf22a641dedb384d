"""Where a training step's time goes: python -m benchmarks.training_step [--recipe tiny] [--steps 8]

Steps of a recipe on its own batches, compiled as in training. Prints seconds a step for each kind of batch, the share of matrix
products in the time (by the profiler), and their speed against products of the same shapes measured alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.autoencoder import machine
from torch.profiler import ProfilerActivity, profile

from kinema.diffusion.losses import total
from kinema.training.batches import Batch, make_batch
from kinema.training.caches import open_caches
from kinema.training.flops import measured_peak
from kinema.training.recipes import KINDS, recipe
from kinema.training.run import open_autoencoder
from kinema.training.trainer import Trainer

PRODUCTS = (
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
    "aten::baddbmm",
    "aten::convolution_backward",
    "aten::mkldnn_convolution",
    "mkldnn::_linear_pointwise",
    "mkldnn::_convolution_pointwise",
)


def median_s(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[len(taken) // 2]


def shape_peak(width: int, tokens: int) -> float:
    """FLOP/s of the model's own product shapes, alone: tokens x width times width x 4 width, and back."""
    a, b = torch.randn(tokens, width).bfloat16(), torch.randn(width, 4 * width).bfloat16()
    c = torch.randn(4 * width, width).bfloat16()
    return 2 * 2 * tokens * width * 4 * width / median_s(lambda: (a @ b) @ c, 30)


def step(trainer: Trainer, batch: Batch) -> None:
    total(trainer.compute(batch)).backward()  # type: ignore[no-untyped-call]
    trainer.optimizer.step(1e-6)


def product_share(trainer: Trainer, batch: Batch) -> float:
    """Share of a step's own CPU time that is spent in matrix products and convolutions."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step(trainer, batch)
    events = seen.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    return sum(event.self_cpu_time_total for event in events if event.key in PRODUCTS) / whole


def work(trainer: Trainer, batch: Batch) -> tuple[str, int]:
    """What a batch is, and how many rows its products have."""
    run = trainer.recipe
    clips, frames = batch.time_s.shape
    cells = batch.levels["video"].shape[2] * batch.levels["video"].shape[3] if "video" in batch.levels else 0
    if batch.kind in ("still", "crop"):
        places = clips * cells * run.denoiser.patch**2
        return f"{clips} pictures, {places} places", places
    tokens = clips * frames * (cells + run.denoiser.slots + 1)
    return f"{clips} clips x {frames} frames, {tokens} tokens", tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    run = recipe(arguments.recipe)
    phase = run.phases[0]
    autoencoder = open_autoencoder(run.autoencoder, "cpu")
    from dataclasses import replace

    caches = open_caches(replace(run, phases=(phase,)))
    print(f"{machine()}; large product {measured_peak() / 1e9:.0f} GFLOP/s")
    with TemporaryDirectory() as folder:
        trainer = Trainer(replace(run, phases=(phase,)), Path(folder), caches, autoencoder)
        makers: dict[str, Callable[[], Batch]] = {
            kind: lambda kind=kind: make_batch(run, caches, phase.name, kind, 0).on("cpu", autoencoder, run.denoiser.patch)  # type: ignore[misc]
            for kind in KINDS
        }
        for name, maker in makers.items():
            batch = maker()
            data_s = median_s(maker, 4)
            step(trainer, batch)
            seconds = median_s(lambda batch=batch: step(trainer, batch), arguments.steps)  # type: ignore[misc]
            (what, rows), flops = work(trainer, batch), trainer.flops_of(batch)
            share, alone = product_share(trainer, batch), shape_peak(run.denoiser.width, rows)
            print(
                f"{name}: {what}: {seconds:.2f} s a step (batch made in {data_s:.2f} s); matrix products {100 * share:.0f}% of the"
                f" time; {flops / seconds / 1e9:.0f} GFLOP/s over the whole step, {100 * flops / seconds / alone:.0f}% of"
                f" {alone / 1e9:.0f} GFLOP/s measured at its shapes",
                flush=True,
            )


if __name__ == "__main__":
    main()
