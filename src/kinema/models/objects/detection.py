"""Detection loss on the stem's features.

Every place of the map predicts whether an object is centered near it, its offset, kind and color. Slots need features that
distinguish kinds and colors. Trained through the slots alone these emerge late, because slots do not attend to the right places at
first; the detection loss trains them in a fraction of the steps (docs/training-log.md).

Axes: B batch, T frames, H x W places (latents), D outputs per place (`detection_dim`), K slots, F features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kinema.scene.schema import StateSchema, zoom_of

NEAR = 1.0
"""A place detects objects centered within this many places of it, across and along."""

EXACT = 3.0
"""Weight of the offset's error (not squared: velocities depend on hundredths of a unit)."""

FEW = 100.0
"""Places that count for less than this many together do not move the weights as a full batch would."""


def detection_dim(schema: StateSchema) -> int:
    """Outputs per place: whether an object is centered near, its offset (x, y), its kind, its color."""
    return 3 + len(schema.kinds) + len(schema.colors)


def detection_loss(
    answers: Tensor,
    state: Tensor,
    camera: Tensor,
    level: Tensor,
    centers: Tensor,
    place_units: float,
    schema: StateSchema,
) -> Tensor:
    """answers [B, T, H, W, D]; true state [B, T, K, F] and camera [B, T, 3] as tracks; level [B, T, H, W] of the
    video; centers [H * W, 2] (y, x) in units of the default camera. Noisy places weigh less."""
    b, t, k, _ = state.shape
    zoom = zoom_of(camera)[..., None, None]
    place = schema.position_scale * (state[..., schema.slice("position")] - camera[..., None, :2]) * zoom
    away = (place[:, :, None] - (centers.flip(-1) - schema.center)[:, None]) / place_units
    visible = (state[..., 0] > 0) & (state[..., schema.slice("visible")][..., 0] > 0)
    distance = away.abs().amax(-1) + torch.where(visible, 0.0, 1e6)[:, :, None]
    nearest, which = distance.min(-1)
    near = (nearest <= NEAR).float()
    flat, trust = answers.flatten(2, 3).float(), (1 - level.flatten(2)).square()
    missed = F.binary_cross_entropy_with_logits(flat[..., 0], near, reduction="none")
    offset = away.gather(3, which[..., None, None].expand(*which.shape, 1, 2))[..., 0, :]
    error = EXACT * ((flat[..., 1:3] - offset.clamp(-2, 2)).square().sum(-1) + 1e-3).sqrt() - EXACT * 1e-3**0.5
    begin = 3
    for name in ("kind", "color"):
        columns = schema.slice(name)
        truth = (
            state[..., columns].argmax(-1)[:, :, None].expand(b, t, which.shape[2], k).gather(3, which[..., None])[..., 0]
        )
        width = columns.stop - columns.start
        scores = flat[..., begin : begin + width]
        begin += width
        error = error + F.cross_entropy(scores.reshape(-1, width), truth.reshape(-1), reduction="none").reshape(error.shape)
    weight = trust * near
    loss: Tensor = (trust * missed).sum() / (trust.sum() + FEW) + (weight * error).sum() / (weight.sum() + FEW)
    return loss
