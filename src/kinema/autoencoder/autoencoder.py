"""A small causal video autoencoder: 8x8 pixels (and 1, 2 or 4 frames) become one latent cell.

Made for CPUs: pictures are rearranged into 4x4 blocks (space to depth), so every convolution runs at a quarter or an eighth of the
resolution, in channels-last order and, where the processor supports it, in bfloat16. A linear path from pixels to latents and
back runs in parallel to the convolutions, which learn the residual. Time is folded into channels instead of 3-D convolutions: a
group of `time_factor` frames is one sample, which with a time factor above 1 also contains the group before it. With a time
factor of 1 nothing mixes over time, so any subset of frames may be encoded or decoded alone.

Axes: B batch, T pixel frames, S latent frames, N = B * S groups, C channels, H and W pixels, h and w cells; NHWC inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.autoencoder.protocol import check_latents, check_video, latent_frames, pixel_frames, to_uint8, to_unit
from kinema.errors import InputError
from kinema.types import Frames

SPACE_FACTOR = 8
FINE, COARSE = 4, 2
"""Pixels per side of a block at the fine resolution, and blocks per side of a latent cell."""

CHUNK_PIXELS = 64 * 64 * 64
"""Pixels in one pass of the network without gradients: activations of this many stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """channels: numbers per latent cell; width: features at an eighth of the resolution (3/8 of it at a quarter);
    time_factor: frames per latent frame; depth: residual blocks of the decoder per resolution (the encoder has half)."""

    channels: int = 16
    width: int = 128
    time_factor: int = 1
    depth: int = 2

    def __post_init__(self) -> None:
        if self.time_factor not in (1, 2, 4):
            raise InputError(f"time_factor is {self.time_factor}, expected 1, 2 or 4")
        if self.width < 16 or self.width % 16:
            raise InputError(f"width is {self.width}, expected a multiple of 16")
        if self.channels < 1 or self.depth < 1:
            raise InputError(f"channels {self.channels} and depth {self.depth} must be at least 1")

    @property
    def fine(self) -> int:
        """Features at a quarter of the resolution."""
        return self.width * 3 // 8

    @property
    def context_groups(self) -> int:
        """Groups of frames in one sample: its own, and with a time factor above 1 the one before."""
        return 1 if self.time_factor == 1 else 2


class KaimingConv(nn.Conv2d):
    """A same-size convolution that starts with Kaiming's weights and computes in its input's dtype, whatever its weights' is."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=self.padding)


class Residual(nn.Module):
    """x + W2 silu(W1 * x), W1 a 3x3 and W2 a 1x1 convolution; starts close to x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = KaimingConv(width, width, 3)
        self.mix = KaimingConv(width, width, 1)
        nn.init.normal_(self.mix.weight, std=0.3 / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.silu(self.look(x), inplace=not torch.is_grad_enabled()))
        return x + mixed


def to_depth(x: Tensor, size: int) -> Tensor:
    """[N, C, H, W] to [N, size * size * C, H / size, W / size], channels last in memory."""
    return rearrange(x, "n c (h a) (w b) -> n h w (a b c)", a=size, b=size).permute(0, 3, 1, 2)


def to_space(x: Tensor, size: int) -> Tensor:
    """The inverse of `to_depth`."""
    return rearrange(x, "n (a b c) h w -> n (h a) (w b) c", a=size, b=size).permute(0, 3, 1, 2)


class Encoder(nn.Module):
    """Groups of frames [N, context_groups * time_factor * 3, H, W] to raw latents [N, C, H / 8, W / 8]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        pixels = 3 * config.time_factor * config.context_groups
        half = (config.depth + 1) // 2
        self.stem = KaimingConv(pixels * FINE**2, config.fine, 3)
        self.near = nn.Sequential(*(Residual(config.fine) for _ in range(half)))
        self.down = KaimingConv(config.fine * COARSE**2, config.width, 1)
        self.wide = nn.Sequential(*(Residual(config.width) for _ in range(half)))
        self.out = KaimingConv(config.width, config.channels, 1)
        self.linear = KaimingConv(pixels * SPACE_FACTOR**2, config.channels, 1)
        nn.init.normal_(self.out.weight, std=0.3 / config.width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        blocks = to_depth(x, FINE)
        features = self.down(to_depth(self.near(self.stem(blocks)), COARSE))
        latents: Tensor = self.out(self.wide(features)) + self.linear(to_depth(blocks, COARSE))
        return latents


class Decoder(nn.Module):
    """Raw latents [N, context_groups * C, h, w] to groups of frames [N, time_factor * 3, 8 h, 8 w]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        pixels = 3 * config.time_factor
        latents = config.channels * config.context_groups
        self.stem = KaimingConv(latents, config.width, 3)
        self.wide = nn.Sequential(*(Residual(config.width) for _ in range(config.depth)))
        self.up = KaimingConv(config.width, config.fine * COARSE**2, 1)
        self.near = nn.Sequential(*(Residual(config.fine) for _ in range(config.depth)))
        self.out = KaimingConv(config.fine, pixels * FINE**2, 3)
        self.linear = KaimingConv(latents, pixels * SPACE_FACTOR**2, 1)
        nn.init.normal_(self.out.weight, std=0.3 / (9 * config.fine) ** 0.5)

    def forward(self, z: Tensor) -> Tensor:
        features = self.near(to_space(self.up(self.wide(self.stem(z))), COARSE))
        return to_space(self.out(features) + to_space(self.linear(z), COARSE), FINE)


