"""Which shots are kept: limits of the measures, and which shots show the same as an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.curation.shots import DetectedShot
from kinema.errors import InputError
from kinema.media.fingerprint import Copies, same_content

ALIKE_BITS = 10
"""Of 64, by which hashes of pictures that may be the same differ at most."""


@dataclass(frozen=True, kw_only=True)
class CurationLimits:
    """What a shot must keep to.

    Attributes:
        shortest_s, longest_s: Seconds; longer shots are cut into pieces.
        motion: Least change of the most changing hundredth of the picture, in gray levels; below it a shot is static.
        shake: Most unsteadiness of the camera, in percent of the sides from frame to frame.
        blur: Most blur, from 0 to 1.
        text: Most share of the picture that is lines of text.
        side: Least pixels of the shorter side within black bars.
    """

    shortest_s: float = 1.0
    longest_s: float = 20.0
    motion: float = 8.0
    shake: float = 1.5
    blur: float = 0.72
    text: float = 0.06
    side: int = 48

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < float("inf"):
                raise InputError(f"limit {name} {value}: expected 0 or more")
        if not 0 < self.shortest_s <= self.longest_s:
            raise InputError(
                f"shots from {self.shortest_s:g} to {self.longest_s:g} seconds: expected above 0, and the longest"
                " not below the shortest"
            )

    def reasons(self, shot: DetectedShot, width: int, height: int) -> list[str]:
        """Why a shot of a film of this size is dropped, as a rule with both numbers each; nothing where it is not."""
        top, left, bottom, right = shot.box
        side = min((bottom - top) * height, (right - left) * width)
        checks = (
            (shot.duration_s < self.shortest_s - 1e-6, f"short: {shot.duration_s:.2f} s, below {self.shortest_s:g}"),
            (side < self.side, f"small: {side:.0f} pixels, below {self.side}"),
            (shot.motion < self.motion, f"static: motion {shot.motion:.1f}, below {self.motion:g}"),
            (shot.shake > self.shake, f"shaky: shake {shot.shake:.2f}, above {self.shake:g}"),
            (shot.blur > self.blur, f"blurred: blur {shot.blur:.2f}, above {self.blur:g}"),
            (shot.text > self.text, f"text: {shot.text:.3f} of the picture, above {self.text:g}"),
        )
        return [reason for fails, reason in checks if fails]


def parse_limits(texts: Sequence[str], **others: Any) -> CurationLimits:
    """Limits from texts such as "shake=1.5". InputError names those that there are."""
    names = [part.name for part in fields(CurationLimits)]
    values: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            if name not in names:
                raise ValueError
            values[name] = float(number)
        except ValueError:
            raise InputError(f"limit {text[:60]!r}: expected NAME=NUMBER with one of {', '.join(names)}") from None
    return CurationLimits(**values)


def picture_hashes(copies: Copies) -> NDArray[np.uint64]:
    """A hash of 64 bits of each small copy [n, 16, 16, 3]: whether each of 8 x 8 cells is brighter than the one to its right."""
    luma = copies.astype(np.float64).mean(-1)
    rows = luma.reshape(len(luma), 8, 2, 16).mean(2)
    columns = np.stack([rows[..., i : i + 8].mean(-1) for i in range(9)], -1)
    bits = (columns[..., :-1] > columns[..., 1:]).reshape(len(luma), 64)
    return np.asarray(bits @ (np.uint64(1) << np.arange(64, dtype=np.uint64)), np.uint64)


class DuplicateIndex:
    """Shots so far. A shot is looked up by hashes of its pictures; those that come near are compared."""

    def __init__(self) -> None:
        self._shots: list[tuple[str, DetectedShot, str]] = []
        self._hashes = np.zeros(0, np.uint64)
        self._owners = np.zeros(0, np.int64)

    def find(self, shot: DetectedShot, film: str) -> str | None:
        """The name of an earlier shot that shows the same; pieces of one long shot are never the same. film: which it is of."""
        mine = picture_hashes(shot.copies)
        near: set[int] = set()
        for value in mine:
            near |= set(self._owners[np.bitwise_count(self._hashes ^ value) <= ALIKE_BITS].tolist())
        for number in sorted(near):
            name, other, other_film = self._shots[number]
            if other_film == film and other.piece_of == shot.piece_of:
                continue
            if same_content(shot.copies, other.copies) or same_content(other.copies, shot.copies):
                return name
        return None

    def add(self, name: str, shot: DetectedShot, film: str) -> None:
        """Remember a shot that is kept."""
        mine = picture_hashes(shot.copies)
        self._hashes = np.concatenate([self._hashes, mine])
        self._owners = np.concatenate([self._owners, np.full(len(mine), len(self._shots))])
        self._shots.append((name, shot, film))
