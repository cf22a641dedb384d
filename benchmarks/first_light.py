"""What the shipped model shows, measured: python -m benchmarks.first_light [--model NAME] [--share N] [--write]

Every figure is on fresh episodes (seeds that no training uses). Pictures are judged by `kinema.playground.parser`, which knows
nothing of the model; the same questions are put to the true pictures and to their round trip through the codec, so that what
the parser cannot see is not blamed on the model. Things that are missing count as failures. --write puts the table into
docs/measurements.md and contact sheets beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from numpy.typing import NDArray

import kinema
from kinema.canvas import conditioning
from kinema.canvas.canvas import blank
from kinema.evaluation.tasks.prompts import read_identities
from kinema.inference.canvas_io import encode_frames
from kinema.inference.pipeline import fill_canvas
from kinema.inference.sampling import SamplingConfig
from kinema.media import Clip
from kinema.models.hub import DEFAULT, Model, find, read_config
from kinema.playground import Episode, SceneDistribution, simulate, tiny
from kinema.playground.parser import ParsedObject, parse_clip
from kinema.playground.renderer import render_scene
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.training.samples import sheet

Frames = NDArray[np.uint8]
SEED = 900_000_000
"""Episodes from here on are never trained on."""
LOST = 5.0
"""Error in units of a thing that cannot be found."""
ROOT = Path(__file__).parent.parent


@dataclass
class Row:
    what: str
    bar: str
    measured: str
    met: bool | None


def interval(rights: list[bool]) -> str:
    """Share right with a 95% bootstrap interval."""
    values = np.array(rights, float)
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return f"{100 * values.mean():.1f}% [{100 * low:.0f}, {100 * high:.0f}], n = {len(values)}"


def episodes(
    distribution: SceneDistribution, count: int, first: int, keep: Callable[[Episode], bool] = lambda _: True
) -> list[Episode]:
    found: list[Episode] = []
    seed = SEED + first
    while len(found) < count:
        episode = simulate(distribution, seed, fps=16.0, num_frames=64)
        found += [episode] if keep(episode) else []
        seed += 1
    return found


def cast_of(scene: Scene) -> Counter[str]:
    return Counter(scene.name(slot) for slot in scene.entities)


def round_trip(model: Model, frames: Frames) -> Frames:
    return model.autoencoder.decode_frames(model.autoencoder.encode_frames(frames))  # type: ignore[no-any-return]


def prompts(model: Model, held_out: str, count: int) -> tuple[list[bool], list[bool], list[bool], list[tuple[str, Frames]]]:
    """Two-entity prompts filmed for two seconds: right by the model, by the truth, by the codec; and what was filmed."""
    distribution = replace(tiny(), min_entities=2, max_entities=2, held_out=held_out)
    made, true, coded, rows = [], [], [], []
    for i, episode in enumerate(episodes(distribution, count, 0 if held_out == "exclude" else 500_000)):
        wanted = cast_of(episode.scene)
        clip = kinema.generate(episode.captions.short, model=model, seconds=2, seed=i)[0]
        made.append(read_identities(clip.frames) == wanted)
        if i < count // 4:
            truth = render_scene(episode.scene.frames(slice(0, 32)), height=64, width=64)
            true.append(read_identities(truth) == wanted)
            coded.append(read_identities(round_trip(model, truth)) == wanted)
        rows.append((f"{'right' if made[-1] else 'WRONG'}: {episode.captions.short}", clip.frames))
    return made, true, coded, rows


def directions(model: Model, count: int) -> list[bool]:
    """'a red ball rolls left': the sign of the way of the thing of that color over the first second."""
    verbs = {"ball": "rolls", "box": "slides", "triangle": "slides", "star": "moves", "car": "drives", "robot": "walks"}
    rng = np.random.default_rng(5)
    distribution = tiny()
    pairs = [(k, c) for k, c in distribution.pairs() if k < 6]
    rights = []
    for i in range(count):
        kind, color = pairs[rng.integers(len(pairs))]
        name = f"{COLORS[color]} {KINDS[kind]}"
        top = rng.random() < 0.3
        way = ("left", "right", "up", "down")[rng.integers(4 if top else 2)]
        prompt = f"a {name} {verbs[name.split()[1]] if not top else 'moves'} {way}" + (" seen from above" if top else "")
        clip = kinema.generate(prompt, model=model, seconds=1.125, seed=i)[0]
        rights.append(_way_right(parse_clip(clip.frames[[0, 4, 8, 12, 16]]), name.split()[0], way))
    return rights


def _way_right(frames: list[list[ParsedObject]], color: str, way: str) -> bool:
    path = [next((seen for seen in frame if seen.color == color), None) for frame in frames]
    found = [seen for seen in path if seen is not None]
    if len(found) < 2:
        return False
    dx, dy = found[-1].x - found[0].x, found[-1].y - found[0].y
    moved = {"right": dx, "left": -dx, "up": dy, "down": -dy}[way]
    return moved > 0.25


def next_second(model: Model, count: int) -> dict[str, float]:
    """Three known frames, sixteen filmed; episodes in which something collides or bounces in that second. Mean distance of
    each thing in view from the truth, found by the parser in the filmed frames, against copying and constant velocity."""

    def eventful(episode: Episode) -> bool:
        return any(event.kind in ("collide", "bounce") and 0.25 < event.time_s < 1.1 for event in episode.events)

    errors: dict[str, list[float]] = {"parser": [], "state": [], "copy": [], "straight": []}
    for i, episode in enumerate(episodes(tiny(), count, 1_000_000, eventful)):
        scene = episode.scene.frames(slice(0, 19))
        truth = render_scene(scene, height=64, width=64)
        clip = Clip(frames=truth[:3], fps=16.0)
        made = kinema.extend(clip, seconds=1.0, model=model, seed=i)
        assert made.state is not None
        parsed = parse_clip(made.frames[3:])
        for slot in scene.entities:
            for t in range(3, 19):
                if scene.visible[t, slot] < 0.5:
                    continue
                place = np.array([scene.x[t, slot], scene.y[t, slot]])
                last, before = (np.array([scene.x[j, slot], scene.y[j, slot]]) for j in (2, 1))
                errors["copy"].append(float(np.linalg.norm(last - place)))
                errors["straight"].append(float(np.linalg.norm(last + (t - 2) * (last - before) - place)))
                errors["parser"].append(_nearest(parsed[t - 3], scene.name(slot), place))
                errors["state"].append(_state_error(made.state, t, scene, slot, place))
    return {name: float(np.mean(values)) for name, values in errors.items()}


def _nearest(seen: list[ParsedObject], name: str, place: NDArray[np.float32]) -> float:
    """Distance of the thing of that color (of that name, if several) or LOST."""
    color = name.split()[0]
    mine = [s for s in seen if f"{s.color} {s.kind}" == name] or [s for s in seen if s.color == color]
    return min((min(float(np.hypot(s.x - place[0], s.y - place[1])), LOST) for s in mine), default=LOST)


def _state_error(found: Scene, t: int, scene: Scene, slot: int, place: NDArray[np.float32]) -> float:
    """Distance by the model's own state: the entity of that name, else the one in the same slot, else LOST."""
    named = [k for k in found.entities if found.name(k) == scene.name(slot)]
    which = named[0] if named else slot if slot in found.entities else None
    return LOST if which is None else float(np.hypot(found.x[t, which] - place[0], found.y[t, which] - place[1]))


