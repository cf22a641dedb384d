"""Every family films: tiny models in the official formats, each workflow, as the plain pipeline does."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.engines.conftest import noise

from kinema.engines import Cancelled, FilmRequest, Workflow
from kinema.engines.compose import Parts, film_workflow
from kinema.engines.diffusers import engine as engine_module
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.families import FAMILIES
from kinema.engines.diffusers.tiny.models import MODELS
from kinema.engines.protocol import FilmPlan
from kinema.errors import InputError
from kinema.inference.pipeline import Progress
from kinema.media import Clip

diffusers: Any = importlib.import_module("diffusers")

Engines = Callable[[str], DiffusersEngine]
SLOW_TEXT = {"hunyuan15", "hunyuan15-image", "allegro"}
"""More than 1,000 tokens of text, or tiles of 24 frames: these film once a test."""
EACH_WAY = ("wan", "wan-image", "wan-vace", "ltx", "skyreels-forcing", "svd", "animatediff", "cosmos25")
"""One model for each way in which pictures are given."""
WORDLESS = ("svd", "ltx-upscaler", "ltx2-upscaler")
SIZES = {"allegro": (128, 128), "ltx2": (64, 64), "hunyuan15-image": (64, 64)}


def models(*without: str) -> list[str]:
    return [name for family in FAMILIES for name in family.tiny if name not in without]


def request(engine: DiffusersEngine, workflow: Workflow, frames: int = 5, **more: Any) -> FilmRequest:
    """A short request with all that a workflow needs."""
    able = engine.capabilities
    size = SIZES.get(able.model, (32, 32))
    last = (frames - 1) / able.fps
    known: dict[str, Any] = {
        "image": {"pictures": ((noise(size=size), 0.0),)},
        "first_last": {"pictures": ((noise(size=size), 0.0), (noise(size=size, seed=1), last))},
        "keyframes": {"pictures": ((noise(size=size), 0.0), (noise(size=size, seed=1), last))},
        "infill": {"pictures": ((noise(size=size), 0.0), (noise(size=size, seed=1), frames / able.fps))},
        "extend": {"video": noise(18, able.fps, size)},
        "edit": {"video": noise(frames, able.fps, size)},
        "restyle": {"video": noise(frames, able.fps, size)},
        "upscale": {"video": noise(frames, able.fps, size), "size": (2 * size[0], 2 * size[1]), "steps": 4},
        "blend": {"video": noise(2, able.fps, size), "second": noise(3, able.fps, size, 1)},
    }
    asked = {"prompt": "A red ball rolls", "seconds": frames / able.fps, "size": size, "steps": 2, "seed": 3}
    wanted = {**asked, **known.get(workflow, {}), **more}
    unused = able.unused.get(workflow, ())
    return FilmRequest(workflow=workflow, **{name: value for name, value in wanted.items() if name not in unused})


def test_every_family_of_the_table_that_has_a_tiny_model_names_one_that_exists() -> None:
    named = [name for family in FAMILIES for name in family.tiny]
    assert sorted(named) == sorted(MODELS)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert sum(bool(family.tiny) for family in FAMILIES) >= 16


def test_every_class_of_the_table_is_in_diffusers() -> None:
    for family in FAMILIES:
        calls = [call.pipeline for one in family.bases.values() for call in one.values()]
        for name in (*family.bases, *family.modular, *calls):
            assert hasattr(diffusers, name), name


@pytest.mark.parametrize("name", models())
def test_every_workflow_films(engine_of: Engines, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In frames of the number planned: a history is not among them twice, nor are frames lost."""
    passes: list[tuple[int, int]] = []

    def counted(parts: Parts, asked: FilmRequest, progress: Progress | None) -> Clip:
        def primitive(one: FilmRequest, plan: FilmPlan) -> Clip:
            clip = parts.primitive(one, plan)
            passes.append((clip.num_frames, plan.frames))
            return clip

        return film_workflow(replace(parts, primitive=primitive), asked, progress)

    monkeypatch.setattr(engine_module, "film_workflow", counted)
    engine = engine_of(name)
    able = engine.capabilities
    workflows = able.workflows[:1] if name in SLOW_TEXT else able.workflows
    kept = {"extend": 18, "blend": 5}
    for workflow in workflows:
        steps: list[tuple[str, int, int]] = []
        (clip,) = engine.film(request(engine, workflow), progress=lambda *step, to=steps: to.append(step))
        frames = {"still": 1, "infill": 6}.get(workflow, 5) + kept.get(workflow, 0)
        assert clip.num_frames == frames, workflow
        larger = 2 if workflow == "upscale" else 1
        assert clip.size == "{}x{}".format(*(larger * side for side in SIZES.get(name, (32, 32)))) and clip.fps == able.fps
        assert clip.frames[-1].std() > 1
        assert clip.settings["model"] == name and clip.settings["family"] == able.family
        assert steps[-1][1] == steps[-1][2] > 0 and all(done <= total for _, done, total in steps), workflow
        more = 4 if name == "framepack" else 0  # it films 37 frames where 33 are asked for
        assert all(filmed == planned + more for filmed, planned in passes), passes
        if workflow == "extend":
            assert (clip.frames[:18] == noise(18, able.fps, SIZES.get(name, (32, 32))).frames).all()


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in EACH_WAY else pytest.mark.slow)
    for name in models(*SLOW_TEXT, "helios-modular", "framepack")
])  # fmt: skip
def test_words_and_pictures_matter(engine_of: Engines, name: str) -> None:
    """Another prompt is another film, and so is another last picture or another video."""
    engine = engine_of(name)
    for workflow, call in engine.family.bases[engine.folder.base].items():
        asked = request(engine, workflow, guidance=2.0)
        (film,) = engine.film(asked)
        if name not in WORDLESS:
            (other,) = engine.film(replace(asked, prompt="two robots wave at the sea"))
            assert (film.frames != other.frames).any(), f"{workflow}: the prompt"
        if call.inputs != "words":
            changed = noise(18 if workflow == "extend" else 5, engine.capabilities.fps, SIZES.get(name, (32, 32)), 7)
            pictures = (*asked.pictures[:-1], (changed, asked.pictures[-1][1])) if asked.pictures else ()
            (other,) = engine.film(replace(asked, pictures=pictures, video=asked.video and changed))
            new = slice(18, None) if workflow == "extend" else slice(None)
            assert (film.frames[new] != other.frames[new]).any(), f"{workflow}: what is given"


