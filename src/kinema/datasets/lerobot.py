"""Episode datasets in LeRobot's layout, written as version 3.0: Parquet for numbers, MP4 for pictures, one file of each an episode.
Datasets of others are read in versions 2.0, 2.1 and 3.

    meta/info.json                         what there is: rate, features, the environment, how many episodes
    meta/tasks.parquet, meta/episodes/...  tasks by number; where each episode lies
    data/chunk-000/file-000.parquet        action, next.reward, next.done, next.truncated, observation.state, ...
    videos/observation.image/chunk-000/... pictures

Row t holds the picture that was seen, the action taken in it, and what came of it. The picture at an episode's end is a row of
its own, in which nothing was done (`acted` is false). An episode is there wholly or not at all: its files are written first,
and info.json, which counts it, last.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.datasets.folder_lock import LOCK
from kinema.datasets.pictures import CELL_PX, to_picture
from kinema.errors import InputError, MediaError, OutputError
from kinema.types import Floats, Frame

log = logging.getLogger(__name__)

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


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("episode datasets need pyarrow: pip install 'kinema[worlds]'") from None
    return pyarrow


def _read_table(path: Path, **options: Any) -> Any:
    """A Parquet file; opened here, as pyarrow takes some names for addresses and does not know the bytes of others."""
    with path.open("rb") as file:
        return _arrow().parquet.read_table(file, **options)


def _columns_of(path: Path) -> list[str]:
    with path.open("rb") as file:
        return list(_arrow().parquet.read_schema(file).names)


def _write_table(path: Path, table: Any) -> None:
    with path.open("wb") as file:
        _arrow().parquet.write_table(table, file)


def _atomic(path: Path, write: Callable[[Path], object]) -> None:
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


def _write_video(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    """H.264 with full color, all but lossless."""
    with path.open("wb") as target, av.open(target, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv444p"
        stream.options = {"crf": "8", "preset": "veryfast", "g": "32"}
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode())


def _unreadable(path: Path, error: Exception) -> MediaError:
    return MediaError(f"{path} cannot be read as a video ({error}); copy the dataset again")


def _picture_times(path: Path) -> NDArray[np.float64]:
    """When a video's pictures are, in seconds, in order; without decoding them."""
    try:
        with path.open("rb") as source, av.open(source, "r") as file:
            stream = file.streams.video[0]
            base = stream.time_base or Fraction(1, 1)
            return np.sort([float(packet.pts * base) for packet in file.demux(stream) if packet.pts is not None])
    except (av.FFmpegError, IndexError, OSError) as error:
        raise _unreadable(path, error) from None


def _nearest(times: NDArray[np.float64], wanted: NDArray[np.float64], fps: float, path: Path) -> NDArray[np.int64]:
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


def _read_video(path: Path, wanted: NDArray[np.float64], fps: float) -> NDArray[np.uint8]:
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
    return np.stack([pictures[i] for i in _nearest(np.array(times), wanted, fps, path)]).astype(np.uint8, copy=False)