def perceive(model: Model, count: int) -> tuple[float, float, list[bool], list[bool]]:
    """Mean and median position error of visible things over 20 frames, matched by nearest place; kind right, color right."""
    errors, kinds, colors = [], [], []
    for i, episode in enumerate(episodes(tiny(), count, 2_000_000)):
        scene = episode.scene.frames(slice(0, 20))
        found = kinema.perceive(Clip(frames=render_scene(scene, height=64, width=64), fps=16.0), model=model, seed=i)
        for slot in scene.entities:
            seen = scene.visible[:, slot] > 0.5
            if not seen.any():
                continue
            apart = {
                k: float(np.hypot(found.x[seen, k] - scene.x[seen, slot], found.y[seen, k] - scene.y[seen, slot]).mean())
                for k in found.entities
            }
            best = min(apart, key=lambda k: apart[k], default=None)
            errors.append(LOST if best is None else min(apart[best], LOST))
            kinds.append(best is not None and found.kind[best] == scene.kind[slot])
            colors.append(best is not None and found.color[best] == scene.color[slot])
    return float(np.mean(errors)), float(np.median(errors)), kinds, colors


def psnr(a: Frames, b: Frames) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def rendering(model: Model, count: int) -> tuple[float, float, list[tuple[str, Frames]]]:
    """PSNR of filmed states against the true renderer, and of the codec's round trip, which bounds it."""
    made, bound, rows = [], [], []
    for i, episode in enumerate(episodes(tiny(), count, 3_000_000)):
        scene = episode.scene.frames(slice(0, 20))
        truth = render_scene(scene, height=64, width=64)
        clip = kinema.render(scene, model=model, size=(64, 64), seed=i)
        made.append(psnr(clip.frames, truth))
        bound.append(psnr(round_trip(model, truth), truth))
        rows += [("true renderer", truth), (f"filmed from the state, {made[-1]:.1f} dB", clip.frames)]
    return float(np.mean(made)), float(np.mean(bound)), rows


