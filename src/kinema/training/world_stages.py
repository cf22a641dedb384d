"""The stages of a world's training before its network learns pictures: the autoencoder, the recordings as tracks, what model they
make, the rule of their numbers, and the prior of their pictures. Each stores what it makes, and a run that goes on takes that."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinema.autoencoder import Autoencoder, load_autoencoder, save_autoencoder
from kinema.datasets.latent_build import autoencoder_hash
from kinema.datasets.lerobot import Dataset
from kinema.envs.spaces import edged, width
from kinema.errors import InputError, OutputError
from kinema.inference.dit_rollout import WANTED, wanted_width
from kinema.models.dit import SIZES, DiTConfig
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import weights_folder
from kinema.models.priors import PicturePrior, Point, TurnedPoints
from kinema.models.rules import MEMORY, MEMORY_WIDTH, Rule
from kinema.text.folder_encoder import encoder_entries, open_text_encoder
from kinema.training import checkpoint
from kinema.training.autoencoder.fine_tune import fine_tune
from kinema.training.begun_run import WeightedRecordings
from kinema.training.found_parts import load_found, save_found
from kinema.training.number_grids import find_choices
from kinema.training.parallel import Ranks
from kinema.training.priors import find_prior
from kinema.training.recordings import SHORTEST, Among, Recordings, held_back, usable
from kinema.training.rule_examples import NAME
from kinema.training.rules import find_rule
from kinema.training.sources import folder_name
from kinema.training.world_lesson import WorldRecipe

log = logging.getLogger(__name__)

AUTOENCODER = "codec"
"""The folder, in the run's and in the model's, of an autoencoder that was trained on."""
BODY_FIELDS, MOST_BODIES = ("x", "y", "cosine", "sine"), 4
"""Fields of an entity that say where it is and how it is turned; of how many entities at most a prior knows the angle."""
MOST_POINTS = 4
"""Numbers of an action with edges, up to which they may be places."""
TRACKS = "tracks"
"""The folder, in the run's, of a recording as latents and numbers; of several, the beginning of the names of their folders."""


@dataclass(frozen=True, kw_only=True)
class WorldRun:
    """What all stages need to know of a run."""

    learned: WeightedRecordings
    recipe: WorldRecipe
    out: Path
    minutes: float | None
    """Of all stages together."""
    steps: int | None
    """Of the network for pictures."""
    state: dict[str, Any] | None
    """The checkpoint that it goes on from."""
    resume: bool
    """Whether what earlier stages stored is taken."""
    device: str
    show: Callable[[str], None] | None
    ranks: Ranks

    @property
    def datasets(self) -> list[Dataset]:
        """The recordings without their weights."""
        return [dataset for dataset, _ in self.learned]


def config_for(data: Dataset, recordings: Recordings, recipe: WorldRecipe, name: str) -> DiTModelConfig:
    """What a model of this recording is."""
    about = data.about
    across, depth, heads = SIZES[recipe.size]
    numbers = {"action": recordings.action_width, **({"sensors": recordings.sensors} if recordings.sensors else {})}
    memory = {MEMORY: MEMORY_WIDTH} if recordings.sensors and recipe.relative and recipe.rule_share > 0 else {}
    wanted = (
        {WANTED: wanted_width(len(recordings.entity_columns))} if recordings.entity_columns and recipe.wanted_share else {}
    )
    has_prior = bool(wanted) and recipe.points and recipe.prior_share > 0
    bodies = _bodies(recordings) if has_prior else []
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
            bodies={WANTED: bodies} if bodies else {},
            prior={WANTED: list(recordings.episodes[0]["video"].shape[-2:])} if has_prior else {},
            pointing_if={WANTED: wanted[WANTED] - 2} if wanted and recipe.points else {},
            hidden_if={WANTED: wanted[WANTED] - 1} if wanted and recipe.relative else {},
            relative={"sensors": [round(x, 4) for x in recordings.changes.tolist()]}
            if recordings.sensors and recipe.relative
            else {},
            choices=find_choices(recordings).shape[-1] if memory else 0,
            known={track: recipe.context * count for track, count in numbers.items()} | memory | wanted,
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


