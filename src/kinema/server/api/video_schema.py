"""The request fields of the Videos API, and functions that fill in defaults, resolve models and compute costs."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, WithJsonSchema

from kinema.engines.catalog import capabilities_named, default_model, model_names, models_for
from kinema.engines.registry import find_entry
from kinema.errors import ApiError
from kinema.inference import limits
from kinema.inference.canvas_io import camera_path
from kinema.inference.editing import EDIT_STRENGTH
from kinema.playground.controls import Control
from kinema.server.api.bodies import MOST_LIST, Body, Filled, Reference, Text
from kinema.server.api.errors import refuse
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage.uploads import Sent

OFFICIAL_NAME = re.compile(r"sora-2(-pro)?(-\d{4}-\d{2}-\d{2})?")
OFFICIAL_SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024", "1080x1920", "1920x1080")
"""Names and sizes that unmodified clients ask for; the default model answers with a size near, and the video says so."""
MOST_SECONDS = 600.0
MOST_CHARACTERS, MOST_KEYFRAMES, MOST_PARTS, MOST_TAGS, MOST_TITLE, MOST_LORAS = 16, 64, 100, 32, 200, 8


Tag = Annotated[str, Field(max_length=60, pattern=r"\S")]


class Labels(Body):
    """How a video is named and grouped."""

    title: str | None = Field(None, max_length=MOST_TITLE, description="a name for people")
    tags: list[Tag] | None = Field(
        None, max_length=MOST_TAGS, examples=[["balls", "draft"]], description="words to find it by; kept in lower case"
    )
    project: Text | None = Field(None, description="the id of the project that it is in")

    def given_labels(self) -> dict[str, Any]:
        """The labels that are given, by name."""
        named = {name: getattr(self, name) for name in ("title", "tags", "project", "favorite") if hasattr(self, name)}
        return {name: value for name, value in named.items() if value is not None}


class LabelVideo(Labels):
    """What may be changed of a video. Fields that are not given stay; "" is no title and no project."""

    favorite: bool | None = Field(None, description="whether it is marked as a favorite")


class VideoRequest(Labels):
    """What every kind of video may be asked for with."""

    size: Text | None = Field(
        None, examples=["64x64"],
        description="WIDTHxHEIGHT in pixels, as GET /v1/models lists; by default that of what is given, or one near",
    )  # fmt: skip
    seed: int | None = Field(None, ge=0, le=2**62 - 1, description="the same seed on the same machine makes the same video")
    steps: int | None = Field(None, ge=1, le=200, description="steps of the plan")
    guidance: float | None = Field(None, ge=0, le=20, description="how hard the words pull; 1: not at all")
    strict: bool = Field(False, description="refuse words that the model does not know")
    priority: int = Field(0, ge=-10, le=10, description="within your own queue, higher first")
    label: bool = Field(False, description="a visible mark in the corner")
    model: Text | None = Field(None, description="a model's name")


Length = Annotated[float | None, Field(ge=0.01, le=MOST_SECONDS, description="length of the video, in seconds")]
Second = Annotated[float, Field(ge=0, le=MOST_SECONDS)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e12)]
Stop = Annotated[tuple[Coordinate, Coordinate, Coordinate, Coordinate], Field(description="[second, x, y, zoom]")]
Cut = Annotated[tuple[Second, Second], Field(description="[start, end] in seconds")]
CharacterId = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "required": ["id"]}]})]


class Keyframe(Body, extra="ignore", json_schema_extra={"examples": [{"picture": "file_...", "at": 2.0}]}):
    picture: Reference = Field(description="what is to be seen")
    at: Second = Field(description="when, in seconds")


class Guides(Body):
    camera: list[Stop] | None = Field(
        None, min_length=1, max_length=1000, description="where the camera is, [[second, x, y, zoom], ...]"
    )


class NamedLora(Body):
    """A LoRA that the model has under a name (`lora_names` of its capabilities)."""

    name: Text
    scale: float = Field(1.0, ge=-4, le=4, description="how much of it is added")


NamedLoras = Annotated[
    list[NamedLora] | None,
    Field(max_length=MOST_LORAS, examples=[[{"name": "film", "scale": 0.8}]], description="LoRA of the model, by name"),
]


class Blend(Body, extra="ignore"):
    a: Reference = Field(description="a video")
    b: Reference = Field(description="a video")


class CreateVideo(VideoRequest):
    prompt: Text = Field("", description="what happens; '0-2: text | 2-4: text' in seconds is a storyboard")
    seconds: Length = None
    fps: float | None = Field(None, ge=1, le=120, description="frames a second")
    negative_prompt: Text = Field("", description="what is not to be seen, for models that take it")
    loras: NamedLoras = None
    input_reference: Reference | None = Field(None, description="the first picture")
    last: Reference | None = Field(None, description="the last picture")
    keyframes: list[Keyframe] | None = Field(
        None, max_length=MOST_KEYFRAMES, description='pictures on the way: [{"picture": reference, "at": seconds}]'
    )
    guides: Guides | None = Field(None, description='what is known of the way: {"camera": [[second, x, y, zoom], ...]}')
    blend: Blend | None = Field(None, description='lead from one video to another instead: {"a": reference, "b": reference}')
    characters: list[CharacterId] | None = Field(
        None, max_length=MOST_LIST, description='[{"id": "char_..."}], by whose names the prompt may call them'
    )


class RemixVideo(VideoRequest):
    prompt: Filled = Field(description="what the video is remade by")


class FromVideo(VideoRequest):
    video: Reference = Field(description="the video to go by")


class EditVideo(RemixVideo, FromVideo):
    strength: float = Field(EDIT_STRENGTH, ge=0.01, le=1, description="near 0 keeps all, 1 nothing")
    mask: Reference | None = Field(None, description="a picture, white where the video may change")


class UpscaleVideo(FromVideo):
    """A video shown larger; size: by default twice the video's."""

    prompt: Text = Field("", description="what it shows, for models that draw it anew")
    strength: float | None = Field(
        None, ge=0.01, le=1, description="of models that edit: near 0 keeps the enlarged pixels; by default 0.3"
    )


