"""The first second after a clip: python -m benchmarks.first_second [--clips N] [--collisions N] [--hidden N] [--write]

Clips of the arena's test 8 are perceived, and a world is begun by the perceived state as it is, and with some of its fields
replaced by the truth: what falls away names the cause. Then collisions of the arena's test 4, judged by states, not by pictures,
and what a world says of things behind a screen (test 6).

--write puts the figures into docs/measurements/first-second.md.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import date

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT, described
from benchmarks.sharp.figures import share

from kinema.api import perceive
from kinema.evaluation.cases import FPS
from kinema.evaluation.kinema_model import KinemaModel
from kinema.evaluation.tasks.conservation import CONSERVATION, physical_rules
from kinema.evaluation.tasks.foresight import FUTURE, KNOWN
from kinema.evaluation.tasks.permanence import PERMANENCE
from kinema.media import Clip
from kinema.scene.scene import Scene
from kinema.simulation.world import World
from kinema.statistics import mean_interval

HIDDEN = 0.1
"""A thing of which less than this share is in sight is hidden."""
AHEAD = (1, 4, 8, 16, 24)
"""Frames after the last shown one."""
FIELDS = {
    "as perceived": (),
    "true sizes": ("size",),
    "true velocities": ("vx", "vy"),
    "true sizes and velocities": ("size", "vx", "vy"),
    "all true": ("size", "material", "x", "y", "vx", "vy", "angle", "visible"),
}
CONSTANT = ("size", "material")
"""Fields that have one value for the whole clip."""


def slots_of(scene: Scene, truth: Scene) -> list[int] | None:
    """For each thing of the truth its slot in another scene; None if the casts differ."""
    found = [[j for j in scene.entities if scene.name(j) == truth.name(k)] for k in truth.entities]
    same = len(scene.entities) == len(truth.entities) and all(len(slots) == 1 for slots in found)
    return [slots[0] for slots in found] if same else None


def corrected(scene: Scene, truth: Scene, slots: list[int], names: tuple[str, ...]) -> Scene:
    """A scene with some fields of the truth."""
    fields = {name: getattr(scene, name).copy() for name in names}
    for name, value in fields.items():
        for k, j in zip(truth.entities, slots, strict=True):
            if name in CONSTANT:
                value[j] = getattr(truth, name)[k]
            else:
                value[:, j] = getattr(truth, name)[: scene.num_frames, k]
    return replace(scene, **fields)


def ahead(model: KinemaModel, start: Scene, frames: int, seed: int) -> Scene:
    """What a world begun by a state foretells."""
    world = World(model.model, start, seed=seed, fps=FPS, size=model.size)
    for _ in range(frames):
        world.step()
    return world.scene.frames(slice(-frames, None))


def clips(model: KinemaModel, count: int) -> list[str]:
    """Rows of a table: errors of places after so many frames, and of the speeds at the end of the clip."""
    errors: dict[tuple[str, int], list[float]] = {(how, t): [] for how in FIELDS for t in AHEAD}
    speeds: list[float] = []
    for number in range(count):
        case = FUTURE.case(str(number))
        truth, last = case.truth, KNOWN - 1
        scene = perceive(Clip(frames=case.context, fps=FPS), model=model.model, seed=case.seed)
        slots = slots_of(scene, truth)
        if slots is None:
            continue
        for k, j in zip(truth.entities, slots, strict=True):
            if truth.visible[last, k] >= 0.5:
                speeds.append(float(np.hypot(scene.vx[last, j] - truth.vx[last, k], scene.vy[last, j] - truth.vy[last, k])))
        for how, names in FIELDS.items():
            later = ahead(model, corrected(scene, truth, slots, names), AHEAD[-1], case.seed)
            of = slots_of(later, truth)
            assert of is not None, "identities stay"
            for t in AHEAD:
                at = last + t
                errors[how, t] += [
                    float(np.hypot(later.x[t - 1, j] - truth.x[at, k], later.y[t - 1, j] - truth.y[at, k]))
                    for k, j in zip(truth.entities, of, strict=True)
                    if truth.visible[at, k] >= 0.5
                ]
    rows = [f"| speeds at the end of a clip, units/s: mean, median | {shown(speeds)}, {np.median(speeds):.2f} |"]
    for how in FIELDS:
        cells = ", ".join(f"{t}: {np.mean(errors[how, t]):.3f}" for t in AHEAD)
        rows.append(f"| places after frames, {how}, mean in units (n = {len(errors[how, AHEAD[0]])}) | {cells} |")
    return rows


def shown(values: list[float]) -> str:
    mean, low, high = mean_interval(values)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}], n = {len(values)}"


def collisions(model: KinemaModel, count: int) -> list[str]:
    """Rows of a table: collisions that keep the rules, from perceived and from true states."""
    right: dict[str, list[bool]] = {"perceived": [], "true": []}
    for number in range(count):
        case = CONSERVATION.case(str(number))
        truth = case.truth
        scene = perceive(Clip(frames=case.context, fps=FPS), model=model.model, seed=case.seed)
        for how, start in (("perceived", scene), ("true", truth.frames(slice(0, case.known)))):
            slots = slots_of(start, truth)
            later = ahead(model, start, case.horizon, case.seed) if slots is not None else None
            of = slots_of(later, truth) if later is not None else None
            at = np.arange(case.known, truth.num_frames)
            right[how].append(
                later is not None
                and of is not None
                and all(physical_rules(later.x[:, of[:2]], at, truth, int(case.marks["hit"])).values())
            )
    return [f"| collisions that keep the rules, by states, from {how} ones | {share(kept)} |" for how, kept in right.items()]


def hidden(model: KinemaModel, count: int) -> list[str]:
    """Rows of a table: what a world says of things that a screen hides wholly, in the frames in which it does."""
    seen, off = [], []
    for item in PERMANENCE.examples("quick")[:count]:
        case = PERMANENCE.case(item)
        truth, frames = case.truth.frames(slice(case.known, None)), min(case.horizon, AHEAD[-1])
        world = World(model.model, Clip(frames=case.context, fps=FPS), seed=case.seed, fps=FPS, size=model.size)
        for t in range(frames):
            world.step(None if case.actions is None else case.actions[case.known - 1 + t])
        later = world.scene.frames(slice(-frames, None))
        slots = slots_of(later, case.truth)
        for k, j in zip(truth.entities, slots or [], strict=slots is not None):
            away = truth.visible[:frames, k] < HIDDEN
            if away.any():
                seen.append(float(later.visible[away, j].mean()))
                places = np.hypot(later.x[:, j] - truth.x[:frames, k], later.y[:, j] - truth.y[:frames, k])
                off.append(float(places[away].mean()))
    return [
        f"| things hidden by a screen: share in sight by the world (truth: 0) | {shown(seen)} |",
        f"| - places off by, units | {shown(off)} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kinema-tiny")
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--collisions", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=12)
    parser.add_argument("--write", action="store_true", help="write docs/measurements/first-second.md")
    given = parser.parse_args()
    model = KinemaModel(given.model)
    rows = [*clips(model, given.clips), *collisions(model, given.collisions), *hidden(model, given.hidden)]
    print("\n".join(rows))
    if given.write:
        counts = f"--clips {given.clips} --collisions {given.collisions} --hidden {given.hidden}"
        command = f"python -m benchmarks.first_second {counts}"
        head = f"# The first second after a clip\n\n`{command}`; {described(given.model)}; {date.today()}, {machine()}\n\n"
        table = "| what | measured |\n|---|---|\n" + "\n".join(rows) + "\n"
        (ROOT / "docs" / "measurements" / "first-second.md").write_text(head + table)


if __name__ == "__main__":
    run_benchmark(main)
