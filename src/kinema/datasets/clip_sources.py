"""Where captioned videos come from: folders, WebDataset shards and episodes of LeRobot, on this machine or at an address of fsspec.

Here it is found out which clips there are and what is written beside them; their videos are opened by `kinema.datasets.clips`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from kinema.datasets.addresses import filesystem_of, is_address
from kinema.datasets.caption_files import parse_fields, parse_table, taken_captions
from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError, MediaError
from kinema.media.film_stream import FilmFacts, film_facts, film_frames
from kinema.media.read import scaled_picture
from kinema.types import Frame

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv")
TABLES = ("metadata.jsonl", "metadata.csv")
EDGE_BYTES = 1 << 16
"""Of the beginning and the end of a file, which tell it from another of the same length."""
ROWS_AT_ONCE = 64


class VideoSource(Protocol):
    """The video of one clip."""

    def facts(self) -> FilmFacts:
        """Size, rate and length; MediaError where it is damaged."""
        ...

    def frames(self, *, size: tuple[int, int] | None, start_s: float, stop_s: float) -> Iterator[tuple[float, Frame]]:
        """Frames with their times, as `kinema.media.film_stream.film_frames` gives them."""
        ...

    def fingerprint(self) -> str:
        """A hash that changes with the video."""
        ...


@dataclass(frozen=True, kw_only=True)
class FoundClip:
    """A clip as it was found, not opened yet.

    name: of its own in the set, the path of its file without the ending. where: how messages call it. captions: the first is the
    main one; none where nothing is written. fields: what else is written beside it.
    """

    name: str
    where: str
    video: VideoSource
    captions: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A video in a file, or in a part of one. open: a path, or an open file that can be sought and is closed after use."""

    where: str
    open: Callable[[], Path | BinaryIO]

    def facts(self) -> FilmFacts:
        source = self.open()
        try:
            return film_facts(source, self.where)
        finally:
            if not isinstance(source, Path):
                source.close()

    def frames(self, *, size: tuple[int, int] | None, start_s: float, stop_s: float) -> Iterator[tuple[float, Frame]]:
        source = self.open()
        try:
            yield from film_frames(source, self.where, size=size, start_s=start_s, stop_s=stop_s)
        finally:
            if not isinstance(source, Path):
                source.close()

    def fingerprint(self) -> str:
        source = self.open()
        with source.open("rb") if isinstance(source, Path) else source as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(0)
            digest = hashlib.sha256(f"{length} ".encode() + file.read(EDGE_BYTES))
            file.seek(max(length - EDGE_BYTES, 0))
            digest.update(file.read(EDGE_BYTES))
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class RecordedEpisode:
    """The pictures of one episode of a dataset in LeRobot's layout."""

    dataset: Dataset
    number: int

    def facts(self) -> FilmFacts:
        height, width = self.dataset.size
        rate = self.dataset.fps
        return FilmFacts(width=width, height=height, fps=rate, duration_s=self.dataset.length(self.number) / rate)

    def frames(self, *, size: tuple[int, int] | None, start_s: float, stop_s: float) -> Iterator[tuple[float, Frame]]:
        rate, count = self.dataset.fps, self.dataset.length(self.number)
        first = min(max(int(start_s * rate + 1e-6), 0), count - 1)
        last = count if stop_s * rate >= count else max(int(-(-stop_s * rate // 1)), first)
        for begin in range(first, last, ROWS_AT_ONCE):
            pictures = self.dataset.pictures(self.number, begin, min(begin + ROWS_AT_ONCE, last))
            for row, picture in enumerate(pictures, begin):
                yield row / rate, picture if size is None else scaled_picture(picture, size[1], size[0])

    def fingerprint(self) -> str:
        return f"{json.dumps(self.dataset.fingerprint, sort_keys=True)} {self.number}"


class _Section(io.RawIOBase):
    """Bytes of an open file from `begin` on, as a file of its own that closes the other."""

    def __init__(self, file: BinaryIO, begin: int, length: int) -> None:
        self._file, self._begin, self._length, self._at = file, begin, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max({io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence] + offset, 0)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._length - self._at, 0)
        self._file.seek(self._begin + self._at)
        data = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class Store:
    """The files of a dataset below one path: a folder or a file on this machine, or an address that fsspec knows.

    InputError: an address whose protocol is not known, or that cannot be reached. MediaError: nothing is there.
    """

    def __init__(self, path: Path | str) -> None:
        self.given = str(path)
        self.local = not is_address(path)
        self._fs, self._root = filesystem_of(path)
        try:
            exists = self._fs.exists(self._root)
            self.is_file = exists and self._fs.isfile(self._root)
        except Exception as error:  # whatever a filesystem of somebody else raises
            raise InputError(f"{self.given[:200]!r} cannot be opened: {str(error)[:200]}") from None
        if not exists:
            raise MediaError(
                f"{self.given[:200]} does not exist; expected a folder of videos with captions, or *.tar shards"
            )

    @cached_property
    def names(self) -> list[str]:
        """Paths of all files below it, without hidden ones, in order; of a file its name alone."""
        if self.is_file:
            return [PurePosixPath(self._root).name]
        root = self._root.rstrip("/")
        below = [PurePosixPath(path[len(root) :].lstrip("/")) for path in self._fs.find(root)]
        return sorted(str(path) for path in below if not any(part.startswith(".") for part in path.parts))

    def where(self, name: str) -> str:
        return self.given if self.is_file else f"{self.given.rstrip('/')}/{name}"

    def open(self, name: str) -> BinaryIO:
        path = self._root if self.is_file else f"{self._root.rstrip('/')}/{name}"
        try:
            file: BinaryIO = self._fs.open(path, "rb")
        except OSError as error:
            raise MediaError(f"{self.where(name)} cannot be read: {error.strerror or error}") from None
        return file

    def text(self, name: str) -> str:
        """A text file. MediaError where it is no UTF-8."""
        with self.open(name) as file:
            try:
                return file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise MediaError(f"{self.where(name)} is no text in UTF-8; save it as UTF-8") from None

    def video(self, name: str) -> VideoFile:
        where = self.where(name)
        return VideoFile(where=where, open=(lambda: Path(where)) if self.local else (lambda: self.open(name)))


def find_clips(path: Path | str, *, camera: str | None = None) -> list[FoundClip]:
    """All clips of a set, by name.

    path: a folder of videos with a text beside each (a.mp4, a.txt or a.json), or with metadata.jsonl or metadata.csv; WebDataset
    shards (a folder of *.tar or one of them); or a dataset in LeRobot's layout, whose tasks are the captions. camera: of the
    latter, as in `Dataset.open`.
    MediaError, InputError: nothing of the kind is there, or what is wrong where, in one line.
    """
    store = Store(path)
    if "meta/info.json" in store.names:
        clips = _episodes(store, camera)
    elif tars := [name for name in store.names if name.endswith(".tar")]:
        if loose := [name for name in store.names if name.lower().endswith(VIDEO_ENDINGS)]:
            raise InputError(f"{store.given} holds shards ({tars[0]}) and single videos ({loose[0]}); expected one of both")
        clips = [clip for tar in tars for clip in _samples(store, tar)]
    elif tables := [name for name in TABLES if name in store.names]:
        clips = _listed(store, tables[0])
    else:
        clips = _beside(store)
    if not clips:
        raise MediaError(f"{store.given} holds no videos; expected {', '.join(VIDEO_ENDINGS[:4])}, ... or *.tar shards")
    clips = sorted(clips, key=lambda clip: clip.name)
    for one, other in pairwise(clips):
        if one.name == other.name:
            raise InputError(f"{one.where} and {other.where} have one name, {one.name!r}; rename one of them")
    return clips


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _beside(store: Store) -> list[FoundClip]:
    """Videos with texts of the same name beside them."""
    texts = {name for name in store.names if name.endswith((".txt", ".json"))}
    clips = []
    for name in store.names:
        if not name.lower().endswith(VIDEO_ENDINGS):
            continue
        text, data = f"{_stem(name)}.txt", f"{_stem(name)}.json"
        fields = parse_fields(store.text(data), store.where(data)) if data in texts else {}
        main = store.text(text).strip() if text in texts else ""
        captions = taken_captions(fields, store.where(data), main)
        clips.append(
            FoundClip(name=_stem(name), where=store.where(name), video=store.video(name), captions=captions, fields=fields)
        )
    return clips


def _listed(store: Store, table: str) -> list[FoundClip]:
    """Videos that a table names, one a row."""
    where = store.where(table)
    clips, there = [], set(store.names)
    for line, row in parse_table(store.text(table), where):
        name = row.pop("file_name", None)
        if not isinstance(name, str) or not name:
            raise InputError(f"{where}, line {line}: no file_name; expected the path of a video in the folder")
        name = str(PurePosixPath(name))
        if name not in there:
            raise MediaError(f"{where}, line {line}: {name} is not there; copy it again or delete the line")
        captions = taken_captions(row, f"{where}, line {line}")
        clips.append(
            FoundClip(name=_stem(name), where=store.where(name), video=store.video(name), captions=captions, fields=row)
        )
    listed = {clip.where for clip in clips}
    extra = [name for name in store.names if name.lower().endswith(VIDEO_ENDINGS) and store.where(name) not in listed]
    if extra:
        raise InputError(
            f"{where} does not list {extra[0]} ({len(extra)} such videos); add a line for each, or move them away"
        )
    return clips


def _samples(store: Store, tar: str) -> list[FoundClip]:
    """The samples of a WebDataset shard: files that share a name up to the first dot. Only headers and texts are read."""
    where = store.where(tar)
    parts: dict[str, dict[str, tuple[int, int]]] = {}
    with store.open(tar) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as shard:
                for member in shard:
                    folder, _, base = member.name.rpartition("/")
                    key, _, ending = base.partition(".")
                    if member.isfile() and key and ending:
                        name = f"{folder}/{key}".removeprefix("./").lstrip("/")
                        parts.setdefault(name, {})[f".{ending.lower()}"] = member.offset_data, member.size
                    end = member.offset_data + member.size
        except (tarfile.TarError, OSError) as error:
            raise MediaError(f"{where} cannot be read as a tar file ({error}); copy it again") from None
        length = file.seek(0, io.SEEK_END)
        if parts and end > length:
            raise MediaError(f"{where} is cut short: {length} of at least {end} bytes; copy it again")

        def text(place: tuple[int, int], of: str) -> str:
            file.seek(place[0])
            try:
                return file.read(place[1]).decode("utf-8-sig")
            except UnicodeDecodeError:
                raise MediaError(f"{of} is no text in UTF-8") from None

        clips = []
        for name, files in parts.items():
            video = next((files[ending] for ending in VIDEO_ENDINGS if ending in files), None)
            of = f"{where}: {name}"
            if video is None:
                raise MediaError(f"{of} has no video (it has {', '.join(sorted(files))}); expected {name}.mp4")
            fields = parse_fields(text(files[".json"], of), of) if ".json" in files else {}
            captions = taken_captions(fields, of, text(files[".txt"], of).strip() if ".txt" in files else "")
            clips.append(
                FoundClip(name=name, where=of, video=_in_shard(store, tar, of, video), captions=captions, fields=fields)
            )
    return clips


def _in_shard(store: Store, tar: str, where: str, place: tuple[int, int]) -> VideoFile:
    return VideoFile(where=where, open=lambda: _Section(store.open(tar), *place))  # type: ignore[arg-type,return-value]


def _episodes(store: Store, camera: str | None) -> list[FoundClip]:
    dataset = Dataset.open(store.given, camera=camera)
    return [
        FoundClip(
            name=f"episode-{number:06d}",
            where=f"{store.given}: episode {number}",
            video=RecordedEpisode(dataset=dataset, number=number),
            captions=(task,) if (task := dataset.task(number)) else (),
        )
        for number in range(len(dataset))
    ]
