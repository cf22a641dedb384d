"""What stands behind the things: five places, each seen from the side and from above, fixed to the world.

Every feature is anchored at world coordinates, so a moving camera shows as motion. Colors are muted or dark, so that no
backdrop can be taken for one of the eight colors of things. Most features depend on x or on y alone and stay one row or
column until the last moment.

Axes: M pictures, h and w pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.scene.geometry import CEILING, FLOOR, ROOM_HEIGHT

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Colors of one background, sRGB 0..255. sky: top and horizon; hills: far and near; ground: lit edge, top, bottom;
    floor: seen from above, and its lines."""

    sky: tuple[Color, Color]
    hills: tuple[Color, Color]
    ground: tuple[Color, Color, Color]
    floor: tuple[Color, Color]


PLACES = {
    "field": Place(
        sky=((168, 192, 208), (222, 230, 228)),
        hills=((176, 194, 184), (150, 172, 150)),
        ground=((140, 158, 118), (118, 134, 100), (94, 106, 84)),
        floor=((146, 162, 132), (128, 145, 116)),
    ),
    "desert": Place(
        sky=((206, 200, 196), (236, 226, 208)),
        hills=((214, 198, 176), (202, 182, 156)),
        ground=((206, 186, 154), (184, 162, 132), (156, 136, 112)),
        floor=((212, 196, 168), (194, 176, 148)),
    ),
    "night": Place(
        sky=((14, 16, 30), (38, 42, 62)),
        hills=((34, 38, 54), (26, 30, 42)),
        ground=((58, 62, 76), (40, 44, 56), (24, 26, 36)),
        floor=((32, 35, 48), (46, 50, 66)),
    ),
    "snow": Place(
        sky=((196, 206, 216), (232, 236, 240)),
        hills=((206, 214, 224), (220, 226, 232)),
        ground=((252, 252, 254), (238, 242, 246), (206, 214, 224)),
        floor=((238, 241, 245), (220, 226, 233)),
    ),
    "lab": Place(
        sky=((150, 154, 160), (178, 181, 186)),
        hills=((140, 144, 150), (166, 169, 174)),
        ground=((112, 116, 122), (92, 96, 102), (72, 75, 82)),
        floor=((152, 155, 160), (134, 137, 143)),
    ),
}


@dataclass
class Sheet:
    """A picture under way. color: 0..255 [M, 3, h, w] or broadcastable; x [M, 1, 1, w] and y [M, 1, h, 1] in units;
    pixel: units a pixel [M, 1, 1, 1]."""

    color: Tensor
    x: Tensor
    y: Tensor
    pixel: Tensor

    def cover(self, distance: Tensor) -> Tensor:
        return (0.5 - distance / self.pixel).clamp_(0.0, 1.0)

    def lay(self, share: Tensor, color: Color | Tensor) -> None:
        """Blend a color over the picture."""
        shade = color if isinstance(color, Tensor) else self.shade(color)
        self.color = torch.lerp(self.color, shade, share)

    def shade(self, color: Color) -> Tensor:
        return torch.tensor(color, dtype=self.x.dtype, device=self.x.device).view(1, 3, 1, 1)


def _lines(sheet: Sheet, at: Tensor, step: float, width: float) -> Tensor:
    """Coverage of thin lines at every multiple of `step`, never thinner in effect than the light they would take."""
    offset = (at / step - (at / step).round()).abs() * step
    wide = sheet.pixel.clamp(min=width)
    return (0.5 + (0.5 * wide - offset) / sheet.pixel).clamp_(0.0, 1.0) * (width / wide)


def _hills(sheet: Sheet, height: Tensor, color: Color) -> None:
    sheet.lay(sheet.cover(sheet.y - height), color)


def _field(sheet: Sheet, place: Place) -> None:
    x = sheet.x
    _hills(sheet, 3.1 + 0.55 * (0.7 * x).sin() + 0.25 * (1.7 * x + 1).sin(), place.hills[0])
    _hills(sheet, 1.9 + 0.4 * (0.9 * x + 2).sin() + 0.15 * (2.3 * x).sin(), place.hills[1])


def _desert(sheet: Sheet, place: Place) -> None:
    x = sheet.x
    _hills(sheet, 2.7 + 0.9 * (0.5 * x + 0.6).sin().abs(), place.hills[0])
    _hills(sheet, 1.5 + 0.7 * (0.43 * x + 2).sin().abs(), place.hills[1])


