"""Draws scenes: state in, pixels out, any size, many frames at once, the same pixels every time.

A signed-distance renderer. A thing costs only the pixels around it: its patch of the picture is lifted out, painted in the
thing's own frame (`shapes`), laid over what is there and put back. Patches of like size are painted together, kind by kind,
and laid down layer by layer: flags, then movers in slot order, then screens. Backdrops (`backdrops`) are drawn once for
every distinct place and camera of a chunk.

Axes: N frames, K slots, E things in sight, H and W pixels, h and w pixels of a patch. Units as in `kinema.canvas.scene`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kinema.canvas.scene import BACKGROUNDS, COLORS, KINDS, VIEWS, Scene
from kinema.errors import SizeError
from kinema.worlds.backdrops import FLOOR, backdrops
from kinema.worlds.shapes import BOUND, OUTLINES, PAINTERS, TURNING, Paint, Patch

SMALLEST, LARGEST = 32, 2048

PALETTE = {
    "red": (226, 32, 40),
    "orange": (255, 126, 10),
    "yellow": (250, 216, 24),
    "green": (34, 172, 58),
    "cyan": (20, 200, 214),
    "blue": (36, 84, 230),
    "purple": (136, 52, 204),
    "pink": (255, 104, 184),
}
"""sRGB of the colors of things."""

CHUNK_PIXELS = 1 << 20
"""Pixels drawn together when no chunk is named: little enough to stay near the processor."""

SCREEN, FLAG = KINDS.index("screen"), KINDS.index("flag")
CAR_TOP = len(KINDS)
SHADOW_FLAT = 0.2
"""Height of a shadow on the ground over its width."""


@dataclass(frozen=True)
class Tables:
    """What is looked up per kind, on one device."""

    base: Tensor
    bound: Tensor
    across: Tensor
    below: Tensor
    turns: Tensor
    mirrors: Tensor

    @staticmethod
    def on(device: torch.device) -> Tables:
        def table(values: object) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        return Tables(
            base=table([PALETTE[name] for name in COLORS]),
            bound=table([BOUND[name] for name in KINDS]),
            across=table([OUTLINES[name][0] for name in KINDS]),
            below=table([OUTLINES[name][1] for name in KINDS]),
            turns=table([name in TURNING for name in KINDS]),
            mirrors=table([name in ("car", "robot") for name in KINDS]),
        )


@dataclass(frozen=True)
class Things:
    """The things of a chunk that are in sight, one row each [E], and how the picture lies over them.

    left, top: the thing's center in pixels from the picture's upper left corner; scale: pixels a unit.
    """

    frame: Tensor
    layer: Tensor
    kind: Tensor
    base: Tensor
    size: Tensor
    y: Tensor
    angle: Tensor
    is_top: Tensor
    left: Tensor
    top: Tensor
    scale: Tensor

    def __getitem__(self, at: Tensor) -> Things:
        return Things(**{name: value[at] for name, value in self.__dict__.items()})


@dataclass(frozen=True)
class Crop:
    """Equally large patches of a picture: frame, row and column of the first pixel [E]."""

    frame: Tensor
    row: Tensor
    column: Tensor
    height: int
    width: int

    @staticmethod
    def around(frame: Tensor, top: Tensor, left: Tensor, height: int, width: int, canvas: Tensor) -> Crop:
        """Centered at (top, left) in pixels, moved inside the picture where it would stick out."""
        height, width = min(height, canvas.shape[2]), min(width, canvas.shape[3])
        row = (top - height / 2).round().clamp(0, canvas.shape[2] - height).long()
        column = (left - width / 2).round().clamp(0, canvas.shape[3] - width).long()
        return Crop(frame, row, column, height, width)

    def __getitem__(self, at: Tensor) -> Crop:
        return Crop(self.frame[at], self.row[at], self.column[at], self.height, self.width)

    def offsets(self, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel centers relative to (top, left), y up: x [E, 1, w] and y [E, h, 1]."""
        across = self.column[:, None] + torch.arange(self.width, device=left.device)
        down = self.row[:, None] + torch.arange(self.height, device=left.device)
        return (across + 0.5 - left[:, None])[:, None, :], (top[:, None] - 0.5 - down)[:, :, None]

    def windows(self, canvas: Tensor) -> Tensor:
        """Every window of this size over a canvas [N, 3, H, W], as a view [N, H-h+1, W-w+1, 3, h, w]."""
        frames, _, rows, columns = canvas.shape
        plane = rows * columns
        shape = (frames, rows - self.height + 1, columns - self.width + 1, 3, self.height, self.width)
        return canvas.as_strided(shape, (3 * plane, columns, 1, plane, columns, 1))

    def blend(self, canvas: Tensor, keep: Tensor, add: Tensor | None) -> None:
        """canvas * keep + add on these patches, one patch a frame at most. keep [E, 1, h, w], add [E, 3, h, w]."""
        windows = self.windows(canvas)
        patch = windows[self.frame, self.row, self.column] * keep
        if add is not None:
            patch += add
        windows[self.frame, self.row, self.column] = patch.add_(0.5).clamp_(max=255.0).to(torch.uint8)


