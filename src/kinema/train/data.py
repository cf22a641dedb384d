"""The banks that a recipe trains on: built when they are missing, kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from kinema.data.bank import FORMAT, FPS, Bank, build
from kinema.train.recipe import Phase, Recipe

Progress = Callable[[str, int, int], None]


def cache_folder() -> Path:
    """KINEMA_CACHE, or `kinema` in the user's cache folder."""
    given = os.environ.get("KINEMA_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinema"


def folder_of(phase: Phase) -> Path:
    """A folder named by what is in it, so that recipes with equal phases share a bank."""
    of = {"diet": asdict(phase.diet), "base_seed": phase.base_seed, "format": FORMAT}
    of |= {} if phase.fps == FPS else {"fps": phase.fps}
    label = json.dumps(of, sort_keys=True, default=list)
    return cache_folder() / "banks" / f"{phase.name.replace(' ', '-')}-{hashlib.sha256(label.encode()).hexdigest()[:10]}"


def open_banks(recipe: Recipe, progress: Progress | None = None, *, workers: int = 2) -> dict[str, Bank]:
    """Build what is missing, open the rest."""
    banks = {}
    for phase in (*recipe.phases, recipe.acting, recipe.meeting):
        if phase.name in banks:
            continue
        folder = folder_of(phase)
        report = (lambda done, of, name=phase.name: progress(name, done, of)) if progress else None
        build(
            folder,
            phase.diet,
            episodes=phase.episodes,
            base_seed=phase.base_seed,
            fps=phase.fps,
            workers=workers,
            progress=report,
        )
        banks[phase.name] = Bank(folder, episodes=phase.episodes)
    return banks
