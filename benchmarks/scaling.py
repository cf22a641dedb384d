"""What size and data buy: python -m benchmarks.scaling [--films N] [--steps N] [--write]

Networks of five sizes learn from films of the Playground with their captions, pixels only: the lesson of `kinema train video` at a
constant rate, so that each moment of a run stands for a run of that length. Their error on held-out films, of weights averaged over
the last steps, is fitted by

    error(N, D) = E + A / N^a + B / D^b        (Hoffmann et al. 2022)

N: parameters; D: clips seen, with repetition; C, the arithmetic, is what the passes take. The first half of
the moments of each run is left out, when weights are far from anything. The fit says what the next larger network will reach; that
is written to OUT/prediction-SIZE.json before it is trained, and never changed; then the one after it. At the end each network films
held-out captions, and the Playground's parser says what is in at least half of the pictures: exactly the cast of the text, how
much of it, or at least something of its colors.

What exists in OUT is used again, and a run that was killed goes on. --write puts the figures into docs/measurements/scaling.md and
the plot into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT, cast_of, interval
from benchmarks.sharp.following import cast_right
from torch import Tensor

from kinema.autoencoder import load_autoencoder, to_uint8
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.latent_cache import LatentCache, LatentCacheConfig
from kinema.inference.dit_films import fill_frames
from kinema.media import Clip
from kinema.media.contact_sheet import contact_sheet
from kinema.models.dit import DiT, DiTConfig
from kinema.models.dit_model import DiTModel
from kinema.models.hub import weights_folder
from kinema.playground import simulate, tiny
from kinema.playground.episode import Episode
from kinema.playground.parser import parse_clip
from kinema.playground.renderer import render_scene
from kinema.text import default_encoder
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.films import film_config
from kinema.training.flops import dit_flops
from kinema.training.sharded_checkpoint import holds_run, load_run
from kinema.types import Frames

SIZES = {"0.16M": (32, 3, 2), "0.28M": (48, 3, 3), "0.57M": (64, 4, 4), "1.1M": (96, 4, 4), "2.2M": (128, 5, 4)}
"""Width, depth and heads of the networks that the fit sees."""
NEXT = {"5.3M": (192, 6, 6), "9.1M": (256, 6, 8)}
"""Networks that are predicted, each by all before it."""
POINTS, FITTED = 8, 4
"""Moments of a run at which the error is measured, each later by the square root of two, and how many of the last are fitted."""
HELD_OUT_BATCHES, FPS, FRAMES, SIDE = 16, 8.0, 24, 64
TRIALS, STEPS, GUIDANCE = 48, 16, 3.0
FIRST_TRIAL = 50_000_000
"""The first seed of films whose captions are filmed; those of the folder begin at 0."""
BAR = 0.05


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a network had reached at one moment."""

    size: str
    parameters: int
    clips: int
    flops: float
    error: float
    by_level: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Law:
    """error(N, D) = floor + size_factor / N^size_power + clip_factor / D^clip_power."""

    floor: float
    size_factor: float
    size_power: float
    clip_factor: float
    clip_power: float

    def error(self, parameters: float, clips: float) -> float:
        by_size, by_clips = (
            self.size_factor / math.pow(parameters, self.size_power),
            self.clip_factor / math.pow(clips, self.clip_power),
        )
        return self.floor + by_size + by_clips


def episode_of(seed: int) -> Episode:
    return simulate(tiny(), seed, fps=FPS, num_frames=FRAMES)


def film_of(episode: Episode) -> Frames:
    return render_scene(episode.scene, height=SIDE, width=SIDE)


def write_film(folder: Path, seed: int) -> None:
    """A true film of the Playground, and its text, which is written last."""
    episode = episode_of(seed)
    text = folder / f"clip-{seed:06d}.txt"
    Clip(frames=film_of(episode), fps=FPS, caption=episode.captions.short).save(text.with_suffix(".mp4"), force=True)
    text.write_text(episode.captions.short + "\n")


