"""Datasets that others made: versions, tasks by number, pictures by time, cameras, and what is refused when one is opened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from kinema.datasets.dataset_files import write_video
from kinema.datasets.lerobot import Dataset
from kinema.envs.controls import chosen_action
from kinema.envs.spaces import encode_action
from kinema.errors import InputError, KinemaError, MediaError

FPS = 10
TOP, SIDE = "observation.images.top", "observation.images.side"


def brightness(episode: int, frame: int) -> int:
    return 60 * episode + 12 * frame


def video(path: Path, levels: list[int | None], size: tuple[int, int]) -> None:
    """Gray pictures at 10 a second; None: there is none at that time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path.absolute()), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for i, level in enumerate(levels):
            if level is not None:
                frame = av.VideoFrame.from_ndarray(np.full((*size, 3), level, np.uint8), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, FPS)
                file.mux(stream.encode(frame))
        file.mux(stream.encode())


def png(level: int, size: tuple[int, int]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(data, "PNG")
    return data.getvalue()


def made(
    root: Path,
    *,
    version: str = "v3.0",
    lengths: tuple[int, ...] = (6, 4, 5),
    size: tuple[int, int] = (32, 48),
    tasks: dict[int, str] = {0: "pick"},  # noqa: B006
    task_of: Callable[[int], int] = lambda episode: 0,
    action: Callable[[int, int], list[float]] | None = lambda episode, frame: [frame / 10, episode],
    cameras: tuple[str, ...] = (TOP,),
    images: bool = False,
    lacking: tuple[int, ...] = (),
) -> Path:
    """A dataset in LeRobot's layout. Frame t of episode e has the level 60 e + 12 t, 100 more for every camera but the first."""
    rows: list[dict[str, Any]] = []
    episodes: list[dict[str, Any]] = []
    levels: list[int | None] = []
    for e, length in enumerate(lengths):
        begin = len(rows)
        for t in range(length):
            row = {"timestamp": t / FPS, "frame_index": t, "episode_index": e, "index": len(rows), "task_index": task_of(e)}
            row |= {"action": action(e, t)} if action else {}
            row |= {name: {"bytes": png(brightness(e, t), size), "path": None} for name in cameras if images}
            rows.append(row)
            levels.append(None if begin + t in lacking else brightness(e, t))
        episodes.append({"episode_index": e, "tasks": [tasks.get(task_of(e), "")], "length": length})
        if version == "v3.0":
            episodes[-1] |= {"data/chunk_index": 0, "data/file_index": 0}
            for name in cameras:
                key = f"videos/{name}"
                episodes[-1] |= {f"{key}/chunk_index": 0, f"{key}/file_index": 0, f"{key}/from_timestamp": begin / FPS}
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    (root / "data/chunk-000").mkdir(parents=True)
    more = {name: 100 * i for i, name in enumerate(cameras)}
    if version == "v3.0":
        paths = {
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        }
        pq.write_table(pa.Table.from_pylist(rows), root / "data/chunk-000/file-000.parquet")
        pq.write_table(pa.Table.from_pylist(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
        pq.write_table(pa.table({"task_index": list(tasks), "task": list(tasks.values())}), root / "meta/tasks.parquet")
        for name in cameras if not images else ():
            file = root / f"videos/{name}/chunk-000/file-000.mp4"
            video(file, [None if x is None else min(x + more[name], 255) for x in levels], size)
    else:
        paths = {
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        }
        for e in range(len(lengths)):
            mine = [row for row in rows if row["episode_index"] == e]
            pq.write_table(pa.Table.from_pylist(mine), root / f"data/chunk-000/episode_{e:06d}.parquet")
            for name in cameras if not images else ():
                file = root / f"videos/chunk-000/{name}/episode_{e:06d}.mp4"
                video(file, [min(levels[row["index"]] + more[name], 255) for row in mine], size)  # type: ignore[operator]
        for name, lines in (
            ("episodes", episodes),
            ("tasks", [{"task_index": number, "task": task} for number, task in tasks.items()]),
        ):
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            (root / f"meta/{name}.jsonl").write_text(text, encoding="utf-8")
    features = {name: {"dtype": "image" if images else "video", "shape": [*size, 3]} for name in cameras}
    features |= {"action": {"dtype": "float32", "shape": [2]}} if action else {}
    info = {"codebase_version": version, "total_episodes": len(lengths), "fps": FPS, "chunks_size": 1000, **paths}
    (root / "meta/info.json").write_text(json.dumps(info | {"features": features}), encoding="utf-8")
    return root


def seen(data: Dataset, episode: int) -> list[int]:
    return [round(float(frame.mean())) for frame in data.episode(episode).frames]


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
@pytest.mark.parametrize("images", [False, True])
def test_every_version_with_videos_and_with_pictures(version: str, images: bool, tmp_path: Path) -> None:
    tasks = {3: "pick", 7: "plâce"}
    data = Dataset.open(made(tmp_path / "d", version=version, images=images, tasks=tasks, task_of=lambda e: (3, 7, 3)[e]))
    assert [data.episode(e).task for e in range(3)] == ["pick", "plâce", "pick"]
    assert data.size == (32, 48) and data.total_frames == 15
    for e, length in enumerate((6, 4, 5)):
        np.testing.assert_allclose(seen(data, e), [brightness(e, t) for t in range(length)], atol=2)
        np.testing.assert_allclose(data.episode(e).action[:, 0], 2 * np.arange(length) / 10 / 0.5 - 1, rtol=1e-6)
    ((least, most), episodes) = data.about["action"]["edges"]
    assert (least, most) == pytest.approx((0.0, 0.5)), "actions lie between the least and the most that were taken"
    assert episodes == [0, 2] and [data.episode(e).action[0, 1] for e in range(3)] == [-1, 0, 1]


def test_foreign_actions_are_scaled_as_recorded_ones_are(tmp_path: Path) -> None:
    data = Dataset.open(made(tmp_path / "d", action=lambda e, t: [300.0 + 50 * t, 7.0]))
    spec, taken = data.about["action"], data.episode(1).action
    assert spec["edges"] == [[300, 550], [7, 7]]
    idle = encode_action(spec, chosen_action(spec, None))
    np.testing.assert_allclose(idle, [0, taken[0, 1]], atol=1e-6, err_msg="half way, and what never changes as it was taken")
    assert data.fitted() is data and spec["rest"] == [425, 7]
    np.testing.assert_allclose(taken, [encode_action(spec, [300 + 50 * t, 7]) for t in range(4)], atol=1e-6)
    assert data.identity()["actions"] == spec


def test_pictures_are_found_by_their_time(tmp_path: Path) -> None:
    """The video lacks a picture that belongs to no episode that is read; those after it are not shifted."""
    root = made(tmp_path / "d", lacking=(0,))
    with pytest.raises(MediaError, match=r"lacks 1 of 6 pictures, the first at 0\.000 s"):
        Dataset.open(root)
    episodes = root / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(episodes).slice(1), episodes)
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | {"total_episodes": 2}))
    data = Dataset.open(root)
    np.testing.assert_allclose(seen(data, 0), [brightness(1, t) for t in range(4)], atol=2)
    np.testing.assert_allclose(seen(data, 1), [brightness(2, t) for t in range(5)], atol=2)


