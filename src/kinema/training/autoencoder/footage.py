"""An autoencoder of one's own footage: kinema train autoencoder --data FOLDER.

It learns by the same trainer as the one that comes with Kinema, from crops of clips and recordings in place of the Playground's
pictures. Pixels of a recording that are unusual in their place weigh more, as when a world's autoencoder is trained on.

Axes: N clips, T frames, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import Autoencoder, AutoencoderConfig, load_autoencoder, save_autoencoder
from kinema.datasets.addresses import path_at
from kinema.datasets.clip_batches import held_out_names
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.folder_lock import locked
from kinema.datasets.lerobot import Dataset
from kinema.devices import float32_default
from kinema.errors import InputError
from kinema.inference.canvas_io import check_seed
from kinema.models.hub import weights_folder
from kinema.training import checkpoint
from kinema.training.autoencoder.card import clips_psnr, footage_card, mean_color_psnr
from kinema.training.autoencoder.fine_tune import MOST, Pictures
from kinema.training.autoencoder.train import AutoencoderTrainer, TrainConfig, clip_frames
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.recordings import held_back, usable
from kinema.training.sources import Data, weighted_folders

MINUTES = 30.0
NAME = "autoencoder"
"""The folder, in the run's, of the finished one."""
SHIPPED = "codec-8x8"
MEASURED = 64
"""Held-back clips that it is measured on, at most."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """What autoencoder is trained, and on what of the footage.

    time_factor: frames of a latent frame, 1, 2 or 4. channels: numbers of a latent. width, depth: of the network
    (`kinema.autoencoder.AutoencoderConfig`). short_side: pixels that the shorter side of clips is resized to; recordings stay as
    they are. fps: the most frames a second of clips.
    """

    time_factor: int = 4
    channels: int = 24
    width: int = 128
    depth: int = 2
    short_side: int = 64
    fps: float = 8.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.short_side < 16 or self.short_side % 8 or not 0 < self.fps <= 60:
            raise InputError(
                f"a shorter side of {self.short_side} px, {self.fps:g} frames a second: expected a multiple of 8 from 16 on, and up"
                " to 60"
            )
        self.network()

    def network(self) -> AutoencoderConfig:
        """What is trained. InputError: there is none of these sizes."""
        return AutoencoderConfig(channels=self.channels, width=self.width, time_factor=self.time_factor, depth=self.depth)


FootageSource = CaptionedClips | Dataset
"""A set of clips, or a recording."""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """Footage in memory: what is learned from, with its share of the batches, and what is held back, uint8 [N, T, H, W, 3]."""

    learned: list[tuple[Pictures, float]]
    held_back: list[Tensor]


def recipe_for(run: Path | None, given: Mapping[str, Any]) -> AutoencoderRecipe:
    """The recipe of a run that goes on, or the usual one, with settings that are given. InputError: settings that cannot be, or no
    such run."""
    return replace(
        AutoencoderRecipe() if run is None else _stored_recipe(checkpoint.load_checkpoint(run), run, None), **given
    )


def train_autoencoder(
    data: Data,
    *,
    out: Path | str,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    recipe: AutoencoderRecipe | None = None,
    device: str = "cpu",
    show: Callable[[str], None] | None = None,
) -> Path:
    """Train an autoencoder on footage; returns the folder of the finished one, `out`/autoencoder.

    data: a folder of captioned clips (`CaptionedClips.open`), or of a recording of `kinema record`, or several with weights.
    minutes, steps: length of the run, whichever ends first; with neither, 30 minutes, or what a resumed run was given. resume: go
    on with the run in `out`, with its recipe.

    InputError: a length that is none, footage that cannot be used or is not that of the run, another recipe than the run's, or
    another run that is writing to `out`. OutputError: `out` cannot be written to.
    """
    out = Path(out)
    check_minutes(minutes)
    check_steps(steps)
    if resume:
        checkpoint.check_exists(out)
    elif (out / checkpoint.NAME).exists():
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    learned = [(open_footage(folder), weight) for folder, weight in weighted_folders(data)]
    with locked(out), torch.inference_mode(False), torch.enable_grad(), float32_default():
        state = checkpoint.load_checkpoint(out) if resume else None
        wish = recipe or AutoencoderRecipe()
        identity: list[Any] = [[source.identity(), weight] for source, weight in learned]
        if state is not None:
            wish = _stored_recipe(state, out, recipe)
            if state.get("data") != identity:
                raise InputError(f"the footage is not what the run in {out} began with; begin a new run in another --out")
            if minutes is None and steps is None:
                minutes, steps = state["minutes"], state["steps"]
        if minutes is None and steps is None:
            minutes = MINUTES
        stock = read_stock(learned, wish, show)
        trainer = _trainer(stock, wish, minutes, steps, device)
        if state is not None:
            with checkpoint.fitting(out):
                trainer.load(state)

        def save() -> None:
            about = {"recipe": asdict(wish), "data": identity, "minutes": minutes, "steps": steps}
            checkpoint.save_checkpoint(out, trainer.checkpoint() | about)

        trainer.run(show or (lambda line: None), save)
        made = trainer.finish()
        folder = out / NAME
        save_autoencoder(made, folder)
        about = (
            f"Made by `kinema train autoencoder` of {', '.join(name_of(source) for source, _ in learned)} in"
            f" {trainer.elapsed_s / 60:.1f} minutes ({trainer.step} steps), {date.today().isoformat()}."
        )
        figures = measure_footage(load_autoencoder(folder, device=device), stock.held_back, device)
        save_autoencoder(made, folder, card=footage_card(made, NAME, about, figures))
        return folder


def _stored_recipe(state: dict[str, Any], out: Path, recipe: AutoencoderRecipe | None) -> AutoencoderRecipe:
    """The recipe of a run. InputError: the run is of something else, or of another recipe than the one that is wished."""
    with checkpoint.fitting(out):
        if not {"average", "rng"} <= state.keys():
            raise InputError(f"{out} holds no run of kinema train autoencoder; name the --out folder of one")
        stored = AutoencoderRecipe(**state["recipe"])
    if recipe is not None and recipe != stored:
        differs = [f"{name} {value}" for name, value in asdict(stored).items() if value != getattr(recipe, name)]
        raise InputError(
            f"{out} holds a run with {', '.join(differs)}; leave such options out, or begin a run in another --out"
        )
    return stored


def _trainer(
    stock: Stock, wish: AutoencoderRecipe, minutes: float | None, steps: int | None, device: str
) -> AutoencoderTrainer:
    shares = np.array([share for _, share in stock.learned])
    side = min(min(pictures.windows.shape[2:4]) for pictures, _ in stock.learned) // 8 * 8

    def draw_things(rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
        footage, _ = stock.learned[int(rng.choice(len(shares), p=shares / shares.sum()))]
        pictures, things = footage.draw_things(rng, count, side)
        mirrored = torch.from_numpy(rng.random(count) < 0.5).view(-1, *[1] * (things.dim() - 1))
        return torch.where(mirrored[..., None], pictures.flip(-2), pictures), torch.where(mirrored, things.flip(-1), things)

    def draw(rng: np.random.Generator, count: int, side: int) -> Tensor:
        return draw_things(rng, count, side)[0]

    config = TrainConfig(sides=((side, 1.0),), seed=wish.seed, compile=worth_compiling(minutes, steps))
    return AutoencoderTrainer(config, wish.network(), draw_things, draw, minutes=minutes, steps=steps, device=device)


def open_footage(folder: Path | str) -> FootageSource:
    """A recording, where the folder is one, else a set of clips. InputError: it can be neither."""
    if (path_at(folder) / "meta" / "info.json").exists():
        return Dataset.open(folder).fitted()
    return CaptionedClips.open(folder)


def name_of(source: FootageSource) -> str:
    """Of footage, as its folder was given."""
    return str(source.folder if isinstance(source, Dataset) else source.path)


def read_stock(
    learned: Sequence[tuple[FootageSource, float]], wish: AutoencoderRecipe, show: Callable[[str], None] | None = None
) -> Stock:
    """All that is learned from, in memory: about MOST pictures of 64x64, or as many pixels of larger ones.

    learned: footage with its weights. InputError: a source has too few or too short clips.
    """
    stock, most = Stock(learned=[], held_back=[]), MOST // len(learned)
    for source, weight in learned:
        if isinstance(source, Dataset):
            _add_recording(stock, source, weight, most, clip_frames(wish.time_factor))
        else:
            _add_clips(stock, source, weight, most * 64**2 // wish.short_side**2, wish, show)
    return stock


def _add_recording(stock: Stock, data: Dataset, weight: float, most: int, frames: int | None) -> None:
    """The last tenth of the episodes is held back, as when worlds are trained."""
    numbers = usable(data)
    count = held_back(len(numbers))
    if not count:
        raise InputError(f"{data.folder} holds one episode; expected 2 or more, as one is held back")
    seen, others = numbers[: len(numbers) - count], numbers[len(numbers) - count :]
    stock.learned.append((Pictures.of_recording(data, seen, most, frames), weight))
    stock.held_back.append(_some(Pictures.of_recording(data, others, most, frames)))


def _add_clips(
    stock: Stock,
    clips: CaptionedClips,
    weight: float,
    most: int,
    wish: AutoencoderRecipe,
    show: Callable[[str], None] | None,
) -> None:
    """Clips of each size by themselves; a tenth of the clips is held back, which a model that films is not shown either;
    where none of those is long enough, another clip."""
    if len(clips) < 2:
        raise InputError(f"{clips.path} holds one clip; expected 2 or more, as one is held back")
    frames = clip_frames(wish.time_factor)
    held = held_out_names([entry.name for entry in clips.entries])
    rates = [min(entry.fps, wish.fps) for entry in clips.entries]
    seconds = [entry.duration_s for entry in clips.entries]
    every = max(1, -(-int(sum(length * fps for length, fps in zip(seconds, rates, strict=True))) // most))
    parts: dict[bool, dict[tuple[int, int], list[NDArray[np.uint8]]]] = {False: {}, True: {}}
    for number, (entry, fps) in enumerate(zip(clips.entries, rates, strict=True)):
        size, length = entry.shrunk(wish.short_side), frames or 1
        read = enumerate(clips.frames(number, size=size, fps=fps))
        some = [frame for i, frame in read if i // length % every == 0]
        if len(some) >= length:
            parts[entry.name in held].setdefault(size, []).append(np.stack(some[: len(some) // length * length]))
        if show is not None:
            show(f"reading clip {number + 1} of {len(clips)}")
    if not parts[True] and sum(map(len, parts[False].values())) > 1:  # those that would be held back are too short
        size, long_enough = max(parts[False].items(), key=lambda item: len(item[1]))
        parts[True][size] = [long_enough.pop()]
        parts[False] = {size: seen for size, seen in parts[False].items() if seen}
    if not parts[False] or not parts[True]:
        which = "held back" if parts[False] else "learned from"
        raise InputError(
            f"{clips.path}: none of the clips that are {which} has {frames or 1} frames at {wish.fps:g} a second; add longer ones"
        )
    total = sum(len(clip) for seen in parts[False].values() for clip in seen)
    for _, seen in sorted(parts[False].items()):
        share = weight * sum(map(len, seen)) / total
        stock.learned.append((Pictures(seen, frames=frames, weighed=False), share))
    stock.held_back.extend(_some(Pictures(unseen, frames=frames)) for _, unseen in sorted(parts[True].items()))


def _some(pictures: Pictures) -> Tensor:
    """Evenly spaced ones to measure on."""
    windows = pictures.windows
    return torch.from_numpy(windows[:: max(1, -(-len(windows) // MEASURED))].copy())


def measure_footage(autoencoder: Autoencoder, shown: Sequence[Tensor], device: str = "cpu") -> dict[str, tuple[str, float]]:
    """By whom: numbers for 64 pixels of 4 frames, and PSNR on clips uint8 [N, T, H, W, 3]: of this autoencoder, of the one that
    comes with Kinema, and of the mean color of each picture."""
    shipped = load_autoencoder(weights_folder() / SHIPPED, device=device)

    def mean(of: Callable[[Tensor], float]) -> float:
        return sum(len(clips) * of(clips) for clips in shown) / sum(map(len, shown))

    figures = {
        who: (str(4 // one.time_factor * one.channels), mean(partial(clips_psnr, one, device=device)))
        for who, one in (("this autoencoder", autoencoder), (f"{SHIPPED}, which comes with Kinema", shipped))
    }
    return figures | {"the mean color of each picture": ("3 a picture", mean(mean_color_psnr))}
