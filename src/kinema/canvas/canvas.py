"""The canvas: tracks on one clock, every cell with a value and a noise level.

Level 0 means known, 1 unknown, between "roughly like this". A track that is absent costs nothing: planning a scene from a
text needs no video cells, and perceiving a picture needs no action.

Axes: B batch, T frames, h x w video cells (patches of latents), P numbers per cell, K slots, F features, L text tokens.

    track     values          levels
    video     [B, T, h, w, P] [B, T, h, w]
    state     [B, T, K, F]    [B, T, K, F]     (every field of every slot may be known or not on its own)
    vectors   [B, T, D]       [B, T]           (camera, scene, action, reward, terminated)

A track's levels have the first axes of its values; `align` makes them broadcast, and nothing else asks which track it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kinema.errors import InputError
from kinema.scene.geometry import ROOM_HEIGHT
from kinema.scene.schema import PLAYGROUND, StateSchema

Tracks = dict[str, Tensor]
"""Values, levels or noise of tracks by their names."""


@dataclass(frozen=True, kw_only=True)
class TextCondition:
    """Token states of the prompt, float [B, L, E], and which frame may read which token, bool [B, T, L]."""

    states: Tensor
    reads: Tensor

    def repeated(self, times: int) -> TextCondition:
        """The text of each row so many times over, one after the other."""
        return TextCondition(states=self.states.repeat_interleave(times, 0), reads=self.reads.repeat_interleave(times, 0))


def align(level: Tensor, value: Tensor) -> Tensor:
    """The levels of a track with further axes of length 1, so that they broadcast over its values."""
    return level.reshape(*level.shape, *[1] * (value.ndim - level.ndim))


def levels_of(name: str, value: Tensor, level: float) -> Tensor:
    """This level for every cell of a track with these values. Each field of the state is a cell; in the other tracks, the last axis
    of the values is within a cell."""
    return torch.full(value.shape if name == "state" else value.shape[:-1], level, device=value.device)


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """Values and noise levels of all tracks: level 0 is known, 1 is unknown. Immutable; a sampler's step makes a new one."""

    time_s: Tensor
    values: dict[str, Tensor]
    levels: dict[str, Tensor]
    text: TextCondition | None = None
    cell_units: float | None = None
    """Height of one video cell in room units at zoom 1, where a picture is 10 units high: 1.25 for 16-pixel cells of a picture
    128 pixels high. None where there is no video."""
    schema: StateSchema = PLAYGROUND
    """What the features of the state are: the schema of the model that reads the canvas."""

    def __post_init__(self) -> None:
        if self.values.keys() != self.levels.keys():
            raise InputError(f"tracks with values {sorted(self.values)} and with levels {sorted(self.levels)} differ")
        if "video" in self.values and self.cell_units is None:
            raise InputError("a canvas with video needs cell_units: the height of its cells in room units")
        if "state" in self.values and self.values["state"].shape[-1] != self.schema.features:
            raise InputError(
                f"state has {self.values['state'].shape[-1]} features a slot, the canvas's schema {self.schema.features}"
            )
        for name, value in self.values.items():
            level = self.levels[name]
            expected = value.shape if name == "state" else value.shape[:-1]
            if level.shape != expected:
                raise InputError(f"levels of {name} have shape {tuple(level.shape)}, expected {tuple(expected)}")
            if value.shape[:2] != self.time_s.shape:
                raise InputError(
                    f"{name} has (batch, frames) {tuple(value.shape[:2])}, the clock {tuple(self.time_s.shape)}"
                )

    @property
    def batch(self) -> int:
        return int(self.time_s.shape[0])

    @property
    def num_frames(self) -> int:
        return int(self.time_s.shape[1])

    def level_of(self, name: str) -> Tensor:
        """The levels of a track, shaped to broadcast over its values."""
        return align(self.levels[name], self.values[name])

    def with_values(self, values: Mapping[str, Tensor]) -> Canvas:
        """The canvas with other values of these tracks, at the same levels."""
        return replace(self, values={**self.values, **values})

    def with_levels(self, levels: Mapping[str, Tensor]) -> Canvas:
        """The canvas with other levels of these tracks, of the same values."""
        return replace(self, levels={**self.levels, **levels})

    def with_track(self, name: str, values: Tensor, levels: Tensor) -> Canvas:
        """The canvas with other values and levels of one track."""
        return replace(self, values={**self.values, name: values}, levels={**self.levels, name: levels})

    def without(self, *names: str) -> Canvas:
        """The canvas without these tracks."""
        return replace(
            self,
            values={name: x for name, x in self.values.items() if name not in names},
            levels={name: x for name, x in self.levels.items() if name not in names},
        )

    def write(self, name: str, frames: Sequence[int] | slice, value: Tensor, level: float = 0.0) -> Canvas:
        """The canvas with a track's values [B, n, ...] at n frames, at this level. InputError: no such track, or another shape."""
        if name not in self.values:
            raise InputError(f"the canvas has no {name} track; it has {', '.join(sorted(self.values))}")
        values, levels = self.values[name].clone(), self.levels[name].clone()
        index = frames if isinstance(frames, slice) else list(frames)
        target = values[:, index]
        if target.shape[2:] != value.shape[2:] or target.shape[1] != value.shape[1]:
            raise InputError(f"{name} given as {tuple(value.shape)}, expected {tuple(target.shape)}")
        values[:, index] = value.to(target)
        levels[:, index] = level
        return self.with_track(name, values, levels)

    def write_part(self, part: Canvas, index: Tensor, names: Sequence[str], level: float) -> Canvas:
        """The canvas with tracks of `part`, whose frames are those at `index`, wherever its own level is higher than `level`."""
        canvas = self
        for name in names:
            values, levels = self.values[name].clone(), self.levels[name].clone()
            updated = levels[:, index] > level
            levels[:, index] = torch.where(updated, level, levels[:, index])
            values[:, index] = torch.where(align(updated, values), part.values[name], values[:, index])
            canvas = canvas.with_track(name, values, levels)
        return canvas

    def map(self, function: Callable[[Tensor], Tensor], text: TextCondition | None) -> Canvas:
        """The canvas with a function of its clock, values and levels that works on their first two axes, and with another text."""
        return replace(
            self,
            time_s=function(self.time_s),
            values={name: function(x) for name, x in self.values.items()},
            levels={name: function(x) for name, x in self.levels.items()},
            text=text,
        )

    def sample(self, index: int) -> Canvas:
        """One sample of the batch, as a batch of one."""
        one: Callable[[Tensor], Tensor] = lambda x: x[index : index + 1]
        return self.map(one, self.text and TextCondition(states=one(self.text.states), reads=one(self.text.reads)))

    def pick(self, frames: Tensor | slice) -> Canvas:
        """The canvas at some of its frames; text keeps the tokens that those frames may read."""
        text = self.text and TextCondition(states=self.text.states, reads=self.text.reads[:, frames])
        return self.map(lambda x: x[:, frames], text)


