"""Power of the arena's distribution test: python -m benchmarks.distribution_power [--films N ...] [--write]

How often does the test (MMD^2 of state features above the 95% quantile of its permutation null) tell true clips from altered
ones, with so many films of each? Features are those of the arena, computed from the true scenes instead of from the parser's
reading of their pictures, so that thousands of clips take seconds; reading adds noise, so take the table as an upper bound.
"truth" is the false alarm rate, which should be near 5%. --write puts the table into docs/measurements/distribution-power.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from numpy.typing import NDArray

from kinema.evaluation.cases import VISIBLE_SHARE, sample_episodes
from kinema.evaluation.tasks.distribution import FRAMES, LOOKS, state_features
from kinema.playground import tiny
from kinema.playground.parser import ParsedObject
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.statistics import standardized

Doubles = NDArray[np.float64]
POOL = 600
"""Clips of each pool that samples are drawn from; the true and the altered are of different episodes."""
TRIES, DRAWS = 100, 100
FASTEST = 2.0


def read(scene: Scene, frame: int) -> list[ParsedObject]:
    """What is in sight in a frame, as a parser without errors would read it."""
    return [
        ParsedObject(
            kind=KINDS[scene.kind[k]], color=COLORS[scene.color[k]], x=float(scene.x[frame, k]), y=float(scene.y[frame, k]),
            size=float(scene.size[k]), score=1.0,
        )
        for k in scene.entities
        if scene.visible[frame, k] >= VISIBLE_SHARE
    ]  # fmt: skip


def played(scene: Scene, rate: float) -> list[list[ParsedObject]]:
    """What is read at LOOKS when a scene is played at so many times its speed."""
    return [read(scene, round(look * rate)) for look in LOOKS]


def cheats() -> dict[str, Callable[[list[Scene]], list[list[list[ParsedObject]]]]]:
    """Altered clips, by what is wrong with them."""

    def at(rate: float) -> Callable[[list[Scene]], list[list[list[ParsedObject]]]]:
        return lambda scenes: [played(scene, rate) for scene in scenes]

    def copies(count: int) -> Callable[[list[Scene]], list[list[list[ParsedObject]]]]:
        return lambda scenes: [played(scenes[i % count], 1.0) for i in range(len(scenes))]

    def less(scene: Scene) -> Scene:
        return replace(scene, visible=np.where(np.arange(scene.num_slots) == scene.entities[-1], 0.0, scene.visible))

    return {
        "truth (false alarms)": at(1.0),
        "first frame frozen": at(0.0),
        "one film for every caption": copies(1),
        "8 films over and over": copies(8),
        "one thing missing": lambda scenes: [played(less(scene), 1.0) for scene in scenes],
        "half the speed": at(0.5),
        "1.2 times the speed": at(1.2),
        "1.5 times the speed": at(1.5),
        "twice the speed": at(2.0),
    }


def rejects(a: Doubles, b: Doubles, rng: np.random.Generator) -> bool:
    """Whether MMD^2 of two samples of equal size is above the 95% quantile of its permutation null (as `mmd_test` computes it)."""
    a, b = standardized(a, b)
    both, n = np.concatenate([a, b]), len(a)
    kernel = (1.0 + both @ both.T / both.shape[1]) ** 3
    np.fill_diagonal(kernel, 0.0)
    sides = np.zeros((2 * n, DRAWS + 1))
    sides[:n, 0] = 1.0
    for column in range(1, DRAWS + 1):
        sides[rng.permutation(2 * n)[:n], column] = 1.0
    mine, other = kernel @ sides, kernel @ (1.0 - sides)
    within = ((sides * mine).sum(0) + ((1.0 - sides) * other).sum(0)) / (n * (n - 1))
    values = within - 2.0 * (sides * other).sum(0) / n**2
    return bool(values[0] > np.quantile(values[1:], 0.95))


def measure(films: list[int], pool: int = POOL, tries: int = TRIES) -> list[dict[str, str]]:
    """One row for each alteration: the share of `tries` in which it is told from the truth."""
    frames = round((FRAMES - 1) * FASTEST) + 1
    found = sample_episodes(tiny(), 2 * pool, 8_000_000, frames=frames, keep=lambda e: not e.has_action)
    scenes = [episode.scene for episode in found]
    real = np.array([state_features(played(scene, 1.0)) for scene in scenes[:pool]])
    rows = []
    for name, alter in cheats().items():
        made = np.array([state_features(clip) for clip in alter(scenes[pool:])])
        row, rng = {"films are": name}, np.random.default_rng(0)
        for count in films:
            told = [
                rejects(real[rng.choice(pool, count, replace=False)], made[rng.choice(pool, count, replace=False)], rng)
                for _ in range(tries)
            ]
            row[f"{count} films"] = f"{100 * np.mean(told):.0f}%"
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, nargs="+", default=[24, 48, 120, 240])
    parser.add_argument("--write", action="store_true", help="write docs/measurements/distribution-power.md")
    given = parser.parse_args()
    rows = measure(given.films)
    if given.write:
        folder = ROOT / "docs" / "measurements"
        head = (
            "# Power of the distribution test\n\n`python -m benchmarks.distribution_power"
            f" --films {' '.join(map(str, given.films))} --write`, {date.today()}, {machine()}. Share of {TRIES} tries in which the"
            " films are told from true ones (p < 0.05), by the arena's state features of true scenes; no model is in it.\n\n"
        )
        table = [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0])]
        table += [f"| {' | '.join(row.values())} |" for row in rows]
        (folder / "distribution-power.md").write_text(head + "\n".join(table) + "\n")
        (folder / "distribution-power.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