def as_begun(config: DiTModelConfig, began: DiTConfig) -> DiTModelConfig:
    """With what is found out from recordings, as the run that goes on found it, perhaps by an earlier version."""
    names = ("pointing", "pointing_if", "bodies", "prior", "relative", "choices", "hidden_if")
    known = {name: count for name, count in config.network.known.items() if name != MEMORY or name in began.known}
    return replace(config, network=replace(config.network, **{name: getattr(began, name) for name in names}, known=known))


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


def _bodies(recordings: Recordings) -> list[TurnedPoints]:
    """Told entities with a place and an angle (`DiTConfig.bodies`), if few: those with all BODY_FIELDS. All share one square,
    about the picture."""
    names, entities = recordings.sensor_names, [recordings.sensor_names[c] for c in recordings.entity_columns]
    every = [
        [f"{entity}.{field}" for field in BODY_FIELDS]
        for entity in dict.fromkeys(one.rpartition(".")[0] for one in entities)
    ]
    every = [fields for fields in every if set(fields) <= set(names)]
    if not 0 < len(every) <= MOST_BODIES:
        return []
    ends = [[names.index(fields[axis]) for fields in every] for axis in (0, 1)]
    edges = [(float(recordings.least[at].min()), float(recordings.most[at].max())) for at in ends]
    half = max(1e-6, *(most - least for least, most in edges)) / 2
    square = [((least + most) / 2 - half, (least + most) / 2 + half) for least, most in edges]

    def point(name: str, least: float, most: float) -> Point:
        column = names.index(name)
        mean, std = float(recordings.mean[column]), float(recordings.std[column])
        return entities.index(name), round((least - mean) / std, 4), round((most - mean) / std, 4)

    ranges = [*square, (-1.0, 1.0), (-1.0, 1.0)]
    return [[point(name, *edge) for name, edge in zip(fields, ranges, strict=True)] for fields in every]


def word_of(data: Dataset) -> str:
    """What an environment is called in words, by its id: "Pong" of "ALE/Pong-v5"; by its folder where it has none."""
    env = str(data.about.get("env") or folder_name(data.folder)).rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[-_]+", " ", re.sub(r"-v\d+$", "", env)).strip() or "world"


def usual_stretch(datasets: Sequence[Dataset], frames: int) -> int:
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


def fitted_autoencoder(run: WorldRun) -> Autoencoder:
    """The recipe's, trained on over the recordings by the first rank."""
    return run.ranks.prepare(lambda: _autoencoder(run, run.resume), lambda: _autoencoder(run, True))


def _autoencoder(run: WorldRun, resume: bool) -> Autoencoder:
    recipe, folder, share = run.recipe, run.out / AUTOENCODER, run.recipe.autoencoder_share
    if not share:
        return load_autoencoder(weights_folder() / recipe.autoencoder, device=run.device)
    if not resume or not (folder / "README.md").exists():
        (folder / "README.md").unlink(missing_ok=True)
        start = load_autoencoder(weights_folder() / recipe.autoencoder, dtype=torch.float32)
        seen = []
        for data in run.datasets:
            numbers = usable(data)
            seen.append((data, numbers[: len(numbers) - held_back(len(numbers))]))
        minutes = run.minutes * share if run.minutes is not None else None
        steps = max(round(run.steps * share / (1 - share)), 1) if run.steps is not None else None
        fitted = fine_tune(start, seen, minutes=minutes, steps=steps, seed=recipe.seed, say=run.show)
        total = sum(data.total_frames for data in run.datasets)
        card = f"# autoencoder\n\n{recipe.autoencoder} trained on over {total:,} pictures.\n"
        save_autoencoder(fitted, folder, card=card)
    return load_autoencoder(folder, device=run.device)