def stack(texts: Sequence[TextCondition | None], time_s: Tensor) -> TextCondition | None:
    """Texts of one sample each as the text of a batch on the clock time_s [B, T]; the shorter are filled up with tokens that no
    frame reads."""
    given = [text for text in texts if text is not None]
    if not given:
        return None
    longest = max(text.states.shape[1] for text in given)
    states = time_s.new_zeros(len(texts), longest, given[0].states.shape[-1], dtype=given[0].states.dtype)
    reads = torch.zeros(*time_s.shape, longest, dtype=torch.bool, device=time_s.device)
    for i, text in enumerate(texts):
        if text is not None:
            states[i, : text.states.shape[1]] = text.states[0]
            reads[i, :, : text.reads.shape[-1]] = text.reads[0]
    return TextCondition(states=states, reads=reads)


def blank(
    *,
    batch: int,
    frames: int,
    fps: float,
    slots: int,
    schema: StateSchema = PLAYGROUND,
    grid: tuple[int, int] | None = None,
    cell_values: int = 96,
    cell_units: float | None = None,
    start_s: float = 0.0,
    device: torch.device | str = "cpu",
) -> Canvas:
    """A canvas on which nothing is known. `grid` (h, w) None leaves the video track out; cell_units is then not needed, and else
    10 / h where a picture fills its cells."""
    time_s = (start_s + torch.arange(frames, device=device) / fps).expand(batch, frames)
    shapes: dict[str, tuple[int, ...]] = {"state": (batch, frames, slots, schema.features)}
    shapes |= {name: (batch, frames, width) for name, width in schema.vectors.items()}
    if grid is not None:
        shapes["video"] = (batch, frames, *grid, cell_values)
    values = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
    levels = {name: levels_of(name, value, 1.0) for name, value in values.items()}
    if grid is not None and cell_units is None:
        cell_units = ROOM_HEIGHT / grid[0]
    return Canvas(time_s=time_s, values=values, levels=levels, cell_units=cell_units, schema=schema)
