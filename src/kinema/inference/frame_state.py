"""One frame of a running world. Axes: B worlds, C channels, h x w latents, K slots, F features, N attention rows, H heads, D
numbers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class FrameState:
    """One frame of a world, immutable: its time, its tracks (vectors [B, D], video of recorded worlds [B, C, h, w], of models with
    slots state [B, K, F]), whether its action is known, and its keys and values in every block along time, once they are
    computed."""

    time_s: float
    tracks: dict[str, Tensor]
    acted: bool = False
    kv: tuple[Pair, ...] | None = None

    @property
    def batch(self) -> int:
        return len(self.tracks["action"])
