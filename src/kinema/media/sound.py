"""The sound of a clip: samples and their rate, cut and joined in step with the pictures.

Axes: N samples, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError

Samples = NDArray[np.int16]
RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples a second that a sound may have; files of other rates are read at the next higher one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """Samples that begin with the first picture of a clip.

    Attributes:
        samples: int16 [N, C], one channel or two (left, right).
        rate: Samples per second, one of RATES.
    """

    samples: Samples
    rate: int

    def __post_init__(self) -> None:
        shape = self.samples.shape
        if self.samples.dtype != np.int16 or len(shape) != 2 or shape[1] not in (1, 2):
            raise InputError(f"samples are {self.samples.dtype} {shape}, expected int16 [samples, 1 or 2 channels]")
        if self.rate not in RATES:
            raise InputError(f"{self.rate!r} samples a second: expected one of {', '.join(map(str, RATES))}")
        object.__setattr__(self, "rate", int(self.rate))

    def __repr__(self) -> str:
        return f"Sound({self.duration_s:.2f} s, {self.channels} channels at {self.rate} Hz)"

    @property
    def channels(self) -> int:
        """C."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """N / rate, in seconds."""
        return len(self.samples) / self.rate

    def lasting(self, duration_s: float) -> Sound:
        """The sound cut to a duration in seconds, or followed by silence up to it; itself where it lasts so long."""
        return self.part(0.0, duration_s)

    def part(self, start_s: float, stop_s: float) -> Sound:
        """The sound between two times in seconds, with silence where there is none."""
        start, stop = round(start_s * self.rate), round(stop_s * self.rate)
        if (start, stop) == (0, len(self.samples)):
            return self
        held = self.samples[max(start, 0) : max(stop, 0)]
        before, total = min(max(-start, 0), stop - start), max(stop - start, 0)
        silent = np.zeros((total, self.channels), np.int16)
        silent[before : before + len(held)] = held
        return Sound(samples=silent, rate=self.rate)

    def of_frames(self, frames: NDArray[np.int64], fps: float) -> Sound:
        """The sound of some frames of the clip, by their numbers [T] and in their order."""
        breaks = np.flatnonzero(np.diff(frames) != 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(frames, breaks) if len(run)]
        parts = [self.part(first / fps, stop / fps).samples for first, stop in runs]
        return Sound(samples=np.concatenate([self.samples[:0], *parts]), rate=self.rate)

    def converted(self, rate: int, channels: int) -> Sound:
        """The sound at another rate and number of channels."""
        if (rate, channels) == (self.rate, self.channels):
            return self
        from kinema.media.soundtrack import resampled

        return Sound(samples=resampled(self.samples, self.rate, rate, channels), rate=rate)


def joined_sound(parts: Sequence[tuple[Sound | None, float]]) -> Sound | None:
    """Sounds one after another, each for so many seconds, silence for those that are None; None if all are. The highest rate and
    number of channels of them is that of the result."""
    given = [sound for sound, _ in parts if sound is not None]
    if not given:
        return None
    rate, channels = max(sound.rate for sound in given), max(sound.channels for sound in given)
    ends = np.round(np.cumsum([0.0, *(seconds for _, seconds in parts)]) * rate).astype(int)
    samples = np.zeros((ends[-1], channels), np.int16)
    for (sound, seconds), start, stop in zip(parts, ends[:-1], ends[1:], strict=True):
        if sound is not None:
            held = sound.converted(rate, channels).lasting(seconds).samples[: stop - start]
            samples[start : start + len(held)] = held
    return Sound(samples=samples, rate=rate)
