"""Latents <-> video cells: a cell is a patch of p x p latent vectors.

Axes: B batch, T frames, C latent channels, H x W latent grid, h x w cells, P = p * p * C numbers per cell.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


def to_cells(latents: Tensor, patch: int) -> Tensor:
    """[B, T, C, H, W] -> [B, T, h, w, P]."""
    return rearrange(latents, "b t c (h p) (w q) -> b t h w (p q c)", p=patch, q=patch)


def from_cells(cells: Tensor, patch: int) -> Tensor:
    """[B, T, h, w, P] -> [B, T, C, H, W]."""
    return rearrange(cells, "b t h w (p q c) -> b t c (h p) (w q)", p=patch, q=patch)
