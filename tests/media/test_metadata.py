"""The state that travels in a file: believed for the frames it was written with, and within its limits."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kinema.errors import InputError
from kinema.media import Clip
from kinema.media import write as writing
from kinema.media.write import KEY, pack
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.scene.scene import Scene

Make = Callable[..., Scene]


def clip_of(scene: Scene, size: int = 64) -> Clip:
    return Clip(frames=render_scene(scene, height=size, width=size), fps=scene.fps, state=scene)


def forged(path: Path, frame: np.ndarray, data: dict[str, Any]) -> Path:
    """A PNG with this beside its pixels."""
    text = PngImagePlugin.PngInfo()
    text.add_text(KEY, base64.b64encode(zlib.compress(json.dumps(data).encode())).decode())
    Image.fromarray(frame).save(path, pnginfo=text)
    return path


def unpacked(clip: Clip) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(pack(clip))))
    return data


@pytest.mark.parametrize("ending", ["mp4", "webm", "mkv", "gif"])
@pytest.mark.parametrize("size", [32, 64])
def test_a_state_survives_two_compressions(scene: Make, tmp_path: Path, ending: str, size: int) -> None:
    clip = clip_of(scene(8), size)
    once = Clip.open(clip.save(tmp_path / f"a.{ending}"))
    twice = Clip.open(replace(once, state=clip.state).save(tmp_path / f"b.{ending}"))
    assert once.state is not None and twice.state is not None and clip.state is not None
    assert twice.state.to_dict() == clip.state.to_dict()


@pytest.mark.parametrize("seed", [2, 3, 6, 8])
def test_a_gif_with_too_many_colors_keeps_its_state(tmp_path: Path, seed: int) -> None:
    """Pictures that a model draws have thousands of colors, of which a GIF keeps 256: small things may lose theirs."""
    state = simulate(tiny(), 990_000_000 + seed, fps=16.0, num_frames=6).scene
    drawn = render_scene(state, height=64, width=64).astype(np.float64)
    drawn += np.linspace(-20, 20, 64)[:, None, None] * (1.0, 0.6, -0.8) + np.linspace(-20, 20, 64)[:, None] * (
        -0.5,
        1.0,
        0.7,
    )
    drawn += np.random.default_rng(seed).normal(0, 12, drawn.shape)
    clip = Clip(frames=np.clip(drawn, 0, 255).astype(np.uint8), fps=16.0, state=state)
    back = Clip.open(clip.save(tmp_path / "a.gif"))
    assert back.state is not None and back.state.to_dict() == state.to_dict()


def test_a_changed_gif_loses_its_state(scene: Make, tmp_path: Path) -> None:
    clip = clip_of(scene(4))
    kept = Image.open(clip.save(tmp_path / "a.gif")).info["comment"]
    painted = clip.frames.copy()
    painted[2, 40:52, 8:20] = (40, 60, 230)
    pictures = [Image.fromarray(frame) for frame in painted]
    pictures[0].save(tmp_path / "b.gif", save_all=True, append_images=pictures[1:], duration=[60, 70, 60, 60], comment=kept)
    assert Clip.open(tmp_path / "b.gif").state is None


def test_changed_pixels_lose_their_state(scene: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = clip_of(scene(1))
    data = unpacked(clip)
    assert Clip.open(forged(tmp_path / "same.png", clip.frames[0], data)).state is not None
    painted = clip.frames[0].copy()
    painted[40:52, 8:20] = (40, 60, 230)
    with caplog.at_level(logging.WARNING):
        back = Clip.open(forged(tmp_path / "painted.png", painted, data))
    assert back.state is None and np.array_equal(back.frames[0], painted)
    assert [r.message.count("no longer looks as it did") for r in caplog.records] == [1]


def wrong_states() -> dict[str, Callable[[dict[str, Any]], Any]]:
    def entity(field: str, value: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda data: data["state"]["entities"][0].update({field: value})

    def field(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda data: data["state"].update({name: value})

    return {
        "far": entity("x", [1e6]), "nan": entity("vx", [float("nan")]), "length": entity("y", [1.0, 2.0, 3.0]),
        "kind": entity("kind", "dragon"), "slot": entity("slot", -1), "size": entity("size", float("inf")),
        "many slots": field("num_slots", 10**9), "frames": field("num_frames", 10**9), "zoom": field("camera", [[5, 5, 0]]),
        "camera": field("camera", [[float("nan"), 5, 1]]), "rate": field("fps", float("nan")), "text": field("entities", "x"),
        "list": lambda data: data.update({"state": [1, 2]}), "no marks": lambda data: data.pop("thumbnails"),
        "short marks": lambda data: data.update({"thumbnails": "AAAA"}),
        "marks of another type": lambda data: data.update({"thumbnails": 5}),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(wrong_states()))
def test_a_hostile_state_is_left_out_with_one_line(
    scene: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    clip = clip_of(scene(1))
    data = unpacked(clip)
    wrong_states()[name](data)
    with caplog.at_level(logging.WARNING):
        back = Clip.open(forged(tmp_path / "a.png", clip.frames[0], data))
    assert back.state is None and np.array_equal(back.frames, clip.frames) and len(caplog.records) == 1


def test_a_state_too_long_for_the_file_stays_out(
    scene: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clip = clip_of(scene(8))
    monkeypatch.setattr(writing, "MOST_PACKED", 400)
    back = Clip.open(clip.save(tmp_path / "a.mp4"))
    assert back.state is None and back.num_frames == 8 and "too long for the file" in caplog.text


def test_a_state_of_another_length_is_not_written(scene: Make, tmp_path: Path) -> None:
    clip = clip_of(scene(8))
    assert Clip.open(replace(clip, frames=clip.frames[2:]).save(tmp_path / "a.mp4")).state is None


def test_a_scene_checks_its_numbers(scene: Make) -> None:
    one = scene(2)
    for name, value in (("kind", 9), ("color", -1), ("material", 7)):
        with pytest.raises(InputError, match=name):
            replace(one, **{name: np.full(4, value, np.int8)})
    for name in ("camera", "size"):
        with pytest.raises(InputError, match="finite"):
            replace(one, **{name: np.full_like(getattr(one, name), np.nan)})
