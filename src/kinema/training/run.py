"""A training run from its name to a model folder: episode caches, autoencoder, trainer, pictures, weights and card."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from kinema.autoencoder import VideoAutoencoder, load_autoencoder
from kinema.datasets.folder_lock import locked
from kinema.devices import float32_default
from kinema.errors import InputError, ModelError
from kinema.models.config import DenoiserConfig
from kinema.models.hub import save, weights_folder
from kinema.training import checkpoint
from kinema.training.caches import fit_to_minutes, open_caches, to_simulate, with_episodes
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.recipes import RECIPES, Recipe, recipe
from kinema.training.samples import config_of_recipe, picture
from kinema.training.trainer import OnReport, Trainer

log = logging.getLogger(__name__)


def open_autoencoder(name: str, device: str) -> VideoAutoencoder:
    folder = weights_folder() / name
    if not folder.exists():
        raise ModelError(
            f"no autoencoder at {folder}; train it first: python -m kinema.training.autoencoder.train --out {folder}"
        )
    return load_autoencoder(folder, device=device)


def export(trainer: Trainer, folder: Path) -> None:
    """The averaged weights as a model that `kinema.load` takes."""
    run = trainer.recipe
    config = config_of_recipe(
        run,
        {
            "recipe": run.name,
            "steps": trainer.before + trainer.step,
            "steps_before": trainer.before,
            "minutes": round(trainer.elapsed_s / 60, 1),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {trainer.device}",
            "date": date.today().isoformat(),
            "losses": {name: round(value, 5) for name, value in trainer.running.items()},
        },
    )
    card = folder / "README.md"
    text = (
        card.read_text(encoding="utf-8") if card.exists() else f"# {run.model_name}\n\nMade by `kinema train {run.name}`.\n"
    )
    save(folder, config, trainer.optimizer.average.module.state_dict(), text)


def stored_name(recipe_data: dict[str, Any]) -> str | None:
    """Name of the recipe in a checkpoint. Where recipes of one model still shared its name, phases and trained parts tell them
    apart; None where no recipe has those."""
    name = str(recipe_data["name"])
    if "model" in recipe_data:
        return name
    sharing = [r for r in (make() for make in RECIPES.values()) if (r.model or r.name) == name]
    if len(sharing) < 2:
        return name
    for one in sharing:
        ours = json.loads(json.dumps(asdict(one), default=list))
        if all(ours[part] == recipe_data[part] for part in ("phases", "trained")):
            return one.name
    return None


def check_same(run: Recipe, state: dict[str, Any], folder: Path) -> None:
    """InputError unless the checkpoint in `folder` is of a run of this recipe."""
    data = state["recipe"]
    if not isinstance(data, dict) or "name" not in data:
        raise InputError(f"{folder} holds no run of a recipe; expected one of {run.name!r} (a world's: kinema train world)")
    with checkpoint.fitting(folder):
        name, denoiser = stored_name(data), DenoiserConfig.from_dict(data["denoiser"])
    if name is None:
        raise InputError(
            f"{folder} holds a run of a recipe for kinema-{data['name']} with other phases than any there is now, so it is not"
            f" known to be {run.name!r}; begin a new run in another --out"
        )
    if name != run.name:
        mend = "name that recipe" if name in RECIPES else f"name the folder of a run of {run.name!r}"
        raise InputError(f"{folder} holds a run of recipe {name!r}, not {run.name!r}; {mend}")
    if denoiser != run.denoiser:
        raise InputError(
            f"{folder} holds a run of {name!r} with a network of another shape; begin a new run in another --out"
        )


def within(run: Recipe, minutes: float | None, state: dict[str, Any] | None) -> Recipe:
    """The recipe as a new run with this time budget takes it: fewer episodes and no compiled graphs where the time is short. A
    run that goes on does so with what it has had."""
    if state is not None:
        stored = state["recipe"]
        phases = [*stored["phases"], *(stored[part] for part in ("acting", "meeting") if part in stored)]
        counts = {phase["name"]: int(phase["episodes"]) for phase in phases}
        run = with_episodes(run, lambda phase: counts.get(phase.name, phase.episodes))
        return replace(run, compile=run.compile and stored.get("compile", True))
    if minutes is None:
        return run
    return replace(fit_to_minutes(run, minutes), compile=run.compile and worth_compiling(minutes))


@float32_default()
def train(
    name: str | Recipe,
    *,
    out: Path,
    minutes: float | None = None,
    resume: Path | None = None,
    steps: int | None = None,
    device: str = "cpu",
    show: OnReport | None = None,
    prepare: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Train a recipe for its number of steps, or `steps`, or until `minutes` are spent; returns the folder of the finished
    model, `out`/kinema-NAME.

    The minutes include those of simulating episodes that no earlier run has left, which get a third of them: a short budget is
    trained on fewer episodes than the recipe names.

    InputError: a length that is none, a checkpoint in `resume` that is of another recipe or cannot be read, or another run
    that is writing to `out`. OutputError: `out` or the cache cannot be written to.
    """
    run = name if isinstance(name, Recipe) else recipe(name)
    check_minutes(minutes)
    check_steps(steps)
    if steps is not None:
        run = replace(run, steps=steps)
    if resume is not None:
        checkpoint.check_exists(resume)
    with locked(out):
        state = checkpoint.load_checkpoint(resume) if resume is not None else None
        if state is not None and resume is not None:
            check_same(run, state, resume)
        elif (out / checkpoint.NAME).exists():
            raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
        begun = time.monotonic()
        autoencoder = open_autoencoder(run.autoencoder, device)
        run = within(run, minutes, state)
        if missing := to_simulate(run):
            log.info(missing)
        caches = open_caches(run, prepare)
        trainer = Trainer(run, out, caches, autoencoder, device=device, minutes=minutes)
        if state is not None:
            trainer.load(state)
        elif run.begin:
            trainer.begin(run.begin)
        if state is None and minutes is not None:  # a machine that turns out slower leaves half of the time to training
            trainer.elapsed_s = min(time.monotonic() - begun, 60 * minutes / 2)
        trainer.run(
            show,
            lambda model, step: picture(run, model, autoencoder, caches[trainer.phase.name], out / "pictures", step, device),
        )
        folder = out / run.model_name
        export(trainer, folder)
        return folder
