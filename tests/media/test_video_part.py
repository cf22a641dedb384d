"""Parts of videos: the frames that a whole reading gives, of even and uneven clocks, found without decoding what is before them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kinema.errors import InputError, MediaError
from kinema.media import Clip, Limits, Sound, read_clip
from kinema.media.video_part import measure_length
from kinema.media.wanted import FramePart, Wanted

BITS = 8


def numbered(count: int) -> np.ndarray:
    """Pictures that show their numbers: a bar for each bit."""
    bits = np.arange(count)[:, None] >> np.arange(BITS) & 1
    return np.ascontiguousarray(
        np.broadcast_to((255 * bits).astype(np.uint8).repeat(8, 1)[:, None, :, None], (count, 32, 64, 3))
    )


def numbers(frames: np.ndarray) -> list[int]:
    bits = frames[:, 8:24].reshape(len(frames), 16, BITS, 8, 3)[:, :, :, 2:6].mean((1, 3, 4)) > 127
    return [int(number) for number in bits @ (1 << np.arange(BITS))]


def part_of(path: Path, first: int, stop: int, fps: float, **more: object) -> Clip:
    return read_clip(path, Limits(), Wanted(part=FramePart(first=first, stop=stop, fps=fps), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm"])
def test_a_part_is_what_was_cut_from_the_whole(tmp_path: Path, ending: str) -> None:
    samples = np.repeat(np.arange(200, dtype=np.int16) * 100, 800)[:, None]
    sound = Sound(samples=samples, rate=16_000)
    path = Clip(frames=numbered(200), fps=20.0, sound=sound).save(tmp_path / f"a{ending}")
    whole, length = Clip.open(path), measure_length(path, Limits())
    assert (length.frames, length.fps, length.has_sound) == (200, 20.0, True)
    for first, stop in ((0, 1), (0, 200), (77, 90), (199, 200), (150, 200)):
        part = part_of(path, first, stop, length.fps)
        assert numbers(part.frames) == list(range(first, stop)) and part.fps == 20.0
        assert np.array_equal(part.frames, whole.frames[first:stop])
        assert part.sound is not None and whole.sound is not None and part.sound.duration_s == part.duration_s
        cut = whole.cut(slice(first, stop)).sound
        assert cut is not None
        apart = np.abs(part.sound.samples.astype(int) - cut.samples)
        assert np.median(apart) < 400, "a step between pictures is 100, and compression adds some"


def test_a_part_of_an_uneven_film_is_on_the_clock_of_the_whole(tmp_path: Path) -> None:
    """Of a film that stands still for a while, and runs again."""
    path, at = tmp_path / "uneven.mkv", [*range(40), *range(70, 100)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "12", "g": "12"})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = 64, 32, "yuv420p", Fraction(1, 20)
        for number, tick in enumerate(at):
            frame = av.VideoFrame.from_ndarray(numbered(len(at))[number], format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole, length = Clip.open(path), measure_length(path, Limits())
    assert length.frames == whole.num_frames and length.fps == whole.fps
    for first, stop in ((0, 20), (35, 80), (50, 60), (length.frames - 5, length.frames)):
        assert numbers(part_of(path, first, stop, length.fps).frames) == numbers(whole.frames[first:stop])


def test_a_part_is_shrunk_as_it_is_read_and_says_so(tmp_path: Path) -> None:
    path = Clip(frames=numbered(30).repeat(8, 1).repeat(8, 2), fps=16.0).save(tmp_path / "a.mp4")
    part = part_of(path, 3, 9, 16.0, longest=64)
    assert (part.size, part.source_size, part.num_frames) == ("64x32", "512x256", 6)
    assert numbers(part.frames) == list(range(3, 9))


def test_what_is_no_part_is_one_line(tmp_path: Path) -> None:
    for first, stop, fps in ((-1, 3, 16.0), (3, 3, 16.0), (0, 3, 0.0)):
        with pytest.raises(InputError, match="expected one at least"):
            FramePart(first=first, stop=stop, fps=fps)
    (tmp_path / "text.mp4").write_text("no film")
    for read in (lambda file: measure_length(file, Limits()), lambda file: part_of(file, 0, 3, 16.0)):
        with pytest.raises(MediaError, match="not a video or picture that can be read"):
            read(tmp_path / "text.mp4")
    cut_off = tmp_path / "half.mkv"
    half = Clip(frames=numbered(200), fps=16.0).save(tmp_path / "b.mkv").read_bytes()
    cut_off.write_bytes(half[: len(half) // 2])
    assert numbers(part_of(cut_off, 0, 5, 16.0).frames) == list(range(5))
