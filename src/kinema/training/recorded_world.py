"""A world model of a recorded environment, or of several: kinema train world --data DIR.

One network can learn several environments whose pictures have one size. It knows by its text, the task or the environment's name,
and by what it sees, which one it is in. Each becomes a folder of its own, a world like any other, with the same weights.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from kinema.autoencoder import Autoencoder, load_autoencoder, save_autoencoder
from kinema.datasets.folder_lock import locked
from kinema.datasets.lerobot import Dataset
from kinema.datasets.pictures import CELL_PX
from kinema.devices import float32_default
from kinema.envs.spaces import edged, width
from kinema.errors import InputError, OutputError
from kinema.inference.dit_rollout import WANTED, wanted_width
from kinema.models.dit import SIZES, DiTConfig, Point
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import save, weights_folder
from kinema.text.folder_encoder import encoder_entries, open_text_encoder
from kinema.training import checkpoint
from kinema.training.autoencoder.fine_tune import fine_tune
from kinema.training.board import Boards, check_boards
from kinema.training.dit_trainer import DiTTrainer, Estimator, recipe_of_run
from kinema.training.forecast import world_kind
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.parallel import ALONE, Ranks
from kinema.training.recordings import SHORTEST, Among, Recordings, held_back, usable
from kinema.training.rules import find_rule, load_rule, save_rule
from kinema.training.sharded_checkpoint import holds_run, load_run
from kinema.training.sources import Data, WeightedFolder, absolute_folder, folder_name, weighted_folders
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_report import evaluate, in_better_order, save_starts, world_card
from kinema.types import parse_json, python_values

log = logging.getLogger(__name__)

MINUTES = 60.0
AUTOENCODER = "codec"
"""The folder, in the run's and in the model's, of a autoencoder that was trained on."""
MOST_POINTS = 4
"""Numbers of an action with edges, up to which they may be places."""
TRACKS = "tracks"
"""The folder, in the run's, of a recording as latents and numbers; of several, the beginning of the names of their folders."""
WeightedRecordings = Sequence[tuple[Dataset, float]]
"""Recordings with their weights."""
RUN = "run.json"
"""What a run was asked for, length, data and where they lie, written before its first stage. A run that ends before its first
checkpoint goes on from it."""


def config_for(data: Dataset, recordings: Recordings, recipe: WorldRecipe, name: str) -> DiTModelConfig:
    """What a model of this recording is."""
    about = data.about
    across, depth, heads = SIZES[recipe.size]
    numbers = {"action": recordings.action_width, **({"sensors": recordings.sensors} if recordings.sensors else {})}
    wanted = (
        {WANTED: wanted_width(len(recordings.entity_columns))} if recordings.entity_columns and recipe.wanted_share else {}
    )
    return DiTModelConfig(
        name=name,
        network=DiTConfig(
            width=across,
            depth=depth,
            heads=heads,
            channels=recordings.autoencoder.channels,
            context=recipe.context,
            causal=True,
            time_every=recipe.time_every,
            places=bool(wanted) or recordings.among is not None,
            pointing=_pointing(recordings, about["action"], recipe.context, bool(wanted)) if recipe.points else {},
            text_dim=0 if recordings.text is None else recordings.text[0].shape[-1],
            pointing_if={WANTED: wanted[WANTED] - 2} if wanted and recipe.points else {},
            hidden_if={WANTED: wanted[WANTED] - 1} if wanted and recipe.relative else {},
            relative={"sensors": [round(x, 4) for x in recordings.changes.tolist()]}
            if recordings.sensors and recipe.relative
            else {},
            known={track: recipe.context * count for track, count in numbers.items()} | wanted,
            predicted={"reward": 1, "terminated": 1, **({"sensors": recordings.sensors} if recordings.sensors else {})},
        ),
        autoencoder=AUTOENCODER if recipe.autoencoder_share else recipe.autoencoder,
        height=recordings.size[0],
        width=recordings.size[1],
        fps=data.fps,
        frames=recipe.window,
        spread=recipe.spread,
        numbers_first=bool(wanted) and recipe.numbers_share > 0,
        world={
            **about,
            "size": list(recordings.size),
            "fps": data.fps,
            "reward_scale": recordings.reward_scale,
            "sensors": {
                "mean": recordings.mean.tolist(),
                "std": recordings.std.tolist(),
                "least": recordings.least.tolist(),
                "most": recordings.most.tolist(),
                "names": recordings.sensor_names,
            },
            **({"word": recordings.among.word} if recordings.among else {}),
            "tasks": recordings.tasks,
            "idle": recordings.idle() if about["action"]["type"] == "discrete" else 0,
        },
    )


