"""What parts of the recipe for recorded worlds are worth: python -m benchmarks.world_recipe DATA [--variants NAME ...] [--write]

Worlds learn from one recording with one autoencoder, each with one part of `kinema train world` left out or changed, for the same
arithmetic. The error on held-out windows, of frames that are noise alone, is a share of that of the frame before. And held-back
stretches are stepped with their true actions: error on the pixels that changed since the last known picture, as a share of that of
copying it, and how much less the error is than with other actions.

Long memory: some blocks attend along time to frames further back than the four that are read as channels; without, the network
knows nothing of these. What exists in OUT and was made of the same is used again.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT

from kinema.autoencoder import load_autoencoder
from kinema.datasets.latent_build import autoencoder_hash
from kinema.datasets.lerobot import Dataset
from kinema.models.dit_model import DiTModel
from kinema.models.hub import weights_folder
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.flops import dit_flops
from kinema.training.priors import find_prior
from kinema.training.recordings import Recordings
from kinema.training.rules import find_rule
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe, draw_world_batch
from kinema.training.world_report import SHOWN, evaluate
from kinema.training.world_stages import config_for
from kinema.types import parse_json

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "blocks add nothing to begin with": {"open_gates": False},
    "rates of 1e-3": {"matrix_lr": 1e-3, "other_lr": 1e-3},
    "a quarter of the frames at level 1": {"pure_share": 0.25},
    "tokens are not shown where numbers point": {"points": False},
    "no prior by numbers": {"prior_share": 0.0},
    "no rows that paint told entities": {"wanted_share": 0.0, "hidden_share": 0.0},
    "six rows a step": {"batch": 6},
    "two rows a step": {"batch": 2},
    "the recipe of before": {
        **WorldRecipe.before,
        "wanted_share": 0.25,
        "hidden_share": 0.1,
        "matrix_lr": 1e-3,
        "other_lr": 1e-3,
        "batch": 6,
    },
    "no memory beyond four frames": {"time_every": 0},
    "every block reads frames further back": {"time_every": 1},
}
RULE_OF, PRIOR_OF = 5000, 1500
"""Steps in which the rule of a recording's numbers and the prior of its pictures are found, where there are any; the same for all
variants."""
COUNTED = 400
"""Steps whose passes over the network's own past say how many there are in a run."""


def passes_of(lesson: RecordingsLesson) -> float:
    """Forward passes' worth of arithmetic of a usual step: one with its backward pass, of two, and those that make its past."""
    own = [lesson.own_times(step, step / COUNTED) for step in range(COUNTED)]
    return 3 + sum(own) / COUNTED


def trained(
    recordings: Recordings, data: Dataset, settings: dict[str, Any], flops: float, out: Path
) -> tuple[DiTModel, int, dict[str, float]]:
    """The world of a variant, with averaged weights, its steps, and its errors on held-out windows."""
    recipe = WorldRecipe(compile=False, save_every_s=1e9, autoencoder_share=0.0, **settings)
    config = config_for(data, recordings, recipe, "world-recipe")
    rule = (
        find_rule(recordings, config.network, seconds=math.inf, steps=RULE_OF, seed=0) if config.network.relative else None
    )
    prior = None
    if config.network.prior:
        prior = find_prior(
            recordings, config.network, spread=recipe.spread, seconds=math.inf, steps=PRIOR_OF, seed=0, show=_show
        )
    lesson = RecordingsLesson(recordings, recipe, rule, prior)
    batch = draw_world_batch(recordings, recipe, 0, torch.device("cpu"))
    steps = round(flops / passes_of(lesson) / dit_flops(config.network, batch.given(batch.level)))
    trainer = DiTTrainer(recipe, config, lesson, out, steps=steps)
    weights = out / "weights.pt"
    made_of = {"recipe": asdict(recipe), "steps": steps, "data": data.fingerprint}
    made_of = parse_json(json.dumps(made_of | {"autoencoder": autoencoder_hash(recordings.autoencoder)}))
    if not weights.exists() or torch.load(weights, weights_only=True).get("made_of") != made_of:
        trainer.run(_show)
        torch.save({"step": trainer.step, "weights": trainer.averaged_state(), "made_of": made_of}, weights)
    kept = torch.load(weights, weights_only=True)
    errors = lesson.held_out_figures(trainer.network_of(kept["weights"]), torch.device("cpu"))
    return DiTModel(config, trainer.network_of(kept["weights"]), recordings.autoencoder), kept["step"], errors


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a recording, such as kinema record makes")
    parser.add_argument(
        "--flops", type=float, default=6e13, help="of each training (default: 6e13, some ten minutes of one core)"
    )
    parser.add_argument("--stretches", type=int, default=16, help="held-back stretches that are stepped (default: 16)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="only these (default: all)")
    parser.add_argument("--autoencoder", type=Path, help="a folder, such as a run's OUT/codec (default: the shipped one)")
    parser.add_argument("--out", type=Path, default=Path("out/world-recipe"), help="where the runs are")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/world-recipe.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = Dataset.open(given.data).fitted()
    autoencoder = load_autoencoder(given.autoencoder or weights_folder() / WorldRecipe().autoencoder)
    recordings = Recordings(data, autoencoder, lambda done, of: _show(f"reading episode {done} of {of}"))
    columns = [
        "",
        "steps",
        "held-out error at level 1, of copying",
        *(f"of copying, after {after}" for after in SHOWN),
        "follows actions",
    ]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    print("\n".join(lines))
    for name in given.variants:
        out = given.out / given.data.name / name.replace(" ", "-")
        model, steps, errors = trained(recordings, data, VARIANTS[name], given.flops, out)
        figures, _ = evaluate(model, recordings, given.stretches)
        shown = [f"ratio_{after}" for after in SHOWN] + ["action_following"]
        held_out = f"{errors['held_out_1'] / errors['held_out_copying']:.3f}" if errors else "-"
        row = [name, f"{steps:,}", held_out, *(f"{figures[one]:.2f}" if one in figures else "-" for one in shown)]
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    if given.write:
        text = [
            "# What each part of the recipe for recorded worlds is worth",
            "",
            f"`python -m benchmarks.world_recipe {shlex.join(sys.argv[1:])}`, {date.today()}, {machine()}",
            "",
            f"{data.about.get('env')}, {data.total_frames:,} frames of {data.size[1]}x{data.size[0]}; {given.flops:.1e} operations"
            f" for each network; n = {given.stretches} held-out stretches. The error on held-out windows is of"
            " frames that are noise alone, as a share of that of the frame before.",
            "",
            *lines,
        ]
        (ROOT / "docs" / "measurements" / "world-recipe.md").write_text("\n".join(text) + "\n")
    return 0


if __name__ == "__main__":
    run_benchmark(main)
