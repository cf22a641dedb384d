"""Encoding of scenes as tracks of a canvas, and back.

A scene becomes the `state` track (one feature vector per slot and frame) and the vector tracks `camera`, `scene`,
`action`, `reward`, `terminated` (one vector per frame). Everything is scaled to about unit variance, because that is what
noise at level 1 looks like. Categories are coded as +1 for the one that holds and -1 for the others, angles as the sine
and cosine of the turn times the kind's symmetry, so that two equal pictures have one code.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.scene.geometry import MIDDLE, SYMMETRY
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, MEDIUM, VIEWS, Scene
from kinema.types import Floats, SmallInts

GROUPS: dict[str, int] = {
    "exists": 1,
    "kind": len(KINDS),
    "color": len(COLORS),
    "material": len(MATERIALS),
    "size": 1,
    "position": 2,
    "velocity": 2,
    "angle": 2,
    "visible": 1,
}
"""Field groups of the state track, in order, and how many features each has."""

STATE_FEATURES = sum(GROUPS.values())
IDENTITY = ("exists", "kind", "color", "material", "size")
"""Groups that stay what they are for as long as an entity exists."""

VECTORS: dict[str, int] = {
    "camera": 3,
    "scene": 1 + len(BACKGROUNDS),
    "action": 2,
    "reward": 1,
    "terminated": 1,
}
"""Vector tracks, in order, and how many numbers each has."""

_SYMMETRY = np.array([SYMMETRY[kind] for kind in KINDS], np.float32)
POSITION_SCALE, VELOCITY_SCALE, REWARD_SCALE = 2.5, 3.0, 0.1
"""What 1 on the tracks is: units of a position (which is 0 at `MIDDLE`), units a second of a velocity, and reward."""
SIZE, SIZE_SPREAD = MEDIUM, 0.25
"""Offset and scale of sizes: the size in units at 0 on the state track, and that of a step of 1."""
_SURE_TURN = 0.4
"""Least length of an angle's (sine, cosine) vector at which its direction is used."""


def group_slice(name: str) -> slice:
    """Where a field group lies in the feature vector."""
    start = 0
    for group, width in GROUPS.items():
        if group == name:
            return slice(start, start + width)
        start += width
    raise KeyError(name)


Numbers = TypeVar("Numbers", Tensor, Floats)


def position_units(position: Numbers) -> Numbers:
    """Positions (or a camera's pan) on the track, of any shape, in units."""
    return position * POSITION_SCALE + MIDDLE


def position_track(units: Numbers) -> Numbers:
    """The inverse of `position_units`."""
    return (units - MIDDLE) / POSITION_SCALE


def size_units(size: Numbers) -> Numbers:
    """Sizes on the track, of any shape, in units."""
    return size * SIZE_SPREAD + SIZE


def zoom_of(camera: Tensor) -> Tensor:
    """Zoom [...] of a camera track [..., 3]."""
    return torch.exp2(camera[..., 2] / 2)


