"""Frames of a film that come one by one, in one array; large ones lie in a temporary file, not in memory.

Such an array is used as any other. What was written to it or read of it counts as memory of the process until it is let go, which
loops over all frames do by `each`. The file has no name, so nothing of it is left when the process ends in any way.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from kinema.types import Frames

FIRST_CAPACITY = 64
HELD_BYTES = 128 << 20
"""Frames that take more than this are held in a file."""
LET_GO_BYTES = 32 << 20
"""So much of a file's frames is in memory at once."""


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
        """Add a frame uint8 [H, W, 3], of the size of those before. OSError if the disk is full."""
        if self._last is not None:
            self._last.append(frame)
            return
        if self._array is None:
            self._array = _room((max(self._expected, FIRST_CAPACITY), *frame.shape))
        if self._count == len(self._array):
            larger = _room((self._count * 3 // 2, *frame.shape))
            for index, known in enumerate(each(self._array)):
                larger[index] = known
            self._array = larger
        self._array[self._count] = frame
        self._count += 1
        if self._count % _at_once(frame) == 0:
            _let_go(self._array)

    def take(self) -> Frames:
        """All frames that are held, [T, H, W, 3]; the buffer is empty afterwards. There is at least one."""
        if self._last is not None:
            frames = np.stack(self._last)
            self._last.clear()
            return frames
        assert self._array is not None
        array, self._array = self._array, None
        count, self._count = self._count, 0
        _let_go(array)
        return array[:count]


def held(frames: Iterable[Frames], count: int) -> Frames:
    """So many frames uint8 [H, W, 3] as one array [T, H, W, 3]. There is at least one."""
    buffer = FrameBuffer(count)
    for frame in frames:
        buffer.append(frame)
    return buffer.take()


def each(frames: Frames, index: NDArray[np.int64] | None = None) -> Iterator[Frames]:
    """The frames, or those of these numbers, one after another, without all of them in memory at once."""
    for count, number in enumerate(range(len(frames)) if index is None else index):
        yield frames[number]
        if count % _at_once(frames[number]) == 0:
            _let_go(frames)


def _at_once(frame: Frames) -> int:
    return max(LET_GO_BYTES // frame.nbytes, 1)


def _room(shape: tuple[int, ...]) -> Frames:
    """An array for frames, in memory or in a file. Memory is taken only as it is written to."""
    size = int(np.prod(shape))
    if size <= HELD_BYTES:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="kinema-frames-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is met here, not when a frame is written
        else:
            file.truncate(size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8).reshape(shape)


def _let_go(frames: Frames) -> None:
    """Let the system take the memory of frames that lie in a file."""
    owner: object = frames
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
