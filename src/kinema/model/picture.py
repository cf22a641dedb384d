"""Between video cells and tokens: a small convolutional stem and head.

A cell spans 16 x 16 pixels. Convolutions over the latents around and inside it find a thing wherever it lies in the cell with
the same weights, which a linear patch would have to learn for every offset; the head draws with the stem's map beside it.

Axes: N frames, C latent channels, H x W latents, h x w cells, M map features, D width, p patch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.model.attention import fourier
from kinema.model.block import Linear
from kinema.model.config import DenoiserConfig

MAP = 64
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


class Stem(nn.Module):
    """Noisy cells with their levels -> tokens [B, T, h * w, D], and the map [N, M, H, W] for the head."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.first = Conv(config.latent_channels + 2, MAP)
        self.second = Conv(MAP, MAP)
        self.tokens = Linear(MAP * config.patch**2 + PLACE, config.width)

    def forward(self, video: Tensor, level: Tensor, place: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """video [B, T, h, w, P], level [B, T, h, w], place [h * w, PLACE]."""
        b, t = level.shape[:2]
        p = self.patch
        latents = rearrange(video, "b t h w (p q c) -> (b t) c (h p) (w q)", p=p, q=p)
        plane = level.flatten(0, 1)[:, None].repeat_interleave(p, 2).repeat_interleave(p, 3)
        planes = torch.cat([latents, plane * 2 - 1, (3.1416 * plane).sin()], 1).to(dtype)
        found = F.gelu(self.first(planes), approximate="tanh")
        found = found + F.gelu(self.second(found), approximate="tanh")
        cells = rearrange(found, "(b t) m (h p) (w q) -> b t (h w) (p q m)", b=b, p=p, q=p)
        tokens: Tensor = self.tokens(torch.cat([cells, place.to(dtype).expand(b, t, *place.shape)], -1))
        return tokens, found


class Head(nn.Module):
    """Tokens [B, T, h * w, D] and the stem's map -> clean cells [B, T, h, w, P]."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.spread = Linear(config.width, MAP * config.patch**2)
        self.mix = Conv(2 * MAP, MAP)
        self.last = Conv(MAP, config.latent_channels)

    def forward(self, tokens: Tensor, found: Tensor, h: int) -> Tensor:
        b, p = tokens.shape[0], self.patch
        drawn = rearrange(self.spread(tokens), "b t (h w) (p q m) -> (b t) m (h p) (w q)", h=h, p=p, q=p)
        mixed = drawn + F.gelu(self.mix(torch.cat([drawn, found], 1)), approximate="tanh")
        cells: Tensor = rearrange(self.last(mixed).float(), "(b t) c (h p) (w q) -> b t h w (p q c)", b=b, p=p, q=p)
        return cells
