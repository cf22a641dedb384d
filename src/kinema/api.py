"""The public functions, which take and return clips. Films are made by engines (`kinema.engines`): Kinema's own models, which the
other functions need, or any open model that was added.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from kinema.engines import Engine, FilmRequest, Lora, native_films
from kinema.engines.catalog import others_with_controls
from kinema.engines.native import NativeEngine, engine_for, sampling_of
from kinema.engines.native_films import AnySize
from kinema.engines.protocol import workflow_of
from kinema.engines.registry import parse_lora
from kinema.errors import InputError
from kinema.inference.checkpoint import WindowCheckpoint
from kinema.inference.editing import EDIT_STRENGTH
from kinema.inference.limits import ReadOptions, is_number
from kinema.inference.pipeline import OnFrames, Progress
from kinema.inference.sampling import SamplingConfig
from kinema.media import AnyClip, Clip
from kinema.models.hub import Model
from kinema.playground.controls import Control, control_film
from kinema.scene.scene import Scene


class Filmed(Protocol):
    """What has a film of its own, such as a `World`."""

    def clip(self, frames: int | None = None) -> Clip:
        """Its film, with the state beside it."""
        ...


AnyModel = Engine | Model | str | None
"""A model, an engine, or a name, folder or address of one. None: `kinema-tiny`."""


def films(
    prompts: Sequence[str], seeds: Sequence[int], *, model: AnyModel = None, seconds: float = 4.0,
    size: AnySize = None, fps: float = 16.0, options: SamplingConfig | None = None, strict: bool = False,
    negative_prompt: str = "", steps: int | None = None, guidance: float | None = None,
    progress: Progress | None = None, watch: OnFrames | None = None, checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:  # fmt: skip
    """Film several prompts in one pass, each as `generate` films it alone with its seed. Open models film as many in one pass as
    was said when they were added (`kinema models add --batch`), where their pipeline takes several; what is rounded otherwise there
    can change a pixel by a level.

    Args:
        prompts: N descriptions, one for each film.
        seeds: N seeds, one for each prompt.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        seconds: Duration of each film, in seconds.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        fps: Frames per second.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        negative_prompt: What is not to be seen, for models that take it.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        progress: Called with (stage, steps done, steps in all).
        watch: Called with the canvas once its states are planned and while it is rendered, and with the number of frames
            rendered so far.
        checkpoint: Keeps each window of the films; those that it has are not made again. None: nothing is kept.

    Returns:
        N clips of T = round(seconds * fps) frames, with their states and settings.

    Raises:
        InputError: The numbers of prompts and seeds differ, or there is none.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    if len(prompts) != len(seeds) or not prompts:
        raise InputError(f"{len(prompts)} prompts and {len(seeds)} seeds: expected one seed for each, and at least one")
    request = FilmRequest(
        workflow="generate", prompt=prompts[0], seed=seeds[0], further=tuple(zip(prompts[1:], seeds[1:], strict=True)),
        negative_prompt=negative_prompt, size=size, seconds=seconds, fps=fps, steps=steps, guidance=guidance, options=options,
        strict=strict,
    )  # fmt: skip
    if isinstance(engine, NativeEngine):
        engine.capabilities.check(request)
        return native_films.film_prompts(
            prompts, seeds, model=engine.model, seconds=seconds, size=size, fps=fps, options=sampling_of(request),
            strict=strict, progress=progress, watch=watch, checkpoint=checkpoint,
        )  # fmt: skip
    return engine.film(request, progress)


