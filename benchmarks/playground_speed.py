"""How fast the Playground makes training clips on one core: physics, captions and pictures of 32 frames at 64 x 64.

    python benchmarks/playground_speed.py [--clips 100] [--size 64] [--frames 32] [--fps 16]

Prints a table per scene distribution; bar: 1,500 clips a minute with everything.
"""

from __future__ import annotations

import argparse
import time

import torch

from kinema.playground import full, one_shape, simulate, tiny, two_shapes
from kinema.playground.renderer import render_scene


def main() -> None:
    parser = argparse.ArgumentParser(description="Clips a minute of the Playground on one core.")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--fps", type=float, default=16.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{given.frames} frames at {given.fps:g} fps, {given.size} x {given.size} pixels, one core")
    print(f"{'scenes':<12}{'physics + captions':>22}{'pictures':>14}{'clips a minute':>18}")
    for name, distribution in {"one_shape": one_shape(), "two_shapes": two_shapes(), "tiny": tiny(), "full": full()}.items():
        render_scene(simulate(distribution, 0, fps=given.fps, num_frames=2).scene, height=given.size, width=given.size)
        start = time.process_time()
        episodes = [simulate(distribution, seed, fps=given.fps, num_frames=given.frames) for seed in range(given.clips)]
        simulated = time.process_time() - start
        for episode in episodes:
            render_scene(episode.scene, height=given.size, width=given.size)
        drawn = time.process_time() - start - simulated
        a, b = (1e3 * seconds / given.clips for seconds in (simulated, drawn))
        print(f"{name:<12}{a:>19.1f} ms{b:>11.1f} ms{60e3 / (a + b):>18,.0f}")


if __name__ == "__main__":
    main()