def plain_arguments(engine: DiffusersEngine, workflow: Workflow, takes: Any) -> dict[str, Any]:
    """What somebody who calls the pipeline by hand passes to it."""
    asked, family = request(engine, workflow), engine.family
    assert isinstance(asked.size, tuple)
    pictures = [clip.picture() for clip, _ in asked.pictures]
    call, given = family.bases[engine.folder.base][workflow], {}
    if workflow in ("restyle", "upscale"):
        assert asked.video is not None
        shown = [asked.video.picture(min(i, 4)) for i in range(family.frames.at_least(5))]
        given = {call.control or "video": shown}
    arguments = {
        "prompt": asked.prompt, "width": asked.size[0], "height": asked.size[1], "num_inference_steps": 2,
        "generator": torch.Generator().manual_seed(3), "output_type": "np", family.guidance_name: family.guidance,
        family.frames_name: family.frames.at_least(5) + family.dropped, "fps": int(family.fps), "frame_rate": family.fps,
        **dict(family.always), **given, **dict(zip(("image", "last_image"), pictures, strict=False)),
    }  # fmt: skip
    if family.chunk_name is not None:
        arguments[family.chunk_name] = family.frames.at_least(5)
    if workflow == "upscale":
        arguments |= {"width": asked.size[0] // 2, "height": asked.size[1] // 2}
    return {name: value for name, value in arguments.items() if name in takes}


@pytest.mark.parametrize("name", models("wan-animate", "lucy", "allegro"))
def test_frames_are_those_of_the_plain_pipeline(engine_of: Engines, name: str) -> None:
    engine = engine_of(name)
    calls = engine.family.bases[engine.folder.base]
    workflow = next(iter(calls))
    call = calls[workflow]
    if engine.folder.modular:
        pipeline = diffusers.ModularPipeline.from_pretrained(engine.folder.path)
        pipeline.load_components()
        takes = {one.name for one in pipeline.blocks.inputs}
        made = pipeline(**plain_arguments(engine, workflow, takes), output="videos")
    else:
        pipeline = getattr(diffusers, call.pipeline).from_pretrained(engine.folder.path)
        pipeline.set_progress_bar_config(disable=True)
        made = pipeline(**plain_arguments(engine, workflow, inspect.signature(pipeline.__call__).parameters))
        made = made.frames if hasattr(made, "frames") else made.video
    pixels = np.asarray(made[0] if np.ndim(made) == 5 else made)
    (clip,) = engine.film(request(engine, workflow))
    assert (np.rint(255 * pixels[:5]).astype(np.uint8) == clip.frames).all()


@pytest.mark.parametrize("name", models(*SLOW_TEXT))
def test_cancelled_within_a_step(engine_of: Engines, name: str) -> None:
    """The network is not called again once a film is cancelled."""
    engine = engine_of(name)
    calls = []

    def count(module: torch.nn.Module, *_: Any) -> None:
        name = type(module).__name__
        if isinstance(module, diffusers.ModelMixin) and name.endswith(
            ("Transformer3DModel", "OmniTransformer", "ConditionModel", "MotionModel", "UpsamplerModel")
        ):
            calls.append(module)

    workflow = engine.capabilities.workflows[0]
    handle = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        with pytest.raises(Cancelled):
            engine.film(request(engine, workflow, steps=3), cancelled=lambda: bool(calls))
    finally:
        handle.remove()
    assert len(calls) == 1
    (clip,) = engine.film(request(engine, workflow))
    assert clip.num_frames == (23 if workflow == "extend" else 5)


def _with_fewer_frames(engine: DiffusersEngine, most: int) -> DiffusersEngine:
    made = DiffusersEngine(engine.entry, device="cpu")
    made.family = replace(engine.family, frames=replace(engine.family.frames, most=most))
    return made


@pytest.mark.parametrize(
    ("name", "frames", "filmed"),
    [
        ("wan", 6, "9 frames (4k+1)"),
        ("ltx", 12, "17 frames (8k+1)"),
        ("mochi", 8, "13 frames (6k+1)"),
        ("helios", 34, "66 frames (33k)"),
    ],
)
def test_odd_lengths_and_sizes_are_cut_and_fitted_back(engine_of: Engines, name: str, frames: int, filmed: str) -> None:
    engine = engine_of(name)
    (clip,) = engine.film(request(engine, "generate", frames, size="50x38"))
    assert clip.num_frames == frames and clip.size == "50x38"
    notes = " / ".join(clip.settings["notes"])
    assert f"filmed in {filmed}, {frames} are kept" in notes
    assert "shown at 50x38" in notes


def test_another_rate(engine_of: Engines) -> None:
    engine = engine_of("wan")
    (clip,) = engine.film(request(engine, "generate", 8, fps=32.0))
    assert clip.fps == 32 and clip.num_frames == 16
    assert any("filmed at 16 frames a second, shown at 32" in note for note in clip.settings["notes"])


def test_sound(engine_of: Engines) -> None:
    engine = engine_of("ltx2")
    (clip,) = engine.film(request(engine, "generate", 17))
    assert clip.sound is not None and clip.sound.rate == 24_000 and clip.sound.channels == 2
    assert clip.sound.duration_s == pytest.approx(clip.duration_s, abs=0.05)
    assert np.abs(clip.sound.samples).max() > 0
    assert engine.capabilities.sound and not engine_of("ltx").capabilities.sound


def test_negative_prompt(engine_of: Engines) -> None:
    engine = engine_of("wan")
    (plain,) = engine.film(request(engine, "generate"))
    (other,) = engine.film(request(engine, "generate", negative_prompt="A blue box"))
    (again,) = engine.film(request(engine, "generate"))
    assert (plain.frames != other.frames).any() and (plain.frames == again.frames).all()
    assert other.settings["negative_prompt"] == "A blue box"


@pytest.mark.parametrize("name", ["wan", "hunyuan15", "svd", "helios-modular"])
def test_guidance_changes_the_film(engine_of: Engines, name: str) -> None:
    """Whether it is an argument or in a component; the next film has the usual one again."""
    engine = engine_of(name)
    workflow = engine.capabilities.workflows[0]
    films = [engine.film(request(engine, workflow, guidance=scale, steps=1))[0] for scale in (None, 9.0, None)]
    assert (films[0].frames != films[1].frames).any() and (films[0].frames == films[2].frames).all()


def test_count_films_with_seeds_of_their_own(engine_of: Engines) -> None:
    engine = engine_of("wan")
    first, second = engine.film(request(engine, "generate", count=2))
    (alone,) = engine.film(request(engine, "generate", seed=4))
    assert (first.frames != second.frames).any() and (second.frames == alone.frames).all()


BATCHING = [name for name in models(*SLOW_TEXT) if name in (
    "wan", "wan22", "wan22-5b", "wan-modular", "ltx", "ltx-modular", "ltx2", "hunyuan", "cogvideox", "mochi", "skyreels", "helios",
    "helios-modular", "sana-video", "anyflow", "animatediff", "modelscope",
)]  # fmt: skip


@pytest.mark.parametrize("name", BATCHING)
def test_several_prompts_in_one_pass_are_the_films_of_each(engine_of: Engines, name: str) -> None:
    """But for rounding; the network is called as often as for one."""
    engine = engine_of(name)
    batching = DiffusersEngine(replace(engine.entry, batch=2), device="cpu")
    batching._first, batching._pipelines = engine._first, engine._pipelines
    asked = request(engine, "generate", further=(("two robots wave at the sea", 9),), negative_prompt="")
    alone = engine.film(asked)
    steps: list[tuple[str, int, int]] = []
    both = batching.film(asked, progress=lambda *step: steps.append(step))
    assert batching.capabilities.batch == 2 and sum(done == of for _, done, of in steps) <= 2, "one pass"
    assert (both[0].frames != both[1].frames).any()
    for one, other in zip(alone, both, strict=True):
        assert abs(one.frames.astype(int) - other.frames).max() <= 1 and one.settings == other.settings
        assert (one.sound is None) == (other.sound is None)


def test_each_film_of_uneven_groups_is_its_own(engine_of: Engines) -> None:
    """Two at once of three, and of five: no film is another's."""
    engine = engine_of("wan")
    batching = DiffusersEngine(replace(engine.entry, batch=2), device="cpu")
    batching._first, batching._pipelines = engine._first, engine._pipelines
    words = ("A red ball rolls", "two robots wave", "a blue box")
    for asked in (
        request(engine, "generate", further=((words[1], 9), (words[2], 4))),
        request(engine, "generate", count=3, further=((words[1], 9), (words[2], 4))),
    ):
        films = batching.film(asked)
        assert len(films) == len(asked.each())
        for film, one in zip(films, asked.each(), strict=True):
            (alone,) = engine.film(one)
            assert abs(film.frames.astype(int) - alone.frames).max() <= 1, one.prompt
            assert film.settings["prompt"] == one.prompt and film.settings["seed"] == one.seed


@pytest.mark.parametrize("name", ["wan-vace", "cosmos3"])
def test_pipelines_that_take_one_prompt_film_one_after_another(engine_of: Engines, name: str) -> None:
    engine = engine_of(name)
    with pytest.raises(InputError, match=f"batch 4: {name} films one prompt at a time"):
        _ = DiffusersEngine(replace(engine.entry, batch=4), device="cpu").capabilities
    first, second = engine.film(request(engine, "generate", further=(("two robots", 9),)))
    (alone,) = engine.film(request(engine, "generate", prompt="two robots", seed=9))
    assert (second.frames == alone.frames).all() and (first.frames != alone.frames).any()


def test_previews(engine_of: Engines) -> None:
    shown: list[Any] = []
    engine = engine_of("wan")
    engine.film(request(engine, "generate", steps=3), watch=shown.append)
    assert len(shown) == 3 and all(one.shape == (4, 4, 3) and one.dtype == np.uint8 for one in shown)


def test_outside_a_mask_nothing_changes(engine_of: Engines) -> None:
    engine = engine_of("wan-vace")
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    pixels[:, :, 16:] = 255
    (clip,) = engine.film(request(engine, "edit", mask=Clip(frames=pixels, fps=1.0)))
    given = noise(5, 16.0).frames
    assert (clip.frames[:, :, :16] == given[:, :, :16]).all() and (clip.frames[:, :, 16:] != given[:, :, 16:]).any()


@pytest.mark.parametrize("name", ["wan22-5b", "cosmos3"])
def test_films_longer_than_the_most_are_made_in_parts(engine_of: Engines, name: str) -> None:
    """cosmos3 goes on from the last frames of the part before, the other from the last picture."""
    engine = _with_fewer_frames(engine_of(name), 9)
    (clip,) = engine.film(request(engine, "generate", 16))
    (short,) = engine.film(request(engine, "generate", 9))
    assert clip.num_frames == 16
    assert (clip.frames[:9] == short.frames).all()
    assert any("filmed in parts of 9 frames" in note for note in clip.settings["notes"])


@pytest.mark.parametrize("name", ["wan22-5b", "cosmos3", "ltx"])
def test_a_clip_of_another_size_and_rate_is_extended(engine_of: Engines, name: str) -> None:
    engine = engine_of(name)
    video = noise(9, 12.0, (50, 38))
    for before in (False, True) if name == "ltx" else (False,):
        (clip,) = engine.film(request(engine, "extend", size=None, video=video, before=before))
        new = round(round(5 / engine.capabilities.fps * engine.capabilities.fps) / engine.capabilities.fps * 12)
        assert clip.size == "50x38" and clip.fps == 12.0 and abs(clip.num_frames - 9 - new) <= 1
        kept = clip.frames[-9:] if before else clip.frames[:9]
        assert (kept == video.frames).all()


def test_diffusion_forcing_films_long_with_a_history(engine_of: Engines) -> None:
    engine = engine_of("skyreels-forcing")
    assert engine.family.passes(97) == 1 and engine.family.passes(98) == 2 and engine.family.passes(177) == 2
    assert engine.capabilities.most_seconds is None
