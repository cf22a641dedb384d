"""What each part of the recipe for films is worth: python -m benchmarks.film_recipe [--flops N] [--variants NAME ...] [--write]

Small networks learn from films of the Playground with their captions, each with one part of `kinema train video` left out or
changed, for the same arithmetic. On held-out films, all frames at one noise level: the error with the film's text, without one, and
with another film's; what the text is worth is what the error falls by with it. Then each films held-out captions, and the
Playground's parser says what is in at least half of the pictures (as in `benchmarks.scaling`).

What exists in OUT is used again. --write puts the table into docs/measurements/film-recipe.md and a sheet into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from benchmarks.scaling import FIRST_TRIAL, episode_of, film_of, films_of, judged, open_cache
from torch import Tensor, nn

from kinema.autoencoder import load_autoencoder
from kinema.datasets.latent_cache import LatentCache
from kinema.diffusion.flow import shift_of
from kinema.media.contact_sheet import contact_sheet
from kinema.models.dit import DiT, DiTConfig
from kinema.models.dit_model import DiTModel
from kinema.models.hub import weights_folder
from kinema.statistics import mean_interval
from kinema.training import dit_trainer, film_lesson
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.film_lesson import ClipsLesson, FilmRecipe, film_loss
from kinema.training.films import film_config
from kinema.training.flops import dit_flops
from kinema.types import Frames

LEVELS = (0.8, 0.9, 0.95, 1.0)
BATCHES, TRIALS = 16, 24
"""Held-out batches that errors are means of, and captions that are filmed."""


class LevelFeature(DiT):
    """The general network with its condition, level and known numbers, as a feature that is added to every token; norms and gates
    have learned numbers, the same at all levels."""

    tokens = slice(None)
    """Which tokens of a frame the feature is added to."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        del self.modulation
        self.level_in = nn.Linear(config.width, config.width)
        self.open_gates()

    def modulate(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        added = torch.zeros_like(x)
        added[:, :, self.tokens] = self.level_in(condition).to(x.dtype)
        return x + added, x.new_zeros(*condition.shape[:-1], 9, x.shape[-1])


class LevelToken(LevelFeature):
    """The same with the condition in the token of the frame as a whole alone."""

    tokens = slice(1)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe. shape: width, depth and heads; shift: of levels, None as usual; network: its class."""

    shape: tuple[int, int, int] = (96, 4, 4)
    settings: dict[str, Any] = field(default_factory=dict)
    shift: float | None = None
    network: type[DiT] = DiT


NO_PICTURES = {"pictures_first": 0.0, "picture_share": 0.0}
VARIANTS = {
    "as it is": Variant(),
    "clips alone": Variant(settings=NO_PICTURES),
    "clips alone, levels shifted by 2, a quarter of them 1": Variant(settings=NO_PICTURES | {"pure_share": 0.25}, shift=2.0),
    "tokens that do not know their place": Variant(settings={"places": False}),
    "pictures for 40% of the run": Variant(settings={"pictures_first": 0.4}),
    "pictures for 80% of the run": Variant(settings={"pictures_first": 0.8}),
    "tokens of one latent": Variant(settings={"patch": 1}, shape=(64, 4, 4)),
    "blocks that add what they make from the beginning": Variant(settings={"open_gates": True}),
    "half as many clips a step, twice as many steps": Variant(settings={"batch": FilmRecipe().batch // 2}),
    "levels as a feature of every token": Variant(network=LevelFeature),
    "levels as a token of the frame": Variant(network=LevelToken),
}


@contextmanager
def varied(variant: Variant) -> Iterator[None]:
    """Trainers make the variant's network, and levels are moved as far as it says, whatever the number of latents."""
    shift = shift_of if variant.shift is None else lambda *latents: variant.shift
    with mock.patch.object(film_lesson, "shift_of", shift), mock.patch.object(dit_trainer, "DiT", variant.network):
        yield


def trained(cache: LatentCache, variant: Variant, flops: float, out: Path) -> tuple[DiTTrainer, DiT]:
    """The run of a variant, and its averaged network."""
    recipe = FilmRecipe(compile=False, lengths=1, rates=1, save_every_s=1e9, **variant.settings)
    config = film_config(cache, recipe, "recipe")
    width, depth, heads = variant.shape
    config = replace(config, network=replace(config.network, width=width, depth=depth, heads=heads))
    lesson, counted = ClipsLesson(cache, recipe), list[float]()

    def count(given: Any) -> dict[str, Tensor]:
        counted.append(dit_flops(config.network, given))
        return {"video": given.video}

    for done in (0.0, 1.0):
        lesson.losses(count, 0, done, torch.device("cpu"))
    share = recipe.pictures_first + (1 - recipe.pictures_first) * recipe.picture_share
    steps = round(flops / 3 / (share * counted[0] + (1 - share) * counted[-1]))
    weights = out / "weights.pt"
    with varied(variant):
        trainer = DiTTrainer(recipe, config, lesson, out, steps=steps)
        if not weights.exists():
            trainer.run(_show)
            torch.save({"step": trainer.step, "weights": trainer.averaged_state()}, weights)
        kept = torch.load(weights, weights_only=True)
        trainer.step = kept["step"]
        return trainer, trainer.network_of(kept["weights"])


@torch.no_grad()
def text_errors(network: DiT, cache: LatentCache, recipe: FilmRecipe) -> dict[float, list[list[float]]]:
    """Errors of held-out batches with the right text, without one, and with another film's, by level."""

    def estimate(given: Any) -> dict[str, Tensor]:
        return {name: x.float() for name, x in network(given).items()}

    errors: dict[float, list[list[float]]] = {level: [] for level in LEVELS}
    rows = FilmRecipe().batch  # the same films, whatever the variant's batch
    for number in range(BATCHES):
        batch = cache.sample_batch(0, number, rows, recipe.frames, held_out=True)
        turned = torch.arange(rows).roll(1)
        other = replace(batch, text_states=batch.text_states[turned], text_mask=batch.text_mask[turned])
        noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(number))
        every = torch.ones(batch.latents.shape[:2])
        heard = torch.ones(rows, dtype=torch.bool)
        for level in LEVELS:
            tries = ((batch, heard), (batch, ~heard), (other, heard))
            errors[level].append(
                [
                    float(film_loss(estimate, one, level * every, every, hears, noise, torch.device("cpu")))
                    for one, hears in tries
                ]
            )
    return errors