class Writer:
    """Adds episodes to a dataset, a new one or one made with the same settings.

    about: what the dataset is of (the environment, its action space as `kinema.envs.spaces.Spec`); it is kept in info.json.
    """

    def __init__(
        self, folder: Path | str, *, fps: float, size: tuple[int, int], sensors: int, about: dict[str, Any]
    ) -> None:
        from kinema.envs.spaces import width

        self.folder, self.fps, self.size = Path(folder), fps, size
        numbers = {
            "action": [width(about["action"])],
            "next.reward": [1],
            "timestamp": [1],
            **({SENSORS: [sensors]} if sensors else {}),
        }
        height, across = size
        self.features: dict[str, Any] = {
            IMAGE: {
                "dtype": "video",
                "shape": [height, across, 3],
                "names": ["height", "width", "channels"],
                "info": {"video.fps": fps, "video.codec": "h264", "video.pix_fmt": "yuv444p", "has_audio": False},
            },
            **{name: {"dtype": "float32", "shape": shape, "names": None} for name, shape in numbers.items()},
            **{name: {"dtype": "bool", "shape": [1], "names": None} for name in ("next.done", "next.truncated", "acted")},
            **{
                name: {"dtype": "int64", "shape": [1], "names": None}
                for name in ("frame_index", "episode_index", "index", "task_index")
            },
        }
        self.about = about
        self.tasks: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self._moments: dict[str, list[Any]] = {}
        if (self.folder / "meta/info.json").exists():
            self._go_on()
        elif self.folder.exists() and (not self.folder.is_dir() or any(path.name != LOCK for path in self.folder.iterdir())):
            raise OutputError(f"{folder} is not empty and holds no dataset; name another folder")

    def _go_on(self) -> None:
        old = Dataset.open(self.folder)
        ours = json.loads(json.dumps({"features": self.features, "fps": self.fps, "kinema": self.about}))
        theirs = {name: old.info.get(name) for name in ours}
        if theirs != ours:
            differs = ", ".join(name for name in ours if theirs[name] != ours[name])
            raise InputError(f"{self.folder} holds a dataset of another kind ({differs} differ); name another folder")
        self.rows, self.tasks = old.rows, {task: number for number, task in old.tasks.items()}

    def add(self, episode: Recorded) -> int:
        """Write one episode; returns its number."""
        pa = _arrow()
        if episode.frames.shape[1:3] != self.size:
            raise InputError(f"pictures of {episode.frames.shape[1:3]}: the dataset has {self.size}")
        number, count = len(self.rows), len(episode.frames)
        chunk, file = number // CHUNK, number % CHUNK
        task = self.tasks.setdefault(episode.task, len(self.tasks))
        first = self.rows[-1]["dataset_to_index"] if self.rows else 0
        _atomic(
            self.folder / VIDEO_PATH.format(video_key=IMAGE, chunk_index=chunk, file_index=file),
            lambda path: _write_video(path, episode.frames, self.fps),
        )

        def after(values: NDArray[Any]) -> NDArray[Any]:
            """Of arriving at the next picture; nothing follows the last."""
            return np.concatenate([values[1:], values[:1] * 0])

        columns: dict[str, Any] = {
            "action": pa.array(list(episode.action.astype(np.float32))),
            "next.reward": after(episode.reward.astype(np.float32)),
            "next.done": after(episode.terminated),
            "next.truncated": after(episode.truncated),
            "acted": np.arange(count) < count - 1,
            "timestamp": (np.arange(count) / self.fps).astype(np.float32),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, number),
            "index": first + np.arange(count),
            "task_index": np.full(count, task),
        }
        if SENSORS in self.features:
            columns[SENSORS] = pa.array(list(episode.sensors.astype(np.float32)))
        table = pa.table(columns)
        _atomic(
            self.folder / DATA_PATH.format(chunk_index=chunk, file_index=file),
            lambda path: _write_table(path, table),
        )
        self.rows.append(
            {
                "episode_index": number,
                "tasks": [episode.task],
                "length": count,
                "dataset_from_index": first,
                "dataset_to_index": first + count,
                "data/chunk_index": chunk,
                "data/file_index": file,
                f"videos/{IMAGE}/chunk_index": chunk,
                f"videos/{IMAGE}/file_index": file,
                f"videos/{IMAGE}/from_timestamp": 0.0,
                f"videos/{IMAGE}/to_timestamp": count / self.fps,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
        )
        self._write_meta()
        return number

    def _write_meta(self) -> None:
        pa = _arrow()
        index = json.dumps(
            {
                "index_columns": ["__index_level_0__"],
                "column_indexes": [],
                "columns": [
                    {
                        "name": "task_index",
                        "field_name": "task_index",
                        "pandas_type": "int64",
                        "numpy_type": "int64",
                        "metadata": None,
                    },
                    {
                        "name": None,
                        "field_name": "__index_level_0__",
                        "pandas_type": "unicode",
                        "numpy_type": "object",
                        "metadata": None,
                    },
                ],
                "pandas_version": "2.0.0",
            }
        )
        tasks = pa.table({"task_index": list(self.tasks.values()), "__index_level_0__": list(self.tasks)})
        tasks = tasks.replace_schema_metadata({"pandas": index})
        _atomic(self.folder / "meta/tasks.parquet", lambda path: _write_table(path, tasks))
        table = pa.Table.from_pylist(self.rows)
        _atomic(self.folder / EPISODES_PATH, lambda path: _write_table(path, table))
        info = {
            "codebase_version": VERSION,
            "robot_type": None,
            "total_episodes": len(self.rows),
            "total_frames": self.rows[-1]["dataset_to_index"],
            "total_tasks": len(self.tasks),
            "chunks_size": CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self.rows)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": self.features,
            "kinema": self.about,
        }
        _atomic(
            self.folder / "meta/info.json", lambda path: path.write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        )


