"""Films read frame by frame: the wanted part alone, at the wanted size, from files and open files."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from kinema.errors import MediaError
from kinema.media import Clip
from kinema.media.film_stream import FilmFacts, film_facts, film_frames, on_clock


def counting(count: int, height: int = 32, width: int = 48, fps: float = 10.0) -> Clip:
    """Frame i is gray by 5 * i."""
    levels = (np.arange(count) * 5).astype(np.uint8)
    return Clip(frames=np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy(), fps=fps)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return counting(40).save(tmp_path / "a.mp4")


def numbers(frames: list[np.ndarray]) -> list[int]:
    return [round(float(frame.mean()) / 5) for frame in frames]


def test_facts_are_those_of_the_file(film: Path) -> None:
    facts = film_facts(film, "a")
    assert facts == FilmFacts(width=48, height=32, fps=10.0, duration_s=pytest.approx(4.0))
    with film.open("rb") as file:
        assert film_facts(file, "a") == facts


def test_a_part_is_read_with_the_frame_that_is_shown_at_its_beginning(film: Path) -> None:
    frames = list(film_frames(film, "a", start_s=1.25, stop_s=2.0, size=(16, 24)))
    assert [round(time_s, 3) for time_s, _ in frames] == [1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9]
    assert numbers([frame for _, frame in frames]) == list(range(12, 20)) and frames[0][1].shape == (16, 24, 3)
    assert [round(time_s, 1) for time_s, _ in film_frames(film, "a", start_s=3.95)] == [3.9], "the last one lasts"


def test_the_clock_shows_the_latest_frame_at_each_tick(film: Path) -> None:
    def at(fps: float, **part: float) -> list[int]:
        return numbers(list(on_clock(film_frames(film, "a", **part), source_fps=10.0, fps=fps, **part)))

    assert at(10.0) == list(range(40))
    assert at(5.0) == list(range(0, 40, 2))
    assert at(20.0, start_s=1.0, stop_s=1.5) == [10, 10, 11, 11, 12, 12, 13, 13, 14, 14]
    jittered = [(round(i / 30, 3), np.full((2, 2, 3), i, np.uint8)) for i in range(30)]
    shown = [int(frame[0, 0, 0]) for frame in on_clock(jittered, source_fps=30.0, fps=30.0)]
    assert shown == list(range(30)), "times that a container rounded move no frame to another tick"


def test_a_turned_film_has_the_size_that_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.set_display_matrix([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30])
        for frame in counting(4).frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    facts = film_facts(path, "turned")
    assert (facts.width, facts.height) == (32, 48) == Clip.open(path).frames.shape[2:0:-1]
    assert next(iter(film_frames(path, "turned", size=(24, 16))))[1].shape == (24, 16, 3)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_film_that_is_cut_short_is_refused(film: Path, tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), np.uint8)
    data = Clip(frames=noise, fps=10.0).save(tmp_path / "noise.mp4").read_bytes()
    with pytest.raises(MediaError, match=r"noise is cut short|noise cannot be read") as caught:
        film_facts(io.BytesIO(data[: int(len(data) * share)]), "noise")
    assert "\n" not in str(caught.value)


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(MediaError, match=r"a\.mp4 is not a video or picture that can be read"):
        film_facts(tmp_path / "a.mp4", "a.mp4")


def test_a_film_without_an_index_is_read_from_its_middle(tmp_path: Path) -> None:
    """A search in MPEG-TS may land after what was looked for; then the film is read from an earlier place."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"g": "7", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in counting(40).frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    for first in (1, 9, 20, 33):
        frames = list(film_frames(path, "a", start_s=first / 10 + 1e-3))
        assert numbers([frame for _, frame in frames]) == list(range(first, 40))
