"""Kinema above 64 pixels, measured: python -m benchmarks.sharp [--model NAME] [--share N] [--parts ...] [--write]

Every figure is on fresh episodes (seeds from 900,000,000 on, which no training uses), with its 95% interval; beside it stands
what the true pictures, or their round trip through the autoencoder, would get, and the best that needs no model. --write puts
the parts that were measured into docs/measurements/sharp.md and .json, in the column of these weights.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.command import run_benchmark
from benchmarks.sharp import figures, following, pictures, seeing, speed

from kinema.models.hub import DEFAULT, load

COUNT = 96
EVENT_COUNT = 24
PARTS = {
    "sizes": (pictures.by_size, COUNT),
    "steps": (pictures.by_steps, COUNT),
    "joint": (following.joint, COUNT),
    "casts": (following.casts, COUNT),
    "events": (following.events, EVENT_COUNT),
    "rules": (following.rules, COUNT),
    "perceive": (seeing.perceive, COUNT),
    "canaries": (pictures.canaries, COUNT),
    "live": (speed.live, COUNT),
}
"""What is measured, and on how many episodes (of each event, of each kind of pair) at full share."""
ELSEWHERE = ("python -m benchmarks.arena --help", "python -m benchmarks.agents --help", "kinema arena --help")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only one in N of the episodes, for a quick look")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    parser.add_argument("--label", help="the column's title; by default the model's name and step")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/sharp.md and .json")
    arguments = parser.parse_args()
    model = load(arguments.model)
    step = model.config.trained.get("steps")
    label = arguments.label or (model.config.name if step is None else f"{model.config.name} (step {step:,})")
    for part in arguments.parts:
        measure, count = PARTS[part]
        begun = time.perf_counter()
        found = measure(model, max(count // arguments.share, 2))
        for figure in found:
            print(f"{figure.what}: {figure.measured}  (truth: {figure.truth}; trivial: {figure.trivial})", flush=True)
        print(f"  {part}: {time.perf_counter() - begun:.0f} s", flush=True)
        if arguments.write:
            figures.write(label, arguments.model, arguments.share, {part: found})
    print("agents, tasks and questions are measured elsewhere: " + "; ".join(ELSEWHERE))
    return 0


if __name__ == "__main__":
    run_benchmark(main)
