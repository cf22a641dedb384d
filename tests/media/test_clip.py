"""Reading what users have: pictures of every mode, uneven clocks, files that are not what they seem."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinema.errors import InputError, MediaError
from kinema.media import Clip, Limits, read


def smooth(frames: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    """A gray blob that drifts over a gray slope."""
    y, x = np.mgrid[:height, :width]
    blob = [60 * np.exp(-((x - 20 - 2 * t) ** 2 + (y - 24) ** 2) / 120) for t in range(frames)]
    return np.stack([np.repeat((90 + x / 2 + b)[..., None], 3, -1) for b in blob]).astype(np.uint8)


def test_pictures_of_every_mode(tmp_path: Path) -> None:
    gray = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / "deep.png")
    assert Clip.open(tmp_path / "deep.png").frames.max() == 255
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (Clip.open(tmp_path / "clear.png").frames == 255).all()
    Image.fromarray(smooth(1)[0]).convert("P").save(tmp_path / "palette.png")
    assert Clip.open(tmp_path / "palette.png").frames.shape == (1, 48, 64, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth(1)[0]).save(tmp_path / "turned.jpg", exif=exif)
    assert Clip.open(tmp_path / "turned.jpg").frames.shape == (1, 64, 48, 3)


def test_variable_frame_rate_becomes_even(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "vfr.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pts, frame in zip((0, 1, 2, 3, 20, 21, 22, 40), smooth(8), strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = pts
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    clip = Clip.open(tmp_path / "vfr.mp4")
    assert clip.duration_s == pytest.approx(41 / 25, rel=0.15)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.mp4", None, "does not exist"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"ffconcat version 1.0\nfile a.mp4\n", "not a video"),
        ("noise.png", b"\x89PNG\r\n\x1a\n" + bytes(200), "damaged|not a video"),
        ("junk.mp4", bytes(range(256)) * 40, "not a video"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    Clip(frames=smooth(2), fps=8.0).save(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match=reason) as caught:
        Clip.open(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_folder_sound_and_limits(tmp_path: Path) -> None:
    import av

    with pytest.raises(MediaError, match="folder"):
        Clip.open(tmp_path)
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 44100
        container.mux(stream.encode(tone))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="sound but no"):
        Clip.open(tmp_path / "sound.m4a")
    path = Clip(frames=smooth(10), fps=8.0).save(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="5 frames"):
        read(path, Limits(max_frames=5))
    with pytest.raises(MediaError, match="64x48"):
        read(path, Limits(max_pixels=1000))


def test_clip_checks_and_changes() -> None:
    clip = Clip(frames=smooth(8), fps=8.0)
    assert clip.resample(4.0).num_frames == 4 and clip.resample(16.0).num_frames == 16
    assert clip.fit(32, 32).frames.shape == (8, 32, 32, 3)
    assert "video/mp4" in clip._repr_html_()
    with pytest.raises(InputError, match="uint8"):
        Clip(frames=np.zeros((2, 8, 8, 3), np.float32), fps=8.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="frames a second"):
        Clip(frames=smooth(2), fps=0.0)


def test_reading_is_not_fooled_by_the_working_folder(tmp_path: Path) -> None:
    """A relative path with odd characters is a path, not an option or a protocol."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        Clip(frames=smooth(2), fps=8.0).save("file:odd name.mp4")
        assert Clip.open(Path("file:odd name.mp4")).num_frames == 2
    finally:
        os.chdir(before)
