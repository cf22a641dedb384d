"""What the windows of a canvas were filled with, kept so that a film that was interrupted goes on where it was."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class WindowCheckpoint(Protocol):
    """Keeps the results of windows, which follow from seeds and the windows before: a film that goes on is the one that was not
    interrupted, bit for bit."""

    def load(self, stage: str, number: int) -> dict[str, Tensor] | None:
        """The tracks of a window [B, T, ...] by name; None if they were not kept. stage: "plan" or "film"."""
        ...

    def save(self, stage: str, number: int, tracks: dict[str, Tensor]) -> None:
        """Keep the tracks of a window."""
        ...
