"""The local parts of the network: a convolutional stem, a slot splatter and two convolutional heads between video cells and tokens.

A cell spans 16 x 16 pixels. Convolutions over the latents in and around it detect an object wherever it lies in the cell, where a
linear patch embedding would have to learn every offset. In training a detection loss is applied to the stem's features
(`kinema.models.objects.detection`), which trains them long before the slots learn to read them. In the other direction, slots
splat their features onto a map at their positions (`SlotSplatter`), and convolutions predict the picture from that map. The
trunk adds what is not local. So the local parts are trained on stills alone, thirty times as many as the trunk could process in
the same time (docs/training-log.md).

A picture may be of any height; it always shows 10 room units, or 10 / zoom. The height of a place of the map in units (1.67 for
48 pixels, 0.31 for 256) is an input of the stem and the splatter.

Axes: N frames, C latent channels, H x W latents, h x w cells, M map features, D width, p patch, K slots.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.models.attention import fourier
from kinema.models.block import MLP, Linear
from kinema.models.config import DenoiserConfig
from kinema.scene.encoding import STATE_FEATURES, VECTORS, group_slice

_POSITION = group_slice("position")
MAP = 80
SEEING, DRAWING = 3, 2
"""Residual convolutions before and after the splats are added: each extends the receptive field by one latent (8 pixels)."""
SLOT, OFFSET, BASIS = 256, 128, 64
"""Widths in the splatter: of a slot's fields, of the offset to it, and number of basis pictures per slot."""
REACH_UNITS = 3.0
"""Radius of a slot's splat around its center: as far as a screen or a shadow reaches."""
PLACE = 25
"""Number of features of a cell's position and size: Fourier features of its center, and the logarithm of its height."""
SCALE = 2
"""Number of features of a map place's size: the logarithm of its height and that squared."""
FINE = 8
"""Number of features of the offset to a place at wavelengths of 0.6 and 0.3 units, which pictures above 64 pixels resolve."""
SCENERY = 128
"""Hidden width of the MLP for the backdrop."""
SPREAD = 0.3, 0.02, 1.0
"""Standard deviation of a latent around the predicted mean: initial, least, most."""


