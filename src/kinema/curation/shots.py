"""One pass over a film: where its shots are, and the measures of each.

A cut is a frame that differs from the one before it by much more than its neighbors do (the adaptive rule of content detectors),
unless the picture is back within three frames, as after a flash. A film also has a cut where it fades to one color, such as black.
Dissolves are no cuts here.

Axes: N frames, H x W pixels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.curation.measures import blur, camera_shift, luma_of, picture_box, shake, text_share
from kinema.datasets.clip_sources import VideoSource
from kinema.errors import MediaError
from kinema.media.film_stream import FilmFacts
from kinema.media.fingerprint import MOST_COMPARED, Copies, small_copies
from kinema.types import Floats, Frame

MEASURED_SIDE = 360
"""Pixels of the shorter side at which pictures are measured; smaller films are measured as they are."""
SMALL = 64
"""Cells along each side of the copies whose changes are measured."""
SHIFT_SIDE = 96
"""Cells along each side of the copies by which the camera's movement is measured."""
SAMPLES_A_SECOND = 3.0
THUMBNAIL_PX = 160
CUT_CHANGE, CUT_RATIO, CUT_NEIGHBORS = 12.0, 3.0, 6
"""A cut changes a picture by so many gray levels on average, and by so many times the median of so many frames before and after."""
FLASH_FRAMES = 3
PLAIN = 12
"""Gray levels between the darkest and the brightest cell of a picture that is of one color, as between a fade out and a fade in."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is kept of a frame that is looked at closely.

    luma: uint8 [SMALL, SMALL]. row_peaks, column_peaks: the brightest luma of each row and column, uint8 [H] and [W]. thumbnail:
    JPEG.
    """

    index: int
    blur: float
    text: float
    luma: NDArray[np.uint8]
    row_peaks: NDArray[np.uint8]
    column_peaks: NDArray[np.uint8]
    thumbnail: bytes


