"""How much arithmetic a step is, and how much this machine can do: the share printed beside the loss."""

from __future__ import annotations

import time

import torch

from kinema.models.config import DenoiserConfig
from kinema.models.convolutions import DRAWING, MAP, SEEING
from kinema.models.objects.splatter import BASIS, OFFSET, SLOT


def forward_flops(config: DenoiserConfig, *, batch: int, frames: int, cells: int, text_tokens: int) -> float:
    """Multiply-adds times two of one forward pass: matrix products and attention, nothing else."""
    c, readers = config.width, config.slots + 1
    tokens = batch * frames * (cells + readers)
    per_token = (4 + 2 * config.mlp_ratio) * c * c * config.depth
    space = config.depth // 2
    text = space * (2 * c * c * batch * frames * readers + 2 * c * c * batch * text_tokens)
    attention = space * tokens * (2 * c * (cells + readers) + 2 * c * frames)
    attention += space * 2 * c * batch * frames * readers * text_tokens
    ends = batch * frames * (cells * 2 * MAP * config.patch**2 * c + readers * 4 * c * c)
    local = local_flops(config, pictures=batch * frames, cells=cells) if cells else 0.0
    return 2.0 * (tokens * per_token + text + attention + ends) + local


def local_flops(config: DenoiserConfig, *, pictures: int, cells: int, prior_only: bool = False) -> float:
    """The same of the local parts alone: convolutions over latents, and stamps. prior_only: nothing of the video is seen."""
    places = pictures * cells * config.patch**2
    seeing = 0 if prior_only else MAP * SEEING + config.latent_channels + 1
    convolutions = 9 * MAP * (seeing + MAP * (DRAWING + 2) + config.latent_channels + 1)
    offsets = config.slots * (24 * OFFSET + OFFSET * BASIS + BASIS * MAP)
    things = pictures * config.slots * (2 * config.schema.features * SLOT + SLOT * SLOT + SLOT * BASIS * MAP)
    return 2.0 * (places * (convolutions + offsets) + things)


def measured_peak(device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16, size: int = 2048) -> float:
    """FLOP/s of a large matrix product here and now: the best of a few."""
    a, b = torch.randn(size, size, device=device).to(dtype), torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(6):
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        product = a @ b
        if product.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2.0 * size**3 / best
