"""The Playground's renderer: signed distances drawn in batches, at any size, on a CPU or a GPU.

A frame is a backdrop (drawn once for all frames that share setting and camera), soft contact shadows, then entities from the
back (flags) to the front (screens). Edges are blended over one pixel by the distance, so there is no supersampling.

Axes: N frames, K slots, H x W pixels, M entities of one kind drawn together.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.canvas.scene import BACKGROUNDS, KINDS, VIEWS, Scene
from kinema.errors import SizeError
from kinema.worlds import shapes
from kinema.worlds.backdrops import backdrop

PALETTE = (
    (228, 38, 44),
    (255, 138, 16),
    (255, 222, 38),
    (44, 178, 62),
    (38, 208, 216),
    (40, 84, 226),
    (142, 50, 200),
    (255, 120, 190),
)
"""sRGB of COLORS."""

FLOOR = 1.0
_ORDER = ("flag", "ball", "box", "triangle", "star", "car", "robot", "screen")
_FRONT = KINDS.index("screen")
_BACK = KINDS.index("flag")


def _over(picture: Tensor, paint: Tensor, alpha: Tensor) -> None:
    """picture [M, 3, h, w] blended in place towards paint (broadcastable) by alpha [M, h, w]."""
    picture.add_((paint - picture).mul_(alpha[:, None]))


def _edge(distance: Tensor, pixels_per_radius: Tensor) -> Tensor:
    """Coverage 0..1 from a distance in radii."""
    return (0.5 - distance * pixels_per_radius).clamp_(0.0, 1.0)


def _shade(u: Tensor, v: Tensor, color: Tensor) -> Tensor:
    """Light from the upper left: color [M, 3] made lighter and darker over the body, [M, 3, h, w]."""
    light = (1.0 + 0.16 * (v - 0.7 * u)).clamp_(0.72, 1.22)
    return (color[:, :, None, None] * light[:, None]).clamp_max_(1.0)


def _draw_kind(
    kind: str, crop: Tensor, u: Tensor, v: Tensor, turned: tuple[Tensor, Tensor], color: Tensor, scale: Tensor, side: Tensor
) -> None:
    """Draw one kind on crops [M, 3, h, w]; u, v offsets in radii, `turned` the same in the entity's own frame."""
    p, q = turned
    shade = _shade(u, v, color)
    dark = color[:, :, None, None] * 0.0 + 0.11
    if kind == "ball":
        _over(crop, shade, _edge(shapes.disc(u, v), scale))
        _over(crop, torch.ones_like(shade), 0.55 * _edge(shapes.disc(u + 0.36, v - 0.4, 0.2), scale))
    elif kind == "box":
        _over(crop, shade, _edge(shapes.box(p, q, shapes.BOX_HALF, shapes.BOX_HALF, 0.08), scale))
        _over(crop, shade * 0.8, 0.6 * _edge(shapes.box(p, q, 0.5, 0.5, 0.05), scale))
    elif kind == "triangle":
        _over(crop, shade, _edge(shapes.polygon(p, q, 3, 0.575), scale))
    elif kind == "star":
        _over(crop, shade, _edge(shapes.star(p, q), scale))
    elif kind == "car":
        beside, above = shapes.car_side(p.where(side, p), q), shapes.car_top(p, q)
        body, window, wheels = (torch.where(side, a, b) for a, b in zip(beside, above, strict=True))
        _over(crop, dark, _edge(torch.where(side, torch.full_like(wheels, 9.0), wheels), scale))
        _over(crop, shade, _edge(body, scale))
        _over(crop, dark * 0 + torch.tensor((0.82, 0.92, 0.98), device=crop.device)[:, None, None], _edge(window, scale))
        _over(crop, dark, _edge(torch.where(side, wheels, torch.full_like(wheels, 9.0)), scale))
    elif kind == "robot":
        body, eyes = shapes.robot(u, v)
        _over(crop, shade, _edge(body, scale))
        _over(crop, torch.ones_like(shade), _edge(eyes, scale))
    elif kind == "screen":
        half_u, half_v = shapes.SCREEN_HALF
        _over(crop, shade * 0.78, _edge(shapes.box(u, v, half_u, half_v, 0.06), scale))
        stripes = 1.0 + 0.06 * torch.sign(torch.sin(v * 7.0))
        _over(crop, shade * stripes[:, None], _edge(shapes.box(u, v, half_u - 0.14, half_v - 0.14), scale))
    else:
        pole, pennant = shapes.flag(u, v)
        _over(crop, dark + 0.22, _edge(pole, scale))
        _over(crop, shade, _edge(pennant, scale))


def _shadow(crop: Tensor, dx: Tensor, dy: Tensor, size: Tensor, height: Tensor, side: Tensor, flat: Tensor) -> None:
    """Side view: an ellipse on the ground that fades with height. Top view: a soft disc to the lower right."""
    s = size[:, None, None]
    lift = height[:, None, None].clamp_min(0)
    wide = s * (1.0 + 0.15 * lift)
    ground = (dx / wide).square() + ((dy + lift + s) / 0.16).square()
    above = ((dx - 0.22 * s) / (s * 1.12)).square() + ((dy + 0.26 * s) / (s * 1.12)).square()
    fade = torch.where(side, 0.42 * torch.exp(-0.45 * lift), torch.full_like(lift, 0.3))
    alpha = fade * (1.3 - torch.where(side, ground, above)).clamp_(0, 1) * (1 - flat[:, None, None])
    crop.mul_(1 - alpha[:, None])


