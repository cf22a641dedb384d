"""How a model that films follows texts: python -m benchmarks.film_prompts RUN... [--trials N] [--guidance G] [--write]

Each RUN is a folder of `kinema train video` on the films of `benchmarks.scaling` (OUT/films), a copy of its checkpoint at
another moment, or a finished model: a row each, so that they make a curve. It films captions of films that it has not seen, as
clips and as single pictures, and the Playground's parser says what is in at least half of eight frames (of the one picture):
exactly the cast of the text, which of its things, which of their colors. Beside it stand the true films after the autoencoder, and
true films of other texts.
--write puts the table into docs/measurements/film-prompts.md and a sheet of the last run into docs/pictures/.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from benchmarks.scaling import FIRST_TRIAL, STEPS, TRIALS, episode_of, film_of, films_of, judged

from kinema.autoencoder import load_autoencoder
from kinema.media.contact_sheet import contact_sheet
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import CONFIG, load, weights_folder
from kinema.training.dit_trainer import DiTTrainer, recipe_of_run
from kinema.training.film_lesson import FilmRecipe
from kinema.training.sharded_checkpoint import load_run
from kinema.types import Frames


class NoLesson:
    """For a trainer that does not train."""

    def losses(self, *given: object) -> dict[str, torch.Tensor]:
        raise AssertionError(given)


def model_of(run: Path) -> tuple[DiTModel, int, float]:
    """The averaged weights of a run, or a finished model; its steps and its minutes."""
    if (run / CONFIG).exists():
        finished = load(str(run))
        assert isinstance(finished, DiTModel)
        return finished, int(finished.config.trained["steps"]), float(finished.config.trained["minutes"])
    state, recipe = load_run(run), replace(recipe_of_run(FilmRecipe, run), compile=False)
    config = DiTModelConfig.from_dict(state["config"])
    trainer = DiTTrainer(recipe, config, NoLesson(), run, steps=1)
    trainer.load(state)
    return trainer.finished(load_autoencoder(weights_folder() / recipe.autoencoder)), trainer.step, trainer.elapsed_s / 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"captions that are filmed (default: {TRIALS})")
    parser.add_argument("--guidance", type=float, default=3.0, help="scale (default: 3)")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/film-prompts.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    trials = [episode_of(FIRST_TRIAL + i) for i in range(given.trials)]
    truths = [film_of(episode) for episode in trials]
    columns = ["", "minutes", "steps", "of", "cast right", "things right", "colors right"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    sheet: list[Frames] = []
    captions: list[str] = []
    for run in given.runs:
        model, steps, minutes = model_of(run)
        for kind, frames in (("pictures", 1), ("films", model.config.frames)):
            films = films_of(model, trials, frames=frames, guidance=given.guidance)
            row = [model.config.name, f"{minutes:.0f}", f"{steps:,}", kind, *judged(films, trials)]
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
        sheet, captions = [], []
        for episode, truth, film in list(zip(trials, truths, films, strict=True))[:8]:
            sheet += [truth[: model.config.frames], film]
            captions += [f"true: {episode.captions.short[:80]}", "filmed from this text"]
    decoder = load_autoencoder(weights_folder() / FilmRecipe().autoencoder)
    back = [decoder.decode_frames(decoder.encode_frames(frames)) for frames in truths]
    for name, films in (
        ("true films, after the autoencoder", back),
        ("true films of other texts", [*truths[1:], truths[0]]),
    ):
        for kind, shown in (("pictures", [film[:1] for film in films]), ("films", films)):
            lines.append(f"| {' | '.join([name, '', '', kind, *judged(shown, trials)])} |")
    print("\n".join(lines))
    if given.write:
        command = f"python -m benchmarks.film_prompts RUN... --trials {given.trials} --guidance {given.guidance:g} --write"
        text = [
            "# Texts followed by a model of pixels alone",
            "",
            f"`{command}`, {date.today()}, {machine()}",
            "",
            "`kinema train video` on 12,000 films of the Playground with their captions (`benchmarks.scaling` writes them); nothing"
            f" of the scenes' state is learned from. {given.trials} captions of other films, {STEPS} steps of the sampler.",
            "",
            *lines,
            "",
            "![True films, and films of their texts](../pictures/film-prompts.jpg)",
        ]
        (ROOT / "docs" / "measurements" / "film-prompts.md").write_text("\n".join(text) + "\n")
        picture = contact_sheet([np.ascontiguousarray(one) for one in sheet], captions=captions).convert("RGB")
        picture.save(ROOT / "docs" / "pictures" / "film-prompts.jpg", quality=68, optimize=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
