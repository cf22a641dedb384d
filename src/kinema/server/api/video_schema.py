"""The request fields of the Videos API, and functions that fill in defaults, resolve models and compute costs."""

from __future__ import annotations

import json
import secrets
from typing import Any

import torch

from kinema.errors import ApiError, SizeError
from kinema.inference import limits
from kinema.inference.canvas_io import camera_path
from kinema.inference.editing import EDIT_STRENGTH
from kinema.models.hub import DEFAULT, ModelConfig, available, find, read_config
from kinema.playground import VOCABULARY
from kinema.server.api.errors import refuse
from kinema.server.api.forms import Field
from kinema.server.billing import USUAL_FPS
from kinema.server.services import Services
from kinema.server.storage.uploads import Sent
from kinema.simulation.world import usual_fps
from kinema.text.prompt_check import check_limits, check_rewrite, check_words
from kinema.text.storyboard import parse_storyboard
from kinema.text.vocabulary import suggest, unknown_words

ALIASES = ("sora-2", "sora-2-pro")
"""Names that unmodified clients ask for; the default model answers, and the video says so."""
MOST_SECONDS = 600.0
MOST_CHARACTERS, MOST_KEYFRAMES = 16, 64
USUAL_STEPS = 16
"""The number of sampler steps that pixel-seconds are defined at; more frames or steps cost proportionally more."""
EMPTY = (
    Field(name="seed", kind="whole", about="the same seed on the same machine makes the same video", low=0, high=2**62 - 1),
    Field(name="steps", kind="whole", about="steps of the plan", low=1, high=200),
    Field(name="guidance", kind="number", about="how hard the words pull; 1: not at all", low=0, high=20),
    Field(name="strict", kind="flag", about="refuse words that the model does not know", default=False),
    Field(name="priority", kind="whole", about="within your own queue, higher first", low=-10, high=10, default=0),
    Field(name="label", kind="flag", about="a visible mark in the corner", default=False),
    Field(name="model", kind="text", about="a model's name"),
)
"""Fields of every kind of video."""
SECONDS = Field(name="seconds", kind="number", about="length of the video", low=0.01, high=MOST_SECONDS)
SIZE = Field(
    name="size", kind="text", example='"64x64"',
    about="WIDTHxHEIGHT in pixels, as GET /v1/models lists; by default that of what is given, or one near",
)  # fmt: skip
CREATE = (
    Field(name="prompt", kind="text", about="what happens; '0-2: text | 2-4: text' in seconds is a storyboard", default=""),
    SECONDS,
    SIZE,
    Field(name="fps", kind="number", about="frames a second", low=1, high=120),
    Field(name="input_reference", kind="reference", about="the first picture"),
    Field(name="last", kind="reference", about="the last picture"),
    Field(name="keyframes", kind="list", about='pictures on the way: [{"picture": reference, "at": seconds}]'),
    Field(name="guides", kind="object", about='what is known of the way: {"camera": [[second, x, y, zoom], ...]}'),
    Field(name="blend", kind="object", about='lead from one video to another instead: {"a": reference, "b": reference}'),
    Field(name="characters", kind="list", about='[{"id": "char_..."}], by whose names the prompt may call them'),
    *EMPTY,
)
VIDEO_FIELD = Field(name="video", kind="reference", about="the video to go by", required=True)
PROMPT = Field(name="prompt", kind="text", about="what happens", default="")
EDIT = (
    Field(name="prompt", kind="text", about="what the video is remade by", required=True),
    VIDEO_FIELD,
    Field(name="strength", kind="number", about="near 0 keeps all, 1 nothing", low=0.01, high=1, default=EDIT_STRENGTH),
    Field(name="mask", kind="reference", about="a picture, white where the video may change"),
    SIZE,
    *EMPTY,
)
REMIX = (Field(name="prompt", kind="text", about="what the video is remade by", required=True), SIZE, *EMPTY)
EXTEND = (
    VIDEO_FIELD, SECONDS, SIZE, PROMPT,
    Field(name="before", kind="flag", about="lead up to the video instead of going on after it", default=False), *EMPTY,
)  # fmt: skip
BLEND = (
    Field(name="a", kind="reference", about="the first video", required=True),
    Field(name="b", kind="reference", about="the second video", required=True), SECONDS, SIZE, PROMPT, *EMPTY,
)  # fmt: skip
LOOP = (VIDEO_FIELD, SECONDS, SIZE, PROMPT, *EMPTY)
TRIM = (
    VIDEO_FIELD,
    Field(name="cuts", kind="list", about="[[start, end], ...] in seconds, joined in this order", required=True),
    SIZE,
    *EMPTY,
)
RENDER = (
    Field(name="state", kind="object", about="a scene, as variant=state tells it", required=True), SIZE,
    Field(name="prompt", kind="text", about="a note for the gallery", default=""), *EMPTY,
)  # fmt: skip
CHARACTER = (
    Field(name="name", kind="text", about="what prompts call it", required=True), VIDEO_FIELD,
)  # fmt: skip
MOVE = (Field(name="before", kind="text", about="the waiting video to stand before; none: to the end"),)


def default_model() -> str:
    names = available()
    return DEFAULT if DEFAULT in names else names[0]


def config_of(name: str) -> ModelConfig:
    return read_config(find(name))


def model_for(given: str | None) -> tuple[str, list[str]]:
    """The model for a request, and notes for the client. Only shipped or installed models have names here; folders do not."""
    if given in (None, ""):
        return default_model(), []
    if given in ALIASES:
        return default_model(), [f"{given} does not exist any more; {default_model()} films instead"]
    if given not in available():
        raise ApiError(
            404, f"no model {given[:80]!r}; there are {', '.join(available())}", type="invalid_request_error", param="model",
            code="model_not_found",
        )  # fmt: skip
    return given, []


