"""Episode datasets in LeRobot's layout (version 3.0): Parquet for numbers, MP4 for pictures, one file of each an episode.

    meta/info.json                         what there is: rate, features, the environment, how many episodes
    meta/tasks.parquet, meta/episodes/...  tasks by number; where each episode lies
    data/chunk-000/file-000.parquet        action, next.reward, next.done, next.truncated, observation.state, ...
    videos/observation.image/chunk-000/... pictures

Row t holds the picture that was seen, the action taken in it, and what came of it. The picture at an episode's end is a row of
its own, in which nothing was done (`acted` is false). An episode is there wholly or not at all: its files are written first,
and info.json, which counts it, last.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from kinema.datasets.folder_lock import LOCK
from kinema.errors import InputError, MediaError, OutputError
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
        if len(lengths) != 1 or len(self.frames) < 2:
            raise InputError(f"an episode whose parts have {sorted(lengths)} rows: expected two or more, alike for all")


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("episode datasets need pyarrow: pip install 'kinema[worlds]'") from None
    return pyarrow


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
    with av.open(str(path.absolute()), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv444p"
        stream.options = {"crf": "8", "preset": "veryfast", "g": "32"}
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode())


def _read_video(path: Path, start_s: float, count: int, fps: float) -> NDArray[np.uint8]:
    pictures: list[NDArray[Any]] = []
    try:
        with av.open(str(path.absolute())) as file:
            stream = file.streams.video[0]
            if start_s > 1:
                file.seek(int((start_s - 1) * 1_000_000))
            for frame in file.decode(stream):
                if frame.time is not None and frame.time < start_s - 0.25 / fps:
                    continue
                pictures.append(frame.to_ndarray(format="rgb24"))
                if len(pictures) == count:
                    break
    except (av.FFmpegError, IndexError) as error:
        raise MediaError(f"{path} cannot be read as a video ({error}); copy the dataset again") from None
    if len(pictures) < count:
        raise MediaError(f"{path} is cut short: {len(pictures)} of {count} pictures; record the episode again")
    return np.stack(pictures).astype(np.uint8, copy=False)


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
        self.rows, self.tasks = old.rows, {task: i for i, task in enumerate(old.tasks)}

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
            lambda path: pa.parquet.write_table(table, path.absolute()),
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
        _atomic(self.folder / "meta/tasks.parquet", lambda path: pa.parquet.write_table(tasks, path.absolute()))
        table = pa.Table.from_pylist(self.rows)
        _atomic(self.folder / EPISODES_PATH, lambda path: pa.parquet.write_table(table, path.absolute()))
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
        _atomic(self.folder / "meta/info.json", lambda path: path.write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that exists, ours or LeRobot's. rows: where each episode lies."""

    folder: Path
    info: dict[str, Any]
    rows: list[dict[str, Any]]
    tasks: list[str]
    image: str

    @staticmethod
    def open(folder: Path | str) -> Dataset:
        """Read what there is; MediaError says what is missing."""
        pa, root = _arrow(), Path(folder)
        path = root / "meta/info.json"
        if not path.exists():
            raise MediaError(f"{folder} holds no episode dataset (meta/info.json); make one with kinema record")
        try:
            info = json.loads(path.read_text())
            version = str(info["codebase_version"])
            if not re.match(r"v3\.", version):
                raise MediaError(
                    f"{folder} is of version {version}; expected {VERSION}: convert it with LeRobot's own script"
                )
            rows: list[dict[str, Any]] = []
            for part in sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet")):
                rows += pa.parquet.read_table(part).to_pylist()
            table = pa.parquet.read_table(root / "meta/tasks.parquet").to_pydict()
            names = table.get("__index_level_0__") or table.get("task") or [""] * len(table["task_index"])
            tasks = [name for _, name in sorted(zip(table["task_index"], names, strict=True))]
            images = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
            total = int(info["total_episodes"])
        except MediaError:
            raise
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise MediaError(
                f"{folder} cannot be read as an episode dataset: {' '.join(str(error).split())[:120]}"
            ) from None
        if not images:
            raise MediaError(f"{folder} holds no video; a world model needs pictures")
        if len(rows) < total:
            raise MediaError(f"{folder} is cut short: {len(rows)} of {total} episodes are listed; copy it again")
        dataset = Dataset(folder=root, info=info, rows=rows[:total], tasks=tasks, image=images[0])
        try:
            missing = [str(path) for path in dataset._files() if not path.exists()]
        except (KeyError, IndexError, ValueError) as error:
            raise MediaError(f"{folder} cannot be read as an episode dataset: it does not say where {error} is") from None
        if missing:
            raise MediaError(f"{folder} is cut short: {missing[0]} and {len(missing) - 1} more are missing; copy it again")
        return dataset

    def _files(self) -> Iterator[Path]:
        seen = set()
        for row in self.rows:
            for path in (self._data(row), self._video(row)):
                if path not in seen:
                    seen.add(path)
                    yield path

    def _data(self, row: dict[str, Any]) -> Path:
        where = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        return self.folder / str(self.info["data_path"]).format(**where)

    def _video(self, row: dict[str, Any]) -> Path:
        key = f"videos/{self.image}"
        where = {"chunk_index": row[f"{key}/chunk_index"], "file_index": row[f"{key}/file_index"]}
        return self.folder / str(self.info["video_path"]).format(video_key=self.image, **where)

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

    def episode(self, number: int) -> Recorded:
        """One episode with its pictures."""
        pa, row = _arrow(), self.rows[number]
        path, count = self._data(row), int(row["length"])
        try:
            whole = pa.parquet.read_table(path)
            keep = np.asarray(whole["episode_index"]) == row["episode_index"]
            table = whole.filter(pa.array(keep))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise MediaError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from None
        if table.num_rows != count:
            raise MediaError(f"{path} is cut short: {table.num_rows} of {count} rows; copy the dataset again")

        def column(name: str, default: Any) -> NDArray[Any]:
            if name not in table.column_names:
                return np.full(count, default)
            values = table[name].to_pylist()
            return np.array([value[0] if isinstance(value, list) else value for value in values])

        def vectors(name: str, width: int) -> Floats:
            if name not in table.column_names:
                return np.zeros((count, width), np.float32)
            return np.array([np.atleast_1d(value) for value in table[name].to_pylist()], np.float32).reshape(count, width)

        def before(values: NDArray[Any]) -> NDArray[Any]:
            """Of arriving at a picture. Elsewhere the last row acts as well, and what came of it has no picture of its own."""
            moved = np.concatenate([values[:1] * 0, values[:-1]])
            if "acted" not in table.column_names:
                moved[-1] = moved[-1] + values[-1]
            return moved

        start = float(row.get(f"videos/{self.image}/from_timestamp") or 0.0)
        task = int(column("task_index", 0)[0])
        return Recorded(
            frames=_read_video(self._video(row), start, count, self.fps),
            action=vectors("action", int(np.prod(self.info["features"]["action"]["shape"]))),
            reward=before(column("next.reward", 0.0).astype(np.float32)),
            terminated=before(column("next.done", False).astype(bool)),
            truncated=before(column("next.truncated", False).astype(bool)),
            sensors=vectors(SENSORS, self.sensors),
            task=self.tasks[task] if task < len(self.tasks) else "",
        )

    def __iter__(self) -> Iterator[Recorded]:
        return (self.episode(i) for i in range(len(self)))
