"""What an engine is: something that films requests, and a document that says what it can film.

Kinema's own models, pipelines of diffusers in a folder, and other servers are engines. Library, command line, server and Studio
know nothing else of a model.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from kinema.errors import InputError, SizeError
from kinema.inference.checkpoint import WindowCheckpoint
from kinema.inference.editing import EDIT_STRENGTH
from kinema.inference.limits import ReadOptions, Size, is_whole, parse_size
from kinema.inference.pipeline import Progress
from kinema.inference.sampling import SamplingConfig
from kinema.media import Clip
from kinema.media.wanted import Limits
from kinema.playground.controls import Control
from kinema.types import Frames

Workflow = Literal[
    "generate", "image", "first_last", "keyframes", "extend", "infill", "blend", "edit", "restyle", "upscale", "still"
]
WORKFLOWS: tuple[Workflow, ...] = get_args(Workflow)
"""generate: from words. image: from a first picture. first_last: between two pictures. keyframes: from pictures at given times.
extend: longer, at its end or before its beginning. infill: what happens between pictures. blend: from one film to another. edit:
a film made anew. restyle: a film that a drawing of a scene steers. upscale: a film shown larger. still: one picture."""
VERBS: dict[Workflow, str] = {
    "generate": "film", "image": "film a picture on", "first_last": "lead from picture to picture",
    "keyframes": "film through pictures", "infill": "fill", "still": "paint a picture",
    "extend": "extend", "blend": "blend", "edit": "edit", "restyle": "restyle", "upscale": "upscale",
}  # fmt: skip
"""What is done, in words."""
SETTINGS = {
    "prompt": "words", "steps": "steps", "guidance": "guidance", "strength": "strength", "negative_prompt": "negative prompt",
}  # fmt: skip
"""Fields of a request that some pipelines do not take, in words."""
Watch = Callable[[Frames], None]
"""Called with a small picture uint8 [H, W, 3] of what is being filmed."""


class Cancelled(Exception):
    """Raised out of `Engine.film` when its `cancelled` returned True."""


def never() -> bool:
    """For films that nobody cancels."""
    return False


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A file of low-rank weights, or a name on the hub, and how much of them is added."""

    source: str
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmRequest:
    """What is to be filmed. None: as the engine does it usually.

    seconds: of what is made anew, in seconds. first, last: the known first and last picture; pictures: further ones and their times
    in seconds. video: what is extended, edited
    or led away from; second: what a blend leads to. mask: white where an edit may change, a picture. strength: of an edit, near 0
    keeps all, 1 nothing. before: extend before the beginning. camera: stops (second, x, y, zoom) in room units. strict: refuse
    words that the model does not know. further: films of the same shape besides, each by its prompt and seed; an engine that can
    films them in the same pass. options, checkpoint: details that only Kinema's own models have.
    """

    workflow: Workflow
    prompt: str = ""
    negative_prompt: str = ""
    seconds: float | None = None
    size: str | Size | None = None
    fps: float | None = None
    seed: int = 0
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    first: Clip | None = None
    last: Clip | None = None
    pictures: tuple[tuple[Clip, float], ...] = ()
    video: Clip | None = None
    second: Clip | None = None
    mask: Clip | None = None
    strength: float | None = None
    before: bool = False
    camera: tuple[tuple[float, float, float, float], ...] = ()
    strict: bool = False
    loras: tuple[Lora, ...] = ()
    further: tuple[tuple[str, int], ...] = ()
    options: SamplingConfig | None = None
    checkpoint: WindowCheckpoint | None = None

    def each(self) -> list[FilmRequest]:
        """A request of its own for each film: `count` of them with seeds that count up, then the further ones."""
        one = replace(self, count=1, further=())
        counted = [replace(one, seed=self.seed + i) for i in range(self.count)]
        return counted + [replace(one, prompt=prompt, seed=seed) for prompt, seed in self.further]


@dataclass(frozen=True, kw_only=True)
class FrameRule:
    """How many frames a model films: offset + step * k, at least `least`; longer films than `most` are made in several parts."""

    step: int = 1
    offset: int = 0
    least: int = 1
    most: int | None = None

    def at_least(self, frames: int) -> int:
        """The fewest frames that the model films and that are not fewer than these, or `most`."""
        legal = self.offset + self.step * max(math.ceil((frames - self.offset) / self.step), 0)
        legal = max(legal, self.offset + self.step * math.ceil((self.least - self.offset) / self.step))
        return legal if self.most is None else min(legal, self.most)

    def __str__(self) -> str:
        times = "k" if self.step == 1 else f"{self.step}k"
        return times if not self.offset else f"{times}+{self.offset}"