V2 = "2"
NUMBERS = ("action", SENSORS, "next.reward", "timestamp")
"""Columns whose numbers must be finite."""


def _name_of(camera: str, cameras: list[str], folder: Path | str) -> str:
    """The feature of a camera, from its whole name or its last part; InputError names those that there are."""
    matches = [name for name in cameras if name == camera] or [name for name in cameras if name.rpartition(".")[2] == camera]
    if len(matches) != 1:
        raise InputError(f"camera {camera!r}: {folder} has {', '.join(cameras)}")
    return matches[0]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _read_meta(root: Path, info: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Where each episode lies, and the tasks by their number, of either version."""
    if _major(info) == V2:
        chunk = int(info.get("chunks_size") or CHUNK)
        rows = [{**row, "episode_chunk": int(row["episode_index"]) // chunk} for row in _lines(root / "meta/episodes.jsonl")]
        tasks = {int(row["task_index"]): str(row["task"]) for row in _lines(root / "meta/tasks.jsonl")}
    else:
        rows = []
        for part in sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet")):
            rows += _read_table(part).to_pylist()
        table = _read_table(root / "meta/tasks.parquet").to_pydict()
        names = table.get("__index_level_0__") or table.get("task") or [""] * len(table["task_index"])
        tasks = {int(number): str(name) for number, name in zip(table["task_index"], names, strict=True)}
    return sorted(rows, key=lambda row: int(row["episode_index"])), tasks


def _major(info: dict[str, Any]) -> str:
    """Of the version of LeRobot's layout: "2" or "3"; MediaError for others."""
    version = str(info["codebase_version"])
    match = re.match(r"v([23])\.", version)
    if match is None:
        raise MediaError(
            f"it is of version {version}; expected v2.0, v2.1 or {VERSION}: convert it with LeRobot's own script"
        )
    return match[1]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that exists, ours or LeRobot's (v2.0, v2.1 or v3).

    rows: where each episode lies; tasks: by their number; image: the feature of the camera; size: height and width of its pictures
    as they are read.
    """

    folder: Path
    info: dict[str, Any]
    rows: list[dict[str, Any]]
    tasks: dict[int, str]
    image: str
    size: tuple[int, int]

    @staticmethod
    def open(folder: Path | str, *, camera: str | None = None) -> Dataset:
        """Read what there is and check all of it but the pixels.

        camera: the one to read of several, by its feature ("observation.images.top") or the feature's last part ("top"); by default
        the first.
        MediaError: no dataset, one of a version that is not known, or what is missing, cut short or not finite in it.
        InputError: no such camera.
        """
        pa, root = _arrow(), Path(folder)
        path = root / "meta/info.json"
        if not path.exists():
            raise MediaError(f"{folder} holds no episode dataset (meta/info.json); make one with kinema record")
        try:
            info = json.loads(path.read_text(encoding="utf-8-sig"))
            rows, tasks = _read_meta(root, info)
            features = info["features"]
            cameras = [name for name, feature in features.items() if feature["dtype"] in ("video", "image")]
            total, fps = int(info["total_episodes"]), float(info["fps"])
            for row in rows:
                row["length"] = int(row["length"])
        except MediaError as error:
            raise MediaError(f"{folder} cannot be read: {error}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            raise MediaError(
                f"{folder} cannot be read as an episode dataset: {' '.join(str(error).split())[:120]}"
            ) from None
        if not cameras:
            raise MediaError(f"{folder} holds no pictures (features of dtype video or image); a world model needs some")
        if "action" not in features:
            raise MediaError(
                f"{folder} holds no feature 'action' (it has {', '.join(features)[:200]}); a world model needs actions"
            )
        if not 0 < fps < 1000:
            raise MediaError(f"{folder} says {fps:g} frames a second: expected above 0")
        if len(rows) < total:
            raise MediaError(f"{folder} is cut short: {len(rows)} of {total} episodes are listed; copy it again")
        if not total:
            raise MediaError(f"{folder} holds no episodes")
        image = cameras[0] if camera is None else _name_of(camera, cameras, folder)
        if camera is None and len(cameras) > 1:
            log.warning(
                "%s has %d cameras; %s is read, --camera chooses of %s", folder, len(cameras), image, ", ".join(cameras)
            )
        dataset = Dataset(folder=root, info=info, rows=rows[:total], tasks=tasks, image=image, size=(0, 0))
        try:
            missing = [str(path) for path in dataset._files() if not path.exists()]
        except (KeyError, IndexError, ValueError) as error:
            raise MediaError(f"{folder} cannot be read as an episode dataset: it does not say where {error} is") from None
        if missing:
            raise MediaError(f"{folder} is cut short: {missing[0]} and {len(missing) - 1} more are missing; copy it again")
        dataset._check_numbers()
        dataset._check_videos()
        return replace(dataset, size=dataset._first_picture().shape[:2])

    @property
    def _filmed(self) -> bool:
        """Whether pictures lie in videos, rather than one by one beside the numbers."""
        return bool(self.info["features"][self.image]["dtype"] == "video")

    def _files(self) -> Iterator[Path]:
        seen = set()
        for row in self.rows:
            for path in (self._data(row), *([self._video(row)] if self._filmed else [])):
                if path not in seen:
                    seen.add(path)
                    yield path

    def _where(self, row: dict[str, Any], key: str) -> dict[str, Any]:
        if _major(self.info) == V2:
            return {"episode_chunk": row["episode_chunk"], "episode_index": row["episode_index"]}
        return {"chunk_index": row[f"{key}/chunk_index"], "file_index": row[f"{key}/file_index"]}

    def _data(self, row: dict[str, Any]) -> Path:
        return self.folder / str(self.info["data_path"]).format(**self._where(row, "data"))

    def _video(self, row: dict[str, Any]) -> Path:
        where = self._where(row, f"videos/{self.image}")
        return self.folder / str(self.info["video_path"]).format(video_key=self.image, **where)

    def _start_s(self, row: dict[str, Any]) -> float:
        """When the episode begins in its video."""
        return float(row.get(f"videos/{self.image}/from_timestamp") or 0.0)

    def _table(self, path: Path, columns: Sequence[str] | None = None, episode: int | None = None) -> Any:
        """Columns of a file (None: all), of one episode (None: of all)."""
        pa = _arrow()
        try:
            return _read_table(
                path, columns=columns, filters=None if episode is None else [("episode_index", "==", episode)]
            )
        except (OSError, KeyError, pa.ArrowException) as error:
            raise MediaError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from None

    def _check_numbers(self) -> None:
        """MediaError where rows are missing, a number is not finite or of another width, or a task is not listed."""
        pa = _arrow()
        by_file: dict[Path, list[dict[str, Any]]] = {}
        for row in self.rows:
            by_file.setdefault(self._data(row), []).append(row)
        for path, rows in by_file.items():
            try:
                there = set(_columns_of(path))
            except (OSError, pa.ArrowException) as error:
                raise MediaError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from None
            lacking = {"episode_index", "action"} - there
            if lacking:
                raise MediaError(f"{path} has no column {', '.join(sorted(lacking))}")
            wanted = {"episode_index", "task_index", *NUMBERS} & there
            table = self._table(path, sorted(wanted))
            episode = np.asarray(table["episode_index"])
            for row in rows:
                count = int((episode == row["episode_index"]).sum())
                if count != row["length"]:
                    raise MediaError(f"{path} is cut short: {count} of {row['length']} rows; copy the dataset again")
            mine = np.isin(episode, [row["episode_index"] for row in rows])
            for name in wanted & set(NUMBERS):
                values = self._vectors(table, name, path)
                bad = np.flatnonzero(mine & ~np.isfinite(values).all(1))
                if len(bad):
                    raise MediaError(f"{path}: {name} is not finite in episode {episode[bad[0]]}, row {bad[0]} of the file")
            unknown = (
                set(np.asarray(table["task_index"])[mine].tolist()) - self.tasks.keys() if "task_index" in there else set()
            )
            if unknown:
                raise MediaError(f"{path}: task {min(unknown)} is not in the dataset's list of tasks")

    def _vectors(self, table: Any, name: str, path: Path) -> Floats:
        """A column as float32 [T, numbers of the feature]."""
        width = int(np.prod(self.info["features"].get(name, {"shape": [1]})["shape"]))
        try:
            rows = [np.asarray(value, np.float64).reshape(-1) for value in table[name].to_pylist()]
            if any(len(row) != width for row in rows):
                raise ValueError(f"rows of another width than {width}")
            with np.errstate(over="ignore"):
                return np.array(rows, np.float64).reshape(len(rows), width).astype(np.float32)
        except (TypeError, ValueError) as error:
            raise MediaError(f"{path}: {name} cannot be read as numbers ({str(error)[:80]})") from None

    def _check_videos(self) -> None:
        """MediaError where a video has no picture at the time of a row."""
        if not self._filmed:
            return
        times: dict[Path, NDArray[np.float64]] = {}
        for row in self.rows:
            path = self._video(row)
            if path not in times:
                times = {path: _picture_times(path)}
            _nearest(times[path], self._times(row), self.fps, path)

    def _times(self, row: dict[str, Any]) -> NDArray[np.float64]:
        """When the pictures of an episode are in their video, in seconds."""
        return self._start_s(row) + self._stamps(row)

    def _stamps(self, row: dict[str, Any]) -> NDArray[np.float64]:
        path = self._data(row)
        names = _columns_of(path)
        if "timestamp" not in names:
            return np.arange(row["length"]) / self.fps
        columns = [name for name in ("episode_index", "frame_index", "timestamp") if name in names]
        table = self._rows_of(self._table(path, columns), row)
        return self._vectors(table, "timestamp", path)[:, 0].astype(np.float64)

    def _rows_of(self, table: Any, row: dict[str, Any]) -> Any:
        """An episode's rows in the order of its frames."""
        table = table.filter(_arrow().array(np.asarray(table["episode_index"]) == row["episode_index"]))
        return table.sort_by("frame_index") if "frame_index" in table.column_names else table

    def _first_picture(self) -> Frame:
        row = self.rows[0]
        if self._filmed:
            return np.asarray(_read_video(self._video(row), self._times(row)[:1], self.fps)[0])
        table = self._rows_of(self._table(self._data(row), episode=row["episode_index"]), row)
        return self._decoded(table[self.image][0].as_py(), row)

    def _decoded(self, stored: Any, row: dict[str, Any]) -> Frame:
        """A picture that is stored in a row: encoded bytes, or the path of a file."""
        try:
            if isinstance(stored, dict):
                data = stored.get("bytes")
                source: Any = io.BytesIO(data) if data else self.folder / str(stored["path"])
            else:
                source = io.BytesIO(stored) if isinstance(stored, bytes) else self.folder / str(stored)
            with Image.open(source) as picture:
                return np.asarray(picture.convert("RGB"), np.uint8)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise MediaError(
                f"{self._data(row)}: episode {row['episode_index']} has a picture that cannot be read ({str(error)[:60]})"
            ) from None

    @property
    def fps(self) -> float:
        return float(self.info["fps"])

    @property
    def about(self) -> dict[str, Any]:
        """What it was recorded from; for foreign data the action space is a box of unbounded numbers."""
        width = int(np.prod(self.info["features"]["action"]["shape"]))
        box = {"type": "box", "edges": [None] * width, "shape": [width], "dtype": "float32"}
        return dict(self.info.get("kinema") or {"env": None, "action": box})

    @property
    def sensors(self) -> int:
        """Numbers in `observation.state`, 0 where there is none."""
        return int(np.prod(self.info["features"].get(SENSORS, {"shape": [0]})["shape"]))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def total_frames(self) -> int:
        return sum(int(row["length"]) for row in self.rows)

    def fitted(self) -> Dataset:
        """The same with pictures of whole cells: sides are rounded to multiples of CELL_PX where they are none."""
        height, width = (max(CELL_PX, CELL_PX * round(side / CELL_PX)) for side in self.size)
        return replace(self, size=(height, width))

    def identity(self) -> dict[str, Any]:
        """What tells whether it is still the same data: counts, rate, actions, a hash of its numbers and of its files' sizes."""
        files = hashlib.sha256()
        for path in self._files():
            files.update(f"{path.relative_to(self.folder).as_posix()} {path.stat().st_size}\n".encode())
            if path.suffix == ".parquet":
                files.update(path.read_bytes())
        return {
            "episodes": len(self),
            "frames": self.total_frames,
            "fps": self.fps,
            "actions": json.loads(json.dumps(self.about["action"])),
            "camera": self.image,
            "files": files.hexdigest(),
        }

    def episode(self, number: int) -> Recorded:
        """One episode with its pictures."""
        row = self.rows[number]
        path, count = self._data(row), int(row["length"])
        table = self._rows_of(self._table(path, episode=row["episode_index"]), row)
        if table.num_rows != count:
            raise MediaError(f"{path} is cut short: {table.num_rows} of {count} rows; copy the dataset again")

        def column(name: str, default: Any) -> NDArray[Any]:
            if name not in table.column_names:
                return np.full(count, default)
            values = table[name].to_pylist()
            return np.array([value[0] if isinstance(value, list) else value for value in values])

        def vectors(name: str, width: int) -> Floats:
            return self._vectors(table, name, path) if name in table.column_names else np.zeros((count, width), np.float32)

        def before(values: NDArray[Any]) -> NDArray[Any]:
            """Of arriving at a picture. Elsewhere the last row acts as well, and what came of it has no picture of its own."""
            moved = np.concatenate([values[:1] * 0, values[:-1]])
            if "acted" not in table.column_names:
                moved[-1] = moved[-1] + values[-1]
            return moved

        if self._filmed:
            frames = _read_video(self._video(row), self._times(row), self.fps)
        else:
            frames = np.stack([self._decoded(stored, row) for stored in table[self.image].to_pylist()])
        if self.size != frames.shape[1:3]:
            frames = np.stack([to_picture(frame, self.size) for frame in frames])
        return Recorded(
            frames=frames,
            action=vectors("action", 0),
            reward=before(column("next.reward", 0.0).astype(np.float32)),
            terminated=before(column("next.done", False).astype(bool)),
            truncated=before(column("next.truncated", False).astype(bool)),
            sensors=vectors(SENSORS, self.sensors),
            task=self.tasks[int(column("task_index", 0)[0])] if "task_index" in table.column_names else "",
        )

    def __iter__(self) -> Iterator[Recorded]:
        return (self.episode(i) for i in range(len(self)))
