"""Films from stills keep who is in them: python -m benchmarks.keyframes [--size WIDTHxHEIGHT] [--pixels-only] [--out DIR]

24 stills (12 prompts, 2 seeds) by `kinema.image`, each saved as PNG, opened and filmed on by words about what it shows. Printed,
with Wilson's 95 % interval: the share of films whose planned things (kind and color; and also material, and size within 0.02) are
those of the still's own state; and the share whose drawn things, read by the model-free parser, are the same at frames 2 and 8 as
in the still. --pixels-only forgets the still's state, as for anybody's picture. --out writes a contact sheet of every film.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks.command import run_benchmark
from PIL import Image

import kinema
from kinema.media import Clip
from kinema.models.hub import DEFAULT, load
from kinema.playground.parser import parse_clip
from kinema.scene.scene import Scene

PAIRS = (
    ("a red ball on a field", "the red ball rolls right on a field"),
    ("a blue box in the snow", "the blue box slides left in the snow"),
    ("a green star in a lab", "the green star rolls right in a lab"),
    ("a yellow car in the desert", "a yellow car drives right in the desert"),
    ("a purple robot at night", "a purple robot walks left at night"),
    ("a red ball and a blue box on a field", "the red ball rolls right and hits the blue box"),
    ("an orange ball and a green triangle in a lab", "the orange ball bounces"),
    ("a pink star and a cyan ball in the snow", "the pink star falls"),
    ("a blue robot and a red flag in the desert", "the blue robot walks right"),
    ("a cyan car and an orange box at night", "the cyan car drives right and hits the box"),
    ("a red ball, a yellow box and a blue triangle", "the red ball rolls left"),
    ("a green ball, a pink ball and a purple star", "the green ball hits the pink ball"),
)
SEEDS = (1, 2)


def cast(scene: Scene) -> Counter[str]:
    return Counter(scene.name(k) for k in scene.entities)


def looks(scene: Scene) -> list[tuple[str, int, float]]:
    return sorted((scene.name(k), int(scene.material[k]), float(scene.size[k])) for k in scene.entities)


def same_looks(a: Scene, b: Scene) -> bool:
    pairs = zip(looks(a), looks(b), strict=True) if len(a.entities) == len(b.entities) else ()
    return cast(a) == cast(b) and all(x[:2] == y[:2] and abs(x[2] - y[2]) < 0.02 for x, y in pairs)


def drawn(frames: np.ndarray) -> list[Counter[str]]:
    return [Counter(f"{s.color} {s.kind}" for s in frame) for frame in parse_clip(frames)]


def wilson(hits: list[bool]) -> str:
    """A share with Wilson's 95 % interval."""
    n, share, z = len(hits), float(np.mean(hits)), 1.96
    middle, wide = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (100 * (middle + side * wide) / (1 + z * z / n) for side in (-1, 1))
    return f"{100 * share:.1f}% [{low:.0f}, {high:.0f}], n = {n}"


def sheet(clips: list[Clip], path: Path) -> None:
    """A row a film: frames 0, 1, 2, 4, 8 and the last."""
    rows = [np.concatenate([clip.frames[min(i, clip.num_frames - 1)] for i in (0, 1, 2, 4, 8, 10**6)], 1) for clip in clips]
    Image.fromarray(np.concatenate(rows)).save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--size", default=None, help="WIDTHxHEIGHT (default: the model's own)")
    parser.add_argument("--pixels-only", action="store_true", help="forget the stills' states")
    parser.add_argument("--out", type=Path, help="folder for contact sheets")
    given = parser.parse_args()
    model = load(given.model)
    found: dict[str, list[bool]] = {"planned cast": [], "planned looks": [], "drawn at frame 2": [], "drawn at frame 8": []}
    films = []
    for still_prompt, prompt in PAIRS:
        for seed in SEEDS:
            still = kinema.image(still_prompt, model=model, size=given.size, seed=seed)
            truth = still.state
            assert truth is not None
            with tempfile.TemporaryDirectory() as folder:
                picture = Clip.open(still.save(Path(folder) / "still.png"))
            if given.pixels_only:
                picture = replace(picture, state=None)
            film = kinema.generate(prompt, model=model, size=given.size, seconds=1.0, image=picture, seed=100 + seed)[0]
            assert film.state is not None
            found["planned cast"].append(cast(film.state) == cast(truth))
            found["planned looks"].append(same_looks(film.state, truth))
            seen = drawn(film.frames[[0, 2, 8]])
            found["drawn at frame 2"].append(seen[1] == seen[0])
            found["drawn at frame 8"].append(seen[2] == seen[0])
            films.append(film)
            if not found["planned cast"][-1]:
                print(f"{still_prompt} (seed {seed}): {dict(cast(truth))} became {dict(cast(film.state))}")
    for name, hits in found.items():
        print(f"{name} as in the still: {wilson(hits)}")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        sheet(films, given.out / "keyframes.png")
    return 0


if __name__ == "__main__":
    run_benchmark(main)
