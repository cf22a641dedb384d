"""How well pictures that are not of the model's world are recognized: python -m benchmarks.foreign [--count N] [--write] [--again]

True pictures: --count films of the Playground (never trained on) at each of several sizes, as drawn and as uploads come (H.264 at
CRF 28), and --count of the model's own films at 64 pixels. Foreign ones, --count of each kind, at random sizes: noise, gradients,
cards with text, fractal landscapes, color bars, checkerboards, and games as they are recorded (a cart and pole, mazes, ball games).

The threshold is the one of `kinema.inference.familiarity`. One half of the films, the even ones, proposes a threshold: the middle,
in logarithms, between the 99th percentile of the true and the 5th of the foreign ones. The rates are those of the other half, with
95% Wilson intervals. --write puts the table into docs/measurements/foreign.md, and the figures with all errors beside it as JSON;
--again makes the table anew from those, after the threshold was set.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT
from benchmarks.watermark import h264
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kinema.api import SamplingConfig, films
from kinema.inference.familiarity import THRESHOLDS, picture_error
from kinema.media import Clip
from kinema.models.hub import DEFAULT, Model, load_slot_model
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene

Frames = NDArray[np.uint8]
FOLDER = ROOT / "docs" / "measurements"
SEED = 920_000_000
"""Episodes from here on are never trained on."""
SIZES = ((64, 64), (128, 128), (224, 128), (448, 256))
FOREIGN_SIZES = ((64, 64), (96, 96), (160, 210), (320, 240), (640, 360), (1280, 720), (600, 800))


def noise(rng: np.random.Generator, width: int, height: int) -> Frames:
    coarse = rng.integers(1, 9)
    small = rng.integers(0, 256, (-(-height // coarse), -(-width // coarse), 3), np.uint8)
    return small.repeat(coarse, 0).repeat(coarse, 1)[:height, :width]


def gradient(rng: np.random.Generator, width: int, height: int) -> Frames:
    """From one color to another in any direction."""
    y, x = np.mgrid[:height, :width]
    angle = rng.uniform(0, 2 * math.pi)
    along = np.cos(angle) * x / width + np.sin(angle) * y / height
    share = ((along - along.min()) / (np.ptp(along) + 1e-9))[..., None]
    first, last = rng.integers(0, 256, (2, 3))
    return np.asarray(first + share * (last - first), np.uint8)


def text_card(rng: np.random.Generator, width: int, height: int) -> Frames:
    """Lines of text on a plain ground."""
    ground = tuple(int(value) for value in rng.integers(0, 256, 3))
    ink = tuple(255 - value for value in ground)
    picture = Image.new("RGB", (width, height), ground)
    pen, size = ImageDraw.Draw(picture), max(height // int(rng.integers(5, 12)), 8)
    for line in range(int(rng.integers(2, 6))):
        words = " ".join("".join(map(chr, rng.integers(97, 123, rng.integers(2, 9)))) for _ in range(4))
        pen.text((width // 12, int((line + 0.5) * 1.4 * size)), words, fill=ink, font=ImageFont.load_default(size))
    return np.asarray(picture)


def landscape(rng: np.random.Generator, width: int, height: int) -> Frames:
    """Clouds of noise whose spectrum falls as that of photographs does, in colors that belong together."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width)
    spectrum = 1 / np.maximum(frequency, 1) ** rng.uniform(1.2, 2.0)
    layers = []
    for _ in range(3):
        field = np.fft.ifft2(spectrum * np.exp(2j * np.pi * rng.random((height, width)))).real
        layers.append((field - field.mean()) / (field.std() + 1e-9))
    mixed = np.stack(layers, -1) @ (0.4 * rng.normal(size=(3, 3)) + 0.6)
    return np.clip(rng.integers(60, 190, 3) + 45 * mixed, 0, 255).astype(np.uint8)