def test_one_of_several_cameras(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = made(tmp_path / "d", cameras=(TOP, SIDE), lengths=(6,))
    assert Dataset.open(root).image == TOP and "--camera" in caplog.text
    for name in ("side", SIDE):
        np.testing.assert_allclose(
            seen(Dataset.open(root, camera=name), 0), [100 + brightness(0, t) for t in range(6)], atol=2
        )
    with pytest.raises(InputError, match="camera 'front'"):
        Dataset.open(root, camera="front")


def test_one_frame_is_an_episode_and_any_size_is_fitted(tmp_path: Path) -> None:
    data = Dataset.open(made(tmp_path / "d", lengths=(1, 5), size=(36, 100)))
    assert len(data.episode(0).frames) == 1 and data.size == (36, 100)
    fitted = data.fitted()
    assert fitted.size == (32, 96) and fitted.episode(1).frames.shape == (5, 32, 96, 3)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"action": None}, "no feature 'action'"),
        ({"action": lambda e, t: [float("nan") if t == 2 else 0.0, 0.0]}, "action is not finite in episode 0, row 2"),
        ({"action": lambda e, t: [0.0] * (1 + (t < 3))}, "action cannot be read as numbers"),
        ({"task_of": lambda e: 5}, "task 5 is not in"),
        ({"version": "v1.6"}, r"version v1\.6"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_opened(options: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(KinemaError, match=why):
        Dataset.open(made(tmp_path / "d", **options))


def test_the_same_pictures_are_the_same_video(tmp_path: Path) -> None:
    """Whatever lies in the memory that the encoder is given."""
    rng, files = np.random.default_rng(0), set()
    ramp = np.linspace(0, 255, 96)[None, :, None] + np.zeros((96, 1, 3))
    noise = rng.normal(0, 4, (40, 96, 96, 3))
    frames = np.clip(np.stack([np.roll(ramp, 3 * t, 1) for t in range(40)]) + noise, 0, 255).astype(np.uint8)
    for number in range(6):
        litter = [rng.integers(0, 255, count, dtype=np.uint8) for count in (30_000, 20_000, 70_000, 8_000) * 3]
        del litter
        write_video(tmp_path / f"{number}.mp4", frames, 16.0)
        files.add((tmp_path / f"{number}.mp4").read_bytes())
    assert len(files) == 1