def worth(errors: list[list[float]]) -> str:
    """The error with the right text, and what it falls by, with its interval."""
    right, none, _ = np.array(errors).T
    mean, low, high = mean_interval((none - right).tolist())
    return f"{right.mean():.3f}: {mean:.3f} [{low:.3f}, {high:.3f}]"


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=12000, help="in the folder (default: 12000)")
    parser.add_argument(
        "--flops", type=float, default=1e13, help="of each training (default: 1e13, some minutes of one core)"
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=Path("out/scaling"), help="where benchmarks.scaling has its films")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/film-recipe.md")
    given = parser.parse_args()
    if given.write and given.variants != list(VARIANTS):
        parser.error("--write puts the whole table: leave out --variants")
    torch.set_num_threads(1)
    cache = open_cache(given.out, given.films)
    trials = [episode_of(FIRST_TRIAL + i) for i in range(TRIALS)]
    head = [f"level {level:g}" for level in LEVELS]
    columns = ["", "parameters", "steps", *head, "cast right", "things right", "colors right"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    sheet: list[Frames] = [film_of(episode)[: FilmRecipe().frames] for episode in trials[:3]]
    captions = [f"true: {episode.captions.short[:80]}" for episode in trials[:3]]
    for name in given.variants:
        variant = VARIANTS[name]
        folder = given.out / "recipe" / name.replace(" ", "-").replace(",", "").replace("%", "")
        trainer, network = trained(cache, variant, given.flops, folder)
        recipe = trainer.recipe
        assert isinstance(recipe, FilmRecipe)
        errors = text_errors(network, cache, recipe)
        size = f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f}M"
        model = DiTModel(trainer.config, network, load_autoencoder(weights_folder() / recipe.autoencoder))
        films = films_of(model, trials)
        row = [name, size, f"{trainer.step:,}", *(worth(errors[level]) for level in LEVELS), *judged(films, trials)]
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
        sheet += films[:3]
        captions += [f"{name}: {episode.captions.short[:80]}" for episode in trials[:3]]
    if given.write:
        page = ROOT / "docs" / "measurements" / "film-recipe.md"
        command = f"python -m benchmarks.film_recipe --films {given.films} --flops {given.flops:g} --write"
        text = [
            "# What each part of the recipe for films is worth",
            "",
            f"`{command}`, {date.today()}, {machine()}",
            "",
            f"Networks of the same arithmetic, {given.flops:.0e} operations each; n = {BATCHES * FilmRecipe().batch} held-out films"
            f" and {TRIALS} held-out captions. At each noise level: the error with the film's text, and by how much it is less than"
            " without one, with a 95% interval over batches of eight.",
            "",
            *lines,
            "",
            "![True films, and films by each variant](../pictures/film-recipe.jpg)",
        ]
        page.write_text("\n".join(text) + "\n")
        picture = ROOT / "docs" / "pictures" / "film-recipe.jpg"
        contact_sheet(sheet, captions=captions).convert("RGB").save(picture, quality=80)
        (given.out / "recipe" / "lines.json").write_text(json.dumps(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