class Conv(nn.Conv2d):
    """A same-size convolution whose weights follow its input's dtype."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype), bias, padding=self.padding)


def place_features(centers: Tensor, cell_units: float) -> Tensor:
    """[..., h * w, 2] -> [..., h * w, PLACE]."""
    size = torch.full((*centers.shape[:-1], 1), cell_units / 2.5, device=centers.device).log2()
    return torch.cat([fourier(centers), size], -1)


def scale_features(place_units: float, device: torch.device) -> Tensor:
    """Height of a place of the map in units -> [SCALE]; 0 for the places of a picture 128 pixels high."""
    height = torch.full((1,), place_units / 0.625, device=device).log2()
    return torch.cat([height, height.square()])


class SlotSplatter(nn.Module):
    """Map of features [N, M, H, W] from slots and setting.

    A slot's fields give BASIS feature vectors, and the offset from the slot to a place gives their weights there, so a splat
    depends on the object and not on its position in the picture. A slot of unknown position adds nothing. The backdrop is computed
    from a place's position in the room, with Fourier features down to the width of a line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thing = Linear(2 * STATE_FEATURES + SCALE + 1, SLOT)
        self.further = Linear(SLOT, SLOT)
        self.basis = Linear(SLOT, BASIS * MAP, bias=False)
        self.way = Linear(24 + FINE + SCALE, OFFSET)
        self.share = Linear(OFFSET, BASIS)
        self.ground = Linear(VECTORS["scene"] + 1 + PLACE, MAP)
        self.scenery = MLP(VECTORS["scene"] + 1 + 24 + 12 + SCALE, SCENERY, MAP)
        nn.init.zeros_(self.scenery.down.weight)
        nn.init.zeros_(self.scenery.down.bias)
        nn.init.normal_(self.basis.weight, std=(SLOT * BASIS) ** -0.5)

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
        [H * W, 2] (y, x) of places that are `cell_units` high, or [B, 1, H * W, 2] where every picture has its own."""
        zoom = torch.exp2(camera[..., 2] / 2)[..., None, None]
        place = 5.0 + 2.5 * (state[..., _POSITION] - camera[..., None, :2]) * zoom
        offset = centers.flip(-1)[..., None, :] - place[:, :, None]
        known = (1 - level[..., _POSITION].amax(-1)) * (0.5 + 0.5 * state[..., 0]).clamp(0, 1)
        near = torch.sigmoid((REACH_UNITS - offset.norm(dim=-1)) / 0.3) * known[:, :, None]
        scale = scale_features(cell_units, state.device)
        scale_input = torch.cat([scale.expand(*state.shape[:3], -1), camera[..., None, 2:].expand(*state.shape[:3], -1)], -1)
        slot_features = F.gelu(self.thing(torch.cat([state, level * 2 - 1, scale_input], -1).to(dtype)), approximate="tanh")
        slot_features = slot_features + F.gelu(self.further(slot_features), approximate="tanh")
        basis = self.basis(slot_features).unflatten(-1, (BASIS, MAP)).flatten(2, 3)
        offset = offset.clamp(-5, 5)
        offset_features = torch.cat(
            [fourier(offset), fourier(offset, longest=0.625, count=2), scale.expand(*offset.shape[:-1], -1)], -1
        )
        share = self.share(F.gelu(self.way(offset_features.to(dtype)), approximate="tanh"))
        share = (share * near[..., None].to(dtype)).flatten(3)
        splat = (share.flatten(0, 1) @ basis.flatten(0, 1)).unflatten(0, state.shape[:2])
        setting = torch.cat([scene, scene.abs().amax(-1, keepdim=True)], -1)[:, :, None].expand(
            -1, -1, centers.shape[-2], -1
        )
        place_input = place_features(centers, cell_units).expand(*setting.shape[:2], -1, -1)
        splat = splat + self.ground(torch.cat([setting, place_input], -1).to(dtype))
        room_place = 5.0 + (centers.flip(-1) - 5.0) / zoom + 2.5 * camera[..., None, :2]
        waves = torch.cat([fourier(room_place), fourier(room_place, longest=1.25, count=3)], -1)
        scenery = torch.cat([setting, waves, scale.expand(*setting.shape[:3], -1)], -1)
        splat = splat + self.scenery(scenery.to(dtype))
        planes: Tensor = rearrange(splat, "b t (h w) m -> (b t) m h w", h=size[0])
        return planes


class ConvStem(nn.Module):
    """Noisy cells with their levels -> features [N, M, H, W]; features with splats -> tokens [B, T, h * w, D]."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        more = config.latent_channels + 1 if config.predict_residual else 0
        self.first = Conv(config.latent_channels + 3 + more, MAP)
        self.seeing = nn.ModuleList(Conv(MAP, MAP) for _ in range(SEEING))
        self.drawing = nn.ModuleList(Conv(MAP, MAP) for _ in range(DRAWING))
        self.tokens = Linear(MAP * config.patch**2 + PLACE, config.width)

    def encode(
        self,
        video: Tensor,
        level: Tensor,
        cell_units: float,
        dtype: torch.dtype,
        previous: Tensor | None = None,
        uncertainty: Tensor | None = None,
    ) -> Tensor:
        """Features [N, M, H, W] of cells [B, T, h, w, P] at levels [B, T, h, w], each frame by itself. Inputs are scaled by
        1 - level. cell_units: height of a cell. previous, uncertainty: the previous pictures and their levels."""
        p = self.patch

        def spread(cells: Tensor) -> Tensor:
            return rearrange(cells, "b t h w (p q c) -> (b t) c (h p) (w q)", p=p, q=p)

        def plane_of(values: Tensor) -> Tensor:
            return values.flatten(0, 1)[:, None].repeat_interleave(p, 2).repeat_interleave(p, 3)

        plane = plane_of(level)
        scale = scale_features(cell_units / p, plane.device)[0].expand_as(plane)
        parts = [spread(video * (1 - level[..., None])), plane * 2 - 1, (3.1416 * plane).sin(), scale]
        if previous is not None and uncertainty is not None:
            parts += [spread(previous), plane_of(uncertainty) * 2 - 1]
        planes = torch.cat(parts, 1).to(dtype)
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


class LocalHead(nn.Module):
    """Prior of the video: features of slots and setting, with no video -> mean and standard deviation [B, T, h, w, P] each.

    The standard deviation is one number per place. Both enter the video track's preconditioning
    (`kinema.models.denoiser.precondition`), as those of the motion prior do for positions: a network output of 0 gives the mean.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.mix = Conv(MAP, MAP)
        self.more = Conv(MAP, MAP)
        self.last = Conv(MAP, config.latent_channels + 1)
        with torch.no_grad():
            self.last.weight[-1].zero_()
            assert self.last.bias is not None
            self.last.bias[-1] = math.log(SPREAD[0])

    def forward(self, features: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """features [B * T, M, H, W]."""
        for conv in (self.mix, self.more):
            features = features + F.gelu(conv(features), approximate="tanh")
        drawn = self.last(features).float()
        mean, wide = drawn[:, :-1], drawn[:, -1:].clamp(math.log(SPREAD[1]), math.log(SPREAD[2])).exp()
        p = self.patch

        def cells(x: Tensor) -> Tensor:
            return rearrange(x, "(b t) c (h p) (w q) -> b t h w (p q c)", t=frames, p=p, q=p)

        return cells(mean), cells(wide.expand_as(mean))