def read_tracks(run: WorldRun, autoencoder: Autoencoder) -> tuple[list[Recordings], list[DiTModelConfig]]:
    """The recordings as tracks, each in a folder of the run, of which the first rank makes those that are missing; and what a model
    of each is."""
    text, scale, show = open_text_encoder(run.recipe.text_encoder, run.device), None, run.show
    if run.state is not None and len(run.learned) == 1:
        with checkpoint.fitting(run.out):
            scale = float(run.state["config"]["world"]["reward_scale"])
    reading = (lambda i, n: show(f"reading episode {i} of {n}")) if show else None
    widest, every = max(width(dataset.about["action"]) for dataset in run.datasets), list[Recordings]()
    for number, dataset in enumerate(run.datasets, 1):
        among = Among(widest, word_of(dataset)) if len(run.learned) > 1 else None
        folder = run.out / (TRACKS if among is None else f"{TRACKS}-{number}")
        one = partial(
            Recordings, dataset, autoencoder, show=reading, reward_scale=scale, text=text, among=among, folder=folder
        )
        every.append(run.ranks.prepare(one, one))
    names = [f"world-{os.fsencode(folder_name(data.folder)).decode('utf-8', 'replace')}" for data in run.datasets]
    configs = [config_for(data, one, run.recipe, name) for data, one, name in zip(run.datasets, every, names, strict=True)]
    configs = [replace(config, **encoder_entries(text)) if config.network.text_dim else config for config in configs]
    if run.state is not None:
        with checkpoint.fitting(run.out):
            configs = [as_begun(config, DiTConfig.from_dict(run.state["config"]["network"])) for config in configs]
    return every, configs


def found_parts(
    run: WorldRun, recordings: Recordings, network: DiTConfig
) -> tuple[dict[str, Tensor] | None, dict[str, Tensor] | None]:
    """Weights of the rule of a recording's numbers and of the prior of its pictures, found by the first rank; None of those that a
    network has not."""
    rule = prior = None
    if network.relative:
        with torch.device("meta"):  # names and shapes
            expected = Rule(network.known, NAME, len(network.relative[NAME]), network.choices).state_dict()
        rule = _found(run, "rules", expected, partial(find_rule, recordings, network), run.recipe.rule_share, {})
    if network.prior:
        with torch.device("meta"):
            expected = PicturePrior(network).state_dict()
        find = partial(find_prior, recordings, network, spread=run.recipe.spread)
        made_of = {
            "spread": str(run.recipe.spread),
            "autoencoder": autoencoder_hash(recordings.autoencoder),
            "places": json.dumps([network.pointing, network.bodies]),
        }
        prior = _found(run, "prior", expected, find, run.recipe.prior_share, made_of)
    return rule, prior


def _found(
    run: WorldRun,
    name: str,
    expected: dict[str, Tensor],
    find: Callable[..., dict[str, Tensor]],
    share: float,
    made_of: dict[str, str],
) -> dict[str, Tensor]:
    """share: of the run, in which it is found. made_of: what else it depends on."""
    path, (seconds, steps) = run.out / f"{name}.safetensors", run.recipe.found_length(share, run.minutes, run.steps)
    sought = {"seconds": str(seconds), "steps": str(steps), "seed": str(run.recipe.seed), **made_of}

    def by_first() -> dict[str, Tensor]:
        weights = load_found(path, expected, sought) if run.resume else None
        if weights is None:
            weights = find(seconds=seconds, steps=steps, seed=run.recipe.seed, show=run.show)
            save_found(weights, path, sought)
        return weights

    def by_others() -> dict[str, Tensor]:
        weights = load_found(path, expected, sought)
        if weights is None:
            raise OutputError(f"what the first rank found cannot be read from {path}; give all ranks the same folder")
        return weights

    return run.ranks.prepare(by_first, by_others)
