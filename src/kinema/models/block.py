"""One transformer block: attention inside a frame or along time, text for those tokens that read it, then an MLP.

Weights are float32 masters; every product runs in the dtype of its input, so the same module trains in bf16 with float32
masters and samples with weights stored in bf16.

Axes: B batch, T frames, S tokens of a frame, L text tokens, C width.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.models.attention import attend, rms_norm, rotate
from kinema.models.config import DenoiserConfig

Rotation = tuple[Tensor, Tensor]


class Linear(nn.Linear):
    """A linear layer whose weights follow its input's dtype."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


@dataclass
class KVCache:
    """Keys before rotation, and values, [N, H, W, D] of the cached frames for each block along time; `new` collects those of the
    frames of this pass."""

    cached: list[tuple[Tensor, Tensor]]
    new: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def joined(self, block: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not self.cached:
            return k, v
        return torch.cat([self.cached[block][0], k], 2), torch.cat([self.cached[block][1], v], 2)


class SelfAttention(nn.Module):
    """Attention among tokens [N, M, C] with normalised queries and keys and rotary positions."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = Linear(config.width, 3 * config.width, bias=False)
        self.out = Linear(config.width, config.width, bias=False)
        self.sharpness = nn.Parameter(torch.full((config.heads, 1, 1), 2.0))

    def forward(self, x: Tensor, rotation: Rotation, bias: Tensor | None, cache: KVCache | None = None) -> Tensor:
        """With a cache, rotation and bias cover the cached frames and then x, and the keys and values of x are appended to
        `cache.new`. Scores are then computed in float64: angles are relative to the current frame, so those of a cached frame
        differ from step to step, and differences in the last bit of float32 would change bfloat16 roundings."""
        q, k, v = rearrange(self.qkv(x), "n m (three h d) -> three n h m d", three=3, h=self.heads)
        q, k, (cos, sin) = rms_norm(q), rms_norm(k), rotation
        if cache is not None:
            cache.new.append((k, v))
            q, (k, v) = q.double(), (y.double() for y in cache.joined(len(cache.new) - 1, k, v))
        now = q.shape[2]
        q = rotate(q, cos[..., -now:, :], sin[..., -now:, :]) * self.sharpness.to(q.dtype)
        k = rotate(k, cos, sin)
        mixed: Tensor = self.out(rearrange(attend(q, k, v, bias).to(x.dtype), "n h m d -> n m (h d)"))
        return mixed


class TextAttention(nn.Module):
    """Tokens [B, N, C] read text [B, L, C]; `bias` [B, 1, N, L] closes what a token may not read."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q = Linear(config.width, config.width, bias=False)
        self.kv = Linear(config.width, 2 * config.width, bias=False)
        self.out = Linear(config.width, config.width, bias=False)
        self.sharpness = nn.Parameter(torch.full((config.heads, 1, 1), 2.0))

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        q = rearrange(self.q(x), "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.kv(text), "b l (two h d) -> two b h l d", two=2, h=self.heads)
        y = attend(rms_norm(q) * self.sharpness.to(q.dtype), rms_norm(k), v, bias)
        mixed: Tensor = self.out(rearrange(y, "b h n d -> b n (h d)"))
        return mixed


class MLP(nn.Module):
    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.up = Linear(width_in, hidden)
        self.down = Linear(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return y


class Block(nn.Module):
    """Attention along one axis, then (in frame blocks) text for the state and vector tokens, then an MLP."""

    def __init__(self, config: DenoiserConfig, *, along_time: bool) -> None:
        super().__init__()
        self.along_time = along_time
        self.attention = SelfAttention(config)
        self.text = None if along_time else TextAttention(config)
        self.mlp = MLP(config.width, config.mlp_ratio * config.width, config.width)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        bias: Tensor | None,
        text: Tensor,
        text_bias: Tensor,
        readers: int,
        cache: KVCache | None = None,
    ) -> Tensor:
        """x [B, T, S, C], float32; the last `readers` tokens of each frame read text [B, L, C], whose dtype is that of all
        products."""
        batch, frames, tokens, _ = x.shape

        def normed(y: Tensor) -> Tensor:
            return rms_norm(y).to(text.dtype)

        if self.along_time:
            y = self.attention(rearrange(normed(x), "b t s c -> (b s) t c"), rotation, bias, cache)
            x = x + rearrange(y, "(b s) t c -> b t s c", b=batch)
        else:
            y = self.attention(rearrange(normed(x), "b t s c -> (b t) s c"), rotation, bias)
            x = x + rearrange(y, "(b t) s c -> b t s c", b=batch)
        if self.text is not None:
            others, reading = x[:, :, : tokens - readers], x[:, :, tokens - readers :]
            y = self.text(rearrange(normed(reading), "b t r c -> b (t r) c"), text, text_bias)
            x = torch.cat([others, reading + rearrange(y, "b (t r) c -> b t r c", t=frames)], 2)
        changed: Tensor = self.mlp(normed(x))
        return x + changed
