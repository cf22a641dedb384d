"""The general network on one GPU: films of the Playground that are simulated for it, or a world of recordings.

The trainer, the lessons and what they write are those of `kinema train video` and `kinema train world`; here are the sizes, the
films, and with what a run begins.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kinema.autoencoder import load_autoencoder
from kinema.datasets.episode_cache import SHARD, EpisodeCache, Order
from kinema.datasets.episode_clips import EpisodeClips
from kinema.devices import float32_default
from kinema.errors import InputError, ModelError
from kinema.models.dit import SIZES
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import find, read_config, read_weights, weights_folder
from kinema.models.parts import holds_parts, whole_model, write_parts
from kinema.text import default_encoder
from kinema.training.begun_run import RUN
from kinema.training.caches import order_of
from kinema.training.dit_trainer import DiTTrainer, recipe_of_run
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.films import film_config, finish, held_out_figures
from kinema.training.gpu_recipe import EPISODES
from kinema.training.loop import Interval
from kinema.training.recipes import tiny_recipe
from kinema.training.recorded_world import train_world
from kinema.training.sharded_checkpoint import holds_run, load_run
from kinema.training.sources import parse_source
from kinema.training.world_lesson import WorldRecipe

log = logging.getLogger(__name__)

FILM, WORLD = "film", "world"
SHIPPED = "kinema-film"
REHEARSED_EPISODES, REHEARSED_STEPS = 24, 6
PICTURES_AGAIN = 0.1
"""The first share of a run that is of single pictures alone, where it begins with weights that have learned from them."""
SHOW_EVERY_S = 10.0
FINISHED_EVERY_S = 90.0
"""How often the averaged weights are written as a model."""


def film_order(*, rehearse: bool) -> Order:
    """The episodes that films are of: those of the last phase of `tiny`, or a few."""
    every = tiny_recipe().phases[-1]
    return order_of(replace(every, episodes=REHEARSED_EPISODES if rehearse else EPISODES))


def film_recipe(*, rehearse: bool) -> FilmRecipe:
    """How films are trained on one GPU."""
    large = FilmRecipe(size="S", patch=1, batch=64, save_every_s=90.0, held_out_every_s=FINISHED_EVERY_S)
    return replace(large, size="nano", batch=2, frames=4, compile=False) if rehearse else large


def world_recipe(*, rehearse: bool) -> WorldRecipe:
    """How a world is trained on one GPU."""
    large = WorldRecipe(size="S", batch=64, save_every_s=90.0)
    return replace(large, size="nano", batch=2, frames=4, compile=False) if rehearse else large


def given_settings(given: argparse.Namespace) -> dict[str, Any]:
    """Of a recipe, where the command says something."""
    return {name: value for name in ("size", "batch") if (value := getattr(given, name)) is not None}


def begin_of(given: argparse.Namespace, recipe: FilmRecipe) -> Path | None:
    """The model that a run of films begins with: --begin, which may be in parts, else the model that an earlier run has left in
    OUT, else the shipped one where it has this size; None: none of them. ModelError: --begin is no model."""
    out: Path = given.out
    if given.begin:
        path = Path(given.begin)
        return whole_model(path, out / "begin") if holds_parts(path) else find(given.begin)
    if (out / "film" / "config.json").exists():
        return out / "film"
    shipped = find(SHIPPED)
    config = read_config(shipped)
    return shipped if config.trained.get("settings", {}).get("size") == recipe.size else None


def check_network_size(folder: Path, recipe: FilmRecipe) -> None:
    """ModelError unless a model has the size of a recipe."""
    config, (width, depth, _) = read_config(folder), SIZES[recipe.size]
    theirs = config.network if isinstance(config, DiTModelConfig) else None
    if theirs is None or (theirs.width, theirs.depth, theirs.patch) != (width, depth, recipe.patch):
        of = f"of width {theirs.width}, depth {theirs.depth}, patch {theirs.patch}" if theirs else "with slots"
        raise ModelError(
            f"{folder} holds a network {of}; expected width {width}, depth {depth}, patch {recipe.patch} of size {recipe.size}:"
            " give the --size that it has, or another --begin"
        )


def begin_from(trainer: DiTTrainer, folder: Path) -> None:
    """Take over the weights of a model. ModelError: its network has other settings, as a world's."""
    config = read_config(folder)
    if not isinstance(config, DiTModelConfig) or config.network != trainer.config.network:
        raise ModelError(f"the network of {folder} has other settings than that of a model of films; give another --begin")
    trainer.begin(read_weights(folder))


@dataclass(frozen=True, kw_only=True)
class FilmStart:
    """How a run of films is trained, and with what it begins: the checkpoint of the run in OUT, a model, or nothing."""

    recipe: FilmRecipe
    state: dict[str, Any] | None
    start: Path | None


