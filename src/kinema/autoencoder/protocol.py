"""The interface of an autoencoder, which converts between pixels and the latents of the denoiser.

Axes: B batch, T pixel frames, S latent frames, C channels, H and W pixels, h and w latent cells. Pixels are floats in
[-1, 1] or uint8; latents have about zero mean and unit variance per channel, so that unit Gaussian noise is level 1.

An autoencoder is causal: latent frame j depends only on pixels up to the last frame that it stands for, and latent frame 0
stands for the first picture alone. So S = ceil((T - 1) / time_factor) + 1, and a still image is a video of one frame.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from kinema.errors import InputError, SizeError
from kinema.types import Frames


@runtime_checkable
class VideoAutoencoder(Protocol):
    """Frames to latents and back."""

    @property
    def channels(self) -> int: ...

    @property
    def space_factor(self) -> int: ...

    @property
    def time_factor(self) -> int: ...

    def encode(self, video: Tensor) -> Tensor:
        """video: float [B, T, 3, H, W] in [-1, 1]. Returns float32 [B, S, C, H / space_factor, W / space_factor]."""
        ...

    def decode(self, latents: Tensor, num_frames: int | None = None) -> Tensor:
        """latents: float [B, S, C, h, w]. Returns float32 [B, T, 3, H, W] in [-1, 1], T = num_frames if given."""
        ...

    def encode_frames(self, frames: Frames) -> Tensor:
        """frames: uint8 [T, H, W, 3]. Returns float32 [S, C, h, w]."""
        ...

    def decode_frames(self, latents: Tensor, num_frames: int | None = None) -> Frames:
        """latents: float [S, C, h, w]. Returns uint8 [T, H, W, 3]."""
        ...


def latent_frames(num_frames: int, time_factor: int) -> int:
    """How many latent frames stand for `num_frames` pixel frames."""
    return -(-(num_frames - 1) // time_factor) + 1


def pixel_frames(num_latents: int, time_factor: int) -> int:
    """The most pixel frames that `num_latents` latent frames stand for."""
    return (num_latents - 1) * time_factor + 1


def to_unit(frames: Frames | Tensor) -> Tensor:
    """uint8 [..., H, W, 3] to float32 [..., 3, H, W] in [-1, 1]."""
    pixels = torch.as_tensor(frames)
    if pixels.dtype != torch.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise InputError(f"frames are {pixels.dtype} {tuple(pixels.shape)}, expected uint8 [..., height, width, 3]")
    return (pixels.float() / 127.5 - 1).movedim(-1, -3)


def to_uint8(video: Tensor) -> Frames:
    """float [..., 3, H, W] in [-1, 1] to uint8 [..., H, W, 3], rounded to the nearest."""
    pixels = ((video.detach().float().movedim(-3, -1) + 1) * 127.5).round_().clamp_(0, 255)
    return np.ascontiguousarray(pixels.to("cpu", torch.uint8).numpy())


def check_video(video: Tensor, space_factor: int) -> None:
    """InputError or SizeError unless `video` is float [B, T, 3, H, W] with sides that the autoencoder can divide."""
    if video.ndim != 5 or video.shape[2] != 3 or not video.is_floating_point() or video.shape[1] < 1:
        raise InputError(f"video is {video.dtype} {tuple(video.shape)}, expected float [batch, time, 3, height, width]")
    height, width = video.shape[-2:]
    if height % space_factor or width % space_factor or min(height, width) < space_factor:
        near = [max(space_factor, round(side / space_factor) * space_factor) for side in (height, width)]
        raise SizeError(
            f"{width}x{height} pixels cannot be encoded: both sides must be multiples of {space_factor}; "
            f"the nearest size is {near[1]}x{near[0]}"
        )


def check_latents(latents: Tensor, channels: int, time_factor: int, num_frames: int | None) -> int:
    """How many pixel frames to return; InputError unless the latents are float [B, S, channels, h, w] and can give them."""
    if latents.ndim != 5 or latents.shape[2] != channels or not latents.is_floating_point() or latents.shape[1] < 1:
        raise InputError(
            f"latents are {latents.dtype} {tuple(latents.shape)}, expected float [batch, time, {channels}, height, width]"
        )
    most = pixel_frames(latents.shape[1], time_factor)
    if num_frames is None:
        return most
    if latent_frames(num_frames, time_factor) != latents.shape[1]:
        raise SizeError(
            f"{latents.shape[1]} latent frames cannot give {num_frames} frames; they stand for "
            f"{max(1, most - time_factor + 1)} to {most}"
        )
    return num_frames
