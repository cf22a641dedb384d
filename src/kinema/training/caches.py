"""The episode caches that a recipe trains on: built when they are missing, kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from kinema.datasets.episode_cache import FORMAT, FPS, EpisodeCache, Order, build_shards
from kinema.errors import KinemaError, OutputError
from kinema.training.recipes import Phase, Recipe

CacheProgress = Callable[[str, int, int], None]


def cache_folder() -> Path:
    """KINEMA_CACHE, or `kinema` in the user's cache folder."""
    given = os.environ.get("KINEMA_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinema"


def folder_of(phase: Phase) -> Path:
    """A folder named by what is in it, so that recipes with equal phases share an episode cache."""
    of = {"diet": asdict(phase.distribution), "base_seed": phase.base_seed, "format": FORMAT}
    of |= {} if phase.fps == FPS else {"fps": phase.fps}
    label = json.dumps(of, sort_keys=True, default=list)
    return cache_folder() / "banks" / f"{phase.name.replace(' ', '-')}-{hashlib.sha256(label.encode()).hexdigest()[:10]}"


def orders_of(recipe: Recipe) -> dict[str, Order]:
    """The episode caches of a recipe by the names of their phases."""
    phases = {phase.name: phase for phase in (*recipe.phases, recipe.acting, recipe.meeting)}
    return {
        name: Order(
            folder=folder_of(phase),
            source=phase.distribution,
            episodes=phase.episodes,
            base_seed=phase.base_seed,
            fps=phase.fps,
        )
        for name, phase in phases.items()
    }


def build_caches(recipe: Recipe, progress: CacheProgress | None = None, *, workers: int = 2) -> None:
    """Simulate the episodes that are missing; OutputError where they cannot be written to the cache."""
    orders = orders_of(recipe)
    names = list(orders)
    report = (lambda which, done, of: progress(names[which], done, of)) if progress else None
    try:
        build_shards(list(orders.values()), workers=workers, progress=report)
    except KinemaError:
        raise
    except OSError as error:
        raise OutputError(
            f"the episodes cannot be written to {cache_folder()}: {error.strerror or error}; set KINEMA_CACHE to a folder with"
            " space that can be written to"
        ) from None


def open_caches(recipe: Recipe, progress: CacheProgress | None = None, *, workers: int = 2) -> dict[str, EpisodeCache]:
    """Simulate what is missing, and read all."""
    build_caches(recipe, progress, workers=workers)
    return {name: EpisodeCache(order.folder, episodes=order.episodes) for name, order in orders_of(recipe).items()}
