"""A model that films, from a folder of captioned clips: kinema train video --data DIR."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import torch

from kinema.autoencoder import VideoAutoencoder, load_autoencoder, to_uint8
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.folder_lock import locked
from kinema.datasets.latent_cache import LatentCache, LatentCacheConfig
from kinema.devices import float32_default
from kinema.errors import InputError
from kinema.inference.dit_films import fill_frames
from kinema.media.contact_sheet import contact_sheet
from kinema.models.dit import SIZES, DiTConfig
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import save, weights_folder
from kinema.text import default_encoder
from kinema.training import checkpoint
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.length import check_minutes, check_steps, worth_compiling

log = logging.getLogger(__name__)

MINUTES = 60.0
CACHE = "latents"
"""The folder, in the run's, of clips as latents."""
SHOWN = 4
"""Held-out captions that the picture of a run shows."""


def film_config(cache: LatentCache, recipe: FilmRecipe, about: str) -> DiTModelConfig:
    """What a model of these clips is."""
    across, depth, heads = SIZES[recipe.size]
    shapes = cache.buckets(recipe.frames)
    (rows, columns), _ = max(shapes.items(), key=lambda item: item[1])
    return DiTModelConfig(
        name=f"film-{about}",
        network=DiTConfig(
            width=across, depth=depth, heads=heads, channels=cache.channels, patch=recipe.patch, time_every=recipe.time_every,
            text_dim=cache.text_dim,
        ),
        autoencoder=recipe.autoencoder, height=8 * rows, width=8 * columns, fps=recipe.fps, frames=recipe.frames,
        film={"about": about, "clips": len(cache.names)},
    )  # fmt: skip


def train_video(
    data: Path | str,
    *,
    out: Path | str,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    recipe: FilmRecipe | None = None,
    device: str = "cpu",
    show: Callable[[str], None] | None = None,
) -> Path:
    """Train a model that films on captioned clips; returns the folder of the finished model, `out`/film.

    data: what `CaptionedClips.open` takes: a folder of videos with texts, WebDataset shards, a LeRobot dataset. minutes: of the
    training, besides those in which clips are encoded, once. With neither minutes nor steps, an hour, or what a resumed run was
    given. resume: go on with the run in `out`.

    InputError: a length that is none, clips that cannot be used or are not those that the run began with, a checkpoint of another
    run, or another run that is writing to `out`. OutputError: `out` cannot be written to.
    """
    wish, out = recipe or FilmRecipe(), Path(out)
    check_minutes(minutes)
    check_steps(steps)
    if resume:
        checkpoint.check_exists(out)
    elif (out / checkpoint.NAME).exists():
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    clips = CaptionedClips.open(data)
    with locked(out), torch.inference_mode(False), torch.enable_grad(), float32_default():
        return _train(clips, wish, out, minutes, steps, resume, device, show)


def _train(
    clips: CaptionedClips,
    wish: FilmRecipe,
    out: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    device: str,
    show: Callable[[str], None] | None,
) -> Path:
    state = checkpoint.load_checkpoint(out) if resume else None
    identity = {"clips": clips.identity()}
    if state is not None and state.get("data") != identity:
        raise InputError(f"{clips.path} holds other clips than those that the run in {out} began with; name another --out")
    if minutes is None and steps is None:
        steps, minutes = (state["steps"], state["minutes"]) if state is not None else (None, MINUTES)
    wish = replace(wish, compile=wish.compile and worth_compiling(minutes, steps))
    autoencoder = load_autoencoder(weights_folder() / wish.autoencoder, device=device)
    settings = LatentCacheConfig(short_side=wish.short_side, patch_px=8 * wish.patch, fps=wish.fps)
    reading = (lambda done, of: show(f"encoding clip {done} of {of}")) if show else None
    cache = LatentCache.build(
        clips, out / CACHE, autoencoder=autoencoder, text=default_encoder(), config=settings, show=reading
    )
    wish = replace(wish, frames=min(wish.frames, cache.longest(), cache.longest(held_out=True)))
    config = film_config(cache, wish, Path(str(clips.path).rstrip("/")).name or "clips")
    lesson = ClipsLesson(cache, wish)
    trainer = DiTTrainer(wish, config, lesson, out, minutes=minutes, steps=steps, device=device, data=identity)
    before = lesson.held_out_loss(trainer.averaged_network(), trainer.device)
    if state is not None:
        trainer.load(state)
    trainer.run(show)
    after = lesson.held_out_loss(trainer.averaged_network(), trainer.device)
    figures = {f"held_out_{level:g}": value for level, value in after.items()}
    figures |= {f"untrained_{level:g}": value for level, value in before.items()}
    folder = out / "film"
    trained = {
        "recipe": "video", "data": str(clips.path), "clips": len(cache.names), "steps": trainer.step,
        "minutes": round(trainer.elapsed_s / 60, 1), "date": date.today().isoformat(), "settings": asdict(wish),
        "figures": {name: round(value, 4) for name, value in figures.items()},
    }  # fmt: skip
    done = replace(config, trained=trained)
    save(folder, done, trainer.optimizer.average.module.state_dict(), film_card(done, figures))
    shutil.copytree(weights_folder() / wish.autoencoder, folder / wish.autoencoder, dirs_exist_ok=True)
    _picture(trainer, cache, wish.frames, autoencoder, out / "films.png")
    return folder


def _picture(trainer: DiTTrainer, cache: LatentCache, frames: int, autoencoder: VideoAutoencoder, path: Path) -> None:
    """True held-out clips, and films of their captions."""
    batch = cache.sample_batch(1, 0, SHOWN, frames, held_out=True)
    model = trainer.finished(autoencoder)
    rows, captions = [], []
    for i, caption in enumerate(batch.captions):
        clean = batch.latents[i : i + 1].to(trainer.device)
        made = fill_frames(
            model, torch.zeros_like(clean), torch.ones(clean.shape[:2], device=clean.device), prompt=caption, seed=i,
            fps=float(batch.fps[i]), steps=16, guidance=3.0,
        )  # fmt: skip
        with torch.inference_mode():
            rows += [to_uint8(autoencoder.decode(latents))[0] for latents in (clean, made)]
        captions += [f"true: {caption[:80]}", "filmed from this text"]
    contact_sheet(rows, captions=captions).save(path)


def film_card(config: DiTModelConfig, figures: dict[str, float]) -> str:
    """The model's README."""
    trained, film = config.trained, config.film or {}
    lines = [
        f"# {config.name}",
        "",
        f"Films what {film.get('clips')} captioned clips show, at {config.width}x{config.height}, {config.fps:g} frames a second,"
        f" {config.frames} at once. Made by `kinema train video` in {trained['minutes']} minutes ({trained['steps']} steps).",
        "",
        "Squared error of the latents of held-out clips by noise level; 1 is that of the mean of all latents:",
        "",
        "| level | untrained | trained |",
        "|---|---|---|",
        *(
            f"| {name.removeprefix('held_out_')} | {figures['untrained_' + name.removeprefix('held_out_')]:.3f} | {value:.3f} |"
            for name, value in figures.items()
            if name.startswith("held_out_")
        ),
        "",
        "It knows what its clips show and nothing else.",
        "",
        f"Settings: `{json.dumps(trained['settings'])}`",
    ]
    return "\n".join(lines) + "\n"
