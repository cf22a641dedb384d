"""Which strength of an edit works: python -m benchmarks.edits [--size WIDTHxHEIGHT] [--strengths 0.7 0.9] [--out DIR]

12 clips, each filmed by words and then edited: a thing recolored, a ball turned into a star, another background; first without a
mask, at each strength, then with a mask around the first thing's way. Printed for each strength: the share of edits whose state has
what the new prompt asks for (done) and nothing else changed (all as asked), how far the untouched things' paths moved in units
(moved), and how many drawn frames show, by the model-free parser, the cast of the edit's state (drawn). Masked: also whether pixels
outside are equal to the bit.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from benchmarks.command import run_benchmark
from benchmarks.keyframes import cast, drawn, wilson
from PIL import Image

import kinema
from kinema.media import Clip
from kinema.models.hub import DEFAULT, load
from kinema.scene.scene import Scene

EDITS = (
    ("recolor", "a red ball rolls right on a field", "a green ball rolls right on a field"),
    ("recolor", "a blue box and a yellow ball in a lab", "a pink box and a yellow ball in a lab"),
    ("recolor", "a red ball rolls right and hits a blue box", "a purple ball rolls right and hits a blue box"),
    ("recolor", "an orange star and a cyan box in the snow", "a green star and a cyan box in the snow"),
    ("star", "a red ball rolls right on a field", "a red star rolls right on a field"),
    ("star", "a yellow ball and a blue box in a lab", "a yellow star and a blue box in a lab"),
    ("star", "a pink ball rolls left in the snow", "a pink star rolls left in the snow"),
    ("star", "a green ball and an orange triangle in the desert", "a green star and an orange triangle in the desert"),
    ("background", "a red ball rolls right on a field", "a red ball rolls right in the desert"),
    ("background", "a blue box and a yellow ball in a lab", "a blue box and a yellow ball at night"),
    ("background", "a pink star rolls right in the snow", "a pink star rolls right on a field"),
    ("background", "a cyan ball and a green box at night", "a cyan ball and a green box in a lab"),
)
PLACES = {"field": "field", "desert": "desert", "night": "night", "snow": "snow", "lab": "lab"}


def asked(prompt: str) -> Counter[str]:
    words = prompt.split()
    kinds = ("ball", "box", "star", "triangle")
    return Counter(f"{words[i - 1]} {word}" for i, word in enumerate(words) if word in kinds)


def moved(a: Scene, b: Scene, names: set[str]) -> float:
    """Mean distance in units between the places of the named things in two scenes."""
    gaps = []
    for name in names:
        i, j = ([k for k in s.entities if s.name(k) == name] for s in (a, b))
        if i and j:
            gaps.append(np.hypot(a.x[:, i[0]] - b.x[:, j[0]], a.y[:, i[0]] - b.y[:, j[0]]).mean())
    return float(np.mean(gaps)) if gaps else float("nan")


def around(clip: Clip, name: str) -> Clip:
    """A mask around the whole way of a thing, half a unit wider than it."""
    scene = clip.state
    assert scene is not None
    height, width = clip.frames.shape[1:3]
    y, x = np.mgrid[:height, :width] + 0.5
    white = np.zeros((height, width), bool)
    for k in [k for k in scene.entities if scene.name(k) == name]:
        for t, (pan_x, pan_y, zoom) in enumerate(scene.camera.tolist()):
            unit = height * zoom / 10
            left, top = width / 2 + (scene.x[t, k] - pan_x) * unit, height / 2 - (scene.y[t, k] - pan_y) * unit
            white |= np.hypot(x - left, y - top) < (scene.size[k] + 0.5) * unit
    return Clip(frames=np.repeat(np.uint8(255) * white[None, ..., None], 3, -1), fps=1.0)


def report(name: str, rows: list[dict[str, float]]) -> None:
    print(
        f"{name}: " + "; ".join(f"{key} {wilson([row[key] > 0 for row in rows])}" for key in ("done", "all as asked")),
        end="",
    )
    print(
        "".join(
            f"; {key} {np.nanmean([row[key] for row in rows]):.2f}"
            for key in ("moved", "drawn", "outside")
            if key in rows[0]
        )
    )


def judge(made: Clip, clip: Clip, kind: str, old: str, new: str) -> dict[str, float]:
    assert made.state is not None and clip.state is not None
    same, wanted, found = set(asked(old)) & set(asked(new)), asked(new), cast(made.state)
    place = next((place for word, place in PLACES.items() if word in new.split()), clip.state.background)
    setting = made.state.background == place
    done = setting if kind == "background" else all(found[name] for name in wanted)
    return {
        "done": float(done), "all as asked": float(found == wanted and setting), "moved": moved(made.state, clip.state, same),
        "drawn": float(np.mean([frame == found for frame in drawn(made.frames[[0, 5, 10]])])),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--size", default=None, help="WIDTHxHEIGHT (default: the model's own)")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.6, 0.7, 0.8, 0.85, 0.9, 0.95])
    parser.add_argument("--out", type=Path, help="folder for contact sheets")
    given = parser.parse_args()
    model = load(given.model)
    clips = []
    for _, old, _ in EDITS:
        tries = [kinema.generate(old, model=model, size=given.size, seconds=1.0, seed=seed)[0] for seed in range(3)]
        clips.append(next((clip for clip in tries if clip.state and cast(clip.state) == asked(old)), tries[0]))
    sheets: dict[str, list[Clip]] = {"given": clips}
    for strength in given.strengths:
        rows, sheet = [], []
        for i, (kind, old, new) in enumerate(EDITS):
            made = kinema.edit(clips[i], new, strength=strength, model=model, seed=i)
            rows.append(judge(made, clips[i], kind, old, new))
            sheet.append(made)
        report(f"strength {strength}", rows)
        for kind in ("recolor", "star", "background"):
            some = [row["all as asked"] for row, edit in zip(rows, EDITS, strict=True) if edit[0] == kind]
            print(f"    {kind}: all as asked {int(sum(some))} of {len(some)}")
        sheets[f"{strength}"] = sheet
    rows, sheet = [], []
    for i, (kind, old, new) in enumerate(EDITS):
        if kind != "background":
            mask = around(clips[i], next(iter(asked(old))))
            made = kinema.edit(clips[i], new, mask=mask, model=model, seed=i)
            outside = mask.frames[0, ..., 0] == 0
            equal = np.array_equal(made.frames[:, outside], clips[i].frames[:, outside])
            rows.append({**judge(made, clips[i], kind, old, new), "outside": float(equal)})
            sheet += [clips[i], made]
    report("masked, default strength", rows)
    sheets["masked"] = sheet
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, some in sheets.items():
            strips = [np.concatenate(clip.frames[[0, 3, 7, 11, 15]], 1) for clip in some]
            Image.fromarray(np.concatenate(strips)).save(given.out / f"edits-{name}.png")
    return 0


if __name__ == "__main__":
    run_benchmark(main)
