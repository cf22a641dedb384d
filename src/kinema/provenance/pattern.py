"""The pattern of the mark: a keyed checkerwork of light and dark chips that repeats in space and in time.

A tile is SIDE x SIDE chips and repeats over the picture; it changes every HOLD frames and starts over after SLOTS changes.
Every slot holds all coded bits of the id once, in an order of its own, and between them chips whose signs depend on the key
alone, by which the mark is found. So one large picture carries the whole id, and so does a small film, whose frames show a
part of the tile each. Where the tile starts depends on the id: two marks in one film lie beside each other.

Everything is drawn from the key with SHAKE-256, so the same key means the same pattern in every version.

Axes: s slots, i and j chips down and across, h and w samples.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kinema.provenance.code import CODED_BITS, ID_BITS, encode_id
from kinema.types import Floats

SIDE, HOLD, SLOTS = 16, 4, 16
PERIOD = HOLD * SLOTS
"""Frames after which the pattern starts over."""
SYNC = -1
EDGE = 0.25
"""Half the width of a chip's soft edge, in chips."""


@dataclass(frozen=True)
class Plan:
    """role [s, i, j]: which coded bit a chip carries, or SYNC; sign [s, i, j]: 1 or -1, by which it is turned."""

    role: NDArray[np.int64]
    sign: Floats

    @property
    def sync(self) -> Floats:
        """What is known of the pattern without the id [s, i, j]."""
        return np.where(self.role == SYNC, self.sign, 0).astype(np.float32)

    def chips(self, value: int) -> Floats:
        """The pattern that carries an id [s, i, j], before it is moved to where the id puts it."""
        return np.where(self.role == SYNC, 1, encode_id(value)[self.role]).astype(np.float32) * self.sign

    def evidence(self, seen: Floats) -> Floats:
        """Chips as they were seen [s, i, j], gathered by coded bit."""
        carries = self.role != SYNC
        return np.bincount(self.role[carries], (seen * self.sign)[carries], CODED_BITS).astype(np.float32)


@lru_cache(maxsize=16)
def plan_of_key(key: bytes) -> Plan:
    """Who stands where under a key."""
    cells = SIDE * SIDE
    drawn = hashlib.shake_256(b"kinema watermark 1\0" + key).digest(SLOTS * cells * 8)
    numbers = np.frombuffer(drawn, "<u8").reshape(SLOTS, cells)
    role = np.full((SLOTS, cells), SYNC)
    np.put_along_axis(role, np.argsort(numbers, 1, kind="stable")[:, :CODED_BITS], np.arange(CODED_BITS)[None], 1)
    sign = 1 - 2 * (numbers >> np.uint64(1) & np.uint64(1)).astype(np.float32)
    return Plan(role.reshape(SLOTS, SIDE, SIDE), sign.reshape(SLOTS, SIDE, SIDE))


def tile_start(value: int) -> tuple[int, int, int]:
    """Where an id's tile begins: (slot, chips down, chips across)."""
    drawn = hashlib.shake_256(b"kinema start" + value.to_bytes(ID_BITS // 8, "big")).digest(3)
    return drawn[0] % SLOTS, drawn[1] % SIDE, drawn[2] % SIDE


def basis(count: int, chip: float) -> Floats:
    """How much of each chip of a row of tiles is seen at each of `count` samples, `chip` samples to a chip [count, SIDE]."""
    place = (np.arange(count) + 0.5) / chip - 0.5
    apart = np.abs((place[:, None] - np.arange(SIDE) + SIDE / 2) % SIDE - SIDE / 2)
    seen: Floats = np.clip((0.5 + EDGE - apart) / (2 * EDGE), 0, 1).astype(np.float32)
    return seen


def render_pattern(chips: Floats, height: int, width: int, chip: float) -> Floats:
    """The pattern at a size [s, h, w]."""
    drawn: Floats = np.matmul(np.matmul(basis(height, chip), chips), basis(width, chip).T)
    return drawn
