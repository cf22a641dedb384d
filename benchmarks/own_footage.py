"""A model of a folder of real films: python -m benchmarks.own_footage FILMS [--minutes N] [--write]

FILMS is a folder of any films with a text beside each (`film.mp4`, `film.txt`). They are cut into clips of a second and curated,
a model is trained on them (`kinema train video`), and it films each text several times, in the shape of that text's clips.
Real films have no parser that could judge them, so it is asked whose pictures a made film is nearest to: the share of made films
whose nearest clip has their text, beside chance and beside true clips, each judged by the others. Nearest: by the mean absolute
difference of pictures of 16 rows, the clip's best picture for each of the film's. A model that learned its few clips by heart is
right here; the held-out errors say how much more than that it learned. Then one film is extended and one edited.
--write puts the figures into docs/measurements/own-footage.md and a sheet into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT, interval
from numpy.typing import NDArray
from PIL import Image

import kinema
from kinema.curation.curate import curate
from kinema.curation.decide import CurationLimits
from kinema.datasets.clips import CaptionedClips
from kinema.errors import InputError
from kinema.media.contact_sheet import contact_sheet
from kinema.models.hub import read_config
from kinema.training.film_lesson import HELD_OUT_LEVELS, FilmRecipe
from kinema.training.films import train_video
from kinema.types import Frames

LENGTHS = CurationLimits(shortest_s=0.9, longest_s=1.1)
"""Of clips, in seconds."""
RECIPE = FilmRecipe(frames=8)
TRIALS = 6
"""Films made of each text."""
ROWS = 16
"""Of the pictures that are compared."""


@dataclass(frozen=True)
class Shown:
    """What is compared of a film: its text, and small pictures [T, ROWS, ROWS * 16 / 9, 3] in levels of 255."""

    text: str
    pictures: NDArray[np.float32]

    @classmethod
    def of(cls, text: str, frames: Frames) -> Shown:
        small = [Image.fromarray(frame).resize((ROWS * 16 // 9, ROWS), Image.Resampling.BOX) for frame in frames]
        return cls(text, np.stack([np.asarray(one, np.float32) for one in small]))

    def apart(self, other: Shown) -> float:
        """Mean over its pictures of the difference from the other's best one."""
        each = np.abs(self.pictures[:, None] - other.pictures[None]).mean((2, 3, 4))
        return float(each.min(1).mean())

    def nearest(self, others: Sequence[Shown]) -> Shown:
        return min(others, key=self.apart)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, metavar="FILMS")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("out/own-footage"), help="what exists there is used again")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/own-footage.md")
    given = parser.parse_args()
    clips, run = given.out / "clips", given.out / "run"
    curated = curate(given.films, clips, limits=LENGTHS)
    print(f"{len(curated.clips)} clips of {curated.films} films; dropped: {curated.dropped}", file=sys.stderr)
    if not (run / "film" / "config.json").exists():
        train_video(clips, out=run, minutes=given.minutes, recipe=RECIPE, resume=(run / "run.json").exists(), show=_show)
    folder = str(run / "film")
    found = CaptionedClips.open(clips)
    true = [
        (one.caption, found.read(i, short_side=RECIPE.short_side, fps=RECIPE.fps).frames)
        for i, one in enumerate(found.entries)
    ]
    texts = sorted({text for text, _ in true})
    if len(texts) < 2:
        raise InputError(f"{given.films} has films of {len(texts)} text: expected 2 texts or more, to tell films apart by")
    shown = [Shown.of(text, frames) for text, frames in true]
    usual = {text: Counter(cut(frames.shape) for one, frames in true if one == text) for text in texts}
    sizes = {text: count.most_common(1)[0][0] for text, count in usual.items()}
    made = [
        (text, kinema.generate(text, model=folder, size=sizes[text], seed=i)[0]) for text in texts for i in range(TRIALS)
    ]
    right = [Shown.of(text, film.frames).nearest(shown).text == text for text, film in made]
    true_right = [one.nearest([*shown[:i], *shown[i + 1 :]]).text == one.text for i, one in enumerate(shown)]
    trained = read_config(run / "film").trained
    rows = {
        "films, texts, clips after curation": f"{curated.films}, {len(texts)}, {len(true)}",
        "minutes, steps": f"{trained['minutes']}, {trained['steps']}",
        **{
            f"held-out error at level {level:g}, untrained": f"{trained['figures'][f'held_out_{level:g}']:.3f},"
            f" {trained['figures'][f'untrained_{level:g}']:.3f}"
            for level in HELD_OUT_LEVELS
        },
        "films whose nearest clip has their text": interval(right),
        "the same of true clips, each beside the others": interval(true_right),
        "chance": f"{1 / len(texts):.0%}",
    }
    print(json.dumps(rows, indent=1))
    film = made[0][1]
    longer = kinema.extend(film, texts[0], model=folder, seconds=1.0)
    edited = kinema.edit(film, texts[1], model=folder)
    sheet, captions = [], []
    for text in texts:
        sheet += [
            next(frames for one, frames in true if one == text)[::4],
            next(film.frames for one, film in made if one == text),
        ]
        captions += [f"a true clip: {text[:90]}", "filmed from this text"]
    sheet += [longer.frames[-8:], edited.frames]
    captions += ["what the first made film goes on with in another second", f"the first made film, edited: {texts[1][:80]}"]
    height = min(len(frames[0]) for frames in sheet)
    picture = contact_sheet([shrunk(frames[:8], height) for frames in sheet], captions=captions, columns=8).convert("RGB")
    picture.save(given.out / "films.jpg", quality=85)
    if given.write:
        picture.save(ROOT / "docs" / "pictures" / "own-footage.jpg", quality=72, optimize=True)
        head = f"# A model of a folder of real films\n\n`python -m benchmarks.own_footage FILMS`, {date.today()}, {machine()}\n\n"
        head += f"FILMS: {', '.join(sorted({path.name for path in given.films.iterdir() if path.suffix != '.txt'}))}.\n\n"
        table = "| what | measured |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())
        end = "\n\n![True clips, films of their texts, one extended and one edited](../pictures/own-footage.jpg)\n"
        (ROOT / "docs" / "measurements" / "own-footage.md").write_text(head + table + end)
    return 0


def cut(shape: Sequence[int]) -> tuple[int, int]:
    """Width and height that a model films of clips [T, H, W, 3]: whole tokens."""
    token = 8 * RECIPE.patch
    return shape[2] // token * token, shape[1] // token * token


def shrunk(frames: Frames, height: int) -> Frames:
    """Pictures of another height, their shape kept."""
    width = round(frames.shape[2] * height / frames.shape[1])
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX)) for frame in frames])


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}" if sys.stderr.isatty() else "")


if __name__ == "__main__":
    run_benchmark(main)
