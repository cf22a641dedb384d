"""A model that films, from a folder of captioned clips, or several: kinema train video --data DIR."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from kinema.autoencoder import VideoAutoencoder, autoencoder_sha256, load_video_autoencoder, pixel_frames, to_uint8
from kinema.autoencoder.diffusers_folder import diffusers_folder
from kinema.datasets.clip_batches import ClipBatch, ClipSet, Mixture
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.folder_lock import locked
from kinema.datasets.latent_build import piece_frames_of
from kinema.datasets.latent_cache import LatentCache, LatentCacheConfig
from kinema.devices import float32_default
from kinema.errors import InputError
from kinema.inference.dit_films import fill_frames
from kinema.media.contact_sheet import contact_sheet
from kinema.models.dit import SIZES, DiTConfig
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import (
    WEIGHTS,
    check_autoencoder,
    find,
    find_autoencoder,
    find_text_encoder,
    is_dit_folder,
    read_config,
    read_weights,
    save,
    weights_folder,
)
from kinema.text import TextEncoder
from kinema.text.folder_encoder import check_encoder, encoder_entries, open_text_encoder
from kinema.training import checkpoint
from kinema.training.board import Boards, check_boards
from kinema.training.clip_usage import clip_usage, usage_lines
from kinema.training.dit_trainer import DiTTrainer, Estimator, recipe_of_run
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.forecast import film_kind
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.parallel import ALONE, Ranks
from kinema.training.sharded_checkpoint import holds_run, load_run
from kinema.training.sources import Data, absolute_folder, folder_name, weighted_folders

log = logging.getLogger(__name__)

MINUTES = 60.0
OWN = "codec"
"""The folder, in the model's, of an autoencoder that does not come with Kinema."""
CACHE = "latents"
"""The folder, in the run's, of clips as latents; of several sets, the beginning of the names of their folders."""
WeightedClips = Sequence[tuple[CaptionedClips, float]]
"""Sets of clips with their weights."""
SHOWN = 4
"""Held-out captions that the picture of a run shows."""


def film_config(cache: ClipSet, recipe: FilmRecipe, about: str, space_factor: int = 8) -> DiTModelConfig:
    """What a model of these clips is. space_factor: pixels along one side of a latent."""
    across, depth, heads = SIZES[recipe.size]
    shapes = cache.buckets(min(recipe.frames, cache.longest()))
    (rows, columns), _ = max(shapes.items(), key=lambda item: item[1])
    return DiTModelConfig(
        name=f"film-{about}",
        network=DiTConfig(
            width=across, depth=depth, heads=heads, channels=cache.channels, patch=recipe.patch, time_every=recipe.time_every,
            text_dim=cache.text_dim, places=recipe.places, full=recipe.full, step_sizes=recipe.shortcut_share > 0,
        ),
        autoencoder=recipe.autoencoder, height=space_factor * rows, width=space_factor * columns,
        space_factor=space_factor, time_factor=cache.time_factor, fps=recipe.fps, frames=recipe.frames,
        film={"about": about, "clips": len(cache.names)}, shift_by_size=recipe.shift_by_size,
    )  # fmt: skip


def _folder_of(begin: str) -> Path:
    """Of a model by name, by its folder, or by that of the run that made it."""
    made = Path(begin) / "film"
    return made if is_dit_folder(made) else find(begin)


def recipe_of_model(wish: FilmRecipe) -> FilmRecipe:
    """The recipe with the network, and the shape, length and rate of clips, of the model that it begins with, which has learned
    pictures: clips, and long steps where they are wished, come from the first step on. InputError: that model does not film, or its
    network has no usual size, or knows few steps that would be forgotten. ModelError: its autoencoder or its text encoder is
    missing, or another one than it was trained with."""
    folder = _folder_of(wish.begin)
    config = read_config(folder)
    if not isinstance(config, DiTModelConfig) or config.film is None:
        raise InputError(f"{wish.begin} is {config.name}: expected a model of kinema train video, which films")
    network = config.network
    shape = network.width, network.depth, network.heads
    size = next((name for name, usual in SIZES.items() if usual == shape), None)
    if size is None:
        raise InputError(f"{wish.begin} has width {shape[0]}, depth {shape[1]} and {shape[2]} heads: expected a usual size")
    if network.step_sizes and not wish.shortcut_share:
        raise InputError(
            f"{wish.begin} knows few steps, which it would forget; add --few-steps (shortcut_share), or begin another"
        )
    place = find_autoencoder(folder, config)
    check_autoencoder(folder, config, place)
    shipped = weights_folder() / config.autoencoder
    same = (shipped / WEIGHTS).exists() and autoencoder_sha256(shipped) == autoencoder_sha256(place)
    autoencoder = config.autoencoder if same else str(place.resolve())
    text_encoder = ""
    if config.text_encoder:
        text_encoder = str(find_text_encoder(folder, config).resolve())
        check_encoder(text_encoder, config.text_encoder_sha256)
    return replace(
        wish, size=size, patch=network.patch, time_every=network.time_every, places=network.places, full=network.full,
        frames=config.frames, fps=config.fps, short_side=min(config.width, config.height), autoencoder=autoencoder,
        text_encoder=text_encoder, pictures_first=0.0, shortcuts_from=0.0, shift_by_size=config.shift_by_size,
    )  # fmt: skip