def _as_begun(config: DiTModelConfig, began: DiTConfig) -> DiTModelConfig:
    """With what is found out from recordings, as the run that goes on found it, perhaps by an earlier version."""
    names = ("pointing", "pointing_if", "relative", "hidden_if")
    return replace(config, network=replace(config.network, **{name: getattr(began, name) for name in names}))


def _pointing(recordings: Recordings, spec: dict[str, Any], context: int, wanted: bool) -> dict[str, list[Point]]:
    """Numbers that may be places (`DiTConfig.pointing`): of the last action, where at most MOST_POINTS of them have edges, as those
    of a robot with more joints are angles or forces; x and y of told entities. None of several recordings, whose actions differ."""
    columns, pointing = edged(spec), dict[str, list[Point]]()
    if recordings.among is not None:
        return pointing
    if 0 < len(columns) <= MOST_POINTS:
        pointing["action"] = [((context - 1) * recordings.action_width + column, -1.0, 1.0) for column in columns]
    if wanted:
        least, most = (recordings.scaled(x).tolist() for x in (recordings.least, recordings.most))
        named = [
            (i, c) for i, c in enumerate(recordings.entity_columns) if recordings.sensor_names[c].endswith((".x", ".y"))
        ]
        edges = [(i, round(least[c], 2), round(most[c], 2)) for i, c in named]
        pointing[WANTED] = [edge for edge in edges if edge[1] < edge[2]]
    return pointing


def word_of(data: Dataset) -> str:
    """What an environment is called in words, by its id: "Pong" of "ALE/Pong-v5"; by its folder where it has none."""
    env = str(data.about.get("env") or folder_name(data.folder)).rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[-_]+", " ", re.sub(r"-v\d+$", "", env)).strip() or "world"


def _stretch(datasets: Sequence[Dataset], frames: int) -> int:
    """How long stretches are: as wished, or shorter where most episodes of a recording that training sees are."""
    return min(_stretch_of(data, frames) for data in datasets)


def _stretch_of(data: Dataset, frames: int) -> int:
    numbers = usable(data)
    if 2 * len(numbers) <= len(data):
        raise InputError(f"most episodes of {data.folder} have fewer than {SHORTEST} frames; record longer ones")
    if len(numbers) < len(data):
        log.warning("%d episodes of fewer than %d frames are left out", len(data) - len(numbers), SHORTEST)
    lengths = sorted(int(data.rows[number]["length"]) for number in numbers[: len(numbers) - held_back(len(numbers))])
    usual = lengths[len(lengths) // 2]
    if usual < frames:
        log.info("episodes are short: training takes %d frames at a time", usual)
    return min(frames, usual)


def _autoencoder(
    datasets: Sequence[Dataset],
    recipe: WorldRecipe,
    out: Path,
    minutes: float | None,
    steps: int | None,
    again: bool,
    device: str,
    show: Callable[[str], None] | None,
) -> Autoencoder:
    """The recipe's autoencoder, trained on over the recordings; taken as it is when a run goes on (`again`)."""
    if not recipe.autoencoder_share:
        return load_autoencoder(weights_folder() / recipe.autoencoder, device=device)
    if not again or not (out / AUTOENCODER / "README.md").exists():
        (out / AUTOENCODER / "README.md").unlink(missing_ok=True)
        start = load_autoencoder(weights_folder() / recipe.autoencoder, dtype=torch.float32)
        seen = []
        for data in datasets:
            numbers = usable(data)
            seen.append((data, numbers[: len(numbers) - held_back(len(numbers))]))
        fitted = fine_tune(start, seen, minutes=minutes, steps=steps, seed=recipe.seed, say=show)
        total = sum(data.total_frames for data in datasets)
        save_autoencoder(
            fitted,
            out / AUTOENCODER,
            card=f"# autoencoder\n\n{recipe.autoencoder} trained on over {total:,} pictures.\n",
        )
    return load_autoencoder(out / AUTOENCODER, device=device)


def _rule(
    recordings: Recordings,
    config: DiTModelConfig,
    recipe: WorldRecipe,
    out: Path,
    length: tuple[float, int | None],
    again: bool,
    show: Callable[[str], None] | None,
    ranks: Ranks,
) -> dict[str, torch.Tensor]:
    """That of a recording's numbers, found and stored by the first rank; taken as it is when a run goes on (`again`). length: in
    seconds and steps."""
    sought = {"seconds": str(length[0]), "steps": str(length[1]), "seed": str(recipe.seed)}

    def find() -> dict[str, torch.Tensor]:
        weights = load_rule(out, config.network, sought) if again else None
        if weights is None:
            weights = find_rule(recordings, config.network, seconds=length[0], steps=length[1], seed=recipe.seed, show=show)
            save_rule(weights, out, sought)
        return weights

    def take() -> dict[str, torch.Tensor]:
        weights = load_rule(out, config.network, sought)
        if weights is None:
            raise OutputError(f"the first rank's rule cannot be read from {out}; give all ranks the same folder")
        return weights

    return ranks.prepare(find, take)


def _begun(out: Path) -> dict[str, Any] | None:
    """What a run was asked for (RUN), None where there is none; InputError where it cannot be read."""
    path = out / RUN
    if not path.exists():
        return None
    try:
        begun = parse_json(path.read_text(encoding="utf-8"))
        return {name: begun[name] for name in ("minutes", "steps", "data")}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} cannot be read; begin a new run in another --out") from None


