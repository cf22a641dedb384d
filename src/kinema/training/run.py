"""A training run from its name to a model folder: banks, codec, trainer, pictures, weights and card."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from kinema.autoencoder import Codec, load_autoencoder
from kinema.errors import InputError, ModelError
from kinema.models.config import DenoiserConfig
from kinema.models.hub import save, weights_folder
from kinema.training import checkpoint
from kinema.training.caches import open_banks
from kinema.training.recipes import Recipe, recipe
from kinema.training.samples import config_of, picture
from kinema.training.trainer import Show, Trainer


def open_codec(name: str, device: str) -> Codec:
    folder = weights_folder() / name
    if not folder.exists():
        raise ModelError(f"no codec at {folder}; train it first: python -m kinema.training.autoencoder.train --out {folder}")
    return load_autoencoder(folder, device=device)


def export(trainer: Trainer, folder: Path) -> None:
    """The averaged weights as a model that `kinema.load` takes."""
    run = trainer.recipe
    config = config_of(
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
    text = card.read_text() if card.exists() else f"# kinema-{run.name}\n\nMade by `kinema train {run.name}`.\n"
    save(folder, config, trainer.optimizer.average, text)


def train(
    name: str | Recipe,
    *,
    out: Path,
    minutes: float | None = None,
    resume: Path | None = None,
    steps: int | None = None,
    device: str = "cpu",
    show: Show | None = None,
    prepare: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Train a recipe; returns the folder of the finished model, `out`/kinema-NAME."""
    run = name if isinstance(name, Recipe) else recipe(name)
    if minutes is not None and minutes <= 0:
        raise InputError(f"{minutes} minutes: expected more than 0")
    state = checkpoint.load(resume) if resume is not None else None
    if state is not None and DenoiserConfig.from_dict(state["recipe"]["denoiser"]) != run.denoiser:
        raise InputError(f"{resume} holds a run of recipe {state['recipe']['name']!r}, not {run.name!r}; name that recipe")
    if steps is not None:
        run = replace(run, steps=steps)
    if state is None and (out / checkpoint.NAME).exists():
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    codec = open_codec(run.codec, device)
    banks = open_banks(run, prepare)
    trainer = Trainer(run, out, banks, codec, device=device, minutes=minutes)
    if state is not None:
        trainer.load(state)
    elif run.begin:
        trainer.begin(run.begin)
    trainer.run(
        show, lambda model, step: picture(run, model, codec, banks[trainer.phase.name], out / "pictures", step, device)
    )
    folder = out / f"kinema-{run.name}"
    export(trainer, folder)
    return folder
