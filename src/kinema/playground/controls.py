"""Films by which a scene steers another model: its depth, its segments, its edges, or the scene as it is drawn here.

Axes: T frames, K slots, H x W pixels.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError
from kinema.media import Clip
from kinema.playground.renderer import render_scene, render_values
from kinema.scene.geometry import FLOOR, ROOM_HEIGHT
from kinema.scene.scene import KINDS, Scene
from kinema.types import Frames

Control = Literal["coarse", "depth", "segments", "edges"]
CONTROLS: tuple[Control, ...] = get_args(Control)
"""coarse: as the Playground draws it. depth: bright is near. segments: one gray for each thing. edges: white outlines on black."""
FAR, NEAR = 30.0, 110.0
"""Depth of the wall, and of the ground where it is nearest."""
DEPTHS = {"flag": 125.0, "screen": 235.0}
MIDDLE, BETWEEN = 150.0, 60.0
"""Depth of the first slot's thing, and how far the last one stands before it."""


def control_film(scene: Scene, control: Control, width: int, height: int) -> Clip:
    """Draw what steers another model.

    Args:
        scene: The state over T frames.
        control: What is drawn; see CONTROLS.
        width: W, in pixels.
        height: H, in pixels.

    Returns:
        A clip of T frames with the scene as its state.

    Raises:
        InputError: There is no such control.
        SizeError: A size that is too small or too large to draw.
    """
    if control not in CONTROLS:
        raise InputError(f"control {control!r}: expected {', '.join(CONTROLS)}")
    return Clip(frames=_DRAWN[control](scene, height, width), fps=scene.fps, state=scene)


def _coarse(scene: Scene, height: int, width: int) -> Frames:
    return render_scene(scene, height=height, width=width)


def _depth(scene: Scene, height: int, width: int) -> Frames:
    """Things in the order in which they hide each other, before a wall and on a ground that comes nearer downwards."""
    slots = scene.num_slots
    values = np.array(
        [DEPTHS.get(KINDS[kind], MIDDLE + BETWEEN * slot / max(slots - 1, 1)) for slot, kind in enumerate(scene.kind)],
        np.float32,
    )
    return _gray(render_values(scene, values, _ground(scene, height, width)))


def _segments(scene: Scene, height: int, width: int) -> Frames:
    return _gray(_segment_numbers(scene, height, width))


def _edges(scene: Scene, height: int, width: int) -> Frames:
    """Where neighboring pixels belong to different things."""
    numbers = _segment_numbers(scene, height, width).astype(np.int16)
    differs = np.zeros(numbers.shape, bool)
    differs[:, :, 1:] |= np.abs(numbers[:, :, 1:] - numbers[:, :, :-1]) > EDGE
    differs[:, 1:] |= np.abs(numbers[:, 1:] - numbers[:, :-1]) > EDGE
    return _gray(np.where(differs, 255, 0).astype(np.uint8))


EDGE = 8
"""Grays of two things are further apart than this."""


def _segment_numbers(scene: Scene, height: int, width: int) -> NDArray[np.uint8]:
    """A gray for each slot, from 64 up; 0 behind all things."""
    values = np.linspace(64, 255, max(scene.num_slots, 2)).astype(np.float32)[: scene.num_slots]
    return render_values(scene, values, np.zeros((scene.num_frames, height, width), np.float32))


def _ground(scene: Scene, height: int, width: int) -> NDArray[np.float32]:
    """Depth [T, H, W] of the room without things: seen from the side a wall and the ground below it, from above one plane."""
    if scene.view != "side":
        return np.full((scene.num_frames, height, width), FAR, np.float32)
    rows = np.arange(height, dtype=np.float32) + 0.5
    pan_y, zoom = scene.camera[:, 1, None], scene.camera[:, 2, None]
    units = pan_y + (height / 2 - rows) * ROOM_HEIGHT / (height * zoom)
    near = np.clip((FLOOR - units) / max(FLOOR, 1e-3), 0, 1)
    column = np.where(units < FLOOR, (FAR + NEAR) / 2 + near * (NEAR - FAR) / 2, FAR).astype(np.float32)
    return np.repeat(column[:, :, None], width, axis=2)


def _gray(values: NDArray[np.uint8]) -> Frames:
    return np.repeat(values[..., None], 3, axis=-1)


_DRAWN = {"coarse": _coarse, "depth": _depth, "segments": _segments, "edges": _edges}