def generate(
    prompt: str,
    *,
    model: AnyModel = None,
    seconds: float | None = None,
    size: AnySize = None,
    fps: float | None = None,
    image: AnyClip | None = None,
    last: AnyClip | None = None,
    pictures: Sequence[tuple[AnyClip, float]] = (),
    camera: Sequence[tuple[float, float, float, float]] = (),
    seed: int = 0,
    count: int = 1,
    options: SamplingConfig | None = None,
    strict: bool = False,
    negative_prompt: str = "",
    steps: int | None = None,
    guidance: float | None = None,
    loras: Sequence[Lora | str] = (),
    progress: Progress | None = None,
    checkpoint: WindowCheckpoint | None = None,
) -> list[Clip]:
    """Film a prompt.

    Args:
        prompt: What happens, or a storyboard such as "0-2: a red ball rolls right | 2-4: a red ball stands still".
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        seconds: Duration in seconds. None: the model's usual, 4 s of `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the first picture given, or the nearest one that the
            model films; without pictures, the model's own.
        fps: Frames per second. None: those that the model films, 16 of `kinema-tiny`.
        image: The known first picture: the first frame of this clip. A picture that shows nothing that the model knows
            (`kinema.inference.familiarity`) is left out of a film with a prompt, which would jump away from it; a warning says so.
        last: The known last picture: the last frame of this clip.
        pictures: Further known pictures, as pairs (picture, time in seconds).
        camera: Stops (time in seconds, x, y, zoom), with straight lines between them. x and y are room units: the middle of the
            room is (5, 5), and at zoom 1 a picture is ten units high.
        seed: Seed of the first clip. The others have seed + 1, seed + 2, ...
        count: Number of clips.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        negative_prompt: What is not to be seen, for models that take it.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        loras: LoRA files, each with its scale, such as "film.safetensors=0.8".
        progress: Called with (stage, steps done, steps in all).
        checkpoint: Keeps each window of the clips; those that it has are not made again. None: nothing is kept.

    Returns:
        `count` clips of T = round(seconds * fps) frames, with their states and settings. A known picture
            of the film's size stands in it bit for bit.

    Raises:
        InputError: A picture lies outside the film, or two pictures at one frame.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    read = engine.capabilities.reading
    request = FilmRequest(
        workflow=workflow_of(image is not None, last is not None, bool(pictures)), prompt=prompt,
        negative_prompt=negative_prompt, seconds=seconds, size=size,
        fps=fps, seed=seed, count=count, steps=steps, guidance=guidance, strict=strict, camera=tuple(camera), options=options,
        loras=tuple(parse_lora(one) if isinstance(one, str) else one for one in loras), checkpoint=checkpoint,
        first=None if image is None else Clip.of(image, first=1, sound=False, **read),
        last=None if last is None else Clip.of(last, last=1, sound=False, **read),
        pictures=_timed(pictures, read),
    )  # fmt: skip
    return engine.film(request, progress)


def image(
    prompt: str,
    *,
    model: AnyModel = None,
    size: AnySize = None,
    seed: int = 0,
    options: SamplingConfig | None = None,
    strict: bool = False,
    steps: int | None = None,
    guidance: float | None = None,
) -> Clip:
    """Make one still picture: a film of one frame.

    Args:
        prompt: What the picture shows.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.

    Returns:
        A clip of one frame, with its state.

    Raises:
        SizeError: A size that the model does not film.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    request = FilmRequest(
        workflow="still", prompt=prompt, size=size, seed=seed, options=options, strict=strict, steps=steps, guidance=guidance
    )
    return engine.film(request)[0]


