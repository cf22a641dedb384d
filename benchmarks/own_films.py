"""A model of a folder of captioned clips: python -m benchmarks.own_films [--clips N] [--minutes N] [--write]

The clips are not a phone's: they are true films of one shape in the Playground with their captions, since their pictures can be
judged; nothing of the state is learned from. They are curated, a model is trained on them (`kinema train video`), and it films the
captions of clips that it has not seen: whether the shape of the right kind and color is in most frames, by the parser, beside the
true clips after the autoencoder and the best answer that does not read the text, the commonest shape. Then one film is extended and
one edited.
--write puts the figures into docs/measurements/own-films.md and a sheet into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT, interval

import kinema
from kinema.autoencoder import load_autoencoder
from kinema.curation.curate import curate
from kinema.media import Clip
from kinema.media.contact_sheet import contact_sheet
from kinema.models.hub import read_config, weights_folder
from kinema.playground import one_shape, simulate
from kinema.playground.parser import parse_clip
from kinema.playground.renderer import render_scene
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.training.film_lesson import FilmRecipe
from kinema.training.films import train_video
from kinema.types import Frames

FPS, FRAMES, SIDE, TRIALS = 16.0, 48, 64, 24


def true_film(seed: int) -> tuple[Frames, str, Scene]:
    """A film of three seconds, what is said of it, and what it shows."""
    episode = simulate(one_shape(), seed, fps=FPS, num_frames=FRAMES)
    return render_scene(episode.scene, height=SIDE, width=SIDE), episode.captions.short, episode.scene


def write_folder(folder: Path, count: int) -> None:
    """True films with a text beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        frames, caption, _ = true_film(seed)
        Clip(frames=frames, fps=FPS, caption=caption).save(folder / f"clip-{seed:05d}.mp4", force=True)
        (folder / f"clip-{seed:05d}.txt").write_text(caption + "\n")


def shape_of(scene: Scene) -> tuple[str, str]:
    """Kind and color of the one thing that a scene shows."""
    slot = int(np.flatnonzero(scene.kind >= 0)[0])
    return KINDS[scene.kind[slot]], COLORS[scene.color[slot]]


def shows(frames: Frames, shape: tuple[str, str]) -> bool:
    """Whether most of the pictures show this shape, and no other one."""
    found = [[(thing.kind, thing.color) for thing in things] for things in parse_clip(frames)]
    return sum(things == [shape] for things in found) > len(found) / 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400, help="in the folder (default: 400)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("out/own-films"), help="what exists there is used again")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/own-films.md")
    given = parser.parse_args()
    clips, run = given.out / "clips", given.out / "run"
    if not (clips / "metadata.jsonl").exists():
        shutil.rmtree(given.out / "raw", ignore_errors=True)
        write_folder(given.out / "raw", given.clips)
        result = curate(given.out / "raw", clips)
        print(f"curated: {len(result.clips)} clips of {result.films} films; dropped: {result.dropped}", file=sys.stderr)
    if not (run / "film" / "config.json").exists():
        train_video(clips, out=run, minutes=given.minutes, recipe=FilmRecipe(), show=_show)
    folder = run / "film"
    autoencoder = load_autoencoder(weights_folder() / FilmRecipe().autoencoder)
    tries = [true_film(10_000_000 + seed) for seed in range(TRIALS)]
    commonest = Counter(shape_of(scene) for _, _, scene in tries).most_common(1)[0][1]
    made = [kinema.generate(text, model=str(folder), seed=i)[0].frames for i, (_, text, _) in enumerate(tries)]
    right = [shows(frames, shape_of(scene)) for frames, (_, _, scene) in zip(made, tries, strict=True)]
    back = [autoencoder.decode_frames(autoencoder.encode_frames(frames[::2])) for frames, _, _ in tries]
    truth = [shows(frames, shape_of(scene)) for frames, (_, _, scene) in zip(back, tries, strict=True)]
    trained = read_config(folder).trained
    made_of = sum(1 for _ in (given.out / "raw").glob("*.mp4"))
    rows = {
        "films in the folder, clips after curation": f"{made_of}, {trained['clips']}",
        "minutes, steps": f"{trained['minutes']}, {trained['steps']}",
        **{
            f"held-out error at level {level:g}, untrained": f"{trained['figures'][f'held_out_{level:g}']:.3f},"
            f" {trained['figures'][f'untrained_{level:g}']:.3f}"
            for level in (0.25, 0.5, 0.75, 1.0)
        },
        "shape of the text in most frames": interval(right),
        "the same of true films after the autoencoder": interval(truth),
        "the commonest shape, always": f"{commonest / TRIALS:.0%}",
    }
    print(json.dumps(rows, indent=1))
    film = kinema.generate(tries[0][1], model=str(folder), seed=0)[0]
    longer = kinema.extend(film, tries[0][1], model=str(folder), seconds=1.0)
    edited = kinema.edit(film, tries[1][1], model=str(folder))
    sheet, captions = [], []
    for i in range(4):
        sheet += [tries[i][0][::4], made[i]]
        captions += [f"true: {tries[i][1][:90]}", "filmed from this text"]
    sheet += [longer.frames[::2], edited.frames]
    captions += ["the first film, extended by a second", f"the first film, edited: {tries[1][1][:80]}"]
    picture = contact_sheet(sheet, captions=captions).convert("RGB")
    picture.save(given.out / "films.jpg", quality=88)
    if given.write:
        picture.save(ROOT / "docs" / "pictures" / "own-films.jpg", quality=88)
        head = f"# A model of a folder of clips\n\n`python -m benchmarks.own_films`, {date.today()}, {machine()}\n\n"
        head += (
            f"The {made_of} clips are films of the Playground, 64x64 and three seconds long, each of one shape, with our own"
            " captions: they are not clips of a phone. The bar of fifty phone clips was not tried: there were none at hand, and no"
            " network to fetch some by. What this shows is the way from a folder to a model, on pictures that the parser can"
            " judge.\n\n"
        )
        table = "| what | measured |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())
        end = "\n\n![True clips, films of their texts, one extended and one edited](../pictures/own-films.jpg)\n"
        (ROOT / "docs" / "measurements" / "own-films.md").write_text(head + table + end)
    return 0


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}" if sys.stderr.isatty() else "")


if __name__ == "__main__":
    raise SystemExit(main())
