"""The invisible half of provenance: an id of 40 bits in the brightness of the frames, found again in changed copies.

A spread spectrum mark (Cox et al., 1997, "Secure spread spectrum watermarking for multimedia") without weights to train: a
keyed pattern of chips that changes every four frames, about one gray level strong where a frame is flat and a few where it is
busy. Whatever stands still while the pattern changes is not the pattern, so the scene falls out by subtracting each pixel's
average over its neighbors in time. What is left is folded onto one period of the pattern, and one Fourier transform in three
dimensions compares it with every place and moment at which a cropped or trimmed copy may begin; this is repeated for a list of
scales and frame rates.

The key says where to look, not who may look: with the public default anyone can verify, and anyone who wants to can erase.
This is a label, not a lock.

Axes: T frames, H and W pixels, P PERIOD, N samples across a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError
from kinema.media.frame_buffer import each, held
from kinema.provenance import pattern
from kinema.provenance.code import ID_BITS, decode_id, encode_id
from kinema.provenance.pattern import HOLD, PERIOD, SIDE, SLOTS
from kinema.provenance.residual import FEWEST, halved, luma, residual
from kinema.types import Floats, Frames

PUBLIC_KEY = b"kinema public watermark key 1"
"""The key that marks are made with unless another is named; public, so that anyone can verify."""
WINDOW = 128
"""Frames of a small film that are searched together."""
MOST_WINDOWS = 4
"""Windows of a long film that are searched, spread over it."""
LARGEST = 512
"""Frames with a longer short side are halved before the search."""
SAMPLES = 3
"""Samples of a chip while searching; N = SAMPLES_WIDE."""
SAMPLES_WIDE = SAMPLES * SIDE
CHIPS = (8.0, 4.0, 6.0, 16 / 3, 10.0, 7.0)
"""Pixels of a chip that are looked for, in the frames and in their halves, quarters, ... (there from 6 on)."""
RATES = (2.0, 0.5, 2 / 3, 8 / 15)
"""Frames of the marked clip to one of the copy, besides 1: half and double the rate, 16 in 24 and in 30 frames a second."""
SMALL = 256 * 256
"""Frames of up to as many pixels are searched WINDOW at a time, larger ones PERIOD, which is enough there."""
SMALLEST = 24
"""Pixels of the short side below which frames are not halved."""
RIDGE = 0.3
"""How much small chips are held back when they are told from their neighbors."""
PEAKS = 4
"""Places tried at each scale."""
GATE = 5.0
"""Standard deviations by which a place must stand out to be tried."""
FLAT, BUSY = 0.4, 1.65
"""Strength of a mark where a frame is flat, and where it is busy, as shares of that of an even one: seen least, found as often."""
LOUDEST = 1.04
"""The most that a mark may be of an even one, in the root mean square over a frame, so that busy films keep 38 dB."""
BUSY_LEVELS = 12.0
"""Standard deviation of the brightness around a pixel, in gray levels, from which on it is busy."""
FEWEST_RIGHT = 0.7
"""Share of the coded bits below which a reading is thrown away: where there is no mark it is 0.68 on average."""


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """A mark that was read, its checksum right. score: by how many standard deviations the pattern stands out of the rest;
    agreement: share of the coded bits that were read right; chip: pixels of a chip in these frames (8, 16, 32 as
    marked); rate: frames of the marked clip to one of these."""

    id: int
    score: float
    agreement: float
    chip: float
    rate: float = 1.0


def chip_pixels(count: int, height: int, width: int) -> int:
    """Pixels of a chip in so many frames of that size: coarser in large films, which are often made much smaller; a picture
    has no frames to spread its id over, so there they stay small."""
    return 8 << max(int(np.log2(min(height, width) / 256)), 0) if count >= FEWEST else 8


def strength_db(count: int, height: int, width: int) -> float:
    """PSNR that a mark leaves: small frames have less room for it, and pictures less still, so there it is stronger."""
    return float(np.clip(38.5 + 1.5 * np.log2(min(height, width) / 128), 38.5, 43)) if count >= FEWEST else 38.5


def mark(frames: Frames, id: int, key: bytes = PUBLIC_KEY) -> Frames:
    """Frames [T, H, W, 3] that carry an id of 40 bits. Short or small ones carry what fits; `detect` tells if that is enough. The
    mark is weak where a film is flat, and as strong as it is busy elsewhere; even in pictures, which have no time to average."""
    if not 0 <= id < 1 << ID_BITS:
        raise InputError(f"id {id} does not fit into {ID_BITS} bits; expected 0 to 2**{ID_BITS} - 1")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            f"frames are {frames.dtype} {frames.shape}, expected uint8 [time, height, width, 3], none of them 0"
        )
    count, height, width, _ = frames.shape
    chips = np.roll(pattern.plan_of_key(key).chips(id), pattern.tile_start(id), (0, 1, 2))
    slots = np.arange(count) // HOLD % SLOTS
    chip = chip_pixels(count, height, width)
    drawn = pattern.render_pattern(chips[: slots.max() + 1], height, width, chip)
    drawn *= 255 / 10 ** (strength_db(count, height, width) / 20) / np.sqrt(np.square(drawn).mean())
    dither = _dither(height, width)

    def marked() -> Iterator[Frames]:
        shift = np.zeros((height, width, 1), np.int16)
        for number, frame in enumerate(each(frames)):
            if number % HOLD == 0:
                middle = frames[number + min(HOLD, count - number) // 2]
                strength = 1.0 if count < FEWEST else _strength(luma(middle[None], LARGEST)[0], chip, (height, width))
                shift = np.floor(drawn[slots[number]] * strength + dither).astype(np.int16)[..., None]
            yield np.clip(frame + shift, 0, 255).astype(np.uint8)

    return held(marked(), count)


def _strength(bright: Floats, chip: int, size: tuple[int, int]) -> Floats:
    """How strong a mark is at each pixel [*size], FLAT to BUSY, by the brightness [h, w] of a frame or of one that was halved."""
    reach = max(chip // 2 * bright.shape[1] // size[1], 1)
    mean, square = _around(bright, reach), _around(np.square(bright), reach)
    spread = np.sqrt(np.maximum(square - np.square(mean), 0))
    strength: Floats = (FLAT + (BUSY - FLAT) * np.minimum(spread / BUSY_LEVELS, 1)).astype(np.float32)
    strength *= min(LOUDEST / float(np.sqrt(np.square(strength).mean())), 1.0)
    rows, columns = (np.minimum(np.arange(n) * m // n, m - 1) for n, m in zip(size, bright.shape, strict=True))
    return strength if bright.shape == size else strength[np.ix_(rows, columns)]


def _around(values: Floats, reach: int) -> Floats:
    """The average over the pixels up to `reach` away, across and down [h, w]."""
    for axis in (0, 1):
        edge = [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(values, edge, mode="edge"), axis, dtype=np.float64)
        first, last = (np.take(total, range(start, start + values.shape[axis]), axis) for start in (0, 2 * reach + 1))
        values = ((last - first) / (2 * reach + 1)).astype(np.float32)
    return values


def _dither(height: int, width: int) -> Floats:
    """An ordered dither after Bayer, 0 to 1: whole gray levels that are fractions of one on average [H, W]."""
    quarter = np.array([[0, 2], [3, 1]], np.float32)
    tile = (np.kron(np.ones((2, 2)), quarter * 4) + np.kron(quarter, np.ones((2, 2)))).astype(np.float32)
    out: Floats = np.tile((tile + 0.5) / 16, (-(-height // 4), -(-width // 4)))[:height, :width].astype(np.float32)
    return out


def detect(frames: Frames, key: bytes = PUBLIC_KEY) -> Watermark | None:
    """The mark in frames [T, H, W, 3] of any size, or None: no mark of that key, or too little left of it to be sure."""
    count, height, width, _ = frames.shape
    window = WINDOW if height * width <= SMALL else PERIOD
    starts = np.linspace(0, max(count - window, 0), min(-(-count // window), MOST_WINDOWS)).astype(int)
    for at in starts:
        levels = _levels(luma(frames[at : at + window], LARGEST))
        shrunk = min(height, width) / min(levels[0].shape[1:])
        for level, chip, rate in _guesses(len(levels), moving=count > HOLD):
            reading = _search(levels[level], chip, rate, key)
            if reading is not None:
                return replace(reading, chip=chip * 2**level * round(shrunk))
    return None


def detect_unchanged(frames: Frames, key: bytes = PUBLIC_KEY) -> Watermark | None:
    """As `detect`, for frames of the size and rate that they were marked with: the search at one scale alone, in the first frames
    alone. None: `detect` may still find a mark."""
    count, height, width, _ = frames.shape
    bright = luma(frames[: WINDOW if height * width <= SMALL else PERIOD], LARGEST)
    chip = chip_pixels(count, height, width) * bright.shape[1] / height
    while chip > CHIPS[0]:
        bright, chip = halved(bright), chip / 2
    reading = _search(residual(bright), chip, 1.0, key)
    return reading and replace(reading, chip=float(chip_pixels(count, height, width)))


def _levels(bright: Floats) -> list[Floats]:
    """What the scene leaves of the frames, their halves, quarters, ... as long as a few chips fit in."""
    out = [residual(bright)]
    while min(bright.shape[1:]) >= 2 * SMALLEST:
        bright = halved(bright)
        out.append(residual(bright))
    return out


def _guesses(levels: int, *, moving: bool) -> Iterator[tuple[int, float, float]]:
    """(level, pixels of a chip in it, rate), the likely first."""
    yield from ((level, chip, 1.0) for chip in CHIPS for level in range(levels) if level == 0 or chip > CHIPS[1])
    if moving:
        yield from (
            (level, chip, rate) for rate in RATES for level, chip in ((0, 8.0), (0, 4.0), (1, 8.0)) if level < levels
        )


def _search(left: Floats, chip: float, rate: float, key: bytes) -> Watermark | None:
    """The mark at one scale and rate: every place and moment compared at once, the best few read.

    The spectrum is made half flat before, so that stripes and borders in the scene count for less.
    """
    volume = _fold(left, chip, rate)
    spectrum = np.fft.rfftn(volume)
    spectrum /= np.sqrt(np.abs(spectrum)) + 1e-3
    match = np.fft.irfftn(spectrum * _template(key), volume.shape, (0, 1, 2))
    match /= match.std() + 1e-12
    for _ in range(PEAKS):
        t, y, x = (int(place) for place in np.unravel_index(match.argmax(), match.shape))
        score = float(match[t, y, x])
        if score < GATE:
            return None
        reading = _read(np.roll(volume, (-t, -y, -x), (0, 1, 2)), key)
        if reading is not None:
            return Watermark(id=reading[0], score=score, agreement=reading[1], chip=chip, rate=rate)
        near = np.arange(-SAMPLES, SAMPLES + 1)
        match[np.ix_((near + t) % PERIOD, (near + y) % SAMPLES_WIDE, (near + x) % SAMPLES_WIDE)] = 0
    return None


def _fold(left: Floats, chip: float, rate: float) -> Floats:
    """All frames laid onto one period of the pattern [P, N, N]."""
    across, down = (_folding(count, chip) for count in (left.shape[2], left.shape[1]))
    tiles = np.matmul(np.matmul(down, left), across.T)
    phase = ((np.arange(len(left)) + 0.5) * rate).astype(int) % PERIOD
    at = (phase == np.arange(PERIOD)[:, None]).astype(np.float32)
    return np.tensordot(at, tiles, 1)


@lru_cache(maxsize=256)
def _folding(count: int, chip: float) -> Floats:
    """Which of a tile's samples each of `count` pixels falls on, shared between the nearest two [N, count]."""
    step = SAMPLES / chip
    place = (np.arange(count) + 0.5) * step - 0.5
    low = np.floor(place).astype(int)
    share = (place - low).astype(np.float32)
    out = np.zeros((SAMPLES_WIDE, count), np.float32)
    np.add.at(out, (low % SAMPLES_WIDE, np.arange(count)), 1 - share)
    np.add.at(out, ((low + 1) % SAMPLES_WIDE, np.arange(count)), share)
    return out