def train_video(
    data: Data,
    *,
    out: Path | str,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    recipe: FilmRecipe | None = None,
    device: str = "cpu",
    show: Callable[[str], None] | None = None,
    ranks: Ranks = ALONE,
    tensorboard: Path | None = None,
    wandb: str | None = None,
) -> Path:
    """Train a model that films on captioned clips; returns the folder of the finished model, `out`/film.

    data: what `CaptionedClips.open` takes: a folder of videos with texts, WebDataset shards, a LeRobot dataset; or several with
    weights, of which each step takes one by weight. minutes: of the training, besides those in which clips are encoded, once. With
    neither minutes nor steps, an hour, or what a resumed run was given. resume: go on with the run in `out`, by its recipe unless
    another is given. A recipe that begins with a model (`FilmRecipe.begin`) takes over its network. ranks: the processes that train
    together, all of which call this. tensorboard: folder for the figures of each step; wandb: project at Weights & Biases for them.

    InputError: a package for figures that is not installed, a model to begin with that does not film, a batch that the ranks cannot
    share, a length that is none, clips that
    cannot be used or are not those that the run began with, a checkpoint of another run, or another run that is writing to `out`.
    OutputError: `out` cannot be written to.
    """
    out = Path(out)
    wish = recipe or (recipe_of_run(FilmRecipe, out) if resume else FilmRecipe())
    wish = replace(wish, text_encoder=absolute_folder(wish.text_encoder), autoencoder=_located(wish.autoencoder))
    check_minutes(minutes)
    check_steps(steps)
    check_boards(tensorboard, wandb)
    ranks.share(wish.accumulate).rows(wish.batch)
    if resume and not holds_run(out):
        checkpoint.check_exists(out)
    if not resume and holds_run(out):
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    learned = [(CaptionedClips.open(folder), weight) for folder, weight in weighted_folders(data)]
    ranks.wait()
    lock = locked(out) if ranks.first else nullcontext()
    with lock, torch.inference_mode(False), torch.enable_grad(), float32_default():
        return _train(learned, wish, out, minutes, steps, resume, device, show, ranks, tensorboard, wandb)


