"""The convolutional parts of the network: a stem from video cells to tokens, and a head from tokens to video cells.

A cell spans 16 x 16 pixels. Convolutions over the latents in and around it detect an object wherever it lies in the cell, where a
linear patch embedding would have to learn every offset.

A picture may be of any height; it always shows 10 room units, or 10 / zoom. The height of a place of the map in units (1.67 for
48 pixels, 0.31 for 256) is an input of the stem and of the splatter.

Axes: N frames, C latent channels, H x W latents, h x w cells, M map features, D width, p patch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.models.block import Linear
from kinema.models.config import DenoiserConfig

MAP = 80
SEEING, DRAWING = 3, 2
"""Residual convolutions before and after the splats are added: each extends the receptive field by one latent (8 pixels)."""
PLACE = 25
"""Number of features of a cell's position and size: Fourier features of its center, and the logarithm of its height."""
USUAL_CELL_UNITS, USUAL_PLACE_UNITS = 2.5, 0.625
"""Heights in units at which the features of a cell's and of a map place's height are 0: those of a picture 64 pixels high, and of
one 128 pixels high."""
SCALE = 2
"""Number of features of a map place's size: the logarithm of its height and that squared."""


class Conv(nn.Conv2d):
    """A same-size convolution whose weights follow its input's dtype."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype), bias, padding=self.padding)


def fourier(position: Tensor, *, longest: float = 40.0, count: int = 6) -> Tensor:
    """Sines and cosines of coordinates [..., n] at octave wavelengths from `longest` units down: [..., n * 2 * count]."""
    octave = 2.0 ** torch.arange(count, device=position.device, dtype=torch.float32)
    angle = (position.float()[..., None] * (2 * math.pi / longest) * octave).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], -1)


def place_features(centers: Tensor, cell_units: float) -> Tensor:
    """[..., h * w, 2] -> [..., h * w, PLACE]."""
    size = torch.full((*centers.shape[:-1], 1), cell_units / USUAL_CELL_UNITS, device=centers.device).log2()
    return torch.cat([fourier(centers), size], -1)


def scale_features(place_units: float, device: torch.device) -> Tensor:
    """Height of a place of the map in units -> [SCALE]."""
    height = torch.full((1,), place_units / USUAL_PLACE_UNITS, device=device).log2()
    return torch.cat([height, height.square()])


class ConvStem(nn.Module):
    """Noisy cells with their levels -> features [N, M, H, W]; features with splats -> tokens [B, T, h * w, D]."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.first = Conv(config.latent_channels + 3, MAP)
        self.seeing = nn.ModuleList(Conv(MAP, MAP) for _ in range(SEEING))
        self.drawing = nn.ModuleList(Conv(MAP, MAP) for _ in range(DRAWING))
        self.tokens = Linear(MAP * config.patch**2 + PLACE, config.width)

    def encode(self, video: Tensor, level: Tensor, cell_units: float, dtype: torch.dtype) -> Tensor:
        """Features [N, M, H, W] of cells [B, T, h, w, P] at levels [B, T, h, w], each frame by itself. Inputs are scaled by
        1 - level. cell_units: height of a cell."""
        p = self.patch
        latents = rearrange(video * (1 - level[..., None]), "b t h w (p q c) -> (b t) c (h p) (w q)", p=p, q=p)
        plane = level.flatten(0, 1)[:, None].repeat_interleave(p, 2).repeat_interleave(p, 3)
        scale = scale_features(cell_units / p, plane.device)[0].expand_as(plane)
        planes = torch.cat([latents, plane * 2 - 1, (3.1416 * plane).sin(), scale], 1).to(dtype)
        features = F.gelu(self.first(planes), approximate="tanh")
        for conv in self.seeing:
            features = features + F.gelu(conv(features), approximate="tanh")
        return features

    def fuse(self, features: Tensor, splats: Tensor) -> Tensor:
        """Features of the video and splats of the slots, fused: [N, M, H, W]."""
        fused = features + splats
        for conv in self.drawing:
            fused = fused + F.gelu(conv(fused), approximate="tanh")
        return fused

    def forward(self, features: Tensor, place: Tensor, frames: int) -> Tensor:
        """features [B * T, M, H, W], place [h * w, PLACE] -> tokens [B, T, h * w, D]."""
        p = self.patch
        cells = rearrange(features, "(b t) m (h p) (w q) -> b t (h w) (p q m)", t=frames, p=p, q=p)
        tokens: Tensor = self.tokens(torch.cat([cells, place.to(features.dtype).expand(*cells.shape[:2], *place.shape)], -1))
        return tokens


class ConvHead(nn.Module):
    """Features and the trunk's tokens -> the network's output before preconditioning for every cell [B, T, h, w, P]."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.spread = Linear(config.width, MAP * config.patch**2)
        self.mix = Conv(MAP, MAP)
        self.more = Conv(MAP, MAP)
        self.last = Conv(MAP, config.latent_channels)
        nn.init.normal_(self.spread.weight, std=0.1 * config.width**-0.5)

    def forward(self, tokens: Tensor | None, features: Tensor, frames: int) -> Tensor:
        """tokens [B, T, h * w, D], or None to predict from the features alone; features [B * T, M, H, W]."""
        p, mixed = self.patch, features
        if tokens is not None:
            h = features.shape[2] // p
            mixed = mixed + rearrange(self.spread(tokens), "b t (h w) (p q m) -> (b t) m (h p) (w q)", h=h, p=p, q=p)
        for conv in (self.mix, self.more):
            mixed = mixed + F.gelu(conv(mixed), approximate="tanh")
        cells: Tensor = rearrange(self.last(mixed).float(), "(b t) c (h p) (w q) -> b t h w (p q c)", t=frames, p=p, q=p)
        return cells
