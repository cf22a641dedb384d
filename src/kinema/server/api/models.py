"""Which models film, and what each can do."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from safetensors import safe_open

from kinema.inference import limits
from kinema.inference.editing import EDIT_STRENGTH
from kinema.models.hub import CARD, WEIGHTS, available_models, find
from kinema.scene.geometry import DEFAULT_CAMERA, OUTLINE, ROOM_HEIGHT
from kinema.scene.scene import BACKGROUNDS, HEX, MATERIALS, SIZES, VIEWS
from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS, not_found
from kinema.server.api.responses import Listing
from kinema.server.api.video_schema import MOST_SECONDS, default_model, find_config
from kinema.text.prompt_check import known_words

router = APIRouter(prefix="/v1/models", tags=["models"], responses=ERRORS)

EXAMPLES = (
    "a red ball rolls right and hits a blue box",
    "a yellow car drives left behind a screen on a field",
    "a green robot jumps at night",
    "0-2: a blue ball bounces | 2-4: the blue ball rolls left",
)
VERBS = (
    *("rolls", "hits", "bounces", "drives", "jumps", "falls", "stops"),
    *("turns", "moves", "pushes", "hides", "slides", "walks"),
)


class Vocabulary(BaseModel):
    kinds: list[str]
    colors: list[str]
    words: list[str]
    verbs: list[str]
    examples: list[str]


class ModelDetails(BaseModel):
    """size: the default. sizes: all that it films, WIDTHxHEIGHT. parameters: how many weights. lacks: words it does not know."""

    default: bool
    size: str
    sizes: list[str]
    heights: list[int]
    aspects: list[str]
    fps: tuple[float, float]
    max_side: int
    max_seconds: float
    edit_strength: float
    parameters: int
    world: bool
    card: str
    lacks: list[str]
    vocabulary: Vocabulary


class ModelInfo(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["kinema"] = "kinema"
    kinema: ModelDetails


class Outline(BaseModel):
    """How far a kind reaches from its center at angle 0, in multiples of its size."""

    across: float = Field(description="to either side")
    above: float
    below: float


class SceneFacts(BaseModel):
    """What scenes of the Playground are made of, for clients that draw or edit states; a model's own kinds and colors are in its
    `vocabulary`."""

    room_height: float = Field(description="units that a camera with zoom 1 shows from top to bottom")
    default_camera: tuple[float, float, float] = Field(description="center x, center y, zoom")
    views: list[str]
    backgrounds: list[str]
    materials: list[str]
    sizes: dict[str, float] = Field(description="radius in units of each size name")
    palette: dict[str, str] = Field(description="#rrggbb of each color, in their order")
    outlines: dict[str, Outline] = Field(description="what is drawn of each kind, in their order")


class ModelListDetails(BaseModel):
    scene: SceneFacts


class ModelList(Listing[ModelInfo]):
    kinema: ModelListDetails


def scene_facts() -> SceneFacts:
    """The Playground's, whose scenes all clips and worlds hold."""
    return SceneFacts(
        room_height=ROOM_HEIGHT, default_camera=DEFAULT_CAMERA, views=list(VIEWS), backgrounds=list(BACKGROUNDS),
        materials=list(MATERIALS), sizes=SIZES, palette=HEX,
        outlines={
            kind: Outline(across=outline.across, above=outline.above, below=outline.below) for kind, outline in OUTLINE.items()
        },
    )  # fmt: skip


@cache
def parameters(folder: Path) -> int:
    """Weights of a model, read off the head of its file."""
    with safe_open(folder / WEIGHTS, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def model_shown(name: str, most_seconds: float = MOST_SECONDS) -> ModelInfo:
    config, folder = find_config(name), find(name)
    card, schema = folder / CARD, config.denoiser.schema
    known = known_words(schema)
    details = ModelDetails(
        default=name == default_model(), size="x".join(map(str, limits.default_size(config))), sizes=limits.sizes_of(config),
        heights=list(config.heights), aspects=list(config.aspects), fps=config.fps, max_side=config.max_side,
        max_seconds=min(MOST_SECONDS, most_seconds), edit_strength=EDIT_STRENGTH, parameters=parameters(folder),
        world=config.world is not None,
        card=card.read_text() if card.exists() else "", lacks=list(config.lacks),
        vocabulary=Vocabulary(
            kinds=list(schema.kinds), colors=list(schema.colors), words=sorted(known - set(config.lacks)),
            verbs=[verb for verb in VERBS if verb in known], examples=list(EXAMPLES),
        ),
    )  # fmt: skip
    return ModelInfo(id=name, created=int((folder / "config.json").stat().st_mtime), kinema=details)


@router.get("", summary="Models that film, and what scenes are made of")
async def list_models(caller: Reader, services: ServicesDep) -> ModelList:
    most_s = services.settings.max_seconds
    data = await run_in_threadpool(lambda: [model_shown(name, most_s) for name in available_models()])
    return ModelList(data=data, kinema=ModelListDetails(scene=scene_facts()))


@router.get("/{model_id}", summary="One model")
async def get_model(caller: Reader, services: ServicesDep, model_id: str) -> ModelInfo:
    if model_id not in available_models():
        raise not_found("model", model_id)
    return await run_in_threadpool(model_shown, model_id, services.settings.max_seconds)
