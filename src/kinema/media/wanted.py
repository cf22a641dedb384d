"""What is read of a file of pictures: how much at most, and which of its frames in which size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinema.errors import InputError, MediaError

LEAST_SIDE = 128
"""Pixels of the shorter side below which pictures are not shrunk to save memory."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that is decoded: pixels of one frame, frames, bytes of all frames together, and bytes of the sound beside them."""

    max_pixels: int = 4096 * 4096
    max_frames: int = 20_000
    max_bytes: int = 4 << 30
    max_sound_bytes: int = 1 << 30

    def check_picture(self, path: Path | str, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise MediaError(
                f"{path} is {width}x{height}, more than {self.max_pixels} pixels a frame; make it smaller first"
            )

    def check_length(self, path: Path, frames: int, width: int, height: int) -> None:
        most = min(self.max_frames, self.max_bytes // (3 * width * height))
        if frames > most:
            raise MediaError(f"{path} has more than the {most} frames of {width}x{height} that can be read; cut it first")


@dataclass(frozen=True, kw_only=True)
class FramePart:
    """Frames first to stop - 1 of a video, on an even clock of so many frames a second that begins with its first picture."""

    first: int
    stop: int
    fps: float

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.stop or not 0 < self.fps <= 1000:
            raise InputError(
                f"frames {self.first} to {self.stop} at {self.fps:g} a second: expected one at least, and a rate up to 1000"
            )


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a file; the rest is not kept in memory. Films that Kinema wrote are read whole, with their state, and cut.

    Attributes:
        first, last: the first or the last so many frames; None: all. One of them at most.
        longest: the longer side of the pictures in pixels; larger ones are shrunk while they are decoded, unless Kinema wrote them.
            None: as they are.
        within: bytes that all frames together may take: larger pictures are shrunk as they are decoded, though not below
            LEAST_SIDE, unless Kinema wrote them. None: as they are.
        max_bytes: stop before the frames take more memory than that, or are more than the limits allow. None: the limits say what
            is refused.
        sound: whether the sound of the frames is wanted.
    """

    first: int | None = None
    last: int | None = None
    longest: int | None = None
    within: int | None = None
    max_bytes: int | None = None
    sound: bool = True
    part: FramePart | None = None

    def __post_init__(self) -> None:
        for name in ("first", "last", "longest", "within", "max_bytes"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
                raise InputError(f"{name} {str(value)[:40]!r}: expected a whole number, at least 1")
        if self.first is not None and self.last is not None:
            raise InputError("first and last frames were given; expected one of the two")

    def size(self, width: int, height: int, count: int = 1) -> tuple[int, int]:
        """(width, height) of so many pictures of this size as they are wanted."""
        share = 1.0 if self.longest is None else self.longest / max(width, height)
        if self.within is not None:
            fits = (self.within / (3 * width * height * max(count, 1))) ** 0.5
            share = min(share, max(fits, LEAST_SIDE / min(width, height)))
        if share >= 1:
            return width, height
        return max(round(width * share), 1), max(round(height * share), 1)

    def which(self, count: int) -> slice:
        """Which of so many frames are wanted."""
        if self.last is not None:
            return slice(max(count - self.last, 0), count)
        return slice(0, count if self.first is None else self.first)


ALL = Wanted()
