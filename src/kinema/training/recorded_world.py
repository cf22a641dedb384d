"""A world model of a recorded environment, or of several: kinema train world --data DIR.

One network can learn several environments whose pictures have one size. It knows by its text, the task or the environment's name,
and by what it sees, which one it is in. Each becomes a folder of its own, a world like any other, with the same weights.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import torch
from PIL import Image

from kinema.autoencoder import Autoencoder, save_autoencoder
from kinema.datasets.folder_lock import locked
from kinema.datasets.lerobot import Dataset
from kinema.datasets.pictures import CELL_PX
from kinema.devices import float32_default
from kinema.errors import InputError
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import save
from kinema.models.rules import MEMORY, Rule
from kinema.training import checkpoint
from kinema.training.begun_run import check_same_data, read_begun, recordings_identity, write_begun
from kinema.training.board import Boards, check_boards
from kinema.training.dit_trainer import DiTTrainer, Estimator, recipe_of_run
from kinema.training.forecast import world_kind
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.parallel import ALONE, Ranks
from kinema.training.recordings import Recordings
from kinema.training.rule_rollouts import fill_memory
from kinema.training.sharded_checkpoint import holds_run, load_run
from kinema.training.sources import Data, absolute_folder, folder_name, weighted_folders
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_report import evaluate, in_better_order, save_starts, world_card
from kinema.training.world_stages import (
    AUTOENCODER,
    WorldRun,
    fitted_autoencoder,
    found_parts,
    read_tracks,
    usual_stretch,
    word_of,
)
from kinema.types import python_values

log = logging.getLogger(__name__)

MINUTES = 60.0
"""Of a run that was given neither minutes nor steps."""


def train_world(
    data: Data,
    *,
    out: Path | str,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    recipe: WorldRecipe | None = None,
    device: str = "cpu",
    camera: str | None = None,
    show: Callable[[str], None] | None = None,
    ranks: Ranks = ALONE,
    tensorboard: Path | None = None,
    wandb: str | None = None,
) -> Path:
    """Train a world model of a dataset; returns the folder of the finished model, `out`/world.

    data: a folder or an address, or several with weights, of which each step takes one by weight; their pictures have one size, and
    their numbers besides pictures are left out. Of several, the folder of all finished models is returned, `out`/worlds.

    minutes: of the autoencoder's and the world's training together. steps: of the world's; the autoencoder takes as many
    besides as give it the recipe's share of all. With both, whichever is first ends each. With neither, an hour, or what a
    resumed run was given. resume: go on from whichever stage the run in `out` has reached. camera: of a dataset with several.
    ranks: the processes that train together, all of which call this. tensorboard: folder for the figures of each step; wandb:
    project at Weights & Biases for them.

    InputError: a package for figures that is not installed, a batch that the ranks cannot share, a length that is none, a dataset
    that cannot be used or is not the one that the run began with, a checkpoint that is of another world or cannot be read, or
    another run that is writing to `out`. OutputError: `out` cannot be written to.
    """
    out = Path(out)
    wish = recipe or (recipe_of_run(WorldRecipe, out) if resume else WorldRecipe())
    wish = WorldRecipe(**python_values(asdict(wish)))
    wish = replace(wish, text_encoder=absolute_folder(wish.text_encoder))
    check_minutes(minutes)
    check_steps(steps)
    check_boards(tensorboard, wandb)
    ranks.share(wish.accumulate).rows(wish.batch)
    minutes, steps = None if minutes is None else float(minutes), None if steps is None else int(steps)
    learned = [(_opened(folder, camera), weight) for folder, weight in weighted_folders(data)]
    _check_together([dataset for dataset, _ in learned])
    if resume and read_begun(out) is None and not holds_run(out):
        checkpoint.check_exists(out)
    if not resume and holds_run(out):
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    ranks.wait()
    lock = locked(out) if ranks.first else nullcontext()
    with lock, torch.inference_mode(False), torch.enable_grad(), float32_default():
        run = WorldRun(
            learned=learned, recipe=wish, out=out, minutes=minutes, steps=steps, state=None, resume=resume, device=device,
            show=show, ranks=ranks,
        )  # fmt: skip
        return _train(run, camera, tensorboard, wandb)


def _opened(folder: Path | str, camera: str | None) -> Dataset:
    given = Dataset.open(folder, camera=camera)
    dataset = given.fitted()
    if dataset.size != given.size:
        (old, wide), (new, across) = given.size, dataset.size
        log.warning("pictures of %dx%d are resized to %dx%d, multiples of %d", wide, old, across, new, CELL_PX)
    return dataset


def _check_together(datasets: Sequence[Dataset]) -> None:
    """InputError for recordings that one network cannot learn together."""
    sizes = {dataset.size: dataset.folder for dataset in datasets}
    if len(sizes) > 1:
        there = ", ".join(f"{wide}x{high} ({folder})" for (high, wide), folder in sizes.items())
        raise InputError(f"pictures of {there}: one network learns those of one size; record them with the same --size")
    names = [folder_name(dataset.folder) for dataset in datasets]
    alike = [name.casefold() for name in names]  # some disks hold names that differ by case as one
    twice = next((name for i, name in enumerate(names) if alike[i] in alike[:i]), None)
    if twice is not None:
        raise InputError(f"two recordings are in folders called {twice!r}, as their worlds would be; rename one")


def _train(
    run: WorldRun,
    camera: str | None,
    tensorboard: Path | None,
    wandb: str | None,
) -> Path:
    run = _begin(run, camera)
    recipe, out, several = run.recipe, run.out, len(run.learned) > 1
    begun = time.monotonic()
    autoencoder = fitted_autoencoder(run)
    took_s = time.monotonic() - begun
    every, configs = read_tracks(run, autoencoder)
    begun, network = time.monotonic(), configs[0].network
    rule, prior = found_parts(run, every[0], network) if run.state is None else (None, None)
    took_s += time.monotonic() - begun
    minutes = run.minutes
    if minutes is not None:
        shares = [recipe.rule_share] * bool(network.relative) + [recipe.prior_share] * bool(network.prior)
        found_s = sum(recipe.found_length(share, minutes, None)[0] for share in shares)
        minutes = minutes * (1 - recipe.autoencoder_share) - found_s / 60
    weighted = [(one, weight) for one, (_, weight) in zip(every, run.learned, strict=True)]
    lesson = RecordingsLesson(weighted, recipe, rule, prior)
    trainer = DiTTrainer(
        recipe, configs[0], lesson, out, minutes=minutes, steps=run.steps, device=run.device,
        data=recordings_identity(run.learned), ranks=run.ranks,
    )  # fmt: skip
    trainer.compared = world_kind(recipe.size, *every[0].size, several), "" if several else word_of(run.datasets[0])
    boards = Boards(out, tensorboard=tensorboard, wandb=wandb, about=asdict(recipe)) if run.ranks.first else None
    trainer.board = boards
    if run.state is not None:
        trainer.load(run.state)
        _refill(trainer, every[0])
    trainer.before_s += took_s

    def held_out(network: Estimator, at: torch.device) -> dict[str, float]:
        return run.ranks.mean_figures(lesson.held_out_figures(network, at, share=run.ranks.share()))

    if any(one.num_held_back for one in every):
        trainer.measure = held_out
    trainer.take_figures()
    trainer.run(run.show)
    errors = trainer.take_figures()
    if boards is not None:
        boards.close()
    weights, folder = trainer.averaged_state(), out / ("worlds" if several else "world")
    if not run.ranks.first:
        return folder
    log.info("held-back episodes are stepped and measured, which takes a few minutes")
    for dataset, recordings, config in zip(run.datasets, every, configs, strict=True):
        one = folder / folder_name(dataset.folder) if several else folder
        picture = _finish(trainer, weights, dataset, recordings, config, autoencoder, one, errors)
        picture.save((one if several else out) / "rollout.png")
    return folder


def _refill(trainer: DiTTrainer, recordings: Recordings) -> None:
    """The recording gets the memory of the rule that a run goes on with; all ranks call it."""
    config = trainer.config.network
    if MEMORY not in config.known:
        return
    weights = trainer.averaged_state()
    for name, changes in config.relative.items():
        with torch.device("meta"):  # no numbers are drawn for weights that are read
            rule, begin = Rule(config.known, name, len(changes), config.choices), f"rules.{name}."
        rule.to_empty(device="cpu")
        rule.load_state_dict({key.removeprefix(begin): x for key, x in weights.items() if key.startswith(begin)})
        fill_memory(rule, recordings, config)


def _begin(run: WorldRun, camera: str | None) -> WorldRun:
    """The run with its length and its checkpoint; writes what it was asked for."""
    out, minutes, steps = run.out, run.minutes, run.steps
    started = read_begun(out) if run.resume else None
    state = load_run(out) if run.resume and (started is None or holds_run(out)) else None
    if state is not None and "config" not in state:
        raise InputError(f"{out} holds no run of a recorded world; name the --out folder of an earlier kinema train world")
    if minutes is None and steps is None and started is not None:
        minutes, steps = started["minutes"], started["steps"]
    elif minutes is None and steps is None and state is not None:
        steps = state.get("steps")
        minutes = state["minutes"] / (1 - run.recipe.autoencoder_share) if state.get("minutes") is not None else None
    if minutes is None and steps is None:
        minutes = MINUTES
    check_same_data((state or {}).get("data") or (started or {}).get("data"), run.learned, out)
    run.ranks.wait()
    if run.ranks.first:
        write_begun(out, minutes, steps, run.learned, camera)
    frames = usual_stretch(run.datasets, run.recipe.frames)
    compiles = run.recipe.compile and worth_compiling(minutes, steps, run.device)
    recipe = replace(run.recipe, frames=frames, compile=compiles)
    return replace(run, recipe=recipe, minutes=minutes, steps=steps, state=state)


def _finish(
    trainer: DiTTrainer,
    weights: dict[str, torch.Tensor],
    dataset: Dataset,
    recordings: Recordings,
    config: DiTModelConfig,
    autoencoder: Autoencoder,
    folder: Path,
    errors: dict[str, float],
) -> Image.Image:
    """Evaluate the world of a recording and write it; returns its contact sheet. errors: on the fixed windows that are held out,
    of all recordings together."""
    wish = trainer.recipe
    model = DiTModel(config, trainer.network_of(weights), autoencoder, device=str(trainer.device))
    model, tried = in_better_order(model, recordings)
    figures, picture = evaluate(model, recordings)
    figures |= tried | errors
    trained = {
        "recipe": "world",
        "data": str(dataset.folder),
        "steps": trainer.step,
        "minutes": round((trainer.elapsed_s + trainer.before_s) / 60, 1),
        "date": date.today().isoformat(),
        "figures": {name: round(value, 3) for name, value in figures.items()},
        "forecast": trainer.forecast,
    }
    done = replace(model.config, trained=trained)
    if config.autoencoder == AUTOENCODER:
        save_autoencoder(autoencoder, folder / AUTOENCODER)
    save(folder, done, weights, world_card(done, figures, dataset.total_frames))
    save_starts(folder, recordings, wish.seed)
    return picture
