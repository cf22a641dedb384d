"""What requests about productions hold, and the production object."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from kinema.director.planning.planner import estimate_of
from kinema.director.script import Script
from kinema.server.api.bodies import Body, Filled, Text
from kinema.server.api.responses import Seconds
from kinema.server.api.video_object import VideoError, video_object
from kinema.server.billing import cost
from kinema.server.productions.stored import StoredProduction
from kinema.server.services import Services

Gate = Literal["script", "stills", "shots"]
Status = Literal["planned", "filming", "filmed", "completed", "failed"]
MOST_STORY = 200_000


class ProductionBudget(Body):
    takes: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="of all shots together")
    seconds: Annotated[float, Field(gt=0)] | None = Field(None, description="of filming, after which no shot is taken again")
    per_shot: Annotated[int, Field(ge=1, le=100)] = Field(6, description="takes of one shot")


class CreateProduction(Body):
    story: Annotated[str, Field(max_length=MOST_STORY)] = Field("", description="prose or a screenplay in Fountain")
    script: dict[str, Any] | None = Field(None, description="instead of a story: a script (docs/script.schema.json)")
    model: Text | None = Field(None, description="what films; none: the server's default")
    title: Annotated[str, Field(max_length=200)] = ""
    aspect: Annotated[str, Field(pattern=r"^[1-9]\d{0,3}:[1-9]\d{0,3}$")] = "1:1"
    size: Annotated[str, Field(pattern=r"^[1-9]\d{0,3}x[1-9]\d{0,3}$")] | None = Field(
        None, description="instead of the aspect"
    )
    style: Annotated[str, Field(max_length=500)] = ""
    title_card: Annotated[float, Field(ge=0, le=20)] = Field(0.0, description="seconds for which the title is shown first")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="added to the seed of every shot")
    budget: ProductionBudget | None = None
    stop_after: Gate | None = Field(None, description="wait for a person there; none: film to the end")
    llm: bool = Field(False, description="plan by the language model that the operator has set")
    look: bool = Field(False, description="compare takes with the pictures of the cast that the script has")


class ResumeProduction(Body):
    stop_after: Gate | None = Field(None, description="wait there again")
    version: int | None = Field(None, description="refuse if there is a later one; so in all changes")


class ChangeShot(Body):
    version: int | None = None


class AcceptTake(ChangeShot):
    take: Annotated[int, Field(ge=1)]


class LockShot(ChangeShot):
    locked: bool = True


class RewordShot(ChangeShot):
    prompt: Annotated[Filled, Field(max_length=2000)]


class ReplacePictures(Body):
    pictures: list[Text] = Field(description="ids of uploaded files, all that this member of the cast has from now on")
    version: int | None = None


class CompareLooks(Body):
    look: bool = True
    version: int | None = None


class OrderShots(Body):
    order: list[str] = Field(description="ids of all shots")
    version: int | None = None


class ProductionEstimate(BaseModel):
    """film_s: length of the film; run_s: for one take of each shot, None if that was not measured; pixel_seconds: likewise."""

    film_s: float
    run_s: float | None
    pixel_seconds: float
    most_takes: int


class CheckSeen(BaseModel):
    """What a check of a take saw, and in which frames."""

    name: str
    passed: bool
    saw: str
    frames: list[int]
    weight: float


class ProductionTake(BaseModel):
    """video: the id of its film. change, reason: what was done otherwise than in the take before, and why."""

    number: int
    video: str
    seed: int
    change: str
    reason: str
    passed: bool
    score: float
    checks: list[CheckSeen]


class ProductionShot(BaseModel):
    """used: the number of the take that is in the film."""

    id: str
    prompt: str
    seconds: float
    used: int | None
    locked: bool
    takes: list[ProductionTake]


class MadeNow(BaseModel):
    """What is being made for a production at this moment. video: its id; shot, take: None while the film is cut."""

    video: str
    kind: Literal["take", "cut"]
    shot: str | None
    take: int | None
    status: str
    progress: int
    stage: str
    eta_s: float | None


class ProductionSummary(BaseModel):
    """version: counts the changes. film: the id of the video that was cut last; film_is_current: whether it is that of the present
    takes in their present order. shots_done: those with a take that is used."""

    id: str
    object: Literal["production"] = "production"
    created_at: Seconds
    updated_at: Seconds
    version: int
    title: str
    model: str
    status: Status
    stop_after: Gate | None
    seconds: float
    shots_total: int
    shots_done: int
    film: str | None
    film_is_current: bool
    error: VideoError | None


class ProductionObject(ProductionSummary):
    """notes: what is not filmed as the story has it. look: whether takes are compared with the pictures of their cast. script: as
    it is now. making: the first of all_making, which are takes of several shots where several workers film them side by side."""

    story: str
    size: str
    fps: float
    notes: list[str]
    look: bool
    estimate: ProductionEstimate
    script: dict[str, Any]
    shots: list[ProductionShot]
    making: MadeNow | None
    all_making: list[MadeNow]


class ProductionEvent(BaseModel):
    """A line of the log. id: grows; what: planned, noted, filmed, checked, refused, accepted, locked, unlocked, reopened,
    reordered, delivered or stopped."""

    id: int
    at: float
    what: str
    shot: str | None
    take: int | None
    why: str


def summary_of(production: StoredProduction) -> dict[str, Any]:
    """The fields of a summary."""
    row, script, (code, message) = production.row, production.script, production.error
    return {
        "id": row.id, "created_at": row.created_at, "updated_at": row.updated_at, "version": row.version, "title": row.title,
        "model": production.model, "status": production.status, "stop_after": production.stop_after, "seconds": script.seconds,
        "shots_total": len(script.shots), "shots_done": sum(production.used(shot.id) is not None for shot in script.shots),
        "film": production.film, "film_is_current": production.film_is_current,
        "error": None if code is None else VideoError(code=code, message=message),
    }  # fmt: skip


def production_object(services: Services, production: StoredProduction) -> ProductionObject:
    """A production object."""
    script = production.script
    width, height = production.size
    order = {shot.id: index for index, shot in enumerate(script.shots)}
    made_now = [
        _made_now(services, job)
        for job, shot in sorted(production.making.items(), key=lambda one: order.get(one[1] or "", 0))
    ]
    return ProductionObject(
        **summary_of(production), story=production.row.story, size=f"{width}x{height}", fps=production.fps,
        notes=production.notes, look=production.look, estimate=_estimate(production, script), script=production.row.script,
        shots=[
            ProductionShot(
                id=shot.id, prompt=shot.prompt, seconds=shot.seconds, used=production.used(shot.id),
                locked=production.is_locked(shot.id), takes=_takes(production, shot.id),
            )
            for shot in script.shots
        ],
        making=made_now[0] if made_now else None, all_making=made_now,
    )  # fmt: skip


def _estimate(production: StoredProduction, script: Script) -> ProductionEstimate:
    estimate, (width, height) = estimate_of(script, production.capabilities_of()), production.size
    price = sum(cost(width, height, shot.seconds, production.fps) for shot in script.shots)
    run_s = None if estimate.seconds is None else round(estimate.seconds, 1)
    return ProductionEstimate(film_s=estimate.film_s, run_s=run_s, pixel_seconds=price, most_takes=estimate.most_takes)


def _takes(production: StoredProduction, shot: str) -> list[ProductionTake]:
    return [
        ProductionTake(
            number=take.plan.number, video=production.video_of(shot, take.plan.number), seed=take.plan.seed,
            change=take.plan.change, reason=take.plan.reason, **take.report.to_dict(),
        )
        for take in production.takes(shot)
    ]  # fmt: skip


def _made_now(services: Services, id: str) -> MadeNow:
    job = services.queue.get(id, None, deleted=True)
    video = video_object(services, job, place=services.queue.ahead(job) if job.status == "queued" else None)
    return MadeNow(
        video=job.id, kind=job.kind, shot=job.request.get("shot"), take=(job.request.get("plan") or {}).get("number"),
        status=job.status, progress=video.progress, stage=job.stage, eta_s=video.kinema.eta_s,
    )  # fmt: skip