def seen_places(state: Tensor, camera: Tensor) -> Tensor:
    """Where the default camera would see what stands where `camera` sees it, in units [B, T, K, 2]: a picture's cells lie at fixed
    places of the default camera. state [B, T, K, F] and camera [B, T, 3] as tracks."""
    zoom = zoom_of(camera)[..., None, None]
    return MIDDLE + POSITION_SCALE * (state[..., group_slice("position")] - camera[..., None, :2]) * zoom


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The arrays of a batch of scenes, as training data is stored.

    kind, color, material: int [B, K]; size: [B, K]; x, y, vx, vy, angle, visible: [B, T, K]; camera: [B, T, 3];
    view, background: int [B].
    """

    kind: SmallInts
    color: SmallInts
    material: SmallInts
    size: Floats
    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    angle: Floats
    visible: Floats
    camera: Floats
    view: SmallInts
    background: SmallInts

    @staticmethod
    def of(scene: Scene) -> Fields:
        """One scene as a batch of one."""
        names = ("kind", "color", "material", "size", "x", "y", "vx", "vy", "angle", "visible", "camera")
        return Fields(
            **{name: getattr(scene, name)[None] for name in names},
            view=np.array([VIEWS.index(scene.view)], np.int8),
            background=np.array([BACKGROUNDS.index(scene.background)], np.int8),
        )


def _one_of(index: SmallInts, count: int) -> Floats:
    return np.where(index[..., None] == np.arange(count), 1.0, -1.0).astype(np.float32)


def encode_state(fields: Fields) -> Floats:
    """The state track: float32 [B, T, K, F]. Empty slots say 'does not exist' and are zero elsewhere."""
    batch, frames, slots = fields.x.shape
    exists = fields.kind >= 0
    fixed = np.concatenate(
        [
            np.where(exists, 1.0, -1.0)[..., None].astype(np.float32),
            _one_of(fields.kind, len(KINDS)),
            _one_of(fields.color, len(COLORS)),
            _one_of(fields.material, len(MATERIALS)),
            ((fields.size - SIZE) / SIZE_SPREAD)[..., None],
        ],
        axis=-1,
    )
    turns = _SYMMETRY[np.maximum(fields.kind, 0)][:, None] * fields.angle
    moving = np.stack(
        [
            position_track(fields.x),
            position_track(fields.y),
            fields.vx / VELOCITY_SCALE,
            fields.vy / VELOCITY_SCALE,
            np.sin(turns),
            np.cos(turns),
            2.0 * fields.visible - 1.0,
        ],
        axis=-1,
    )
    state = np.empty((batch, frames, slots, STATE_FEATURES), np.float32)
    split = fixed.shape[-1]
    state[..., :split] = fixed[:, None]
    state[..., split:] = moving
    empty = np.broadcast_to(~exists[:, None, :], state.shape[:3])
    state[..., 1:][empty] = 0.0
    return state


def encode_camera(camera: Floats) -> Floats:
    """Camera [..., 3] in units -> camera track."""
    return np.stack(
        [position_track(camera[..., 0]), position_track(camera[..., 1]), 2 * np.log2(camera[..., 2])], axis=-1
    ).astype(np.float32)


def encode_setting(view: SmallInts, background: SmallInts, frames: int) -> Floats:
    """The scene track [B, T, 6]: the view, then the background."""
    vector = np.concatenate([np.where(view == 0, 1.0, -1.0)[:, None], _one_of(background, len(BACKGROUNDS))], axis=-1)
    return np.repeat(vector[:, None], frames, axis=1).astype(np.float32)


def encode_reward(reward: Floats) -> Floats:
    """Reward [B, T] -> reward track [B, T, 1]; a step's reward saturates at +-3 / 10."""
    track: Floats = np.clip(reward / REWARD_SCALE, -3.0, 3.0)[..., None].astype(np.float32)
    return track


def encode_terminated(terminated: NDArray[np.bool_]) -> Floats:
    """[B, T] -> [B, T, 1], +1 where the episode has ended."""
    return np.where(terminated, 1.0, -1.0)[..., None].astype(np.float32)


def decode_reward(track: Floats) -> Floats:
    """The inverse of `encode_reward` within its range."""
    return (track[..., 0] * REWARD_SCALE).astype(np.float32)


def project_identity(state: Tensor, sizes: Sequence[float] = ()) -> Tensor:
    """Project a state [B, T, K, F] to one with exact identity fields that are constant over its frames.

    Kind, color and material become the most likely one, existence 1 or -1, size its mean; empty slots get the code of empty slots.
    sizes: allowed radii in units, of which the nearest to the mean is taken; if there are none, any radius is allowed.
    """
    mean = state.mean(1, keepdim=True).expand_as(state)
    settled = state.clone()
    exists = torch.where(mean[..., :1] > 0, 1.0, -1.0)
    settled[..., :1] = exists
    for name in ("kind", "color", "material"):
        columns = group_slice(name)
        best = mean[..., columns].argmax(-1, keepdim=True)
        settled[..., columns] = torch.full_like(mean[..., columns], -1.0).scatter(-1, best, 1.0)
    size = mean[..., group_slice("size")]
    if sizes:
        known = (torch.tensor(sizes, dtype=size.dtype, device=size.device) - SIZE) / SIZE_SPREAD
        size = known[(size - known).abs().argmin(-1, keepdim=True)]
    settled[..., group_slice("size")] = size
    settled[..., 1:] = settled[..., 1:] * (exists > 0)
    return settled


