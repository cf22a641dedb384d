"""A cut as other programs read it: OpenTimelineIO, a CMX 3600 edit decision list, and SubRip subtitles."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.director.script import Script, TransitionKind

READ_PER_SECOND = 14.0
"""Characters that people read in a second."""
LEAST_S = 1.2
"""How long a subtitle stays at least."""


@dataclass(frozen=True, kw_only=True)
class EditedShot:
    """A take in the film. start: its first frame in the film; frames: its length; transition: to it; overlap: frames that it shares
    with the shot before."""

    id: str
    take: int
    path: Path
    start: int
    frames: int
    transition: TransitionKind = "cut"
    overlap: int = 0


def otio_of(title: str, edit: Sequence[EditedShot], fps: float, folder: Path) -> str:
    """The cut as OpenTimelineIO JSON.

    Args:
        title: Of the timeline.
        edit: Its shots.
        fps: Frames per second.
        folder: Where the file will lie; takes are named relative to it.

    Returns:
        The JSON. A dissolve is a transition between two clips, each of which is shorter by half of the overlap.
    """
    children: list[dict[str, Any]] = []
    if edit and edit[0].start:
        children.append({"OTIO_SCHEMA": "Gap.1", "name": "title", "source_range": _range(0, edit[0].start, fps)})
    for number, shot in enumerate(edit):
        after = edit[number + 1].overlap if number + 1 < len(edit) else 0
        head, tail = shot.overlap - shot.overlap // 2, after // 2
        if shot.overlap:
            children.append(
                {
                    "OTIO_SCHEMA": "Transition.1", "name": "dissolve", "transition_type": "SMPTE_Dissolve", "metadata": {},
                    "in_offset": _time(shot.overlap // 2, fps), "out_offset": _time(head, fps),
                }
            )  # fmt: skip
        children.append(
            {
                "OTIO_SCHEMA": "Clip.2", "name": shot.id,
                "metadata": {"kinema": {"take": shot.take, "transition": shot.transition}},
                "source_range": _range(head, shot.frames - head - tail, fps), "active_media_reference_key": "DEFAULT_MEDIA",
                "media_references": {
                    "DEFAULT_MEDIA": {
                        "OTIO_SCHEMA": "ExternalReference.1", "name": shot.id, "metadata": {},
                        "target_url": Path(os.path.relpath(shot.path, folder)).as_posix(),
                        "available_range": _range(0, shot.frames, fps),
                    }
                },
            }
        )  # fmt: skip
    track = {"OTIO_SCHEMA": "Track.1", "name": "video", "kind": "Video", "metadata": {}, "children": children}
    timeline = {
        "OTIO_SCHEMA": "Timeline.1", "name": title, "metadata": {}, "global_start_time": None,
        "tracks": {"OTIO_SCHEMA": "Stack.1", "name": "tracks", "metadata": {}, "children": [track]},
    }  # fmt: skip
    return json.dumps(timeline, indent=1, ensure_ascii=False) + "\n"


def _time(frames: int, fps: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(fps), "value": float(frames)}


def _range(start: int, frames: int, fps: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(start, fps), "duration": _time(frames, fps)}


def edl_of(title: str, edit: Sequence[EditedShot], fps: float) -> str:
    """The cut as a CMX 3600 edit decision list, without drop frames. A dissolve names its length in frames."""
    lines = [f"TITLE: {title}", "FCM: NON-DROP FRAME", ""]
    for number, shot in enumerate(edit, 1):
        after = edit[number].overlap if number < len(edit) else 0
        kind = f"D    {shot.overlap:03d}" if shot.overlap else "C       "
        times = (0, shot.frames - after, shot.start, shot.start + shot.frames - after)
        reel = "".join(c for c in shot.id.upper() if c.isalnum())[:8] or "AX"
        lines.append(f"{number:03d}  {reel:<8} V     {kind} {' '.join(timecode(time, fps) for time in times)}")
        lines += [f"* FROM CLIP NAME: {shot.path.name}", f"* SOURCE FILE: {shot.path.parent.name}/{shot.path.name}"]
    return "\n".join(lines) + "\n"


def timecode(frames: int, fps: float) -> str:
    """'00:00:04:08' of a number of frames."""
    rate = max(round(fps), 1)
    seconds, rest = divmod(frames, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"


def srt_of(edit: Sequence[EditedShot], script: Script, fps: float) -> str:
    """Subtitles of the dialogue; empty where there is none. A line without a time begins after the one before it."""
    entries: list[str] = []
    for shot in edit:
        begin = shot.start / fps
        end = (shot.start + shot.frames) / fps
        for line in script.shots[script.index_of(shot.id)].dialogue:
            start = begin if line.start_s is None else (shot.start / fps + line.start_s)
            stop = max(start + max(len(line.text) / READ_PER_SECOND, LEAST_S), start + LEAST_S)
            stop = max(min(stop, end), start + 0.4)
            who = f"{' '.join(line.who.split())}: " if line.who.strip() else ""
            text = "\n".join(part.strip() for part in line.text.splitlines() if part.strip())
            entries.append(f"{len(entries) + 1}\n{_clock(start)} --> {_clock(stop)}\n{who}{text}\n")
            begin = stop
    return "\n".join(entries)


def _clock(seconds: float) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"
