"""Frames of a video as they are decoded, in one array that grows without being copied.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from kinema.types import Frames

FIRST_CAPACITY = 64


class FrameBuffer:
    """Frames of one size, all of them or the last ones.

    Args:
        expected: About how many frames will come; 0: not known. Memory is only used by frames that came.
        last: Keep only so many. None: all.
    """

    def __init__(self, expected: int = 0, last: int | None = None) -> None:
        self._expected = expected
        self._last: deque[Frames] | None = None if last is None else deque(maxlen=last)
        self._array: Frames | None = None
        self._count = 0

    def __len__(self) -> int:
        """Frames that are held."""
        return self._count if self._last is None else len(self._last)

    @property
    def frame_shape(self) -> tuple[int, ...] | None:
        """(H, W, 3); None as long as there is no frame."""
        if self._last is not None:
            return self._last[0].shape if self._last else None
        return None if self._array is None else self._array.shape[1:]

    def append(self, frame: Frames) -> None:
        """Add a frame uint8 [H, W, 3], of the size of those before."""
        if self._last is not None:
            self._last.append(frame)
            return
        if self._array is None:
            self._array = np.empty((max(self._expected, FIRST_CAPACITY), *frame.shape), np.uint8)
        if self._count == len(self._array):
            self._array.resize((self._count * 3 // 2, *frame.shape), refcheck=False)
        self._array[self._count] = frame
        self._count += 1

    def take(self) -> Frames:
        """All frames that are held, [T, H, W, 3]; the buffer is empty afterwards. There is at least one."""
        if self._last is not None:
            frames = np.stack(self._last)
            self._last.clear()
            return frames
        assert self._array is not None
        array, self._array = self._array, None
        array.resize((self._count, *array.shape[1:]), refcheck=False)
        self._count = 0
        return array