def _night(sheet: Sheet, place: Place) -> None:
    x, y = sheet.x, sheet.y
    column, row = (x / 1.3).floor(), (y / 1.3).floor()
    at_x = (x / 1.3 - column - 0.5 - 0.3 * (column * 12.9 + row * 4.1).sin()) * 1.3
    at_y = (y / 1.3 - row - 0.5 - 0.3 * (column * 7.7 + row * 9.3).sin()) * 1.3
    bright = 0.5 + 0.5 * (column * 5.3 + row * 3.7).sin()
    size = sheet.pixel.clamp(min=0.05)
    star = (1.0 - (at_x.square() + at_y.square()) / size.square()).clamp_(0.0, 1.0)
    sheet.lay(star * (bright * 0.6) * (0.05 / size).sqrt(), (208, 210, 220))
    sheet.lay(sheet.cover(((x - 8.1).square() + (y - 8.5).square()).sqrt_() - 0.5), (214, 216, 214))
    _hills(sheet, 2.5 + 0.5 * (0.8 * x).sin() + 0.3 * (1.9 * x + 1).sin(), place.hills[0])
    _hills(sheet, 1.7 + 0.35 * (1.1 * x + 2).sin(), place.hills[1])


def _snow(sheet: Sheet, place: Place) -> None:
    x = sheet.x
    peaks = (x / 3.4 - (x / 3.4).round()).abs()
    _hills(sheet, 4.1 - 3.4 * peaks + 0.5 * (1.3 * x).sin(), place.hills[0])
    _hills(sheet, 1.8 + 0.35 * (0.8 * x + 1).sin(), place.hills[1])


def _lab(sheet: Sheet, place: Place) -> None:
    seams = _lines(sheet, sheet.x - 1.0, 2.0, 0.07).maximum(_lines(sheet, sheet.y - FLOOR, 3.0, 0.07))
    sheet.lay(seams, place.hills[0])
    sheet.lay(sheet.cover((sheet.y - 1.2).abs() - 0.14), place.hills[0])


SCENERY: dict[str, Callable[[Sheet, Place], None]] = {
    "field": _field,
    "desert": _desert,
    "night": _night,
    "snow": _snow,
    "lab": _lab,
}


def _side(sheet: Sheet, name: str) -> None:
    place = PLACES[name]
    rise = ((sheet.y - FLOOR) / (CEILING - FLOOR)).clamp(0.0, 1.0)
    sheet.color = torch.lerp(sheet.shade(place.sky[1]), sheet.shade(place.sky[0]), rise)
    SCENERY[name](sheet, place)
    lit, top, bottom = (sheet.shade(color) for color in place.ground)
    depth = (FLOOR - sheet.y).clamp(0.0, 1.5) / 1.5
    ground = torch.lerp(top, bottom, depth)
    marks = _lines(sheet, sheet.x + (3.0 if name == "lab" else 0.6) * (FLOOR - sheet.y), 1.0, 0.09)
    ground = torch.lerp(ground, bottom, 0.75 * marks * sheet.cover(sheet.y - FLOOR + 0.3))
    ground = torch.lerp(ground, lit, sheet.cover((sheet.y - FLOOR + 0.08).abs() - 0.08))
    sheet.lay(sheet.cover(sheet.y - FLOOR), ground)


def _top(sheet: Sheet, name: str) -> None:
    base, line = PLACES[name].floor
    x, y = sheet.x, sheet.y
    wave = (0.8 * x + 0.4).sin() * (0.7 * y).sin() + 0.6 * (2.1 * x).sin() * (1.9 * y + 1).sin()
    sheet.color = sheet.shade(base) * (1.0 + 0.022 * wave)
    grid = _lines(sheet, x, 1.0, 0.06).maximum(_lines(sheet, y, 1.0, 0.06))
    strong = _lines(sheet, x, 5.0, 0.14).maximum(_lines(sheet, y, 5.0, 0.14))
    sheet.lay((0.7 * grid).maximum(strong), line)


def backdrops(view: Tensor, background: Tensor, camera: Tensor, height: int, width: int) -> Tensor:
    """Backdrops for M pictures: uint8 [M, 3, height, width]. view and background [M] index VIEWS and BACKGROUNDS."""
    out = torch.empty(len(camera), 3, height, width, dtype=torch.uint8, device=camera.device)
    pixel = ROOM_HEIGHT / (camera[:, 2] * height)
    across = (torch.arange(width, device=camera.device) + (0.5 - width / 2)) * pixel[:, None] + camera[:, :1]
    up = (height / 2 - 0.5 - torch.arange(height, device=camera.device)) * pixel[:, None] + camera[:, 1:2]
    places = background * 2 + view
    for code in torch.unique(places).tolist():
        at = (places == code).nonzero()[:, 0]
        sheet = Sheet(torch.empty(0), across[at, None, None, :], up[at, None, :, None], pixel[at, None, None, None])
        (_top if code % 2 else _side)(sheet, tuple(PLACES)[code // 2])
        out[at] = sheet.color.clamp_(0.0, 255.0).add_(0.5).to(torch.uint8)
    return out