def bars(rng: np.random.Generator, width: int, height: int) -> Frames:
    colors = rng.permutation(
        np.array([[191] * 3, [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191]], np.uint8)
    )
    return np.broadcast_to(colors[np.arange(width) * 7 // width], (height, width, 3)).copy()


def checkerboard(rng: np.random.Generator, width: int, height: int) -> Frames:
    side = max(height // int(rng.integers(4, 16)), 2)
    dark = (np.mgrid[:height, :width] // side).sum(0) % 2
    return rng.integers(0, 256, (2, 3), np.uint8)[dark]


def cart_pole(rng: np.random.Generator, width: int, height: int) -> Frames:
    """As the classic control task is drawn: a black cart and a brown pole on white, above a line."""
    picture = Image.new("RGB", (width, height), "white")
    pen, line = ImageDraw.Draw(picture), int(0.75 * height)
    x, tilt = rng.uniform(0.3, 0.7) * width, rng.uniform(-0.4, 0.4)
    pen.line((0, line, width, line), fill="black")
    pen.rectangle((x - width / 24, line - height / 28, x + width / 24, line + height / 28), fill="black")
    top = (x + 0.4 * height * math.sin(tilt), line - 0.4 * height * math.cos(tilt))
    pen.line((x, line, *top), fill=(202, 152, 101), width=max(width // 60, 2))
    return np.asarray(picture)


def maze(rng: np.random.Generator, width: int, height: int) -> Frames:
    """Walls, floor, a player and a goal on a grid."""
    across, up = int(rng.integers(6, 14)), int(rng.integers(6, 14))
    cells = np.where(rng.random((up, across)) < 0.35, 1, 0)
    cells.flat[rng.permutation(cells.size)[:2]] = (2, 3)
    palette = np.array([[20, 20, 24], [110, 110, 118], [230, 60, 50], [60, 220, 90]], np.uint8)
    rows, columns = np.arange(height) * up // height, np.arange(width) * across // width
    return palette[cells][rows][:, columns]


def ball_game(rng: np.random.Generator, width: int, height: int) -> Frames:
    """Two bats, a ball and numbers on brown, and rows of bricks."""
    picture = Image.new("RGB", (width, height), (144, 72, 17))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, width, height // 9), fill=(236, 236, 236))
    for row in range(int(rng.integers(0, 5))):
        color = tuple(int(value) for value in rng.integers(40, 230, 3))
        pen.rectangle((0, height * (3 + row) // 18, width, height * (4 + row) // 18), fill=color)
    for side, color in ((0.1, (213, 130, 74)), (0.88, (92, 186, 92))):
        y = rng.uniform(0.3, 0.8) * height
        pen.rectangle((side * width, y, (side + 0.025) * width, y + height / 13), fill=color)
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.3, 0.9) * height
    pen.rectangle((x, y, x + width / 80 + 1, y + height / 52 + 1), fill=(236, 236, 236))
    return np.asarray(picture)


FOREIGN: dict[str, Callable[[np.random.Generator, int, int], Frames]] = {
    "noise": noise,
    "gradients": gradient,
    "text cards": text_card,
    "fractal landscapes": landscape,
    "color bars": bars,
    "checkerboards": checkerboard,
    "cart and pole": cart_pole,
    "mazes": maze,
    "ball games": ball_game,
}


def true_clips(count: int) -> Iterator[tuple[str, Clip]]:
    """Films of the Playground at several sizes, as they are drawn and compressed."""
    for width, height in SIZES:
        for i in range(count):
            scene = simulate(tiny(), SEED + 1000 * height + width + 7919 * i, fps=16.0, num_frames=20).scene
            frames = render_scene(scene.frames(np.array([0, 10, 19])), height=height, width=width)
            yield f"Playground, {width}x{height}", Clip(frames=frames, fps=16.0)
            yield f"Playground, {width}x{height}, CRF 28", Clip(frames=h264(frames, crf=28), fps=16.0)


def own_films(model: Model, count: int) -> Iterator[tuple[str, Clip]]:
    for i in range(0, count, 10):
        seeds = [SEED + i + k for k in range(min(10, count - i))]
        prompts = [simulate(tiny(), seed, fps=16.0, num_frames=20).captions.short for seed in seeds]
        made = films(prompts, seeds, model=model, seconds=1.0, size="64x64", options=SamplingConfig(num_plan_steps=4))
        for clip in made:
            yield f"{model.config.name}'s films, 64x64", Clip(frames=clip.frames, fps=clip.fps)


def foreign_clips(count: int) -> Iterator[tuple[str, Clip]]:
    for kind, draw in FOREIGN.items():
        for i in range(count):
            rng = np.random.default_rng([len(kind), i])
            width, height = FOREIGN_SIZES[int(rng.integers(len(FOREIGN_SIZES)))]
            yield kind, Clip(frames=draw(rng, width, height)[None], fps=16.0)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95% interval of a share."""
    z, share = 1.96, hits / count
    middle, width = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - width) / (1 + z * z / count), (middle + width) / (1 + z * z / count)


def measure(model: Model, count: int) -> tuple[dict[str, list[float]], dict[str, list[float]], float]:
    """Errors of true and of foreign clips by kind, and the seconds that one takes."""
    true: dict[str, list[float]] = {}
    foreign: dict[str, list[float]] = {}
    spent, looked = 0.0, 0
    for errors, clips in ((true, true_clips(count)), (true, own_films(model, count)), (foreign, foreign_clips(count))):
        for kind, clip in clips:
            begun = time.perf_counter()
            errors.setdefault(kind, []).append(round(picture_error(clip, model), 5))
            spent, looked = spent + time.perf_counter() - begun, looked + 1
            if sys.stderr.isatty():
                print(f"\r{looked} {kind:40}", end="", file=sys.stderr)
    return true, foreign, spent / looked


def proposed(true: dict[str, list[float]], foreign: dict[str, list[float]]) -> float:
    """A threshold from the even films of each kind."""
    known = np.log(np.concatenate([errors[::2] for errors in true.values()]))
    strange = np.log(np.concatenate([errors[::2] for errors in foreign.values()]))
    return float(np.exp((np.percentile(known, 99) + np.percentile(strange, 5)) / 2))


def rows(errors: dict[str, list[float]], threshold: float) -> list[dict[str, Any]]:
    """Of the odd films: how many are called foreign, by kind and in all."""
    held = {kind: np.array(values[1::2]) for kind, values in errors.items()}
    held["all"] = np.concatenate(list(held.values()))
    table = []
    for kind, values in held.items():
        hits = int((values > threshold).sum())
        low, high = wilson(hits, len(values))
        spread = [round(float(np.percentile(values, at)), 4) for at in (5, 50, 95)]
        table.append({"kind": kind, "n": len(values), "called_foreign": hits, "low": low, "high": high, "error": spread})
    return table


def markdown(figures: dict[str, Any]) -> str:
    lines = [
        f"# What is foreign to {figures['model']}",
        "",
        f"`python -m benchmarks.foreign --count {figures['count']} --write`, {figures['date']}, {figures['machine']}",
        "",
        "A picture is called foreign when its error (`kinema.inference.familiarity.picture_error`) is above"
        f" {figures['threshold']:g}. The middle between both worlds would be {figures['proposed']:.3g}, by the even films of"
        " each kind; the threshold lies higher, since a true picture that is left out of a film is worse than a foreign one that"
        f" is not. The rates are of the odd films. Looking at a clip takes {figures['seconds']:.2f} s.",
    ]
    for name, title in (("true", "Of the model's world: false alarms"), ("foreign", "Foreign: hits")):
        lines += ["", f"| {title} | n | called foreign | 95% interval | error: 5%, median, 95% |", "|---|---|---|---|---|"]
        for row in figures[name]:
            share = 100 * row["called_foreign"] / row["n"]
            errors = ", ".join(f"{value:.3g}" for value in row["error"])
            lines.append(
                f"| {row['kind']} | {row['n']} | {share:.1f}% | {100 * row['low']:.1f} to {100 * row['high']:.1f}% | {errors} |"
            )
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="films of each kind and size (default: 60)")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--again", action="store_true", help="no measurement: the table of the errors written last")
    arguments = parser.parse_args()
    if arguments.again:
        figures = json.loads((FOLDER / "foreign.json").read_text())
    else:
        model = load_slot_model(arguments.model)
        true, foreign, seconds = measure(model, arguments.count)
        figures = {
            "count": arguments.count, "date": date.today().isoformat(), "machine": machine(), "model": model.config.name,
            "seconds": seconds, "errors": {"true": true, "foreign": foreign},
        }  # fmt: skip
    errors, threshold = figures["errors"], THRESHOLDS[figures["model"]]
    figures |= {"threshold": threshold, "proposed": proposed(**errors)}
    figures |= {name: rows(values, threshold) for name, values in errors.items()}
    text = markdown(figures)
    print(text)
    if arguments.write:
        (FOLDER / "foreign.md").write_text(text)
        (FOLDER / "foreign.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_benchmark(main)