def _paint(
    picture: Tensor, rows: Tensor, slots: Tensor, kind: str, parts: dict[str, Tensor], grid: tuple[Tensor, Tensor], shadow: bool
) -> None:
    """Draw (or cast the shadow of) entity `slots[m]` on frame `rows[m]` for all m, each on a crop around it."""
    h, w = picture.shape[2:]
    camera, size = parts["camera"][rows], parts["size"][rows, slots]
    x, y = parts["x"][rows, slots], parts["y"][rows, slots]
    per_unit = h * camera[:, 2] / 10.0
    reach = shapes.REACH[kind] * (1.35 if shadow else 1.0)
    half = int(torch.ceil((size * per_unit).max() * reach)) + 2
    side = (parts["view"][rows] == 0)[:, None, None]
    if shadow and bool(side.any()):
        half = max(half, int(torch.ceil(per_unit.max() * 1.0)))
    col, row = (x - camera[:, 0]) * per_unit + w / 2, h / 2 - (y - camera[:, 1]) * per_unit
    if shadow:
        row = torch.where(side[:, 0, 0], h / 2 - (FLOOR - camera[:, 1]) * per_unit, row)
    inside = (col > -half) & (col < w + half) & (row > -half) & (row < h + half)
    if not bool(inside.any()):
        return
    keep = inside.nonzero()[:, 0]
    rows, slots, col, row, per_unit, size, x, y, side = (
        value[keep] for value in (rows, slots, col, row, per_unit, size, x, y, side)
    )
    ch, cw = min(2 * half, h), min(2 * half, w)
    top = (row.round().long() - ch // 2).clamp(0, h - ch)
    left = (col.round().long() - cw // 2).clamp(0, w - cw)
    iy, ix = top[:, None] + grid[0][:ch], left[:, None] + grid[1][:cw]
    index = (rows[:, None, None, None], torch.arange(3, device=rows.device)[:, None, None], iy[:, None, :, None], ix[:, None, None])
    crop = picture[index]
    u = ((ix + 0.5 - w / 2) / per_unit[:, None] + parts["camera"][rows][:, :1] - x[:, None])[:, None, :].expand(-1, ch, -1)
    v = ((h / 2 - iy - 0.5) / per_unit[:, None] + parts["camera"][rows][:, 1:2] - y[:, None])[:, :, None].expand(-1, -1, cw)
    if shadow:
        _shadow(crop, u, v, size, y - FLOOR - size, side, torch.full_like(size, float(kind == "screen")))
    else:
        r = size[:, None, None]
        u, v = u / r, v / r
        angle = parts["angle"][rows, slots][:, None, None]
        cos, sin = angle.cos(), angle.sin()
        p, q = u * cos + v * sin, v * cos - u * sin
        if kind == "car":
            q = torch.where(side & (cos < 0), -q, q)
        color = torch.tensor(PALETTE, device=rows.device)[parts["color"][rows, slots].long()].float() / 255
        _draw_kind(kind, crop, u, v, (p, q), color, (size * per_unit)[:, None, None], side)
    picture[index] = crop


def _render_chunk(parts: dict[str, Tensor], height: int, width: int) -> Tensor:
    picture = backdrop(parts["view"], parts["background"], parts["camera"], height, width)
    grid = torch.arange(height, device=picture.device), torch.arange(width, device=picture.device)
    kind = parts["kind"].long()
    slots = kind.shape[1]
    for shadow in (True, False):
        for layer in ("back", "middle", "front"):
            for slot in range(slots):
                here = kind[:, slot]
                for number in torch.unique(here).tolist():
                    which = "back" if number == _BACK else "front" if number == _FRONT else "middle"
                    if number < 0 or which != layer:
                        continue
                    rows = (here == number).nonzero()[:, 0]
                    _paint(picture, rows, torch.full_like(rows, slot), KINDS[number], parts, grid, shadow)
    return (picture * 255 + 0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def render_batch(
    *,
    kind: Tensor,
    color: Tensor,
    size: Tensor,
    x: Tensor,
    y: Tensor,
    angle: Tensor,
    view: Tensor,
    background: Tensor,
    camera: Tensor,
    height: int,
    width: int,
    chunk: int | None = None,
) -> Tensor:
    """uint8 [N, H, W, 3]. kind (-1: empty), color, size, x, y, angle: [N, K]; view, background: [N]; camera: [N, 3]."""
    if not (32 <= height <= 2048 and 32 <= width <= 2048):
        raise SizeError(f"a picture of {width}x{height} was asked for; the renderer draws 32 to 2048 pixels a side")
    parts = {
        "kind": kind, "color": color, "size": size.float(), "x": x.float(), "y": y.float(), "angle": angle.float(),
        "view": view, "background": background, "camera": camera.float(),
    }  # fmt: skip
    step = chunk or max(1, 640 * 4096 // (height * width))
    pictures = [
        _render_chunk({name: value[i : i + step] for name, value in parts.items()}, height, width)
        for i in range(0, len(kind), step)
    ]
    return torch.cat(pictures) if pictures else torch.zeros((0, height, width, 3), dtype=torch.uint8)


def render(scene: Scene, *, height: int, width: int, device: torch.device | str = "cpu") -> NDArray[np.uint8]:
    """A scene's frames, uint8 [T, H, W, 3]."""
    frames = scene.num_frames

    def spread(values: NDArray[np.generic] | int) -> Tensor:
        return torch.from_numpy(np.repeat(np.asarray(values)[None], frames, 0)).to(device)

    def moving(values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    drawn = render_batch(
        kind=spread(scene.kind), color=spread(scene.color), size=spread(scene.size),
        x=moving(scene.x), y=moving(scene.y), angle=moving(scene.angle), camera=moving(scene.camera),
        view=spread(VIEWS.index(scene.view)), background=spread(BACKGROUNDS.index(scene.background)),
        height=height, width=width,
    )  # fmt: skip
    result: NDArray[np.uint8] = drawn.cpu().numpy()
    return result
