"""The state schema: what a slot of the `state` track can say, where it stands in the feature vector, and in which scale.

The schema belongs to a model: it is stored in its config.json, and the widths of its network follow from it. `PLAYGROUND` is the
schema of the default world, built from the tables of `kinema.scene.scene` and `kinema.scene.geometry`.

Groups of features are the same in every schema (`StateSchema.groups`), only their widths differ. Values are scaled to about unit
variance: a position is 0 at `center` and 1 at `position_scale` units from there, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from kinema.errors import ModelError
from kinema.scene.geometry import CIRCLES, MIDDLE, SOLID, SYMMETRY
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, MEDIUM, PALETTE, SIZES, VIEWS
from kinema.types import Floats

IDENTITY = ("exists", "kind", "color", "material", "size")
"""Groups that stay what they are for as long as an entity exists."""

Numbers = TypeVar("Numbers", Tensor, Floats)
_Columns: TypeAlias = slice
"""In the class below, `slice` is its method."""


@dataclass(frozen=True, kw_only=True)
class StateSchema:
    """Kinds, colors, materials, sizes, views and backgrounds of a world, and the scales of its tracks.

    Hashable; two schemas with the same entries are equal.

    Attributes:
        kinds: Names of the kinds of objects, in order.
        symmetry: For each kind, the order of its rotational symmetry; 0: it is never rotated.
        solid: For each kind, how far what collides reaches across and below its center, in multiples of its size.
        circles: For each kind, the radius of two circles inside it, and how far they lie before and behind its center, in
            multiples of its size; radius 0: nothing collides with it.
        colors: Names of the colors, in order.
        palette: For each color, sRGB from 0 to 255.
        materials: Names of the materials, in order.
        sizes: Names of the sizes, in order.
        radii: For each size, the radius in units.
        views: Names of the two views; the `scene` track is 1 for the first and -1 for the second.
        backgrounds: Names of the backgrounds, in order.
        center: Both coordinates in units of position 0, where the default camera stands.
        position_scale, velocity_scale: Units, and units a second, of 1 on the track.
        size_offset, size_scale: Radius in units at 0 on the track, and that of a step of 1.
        reward_scale: Reward of 1 on the track.

    Raises:
        ModelError: An entry that is not as described, in one line.
    """

    kinds: tuple[str, ...]
    symmetry: tuple[int, ...]
    solid: tuple[tuple[float, float], ...]
    circles: tuple[tuple[float, float], ...]
    colors: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    materials: tuple[str, ...]
    sizes: tuple[str, ...]
    radii: tuple[float, ...]
    views: tuple[str, ...]
    backgrounds: tuple[str, ...]
    center: float
    position_scale: float
    velocity_scale: float
    size_offset: float
    size_scale: float
    reward_scale: float

    def __post_init__(self) -> None:
        for name in ("kinds", "colors", "materials", "sizes", "views", "backgrounds"):
            _check_names(name, getattr(self, name))
        if len(self.views) != 2:
            raise ModelError(f"schema: views {list(self.views)}: expected two names")
        for name, of in (
            ("symmetry", "kinds"),
            ("solid", "kinds"),
            ("circles", "kinds"),
            ("palette", "colors"),
            ("radii", "sizes"),
        ):
            value, count = getattr(self, name), len(getattr(self, of))
            if not isinstance(value, tuple) or len(value) != count:
                given = f"{len(value)} entries" if isinstance(value, tuple) else repr(value)
                raise ModelError(f"schema: {name} with {given}: expected one for each of the {count} {of}")
        if not all(_is_whole(order) and order >= 0 for order in self.symmetry):
            raise ModelError(f"schema: symmetry {list(self.symmetry)}: expected whole numbers from 0 on")
        for name in ("solid", "circles"):
            pairs = getattr(self, name)
            if not all(
                isinstance(pair, tuple) and len(pair) == 2 and all(_is_finite(x) and x >= 0 for x in pair) for pair in pairs
            ):
                raise ModelError(f"schema: {name} {list(pairs)}: expected two numbers from 0 on for each kind")
        for color in self.palette:
            if (
                not isinstance(color, tuple)
                or len(color) != 3
                or not all(_is_whole(part) and 0 <= part <= 255 for part in color)
            ):
                raise ModelError(f"schema: palette has {color!r}: expected three whole numbers from 0 to 255")
        if not all(_is_finite(radius) and radius > 0 for radius in self.radii):
            raise ModelError(f"schema: radii {list(self.radii)}: expected numbers above 0")
        for name in ("center", "position_scale", "velocity_scale", "size_offset", "size_scale", "reward_scale"):
            value = getattr(self, name)
            if not _is_finite(value) or (name != "center" and value <= 0):
                raise ModelError(f"schema: {name} {value!r}: expected a number{'' if name == 'center' else ' above 0'}")

    @cached_property
    def groups(self) -> dict[str, int]:
        """Field groups of the state track, in order, and how many features each has."""
        return {
            "exists": 1,
            "kind": len(self.kinds),
            "color": len(self.colors),
            "material": len(self.materials),
            "size": 1,
            "position": 2,
            "velocity": 2,
            "angle": 2,
            "visible": 1,
        }

    @cached_property
    def features(self) -> int:
        """Number of features of a slot."""
        return sum(self.groups.values())

    @cached_property
    def vectors(self) -> dict[str, int]:
        """Vector tracks, in order, and how many numbers each has."""
        return {"camera": 3, "scene": 1 + len(self.backgrounds), "action": 2, "reward": 1, "terminated": 1}

    @cached_property
    def _slices(self) -> dict[str, _Columns]:
        slices: dict[str, _Columns] = {}
        start = 0
        for name, width in self.groups.items():
            slices[name] = slice(start, start + width)
            start += width
        return slices

    def slice(self, name: str) -> _Columns:
        """Where a field group lies in the feature vector. KeyError: there is no such group."""
        return self._slices[name]

    @cached_property
    def per_second(self) -> float:
        """A velocity of 1 on the track moves the position by this in a second."""
        return self.velocity_scale / self.position_scale

    def name(self, kind: int, color: int) -> str:
        """'red ball', of a kind and a color by their numbers."""
        return f"{self.colors[color]} {self.kinds[kind]}"

    def position_units(self, position: Numbers) -> Numbers:
        """Positions (or a camera's pan) on the track, of any shape, in units."""
        return position * self.position_scale + self.center

    def position_track(self, units: Numbers) -> Numbers:
        """The inverse of `position_units`."""
        return (units - self.center) / self.position_scale

    def size_units(self, size: Numbers) -> Numbers:
        """Sizes on the track, of any shape, in units."""
        return size * self.size_scale + self.size_offset

    def size_track(self, units: Numbers) -> Numbers:
        """The inverse of `size_units`."""
        return (units - self.size_offset) / self.size_scale

    def seen_places(self, state: Tensor, camera: Tensor) -> Tensor:
        """Where the default camera would see what stands where `camera` sees it, in units [B, T, K, 2]: a picture's cells lie at
        fixed places of the default camera. state [B, T, K, F] and camera [B, T, 3] as tracks."""
        zoom = zoom_of(camera)[..., None, None]
        return self.center + self.position_scale * (state[..., self.slice("position")] - camera[..., None, :2]) * zoom

    def to_dict(self) -> dict[str, Any]:
        """The entries as config.json holds them."""
        return {field.name: _as_lists(getattr(self, field.name)) for field in fields(self)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> StateSchema:
        """The inverse of `to_dict`. ModelError: an entry is missing, unknown or not as described."""
        if not isinstance(data, Mapping):
            raise ModelError(f"schema {data!r}: expected an object with its entries")
        names = [field.name for field in fields(StateSchema)]
        missing, unknown = [name for name in names if name not in data], sorted(map(str, data.keys() - set(names)))
        if missing or unknown:
            what = f"has no {missing[0]!r}" if missing else f"has {unknown[0]!r}, which this version does not know"
            raise ModelError(f"schema: it {what}")
        return StateSchema(**{name: _as_tuples(data[name]) for name in names})


def check_playground(schema: StateSchema, feature: str) -> None:
    """ModelError, one line, unless this is the schema of the Playground, whose words and scenes the feature needs."""
    if schema != PLAYGROUND:
        raise ModelError(f"{feature}: expected a model with the Playground's state schema, this one has its own")


def zoom_of(camera: Tensor) -> Tensor:
    """Zoom [...] of a camera track [..., 3]."""
    return torch.exp2(camera[..., 2] / 2)


def _check_names(entry: str, names: object) -> None:
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) and name for name in names):
        given = list(names) if isinstance(names, tuple) else names
        raise ModelError(f"schema: {entry} {given!r}: expected at least one name")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelError(f"schema: {entry} names {twice[0]!r} twice")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _as_lists(value: Any) -> Any:
    return [_as_lists(part) for part in value] if isinstance(value, tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(part) for part in value) if isinstance(value, list | tuple) else value


PLAYGROUND = StateSchema(
    kinds=KINDS,
    symmetry=tuple(SYMMETRY[kind] for kind in KINDS),
    solid=tuple((SOLID[kind].across, SOLID[kind].below) for kind in KINDS),
    circles=tuple(CIRCLES.get(kind, (0.0, 0.0)) for kind in KINDS),
    colors=COLORS,
    palette=tuple(PALETTE.values()),
    materials=MATERIALS,
    sizes=tuple(SIZES),
    radii=tuple(SIZES.values()),
    views=VIEWS,
    backgrounds=BACKGROUNDS,
    center=MIDDLE,
    position_scale=2.5,
    velocity_scale=3.0,
    size_offset=MEDIUM,
    size_scale=0.25,
    reward_scale=0.1,
)
"""The schema of the Playground, the default world. The shipped weights were trained with it."""
