"""Writing episode datasets in LeRobot's layout (`kinema.datasets.lerobot` has it)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.datasets.dataset_files import (
    CHUNK,
    DATA_PATH,
    EPISODES_PATH,
    IMAGE,
    SENSORS,
    VERSION,
    VIDEO_PATH,
    Recorded,
    pyarrow_module,
    write_table,
    write_video,
    write_whole,
)
from kinema.datasets.folder_lock import LOCK
from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError, OutputError


class Writer:
    """Adds episodes to a dataset, a new one or one made with the same settings.

    about: what the dataset is of (the environment, its action space as `kinema.envs.spaces.Spec`); it is kept in info.json. names:
    of the sensors.
    """

    def __init__(
        self, folder: Path | str, *, fps: float, size: tuple[int, int], sensors: int, about: dict[str, Any],
        names: Sequence[str] = (),
    ) -> None:  # fmt: skip
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
        if names:
            self.features[SENSORS]["names"] = list(names)
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
        if SENSORS in self.features and not old.sensor_names:
            self.features[SENSORS]["names"] = None  # an earlier version wrote none
        if "action_names" not in old.about:
            self.about = {name: x for name, x in self.about.items() if name != "action_names"}
        ours = json.loads(json.dumps({"features": self.features, "fps": self.fps, "kinema": self.about}))
        theirs = {name: old.info.get(name) for name in ours}
        if theirs != ours:
            differs = ", ".join(name for name in ours if theirs[name] != ours[name])
            fewer = old.sensors < int(self.features.get(SENSORS, {"shape": [0]})["shape"][0])
            bare = fewer and not any("." in name for name in old.sensor_names)
            hint = ", or go on without entities: --entities none" if bare else ""
            raise InputError(f"{self.folder} holds a dataset of another kind ({differs} differ); name another folder{hint}")
        self.rows, self.tasks = old.rows, {task: number for number, task in old.tasks.items()}

    def add(self, episode: Recorded) -> int:
        """Write one episode; returns its number."""
        pa = pyarrow_module()
        if episode.frames.shape[1:3] != self.size:
            raise InputError(f"pictures of {episode.frames.shape[1:3]}: the dataset has {self.size}")
        number, count = len(self.rows), len(episode.frames)
        chunk, file = number // CHUNK, number % CHUNK
        task = self.tasks.setdefault(episode.task, len(self.tasks))
        first = self.rows[-1]["dataset_to_index"] if self.rows else 0
        write_whole(
            self.folder / VIDEO_PATH.format(video_key=IMAGE, chunk_index=chunk, file_index=file),
            lambda path: write_video(path, episode.frames, self.fps),
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
        write_whole(
            self.folder / DATA_PATH.format(chunk_index=chunk, file_index=file),
            lambda path: write_table(path, table),
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
        pa = pyarrow_module()
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
        write_whole(self.folder / "meta/tasks.parquet", lambda path: write_table(path, tasks))
        table = pa.Table.from_pylist(self.rows)
        write_whole(self.folder / EPISODES_PATH, lambda path: write_table(path, table))
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
        write_whole(
            self.folder / "meta/info.json", lambda path: path.write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        )
