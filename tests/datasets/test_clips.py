"""Captioned clips are found in every layout, opened as one, and what is wrong is said in one line."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tests.datasets.films import captioned_folder, panning

from kinema.datasets.clip_sources import VideoFile
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.writer import Writer
from kinema.errors import InputError, KinemaError

SIZES = {"a": (12, 48, 64), "b": (24, 64, 48), "c": (18, 48, 64)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return captioned_folder(tmp_path / "set", SIZES)


def refused(path: Path | str, *words: str) -> str:
    with pytest.raises(KinemaError) as caught:
        CaptionedClips.open(path)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text
    return text


def as_table(folder: Path, kind: str) -> None:
    """The texts as a table instead."""
    rows = [
        {
            "file_name": f"{name}.mp4",
            "caption": (folder / f"{name}.txt").read_text().strip(),
            "license": "CC0",
            "faces": "yes",
        }
        for name in SIZES
    ]
    for name in SIZES:
        (folder / f"{name}.txt").unlink()
    if kind == "jsonl":
        (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    else:
        lines = ["file_name,text,license,faces", *(f"{r['file_name']},{r['caption']},CC0,yes" for r in rows)]
        (folder / "metadata.csv").write_text("\n".join(lines))


def as_shard(folder: Path, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for file in sorted(folder.iterdir()):
            shard.add(file, file.name)
    return path


def test_a_folder_with_texts_beside_its_videos(folder: Path) -> None:
    clips = CaptionedClips.open(folder)
    assert [entry.name for entry in clips.entries] == ["a", "b", "c"] and len(clips) == 3
    b = clips.entries[1]
    assert (b.caption, b.width, b.height, b.fps, b.num_frames) == ("scenery number 1", 48, 64, 12.0, 24)
    assert b.duration_s == pytest.approx(2.0) and b.license == "" and b.faces is None and b.fields == {}


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_table_says_the_same_and_more(folder: Path, kind: str) -> None:
    before = CaptionedClips.open(folder)
    as_table(folder, kind)
    clips = CaptionedClips.open(folder)
    assert [e.caption for e in clips.entries] == [e.caption for e in before.entries]
    assert {(e.license, e.faces) for e in clips.entries} == {("CC0", True)}
    assert clips.identity() == before.identity(), "the same clips with the same captions"


def test_shards_hold_the_same_clips(folder: Path, tmp_path: Path) -> None:
    (folder / "a.json").write_text(
        json.dumps({"caption_tags": "scenery, pan", "license": "CC-BY", "faces": 0, "camera": "K1"})
    )
    loose = CaptionedClips.open(folder)
    shard = as_shard(folder, tmp_path / "shards" / "part-000.tar")
    for path in (shard.parent, shard):
        clips = CaptionedClips.open(path)
        assert clips.entries == loose.entries and clips.identity() == loose.identity()
        np.testing.assert_array_equal(clips.read(1).frames, loose.read(1).frames)
    assert clips.entries[0].captions == ("scenery number 0", "scenery, pan")
    assert (clips.entries[0].license, clips.entries[0].faces, clips.entries[0].fields) == ("CC-BY", False, {"camera": "K1"})


def test_an_address_is_read_like_a_folder(folder: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    as_shard(folder, tmp_path / "shards" / "part-000.tar")
    memory.put(str(folder), "/clips-set", recursive=True)
    memory.put(str(tmp_path / "shards"), "/clips-shards", recursive=True)
    try:
        loose = CaptionedClips.open(folder)
        for address in ("memory://clips-set", "memory://clips-shards"):
            clips = CaptionedClips.open(address)
            assert clips.entries == loose.entries and clips.identity() == loose.identity()
            np.testing.assert_array_equal(clips.read(2).frames, loose.read(2).frames)
    finally:
        memory.rm("/clips-set", recursive=True)
        memory.rm("/clips-shards", recursive=True)
    refused("memory://nothing", "does not exist")
    refused("nosuchprotocol://a", "cannot be opened")


def test_episodes_of_lerobot_have_their_tasks_as_captions(tmp_path: Path) -> None:
    from kinema.datasets.dataset_files import Recorded

    info = {"env": "x", "action": {"type": "box", "edges": [None], "shape": [1], "dtype": "float32"}}
    film = panning(0, 20, 32, 48)
    writer = Writer(tmp_path / "robot", fps=12.0, size=(32, 48), about=info, sensors=0)
    for task, count in (("push the block", 20), ("lift it", 9)):
        writer.add(
                Recorded(
                    frames=film.frames[:count], action=np.zeros((count, 1), np.float32), reward=np.zeros(count, np.float32),
                    terminated=np.zeros(count, bool), truncated=np.zeros(count, bool),
                    sensors=np.zeros((count, 0), np.float32), task=task,
                )
            )  # fmt: skip
    clips = CaptionedClips.open(tmp_path / "robot")
    assert [(e.name, e.caption, e.num_frames) for e in clips.entries] == [
        ("episode-000000", "push the block", 20), ("episode-000001", "lift it", 9),
    ]  # fmt: skip
    part = clips.read(0, short_side=16, start_s=0.5, stop_s=1.0)
    whole = clips.read(0, short_side=16)
    assert whole.frames.shape == (20, 16, 24, 3)
    np.testing.assert_array_equal(part.frames, whole.frames[6:12])


def test_only_the_wanted_part_is_read_at_the_wanted_size(folder: Path) -> None:
    clips = CaptionedClips.open(folder)
    whole, part = clips.read(1), clips.read(1, start_s=0.5, stop_s=1.0)
    np.testing.assert_array_equal(part.frames, whole.frames[6:12])
    small = clips.read(1, short_side=24, fps=6.0)
    assert small.frames.shape == (12, 32, 24, 3) and small.fps == 6.0 and small.caption == "scenery number 1"
    with pytest.raises(InputError, match="no frames from 9 s on"):
        clips.read(1, start_s=9.0)


def test_all_that_is_wrong_is_counted_and_the_first_is_named(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "c.mp4").write_bytes((folder / "c.mp4").read_bytes()[:900])
    refused(folder, "a.mp4 has no caption", "1 more of 3 clips")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metadata.jsonl", '{"file_name": "a.mp4", "text": "x"}\nno json', ("line 2", "no JSON")),
        ("metadata.jsonl", '{"file_name": "z.mp4", "text": "x"}', ("line 1", "z.mp4 is not there")),
        ("metadata.jsonl", '{"text": "x"}', ("line 1", "no file_name")),
        ("metadata.jsonl", '{"file_name": "a.mp4", "text": 3}', ("line 1", "text is '3'")),
        ("metadata.jsonl", '{"file_name": "a.mp4", "text": "x"}', ("does not list b.mp4", "2 such")),
        ("metadata.csv", "file_name,text\na.mp4,x,y", ("line 2", "more cells")),
        ("a.json", "[1]", ("a.json", "holds list")),
        ("a.json", '{"faces": "some"}', ("faces is 'some'",)),
        ("metadata.jsonl", '{"file_name": "a.mp4", "caption_tags": "x"}', ("line 1", "caption_tags without caption")),
        ("a.txt", "  ", ("a.mp4 has no caption",)),
        ("other.tar", "", ("holds shards (other.tar) and single videos (a.mp4)",)),
    ],
)
def test_mistakes_beside_the_videos_are_named(folder: Path, name: str, text: str, words: tuple[str, ...]) -> None:
    (folder / name).write_text(text)
    refused(folder, *words)


def test_damaged_shards_and_samples_without_a_video_are_named(folder: Path, tmp_path: Path) -> None:
    shard = as_shard(folder, tmp_path / "shards" / "a.tar")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    refused(shard, "a.tar")
    (folder / "b.mp4").unlink()
    as_shard(folder, shard)
    refused(shard, "a.tar: b has no video")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no videos")
    refused(tmp_path / "nothing", "does not exist")


def test_the_identity_changes_with_videos_and_captions(folder: Path) -> None:
    before = CaptionedClips.open(folder).identity()
    assert CaptionedClips.open(folder).identity() == before
    (folder / "a.txt").write_text("something else")
    other = CaptionedClips.open(folder).identity()
    panning(9, 12, 48, 64).save(folder / "b.mp4", force=True)
    assert len({before, other, CaptionedClips.open(folder).identity()}) == 3


def test_names_are_of_one_clip_each(folder: Path) -> None:
    panning(5, 6, 48, 64).save(folder / "a.mkv")
    refused(folder, "have one name, 'a'")


@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_fingerprint_changes_with_length_beginning_and_end(tmp_path: Path, place: int) -> None:
    path, data = tmp_path / "a.mp4", bytearray(200_000)
    path.write_bytes(data)
    video = VideoFile(where="a", open=lambda: path)
    before = video.fingerprint()
    data[place] = 1
    path.write_bytes(data)
    assert video.fingerprint() != before
    path.write_bytes(bytes(200_001))
    assert video.fingerprint() != before
