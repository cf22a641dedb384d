"""The clip: frames, frame rate, what is in them and how they were made."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.errors import InputError, excerpt
from kinema.media.frame_buffer import each, held
from kinema.media.sound import Sound
from kinema.scene.scene import Scene
from kinema.types import Frames, python_values

PIXELS_FPS = 16.0
"""Frames a second of pixels that come without a clock."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A video, or a picture: a clip of one frame.

    Attributes:
        frames: Pixels, uint8 [T, H, W, 3].
        fps: Frames per second.
        state: The state of the T frames, if it is known.
        caption: The prompt.
        settings: Plain JSON that says how the clip was made.
        sound: What is heard from the first frame on, if anything. It lasts as long as the frames: a longer one is cut at its end,
            silence follows a shorter one.
        source_size: "WIDTHxHEIGHT" of the pictures of the file, if they were shrunk while it was read; else "".
    """

    frames: Frames
    fps: float
    state: Scene | None = None
    caption: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    sound: Sound | None = None
    source_size: str = ""

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if self.frames.dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
            raise InputError(
                f"frames are {self.frames.dtype} {shape}, expected uint8 [time, height, width, 3], none of them 0"
            )
        if not 0 < self.fps <= 1000:
            raise InputError(f"{self.fps} frames a second: expected above 0, up to 1000")
        object.__setattr__(self, "fps", python_values(self.fps))
        object.__setattr__(self, "settings", python_values(self.settings))
        if self.sound is not None:
            object.__setattr__(self, "sound", self.sound.lasting(self.duration_s))

    def __repr__(self) -> str:
        heard = "" if self.sound is None else ", with sound"
        return f"Clip({self.size}, {self.num_frames} frames at {self.fps:g} fps{heard}, {self.caption!r})"

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.frames)

    @property
    def duration_s(self) -> float:
        """T / fps, in seconds."""
        return self.num_frames / self.fps

    @property
    def size(self) -> str:
        """'WIDTHxHEIGHT'."""
        return f"{self.frames.shape[2]}x{self.frames.shape[1]}"

    def picture(self, index: int = 0) -> Image.Image:
        """Return one frame as a PIL picture."""
        return Image.fromarray(self.frames[index])

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the clip with its settings, state and sound, whole or not at all. Into pictures and GIFs no sound goes, which a
        warning says.

        Args:
            path: The file. Its ending names the format: .mp4, .mkv, .webm, .gif, .png, .jpg or .webp.
            force: Overwrite the file if it exists.

        Returns:
            The path.

        Raises:
            OutputError: The file exists and force is False, the ending is unknown, the disk is full, or there is no permission.
        """
        from kinema.media.write import write_clip

        return write_clip(self, Path(path), force=force)

    @staticmethod
    def open(
        path: str | Path, *, first: int | None = None, last: int | None = None, longest: int | None = None,
        within: int | None = None, sound: bool = True,
    ) -> Clip:  # fmt: skip
        """Read a video or picture.

        Args:
            path: Any file that FFmpeg or Pillow reads.
            first: Read only so many frames from the beginning. None: all.
            last: Read only so many frames up to the end. None: all.
            longest: Shrink larger pictures while they are decoded, so that their longer side has so many pixels. Films that Kinema
                wrote with their state stay as they are. None: no picture is shrunk.
            within: Shrink larger pictures so that all frames together take so many bytes, though not below 128 pixels of their
                shorter side; the same holds. None: no picture is shrunk.
            sound: Whether to read the sound of the frames too.

        Returns:
            The clip with the sound of its frames, and with settings and state if Kinema wrote the file.

        Raises:
            MediaError: The file is missing, empty, corrupt or without pictures.
            InputError: No path, such as an address; first, last or longest is no whole number from 1 on, or both first and last
                are given.
        """
        from kinema.media.read import read_clip
        from kinema.media.wanted import Wanted

        if not isinstance(path, str | Path) or not str(path).strip() or (isinstance(path, str) and "://" in path):
            raise InputError(f"{excerpt(repr(path))} was given for a file: expected a path on this machine")
        return read_clip(Path(path), wanted=Wanted(first=first, last=last, longest=longest, within=within, sound=sound))

    @staticmethod
    def of(
        source: AnyClip, *, first: int | None = None, last: int | None = None, longest: int | None = None,
        within: int | None = None, sound: bool = True,
    ) -> Clip:  # fmt: skip
        """Make a clip from a clip, a file, a picture or pixels.

        Args:
            source: A clip, a path, a PIL picture, or uint8 pixels [H, W, 3] or [T, H, W, 3] at 16 frames per second.
            first: Of a file, as in `Clip.open`; other sources are taken as they are.
            last: The same.
            longest: The same.
            within: The same.
            sound: The same.

        Returns:
            The clip.

        Raises:
            InputError: Anything else.
            MediaError: A file that cannot be read.
        """
        if isinstance(source, Clip):
            return source
        if isinstance(source, str | Path):
            return Clip.open(source, first=first, last=last, longest=longest, within=within, sound=sound)
        if isinstance(source, Image.Image):
            from kinema.media.read import flattened

            return Clip(frames=flattened(source)[None], fps=PIXELS_FPS)
        if isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.ndim in (3, 4) and source.shape[-1] == 3:
            return Clip(frames=source[None] if source.ndim == 3 else source, fps=PIXELS_FPS)
        what = type(source).__name__
        if isinstance(source, np.ndarray):
            what = f"an array {source.dtype} {source.shape}"
        raise InputError(
            f"{what} was given for a clip: expected a kinema.Clip, a path, a PIL picture, or uint8 pixels"
            " [height, width, 3] or [time, height, width, 3]"
        )

    def cut(self, which: slice) -> Clip:
        """Return some of the frames, with their state and sound."""
        index = np.arange(self.num_frames)[which]
        sound = None if self.sound is None or not len(index) else self.sound.of_frames(index, self.fps)
        return replace(self, frames=self.frames[which], state=self.state and self.state.frames(which), sound=sound)

    def pick(self, index: NDArray[np.int64]) -> Clip:
        """Return frames by their numbers [T], in that order, with their state and sound."""
        state = None if self.state is None else self.state.frames(index)
        sound = None if self.sound is None else self.sound.of_frames(index, self.fps)
        return replace(self, frames=held(each(self.frames, index), len(index)), state=state, sound=sound)

    def resample(self, fps: float) -> Clip:
        """Change the frame rate: each new frame is the latest old one.

        Args:
            fps: Frames per second of the result.

        Returns:
            The clip at that rate, with its state and sound.

        Raises:
            InputError: fps is not above 0 and up to 1000.
        """
        if not 0 < fps <= 1000:
            raise InputError(f"{fps} frames a second: expected above 0, up to 1000")
        if fps == self.fps:
            return self
        index = np.arange(max(round(self.duration_s * fps), 1)) * self.fps / fps
        picks = np.minimum((index + 1e-6).astype(np.int64), self.num_frames - 1)
        state = None if self.state is None else replace(self.state.frames(picks), fps=fps)
        return replace(self, frames=held(each(self.frames, picks), len(picks)), fps=fps, state=state)

    def fit(self, width: int, height: int) -> Clip:
        """Crop the pictures to an aspect from their middle, then resize them.

        Args:
            width: Width of the result in pixels.
            height: Height of the result in pixels.

        Returns:
            The clip at that size. Its state is seen by a camera that is closer by as much as was cropped.

        Raises:
            InputError: A size below 1.
        """
        if width < 1 or height < 1:
            raise InputError(f"size {width}x{height}: expected positive numbers of pixels")
        old_h, old_w = self.frames.shape[1:3]
        if (width, height) == (old_w, old_h):
            return self
        scale = max(width / old_w, height / old_h)
        cut_w, cut_h = min(round(width / scale), old_w), min(round(height / scale), old_h)
        left, top = (old_w - cut_w) // 2, (old_h - cut_h) // 2
        box = (left, top, left + cut_w, top + cut_h)
        resized = (
            np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.LANCZOS, box=box))
            for f in each(self.frames)
        )
        state = self.state
        if state is not None and (cut_w, cut_h) != (old_w, old_h):
            state = state.cropped(cut_w / cut_h, old_h / cut_h)
        return replace(self, frames=held(resized, self.num_frames), state=state)

    def _repr_html_(self) -> str:
        """Shown inline in notebooks."""
        ending, kind = (".png", "image/png") if self.num_frames == 1 else (".mp4", "video/mp4")
        with tempfile.TemporaryDirectory() as folder:
            data = base64.b64encode(self.save(Path(folder) / f"clip{ending}").read_bytes()).decode()
        style = f"style='width:{max(self.frames.shape[2], 256)}px;image-rendering:pixelated'"
        if self.num_frames == 1:
            return f"<img {style} src='data:{kind};base64,{data}'>"
        return f"<video {style} controls loop muted autoplay src='data:{kind};base64,{data}'></video>"


AnyClip = Clip | str | Path | Image.Image | Frames
"""What `Clip.of` takes."""
