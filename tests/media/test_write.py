"""Writing clips: what was written comes back, and no failure loses or half-writes a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinema.errors import InputError, OutputError
from kinema.media import Clip, write_text
from kinema.playground import simulate, tiny

SETTINGS = {
    "prompt": 'a "red" ball\n— größer',
    "seed": 7,
    "size": "64x48",
    "steps": 16,
    "guidance": 2.5,
    "nested": {"a": [1, None]},
}


def smooth(frames: int, height: int, width: int) -> np.ndarray:
    """uint8 [T, H, W, 3]: gradients that drift."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin(x / 40 + t / 9), np.cos(y / 35 - t / 11), np.sin((x + y) / 60 + t / 7)]
    return np.stack([np.round(127 + 90 * wave) for wave in waves], -1).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


@pytest.fixture(scope="module")
def clip() -> Clip:
    scene = simulate(tiny(), 3, fps=16.0, num_frames=12).scene
    frames = smooth(12, 48, 64)
    return Clip(frames=frames, fps=16.0, state=scene, caption='a red ball, «größer» | 0-2: it\'s "here"', settings=SETTINGS)


@pytest.mark.parametrize("ending", ["mp4", "webm", "mkv", "gif"])
def test_a_film_comes_back_with_all_that_is_known_of_it(clip: Clip, tmp_path: Path, ending: str) -> None:
    path = clip.save(tmp_path / f"a.{ending}")
    back = Clip.open(path)
    assert back.settings == SETTINGS and back.caption == clip.caption and back.fps == clip.fps
    assert back.state is not None and clip.state is not None and back.state.to_dict() == clip.state.to_dict()
    assert back.frames.shape == clip.frames.shape and psnr(back.frames, clip.frames) > 30
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "mp4", "gif"])
def test_a_picture_comes_back(clip: Clip, tmp_path: Path, ending: str) -> None:
    assert clip.state is not None
    still = Clip(
        frames=clip.frames[:1], fps=8.0, state=clip.state.frames(slice(0, 1)), caption=clip.caption, settings=SETTINGS
    )
    back = Clip.open(still.save(tmp_path / f"a.{ending}"))
    assert back.settings == SETTINGS and back.caption == still.caption and back.fps == 8.0
    assert back.state is not None and still.state is not None and back.state.to_dict() == still.state.to_dict()
    assert back.frames.shape == still.frames.shape and psnr(back.frames, still.frames) > 30
    assert ending != "png" or np.array_equal(back.frames, still.frames)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (65, 47), (33, 64)])
@pytest.mark.parametrize("ending", ["mp4", "webm", "mkv", "gif", "png"])
def test_odd_sizes_come_back_exactly_sized(tmp_path: Path, ending: str, size: tuple[int, int]) -> None:
    frames = smooth(1 if ending == "png" else 3, size[1], size[0])
    back = Clip.open(Clip(frames=frames, fps=10.0).save(tmp_path / f"a.{ending}"))
    assert back.frames.shape == frames.shape and psnr(back.frames, frames) > 25


@pytest.mark.parametrize("fps", [0.5, 7.3, 23.976, 29.97, 60.0, 240.0])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_any_rate_comes_back(tmp_path: Path, ending: str, fps: float) -> None:
    frames = smooth(7, 16, 16)
    back = Clip.open(Clip(frames=frames, fps=fps).save(tmp_path / f"a.{ending}"))
    assert back.fps == fps and back.frames.shape == frames.shape


@pytest.mark.parametrize("size", [(190, 144), (192, 144), (97, 61)])
def test_the_same_clip_is_the_same_file(tmp_path: Path, size: tuple[int, int]) -> None:
    """Whatever lies in the memory that the encoder is given: x264's macroblock tree reads some of it before it is written."""
    rng, (width, height) = np.random.default_rng(0), size
    frames = np.clip(smooth(20, height, width) + rng.normal(0, 4, (20, height, width, 3)), 0, 255).astype(np.uint8)
    clip, files = Clip(frames=frames, fps=16.0), set()
    for number in range(6):
        litter = [rng.integers(0, 255, count, dtype=np.uint8) for count in (30_000, 20_000, 70_000, 8_000) * 3]
        del litter
        files.add(clip.save(tmp_path / f"{number}.mp4").read_bytes())
    assert len(files) == 1


