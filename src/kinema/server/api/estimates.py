"""What a video would take, before it is asked for. What `POST /v1/videos` refuses of a request is refused here too."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from kinema.engines.catalog import capabilities_named
from kinema.inference import limits
from kinema.server.api.bodies import Route
from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.usage import Quota, quota
from kinema.server.api.video_schema import CreateVideo, is_heavy
from kinema.server.jobs.submission import Submission

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


@router.post("", summary="What a video would take, before it is asked for")
async def estimate(
    caller: Reader, services: ServicesDep, given: Annotated[CreateVideo, Depends(CreateVideo.read)]
) -> Estimate:
    def compute() -> Estimate:
        job = Submission(services).try_create(given, caller)
        model, pixels = job["model"], job["pixel_seconds"]
        speed = services.throughput.speed(model, job["kind"])
        before = sum(job.pixel_seconds * (1 - job.progress / 100) for job in services.queue.waiting(None) if not job.paused)
        usual, request = capabilities_named(model), job["request"]
        unknown, hint = usual.unknown_words(given.prompt)
        fitting = (
            usual.fitting(request["seconds"], request["fps"], limits.parse_size(job["size"]))
            if job["kind"] == "generate"
            else ()
        )
        measured_s = usual.time_of(request["seconds"], limits.parse_size(job["size"]), request["steps"])
        run_s = measured_s if measured_s is not None else None if speed is None else speed * pixels
        return Estimate(
            model=model, size=job["size"], pixel_seconds=pixels, run_s=None if run_s is None else round(run_s, 2),
            wait_s=None if speed is None else round(speed * before / max(services.throughput.num_workers(), 1), 2),
            unknown_words=unknown, hint=hint, notes=request["notes"], fitting=list(fitting),
            quota=quota(services, caller.key_id),
        )  # fmt: skip

    return await services.run_apart(compute, heavy=is_heavy(given))
