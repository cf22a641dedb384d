"""Captioned clips: any set of videos with texts, opened and checked as one, and read part by part.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinema.datasets.clip_sources import FoundClip, VideoSource, find_clips
from kinema.errors import InputError, MediaError
from kinema.media.clip import Clip
from kinema.media.film_stream import FilmFacts, on_clock
from kinema.media.frame_buffer import FrameBuffer
from kinema.types import Frame


@dataclass(frozen=True, kw_only=True)
class ClipEntry:
    """One clip of a set.

    Attributes:
        name: Of its own in the set; the path of its file without the ending.
        captions: The main caption first; others say the same in other words.
        width, height: Of the pictures as they are shown, in pixels.
        fps: Frames a second of the file.
        duration_s: Length in seconds.
        license: What is written beside it, "" where nothing is.
        faces: Whether faces are seen, by what is written beside it; None where nothing is.
        fields: What else is written beside it.
    """

    name: str
    captions: tuple[str, ...]
    width: int
    height: int
    fps: float
    duration_s: float
    license: str = ""
    faces: bool | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """The main caption."""
        return self.captions[0]

    @property
    def num_frames(self) -> int:
        """Frames of the file, at least 1."""
        return max(round(self.duration_s * self.fps), 1)

    def shrunk(self, short_side: int) -> tuple[int, int]:
        """(height, width) with a shorter side of so many pixels, of the same aspect up to half a pixel."""
        scale = short_side / min(self.width, self.height)
        return max(round(self.height * scale), 1), max(round(self.width * scale), 1)


def parse_faces(value: Any, where: str) -> bool | None:
    """What the field `faces` says: true, false, a number of faces, or nothing. InputError for anything else."""
    if value is None or isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    try:
        return float(value) > 0
    except (TypeError, ValueError):
        raise InputError(f"{where}: faces is {str(value)[:40]!r}; expected true, false or how many") from None


class CaptionedClips:
    """Clips with captions, by name.

    Attributes:
        path: Of the set, as it was given.
        entries: What each clip is.
    """

    def __init__(self, path: str, entries: tuple[ClipEntry, ...], videos: tuple[VideoSource, ...]) -> None:
        self.path, self.entries, self._videos = path, entries, videos

    @staticmethod
    def open(
        path: Path | str, *, camera: str | None = None, show: Callable[[int, int], None] | None = None
    ) -> CaptionedClips:
        """Find all clips of a set and check each: its caption, its header, its first picture and its end.

        Args:
            path: A folder of videos with a text beside each (a.mp4 with a.txt or a.json) or with a table (metadata.jsonl or
                metadata.csv with the columns file_name and caption or text); WebDataset shards (*.tar with .mp4 and .txt or .json);
                or a dataset in LeRobot's layout, whose tasks are the captions. On this machine, or an address that fsspec knows.
                Columns `caption_...` are further captions; `license` and `faces` are kept, as are all others.
            camera: Of a dataset of LeRobot with several.
            show: Called with how many clips are checked, and of how many.

        Returns:
            The clips.

        Raises:
            MediaError: In one line, what is wrong with how many clips, and where.
            InputError: A path or a table that cannot be used.
        """
        clips = find_clips(path, camera=camera)
        entries, problems = [], []
        for done, clip in enumerate(clips, 1):
            try:
                entries.append(_checked(clip))
            except InputError as error:
                problems.append(str(error))
            if show is not None:
                show(done, len(clips))
        if problems:
            more = f" (and {len(problems) - 1} more of {len(clips)} clips cannot be used)" if len(problems) > 1 else ""
            raise MediaError(f"{problems[0]}{more}")
        return CaptionedClips(str(path), tuple(entries), tuple(clip.video for clip in clips))

    def __len__(self) -> int:
        return len(self.entries)

    def frames(
        self,
        number: int,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        start_s: float = 0.0,
        stop_s: float = math.inf,
    ) -> Iterator[Frame]:
        """Read a part of a clip frame by frame; nothing else of it is decoded or held.

        Args:
            number: Of the clip in `entries`.
            size: (height, width) to which pictures are resized while they are decoded. None: as they are.
            fps: Frames a second; each shows the latest of the file. None: as the file has them.
            start_s: The first moment.
            stop_s: Frames before this moment.

        Returns:
            Pictures, uint8 [H, W, 3].

        Raises:
            MediaError: The file is damaged there.
        """
        frames = self._videos[number].frames(size=size, start_s=start_s, stop_s=stop_s)
        source_fps = self.entries[number].fps
        return on_clock(frames, source_fps=source_fps, fps=fps or source_fps, start_s=start_s, stop_s=stop_s)

    def read(
        self,
        number: int,
        *,
        short_side: int | None = None,
        fps: float | None = None,
        start_s: float = 0.0,
        stop_s: float = math.inf,
    ) -> Clip:
        """Read a part of a clip as a `Clip` with its caption.

        Args:
            number: Of the clip in `entries`.
            short_side: Pixels of the shorter side, to which pictures are resized while they are decoded. None: as they are.
            fps: As in `frames`.
            start_s: As in `frames`.
            stop_s: As in `frames`.

        Returns:
            The clip, without sound.

        Raises:
            InputError: There are no frames in that part.
            MediaError: The file is damaged there.
        """
        entry = self.entries[number]
        size = None if short_side is None else entry.shrunk(short_side)
        buffer = FrameBuffer()
        for frame in self.frames(number, size=size, fps=fps, start_s=start_s, stop_s=stop_s):
            buffer.append(frame)
        if not len(buffer):
            raise InputError(f"{entry.name} has no frames from {start_s:g} s on; it lasts {entry.duration_s:g} s")
        return Clip(frames=buffer.take(), fps=fps or entry.fps, caption=entry.caption)

    def identity(self) -> str:
        """A hash that changes with the clips, their captions or their videos (their lengths, beginnings and ends)."""
        rows = [
            [entry.name, entry.captions, entry.width, entry.height, entry.fps, entry.duration_s, video.fingerprint()]
            for entry, video in zip(self.entries, self._videos, strict=True)
        ]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _checked(clip: FoundClip) -> ClipEntry:
    """The entry of a clip; InputError where it has no caption or cannot be read."""
    if not clip.captions or not clip.captions[0]:
        raise MediaError(
            f"{clip.where} has no caption; write one beside it (same name, .txt) or into the column caption of metadata.jsonl"
        )
    facts: FilmFacts = clip.video.facts()
    fields = dict(clip.fields)
    return ClipEntry(
        name=clip.name,
        captions=clip.captions,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        duration_s=facts.duration_s,
        license=str(fields.pop("license", None) or ""),
        faces=parse_faces(fields.pop("faces", None), clip.where),
        fields=fields,
    )
