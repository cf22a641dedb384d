"""How fast at 128 px: a live world with its pictures, and a film of four seconds."""

from __future__ import annotations

import time

import numpy as np
from benchmarks.sharp.figures import Figure

import kinema
from kinema.models.hub import Model
from kinema.simulation.world import World

SIDE = 128
WARM = 20
PROMPT = "a red ball, a yellow car and a green robot on a field"


def spread(values: list[float]) -> str:
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:.2f} [{low:.2f}, {high:.2f}], n = {len(values)}"


def live(model: Model, count: int) -> list[Figure]:
    """Medians, with the 10th and 90th percentile, of a step with its picture, and of a whole film."""
    world = World(model, PROMPT, seed=1, size=(SIDE, SIDE))
    steps = []
    for number in range(WARM + 2 * count):
        begun = time.perf_counter()
        world.step((0.5, 0.0))
        if number >= WARM:
            steps.append(1.0 / (time.perf_counter() - begun))
    films = []
    for seed in range(1 + max(3, count // 16)):
        begun = time.perf_counter()
        kinema.generate("a red ball rolls right and hits a blue box", model=model, seconds=4, size=(SIDE, SIDE), seed=seed)
        films.append(time.perf_counter() - begun)
    return [
        Figure(what=f"live, {SIDE} px, one world: frames a second, step and picture", measured=spread(steps)),
        Figure(what=f"a film of 4 s at {SIDE} px, warm, seconds", measured=spread(films[1:])),
    ]
