"""How far pictures are from the true ones, as autoencoders and drawing are trained to keep it small: colors and edges."""

from __future__ import annotations

from torch import Tensor


def image_loss(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """L1 + 2 L2 + L1 of differences between neighbors, for pictures [N, 3, H, W] in [-1, 1]; weight [N, 1, H, W] of pixels."""
    off = made - true
    share = weight / weight.mean()
    across = ((off[..., 1:] - off[..., :-1]).abs() * share[..., 1:]).mean()
    down = ((off[..., 1:, :] - off[..., :-1, :]).abs() * share[..., 1:, :]).mean()
    return (off.abs() * share).mean() + 2 * (off.square() * share).mean() + 0.5 * (across + down)