def data_of_run(out: Path | str) -> tuple[list[WeightedFolder], str | None] | None:
    """The recordings that the run in `out` learns from with their weights, and the camera, by RUN; None where it does not say."""
    try:
        begun = parse_json((Path(out) / RUN).read_text(encoding="utf-8"))
        if "folders" in begun:
            return [(str(folder), float(weight)) for folder, weight in begun["folders"]], begun["camera"]
        return [(str(begun["folder"]), 1.0)], str(begun["data"]["camera"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _identity(learned: WeightedRecordings) -> dict[str, Any]:
    """What tells recordings from others."""
    if len(learned) == 1:
        return learned[0][0].identity()
    return {"recordings": [data.identity() for data, _ in learned], "weights": [weight for _, weight in learned]}


def _folders(learned: WeightedRecordings) -> str:
    return ", ".join(str(data.folder) for data, _ in learned)


def _write_begun(
    out: Path, minutes: float | None, steps: int | None, learned: WeightedRecordings, camera: str | None
) -> None:
    path, temporary = out / RUN, out / f".{RUN}.tmp"
    places = [data.folder.resolve() if isinstance(data.folder, Path) else data.folder for data, _ in learned]
    folders = [(str(place), weight) for place, (_, weight) in zip(places, learned, strict=True)]
    where: dict[str, Any] = {"folder": folders[0][0]} if len(folders) == 1 else {"folders": folders, "camera": camera}
    begun = {"minutes": minutes, "steps": steps, "data": _identity(learned), **where}
    try:
        temporary.write_text(json.dumps(begun, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}") from None


def _check_same_data(before: dict[str, Any] | None, learned: WeightedRecordings, out: Path) -> None:
    """InputError where a run goes on with another recording than it began with, saying what differs."""
    now = _identity(learned)
    if before is None or before == now:
        return
    names = {
        "episodes": "episodes",
        "frames": "frames",
        "fps": "frames a second",
        "actions": "actions",
        "files": "contents",
    }
    differs = [
        f"{before.get(name)} {word}, now {now.get(name)}" if name in ("episodes", "frames", "fps") else f"other {word}"
        for name, word in names.items()
        if before.get(name) != now.get(name)
    ]
    if "recordings" in before or "recordings" in now:
        differs = ["other recordings, weights, or order of them"]
    if differs == ["other actions"] and None in before["actions"].get("edges", ()):
        raise InputError(
            f"the run in {out} was begun by a version that did not scale these actions; begin a new run in another --out"
        )
    raise InputError(
        f"{_folders(learned)} has changed since the run in {out} began ({'; '.join(differs) or 'another recording'}); begin a new"
        " run in another --out"
    )


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
    if resume and _begun(out) is None and not holds_run(out):
        checkpoint.check_exists(out)
    if not resume and holds_run(out):
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    ranks.wait()
    lock = locked(out) if ranks.first else nullcontext()
    with lock, torch.inference_mode(False), torch.enable_grad(), float32_default():
        return _train(learned, camera, wish, out, minutes, steps, resume, device, show, ranks, tensorboard, wandb)


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


def _name_of(dataset: Dataset) -> str:
    """Of the model; also for a folder whose letters the locale does not know."""
    return f"world-{os.fsencode(folder_name(dataset.folder)).decode('utf-8', 'replace')}"


def _tracks(
    datasets: Sequence[Dataset], autoencoder: Autoencoder, out: Path, ranks: Ranks, read: Callable[..., Recordings]
) -> list[Recordings]:
    """The recordings as tracks, each in a folder of the run; the first rank makes those that are missing."""
    widest, every = max(width(dataset.about["action"]) for dataset in datasets), []
    for number, dataset in enumerate(datasets, 1):
        among = Among(widest, word_of(dataset)) if len(datasets) > 1 else None
        place = out / (TRACKS if among is None else f"{TRACKS}-{number}")
        one = partial(read, dataset, autoencoder, among=among, folder=place)
        every.append(ranks.prepare(one, one))
    return every


def _train(
    learned: WeightedRecordings,
    camera: str | None,
    wish: WorldRecipe,
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
    started = _begun(out) if resume else None
    state = load_run(out) if resume and (started is None or holds_run(out)) else None
    if state is not None and "config" not in state:
        raise InputError(f"{out} holds no run of a recorded world; name the --out folder of an earlier kinema train world")
    share = wish.autoencoder_share
    if minutes is None and steps is None and started is not None:
        minutes, steps = started["minutes"], started["steps"]
    elif minutes is None and steps is None and state is not None:
        steps = state.get("steps")
        minutes = state["minutes"] / (1 - share) if state.get("minutes") is not None else None
    if minutes is None and steps is None:
        minutes = MINUTES
    _check_same_data((state or {}).get("data") or (started or {}).get("data"), learned, out)
    ranks.wait()
    if ranks.first:
        _write_begun(out, minutes, steps, learned, camera)
    autoencoder_minutes = minutes * share if minutes is not None else None
    autoencoder_steps = max(round(steps * share / (1 - share)), 1) if steps is not None else None
    datasets = [dataset for dataset, _ in learned]
    wish = replace(
        wish, frames=_stretch(datasets, wish.frames), compile=wish.compile and worth_compiling(minutes, steps, device)
    )
    begun = time.monotonic()
    autoencoder = ranks.prepare(
        lambda: _autoencoder(datasets, wish, out, autoencoder_minutes, autoencoder_steps, resume, device, show),
        lambda: _autoencoder(datasets, wish, out, autoencoder_minutes, autoencoder_steps, True, device, show),
    )
    autoencoder_s = time.monotonic() - begun
    reading = (lambda i, n: show(f"reading episode {i} of {n}")) if show else None
    text, scale = open_text_encoder(wish.text_encoder, device), None
    if state is not None and len(learned) == 1:
        with checkpoint.fitting(out):
            scale = float(state["config"]["world"]["reward_scale"])
    every = _tracks(datasets, autoencoder, out, ranks, partial(Recordings, show=reading, reward_scale=scale, text=text))
    configs = [config_for(data, one, wish, _name_of(data)) for data, one in zip(datasets, every, strict=True)]
    configs = [replace(config, **encoder_entries(text)) if config.network.text_dim else config for config in configs]
    if state is not None:
        with checkpoint.fitting(out):
            configs = [_as_begun(config, DiTConfig.from_dict(state["config"]["network"])) for config in configs]
    begun, rule, has_rule = time.monotonic(), None, bool(configs[0].network.relative)
    length = wish.rule_length(minutes, steps)
    if has_rule and state is None:
        rule = _rule(every[0], configs[0], wish, out, length, resume, show, ranks)
    rule_s = time.monotonic() - begun
    left = minutes * (1 - share) - has_rule * length[0] / 60 if minutes is not None else None
    lesson = RecordingsLesson([(one, weight) for one, (_, weight) in zip(every, learned, strict=True)], wish, rule)
    trainer = DiTTrainer(
        wish, configs[0], lesson, out, minutes=left, steps=steps, device=device, data=_identity(learned), ranks=ranks
    )
    several = len(learned) > 1
    trainer.compared = world_kind(wish.size, *every[0].size, several), "" if several else word_of(datasets[0])
    boards = Boards(out, tensorboard=tensorboard, wandb=wandb, about=asdict(wish)) if ranks.first else None
    trainer.board = boards
    if state is not None:
        trainer.load(state)
    trainer.before_s += autoencoder_s + rule_s

    def held_out(network: Estimator, at: torch.device) -> dict[str, float]:
        return ranks.mean_figures(lesson.held_out_figures(network, at, share=ranks.share()))

    if any(one.num_held_back for one in every):
        trainer.measure = held_out
    trainer.take_figures()
    trainer.run(show)
    errors = trainer.take_figures()
    if ranks.first:
        log.info("held-back episodes are stepped and measured, which takes a few minutes")
    if boards is not None:
        boards.close()
    weights = trainer.averaged_state()
    if len(learned) == 1:
        if ranks.first:
            picture = _finish(trainer, weights, datasets[0], every[0], configs[0], autoencoder, out / "world", errors)
            picture.save(out / "rollout.png")
        return out / "world"
    for dataset, recordings, config in zip(datasets, every, configs, strict=True) if ranks.first else ():
        folder = out / "worlds" / folder_name(dataset.folder)
        _finish(trainer, weights, dataset, recordings, config, autoencoder, folder, errors).save(folder / "rollout.png")
    return out / "worlds"


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
