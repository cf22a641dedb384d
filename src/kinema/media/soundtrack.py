"""The sound of video files: decoded beside the pictures that were read, and encoded beside those that are written.

Samples stand at the time that the file gives them, counted from the first picture that was read; times that jitter by less than
JITTER_S, as those of Matroska do, move nothing. Of several tracks the first is read, and more than two channels are mixed to two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kinema.media.sound import RATES, Samples, Sound

log = logging.getLogger(__name__)

ENCODERS = {".mp4": "aac", ".mkv": "aac", ".webm": "libopus"}
BITS_PER_S = 128_000
"""Of one channel's sound, compressed."""
OPUS_RATE = 48_000
JITTER_S = 0.04
WARM_UP_S = 0.3
"""Decoding begins so long before the first sample that is wanted."""
OVERHANG_S = 0.5
"""Sound that goes on for longer than this after the last picture is named when it is left out."""
CHUNK = 1024


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"


def _frame(samples: Samples, rate: int, at: int = 0) -> Any:
    """Samples [N, C] as a frame of FFmpeg's, `at` samples after the beginning."""
    from fractions import Fraction

    import av

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout=_layout(samples.shape[1])
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
    return frame


def _samples(frame: Any, channels: int) -> Samples:
    """The samples [N, C] of a frame whose channels are interleaved."""
    samples: Samples = np.asarray(frame.to_ndarray(), np.int16).reshape(-1, channels)
    return samples


def resampled(samples: Samples, rate: int, new_rate: int, channels: int) -> Samples:
    """Samples [N, C] at another rate and number of channels."""
    import av

    resampler = av.AudioResampler(format="s16", layout=_layout(channels), rate=new_rate)
    frames = [*resampler.resample(_frame(samples, rate)), *resampler.resample(None)] if len(samples) else []
    parts = [_samples(frame, channels) for frame in frames]
    return np.concatenate([np.zeros((0, channels), np.int16), *parts])


def read_sound(
    path: Path, options: dict[str, str], *, start_s: float, duration_s: float, max_bytes: int, whole: bool
) -> Sound | None:
    """The sound of a video file over the pictures that were read of it.

    Args:
        path: The file.
        options: How it is opened, as for its pictures.
        start_s, duration_s: Time of the first picture by the file's clock, and how long the pictures last, in seconds.
        max_bytes: Longer sound is left out, with a warning.
        whole: The pictures are those of the whole file; a warning names sound that goes on after them.

    Returns:
        The sound, or None where the file has none, or none that can be decoded.
    """
    import av

    with av.open(str(path.absolute()), options=options, metadata_errors="replace") as container:
        stream = next((track for track in container.streams.audio if track.codec_context is not None), None)
        if stream is None:
            if container.streams.audio:
                log.warning("the sound of %s is of a kind that is not known here; going on without it", path)
            return None
        context = stream.codec_context
        if context.sample_rate < 1 or context.channels < 1:
            log.warning("the sound of %s cannot be decoded; going on without it", path)
            return None
        rate = next((rate for rate in RATES if rate >= context.sample_rate), RATES[-1])
        channels = min(context.channels, 2)
        count = round(duration_s * rate)
        if 2 * count * channels > max_bytes:
            log.warning("the sound of %s, %.0f s, is longer than can be kept; going on without it", path, duration_s)
            return None
        _name_changes(path, container, stream, start_s + duration_s if whole else None)
        samples = np.zeros((count, channels), np.int16)
        damages = _fill(samples, container, stream, rate, start_s)
        if damages:
            log.warning("the sound of %s is damaged (%s); there is silence in such places", path, damages[0])
    return Sound(samples=samples, rate=rate)


def _name_changes(path: Path, container: Any, stream: Any, stop_s: float | None) -> None:
    """Log a warning for each part of a file's sound that is not carried as it is. stop_s: when its pictures end."""
    if len(container.streams.audio) > 1:
        log.warning("%s has %d tracks of sound; the first is kept", path, len(container.streams.audio))
    if stream.codec_context.channels > 2:
        log.warning("the %d channels of sound of %s are mixed to two", stream.codec_context.channels, path)
    if stream.duration is not None and stop_s is not None:
        over_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base) - stop_s
        if over_s > OVERHANG_S:
            log.warning("the sound of %s goes on for %.1f s after its pictures; that part is left out", path, over_s)


def _fill(samples: Samples, container: Any, stream: Any, rate: int, start_s: float) -> list[str]:
    """Decode into samples [N, C], whose first stands at start_s. Returns a line for each packet that cannot be decoded."""
    import av

    count, channels = samples.shape
    resampler = av.AudioResampler(format="s16", layout=_layout(channels), rate=rate)
    if start_s > WARM_UP_S:
        container.seek(int((start_s - WARM_UP_S) / stream.time_base), stream=stream)
    place: int | None = None
    damages: list[str] = []
    for frame, time_s in _timed(container, stream, damages):
        given = None if time_s is None else round((time_s - start_s) * rate)
        if place is None or (given is not None and abs(given - place) > JITTER_S * rate):
            place = given or 0
        for part in resampler.resample(frame):
            place = _lay(samples, _samples(part, channels), place)
        if place >= count:
            return damages
    if place is not None:
        for part in resampler.resample(None):
            place = _lay(samples, _samples(part, channels), place)
    return damages


def _timed(container: Any, stream: Any, damages: list[str]) -> Iterator[tuple[Any, float | None]]:
    """Decoded frames of sound, and when each begins in seconds. Packets that cannot be decoded are passed over."""
    import av

    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    yield frame, None if frame.time is None else float(frame.time)
            except (av.error.FFmpegError, ValueError) as error:
                damages.append(str(error).splitlines()[0])
    except av.error.FFmpegError as error:
        damages.append(str(error).splitlines()[0])


def _lay(samples: Samples, part: Samples, place: int) -> int:
    """Write a part at a place, as far as it lies within the samples. Returns the place after it."""
    stop = place + len(part)
    if stop > 0 and place < len(samples):
        held = part[max(-place, 0) : len(samples) - place]
        samples[max(place, 0) : max(place, 0) + len(held)] = held
    return stop


class SoundWriter:
    """Encodes a sound into a container, a little ahead of the pictures."""

    def __init__(self, container: Any, sound: Sound, ending: str) -> None:
        encoder = ENCODERS[ending]
        self._container = container
        self._sound = sound.converted(OPUS_RATE, sound.channels) if encoder == "libopus" else sound
        self._stream: Any = container.add_stream(encoder, rate=self._sound.rate, layout=_layout(sound.channels))
        self._stream.bit_rate = BITS_PER_S * sound.channels
        self._place = 0

    def write(self, until_s: float | None = None) -> None:
        """Encode the sound up to a time in seconds; None: all that is left."""
        samples, rate = self._sound.samples, self._sound.rate
        stop = len(samples) if until_s is None else min(round(until_s * rate), len(samples))
        while self._place < stop:
            part = samples[self._place : self._place + CHUNK]
            self._container.mux(self._stream.encode(_frame(part, rate, self._place)))
            self._place += len(part)
        if until_s is None:
            self._container.mux(self._stream.encode())
