"""Draws scenes: state in, pixels out, any size, many frames at once, the same pixels every time.

A signed-distance renderer. A thing costs only the pixels around it: its patch of the picture is lifted out, painted in the
thing's own frame (`shapes`), laid over what is there and put back. Patches of like size are painted together, kind by kind,
and laid down layer by layer: flags, then movers in slot order, then screens. Backdrops (`backdrops`) are drawn once for
every distinct place and camera of a chunk.

Axes: N frames, K slots, E things in sight, H and W pixels, h and w pixels of a patch. Units as in `kinema.scene.scene`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kinema.errors import SizeError
from kinema.playground.backdrops import backdrops
from kinema.playground.shapes import PAINTERS, Paint, Patch
from kinema.playground.visibility import visible_share
from kinema.scene.geometry import BOUND, FLOOR, OUTLINE, ROOM_HEIGHT, SHADOW, TURNING
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, PALETTE, VIEWS, Scene

__all__ = ["render_batch", "render_scene", "render_values", "visible_share"]

SMALLEST, LARGEST = 32, 2048

CHUNK_PIXELS = 1 << 22
"""Pixels drawn together when no chunk is named: little enough to stay near the processor."""

SCREEN, FLAG = KINDS.index("screen"), KINDS.index("flag")
CAR, CAR_TOP = KINDS.index("car"), len(KINDS)
SHADOW_FLAT = 0.2
"""Height of a shadow on the ground over its width."""


@dataclass(frozen=True)
class Tables:
    """What is looked up per color, per kind or per painter, on one device."""

    base: Tensor
    bound: Tensor
    across: Tensor
    below: Tensor
    turns: Tensor
    mirrors: Tensor
    shadow: Tensor

    @staticmethod
    def on(device: torch.device) -> Tables:
        outlines = [OUTLINE[name] for name, _ in PAINTERS]
        return Tables(
            base=torch.tensor([PALETTE[name] for name in COLORS], dtype=torch.float32, device=device),
            bound=torch.tensor([BOUND[name] for name, _ in PAINTERS], device=device),
            across=torch.tensor([outline.across for outline in outlines], device=device),
            below=torch.tensor([outline.below for outline in outlines], device=device),
            turns=torch.tensor([float(name in TURNING) for name, _ in PAINTERS], device=device),
            mirrors=torch.tensor([name in ("car", "robot") for name, _ in PAINTERS], device=device),
            shadow=torch.tensor([SHADOW[name] for name, _ in PAINTERS], device=device),
        )


@dataclass(frozen=True)
class Things:
    """The things of a chunk that are in sight, one row each [E], and how the picture lies over them.

    code: index into PAINTERS. base: color 0..255 [E, 3]. left, top: the center in pixels from the picture's upper left
    corner; radius: size in pixels; drop: pixels from the center down to the ground (side view); gap: units between the
    ground and the thing. flip: -1 where up and down change places, so that a car that drives left keeps its wheels down.
    """

    frame: Tensor
    slot: Tensor
    layer: Tensor
    code: Tensor
    base: Tensor
    is_top: Tensor
    left: Tensor
    top: Tensor
    radius: Tensor
    drop: Tensor
    gap: Tensor
    cos: Tensor
    sin: Tensor
    flip: Tensor

    def __getitem__(self, at: Tensor | slice) -> Things:
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

    def __getitem__(self, at: Tensor | slice) -> Crop:
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


def _visible_things(tables: Tables, height: int, width: int, **state: Tensor) -> Things:
    """The slots that hold something near the picture, with their layers."""
    kind, slots = state["kind"], state["kind"].shape[1]
    pan_x, pan_y, zoom = state["camera"].T[:, :, None]
    scale = zoom * (height / ROOM_HEIGHT)
    left = (state["x"] - pan_x) * scale + width / 2
    top = (pan_y - state["y"]) * scale + height / 2
    reach = tables.bound[kind.clamp(min=0)] * state["size"] * scale * 1.3 + 2.0
    is_side = state["view"][:, None] == 0
    near = (left + reach > 0) & (left - reach < width) & (top - 2.0 * reach < height) & ((top + reach > 0) | is_side)
    frame, slot = ((kind >= 0) & near).nonzero(as_tuple=True)
    rank = torch.arange(slots, device=kind.device) + slots * (1 + 1 * (kind == SCREEN) - 1 * (kind == FLAG))
    layer = torch.where(kind >= 0, rank, 3 * slots).argsort(1).argsort(1)
    kind, scale, is_top = kind[frame, slot], scale[frame, 0], state["view"][frame] == 1
    size, height_above, angle = (state[name][frame, slot] for name in ("size", "y", "angle"))
    angle = angle * tables.turns[kind]
    return Things(
        frame=frame,
        slot=slot,
        layer=layer[frame, slot],
        code=torch.where(is_top & (kind == CAR), CAR_TOP, kind),
        base=tables.base[state["color"][frame, slot]],
        is_top=is_top,
        left=left[frame, slot],
        top=top[frame, slot],
        radius=(size * scale).clamp(min=0.25),
        drop=(height_above - FLOOR) * scale,
        gap=(height_above - tables.below[kind] * size - FLOOR).clamp(min=0.0),
        cos=angle.cos(),
        sin=angle.sin(),
        flip=torch.where(tables.mirrors[kind] & ~is_top & (angle.cos() < 0), -1.0, 1.0),
    )


def _ladder(pixels: Tensor) -> Tensor:
    """Round patch sizes up to few distinct ones: steps of a quarter of the power of two below, from 8 pixels on."""
    step = torch.exp2(pixels.clamp(min=8.0).log2().floor() - 2.0)
    return ((pixels / step).ceil() * step).long()


def _runs(keys: Tensor) -> list[tuple[int, slice]]:
    """Where each value of sorted keys begins and ends."""
    values, counts = torch.unique_consecutive(keys, return_counts=True)
    ends = counts.cumsum(0).tolist()
    return [(value, slice(begin, end)) for value, begin, end in zip(values.tolist(), [0, *ends], ends, strict=False)]


def _ground_shadows(canvas: Tensor, things: Things, tables: Tables) -> None:
    """Side view: an ellipse on the ground under each thing, fainter and wider with height."""
    wide = things.radius * (tables.across[things.code] * 1.15 + 0.06 * things.gap / (1.0 + things.gap))
    spans = _ladder(2.0 * wide + 3.0)
    order = (things.layer * LARGEST * 4 + spans).argsort(stable=True)
    things, wide = things[order], wide[order]
    for key, rows in _runs(things.layer * LARGEST * 4 + spans[order]):
        some, span = things[rows], key % (LARGEST * 4)
        ground = some.top + some.drop
        crop = Crop.around(some.frame, ground, some.left, int(span * SHADOW_FLAT) + 3, span, canvas)
        x, y = crop.offsets(ground, some.left)
        across = 1.0 / wide[rows, None, None]
        fade = (1.0 - (x * across).square() - (y * (across / SHADOW_FLAT)).square()).clamp_(min=0.0)
        fade *= (0.45 / (1.0 + 0.7 * some.gap))[:, None, None] * (0.5 - y).clamp_(0.0, 1.0)
        crop.blend(canvas, 1.0 - fade[:, None], None)


def _paint(things: Things, crop: Crop, code: int) -> Paint:
    """One painter over the patches of its things."""
    name, painter = PAINTERS[code]
    pixel = (1.0 / things.radius)[:, None, None]
    x, y = crop.offsets(things.top, things.left)
    x, y = x * pixel, y * pixel
    light = (y - x) * 0.5
    if name not in TURNING:
        return painter(Patch(x, y, light, pixel))
    cos, sin, flip = things.cos[:, None, None], things.sin[:, None, None], things.flip[:, None, None]
    return painter(Patch(x * cos + y * sin, (y * cos - x * sin) * flip, light, pixel))


def _drop_shadow(things: Things, crop: Crop, tables: Tables) -> Tensor:
    """Top view: a soft blot to the lower right of each thing, shaped by its extent. [E, h, w], 0 in the side view."""
    x, y = crop.offsets(things.top + 0.2 * things.radius, things.left + 0.2 * things.radius)
    pixel = (1.0 / things.radius)[:, None, None]
    cos, sin = things.cos[:, None, None] * pixel, things.sin[:, None, None] * pixel
    half_u, half_v, corner = tables.shadow[things.code].T[:, :, None, None]
    du = (x * cos + y * sin).abs_().sub_(half_u).clamp_(min=0.0)
    dv = (y * cos - x * sin).abs_().sub_(half_v).clamp_(min=0.0)
    distance = (du.square_() + dv.square_()).sqrt_() - corner
    shade: Tensor = (0.5 - distance / 0.3).clamp_(0.0, 1.0) * (0.34 * things.is_top[:, None, None])
    return shade


def _bodies(canvas: Tensor, things: Things, tables: Tables, *, flat: bool = False) -> None:
    """Paint every thing, then lay the patches down from the lowest layer to the highest. flat: without light and shadow, each pixel
    wholly of one thing."""
    spans = _ladder(2.0 * (tables.bound[things.code] + 0.35 * things.is_top) * things.radius + 3.0)
    keys, order = (spans * len(PAINTERS) + things.code).sort(stable=True)
    things = things[order]
    ready: list[tuple[Tensor, Crop, Tensor, Tensor]] = []
    for span, run in _runs(keys // len(PAINTERS)):
        some = things[run]
        crop = Crop.around(some.frame, some.top, some.left, span, span, canvas)
        paints = [_paint(some[rows], crop[rows], code) for code, rows in _runs(some.code)]
        alpha = torch.cat([paint.alpha for paint in paints])
        alpha = (alpha > 0.5).float() if flat else alpha
        tint = torch.cat([torch.ones_like(p.tint) if flat else p.tint for p in paints]).mul_(alpha)
        gray = torch.cat([torch.zeros_like(p.tint) if flat or p.gray is None else p.gray for p in paints]).mul_(
            alpha * 255.0
        )
        keep = 1.0 - alpha
        if not flat and bool(some.is_top.any()):
            keep *= 1.0 - _drop_shadow(some, crop, tables)
        add = (tint[:, None] * some.base[:, :, None, None]).add_(gray[:, None])
        ready.append((some.layer, crop, keep[:, None], add))
    for layer in range(int(things.layer.max()) + 1):
        for layers, crop, keep, add in ready:
            rows = (layers == layer).nonzero()[:, 0]
            if len(rows):
                crop[rows].blend(canvas, keep[rows], add[rows])


def _draw(out: Tensor, tables: Tables, **state: Tensor) -> None:
    """One chunk into out, uint8 [N, H, W, 3]. Planes are kept apart while drawing: wide rows are quick to copy and blend."""
    _, height, width, _ = out.shape
    setting = torch.cat([state["view"][:, None], state["background"][:, None], state["camera"]], 1)
    distinct, which = torch.unique(setting, dim=0, return_inverse=True)
    canvas = backdrops(distinct[:, 0].long(), distinct[:, 1].long(), distinct[:, 2:], height, width)[which]
    things = _visible_things(tables, height, width, **state)
    if len(things.frame):
        side = (~things.is_top).nonzero()[:, 0]
        if len(side):
            _ground_shadows(canvas, things[side], tables)
        _bodies(canvas, things, tables)
    for channel in range(3):
        out[..., channel] = canvas[:, channel]


def render_values(scene: Scene, values: NDArray[np.float32], beyond: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a value for each slot in the shapes of a scene, each pixel wholly of one thing or of none.

    Args:
        scene: T frames with K slots.
        values: What is drawn for each slot, 0 to 255 [K].
        beyond: What is drawn behind all things, 0 to 255 [T, H, W].

    Returns:
        uint8 [T, H, W].
    """
    frames, height, width = beyond.shape
    drawn = np.empty(beyond.shape, np.uint8)
    tables = Tables.on(torch.device("cpu"))
    step = max(1, CHUNK_PIXELS // (height * width))
    for at in range(0, frames, step):
        part = slice(at, at + step)
        state = _state_of(scene, part)
        canvas = torch.from_numpy(np.rint(beyond[part])).to(torch.uint8)[:, None].repeat(1, 3, 1, 1).contiguous()
        things = _visible_things(tables, height, width, **state)
        if len(things.frame):
            flat = torch.from_numpy(values)[things.slot][:, None].repeat(1, 3)
            _bodies(canvas, replace(things, base=flat), tables, flat=True)
        drawn[part] = canvas[:, 0].numpy()
    return drawn


def _state_of(scene: Scene, part: slice) -> dict[str, Tensor]:
    """Frames of a scene as the renderer takes them."""
    x = torch.from_numpy(scene.x[part])
    count = len(x)

    def steady(values: ArrayLike, dtype: torch.dtype) -> Tensor:
        fixed = torch.as_tensor(values, dtype=dtype)
        return fixed.expand(count, *fixed.shape)

    return {
        "kind": steady(scene.kind, torch.int64), "color": steady(scene.color, torch.int64),
        "size": steady(scene.size, torch.float32), "x": x, "y": torch.from_numpy(scene.y[part]),
        "angle": torch.from_numpy(scene.angle[part]), "view": steady(VIEWS.index(scene.view), torch.int64),
        "background": steady(BACKGROUNDS.index(scene.background), torch.int64),
        "camera": torch.from_numpy(scene.camera[part]),
    }  # fmt: skip


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
        _draw(out[at : at + step], tables, **{name: v[at : at + step] for name, v in state.items()})
    return out


def render_scene(scene: Scene, *, height: int, width: int, device: torch.device | str = "cpu") -> NDArray[np.uint8]:
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