def write_films(folder: Path, count: int) -> None:
    """True films of the Playground, a text beside each; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in range(count) if not (folder / f"clip-{seed:06d}.txt").exists()]
    if not missing:
        return
    with multiprocessing.get_context("spawn").Pool(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done, _ in enumerate(pool.imap_unordered(partial(write_film, folder), missing, chunksize=20), 1):
            _show(f"film {done} of {len(missing)}")


def open_cache(out: Path, films: int) -> LatentCache:
    """The films as latents, made once."""
    write_films(out / "films", films)
    clips, recipe = CaptionedClips.open(out / "films"), FilmRecipe()
    return LatentCache.build(
        clips, out / "latents", autoencoder=load_autoencoder(weights_folder() / recipe.autoencoder), text=default_encoder(),
        config=LatentCacheConfig(short_side=recipe.short_side, patch_px=8 * recipe.patch, fps=recipe.fps),
        show=lambda done, of: _show(f"encoding film {done} of {of}"),
    )  # fmt: skip


def moments(steps: int) -> list[int]:
    """Steps after which the error is measured: the last one, and earlier ones."""
    return sorted({round(steps / math.sqrt(2) ** i) for i in range(POINTS)})


class Run:
    """One size: its training, its points and its model."""

    def __init__(self, cache: LatentCache, out: Path, size: str, shape: tuple[int, int, int], steps: int) -> None:
        self.out, self.size, self.steps = out / size, size, steps
        self.recipe = FilmRecipe(
            cooldown=1e-9, pictures_first=0.0, picture_share=0.0, lengths=1, rates=1, save_every_s=120.0
        )
        config = film_config(cache, self.recipe, "scaling")
        width, depth, heads = shape
        self.config = replace(config, network=replace(config.network, width=width, depth=depth, heads=heads))
        self.lesson = ClipsLesson(cache, self.recipe)
        self.trainer = DiTTrainer(self.recipe, self.config, self.lesson, self.out, steps=steps)
        self._file = self.out / "points.json"
        self.points = [Point(**one) for one in json.loads(self._file.read_text())] if self._file.exists() else []

    def train(self) -> list[Point]:
        """The points at `moments`; what is missing is trained."""
        if len(self.points) < len(moments(self.steps)):
            self.out.mkdir(parents=True, exist_ok=True)
            if holds_run(self.out):
                self.trainer.load(load_run(self.out))
            self.trainer.run(self._after_step)
            self._measure()
        return self.points

    def _after_step(self, line: str) -> None:
        _show(f"{self.size}: {line}")
        self._measure()

    def _measure(self) -> None:
        step, batch = self.trainer.step, self.recipe.batch
        if step not in moments(self.steps) or any(point.clips == step * batch for point in self.points):
            return
        levels = self.lesson.held_out_loss(self.trainer.averaged_network(), self.trainer.device, batches=HELD_OUT_BATCHES)
        self.points.append(
            Point(
                size=self.size, parameters=parameters_of(self.config.network), clips=step * batch,
                flops=3 * step * self._forward_flops(), error=sum(levels.values()) / len(levels),
                by_level={f"{level:g}": value for level, value in levels.items()},
            )
        )  # fmt: skip
        self._file.write_text(json.dumps([vars(point) for point in self.points], indent=1) + "\n")
        print(f"{self.size} after {step * batch} clips: {self.points[-1].error:.4f}", file=sys.stderr)

    def _forward_flops(self) -> float:
        counted: list[float] = []

        def count(given: Any) -> dict[str, Tensor]:
            counted.append(dit_flops(self.config.network, given))
            return {"video": given.video}

        self.lesson.losses(count, 0, 0.0, torch.device("cpu"))
        return counted[0]

    def model(self) -> DiTModel:
        """The network after its last step."""
        self.trainer.load(load_run(self.out))
        return self.trainer.finished(load_autoencoder(weights_folder() / self.recipe.autoencoder))


def parameters_of(config: DiTConfig) -> int:
    return sum(p.numel() for p in DiT(config).parameters())


def fit(points: Iterable[Point]) -> Law:
    """The law with the least Huber error of log(error), from many beginnings."""
    points = list(points)
    n, d, y = (
        torch.tensor(column, dtype=torch.float64).log()
        for column in zip(*((p.parameters, p.clips, p.error) for p in points), strict=True)
    )

    def log_error(x: Tensor) -> Tensor:
        floor, size, size_power, clip, clip_power = x.unbind(-1)
        terms = [floor.expand_as(y), size - size_power.exp() * n, clip - clip_power.exp() * d]
        return torch.stack(terms).logsumexp(0)

    best: tuple[float, Tensor] | None = None
    for floor in (-4.0, -2.0, -1.0):
        for power in (0.2, 0.5, 1.0):
            for clip_power in (0.2, 0.5, 1.0):
                start = [floor, power * 13 - 2, math.log(power), clip_power * 9 - 2, math.log(clip_power)]
                x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
                descent = torch.optim.LBFGS([x], max_iter=500, line_search_fn="strong_wolfe")

                def loss(x: Tensor = x, descent: torch.optim.LBFGS = descent) -> Tensor:
                    descent.zero_grad()
                    value = torch.nn.functional.huber_loss(log_error(x), y, delta=0.01)
                    value.backward()  # type: ignore[no-untyped-call]
                    return value

                descent.step(loss)  # type: ignore[no-untyped-call]
                value = float(loss().detach())
                if math.isfinite(value) and (best is None or value < best[0]):
                    best = value, x.detach().clone()
    assert best is not None
    floor, size, size_power, clip, clip_power = best[1].exp().tolist()
    return Law(floor=floor, size_factor=size, size_power=size_power, clip_factor=clip, clip_power=clip_power)


def predicted(out: Path, points: list[Point], parameters: int, clips: int, size: str) -> dict[str, Any]:
    """What the law says of the next network, written down before it is trained; what was written stays."""
    path = out / f"prediction-{size}.json"
    if not path.exists():
        if (out / size).exists():
            raise SystemExit(f"{out / size} is there before {path.name}: its figures were known; remove it")
        law = fit(points)
        said = {"size": size, "clips": clips, "error": law.error(parameters, clips), "law": vars(law), "points": len(points)}
        path.write_text(json.dumps(said | {"date": date.today().isoformat()}, indent=1) + "\n")
    said = json.loads(path.read_text())
    if (said["size"], said["clips"]) != (size, clips):
        raise SystemExit(f"{path} is of {said['size']} after {said['clips']} clips; name another --out")
    return dict(said)


def parts_right(frames: Frames, wanted: Iterable[str]) -> tuple[float, float]:
    """Shares of the things of a cast, and of their colors, that the parser sees in at least half of eight frames."""
    picks = np.linspace(0, len(frames) - 1, 8).round().astype(int)
    seen = [{(thing.color, thing.kind) for thing in things} for things in parse_clip(frames[picks])]
    things = [tuple(name.split()) for name in wanted]
    whole = [sum(thing in one for one in seen) >= 4 for thing in things]
    colors = [sum(any(color == thing[0] for color, _ in one) for one in seen) >= 4 for thing in things]
    return float(np.mean(whole)), float(np.mean(colors))


def judged(films: list[Frames], trials: list[Episode]) -> list[str]:
    """Cast, things and colors right, each with its interval."""
    casts = [cast_of(episode.scene) for episode in trials]
    parts = [parts_right(film, cast.elements()) for film, cast in zip(films, casts, strict=True)]
    rights = [cast_right(film, cast) for film, cast in zip(films, casts, strict=True)]
    return [interval(values) for values in (rights, *(list(column) for column in zip(*parts, strict=True)))]


def films_of(
    model: DiTModel, trials: list[Episode], *, frames: int | None = None, guidance: float = GUIDANCE
) -> list[Frames]:
    """Films of the captions, of so many frames (None: the model's usual)."""
    films, count = [], frames or model.config.frames
    for seed, episode in enumerate(trials):
        latents = torch.zeros(1, count, model.config.network.channels, SIDE // 8, SIDE // 8)
        made = fill_frames(
            model,
            latents,
            torch.ones(1, count),
            prompt=episode.captions.short,
            seed=seed,
            fps=FPS,
            steps=STEPS,
            guidance=guidance,
        )
        with torch.inference_mode():
            films.append(to_uint8(model.autoencoder.decode(made))[0])
    return films


def plot(points: list[Point], law: Law) -> str:
    """Error against arithmetic, a line for each size: dots are measured, lines are the law's."""
    wide, high, left, top = 640, 400, 60, 20
    x0, x1 = (math.log10(f(p.flops for p in points)) for f in (min, max))
    y0, y1 = (math.log10(f(p.error for p in points)) for f in (min, max))
    x0, x1, y0, y1 = x0 - 0.1, x1 + 0.1, y0 - 0.02, y1 + 0.02

    def place(flops: float, error: float) -> str:
        x = left + (math.log10(flops) - x0) / (x1 - x0) * (wide - left - 90)
        y = top + (y1 - math.log10(error)) / (y1 - y0) * (high - top - 50)
        return f"{x:.1f},{y:.1f}"

    colors = ("#1b6ca8", "#2a9d8f", "#8ab17d", "#e9a23b", "#e76f51", "#9b2226", "#5f0f40")
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {wide} {high}' font-family='sans-serif' font-size='12'>"
        f"<rect width='{wide}' height='{high}' fill='white'/>"
    ]
    for exponent in range(math.ceil(x0), math.floor(x1) + 1):
        x = place(10.0**exponent, 10**y0).split(",")[0]
        parts.append(f"<line x1='{x}' y1='{top}' x2='{x}' y2='{high - 50}' stroke='#ddd'/>")
        parts.append(f"<text x='{x}' y='{high - 32}' text-anchor='middle'>1e{exponent}</text>")
    for error in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8):
        if y0 < math.log10(error) < y1:
            y = place(10**x0, error).split(",")[1]
            parts.append(f"<line x1='{left}' y1='{y}' x2='{wide - 90}' y2='{y}' stroke='#ddd'/>")
            parts.append(f"<text x='{left - 8}' y='{y}' text-anchor='end' dominant-baseline='middle'>{error:g}</text>")
    for color, size in zip(colors, [*SIZES, *NEXT], strict=True):
        mine = [p for p in points if p.size == size]
        if not mine:
            continue
        line = " ".join(place(p.flops, law.error(p.parameters, p.clips)) for p in mine)
        parts.append(f"<polyline points='{line}' fill='none' stroke='{color}' stroke-width='1.5'/>")
        for p in mine:
            x, y = place(p.flops, p.error).split(",")
            parts.append(f"<circle cx='{x}' cy='{y}' r='3' fill='{color}'/>")
        x, y = place(mine[-1].flops, mine[-1].error).split(",")
        parts.append(f"<text x='{float(x) + 8:.1f}' y='{y}' fill='{color}' dominant-baseline='middle'>{size}</text>")
    parts.append(f"<text x='{wide // 2 - 20}' y='{high - 10}' text-anchor='middle'>FLOPs of training</text>")
    parts.append(
        f"<text x='14' y='{high // 2}' text-anchor='middle' transform='rotate(-90 14 {high // 2})'>held-out error</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=8000, help="in the folder (default: 8000)")
    parser.add_argument("--steps", type=int, default=3000, help="of each run, eight clips each (default: 3000)")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"captions that are filmed (default: {TRIALS})")
    parser.add_argument("--out", type=Path, default=Path("out/scaling"), help="what exists there is used again")
    parser.add_argument("--only-films", action="store_true", help="write the films and their texts, and stop")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/scaling.md")
    given = parser.parse_args()
    if given.only_films:
        write_films(given.out / "films", given.films)
        return 0
    cache = open_cache(given.out, given.films)
    runs = {size: Run(cache, given.out, size, shape, given.steps) for size, shape in SIZES.items()}
    for run in runs.values():
        run.train()
    clips, predictions = given.steps * FilmRecipe().batch, []
    for size, shape in NEXT.items():
        next_run = Run(cache, given.out, size, shape, given.steps)
        fitted = [point for run in runs.values() for point in run.points[-FITTED:]]
        foreseen = predicted(given.out, fitted, parameters_of(next_run.config.network), clips, size)
        print(f"predicted for {size} after {clips} clips: {foreseen['error']:.4f}", file=sys.stderr)
        reached = next_run.train()[-1].error
        predictions.append(foreseen | {"reached": reached, "off": foreseen["error"] / reached - 1})
        runs[size] = next_run
    law = Law(**predictions[-1]["law"])
    trials = [episode_of(FIRST_TRIAL + i) for i in range(given.trials)]
    decoder = load_autoencoder(weights_folder() / FilmRecipe().autoencoder)
    truths = [film_of(episode) for episode in trials]
    lines = ["| parameters | clips | FLOPs | held-out error | by the law |", "|---|---|---|---|---|"]
    follow = ["| films of held-out texts by | cast right | things right | colors right |", "|---|---|---|---|"]
    sheet: list[Frames] = [truth[: FilmRecipe().frames] for truth in truths[:3]]
    captions = [f"true: {episode.captions.short[:80]}" for episode in trials[:3]]
    for run in runs.values():
        films = films_of(run.model(), trials)
        follow.append(f"| {' | '.join([run.size, *judged(films, trials)])} |")
        for point in run.points:
            by_law = law.error(point.parameters, point.clips)
            lines.append(f"| {run.size} | {point.clips:,} | {point.flops:.1e} | {point.error:.3f} | {by_law:.3f} |")
        sheet += films[:3]
        captions += [f"{run.size}: {episode.captions.short[:80]}" for episode in trials[:3]]
    back = [decoder.decode_frames(decoder.encode_frames(frames)) for frames in truths]
    follow.append(f"| {' | '.join(['true films, after the autoencoder', *judged(back, trials)])} |")
    follow.append(f"| {' | '.join(['true films of other texts', *judged([*truths[1:], truths[0]], trials)])} |")
    said = [
        "| predicted | before it was trained | reached | off by | points fitted | bar: within 5% |",
        "|---|---|---|---|---|---|",
    ]
    for one in predictions:
        before, met = f"{one['error']:.4f} ({one['date']})", "met" if abs(one["off"]) <= BAR else "**missed**"
        said.append(
            f"| {one['size']} | {before} | {one['reached']:.4f} | {100 * one['off']:+.1f}% | {one['points']} | {met} |"
        )
    formula = (
        f"The law behind the last one: error = {law.floor:.3f} + {law.size_factor:.3g} / N^{law.size_power:.2f} +"
        f" {law.clip_factor:.3g} / D^{law.clip_power:.2f}."
    )
    text = ["\n".join(said), formula, "\n".join(follow)]
    print("\n\n".join([*text, "\n".join(lines)]))
    picture = contact_sheet(sheet, captions=captions).convert("RGB")
    picture.save(given.out / "films.jpg", quality=85)
    drawn = plot([point for run in runs.values() for point in run.points], law)
    (given.out / "scaling.svg").write_text(drawn)
    if given.write:
        pictures = ROOT / "docs" / "pictures"
        (pictures / "scaling.svg").write_text(drawn)
        small = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
        small.save(pictures / "scaling.jpg", quality=75)
        command = f"python -m benchmarks.scaling --films {given.films} --steps {given.steps}"
        head = f"# What size and data buy\n\n`{command}`, {date.today()}, {machine()}\n\n"
        about = (
            f"{len(cache.names):,} films of {FRAMES} pictures of {SIDE}x{SIDE}, one to three of eight kinds of things; batches of"
            f" {FilmRecipe().batch} clips of {FilmRecipe().frames} pictures; one seed. The error is the mean over noise levels"
            " 0.25, 0.5, 0.75 and 1; 1 is that of the mean of all latents.\n\n"
        )
        end = "\n\n![error against arithmetic](../pictures/scaling.svg)\n\n![films of held-out texts](../pictures/scaling.jpg)\n"
        page = head + about + "\n\n".join(text) + "\n\n" + "\n".join(lines) + end
        (ROOT / "docs" / "measurements" / "scaling.md").write_text(page)
    return 0


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}" if sys.stderr.isatty() else "")


if __name__ == "__main__":
    raise SystemExit(main())
