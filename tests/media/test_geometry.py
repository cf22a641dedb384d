"""What a file says of its pictures' geometry and clock is what the clip has, and only what is wanted is read."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import kinema
from kinema.errors import InputError
from kinema.media import Clip
from kinema.types import Frames

ONE, UNIT = 1 << 16, 1 << 30


def quarters() -> Frames:
    """Red, green, blue and white, from the upper left in reading order."""
    frame = np.full((64, 96, 3), 255, np.uint8)
    frame[:32, :48], frame[:32, 48:], frame[32:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return frame


def film(path: Path, frame: Frames, count: int = 6, aspect: Fraction | None = None) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=16, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = frame.shape[1], frame.shape[0], "yuv420p"
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        for _ in range(count):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


def with_matrix(path: Path, matrix: list[int]) -> Path:
    """The film with another display matrix in its track header (ISO 14496-12, 8.3.2)."""
    raw = path.read_bytes()
    header = raw.find(b"tkhd") + 4
    at = header + (40 if raw[header] == 0 else 52)
    assert struct.unpack(">9i", raw[at : at + 36]) == (ONE, 0, 0, 0, ONE, 0, 0, 0, UNIT)
    path.write_bytes(raw[:at] + struct.pack(">9i", *matrix) + raw[at + 36 :])
    return path


@pytest.mark.parametrize(
    ("turn", "shown"),
    [
        ((-ONE, 0, 0, ONE), quarters()[:, ::-1]),
        ((ONE, 0, 0, -ONE), quarters()[::-1]),
        ((-ONE, 0, 0, -ONE), quarters()[::-1, ::-1]),
        ((0, ONE, -ONE, 0), np.rot90(quarters(), -1)),
        ((0, -ONE, ONE, 0), np.rot90(quarters())),
        ((0, ONE, ONE, 0), quarters().swapaxes(0, 1)),
        ((0, -ONE, -ONE, 0), quarters().swapaxes(0, 1)[::-1, ::-1]),
    ],
)
def test_films_are_turned_and_mirrored_as_players_show_them(
    tmp_path: Path, turn: tuple[int, int, int, int], shown: Frames
) -> None:
    a, b, c, d = turn
    path = with_matrix(film(tmp_path / "a.mp4", quarters()), [a, b, 0, c, d, 0, 0, 0, UNIT])
    seen = Clip.open(path).frames[0]
    assert seen.shape == shown.shape and np.abs(seen.astype(int) - shown).mean() < 10


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), "128x64"), (Fraction(1, 2), "48x64")])
def test_pixels_that_are_not_square_are_made_so(tmp_path: Path, aspect: Fraction, size: str) -> None:
    assert Clip.open(film(tmp_path / "a.mp4", quarters(), aspect=aspect)).size == size


def test_colors_survive_rounds_of_saving_and_opening(tmp_path: Path) -> None:
    for number, color in enumerate(((200, 50, 50), (30, 90, 200), (250, 220, 10), (128, 128, 128))):
        clip = Clip(frames=np.full((3, 64, 64, 3), color, np.uint8), fps=16.0)
        for turn in range(8):
            clip = Clip.open(clip.save(tmp_path / f"{number}-{turn}.mp4"))
        assert np.abs(clip.frames.mean((0, 1, 2)) - color).max() <= 1.0


@pytest.mark.parametrize("waits", [[40, 40, 50] * 8, [30, 30, 40] * 10, [100] * 5, [100, 300, 100, 500], [20, 1000]])
def test_a_gif_lasts_as_long_as_its_waits(tmp_path: Path, waits: list[int]) -> None:
    frames = [Image.fromarray(np.full((64, 64, 3), 5 * i + 20, np.uint8)) for i in range(len(waits))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=waits, loop=0)
    whole = Clip.open(tmp_path / "a.gif")
    assert whole.duration_s == pytest.approx(sum(waits) / 1000, abs=0.02)
    for part in (Clip.open(tmp_path / "a.gif", first=2), Clip.open(tmp_path / "a.gif", last=2)):
        assert part.fps == whole.fps
    assert np.array_equal(part.frames, whole.frames[-2:])


def numbered(path: Path, count: int = 40) -> Path:
    """A film whose frames have the gray level 5 times their number."""
    frames = np.repeat((np.arange(count, dtype=np.uint8) * 5)[:, None, None, None], 3, -1)
    return Clip(frames=np.broadcast_to(frames, (count, 90, 160, 3)).copy(), fps=16.0).save(path)


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif"])
def test_the_first_or_last_frames_alone_are_read(tmp_path: Path, ending: str) -> None:
    path = numbered(tmp_path / f"a{ending}")
    first, last = Clip.open(path, first=3), Clip.open(path, last=2)
    assert (first.num_frames, last.num_frames, first.fps, last.fps) == (3, 2, 16.0, 16.0)
    assert np.abs(first.frames.mean((1, 2, 3)) - [0, 5, 10]).max() < 2
    assert np.abs(last.frames.mean((1, 2, 3)) - [190, 195]).max() < 2
    assert Clip.open(path, first=1000).num_frames == Clip.open(path, last=1000).num_frames == 40


def test_large_pictures_are_shrunk_while_they_are_read(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", np.repeat(np.repeat(quarters(), 8, 0), 8, 1))
    clip = Clip.open(path, longest=192)
    assert (clip.size, clip.source_size) == ("192x128", "768x512")
    assert Clip.open(path).source_size == "" == Clip.open(path, longest=768).source_size
    made = kinema.extend(path, seconds=0.25)
    assert made.settings["scaled_from"] == "768x512"


def test_part_of_a_film_by_kinema_brings_its_part_of_the_state(tmp_path: Path) -> None:
    clip = kinema.generate("a red ball rolls right", seconds=0.5, seed=1)[0]
    path = clip.save(tmp_path / "a.mp4")
    for part, which in ((Clip.open(path, first=1), 0), (Clip.open(path, last=1, longest=32), -1)):
        assert part.state is not None and clip.state is not None and part.size == clip.size
        assert np.allclose(part.state.x[0], clip.state.x[which])


@pytest.mark.parametrize("wanted", [{"first": 0}, {"last": 1.5}, {"longest": True}, {"first": 1, "last": 1}])
def test_parts_that_cannot_be_are_refused(tmp_path: Path, wanted: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"first|last|longest"):
        Clip.open(numbered(tmp_path / "a.mp4", 2), **wanted)


def test_the_same_clip_makes_the_same_file(tmp_path: Path) -> None:
    clip = Clip.open(numbered(tmp_path / "a.mp4"))
    for ending in (".mp4", ".mkv", ".webm", ".gif", ".png"):
        some = clip.cut(slice(0, 1)) if ending == ".png" else clip
        paths = [some.save(tmp_path / f"{i}{ending}") for i in range(3)]
        assert len({path.read_bytes() for path in paths}) == 1, ending


def test_what_a_webm_leaves_clear_is_white(tmp_path: Path) -> None:
    shown = np.zeros((64, 64, 4), np.uint8)
    shown[..., 0], shown[:, :32, 3] = 255, 255
    with av.open(str(tmp_path / "a.webm"), "w") as file:
        stream = file.add_stream("libvpx-vp9", rate=16, options={"crf": "10", "b": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgba").reformat(format="yuva420p")))
        file.mux(stream.encode())
    frame = Clip.open(tmp_path / "a.webm").frames[-1].astype(int)
    assert np.abs(frame[:, :28] - (255, 0, 0)).max() < 12 and np.abs(frame[:, 36:] - 255).max() < 12
