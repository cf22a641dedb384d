"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TakeCheck:
    """One check of a take. name: what is checked; saw: what was measured, in words; frames: where; weight: in a take's score."""

    name: str
    passed: bool
    saw: str
    frames: tuple[int, ...] = ()
    weight: float = 1.0


def spans_of(frames: list[int], most: int = 3) -> str:
    """'3-7, 12' of frame numbers, whose gaps of up to eight frames are closed."""
    spans: list[list[int]] = []
    for frame in sorted(frames):
        if spans and frame - spans[-1][1] <= 8:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in spans[:most]]
    return ", ".join(words) + (f" and {len(spans) - most} more" if len(spans) > most else "")
