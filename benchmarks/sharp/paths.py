"""Where a named thing is in every frame of a film, read off the pixels by `kinema.playground.parser`.

Axes: T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.playground.parser import ParsedObject, parse_clip
from kinema.playground.segments import dominant_hue, ink, shrunk, softened
from kinema.scene.scene import COLORS, Scene

Frames = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Path:
    """One thing over a film. x, y [T] in units of a room ten high, NaN where it is not seen; amount [T]: how much of it is in
    the picture, 1 for its usual amount; size: radius in units; of_kind: share of the frames with something of its color in
    which that is of its kind."""

    kind: str
    size: float
    x: Floats
    y: Floats
    amount: Floats
    of_kind: float

    @property
    def seen(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.x)


def read_paths(frames: Frames, names: Sequence[str]) -> dict[str, Path]:
    """The paths of things by name ("red ball"), one thing a color. frames: uint8 [T, H, W, 3]."""
    amounts = color_amounts(frames)
    parsed = parse_clip(frames)
    return {name: follow(parsed, name, amounts[:, COLORS.index(name.split()[0])]) for name in names}


def follow(parsed: Sequence[Sequence[ParsedObject]], name: str, amount: Floats) -> Path:
    """What has the thing's color, frame by frame: what also has its kind if there is such, else what is largest."""
    color, kind = name.split()
    x, y = np.full(len(parsed), np.nan), np.full(len(parsed), np.nan)
    sizes, matches = [], []
    for t, frame in enumerate(parsed):
        mine = [seen for seen in frame if seen.color == color]
        if mine:
            best = max(mine, key=lambda seen: (seen.kind == kind, seen.size))
            x[t], y[t] = best.x, best.y
            sizes.append(best.size)
            matches.append(best.kind == kind)
    usual = float(np.quantile(amount, 0.9))
    return Path(
        kind=kind, size=float(np.median(sizes)) if sizes else 0.85, x=x, y=y, amount=amount / max(usual, 1.0),
        of_kind=float(np.mean(matches)) if matches else 0.0,
    )  # fmt: skip


def color_amounts(frames: Frames) -> Floats:
    """Pixels of each color of the palette in each frame [T, 8], counted as the parser counts them."""
    pictures = softened(shrunk(torch.from_numpy(frames)))
    color, share = dominant_hue(pictures)
    amount = ink(share)
    each = torch.nn.functional.one_hot(color, len(COLORS)) * amount[..., None]
    return np.asarray(each.sum((1, 2)).double())


def true_path(scene: Scene, slot: int) -> Path:
    """The same from a scene's own numbers, for tests: unseen where less than a third of the thing shows."""
    kind = scene.name(slot).split()[1]
    shown = scene.visible[:, slot] > 0.33
    x, y = (np.where(shown, values[:, slot], np.nan).astype(np.float64) for values in (scene.x, scene.y))
    usual = max(float(np.quantile(scene.visible[:, slot], 0.9)), 1e-6)
    return Path(
        kind=kind,
        size=float(scene.size[slot]),
        x=x,
        y=y,
        amount=scene.visible[:, slot].astype(np.float64) / usual,
        of_kind=1.0,
    )
