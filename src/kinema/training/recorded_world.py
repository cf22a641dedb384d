"""A world model of a recorded environment: kinema train world --data DIR."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from kinema.autoencoder import Autoencoder, load_autoencoder, save_autoencoder
from kinema.datasets.folder_lock import locked
from kinema.datasets.lerobot import Dataset
from kinema.datasets.pictures import CELL_PX
from kinema.devices import float32_default
from kinema.envs.spaces import width
from kinema.errors import InputError, OutputError
from kinema.inference.dit_rollout import WANTED, wanted_width
from kinema.models.dit import SIZES, DiTConfig
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import save, weights_folder
from kinema.training import checkpoint
from kinema.training.autoencoder.fine_tune import fine_tune
from kinema.training.board import open_board
from kinema.training.dit_trainer import DiTTrainer, recipe_of_run
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.parallel import ALONE, Ranks
from kinema.training.recordings import SHORTEST, Recordings, RecordingsLesson, WorldRecipe, held_back, usable
from kinema.training.sharded_checkpoint import holds_run, load_run
from kinema.training.world_report import evaluate, save_starts, world_card
from kinema.types import parse_json, python_values

log = logging.getLogger(__name__)

MINUTES = 60.0
AUTOENCODER = "codec"
"""The folder, in the run's and in the model's, of a autoencoder that was trained on."""
RUN = "run.json"
"""What a run was asked for, length, data and where they lie, written before its first stage. A run that ends before its first
checkpoint goes on from it."""


def config_for(data: Dataset, recordings: Recordings, recipe: WorldRecipe, name: str) -> DiTModelConfig:
    """What a model of this recording is."""
    about = data.about
    across, depth, heads = SIZES[recipe.size]
    numbers = {"action": width(about["action"]), **({"sensors": recordings.sensors} if recordings.sensors else {})}
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
            places=bool(wanted),
            text_dim=0 if recordings.text is None else recordings.text[0].shape[-1],
            known={track: recipe.context * count for track, count in numbers.items()} | wanted,
            predicted={"reward": 1, "terminated": 1, **({"sensors": recordings.sensors} if recordings.sensors else {})},
        ),
        autoencoder=AUTOENCODER if recipe.autoencoder_share else recipe.autoencoder,
        height=recordings.size[0],
        width=recordings.size[1],
        fps=data.fps,
        frames=recipe.window,
        spread=recipe.spread,
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
                "names": list(data.sensor_names),
            },
            "tasks": recordings.tasks,
            "idle": recordings.idle() if about["action"]["type"] == "discrete" else 0,
        },
    )


def _stretch(data: Dataset, frames: int) -> int:
    """How long stretches are: as wished, or shorter where most episodes are."""
    lengths = sorted(int(data.rows[number]["length"]) for number in usable(data))
    if 2 * len(lengths) <= len(data):
        raise InputError(f"most episodes of {data.folder} have fewer than {SHORTEST} frames; record longer ones")
    if len(lengths) < len(data):
        log.warning("%d episodes of fewer than %d frames are left out", len(data) - len(lengths), SHORTEST)
    usual = lengths[len(lengths) // 2]
    if usual < frames:
        log.info("episodes are short: training takes %d frames at a time", usual)
    return min(frames, usual)


def _autoencoder(
    data: Dataset,
    recipe: WorldRecipe,
    out: Path,
    minutes: float | None,
    steps: int | None,
    again: bool,
    device: str,
    show: Callable[[str], None] | None,
) -> Autoencoder:
    """The recipe's autoencoder, trained on over the recording; taken as it is when a run goes on (`again`)."""
    if not recipe.autoencoder_share:
        return load_autoencoder(weights_folder() / recipe.autoencoder, device=device)
    if not again or not (out / AUTOENCODER / "README.md").exists():
        (out / AUTOENCODER / "README.md").unlink(missing_ok=True)
        start = load_autoencoder(weights_folder() / recipe.autoencoder, dtype=torch.float32)
        numbers = usable(data)
        seen = numbers[: len(numbers) - held_back(len(numbers))]
        fitted = fine_tune(start, data, episodes=seen, minutes=minutes, steps=steps, seed=recipe.seed, say=show)
        save_autoencoder(
            fitted,
            out / AUTOENCODER,
            card=f"# autoencoder\n\n{recipe.autoencoder} trained on over {data.total_frames:,} pictures.\n",
        )
    return load_autoencoder(out / AUTOENCODER, device=device)


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


