"""Which models film, and what each can do."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from safetensors import safe_open

from kinema.engines.catalog import capabilities_named, default_model, entry_named, model_names, recorded_config
from kinema.engines.opening import opens
from kinema.engines.protocol import MOST_FPS
from kinema.engines.registry import ModelEntry
from kinema.envs.controls import action_controls
from kinema.errors import ApiError, InputError
from kinema.inference import limits
from kinema.inference.dit_rollout import WANTED
from kinema.inference.editing import EDIT_STRENGTH
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import CARD, CONFIG, SCALE, WEIGHTS, find, read_slot_config
from kinema.scene.geometry import DEFAULT_CAMERA, OUTLINE, ROOM_HEIGHT
from kinema.scene.scene import BACKGROUNDS, HEX, MATERIALS, SIZES, VIEWS
from kinema.server.api.bodies import Body, Route
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS, not_found, refuse
from kinema.server.api.responses import Listing, Seconds
from kinema.server.api.served_file import ServedFile
from kinema.server.api.video_schema import MOST_SECONDS
from kinema.server.api.world_schema import WorldControls
from kinema.server.auth import Caller
from kinema.server.services import Services
from kinema.text.prompt_check import known_words

router = APIRouter(prefix="/v1/models", tags=["models"], responses=ERRORS, route_class=Route)

ARENA = "arena.html"
"""The page of a run of the arena, which whoever keeps the server may put into a model's folder."""
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


class RecordedDetails(BaseModel):
    """What a recorded world is: the environment that was recorded, its frames a second, its tasks, how it is acted in, and
    whether it can be changed by its entities."""

    env: str
    fps: float
    tasks: list[str]
    controls: WorldControls
    changes: bool = False


class Refusal(BaseModel):
    """code: license_not_accepted (`POST /v1/models/{id}/license` accepts it) or license_excludes_territory."""

    code: str
    message: str


class ModelDetails(BaseModel):
    """size: the default. sizes: all that it films, or the usual ones, WIDTHxHEIGHT. parameters: how many weights; 0 where they were
    not counted. lacks: words it does not know. capabilities: what it films, the rule of its frames, its license, what it takes in
    memory and time. world: whether it is a recorded world, which does not film and is stepped into; recorded: what that world
    is, null of a model that films. has_arena: whether `GET /v1/models/{id}/arena` has a page.
    license_refusal: why the model does not film for the
    caller, as to its license; null: it does."""

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
    recorded: RecordedDetails | None = None
    card: str
    lacks: list[str]
    vocabulary: Vocabulary
    capabilities: dict[str, Any]
    has_arena: bool
    license_refusal: Refusal | None = None


class ModelInfo(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "kinema"
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
        names = [name for name in file.keys() if not name.endswith(SCALE)]  # noqa: SIM118
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)


def model_shown(name: str, most_seconds: float = MOST_SECONDS) -> ModelInfo:
    entry = entry_named(name)
    with opens(name):
        config = None if entry is None else recorded_config(entry)
    if entry is not None and config is not None:
        return _recorded_shown(entry, config)
    return _native_shown(name, most_seconds) if entry is None else _open_shown(entry, most_seconds)


def _recorded_shown(entry: ModelEntry, config: DiTModelConfig) -> ModelInfo:
    folder, world = Path(entry.source), config.world or {}
    high, wide = world["size"]
    card, fps = folder / CARD, float(world["fps"])
    details = ModelDetails(
        default=False, size=f"{wide}x{high}", sizes=[f"{wide}x{high}"], heights=[high], aspects=[], fps=(fps, fps),
        max_side=max(wide, high), max_seconds=0.0, edit_strength=EDIT_STRENGTH, parameters=parameters(folder), world=True,
        recorded=RecordedDetails(
            env=str(world.get("env") or ""), fps=fps, tasks=[task for task in world["tasks"] if task],
            controls=WorldControls.model_validate(action_controls(world)), changes=WANTED in config.network.known,
        ),
        card=card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "", lacks=[],
        vocabulary=Vocabulary(kinds=[], colors=[], words=[], verbs=[], examples=[]),
        capabilities=capabilities_named(entry.name).to_dict(), has_arena=(folder / ARENA).is_file(),
    )  # fmt: skip
    return ModelInfo(id=entry.name, created=int((folder / CONFIG).stat().st_mtime), kinema=details)


def _open_shown(entry: ModelEntry, most_seconds: float) -> ModelInfo:
    """An open model, of whose world nothing is known."""
    usual = capabilities_named(entry.name)
    card = Path(entry.source) / CARD
    width, height = usual.size
    sizes = usual.sizes or tuple(usual.nearest_size(*size) for size in ((width, height), (height, width), (height, height)))
    details = ModelDetails(
        default=entry.name == default_model(), size=f"{width}x{height}",
        sizes=list(dict.fromkeys(f"{w}x{h}" for w, h in sizes)), heights=sorted({h for _, h in sizes}), aspects=[],
        fps=(1.0, MOST_FPS), max_side=max(max(size) for size in sizes), max_seconds=min(MOST_SECONDS, most_seconds),
        edit_strength=usual.strength or EDIT_STRENGTH, parameters=0, world=False,
        card=card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "", lacks=[],
        vocabulary=Vocabulary(kinds=[], colors=[], words=[], verbs=[], examples=[]), capabilities=usual.to_dict(),
        has_arena=(Path(entry.source) / ARENA).is_file(),
    )  # fmt: skip
    return ModelInfo(id=entry.name, created=0, owned_by=usual.engine, kinema=details)