def _train(
    learned: WeightedClips,
    wish: FilmRecipe,
    out: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    device: str,
    show: Callable[[str], None] | None,
    ranks: Ranks,
    tensorboard: Path | None,
    wandb: str | None,
) -> Path:
    state = load_run(out) if resume else None
    identity: dict[str, object] = {"clips": learned[0][0].identity()}
    if len(learned) > 1:
        identity = {"clips": [clips.identity() for clips, _ in learned], "weights": [weight for _, weight in learned]}
    if state is not None and state.get("data") != identity:
        how = ", or other weights or another order of them" if len(learned) > 1 else ""
        raise InputError(
            f"{_paths(learned)} holds other clips than those that the run in {out} began with{how}; name another --out"
        )
    if state is not None:
        with checkpoint.fitting(out):
            _check_windows({**FilmRecipe.before, **state["recipe"]}, wish, out)
    if minutes is None and steps is None:
        steps, minutes = (state["steps"], state["minutes"]) if state is not None else (None, MINUTES)
    wish = recipe_of_model(wish) if wish.begin and state is None else wish
    wish = replace(wish, compile=wish.compile and worth_compiling(minutes, steps, device))
    autoencoder = load_video_autoencoder(weights_folder() / wish.autoencoder, device=device)
    text = open_text_encoder(wish.text_encoder, device)
    space, pieces = autoencoder.space_factor, LatentCacheConfig().piece_frames
    if autoencoder.time_factor > 1:  # windows begin where a piece does
        pieces = next((n for n in map(piece_frames_of, _cache_folders(out, learned)) if n is not None), wish.frames)
    settings = LatentCacheConfig(short_side=wish.short_side, patch_px=space * wish.patch, fps=wish.fps, piece_frames=pieces)
    reading = (lambda done, of: show(f"encoding clip {done} of {of}")) if show else None

    def cached(clips: CaptionedClips, folder: Path) -> LatentCache:
        return ranks.prepare(
            lambda: LatentCache.build(clips, folder, autoencoder=autoencoder, text=text, config=settings, show=reading),
            lambda: LatentCache(folder),
        )

    alone = len(learned) == 1
    every = [cached(clips, folder) for folder, (clips, _) in zip(_cache_folders(out, learned), learned, strict=True)]
    cache: ClipSet = every[0] if alone else Mixture([(one, weight) for one, (_, weight) in zip(every, learned, strict=True)])
    wish = replace(wish, frames=_frames(learned, every, wish))
    sets = [(str(clips.path), one) for (clips, _), one in zip(learned, every, strict=True)]
    used = clip_usage(sets, wish, autoencoder.space_factor)
    for line in usage_lines(used):
        log.info("%s", line)
    config = film_config(cache, wish, "-".join(folder_name(clips.path) or "clips" for clips, _ in learned), space)
    config = replace(config, autoencoder=_autoencoder_name(wish), **encoder_entries(text))
    lesson = ClipsLesson(cache, wish)
    trainer = DiTTrainer(wish, config, lesson, out, minutes=minutes, steps=steps, device=device, data=identity, ranks=ranks)

    def held_out(network: Estimator, at: torch.device) -> dict[str, float]:
        return held_out_figures(lesson, network, at, ranks)

    if state is None and wish.begin:
        trainer.begin(read_weights(_folder_of(wish.begin)))
    trainer.measure = held_out
    if not wish.begin:  # what comes of some steps from another model's weights was not measured
        trainer.compared = film_kind(wish.size, wish.patch, wish.short_side), ""
    boards = Boards(out, tensorboard=tensorboard, wandb=wandb, about=asdict(wish)) if ranks.first else None
    trainer.board = boards
    before = held_out(trainer.averaged_network(), trainer.device)
    if state is not None:
        trainer.load(state)
    trainer.run(show)
    after = trainer.take_figures()
    if boards is not None:
        boards.close()
    return finish(trainer, _paths(learned), cache, wish, autoencoder, text, before, after, used)


def _cache_folders(out: Path, learned: WeightedClips) -> list[Path]:
    """Where the latents of each set are."""
    return [out / CACHE] if len(learned) == 1 else [out / f"{CACHE}-{i + 1}" for i in range(len(learned))]


def _located(autoencoder: str) -> str:
    """The name of an autoencoder that comes with Kinema, or the folder of another, as it is found from anywhere."""
    return autoencoder if (weights_folder() / autoencoder).exists() else absolute_folder(autoencoder)


def _autoencoder_name(wish: FilmRecipe) -> str:
    """How the model calls its autoencoder: by its name, if it comes with Kinema; by the folder that one of ours is copied to; or by
    the folder of diffusers."""
    shipped = not Path(wish.autoencoder).is_absolute()
    return wish.autoencoder if shipped or diffusers_folder(wish.autoencoder) else OWN


def _check_windows(began: Mapping[str, Any], wish: FilmRecipe, out: Path) -> None:
    """InputError where a run would go on with windows of other lengths or rates than it began with."""
    if (began["lengths"], began["rates"]) != (wish.lengths, wish.rates):
        raise InputError(
            f"the run in {out} has clips of {began['lengths']} lengths and {began['rates']} rates, not {wish.lengths} and"
            f" {wish.rates}; go on with --lengths {began['lengths']} --rates {began['rates']}, or name another --out"
        )


def _frames(learned: WeightedClips, caches: Sequence[LatentCache], wish: FilmRecipe) -> int:
    """How many frames are learned at once at most: as wished, or as the longest clips have; where lengths do not vary, of every
    set, and of those that are held out. InputError: a set of stills."""
    frames = wish.frames
    if wish.mix is not None:
        frames = min(frames, max(cache.longest() for cache in caches))
    for (clips, _), cache in zip(learned, caches, strict=True):
        longest = min(cache.longest(), cache.longest(held_out=True))
        if longest < 2:
            raise InputError(
                f"{clips.path}: the longest clips that are held out, or the others, have 1 frame; expected 2 or more"
            )
        if (mix := replace(wish, frames=frames).mix) is not None:
            if cache.longest() < min(mix.lengths):
                raise InputError(
                    f"{clips.path}: the longest clip for training has {cache.longest()} frames, the shortest windows have"
                    f" {min(mix.lengths)}; train with more --lengths or fewer --frames"
                )
            continue
        if longest < frames:
            log.info("clips of %s are short: training takes %d frames at a time", clips.path, longest)
        frames = min(frames, longest)
    return frames


def _paths(learned: WeightedClips) -> str:
    return ", ".join(str(clips.path) for clips, _ in learned)