@lru_cache(maxsize=4)
def _template(key: bytes) -> NDArray[np.complex64]:
    """The known part of the pattern, ready to be compared in the frequency domain."""
    drawn = pattern.render_pattern(pattern.plan_of_key(key).sync, SAMPLES_WIDE, SAMPLES_WIDE, SAMPLES)
    return np.conj(np.fft.rfftn(np.repeat(drawn, HOLD, 0))).astype(np.complex64)


def _read(volume: Floats, key: bytes) -> tuple[int, float] | None:
    """(id, share of its coded bits seen right) of a tile that begins at the volume's corner, if the checksum is right."""
    slots = volume.reshape(SLOTS, HOLD, SAMPLES_WIDE, SAMPLES_WIDE).sum(1)
    evidence = pattern.plan_of_key(key).evidence(np.matmul(np.matmul(_unfolding(), slots), _unfolding().T))
    value = decode_id(evidence)
    if value is None:
        return None
    right = float((evidence * encode_id(value) > 0).mean())
    return (value, right) if right >= FEWEST_RIGHT else None


@lru_cache(maxsize=1)
def _unfolding() -> Floats:
    """Samples to chips, by least squares with a little weight on small values [SIDE, N]."""
    seen = pattern.basis(SAMPLES_WIDE, SAMPLES)
    overlap = seen.T @ seen
    return np.linalg.solve(overlap + RIDGE * overlap[0, 0] * np.eye(SIDE, dtype=np.float32), seen.T)
