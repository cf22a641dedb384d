"""Encoding of scenes as tracks of a canvas, and back.

A scene becomes the `state` track (one feature vector per slot and frame) and the vector tracks `camera`, `scene`,
`action`, `reward`, `terminated` (one vector per frame). Everything is scaled to about unit variance, because that is what
noise at level 1 looks like. Categories are coded as +1 for the one that holds and -1 for the others, angles as the sine
and cosine of the turn times the kind's symmetry, so that two equal pictures have one code.

Scenes are the Playground's, so what encodes or decodes them uses the schema `PLAYGROUND`. What projects tracks takes the schema of
their model.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.scene.scene import BACKGROUNDS, VIEWS, Scene
from kinema.scene.schema import PLAYGROUND, StateSchema
from kinema.types import Floats, SmallInts

_SYMMETRY = np.array(PLAYGROUND.symmetry, np.float32)
_SURE_TURN = 0.4
"""Least length of an angle's (sine, cosine) vector at which its direction is used."""


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
            _one_of(fields.kind, len(PLAYGROUND.kinds)),
            _one_of(fields.color, len(PLAYGROUND.colors)),
            _one_of(fields.material, len(PLAYGROUND.materials)),
            PLAYGROUND.size_track(fields.size)[..., None],
        ],
        axis=-1,
    )
    turns = _SYMMETRY[np.maximum(fields.kind, 0)][:, None] * fields.angle
    moving = np.stack(
        [
            PLAYGROUND.position_track(fields.x),
            PLAYGROUND.position_track(fields.y),
            fields.vx / PLAYGROUND.velocity_scale,
            fields.vy / PLAYGROUND.velocity_scale,
            np.sin(turns),
            np.cos(turns),
            2.0 * fields.visible - 1.0,
        ],
        axis=-1,
    )
    state = np.empty((batch, frames, slots, PLAYGROUND.features), np.float32)
    split = fixed.shape[-1]
    state[..., :split] = fixed[:, None]
    state[..., split:] = moving
    empty = np.broadcast_to(~exists[:, None, :], state.shape[:3])
    state[..., 1:][empty] = 0.0
    return state


def encode_camera(camera: Floats) -> Floats:
    """Camera [..., 3] in units -> camera track."""
    return np.stack(
        [PLAYGROUND.position_track(camera[..., 0]), PLAYGROUND.position_track(camera[..., 1]), 2 * np.log2(camera[..., 2])],
        axis=-1,
    ).astype(np.float32)


def encode_setting(view: SmallInts, background: SmallInts, frames: int) -> Floats:
    """The scene track [B, T, 6]: the view, then the background."""
    vector = np.concatenate(
        [np.where(view == 0, 1.0, -1.0)[:, None], _one_of(background, len(PLAYGROUND.backgrounds))], axis=-1
    )
    return np.repeat(vector[:, None], frames, axis=1).astype(np.float32)


def encode_reward(reward: Floats) -> Floats:
    """Reward [B, T] -> reward track [B, T, 1]; a step's reward saturates at +-3 / 10."""
    track: Floats = np.clip(reward / PLAYGROUND.reward_scale, -3.0, 3.0)[..., None].astype(np.float32)
    return track


def encode_terminated(terminated: NDArray[np.bool_]) -> Floats:
    """[B, T] -> [B, T, 1], +1 where the episode has ended."""
    return np.where(terminated, 1.0, -1.0)[..., None].astype(np.float32)


def decode_reward(track: Floats) -> Floats:
    """The inverse of `encode_reward` within its range."""
    return (track[..., 0] * PLAYGROUND.reward_scale).astype(np.float32)


