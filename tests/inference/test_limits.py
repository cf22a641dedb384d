"""Sizes: what a model's config says is what the library films, lists and refuses; what is given is scaled by height."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kinema
from kinema.api import SamplingConfig
from kinema.canvas.canvas import Canvas
from kinema.errors import ModelError, SizeError
from kinema.inference import limits
from kinema.inference.canvas_io import blank_canvas
from kinema.media import Clip
from kinema.models.hub import Model, ModelConfig, read_config, save
from kinema.simulation.world import World

FAST = SamplingConfig(num_plan_steps=1, num_render_steps=1)


@pytest.fixture
def many(model: Model) -> ModelConfig:
    """What kinema-tiny says of itself."""
    heights, aspects = (48, 64, 96, 128, 192, 256), ("1:1", "16:9", "9:16", "4:3")
    return replace(model.config, height=128, heights=heights, aspects=aspects, max_side=448)


def noise(width: int, height: int, frames: int = 5) -> Clip:
    return Clip(frames=np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), np.uint8), fps=16.0)


def test_sizes_offered_are_those_of_the_config(many: ModelConfig, model: Model) -> None:
    offered = limits.sizes_of(many)
    assert len(offered) == 24 and {"48x48", "224x128", "80x128", "176x128", "448x256"} <= set(offered)
    assert all(limits.check_size(many, size) == limits.parse_size(size) for size in offered)
    assert limits.check_size(many, None) == (128, 128)
    alone = replace(model.config, heights=(), aspects=("1:1",))
    assert alone.heights == (64,) and limits.sizes_of(alone) == ["64x64"]
    wide = replace(model.config, heights=(64,), aspects=("16:9",))
    assert limits.check_size(wide, None) == (112, 64)


@pytest.mark.parametrize(
    ("given", "scaled"),
    [
        ((48, 48), (48, 48)), ((160, 128), (160, 128)), ((128, 72), (112, 64)), ((250, 250), (256, 256)),
        ((1920, 1080), (224, 128)), ((1080, 1920), (80, 128)), ((640, 480), (176, 128)), ((360, 360), (256, 256)),
        ((3000, 100), (176, 96)), ((20, 20), (48, 48)),
    ],
)  # fmt: skip
def test_what_is_given_is_scaled_by_height(many: ModelConfig, given: tuple[int, int], scaled: tuple[int, int]) -> None:
    assert limits.fitted_size(many, *given) == scaled and limits.films_size(many, *scaled)


def test_errors_name_the_nearest(many: ModelConfig) -> None:
    for size, near in (("130x130", "128x128"), ("128x72", "112x64"), ("4096x4096", "256x256"), ("128x126", "128x128")):
        with pytest.raises(SizeError, match=f"cannot film {size}: .*the nearest is {near}$"):
            limits.check_size(many, size)


def test_a_config_keeps_its_sizes_and_refuses_those_that_are_none(many: ModelConfig, model: Model, tmp_path: Path) -> None:
    save(tmp_path, many, model.denoiser.state_dict(), "# a card")
    assert read_config(tmp_path) == many
    for wrong in ({"height": 72}, {"aspects": ("wide",)}, {"aspects": ()}, {"max_side": 64}):
        with pytest.raises(ModelError, match="expected"):
            replace(many, **wrong)


@pytest.mark.parametrize(("width", "height"), [(48, 48), (112, 64), (32, 64), (64, 96)])
def test_a_picture_is_ten_units_high(model: Model, width: int, height: int) -> None:
    canvas = blank_canvas(model, count=1, frames=1, fps=16.0, height=height, width=width)
    assert canvas.cell_units * canvas.values["video"].shape[2] == pytest.approx(10.0)
    odd = blank_canvas(model, count=1, frames=1, fps=16.0, height=72, width=128)
    assert odd.cell_units == pytest.approx(10.0 * 16 / 72) and odd.values["video"].shape[2:4] == (5, 8)


@pytest.mark.parametrize(("width", "height"), [(48, 48), (112, 64), (48, 96)])
def test_frames_come_back_as_given_where_the_size_is_one_of_the_models(model: Model, width: int, height: int) -> None:
    clip = noise(width, height)
    longer = kinema.extend(clip, "a ball", seconds=0.25, model=model, options=FAST)
    assert longer.size == clip.size and (longer.frames[:5] == clip.frames).all() and "scaled_from" not in longer.settings
    smooth = kinema.interpolate(clip, fps=32, model=model, options=FAST)
    assert (smooth.frames[::2] == clip.frames).all()
    joined = kinema.blend(clip, clip, seconds=0.25, model=model, options=FAST)
    assert (joined.frames[:5] == clip.frames).all() and (joined.frames[-5:] == clip.frames).all()


def test_the_video_of_an_interpolation_is_never_whole_in_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is shown pictures of a window at a time, and the memory that is asked for is that of one."""
    clip = Clip(frames=np.repeat(noise(48, 48).frames, 12, 0), fps=8.0)
    seen: list[int] = []

    def watch(_: object, given: tuple[Canvas, ...]) -> None:
        if "video" in given[0].values:
            seen.append(given[0].num_frames)

    hook = model.denoiser.register_forward_pre_hook(watch)
    smooth = kinema.interpolate(clip, fps=32, model=model, options=FAST)
    hook.remove()
    assert smooth.num_frames == 237 and seen and max(seen) <= model.config.film_window
    needed = limits.memory_needed(model.config, 237, 48, 48, 1, by_window=True)
    monkeypatch.setattr(limits, "memory_free", lambda: int(needed / 0.9) + 1)
    assert kinema.interpolate(clip, fps=32, model=model, options=FAST).num_frames == 237