def held_out_figures(
    lesson: ClipsLesson, network: Estimator, device: torch.device, ranks: Ranks = ALONE
) -> dict[str, float]:
    """`ClipsLesson.held_out_loss` of all ranks, which all call it, by the names that cards have: held_out_0.25 and on."""
    mine = lesson.held_out_loss(network, device, share=ranks.share())
    return ranks.mean_figures({f"held_out_{level:g}": value for level, value in mine.items()})


def finish(
    trainer: DiTTrainer,
    data: str,
    cache: ClipSet,
    wish: FilmRecipe,
    autoencoder: VideoAutoencoder,
    text: TextEncoder,
    before: dict[str, float],
    after: dict[str, float],
    used: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write the model as it is, its card, which names `data`, and its picture; all ranks call it, and the first one writes.
    Returns its folder, OUT/film."""
    weights, out, config = trainer.averaged_state(), trainer.out, trainer.config
    folder = out / "film"
    if not trainer.ranks.first:
        return folder
    figures = after | {name.replace("held_out", "untrained"): value for name, value in before.items()}
    trained = {
        "recipe": "video", "data": data, "clips": len(cache.names), "steps": trainer.step,
        "minutes": round(trainer.elapsed_s / 60, 1), "date": date.today().isoformat(), "settings": asdict(wish),
        "figures": {name: round(value, 4) for name, value in figures.items()}, "usage": list(used), "forecast": trainer.forecast,
    }  # fmt: skip
    source = weights_folder() / wish.autoencoder
    done = replace(config, trained=trained, autoencoder_sha256=autoencoder_sha256(source))
    save(folder, done, weights, film_card(done, figures))
    if not diffusers_folder(source):
        shutil.copytree(source, folder / done.autoencoder, dirs_exist_ok=True)
    model = DiTModel(config, trainer.network_of(weights), autoencoder, device=str(trainer.device))
    model.text = text
    _picture(model, cache, ClipsLesson(cache, wish).held_out_frames(), out / "films.png")
    return folder


def _picture(model: DiTModel, cache: ClipSet, frames: int, path: Path) -> None:
    """True held-out clips, each once, and films of their captions."""
    batch, picked = _distinct(cache, frames)
    rows, captions = [], []
    for seed, i in enumerate(picked):
        clean, caption = batch.latents[i : i + 1].to(model.device), batch.captions[i]
        made = fill_frames(
            model, torch.zeros_like(clean), torch.ones(clean.shape[:2], device=clean.device), prompt=caption, seed=seed,
            fps=float(batch.fps[i]) / cache.time_factor, steps=16, guidance=3.0,
        )  # fmt: skip
        with torch.inference_mode():
            rows += [to_uint8(model.autoencoder.decode(latents))[0] for latents in (clean, made)]
        captions += [f"true: {caption[:80]}", "filmed from this text"]
    contact_sheet(rows, captions=captions).save(path)


def _distinct(cache: ClipSet, frames: int) -> tuple[ClipBatch, list[int]]:
    """Held-out windows of SHOWN clips, or of as many as there are: of so many frames, or fewer where too few are as long."""
    drawn: list[tuple[ClipBatch, list[int]]] = []
    for length in dict.fromkeys(max(frames // 2**halvings, 1) for halvings in range(8)):
        batch = cache.sample_batch(1, 0, 8 * SHOWN, length, held_out=True)
        first = {name: i for i, name in reversed(list(enumerate(batch.names)))}
        drawn.append((batch, sorted(first.values())[:SHOWN]))
        if len(first) >= SHOWN:
            break
    return max(drawn, key=lambda one: len(one[1]))


def film_card(config: DiTModelConfig, figures: dict[str, float]) -> str:
    """The model's README."""
    trained, film = config.trained, config.film or {}
    outside = [
        f"It needs the {what} in `{folder}`, and no other."
        for what, folder in (("text encoder", config.text_encoder), ("autoencoder", config.autoencoder))
        if Path(folder).is_absolute()
    ]
    at_once = pixel_frames(config.frames, config.time_factor)
    lines = [
        f"# {config.name}",
        "",
        f"Films what {film.get('clips')} captioned clips show, at {config.width}x{config.height}, {config.fps:g} frames a second,"
        f" {at_once} at once. Made by `kinema train video` in {trained['minutes']} minutes ({trained['steps']} steps).",
        "",
        *([f"Forecast after its first steps: {forecast}.", ""] if (forecast := trained.get("forecast")) else []),
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
        "What it was trained on:",
        "",
        *("    " + line for line in usage_lines(trained.get("usage", []))),
        "",
        "It knows what its clips show and nothing else.",
        *outside,
        "",
        f"Settings: `{json.dumps(trained['settings'])}`",
    ]
    return "\n".join(lines) + "\n"
