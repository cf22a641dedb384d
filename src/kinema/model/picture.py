"""Between video cells and tokens: a small convolutional stem and head.

A cell spans 16 x 16 pixels. Convolutions over the latents around and inside it find a thing wherever it lies in the cell with
the same weights, which a linear patch would have to learn for every offset. What they see is asked for in training
(`kinema.model.sight`): that teaches it long before slots learn to read it. The way back is as short: slots stamp what is known
of them on the map where they stand (`Stamp`), and convolutions draw from that. The trunk between adds what is not local.

Axes: N frames, C latent channels, H x W latents, h x w cells, M map features, D width, p patch, K slots.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.canvas.tracks import STATE_FEATURES, group_slice
from kinema.model.attention import fourier
from kinema.model.block import Linear
from kinema.model.config import DenoiserConfig

_POSITION = group_slice("position")
MAP = 80
SEEING, DRAWING = 3, 2
"""Residual convolutions before and after the stamps: each looks one latent (8 pixels) further."""
STAMP = 128
REACH_UNITS = 3.0
"""How far from its center a thing stamps the map: as far as a screen or a shadow reaches."""
PLACE = 25
"""Numbers that say where a cell is and how large: Fourier features of its center, and the logarithm of its height."""


class Conv(nn.Conv2d):
    """A same-size convolution whose weights follow its input's dtype."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype), bias, padding=self.padding)


def place_features(centers: Tensor, cell_units: float) -> Tensor:
    """[h * w, 2] -> [h * w, PLACE]."""
    size = torch.full((len(centers), 1), cell_units / 2.5, device=centers.device).log2()
    return torch.cat([fourier(centers), size], -1)


class Stamp(nn.Module):
    """What is known of each slot, on the map where the slot stands: [N, M, H, W].

    Every pair of a place and a slot within reach passes a small MLP of the slot's fields, their levels and the way between the
    two, so what is drawn depends on the thing and on nothing about where in the picture it is. A slot whose place is
    unknown stamps nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thing = Linear(2 * STATE_FEATURES, STAMP)
        self.way = Linear(24, STAMP)
        self.out = Linear(STAMP, MAP)
        nn.init.normal_(self.out.weight, std=0.02)

    def forward(
        self, state: Tensor, level: Tensor, camera: Tensor, centers: Tensor, size: tuple[int, int], dtype: torch.dtype
    ) -> Tensor:
        """state, level [B, T, K, F]; camera [B, T, 3], scaled by how well it is known; centers [H * W, 2] (y, x)."""
        zoom = torch.exp2(camera[..., 2] / 2)[..., None, None]
        place = 5.0 + 2.5 * (state[..., _POSITION] - camera[..., None, :2]) * zoom
        way = centers.flip(-1)[:, None] - place[:, :, None]
        known = (1 - level[..., _POSITION].amax(-1)) * (0.5 + 0.5 * state[..., 0]).clamp(0, 1)
        near = torch.sigmoid((REACH_UNITS - way.norm(dim=-1)) / 0.3) * known[:, :, None]
        thing = self.thing(torch.cat([state, level * 2 - 1], -1).to(dtype))[:, :, None]
        pair = F.gelu(thing + self.way(fourier(way.clamp(-5, 5)).to(dtype)), approximate="tanh")
        stamped = self.out((pair * near[..., None].to(dtype)).sum(3))
        planes: Tensor = rearrange(stamped, "b t (h w) m -> (b t) m h w", h=size[0])
        return planes


class Stem(nn.Module):
    """Noisy cells with their levels -> tokens [B, T, h * w, D], the map [N, M, H, W] for the head, and what was seen."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.first = Conv(config.latent_channels + 2, MAP)
        self.seeing = nn.ModuleList(Conv(MAP, MAP) for _ in range(SEEING))
        self.drawing = nn.ModuleList(Conv(MAP, MAP) for _ in range(DRAWING))
        self.tokens = Linear(MAP * config.patch**2 + PLACE, config.width)

    def see(self, video: Tensor, level: Tensor, dtype: torch.dtype) -> Tensor:
        """The map [N, M, H, W] of cells [B, T, h, w, P] at levels [B, T, h, w], by themselves."""
        p = self.patch
        latents = rearrange(video, "b t h w (p q c) -> (b t) c (h p) (w q)", p=p, q=p)
        plane = level.flatten(0, 1)[:, None].repeat_interleave(p, 2).repeat_interleave(p, 3)
        planes = torch.cat([latents, plane * 2 - 1, (3.1416 * plane).sin()], 1).to(dtype)
        found = F.gelu(self.first(planes), approximate="tanh")
        for conv in self.seeing:
            found = found + F.gelu(conv(found), approximate="tanh")
        return found

    def forward(
        self, video: Tensor, level: Tensor, place: Tensor, stamps: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """video [B, T, h, w, P], level [B, T, h, w], place [h * w, PLACE], stamps [N, M, H, W]."""
        b, t = level.shape[:2]
        p = self.patch
        seen = self.see(video, level, dtype)
        found = seen + stamps
        for conv in self.drawing:
            found = found + F.gelu(conv(found), approximate="tanh")
        cells = rearrange(found, "(b t) m (h p) (w q) -> b t (h w) (p q m)", b=b, p=p, q=p)
        tokens: Tensor = self.tokens(torch.cat([cells, place.to(dtype).expand(b, t, *place.shape)], -1))
        return tokens, found, seen


class Head(nn.Module):
    """Tokens [B, T, h * w, D] and the stem's map -> clean cells [B, T, h, w, P]."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.spread = Linear(config.width, MAP * config.patch**2)
        self.mix = Conv(2 * MAP, MAP)
        self.more = Conv(MAP, MAP)
        self.last = Conv(MAP, config.latent_channels)

    def forward(self, tokens: Tensor, found: Tensor, h: int) -> Tensor:
        b, p = tokens.shape[0], self.patch
        drawn = rearrange(self.spread(tokens), "b t (h w) (p q m) -> (b t) m (h p) (w q)", h=h, p=p, q=p)
        mixed = drawn + F.gelu(self.mix(torch.cat([drawn, found], 1)), approximate="tanh")
        mixed = mixed + F.gelu(self.more(mixed), approximate="tanh")
        cells: Tensor = rearrange(self.last(mixed).float(), "(b t) c (h p) (w q) -> b t h w (p q c)", b=b, p=p, q=p)
        return cells
