"""Reading what people have: every kind of file comes upright, whole and on an even clock, or is refused in one line."""

from __future__ import annotations

import logging
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from kinema.errors import InputError, MediaError
from kinema.media import Clip, Limits, read_clip

RED_LEFT = np.zeros((32, 64, 3), np.uint8)
RED_LEFT[:, :32, 0] = 255


def write_video(path: Path, frames: np.ndarray, *, pts: list[int] | None = None, matrix: list[int] | None = None) -> Path:
    """An MP4 as other programs write it: H.264 with times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"crf": "14"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if matrix:
            stream.set_display_matrix(matrix)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts[i] if pts else 100 * i, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def levels(count: int, size: int = 16) -> np.ndarray:
    """uint8 [T, size, size, 3]: frame i is gray of 20 i."""
    return np.repeat(np.arange(count, dtype=np.uint8) * 20, size * size * 3).reshape(count, size, size, 3)


def color(clip: Clip, x: float, y: float) -> str:
    """What stands at a share of the width and height of the first frame."""
    pixel = clip.frames[0, int(y * clip.frames.shape[1]), int(x * clip.frames.shape[2])].astype(int)
    names = {"red": (255, 0, 0), "black": (0, 0, 0), "white": (255, 255, 255), "gray": (128, 128, 128)}
    return min(names, key=lambda name: int(np.abs(pixel - names[name]).sum()))


CLOCKWISE = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
"""The display matrix of a phone held upright: x' = -y, y' = x, both axes as on the screen."""
HALF_TURN = [-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30]


def test_a_turned_video_comes_upright(tmp_path: Path) -> None:
    frames = np.repeat(RED_LEFT[None], 3, axis=0)
    clip = Clip.open(write_video(tmp_path / "a.mp4", frames, matrix=CLOCKWISE))
    assert clip.size == "32x64" and (color(clip, 0.5, 0.2), color(clip, 0.5, 0.8)) == ("red", "black")
    clip = Clip.open(write_video(tmp_path / "b.mp4", frames, matrix=HALF_TURN))
    assert clip.size == "64x32" and (color(clip, 0.2, 0.5), color(clip, 0.8, 0.5)) == ("black", "red")


@pytest.mark.parametrize(
    ("orientation", "size", "red"), [(3, "64x32", (0.8, 0.5)), (6, "32x64", (0.5, 0.2)), (8, "32x64", (0.5, 0.8))]
)
def test_a_turned_picture_comes_upright(tmp_path: Path, orientation: int, size: str, red: tuple[float, float]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RED_LEFT).save(tmp_path / "a.jpg", exif=exif, quality=95)
    clip = Clip.open(tmp_path / "a.jpg")
    assert clip.size == size and color(clip, *red) == "red" and color(clip, 1 - red[0], 1 - red[1]) == "black"


def test_variable_frame_rate_comes_on_an_even_clock(tmp_path: Path) -> None:
    """At any moment the clip shows the frame that the file shows then."""
    pts = [0, 100, 200, 600, 700, 1500, 1600, 1700]
    clip = Clip.open(write_video(tmp_path / "a.mp4", levels(8), pts=pts))
    assert abs(clip.duration_s - 1.8) < 0.25
    for tick in range(clip.num_frames):
        now_ms = 1000 * tick / clip.fps
        shown = round(clip.frames[tick].mean() / 20)
        allowed = {max(i for i, at in enumerate(pts) if at <= now_ms + slack) for slack in (0.5, 2.0)}
        assert shown in allowed, f"{now_ms:.0f} ms shows frame {shown}, expected {allowed}"


def test_an_absurd_gap_in_time_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", levels(4), pts=[0, 10, 20, 40])
    with pytest.raises(MediaError, match="more than the 3 frames"):
        read_clip(path, Limits(max_frames=3))
    frames = [Image.fromarray(frame) for frame in levels(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[20, 655350, 20])
    with pytest.raises(MediaError, match="more than the 1000 frames"):
        read_clip(tmp_path / "a.gif", Limits(max_frames=1000))


def test_transparent_becomes_white(tmp_path: Path) -> None:
    rgba = np.dstack([RED_LEFT, np.where(RED_LEFT[..., 0] > 0, 255, 0).astype(np.uint8)])
    palette = Image.fromarray(RED_LEFT).convert("P", palette=Image.Palette.ADAPTIVE)
    dark = int(np.asarray(palette)[0, -1])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(rgba).save(tmp_path / "a.webp", lossless=True)
    palette.save(tmp_path / "palette.png", transparency=dark)
    palette.save(tmp_path / "a.gif", transparency=dark)
    Image.fromarray(rgba[..., [0, 3]]).save(tmp_path / "la.png")
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "argb"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode())
    for path in tmp_path.iterdir():
        clip = Clip.open(path)
        left = "white" if path.name == "la.png" else "red"
        assert (color(clip, 0.2, 0.5), color(clip, 0.8, 0.5)) == (left, "white"), path.name


def test_gray_palette_and_deep_pictures(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(32, 0)
    Image.fromarray(ramp).save(tmp_path / "gray.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.tiff")
    Image.fromarray(ramp.astype(np.float32) / 255).save(tmp_path / "float.tiff")
    Image.fromarray(ramp).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(ramp).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    Image.fromarray(ramp).save(tmp_path / "named-wrongly.mp4", "BMP")
    for path in tmp_path.iterdir():
        clip = Clip.open(path)
        assert clip.frames.shape == (1, 32, 64, 3), path.name
        assert np.abs(clip.frames[0].astype(int) - ramp[..., None]).max() <= 6, path.name
    Image.fromarray(np.full((8, 8), 200, np.uint16)).save(tmp_path / "dark.png")
    assert Clip.open(tmp_path / "dark.png").frames.max() == 1


def test_animations_hold_each_frame_as_long_as_it_waits(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in levels(3, 32)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 300, 100])
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=[100, 300, 100])
    for name in ("a.gif", "a.png"):
        clip = Clip.open(tmp_path / name)
        assert clip.fps == 10 and [round(frame.mean() / 20) for frame in clip.frames] == [0, 1, 1, 1, 2]


def test_pages_are_not_frames(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (32, 16), "red"), Image.new("RGB", (8, 8), "blue")]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    assert Clip.open(tmp_path / "a.tiff").frames.shape == (1, 16, 32, 3)


def test_each_bad_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.png").write_text("this is not a picture\n" * 50)
    (tmp_path / "page.mp4").write_text("<html><body>404</body></html>")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\na.mp4\n")
    write_sound(tmp_path / "sound.wav", "pcm_s16le")
    write_sound(tmp_path / "sound.m4a", "aac")
    Image.fromarray(RED_LEFT).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:90])
    for name, match in {
        "missing.mp4": "does not exist",
        "folder": "is a folder",
        "empty.mp4": "is empty",
        "noise.mp4": "cannot|not a video",
        "text.png": "not a video or picture",
        "page.mp4": "not a video or picture",
        "list.mp4": "not a video or picture",
        "sound.wav": "sound but no film",
        "sound.m4a": "sound but no film",
        "cut.png": "damaged picture",
        "x" * 300: "cannot be read",
        "a\0b": "does not exist",
    }.items():
        with pytest.raises(MediaError, match=match) as caught:
            Clip.open(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_list_of_files_in_disguise_opens_none_of_them(tmp_path: Path) -> None:
    write_video(tmp_path / "secret.mp4", levels(3))
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(MediaError, match="not a video"):
        Clip.open(tmp_path / "a.mp4")


def test_a_cut_off_video_is_read_as_far_as_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    for ending in ("mp4", "webm"):
        whole = Clip(frames=noise, fps=10.0).save(tmp_path / f"whole.{ending}")
        caplog.clear()
        assert Clip.open(whole).num_frames == 20 and not caplog.records
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with caplog.at_level(logging.WARNING):
            clip = Clip.open(cut)
        assert 3 < clip.num_frames < 18 and "going on with what could be read" in caplog.text
        assert clip.size == "64x64" and clip.fps == 10.0
    write_video(tmp_path / "a.mp4", noise)
    (tmp_path / "a.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:2000])
    with pytest.raises(MediaError):
        Clip.open(tmp_path / "a.mp4")


def test_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    """Files with some bytes changed are read, or refused as MediaError."""
    random = np.random.default_rng(1)
    noise = Clip(frames=random.integers(0, 256, (3, 16, 16, 3), np.uint8), fps=8.0, settings={"a": 1})
    still = Clip(frames=noise.frames[:1], fps=8.0)
    files = [noise.save(tmp_path / f"a.{ending}") for ending in ("mp4", "webm", "gif")]
    files += [still.save(tmp_path / f"b.{ending}") for ending in ("png", "jpg", "webp")]
    for path in files:
        data = path.read_bytes()
        for _ in range(12):
            harmed = bytearray(data[: int(random.integers(1, len(data) + 1))])
            for place in random.integers(0, len(harmed), 8):
                harmed[place] = int(random.integers(0, 256))
            path.write_bytes(harmed)
            try:
                Clip.open(path)
            except MediaError as wrong:
                assert "\n" not in str(wrong)


def test_limits_are_checked_before_pixels_are_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT" + zlib.compress(b"") * 2
    )
    with pytest.raises(MediaError, match="pixels; make it smaller"):
        Clip.open(tmp_path / "bomb.png")
    Image.new("L", (300, 200)).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="300x200, more than 50000 pixels"):
        read_clip(tmp_path / "a.png", Limits(max_pixels=50_000))
    video = write_video(tmp_path / "a.mp4", levels(12, 64))
    with pytest.raises(MediaError, match="64x64, more than 1000 pixels"):
        read_clip(video, Limits(max_pixels=1000))
    with pytest.raises(MediaError, match="more than the 10 frames of 64x64"):
        read_clip(video, Limits(max_frames=10))
    with pytest.raises(MediaError, match="more than the 8 frames of 64x64"):
        read_clip(video, Limits(max_bytes=100_000))
    assert read_clip(video, Limits(max_frames=12)).num_frames == 12


def test_a_clip_changed_by_another_program_loses_its_state_not_its_pictures(tmp_path: Path) -> None:
    """Other programs copy the fields into files of other sizes and lengths; foreign comments are no settings."""
    own = Clip(frames=levels(6, 33), fps=10.0, caption="a red ball", settings={"seed": 1}).save(tmp_path / "own.mp4")
    with av.open(str(own)) as given:
        tags = dict(given.metadata)
    with av.open(str(tmp_path / "other.mp4"), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    clip = Clip.open(tmp_path / "other.mp4")
    assert clip.size == "64x48" and clip.num_frames == 4 and clip.state is None and clip.settings == {"seed": 1}
    exif = Image.Exif()
    exif[0x010E] = "Holiday, 2019 {"
    Image.fromarray(RED_LEFT).save(tmp_path / "a.jpg", exif=exif)
    assert Clip.open(tmp_path / "a.jpg").settings == {}


def test_clips_resample_and_fit() -> None:
    clip = Clip(frames=levels(8, 16), fps=16.0)
    half = clip.resample(8.0)
    assert half.num_frames == 4 and np.array_equal(half.frames, clip.frames[::2])
    assert clip.resample(32.0).num_frames == 16
    assert clip.fit(32, 8).frames.shape == (8, 8, 32, 3) and clip.fit(16, 16) is clip
    for wrong in ({"fps": 0.0}, {"fps": float("nan")}, {"frames": clip.frames[..., :1]}, {"frames": clip.frames / 255}):
        with pytest.raises(InputError):
            Clip(**{"frames": clip.frames, "fps": 1.0, **wrong})
