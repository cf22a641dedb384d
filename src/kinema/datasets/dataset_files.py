"""The files of an episode dataset in LeRobot's layout: where each lies, Parquet tables and videos read and written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from kinema.datasets.addresses import AnyPath
from kinema.errors import InputError, MediaError, OutputError
from kinema.media.write import SAME_FILE
from kinema.types import Floats

VERSION = "v3.0"
IMAGE = "observation.image"
SENSORS = "observation.state"
CHUNK = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One episode of T pictures. Rewards and ends are those of arriving at a picture, so the first are nothing.

    frames uint8 [T, H, W, 3]; action [T, D], of the last picture none; reward [T]; terminated, truncated bool [T]; sensors [T, S].
    """

    frames: NDArray[np.uint8]
    action: Floats
    reward: Floats
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    sensors: Floats
    task: str = ""

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, n)) for n in ("frames", "action", "reward", "terminated", "truncated", "sensors")}
        if len(lengths) != 1 or not len(self.frames):
            raise InputError(f"an episode whose parts have {sorted(lengths)} rows: expected one or more, alike for all")


def pyarrow_module() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("episode datasets need pyarrow: pip install 'kinema[worlds]'") from None
    return pyarrow


def read_table(path: AnyPath, **options: Any) -> Any:
    """A Parquet file; opened here, as pyarrow takes some names for addresses and does not know the bytes of others."""
    with path.open("rb") as file:
        return pyarrow_module().parquet.read_table(file, **options)


def columns_of(path: AnyPath) -> list[str]:
    with path.open("rb") as file:
        return list(pyarrow_module().parquet.read_schema(file).names)


def write_table(path: Path, table: Any) -> None:
    with path.open("wb") as file:
        pyarrow_module().parquet.write_table(table, file)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}; earlier episodes are intact") from None
    finally:
        if temporary.exists():
            temporary.unlink()


def write_video(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    """H.264 with full color, all but lossless; without x264's macroblock tree, so that the same film is the same file, as in
    `kinema.media.write`."""
    with path.open("wb") as target, av.open(target, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv444p"
        stream.options = {"crf": "8", "preset": "veryfast", "g": "32", **SAME_FILE}
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode())


def _unreadable(path: AnyPath, error: Exception) -> MediaError:
    return MediaError(f"{path} cannot be read as a video ({error}); copy the dataset again")


def picture_times(path: AnyPath) -> NDArray[np.float64]:
    """When a video's pictures are, in seconds, in order; without decoding them."""
    try:
        with path.open("rb") as source, av.open(source, "r") as file:
            stream = file.streams.video[0]
            base = stream.time_base or Fraction(1, 1)
            return np.sort([float(packet.pts * base) for packet in file.demux(stream) if packet.pts is not None])
    except (av.FFmpegError, IndexError, OSError) as error:
        raise _unreadable(path, error) from None


def nearest_pictures(
    times: NDArray[np.float64], wanted: NDArray[np.float64], fps: float, path: AnyPath
) -> NDArray[np.int64]:
    """The numbers of the pictures at the wanted times; MediaError where one is further off than half a frame."""
    if not len(times):
        raise MediaError(f"{path} is cut short: it holds no pictures; copy the dataset again")
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    left, right = times[after - 1], times[np.minimum(after, len(times) - 1)]
    nearest = np.minimum(np.where(wanted - left <= right - wanted, after - 1, after), len(times) - 1)
    off = np.abs(times[nearest] - wanted) > 0.5 / fps + 1e-3
    if off.any():
        raise MediaError(
            f"{path} is cut short: it lacks {off.sum()} of {len(wanted)} pictures, the first at {wanted[off][0]:.3f} s; copy the"
            " dataset again"
        )
    return nearest


def read_video(path: AnyPath, wanted: NDArray[np.float64], fps: float) -> NDArray[np.uint8]:
    """The pictures at these times in seconds, uint8 [T, H, W, 3]."""
    times: list[float] = []
    pictures: list[NDArray[Any]] = []
    first, last = float(wanted.min()) - 0.6 / fps, float(wanted.max()) + 0.6 / fps
    try:
        with path.open("rb") as source, av.open(source, "r") as file:
            stream = file.streams.video[0]
            stream.thread_type = "AUTO"
            if first > 1:
                file.seek(int((first - 1) * 1_000_000))
            for frame in file.decode(stream):
                if frame.time is None or frame.time < first:
                    continue
                if frame.time > last:
                    break
                times.append(frame.time)
                pictures.append(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise _unreadable(path, error) from None
    return np.stack([pictures[i] for i in nearest_pictures(np.array(times), wanted, fps, path)]).astype(np.uint8, copy=False)
