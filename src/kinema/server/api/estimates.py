"""What a video would take, before it is asked for. What `POST /v1/videos` and the addresses below it
refuse of a request is refused here too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from kinema.engines.catalog import capabilities_named
from kinema.inference import limits
from kinema.server.api.bodies import Route
from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.usage import Quota, quota
from kinema.server.api.video_schema import (
    CreateVideo,
    EditVideo,
    ExtendVideo,
    RestyleVideo,
    UpscaleVideo,
    VideoRequest,
    is_heavy,
)
from kinema.server.auth import Caller
from kinema.server.jobs.submission import Submission
from kinema.server.services import Services

router = APIRouter(prefix="/v1/estimate", tags=["videos"], responses=ERRORS, route_class=Route)


class Estimate(BaseModel):
    """run_s, wait_s: None until the server has filmed something to go by. hint: words that the model knows instead. fitting: what
    the model films, and what is then cut, resampled or resized to what was asked for."""

    model: str
    size: str
    pixel_seconds: float
    run_s: float | None
    wait_s: float | None
    unknown_words: list[str]
    hint: str | None
    notes: list[str]
    fitting: list[str]
    quota: Quota


def estimated_job(services: Services, caller: Caller, kind: str, given: VideoRequest) -> Estimate:
    """What a request for a kind of video would take."""
    job = Submission(services).estimate(kind, given, caller)
    model, pixels = job["model"], job["pixel_seconds"]
    speed = services.throughput.speed(model, job["kind"])
    before = sum(job.pixel_seconds * (1 - job.progress / 100) for job in services.queue.waiting(None) if not job.paused)
    usual, request, size = capabilities_named(model), job["request"], limits.parse_size(job["size"])
    unknown, hint = usual.unknown_words(request["prompt"])
    filmed = job["kind"] in ("generate", "restyle")
    fitting = usual.fitting(request["seconds"], request["fps"], size) if filmed else ()
    measured_s = usual.time_of(request["seconds"], size, request["steps"]) if filmed else None
    run_s = measured_s if measured_s is not None else None if speed is None else speed * pixels
    return Estimate(
        model=model, size=job["size"], pixel_seconds=pixels, run_s=None if run_s is None else round(run_s, 2),
        wait_s=None if speed is None else round(speed * before / max(services.throughput.num_workers(), 1), 2),
        unknown_words=unknown, hint=hint, notes=request["notes"], fitting=list(fitting), quota=quota(services, caller.key_id),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EstimateFor:
    """Estimates for the caller of a request."""

    caller: Caller
    services: Services

    async def __call__(self, kind: str, given: VideoRequest) -> Estimate:
        return await self.services.run_apart(
            lambda: estimated_job(self.services, self.caller, kind, given), heavy=is_heavy(given)
        )


async def get_estimates(caller: Reader, services: ServicesDep) -> EstimateFor:
    return EstimateFor(caller=caller, services=services)


Estimates = Annotated[EstimateFor, Depends(get_estimates)]


@router.post("", summary="What a video would take, before it is asked for")
async def estimate(take: Estimates, given: Annotated[CreateVideo, Depends(CreateVideo.read)]) -> Estimate:
    return await take("generate", given)


@router.post("/edits", summary="What an edit would take")
async def estimate_edit(take: Estimates, given: Annotated[EditVideo, Depends(EditVideo.read)]) -> Estimate:
    return await take("edit", given)


@router.post("/extensions", summary="What an extension would take")
async def estimate_extension(take: Estimates, given: Annotated[ExtendVideo, Depends(ExtendVideo.read)]) -> Estimate:
    return await take("extend", given)


@router.post("/restyles", summary="What a restyled video would take")
async def estimate_restyle(take: Estimates, given: Annotated[RestyleVideo, Depends(RestyleVideo.read)]) -> Estimate:
    return await take("restyle", given)


@router.post("/upscales", summary="What a larger video would take")
async def estimate_upscale(take: Estimates, given: Annotated[UpscaleVideo, Depends(UpscaleVideo.read)]) -> Estimate:
    return await take("upscale", given)