class LoopVideo(FromVideo):
    seconds: Length = None
    prompt: Text = Field("", description="what happens")


class ExtendVideo(LoopVideo):
    before: bool = Field(False, description="lead up to the video instead of going on after it")


class BlendVideos(VideoRequest):
    a: Reference = Field(description="the first video")
    b: Reference = Field(description="the second video")
    seconds: Length = None
    prompt: Text = Field("", description="what happens")


class TrimVideo(FromVideo):
    cuts: list[Cut] = Field(
        min_length=1, max_length=MOST_LIST, description="[[start, end], ...] in seconds, joined in this order"
    )


class Part(Body):
    """A part of a video. start, end: in seconds; by default all of it."""

    video: Reference = Field(description="a video")
    start: Second = 0.0
    end: Second | None = None


class JoinVideos(VideoRequest):
    """Size and frame rate are by default those of the first part."""

    parts: list[Part] = Field(
        min_length=1, max_length=MOST_PARTS, examples=[[{"video": "video_...", "start": 0.5, "end": 2}, {"video": "video_..."}]],
        description="parts of videos, joined in this order",
    )  # fmt: skip
    fps: float | None = Field(None, ge=1, le=120, description="frames a second")
    prompt: Text = Field("", description="a note for the gallery")


class RenderState(VideoRequest):
    state: dict[str, Any] = Field(description="a scene, as variant=state tells it")
    prompt: Text = Field("", description="a note for the gallery")


class RestyleVideo(VideoRequest):
    """A video's state, or one that is given, painted by another model."""

    prompt: Filled = Field(description="what the new video shows")
    video: Reference | None = Field(None, description="the video whose state it is")
    state: dict[str, Any] | None = Field(None, description="a scene, as variant=state tells it, instead of a video")
    control: Control | None = Field(
        None, description="what of the state steers the model; by default the first that it takes"
    )
    strength: float | None = Field(
        None, ge=0.01, le=1, description="of models that go by a film: near 0 keeps it, 1 nothing"
    )
    negative_prompt: Text = Field("", description="what is not to be seen, for models that take it")
    loras: NamedLoras = None


def model_for(given: str | None, aliases: Mapping[str, str]) -> tuple[str, list[str]]:
    """The model for a request, and notes for the client. Only shipped or installed models have names here, and the server's own
    aliases for them; folders do not."""
    if given in (None, ""):
        return default_model(), []
    if given in aliases:
        return aliases[given], [f"{given} is {aliases[given]} on this server"]
    if OFFICIAL_NAME.fullmatch(given) and find_entry(given) is None:
        return default_model(), [f"{given} does not exist any more; {default_model()} films instead"]
    added = find_entry(given)
    if added is not None and added.name != given:
        return added.name, [f"{given} is {added.name} on this server"]
    if given not in model_names():
        raise ApiError(
            404, f"no model {given[:80]!r}; there are {', '.join(model_names())}", type="invalid_request_error", param="model",
            code="model_not_found",
        )  # fmt: skip
    return given, []


