"""Colored pieces of a picture: which pixels belong to a thing, in which color, and which of them hang together.

Backdrops are drawn pale or dark on purpose, so chroma (the largest minus the smallest channel), measured against the
palette color of the pixel's own hue, tells things from backdrops, whatever the shading.

Axes: T frames, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.scene.scene import PALETTE
from kinema.types import Floats, Ints

WORKING_HEIGHT = 64
"""Taller pictures are averaged down to this many pixels (shorter side)."""
SMALL = 6
"""Pixels below which a piece is no thing of its own: a robot's antenna, noise."""
PALE, FULL = 0.3, 0.75
"""Shares of the palette's chroma that count as none and as all of a thing."""


INKED = 0.3
"""Ink from which a pixel belongs to a piece."""


@dataclass(frozen=True)
class Piece:
    """Pixels of one color that hang together, or that a nearer thing parts. left, top, right, bottom: bounds in pixels;
    column, row: center of mass; mass: ink in pixels; labels: the frame's pieces [H, W]; others: labels of the same color
    that belong to something else; hidden: may go on behind a nearer thing or beyond the picture."""

    frame: int
    color: int
    members: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    mass: float
    column: float
    row: float
    labels: Ints
    others: tuple[int, ...]
    hidden: bool


def shrunk(frames: Tensor) -> Tensor:
    """uint8 [T, H, W, 3] to float [T, 3, h, w] of 0..255, averaged down where the picture is large."""
    pictures = frames.permute(0, 3, 1, 2).float()
    height, width = pictures.shape[2:]
    ratio = WORKING_HEIGHT / min(height, width)
    if ratio > 0.7:
        return pictures
    size = (round(height * ratio), round(width * ratio))
    return torch.nn.functional.interpolate(pictures, size=size, mode="area")


@lru_cache(maxsize=1)
def _hues() -> tuple[Tensor, Tensor]:
    """Direction in the chroma plane [8, 2] and chroma [8] of the palette."""
    palette = torch.tensor(list(PALETTE.values()), dtype=torch.float32)
    plane = _plane(*palette.T)
    return plane / plane.norm(dim=1, keepdim=True), palette.amax(1) - palette.amin(1)


def _plane(red: Tensor, green: Tensor, blue: Tensor) -> Tensor:
    return torch.stack([red - 0.5 * (green + blue), 0.8660254 * (green - blue)], -1)


