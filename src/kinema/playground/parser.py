"""Pixels in, things out: reads a Playground picture without any trained model, to score pictures that a model made.

Three steps. Color: things are strongly colored and backdrops are not, so chroma relative to the palette's says what share of
a pixel is a thing, and hue says in which color. Pieces: neighboring pixels of one color belong together; pieces of one color
that a nearer thing parts are also tried as one. Kind: the renderer's own painters draw each kind at many angles; the best
few are moved, scaled and turned until they fit. The score is the soft intersection over union, counted only where no thing
of another color could be in front. Works at about 64 pixels of height; larger pictures are averaged down first.

Axes: T frames, H and W pixels, J jobs (pieces to explain), C candidates, S pixels of a job's square window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kinema.errors import SizeError
from kinema.playground.segments import Piece, dominant_hue, find_pieces, hue_shares, ink, shrunk, softened
from kinema.playground.shapes import PAINTERS, Paint, Patch
from kinema.scene.geometry import DEFAULT_CAMERA, OUTLINE, ROOM_HEIGHT, SYMMETRY, TURNING
from kinema.scene.scene import COLORS, KINDS, PALETTE, SIZES
from kinema.types import Floats

SMALLEST, LARGEST = 0.45, 1.4
"""Sizes in units that a thing may have."""
ACCEPTED = 0.55
"""Score from which a piece counts as a thing."""
HIDING_COSTS = 0.15
SHARPNESS = 1.2
"""Loss of agreement per unit of difference in color and brightness."""
WHOLE_BONUS = 0.05
"""By how much two parts must explain themselves better than their whole, to be two things."""
TURNS = {"ball": 1, "box": 3, "triangle": 4, "star": 4, "car": 12, "robot": 10, "screen": 1, "flag": 1}
"""Angles tried per kind, spread over the turn after which it looks the same."""
RADII = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 14.0, 20.0)
"""Sizes in pixels at which the mass of each kind is known."""
SEARCH = (
    (6, ((0.6, 0.1, 0.2),)),
    (3, ((0.4, 0.06, 0.12), (0.25, 0.04, 0.08), (0.12, 0.02, 0.04))),
)
"""Kinds that stay in the search, and for them the steps of each round: pixels sideways, share of the size, radians."""


@dataclass(frozen=True)
class ParsedObject:
    """One thing found in a picture. x, y, size in units; score: 0..1, how well its drawing fits the pixels."""

    kind: str
    color: str
    x: float
    y: float
    size: float
    score: float


@dataclass(frozen=True)
class Guesses:
    """Candidates: job and painter of each [C], and pose [C, 4]: column, row, radius in pixels of the picture, angle."""

    job: Tensor
    code: Tensor
    pose: Tensor

    def __getitem__(self, at: Tensor) -> Guesses:
        return Guesses(self.job[at], self.code[at], self.pose[at])


@dataclass(frozen=True)
class ParseWindows:
    """What is to be explained. mask: ink; weight: 0 where something else may be in front; hue: color as a share of the
    palette's; bright: mean of the channels, 0..1: [J, S, S]. base: brightness of the palette color [J]; corner: column and
    row of the first pixel [J, 2]; limits: least and greatest radius in pixels [J, 2]."""

    mask: Tensor
    weight: Tensor
    hue: Tensor
    bright: Tensor
    base: Tensor
    corner: Tensor
    limits: Tensor


def _drawn(code: int, pose: Tensor, corner: Tensor, size: int) -> Paint:
    """One painter's candidates in their windows [C, S, S]."""
    name, painter = PAINTERS[code]
    column, row, radius, angle = pose.T[:, :, None, None]
    pixel = 1.0 / radius
    steps = torch.arange(size) + 0.5
    x = (corner[:, :1] + steps)[:, None, :].sub(column).mul_(pixel)
    y = (corner[:, 1:] + steps)[:, :, None].neg().add_(row).mul_(pixel)
    light = (y - x) * 0.5
    if name in TURNING:
        cos, sin = angle.cos(), angle.sin()
        x, y = x * cos + y * sin, y * cos - x * sin
        if code == KINDS.index("car"):
            y = y * torch.where(cos < 0, -1.0, 1.0)
    return painter(Patch(x, y, light, pixel))


@dataclass(frozen=True)
class Template:
    """One painter's drawing at RADII pixels: mass of its ink there, center of that mass (u, v) and area, at size 1."""

    masses: Floats
    center: tuple[float, float]
    area: float


