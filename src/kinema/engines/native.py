"""Kinema's own models as an engine, and which engine a model's name means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinema.devices import AUTO
from kinema.engines import native_films
from kinema.engines.licenses import terms_of
from kinema.engines.opening import entry_of_source, open_engine
from kinema.engines.protocol import (
    WORKFLOWS,
    Cancelled,
    Capabilities,
    Engine,
    FilmRequest,
    FrameRule,
    Watch,
    never,
    parsed_size,
)
from kinema.engines.registry import ModelEntry, find_entry
from kinema.errors import InputError, ModelError, SizeError
from kinema.inference import limits
from kinema.inference.canvas_io import check_named, resolve_model
from kinema.inference.editing import EDIT_STRENGTH
from kinema.inference.limits import Size
from kinema.inference.pipeline import Progress
from kinema.inference.sampling import SamplingConfig
from kinema.media import Clip
from kinema.models.hub import CONFIG, WEIGHTS, Model, ModelConfig, is_dit_folder, weights_folder
from kinema.playground import VOCABULARY
from kinema.playground.vocabulary import article, listing
from kinema.text.prompt_check import check_limits, check_rewrite, check_words, late_parts, names_something, rewrite
from kinema.text.storyboard import parse_storyboard
from kinema.text.vocabulary import suggest, unknown_words

SECONDS, FPS = 4.0, 16.0
"""Length and rate of a film that is asked for without them."""


@dataclass(frozen=True, kw_only=True)
class NativeCapabilities(Capabilities):
    """What a Kinema model films: sizes and rates are those that it was trained at, and others are refused with the nearest one."""

    config: ModelConfig

    def to_dict(self) -> dict[str, Any]:
        """The document as plain JSON."""
        return {name: value for name, value in super().to_dict().items() if name != "config"}

    def nearest_size(self, width: int, height: int) -> Size:
        """The size that the model films and that is nearest in shape and height."""
        return limits.nearest(self.config, width, height)

    def check_size(self, size: str | Size | None) -> Size:
        """(width, height), by default the model's own. SizeError names the nearest size that it films."""
        return limits.check_size(self.config, None if size is None else parsed_size(size))

    def fitted_size(self, width: int, height: int) -> Size:
        """The size at which a given picture or clip is filmed."""
        return limits.fitted_size(self.config, width, height)

    def offered_size(self, width: int, height: int) -> Size:
        """The size for a client that does not know this model's sizes."""
        return limits.fitted_size(self.config, width, height)

    def check_film(self, seconds: float, fps: float, size: Size, mend: str = "") -> None:
        """SizeError for a length, a rate or a size that cannot be filmed. mend: what to do about the rate, with {fps:g} where one
        that the model films stands."""
        low, high = self.config.fps
        if not low <= fps <= high:
            raise SizeError(
                f"{fps:g} frames a second: {self.model} films {low:g} to {high:g}; {mend.format(fps=self.fps)}", param="fps"
            )
        limits.check_duration(self.config, seconds, fps, *size, 1)

    def fitting(self, seconds: float, fps: float, size: Size) -> tuple[str, ...]:
        """Nothing: what these models do not film as it is asked for, they refuse."""
        return ()

    def check_prompt(self, prompt: str, *, strict: bool, duration_s: float = math.inf) -> list[str]:
        """A storyboard that can be read; if strict, VocabularyError for words and wishes that the model cannot film. Returns a line
        for each part that begins when the film, of duration_s seconds, has ended."""
        lacks, schema = self.config.lacks, self.config.denoiser.schema
        spans = parse_storyboard(check_rewrite(prompt, strict=strict, lacks=lacks, schema=schema))
        for text, _, _ in spans:
            check_words(text, strict=strict, model=self.model, lacks=lacks, schema=schema)
        slots = self.config.denoiser.slots
        check_limits(spans, strict=strict, model=self.model, slots=slots, schema=schema, duration_s=duration_s)
        return late_parts(spans, duration_s)

    def unknown_words(self, prompt: str) -> tuple[list[str], str | None]:
        """Words of a prompt that the model does not know, and a hint with similar words."""
        known = VOCABULARY - set(self.config.lacks)
        strange = unknown_words(prompt, known)
        meant = {word: suggest(word, known) for word in strange}
        hints = [f"{word} → {near}" for word, near in meant.items() if near]
        return strange, ", ".join(hints) or None

    def films_something(self, prompt: str) -> bool:
        """Whether a prompt names something that the model films."""
        filmed, _ = rewrite(prompt, self.config.lacks, self.config.denoiser.schema)
        return names_something(filmed, self.config.lacks, self.config.denoiser.schema)

    @property
    def filmed(self) -> str:
        """What the model films, in words."""
        kinds = self.config.denoiser.schema.kinds
        return listing([article(kind) for kind in kinds if kind not in self.config.lacks])


def native_capabilities(config: ModelConfig, name: str) -> NativeCapabilities:
    """What a Kinema model films, by its config alone."""
    return NativeCapabilities(
        config=config, model=name, engine="kinema", family="Kinema", workflows=tuple(one for one in WORKFLOWS if one != "restyle"),
        size=limits.default_size(config), fps=min(max(FPS, config.fps[0]), config.fps[1]), seconds=SECONDS, frames=FrameRule(),
        multiple=config.cell_px, sizes=tuple(map(limits.parse_size, limits.sizes_of(config))), steps=16, guidance=2.0,
        strength=EDIT_STRENGTH, camera=True, masks=True, state=True, candidates=True,
        unused={"upscale": ("prompt", "strength", "guidance")},
        reading={"longest": 2 * config.max_side, "within": limits.READING_BYTES},
    )  # fmt: skip


