"""A tiny recorded world for tests, trained in steps and added to a list of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinema.datasets.recorder import record
from kinema.engines.registry import ModelEntry, save_entry
from kinema.training.recorded_world import train_world
from kinema.training.world_lesson import WorldRecipe

RECIPE = WorldRecipe(compile=False, frames=4, batch=2, size="nano", time_every=2, context=2, autoencoder_share=0.0, window=8)


def cart_entities(env: Any) -> dict[str, dict[str, float]]:
    x, _, angle, _ = env.unwrapped.state
    return {"cart": {"x": x}, "pole": {"angle": angle}}


def add_world(folder: Path, models: Path, *, name: str = "cart", env: str = "CartPole-v1", entities: Any = None) -> Path:
    """Record an environment, train its world a few steps, and add it to the file of models. Returns the world's folder."""
    record(env, folder / "recording", episodes_wanted=4, size=(32, 48), entities=entities)
    world = train_world(folder / "recording", out=folder / "run", steps=2, recipe=RECIPE)
    save_entry(ModelEntry(name=name, source=str(world), aliases=(f"{name}-alias",)), models)
    return world
