"""Plans of prompts, measured: python -m benchmarks.plans [--model NAME] [--candidates 1 4] [--share N] [--write]

Prompts are short captions of fresh episodes (seeds that no training uses). Each is planned, and the plan is drawn by the true
renderer and read by the model-free parser, so that what is measured is the plan and not how the model draws. For each number of
candidates: frames in which solid things overlap, casts that are read right, sizes that are as asked for, and seconds a plan.
--write puts the table into docs/measurements/.
"""

from __future__ import annotations

import argparse
import re
import time

import numpy as np
import torch
from benchmarks.command import run_benchmark
from benchmarks.first_light import Row, cast_of, interval, write_table
from benchmarks.live_world import fresh

from kinema.canvas.canvas import Canvas
from kinema.evaluation.tasks.prompts import read_identities
from kinema.inference.candidates import overlap_share
from kinema.inference.canvas_io import blank_canvas, encode_prompt
from kinema.inference.pipeline import plan_state
from kinema.inference.sampling import SamplingConfig
from kinema.models.hub import DEFAULT, Model, load
from kinema.playground import tiny
from kinema.playground.renderer import render_scene
from kinema.scene.encoding import decode_scene
from kinema.scene.scene import COLORS, SIZES, Scene
from kinema.statistics import mean_interval

PROMPTS, FIRST = 48, 12_000_000
FRAMES, FPS = 64, 16.0
SIZED = re.compile(rf"\b({'|'.join(SIZES)}) ({'|'.join(COLORS)}) (\w+)")
PLAIN = {"circle": "ball", "square": "box"}


def blank_plan(model: Model) -> Canvas:
    canvas = blank_canvas(model, count=1, frames=FRAMES, fps=FPS, height=64, width=64)
    return canvas.without("video")


def sizes_right(prompt: str, scene: Scene) -> list[bool]:
    """For each thing that the prompt gives a size and the plan holds: whether its radius is that of the name."""
    found = []
    for size, color, kind in SIZED.findall(prompt):
        slots = [k for k in scene.entities if scene.name(k) == f"{color} {PLAIN.get(kind, kind)}"]
        found += [abs(float(scene.size[slots[0]]) - SIZES[size]) < 0.05] if slots else []
    return found


def measure(model: Model, candidates: int, count: int) -> list[Row]:
    overlaps, none, read, planned, sizes, named, seconds = [], [], [], [], [], [], []
    for i, episode in enumerate(fresh(tiny(), count, FIRST)):
        prompt = episode.captions.short
        canvas = encode_prompt(model, blank_plan(model), prompt, False)
        begun = time.process_time()
        done = plan_state(model, canvas, SamplingConfig(num_candidates=candidates), [i])
        seconds.append(time.process_time() - begun)
        state = done.values["state"]
        scene = decode_scene(*(done.values[name][0].float().cpu().numpy() for name in ("state", "camera", "scene")), fps=FPS)
        overlaps.append(float(overlap_share(state)[0]))
        none.append(overlaps[-1] == 0)
        planned.append(cast_of(scene) == cast_of(episode.scene))
        read.append(read_identities(render_scene(scene, height=64, width=64)) == cast_of(episode.scene))
        sizes += sizes_right(prompt, scene)
        named += [min(abs(float(scene.size[k]) - radius) for radius in SIZES.values()) < 0.05 for k in scene.entities]
    mean, low, high = mean_interval(overlaps)
    what = f"{candidates} candidate{'s' * (candidates > 1)}"
    figures = {
        "frames in which solid things overlap": f"{100 * mean:.1f}% [{100 * low:.0f}, {100 * high:.0f}], n = {count}",
        "plans in which nothing overlaps": interval(none),
        "casts right in the plan": interval(planned),
        "casts right, drawn and read": interval(read),
        "sizes as the prompt names them": interval(sizes) if sizes else "none named",
        "sizes that have a name": interval(named),
        "processor seconds a plan, median": f"{np.median(seconds):.2f}",
    }
    for name, figure in figures.items():
        print(f"{what}: {name}: {figure}", flush=True)
    return [Row(f"{what}: {name}", "-", figure, None) for name, figure in figures.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only one in N of the prompts")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load(given.model)
    rows = [row for number in given.candidates for row in measure(model, number, max(PROMPTS // given.share, 1))]
    if given.write:
        write_table("Plans", "plans", given.model, given.share, rows)
    return 0


if __name__ == "__main__":
    run_benchmark(main)
