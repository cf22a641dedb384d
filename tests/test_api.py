"""The plain functions on a real, tiny, untrained model: shapes, known pictures, seeds, settings, errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import kinema
from kinema.api import SamplingConfig
from kinema.errors import InputError, ModelError, SizeError, VocabularyError
from kinema.inference import limits
from kinema.media import Clip, Sound
from kinema.models.hub import Model
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene

FAST = SamplingConfig(num_plan_steps=2, num_render_steps=1)


@pytest.fixture(scope="module")
def truth() -> Clip:
    scene = simulate(tiny(), 1, fps=16.0, num_frames=20).scene
    return Clip(frames=render_scene(scene, height=64, width=64), fps=16.0, state=scene, caption="a red ball")


def test_sound_stays_with_its_pictures(model: Model, truth: Clip, tmp_path: Path) -> None:
    """A tone that begins in the middle of a clip begins with the same picture in what is made of it."""
    rate = 16_000
    samples = np.zeros((round(truth.duration_s * rate), 1), np.int16)
    samples[rate // 2 :] = 9000
    clip = replace(truth, sound=Sound(samples=samples, rate=rate))
    silent = replace(truth, sound=None)

    def onsets_s(made: Clip) -> list[float]:
        assert made.sound is not None and abs(made.sound.duration_s - made.duration_s) <= 1 / rate
        loud = np.concatenate([[False], made.sound.samples[:, 0] > 0])
        return [round(at / rate, 3) for at in np.flatnonzero(loud[1:] & ~loud[:-1]).tolist()]

    def last_s(made: Clip) -> float:
        assert made.sound is not None
        return round(float(np.flatnonzero(made.sound.samples[:, 0])[-1] + 1) / rate, 3)

    after = kinema.extend(clip, seconds=0.5, model=model)
    assert onsets_s(after) == [0.5] and last_s(after) == clip.duration_s and after.duration_s == clip.duration_s + 0.5
    assert onsets_s(kinema.extend(clip, seconds=0.5, before=True, model=model, options=FAST)) == [1.0]
    assert onsets_s(kinema.edit(clip, "a blue ball", model=model, options=FAST)) == [0.5]
    assert onsets_s(kinema.interpolate(clip.cut(slice(0, 10)), fps=32.0, model=model, options=FAST)) == [0.5]
    twice = kinema.blend(clip, clip, seconds=0.5, model=model, options=FAST)
    assert onsets_s(twice) == [0.5, clip.duration_s + 1.0]
    assert onsets_s(kinema.blend(silent, clip, seconds=0.5, model=model, options=FAST)) == [clip.duration_s + 1.0]
    assert kinema.blend(silent, silent, seconds=0.5, model=model, options=FAST).sound is None
    path = clip.save(tmp_path / "a.mp4")
    from_file = kinema.extend(path, seconds=0.5, before=True, model=model, options=FAST)
    assert from_file.sound is not None
    loud = np.flatnonzero(np.abs(from_file.sound.samples[:, 0]) > 3000)[0] / rate
    assert loud == pytest.approx(1.0, abs=1024 / rate)


def test_generate_gives_what_was_asked(model: Model) -> None:
    clips = kinema.generate("a red ball rolls right", model=model, seconds=1.5, size="96x64", count=2, seed=3, options=FAST)
    assert [clip.frames.shape for clip in clips] == [(24, 64, 96, 3)] * 2
    assert clips[0].settings["seed"] == 3 and clips[1].settings["seed"] == 4
    assert clips[0].state is not None and clips[0].state.num_frames == 24
    again = kinema.generate("a red ball rolls right", model=model, seconds=1.5, size="96x64", seed=4, options=FAST)[0]
    assert np.array_equal(again.frames, clips[1].frames)


def test_films_of_several_prompts_are_those_of_each_alone(model: Model) -> None:
    prompts, seeds = ["a red ball rolls right and hits a blue box", "", "a star"], [5, 2**40, 7]
    shown: list[int] = []
    clips = kinema.films(
        prompts, seeds, model=model, seconds=0.5, options=FAST, watch=lambda canvas, done: shown.append(done)
    )
    for clip, prompt, seed in zip(clips, prompts, seeds, strict=True):
        alone = kinema.generate(prompt, model=model, seconds=0.5, seed=seed, options=FAST)[0]
        assert np.abs(alone.frames.astype(int) - clip.frames).max() <= 2
        assert alone.settings == clip.settings and alone.caption == clip.caption == prompt
    assert shown == [0, 8]
    with pytest.raises(InputError, match="3 prompts and 2 seeds"):
        kinema.films(prompts, seeds[:2], model=model)


def test_pictures_stand_where_they_were_put(model: Model, truth: Clip) -> None:
    pictures = [(truth, 0.0), (replace(truth, frames=truth.frames[10:]), 0.5)]
    clip = kinema.generate("a red ball", model=model, seconds=1, pictures=pictures, options=FAST)[0]
    assert (clip.frames[0] == truth.frames[0]).all() and (clip.frames[8] == truth.frames[10]).all()
    with pytest.raises(InputError, match=r"a picture at 1 s: the film goes from 0 to 0.9375 s"):
        kinema.generate("", model=model, seconds=1, pictures=[(truth, 1.0)], options=FAST)
    with pytest.raises(InputError, match="two pictures at 0 s"):
        kinema.generate("", model=model, seconds=1, image=truth, pictures=[(truth, 0.0)], options=FAST)


def test_the_camera_goes_where_it_is_told(model: Model) -> None:
    path = [(0.0, 5.0, 5.0, 1.0), (0.5, 7.0, 5.0, 2.0)]
    clip = kinema.generate("a red ball", model=model, seconds=1, camera=path, options=FAST)[0]
    assert clip.state is not None
    np.testing.assert_allclose(
        clip.state.camera[[0, 4, 8, 15]], [[5, 5, 1], [6, 5, 2**0.5], [7, 5, 2], [7, 5, 2]], atol=0.02
    )
    for bad in ([(0.0, 5.0)], [(0.0, 5.0, 5.0, 0.0)], [(1.0, 5.0, 5.0, 1.0), (0.5, 5.0, 5.0, 1.0)], [(0.0, 99.0, 5.0, 1.0)]):
        with pytest.raises(InputError, match="camera"):
            kinema.generate("", model=model, seconds=1, camera=bad, options=FAST)  # type: ignore[arg-type]


def test_odd_aspect_is_padded_and_cut(model: Model) -> None:
    config = replace(model.config, height=72, heights=(72,), aspects=("16:9",))
    odd = Model(config, deepcopy(model.denoiser), model.autoencoder)
    clip = kinema.generate("a blue box", model=odd, seconds=0.25, options=FAST)[0]
    assert clip.frames.shape == (4, 72, 128, 3)


def test_first_and_last_pictures_are_kept(model: Model, truth: Clip) -> None:
    ends = {"image": truth, "last": truth}
    clip = kinema.generate("a red ball", model=model, seconds=1.0, options=FAST, **ends)[0]  # type: ignore[arg-type]
    assert np.array_equal(clip.frames[0], truth.frames[0]) and np.array_equal(clip.frames[-1], truth.frames[-1])


@pytest.mark.parametrize("before", [False, True])
def test_extend_keeps_the_clip(model: Model, truth: Clip, before: bool) -> None:
    clip = kinema.extend(truth, seconds=0.5, before=before, model=model, options=FAST)
    assert clip.num_frames == 28
    given = clip.frames[8:] if before else clip.frames[:20]
    assert np.array_equal(given, truth.frames)
    assert clip.state is not None and clip.state.num_frames == 28


def test_infill_blend_interpolate(model: Model, truth: Clip) -> None:
    one, two = truth.__class__(frames=truth.frames[:1], fps=16.0), truth.__class__(frames=truth.frames[-1:], fps=16.0)
    filled = kinema.infill([(one, 0.0), (two, 1.0)], model=model, options=FAST)
    assert filled.num_frames == 17 and np.array_equal(filled.frames[0], truth.frames[0])
    blended = kinema.blend(truth, truth, seconds=0.5, model=model, options=FAST)
    assert blended.num_frames == 48
    assert np.array_equal(blended.frames[:20], truth.frames) and np.array_equal(blended.frames[-20:], truth.frames)
    double = kinema.interpolate(truth, fps=32.0, model=model, options=FAST)
    assert double.num_frames == 39 and np.array_equal(double.frames[::2], truth.frames)


def test_interpolation_fills_between_a_clips_frames_as_infill_does(model: Model) -> None:
    """Window by window, over several of them, it makes what filling the whole canvas makes."""
    scene = simulate(tiny(), 1, fps=8.0, num_frames=2 * model.config.film_window + 3).scene
    clip = Clip(frames=render_scene(scene, height=48, width=48), fps=8.0, caption="a red ball")
    made = kinema.interpolate(clip, fps=16.0, seed=4, model=model, options=FAST)
    pairs = [(clip.cut(slice(i, i + 1)), i / 8) for i in range(clip.num_frames)]
    whole = kinema.infill(pairs, clip.caption, fps=16.0, seed=4, model=model, options=FAST)
    assert np.array_equal(made.frames, whole.frames) and made.num_frames == 2 * clip.num_frames - 1
    assert made.state is not None and whole.state is not None and np.array_equal(made.state.x, whole.state.x)


def test_edit_with_a_mask_leaves_the_rest(model: Model, truth: Clip) -> None:
    white = np.zeros((1, 64, 64, 3), np.uint8)
    white[:, :32] = 255
    clip = kinema.edit(truth, "a blue ball", mask=Clip(frames=white, fps=1.0), model=model, options=FAST)
    assert clip.frames.shape == truth.frames.shape


def test_perceive_and_render(model: Model, truth: Clip) -> None:
    scene = kinema.perceive(truth, model=model)
    assert scene.num_frames == 20
    assert truth.state is not None
    assert kinema.render(truth.state, model=model, options=FAST).frames.shape == (20, 64, 64, 3)


@pytest.mark.parametrize(("fps", "frames"), [(60.0, 21), (120.0, 20), (33.0, 20)])
def test_a_clip_of_more_frames_than_the_model_knows_is_perceived_in_all_of_them(
    model: Model, truth: Clip, fps: float, frames: int
) -> None:
    clip = Clip(frames=np.concatenate([truth.frames, truth.frames[-1:]])[:frames], fps=fps)
    scene = kinema.perceive(clip, model=model)
    assert (scene.num_frames, scene.fps) == (frames, pytest.approx(fps))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Clip.open("https://example.org/a.mp4"), "expected a path"),
        (lambda: Clip.open(""), "expected a path"),
        (lambda: Clip.open(None), "expected a path"),  # type: ignore[arg-type]
        (lambda: kinema.infill(None), "at least two pairs"),  # type: ignore[arg-type]
        (lambda: kinema.render(None), "expected a kinema.Scene"),  # type: ignore[arg-type]
        (lambda: kinema.surprise(None), "given for a clip"),  # type: ignore[arg-type]
        (lambda: gymnasium.make_vec("kinema/Recorded-v0", num_envs=2), "no model was given"),
    ],
)
def test_what_cannot_be_taken_is_said_in_one_line(call: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()


@pytest.mark.parametrize("size", ["32x32", "48x96", "112x64", "32x48", "80x48", "96x128", "64x64"])
def test_a_film_of_any_size_is_perceived_by_the_state_it_brings(model: Model, size: str) -> None:
    film = kinema.generate("a red ball", model=model, seconds=0.25, size=size, options=FAST)[0]
    assert film.state is not None
    perceived = kinema.perceive(film, model=model)
    for name in ("kind", "color", "x", "y", "camera"):
        np.testing.assert_allclose(getattr(perceived, name), getattr(film.state, name), atol=1e-4)


@pytest.mark.parametrize(("fps", "filmed"), [(60.0, 30.0), (50.0, 25.0), (5.0, 10.0), (7.99, 15.98), (24.0, 24.0)])
def test_a_clip_of_another_rate_is_resampled_and_the_settings_say_so(
    model: Model, truth: Clip, caplog: pytest.LogCaptureFixture, fps: float, filmed: float
) -> None:
    clip = Clip(frames=truth.frames, fps=fps)
    made = kinema.extend(clip, "a red ball", model=model, seconds=0.25, options=FAST)
    assert made.fps == pytest.approx(filmed)
    assert made.settings.get("resampled_from") == (None if fps == filmed else f"{fps:g}")
    assert ("become" in caplog.text) == (fps != filmed)


def test_a_picture_of_any_rate_is_extended(model: Model, truth: Clip) -> None:
    made = kinema.extend(Clip(frames=truth.frames[:1], fps=60.0), "a red ball", model=model, seconds=0.25, options=FAST)
    assert made.fps == 30.0 and np.array_equal(made.frames[0], truth.frames[0])


def test_clips_may_be_given_as_paths_and_pixels(model: Model, truth: Clip, tmp_path: Path) -> None:
    path = replace(truth, frames=truth.frames[:1], state=None).save(tmp_path / "a.png")
    films = [
        kinema.generate("a red ball", model=model, image=given, seconds=0.25, options=FAST)[0].frames
        for given in (str(path), path, truth.frames[0], truth.picture(0))
    ]
    assert all(np.array_equal(films[0], film) for film in films)
    with pytest.raises(InputError, match="expected pairs"):
        kinema.infill([truth, truth], model=model)  # type: ignore[list-item]


@pytest.mark.parametrize(
    "given",
    [
        {"size": 64}, {"size": ("64", "64")}, {"size": (None, 64)}, {"size": (64.0, 64.0)}, {"seconds": "2"}, {"fps": "16"},
        {"count": "2"}, {"count": 1.5}, {"prompt": None}, {"model": 5}, {"seed": "1"}, {"seed": True}, {"image": 5},
        {"options": 5}, {"pictures": [(np.zeros((64, 64, 3), np.uint8), float("nan"))]},
    ],
)  # fmt: skip
def test_values_of_another_type_are_named(model: Model, given: dict[str, Any]) -> None:
    name, value = next(iter(given.items()))
    with pytest.raises(InputError, match=f"{name.removesuffix('s')}|{type(value).__name__}"):
        kinema.generate(**{"prompt": "a red ball", "model": model, "seconds": 0.25, "options": FAST, **given})


def test_whole_numbers_of_numpy_are_numbers(model: Model, truth: Clip) -> None:
    made = kinema.generate("a ball", model=model, seconds=np.float32(0.25), seed=np.int64(3), options=FAST)[0]  # type: ignore[arg-type]
    assert made.settings["seed"] == 3 and made.num_frames == 4
    kinema.edit(truth, "a ball", strength=np.float32(0.5), model=model, options=FAST)  # type: ignore[arg-type]


def test_a_clip_of_another_size_is_fitted(model: Model) -> None:
    frames = np.full((4, 480, 640, 3), 90, np.uint8)
    clip = kinema.extend(Clip(frames=frames, fps=16.0), seconds=0.25, model=model, options=FAST)
    assert max(clip.frames.shape[1:3]) <= model.config.max_side


def test_errors_say_the_mend(model: Model, truth: Clip) -> None:
    with pytest.raises(SizeError, match="nearest is 128x128"):
        kinema.generate("a red ball", model=model, size="512x512")
    with pytest.raises(SizeError, match="more than 0"):
        kinema.generate("a red ball", model=model, seconds=0)
    with pytest.raises(SizeError, match="GB"):
        kinema.generate("a red ball", model=model, seconds=1e7)
    with pytest.raises(SizeError, match="films 8 to 32"):
        kinema.generate("a red ball", model=model, fps=120)
    with pytest.raises(VocabularyError, match="dragon"):
        kinema.generate("a red dragon", model=model, strict=True)
    with pytest.raises(ModelError, match="kinema-huge"):
        kinema.generate("a red ball", model="kinema-huge")
    with pytest.raises(InputError, match="whole multiple"):
        kinema.interpolate(truth, fps=20, model=model)
    with pytest.raises(InputError, match="at least two"):
        kinema.infill([(truth, 0.0)], model=model)
    with pytest.raises(SizeError, match="WIDTHxHEIGHT"):
        limits.parse_size("big")


def test_import_is_light_and_curated() -> None:
    """`import kinema` loads neither torch nor anything heavy, and offers exactly what it names."""
    code = "import sys, kinema; assert 'torch' not in sys.modules and 'av' not in sys.modules; print(kinema.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "generate" in done.stdout
    assert all(hasattr(kinema, name) for name in kinema.__all__)
    with pytest.raises(AttributeError, match="it has"):
        kinema.colour  # noqa: B018
