"""Backdrops of the Playground: sky and ground seen from the side, or a floor seen from above.

Muted tones, so that the eight saturated colors of the entities stand out; features are anchored in the world, so a camera
that moves is seen to move. Frames that share setting and camera share one drawing.

Axes: N frames, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1.0
_SKY = {
    "field": ((196, 214, 228), (232, 236, 228), (150, 166, 128), (176, 186, 160)),
    "desert": ((226, 214, 196), (240, 228, 206), (196, 172, 136), (216, 198, 168)),
    "night": ((22, 26, 44), (46, 50, 72), (34, 40, 42), (36, 40, 58)),
    "snow": ((206, 214, 224), (236, 240, 244), (240, 244, 248), (222, 228, 236)),
    "lab": ((150, 154, 160), (176, 180, 184), (110, 114, 120), (160, 164, 170)),
}
"""Top of the sky, horizon, ground, hills; rows in the order of BACKGROUNDS."""
_COLORS = torch.tensor(list(_SKY.values())).float() / 255


def _world(camera: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """World coordinates of pixel centers, x [N, 1, W] and y [N, H, 1], and pixels per unit [N, 1, 1]."""
    per_unit = (height * camera[:, 2] / 10.0)[:, None, None]
    col = torch.arange(width, device=camera.device) + 0.5 - width / 2
    row = height / 2 - torch.arange(height, device=camera.device) - 0.5
    return col[None, None] / per_unit + camera[:, 0, None, None], row[None, :, None] / per_unit + camera[:, 1, None, None], per_unit


def _side(colors: Tensor, x: Tensor, y: Tensor, per_unit: Tensor) -> Tensor:
    sky, horizon, ground, hill = (c[:, :, None, None] for c in colors.unbind(1))
    up = ((y - FLOOR) / 9.0).clamp(0, 1)[:, None]
    picture = (horizon + (sky - horizon) * up).expand(-1, -1, -1, x.shape[-1])
    crest = FLOOR + 1.3 + 0.7 * torch.sin(0.55 * x + 0.6) + 0.35 * torch.sin(1.3 * x + 2.0)
    picture = picture + (hill - picture) * ((crest - y) * per_unit + 0.5).clamp(0, 1)[:, None]
    depth = ((FLOOR - y) / 1.5).clamp(0, 1)[:, None]
    grain = 1.0 - 0.05 * (torch.remainder(x, 2.0) < 1.0).float()[:, None]
    soil = ground * (1.0 - 0.28 * depth) * grain
    picture = picture + (soil - picture) * ((FLOOR - y) * per_unit + 0.5).clamp(0, 1)[:, None]
    line = (1.0 - (y - FLOOR).abs() * per_unit).clamp(0, 1)[:, None] * 0.25
    return picture * (1 - line)


def _top(colors: Tensor, x: Tensor, y: Tensor, per_unit: Tensor) -> Tensor:
    _, _, ground, hill = (c[:, :, None, None] for c in colors.unbind(1))
    checks = ((torch.floor(x / 2.5) + torch.floor(y / 2.5)).remainder(2.0) < 0.5).float()[:, None]
    floor = 0.5 * ground + 0.5 * hill
    picture = floor * (1.0 - 0.06 * checks)
    near = torch.minimum(torch.remainder(x + 1.25, 2.5) - 1.25, torch.full_like(x, 9.0)).abs()
    return picture * (1 - 0.1 * (0.8 - near * per_unit).clamp(0, 1)[:, None])


def backdrop(view: Tensor, background: Tensor, camera: Tensor, height: int, width: int) -> Tensor:
    """Float pictures in [0, 1], a fresh [N, 3, H, W]; view 0 is from the side, 1 from above."""
    keys = torch.cat([view[:, None].float(), background[:, None].float(), camera.float()], 1)
    unique, inverse = torch.unique(keys, dim=0, return_inverse=True)
    colors = _COLORS.to(camera.device)[unique[:, 1].long()]
    x, y, per_unit = _world(unique[:, 2:], height, width)
    beside, above = _side(colors, x, y, per_unit), _top(colors, x, y, per_unit)
    picture = torch.where((unique[:, 0] == 0)[:, None, None, None], beside, above)
    return picture[inverse]