def extend(
    clip: AnyClip, prompt: str = "", *, seconds: float = 2.0, before: bool = False, model: AnyModel = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None,
    strict: bool = False, steps: int | None = None, guidance: float | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Make a clip longer, after its end or before its beginning. The given frames stay as they are.

    A clip of at least 3 frames without a prompt, a caption and options is continued frame by frame, as a world is stepped. All
    other clips are continued by one plan. A clip of a size or frame rate that the model does not film is changed first; the
    settings then hold `scaled_from` or `resampled_from`.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        prompt: What happens. Empty: the caption of the clip, if it has one.
        seconds: Duration that is added, in seconds.
        before: Add frames before the clip instead of after it.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T + round(seconds * fps) frames at the frame rate of the given clip. Its sound is that of the given clip, with
            silence in the new part.

    Raises:
        InputError: Something that is no clip.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    request = FilmRequest(
        steps=steps, guidance=guidance,
        workflow="extend", prompt=prompt, seconds=seconds, before=before, size=size, seed=seed, options=options, strict=strict,
        video=Clip.of(clip, **engine.capabilities.reading),
    )  # fmt: skip
    return engine.film(request, progress)[0]


def infill(
    pictures: Sequence[tuple[AnyClip, float]], prompt: str = "", *, fps: float | None = None, model: AnyModel = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None,
    strict: bool = False, steps: int | None = None, guidance: float | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Fill in the film between given pictures.

    Args:
        pictures: Two or more pairs (picture, time in seconds). The first frame of each picture is used.
        prompt: What happens.
        fps: Frames per second. None: those that the model films, 16 of `kinema-tiny`.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels, to which all pictures are fitted. None: that of the first, or the
            nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip from 0 s to the last of the pictures. A given picture of the film's size stands in it bit for bit.

    Raises:
        InputError: Fewer than two pictures, or two of them at one frame.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    if not isinstance(pictures, list | tuple) or len(pictures) < 2:
        raise InputError("filling in needs at least two pairs (picture, second), such as a.png@0 b.png@1.5")
    request = FilmRequest(
        steps=steps, guidance=guidance,
        workflow="infill", prompt=prompt, fps=fps, size=size, seed=seed, options=options, strict=strict,
        pictures=_timed(pictures, engine.capabilities.reading),
    )  # fmt: skip
    return engine.film(request, progress)[0]


def blend(
    a: AnyClip, b: AnyClip, prompt: str = "", *, seconds: float = 2.0, model: AnyModel = None, size: AnySize = None,
    seed: int = 0, options: SamplingConfig | None = None,
    strict: bool = False, steps: int | None = None, guidance: float | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Join two clips by a passage that leads from one to the other.

    Args:
        a: The first clip. Its size and frame rate are those of the result.
        b: The second clip, which is resampled and fitted to the first.
        prompt: What happens in the passage.
        seconds: Duration of the passage, in seconds.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        Clip a, the passage and clip b as one clip, each with its sound, the passage in silence. It has a state if a and b have at
            most 8 frames each.

    Raises:
        InputError: Something that is no clip.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    first, second = (Clip.of(one, **engine.capabilities.reading) for one in (a, b))
    request = FilmRequest(
        steps=steps, guidance=guidance,
        workflow="blend", prompt=prompt, seconds=seconds, video=first, second=second, size=size, seed=seed, options=options,
        strict=strict,
    )  # fmt: skip
    return engine.film(request, progress)[0]


def interpolate(
    clip: AnyClip, *, fps: float, model: AnyModel = None, size: AnySize = None, seed: int = 0,
    options: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Raise the frame rate of a clip by frames that are filled in between its own.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        fps: Frames per second of the result: a whole multiple of those of the clip.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of (T - 1) * k + 1 frames, where k is the multiple, with the sound of the given clip. Every k-th frame is one of the
            given clip.

    Raises:
        InputError: fps is no whole multiple, at least 2, of the clip's frame rate.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        ModelError: There is no such model, or its weights do not fit.
    """
    return native_films.film_frames_between(
        clip, fps=fps, model=native(model), size=size, seed=seed, options=options, progress=progress
    )


def edit(
    clip: AnyClip, prompt: str, *, strength: float = EDIT_STRENGTH, mask: AnyClip | None = None, model: AnyModel = None,
    size: AnySize = None, seed: int = 0, options: SamplingConfig | None = None,
    strict: bool = False, steps: int | None = None, guidance: float | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Make a clip again by a new prompt.

    With a mask, the change stays where the mask is white. Pixels outside come back bit for bit, and objects outside keep their
    state. Inside, the pictures are drawn anew. An object that lies inside in every frame becomes one that the prompt names
    besides those outside, or is removed.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        prompt: What the new clip shows.
        strength: How much may change, above 0 and up to 1: near 0 keeps what happens, 1 keeps nothing of it.
        mask: One picture of the clip's size, white where the clip may change. None: everywhere.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: that of the clip, or the nearest one that the model films.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        strict: Refuse a prompt that holds words or wishes that the model cannot film, instead of logging a warning.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T frames, with its state and the sound of the given clip.

    Raises:
        InputError: A blank prompt, a strength outside its range, or a mask of another size or without white.
        SizeError: A size, duration or frame rate that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        VocabularyError: strict is True and the prompt holds something that the model cannot film.
        ModelError: There is no such model, or its weights do not fit.
    """
    if not str(prompt).strip():
        raise InputError('the prompt of the edit is empty: say what the new clip shows, such as "a blue ball"')
    engine = engine_for(model)
    request = FilmRequest(
        steps=steps, guidance=guidance,
        workflow="edit", prompt=prompt, strength=strength, video=Clip.of(clip, **engine.capabilities.reading),
        mask=None if mask is None else Clip.of(mask, first=2, sound=False), size=size, seed=seed, options=options,
        strict=strict,
    )  # fmt: skip
    return engine.film(request, progress)[0]


def upscale(
    clip: AnyClip, prompt: str = "", *, model: AnyModel = None, size: AnySize = None, strength: float | None = None,
    seed: int = 0, options: SamplingConfig | None = None, steps: int | None = None, guidance: float | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Show a clip larger. An upscaler, such as LTX's, draws it finer; a model that edits by a strength draws the enlarged clip
    finer and keeps most of it; a Kinema model renders the clip's state, known or perceived, at the larger size.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        prompt: What the clip shows, for models that edit. Empty: the caption of the clip, if it has one.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels, larger than the clip's. None: twice the clip's.
        strength: Of models that edit: near 0 keeps the enlarged pixels, 1 nothing of them. None: 0.3.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T frames at the frame rate of the given clip, with its sound; with its state where what is drawn goes by it.

    Raises:
        InputError: The model cannot upscale, or the size is not larger.
        SizeError: A size or length that the model or the memory of this machine cannot do.
        MediaError: A file that cannot be read.
        ModelError: There is no such model, or its weights do not fit.
    """
    engine = engine_for(model)
    request = FilmRequest(
        workflow="upscale", prompt=prompt, strength=strength, video=Clip.of(clip, **engine.capabilities.reading), size=size,
        seed=seed, options=options, steps=steps, guidance=guidance,
    )  # fmt: skip
    return engine.film(request, progress)[0]


def perceive(
    clip: AnyClip,
    *,
    model: AnyModel = None,
    size: AnySize = None,
    seed: int = 0,
    options: SamplingConfig | None = None,
) -> Scene:
    """Estimate the state of a clip: which objects are where in every frame.

    If the clip has a state, that state counts as known. To estimate it from the pictures, pass `replace(clip, state=None)`. Of a
    clip of more frames a second than the model knows, every second (third, ...) frame is read, and things move on at their speed
    in the frames between.

    Args:
        clip: A clip, a path, a PIL picture, or uint8 pixels [T, H, W, 3].
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels at which the pictures are read. None: the model's own height, where the
            estimate is most accurate.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.

    Returns:
        The state over the T frames: positions in room units (a picture is ten units high at zoom 1), velocities in units per
        second, angles in radians.

    Raises:
        InputError: Something that is no clip.
        SizeError: A size that the model does not film.
        MediaError: A file that cannot be read.
        ModelError: There is no such model, or its weights do not fit.
    """
    return native_films.perceive_scene(clip, model=native(model), size=size, seed=seed, options=options)


def render(
    scene: Scene, *, model: AnyModel = None, size: AnySize = None, seed: int = 0,
    options: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Render the film of a state.

    Args:
        scene: The state over T frames.
        model: A model, or the name, folder or address of one. None: the default, `kinema-tiny`.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        seed: Same seed, machine and device: same output.
        options: How to sample. None: the usual `Options()`.
        progress: Called with (stage, steps done, steps in all).

    Returns:
        A clip of T frames at the frame rate of the state.

    Raises:
        InputError: Something that is no scene.
        SizeError: A size that the model does not film, or more objects than it has slots.
        ModelError: There is no such model, or its weights do not fit.
    """
    return native_films.film_scene(scene, model=native(model), size=size, seed=seed, options=options, progress=progress)


def restyle(
    source: Scene | AnyClip | Filmed, prompt: str, *, model: AnyModel, control: Control | None = None,
    strength: float | None = None,
    size: AnySize = None, seed: int = 0, steps: int | None = None, guidance: float | None = None, negative_prompt: str = "",
    loras: Sequence[Lora | str] = (), progress: Progress | None = None,
) -> Clip:  # fmt: skip
    """Film a state anew with another model: Kinema keeps the physics and the truth, the other model paints.

    Args:
        source: A state, a world or a branch of one, or a clip whose state is known or is perceived by `kinema-tiny`.
        prompt: What the new film shows.
        model: A model that can be steered (`capabilities.controls`), such as one with VACE.
        control: What of the state steers it: "depth", "edges", "segments", or "coarse", the film as Kinema draws it. None: the
            first of those that the model takes.
        strength: Of models that go by a film: near 0 keeps its pixels, 1 nothing of them. None: the model's usual.
        size: "WIDTHxHEIGHT" or (width, height) in pixels. None: the model's own.
        seed: Same seed, machine and device: same output.
        steps: Steps of the sampler. None: the model's usual.
        guidance: How hard the words pull; 1: not at all. None: the model's usual.
        negative_prompt: What is not to be seen, for models that take it.
        loras: LoRA files, each with its scale, such as "film.safetensors=0.8".
        progress: Called with (stage, steps done, steps in all).

    Returns:
        The film, with the state that it was made from: where things are is known, whatever they look like.

    Raises:
        InputError: The model cannot be steered, or not by this control.
        SizeError: A size or length that the model cannot film.
        EngineError: The model failed on the way.
    """
    engine = engine_for(model)
    usual = engine.capabilities
    if not usual.controls:
        raise InputError(f"{usual.model} cannot be steered by a state{others_with_controls()}")
    chosen = control or usual.controls[0]
    if chosen not in usual.controls:
        raise InputError(f"control {chosen!r}: {usual.model} can be steered by {', '.join(usual.controls)}")
    scene = _scene_of(source)
    width, height = usual.check_size(size)
    drawn = control_film(scene, chosen, *usual.nearest_size(width, height))
    request = FilmRequest(
        workflow="restyle", prompt=prompt, negative_prompt=negative_prompt, video=drawn, strength=strength, size=(width, height),
        seed=seed, steps=steps, guidance=guidance,
        loras=tuple(parse_lora(one) if isinstance(one, str) else one for one in loras),
    )  # fmt: skip
    film = engine.film(request, progress)[0]
    settings = {**film.settings, "layout": "restyle", "control": chosen}
    seen = scene.resample(film.fps) if scene.fps != film.fps else scene
    state = seen.frames(slice(film.num_frames)) if seen.num_frames >= film.num_frames else None
    return replace(film, settings=settings, state=state)


def _scene_of(source: Scene | AnyClip | Filmed) -> Scene:
    if isinstance(source, Scene):
        return source
    filmed = getattr(source, "clip", None)
    if not callable(filmed):
        clip = Clip.of(source, sound=False)  # type: ignore[arg-type]
        return clip.state or perceive(clip)
    scene: Scene | None = filmed().state
    if scene is None:
        raise InputError("this world has no state that could steer a model; record a clip of it and restyle that")
    return scene


def native(model: AnyModel) -> Model | str | None:
    """A model for what only Kinema's own models do."""
    if model is None or isinstance(model, str | Model):
        return model
    if isinstance(model, NativeEngine):
        return model.model
    raise InputError(f"{model.capabilities.model} only films; for this, name a Kinema model")


def _timed(pictures: Sequence[tuple[AnyClip, float]], read: ReadOptions) -> tuple[tuple[Clip, float], ...]:
    """Pictures with their seconds; InputError for anything but pairs."""
    pairs = []
    for one in pictures:
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise InputError(f"a picture given as {type(one).__name__}: expected pairs (picture, second)")
        if not is_number(one[1]) or not 0 <= one[1] < 1e6:
            raise InputError(f"a picture at {one[1]!r} s: expected a time from 0 on")
        pairs.append((Clip.of(one[0], first=1, sound=False, **read), float(one[1])))
    return tuple(pairs)
