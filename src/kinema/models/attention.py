"""Attention, rotary positions and norms, as plain functions.

Rotary embedding (Su et al. 2021) over real coordinates: time in sixteenths of a second, height and width in room units, so
frame rate, duration, size and aspect ratio may vary.

Axes: N queries, M keys, H heads, D numbers per head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor) -> Tensor:
    """Root-mean-square norm in float32, back in the dtype of x; the scale lives in the matrix that follows."""
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def rotary(position: Tensor, width: int, *, longest: float = 256.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine [..., width / 2] for positions [...]; wavelengths from 2 pi to 2 pi * longest."""
    position = position if position.dtype == torch.float64 else position.float()
    exponent = torch.arange(width // 2, device=position.device, dtype=position.dtype) / max(width // 2 - 1, 1)
    angle = position[..., None] * longest**-exponent
    return angle.cos(), angle.sin()


def rotary_2d(yx: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Half of each head turns with height, half with width; yx [..., 2]."""
    cos_y, sin_y = rotary(yx[..., 0], width // 2, longest=16.0)
    cos_x, sin_x = rotary(yx[..., 1], width // 2, longest=16.0)
    return torch.cat([cos_y, cos_x], -1), torch.cat([sin_y, sin_x], -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (i, i + D/2) of x [..., D] by the angle of (cos, sin) [..., D / 2]."""
    a, b = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(D) + bias) v for [..., H, N, D]; bias is added to the scores and broadcasts.

    In training on a CPU the products are written out: for the short sequences of factorised attention that is several times
    faster than the fused kernel's backward there (docs/design.md).
    """
    if q.is_cuda or not torch.is_grad_enabled():
        mask = None if bias is None else bias.to(q.dtype)
        shape = q.shape
        q, k, v = (x.flatten(0, -4) if x.ndim > 4 else x for x in (q, k, v))  # the fused kernels take four axes
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).reshape(shape)
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1).to(v.dtype) @ v
