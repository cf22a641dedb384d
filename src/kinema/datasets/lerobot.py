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
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.datasets.addresses import AnyPath, name_below, path_at
from kinema.datasets.dataset_files import (
    CHUNK,
    SENSORS,
    VERSION,
    Recorded,
    columns_of,
    nearest_pictures,
    picture_times,
    pyarrow_module,
    read_table,
    read_video,
)
from kinema.datasets.pictures import CELL_PX, to_picture
from kinema.envs.spaces import between
from kinema.errors import InputError, MediaError
from kinema.types import Floats, Frame, Frames, parse_json, path_exists

log = logging.getLogger(__name__)

V2 = "2"
NUMBERS = ("action", SENSORS, "next.reward", "timestamp")
"""Columns whose numbers must be finite."""


def _name_of(camera: str, cameras: list[str], folder: Path | str) -> str:
    """The feature of a camera, from its whole name or its last part; InputError names those that there are."""
    matches = [name for name in cameras if name == camera] or [name for name in cameras if name.rpartition(".")[2] == camera]
    if len(matches) != 1:
        raise InputError(f"camera {camera!r}: {folder} has {', '.join(cameras)}")
    return matches[0]


def _lines(path: AnyPath) -> list[dict[str, Any]]:
    return [parse_json(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _read_meta(root: AnyPath, info: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Where each episode lies, and the tasks by their number, of either version."""
    if _major(info) == V2:
        chunk = int(info.get("chunks_size") or CHUNK)
        rows = [{**row, "episode_chunk": int(row["episode_index"]) // chunk} for row in _lines(root / "meta/episodes.jsonl")]
        tasks = {int(row["task_index"]): str(row["task"]) for row in _lines(root / "meta/tasks.jsonl")}
    else:
        rows = []
        parts: list[AnyPath] = list((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
        for part in sorted(parts, key=str):
            rows += read_table(part).to_pylist()
        table = read_table(root / "meta/tasks.parquet").to_pydict()
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

    folder: AnyPath
    info: dict[str, Any]
    rows: list[dict[str, Any]]
    tasks: dict[int, str]
    image: str
    size: tuple[int, int]

    @staticmethod
    def open(folder: Path | str, *, camera: str | None = None) -> Dataset:
        """Read what there is and check all of it but the pixels.

        folder: on this machine, or at an address of fsspec, such as s3://bucket/pong; files are read where they lie. camera: the
        one to read of several, by its feature ("observation.images.top") or the feature's last part ("top"); by default the first.
        MediaError: no dataset, one of a version that is not known, or what is missing, cut short or not finite in it.
        InputError: no such camera, or an address that cannot be reached or whose package is not installed.
        """
        pa, root = pyarrow_module(), path_at(folder)
        path = root / "meta/info.json"
        if not (path_exists(path) if isinstance(path, Path) else path.exists()):
            raise MediaError(f"{folder} holds no episode dataset (meta/info.json); make one with kinema record")
        try:
            info = parse_json(path.read_text(encoding="utf-8-sig"))
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

    def _files(self) -> Iterator[AnyPath]:
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

    def _data(self, row: dict[str, Any]) -> AnyPath:
        return self.folder / str(self.info["data_path"]).format(**self._where(row, "data"))

    def _video(self, row: dict[str, Any]) -> AnyPath:
        where = self._where(row, f"videos/{self.image}")
        return self.folder / str(self.info["video_path"]).format(video_key=self.image, **where)

    def _start_s(self, row: dict[str, Any]) -> float:
        """When the episode begins in its video."""
        return float(row.get(f"videos/{self.image}/from_timestamp") or 0.0)

    def _table(self, path: AnyPath, columns: Sequence[str] | None = None, episode: int | None = None) -> Any:
        """Columns of a file (None: all), of one episode (None: of all)."""
        pa = pyarrow_module()
        try:
            return read_table(path, columns=columns, filters=None if episode is None else [("episode_index", "==", episode)])
        except (OSError, KeyError, pa.ArrowException) as error:
            raise MediaError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from None

    def _check_numbers(self) -> None:
        """MediaError where rows are missing, a number is not finite or of another width, or a task is not listed."""
        pa = pyarrow_module()
        by_file: dict[AnyPath, list[dict[str, Any]]] = {}
        for row in self.rows:
            by_file.setdefault(self._data(row), []).append(row)
        for path, rows in by_file.items():
            try:
                there = set(columns_of(path))
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

    def _vectors(self, table: Any, name: str, path: AnyPath) -> Floats:
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
        times: dict[AnyPath, NDArray[np.float64]] = {}
        for row in self.rows:
            path = self._video(row)
            if path not in times:
                times = {path: picture_times(path)}
            nearest_pictures(times[path], self._times(row), self.fps, path)

    def _times(self, row: dict[str, Any]) -> NDArray[np.float64]:
        """When the pictures of an episode are in their video, in seconds."""
        return self._start_s(row) + self._row_times(row)

    def _row_times(self, row: dict[str, Any]) -> NDArray[np.float64]:
        path = self._data(row)
        names = columns_of(path)
        if "timestamp" not in names:
            return np.arange(row["length"]) / self.fps
        columns = [name for name in ("episode_index", "frame_index", "timestamp") if name in names]
        table = self._rows_of(self._table(path, columns), row)
        return self._vectors(table, "timestamp", path)[:, 0].astype(np.float64)

    def _rows_of(self, table: Any, row: dict[str, Any]) -> Any:
        """An episode's rows in the order of its frames."""
        table = table.filter(pyarrow_module().array(np.asarray(table["episode_index"]) == row["episode_index"]))
        return table.sort_by("frame_index") if "frame_index" in table.column_names else table

    def _first_picture(self) -> Frame:
        row = self.rows[0]
        if self._filmed:
            return np.asarray(read_video(self._video(row), self._times(row)[:1], self.fps)[0])
        table = self._rows_of(self._table(self._data(row), episode=row["episode_index"]), row)
        return self._decoded(table[self.image][0].as_py(), row)

    def _decoded(self, stored: Any, row: dict[str, Any]) -> Frame:
        """A picture that is stored in a row: encoded bytes, or the path of a file."""
        try:
            if isinstance(stored, dict):
                data = stored.get("bytes")
            else:
                data = stored if isinstance(stored, bytes) else None
            place = None if data else str(stored["path"] if isinstance(stored, dict) else stored)
            with (
                io.BytesIO(data) if data else (self.folder / str(place)).open("rb") as source,
                Image.open(source) as picture,
            ):
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
        """What it was recorded from; for foreign data the action space is a box whose edges are the least and the most of each
        number that was taken, and which rests at 0 or, where that is not between them, half way."""
        if self.info.get("kinema"):
            return dict(self.info["kinema"])
        edges = self._action_edges.tolist()
        rest = [0.0 if least < 0 < most else (least + most) / 2 for least, most in edges]
        return {
            "env": None,
            "action": {"type": "box", "edges": edges, "rest": rest, "shape": [len(edges)], "dtype": "float32"},
        }

    @cached_property
    def _action_edges(self) -> NDArray[np.float64]:
        """[D, 2]: the least and the most of each number of the actions, of foreign data."""
        edges, files = list[NDArray[np.float64]](), dict[AnyPath, list[int]]()
        for row in self.rows:
            files.setdefault(self._data(row), []).append(row["episode_index"])
        for path, episodes in files.items():
            table = self._table(path, ["episode_index", "action"])
            mine = np.isin(np.asarray(table["episode_index"]), episodes)
            if mine.any():
                values = self._vectors(table, "action", path)[mine].astype(np.float64)
                edges += [values.min(0), values.max(0)]
        if not edges:
            return np.tile([-1.0, 1.0], (int(np.prod(self.info["features"]["action"]["shape"])), 1))
        return np.stack([np.min(edges, 0), np.max(edges, 0)], -1)

    @property
    def sensors(self) -> int:
        """Numbers in `observation.state`, 0 where there is none."""
        return int(np.prod(self.info["features"].get(SENSORS, {"shape": [0]})["shape"]))

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """Names of the numbers in `observation.state`, where the dataset has one for each."""
        names = self.info["features"].get(SENSORS, {}).get("names")
        if isinstance(names, dict):  # {"motors": [...]}
            names = next(iter(names.values()), None)
        fits = isinstance(names, list) and len(names) == self.sensors
        return tuple(str(name) for name in names) if fits else ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def total_frames(self) -> int:
        return sum(int(row["length"]) for row in self.rows)

    def fitted(self) -> Dataset:
        """The same with pictures of whole cells: sides are rounded to multiples of CELL_PX where they are none."""
        height, width = (max(CELL_PX, CELL_PX * round(side / CELL_PX)) for side in self.size)
        return self if self.size == (height, width) else replace(self, size=(height, width))

    def identity(self) -> dict[str, Any]:
        """What tells whether it is still the same data: counts, rate, actions, a hash of its numbers and of its files' sizes."""
        files = hashlib.sha256()
        for path in self._files():
            files.update(f"{name_below(path, self.folder)} {path.stat().st_size}\n".encode())
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

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """`identity()`, computed once."""
        return self.identity()

    def length(self, number: int) -> int:
        """Pictures of an episode."""
        return int(self.rows[number]["length"])

    def task(self, number: int) -> str:
        """What was to be done in an episode, "" where nothing is said."""
        row = self.rows[number]
        path = self._data(row)
        if "task_index" not in columns_of(path):
            return ""
        table = self._table(path, ["episode_index", "task_index"], row["episode_index"])
        return self.tasks[int(table["task_index"][0].as_py())]

    def pictures(self, number: int, first: int = 0, stop: int | None = None) -> Frames:
        """Pictures of an episode from row `first` to before row `stop` (None: its end), uint8 [T, H, W, 3] of `size`."""
        row, part = self.rows[number], slice(first, stop)
        if self._filmed:
            frames = read_video(self._video(row), self._times(row)[part], self.fps)
        else:
            path = self._data(row)
            table = self._rows_of(self._table(path, episode=row["episode_index"]), row)
            frames = np.stack([self._decoded(stored, row) for stored in table[self.image].to_pylist()[part]])
        if self.size != frames.shape[1:3]:
            frames = np.stack([to_picture(frame, self.size) for frame in frames])
        return frames

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

        return Recorded(
            frames=self.pictures(number),
            action=self._encoded(vectors("action", 0)),
            reward=before(column("next.reward", 0.0).astype(np.float32)),
            terminated=before(column("next.done", False).astype(bool)),
            truncated=before(column("next.truncated", False).astype(bool)),
            sensors=vectors(SENSORS, self.sensors),
            task=self.tasks[int(column("task_index", 0)[0])] if "task_index" in table.column_names else "",
        )

    def _encoded(self, action: Floats) -> Floats:
        """Actions as `kinema.envs.spaces.encode_action` makes them: those of foreign data are stored in units of their own."""
        if self.info.get("kinema"):
            return action
        encoded: Floats = between(action.astype(np.float64), *self._action_edges.T).astype(np.float32)
        return encoded

    def __iter__(self) -> Iterator[Recorded]:
        return (self.episode(i) for i in range(len(self)))
