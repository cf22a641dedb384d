"""Between video cells and tokens: a small convolutional stem and head.

A cell spans 16 x 16 pixels. Convolutions over the latents around and inside it find a thing wherever it lies in the cell with
the same weights, which a linear patch would have to learn for every offset. What they see is asked for in training
(`kinema.model.sight`): that teaches it long before slots learn to read it. The way back is as short: slots stamp what is known
of them on the map where they stand (`Stamp`), and convolutions draw from that. The trunk between adds what is not local, so
seeing and drawing are learned from stills by the stem, the stamps and the head alone, thirty times as many as the trunk could be
shown in the same time (docs/training-log.md).

Axes: N frames, C latent channels, H x W latents, h x w cells, M map features, D width, p patch, K slots.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.canvas.tracks import STATE_FEATURES, VECTORS, group_slice
from kinema.model.attention import fourier
from kinema.model.block import Linear
from kinema.model.config import DenoiserConfig

_POSITION = group_slice("position")
MAP = 80
SEEING, DRAWING = 3, 2
"""Residual convolutions before and after the stamps: each looks one latent (8 pixels) further."""
THING, WAY, BASIS = 256, 128, 64
"""Widths inside a stamp: of a thing's fields, of the way to it, and how many pictures a thing is drawn from."""
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
    """What is known of the slots and the setting, drawn on the map: [N, M, H, W].

    A slot's fields make BASIS pictures of what to draw, and the way from the slot to a place says how much of each belongs
    there, so what is drawn depends on the thing and on nothing about where in the picture it is. A slot whose place is unknown
    stamps nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thing = Linear(2 * STATE_FEATURES, THING)
        self.further = Linear(THING, THING)
        self.basis = Linear(THING, BASIS * MAP, bias=False)
        self.way = Linear(24, WAY)
        self.share = Linear(WAY, BASIS)
        self.ground = Linear(VECTORS["scene"] + 1 + PLACE, MAP)
        nn.init.normal_(self.basis.weight, std=(THING * BASIS) ** -0.5)

    def forward(
        self,
        state: Tensor,
        level: Tensor,
        camera: Tensor,
        scene: Tensor,
        centers: Tensor,
        cell_units: float,
        size: tuple[int, int],
        dtype: torch.dtype,
    ) -> Tensor:
        """state, level [B, T, K, F]; camera [B, T, 3] and scene [B, T, S], scaled by how well they are known; centers
        [H * W, 2] (y, x) of places that are `cell_units` high."""
        zoom = torch.exp2(camera[..., 2] / 2)[..., None, None]
        place = 5.0 + 2.5 * (state[..., _POSITION] - camera[..., None, :2]) * zoom
        way = centers.flip(-1)[:, None] - place[:, :, None]
        known = (1 - level[..., _POSITION].amax(-1)) * (0.5 + 0.5 * state[..., 0]).clamp(0, 1)
        near = torch.sigmoid((REACH_UNITS - way.norm(dim=-1)) / 0.3) * known[:, :, None]
        thing = F.gelu(self.thing(torch.cat([state, level * 2 - 1], -1).to(dtype)), approximate="tanh")
        thing = thing + F.gelu(self.further(thing), approximate="tanh")
        drawn = self.basis(thing).unflatten(-1, (BASIS, MAP)).flatten(2, 3)
        share = self.share(F.gelu(self.way(fourier(way.clamp(-5, 5)).to(dtype)), approximate="tanh"))
        share = (share * near[..., None].to(dtype)).flatten(3)
        stamped = (share.flatten(0, 1) @ drawn.flatten(0, 1)).unflatten(0, state.shape[:2])
        setting = torch.cat([scene, scene.abs().amax(-1, keepdim=True)], -1)[:, :, None].expand(-1, -1, len(centers), -1)
        where = place_features(centers, cell_units).expand(*setting.shape[:2], -1, -1)
        stamped = stamped + self.ground(torch.cat([setting, where], -1).to(dtype))
        planes: Tensor = rearrange(stamped, "b t (h w) m -> (b t) m h w", h=size[0])
        return planes


class Stem(nn.Module):
    """Noisy cells with their levels -> the map [N, M, H, W] of what is seen; with stamps on it, tokens [B, T, h * w, D]."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        more = config.latent_channels + 1 if config.follows else 0
        self.first = Conv(config.latent_channels + 2 + more, MAP)
        self.seeing = nn.ModuleList(Conv(MAP, MAP) for _ in range(SEEING))
        self.drawing = nn.ModuleList(Conv(MAP, MAP) for _ in range(DRAWING))
        self.tokens = Linear(MAP * config.patch**2 + PLACE, config.width)

    def see(
        self,
        video: Tensor,
        level: Tensor,
        dtype: torch.dtype,
        before: Tensor | None = None,
        unsure: Tensor | None = None,
    ) -> Tensor:
        """The map [N, M, H, W] of cells [B, T, h, w, P] at levels [B, T, h, w], by themselves, and with the pictures that they
        follow, if so. Noise fades with its level: at level 1 there is nothing to see."""
        p = self.patch

        def spread(cells: Tensor) -> Tensor:
            return rearrange(cells, "b t h w (p q c) -> (b t) c (h p) (w q)", p=p, q=p)

        def plane_of(values: Tensor) -> Tensor:
            return values.flatten(0, 1)[:, None].repeat_interleave(p, 2).repeat_interleave(p, 3)

        plane = plane_of(level)
        parts = [spread(video * (1 - level[..., None])), plane * 2 - 1, (3.1416 * plane).sin()]
        if before is not None and unsure is not None:
            parts += [spread(before), plane_of(unsure) * 2 - 1]
        planes = torch.cat(parts, 1).to(dtype)
        found = F.gelu(self.first(planes), approximate="tanh")
        for conv in self.seeing:
            found = found + F.gelu(conv(found), approximate="tanh")
        return found

    def draw(self, seen: Tensor, stamps: Tensor) -> Tensor:
        """What is seen and what is stamped, together [N, M, H, W]."""
        found = seen + stamps
        for conv in self.drawing:
            found = found + F.gelu(conv(found), approximate="tanh")
        return found

    def forward(self, found: Tensor, place: Tensor, frames: int) -> Tensor:
        """found [B * T, M, H, W], place [h * w, PLACE] -> tokens [B, T, h * w, D]."""
        p = self.patch
        cells = rearrange(found, "(b t) m (h p) (w q) -> b t (h w) (p q m)", t=frames, p=p, q=p)
        tokens: Tensor = self.tokens(torch.cat([cells, place.to(found.dtype).expand(*cells.shape[:2], *place.shape)], -1))
        return tokens


class Head(nn.Module):
    """The stem's map, and what the trunk has to add to it -> clean cells [B, T, h, w, P].

    The map alone makes a sketch: what pixels and slots at one moment tell. Time, text and all else come from the trunk.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.spread = Linear(config.width, MAP * config.patch**2)
        self.mix = Conv(MAP, MAP)
        self.more = Conv(MAP, MAP)
        self.last = Conv(MAP, config.latent_channels)
        nn.init.normal_(self.spread.weight, std=0.1 * config.width**-0.5)

    def forward(self, tokens: Tensor | None, found: Tensor, frames: int) -> Tensor:
        """tokens [B, T, h * w, D] or None for the sketch; found [B * T, M, H, W]."""
        p, mixed = self.patch, found
        if tokens is not None:
            h = found.shape[2] // p
            mixed = mixed + rearrange(self.spread(tokens), "b t (h w) (p q m) -> (b t) m (h p) (w q)", h=h, p=p, q=p)
        for conv in (self.mix, self.more):
            mixed = mixed + F.gelu(conv(mixed), approximate="tanh")
        cells: Tensor = rearrange(self.last(mixed).float(), "(b t) c (h p) (w q) -> b t h w (p q c)", t=frames, p=p, q=p)
        return cells
