"""The sound of clips: it stays with its pictures through files, cuts and joins."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from kinema.errors import InputError
from kinema.media import Clip, Limits, Sound, read_clip
from kinema.media.sound import joined_sound

RATE = 16_000
TONES = (400.0, 800.0, 1200.0, 1600.0)
"""One tone for each second of `toned`, in Hz."""
AAC_FRAME = 1024


def tone(hz: float, seconds: float = 1.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    wave = np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat((12_000 * wave).astype(np.int16)[:, None], channels, axis=1)


def toned(fps: float = 8.0, channels: int = 1) -> Clip:
    """Four seconds, each with a tone and a gray of its own."""
    frames = np.repeat(np.arange(4, dtype=np.uint8) * 60, round(fps))[:, None, None, None] * np.ones(
        (1, 32, 32, 3), np.uint8
    )
    samples = np.concatenate([tone(hz, channels=channels) for hz in TONES])
    return Clip(frames=frames, fps=fps, sound=Sound(samples=samples, rate=RATE))


def heard(clip: Clip, second: float, lasting: float = 0.5) -> float:
    """The loudest frequency in Hz around a second of a clip; 0 for silence."""
    assert clip.sound is not None
    part = clip.sound.part(second - lasting / 2, second + lasting / 2).samples[:, 0].astype(float)
    if np.abs(part).max() < 300:
        return 0.0
    return float(np.abs(np.fft.rfft(part)).argmax() / lasting)


def heard_in(clip: Clip) -> list[float]:
    """What is heard in the middle of each second, to the nearest 10 Hz."""
    return [round(heard(clip, second + 0.5), -1) for second in range(round(clip.duration_s))]


def onset_s(clip: Clip) -> float:
    """When the first tone begins."""
    assert clip.sound is not None
    return float(np.flatnonzero(np.abs(clip.sound.samples[:, 0]) > 3000)[0] / clip.sound.rate)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_sound_of_a_file_comes_back_in_step(tmp_path: Path, ending: str, channels: int) -> None:
    clip = toned(channels=channels)
    silent_first = replace(clip, sound=joined_sound([(None, 1.5), (clip.sound, 2.5)]))
    back = Clip.open(silent_first.save(tmp_path / f"a.{ending}"))
    assert back.sound is not None and back.sound.channels == channels
    assert back.sound.duration_s == pytest.approx(back.duration_s, abs=1 / back.sound.rate)
    assert onset_s(back) == pytest.approx(1.5, abs=AAC_FRAME / RATE / 4)
    assert heard(back, 2.0) == pytest.approx(TONES[0], abs=4) and heard(back, 3.0) == pytest.approx(TONES[1], abs=4)


def test_the_same_clip_makes_the_same_file(tmp_path: Path) -> None:
    for ending in ("mp4", "webm", "mkv"):
        first, second = (toned().save(tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
        assert first == second


def test_first_and_last_frames_bring_their_part(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "a.mp4", toned())
    assert heard_in(Clip.open(path, first=16)) == list(TONES[:2])
    assert heard_in(Clip.open(path, last=8)) == [TONES[3]]
    assert Clip.open(path, sound=False).sound is None


def test_cut_pick_resample_and_fit_keep_the_right_part() -> None:
    clip = toned()
    assert heard_in(clip.cut(slice(8, 24))) == list(TONES[1:3])
    assert heard_in(clip.pick(np.r_[24:32, 0:8])) == [TONES[3], TONES[0]]
    assert heard_in(clip.resample(5.0).fit(16, 16)) == list(TONES)
    assert clip.sound is not None
    assert np.array_equal(clip.cut(slice(8, 24)).sound.samples, clip.sound.samples[RATE : 3 * RATE])  # type: ignore[union-attr]


@pytest.mark.parametrize("fps", [23.976, 5.0, 50.0, 12.5])
def test_sound_lasts_as_long_as_the_pictures(fps: float) -> None:
    clip = toned(fps=fps)
    for part in (clip.cut(slice(1, 7)), clip.pick(np.r_[3:5, 0:2, 4:9]), clip.cut(slice(None, None, 2))):
        assert part.sound is not None and abs(part.sound.duration_s - part.duration_s) <= 1 / RATE


def test_joined_sounds_take_the_higher_rate_and_more_channels() -> None:
    low, high = (
        Sound(samples=tone(400, rate=8000), rate=8000),
        Sound(samples=tone(900, rate=48_000, channels=2), rate=48_000),
    )
    both = joined_sound([(low, 1.0), (None, 0.5), (high, 1.0)])
    assert both is not None and (both.rate, both.channels, both.duration_s) == (48_000, 2, 2.5)
    clip = Clip(frames=np.zeros((5, 8, 8, 3), np.uint8), fps=2.0, sound=both)
    assert [heard(clip, at, 0.25) for at in (0.5, 1.25, 2.0)] == pytest.approx([400, 0, 900], abs=4)
    assert joined_sound([(None, 1.0), (None, 2.0)]) is None


def test_a_sound_that_is_none_is_refused() -> None:
    for samples, rate in ((np.zeros((4, 1), np.float32), RATE), (np.zeros((4, 3), np.int16), RATE), (tone(400), 7)):
        with pytest.raises(InputError, match="expected"):
            Sound(samples=samples, rate=rate)  # type: ignore[arg-type]


def write_foreign(
    path: Path,
    clip: Clip,
    *,
    frames: int | None = None,
    codec: str = "aac",
    layout: str = "mono",
    rate: int = 44_100,
    tracks: int = 1,
    delay_s: float = 0.0,
) -> Path:
    """A video with sound as other programs write it: pictures first, the sound of another rate after `delay_s`."""
    assert clip.sound is not None
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    samples = clip.sound.converted(rate, 1).samples if rate in (44_100, 48_000) else clip.sound.samples
    with av.open(str(path), "w") as container:
        film: Any = container.add_stream("libx264", rate=Fraction(clip.fps))
        film.width, film.height, film.pix_fmt = clip.frames.shape[2], clip.frames.shape[1], "yuv420p"
        sounds: list[Any] = [container.add_stream(codec, rate=rate, layout=layout) for _ in range(tracks)]
        for frame in clip.frames[:frames]:
            container.mux(film.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(film.encode())
        for sound in sounds:
            for begin in range(0, len(samples), 1024):
                part = np.repeat(samples[begin : begin + 1024], channels, axis=1)
                frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, begin + round(delay_s * rate), Fraction(1, rate)
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


@pytest.mark.parametrize(
    ("ending", "codec", "rate"), [("mp4", "aac", 48_000), ("mkv", "flac", 44_100), ("mov", "pcm_s16le", 48_000)]
)
def test_other_programs_files(tmp_path: Path, ending: str, codec: str, rate: int) -> None:
    clip = Clip.open(write_foreign(tmp_path / f"a.{ending}", toned(), codec=codec, rate=rate))
    assert heard_in(clip) == list(TONES)


def test_sound_that_begins_later_stays_where_it_is(tmp_path: Path) -> None:
    clip = Clip.open(write_foreign(tmp_path / "a.mkv", toned(), codec="flac", delay_s=1.25))
    assert onset_s(clip) == pytest.approx(1.25, abs=0.01)
    assert heard(clip, 2.75) == pytest.approx(TONES[1], abs=4)


def test_what_is_not_carried_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    surround = Clip.open(write_foreign(tmp_path / "a.mp4", toned(), layout="5.1", rate=48_000))
    assert surround.sound is not None and surround.sound.channels == 2 and "6 channels" in caplog.text
    caplog.clear()
    Clip.open(write_foreign(tmp_path / "b.mp4", toned(), tracks=2))
    assert "2 tracks of sound; the first is kept" in caplog.text
    caplog.clear()
    path = write_foreign(tmp_path / "c.mp4", toned(), frames=16)
    assert heard_in(Clip.open(path)) == list(TONES[:2]) and "goes on for 2.0 s after its pictures" in caplog.text
    caplog.clear()
    assert Clip.open(path, first=8).sound is not None and "goes on" not in caplog.text
    assert read_clip(path, Limits(max_sound_bytes=1000)).sound is None and "longer than can be kept" in caplog.text
    caplog.clear()
    toned().save(tmp_path / "d.gif")
    assert "d.gif holds no sound" in caplog.text and "mp4" in caplog.text


def test_damaged_sound_is_silence_in_such_places(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_foreign(tmp_path / "a.mp4", toned(), codec="aac", rate=48_000)
    with av.open(str(path)) as container:
        sizes = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(path.read_bytes())
    for at, size in sizes[60:80]:
        data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    clip = Clip.open(path)
    assert clip.num_frames == 32 and "is damaged" in caplog.text
    assert [round(heard(clip, second), -1) for second in (0.5, 2.5, 3.5)] == [TONES[0], TONES[2], TONES[3]]