def data_of_run(out: Path | str) -> tuple[Path, str] | None:
    """The folder of the recording that the run in `out` learns from, and its camera, by RUN; None where it does not say."""
    try:
        begun = parse_json((Path(out) / RUN).read_text(encoding="utf-8"))
        return Path(begun["folder"]), str(begun["data"]["camera"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_begun(out: Path, minutes: float | None, steps: int | None, dataset: Dataset) -> None:
    path, temporary = out / RUN, out / f".{RUN}.tmp"
    where = str(dataset.folder.resolve())
    begun = {"minutes": minutes, "steps": steps, "data": dataset.identity(), "folder": where}
    try:
        temporary.write_text(json.dumps(begun, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}") from None


def _check_same_data(before: dict[str, Any] | None, dataset: Dataset, out: Path) -> None:
    """InputError where a run goes on with another recording than it began with, saying what differs."""
    now = dataset.identity()
    if before is None or before == now:
        return
    names = {"episodes": "episodes", "frames": "frames", "fps": "frames a second", "actions": "actions", "files": "contents"}
    differs = [
        f"{before.get(name)} {word}, now {now[name]}" if name in ("episodes", "frames", "fps") else f"other {word}"
        for name, word in names.items()
        if before.get(name) != now[name]
    ]
    raise InputError(
        f"{dataset.folder} has changed since the run in {out} began ({'; '.join(differs) or 'another recording'}); begin a new"
        " run in another --out"
    )


def train_world(
    data: Path | str,
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
) -> Path:
    """Train a world model of a dataset; returns the folder of the finished model, `out`/world.

    minutes: of the autoencoder's and the world's training together. steps: of the world's; the autoencoder takes as many
    besides as give it the recipe's share of all. With both, whichever is first ends each. With neither, an hour, or what a
    resumed run was given. resume: go on from whichever stage the run in `out` has reached. camera: of a dataset with several.
    ranks: the processes that train together, all of which call this. tensorboard: folder for the figures of each step.

    InputError: a batch that the ranks cannot share, a length that is none, a dataset that cannot be used or is not the one that the
    run began with, a checkpoint that is of another world or cannot be read, or another run that is writing to `out`. OutputError:
    `out` cannot be written to.
    """
    out = Path(out)
    wish = recipe or (recipe_of_run(WorldRecipe, out) if resume else WorldRecipe())
    wish = WorldRecipe(**python_values(asdict(wish)))
    check_minutes(minutes)
    check_steps(steps)
    ranks.share(wish.accumulate).rows(wish.batch)
    minutes, steps = None if minutes is None else float(minutes), None if steps is None else int(steps)
    given = Dataset.open(data, camera=camera)
    dataset = given.fitted()
    if dataset.size != given.size:
        (old, wide), (new, across) = given.size, dataset.size
        log.warning("pictures of %dx%d are resized to %dx%d, multiples of %d", wide, old, across, new, CELL_PX)
    if resume and _begun(out) is None and not holds_run(out):
        checkpoint.check_exists(out)
    if not resume and holds_run(out):
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    ranks.wait()
    lock = locked(out) if ranks.first else nullcontext()
    with lock, torch.inference_mode(False), torch.enable_grad(), float32_default():
        return _train(dataset, wish, out, minutes, steps, resume, device, show, ranks, tensorboard)


def _name_of(dataset: Dataset) -> str:
    """Of the model; also for a folder whose letters the locale does not know."""
    return f"world-{os.fsencode(dataset.folder.absolute().name).decode('utf-8', 'replace')}"


def _train(
    dataset: Dataset,
    wish: WorldRecipe,
    out: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    device: str,
    show: Callable[[str], None] | None,
    ranks: Ranks,
    tensorboard: Path | None,
) -> Path:
    started = _begun(out) if resume else None
    state = load_run(out) if resume and (started is None or holds_run(out)) else None
    if state is not None and "config" not in state:
        raise InputError(f"{out} holds no run of a recorded world; name the --out folder of an earlier kinema train world")
    share = wish.autoencoder_share
    if minutes is None and steps is None and state is not None:
        steps = state.get("steps")
        minutes = state["minutes"] / (1 - share) if state.get("minutes") is not None else None
    elif minutes is None and steps is None and started is not None:
        minutes, steps = started["minutes"], started["steps"]
    if minutes is None and steps is None:
        minutes = MINUTES
    _check_same_data((state or {}).get("data") or (started or {}).get("data"), dataset, out)
    ranks.wait()
    if ranks.first:
        _write_begun(out, minutes, steps, dataset)
    autoencoder_minutes = minutes * share if minutes is not None else None
    autoencoder_steps = max(round(steps * share / (1 - share)), 1) if steps is not None else None
    wish = replace(wish, frames=_stretch(dataset, wish.frames), compile=wish.compile and worth_compiling(minutes, steps))
    begun = time.monotonic()
    autoencoder = ranks.prepare(
        lambda: _autoencoder(dataset, wish, out, autoencoder_minutes, autoencoder_steps, resume, device, show),
        lambda: _autoencoder(dataset, wish, out, autoencoder_minutes, autoencoder_steps, True, device, show),
    )
    autoencoder_s = time.monotonic() - begun
    reading = (lambda i, n: show(f"reading episode {i} of {n}")) if show else None
    scale = None
    if state is not None:
        with checkpoint.fitting(out):
            scale = float(state["config"]["world"]["reward_scale"])
    recordings = Recordings(dataset, autoencoder, reading, scale)
    config = config_for(dataset, recordings, wish, _name_of(dataset))
    left = minutes * (1 - share) if minutes is not None else None
    lesson = RecordingsLesson(recordings, wish)
    trainer = DiTTrainer(
        wish, config, lesson, out, minutes=left, steps=steps, device=device, data=dataset.identity(), ranks=ranks
    )
    trainer.board = open_board(tensorboard) if tensorboard is not None and ranks.first else None
    if state is not None:
        trainer.load(state)
    trainer.autoencoder_s += autoencoder_s
    trainer.run(show)
    folder, model = out / "world", trainer.finished(autoencoder)
    weights = trainer.averaged_state()
    if not ranks.first:
        return folder
    figures, picture = evaluate(model, recordings)
    trained = {
        "recipe": "world",
        "data": str(dataset.folder),
        "steps": trainer.step,
        "minutes": round((trainer.elapsed_s + trainer.autoencoder_s) / 60, 1),
        "date": date.today().isoformat(),
        "figures": {name: round(value, 3) for name, value in figures.items()},
    }
    done = replace(config, trained=trained)
    if wish.autoencoder_share:
        save_autoencoder(autoencoder, folder / AUTOENCODER)
    save(folder, done, weights, world_card(done, figures, dataset.total_frames))
    save_starts(folder, recordings, wish.seed)
    picture.save(out / "rollout.png")
    return folder