def project_identity(state: Tensor, schema: StateSchema, sizes: Sequence[float] = ()) -> Tensor:
    """Project a state [B, T, K, F] to one with exact identity fields that are constant over its frames.

    Kind, color and material become the most likely one, existence 1 or -1, size its mean; empty slots get the code of empty slots.
    sizes: allowed radii in units, of which the nearest to the mean is taken; if there are none, any radius is allowed.
    """
    mean = state.mean(1, keepdim=True).expand_as(state)
    settled = state.clone()
    exists = torch.where(mean[..., :1] > 0, 1.0, -1.0)
    settled[..., :1] = exists
    for name in ("kind", "color", "material"):
        columns = schema.slice(name)
        best = mean[..., columns].argmax(-1, keepdim=True)
        settled[..., columns] = torch.full_like(mean[..., columns], -1.0).scatter(-1, best, 1.0)
    size = mean[..., schema.slice("size")]
    if sizes:
        known = schema.size_track(torch.tensor(sizes, dtype=size.dtype, device=size.device))
        size = known[(size - known).abs().argmin(-1, keepdim=True)]
    settled[..., schema.slice("size")] = size
    settled[..., 1:] = settled[..., 1:] * (exists > 0)
    return settled


def project_for_render(state: Tensor, schema: StateSchema) -> Tensor:
    """Project states [..., T, K, F] to valid ones for rendering.

    (sine, cosine) of an angle is normalized, because the mean of several angles is shorter and renders blurred. One shorter than
    _SURE_TURN is taken from the nearest frame with a longer one. Kinds that are never rotated are upright. Visibility is clamped.
    """
    settled = state.clone()
    turn, kind = schema.slice("angle"), schema.slice("kind")
    arrow = state[..., turn]
    length = arrow.norm(dim=-1)
    arrow = arrow.gather(-3, _nearest(length > _SURE_TURN)[..., None].expand_as(arrow))
    length = arrow.norm(dim=-1, keepdim=True)
    turned = torch.where(length > 1e-3, arrow / length.clamp_min(1e-3), torch.zeros_like(arrow))
    symmetry = torch.tensor(schema.symmetry, dtype=torch.float32, device=state.device)[state[..., kind].argmax(-1)]
    upright = torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device)
    turned = torch.where((symmetry > 0)[..., None], turned, upright)
    settled[..., turn] = turned * (state[..., :1] > 0)
    visible = schema.slice("visible")
    settled[..., visible] = state[..., visible].clamp(-1, 1)
    return settled


def _nearest(sure: Tensor) -> Tensor:
    """Index of the nearest frame that is sure, for each frame: bool [..., T, K] -> int64 of the same shape; its own if none is."""
    frames = sure.shape[-2]
    index = torch.arange(frames, device=sure.device)[:, None].expand_as(sure)
    if frames == 1:
        return index
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
    kind = np.where(exists, mean[..., PLAYGROUND.slice("kind")].argmax(-1), -1).astype(np.int8)
    symmetry = _SYMMETRY[np.maximum(kind, 0)][..., None, :]
    position, velocity = state[..., PLAYGROUND.slice("position")], state[..., PLAYGROUND.slice("velocity")]
    turn = state[..., PLAYGROUND.slice("angle")]
    angle = np.where(symmetry > 0, np.arctan2(turn[..., 0], turn[..., 1]) / np.maximum(symmetry, 1.0), 0.0)
    keep = exists.astype(np.float32)
    moving = {
        "x": PLAYGROUND.position_units(position[..., 0]),
        "y": PLAYGROUND.position_units(position[..., 1]),
        "vx": velocity[..., 0] * PLAYGROUND.velocity_scale,
        "vy": velocity[..., 1] * PLAYGROUND.velocity_scale,
        "angle": angle,
        "visible": np.clip((state[..., PLAYGROUND.slice("visible")][..., 0] + 1) / 2, 0, 1),
    }
    return {
        "kind": kind,
        "color": np.where(exists, mean[..., PLAYGROUND.slice("color")].argmax(-1), 0).astype(np.int8),
        "material": np.where(exists, mean[..., PLAYGROUND.slice("material")].argmax(-1), 0).astype(np.int8),
        "size": (keep * np.clip(PLAYGROUND.size_units(mean[..., PLAYGROUND.slice("size")][..., 0]), 0.3, 2.0)).astype(
            np.float32
        ),
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
            [
                PLAYGROUND.position_units(camera[:, 0]),
                PLAYGROUND.position_units(camera[:, 1]),
                2.0 ** (np.clip(camera[:, 2], -6, 6) / 2),
            ],
            axis=-1,
        ).astype(np.float32),
        room_width=room_width,
    )