def normalize(
    services: Services, given: CreateVideo | RenderState, *, seconds: float | None = None, fps: float | None = None
) -> tuple[str, dict[str, Any], list[str]]:
    """The model, the request with defaults filled in, and notes. Nothing is uploaded or accepted yet."""
    model, notes = model_for(given.model, services.settings.aliases)
    usual = capabilities_named(model)
    width, height = usual.check_size(requested_size(given.size, given.model, model, notes))
    seconds, fps = seconds or usual.seconds, fps or usual.fps
    usual.check_film(seconds, fps, (width, height), mend="pass fps={fps:g}")
    check_allowed(services.settings, seconds, given.steps)
    length_s = seconds if isinstance(given, CreateVideo) else math.inf
    notes += usual.check_prompt(given.prompt, strict=given.strict, duration_s=length_s)
    services.check_prompt(given.prompt)
    note_unknown_words(given.prompt, model, notes)
    request = {
        "prompt": given.prompt, "seconds": seconds, "size": f"{width}x{height}", "fps": fps, "seed": seed_of(given),
        "steps": given.steps, "guidance": given.guidance, "strict": given.strict, "label": given.label, "notes": notes,
    }  # fmt: skip
    return model, request, notes


def seed_of(given: VideoRequest) -> int:
    return secrets.randbelow(2**31) if given.seed is None else given.seed


def check_allowed(settings: Settings, seconds: float, steps: int | None) -> None:
    """400 for a video that is longer, or has more steps, than this server makes."""
    if seconds > settings.max_seconds:
        raise refuse("seconds", seconds, f"up to {settings.max_seconds:g}, the longest video that this server makes")
    if steps is not None and steps > settings.max_steps:
        raise refuse("steps", steps, f"up to {settings.max_steps}, the most that this server takes")


def requested_size(size: str | None, requested_model: str | None, model: str, notes: list[str]) -> str | None:
    """The size that is asked for, None if none is. Clients that ask for a model by another name, or for an official size without
    a model, do not know this one's sizes: they get one of about the same shape (`limits.fitted_size`), and a note."""
    renamed = requested_model != model if requested_model else size in OFFICIAL_SIZES
    if not size or not renamed:
        return size or None
    width, height = limits.parse_size(size)
    if width < 1 or height < 1:
        raise refuse("size", size, "WIDTHxHEIGHT in pixels")
    near = "x".join(map(str, capabilities_named(model).offered_size(width, height)))
    if near != f"{width}x{height}":
        notes.append(f"{model} does not film {size}; {near} instead")
    return near


def note_unknown_words(prompt: str, model: str, notes: list[str]) -> None:
    """Add a note with the words of a prompt that the model does not know."""
    unknown, hint = capabilities_named(model).unknown_words(prompt)
    if unknown:
        notes.append(f"{model} does not know: {', '.join(unknown)}" + (f" ({hint})" if hint else ""))


def check_names_something(prompt: str, model: str) -> None:
    """ApiError where a prompt names nothing that the model could film; what it films stands in the message."""
    usual = capabilities_named(model)
    if usual.films_something(prompt):
        return
    others = [name for name in models_for("generate") if name != model]
    more = f"; installed as well: {', '.join(others)}" if others else ""
    raise ApiError(
        400, f"the prompt names nothing that {model} films: expected such as {usual.filmed}{more}",
        param="prompt", code="nothing_to_film",
    )  # fmt: skip


def is_heavy(given: Any) -> bool:
    """Whether a value holds bytes to be decoded, or an address to fetch them from."""
    if isinstance(given, str):
        return given.startswith(("data:", "http://", "https://"))
    if isinstance(given, dict | BaseModel):
        return any(is_heavy(value) for _, value in (given.items() if isinstance(given, dict) else given))
    return isinstance(given, Sent) or (isinstance(given, list) and any(map(is_heavy, given)))


def camera_of(stops: list[Stop]) -> list[list[float]]:
    """The stops of a camera, checked as the library will check them."""
    camera_path(stops, torch.zeros(1, 1))
    return [list(stop) for stop in stops]


def cuts_of(given: Sequence[Cut], seconds: float, fps: float, param: str = "cuts[{}]") -> list[list[float]]:
    """Cuts within a video of this length and frame rate, each of one frame at least. param: what an error names, with {} where the
    number of the cut stands."""
    for i, (start, end) in enumerate(given):
        name, came = param.format(i), f"from {start:g} to {end:g} s"
        if not start < end or end > seconds + 0.05:
            raise ApiError(
                400, f"{name} {came}: expected a part of the {seconds:g} s that there are", param=name, code="invalid_value"
            )
        if round(start * fps) >= min(round(end * fps), round(seconds * fps)):
            raise ApiError(
                400,
                f"{name} {came} holds no frame: expected at least {1 / fps:.3g} s, one frame",
                param=name,
                code="invalid_value",
            )
    return [[start, min(end, seconds)] for start, end in given]