def _native_shown(name: str, most_seconds: float) -> ModelInfo:
    folder = find(name)
    config = read_slot_config(folder)
    card, schema = folder / CARD, config.denoiser.schema
    known = known_words(schema)
    details = ModelDetails(
        default=name == default_model(), size="x".join(map(str, limits.default_size(config))), sizes=limits.sizes_of(config),
        heights=list(config.heights), aspects=list(config.aspects), fps=config.fps, max_side=config.max_side,
        max_seconds=min(MOST_SECONDS, most_seconds), edit_strength=EDIT_STRENGTH, parameters=parameters(folder), world=False,
        card=card.read_text() if card.exists() else "", lacks=list(config.lacks),
        vocabulary=Vocabulary(
            kinds=list(schema.kinds), colors=list(schema.colors), words=sorted(known - set(config.lacks)),
            verbs=[verb for verb in VERBS if verb in known], examples=list(EXAMPLES),
        ),
        capabilities=capabilities_named(name).to_dict(), has_arena=(folder / ARENA).is_file(),
    )  # fmt: skip
    return ModelInfo(id=name, created=int((folder / "config.json").stat().st_mtime), kinema=details)


def _all_shown(most_seconds: float) -> list[ModelInfo]:
    """All models that can be used; one whose folder is gone is left out."""
    shown = []
    for name in model_names():
        with suppress(InputError):
            shown.append(model_shown(name, most_seconds))
    return shown


def _for_caller(models: list[ModelInfo], services: Services, caller: Caller) -> list[ModelInfo]:
    """Models with what their licenses ask of the caller."""
    refused = services.licenses.refusals(caller.key_id, [model.id for model in models])
    for model in models:
        error = refused.get(model.id)
        if error is not None:
            model.kinema.license_refusal = Refusal(code=str(error.code), message=error.message)
    return models


def _check_name(model_id: str) -> None:
    if model_id not in model_names():
        raise not_found("model", model_id)


@router.get("", summary="Models that film, and what scenes are made of")
async def list_models(caller: Reader, services: ServicesDep) -> ModelList:
    def load() -> list[ModelInfo]:
        return _for_caller(_all_shown(services.settings.max_seconds), services, caller)

    return ModelList(data=await run_in_threadpool(load), kinema=ModelListDetails(scene=scene_facts()))


@router.get("/{model_id}", summary="One model")
async def get_model(caller: Reader, services: ServicesDep, model_id: str) -> ModelInfo:
    def load() -> ModelInfo:
        _check_name(model_id)
        return _for_caller([model_shown(model_id, services.settings.max_seconds)], services, caller)[0]

    return await run_in_threadpool(load)


class AcceptLicense(Body):
    accept: bool = Field(description="true: whoever holds the key has read the license and keeps it")


class AcceptedLicense(BaseModel):
    """license: its terms, as in the model's capabilities. accepted_at: when this key accepted it first."""

    object: Literal["model.license"] = "model.license"
    model: str
    license: dict[str, Any]
    accepted_at: Seconds


@router.post("/{model_id}/license", summary="Accept a model's license, once for the key of the request")
async def accept_license(
    caller: Filmer, services: ServicesDep, model_id: str, given: Annotated[AcceptLicense, Depends(AcceptLicense.read)]
) -> AcceptedLicense:
    def accept() -> AcceptedLicense:
        _check_name(model_id)
        if not given.accept:
            raise refuse("accept", given.accept, "true, by whoever has read the license")
        accepted_at = services.licenses.accept(caller.key_id, model_id)
        return AcceptedLicense(
            model=model_id, license=asdict(capabilities_named(model_id).license), accepted_at=int(accepted_at)
        )

    return await run_in_threadpool(accept)


@router.get(
    "/{model_id}/arena", summary="How a model did in the arena: the page of a run", response_class=FileResponse,
    responses={200: {"content": {"text/html": {}}}},
)  # fmt: skip
async def get_arena(caller: Reader, services: ServicesDep, model_id: str) -> ServedFile:
    def find_page() -> Path:
        _check_name(model_id)
        entry = entry_named(model_id)
        page = (find(model_id) if entry is None else Path(entry.source)) / ARENA
        if not page.is_file():
            raise ApiError(404, f"{model_id} has no {ARENA} in its folder", code="arena_not_found")
        return page

    return ServedFile(await run_in_threadpool(find_page), media_type="text/html; charset=utf-8")