class NativeEngine:
    """Films with one of Kinema's own models.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def capabilities(self) -> NativeCapabilities:
        """What the model films."""
        return native_capabilities(self.model.config, self.model.source)

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request; see `kinema.engines.Engine`."""
        self.capabilities.check(request)
        if request.count != 1 and request.workflow not in ("generate", "image", "first_last", "keyframes"):
            raise InputError(f"count {request.count}: {request.workflow} makes one film at a time")
        if request.further:
            return [self.film(one, progress, cancelled, watch)[0] for one in request.each()]

        def step(stage: str, done: int, of: int) -> None:
            if cancelled():
                raise Cancelled
            if progress is not None:
                progress(stage, done, of)

        common: dict[str, Any] = {
            "model": self.model,
            "size": request.size,
            "seed": request.seed,
            "options": sampling_of(request),
        }
        if request.workflow == "still":
            return [native_films.film_still(request.prompt, strict=request.strict, **common)]
        common |= {"progress": step, "strict": request.strict}
        return self._film(request, common)

    def _film(self, request: FilmRequest, common: dict[str, Any]) -> list[Clip]:
        if request.workflow == "infill":
            fps = FPS if request.fps is None else request.fps
            return [native_films.film_through(request.pictures, request.prompt, fps=fps, **common)]
        if request.workflow == "upscale":
            return [native_films.film_larger(_needed(request.video, "upscale"), **common)]
        if request.workflow in ("extend", "blend", "edit"):
            return [self._change(request, common)]
        return native_films.film_prompt(
            request.prompt, image=request.first, last=request.last, pictures=request.pictures, camera=request.camera,
            seconds=SECONDS if request.seconds is None else request.seconds, fps=FPS if request.fps is None else request.fps,
            count=request.count, checkpoint=request.checkpoint, **common,
        )  # fmt: skip

    def _change(self, request: FilmRequest, common: dict[str, Any]) -> Clip:
        video = _needed(request.video, request.workflow)
        seconds = 2.0 if request.seconds is None else request.seconds
        if request.workflow == "extend":
            return native_films.film_longer(video, request.prompt, seconds=seconds, before=request.before, **common)
        if request.workflow == "blend":
            if request.second is None:
                raise InputError("a blend leads from one film to another: give both")
            return native_films.film_passage(video, request.second, request.prompt, seconds=seconds, **common)
        strength = EDIT_STRENGTH if request.strength is None else request.strength
        return native_films.film_edited(video, request.prompt, strength=strength, mask=request.mask, **common)

    def close(self) -> None:
        """Nothing: models stay loaded for the next that asks."""


def _needed(video: Clip | None, workflow: str) -> Clip:
    if video is None:
        raise InputError(f"{workflow} needs a video")
    return video


def sampling_of(request: FilmRequest) -> SamplingConfig | None:
    """The sampler options of a request; None if it sets none."""
    named = {"num_plan_steps": request.steps, "guidance_scale": request.guidance}
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if not given:
        return request.options
    return SamplingConfig(**given) if request.options is None else replace(request.options, **given)


_opened: dict[str, Engine] = {}


def engine_for(model: Engine | Model | str | Path | None, *, device: str = AUTO) -> Engine:
    """The engine of a model.

    Args:
        model: An engine or a model; the name of a shipped or added model; a folder, or the address of a server. None: the default.
        device: "auto", "cpu", "cuda" or "mps", of models that are opened by name.

    Returns:
        The engine, opened once per process.

    Raises:
        ModelError: There is no such model, or a folder that was not added under a name, whose license must be accepted.
        InputError: Something that is no model.
    """
    if not (model is None or isinstance(model, Model | str | Path)) and isinstance(model, Engine):
        return model
    check_named(model)
    if isinstance(model, str | Path) and not is_native(model):
        added = find_entry(str(model))
        entry = added or entry_of_source(str(model))
        if entry is not None:
            key = device + entry.to_toml()
            if key not in _opened:
                engine = open_engine(entry, device=device)
                if added is None:
                    _check_license(entry, engine)
                _opened[key] = engine
            return _opened[key]
    return NativeEngine(resolve_model(model, device))


def _check_license(entry: ModelEntry, engine: Engine) -> None:
    """ModelError: a folder was named whose license must be accepted, which is done where it is added under a name."""
    license = engine.capabilities.license
    if license.must_accept and not entry.is_upstream:
        raise ModelError(
            f"{entry.source} films under a license that must be accepted ({terms_of(license)}); read it, then add the model:"
            f" kinema models add {entry.source} --name {entry.name} --accept-license, and name it {entry.name}"
        )


def is_native(model: str | Path) -> bool:
    """Whether a name or folder is of a Kinema model."""
    paths = (Path(model), weights_folder() / model)
    return any((path / CONFIG).exists() and (path / WEIGHTS).exists() and not is_dit_folder(path) for path in paths)
