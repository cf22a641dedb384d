"""The episode caches that a recipe trains on: built when they are missing, kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from kinema.datasets.episode_cache import FORMAT, FPS, SHARD, EpisodeCache, Order, build_shards, simulate_shard
from kinema.errors import KinemaError, OutputError
from kinema.playground import tiny
from kinema.training.recipes import Phase, Recipe

CacheProgress = Callable[[str, int, int], None]
SIMULATION_SHARE = 1 / 3
"""Of a time budget, what simulating may take."""
LEAST_EPISODES = 64
"""Of each episode cache of a run whose time is short."""
EPISODE_BYTES = 68_000
"""Of one episode on disk, in the mean of the caches of `tiny`."""


def cache_folder() -> Path:
    """KINEMA_CACHE, or `kinema` in the user's cache folder."""
    given = os.environ.get("KINEMA_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinema"


def folder_of(phase: Phase) -> Path:
    """A folder named by what is in it, so that recipes with equal phases share an episode cache; one that is smaller than
    a shard has a folder of its own."""
    of = {"diet": asdict(phase.distribution), "base_seed": phase.base_seed, "format": FORMAT}
    of |= {} if phase.fps == FPS else {"fps": phase.fps}
    label = json.dumps(of, sort_keys=True, default=list)
    name = f"{phase.name.replace(' ', '-')}-{hashlib.sha256(label.encode()).hexdigest()[:10]}"
    return cache_folder() / "banks" / (name if phase.episodes >= SHARD else f"{name}-{phase.episodes}")


def with_episodes(recipe: Recipe, count: Callable[[Phase], int]) -> Recipe:
    """The recipe with `count(phase)` episodes in each episode cache, and no more than it had."""

    def counted(phase: Phase) -> Phase:
        return replace(phase, episodes=min(phase.episodes, count(phase)))

    acting, meeting = counted(recipe.acting), counted(recipe.meeting)
    return replace(recipe, phases=tuple(counted(phase) for phase in recipe.phases), acting=acting, meeting=meeting)


def episodes_a_minute(workers: int = 2) -> float:
    """How many episodes so many processes simulate in a minute on this machine, as busy as it is."""
    count = 12
    simulate_shard(tiny(), 0, 1)  # loads what the others need
    begun = time.monotonic()
    simulate_shard(tiny(), 0, count)
    return workers * count * 60 / (time.monotonic() - begun)


def fit_to_minutes(recipe: Recipe, minutes: float, rate: float | None = None) -> Recipe:
    """The recipe with as many episodes as are there or can be simulated in a third of the minutes, LEAST_EPISODES at least: whole
    shards, or a power of two, so that runs of about one length share them.

    rate: episodes a minute; measured where it is not given.
    """
    missing = {name: order for name, order in orders_of(recipe).items() if order.missing}
    if not missing:
        return recipe
    rate = episodes_a_minute() if rate is None else rate
    each = int(minutes * SIMULATION_SHARE * rate / len(missing))

    def count(phase: Phase) -> int:
        if phase.name not in missing:
            return phase.episodes
        whole = max(each // SHARD, missing[phase.name].missing[0]) * SHARD
        return whole or max(1 << max(each, 1).bit_length() - 1, LEAST_EPISODES)

    return with_episodes(recipe, count)


def to_simulate(recipe: Recipe) -> str:
    """One line on the episodes that are missing, how large they are and where they are kept; empty where none is."""
    orders = orders_of(recipe).values()
    count = sum(min(SHARD, order.episodes) * len(order.missing) for order in {o.folder: o for o in orders}.values())
    if not count:
        return ""
    return (
        f"simulating {count:,} episodes, about {max(round(count * EPISODE_BYTES / 1e6), 1):,} MB, kept for later runs in"
        f" {cache_folder()} (KINEMA_CACHE names another folder)"
    )


def order_of(phase: Phase) -> Order:
    """The episode cache of a phase."""
    return Order(
        folder=folder_of(phase),
        source=phase.distribution,
        episodes=phase.episodes,
        base_seed=phase.base_seed,
        fps=phase.fps,
    )


def orders_of(recipe: Recipe) -> dict[str, Order]:
    """The episode caches of a recipe by the names of their phases."""
    return {phase.name: order_of(phase) for phase in (*recipe.phases, recipe.acting, recipe.meeting)}


def build_orders(orders: Mapping[str, Order], progress: CacheProgress | None = None, *, workers: int = 2) -> None:
    """Simulate the episodes that are missing; OutputError where they cannot be written to the cache."""
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


def build_caches(recipe: Recipe, progress: CacheProgress | None = None, *, workers: int = 2) -> None:
    """`build_orders` of all that a recipe needs."""
    build_orders(orders_of(recipe), progress, workers=workers)


def open_caches(recipe: Recipe, progress: CacheProgress | None = None, *, workers: int = 2) -> dict[str, EpisodeCache]:
    """Simulate what is missing, and read all."""
    build_caches(recipe, progress, workers=workers)
    return {name: EpisodeCache(order.folder, episodes=order.episodes) for name, order in orders_of(recipe).items()}