def project_for_render(state: Tensor) -> Tensor:
    """Project states [..., T, K, F] to valid ones for rendering.

    (sine, cosine) of an angle is normalized, because the mean of several angles is shorter and renders blurred. One shorter than
    _SURE_TURN is taken from the nearest frame with a longer one. Kinds that are never rotated are upright. Visibility is clamped.
    """
    settled = state.clone()
    turn, kind = group_slice("angle"), group_slice("kind")
    arrow = state[..., turn]
    length = arrow.norm(dim=-1)
    arrow = arrow.gather(-3, _nearest(length > _SURE_TURN)[..., None].expand_as(arrow))
    length = arrow.norm(dim=-1, keepdim=True)
    turned = torch.where(length > 1e-3, arrow / length.clamp_min(1e-3), torch.zeros_like(arrow))
    symmetry = torch.from_numpy(_SYMMETRY).to(state.device)[state[..., kind].argmax(-1)]
    upright = torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device)
    turned = torch.where((symmetry > 0)[..., None], turned, upright)
    settled[..., turn] = turned * (state[..., :1] > 0)
    visible = group_slice("visible")
    settled[..., visible] = state[..., visible].clamp(-1, 1)
    return settled


def _nearest(sure: Tensor) -> Tensor:
    """Index of the nearest frame that is sure, for each frame: bool [..., T, K] -> int64 of the same shape; its own if none is."""
    frames = sure.shape[-2]
    index = torch.arange(frames, device=sure.device)[:, None].expand_as(sure)
    before = torch.where(sure, index, -1).cummax(-2).values
    after = torch.where(sure, index, 2 * frames).flip(-2).cummin(-2).values.flip(-2)
    near = torch.where((before >= 0) & (index - before <= after - index), before, after)
    return torch.where(sure.any(-2, keepdim=True), near, index)


def decode_slots(state: Floats) -> dict[str, NDArray[Any]]:
    """State tracks [..., T, K, F] as a scene's fields: kind, color, material, size [..., K], the others [..., T, K].

    Identity is decided once per slot over all frames, so an entity cannot change kind or color half way.
    """
    mean = state.mean(axis=-3)
    exists = mean[..., 0] > 0
    kind = np.where(exists, mean[..., group_slice("kind")].argmax(-1), -1).astype(np.int8)
    symmetry = _SYMMETRY[np.maximum(kind, 0)][..., None, :]
    position, velocity = state[..., group_slice("position")], state[..., group_slice("velocity")]
    turn = state[..., group_slice("angle")]
    angle = np.where(symmetry > 0, np.arctan2(turn[..., 0], turn[..., 1]) / np.maximum(symmetry, 1.0), 0.0)
    keep = exists.astype(np.float32)
    moving = {
        "x": position_units(position[..., 0]),
        "y": position_units(position[..., 1]),
        "vx": velocity[..., 0] * VELOCITY_SCALE,
        "vy": velocity[..., 1] * VELOCITY_SCALE,
        "angle": angle,
        "visible": np.clip((state[..., group_slice("visible")][..., 0] + 1) / 2, 0, 1),
    }
    return {
        "kind": kind,
        "color": np.where(exists, mean[..., group_slice("color")].argmax(-1), 0).astype(np.int8),
        "material": np.where(exists, mean[..., group_slice("material")].argmax(-1), 0).astype(np.int8),
        "size": (keep * np.clip(size_units(mean[..., group_slice("size")][..., 0]), 0.3, 2.0)).astype(np.float32),
        **{name: (keep[..., None, :] * value).astype(np.float32) for name, value in moving.items()},
    }


def decode_scene(state: Floats, camera: Floats, setting: Floats, *, fps: float, room_width: float = 10.0) -> Scene:
    """Tracks of one sample (state [T, K, F], camera [T, 3], scene [T, 6]) -> Scene."""
    setting = setting.mean(axis=0)
    return Scene(
        fps=fps,
        view=VIEWS[0 if setting[0] > 0 else 1],
        background=BACKGROUNDS[int(setting[1:].argmax())],
        **decode_slots(state),
        camera=np.stack(
            [position_units(camera[:, 0]), position_units(camera[:, 1]), 2.0 ** (np.clip(camera[:, 2], -6, 6) / 2)],
            axis=-1,
        ).astype(np.float32),
        room_width=room_width,
    )
