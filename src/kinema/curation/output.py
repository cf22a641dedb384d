"""What curation writes: the videos of the shots that are kept, their table, and shards of both."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kinema.curation.film_files import MeasuredFilm
from kinema.curation.shots import DetectedShot
from kinema.datasets.clip_sources import VideoSource
from kinema.errors import MediaError
from kinema.media.clip import Clip
from kinema.media.film_stream import on_clock
from kinema.media.frame_buffer import FrameBuffer
from kinema.media.write import replace_file, write_text
from kinema.types import Frame

SHARD_BYTES = 256 << 20
TABLE, SHARD_LIST = "metadata.jsonl", "shards.json"


def picture_crop(shot: DetectedShot, film: MeasuredFilm, short_side: int) -> tuple[tuple[int, int], slice, slice]:
    """How the pictures of a shot are written: the (height, width) to which they are decoded, the rows and the columns that stay.

    Pictures within black bars whose shorter side has more than `short_side` pixels are shrunk to it; both sides are even.
    """
    top, left, bottom, right = shot.box
    inner = min((bottom - top) * film.height, (right - left) * film.width)
    scale = min(short_side / inner, 1.0)
    height, width = max(round(film.height * scale), 2), max(round(film.width * scale), 2)

    def part(first: float, last: float, side: int) -> slice:
        begin = int(np.ceil(first * side - 1e-6))
        end = max(int(last * side + 1e-6), begin + 2)
        return slice(begin, end - (end - begin) % 2)

    return (height, width), part(top, bottom, height), part(left, right, width)


def write_shot(video: VideoSource, film: MeasuredFilm, shot: DetectedShot, path: Path, short_side: int) -> Clip:
    """Write one shot as MP4 without black bars and sound, whole or not at all. Returns what was written."""
    size, rows, columns = picture_crop(shot, film, short_side)
    frames = video.frames(size=size, start_s=shot.start_s, stop_s=shot.stop_s)
    buffer = FrameBuffer()
    for frame in on_clock(frames, source_fps=film.fps, fps=film.fps, start_s=shot.start_s, stop_s=shot.stop_s):
        buffer.append(frame[rows, columns])
    if not len(buffer):
        raise MediaError(f"{film.name} has no frames from {shot.start_s:.2f} s on; it changed while it was curated")
    clip = Clip(frames=buffer.take(), fps=film.fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    clip.save(path, force=True)
    return clip


def shown_frames(path: Path, count: int = 6) -> list[Frame]:
    """Some frames of a video, evenly spread, for whoever describes it."""
    clip = Clip.open(path, longest=512, sound=False)
    return [clip.frames[i] for i in np.unique(np.linspace(0, clip.num_frames - 1, count).round().astype(int))]


def write_metadata(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """metadata.jsonl, one line a clip."""
    write_text(out / TABLE, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), force=True)


def write_shards(out: Path, folder: Path, rows: Sequence[dict[str, Any]], records: Path) -> list[Path]:
    """WebDataset shards of the clips, each whole or not at all; those that are there with the same clips stay.

    folder: of the files that the rows name. records: folder in which it is noted what each shard holds.
    """
    noted: dict[str, str] = {}
    if (records / SHARD_LIST).exists():
        noted = json.loads((records / SHARD_LIST).read_text(encoding="utf-8"))
    paths: list[Path] = []
    for number, group in enumerate(_groups(folder, rows)):
        path = out / f"shard-{number:05d}.tar"
        holds = json.dumps([[row, (folder / row["file_name"]).stat().st_size] for row in group])
        digest = hashlib.sha256(holds.encode()).hexdigest()
        if not path.exists() or noted.get(path.name) != digest:
            replace_file(path, partial(_write_tar, folder, group), force=True)
            noted[path.name] = digest
            write_text(records / SHARD_LIST, json.dumps(noted), force=True)
        paths.append(path)
    remove_shards(out, records, keep={path.name for path in paths})
    return paths


def remove_shards(out: Path, records: Path, keep: set[str] | frozenset[str] = frozenset()) -> None:
    """Delete shards of an earlier curation, but those of these names."""
    path = records / SHARD_LIST
    if not path.exists():
        return
    noted = json.loads(path.read_text(encoding="utf-8"))
    for name in noted.keys() - keep:
        (out / name).unlink(missing_ok=True)
    write_text(path, json.dumps({name: digest for name, digest in noted.items() if name in keep}), force=True)


def _groups(folder: Path, rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        size += (folder / row["file_name"]).stat().st_size
        group.append(row)
        if size >= SHARD_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write_tar(folder: Path, rows: Sequence[dict[str, Any]], path: Path) -> None:
    with tarfile.open(path, "w") as shard:
        for row in rows:
            name = row["file_name"].removesuffix(".mp4")
            fields = {key: value for key, value in row.items() if key != "file_name"}
            texts = {".txt": str(row["caption"]), ".json": json.dumps(fields, ensure_ascii=False)}
            parts = {".mp4": (folder / row["file_name"]).read_bytes(), **{end: text.encode() for end, text in texts.items()}}
            for ending, data in parts.items():
                member = tarfile.TarInfo(f"{name}{ending}")
                member.size, member.mode = len(data), 0o644
                shard.addfile(member, io.BytesIO(data))