def dominant_hue(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Of float pictures [T, 3, H, W]: color of each pixel's hue, and its chroma relative to that color's. Both [T, H, W]."""
    directions, strength = _hues()
    color = (_plane(*pictures.unbind(1)) @ directions.T).argmax(-1)
    return color, (pictures.amax(1) - pictures.amin(1)) / strength[color]


def softened(planes: Tensor) -> Tensor:
    """Blurred by (1, 2, 1) / 4 along both axes, edges repeated: noise and small blur matter less when drawings and pictures
    are softened alike. [..., H, W]."""
    for axis in (-1, -2):
        length = planes.shape[axis]
        inner = planes.narrow(axis, 0, length - 2) + planes.narrow(axis, 2, length - 2)
        out = planes.clone()
        out.narrow(axis, 1, length - 2).mul_(0.5).add_(inner, alpha=0.25)
        planes = out
    return planes


def hue_shares(pictures: Tensor) -> Tensor:
    """Strength of each of the 8 colors' hues in every pixel, 1 for the palette color itself: [T, 8, H, W]. Linear in the
    pixels, and so true for mixtures."""
    palette = torch.tensor(list(PALETTE.values()), dtype=torch.float32)
    directions = _hues()[0] / _plane(*palette.T).norm(dim=1, keepdim=True)
    strengths: Tensor = (_plane(*pictures.unbind(1)) @ directions.T).permute(0, 3, 1, 2).contiguous()
    return strengths


def ink(share: Tensor) -> Tensor:
    """How much of a pixel counts as a thing, 0..1; the same for pictures and for drawn candidates."""
    return ((share - PALE) / (FULL - PALE)).clamp_(0.0, 1.0)


def _labels(color: Ints) -> Ints:
    """A number for each connected piece of equal color, with its 8 neighbors; 0 where color is -1. [T, H, W]."""
    frames, height, width = color.shape
    padded = np.full((frames, height + 2, width + 2), -1, np.int64)
    padded[:, 1:-1, 1:-1] = color
    filled = np.flatnonzero(padded >= 0)
    flat = padded.ravel()
    steps = [1, width + 2, width + 3, width + 1]
    place = np.zeros(flat.size, np.int64)
    place[filled] = np.arange(len(filled))
    pairs = []
    for step in steps:
        same = flat[filled] == flat[filled + step]
        pairs.append(np.stack([place[filled[same]], place[filled[same] + step]]))
    first, second = np.concatenate(pairs, 1) if filled.size else np.zeros((2, 0), np.int64)
    root = np.arange(len(filled))
    while True:
        low = np.minimum(root[first], root[second])
        before = root.copy()
        np.minimum.at(root, root[first], low)
        np.minimum.at(root, root[second], low)
        root = root[root]
        if (root == before).all():
            break
    out = np.zeros(flat.size, np.int64)
    out[filled] = root + 1
    return out.reshape(padded.shape)[:, 1:-1, 1:-1]


def _wider(inked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Every marked pixel and its 8 neighbors. [T, H, W]."""
    padded = np.pad(inked, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
    return rows[:, :, :-2] | rows[:, :, 1:-1] | rows[:, :, 2:]


def _clusters(color: Ints, inked: NDArray[np.bool_]) -> Ints:
    """Labels [T, H, W] that join pieces of one color across gaps of up to four pixels: a robot's visor, a car's windows."""
    out = np.zeros(color.shape, np.int64)
    for hue in np.unique(color[inked]).tolist():
        own = inked & (color == hue)
        joined = _labels(np.where(_wider(_wider(own)), hue, -1))
        out += np.where(own, joined + color.size * hue, 0)
    return out


@dataclass(frozen=True)
class _Part:
    """One connected piece: its name, the cluster it is in, and its pixels as flat indices into the clip."""

    name: int
    cluster: int
    pixels: Ints


def _parts(labels: Ints, clusters: Ints, color: Ints) -> dict[tuple[int, int], list[_Part]]:
    """Connected pieces by frame and color."""
    where = np.flatnonzero(labels)
    if not where.size:
        return {}
    order = np.argsort(labels.ravel()[where], kind="stable")
    names, counts = np.unique(labels.ravel()[where], return_counts=True)
    parts: dict[tuple[int, int], list[_Part]] = {}
    for name, pixels in zip(names.tolist(), np.split(where[order], np.cumsum(counts)[:-1]), strict=True):
        first = int(pixels[0])
        key = (first // color[0].size, int(color.ravel()[first]))
        parts.setdefault(key, []).append(_Part(name, int(clusters.ravel()[first]), pixels))
    return parts


def _unions(parts: list[_Part]) -> list[tuple[tuple[_Part, ...], bool]]:
    """What may be one thing: every cluster, larger parts of one, pairs of them (True: if something parts them)."""
    clusters: dict[int, list[_Part]] = {}
    for part in parts:
        clusters.setdefault(part.cluster, []).append(part)
    whole = [tuple(members) for members in clusters.values() if sum(len(part.pixels) for part in members) >= SMALL]
    groups = [(members, False) for members in whole]
    for members in whole:
        large = [part for part in members if len(part.pixels) >= SMALL]
        groups += [((part,), False) for part in large if len(large) > 1]
    return groups + [(a + b, True) for number, a in enumerate(whole) for b in whole[number + 1 :]]


def find_pieces(color: Ints, mass: Floats) -> list[Piece]:
    """Every piece of a clip, and the pairs that a nearer thing may part. color, mass (ink): [T, H, W]."""
    height, width = color.shape[1:]
    inked = mass > INKED
    labels = _labels(np.where(inked, color, -1))
    pieces = []
    for (frame, hue), parts in _parts(labels, _clusters(color, inked), color).items():
        foreign = inked[frame] & (color[frame] != hue)
        for union, must_be_parted in _unions(parts):
            pixels = np.concatenate([part.pixels for part in union])
            rows, columns = np.divmod(pixels % (height * width), width)
            top, bottom, left, right = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
            if must_be_parted and not (foreign[top:bottom, left:right].any() and right - left < 0.35 * height):
                continue
            weights = mass.ravel()[pixels]
            total = float(weights.sum())
            members = tuple(part.name for part in union)
            touched = bool(foreign[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2].any())
            pieces.append(
                Piece(
                    frame=frame,
                    color=hue,
                    members=members,
                    left=left,
                    top=top,
                    right=right,
                    bottom=bottom,
                    mass=total,
                    column=float((columns * weights).sum()) / total + 0.5,
                    row=float((rows * weights).sum()) / total + 0.5,
                    labels=labels[frame],
                    others=tuple(part.name for part in parts if part.name not in members and len(part.pixels) >= SMALL),
                    hidden=touched or top == 0 or left == 0 or bottom == height or right == width,
                )
            )
    return pieces