def normalize(services: Services, given: dict[str, Any]) -> tuple[str, dict[str, Any], list[str]]:
    """The model, the request with defaults filled in, and notes. Nothing is uploaded or accepted yet."""
    model, notes = model_for(given.get("model"))
    config = config_of(model)
    width, height = limits.check_size(config, size_for(given, model, notes))
    seconds = given.get("seconds") or 4.0
    fps = given.get("fps") or 16.0
    check_length(config, seconds, fps, width, height, mend="pass fps={fps:g}")
    prompt = given.get("prompt") or ""
    check_prompt(prompt, model, bool(given.get("strict")))
    services.check_prompt(prompt)
    seed = given.get("seed")
    request = {
        "prompt": prompt, "seconds": seconds, "size": f"{width}x{height}", "fps": fps,
        "seed": secrets.randbelow(2**31) if seed is None else seed, "steps": given.get("steps"), "guidance": given.get("guidance"),
        "strict": given.get("strict"), "label": given.get("label"), "notes": notes,
    }  # fmt: skip
    return model, request, notes


def check_length(config: ModelConfig, seconds: float, fps: float, width: int, height: int, *, mend: str) -> None:
    """SizeError for a length or a frame rate that cannot be filmed. mend: what to do about the rate, with
    {fps:g} where one that the model films stands."""
    low, high = config.fps
    if not low <= fps <= high:
        advice = mend.format(fps=usual_fps(config))
        raise SizeError(f"{fps:g} frames a second: {config.name} films {low:g} to {high:g}; {advice}")
    limits.check_duration(config, seconds, fps, width, height, 1)


def size_for(given: dict[str, Any], model: str, notes: list[str]) -> str | None:
    """The size that is asked for, None if none is. Clients that ask for a model by an alias do not know this one's sizes: they get
    one of about the same shape (`limits.fitted`), and a note."""
    size: str | None = given.get("size") or None
    if size is None or given.get("model") not in ALIASES:
        return size
    width, height = limits.parse_size(size)
    if width < 1 or height < 1:
        raise refuse("size", size, "WIDTHxHEIGHT in pixels")
    near = "x".join(map(str, limits.fitted(config_of(model), width, height)))
    if near != f"{width}x{height}":
        notes.append(f"{model} does not film {size}; {near} instead")
    return near


def check_prompt(prompt: str, model: str, strict: bool) -> None:
    """What the library will check, now: that a storyboard can be read, and, if strict, that all words are known."""
    config = config_of(model)
    spans = parse_storyboard(check_rewrite(prompt, strict=strict, lacks=config.lacks))
    for text, _, _ in spans:
        check_words(text, strict=strict, model=model, lacks=config.lacks)
    check_limits(spans, strict=strict, model=model, slots=config.denoiser.slots)


def cost(width: int, height: int, seconds: float, fps: float = USUAL_FPS, steps: int | None = None) -> float:
    """Pixel-seconds, as at the usual frame rate and number of steps; more of either costs more, and one frame is the least."""
    frames = max(round(seconds * fps), 1)
    return float(width * height * max(seconds, frames / USUAL_FPS) * max((steps or USUAL_STEPS) / USUAL_STEPS, 1.0))


def words_of(prompt: str, model: str) -> tuple[list[str], str | None]:
    """Words that a model does not know, and a hint with similar words."""
    known = VOCABULARY - set(config_of(model).lacks)
    strange = unknown_words(prompt, known)
    meant = {word: suggest(word, known) for word in strange}
    hints = [f"{word} → {near}" for word, near in meant.items() if near]
    return strange, ", ".join(hints) or None


def is_heavy(given: Any) -> bool:
    """Whether a value holds bytes to be decoded, or an address to fetch them from."""
    if isinstance(given, str):
        return given.startswith(("data:", "http://", "https://"))
    if isinstance(given, dict):
        return any(map(is_heavy, given.values()))
    return isinstance(given, Sent) or (isinstance(given, list) and any(map(is_heavy, given)))


def camera_of(guides: dict[str, Any]) -> list[list[float]]:
    """The stops of a camera, checked as the library will check them."""
    unknown = [name for name in guides if name != "camera"]
    if unknown:
        raise refuse("guides", ", ".join(unknown), '{"camera": [[second, x, y, zoom], ...]}')
    stops = guides.get("camera")
    one = Field(name="guides.camera", kind="number", about="second, x, y, zoom", low=-1e6, required=True)
    if (
        not isinstance(stops, list)
        or not all(isinstance(stop, list) and len(stop) == 4 for stop in stops)
        or not 0 < len(stops) <= 1000
    ):
        raise refuse("guides.camera", stops, "[[second, x, y, zoom], ...]")
    path = [[one.read(value) for value in stop] for stop in stops]
    camera_path([(a, b, c, d) for a, b, c, d in path], torch.zeros(1, 1))
    return path


def cuts_of(given: list[Any], seconds: float) -> list[list[float]]:
    made = []
    for i, cut in enumerate(given):
        if not isinstance(cut, (list, tuple)) or len(cut) != 2:
            raise refuse(f"cuts[{i}]", json.dumps(cut), "[start, end] in seconds")
        start, end = (Field(name=f"cuts[{i}]", kind="number", about="seconds", low=0, required=True).read(v) for v in cut)
        if not start < end or end > seconds + 0.05:
            raise refuse(f"cuts[{i}]", cut, f"a part of the {seconds:g} s that there are")
        made.append([start, min(end, seconds)])
    if not made:
        raise refuse("cuts", given, "at least one [start, end] in seconds")
    return made
