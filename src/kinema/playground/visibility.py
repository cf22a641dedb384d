"""What share of each thing a picture shows, counted on a few points instead of pixels.

Axes: T frames, K slots, P points of a thing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinema.scene.geometry import BODY, HALF_HEIGHT, TURNING
from kinema.scene.scene import KINDS, Scene

SCREEN, FLAG = KINDS.index("screen"), KINDS.index("flag")


def _probes() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """36 points spread evenly over the unit disc (a sunflower spiral) and over the square of half-side 1: [2, P] each."""
    order = np.arange(36) + 0.5
    radius, turn = np.sqrt(order / 36), order * np.pi * (3 - np.sqrt(5))
    steps = (np.arange(6) + 0.5) / 3 - 1
    disc = np.stack([radius * np.cos(turn), radius * np.sin(turn)])
    return disc.astype(np.float32), np.stack(np.meshgrid(steps, steps)).reshape(2, 36).astype(np.float32)


def visible_share(scene: Scene) -> NDArray[np.float32]:
    """Share of each thing's area that a square picture shows, 0..1 [T, K]: inside the camera's window and not behind a
    nearer thing, which is a screen, or among movers one in a later slot. Things count as plain discs and rectangles.
    """
    share = np.zeros((scene.num_frames, scene.num_slots), np.float32)
    order = sorted(scene.entities, key=lambda slot: (1 + (scene.kind[slot] == SCREEN) - (scene.kind[slot] == FLAG), slot))
    names = {slot: KINDS[scene.kind[slot]] for slot in order}
    disc, square = _probes()
    pan_x, pan_y, zoom = scene.camera.T[:, :, None]
    upright = {slot: scene.angle[:, slot] * (names[slot] in TURNING) for slot in order}
    cos = {slot: np.cos(upright[slot])[:, None] for slot in order}
    sin = {slot: np.sin(upright[slot])[:, None] for slot in order}
    for depth, slot in enumerate(order):
        body, size = BODY[names[slot]], scene.size[slot]
        u, v = square if body.is_rectangle else disc
        u, v = u * (body.across * size), v * (body.up * size) + body.rise * size
        x = scene.x[:, slot, None] + u * cos[slot] - v * sin[slot]
        y = scene.y[:, slot, None] + u * sin[slot] + v * cos[slot]
        seen = (np.abs(x - pan_x) * zoom <= HALF_HEIGHT) & (np.abs(y - pan_y) * zoom <= HALF_HEIGHT)
        for nearer in order[depth + 1 :]:
            body, size = BODY[names[nearer]], scene.size[nearer]
            dx, dy = x - scene.x[:, nearer, None], y - scene.y[:, nearer, None]
            across = np.abs(dx * cos[nearer] + dy * sin[nearer]) / (body.across * size)
            up = np.abs(dy * cos[nearer] - dx * sin[nearer] - body.rise * size) / (body.up * size)
            seen &= np.maximum(across, up) > 1 if body.is_rectangle else across * across + up * up > 1
        share[:, slot] = seen.mean(1)
    return share