def _in_sight(tables: Tables, canvas: Tensor, **state: Tensor) -> Things:
    """The slots that hold something near the picture, with their layers."""
    kind = state["kind"].long()
    height, width = canvas.shape[2:]
    pan_x, pan_y, zoom = state["camera"].T[:, :, None]
    scale = (zoom * (height / 10.0)).expand_as(state["x"])
    left = (state["x"] - pan_x) * scale + width / 2
    top = (pan_y - state["y"]) * scale + height / 2
    reach = tables.bound[kind.clamp(min=0)] * state["size"] * scale * 1.3 + 2.0
    in_columns = (left + reach > 0) & (left - reach < width)
    in_sight = (kind >= 0) & in_columns & (top - 2.0 * reach < height) & ((top + reach > 0) | (state["view"][:, None] == 0))
    rank = torch.arange(kind.shape[1], device=kind.device) + kind.shape[1] * (1 + (kind == SCREEN).long() - (kind == FLAG).long())
    layer = torch.where(kind >= 0, rank, 3 * kind.shape[1]).argsort(1).argsort(1)
    frame, slot = in_sight.nonzero(as_tuple=True)
    return Things(
        frame=frame,
        layer=layer[frame, slot],
        kind=kind[frame, slot],
        base=tables.base[state["color"].long()[frame, slot]],
        size=state["size"][frame, slot],
        y=state["y"][frame, slot],
        angle=state["angle"][frame, slot],
        is_top=state["view"][frame] == 1,
        left=left[frame, slot],
        top=top[frame, slot],
        scale=scale[frame, slot],
    )


def _ladder(pixels: Tensor) -> Tensor:
    """Round patch sizes up to few distinct ones: steps of 4 up to 32, then of an eighth of the power of two below."""
    step = torch.exp2((pixels.clamp(min=32.0).log2().floor() - 3.0))
    return ((pixels / step).ceil() * step).long()


def _layers(layer: Tensor) -> list[Tensor]:
    """Rows of each layer, lowest first."""
    return [(layer == number).nonzero()[:, 0] for number in layer.unique().tolist()]


def _ground_shadows(canvas: Tensor, things: Things, tables: Tables) -> None:
    """Side view: an ellipse on the ground under each thing, fainter and wider with height."""
    gap = (things.y - tables.below[things.kind] * things.size - FLOOR).clamp(min=0.0)
    radius = (tables.across[things.kind] * things.size * 1.15 + 0.06 * gap) * things.scale
    depth = 0.45 / (1.0 + 0.7 * gap)
    top = things.top + (things.y - FLOOR) * things.scale
    spans = _ladder(2.0 * radius + 3.0)
    for span in spans.unique().tolist():
        here = (spans == span).nonzero()[:, 0]
        height = int(span * SHADOW_FLAT) + 3
        crops = Crop.around(things.frame[here], top[here], things.left[here], height, span, canvas)
        for rows in _layers(things.layer[here]):
            at, crop = here[rows], crops[rows]
            x, y = crop.offsets(top[at], things.left[at])
            wide = radius[at, None, None]
            fade = (1.0 - (x / wide).square() - (y / (wide * SHADOW_FLAT)).square()).clamp_(min=0.0)
            fade *= depth[at, None, None] * (0.5 - y).clamp_(0.0, 1.0)
            crop.blend(canvas, 1.0 - fade[:, None], None)


