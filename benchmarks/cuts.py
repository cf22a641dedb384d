"""How curation finds cuts, fades and dissolves: python -m benchmarks.cuts [--films N] [--write]

Films of the Playground are joined by cuts, by fades through black and by dissolves whose places are known; others are one shot with
a flash in it, or one shot as it is. A joint counts as found where a shot begins within it, or up to a tenth of a second beside it;
all other beginnings are false. Where PySceneDetect is installed (pip install --no-deps scenedetect opencv-python-headless), its
detectors are measured on the same files, with their usual settings. --write puts the table into docs/measurements/cuts.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT

from kinema.curation.shots import find_cuts, measure_film
from kinema.datasets.clip_sources import VideoFile
from kinema.media import Clip
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.types import Frames

FPS, SHOT, SIDE = 24.0, 48, 128
LENGTHS = {"cut": 0, "fade through black": 24, "fade through white": 24, "dissolve of 0.5 s": 12, "dissolve of 1 s": 24}
"""Kinds of joints, and how many frames each lasts."""
STILL = ("one shot", "one shot with a flash")
SHOTS, TOLERANCE = 4, 3


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A film, and the first and last frames between which each of its joints lies."""

    frames: Frames
    joints: list[tuple[int, int]]


def shots(number: int, count: int) -> list[Frames]:
    """Films of two seconds, each in another setting than the one before."""
    made: list[Frames] = []
    seed, setting = 1000 * number, ("", "")
    while len(made) < count:
        seed += 1
        scene = simulate(tiny(), seed, fps=FPS, num_frames=SHOT).scene
        if (scene.view, scene.background) != setting:
            setting = scene.view, scene.background
            made.append(render_scene(scene, height=SIDE, width=SIDE))
    return made


def blend(one: Frames, other: Frames, share: np.ndarray[Any, Any]) -> Frames:
    mixed = one * (1 - share[:, None, None, None]) + other * share[:, None, None, None]
    rounded: Frames = mixed.round().astype(np.uint8)
    return rounded


def joined(kind: str, number: int) -> Joined:
    """A film of this kind."""
    if kind in STILL:
        frames = shots(number, 1)[0].copy()
        if kind != STILL[0]:
            frames[SHOT // 2] = 255
        return Joined(frames=frames, joints=[])
    length, parts, joints = LENGTHS[kind], shots(number, SHOTS), []
    film = parts[0]
    for part in parts[1:]:
        first = len(film) - length
        ramp = np.linspace(0, 1, length + 2)[1:-1]
        if not length:
            film = np.concatenate([film, part])
            joints.append((first, first))
            continue
        out, into = film[first:], part[:length]
        if kind.startswith("fade"):
            half, plain = length // 2, np.full_like(out[: length // 2], 255 * kind.endswith("white"))
            middle = [blend(out[:half], plain, 2 * ramp[:half]), blend(plain, into[half:], 2 * ramp[half:] - 1)]
        else:
            middle = [blend(out, into, ramp)]
        film = np.concatenate([film[:first], *middle, part[length:]])
        joints.append((first, first + length))
    return Joined(frames=film, joints=joints)


def ours(path: Path) -> list[int]:
    film = measure_film(VideoFile(where=str(path), open=lambda: path))
    return find_cuts(film.change, film.grays)


def peers() -> dict[str, Callable[[Path], list[int]]]:
    """PySceneDetect's detectors by name; none where it is not installed."""
    if importlib.util.find_spec("scenedetect") is None:
        return {}
    import scenedetect  # type: ignore[import-not-found, unused-ignore]

    def detector(kind: str) -> Callable[[Path], list[int]]:
        def starts(path: Path) -> list[int]:
            scenes = scenedetect.detect(str(path), getattr(scenedetect, kind)())
            return [scene[0].frame_num for scene in scenes][1:]

        return starts

    kinds = ("AdaptiveDetector", "ContentDetector", "ThresholdDetector")
    return {f"PySceneDetect {scenedetect.__version__}, {kind}": detector(kind) for kind in kinds}


def score(found: Sequence[int], joints: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Joints that were found, and beginnings of shots that are at none."""
    hits = {i for i, (first, last) in enumerate(joints) if any(first - TOLERANCE <= at <= last + TOLERANCE for at in found)}
    false = [at for at in found if not any(first - TOLERANCE <= at <= last + TOLERANCE for first, last in joints)]
    return len(hits), len(false)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=6, help="of each kind (default: 6)")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/cuts.md")
    given = parser.parse_args()
    detectors: dict[str, Callable[[Path], list[int]]] = {"kinema curate": ours, **peers()}
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in (*LENGTHS, *STILL):
            films = [joined(kind, number) for number in range(given.films)]
            paths = [
                Clip(frames=film.frames, fps=FPS).save(Path(folder) / f"{kind}-{i}.mp4", force=True)
                for i, film in enumerate(films)
            ]
            cells = []
            for detect in detectors.values():
                scores = [score(detect(Path(path)), film.joints) for path, film in zip(paths, films, strict=True)]
                hits, false = (sum(values) for values in zip(*scores, strict=True))
                cells.append(f"{hits}, {false}")
            rows.append(f"| {kind} | {sum(len(film.joints) for film in films)} | {' | '.join(cells)} |")
    table = "\n".join([f"|  | joints | {' | '.join(detectors)} |", f"|---|---|{'---|' * len(detectors)}", *rows])
    print(table)
    if given.write:
        text = (
            f"# Cuts, fades and dissolves\n\n`python -m benchmarks.cuts --films {given.films} --write`, {date.today()},"
            f" {machine()}\n\nFilms of {SHOTS} shots of the Playground, {SIDE}x{SIDE} at {FPS:g} frames a second,"
            f" {given.films} of each kind, those of fades lasting a second: how many joints each detector found, and how many"
            " shots it began where there is none.\n\n"
        )
        (ROOT / "docs" / "measurements" / "cuts.md").write_text(text + table + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