@dataclass(kw_only=True)
class FilmMeasures:
    """Measures of all frames of a film: times in seconds, change against the frame before, shift against it, small gray copies."""

    facts: FilmFacts
    times: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    shifts: list[tuple[float, float]] = field(default_factory=list)
    grays: list[NDArray[np.uint8]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DetectedShot:
    """A part of a film without cuts, or a piece of a long one.

    Attributes:
        start_s, stop_s: From its first frame to that of what follows, in seconds.
        piece_of: Number of the shot in the film that it is a piece of.
        box: (top, left, bottom, right) of the picture within black bars, as shares of the sides.
        motion: How much the most changing hundredth of the picture changes, in gray levels.
        shake: How unsteady the camera is, in percent of the sides (`kinema.curation.measures.shake`).
        blur: From 0 to 1 (`kinema.curation.measures.blur`), the median of its samples.
        text: Share of the picture that is lines of text, the median of its samples.
        copies: Small copies of its pictures within the bars, uint8 [n, 16, 16, 3].
        thumbnails: JPEG pictures of its beginning, middle and end, in base64.
    """

    start_s: float
    stop_s: float
    piece_of: int
    box: tuple[float, float, float, float]
    motion: float
    shake: float
    blur: float
    text: float
    copies: Copies
    thumbnails: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        return self.stop_s - self.start_s


def measure_film(video: VideoSource) -> FilmMeasures:
    """Decode a film once and measure its frames. MediaError where it is damaged."""
    facts = video.facts()
    film = FilmMeasures(facts=facts)
    scale = min(MEASURED_SIDE / min(facts.width, facts.height), 1.0)
    size = max(round(facts.height * scale), 2), max(round(facts.width * scale), 2)
    every = max(round(facts.fps / SAMPLES_A_SECOND), 1)
    before: tuple[NDArray[np.uint8], Floats] | None = None
    for index, (time_s, frame) in enumerate(video.frames(size=size, start_s=0.0, stop_s=np.inf)):
        small = np.asarray(Image.fromarray(frame).resize((SMALL, SMALL), Image.Resampling.BOX))
        luma = luma_of(small)
        film.times.append(time_s)
        film.grays.append(luma.reshape(16, 4, 16, 4).mean((1, 3)).astype(np.uint8))
        film.change.append(0.0 if before is None else float(np.abs(small.astype(np.int16) - before[0]).mean()))
        steady = luma_of(np.asarray(Image.fromarray(frame).resize((SHIFT_SIDE, SHIFT_SIDE), Image.Resampling.BOX)))
        shift = None if before is None else camera_shift(before[1], steady)
        film.shifts.append((np.nan, np.nan) if shift is None else shift)
        if index % every == 0:
            film.samples.append(_sample(index, frame, luma))
        before = small, steady
    if not film.times:
        raise MediaError("it has no picture that can be decoded")
    return film


def _sample(index: int, frame: Frame, small: Floats) -> Sample:
    luma, thumbnail = luma_of(frame), io.BytesIO()
    picture = Image.fromarray(frame)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    picture.save(thumbnail, "JPEG", quality=80)
    return Sample(
        index=index, blur=blur(luma), text=text_share(luma), luma=small.astype(np.uint8),
        row_peaks=np.percentile(luma, 98, axis=1).astype(np.uint8),
        column_peaks=np.percentile(luma, 98, axis=0).astype(np.uint8), thumbnail=thumbnail.getvalue(),
    )  # fmt: skip


def find_cuts(change: Sequence[float], grays: Sequence[NDArray[np.uint8]]) -> list[int]:
    """Numbers of the frames with which a new shot begins.

    change: of each frame against the one before, in gray levels, 0 for the first; grays: small gray copies of the frames.
    """
    values = np.asarray(change)
    cuts: list[int] = _faded(values, grays)
    for index in np.flatnonzero(values >= CUT_CHANGE).tolist():
        around = np.r_[values[max(index - CUT_NEIGHBORS, 1) : index], values[index + 1 : index + 1 + CUT_NEIGHBORS]]
        usual = max(float(np.median(around)), 1.0) if len(around) else 1.0
        if values[index] < CUT_RATIO * usual:
            continue
        before, after = (np.stack(grays[part]).astype(np.int16) for part in (
            slice(max(index - FLASH_FRAMES, 0), index), slice(index, index + FLASH_FRAMES)
        ))  # fmt: skip
        nearest = np.abs(before[:, None] - after).mean((2, 3)).min()
        if nearest < np.abs(before[-1] - after[0]).mean() / 2:
            continue
        if all(abs(index - cut) > FLASH_FRAMES for cut in cuts):
            cuts.append(index)
    return sorted(cuts)


def _faded(change: Floats, grays: Sequence[NDArray[np.uint8]]) -> list[int]:
    """The middles of stretches of one color that a film fades into and out of. What jumps to or from one color is a cut or a
    flash."""
    plain = np.r_[False, [np.ptp(gray) <= PLAIN for gray in grays], False]
    edges = np.flatnonzero(np.diff(plain.astype(np.int8))).reshape(-1, 2).tolist()
    return [
        (first + stop) // 2
        for first, stop in edges
        if first > 1 and stop + 1 < len(grays)
        and change[first] < CUT_RATIO * max(change[first - 1], 1.0)
        and change[stop] < CUT_RATIO * max(change[stop + 1], 1.0)
    ]  # fmt: skip


def shots_of(film: FilmMeasures, longest_s: float) -> Iterator[DetectedShot]:
    """The shots of a film in order; those longer than `longest_s` seconds in even pieces."""
    bounds = [0, *find_cuts(film.change, film.grays), len(film.times)]
    times = [*film.times, film.times[-1] + 1 / film.facts.fps]
    for number, (first, last) in enumerate(pairwise(bounds)):
        pieces = max(int(np.ceil((times[last] - times[first]) / longest_s - 1e-6)), 1)
        edges = np.linspace(first, last, min(pieces, last - first) + 1).round().astype(int).tolist()
        for begin, end in pairwise(edges):
            yield _shot(film, number, begin, end, times)


def _shot(film: FilmMeasures, number: int, first: int, last: int, times: Sequence[float]) -> DetectedShot:
    samples = [sample for sample in film.samples if first <= sample.index < last]
    if not samples:
        samples = [min(film.samples, key=lambda sample: abs(sample.index - first))]
    row_peaks = np.max([sample.row_peaks for sample in samples], axis=0)
    column_peaks = np.max([sample.column_peaks for sample in samples], axis=0)
    box = picture_box(row_peaks, column_peaks)
    lumas = np.stack([sample.luma for sample in samples] if len(samples) > 2 else film.grays[first:last])
    picks = [
        samples[i] for i in np.unique(np.linspace(0, len(samples) - 1, min(MOST_COMPARED, len(samples))).round().astype(int))
    ]
    shown = (samples[0], samples[len(samples) // 2], samples[-1])
    return DetectedShot(
        start_s=float(times[first]), stop_s=float(times[last]), piece_of=number, box=box,
        motion=float(np.percentile(np.ptp(lumas, axis=0), 99)),
        shake=shake(np.asarray(film.shifts[first + 1 : last]).reshape(-1, 2)),
        blur=float(np.median([sample.blur for sample in samples])), text=float(np.median([sample.text for sample in samples])),
        copies=small_copies(np.stack([_within(sample.thumbnail, box) for sample in picks])),
        thumbnails=tuple(base64.b64encode(sample.thumbnail).decode() for sample in shown),
    )  # fmt: skip


def _within(thumbnail: bytes, box: tuple[float, float, float, float]) -> Frame:
    """The picture of a thumbnail within black bars."""
    with Image.open(io.BytesIO(thumbnail)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    rows, columns = pixels.shape[:2]
    top, left, bottom, right = (round(share * side) for share, side in zip(box, (rows, columns, rows, columns), strict=True))
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