def known_cells(model: Model) -> bool:
    """Generate with a first picture, extend, infill: known cells are the same bits after filling."""
    frames = render_scene(simulate(tiny(), SEED, fps=16.0, num_frames=20).scene, height=64, width=64)
    cells = encode_frames(model, frames, 64, 64)
    empty = blank(batch=1, frames=20, fps=16.0, slots=4, grid=(4, 4), cell_values=cells.shape[-1])
    laid = (
        conditioning.known_frames(empty, [0], cells[:, :1]),
        conditioning.condition_extend(empty, cells[:, :5]),
        conditioning.condition_infill(empty, [0, 9, 19], cells[:, [0, 9, 19]]),
    )
    for canvas in laid:
        done = fill_canvas(model, canvas, SamplingConfig(num_plan_steps=4, num_render_steps=2), [0])
        known = (canvas.levels["video"] == 0)[..., None].expand_as(canvas.values["video"])
        if not torch.equal(done.values["video"][known], canvas.values["video"][known]):
            return False
    return True


def timings(model: Model, name: str) -> tuple[float, float, float]:
    """Seconds for a 4 s clip: warm with four steps, warm with the usual sixteen, and a cold process to the MP4."""
    prompt = "a red ball rolls right and hits a blue box"
    warm = {}
    for steps in (4, 16):
        options = SamplingConfig(num_plan_steps=steps)
        times = []
        for seed in range(4):
            begun = time.perf_counter()
            kinema.generate(prompt, model=model, seconds=4, seed=seed, options=options)
            times.append(time.perf_counter() - begun)
        warm[steps] = float(np.median(times[1:]))
    cold = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(3):
            begun = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "kinema.cli.main",
                "generate",
                prompt,
                "--model",
                name,
                "-o",
                f"{folder}/{i}.mp4",
            ]
            subprocess.run(command, check=True, capture_output=True)
            cold.append(time.perf_counter() - begun)
    return warm[4], warm[16], float(np.median(cold))