def film_start(given: argparse.Namespace) -> FilmStart:
    """What a command asks for. InputError: a size that is none, --begin for a run that goes on, or a checkpoint that cannot be
    read. ModelError: --begin is no model, or of another size."""
    recipe = replace(film_recipe(rehearse=given.rehearse), **given_settings(given))
    state = load_run(given.out) if holds_run(given.out) else None
    if state is not None and given.begin:
        raise InputError(
            f"{given.out} holds a run, which goes on from its checkpoint; leave out --begin, or name another --out"
        )
    start = begin_of(given, recipe) if state is None else None
    if start is not None:
        check_network_size(start, recipe)
    if state is not None or start is not None:
        recipe = replace(recipe, pictures_first=PICTURES_AGAIN)
    return FilmStart(recipe=recipe, state=state, start=start)


@float32_default()
def train_film(given: argparse.Namespace, device: torch.device, begin: FilmStart, simulated: Callable[[], bool]) -> None:
    """Train on the Playground's films and write OUT/film. simulated: whether all episodes are there; it raises where they will
    never be."""
    began, out, order = time.monotonic(), given.out, film_order(rehearse=given.rehearse)
    recipe, state, start = begin.recipe, begin.state, begin.start
    first = replace(order, episodes=min(order.episodes, 2 * SHARD))
    whole = not order.missing
    while first.missing:
        whole = simulated()
        time.sleep(0.5)
    log.info("%.0f s: the first episodes are there; training on %s", time.monotonic() - began, device)
    autoencoder = load_autoencoder(weights_folder() / recipe.autoencoder, device=str(device))
    text = default_encoder()

    def clips_of(of: Order) -> EpisodeClips:
        cache = EpisodeCache(of.folder, episodes=of.episodes)
        return EpisodeClips(cache, autoencoder, fps=recipe.fps, side=recipe.short_side, device=device)

    clips = clips_of(order if whole else first)
    config, lesson = film_config(clips, recipe, "playground"), ClipsLesson(clips, recipe)
    trainer = DiTTrainer(
        recipe, config, lesson, out, minutes=given.minutes + (state["elapsed_s"] / 60 if state else 0.0),
        steps=(state["step"] if state else 0) + REHEARSED_STEPS if given.rehearse else None, device=str(device),
        data={"playground": order.base_seed},
    )  # fmt: skip
    if state is not None:
        trainer.load(state)
        log.info("goes on from step %d of the run in %s", trainer.step, out)
    elif start is not None:
        begin_from(trainer, start)
        log.info("begins with the weights of %s", start)
    trainer.elapsed_s += time.monotonic() - began
    before = held_out_figures(lesson, trainer.averaged_network(), device)
    show, finished = Interval(SHOW_EVERY_S), Interval(FINISHED_EVERY_S)

    def write() -> None:
        figures = held_out_figures(lesson, trainer.averaged_network(), device)
        folder = finish(trainer, "the Playground", lesson.clips, recipe, autoencoder, text, before, figures)
        if given.parts is not None:
            write_parts(folder, given.parts)

    def watch(line: str) -> None:
        nonlocal whole
        if not whole and simulated():
            lesson.clips, whole = clips_of(order), True
            log.info("%.0f s: all episodes are there", time.monotonic() - began)
        if show.due():
            log.info("%.0f s, %s", time.monotonic() - began, line)
        if finished.due():
            write()

    trainer.run(watch)
    write()


def train_recordings(given: argparse.Namespace, device: torch.device) -> None:
    """Train a world of recordings and write OUT/world, or OUT/worlds of several."""
    if not given.data:
        raise InputError("the recipe world needs --data DIR, a dataset made by kinema record; it may be repeated")
    out: Path = given.out
    sources = [parse_source(text) for text in given.data]
    again = holds_run(out) or (out / RUN).exists()
    recipe = recipe_of_run(WorldRecipe, out) if holds_run(out) else world_recipe(rehearse=given.rehearse)
    recipe = replace(recipe, compile=not given.rehearse, **given_settings(given))
    state: dict[str, Any] = load_run(out) if holds_run(out) else {"elapsed_s": 0.0, "step": 0}
    often = Interval(SHOW_EVERY_S)

    def show(line: str) -> None:
        if often.due():
            log.info("%s", line)

    folder = train_world(
        sources[0][0] if len(sources) == 1 else sources, out=out, resume=again, recipe=recipe, device=str(device), show=show,
        minutes=given.minutes + state["elapsed_s"] / 60 / (1 - recipe.autoencoder_share),
        steps=state["step"] + REHEARSED_STEPS if given.rehearse else None,
    )  # fmt: skip
    if given.parts is not None:
        for world in [folder] if folder.name == "world" else sorted(path for path in folder.iterdir() if path.is_dir()):
            write_parts(world, given.parts if folder.name == "world" else given.parts / world.name)


def write_speed(out: Path, device: str) -> None:
    """OUT/speed.json: how fast the last steps of the run were."""
    state = load_run(out)
    figures = {"device": device, "steps": state["step"], **state.get("speed", {})}
    (out / "speed.json").write_text(json.dumps(figures, indent=1) + "\n")
    log.info("%s", json.dumps(figures))