@lru_cache(maxsize=1)
def _templates() -> tuple[Template, ...]:
    size = 96
    steps = np.arange(size) + 0.5 - size / 2
    poses = torch.tensor([[size / 2, size / 2, radius, 0.0] for radius in RADII])
    templates = []
    for code in range(len(PAINTERS)):
        paint = _drawn(code, poses, torch.zeros(len(RADII), 2), size)
        drawn = ink(softened(paint.alpha * paint.tint)).numpy()
        middle = drawn[len(RADII) // 2] / drawn[len(RADII) // 2].sum() / RADII[len(RADII) // 2]
        center = float((middle.sum(0) * steps).sum()), float(-(middle.sum(1) * steps).sum())
        area = float(paint.alpha[-1].sum()) / RADII[-1] ** 2
        templates.append(Template(drawn.sum((1, 2)), center, area))
    return tuple(templates)


@lru_cache(maxsize=1)
def _poses() -> tuple[Tensor, Tensor]:
    """Every painter at every angle tried: codes and angles."""
    pairs = []
    for code, (name, _) in enumerate(PAINTERS):
        turn, count = 2 * math.pi / max(SYMMETRY[name], 1), TURNS[name]
        pairs += [(code, turn * number / count) for number in range(count)]
    codes, angles = zip(*pairs, strict=True)
    return torch.tensor(codes), torch.tensor(angles, dtype=torch.float32)


def _scores(windows: ParseWindows, guesses: Guesses) -> Tensor:
    """How well each candidate explains its pixels [C]: agreement in color and in brightness over what it covers, against all
    that it covers or should have covered; a little less where much of it would be hidden."""
    scores = torch.zeros(len(guesses.job))
    for code in torch.unique(guesses.code).tolist():
        at = (guesses.code == code).nonzero()[:, 0]
        job = guesses.job[at]
        paint = _drawn(code, guesses.pose[at], windows.corner[job], windows.mask.shape[-1])
        tint, weight = paint.tint * paint.alpha, windows.weight[job]
        bright = tint * windows.base[job, None, None]
        if paint.gray is not None:
            bright += paint.gray * paint.alpha
        alpha, tint, bright = softened(torch.stack([paint.alpha, tint, bright]))
        off = (windows.hue[job] - tint).abs_() + (windows.bright[job] * alpha - bright).abs_()
        seen = alpha * weight
        alike = (1.0 - SHARPNESS * off).clamp_(min=0.0).mul_(seen).sum((1, 2))
        missed = ((1.0 - alpha) * windows.mask[job]).mul_(weight).sum((1, 2))
        covered = seen.sum((1, 2))
        plain = covered / (_templates()[code].area * guesses.pose[at, 2].square())
        scores[at] = alike / (covered + missed).clamp(min=1.0) * (1.0 - HIDING_COSTS * (1.0 - plain.clamp(0.0, 1.0)))
    return scores


def _whole_starts(job: int, piece: Piece, limits: Tensor) -> Guesses:
    """For a piece in plain view: its mass tells the size of each kind, its center of mass the place."""
    codes, angles = _poses()
    templates = _templates()
    radii = torch.tensor([float(np.interp(piece.mass, template.masses, RADII)) for template in templates])
    radius = radii[codes].clamp(limits[0], limits[1])
    center_u, center_v = torch.tensor([template.center for template in templates])[codes].T
    cos, sin = angles.cos(), angles.sin()
    flip = torch.where((codes == KINDS.index("car")) & (cos < 0), -1.0, 1.0)
    shift_x, shift_y = center_u * cos - flip * center_v * sin, center_u * sin + flip * center_v * cos
    pose = torch.stack([piece.column - shift_x * radius, piece.row + shift_y * radius, radius, angles], 1)
    return Guesses(torch.full_like(codes, job), codes, pose)


def _hidden_starts(job: int, piece: Piece, unit: float) -> Guesses:
    """For a piece that may go on behind a nearer thing or beyond the picture: three sizes, laid against its sides."""
    rows = []
    for code, (name, _) in enumerate(PAINTERS):
        outline = OUTLINE[name]
        left = 0.0 if name == "flag" else outline.across
        for size in SIZES.values():
            radius = size * unit
            columns = {piece.left + left * radius, piece.right - outline.across * radius}
            lines = {piece.top + outline.above * radius, piece.bottom - outline.below * radius}
            columns.add(0.5 * (piece.left + piece.right))
            lines.add(0.5 * (piece.top + piece.bottom))
            angles = (0.0, math.pi) if name == "car" else (0.0,)
            rows += [(code, column, line, radius, angle) for column in columns for line in lines for angle in angles]
    table = torch.tensor(rows)
    return Guesses(torch.full((len(rows),), job), table[:, 0].long(), table[:, 1:])


def _finalists(guesses: Guesses, scores: Tensor, jobs: int, kinds: int) -> tuple[Guesses, Tensor]:
    """The best pose of each of the `kinds` best painters of every job."""
    # In numpy, where the last of equal places wins; torch writes them in any order once there are several threads.
    best = np.full((jobs, len(PAINTERS)), -1.0, np.float32)
    where = np.full((jobs, len(PAINTERS)), -1, np.int64)
    order = scores.argsort(stable=True).numpy()
    job, code = guesses.job.numpy()[order], guesses.code.numpy()[order]
    best[job, code] = scores.numpy()[order]
    where[job, code] = order
    chosen = torch.from_numpy(where).gather(1, torch.from_numpy(best).topk(kinds, 1).indices).flatten()
    chosen = chosen[chosen >= 0]
    return guesses[chosen], scores[chosen]


def _improve(
    windows: ParseWindows, guesses: Guesses, scores: Tensor, rounds: tuple[tuple[float, float, float], ...]
) -> tuple[Guesses, Tensor]:
    """Move, scale and turn every candidate as long as its score rises, in ever smaller steps."""
    poses = guesses.pose
    low, high = windows.limits[guesses.job].T[:, :, None]
    turning = torch.tensor([name in TURNING for name, _ in PAINTERS])[guesses.code]
    for place, grow, turn in rounds:
        for axis in ("place", "shape"):
            moves = [(-1, 0), (1, 0), (0, -1), (0, 1)]
            tries = poses[:, None].repeat(1, len(moves), 1)
            for number, (first, second) in enumerate(moves):
                if axis == "place":
                    tries[:, number, 0] += first * place
                    tries[:, number, 1] += second * place
                else:
                    tries[:, number, 2] *= 1.0 + first * grow
                    tries[:, number, 3] += second * turn * turning
            tries[..., 2] = tries[..., 2].clamp(low, high)
            many = Guesses(guesses.job.repeat_interleave(4), guesses.code.repeat_interleave(4), tries.flatten(0, 1))
            best, which = _scores(windows, many).view(-1, 4).max(1)
            better = best > scores
            poses = torch.where(better[:, None], tries[torch.arange(len(poses)), which], poses)
            scores = torch.where(better, best, scores)
    return Guesses(guesses.job, guesses.code, poses), scores


@dataclass(frozen=True)
class Planes:
    """A clip taken apart. ink, weight, hue: [T, 8, H, W], one plane a color; bright: [T, H, W]; units: pixels a unit [T]."""

    ink: Floats
    weight: Floats
    hue: Floats
    bright: Floats
    units: Floats


def _windows(pieces: list[Piece], planes: Planes, size: int) -> ParseWindows:
    """Cut a square around each piece out of its frame; nothing counts outside the picture."""
    cuts = np.zeros((4, len(pieces), size, size), np.float32)
    corners = np.zeros((len(pieces), 2), np.float32)
    height, width = planes.bright.shape[1:]
    for job, piece in enumerate(pieces):
        column = round(0.5 * (piece.left + piece.right) - size / 2)
        row = round(0.5 * (piece.top + piece.bottom) - size / 2)
        rows = slice(max(row, 0), min(row + size, height))
        columns = slice(max(column, 0), min(column + size, width))
        own = ~np.isin(piece.labels[rows, columns], piece.others)
        at, colored = (piece.frame, rows, columns), (piece.frame, piece.color, rows, columns)
        window = cuts[:, job, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
        window[:] = planes.ink[colored] * own, planes.weight[colored], planes.hue[colored], planes.bright[at]
        corners[job] = column, row
    units = planes.units[[piece.frame for piece in pieces]]
    base = np.array([sum(PALETTE[COLORS[piece.color]]) / 765 for piece in pieces], np.float32)
    limits = np.stack([SMALLEST * units, LARGEST * units], 1)
    return ParseWindows(*(torch.from_numpy(values) for values in (*cuts, base, corners, limits)))


def _fit(pieces: list[Piece], planes: Planes, size: int) -> list[tuple[float, int, Tensor]]:
    """Score, painter and pose of the best explanation of every piece."""
    windows = _windows(pieces, planes, size)
    starts = []
    for job, piece in enumerate(pieces):
        starts.append(_whole_starts(job, piece, windows.limits[job]))
        if piece.hidden:
            starts.append(_hidden_starts(job, piece, float(planes.units[piece.frame])))
    guesses = Guesses(*(torch.cat([getattr(start, name) for start in starts]) for name in ("job", "code", "pose")))
    scores = _scores(windows, guesses)
    for kinds, rounds in SEARCH:
        guesses, scores = _finalists(guesses, scores, len(pieces), kinds)
        guesses, scores = _improve(windows, guesses, scores, rounds)
    best: list[tuple[float, int, Tensor]] = [(0.0, 0, torch.zeros(4))] * len(pieces)
    for job, code, pose, score in zip(
        guesses.job.tolist(), guesses.code.tolist(), guesses.pose, scores.tolist(), strict=True
    ):
        if score > best[job][0]:
            best[job] = (score, code, pose)
    return best


def _window_size(piece: Piece, unit: float) -> int:
    """Pixels of a piece's window: room around it for wrong guesses, and for what may be hidden."""
    margin = 2.2 * unit if piece.hidden else 4.0
    return 8 * math.ceil((max(piece.right - piece.left, piece.bottom - piece.top) + 2 * margin) / 8)


def _chosen(pieces: list[Piece], fits: list[tuple[float, int, Tensor]]) -> list[int]:
    """Which pieces stand: of those that share pixels, the larger one unless its parts explain themselves clearly better."""
    stands: list[int] = []
    for number in sorted(range(len(pieces)), key=lambda number: (len(pieces[number].members), pieces[number].mass)):
        piece = pieces[number]
        parts = [other for other in stands if set(pieces[other].members) <= set(piece.members)]
        mass = sum(pieces[other].mass for other in parts)
        alone = sum(fits[other][0] * pieces[other].mass for other in parts) / max(mass, 1.0)
        if fits[number][0] > alone - WHOLE_BONUS:
            stands = [other for other in stands if other not in parts] + [number]
    return sorted(number for number in stands if fits[number][0] >= ACCEPTED)


def parse_clip(frames: ArrayLike | Tensor, camera: ArrayLike = DEFAULT_CAMERA) -> list[list[ParsedObject]]:
    """What each frame shows, largest first. frames: uint8 [T, H, W, 3]; camera: pan x, pan y, zoom, [3] or [T, 3]."""
    clip = torch.as_tensor(frames)
    if clip.ndim != 4 or clip.shape[-1] != 3:
        raise SizeError(f"frames of shape {tuple(clip.shape)}: expected [frames, height, width, 3]")
    pictures = softened(shrunk(clip.cpu()))
    count, _, height, width = pictures.shape
    views = np.broadcast_to(np.asarray(camera, np.float32), (count, 3))
    color, share = dominant_hue(pictures)
    amount = ink(share)
    own = (torch.nn.functional.one_hot(color, len(COLORS)).permute(0, 3, 1, 2) * amount[:, None]).numpy()
    weight, bright = 1.0 - (amount[:, None].numpy() - own), (pictures.mean(1) / 255.0).numpy()
    planes = Planes(
        own, weight, hue_shares(pictures).numpy(), bright, (views[:, 2] * height / ROOM_HEIGHT).astype(np.float32)
    )
    pieces = find_pieces(color.numpy(), amount.numpy())
    fits: list[tuple[float, int, Tensor]] = [(0.0, 0, torch.zeros(4))] * len(pieces)
    sizes = [_window_size(piece, float(planes.units[piece.frame])) for piece in pieces]
    for size in sorted(set(sizes)):
        jobs = [number for number, wanted in enumerate(sizes) if wanted == size]
        for number, fit in zip(jobs, _fit([pieces[job] for job in jobs], planes, size), strict=True):
            fits[number] = fit
    seen: list[list[ParsedObject]] = [[] for _ in range(count)]
    for number in _chosen(pieces, fits):
        piece, (score, code, pose) = pieces[number], fits[number]
        unit, (pan_x, pan_y, _) = float(planes.units[piece.frame]), views[piece.frame].tolist()
        column, row, radius, _ = pose.tolist()
        x, y = pan_x + (column - width / 2) / unit, pan_y + (height / 2 - row) / unit
        seen[piece.frame].append(ParsedObject(PAINTERS[code][0], COLORS[piece.color], x, y, radius / unit, score))
    return [sorted(things, key=lambda thing: -thing.size) for things in seen]