class Autoencoder(nn.Module):
    """The learned autoencoder. Weights may be in any float dtype; the network computes in that dtype.

    mean, std: float32 [C], the constants that turn raw latents into latents of zero mean and unit variance.
    """

    mean: Tensor
    std: Tensor
    space_factor = SPACE_FACTOR

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("std", torch.ones(config.channels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from its stubs

    @property
    def channels(self) -> int:
        return self.config.channels

    @property
    def time_factor(self) -> int:
        return self.config.time_factor

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.stem.weight.dtype

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def use_dtype(self, dtype: torch.dtype) -> Autoencoder:
        """Keep weights in, and compute in, `dtype`; the normalizing constants stay float32."""
        self.encoder.to(dtype)
        self.decoder.to(dtype)
        return self

    def group(self, video: Tensor) -> Tensor:
        """video [B, T, 3, H, W] to groups [B, S, context_groups * time_factor * 3, H, W]; the first picture fills its group."""
        factor, frames = self.time_factor, video.shape[1]
        if factor == 1:
            return video
        tail = pixel_frames(latent_frames(frames, factor), factor) - frames
        index = torch.cat([torch.zeros(factor - 1, dtype=torch.long), torch.arange(frames), torch.full((tail,), frames - 1)])
        groups = rearrange(video[:, index.to(video.device)], "b (s f) c h w -> b s (f c) h w", f=factor)
        return with_previous_group(groups)

    def ungroup(self, groups: Tensor, num_frames: int) -> Tensor:
        """groups [B, S, time_factor * 3, H, W] to video [B, num_frames, 3, H, W]."""
        factor = self.time_factor
        video = rearrange(groups, "b s (f c) h w -> b (s f) c h w", f=factor)
        return video[:, factor - 1 : factor - 1 + num_frames]

    def encode(self, video: Tensor) -> Tensor:
        """video: float [B, T, 3, H, W] in [-1, 1], H and W multiples of 8. Returns float32 [B, S, C, H / 8, W / 8]."""
        check_video(video, SPACE_FACTOR)
        groups = self.group(video)
        raw = in_chunks(self.encoder, groups.flatten(0, 1).to(self.dtype), CHUNK_PIXELS).float()
        latents = (raw - self.mean[:, None, None]) / self.std[:, None, None]
        return latents.reshape(*groups.shape[:2], *latents.shape[1:])

    def decode(self, latents: Tensor, num_frames: int | None = None) -> Tensor:
        """latents: float [B, S, C, h, w]. Returns float32 [B, T, 3, 8 h, 8 w] in [-1, 1]."""
        frames = check_latents(latents, self.channels, self.time_factor, num_frames)
        raw = latents.float() * self.std[:, None, None] + self.mean[:, None, None]
        groups = with_previous_group(raw) if self.config.context_groups == 2 else raw
        pixels = in_chunks(self.decoder, groups.flatten(0, 1).to(self.dtype), CHUNK_PIXELS // SPACE_FACTOR**2)
        video = pixels.float().clamp(-1, 1)
        return self.ungroup(video.reshape(*groups.shape[:2], *video.shape[1:]), frames)

    @torch.inference_mode()
    def encode_frames(self, frames: Frames) -> Tensor:
        """frames: uint8 [T, H, W, 3]. Returns float32 [S, C, H / 8, W / 8]."""
        return self.encode(to_unit(frames)[None].to(self.mean.device))[0]

    @torch.inference_mode()
    def decode_frames(self, latents: Tensor, num_frames: int | None = None) -> Frames:
        """latents: float [S, C, h, w]. Returns uint8 [T, 8 h, 8 w, 3]."""
        return to_uint8(self.decode(latents[None].to(self.mean.device), num_frames)[0])


def with_previous_group(groups: Tensor) -> Tensor:
    """[B, S, C, ...] to [B, S, 2 C, ...]: each group after the one before it; the first one after itself."""
    return torch.cat([torch.cat([groups[:, :1], groups[:, :-1]], dim=1), groups], dim=2)


def in_chunks(network: nn.Module, x: Tensor, cells: int) -> Tensor:
    """network(x) for x [N, C, H, W], with at most `cells` positions (and at least one sample) at a time."""
    size = max(1, cells // (x.shape[-2] * x.shape[-1]))
    if len(x) <= size:
        whole: Tensor = network(x)
        return whole
    return torch.cat([network(x[i : i + size]) for i in range(0, len(x), size)])