def test_a_gif_keeps_still_stretches_and_its_rate(tmp_path: Path) -> None:
    """Equal frames are stored once and come back as often as they were; too fast clips are thinned."""
    frames = smooth(40, 16, 16)
    frames[5:25] = frames[5]
    back = Clip.open(Clip(frames=frames, fps=16.0).save(tmp_path / "a.gif"))
    assert back.fps == 16.0 and back.frames.shape == frames.shape
    assert psnr(back.frames, frames) > 28
    one = Clip(frames=np.repeat(frames[:1], 9, axis=0), fps=12.0).save(tmp_path / "still.gif")
    assert Clip.open(one).num_frames == 9
    fast = Clip.open(Clip(frames=frames, fps=100.0).save(tmp_path / "fast.gif"))
    assert fast.fps == 50.0 and fast.num_frames == 20


def test_a_gif_plays_for_ever(clip: Clip, tmp_path: Path) -> None:
    with Image.open(clip.save(tmp_path / "a.gif")) as picture:
        assert picture.info["loop"] == 0


def test_nothing_is_overwritten_unless_told(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")
    for save in (lambda: clip.save(path), lambda: write_text(path, "new")):
        with pytest.raises(OutputError, match="exists; pass --force"):
            save()
    assert path.read_bytes() == b"precious"
    clip.save(path, force=True)
    assert Clip.open(path).num_frames == 12


def test_each_wrong_target_is_one_line(clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("x")
    for name, match in {
        "a.xyz": "unknown ending '.xyz'; expected one of .mp4",
        "a": "unknown ending ''",
        "a.png": "holds one picture",
        "missing/a.mp4": "does not exist",
        "file/a.mp4": "is no folder",
        "folder.mp4": "is a folder",
        "x" * 300 + ".mp4": "name",
        "a\0b.mp4": "null",
    }.items():
        for force in (False, True):
            with pytest.raises(OutputError, match=match) as caught:
                clip.save(tmp_path / name, force=force)
            assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"folder.mp4", "file"}
    with pytest.raises(InputError, match="not plain JSON"):
        Clip(frames=clip.frames, fps=16.0, settings={"a": Path("b")}).save(tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from kinema.errors import OutputError
from kinema.media import Clip, write_text
frames = np.random.default_rng(0).integers(0, 256, (2 if sys.argv[1] not in ("png", "jpg", "webp") else 1, 96, 96, 3), np.uint8)
clip = Clip(frames=frames, fps=8.0)
path = Path(sys.argv[2]) / f"a.{sys.argv[1]}"
path.write_bytes(b"precious")
for limit in (0, 100, 4000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_text(path, "x" * 20000, force=True) if sys.argv[1] == "json" else clip.save(path, force=True)
    except OutputError as wrong:
        assert "too large" in str(wrong) and "\\n" not in str(wrong), str(wrong)
    else:
        raise SystemExit(f"nothing was raised at {limit} bytes")
    assert path.read_bytes() == b"precious" and len(list(path.parent.iterdir())) == 1, list(path.parent.iterdir())
"""


@pytest.mark.parametrize("ending", ["mp4", "webm", "gif", "jpg", "json"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, ending: str) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, ending, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


SLOW = """
import sys
from pathlib import Path
import numpy as np
from kinema.media import Clip
clip = Clip(frames=np.random.default_rng(0).integers(0, 256, (200, 128, 256, 3), np.uint8), fps=8.0)
print("ready", flush=True)
clip.save(Path(sys.argv[1]), force=True)
"""


def test_a_kill_while_saving_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")
    with subprocess.Popen([sys.executable, "-c", SLOW, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        while process.poll() is None and not any(other.stat().st_size for other in tmp_path.glob(".kinema-*")):
            pass
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert path.read_bytes() == b"precious"


def test_a_clip_shows_itself_in_a_notebook(clip: Clip) -> None:
    assert "data:video/mp4;base64," in clip._repr_html_()
    assert "data:image/png;base64," in Clip(frames=clip.frames[:1], fps=1.0)._repr_html_()