def measure(name: str, share: int, pictures: Path | None) -> list[Row]:
    model = kinema.load(name)
    scale = share
    rows: list[Row] = []

    def note(what: str, bar: str, measured: str, met: bool | None) -> None:
        rows.append(Row(what, bar, measured, met))
        print(f"{'ok  ' if met else 'MISS' if met is not None else '    '}  {what}: {measured}  (bar {bar})", flush=True)

    sheets: dict[str, list[tuple[str, Frames]]] = {}
    for held_out, bar, label in (("exclude", 85, "known combinations"), ("only", 60, "held-out combinations")):
        made, true, coded, filmed = prompts(model, held_out, 200 // scale)
        share = 100 * np.mean(made)
        note(f"prompts followed, {label}", f">= {bar}%", interval(made), bool(share >= bar))
        note(
            "- the same by the true pictures / their codec round trip",
            "-",
            f"{100 * np.mean(true):.0f}% / {100 * np.mean(coded):.0f}%",
            None,
        )
        sheets[f"prompts-{held_out}"] = filmed[:10]
    ways = directions(model, 200 // scale)
    note("direction of motion right", ">= 85%", interval(ways), bool(np.mean(ways) >= 0.85))
    ahead = next_second(model, 64 // scale)
    best = min(ahead["copy"], ahead["straight"])
    note(
        "next second from three frames, center error", "<= half the best trivial",
        f"{ahead['parser']:.2f} by the parser, {ahead['state']:.2f} by the state track; copy {ahead['copy']:.2f}, straight on "
        f"{ahead['straight']:.2f} (best trivial / 2 = {best / 2:.2f})", ahead["parser"] <= best / 2,
    )  # fmt: skip
    mean, median, kinds, colors = perceive(model, 100 // scale)
    note("perceive: position error", "<= 0.25 units", f"mean {mean:.2f}, median {median:.2f}", mean <= 0.25)
    note("perceive: kind", ">= 95%", interval(kinds), bool(np.mean(kinds) >= 0.95))
    note("perceive: color", ">= 95%", interval(colors), bool(np.mean(colors) >= 0.95))
    made_db, bound_db, drawn = rendering(model, 40 // scale)
    note(
        "render: PSNR against the true renderer", ">= 24 dB", f"{made_db:.1f} dB (codec bound {bound_db:.1f})", made_db >= 24
    )
    sheets["render"] = drawn[:8]
    note(
        "known cells bit-identical after generate, extend, infill",
        "yes",
        "yes" if known_cells(model) else "no",
        known_cells(model),
    )
    few, usual, cold = timings(model, name)
    note("4 s, 64x64, 16 fps, warm, few-step (4 + 1)", "<= 4 s", f"{few:.2f} s ({usual:.2f} s with 16 + 1)", few <= 4)
    note("cold process to MP4", "<= 15 s", f"{cold:.1f} s", cold <= 15)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for title, strips in sheets.items():
            sheet(strips).save(pictures / f"{title}.jpg", quality=90, subsampling=0)
    return rows


def described(name: str) -> str:
    """A model's name with the training step of its weights: a figure belongs to weights, not to a name."""
    steps = read_config(find(name)).trained.get("steps")
    return name if steps is None else f"{name} (step {steps:,})"


def write_table(title: str, module: str, model: str, share: int, rows: list[Row]) -> None:
    """docs/measurements/: the table with its command, machine and date, and the same as JSON."""
    folder = ROOT / "docs" / "measurements"
    folder.mkdir(exist_ok=True)
    lines = ["| what | bar | measured | met |", "|---|---|---|---|"]
    lines += [
        f"| {r.what} | {r.bar} | {r.measured} | {'' if r.met is None else 'yes' if r.met else '**no**'} |" for r in rows
    ]
    part = f"one in {share} of the episodes" if share > 1 else "all episodes"
    head = f"# {title}\n\n`python -m benchmarks.{module}`, {described(model)}, {part}, {date.today()}, {machine()}\n\n"
    name = module.replace("_", "-")
    (folder / f"{name}.md").write_text(head + "\n".join(lines) + "\n")
    (folder / f"{name}.json").write_text(json.dumps([row.__dict__ for row in rows], indent=1, default=str) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only one in N of the episodes, for a quick look")
    parser.add_argument("--write", action="store_true", help="write docs/measurements.md and docs/pictures/")
    arguments = parser.parse_args()
    rows = measure(arguments.model, arguments.share, ROOT / "docs" / "pictures" if arguments.write else None)
    if arguments.write:
        write_table("First light", "first_light", arguments.model, arguments.share, rows)
    return 0


if __name__ == "__main__":
    run_benchmark(main)