def _paint(things: Things, crop: Crop, code: int) -> Paint:
    """One painter over the patches of its things."""
    name, painter = PAINTERS[code]
    per_pixel = (1.0 / (things.size * things.scale))[:, None, None]
    x, y = crop.offsets(things.top, things.left)
    x, y = x * per_pixel, y * per_pixel
    light = (y - x) * 0.5
    if name not in TURNING:
        return painter(Patch(x, y, light, per_pixel))
    cos, sin = things.angle.cos()[:, None, None], things.angle.sin()[:, None, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    if name in ("car", "robot") and code != CAR_TOP:
        v = v * torch.where((cos < 0) & ~things.is_top[:, None, None], -1.0, 1.0)
    return painter(Patch(u, v, light, per_pixel))


def _drop_shadow(things: Things, crop: Crop, tables: Tables) -> Tensor:
    """Top view: a soft blot to the lower right of each thing, shaped by its extent. [E, h, w], 0 in the side view."""
    shift = (0.2 * things.size * things.scale).clamp(max=40.0)
    x, y = crop.offsets(things.top + shift, things.left + shift)
    per_pixel = (1.0 / (things.size * things.scale))[:, None, None]
    x, y = x * per_pixel, y * per_pixel
    cos, sin = things.angle.cos()[:, None, None], things.angle.sin()[:, None, None]
    turns = tables.turns[things.kind][:, None, None]
    cos, sin = 1.0 + turns * (cos - 1.0), turns * sin
    round_part = torch.tensor([0.9, 0.15, 0.5, 0.85, 0.2, 0.3, 0.1, 0.3], device=x.device)[things.kind][:, None, None]
    half_u = tables.across[things.kind][:, None, None] * 0.95
    half_v = tables.below[things.kind][:, None, None] * 0.95
    du = (x * cos + y * sin).abs_().sub_((half_u - round_part).clamp(min=0.0)).clamp_(min=0.0)
    dv = (y * cos - x * sin).abs_().sub_((half_v - round_part).clamp(min=0.0)).clamp_(min=0.0)
    distance = (du.square_() + dv.square_()).sqrt_() - round_part
    return (0.5 - distance / 0.3).clamp_(0.0, 1.0) * (0.34 * things.is_top[:, None, None])


def _bodies(canvas: Tensor, things: Things, tables: Tables) -> None:
    """Paint every thing, then lay the patches down from the lowest layer to the highest."""
    is_car_top = (things.kind == KINDS.index("car")) & things.is_top
    code = torch.where(is_car_top, CAR_TOP, things.kind)
    reach = tables.bound[things.kind] + 0.35 * things.is_top
    spans = _ladder(2.0 * reach * things.size * things.scale + 3.0)
    order = (spans * len(PAINTERS) + code).argsort(stable=True)
    things, code, spans = things[order], code[order], spans[order]
    ready: list[tuple[Tensor, Crop, Tensor, Tensor]] = []
    for span in spans.unique().tolist():
        at = (spans == span).nonzero()[:, 0]
        some = things[at]
        crop = Crop.around(some.frame, some.top, some.left, span, span, canvas)
        paints = []
        for number in code[at].unique().tolist():
            rows = (code[at] == number).nonzero()[:, 0]
            paints.append(_paint(some[rows], crop[rows], number))
        alpha = torch.cat([paint.alpha for paint in paints])
        tint = torch.cat([paint.tint for paint in paints]) * alpha
        gray = torch.cat([torch.zeros_like(p.tint) if p.gray is None else p.gray for p in paints]) * (alpha * 255.0)
        keep = 1.0 - alpha
        if bool(some.is_top.any()):
            keep *= 1.0 - _drop_shadow(some, crop, tables)
        add = tint[:, None] * some.base[:, :, None, None] + gray[:, None]
        ready.append((some.layer, crop, keep[:, None], add))
    for layer in range(int(things.layer.max()) + 1):
        for layers, crop, keep, add in ready:
            rows = (layers == layer).nonzero()[:, 0]
            if len(rows):
                crop[rows].blend(canvas, keep[rows], add[rows])


def _draw(tables: Tables, height: int, width: int, **state: Tensor) -> Tensor:
    """One chunk: uint8 [N, H, W, 3]."""
    setting = torch.cat([state["view"][:, None], state["background"][:, None], state["camera"]], 1).float()
    distinct, which = setting.unique(dim=0, return_inverse=True)
    places = backdrops(distinct[:, 0].long(), distinct[:, 1].long(), distinct[:, 2:], height, width)
    canvas = places[which]
    things = _in_sight(tables, canvas, **state)
    if len(things.frame):
        side = (~things.is_top).nonzero()[:, 0]
        if len(side):
            _ground_shadows(canvas, things[side], tables)
        _bodies(canvas, things, tables)
    return canvas.permute(0, 2, 3, 1).contiguous()


def render_batch(
    *,
    kind: ArrayLike | Tensor,
    color: ArrayLike | Tensor,
    size: ArrayLike | Tensor,
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    angle: ArrayLike | Tensor,
    view: ArrayLike | Tensor,
    background: ArrayLike | Tensor,
    camera: ArrayLike | Tensor,
    height: int,
    width: int,
    chunk: int | None = None,
) -> Tensor:
    """Draw N frames, on the device where `x` lies: uint8 [N, height, width, 3].

    kind (-1: empty), color, size, x, y, angle: [N, K]. view, background: [N], indices into VIEWS and BACKGROUNDS.
    camera: [N, 3]. chunk: frames drawn together. Raises SizeError for pictures outside 32 to 2048 pixels.
    """
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise SizeError(f"a picture of {height} x {width} pixels: choose a height and a width from {SMALLEST} to {LARGEST}")
    place = torch.as_tensor(x)
    whole = {"kind": kind, "color": color, "view": view, "background": background}
    real = {"size": size, "x": x, "y": y, "angle": angle, "camera": camera}
    state = {name: torch.as_tensor(value, dtype=torch.int64, device=place.device) for name, value in whole.items()}
    state |= {name: torch.as_tensor(value, dtype=torch.float32, device=place.device) for name, value in real.items()}
    frames, slots = place.shape
    for name, value in state.items():
        expected = (frames, 3) if name == "camera" else (frames,) if name in ("view", "background") else (frames, slots)
        if tuple(value.shape) != expected:
            raise SizeError(f"{name} has shape {tuple(value.shape)}, expected {expected} to fit x {(frames, slots)}")
    out = torch.empty(frames, height, width, 3, dtype=torch.uint8, device=place.device)
    step = chunk or max(1, CHUNK_PIXELS // (height * width))
    tables = Tables.on(place.device)
    for at in range(0, frames, step):
        out[at : at + step] = _draw(tables, height, width, **{name: v[at : at + step] for name, v in state.items()})
    return out


def render(scene: Scene, *, height: int, width: int, device: torch.device | str = "cpu") -> NDArray[np.uint8]:
    """Draw every frame of a scene: uint8 [T, height, width, 3]."""
    frames = scene.num_frames

    def steady(values: ArrayLike) -> Tensor:
        fixed = torch.as_tensor(values, device=device)
        return fixed.expand(frames, *fixed.shape)

    drawn = render_batch(
        kind=steady(scene.kind),
        color=steady(scene.color),
        size=steady(scene.size),
        x=torch.as_tensor(scene.x, device=device),
        y=torch.as_tensor(scene.y, device=device),
        angle=torch.as_tensor(scene.angle, device=device),
        view=steady(VIEWS.index(scene.view)),
        background=steady(BACKGROUNDS.index(scene.background)),
        camera=torch.as_tensor(scene.camera, device=device),
        height=height,
        width=width,
    )
    pixels: NDArray[np.uint8] = drawn.cpu().numpy()
    return pixels