@dataclass(frozen=True, kw_only=True)
class License:
    """What is known of a model's license. attribution: a line to show beside films. territory, revenue: what it limits, in words.

    excluded: where it does not hold, by country codes of two letters (ISO 3166-1), or "EU". must_accept: whether it must be
    accepted before the model films for somebody.
    """

    name: str = ""
    link: str = ""
    attribution: str = ""
    territory: str = ""
    revenue: str = ""
    excluded: tuple[str, ...] = ()
    must_accept: bool = False


@dataclass(frozen=True, kw_only=True)
class FilmPlan:
    """How a request is filmed: the size and number of frames that the model films, and what is then made of them.

    frames: T of the model, at `fps`; wanted_frames: how many of them are taken. wanted_size, wanted_fps: of the result.
    """

    size: Size
    frames: int
    fps: float
    wanted_frames: int
    wanted_size: Size
    wanted_fps: float
    notes: tuple[str, ...] = ()

    def finish(self, clip: Clip) -> Clip:
        """What the model filmed, cut, at the rate and of the size that was asked for."""
        cut = clip if clip.num_frames <= self.wanted_frames else clip.cut(slice(self.wanted_frames))
        return cut.resample(self.wanted_fps).fit(*self.wanted_size)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a model can film, in numbers; made from its folder, shown by `kinema models show` and `/v1/models/{id}`.

    engine: "kinema", "diffusers" or "upstream". size: the usual (width, height) in pixels. multiple: sides are whole multiples
    of so many pixels. most_pixels: the largest picture. fps: frames a second that it films; other rates are made of them.
    seconds: the usual length. controls: what of a scene can steer it. lora_names: LoRA that it has under a name. batch: films
    of one shape that it makes in one pass. memory_bytes: of the loaded weights. seconds_per_second: measured on this machine,
    of the usual size and steps. reading: how files are read for it. unused: what of a request changes nothing, by workflow:
    names of SETTINGS. candidates: whether it takes the best of several plans (`FilmRequest.options`).
    """

    model: str
    engine: str
    family: str
    workflows: tuple[Workflow, ...]
    size: Size
    fps: float
    seconds: float
    frames: FrameRule = field(default_factory=FrameRule)
    multiple: int = 1
    most_pixels: int | None = None
    sizes: tuple[Size, ...] = ()
    most_seconds: float | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: bool = False
    strength: float | None = None
    camera: bool = False
    masks: bool = False
    controls: tuple[Control, ...] = ()
    sound: bool = False
    loras: bool = False
    lora_names: tuple[str, ...] = ()
    batch: int = 1
    state: bool = False
    license: License = field(default_factory=License)
    memory_bytes: int | None = None
    seconds_per_second: float | None = None
    weights_sha256: str = ""
    unused: Mapping[Workflow, tuple[str, ...]] = field(default_factory=dict)
    candidates: bool = False
    reading: ReadOptions = field(default_factory=lambda: ReadOptions(longest=4096, within=1 << 30))

    def to_dict(self) -> dict[str, Any]:
        """The document as plain JSON."""
        return {**asdict(self), "frames": {**asdict(self.frames), "rule": str(self.frames)}}

    def origin(self) -> dict[str, str]:
        """What is known of the weights, for the settings of a film."""
        known = {
            "weights_sha256": self.weights_sha256, "license": self.license.name, "attribution": self.license.attribution,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value}

    def check(self, request: FilmRequest) -> None:
        """InputError for a request that names something that this model cannot do."""
        if not self.workflows:
            raise InputError(
                f"{self.model} is a recorded world, which does not film; step into it{_others(request)}", param="model"
            )
        if request.workflow not in self.workflows:
            raise InputError(
                f"{self.model} cannot do {request.workflow!r}; it can {', '.join(self.workflows)}{_others(request)}",
                param="model",
            )
        lacks = {
            "negative_prompt": ("negative prompt", bool(request.negative_prompt) and not self.negative_prompt),
            "loras": ("LoRA", bool(request.loras) and not self.loras),
            "camera": ("camera's way", bool(request.camera) and not self.camera),
            "mask": ("mask", request.mask is not None and not self.masks),
        }
        if request.strength is not None and not 0 < request.strength <= 1:
            raise InputError(f"strength {request.strength:g}: expected above 0, up to 1", param="strength")
        self._check_settings(request)
        for param, (what, is_given) in lacks.items():
            if is_given:
                raise InputError(f"{self.model} takes no {what}: leave it out, or name another model", param=param)

    def _check_settings(self, request: FilmRequest) -> None:
        """InputError for a setting that would change nothing, but for those that are noted instead (`unused_notes`)."""
        if request.options is not None and not self.candidates:
            raise InputError(
                f"{self.model} takes no candidates and no sampler options, which only Kinema's own models know: leave them out"
            )
        noted = () if request.workflow == "upscale" else ("prompt", *(("strength",) if request.workflow == "edit" else ()))
        for name in self.unused.get(request.workflow, ()):
            if name not in noted and getattr(request, name) not in (None, ""):
                them = "them" if SETTINGS[name].endswith("s") else "it"
                raise InputError(
                    f"{self.model} takes no {SETTINGS[name]} to {VERBS[request.workflow]}: leave {them} out", param=name
                )

    def unused_notes(self, request: FilmRequest) -> list[str]:
        """A note for each setting that changes nothing and that clients always send: words, and the strength of an edit."""
        given = {"prompt": bool(request.prompt), "strength": request.strength not in (None, EDIT_STRENGTH)}
        unused = self.unused.get(request.workflow, ())
        return [f"{self.model} goes by no {SETTINGS[name]} here" for name in given if given[name] and name in unused]

    def nearest_size(self, width: int, height: int) -> Size:
        """The size that the model films and that shows most of a picture of this shape and about this size."""
        if self.sizes:
            shape = math.log(width / height)
            return min(self.sizes, key=lambda s: (abs(math.log(s[0] / s[1]) - shape), abs(s[0] * s[1] - width * height)))
        scale = 1.0
        if self.most_pixels is not None and width * height > self.most_pixels:
            scale = math.sqrt(self.most_pixels / (width * height))

        def side(pixels: int) -> int:
            whole = pixels * scale / self.multiple
            return max(math.floor(whole) if scale < 1 else math.ceil(whole - 1e-9), 1) * self.multiple

        return side(width), side(height)

    def check_size(self, size: str | Size | None) -> Size:
        """(width, height) of the result, by default the model's own. SizeError for what is no size."""
        if size is None:
            return self.size
        width, height = parsed_size(size)
        if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE):
            raise SizeError(f"size {width}x{height}: expected sides of 1 to {MOST_SIDE} pixels", param="size")
        if width * height > MOST_PIXELS:
            raise SizeError(f"size {width}x{height}: expected up to {MOST_PIXELS:,} pixels, as of 4096x4096", param="size")
        return width, height

    def fitted_size(self, width: int, height: int) -> Size:
        """The size at which a given picture or clip is filmed: its own shape, of about as many pixels as the model's usual size."""
        if (width, height) == self.nearest_size(width, height):
            return width, height
        scale = math.sqrt(self.size[0] * self.size[1] / (width * height))
        return self.nearest_size(max(round(width * scale), 1), max(round(height * scale), 1))

    def offered_size(self, width: int, height: int) -> Size:
        """The size for a client that does not know this model's sizes."""
        return width, height

    def check_film(self, seconds: float, fps: float, size: Size, mend: str = "") -> None:
        """SizeError for a length, a rate or a size that cannot be filmed. mend: what to do about the rate, with {fps:g} where one
        that the model films stands."""
        self.plan(seconds, fps, size)

    def check_prompt(self, prompt: str, *, strict: bool, duration_s: float = math.inf) -> list[str]:
        """VocabularyError for words that the model does not know, if strict; open models know all words. Returns notes, such as of
        parts of a storyboard after the end of the film, of duration_s seconds."""
        return []

    def unknown_words(self, prompt: str) -> tuple[list[str], str | None]:
        """Words of a prompt that the model does not know, and a hint with similar words."""
        return [], None

    def films_something(self, prompt: str) -> bool:
        """Whether a prompt names something that the model films."""
        return bool(prompt.strip())

    @property
    def filmed(self) -> str:
        """What the model films, in words."""
        return "anything"

    def time_of(self, seconds: float, size: Size, steps: int | None) -> float | None:
        """About how many seconds a film takes on this machine, by what `kinema models check` measured; None if it did not."""
        if self.seconds_per_second is None:
            return None
        pixels = size[0] * size[1] / (self.size[0] * self.size[1])
        return self.seconds_per_second * seconds * pixels * (steps or self.steps or 1) / (self.steps or 1)

    def check_length(self, seconds: float | None, fps: float | None) -> tuple[float, float]:
        """(seconds, frames a second) of the result, by default the model's own. SizeError for what cannot be filmed."""
        length, rate = self.seconds if seconds is None else seconds, self.fps if fps is None else fps
        for name, value in (("seconds", length), ("fps", rate)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
                raise InputError(f"{name} {value!r}: expected a number", param=name)
        if not 0 < length <= (self.most_seconds or MOST_SECONDS):
            most = self.most_seconds or MOST_SECONDS
            raise SizeError(f"{length:g} seconds: {self.model} films more than 0, up to {most:g}", param="seconds")
        if not 1 <= rate <= MOST_FPS:
            raise SizeError(f"{rate:g} frames a second: expected 1 to {MOST_FPS:g}", param="fps")
        return float(length), float(rate)

    def plan(self, seconds: float | None, fps: float | None, size: str | Size | None) -> FilmPlan:
        """Fit a length, a rate and a size to what the model films: the nearest legal frames and size, then cut and resized to what
        was asked for, with a note for each difference."""
        wanted_size = self.check_size(size)
        length, rate = self.check_length(seconds, fps)
        wanted = max(round(length * self.fps), 1)
        filmed, frames = self.nearest_size(*wanted_size), self.frames.at_least(wanted)
        notes = []
        if filmed != wanted_size:
            notes.append(f"filmed at {filmed[0]}x{filmed[1]}, shown at {wanted_size[0]}x{wanted_size[1]}")
        if frames > wanted:
            notes.append(f"filmed in {frames} frames ({self.frames}), {wanted} are kept")
        if frames < wanted:
            notes.append(f"filmed in parts of {frames} frames at most, {wanted} in all")
        if rate != self.fps:
            notes.append(f"filmed at {self.fps:g} frames a second, shown at {rate:g}")
        return FilmPlan(
            size=filmed,
            frames=frames,
            fps=self.fps,
            wanted_frames=wanted,
            wanted_size=wanted_size,
            wanted_fps=rate,
            notes=tuple(notes),
        )

    def fitting(self, seconds: float, fps: float, size: Size) -> tuple[str, ...]:
        """What is filmed, where the model films other frames or another size than asked for: a line for each difference."""
        return self.plan(seconds, fps, size).notes


def workflow_of(first: bool, last: bool, between: bool) -> Workflow:
    """The workflow of a film from words and pictures, by which pictures there are."""
    if between or (last and not first):
        return "keyframes"
    return "first_last" if last else "image" if first else "generate"


def _others(request: FilmRequest) -> str:
    """Which installed models can do what one cannot."""
    from kinema.engines.catalog import models_for

    names = models_for(request.workflow)
    return f"; installed models that can: {', '.join(names)}" if names else ""


MOST_SIDE, MOST_FPS, MOST_SECONDS = 8192, 120.0, 3600.0
MOST_PIXELS = Limits().max_pixels
"""Of a picture: larger ones could not be read back."""


def parsed_size(size: str | Size) -> Size:
    """(width, height) of "WIDTHxHEIGHT" or a pair of whole numbers."""
    if isinstance(size, str):
        return parse_size(size)
    if isinstance(size, Sequence | np.ndarray) and len(size) == 2 and all(is_whole(side) for side in size):
        return int(size[0]), int(size[1])
    raise SizeError(
        f"size {size!r}: expected 'WIDTHxHEIGHT' or (width, height) in whole pixels, such as '64x64'", param="size"
    )


@runtime_checkable
class Engine(Protocol):
    """A model that films.

    `capabilities` is cheap, `film` takes as long as a film takes. Engines are used by one thread at a time.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this engine films."""
        ...

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request.

        Args:
            request: What is to be filmed.
            progress: Called with (stage, steps done, steps in all).
            cancelled: Asked before each step; once it returns True, `Cancelled` is raised.
            watch: Called with small pictures of what is being filmed, where the engine has some.

        Returns:
            `request.count` clips, and one for each further film, of the size, length and rate asked for. Their settings hold
            "model", "prompt", "seed" and, under "notes", what was done otherwise than it was asked for.

        Raises:
            InputError: The engine cannot film this.
            EngineError: It failed on the way: out of memory, no answer, an error of the model's own code.
            Cancelled: `cancelled` returned True.
        """
        ...

    def close(self) -> None:
        """Give back memory and devices; the engine is not used afterwards."""
        ...