@pytest.mark.parametrize(
    ("given", "size", "expected"),
    [((130, 72), None, "112x64"), ((36, 64), None, "32x64"), ((320, 180), None, "112x64"), ((48, 48), "96x96", "96x96")],
)
def test_other_sizes_are_scaled_and_the_settings_say_so(
    model: Model, given: tuple[int, int], size: str | None, expected: str
) -> None:
    clip = noise(*given)
    for made in (
        kinema.extend(clip, "a ball", seconds=0.25, size=size, model=model, options=FAST),
        kinema.edit(clip, "a ball", size=size, model=model, options=FAST),
        kinema.blend(clip, clip, seconds=0.25, size=size, model=model, options=FAST),
        kinema.interpolate(clip, fps=32, size=size, model=model, options=FAST),
        kinema.infill([(clip, 0.0), (clip, 0.25)], size=size, model=model, options=FAST),
        kinema.generate("", image=clip, seconds=0.25, size=size, model=model, options=FAST)[0],
    ):
        assert made.size == made.settings["size"] == expected
        assert made.settings["scaled_from"] == clip.size
    fitted = clip.fit(*limits.parse_size(expected))
    assert (
        kinema.extend(clip, "a ball", seconds=0.25, size=size, model=model, options=FAST).frames[:5] == fitted.frames
    ).all()
    assert kinema.perceive(clip, size=size, model=model, options=FAST).num_frames == 5


def test_a_phone_clip(model: Model, tmp_path: Path) -> None:
    """An upright MP4 of a phone is filmed upright, and a world from it has its shape."""
    path = noise(360, 640, frames=6).save(tmp_path / "phone.mp4")
    clip = Clip.open(path)
    longer = kinema.extend(clip, seconds=0.25, model=model)
    assert longer.size == "32x64" and longer.settings["scaled_from"] == "360x640"
    world = World(model, clip)
    assert world.size == (32, 64) and world.step().frame.shape == (64, 32, 3)
    assert World(model, clip, size="64x64").size == (64, 64)


def test_a_film_that_is_taken_at_another_size_is_warned_of(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    """Unless that size was asked for; a picture is fitted in silence, because the film has the size that is told."""
    width, height = limits.fitted_size(model.config, 160, 90)
    limits.fit_size(model, noise(160, 90, 1))
    limits.fit_size(model, noise(160, 90), (width, height))
    assert not caplog.messages
    assert limits.fit_size(model, noise(160, 90)).size == f"{width}x{height}"
    assert caplog.messages == [f"the clip is taken at {width}x{height}, the size of {model.config.name} that fits it best"]
